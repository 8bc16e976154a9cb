"""XEP-0160: messages wait for who is away, and are let go when he has them."""

import re

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.offline import Offline
from node.features.roster import Item
from node.hub.claims import archive_id
from node.hub.hub import Hub
from node.hub.store import Store
from tests.conftest import until

BODY = "<body>Wherefore art thou?</body>"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def away(hub, run):
    """juliet has an account and nobody is there."""
    run(hub.accounts.create("juliet", "secret"))
    return "juliet@hub.local"


def waiting(hub, run):
    run(hub.store.accounts.committed())
    return [row[0] for row in hub.store.accounts.read("SELECT stanza FROM offline ORDER BY id")]


def messages(heard):
    return [text for text in heard if text.startswith("<message")]


def answer_ping(person, type="result"):
    """The client answers the node's ping; returns what it had heard before."""
    heard = person.heard
    id = re.search("type='get' id='([^']+)'", heard[-1]).group(1)
    person.says(f"<iq type='{type}' id='{id}' to='hub.local'/>")
    return heard


def full_disk(connection):
    import sqlite3

    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_a_message_waits_and_is_delivered_with_the_time_it_came(romeo, away, person, hub, run, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1031699305)
    romeo.says(f"<message to='{away}' type='chat' id='m' xml:lang='en'>{BODY}</message>")
    monkeypatch.undo()
    assert romeo.heard == []
    assert len(waiting(hub, run)) == 1
    juliet = person("juliet@hub.local/balcony")
    juliet.says("<presence/>")
    assert messages(juliet.heard) == [
        f"<message from='romeo@hub.local/a' to='{away}' type='chat' id='m' xml:lang='en'>{BODY}"
        "<delay xmlns='urn:xmpp:delay' from='hub.local' stamp='2002-09-10T23:08:25Z'>Offline Storage</delay>"
        "</message>"
    ]


