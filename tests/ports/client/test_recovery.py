"""kill -9: what a client has missed comes once, what it says again is done once. The node that was killed is a copy of
the files of one that runs."""

import asyncio
import os
import re
import threading
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from node.base import stamp as dates
from node.base.errors import StreamError
from node.base.jid import parse
from node.base.path import Path
from node.base.stanza import Stanza
from node.hub import store
from node.ports.client import ledger
from node.ports.client.keeping import NS, leaving
from node.ports.client.ledger import RING, Entry, Ledger, Page, key_of
from node.ports.client.recovery import RECENT, Twice
from tests.ports.client.test_management import (
    PHONE,
    PING,
    R,
    a,
    chat,
    enabled,
    falls_asleep,
    ids,
    kept,
    resumes,
    session,
    until,
)
from tests.ports.client.test_saved import BOB, friends

DESK = parse("ann@hub.local/desk")
BODY = "<body>Is the lamp on?</body>"


async def on_disk(hub):
    """All is kept, and counted."""
    await hub.store.archive.committed()
    await hub.store.accounts.committed()
    sessions = [session for each in hub.sessions.values() for session in each.values()]
    await until(lambda: all(each.management.handled.settled for each in sessions))


async def archived(hub, owner=PHONE.bare):
    await on_disk(hub)
    found = await hub.need("archive").between(owner, 0, 1 << 62, 1000)
    return [message.id for _, _, message in found]


async def pinged(*talkers):
    """What each has heard before the answer."""
    heard = []
    for each in talkers:
        each.says(PING)
        heard.append(await each.hears("id='p'/>"))
    return heard


async def two(connect, hub):
    """ann and bob, who have said nothing yet; how many stanzas each has got."""
    await friends(hub)
    (ann, one), (bob, other) = await enabled(connect), await enabled(connect, "bob")
    for each in (ann, bob):
        each.says("<presence/>")
    await pinged(ann, bob)
    await ann.hears("bob@hub.local/phone|$")
    await pinged(ann, bob)
    return ann, one, bob, other


def got(hub, jid=PHONE):
    return session(hub, jid).management.sent.count


@pytest.mark.parametrize("missed", range(4))
def test_a_client_gets_what_it_has_missed_and_nothing_twice(connect, run, hub, killed, missed):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        bob.says("".join(chat(number, PHONE.bare if number % 2 else PHONE) for number in (1, 2, 3)))
        await pinged(bob)
        await ann.hears("id='m3'.*</message>")
        await on_disk(hub)
        count, bobs = got(hub), got(hub, BOB)
        async with killed() as (new, connect_again):
            assert new.present[PHONE.bare] == {PHONE: 0} and session(new).is_asleep
            bob, answer = await resumes(connect_again, bobs_id, bobs, "bob")
            assert " h='7'" in answer
            bob.says(chat(4) + chat(5, PHONE.bare))
            await pinged(bob)
            ann, answer = await resumes(connect_again, id, count - missed)
            assert "<resumed" in answer
            heard = (await pinged(ann))[0]
            assert ids(heard) == [f"m{number}" for number in range(4 - missed, 6)]
            assert "<presence" not in heard
            ann.says(a(count + 3) + R)
            await ann.hears("<a [^>]*/>")
            assert not session(new).management.sent.queue
            assert await archived(new) == ["m1", "m2", "m3", "m4", "m5"]

    run(talk(), timeout=15)


def test_what_was_delivered_before_it_could_be_kept_is_sent_again_and_does_not_come_twice(
    connect, run, hub, killed, monkeypatch, tmp_path
):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        await on_disk(hub)
        go_on = threading.Event()
        commit = store.commit

        def waits(connection):
            if connection.execute("PRAGMA database_list").fetchone()[2].startswith(str(tmp_path)):
                go_on.wait(5)
            commit(connection)

        monkeypatch.setattr(store, "commit", waits)
        try:
            before = got(hub, BOB)
            bob.says(chat(1) + chat(2) + R)
            assert " h='3'" in await bob.hears("<a [^>]*/>"), "not acked: presence and pings alone"
            await ann.hears("id='m2'.*</message>")
            count = got(hub)
            async with killed() as (new, connect_again):
                bob, answer = await resumes(connect_again, bobs_id, before, "bob")
                assert " h='3'" in answer
                bob.says(chat(1) + chat(2) + R)  # as every client does
                ann, answer = await resumes(connect_again, id, count)
                bob.says(chat(3))
                await pinged(bob)
                assert ids((await pinged(ann))[0]) == ["m3"]
                assert await archived(new) == ["m1", "m2", "m3"]
                ann.says(a(count + 2) + PING)
                await ann.hears("id='p'/>")
                bob.says(chat(1))
                await pinged(bob)
                assert ids((await pinged(ann))[0]) == ["m1"], "once, and not for ever"
        finally:
            go_on.set()

    run(talk(), timeout=15)


