"""Many wants of one: they cost memory within a limit, and the wants of others come in between."""

import asyncio

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import CLIENT
from node.net.listener import network
from node.ports import link
from node.ports.dialback import Packet
from node.ports.link import outbox
from node.ports.link.failure import Crowded
from node.ports.link.openings import Openers
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, Ear


class Box:
    def __init__(self, domain, opener, is_in_use=True):
        self.domain, self.opener, self.is_in_use = parse(domain), opener, is_in_use


@pytest.fixture
def turns(loop):
    """`turns(openers, who, number)`: so many are wanted."""

    def turns(openers, who, number):
        wanted = [loop.create_future() for _ in range(number)]
        for each in wanted:
            openers.want(who, each)
        return wanted

    return turns


def those_who_go(wanted):
    return [each.done() for each in wanted]


def test_one_who_wants_many_leaves_some_and_another_goes_at_once(turns):
    openers = Openers(4, 3, 10, 10)
    eves = turns(openers, "eve", 5)
    assert those_who_go(eves) == [True, True, True, False, False]
    (bobs,) = turns(openers, "bob", 1)
    assert bobs.done()
    eves[0].result().give_back()
    assert those_who_go(eves) == [True, True, True, True, False]


def test_those_who_wait_take_turns(turns):
    openers = Openers(1, 1, 10, 10)
    (now,) = turns(openers, "eve", 1)
    left = [(who, turn) for who, number in (("eve", 3), ("bob", 2), ("ann", 1)) for turn in turns(openers, who, number)]
    order = []
    while left:
        now.result().give_back()
        ((who, now),) = [each for each in left if each[1].done()]
        left.remove((who, now))
        order.append(who)
    assert order == ["eve", "bob", "ann", "eve", "bob", "eve"]


def test_a_turn_that_nobody_waits_for_any_more_is_passed_on(turns):
    openers = Openers(1, 1, 10, 10)
    now, gone, left = turns(openers, "eve", 3)
    (other,) = turns(openers, "bob", 1)
    gone.cancel()
    other.cancel()
    now.result().give_back()
    assert left.done()
    left.result().give_back()
    assert not openers._waiting and not openers._having


def test_one_has_a_part_of_the_domains_and_a_failure_is_remembered_only_if_there_is_room():
    openers = Openers(1, 1, 3, 2)
    eves = [Box(f"d{number}.example", "eve") for number in range(3)]
    assert openers.enter("eve", eves[0]) is openers.enter("eve", eves[1]) is None
    with pytest.raises(Crowded, match="2 other servers are waited for on your behalf"):
        openers.enter("eve", eves[2])
    bobs = [Box(f"b{number}.example", "bob") for number in range(2)]
    assert openers.enter("bob", bobs[0]) is None
    with pytest.raises(Crowded, match="3 other servers are waited for already"):
        openers.enter("bob", bobs[1])
    eves[1].is_in_use = False
    assert openers.enter("bob", bobs[1]) is eves[1]
    eves[0].is_in_use = False
    with pytest.raises(Crowded):
        openers.enter("bob", Box("b2.example", "bob"))  # he has his part
    assert openers.enter("eve", eves[2]) is eves[0]
    for box in (eves[2], *bobs):
        openers.leave(box)
    assert openers._count == 0 and not openers._boxes


# At a node


async def silent(world, *domains):
    """Servers that take a connection, and say nothing."""

    async def talk(talker):
        await talker.is_hung_up_on()

    node = world.node(HOME)
    for domain in domains:
        await world.server(talk, domain)
        node.options.peers[domain] = node.options.peers[CABIN]
    return node


FAR = [f"far{number}.example" for number in range(6)]


def test_somebodys_single_message_goes_at_once_whatever_another_one_waits_for(world, monkeypatch):
    monkeypatch.setattr(link, "OPENINGS", 3)
    monkeypatch.setattr(link, "SHARE", 2)

    async def story(world):
        node, ben = await silent(world, *FAR), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        eve, bob = (Ear(node.hub, f"{name}@{HOME}/phone") for name in ("eve", "bob"))
        for domain in FAR:
            eve.sends("message", to=f"x@{domain}")
        await until(lambda: node.outboxes[FAR[0]]._began)
        bob.sends("message", to=ben.jid, id="good")
        assert (await ben.hears()).id == "good"
        assert not eve.stanzas and not bob.stanzas

    world(story)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_domain_that_somebody_with_many_waits_for_too_goes_at_once_for_another(world, monkeypatch, at_once):
    monkeypatch.setattr(link, "OPENINGS", 3)
    monkeypatch.setattr(link, "SHARE", 2)

    async def story(world):
        node, ben = await silent(world, *FAR), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        eve, bob = (Ear(node.hub, f"{name}@{HOME}/phone") for name in ("eve", "bob"))
        for domain in (*FAR, CABIN):
            eve.sends("message", to=f"ben@{domain}", id="of eve")
        if not at_once:
            await until(lambda: node.outboxes[FAR[0]]._began)
            assert not node.outboxes[CABIN]._began
        bob.sends("message", to=ben.jid, id="of bob")
        assert [(await ben.hears()).id for _ in range(2)] == ["of eve", "of bob"]

    world(story)


def test_strangers_that_knock_do_not_take_the_openings_of_people(world, monkeypatch):
    monkeypatch.setattr(link, "KNOCKING", (1, 1, 9, 9))
    monkeypatch.setattr(link, "OPENINGS", 1)

    async def story(world):
        node, ben = await silent(world, *FAR), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        talker = await world.connect(node)
        await talker.opens_securely()
        for domain in (*FAR, CABIN):
            talker.claims(domain)
        await until(lambda: CABIN in node.outboxes and node.outboxes[FAR[0]]._began)
        box = node.outboxes[CABIN]
        assert (box.openers, box.opener) == (node.knocking, network("127.0.0.1"))
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        ann.sends("message", to=ben.jid, id="m")
        assert (await ben.hears()).id == "m"

    world(story)


