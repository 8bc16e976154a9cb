"""D4, when too much waits for several sessions of an account: what they have not acked is kept once, and never bounced
as well."""

import pytest

from node.base.element import E
from node.base.errors import StreamError
from node.base.jid import parse
from node.base.stanza import Stanza
from node.ports.client import keeping
from node.ports.client.management import go_on
from node.stream.acks import Sent
from tests.ports.client.test_management import (
    BODY,
    PHONE,
    PING,
    a,
    chat,
    enabled,
    falls_asleep,
    ids,
    kept,
    session,
    unacked,
    until,
)
from tests.ports.talker import in_session

ANN = PHONE.bare
NAMES = ("r0", "r1", "r2")
RECEIPT = (
    "<message to='ann@hub.local/phone' id='m{}' type='chat'><received xmlns='urn:xmpp:receipts' id='m'/></message>"
)
CARBONS = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"


@pytest.fixture(autouse=True)
def ten(monkeypatch):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 10)


@pytest.fixture(autouse=True)
def no_traces(caplog):
    yield
    assert "Traceback" not in caplog.text


async def sleepers(connect, hub, names=NAMES, more=""):
    """Sessions of ann's that are available, and asleep: their addresses."""
    talkers = []
    for name in names:
        talker, _ = await enabled(connect, resource=name)
        talker.says("<presence/>" + more + PING)
        await talker.hears("id='p'/>")
        talkers.append(talker)
    jids = [parse(f"ann@hub.local/{name}") for name in names]
    for jid, talker in zip(jids, talkers, strict=True):
        talker.says(a(session(hub, jid).management.sent.count) + PING)
        await talker.hears("id='p'/>")
        talker.says(a(session(hub, jid).management.sent.count))
        await until(lambda jid=jid: not session(hub, jid).management.sent.queue)
    for jid, talker in zip(jids, talkers, strict=True):
        await falls_asleep(hub, talker, jid)
    return jids


async def says(talker, *stanzas):
    """What the talker hears until all that is said has had its effect, and what that has set going."""
    talker.says("".join(stanzas) + PING)
    heard = await talker.hears("id='p'/>")
    talker.says(PING)
    return heard + await talker.hears("id='p'/>")


async def kept_ids(hub):
    return [id for id, _ in await kept(hub)]


def messages(*numbers):
    return [f"m{number}" for number in numbers]


@pytest.mark.parametrize("names", [NAMES[:1], NAMES[:2], NAMES])
def test_what_several_sleeping_sessions_have_in_common_is_kept_once_when_it_ends_them(connect, run, hub, names):
    async def talk():
        await sleepers(connect, hub, names)
        bob = await in_session(connect, "bob")
        heard = await says(bob, *(chat(number, ANN) for number in range(30)))
        assert ANN not in hub.sessions
        assert await kept_ids(hub) == messages(*range(30))
        assert "error" not in heard

    run(talk())


def test_one_that_fills_passes_on_what_only_it_has_and_fills_the_next(connect, run, hub):
    async def talk():
        first, second = await sleepers(connect, hub, NAMES[:2])
        bob = await in_session(connect, "bob")
        own = [*(chat(number, first) for number in range(8)), *(chat(number, second) for number in range(8, 13))]
        heard = await says(bob, *own, *(chat(number, ANN) for number in range(13, 20)))
        assert ANN not in hub.sessions
        assert sorted(await kept_ids(hub)) == sorted(messages(*range(20)))
        assert "error" not in heard

    run(talk())


def test_what_they_do_not_have_in_common_is_kept_in_the_order_in_which_it_came(connect, run, hub):
    async def talk():
        both = await sleepers(connect, hub, NAMES[:2])
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number, both[number % 2]) for number in range(18)), chat(18, ANN))
        assert ANN not in hub.sessions
        assert await kept_ids(hub) == messages(*range(19))

    run(talk())


