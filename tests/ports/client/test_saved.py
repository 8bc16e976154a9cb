"""R10: sessions outlive the node."""

import asyncio
import re
import threading
from contextlib import AsyncExitStack

import pytest

from node.base.jid import parse
from node.base.path import Path
from node.ports.administration import requests
from node.ports.client.ledger import NAME, Ledger
from tests.conftest import until
from tests.ports.client.test_management import (
    PHONE,
    PING,
    SLOW,
    R,
    a,
    chat,
    enabled,
    falls_asleep,
    ids,
    kept,
    resumes,
    session,
    slow,
    unacked,
)
from tests.ports.talker import in_session

BOB = parse("bob@hub.local/phone")


def rows(hub):
    return [hub.store.accounts.read(f"SELECT count(*) FROM {table}")[0][0] for table in ("sessions", "session_stanzas")]


async def friends(hub):
    """ann and bob see each other."""
    rosters = hub.need("roster")
    for owner, contact in ((PHONE.bare, BOB.bare), (BOB.bare, PHONE.bare)):
        await rosters.set_subscription(owner, contact, "both")


def test_R10_clients_resume_after_a_restart_and_nobody_has_noticed(connect, run, hub, again):
    async def talk():
        await friends(hub)
        ann, id = await enabled(connect)
        bob, bobs_id = await enabled(connect, "bob")
        for each in (ann, bob):
            each.says("<presence><show>away</show><priority>5</priority></presence>" + PING)
            await each.hears("id='p'/>")
        bob.says(chat(1) + PING + R)
        await bob.hears("<a [^>]*/>")
        await ann.hears("id='m1'.*</message>")
        counts = {}
        for name, each, jid in (("ann", ann, PHONE), ("bob", bob, BOB)):
            each.says(PING)
            await each.hears("id='p'/>")
            counts[name] = session(hub, jid).management.sent.count
        async with again() as (new, connect_again):
            for each in (ann, bob):
                heard = await each.is_hung_up_on()
                assert "unavailable" not in heard and "<system-shutdown" in heard
            for jid in (PHONE, BOB):
                assert session(new, jid).is_asleep and new.present[jid.bare] == {jid: 5}
            bob, answer = await resumes(connect_again, bobs_id, counts["bob"], "bob")
            assert " h='5'" in answer
            ann, answer = await resumes(connect_again, id, counts["ann"] - 2)
            assert " h='3'" in answer
            heard = await ann.hears(re.escape(R))
            assert ids(heard) == ["m1"] and "<presence" not in heard
            bob.says(chat(2) + PING)
            assert "<presence" not in await bob.hears("id='p'/>")
            assert ids(await ann.hears("id='m2'.*</message>")) == ["m2"]
            ann.says(a(counts["ann"] + 1) + R)
            await ann.hears("<a [^>]*/>")
            assert unacked(new) == []

    run(talk(), timeout=15)


def test_R10_what_features_know_of_a_session_is_known_again(connect, run, hub, again):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(
            "<presence><status>here</status><priority>-3</priority></presence><presence to='room@chat.example/ann'/>"
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>"
            "<iq type='set' id='2'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
            "<iq type='get' id='3'><blocklist xmlns='urn:xmpp:blocking'/></iq>" + PING
        )
        await ann.hears("id='p'/>")
        hub.remote = lambda stanza, origin: None
        async with again() as (new, _):
            presence = new.need("presence")
            assert presence.last[PHONE].child("status", "jabber:client").text == "here"
            assert new.present[PHONE.bare] == {PHONE: -3}
            assert list(presence.directed[PHONE]) == ["room@chat.example/ann"]
            assert new.need("roster").interested == {PHONE}
            assert PHONE in new.need("carbons").enabled[PHONE.bare]
            assert PHONE in new.need("blocking").asked[PHONE.bare]

    hub.remote = lambda stanza, origin: None
    run(talk())


def test_R10_what_came_and_was_never_read_comes_after_the_restart(connect, run, hub, again):
    """Also when a session has been through two restarts."""

    async def talk():
        ann, id = await enabled(connect)
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        count = session(hub).management.sent.count
        bob = await in_session(connect, "bob")
        await falls_asleep(hub, ann)
        bob.says("".join(chat(number) for number in range(3)) + PING)
        await bob.hears("id='p'/>")
        async with again() as (second, _), again((second, second.port)) as (third, connect_again):
            ann, answer = await resumes(connect_again, id, count)
            assert "<resumed" in answer
            assert ids(await ann.hears("id='m2'.*</message>")) == ["m0", "m1", "m2"]
            await third.store.accounts.committed()
            assert rows(third) == [0, 0]

    run(talk(), timeout=15)