def test_messages_come_in_their_order_also_those_not_committed_yet(romeo, away, person, hub):
    loop = hub.loop
    for number in range(3):
        romeo.says(f"<message to='{away}'><body>{number}</body></message>")
    running, loop.is_running = loop.is_running, lambda: True  # says() shall not wait for the disk
    for number in range(3, 6):
        romeo.says(f"<message to='{away}'><body>{number}</body></message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    loop.is_running = running
    assert [re.search("<body>(.)", text).group(1) for text in messages(juliet.heard)] == list("012345")


@pytest.mark.parametrize("type", ["result", "error"])
def test_a_message_is_let_go_when_the_client_has_answered_after_it(romeo, away, person, hub, run, type):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    assert len(waiting(hub, run)) == 1
    heard = answer_ping(juliet, type)
    assert heard[-1].startswith("<iq") and "<ping xmlns='urn:xmpp:ping'/>" in heard[-1]
    assert waiting(hub, run) == []
    again = person("juliet@hub.local/c")
    again.says("<presence/>")
    assert messages(again.heard) == []


def test_a_client_that_broke_away_before_gets_it_again(romeo, away, person, hub, run):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    for resource in ("b", "c"):
        juliet = person(f"juliet@hub.local/{resource}")
        juliet.says("<presence/>").says("<iq type='get' id='other' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert len(messages(juliet.heard)) == 1
        juliet.leaves()
    assert len(waiting(hub, run)) == 1


def test_what_one_resource_did_not_confirm_goes_to_another_that_is_there(romeo, away, person):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    one, two = person("juliet@hub.local/1"), person("juliet@hub.local/2")
    one.says("<presence/>")
    two.says("<presence/>")
    assert len(messages(one.heard)) == 1
    assert messages(two.heard) == []
    one.leaves()
    assert len(messages(two.heard)) == 1


def test_somebody_else_cannot_confirm(romeo, away, person, hub, run):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet, other = person("juliet@hub.local/b"), person("juliet@hub.local/c")
    juliet.says("<presence/>")
    id = re.search("type='get' id='([^']+)'", juliet.heard[-1]).group(1)
    for liar in (romeo, other):
        liar.says(f"<iq type='result' id='{id}' to='hub.local'/>")
    assert len(waiting(hub, run)) == 1


def test_a_negative_priority_gets_nothing_until_it_rises(romeo, away, person):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence><priority>-1</priority></presence>")
    assert messages(juliet.heard) == []
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet.says("<presence/>")
    assert len(messages(juliet.heard)) == 2


def test_a_large_backlog_comes_in_batches(romeo, away, person, hub, run, monkeypatch):
    monkeypatch.setattr("node.features.offline.BATCH", 2)
    for number in range(5):
        romeo.says(f"<message to='{away}'><body>{number}</body></message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    sizes = [len(messages(answer_ping(juliet))) for _ in range(3)]
    assert sizes == [2, 2, 1]
    assert juliet.heard == []
    assert waiting(hub, run) == []


def test_a_batch_is_no_larger_than_a_connection_bears(romeo, away, person, monkeypatch):
    monkeypatch.setattr("node.features.offline.BATCH_BYTES", 1200)
    for _ in range(4):
        romeo.says(f"<message to='{away}'><body>{'x' * 400}</body></message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    assert len(messages(answer_ping(juliet))) == 2
    assert len(messages(juliet.heard)) == 2


STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


@pytest.mark.parametrize(
    "content",
    ["", STATE, f"<thread>t</thread>{STATE}", f"{STATE}<origin-id xmlns='urn:xmpp:sid:0' id='x'/>"],
)
def test_what_says_nothing_later_is_dropped_in_silence(romeo, away, hub, run, content):
    romeo.says(f"<message to='{away}' type='chat'>{content}</message>")
    assert waiting(hub, run) == []
    assert romeo.heard == []


@pytest.mark.parametrize(
    "content",
    [
        BODY,
        f"{BODY}{STATE}",
        "<received xmlns='urn:xmpp:receipts' id='m'/>",
        f"{STATE}<store xmlns='urn:xmpp:hints'/>",
        f"{BODY}<no-permanent-store xmlns='urn:xmpp:hints'/>",
    ],
)
def test_what_says_something_waits(romeo, away, hub, run, content):
    romeo.says(f"<message to='{away}' type='chat'>{content}</message>")
    assert len(waiting(hub, run)) == 1


def test_a_message_that_must_not_be_stored_is_refused(romeo, away, hub, run):
    romeo.says(f"<message to='{away}'>{BODY}<no-store xmlns='urn:xmpp:hints'/></message>")
    assert "<service-unavailable " in romeo.heard[0]
    assert waiting(hub, run) == []


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_other_types_never_wait(romeo, away, hub, run, type):
    romeo.says(f"<message to='{away}' type='{type}'>{BODY}</message>")
    assert waiting(hub, run) == []


def test_a_message_to_a_resource_that_has_left_waits_for_the_account(romeo, away, hub, run):
    romeo.says(f"<message to='{away}/gone' type='chat'>{BODY}</message>")
    assert len(waiting(hub, run)) == 1


def from_afar(name, text="x"):
    body = E("body", None, text)
    return Stanza("message", body, type="chat", sender=parse(f"{name}@far.example/x"), to=parse("juliet@hub.local"))


def test_L17_strangers_cannot_take_the_room_of_contacts(away, hub, run, monkeypatch):
    monkeypatch.setattr("node.features.offline.MESSAGES_LIMIT", 2)
    answers = []
    hub.remote = lambda stanza, origin: answers.append(stanza.to_bytes("jabber:server").decode())
    run(hub.need("roster").put(parse(away), Item(parse("friend@far.example"))).done())
    for _ in range(3):
        hub.route(from_afar("spam"))
    assert len(answers) == 1 and "type='cancel'><service-unavailable " in answers[0]
    for _ in range(2):
        hub.route(from_afar("friend"))
    assert len(answers) == 1
    hub.route(from_afar("friend"))
    assert len(answers) == 2
    assert len(waiting(hub, run)) == 4


def test_there_is_room_again_for_what_was_fetched(romeo, away, person, monkeypatch):
    monkeypatch.setattr("node.features.offline.MESSAGES_LIMIT", 2)
    for _ in range(2):
        romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    answer_ping(juliet)
    juliet.leaves()
    for _ in range(2):
        romeo.says(f"<message to='{away}'>{BODY}</message>")
    assert romeo.heard == []
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    assert len(romeo.heard) == 1


def test_L17_bytes_are_limited_too(romeo, away, monkeypatch):
    monkeypatch.setattr("node.features.offline.BYTES_LIMIT", 1000)
    romeo.says(f"<message to='{away}'><body>{'x' * 500}</body></message>")
    assert romeo.heard == []
    romeo.says(f"<message to='{away}'><body>{'x' * 500}</body></message>")
    assert "<service-unavailable " in romeo.heard[0]


def test_a_disk_that_fails_is_told_to_the_sender_and_takes_no_room(romeo, away, hub, run, monkeypatch):
    monkeypatch.setattr("node.hub.store.commit", full_disk)
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    with pytest.raises(Exception, match="full"):
        hub.store.accounts.write("SELECT 1")
        run(hub.store.accounts.committed())
    assert "type='wait'><resource-constraint " in romeo.heard[0]
    assert hub.need("offline").box(parse(away)).messages == [0, 0]


def test_it_survives_a_restart(romeo, away, hub, loop, tmp_path):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    hub.store.close()
    store = Store(tmp_path, loop)
    again = Hub(hub.host, store, hub.accounts, loop)
    again.provide("roster", hub.need("roster"))
    offline = Offline(again)
    assert len(offline.waiting(parse(away))) == 1
    assert offline.box(parse(away)).messages == [1, 0]
    assert offline.next_id == 2
    store.close()


def test_what_is_left_to_the_archive_is_handed_to_nobody_from_that_moment_on(romeo, away, person, hub, run):
    """XEP-0386; also before the disk knows that it is gone."""
    owner, offline = parse(away), hub.need("offline")
    for number in range(3):
        romeo.says(f"<message to='{away}'><body>{number}</body></message>")
    run(hub.store.archive.committed())
    run(hub.store.accounts.committed())
    offline.leave_to_archive(owner)
    assert offline.waiting(owner) == [] and offline.box(owner).messages == [0, 0] and offline.box(owner).bytes == [0, 0]
    romeo.says(f"<message to='{away}'><body>behind</body></message>")
    assert [b"behind" in message.stanza for message in offline.waiting(owner)] == [True]
    assert len(waiting(hub, run)) == 1
    run(until(lambda: not offline.gone))


def test_what_cannot_be_deleted_is_handed_over_after_all(romeo, away, person, hub, run, monkeypatch):
    owner, offline = parse(away), hub.need("offline")
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    run(hub.store.archive.committed())
    run(hub.store.accounts.committed())
    monkeypatch.setattr("node.hub.store.commit", full_disk)
    offline.leave_to_archive(owner)
    with pytest.raises(Exception, match="full"):
        hub.store.accounts.write("SELECT 1")  # or it may be over already, and nobody is told again
        run(hub.store.accounts.committed())
    assert len(offline.waiting(owner)) == 1 and offline.box(owner).messages == [1, 0] and offline.gone == set()


def test_only_the_owner_says_where_a_message_lies_in_his_archive(away):
    owner = parse(away)
    ids = [E("stanza-id", "urn:xmpp:sid:0", by=by, id=by) for by in ("room@muc.example", away, "hub.local")]
    message = Stanza("message", E("body", None, "Hi"), *ids, sender=parse("a@b.example"), to=owner)
    assert archive_id(owner, message) == away
    assert archive_id(parse("romeo@hub.local"), message) is None
    assert archive_id(owner, Stanza("message", E("body", None, "Hi"), to=owner)) is None


def test_nothing_of_a_removed_account_is_left(romeo, away, hub, run):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    hub.tell("removed", parse(away))
    assert waiting(hub, run) == []


def test_the_server_says_that_it_keeps_messages(hub):
    assert "msgoffline" in hub.features["host"]


@pytest.mark.parametrize("there", [True, False])
def test_a_client_that_never_answers_does_not_hold_back_the_others(romeo, away, person, hub, run, there):
    """XEP-0160 does not say how long: who is there already gets them then, or the next who comes."""
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    deaf = person("juliet@hub.local/1")
    deaf.says("<presence/>")
    assert len(messages(deaf.heard)) == 1
    other = person("juliet@hub.local/2")
    if there:
        other.says("<presence/>")
        assert messages(other.heard) == []
    hub.need("offline").overdue(parse(away))
    if not there:
        other.says("<presence/>")
    heard = answer_ping(other)
    assert len(messages(heard)) == 1
    assert waiting(hub, run) == []


def test_who_has_not_answered_does_not_get_the_same_again(romeo, away, person, hub):
    """As one who sleeps: it is in his queue. One who has come anew has no queue."""
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    one, two = person("juliet@hub.local/1"), person("juliet@hub.local/2")
    for each in (one, two):
        each.says("<presence/>")
    for _ in range(4):
        hub.need("offline").overdue(parse(away))
        one.says("<presence/>")
    assert [len(messages(each.heard)) for each in (one, two)] == [1, 1]
    one.leaves()
    one = person("juliet@hub.local/1")
    one.says("<presence/>")
    hub.need("offline").overdue(parse(away))
    assert [len(messages(each.heard)) for each in (one, two)] == [1, 0]


def test_each_is_asked_before_one_is_asked_again(romeo, away, person, hub):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    people = [person(f"juliet@hub.local/{number}") for number in range(4)]
    for each in people:
        each.says("<presence/>")
    for _ in people:
        hub.need("offline").overdue(parse(away))
    assert [len(messages(each.heard)) for each in people] == [1, 1, 1, 1]


def test_who_is_given_a_message_that_was_a_copy_lets_it_go_for_all(romeo, away, person, hub, run):
    quiet = person("juliet@hub.local/1")
    quiet.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    romeo.says(f"<message to='{away}' type='chat'>{BODY}</message>")
    assert len(messages(quiet.heard)) == 1
    other = person("juliet@hub.local/2")
    other.says("<presence/>")
    assert len(messages(answer_ping(other))) == 1
    assert waiting(hub, run) == [] and hub.need("offline").box(parse(away)).given == {}
    quiet.says("<presence/>")
    assert messages(quiet.heard) == []


@pytest.mark.parametrize("what", ["left to the archive", "not kept"])
def test_nobody_is_said_to_have_what_is_not_here(romeo, away, person, hub, run, monkeypatch, what):
    """Its number may be that of another message by and by."""
    person("juliet@hub.local/1").says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    if what == "not kept":
        monkeypatch.setattr("node.hub.store.commit", full_disk)
    romeo.says(f"<message to='{away}' type='chat'>{BODY}</message>")
    if what == "not kept":
        with pytest.raises(Exception, match="full"):
            hub.store.accounts.write("SELECT 1")
            run(hub.store.accounts.committed())
    else:
        run(hub.store.archive.committed())
        assert hub.need("offline").box(parse(away)).given
        hub.need("offline").leave_to_archive(parse(away))
    assert hub.need("offline").box(parse(away)).given == {}


def test_a_client_has_a_minute_to_answer(romeo, away, person, hub):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet = person("juliet@hub.local/1")
    juliet.says("<presence/>")
    unconfirmed = hub.need("offline").unconfirmed
    assert unconfirmed._seconds == 60 and len(unconfirmed) == 1
    answer_ping(juliet)
    assert len(unconfirmed) == 0


def test_a_client_that_acks_gets_no_ping_and_its_ack_lets_the_messages_go(romeo, away, person, hub, run):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet, callbacks = person("juliet@hub.local/1"), []
    juliet.when_acked = lambda callback: callbacks.append(callback) or True
    juliet.says("<presence/>")
    heard = juliet.heard
    assert len(messages(heard)) == 1 and not any("urn:xmpp:ping" in text for text in heard)
    assert len(waiting(hub, run)) == 1
    for callback in callbacks * 2:
        callback()
    assert waiting(hub, run) == []


def test_a_client_does_not_suffer_when_what_it_has_acked_cannot_be_deleted(romeo, away, person, hub, monkeypatch):
    romeo.says(f"<message to='{away}'>{BODY}</message>")
    juliet, callbacks = person("juliet@hub.local/1"), []
    juliet.when_acked = lambda callback: callbacks.append(callback) or True
    juliet.says("<presence/>")
    monkeypatch.setattr("node.hub.database.LIMIT", 0)  # the disk does not keep up
    callbacks[0]()  # its session would end with what this raises
    monkeypatch.undo()
    assert hub.need("offline").box(juliet.jid.bare).messages == [0, 0]
    assert len(messages(juliet.heard)) == 1
    juliet.says("<presence/>")
    assert messages(juliet.heard) == []
