"""A clock that is years ahead does not judge what is old; one that is right need not wait."""

import pytest

from node.base import clock
from node.base.clock import DAY, HELD, NEAR, Judge

NOW = 1_800_000_000.0
YEARS = 2000 * DAY


@pytest.fixture(autouse=True)
def unconfirmed(monkeypatch, tmp_path):
    monkeypatch.setattr(clock, "CONFIRMED", str(tmp_path / "synchronized"))
    return tmp_path / "synchronized"


def nothing(begin, end):
    return False


def test_one_that_has_gone_evenly_for_a_week_may(monkeypatch):
    judge = Judge()
    assert not judge.may(NOW, 0, nothing)
    assert not judge.may(NOW + HELD - 1, HELD - 1, nothing)
    assert judge.may(NOW + HELD + 30, HELD, nothing), "NTP puts it right by half a minute"


def test_one_that_was_set_begins_its_week_anew():
    judge = Judge()
    judge.may(NOW, 0, nothing)
    assert not judge.may(NOW + YEARS, HELD, nothing)
    assert not judge.may(NOW + YEARS + HELD - 1, 2 * HELD - 1, nothing)
    assert judge.may(NOW + YEARS + HELD, 2 * HELD, nothing)


def test_what_is_kept_of_the_month_before_shows_that_it_has_not_jumped():
    asked = []
    assert Judge().may(NOW, 0, lambda begin, end: asked.append((begin, end)) or True)
    assert asked == [(NOW - NEAR, NOW - HELD)]


def test_a_time_server_confirms_it(unconfirmed):
    unconfirmed.touch()
    assert Judge().may(NOW, 0, nothing)


def test_one_that_says_1970_may_never(unconfirmed):
    unconfirmed.touch()
    judge = Judge()
    assert not judge.may(1000.0, 0, lambda begin, end: True)
    assert not judge.may(1000.0 + HELD, HELD, lambda begin, end: True)