def test_what_was_kept_and_not_acked_is_sent_again_and_not_done_twice(connect, run, hub, killed, monkeypatch):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        await on_disk(hub)
        monkeypatch.setattr(hub.store, "when_safe", lambda callback: None)
        bob.says(chat(1) + R)
        assert " h='3'" in await bob.hears("<a [^>]*/>")
        await ann.hears("id='m1'.*</message>")
        await hub.store.archive.committed()
        count = got(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, count)
            bob, answer = await resumes(connect_again, bobs_id, got(hub, BOB), "bob")
            assert " h='3'" in answer
            bob.says(chat(1) + chat(2) + R)
            await bob.hears(re.escape(a(4)) + "|" + re.escape(a(5)))
            assert ids((await pinged(ann))[0]) == ["m2"]
            assert await archived(new) == ["m1", "m2"]

    run(talk(), timeout=15)


def test_what_was_kept_and_not_acked_is_not_done_twice_when_the_node_is_killed_again_meanwhile(
    connect, run, hub, killed, monkeypatch
):
    said = f"<message to='{PHONE}' id='m1' type='chat'><body>{'x' * 5000}</body></message>"  # repetition.py skips it

    async def talk():
        _, _, bob, id = await two(connect, hub)
        await on_disk(hub)
        monkeypatch.setattr(hub.store, "when_safe", lambda callback: None)
        bob.says(said + R)
        assert " h='3'" in await bob.hears("<a [^>]*/>")
        await hub.store.archive.committed()
        async with killed() as (second, connect_second):
            bob, answer = await resumes(connect_second, id, got(hub, BOB), "bob")
            assert " h='3'" in answer
            bob.says(a(got(second, BOB)) + R)
            await bob.hears("<a [^>]*/>")
            async with killed(second.folder) as (third, connect_third):
                bob, answer = await resumes(connect_third, id, got(second, BOB), "bob")
                assert " h='3'" in answer
                bob.says(said + R)
                await bob.hears(re.escape(a(4)))
                assert await archived(third) == ["m1"]

    run(talk(), timeout=15)


def test_what_is_noted_is_there_whenever_the_node_is_killed_again(connect, run, hub, killed, monkeypatch):
    """Also in the middle of bringing a session back to life, and of going on with it."""

    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says("".join(chat(number) for number in range(1, 6)))
        await pinged(bob)
        await ann.hears("id='m5'.*</message>")
        await on_disk(hub)
        count = got(hub)
        seen = []
        pwrite = os.pwrite

        def watched(file, data, at):
            done = pwrite(file, data, at)
            (folder,) = {os.path.dirname(os.readlink(f"/proc/self/fd/{file}"))}
            found = Ledger(Path(folder)).found.get(id)
            seen.append(found and [entry.number for entry in found.entries if entry.number <= count - 1])
            return done

        had = [entry.number for entry in Ledger(hub.store.accounts.path.parent).found[id].entries][:4]
        async with killed() as (new, connect_again):
            monkeypatch.setattr("os.pwrite", watched)
            ann, answer = await resumes(connect_again, id, count - 1)
            assert ids((await pinged(ann))[0]) == ["m5"]
            monkeypatch.setattr("os.pwrite", pwrite)
        assert len(had) == 4 and seen
        assert [each for each in seen if each != had] == []

    run(talk())


def test_an_h_that_was_told_is_never_taken_back(connect, run, hub, killed):
    async def talk():
        ann, id = await enabled(connect)
        for _ in range(5):
            ann.says(PING)
        ann.says(R)
        await ann.hears(re.escape(a(5)))
        async with killed() as (_, connect_again):
            ann, answer = await resumes(connect_again, id, got(hub))
            assert " h='5'" in answer

    run(talk())


def test_what_an_h_says_was_done_is_known_by_then(connect, run, hub, monkeypatch, tmp_path):
    """Or a client that is resumed would not say again that it is available."""
    found = []
    handled = Page.handled

    def looked_at(page, count, row):
        handled(page, count, row)
        found.append(next(iter(Ledger(Path(tmp_path)).found.values())))

    async def talk():
        ann, _ = await enabled(connect)
        await pinged(ann)
        monkeypatch.setattr(Page, "handled", looked_at)
        ann.says("<presence/>" + R)
        await ann.hears("<a [^>]*/>")
        assert found[-1].handled == 2 and b"<presence" in found[-1].words

    run(talk())