def test_a_session_that_is_not_resumed_after_the_restart_ends_by_d4(connect, run, hub, again):
    async def talk():
        await friends(hub)
        ann, id = await enabled(connect)
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        bob = await in_session(connect, "bob")
        bob.says("<presence/>" + chat(1) + PING)
        await bob.hears("id='p'/>")
        await ann.hears("id='m1'.*</message>")
        async with again() as (new, connect_again):
            bob = await in_session(connect_again, "bob")
            bob.says("<presence/>")
            await bob.hears("<presence[^>]* from='ann@hub.local/phone'")
            session(new).management.forgotten()
            await bob.hears("<presence[^>]* from='ann@hub.local/phone' type='unavailable'")
            assert [each for each, _ in await kept(new)] == ["m1"]

    run(talk())


def test_who_came_later_gets_what_an_earlier_one_left_also_after_the_restart(connect, run, hub, again):
    async def talk():
        ann, _ = await enabled(connect)
        bob, _ = await enabled(connect, "bob")
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        bob.says(chat(1, "ann@hub.local") + PING)
        await bob.hears("id='p'/>")
        await ann.hears("id='m1'.*</message>")
        desk, id = await enabled(connect, resource="desk")
        desk.says("<presence/>" + PING)
        await desk.hears("id='p'/>")
        count = session(hub, parse("ann@hub.local/desk")).management.sent.count
        async with again() as (new, connect_again):
            session(new).management.forgotten()
            await until(lambda: PHONE not in new.sessions[PHONE.bare])
            desk, _ = await resumes(connect_again, id, count)
            desk.says(PING)
            assert ids(await desk.hears("id='p'/>")) == ["m1"]

    run(talk())


@pytest.mark.parametrize("restarts", [False, True])
def test_who_had_a_copy_before_he_listened_does_not_get_it_from_the_storage(connect, run, hub, again, restarts):
    async def talk():
        ann, id = await enabled(connect)
        bob, _ = await enabled(connect, "bob")
        ann.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>" + PING)
        await ann.hears("id='p'/>")
        bob.says(chat(1, "ann@hub.local") + PING)
        await bob.hears("id='p'/>")
        assert ids(await ann.hears("<received .*</message>")) == ["m1"]
        count = session(hub).management.sent.count
        async with AsyncExitStack() as nodes:
            node = hub
            if restarts:
                node, connect_again = await nodes.enter_async_context(again())
                ann, _ = await resumes(connect_again, id, count)
            ann.says("<presence/>" + PING)
            assert "id='m1'" not in await ann.hears("id='p'/>")
            assert [each for each, _ in await kept(node)] == ["m1"]
            ann.says(a(session(node).management.sent.count) + PING)
            await ann.hears("id='p'/>")
            assert await kept(node) == []

    run(talk())


def test_those_who_cannot_be_resumed_are_gone_and_the_others_know(connect, run, hub, again):
    async def talk():
        await friends(hub)
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        for each in (ann, bob):
            each.says("<presence/>" + PING)
            await each.hears("id='p'/>")
        await ann.hears("from='bob@hub.local/phone'")
        count = session(hub).management.sent.count
        async with again() as (new, connect_again):
            assert "<system-shutdown" in await bob.is_hung_up_on()
            assert BOB.bare not in new.sessions
            ann, _ = await resumes(connect_again, id, count)
            await ann.hears("<presence[^>]* from='bob@hub.local/phone' type='unavailable'")

    run(talk())


def test_offline_messages_on_their_way_are_let_go_by_an_ack_after_the_restart(connect, run, hub, again):
    async def talk():
        bob = await in_session(connect, "bob")
        bob.says(chat(1, "ann@hub.local") + PING)
        await bob.hears("id='p'/>")
        ann, id = await enabled(connect)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        count = session(hub).management.sent.count
        async with again() as (new, connect_again):
            assert len(await kept(new)) == 1
            ann, _ = await resumes(connect_again, id, count)
            ann.says(PING)
            assert "id='m1'" not in await ann.hears("id='p'/>")
            assert await kept(new) == []

    run(talk())


