"""The name and the picture of a thing: who may see them, and which picture is whose."""

import hashlib
import re
import struct
from base64 import b64decode

import pytest

from node.base.jid import parse
from node.hub import board as boards
from node.hub.driver import Control, Field
from node.hub.thing import Thing
from node.things import picture

CARD = "<vCard xmlns='vcard-temp'/>"
PUBSUB = "<pubsub xmlns='http://jabber.org/protocol/pubsub'>%s</pubsub>"


def ask(person, inner, to="porch@hub.local", type="get"):
    (answer,) = person.says(f"<iq type='{type}' to='{to}' id='1'>{inner}</iq>").heard
    return answer


@pytest.mark.parametrize("to", ["porch@hub.local", "porch@hub.local/hw"])
def test_who_may_read_a_thing_gets_its_name_and_its_picture(ben, to):
    answer = ask(ben, CARD, to)
    assert "<FN>Porch</FN><NICKNAME>Porch</NICKNAME><PHOTO><TYPE>image/png</TYPE><BINVAL>" in answer
    assert b64decode(re.search("<BINVAL>(.*)</BINVAL>", answer)[1], validate=True) == picture.data("board")
    assert "</PHOTO><DESC>Uno 1.2, at hub.local</DESC></vCard>" in answer


def test_of_a_board_that_tells_nothing_of_itself_the_kind_is_told(ben, board):
    board.about = {}
    assert "<DESC>script, at hub.local</DESC>" in ask(ben, CARD)


@pytest.mark.parametrize("inner", [CARD, PUBSUB % "<items node='urn:xmpp:avatar:data'/>"])
@pytest.mark.parametrize("type", ["get", "set"])
def test_to_a_stranger_it_is_a_missing_account(person, porch, inner, type):
    eve = person("eve@hub.local/x")
    there, missing = (ask(eve, inner, f"{name}@hub.local", type) for name in ("porch", "nobody"))
    assert there.replace("porch", "nobody") == missing


def test_nobody_else_makes_the_card_of_a_thing(ann):
    assert "<error type='auth'><forbidden" in ask(ann, CARD, type="set")


def items(person, node, ids=()):
    named = "".join(f"<item id='{id}'/>" for id in ids)
    answer = ask(person, PUBSUB % f"<items node='{node}'>{named}</items>")
    return answer[answer.index("<items") : answer.index("</pubsub>")]


def test_xep_0084_the_picture_and_what_it_is_are_items_of_their_nodes(ben):
    png = picture.data("board")
    id = hashlib.sha1(png).hexdigest()
    told = items(ben, "urn:xmpp:avatar:metadata")
    assert told.startswith(f"<items node='urn:xmpp:avatar:metadata'><item id='{id}'><metadata xmlns='urn:xmpp:avatar:m")
    assert f"<info id='{id}' type='image/png' bytes='{len(png)}' width='192' height='192'/>" in told
    told = items(ben, "urn:xmpp:avatar:data", [id])
    assert told.startswith(f"<items node='urn:xmpp:avatar:data'><item id='{id}'><data xmlns='urn:xmpp:avatar:data'>")
    assert b64decode(re.search("'urn:xmpp:avatar:data'>([^<]+)</data>", told)[1], validate=True) == png
    assert items(ben, "urn:xmpp:avatar:data", ["0" * 40]) == "<items node='urn:xmpp:avatar:data'/>"


def test_xep_0172_so_is_its_name(ben):
    nick = "<nick xmlns='http://jabber.org/protocol/nick'>Porch</nick>"
    assert nick in items(ben, "http://jabber.org/protocol/nick")


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        ("<items node='urn:xmpp:omemo:2:devices'/>", "item-not-found"),
        ("<items/>", "item-not-found"),
        ("<subscriptions/>", "feature-not-implemented"),
        ("", "feature-not-implemented"),
    ],
)
def test_there_is_nothing_else_to_fetch(ben, asked, condition):
    assert f"<{condition}" in ask(ben, PUBSUB % asked)


def test_xep_0084_disco_lists_the_nodes_and_what_is_in_them(ben):
    disco = "<query xmlns='http://jabber.org/protocol/disco#{}'{}/>".format
    listed = re.findall("<item jid='porch@hub.local' node='(.*?)'/>", ask(ben, disco("items", "")))
    assert listed == ["urn:xmpp:avatar:metadata", "urn:xmpp:avatar:data", "http://jabber.org/protocol/nick"]
    node = " node='urn:xmpp:avatar:data'"
    assert f"<item jid='porch@hub.local' name='{picture.digest('board')}'/>" in ask(ben, disco("items", node))
    told = ask(ben, disco("info", node))
    assert (
        f"disco#info'{node}><identity category='pubsub' type='leaf'/><feature var='http://jabber.org/protocol/pubsub'/>"
        in told
    )