def test_an_h_that_was_told_when_it_was_resumed_is_never_taken_back(connect, run, hub, killed):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await pinged(ann)
        await falls_asleep(hub, ann)
        _, answer = await resumes(connect, id, got(hub))
        assert " h='2'" in answer
        async with killed() as (_, connect_again):
            _, answer = await resumes(connect_again, id, got(hub))
            assert " h='2'" in answer

    run(talk())


def test_copies_that_were_missed_come_as_copies(connect, run, hub, killed):
    async def talk():
        ann, id = await enabled(connect)
        desk, _ = await enabled(connect, resource="desk")
        bob, _ = await enabled(connect, "bob")
        ann.says("<presence/><iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        desk.says("<presence/>")
        await pinged(ann, desk)
        count = got(hub)
        bob.says(chat(1, "ann@hub.local/desk"))
        await pinged(bob)
        desk.says(chat(2, "bob@hub.local/phone"))
        await pinged(desk)
        heard = await ann.hears("<sent .*</message>")
        assert ids(heard) == ["m1", "m2"]
        ann.says(chat(3, "bob@hub.local"))
        await pinged(ann)
        await on_disk(hub)
        for had, missed in ((0, ["m1", "m2"]), (1, ["m2"]), (2, [])):
            async with killed() as (_, connect_again):
                ann, _ = await resumes(connect_again, id, count + had)
                heard = (await pinged(ann))[0]
                assert ids(heard) == missed
                assert heard.count("<received ") + heard.count("<sent ") == len(missed)

    run(talk(), timeout=20)


def test_a_node_that_is_killed_again_before_anybody_is_back(connect, run, hub, killed):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        bob.says(chat(1) + chat(2))
        await pinged(bob)
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        count, bobs = got(hub), got(hub, BOB)
        async with killed() as (second, connect_second):
            bob, _ = await resumes(connect_second, bobs_id, bobs, "bob")
            bob.says(chat(3) + R)
            await pinged(bob)
            await on_disk(second)
            bobs = got(second, BOB)
            async with killed(second.folder) as (_, connect_third):
                ann, answer = await resumes(connect_third, id, count - 1)
                assert ids((await pinged(ann))[0]) == ["m2", "m3"]
                bob, answer = await resumes(connect_third, bobs_id, bobs, "bob")
                assert " h='8'" in answer

    run(talk(), timeout=20)


@pytest.mark.parametrize("missed", range(4))
@pytest.mark.parametrize("times", [1, 2])
def test_a_node_that_ends_in_good_order_after_it_was_killed_and_before_anybody_is_back(
    connect, run, hub, killed, again, missed, times
):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(1) + chat(2) + chat(3))
        await pinged(bob)
        await ann.hears("id='m3'.*</message>")
        await on_disk(hub)
        ann.says(R)
        handled = re.findall(" h='[0-9]+'", await ann.hears("<a [^>]*/>"))[-1]
        count = got(hub)
        async with AsyncExitStack() as nodes:
            new, connect_again = await nodes.enter_async_context(killed())
            for number in range(times):
                bob, _ = await enabled(connect_again, "bob", "desk")
                bob.says(chat(4 + number))
                await pinged(bob)
                folder = new.folder
                new, connect_again = await nodes.enter_async_context(again((new, new.port)))
                new.folder = folder
            ann, answer = await resumes(connect_again, id, count - missed)
            assert "<resumed" in answer and handled in answer
            assert ids((await pinged(ann))[0]) == [f"m{number}" for number in range(4 - missed, 4 + times)]
            ann.says(a(got(new)) + R)
            await ann.hears("<a [^>]*/>")
            assert not session(new).management.sent.queue

    run(talk(), timeout=20)


def test_a_node_that_is_killed_ends_in_good_order_and_is_killed_before_anybody_is_back(
    connect, run, hub, killed, again
):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(1) + chat(2))
        await pinged(bob)
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        count = got(hub)
        async with killed() as (second, connect_second):
            bob, _ = await enabled(connect_second, "bob", "desk")
            bob.says(chat(3))
            await pinged(bob)
            async with again((second, second.port)), killed(second.folder) as (_, connect_again):
                ann, answer = await resumes(connect_again, id, count - 1)
                assert "<resumed" in answer
                assert ids((await pinged(ann))[0]) == ["m2", "m3"]

    run(talk(), timeout=20)


