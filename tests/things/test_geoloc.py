"""XEP-0080: a position as other programs read it."""

import pytest

from node.base.element import read
from node.hub.thing import Reading
from node.things.geoloc import geoloc

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
