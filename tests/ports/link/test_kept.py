"""Messages that wait for other servers outlive the node (D6), and cost nothing where nobody waits."""

import asyncio
import contextlib
import re
import sqlite3

from node.base.element import E
from node.base.stanza import CLIENT
from node.ports.link import kept, outbox
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, Ear

AWAY = 1  # no port of a server
CAME = 1_700_000_000.0


def says(ann, id, body="brr", *more):
    ann.sends("message", E("body", CLIENT, body), *more, to=f"ben@{CABIN}", id=id)


def on_disk(world, domain=HOME):
    """The ids of the messages that are kept, as somebody else reads them."""
    with contextlib.closing(sqlite3.connect(world.folder / domain / "archive.db")) as other:
        rows = other.execute("SELECT stanza FROM outgoing ORDER BY id")
        return [re.search(rb" id='(.*?)'", row[0])[1].decode() for row in rows]


async def safe(links):
    """All that was written is on disk."""
    done = asyncio.Event()
    links.hub.store.when_safe(done.set)
    await done.wait()


async def silent_server(world):
    """The cabin's server takes connections and says nothing."""

    async def talk(talker):
        await talker.is_hung_up_on()

    await world.server(talk)


async def a_night_with_messages(world, *ids):
    """Home ends while these wait for the cabin, which says nothing."""
    await silent_server(world)
    home = world.node(HOME)
    ann = Ear(home.hub, f"ann@{HOME}/phone")
    for id in ids:
        says(ann, id)
    await asyncio.sleep(0)
    await world.stop(home)
    world.nodes.remove(home)
    assert on_disk(world) == list(ids)


def test_a_message_that_waits_is_on_disk_until_it_has_left(world):
    async def story(world):
        go_on = asyncio.Event()

        async def talk(talker):
            await go_on.wait()
            await talker.accepts_stanzas(world.papers[CABIN])
            heard.append(await talker.hears("</message>"))
            await talker.is_hung_up_on()

        heard = []
        await world.server(talk)
        home = world.node(HOME)
        store = home.hub.store
        before, turn = store.writes, store.turn
        says(Ear(home.hub, f"ann@{HOME}/phone"), "m")
        assert store.writes == before + 1 and store.turn == turn  # in the turn in which it came
        await safe(home)
        assert on_disk(world) == ["m"]
        go_on.set()
        await until(lambda: heard)
        await until(lambda: not on_disk(world))
        assert "urn:xmpp:delay" not in heard[0]  # a second is no delay

    world(story)


def test_what_is_about_the_moment_or_not_to_be_stored_is_not_kept(world):
    async def story(world):
        await silent_server(world)
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        before = home.hub.store.writes
        ann.sends("presence", to=f"ben@{CABIN}")
        ann.sends("iq", E("ping", "urn:xmpp:ping"), to=CABIN, type="get", id="i")
        ann.sends("message", E("composing", "http://jabber.org/protocol/chatstates"), to=f"ben@{CABIN}", id="c")
        says(ann, "m", "x", E("no-store", kept.HINTS))
        assert len(home.outboxes[CABIN]._waiting) == 4 and home.hub.store.writes == before

    world(story)


def test_what_goes_straight_out_is_never_written(world):
    async def story(world):
        home = world.node(HOME)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        says(ann, "1")
        await ben.hears()
        await until(lambda: not on_disk(world))
        before = home.hub.store.writes
        for number in range(50):  # in one turn
            says(ann, str(number))
        assert [(await ben.hears()).id for _ in range(50)] == [str(number) for number in range(50)]
        assert home.hub.store.writes == before

    world(story)


def test_what_comes_back_is_kept_no_longer(world):
    async def story(world):
        home = world.node(HOME)
        world.directory.ports[CABIN] = AWAY
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        says(ann, "1")
        await ann.hears()
        await safe(home)
        assert on_disk(world) == []
        before = home.hub.store.writes
        says(ann, "2")  # back at once
        assert len(ann.stanzas) == 1 and home.hub.store.writes == before

    world(story)


