import pytest

from node.base import stamp


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T14:02:11Z", 1795356131),
        ("2026-11-22T15:02:11+01:00", 1795356131),
        ("2026-11-22T09:02:11-05:00", 1795356131),
        ("2026-11-22T14:02:11.5Z", 1795356131.5),
        ("2026-11-23T04:02:11+14:00", 1795356131),
        ("2026-11-22T24:00:00Z", 1795392000),
        ("2028-02-29T00:00:00Z", 1835395200),
    ],
)
def test_a_date_and_time_is_read(text, seconds):
    assert stamp.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T14:02:11",
        "2026-13-22T14:02:11Z",
        "2026-02-31T14:02:11Z",
        "2026-02-29T14:02:11Z",
        "2026-11-00T14:02:11Z",
        "0000-11-22T14:02:11Z",
        "2026-11-22T24:00:01Z",
        "2026-11-22T25:00:00Z",
        "2026-11-22T14:60:11Z",
        "2026-11-22T14:02:11+99:99",
        "2026-11-22T14:02:11-14:01",
        "2026-11-22T14:02:11+05:60",
        "\u0662026-11-22T14:02:11Z",
        "now",
        "x" * 500,
    ],
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError):
        stamp.parse(text)


def test_a_time_is_written_in_utc():
    assert stamp.format(1795356131.9) == "2026-11-22T14:02:11Z"


def test_a_time_is_written_to_the_millisecond():
    assert stamp.precise(1795356131_005) == "2026-11-22T14:02:11.005Z"
    assert round(stamp.parse(stamp.precise(1795356131_999)) * 1000) == 1795356131_999


def test_a_clock_that_was_never_set_is_not_believed():
    assert not stamp.is_plausible(0) and not stamp.is_plausible(stamp.parse("2025-12-31T23:59:59Z"))
    assert stamp.is_plausible(stamp.parse("2026-01-01T00:00:00Z"))
