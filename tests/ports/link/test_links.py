"""Two nodes and the links between them, as their people see it."""

import socket

from node.base.element import E
from node.base.stanza import CLIENT
from node.ports.link import TICK_SECONDS
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