def test_what_was_missed_and_is_missed_again_is_passed_on_with_the_time_when_it_came(connect, run, hub, killed):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        count = got(hub)
        bob.says(chat(1))
        await ann.hears("id='m1'.*</message>")
        await on_disk(hub)
        ((_, came, _),) = await hub.need("archive").between(PHONE.bare, 0, 1 << 62, 1000)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, count)
            await ann.hears("id='m1'.*</message>")
            desk, _ = await enabled(connect_again, resource="desk")
            desk.says("<presence/>")
            await pinged(desk)
            session(new).management.sessions.end_soon(session(new).management, StreamError("conflict"))
            heard = await desk.hears("id='m1'.*</message>")
            assert f"stamp='{dates.format(came)}'" in heard

    run(talk())


def test_a_session_that_slept_when_the_node_was_killed(connect, run, hub, killed):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        bob.says(chat(1))
        await ann.hears("id='m1'.*</message>")
        count = got(hub)
        await falls_asleep(hub, ann)
        bob.says(chat(2) + chat(3))
        await pinged(bob)
        await on_disk(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, count)
            assert ids((await pinged(ann))[0]) == ["m2", "m3"]

    run(talk())


def test_a_session_that_had_slept_and_was_resumed_when_the_node_was_killed(connect, run, hub, killed):
    async def talk():
        ann, id, bob, bobs_id = await two(connect, hub)
        count = got(hub)
        await falls_asleep(hub, ann)
        bob.says(chat(1) + chat(2))
        await pinged(bob)
        ann, _ = await resumes(connect, id, count)
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, count + 1)
            assert ids((await pinged(ann))[0]) == ["m2"]

    run(talk())


@pytest.mark.parametrize("missed", [0, 1])
def test_a_node_that_is_killed_after_a_restart_in_good_order_before_anybody_is_back(
    connect, run, hub, again, killed, missed
):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(1) + chat(2))
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        count = got(hub)
        async with again() as (second, connect_second):
            bob, _ = await enabled(connect_second, "bob", "desk")
            bob.says(chat(3))
            await pinged(bob)
            await on_disk(second)
            async with killed() as (_, connect_third):
                ann, _ = await resumes(connect_third, id, count - missed)
                assert ids((await pinged(ann))[0]) == ["m2", "m3"][1 - missed :]

    run(talk(), timeout=15)


NO_ARCHIVE = "<no-permanent-store xmlns='urn:xmpp:hints'/>"


@pytest.mark.parametrize("missed", [0, 1])
@pytest.mark.parametrize("hint", ["", NO_ARCHIVE], ids=["archived", "in no archive"])
@pytest.mark.parametrize("bound", [False, True], ids=["away", "bound without presence"])
def test_a_message_from_the_storage_that_was_on_its_way(connect, run, hub, killed, missed, hint, bound):
    """What came between binding and presence lies in the archive behind where the session began, too: it comes once."""

    async def talk():
        bob, _ = await enabled(connect, "bob")
        if bound:
            ann, id = await enabled(connect)
        bob.says(f"<message to='ann@hub.local' id='m1' type='chat'>{BODY}{hint}</message>")
        await pinged(bob)
        await on_disk(hub)
        if not bound:
            ann, id = await enabled(connect)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        await pinged(ann)
        count = got(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, count - 2 * missed)
            assert ids((await pinged(ann))[0]) == ["m1"] * missed
            ann.says(a(got(new)) + PING)
            await ann.hears("id='p'/>")
            await on_disk(new)
            assert await kept(new) == []

    run(talk())


@pytest.mark.parametrize("missed", [0, 30])
def test_a_batch_from_the_storage_that_was_on_its_way(connect, run, hub, killed, missed):
    async def talk():
        bob, _ = await enabled(connect, "bob")
        bob.says("".join(chat(number, PHONE.bare) for number in range(60)))
        await pinged(bob)
        await on_disk(hub)
        ann, id = await enabled(connect)
        ann.says("<presence/>")
        await ann.hears("id='m59'.*</message>")
        count = got(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, count - missed)
            assert ids((await pinged(ann))[0]) == [f"m{number}" for number in range(60 - missed, 60)]
            ann.says(a(got(new)) + PING)
            await ann.hears("id='p'/>")
            assert await kept(new) == []

    run(talk())


