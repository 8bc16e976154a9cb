"""Pairs, columns, patterns and paths: where fields are found in a line."""

from decimal import Decimal

import pytest

from node.hub.driver import Field
from node.hub.formats import Format, Place, check

TEMP, DOOR, NOTE = Field("temp"), Field("door", "boolean"), Field("note", "string")


def read(format, text, places=None, fields=(TEMP,), **options):
    return Format(format, fields, places or {}, **options)(text)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("temp=21.40", {}),
        ("  temp = 21.40 ", {}),
        ("hum=3,temp=21.40;x", {}),
        ("temp=1 temp=21.40", {}),
        ("temp: 21.40, hum: 3", {"sign": ":"}),
        ("hum -> 3 temp -> 21.40", {"sign": "->"}),
        ("a b=c d|temp= 21.40", {"separator": "|"}),
    ],
)
def test_pairs(text, options):
    assert read("pairs", text, **options) == {"temp": "21.40"}


def test_a_pair_may_be_called_otherwise_than_the_field():
    place = {"note": Place(key="Hinweis")}
    assert read("pairs", "Hinweis=it rains|x=1", place, (NOTE,), separator="|") == {"note": "it rains"}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("x,21.40", {}),
        ('"a,b", "21.40"', {}),
        ("x;21.40;y", {"separator": ";"}),
        ("  x   21.40", {"separator": " "}),
        ("x\t21.40", {"separator": "\t"}),
    ],
)
def test_columns(text, options):
    assert read("csv", text, {"temp": Place(column=2)}, **options) == {"temp": "21.40"}


def test_patterns_are_searched_in_the_whole_line_each_for_itself():
    places = {"temp": Place(pattern=r"T=(\S+)"), "door": Place(pattern="door (open|shut)", true="open", false="shut")}
    assert read("regex", "door shut", places, (TEMP, DOOR)) == {"door": "false"}
    assert read("regex", "T=1.0 door open", places, (TEMP, DOOR)) == {"temp": "1.0", "door": "true"}


@pytest.mark.parametrize(
    ("text", "read_"),
    [
        ('{"temp":10.0}', {"temp": "10.0"}),
        ('{"temp":"10.0","door":1}', {"temp": "10.0", "door": "true"}),
        ('{"temp":null,"door":false}', {"temp": None, "door": "false"}),
        ('{"temp":NaN,"door":false}', {"temp": None, "door": "false"}),
        ('{"note":null}', {"note": None}),
        ('{"temp":3,"note":4.20}', {"temp": "3", "note": "4.20"}),
    ],
)
def test_paths_lead_to_numbers_as_they_are_spelled(text, read_):
    assert read("paths", text, fields=(TEMP, DOOR, NOTE)) == read_


@pytest.mark.parametrize(
    ("factor", "printed", "value"),
    [("0.1", "214", "21.4"), ("0.10", "214", "21.40"), ("1000", "1.5", "1500.0"), ("-1", "2", "-2")],
)
def test_raw_counts_are_scaled_exactly(factor, printed, value):
    assert read("pairs", f"temp={printed}", {"temp": Place(factor=Decimal(factor))}) == {"temp": value}


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("pairs", "hum=1"),
        ("pairs", "temp"),
        ("pairs", "temp=warm"),
        ("csv", "1"),
        ("csv", "1,warm"),
        ("regex", "1"),
        ("regex", "T=x"),
        ("paths", '{"temp":[1]}'),
        ("paths", '{"temp":{}}'),
        ("paths", '{"temp":'),
        ("paths", "[" * 1000),
        ("paths", "7"),
        ("paths", "{}"),
    ],
)
def test_a_line_in_which_no_field_is_or_one_of_another_type_is_refused(format, text):
    place = {"csv": Place(column=2), "regex": Place(pattern="T=(.)")}.get(format, Place())
    with pytest.raises(ValueError):
        read(format, text, {"temp": place})


def test_where_no_fields_are_any_line_is_understood():
    assert read("pairs", "hello", fields=()) == {}


def test_a_line_whose_sensors_have_nothing_to_say_is_understood():
    places = {"temp": Place(column=1), "door": Place(column=2)}
    assert read("csv", "nan,", places, (TEMP, DOOR)) == {"temp": None, "door": None}


def test_a_group_that_is_not_in_the_line_finds_nothing():
    with pytest.raises(ValueError, match="no field is in it"):
        read("regex", "T=", {"temp": Place(pattern=r"T=(\d+)?")})


@pytest.mark.parametrize(
    ("format", "place", "said"),
    [
        ("csv", Place(), "field 'temp' needs 'column'"),
        ("regex", Place(), "field 'temp' needs 'pattern'"),
        ("pairs", Place(column=1), "'column' is for format = 'csv', and this is 'pairs'"),
        ("paths", Place(pattern="(a)"), "'pattern' is for format = 'regex', and this is 'paths'"),
    ],
)
def test_words_for_another_format_are_said(format, place, said):
    with pytest.raises(ValueError, match=said):
        check(format, {"temp": place})


@pytest.mark.parametrize(
    "words",
    [
        *({"column": 0}, {"column": 257}, {"pattern": "("}, {"path": "a..b"}),
        *({"factor": Decimal(0)}, {"factor": Decimal("NaN")}),
    ],
)
def test_words_that_cannot_be_are_refused(words):
    with pytest.raises(ValueError):
        Place(**words)


def test_a_factor_is_for_quantities():
    with pytest.raises(ValueError, match="factor is for a quantity"):
        Format("pairs", (DOOR,), {"door": Place(factor=Decimal(2))})


@pytest.mark.parametrize(("format", "options"), [("pairs", {"sign": ""}), ("csv", {"separator": ";;"})])
def test_signs_and_separators_that_cannot_be_are_refused(format, options):
    with pytest.raises(ValueError):
        read(format, "", {"temp": Place(column=1 if format == "csv" else None)}, **options)
