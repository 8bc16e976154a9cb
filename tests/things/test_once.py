"""What was carried out within the last minute is known, and no more than that is kept."""

from node.base.jid import parse
from node.base.stanza import Stanza
from node.things.once import KEPT, LIMIT, Once


class Clock:
    now = 0.0

    def time(self):
        return self.now


def stanza(id, sender="ann@hub.local/phone"):
    return Stanza("iq", type="set", id=id, sender=parse(sender), to=parse("porch@hub.local"))


def test_the_outcome_is_that_of_the_same_sender_and_id_for_a_minute():
    once = Once(clock := Clock())
    once.keep(stanza("1"), "done")
    assert once.outcome(stanza("1")) == "done"
    assert once.outcome(stanza("2")) is None
    assert once.outcome(stanza("1", "ben@hub.local/desk")) is None
    clock.now = KEPT + 0.1
    assert once.outcome(stanza("1")) is None
    assert not once.kept


def test_the_bare_and_the_full_address_are_one_thing():
    once = Once(Clock())
    once.keep(stanza("1"), "done")
    assert once.outcome(stanza("1").copy(to=parse("porch@hub.local/hw"))) == "done"


def test_without_an_id_every_stanza_is_another():
    once = Once(Clock())
    once.keep(stanza(None), "done")
    assert once.outcome(stanza(None)) is None
    assert not once.kept


def test_the_oldest_gives_way():
    once = Once(Clock())
    for number in range(LIMIT + 1):
        once.keep(stanza(str(number)), number)
    assert len(once.kept) == LIMIT
    assert once.outcome(stanza("0")) is None
    assert once.outcome(stanza("1")) == 1
