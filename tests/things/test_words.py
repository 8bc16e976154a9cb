"""Values as people say them."""

import time

import pytest

from node.base.jid import parse
from node.hub.driver import Control, Field
from node.hub.thing import Thing
from node.things import words
from tests.things.board import Board


def thing(loop, *fields):
    board = Board(loop)
    board.fields = fields
    return Thing(jid=parse("x@hub.local"), label="X", kind="script", driver=board)


@pytest.mark.parametrize(
    ("fields", "values", "line"),
    [
        (
            [Field("temperature", unit="°C"), Field("humidity", unit="%"), Field("door", type="boolean")],
            "21.4 48 false",
            "21.4 °C · 48 % · door closed",
        ),
        (
            [
                Field("temperature", unit="°C", label="CPU"),
                Field("load"),
                Field("memory", unit="%", label="Memory"),
            ],
            "48.3 0.12 41",
            "48.3 °C · load 0.12 · memory 41 %",
        ),
        (
            [Field("inside", unit="°C"), Field("outside", unit="°C")],
            "21.4 -3.0",
            "inside 21.4 °C · outside -3.0 °C",
        ),
        ([Field("a"), Field("b"), Field("c"), Field("d")], "1 2 3 4", "a 1 · b 2 · c 3"),
        (
            [Field("hidden", shown=False), Field("front_window", type="boolean")],
            "1 true",
            "front window open",
        ),
        ([Field("name", type="string"), Field("b")], f"{'x' * 50} 123456789", f"name {'x' * 50}"),
        ([Field("name", type="string")], "x" * 90, f"name {'x' * 55}"),
        (
            [Field("motion", type="boolean"), Field("button", type="boolean"), Field("lamp", type="boolean")],
            "true false true",
            "motion seen · button released · lamp on",
        ),
    ],
)
def test_a_status_line_has_the_first_shown_values_as_far_as_they_fit(loop, fields, values, line):
    given = dict(zip([field.name for field in fields], values.split(), strict=True))
    assert words.line(thing(loop, *fields), given) == line


def test_what_has_no_value_is_left_out(loop):
    assert words.line(thing(loop, Field("a"), Field("b")), {"b": "2"}) == "b 2"
    assert words.line(thing(loop, Field("a")), {}) == ""


def test_a_time_is_said_with_its_day_when_that_was_another():
    now = time.mktime((2026, 11, 22, 15, 0, 0, 0, 0, -1))
    assert words.clock(now - 3600, now) == "14:00"
    assert words.clock(now - 86400, now) == "21 Nov 15:00"
    assert words.clock(now - 366 * 86400, now) == "21 Nov 2025"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [("59", "59 s"), ("3599", "3599 s"), ("4994", "1 h 23 min"), ("273600", "3 d 4 h"), ("1e9", "1e9 s")],
)
def test_a_long_time_is_said_in_hours_or_days(seconds, said):
    assert words.value(Field("uptime", unit="s"), seconds) == said


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (Control("lamp", "boolean"), "is off after on was written"),
        (Control("cellar_door", "boolean"), "is closed after open was written"),
        (Control("text", "string"), "is false after true was written"),
        (None, "is false after true was written"),
    ],
)
def test_a_driver_speaks_of_true_and_false_and_people_hear_their_own_words(control, said):
    assert words.spoken(control, "is false after true was written") == said


def test_what_is_set_to_seconds_is_confirmed_in_seconds():
    assert words.value(Control("delay", "integer", unit="s"), "4994") == "4994 s"


def test_an_example_for_each_kind_of_control():
    assert words.example(Control("lamp", "boolean")) == "lamp on"
    assert words.example(Control("mode", "enum", options=("eco", "hot"))) == "set mode eco"
    assert words.example(Control("hue", "color")) == "set hue 3399FF"
    assert words.example(Control("text", "string")) == "set text …"