def test_what_was_for_one_who_had_gone_is_not_passed_on_to_those_who_have_it(connect, run, hub):
    async def talk():
        first, second = await sleepers(connect, hub, NAMES[:2])
        bob = await in_session(connect, "bob")
        await says(bob, chat(1, f"{ANN}/gone"))
        session(hub, first).close(StreamError("connection-timeout"))
        assert [each for each in unacked(hub, second) if each and each.startswith("m")] == ["m1"]
        session(hub, second).close(StreamError("connection-timeout"))
        assert await kept_ids(hub) == ["m1"]

    run(talk())


def test_what_was_passed_on_is_not_passed_on_again_to_those_who_have_it(connect, run, hub):
    async def talk():
        first, second, third = await sleepers(connect, hub)
        bob = await in_session(connect, "bob")
        await says(bob, chat(1, first), chat(2, ANN))
        for jid in (first, second):
            session(hub, jid).close(StreamError("connection-timeout"))
            there = [each for each in unacked(hub, third) if each and each.startswith("m")]
            assert sorted(there) == messages(1, 2)
        session(hub, third).close(StreamError("connection-timeout"))
        assert sorted(await kept_ids(hub)) == messages(1, 2)

    run(talk())


def test_what_one_had_and_the_others_had_copies_of_is_kept_when_all_end(connect, run, hub):
    async def talk():
        first, *_ = await sleepers(connect, hub, more=CARBONS)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number, first) for number in range(12)))
        assert ANN not in hub.sessions
        assert await kept_ids(hub) == messages(*range(12))

    run(talk())


def test_what_may_not_be_kept_comes_back_once(connect, run, hub):
    async def talk():
        await sleepers(connect, hub)
        bob = await in_session(connect, "bob")
        secret = f"<message to='{ANN}' id='secret' type='chat'>{BODY}{NO_STORE}</message>"
        heard = await says(bob, secret, *(chat(number, ANN) for number in range(12)))
        assert heard.count("type='error'") == 1 and heard.count("id='secret'") == 1
        assert await kept_ids(hub) == messages(*range(12))

    run(talk())


def test_what_was_said_twice_in_the_same_words_is_kept_twice(connect, run, hub):
    async def talk():
        await sleepers(connect, hub)
        bob = await in_session(connect, "bob")
        again = f"<message to='{ANN}' id='m0' type='chat'>{BODY}<no-permanent-store xmlns='urn:xmpp:hints'/></message>"
        await says(bob, *([again] * 12))
        assert await kept_ids(hub) == ["m0"] * 12

    run(talk())


def test_the_same_after_the_node_was_started_anew(connect, run, hub, again):
    async def talk():
        await sleepers(connect, hub)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number, ANN) for number in range(8)))
        bob.says("</stream:stream>")
        await bob.is_hung_up_on()
        async with again() as (new, connect_again):
            bob = await in_session(connect_again, "bob")
            await says(bob, *(chat(number, ANN) for number in range(8, 12)))
            assert ANN not in new.sessions
            assert await kept_ids(new) == messages(*range(12))

    run(talk())


def test_a_session_that_fills_when_the_node_ends_is_not_written_down_as_well(connect, run, hub, again):
    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number) for number in range(12)))
        assert len(unacked(hub)) == 12
        async with again() as (new, _):
            assert ANN not in new.sessions
            assert await kept_ids(new) == messages(*range(12))

    run(talk())


def test_presence_that_fills_them_ends_them_one_like_the_other(connect, run, hub):
    async def talk():
        await sleepers(connect, hub)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number, ANN) for number in range(9)))
        desk = await connect()
        await desk.logs_in("ann")
        await desk.binds("desk")
        desk.says("<presence><priority>-1</priority></presence>")
        await until(lambda: len(hub.sessions[ANN]) == 1)
        assert await kept_ids(hub) == messages(*range(9))

    run(talk())


def test_one_who_is_awake_has_it_and_nothing_is_kept(connect, run, hub):
    async def talk():
        await sleepers(connect, hub)
        awake, _ = await enabled(connect)
        awake.says("<presence/>" + PING)
        await awake.hears("id='p'/>")
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number, ANN) for number in range(12)))
        assert list(hub.sessions[ANN]) == [PHONE]
        assert ids(await awake.hears("id='m11'.*</message>")) == messages(*range(12))
        assert await kept_ids(hub) == []

    run(talk())


