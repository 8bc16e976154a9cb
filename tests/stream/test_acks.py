"""XEP-0198 §4: what has been handled, and what is not acked."""

import random
from functools import partial

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.stream.acks import NEVER, WRAP, Handled, Sent


def sent(count, acked=0):
    sent = Sent(acked)
    for number in range(count):
        sent.add(Stanza("message", id=str(number)), 10, 0.0)
    return sent


def ids(sent):
    return [entry.stanza.id for entry in sent.queue]


def test_an_ack_takes_what_it_covers_and_leaves_the_rest():
    queue = sent(5)
    queue.ack(queue.more(3))
    assert ids(queue) == ["3", "4"]
    assert (queue.acked, queue.count, queue.size) == (3, 5, 20)


def test_an_ack_that_is_too_high_or_takes_back_is_told_from_others():
    queue = sent(5)
    queue.ack(3)
    assert [queue.more(h) for h in (3, 5, 6, 2, 0)] == [0, 2, 3, -1, -3]
    assert queue.more(WRAP - 1) == -4


@pytest.mark.parametrize("acked", [WRAP - 2, 5 * WRAP - 2])
def test_the_counter_begins_anew_at_2_to_the_32(acked):
    queue = sent(4, acked=acked)
    assert queue.more(WRAP - 1) == 1
    assert queue.more(0) == 2
    assert queue.more(2) == 4
    assert queue.more(3) == 5
    queue.ack(queue.more(1))
    assert ids(queue) == ["3"]


def test_of_what_was_never_on_the_line_old_presence_is_dropped():
    queue = Sent()

    def add(name, sender, id, type=None):
        queue.add(Stanza(name, sender=parse(sender), id=id, type=type), 10, 0.0)

    add("presence", "a@x/1", "on line 1")
    add("presence", "a@x/1", "on line 2")
    queue.on_line = 2
    add("presence", "a@x/1", "old")
    add("presence", "b@x/1", "b")
    add("message", "a@x/1", "m1")
    add("presence", "a@x/1", "s", type="subscribe")
    add("presence", "a@x/1", "new", type="unavailable")
    add("message", "a@x/1", "m2")
    queue.compact()
    assert ids(queue) == ["on line 1", "on line 2", "b", "m1", "s", "new", "m2"]
    assert queue.size == 70 and queue.count == 7
    queue.ack(1)
    queue.compact()
    assert ids(queue)[0] == "on line 2"


def test_what_changes_nothing_is_handled_at_once():
    handled = Handled()
    for _ in range(3):
        handled.handle()
    assert handled.count == handled.received == 3 and handled.settled


def test_the_count_stops_at_the_first_that_is_not_handled():
    handled = Handled()
    handled.handle()
    handled.owe(7)
    handled.owe(7)
    handled.handle()
    answer = handled.owe(NEVER)
    handled.handle()
    handled.owe(8)
    assert (handled.count, handled.received) == (1, 7)
    assert not handled.settle(6)
    assert handled.settle(7)
    assert handled.count == 4
    assert not handled.settle(8), "the one in the middle is still being answered"
    handled.done(answer)
    assert handled.settle(8)
    assert handled.count == 7 and handled.settled


@pytest.mark.parametrize("seed", range(20))
def test_whatever_settles_in_whatever_order_each_is_counted_once(seed):
    chance = random.Random(seed)
    handled, open_ones, waits = Handled(), [], []
    turn = safe = came = 0

    def is_safe(turn):
        return turn <= safe

    for _ in range(200):
        what = chance.random()
        if what < 0.6:
            came += 1
            kind = chance.choice(("at once", "disk", "handler"))
            if kind == "at once":
                handled.handle()
                waits.append(lambda: True)
            elif kind == "disk":
                handled.owe(turn)
                waits.append(partial(is_safe, turn))
            else:
                owed = handled.owe(NEVER)
                open_ones.append(owed)
                waits.append(lambda owed=owed: owed[0] == 0)
        elif what < 0.8:
            turn += 1
            safe = max(safe, turn - chance.randrange(1, 5))
        elif open_ones:
            handled.done(open_ones.pop(chance.randrange(len(open_ones))))
        handled.settle(safe)
        expected = next((at for at, wait in enumerate(waits) if not wait()), came)
        assert handled.count == expected and handled.received == came
