"""XEP-0080: a position as other programs read it."""

import re

import pytest

from node.base.element import read, write
from node.hub.driver import Field
from node.hub.thing import Reading
from node.things.geoloc import geoloc, uri
from tests.things.test_chat import ask, said

STAMP = 1_795_348_931.0
EMPTY = read(b"<geoloc xmlns='http://jabber.org/protocol/geoloc'/>")


def readings(**values):
    return {name: Reading(value, STAMP) for name, value in values.items()}


def test_a_position_keeps_its_texts_in_the_order_of_the_schema():
    values = {"fix": "GPS", "latitude": "48.117300", "longitude": "11.516667", "altitude": "545.4", "speed": "0.00"}
    assert geoloc(readings(**values, bearing="84.4", accuracy="4.5", satellites="8")) == read(
        b"<geoloc xmlns='http://jabber.org/protocol/geoloc'><accuracy>4.5</accuracy><alt>545.4</alt>"
        b"<bearing>84.4</bearing><lat>48.117300</lat><lon>11.516667</lon><speed>0.00</speed>"
        b"<timestamp>2026-11-22T12:02:11Z</timestamp></geoloc>"
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"fix": "none", "latitude": "1.0", "longitude": "2.0"},
        {"fix": "false", "latitude": "1.0", "longitude": "2.0"},
        {"fix": "GPS", "latitude": "1.0"},
        {"fix": "GPS", "longitude": "1.0"},
    ],
)
def test_where_no_position_is_known_nothing_is_said_of_an_old_one(values):
    assert geoloc(readings(**values)) == EMPTY


def test_a_thing_that_knows_of_no_fix_has_a_position_too():
    assert geoloc(readings(latitude="1.0", longitude="2.0")).find("lat").text == "1.0"


# In words


@pytest.fixture
def boat(porch):
    """The thing has a GPS receiver."""
    for name in ("fix", "latitude", "longitude", "accuracy"):
        porch.fields = porch.fields | {name: Field(name, type="enum" if name == "fix" else "quantity")}
    return porch


def test_where_it_is_asked_in_words_is_a_link_that_opens_a_map_and_a_geoloc(ben, boat):
    boat.report({"fix": "GPS", "latitude": "-48.117300", "longitude": "11.516667", "accuracy": "4.5"})
    assert "\nwhere: my position\n" in ask(ben, "help")[0]
    (answer,) = ben.says("<message to='porch@hub.local' type='chat' id='w'><body>Where are you?</body></message>").heard
    assert said(answer) == "-48.117300, 11.516667 (± 4.5 m)\ngeo:-48.117300,11.516667;u=4.5"
    assert write(geoloc(boat.readings), "") in answer


def test_without_a_fix_it_says_where_it_was(ben, boat):
    assert ask(ben, "where?") == ["I do not know where I am."]
    boat.report({"fix": "GPS", "latitude": "48.1", "longitude": "11.5"})
    boat.report({"fix": "none"})
    (answer,) = ben.says("<message to='porch@hub.local' type='chat' id='w'><body>where</body></message>").heard
    assert re.fullmatch(r"I do not know where I am now\. At \d\d:\d\d I was here:\ngeo:48\.1,11\.5", said(answer))
    assert "<geoloc" not in answer


def test_a_thing_without_a_position_does_not_know_the_word(ben):
    assert "I do not know “where”" in ask(ben, "where")[0]


@pytest.mark.parametrize("text", ["north", "48,1", "", "1e3"])
def test_what_is_no_number_is_in_no_link(text):
    assert uri(readings(latitude=text, longitude="2.0")) is None
    assert uri(readings(latitude="1.0", longitude="2.0", accuracy=text)) == "geo:1.0,2.0"