def test_what_waited_for_a_calm_client_is_kept_when_falling_asleep_is_too_much(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number) for number in range(8)))
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>" + PING)
        await ann.hears("id='p'/>")
        await says(bob, *(RECEIPT.format(number) for number in range(8, 20)))
        ann.writer.transport.abort()
        await until(lambda: ANN not in hub.sessions)
        assert await kept_ids(hub) == messages(*range(20))

    run(talk())


def test_what_waits_for_a_calm_client_is_kept_when_waking_it_is_too_much(connect, run, hub, monkeypatch):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 500)
    monkeypatch.setattr(keeping, "SIZE_LIMIT", 500)
    monkeypatch.setattr(keeping, "SIZE_MOST", 2500)

    async def talk():
        ann, _ = await enabled(connect)
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>" + PING)
        await ann.hears("id='p'/>")
        bob = await in_session(connect, "bob")
        await says(bob, *(RECEIPT.format(number) for number in range(60)), chat(60))
        assert "<resource-constraint" in await ann.is_hung_up_on()
        await until(lambda: ANN not in hub.sessions)
        assert await kept_ids(hub) == messages(*range(61))

    run(talk())


@pytest.mark.parametrize("ends", ["its owner leaves", "another takes its place", "the node ends"])
def test_one_that_is_full_and_has_acked_nothing_more_ends_like_others(connect, run, hub, port, ends):
    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number) for number in range(30)))
        await ann.hears("id='m29'.*</message>")
        ann.says(a(0) + "<inactive xmlns='urn:xmpp:csi:0'/>" + PING)
        await ann.hears("id='p'/>")
        await says(bob, *(RECEIPT.format(number) for number in range(30, 60)))
        if ends == "its owner leaves":
            ann.says("</stream:stream>")
            await until(lambda: ANN not in hub.sessions)
        elif ends == "another takes its place":
            session(hub).close(StreamError("conflict"))
        else:
            await port.leave()
        assert await kept_ids(hub) == messages(*range(60))

    run(talk())


def test_what_waits_for_a_calm_client_that_has_not_acked_in_time_is_kept_in_order(connect, run, hub, port):
    port.managed.full._seconds = 0.2

    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number) for number in range(22)))
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>")
        await until(lambda: session(hub).calm is not None)
        await says(bob, *(RECEIPT.format(number) for number in range(22, 30)))
        await until(lambda: ANN not in hub.sessions)
        assert await kept_ids(hub) == messages(*range(30))

    run(talk())


@pytest.mark.parametrize("what", ["it acks", "it comes back", "it comes back while its old line is there", "nothing"])
def test_one_that_is_about_to_end_goes_on_when_there_is_no_reason_any_more(connect, run, hub, port, what):
    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        await says(bob, *(chat(number) for number in range(12)))
        client = session(hub)
        asks = E("resume", keeping.NS, previd=id, h="12")
        new = await connect()
        await new.logs_in()
        (line,) = (each for each in port.connected if not each.bound)
        if what == "it comes back":
            client.management.attempt = line
            client.cut(StreamError("conflict"))
            client.management.forgotten()
            go_on(line, client, asks)
        elif what == "it comes back while its old line is there":
            client.management.overdue()
            client.management.attempt = line
            client.cut(StreamError("conflict"))
        else:
            client.management.overdue()
            if what == "it acks":
                client.management.acked(12)
        await says(bob)
        assert (PHONE in hub.sessions.get(ANN, ())) == (what != "nothing")

    run(talk())


def test_one_that_is_about_to_end_is_not_looked_through_for_each_stanza(connect, run, hub, monkeypatch):
    looked = []
    compact = Sent.compact
    monkeypatch.setattr(Sent, "compact", lambda sent: (looked.append(sent), compact(sent)))

    async def talk():
        (jid,) = await sleepers(connect, hub, NAMES[:1])
        client = session(hub, jid)
        for number in range(30):
            client.deliver(Stanza("message", type="chat", id=f"m{number}", to=ANN))
        assert len(looked) == 1 and unacked(hub, jid) == messages(*range(30))

    run(talk())
