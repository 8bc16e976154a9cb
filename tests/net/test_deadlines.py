"""Deadlines: one timer for many, on a clock that the test moves."""

import heapq

from node.net.deadlines import Deadlines


class Clock:
    """As much of a loop as timers need; `pass_time` rings what falls due."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []
        self.made = 0

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.made += 1
        timer = Timer(when, self.made, callback)
        heapq.heappush(self.timers, timer)
        return timer

    def call_later(self, seconds, callback):
        return self.call_at(self.now + seconds, callback)

    @property
    def waiting(self):
        return [timer for timer in self.timers if not timer.cancelled]

    def pass_time(self, seconds):
        end = self.now + seconds
        while self.timers and self.timers[0].when <= end:
            timer = heapq.heappop(self.timers)
            if not timer.cancelled:
                self.now = timer.when
                timer.callback()
        self.now = end


class Timer:
    def __init__(self, when, order, callback):
        self.when, self.order, self.callback, self.cancelled = when, order, callback, False

    def __lt__(self, other):
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self):
        self.cancelled = True


def start(seconds=30):
    clock, late = Clock(), []
    return clock, late, Deadlines(clock, seconds, late.append)


def test_a_key_expires_once_and_in_its_time():
    clock, late, deadlines = start()
    deadlines.add("romeo")
    clock.pass_time(29.9)
    assert late == []
    clock.pass_time(0.1)
    assert late == ["romeo"]
    clock.pass_time(100)
    assert late == ["romeo"]
    assert clock.waiting == []


def test_a_discarded_key_does_not_expire():
    clock, late, deadlines = start()
    deadlines.add("romeo")
    deadlines.discard("romeo")
    deadlines.discard("nobody")
    clock.pass_time(100)
    assert late == []
    assert clock.waiting == []


def test_a_key_added_again_starts_anew():
    clock, late, deadlines = start()
    deadlines.add("romeo")
    clock.pass_time(10)
    deadlines.add("juliet")
    clock.pass_time(10)
    deadlines.add("romeo")
    clock.pass_time(20)
    assert late == ["juliet"]
    clock.pass_time(10)
    assert late == ["juliet", "romeo"]


def test_thousands_of_keys_have_one_timer():
    clock, late, deadlines = start()
    for key in range(5000):
        deadlines.add(key)
        clock.now += 0.001
    for key in range(0, 5000, 2):
        deadlines.discard(key)
    assert len(clock.waiting) == 1
    clock.pass_time(100)
    assert late == list(range(1, 5000, 2))
    assert len(deadlines) == 0


def test_each_key_has_its_whole_time():
    clock, late, deadlines = start()
    deadlines.add("first")
    clock.pass_time(1)
    deadlines.add("second")
    clock.pass_time(29)
    assert late == ["first"]
    assert len(clock.waiting) == 1
    clock.pass_time(1)
    assert late == ["first", "second"]


def test_one_that_expires_may_add_and_discard_others():
    clock, late = Clock(), []

    def expired(key):
        late.append(key)
        deadlines.discard("second")
        if key == "first":
            deadlines.add("again")

    deadlines = Deadlines(clock, 30, expired)
    for key in ("first", "second", "third"):
        deadlines.add(key)
    clock.pass_time(30)
    assert late == ["first", "third"]
    assert len(clock.waiting) == 1
    clock.pass_time(30)
    assert late == ["first", "third", "again"]


def test_a_key_added_by_one_that_expired_does_not_delay_the_others():
    clock, late = Clock(), []

    def expired(key):
        late.append(key)
        if key == "first":
            deadlines.add("again")

    deadlines = Deadlines(clock, 30, expired)
    deadlines.add("first")
    clock.pass_time(10)
    deadlines.add("second")
    clock.pass_time(30)
    assert late == ["first", "second"]


def test_a_failure_is_logged_and_the_others_are_served(caplog):
    clock, late = Clock(), []

    def expired(key):
        late.append(key)
        raise RuntimeError("a bug")

    deadlines = Deadlines(clock, 30, expired)
    deadlines.add("first")
    deadlines.add("second")
    clock.pass_time(30)
    assert late == ["first", "second"]
    assert "a bug" in caplog.text


def test_after_closing_nothing_expires():
    clock, late, deadlines = start()
    deadlines.add("romeo")
    deadlines.close()
    assert clock.waiting == []
    clock.pass_time(100)
    assert late == []