def test_what_it_got_long_ago_is_not_looked_for(connect, run, hub, killed, monkeypatch):
    """Though it is noted still."""

    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        for first in (0, 20, 40):
            bob.says("".join(chat(number) for number in range(first, first + 20)))
            await ann.hears(f"id='m{first + 19}'.*</message>")
            await on_disk(hub)
        ann.says(chat(1, BOB) + R)
        await ann.hears(re.escape(a(4)))
        count = got(hub)
        monkeypatch.setattr("node.ports.client.recovery.LIMIT", 45)
        async with killed() as (_, connect_again):
            ann, answer = await resumes(connect_again, id, count)
            assert "<resumed" in answer
            assert ids((await pinged(ann))[0]) == []

    run(talk(), timeout=10)


def test_what_was_on_disk_when_much_was_not_does_not_come_again(connect, run, hub, killed, monkeypatch):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(0))
        await ann.hears("id='m0'.*</message>")
        await on_disk(hub)
        monkeypatch.setattr(hub.store.archive, "_queue", lambda op: None)
        bob.says("".join(chat(number) for number in range(1, RECENT + 5)))
        await ann.hears(f"id='m{RECENT + 4}'.*</message>")
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, got(hub))
            assert ids((await pinged(ann))[0]) == []

    run(talk())


def test_who_listens_and_says_nothing_is_resumed_however_much_he_has_heard(connect, run, hub, killed, monkeypatch):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        for first in (0, 20, 40):
            bob.says("".join(chat(number) for number in range(first, first + 20)))
            await ann.hears(f"id='m{first + 19}'.*</message>")
            ann.says(a(got(hub)) + PING)
            await ann.hears("id='p'/>")
        await on_disk(hub)
        monkeypatch.setattr("node.ports.client.recovery.LIMIT", 45)
        async with killed() as (_, connect_again):
            ann, answer = await resumes(connect_again, id, got(hub))
            assert "<resumed" in answer
            assert ids((await pinged(ann))[0]) == []

    run(talk(), timeout=10)


@pytest.mark.parametrize("missed", [0, 1])
def test_a_message_without_an_id_comes_once(connect, run, hub, killed, missed):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(1) + f"<message to='ann@hub.local' type='chat'>{BODY}</message>" + chat(2))
        await pinged(bob)
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        count = got(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, count - 2 * missed)
            assert (await pinged(ann))[0].count("<message") == 2 * missed

    run(talk())


@pytest.mark.parametrize("missed", [0, 1])
def test_a_message_without_an_id_that_waits_in_the_storage_comes_once(connect, run, hub, killed, missed):
    async def talk():
        bob, _ = await enabled(connect, "bob")
        ann, id = await enabled(connect)
        bob.says(f"<message to='ann@hub.local' type='chat'>{BODY}</message>")
        await pinged(bob)
        ann.says("<presence/>")
        await ann.hears("<message .*</message>")
        await pinged(ann)
        await on_disk(hub)
        count = got(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, count - 2 * missed)
            assert (await pinged(ann))[0].count("<message") == missed

    run(talk())


@pytest.mark.parametrize("missed", range(3))
def test_of_several_messages_without_an_id_those_that_were_missed_come(connect, run, hub, killed, missed):
    """Also when they came out of the storage, long after they were archived."""

    async def talk():
        bob, _ = await enabled(connect, "bob")
        ann, id = await enabled(connect)
        said = "".join(f"<message to='ann@hub.local' type='chat'><body>m{number}</body></message>" for number in (1, 2))
        bob.says(said)
        await pinged(bob)
        ann.says("<presence/>")
        await ann.hears("m2</body>.*</message>")
        await pinged(ann)
        await on_disk(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, got(hub) - 1 - missed)
            heard = (await pinged(ann))[0]
            assert re.findall("<body>(m.)<", heard) == ["m1", "m2"][2 - missed :]

    run(talk())


def test_of_two_who_resume_a_session_at_once_the_last_one_gets_it(connect, run, hub, killed, caplog):
    async def talk():
        _, id, bob, _ = await two(connect, hub)
        bob.says(chat(1))
        await pinged(bob)
        await on_disk(hub)
        async with killed() as (new, connect_again):
            archive = new.need("archive")
            find, go_on, looked = archive.between, asyncio.Event(), []

            async def finds(*wanted):
                looked.append(wanted)
                await go_on.wait()
                return await find(*wanted)

            archive.between = finds
            talkers = [await connect_again(), await connect_again()]
            for number, each in enumerate(talkers, 1):
                await each.logs_in("ann")
                each.says(f"<resume xmlns='{NS}' previd='{id}' h='{got(hub) - 1}'/>")
                await until(lambda number=number: len(looked) == number)
            go_on.set()
            first, last = [await each.hears("<resumed [^>]*/>|</failed>") for each in talkers]
            assert "<failed" in first and "<resumed" in last
            assert ids((await pinged(talkers[1]))[0]) == ["m1"]
        assert "Traceback" not in caplog.text

    run(talk(), timeout=10)


