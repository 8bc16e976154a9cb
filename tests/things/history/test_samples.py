"""Values over time, packed, and made into least, mean and most."""

from decimal import Decimal

import pytest

from node.things.history.samples import Point, Span, pack, pack_points, points, together, unpack_points


def span(first, until, *samples):
    data, last = b"", first
    for at, value in samples:
        data = pack(data, last, at, value)
        last = at
    return Span(first, until, data)


def point(*texts):
    return Point(*map(Decimal, texts))


def test_what_is_packed_is_unpacked_as_it_was():
    samples = [(17953561310, "21.40"), (17953561315, "-0.1"), (17953561400, ""), (17953561500, "+5e-3")]
    packed = span(17953561310, 17953561600, *samples)
    assert list(packed.samples()) == samples
    assert len(packed.data) == 4 + 4 + 2 + 5


@pytest.mark.parametrize("odd", ["true", "1E5", "1_000", "\u0663", "2\x1c", "a", "c", "d", "f", "B", "?"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_has_other_characters_than_numbers_have_is_kept_too(odd, at):
    samples = [(10, "21.4"), (20, ""), (30, "10.0")]
    samples[at] = samples[at][0], odd
    assert list(span(10, 40, *samples).samples()) == samples


def test_a_value_counts_for_the_time_that_it_held():
    day = span(0, 100, (0, "10.0"), (75, "20.0"))
    assert points([day], 0, 100, 1) == [point("10.0", "12.50", "20.0")]
    assert points([day], 0, 100, 2) == [point("10.0", "10.0", "10.0"), point("10.0", "15.00", "20.0")]
    assert points([day], 50, 100, 1) == [point("10.0", "15.00", "20.0")]


def test_where_nothing_is_known_there_is_no_point():
    gap = span(0, 100, (0, "1"), (20, ""), (60, "2"))
    assert points([gap], 0, 200, 10) == [
        point("1", "1", "1"),
        None,
        None,
        point("2", "2", "2"),
        point("2", "2", "2"),
        *[None] * 5,
    ]


def test_neighbouring_spans_are_one_time():
    both = [span(0, 50, (0, "1")), span(50, 100, (50, "3"))]
    assert points(both, 0, 100, 1) == [point("1", "2.0", "3")]


def test_true_is_one_so_that_a_mean_is_a_share_of_time():
    assert points([span(0, 100, (0, "false"), (90, "true"))], 0, 100, 1) == [point("0", "0.1", "1")]


def test_a_mean_has_one_decimal_more_than_the_values():
    assert points([span(0, 30, (0, "1.00"), (10, "2"))], 0, 30, 1) == [point("1.00", "1.667", "2")]


def test_means_of_means_have_no_more_decimals_than_they_have():
    mean = together([(point("1.0", "1.51", "2.0"), 2), (point("3.0", "3.44", "4.0"), 1)])
    assert mean == point("1.0", "2.15", "4.0")
    assert str(mean.mean) == "2.15"


@pytest.mark.parametrize("found", [[], [None], [point("1.50", "1.50", "1.50"), None, point("-1", "0.5", "2")]])
def test_points_are_packed_and_unpacked(found):
    assert unpack_points(pack_points(found)) == (found or [None])


def test_of_what_is_little_known_little_counts():
    short = points([span(0, 100, (0, "100"), (10, "0"))], 0, 240, 24)
    assert [each and each.share for each in short[:11]] == [1] * 10 + [None]
    known = points([span(0, 105, (0, "100"), (15, "0"))], 0, 240, 2)
    assert known[0].share == Decimal("0.875")
    assert together((each, 1) for each in known) == known[0]._replace(share=Decimal("0.4375"))
    assert unpack_points(pack_points(known)) == known
    assert together(
        [(point("100", "100", "100")._replace(share=Decimal("0.1")), 1), (point("0", "0", "0"), 1)]
    ).mean == Decimal("9.1")


def test_points_together_each_with_its_length():
    found = together([(point("1", "1", "1"), 3), (None, 4), (point("4", "5", "7"), 1)])
    assert found == point("1", "2.0", "7")._replace(share=Decimal("0.5"))
    assert together([]) is None