def test_the_deadline_of_an_attempt_begins_with_its_turn(world, monkeypatch):
    monkeypatch.setattr(link, "OPENINGS", 1)
    monkeypatch.setattr(outbox, "ATTEMPT_SECONDS", 0.4)

    async def story(world):
        node, ben = await silent(world, FAR[0]), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        eve = Ear(node.hub, f"eve@{HOME}/phone")
        eve.sends("message", to=f"x@{FAR[0]}", id="in vain")
        eve.sends("message", to=ben.jid, id="last")
        assert (await ben.hears()).id == "last"
        assert [each.id for each in eve.stanzas] == ["in vain"]

    world(story)


def test_who_waits_too_long_for_his_turn_is_told_and_it_is_not_held_against_the_domain(world, monkeypatch):
    monkeypatch.setattr(link, "OPENINGS", 1)
    monkeypatch.setattr(outbox, "TURN_SECONDS", 0.05)

    async def story(world):
        node = await silent(world, *FAR[:2])
        eve = Ear(node.hub, f"eve@{HOME}/phone")
        for domain in FAR[:2]:
            eve.sends("message", to=f"x@{domain}", id=domain)
        error = await eve.hears()
        assert error.id == FAR[1] and "type='wait'><resource-constraint " in repr(error)
        assert "in 0.05 s it was not its turn" in repr(error)
        box = node.outboxes[FAR[1]]
        await until(lambda: not box._work)
        assert box.idle and box._failure is None
        assert len(node.people._having) == 1

    world(story)


def test_one_who_writes_to_ever_more_domains_is_told_and_others_are_not_held_up(world, monkeypatch):
    monkeypatch.setattr(link, "DOMAINS_EACH", 3)

    async def story(world):
        node = await silent(world, *FAR)
        eve, bob = (Ear(node.hub, f"{name}@{HOME}/phone") for name in ("eve", "bob"))
        for domain in FAR:
            eve.sends("message", to=f"x@{domain}", id=domain)
        assert [each.id for each in eve.stanzas] == FAR[3:]
        assert all("type='wait'><resource-constraint " in repr(each) for each in eve.stanzas)
        bob.sends("message", to=f"x@{FAR[4]}")
        assert not bob.stanzas and [*node.outboxes] == [*FAR[:3], FAR[4]]

    world(story)


@pytest.mark.parametrize(("limit", "value"), [("PERSON_STANZAS", 4), ("PERSON_BYTES", 4200)])
def test_one_who_writes_much_to_many_domains_is_told_and_others_are_not_held_up(world, monkeypatch, limit, value):
    monkeypatch.setattr(outbox, limit, value)

    async def story(world):
        node = await silent(world, *FAR)
        eve, bob = (Ear(node.hub, f"{name}@{HOME}/phone") for name in ("eve", "bob"))
        for domain in FAR[:3]:
            for number in range(2):
                eve.sends("message", E("body", CLIENT, "x" * 900), to=f"x@{domain}", id=f"{domain} {number}")
        assert [each.id for each in eve.stanzas] == [f"{FAR[2]} 0", f"{FAR[2]} 1"]
        assert "too much waits for other servers already" in repr(eve.stanzas[0])
        bob.sends("message", to=f"x@{FAR[4]}")
        assert not bob.stanzas

    world(story)


def test_failures_are_remembered_of_no_more_domains_than_there_may_be(world, monkeypatch):
    monkeypatch.setattr(link, "DOMAINS_EACH", 3)

    async def story(world):
        node = world.node(HOME)
        eve = Ear(node.hub, f"eve@{HOME}/phone")
        for domain in FAR:
            eve.sends("message", to=f"x@{domain}", id=domain)
            assert "<remote-server-not-found " in repr(await eve.hears())
            await until(lambda: not any(box._work for box in node.outboxes.values()))
        assert [*node.outboxes] == FAR[3:]

    world(story)


def test_a_domain_that_is_asked_about_later_stays_known(world):
    async def story(world):
        node = world.node(HOME)
        eve = Ear(node.hub, f"eve@{HOME}/phone")
        eve.sends("message", to=f"x@{FAR[0]}")
        await eve.hears()
        box = node.outboxes[FAR[0]]
        await until(lambda: not box._work)
        assert not box.is_in_use
        question = asyncio.ensure_future(box.ask(Packet("verify", HOME, FAR[0], id="i", key="k"), "stranger"))
        await asyncio.sleep(0)
        assert box.is_in_use and not box._attempt
        question.cancel()
        await asyncio.wait([question])
        assert not box.is_in_use

    world(story)


def test_what_waited_for_more_domains_than_may_be_waited_for_goes_back_at_the_start(world, monkeypatch):
    async def story(world):
        node = await silent(world, *FAR[:3])
        eve = Ear(node.hub, f"eve@{HOME}/phone")
        for domain in FAR[:3]:
            eve.sends("message", E("body", CLIENT, "x"), to=f"x@{domain}", id=domain)
        await node.hub.store.archive.committed()
        await world.stop(node)
        world.nodes.remove(node)
        monkeypatch.setattr(link, "DOMAINS_EACH", 2)
        node = world.node(HOME)
        assert [*node.outboxes] == FAR[:2]
        await node.hub.store.archive.committed()
        assert len(node.kept.left()) == 2

    world(story)