def test_what_comes_between_the_last_words_and_the_end_waits_for_the_session(connect, run, hub, port, again):
    async def talk():
        ann, id = await enabled(connect)
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        count = session(hub).management.sent.count
        leaving = port.leave

        async def leave():
            await leaving()
            (message,) = bob_says(chat(7, "ann@hub.local"))
            hub.route(message)

        port.leave = leave
        async with again() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, count)
            assert ids(await ann.hears("id='m7'.*</message>")) == ["m7"]

    run(talk())


def bob_says(xml):
    from node.stream.framing import CLIENT_LIMIT, Framing
    from tests.conftest import HEADER

    framing = Framing(CLIENT_LIMIT)
    framing.feed(HEADER.encode())
    stanzas = framing.feed(xml.encode())
    for stanza in stanzas:
        stanza.sender = parse("bob@far.example/x")
    return stanzas


def test_what_was_not_handled_at_the_end_is_not_counted(connect, run, hub, port, again, monkeypatch):
    monkeypatch.setattr("node.hub.hub.LAST_ANSWERS", 0.01)

    async def talk():
        ann, id = await enabled(connect)
        slow(hub)
        ann.says(chat(1, "bob@hub.local") + SLOW + PING)
        await ann.hears("id='p'/>")
        leaving = port.leave

        async def leave():
            await until(lambda: not hub._tasks)  # what was given up has come to its end
            await leaving()

        port.leave = leave
        async with again() as (_, connect_again):
            _, answer = await resumes(connect_again, id, 1)
            assert " h='1'" in answer

    run(talk(), timeout=10)


def test_the_end_does_not_wait_for_the_time_in_which_writes_gather(run, hub, port, monkeypatch):
    for patience in ("node.hub.store.PATIENCE", "node.ports.client.management.LAST_WORDS"):
        monkeypatch.setattr(patience, 3600)

    async def end():
        hub.store.things.write("DELETE FROM versions WHERE feature = ''")
        await port.leave()

    run(end())


def test_what_is_said_while_the_node_ends_is_neither_done_nor_counted(connect, run, hub, port):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        leaving = asyncio.ensure_future(port.leave())
        await asyncio.sleep(0)
        ann.says(chat(1, "bob@hub.local"))
        await leaving
        await ann.is_hung_up_on()
        assert await kept(hub) == []
        assert hub.store.accounts.read("SELECT handled FROM sessions") == [(1,)]

    run(talk())


@pytest.mark.parametrize(
    ("damage", "warns"),
    [
        ("DELETE FROM users", False),
        ("UPDATE sessions SET words = 'x'", True),
        ("UPDATE sessions SET words = '{}'", True),
        ("""UPDATE sessions SET words = '{"jid": "@", "seconds": 1}'""", True),
        ("UPDATE session_stanzas SET stanza = CAST('<message from=\"@\"/>' AS BLOB)", True),
    ],
)
def test_a_session_that_cannot_be_brought_back_is_let_go(connect, run, hub, port, again, damage, warns, caplog):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        leaving = port.leave

        async def leave():
            await leaving()
            hub.store.accounts.write(damage)

        port.leave = leave
        async with again() as (new, _):
            assert PHONE.bare not in new.sessions
            await new.store.accounts.committed()
            assert rows(new) == [0, 0]
        assert ("cannot be brought back" in caplog.text) == warns

    run(talk())


@pytest.mark.parametrize("killing", [False, True])
@pytest.mark.parametrize("meanwhile", ["remove", "passwd"])
def test_a_session_of_an_earlier_owner_of_the_name_or_of_an_earlier_password_does_not_come_back(
    connect, run, hub, port, again, killed, meanwhile, killing
):
    """Nor what waited for it: the node was stopped when its account was changed."""

    async def changed(accounts):
        if meanwhile == "remove":
            await accounts.remove("ann")
            await accounts.create("ann", "another")
        else:
            await accounts.set_password("ann", "another")

    async def talk():
        ann, id = await enabled(connect)
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        bob, _ = await enabled(connect, "bob")
        await falls_asleep(hub, ann)
        bob.says(chat(1) + PING)
        await bob.hears("id='p'/>")
        leaving = port.leave

        async def leave():
            await leaving()
            await changed(hub.accounts)

        port.leave = leave
        if killing:
            await changed(hub.accounts)
        async with killed() if killing else again() as (new, _):
            assert PHONE.bare not in new.sessions and BOB.bare in new.sessions
            assert id not in new.port.managed.by_id
            await new.store.accounts.committed()
            assert rows(new) == [0, 0]

    run(talk(), timeout=10)


