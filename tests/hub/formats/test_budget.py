"""A pattern that would search for years costs what it may, and no more."""

import re
import signal
import time

import pytest

from node.hub.formats.budget import Budget, compiled

EVIL = re.compile("(?:a+)+(b)")
LINE = "a" * 1024


def test_what_is_found_is_found():
    assert Budget().search(re.compile("T=(.)"), "x T=7")[1] == "7"
    assert Budget().search(re.compile("T=(.)"), "x") is None


@pytest.mark.parametrize("pattern", ["(?:a+)+(b)", "(?:a|a)*(b)", "a*a*a*a*(b)", "(a*)*b", r"(.*)(.*)(.*)(.*)\4x"])
def test_a_pattern_that_takes_too_long_is_broken_off(pattern):
    with pytest.raises(ValueError, match="takes too long"):  # without it the test would not end
        Budget().search(re.compile(pattern), LINE)


def test_until_the_second_is_over_it_is_not_tried_again(monkeypatch):
    budget, now = Budget(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(ValueError, match="takes too long: "):
        budget.search(EVIL, LINE)
    with pytest.raises(ValueError, match="takes too long$"):  # it does not even begin
        budget.search(EVIL, LINE)
    now += 1
    assert budget.search(EVIL, "aab")


def test_many_searches_share_the_second(monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    budget, tried = Budget(), 0
    slow, line = re.compile("a*(b)"), LINE[:200]  # some tenths of a millisecond
    with pytest.raises(ValueError):
        while True:
            budget.search(slow, line)
            tried += 1
    assert tried > 1


def test_a_signal_that_comes_late_hurts_nobody():
    Budget()
    signal.raise_signal(signal.SIGVTALRM)


def test_no_timer_is_left():
    budget = Budget()
    budget.search(re.compile("(a)"), "a")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


@pytest.mark.parametrize("pattern", ["(", "a**", "(?P<x>", "a{99999999999999999999}"])
def test_what_is_no_pattern_is_said(pattern):
    with pytest.raises(ValueError, match="is no regular expression"):
        compiled(pattern)


def test_the_number_of_groups_counts():
    assert compiled("(a)(?:b)", groups=1)
    with pytest.raises(ValueError, match="must have 1 group in round brackets, not 2"):
        compiled("(a)(b)", groups=1)
