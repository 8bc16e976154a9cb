"""Two nodes and the links between them, as their people see it."""

import socket
from dataclasses import replace

import pytest

from node.base.element import E
from node.base.stanza import CLIENT
from node.ports.link import TICK_SECONDS, Options, Peer
from node.ports.link.outgoing import Outgoing
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, Ear


def test_a_message_and_its_answer(world):
    async def story(world):
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ann.sends("message", E("body", CLIENT, "Is it warm?"), to=ben.jid, type="chat", id="1")
        asked = await ben.hears()
        assert (asked.sender, asked.body, asked.id, asked.type) == (ann.jid, "Is it warm?", "1", "chat")
        ben.sends("message", E("body", CLIENT, "21 °C & <dry>"), to=ann.jid)
        assert (await ann.hears()).body == "21 °C & <dry>"

    world(story)


def test_F7_order_is_kept(world):
    async def story(world):
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        for number in range(50):
            ann.sends("message", to=ben.jid, id=str(number))
        first = [(await ben.hears()).id for _ in range(25)]
        for number in range(50, 100):
            ann.sends("message", to=ben.jid, id=str(number))
        rest = [(await ben.hears()).id for _ in range(75)]
        assert first + rest == [str(number) for number in range(100)]

    world(story)


def test_F7_both_at_once_get_a_link_each(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="a")
        ben.sends("message", to=ann.jid, id="b")
        assert ((await ann.hears()).id, (await ben.hears()).id) == ("b", "a")
        assert (len(home.streams), len(cabin.streams)) == (1, 1)
        assert not ann.stanzas and not ben.stanzas

    world(story)


def test_a_question_and_its_answer(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        cabin.hub.on_iq("get", "ping", "urn:xmpp:ping", lambda iq, origin: iq.reply())
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        ann.sends("iq", E("ping", "urn:xmpp:ping"), to=CABIN, type="get", id="p")
        answer = await ann.hears()
        assert (answer.type, answer.id, answer.sender) == ("result", "p", CABIN)

    world(story)


def test_direct_tls_on_the_same_port(world):
    async def story(world):
        world.directory.direct = True
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="1")
        assert (await ben.hears()).id == "1"

    world(story)


def test_a_link_that_broke_is_opened_again(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="1")
        await ben.hears()
        for stream in list(cabin.streams):
            stream.close()
        await until(lambda: home.outboxes[CABIN].link is None)
        ann.sends("message", to=ben.jid, id="2")
        assert (await ben.hears()).id == "2"

    world(story)


def test_idle_links_are_closed_and_domains_forgotten(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="1")
        await ben.hears()
        for _ in range(10):
            home._tick()
        assert home.outboxes[CABIN].link is not None
        home._tick()
        assert home.outboxes[CABIN].link is None
        home._tick()
        assert not home.outboxes and not home.people._boxes
        await until(lambda: not cabin.streams)

    world(story)


def test_a_link_that_only_asked_is_closed_sooner(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid, id="1")
        await ben.hears()
        assert not cabin.outboxes[HOME].link.may_send
        cabin._tick()
        cabin._tick()
        assert cabin.outboxes[HOME].link is None
        assert home.outboxes[CABIN].link is not None

    world(story)


def test_F6_a_line_on_which_nothing_is_acknowledged_is_ended_by_the_kernel(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid)
        await ben.hears()
        for end in (home.outboxes[CABIN].link, *cabin.streams):
            patience = end._connection.tls.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
            assert patience + TICK_SECONDS < 180  # security: F6

    world(story)


def pinned(world, fingerprint):
    """What home's configuration says now."""
    peers = {CABIN: Peer(fingerprint=fingerprint)} if fingerprint else {}
    return Options(peers, world.papers[HOME].own)


async def linked_both_ways(world):
    home, cabin = world.node(HOME), world.node(CABIN)
    ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
    ann.sends("message", to=ben.jid)
    await ben.hears()
    ben.sends("message", to=ann.jid)
    await ann.hears()
    return home, cabin, ann, ben


@pytest.mark.parametrize(
    ("fingerprint", "words"),
    [("AB" * 32, "certificate is not the pinned one; its fingerprint is "), ("", "certificate is pinned no more")],
)
def test_F4_who_is_believed_no_more_is_hung_up_on(world, caplog, fingerprint, words):
    """Both ways, and what is said then finds no way, until the right fingerprint stands there again."""
    caplog.set_level("INFO")

    async def story(world):
        home, cabin, ann, ben = await linked_both_ways(world)
        home.reload(pinned(world, fingerprint))
        assert home.outboxes[CABIN].link is None
        assert any(each.startswith(f"link to {CABIN}: ended, {words}") for each in caplog.messages)
        assert any(each.startswith(f"link from {CABIN}: ended with reset") for each in caplog.messages)
        await until(lambda: not home.streams)
        ann.sends("message", to=ben.jid, id="2")
        assert "<remote-server-not-found " in repr(await ann.hears())
        home.reload(pinned(world, world.papers[CABIN].fingerprint))
        ann.sends("message", to=ben.jid, id="3")
        assert (await ben.hears()).id == "3"

    world(story)


@pytest.mark.parametrize("spelt", [str, str.lower, "sha256:{}".format, lambda text: text.replace(":", "")])
def test_who_is_still_believed_stays(world, spelt):
    async def story(world):
        home, cabin, ann, ben = await linked_both_ways(world)
        link, streams = home.outboxes[CABIN].link, set(home.streams)
        options = pinned(world, spelt(world.papers[CABIN].fingerprint))
        home.reload(replace(options, peers={**options.peers, "shed.example": Peer(fingerprint="AB" * 32)}))
        assert home.outboxes[CABIN].link is link and link.may_send
        ben.sends("message", to=ann.jid, id="2")
        assert (await ann.hears()).id == "2"
        assert home.streams == streams

    world(story)


def test_F4_whoever_is_believed_no_more_while_a_link_is_opened_gets_nothing(world, monkeypatch):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        negotiate = Outgoing._negotiate

        async def slow(link, direct_tls):
            await negotiate(link, direct_tls)
            if link.domain == CABIN:
                home.reload(pinned(world, ""))

        monkeypatch.setattr(Outgoing, "_negotiate", slow)
        ann.sends("message", to=ben.jid)
        assert "certificate is pinned no more" in repr(await ann.hears())
        assert not ben.stanzas

    world(story)


def test_the_end_of_a_node_is_told(world):
    async def story(world):
        home, cabin = world.node(HOME), world.node(CABIN)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(cabin.hub, f"ben@{CABIN}/desk")
        ann.sends("message", to=ben.jid)
        await ben.hears()
        cabin.close()
        await until(lambda: home.outboxes[CABIN].link is None)
        ann.sends("message", to=ben.jid, id="2")
        refused = await ann.hears()
        assert refused.type == "error" and "remote-server-timeout" in repr(refused)

    world(story)