def test_what_is_too_large_for_the_peer_is_kept_no_longer(world):
    async def story(world):
        async def talk(talker):
            await talker.accepts_link(
                world.papers[CABIN],
                "<dialback xmlns='urn:xmpp:features:dialback'/>"
                "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1000</max-bytes></limits>",
            )
            await talker.hears("</db:result>")
            talker.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")
            await talker.is_hung_up_on()

        await world.server(talk)
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        says(ann, "m", "x" * 1000)
        assert "<policy-violation " in repr(await ann.hears())
        await until(lambda: not on_disk(world))

    world(story)


# A peer that does not read


def stalling(world, heard, go_on):
    """A server that takes no more after the message `first`, until `go_on` is set; the ids it `heard`."""

    async def talk(talker):
        talker.reader._limit = 1  # asyncio reads ahead two times this
        await talker.accepts_stanzas(world.papers[CABIN])
        heard.append(re.search("id='(.*?)'", await talker.hears("id='first'.*?</message>"))[1])
        await go_on.wait()
        while True:
            heard.append(re.search("id='(.*?)'", await talker.hears("</message>"))[1])

    return talk


async def fall_behind(world, heard, go_on):
    """Ann at home, with a link to a cabin that does not read any more, and how many messages went into it."""
    await world.server(stalling(world, heard, go_on))
    home = world.node(HOME)
    ann = Ear(home.hub, f"ann@{HOME}/phone")
    says(ann, "first")
    await until(lambda: heard and not on_disk(world))
    count = 0
    while not home.outboxes[CABIN].link.behind:
        says(ann, f"straight{count}", "x" * 50_000)
        count += 1
        assert count < 500  # no kernel takes 25 MB
        await asyncio.sleep(0)
    assert on_disk(world) == []
    return home, ann, count


def test_behind_a_peer_that_does_not_read_messages_are_kept_until_he_has_read(world):
    async def story(world):
        heard, go_on = [], asyncio.Event()
        home, ann, count = await fall_behind(world, heard, go_on)
        for number in range(3):
            says(ann, f"kept{number}")
        await safe(home)
        assert on_disk(world) == ["kept0", "kept1", "kept2"]
        go_on.set()
        await until(lambda: heard[-1] == "kept2")
        await until(lambda: not on_disk(world))
        assert heard == ["first", *(f"straight{n}" for n in range(count)), "kept0", "kept1", "kept2"]
        assert not home.outboxes[CABIN]._under_way

    world(story)


def test_what_a_link_that_broke_has_not_taken_goes_over_the_next_and_nothing_else(world):
    async def story(world):
        heard = []
        home, ann, _ = await fall_behind(world, heard, asyncio.Event())
        for number in range(3):
            says(ann, f"kept{number}")
            says(ann, "for the moment", "x", E("no-store", kept.HINTS))
        heard.clear()

        async def reads(talker):
            await talker.accepts_stanzas(world.papers[CABIN])
            while True:
                heard.append(re.search("id='(.*?)'", await talker.hears("</message>"))[1])

        await world.server(reads)
        home.outboxes[CABIN].link._connection.abort("the line broke")
        await until(lambda: len(heard) >= 3)
        says(ann, "next")
        await until(lambda: heard[-1] == "next")
        assert heard == ["kept0", "kept1", "kept2", "next"]
        await until(lambda: not on_disk(world))

    world(story)


def test_what_a_link_has_taken_is_not_sent_again_when_it_breaks(world, monkeypatch):
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 60)  # we have not looked yet

    async def story(world):
        heard, go_on = [], asyncio.Event()
        home, ann, _ = await fall_behind(world, heard, go_on)
        says(ann, "kept")
        go_on.set()
        await until(lambda: heard[-1] == "kept")
        home.outboxes[CABIN].link._connection.abort("the line broke")
        await until(lambda: not home.outboxes[CABIN].link)
        await world.server(stalling(world, heard, go_on))
        says(ann, "first")
        await until(lambda: heard[-1] == "first")
        assert heard[-2:] == ["kept", "first"]
        await until(lambda: not on_disk(world))

    world(story)


