"""A domain that is away: who hears what, how often it is tried, and that it costs nobody else."""

import pytest

from node.base.element import E
from node.base.stanza import CLIENT
from node.ports.link import outbox
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, Ear

AWAY = 1  # no port of a server


def home_without_cabin(world):
    node = world.node(HOME)
    world.directory.ports[CABIN] = AWAY
    return node, Ear(node.hub, f"ann@{HOME}/phone")


def test_F6_all_that_waits_comes_back_once_and_in_order(world):
    async def story(world):
        _, ann = home_without_cabin(world)
        for number in range(5):
            ann.sends("message", to=f"ben@{CABIN}", id=str(number))
        assert [(await ann.hears()).id for _ in range(5)] == ["0", "1", "2", "3", "4"]
        assert not ann.stanzas

    world(story)


@pytest.mark.parametrize(
    ("name", "type", "answered"),
    [
        ("message", "chat", True),
        ("message", "error", False),
        ("iq", "get", True),
        ("iq", "result", False),
        ("iq", "error", False),
        ("presence", None, False),
        ("presence", "unavailable", False),
        ("presence", "probe", False),
        ("presence", "subscribed", False),
        ("presence", "subscribe", True),
    ],
)
def test_F6_who_is_told(world, name, type, answered):
    async def story(world):
        _, ann = home_without_cabin(world)
        told = []
        ann.hub.on_stanza("presence", lambda stanza, origin: told.append(stanza), at="account")
        ann.sends(name, E("x", "urn:x"), to=f"ben@{CABIN}", type=type, id="first")
        ann.sends("message", to=f"ben@{CABIN}", id="last")
        while (heard := await ann.hears()).id != "last":
            told.append(heard)
        assert [(stanza.id, stanza.type) for stanza in told] == ([("first", "error")] if answered else [])

    world(story)


def test_while_it_rests_a_stanza_comes_back_at_once(world, monkeypatch):
    async def story(world):
        _, ann = home_without_cabin(world)
        ann.sends("message", to=f"ben@{CABIN}", id="1")
        await ann.hears()
        tries = len(world.directory.asked)
        ann.sends("message", to=f"ben@{CABIN}", id="2")
        (error,) = ann.stanzas
        assert error.id == "2" and "connection refused" in repr(error)
        assert len(world.directory.asked) == tries

    world(story)


def test_rests_get_longer_up_to_a_limit(world, monkeypatch):
    async def story(world):
        node, ann = home_without_cabin(world)
        box = None
        rests = []
        for _ in range(9):
            ann.sends("message", to=f"ben@{CABIN}")
            await ann.hears()
            box = node.outboxes[CABIN]
            rests.append(round(box._next - box._tried))
            box._next = 0  # the rest is over
        assert rests == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    world(story)


def test_after_the_rest_it_is_tried_again(world, monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_REST", 0)

    async def story(world):
        node, ann = home_without_cabin(world)
        ann.sends("message", to=f"ben@{CABIN}", id="1")
        await ann.hears()
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="2")
        assert (await ben.hears()).id == "2"
        assert node.outboxes[CABIN]._failures == 0

    world(story)


def test_who_was_away_is_believed_when_he_comes_back(world, monkeypatch):
    """Else the rest would cost him his messages. Nor does it hold for ours, once he was reached."""
    monkeypatch.setattr(outbox, "QUESTION_REST", 0)

    async def story(world):
        _, ann = home_without_cabin(world)
        ann.sends("message", to=f"ben@{CABIN}", id="1")
        await ann.hears()
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ben.sends("message", to=ann.jid, id="2")
        assert (await ann.hears()).id == "2"
        ann.sends("message", to=ben.jid, id="3")
        assert (await ben.hears()).id == "3"

    world(story)


def test_who_knocks_too_often_is_not_asked_about_each_time(world, monkeypatch):
    monkeypatch.setattr(outbox, "QUESTION_REST", 60)
    monkeypatch.setattr(outbox, "ATTEMPT_SECONDS", 0.1)

    async def story(world):
        node, _ = home_without_cabin(world)
        talker = await world.connect(node)
        await talker.opens_securely()
        for condition in ("remote-connection-failed", "remote-server-timeout", "remote-server-timeout"):
            talker.claims()
            assert condition in await talker.hears("</db:result>")
        assert len(world.directory.asked) == 1

    world(story)


def test_F8_too_much_comes_back(world):
    async def story(world):
        async def talk(talker):
            await talker.is_hung_up_on()

        await world.server(talk)
        node = world.node(HOME)
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        for number in range(outbox.STANZAS_LIMIT + 1):
            ann.sends("message", to=f"ben@{CABIN}", id=str(number))
        (error,) = ann.stanzas
        assert error.id == str(outbox.STANZAS_LIMIT)
        assert "<resource-constraint " in repr(error) and "too much waits" in repr(error)

    world(story)


def test_what_has_left_makes_room(world):
    async def story(world):
        node, ben = world.node(HOME), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        for number in range(5):
            body = E("body", CLIENT, "x" * (outbox.BYTES_LIMIT // 3))
            ann.sends("message", body, to=ben.jid, id=str(number))
            assert (await ben.hears()).id == str(number)
            node.outboxes[CABIN].link.close()

    world(story)


def test_too_large_comes_back(world):
    async def story(world):
        async def talk(talker):
            await talker.is_hung_up_on()

        await world.server(talk)
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        for number in range(3):
            body = E("body", CLIENT, "x" * (outbox.BYTES_LIMIT // 2 - 1000))
            ann.sends("message", body, to=f"ben@{CABIN}", id=str(number))
        (error,) = ann.stanzas
        assert error.id == "2"

    world(story)


def test_one_who_is_away_delays_nobody_else(world):
    async def story(world):
        async def talk(talker):
            await talker.is_hung_up_on()

        await world.server(talk, "silent.example")
        node, ben = world.node(HOME), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        node.options.peers["silent.example"] = node.options.peers[CABIN]
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        ann.sends("message", to="x@silent.example")
        ann.sends("message", to=ben.jid, id="1")
        assert (await ben.hears()).id == "1"
        assert node.outboxes["silent.example"]._waiting

    world(story)


def test_F5_all_of_an_attempt_has_one_deadline(world, monkeypatch):
    monkeypatch.setattr(outbox, "ATTEMPT_SECONDS", 0.05)

    async def story(world):
        async def talk(talker):
            await talker.accepts_link(world.papers[CABIN])
            await talker.is_hung_up_on()  # and never an answer to dialback

        await world.server(talk)
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        ann.sends("message", to=f"ben@{CABIN}", id="m")
        error = await ann.hears()
        assert "<remote-server-timeout " in repr(error) and "no answer within 0.05 s" in repr(error)

    world(story)


def test_a_domain_is_forgotten_when_there_is_nothing_to_remember(world):
    async def story(world):
        node, ann = home_without_cabin(world)
        ann.sends("message", to=f"ben@{CABIN}")
        await ann.hears()
        box = node.outboxes[CABIN]
        await until(lambda: box._work is None)
        assert not box.idle
        box._next -= outbox.LONGEST_REST + outbox.FIRST_REST + 1
        assert box.idle

    world(story)