def test_what_the_storage_gave_and_was_not_acked_is_not_forgotten_when_the_node_is_killed_as_it_starts(
    connect, run, hub, again, killed, monkeypatch
):
    async def talk():
        bob, _ = await enabled(connect, "bob")
        ann, id = await enabled(connect)
        hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"  # so it is not in the archive
        bob.says(f"<message to='ann@hub.local' id='m1' type='chat'>{BODY}{hint}</message>")
        await pinged(bob)
        count = got(hub)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        monkeypatch.setattr("node.ports.client.saved.Saved.describe_soon", lambda self, client: None)
        async with again(), killed() as (new, connect_again):
            await on_disk(new)
            assert [each for each, _ in await kept(new)] == ["m1"]
            ann, _ = await resumes(connect_again, id, count)
            assert ids((await pinged(ann))[0]) == ["m1"]

    run(talk(), timeout=10)


def test_what_came_when_it_was_not_for_this_session_is_not_missed(connect, run, hub, killed):
    """Though it would be for it now: it listens since, and has copies."""

    async def talk():
        ann, id = await enabled(connect)
        desk, _ = await enabled(connect, resource="desk")
        bob, _ = await enabled(connect, "bob")
        desk.says("<presence/>")
        await pinged(desk)
        bob.says(chat(0) + chat(1, "ann@hub.local/desk") + chat(2, "ann@hub.local"))
        await pinged(bob)
        ann.says("<presence/><iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        await pinged(ann)
        bob.says(chat(3, "ann@hub.local/desk") + chat(4, "ann@hub.local"))
        await pinged(bob)
        await on_disk(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, got(hub) - 1)
            assert ids((await pinged(ann))[0]) == ["m4"]

    run(talk(), timeout=10)


@pytest.mark.parametrize("missed", [0, 1])
def test_a_copy_of_what_waits_in_the_storage_is_all_that_comes_of_it(connect, run, hub, killed, missed):
    async def talk():
        ann, id = await enabled(connect)
        bob, _ = await enabled(connect, "bob")
        ann.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        await pinged(ann)
        bob.says(chat(1, "ann@hub.local"))
        await pinged(bob)
        await ann.hears("<received .*</message>")
        await on_disk(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, got(hub) - missed)
            ann.says("<presence/>")
            heard = (await pinged(ann))[0]
            assert heard.count("id='m1'") == heard.count("<received ") == missed
            ann.says(a(got(new)) + PING)
            await ann.hears("id='p'/>")
            await on_disk(new)
            assert await kept(new) == []

    run(talk())


def test_a_message_from_the_storage_that_was_missed_and_is_missed_again_is_kept_once(connect, run, hub, killed):
    async def talk():
        bob, _ = await enabled(connect, "bob")
        ann, id = await enabled(connect)
        count = got(hub)
        bob.says(chat(1, "ann@hub.local"))
        await pinged(bob)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        ((_, came),) = await kept(hub)
        await on_disk(hub)
        async with killed() as (new, connect_again):
            ann, _ = await resumes(connect_again, id, count)
            assert f"stamp='{dates.format(came)}'>Offline Storage<" in await ann.hears("id='m1'.*</message>")
            session(new).management.sessions.end_soon(session(new).management, StreamError("conflict"))
            await ann.is_hung_up_on()
            assert await kept(new) == [("m1", came)]
            ann, _ = await enabled(connect_again)
            ann.says("<presence/>")
            assert ids((await pinged(ann))[0]) == ["m1"]

    run(talk())


@pytest.mark.parametrize("missed", [0, 1])
@pytest.mark.parametrize("ends", [False, True])
def test_a_message_from_the_storage_that_another_one_is_given_first(connect, run, hub, killed, missed, ends):
    async def talk():
        ann, id = await enabled(connect)
        desk, desks = await enabled(connect, resource="desk")
        bob, _ = await enabled(connect, "bob")
        bob.says(chat(1, "ann@hub.local"))
        await pinged(bob)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        await pinged(ann, desk)
        await on_disk(hub)
        count, desk_count = got(hub), got(hub, DESK)
        async with killed() as (new, connect_again):
            desk, _ = await resumes(connect_again, desks, desk_count)
            desk.says("<presence/>")
            assert ids((await pinged(desk))[0]) == ["m1"]
            ann, _ = await resumes(connect_again, id, count - 2 * missed)
            heard = (await pinged(ann))[0]
            assert ids(heard) == ["m1"] * missed and heard.count("Offline Storage") == missed
            if ends:
                session(new, DESK).close(None)
            else:
                desk.says(a(got(new, DESK)))
                await pinged(desk)
            ann.says(PING + a(got(new)) + PING)
            assert ids(await ann.hears("id='p'/>.*id='p'/>")) == []
            ann.says(a(got(new)))
            await pinged(ann)
            assert await kept(new) == []

    run(talk(), timeout=10)


def test_what_came_while_the_node_was_ending_is_noted(connect, run, hub, killed):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        session(hub).expect = leaving
        bob.says(chat(1) + chat(2))
        await pinged(bob)
        await ann.hears("id='m2'.*</message>")
        await on_disk(hub)
        async with killed() as (_, connect_again):
            ann, _ = await resumes(connect_again, id, got(hub) - 1)
            assert ids((await pinged(ann))[0]) == ["m2"]

    run(talk())


def test_more_than_is_noted_and_not_acked_cannot_be_found_out(connect, run, hub, killed):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        count = got(hub)
        bob.says("".join(chat(number) for number in range(RING + 5)))
        await pinged(bob)
        await ann.hears(f"id='m{RING + 4}'.*</message>")
        await on_disk(hub)
        async with killed() as (_, connect_again):
            _, answer = await resumes(connect_again, id, count)
            assert "<item-not-found" in answer
            ann, answer = await resumes(connect_again, id, count + RING)
            assert "<resumed" in answer
            assert len(ids((await pinged(ann))[0])) == 5

    run(talk(), timeout=10)


def test_after_another_boot_of_the_machine_clients_log_in_anew(connect, run, hub, killed, monkeypatch, tmp_path):
    async def talk():
        ann, id = await enabled(connect)
        await pinged(ann)
        (tmp_path / "boot").write_text("another")
        monkeypatch.setattr(ledger, "BOOT", str(tmp_path / "boot"))
        async with killed() as (_, connect_again):
            _, answer = await resumes(connect_again, id, 1)
            assert "<item-not-found" in answer

    run(talk())


def test_what_features_know_is_known_after_a_kill(connect, run, hub, killed):
    async def talk():
        hub.remote = lambda stanza, origin: None
        ann, _ = await enabled(connect)
        ann.says(
            "<presence><priority>3</priority></presence><presence to='room@chat.example/ann'/>"
            "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>"
            "<iq type='set' id='2'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
            "<iq type='get' id='3'><blocklist xmlns='urn:xmpp:blocking'/></iq>"
        )
        await pinged(ann)
        async with killed() as (new, _):
            assert new.present[PHONE.bare] == {PHONE: 3}
            assert list(new.need("presence").directed[PHONE]) == ["room@chat.example/ann"]
            assert new.need("roster").interested == {PHONE}
            assert PHONE in new.need("carbons").enabled[PHONE.bare]
            assert PHONE in new.need("blocking").asked[PHONE.bare]

    run(talk())


def test_a_session_that_has_ended_is_not_brought_back(connect, run, hub, killed):
    async def talk():
        ann, _ = await enabled(connect)
        bob, _ = await enabled(connect, "bob")
        await pinged(ann, bob)
        ann.says("</stream:stream>")
        await ann.is_hung_up_on()
        async with killed() as (new, _):
            assert list(new.sessions) == [BOB.bare]

    run(talk())


def test_what_is_acked_need_not_be_looked_for(connect, run, hub, tmp_path):
    async def talk():
        ann, id, bob, _ = await two(connect, hub)
        bob.says(chat(1))
        await ann.hears("id='m1'.*</message>")
        assert Ledger(Path(tmp_path)).found[id].sent < got(hub)
        ann.says(a(got(hub)) + R)
        await ann.hears("<a [^>]*/>")
        found = Ledger(Path(tmp_path)).found[id]
        assert (found.sent, found.sent_row) == (got(hub), hub.need("archive").newest)

    run(talk())


def test_a_message_may_be_said_again_after_a_while():
    said = Stanza("message", id="m1", sender=BOB)
    twice = Twice(Counter({key_of(said): 2}), Counter(), until=600.0)
    assert twice.takes(said, 599.0)
    assert not twice.takes(said, 601.0) and not twice.takes(said, 0.0)


def test_row_numbers_of_a_run_that_kept_nothing_mean_nothing(connect, run, hub, killed, monkeypatch):
    """The archive may give lower ones then."""
    monkeypatch.setattr("node.features.archive.rows.secrets.randbelow", lambda limit: 0)

    async def talk():
        hub.need("archive").rows.next_id += 1 << 33
        ann, id, bob, _ = await two(connect, hub)
        monkeypatch.setattr(hub.store.archive, "_queue", lambda op: None)
        bob.says(chat(1))
        await pinged(bob)
        await ann.hears("id='m1'.*</message>")
        count = got(hub)
        ann.says(a(count) + PING)
        await ann.hears("id='p'/>")
        async with killed() as (second, connect_second):
            bob, _ = await enabled(connect_second, "bob", "desk")
            bob.says(chat(2))
            await pinged(bob)
            ann, _ = await resumes(connect_second, id, count)
            await ann.hears("id='m2'.*</message>")
            await on_disk(second)
            async with killed(second.folder) as (_, connect_third):
                ann, _ = await resumes(connect_third, id, count)
                assert ids((await pinged(ann))[0]) == ["m2"]

    run(talk(), timeout=15)


def test_a_disk_that_is_full_is_said_once_and_hurts_nobody(connect, run, hub, port, monkeypatch, caplog):
    def full(file, data, at):
        raise OSError(28, "No space left on device")

    async def talk():
        monkeypatch.setattr("os.pwrite", full)
        ann, _ = await enabled(connect)
        await pinged(ann)
        ann.says(R)
        await ann.hears("<a [^>]*/>")
        assert caplog.text.count("No space left") == 1

    run(talk())


def test_the_file_holds_what_was_written_and_forgets_what_was_let_go(tmp_path):
    folder = Path(tmp_path)
    written = Ledger(folder)
    written.stand()
    pages = [written.page(name * 22, 1, 2, 3, 4) for name in "abc"]
    for page in pages:
        page.describe(b"{}")
    pages[0].handled(7, 8)
    for number in range(5):
        pages[0].sent(10 + number, 20 + number, 30 + number)
    pages[1].free()
    pages[2].describe(b"x" * 5000)
    found = Ledger(folder).found
    assert list(found) == ["a" * 22]
    assert found["a" * 22][:5] == (b"{}", 7, 8, 3, 4)
    assert [entry.key for entry in found["a" * 22].entries] == [30, 31, 32, 33, 34]
    pages[0].all_acked(12, 22)
    assert Ledger(folder).found["a" * 22][3:5] == (12, 22)
    for number in range(RING):
        pages[0].sent(20 + number, 30 + number, 1)
    assert Ledger(folder).found["a" * 22][3:5] == (20, 30)
    pages[0].all_acked(25, 35)
    assert Ledger(folder).found["a" * 22][3:5] == (25, 35)
    for number in range(RING):
        pages[0].sent(50 + number, 50, 1)
    pages[0].all_noted(60)
    assert Ledger(folder).found["a" * 22][3:5] == (50, 60), "all noted is that, though the first are written over"
    again = written.page("d" * 22, 0, 0, 0, 0)
    again.describe(b"{}")
    assert Ledger(folder).found["d" * 22].entries == []
    written.forget()
    assert Ledger(folder).found == {}


def test_of_more_than_a_page_holds_the_oldest_is_written_over_first(tmp_path):
    folder = Path(tmp_path)
    written = Ledger(folder)
    written.stand()
    page = written.page("a" * 22, 0, 0, 0, 0, b"{}", [Entry(number, 1, 1) for number in range(1, RING + 11)])
    page.sent(RING + 11, 1, 1)
    (found,) = Ledger(folder).found.values()
    assert [entry.number for entry in found.entries] == list(range(12, RING + 12))


def test_a_copy_has_the_key_of_what_it_is_a_copy_of(person, hub):
    romeo, juliet = person("romeo@hub.local/a"), person("juliet@hub.local/b")
    other = person("juliet@hub.local/c")
    seen = []
    other.deliver = seen.append
    juliet.deliver = seen.append
    other.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    seen.clear()
    romeo.says(f"<message to='juliet@hub.local/b' id='a&apos;&gt;b' type='chat'>{BODY}</message>")
    assert len(seen) == 2 and len({key_of(each) for each in seen}) == 1 and key_of(seen[0])
    seen.clear()
    for _ in range(2):
        romeo.says(f"<message to='juliet@hub.local/b' type='chat'>{BODY}</message>")
    assert len(seen) == 4 and len({key_of(each) for each in seen}) == 2 and all(map(key_of, seen))
    seen.clear()
    romeo.says(f"<message to='juliet@hub.local/b' type='chat'>{BODY}<no-store xmlns='urn:xmpp:hints'/></message>")
    assert [key_of(each) for each in seen] == [0, 0], "it is nowhere"