def test_disco_tells_that_there_is_a_card(ben):
    told = ask(ben, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert "<feature var='vcard-temp'/>" in told
    assert "<feature var='http://jabber.org/protocol/pubsub#retrieve-items'/>" in told


# Which picture


@pytest.fixture
def thing(board):
    """`thing(*fields_and_controls)`, a thing of these."""

    def thing(*made, label="Porch", kind="script", shown=""):
        board.fields = tuple(each for each in made if isinstance(each, Field))
        board.controls = tuple(each for each in made if isinstance(each, Control))
        return Thing(parse("porch@hub.local"), label, kind, board, picture=shown)

    return thing


TEMPERATURE, HUMIDITY = Field("temperature", unit="°C"), Field("humidity", unit="%")
POWER, ENERGY = Field("power", unit="W"), Field("energy", unit="kWh")
DOOR, BATTERY = Field("front_door", "boolean"), Field("battery", "integer", "%")
LAMP, BUTTON = Control("lamp", "boolean"), Field("button", "boolean")


@pytest.mark.parametrize(
    ("made", "found"),
    [
        ((), "board"),
        ((TEMPERATURE,), "thermometer"),
        ((HUMIDITY, TEMPERATURE, BATTERY), "thermometer"),
        ((Field("pressure", unit="hPa"),), "gauge"),
        ((Field("state", "string"),), "board"),
        ((POWER, ENERGY, Field("voltage", unit="V")), "meter"),
        ((Field("light", unit="lx"),), "light"),
        ((Field("latitude", unit="°"), Field("longitude", unit="°"), Field("speed", unit="km/h")), "position"),
        ((LAMP,), "lamp"),
        ((LAMP, Field("lamp", "boolean"), Control("dimmer", "integer"), Control("color", "color")), "lamp"),
        ((Control("state", "boolean"), POWER, ENERGY), "plug"),
        ((Control("relay_1", "boolean"), Control("relay_2", "boolean")), "plug"),
        ((DOOR, BATTERY, TEMPERATURE), "door"),
        ((Field("contact", "boolean"), Field("tamper", "boolean")), "door"),
        ((Field("window", "boolean"),), "window"),
        ((Field("occupancy", "boolean"), Field("illuminance", unit="lx")), "motion"),
        ((Field("water", "boolean", alarm="water"),), "water"),
        ((Control("setpoint", "quantity"), TEMPERATURE), "heating"),
        ((Control("blind", "integer"),), "blind"),
        ((BUTTON, BATTERY), "button"),
        ((Control("lock", "boolean"),), "lock"),
        ((LAMP, BUTTON, TEMPERATURE), "board"),
    ],
)
def test_a_thing_looks_like_what_it_is(thing, made, found):
    assert picture.name(thing(*made)) == found


@pytest.mark.parametrize(
    ("label", "found"),
    [("Kitchen lamp", "lamp"), ("Door-lamp", "lamp"), ("Lamp at the garage DOOR", "door"), ("Cellar", "thermometer")],
)
def test_its_name_goes_first(thing, label, found):
    assert picture.name(thing(TEMPERATURE, label=label)) == found


def test_the_configuration_goes_before_all(thing):
    assert picture.name(thing(TEMPERATURE, label="Kitchen lamp", shown="door")) == "door"


def test_the_machine_that_the_node_runs_on_is_a_computer_and_not_its_thermometer(thing):
    assert picture.name(thing(TEMPERATURE, Field("load"), kind="linux")) == "computer"
    assert picture.name(thing(TEMPERATURE, kind="linux")) == "thermometer"


def test_all_that_a_thing_may_look_like_is_there():
    meant = {*picture.WORDS.values(), *picture.UNITS.values(), "position", "computer", "plug", "gauge", picture.BOARD}
    assert meant == set(picture.names())


@pytest.mark.parametrize("name", picture.names())
def test_a_picture_is_a_small_square_png(name):
    png = picture.data(name)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (picture.SIZE, picture.SIZE)
    assert len(png) < 8192  # XEP-0153 §4.6
    assert picture.digest(name) == hashlib.sha1(png).hexdigest()


def test_boards_name_pictures_that_there_are():
    named = {boards.load(name).picture for name in boards.names()}
    assert named <= {"", *picture.names()}
    assert boards.load("microbit").picture == "board"