def test_on_a_line_that_is_closing_nothing_gets_lost(world):
    async def story(world):
        home, ann, _ = await fall_behind(world, [], asyncio.Event())
        box = home.outboxes[CABIN]
        box.link._connection.close("closed by the other side")  # of which the link does not hear before all is sent
        says(ann, "late")
        assert [each.stanza.id for each in box._waiting] == ["late"]

    world(story)


def test_what_is_under_way_when_the_node_ends_is_left_to_its_next_run(world):
    async def story(world):
        home, ann, _ = await fall_behind(world, [], asyncio.Event())
        says(ann, "kept")
        box = home.outboxes[CABIN]
        await world.stop(home)
        world.nodes.remove(home)
        assert box._work is None and on_disk(world) == ["kept"]

    world(story)


# Over a restart


def test_after_a_restart_what_waited_is_sent_in_order_with_the_time_it_came(world, monkeypatch):
    monkeypatch.setattr("node.ports.link.kept.time.time", lambda: CAME)

    async def story(world):
        await a_night_with_messages(world, "1", "2", "3")
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        says(ann, "4")
        messages = [await ben.hears() for _ in range(4)]
        assert [message.id for message in messages] == ["1", "2", "3", "4"]
        delays = [message.child("delay", kept.DELAY) for message in messages]
        assert [(each.get("from"), each.get("stamp")) for each in delays[:3]] == [(HOME, "2023-11-14T22:13:20Z")] * 3
        assert delays[3] is None and messages[0].body == "brr" and messages[0].sender == ann.jid
        await until(lambda: not on_disk(world))

    world(story)


def test_a_new_row_never_takes_the_number_of_an_old_one(world):
    async def story(world):
        await a_night_with_messages(world, "1", "2")
        home = world.node(HOME)
        says(Ear(home.hub, f"ann@{HOME}/phone"), "3")
        await safe(home)
        assert on_disk(world) == ["1", "2", "3"]

    world(story)


