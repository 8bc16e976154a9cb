"""A plot is an SVG document that means what the values say."""

import xml.etree.ElementTree as ET
from decimal import Decimal

import pytest

from node.things.history.plot import BOTTOM, HEIGHT, TOP, WIDTH, labels, plot, scale
from node.things.history.samples import Point

SVG = "{http://www.w3.org/2000/svg}"
BEGIN = 1795305600.0


def point(low, mean=None, high=None):
    return Point(Decimal(low), Decimal(mean or low), Decimal(high or low))


def drawn(found, **more):
    return ET.fromstring(plot(more.get("title", "Temperature"), "°C", BEGIN, BEGIN + 86400, found))


def lines(picture):
    return [
        [tuple(map(float, place.split(","))) for place in each.get("points").split()]
        for each in picture.iter(f"{SVG}polyline")
    ]


def test_a_higher_value_stands_higher_and_all_within_the_frame():
    (line,) = lines(drawn([point("10"), point("20"), point("15")]))
    (x1, y1), (x2, y2), (x3, y3) = line
    assert x1 < x2 < x3
    assert y2 < y3 < y1
    assert all(TOP <= y <= HEIGHT - BOTTOM and 0 < x < WIDTH for x, y in line)


def test_the_band_goes_from_least_to_most():
    picture = drawn([point("10", "15", "20"), point("12", "13", "14")])
    (band,) = picture.iter(f"{SVG}polygon")
    assert len(band.get("points").split()) == 4


def test_where_nothing_is_known_the_line_is_broken():
    assert len(lines(drawn([point("1"), point("2"), None, point("3"), None]))) == 2


def test_of_nothing_it_says_so():
    assert "nothing is known" in "".join(drawn([None] * 10).itertext())


def test_a_title_is_text_whatever_it_says():
    picture = drawn([point("1")], title="<script>&\"'")
    assert next(picture.iter(f"{SVG}text")).text == "<script>&\"' (°C)"
    assert not list(picture.iter("script"))


@pytest.mark.parametrize(
    ("low", "high", "axis"),
    [
        ("18.2", "22.4", "18 24 2"),
        ("0", "1", "0.0 1.0 0.5"),
        ("5", "5", "4.0 6.0 0.5"),
        ("-3", "950", "-500 1000 500"),
        ("0.001", "0.0042", "0.001 0.005 0.001"),
    ],
)
def test_the_axis_has_round_numbers(low, high, axis):
    least, most, step = scale([point(low), point(high)])
    assert least <= Decimal(low)
    assert most >= Decimal(high)
    assert [least, most, step] == [Decimal(each) for each in axis.split()]


@pytest.mark.parametrize("seconds", [600, 7200, 86400, 7 * 86400, 30 * 86400, 365 * 86400])
def test_below_stand_a_few_round_times(seconds):
    found = labels(BEGIN, BEGIN + seconds)
    assert 2 <= len(found) <= 9
    assert all(BEGIN < at <= BEGIN + seconds for at, _ in found)