def test_a_session_of_nobody_does_not_come_back(connect, run, hub, killed):
    async def talk():
        _, id = await enabled(connect)
        await hub.accounts.remove("ann")
        hub.tell("changed", PHONE)  # before it hears that it has to end
        await asyncio.sleep(0)
        async with killed() as (new, _):
            assert id not in new.port.managed.by_id

    run(talk())


def test_who_has_changed_his_own_password_goes_on_when_the_node_is_killed(connect, run, hub, killed):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(
            "<iq type='set' id='w'><query xmlns='jabber:iq:register'><username>ann</username>"
            "<password>another</password></query></iq>"
        )
        assert "type='result'" in await ann.hears("<iq [^>]*id='w'[^>]*>")
        ann.says(PING)
        await ann.hears("id='p'/>")
        async with killed() as (new, _):
            assert id in new.port.managed.by_id

    run(talk(), timeout=10)


def test_a_disk_that_keeps_nothing_does_not_keep_anybody_from_leaving(connect, run, hub, port, monkeypatch):
    from tests.features.test_offline import full_disk

    async def talk():
        ann, _ = await enabled(connect)
        await hub.store.accounts.committed()
        monkeypatch.setattr("node.hub.store.commit", full_disk)
        await port.leave()
        assert "<system-shutdown" in await ann.is_hung_up_on()

    run(talk())


@pytest.mark.parametrize("disk", ["slow", "full"])
def test_what_survives_a_kill_is_kept_until_what_survives_the_end_is_on_disk(
    connect, run, hub, port, monkeypatch, tmp_path, disk
):
    from tests.features.test_offline import full_disk

    there = []

    async def talk():
        await enabled(connect)
        await hub.store.accounts.committed()

        def commit(connection):
            there.append((tmp_path / NAME).exists())
            if disk == "full":
                full_disk(connection)
            else:
                connection.execute("COMMIT")

        monkeypatch.setattr("node.hub.store.commit", commit)
        await port.leave()
        assert set(there) == {True} and (tmp_path / NAME).exists() == (disk == "full")

    run(talk())


def test_a_disk_that_does_not_answer_keeps_nobody_from_leaving(connect, run, hub, port, monkeypatch, tmp_path):
    disk = threading.Event()

    async def talk():
        ann, _ = await enabled(connect)
        await hub.store.accounts.committed()
        monkeypatch.setattr("node.hub.store.commit", lambda connection: disk.wait() and connection.execute("COMMIT"))
        for module in ("management", "keeping"):
            monkeypatch.setattr(f"node.ports.client.{module}.LAST_WORDS", 0.05)
        try:
            await port.leave()
            assert "<system-shutdown" in await ann.is_hung_up_on()
            assert (tmp_path / NAME).exists()
        finally:
            disk.set()

    run(talk())


def test_what_is_kept_of_sessions_goes_with_their_account(connect, run, hub, port):
    async def talk():
        ann, _ = await enabled(connect)
        bob, _ = await enabled(connect, "bob")
        bob.says(chat(1, "bob@hub.local/phone") + chat(1) + PING)
        await bob.hears("id='p'/>")
        await port.leave()
        await hub.store.accounts.committed()
        assert rows(hub) == [2, 3]  # and the answer to his ping
        await requests(hub)["user-remove"]({"name": "bob"})
        assert rows(hub) == [1, 1]

    run(talk())


@pytest.mark.parametrize("end", [Ledger.close, Ledger.forget])
def test_what_is_settled_after_the_end_does_not_make_another_ledger(tmp_path, end):
    file = tmp_path / NAME
    ledger = Ledger(Path(tmp_path))
    ledger.stand()
    page = ledger.page("id", 0, 0, 0, 0)
    page.describe(b"whose it is")
    written = file.read_bytes()
    end(ledger)
    page.handled(1, 1)
    assert not file.exists() if end is Ledger.forget else file.read_bytes() == written