def test_what_waited_before_a_restart_is_tried_for_a_while_and_then_comes_back_once(world, monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_REST", 0.001)

    async def story(world):
        await a_night_with_messages(world, "1", "2")
        world.directory.ports[CABIN] = AWAY
        world.directory.asked.clear()
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        box = home.outboxes[CABIN]
        assert 0 < box._old_until - home.loop.time() <= outbox.OLD_SECONDS
        await until(lambda: len(world.directory.asked) >= 4)
        assert not ann.stanzas
        box._old_until = 0.0  # that while is over
        refused = [await ann.hears() for _ in range(2)]
        assert [(each.id, each.type) for each in refused] == [("1", "error"), ("2", "error")]
        assert "<remote-server-timeout " in repr(refused[0])
        await safe(home)
        assert on_disk(world) == [] and not ann.stanzas

    world(story)


def test_while_old_messages_rest_new_ones_come_back_at_once(world, monkeypatch):
    async def story(world):
        await a_night_with_messages(world, "old")
        world.directory.ports[CABIN] = AWAY
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        box = home.outboxes[CABIN]
        await until(lambda: box._failure and not box._work)
        says(ann, "new")
        assert [each.id for each in ann.stanzas] == ["new"]
        assert [each.stanza.id for each in box._waiting] == ["old"] and not box.idle

    world(story)


def test_a_new_message_waits_for_one_attempt_whatever_the_old_ones_do(world):
    async def story(world):
        await a_night_with_messages(world, "old")
        hang_up = asyncio.Event()

        async def talk(talker):
            await hang_up.wait()

        await world.server(talk)
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        box = home.outboxes[CABIN]
        await until(lambda: box._attempt)
        says(ann, "new")
        assert len(box._waiting) == 2
        hang_up.set()
        assert (await ann.hears()).id == "new"
        assert [each.stanza.id for each in box._waiting] == ["old"]
        assert box._size == box._waiting[0].size

    world(story)


def test_who_comes_back_later_gets_what_waited(world, monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_REST", 0.01)

    async def story(world):
        await a_night_with_messages(world, "old")
        world.directory.ports[CABIN] = AWAY
        home = world.node(HOME)
        box = home.outboxes[CABIN]
        await until(lambda: box._failures >= 2)
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        assert (await ben.hears()).id == "old"

    world(story)


def test_who_comes_back_and_knocks_gets_what_waited_at_once(world, monkeypatch):
    monkeypatch.setattr(outbox, "QUESTION_REST", 0)
    monkeypatch.setattr(outbox, "FIRST_REST", 60)

    async def story(world):
        await a_night_with_messages(world, "old")
        world.directory.ports[CABIN] = AWAY
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        box = home.outboxes[CABIN]
        await until(lambda: box._failure and not box._work)
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        ben.sends("message", to=ann.jid, id="knock")
        assert (await ben.hears()).id == "old"
        assert (await ann.hears()).id == "knock"

    world(story)


def test_a_restart_before_it_could_be_sent_keeps_it_as_it_came(world, monkeypatch):
    async def story(world):
        monkeypatch.setattr("node.ports.link.kept.time.time", lambda: CAME)
        await a_night_with_messages(world, "1")
        monkeypatch.undo()
        home = world.node(HOME)
        await asyncio.sleep(0)
        await world.stop(home)
        world.nodes.remove(home)
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        world.node(HOME)
        message = await ben.hears()
        delays = [each.get("stamp") for each in message.children if each.name == "delay"]
        assert delays == ["2023-11-14T22:13:20Z"]

    world(story)


def test_an_address_that_is_valid_no_more_costs_one_message(world, caplog):
    async def story(world):
        await a_night_with_messages(world, "1", "2")
        with contextlib.closing(sqlite3.connect(world.folder / HOME / "archive.db")) as other:
            spoiled = "CAST(replace(CAST(stanza AS TEXT), 'ben@', 'b en@') AS BLOB)"
            other.execute(f"UPDATE outgoing SET stanza = {spoiled} WHERE id = 1")
            other.commit()
        ben = Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        world.node(HOME)
        assert (await ben.hears()).id == "2"
        await until(lambda: not on_disk(world))
        assert "valid no more" in caplog.text

    world(story)


# A disk that fails


def full_disk(connection):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_R4_what_has_to_wait_and_cannot_be_kept_comes_back(world, monkeypatch):
    async def story(world):
        await silent_server(world)
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        monkeypatch.setattr("node.hub.store.commit", full_disk)
        for id in ("1", "2"):
            says(ann, id)
        refused = [await ann.hears() for _ in range(2)]
        assert [each.id for each in refused] == ["1", "2"]
        assert all("type='wait'><resource-constraint " in repr(each) for each in refused)
        assert "the disk is full" in repr(refused[0])
        box = home.outboxes[CABIN]
        assert not box._waiting and box._size == 0
        await until(lambda: home.hub.store.safe == home.hub.store.turn - 1)  # they were answered for

    world(story)


def test_R4_what_goes_straight_out_needs_no_disk(world, monkeypatch):
    async def story(world):
        home = world.node(HOME)
        ann, ben = Ear(home.hub, f"ann@{HOME}/phone"), Ear(world.node(CABIN).hub, f"ben@{CABIN}/desk")
        says(ann, "1")
        await ben.hears()
        await until(lambda: not on_disk(world))
        monkeypatch.setattr("node.hub.store.commit", full_disk)
        says(ann, "2")
        assert (await ben.hears()).id == "2"
        assert not ann.stanzas

    world(story)


def test_R4_a_store_that_takes_nothing_has_the_message_refused(world, monkeypatch):
    monkeypatch.setattr("node.hub.database.LIMIT", 0)

    async def story(world):
        await silent_server(world)
        home = world.node(HOME)
        ann = Ear(home.hub, f"ann@{HOME}/phone")
        says(ann, "1")
        (refused,) = ann.stanzas
        assert "<resource-constraint " in repr(refused)
        assert not home.outboxes[CABIN]._waiting

    world(story)
