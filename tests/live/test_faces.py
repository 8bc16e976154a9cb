"""How things look in the contact lists of real clients: their names, their pictures, and what is wrong with them."""

import hashlib

import pytest
from slixmpp.exceptions import IqError

from node.things import picture
from tests.live.peers import DEADLINE, Person, need
from tests.live.terminal import Terminal

ANN, SHED = "ann@home.example", "shed@home.example"
PLUGINS = ("xep_0054", "xep_0084", "xep_0153", "xep_0172")
ACCESS = f'[access]\ncontrol = ["{ANN}"]\napprove = ["{ANN}"]\n'
THING = '[thing.shed]\nname = "The shed"\ndriver = "exec"\ncommand = ["/bin/cat", "{}"]\ninterval = 1\n'
FIELD = '[[thing.shed.fields]]\nname = "temperature"\nunit = "°C"\n'


@pytest.fixture
def sensor(tmp_path):
    """What the shed's thermometer says."""
    sensor = tmp_path / "sensor"
    sensor.write_text("temperature=21.4\n")
    return sensor


@pytest.fixture
def home(nodes, sensor):
    node = nodes(more=ACCESS + THING.format(sensor) + FIELD)
    node.start()
    node.add("ann", "bob")
    return node


async def seen(person, text, type="available"):
    """The presence of the shed that says this."""
    return await person.hears(
        lambda s: s.name == "presence" and s["from"] == f"{SHED}/hw" and s["type"] == type and text in s["status"]
    )


async def ann_at(home):
    """Ann is logged in and follows the shed."""
    ann = await Person(f"{ANN}/phone", home, plugins=PLUGINS).logs_in()
    ann.send_presence_subscription(SHED)
    return ann


def test_a_thing_has_a_name_and_a_picture(home, run):
    async def story():
        ann = await ann_at(home)
        subscribed = await ann.hears(lambda s: s["type"] == "subscribed")
        assert subscribed["nick"]["nick"] == "The shed"
        presence = await seen(ann, "21.4 °C")
        assert not presence.get_plugin("nick", check=True)
        assert ann.client_roster[SHED]["name"] == "The shed"
        digest = presence["vcard_temp_update"]["photo"]
        card = (await ann.plugin["xep_0054"].get_vcard(SHED, timeout=DEADLINE))["vcard_temp"]
        assert (card["FN"], card["NICKNAME"], card["PHOTO"]["TYPE"]) == ("The shed", ["The shed"], "image/png")
        png = card["PHOTO"]["BINVAL"]
        assert hashlib.sha1(png).hexdigest() == digest
        assert png == picture.data("thermometer")
        fetched = await ann.plugin["xep_0084"].retrieve_avatar(SHED, digest, timeout=DEADLINE)
        assert fetched["pubsub"]["items"]["item"]["avatar_data"]["value"] == png
        told = await ann.plugin["xep_0060"].get_items(SHED, "urn:xmpp:avatar:metadata", timeout=DEADLINE)
        info = told.xml.find(".//{urn:xmpp:avatar:metadata}info")
        assert [info.get(key) for key in ("id", "bytes", "width")] == [digest, str(len(png)), "192"]
        await ann.leaves()

    run(story())


def test_a_stranger_sees_no_more_than_of_a_missing_account(home, run):
    async def story():
        bob = await Person("bob@home.example/phone", home, plugins=PLUGINS).logs_in()
        for address in (SHED, "nobody@home.example"):
            for ask in (bob.plugin["xep_0054"].get_vcard, bob.plugin["xep_0084"].retrieve_avatar):
                more = ("0" * 40,) if ask.__name__ == "retrieve_avatar" else ()
                with pytest.raises(IqError) as refused:
                    await ask(address, *more, timeout=DEADLINE)
                assert (refused.value.condition, refused.value.etype) == ("service-unavailable", "cancel")
        await bob.leaves()

    run(story())


def test_a_sensor_that_cannot_be_read_is_seen_and_so_is_the_end_of_it(home, sensor, run):
    async def story():
        ann = await ann_at(home)
        await seen(ann, "21.4 °C")
        sensor.rename(sensor.with_name("away"))
        presence = await seen(ann, "not read: ")
        assert presence["status"].endswith("(last 21.4 °C)")
        assert "Not read: " in await ann.says(SHED, "status")
        sensor.with_name("away").rename(sensor)
        assert (await seen(ann, "21.4 °C"))["status"] == "21.4 °C"
        await ann.leaves()

    run(story())


def test_profanity_shows_a_thing_by_its_name(home, run, tmp_path):
    program = need("profanity", "profanity")
    accounts = tmp_path / "profanity" / "accounts"
    accounts.parent.mkdir()
    accounts.write_text(
        f"[ann]\nenabled=true\njid={ANN}\npassword=secret\nresource=desk\n"
        f"server={home.address}\nport={home.port}\ntls.policy=trust\n"
    )
    places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    async def story():
        async with Terminal(program, "-a", "ann", **places) as ann:
            await ann.shows("logged in successfully")
            ann.types(f"/sub request {SHED}")
            await ann.shows("chat message: The shed/hw")  # its greeting
            ann.types("/quit")
            assert await ann.ends() == 0

    run(story())
