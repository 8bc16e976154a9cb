"""What waits for the broker."""

import asyncio

from node.gateways.mqtt.outbox import ROOM, Letter, Outbox


def letter(topic, payload=b"1", retain=True, told=None):
    return Letter(topic, payload, retain, 1, told)


def taken(outbox):
    return [(each.topic, each.payload) for each in (outbox.take() for _ in range(len(outbox)))]


def test_the_newest_of_a_retained_topic_has_the_place_of_the_one_before():
    outbox = Outbox()
    for topic, payload in (("a", b"1"), ("b", b"1"), ("a", b"2")):
        outbox.put(letter(topic, payload))
    assert taken(outbox) == [("a", b"2"), ("b", b"1")]


def test_each_that_is_not_retained_is_one_of_its_own():
    outbox = Outbox()
    outbox.put(letter("a", b"1", retain=False))
    outbox.put(letter("a", b"2", retain=False))
    assert taken(outbox) == [("a", b"1"), ("a", b"2")]


def test_the_oldest_give_way_and_those_that_somebody_waits_for_do_not(loop):
    outbox = Outbox(3 * (ROOM + 2))
    waited = letter("w", told=asyncio.Future(loop=loop))
    assert [outbox.put(each) for each in (waited, letter("a"), letter("b"))] == [[], [], []]
    assert [each.topic for each in outbox.put(letter("c"))] == ["a"]
    assert [topic for topic, _ in taken(outbox)] == ["w", "b", "c"]
    assert outbox.put(letter("d")) == [], "what was taken gives its room back"


def test_what_is_too_large_at_all_is_dropped_itself(loop):
    outbox = Outbox(2 * ROOM)
    outbox.put(letter("w", told=asyncio.Future(loop=loop)))
    assert [each.topic for each in outbox.put(letter("a", bytes(ROOM)))] == ["a"]


def test_one_that_comes_back_goes_first_unless_there_is_a_newer_one():
    outbox = Outbox()
    outbox.put(letter("a", b"2"))
    outbox.put_back(letter("b", b"1"))
    outbox.put_back(letter("a", b"1"))
    assert taken(outbox) == [("b", b"1"), ("a", b"2")]


def test_what_was_meant_for_a_moment_is_forgotten():
    outbox = Outbox()
    click = letter("click", retain=False)
    outbox.put(click)
    outbox.put(letter("a"))
    assert outbox.forget() == [click]
    assert taken(outbox) == [("a", b"1")]
