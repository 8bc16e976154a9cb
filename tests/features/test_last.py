"""XEP-0012: for whom the node says when somebody was last here, and what it says."""

import sqlite3

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.last import FLUSH, LastSeen
from node.hub.accounts import Accounts
from node.hub.hub import Hub

QUERY = "<query xmlns='jabber:iq:last'/>"


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("node.features.last.time", clock)
    return clock


@pytest.fixture
def seen_by_romeo(clock, hub, monkeypatch):
    """Romeo may see juliet's presence, and nobody anybody else's."""
    monkeypatch.setattr(
        hub.need("roster"),
        "subscribed",
        lambda owner, contact: (owner, contact) == ("juliet@hub.local", "romeo@hub.local"),
    )


@pytest.fixture
def romeo(seen_by_romeo, person):
    return person("romeo@hub.local/a")


@pytest.fixture
def juliet(seen_by_romeo, person):
    return person("juliet@hub.local/b")


def ask(who, to):
    who.forgets()
    who.says(f"<iq type='get' id='last1' to='{to}'>{QUERY}</iq>")
    return who.heard


def told(to, sender, seconds, status=""):
    return [
        f"<iq type='result' id='last1' from='{sender}' to='{to}'>"
        f"<query xmlns='jabber:iq:last' seconds='{seconds}'>{status}</query></iq>"
    ]


def test_last_activity_response_from_server(later, romeo):
    later(123456.9)  # the clock stands still since before there was a hub
    assert ask(romeo, "hub.local") == told("romeo@hub.local/a", "hub.local", 123456)


def test_last_activity_response_by_server(clock, romeo, juliet):
    juliet.says("<presence type='unavailable'><status>Heading Home</status></presence>")
    juliet.leaves()
    clock.now += 903
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 903, "Heading Home")


def test_who_was_cut_off_left_without_words(clock, romeo, juliet):
    juliet.says("<presence type='unavailable'><status>For a moment</status></presence>")
    juliet.says("<presence/>")
    juliet.leaves()
    clock.now += 5
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 5)


def test_a_farewell_to_one_contact_is_not_for_the_others(clock, romeo, juliet):
    juliet.says("<presence type='unavailable' to='romeo@hub.local'><status>Only you</status></presence>")
    juliet.leaves()
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 0)


def test_zero_while_somebody_is_connected(clock, romeo, juliet, person):
    phone = person("juliet@hub.local/phone")
    phone.leaves()
    clock.now += 10
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 0)
    juliet.leaves()
    clock.now += 10
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 10)


def test_a_clock_that_was_set_back_makes_no_negative_time(clock, romeo, juliet):
    juliet.leaves()
    clock.now -= 3600
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 0)


def test_who_was_never_here(clock, romeo, hub, run):
    run(hub.accounts.create("juliet", "secret"))
    (answer,) = ask(romeo, "juliet@hub.local")
    assert "type='error'" in answer and "<item-not-found" in answer


def test_P6_requesting_entity_is_not_authorized(clock, romeo, juliet):
    (answer,) = ask(juliet, "romeo@hub.local")
    assert "type='error'" in answer and "<forbidden" in answer


def test_one_may_ask_about_oneself(romeo):
    assert ask(romeo, "romeo@hub.local") == told("romeo@hub.local/a", "romeo@hub.local", 0)


def test_last_activity_query_sent_to_full_jid(romeo, juliet):
    assert ask(romeo, "juliet@hub.local/b") == []
    assert juliet.heard == [f"<iq type='get' id='last1' from='romeo@hub.local/a' to='juliet@hub.local/b'>{QUERY}</iq>"]
    idle = "<query xmlns='jabber:iq:last' seconds='123'/>"
    juliet.says(f"<iq type='result' id='last1' to='romeo@hub.local/a'>{idle}</iq>")
    assert romeo.heard == told("romeo@hub.local/a", "juliet@hub.local/b", 123)


def test_P6_a_full_jid_is_not_asked_by_those_who_may_not_see_it(romeo, juliet):
    for resource in ("a", "none"):
        (answer,) = ask(juliet, f"romeo@hub.local/{resource}")
        assert "type='error'" in answer and "<forbidden" in answer
    assert romeo.heard == []


def test_it_is_written_once_an_hour_however_often_somebody_comes_and_goes(
    hub, clock, person, run, tmp_path, monkeypatch
):
    timers = []
    call_later = hub.loop.call_later

    def note(seconds, call, *args):
        if seconds == FLUSH:
            timers.append(call)
        return call_later(seconds, call, *args)

    monkeypatch.setattr(hub.loop, "call_later", note)
    for _ in range(20):
        person("juliet@hub.local/b").leaves()
        clock.now += 1
    (flush,) = timers
    run(hub.store.accounts.committed())
    assert on_disk(tmp_path) == []
    flush()
    settle(hub)
    assert on_disk(tmp_path) == [("juliet", 1_700_000_019, "")]
    person("juliet@hub.local/b").leaves()
    assert len(timers) == 2


def settle(hub):
    for task in list(hub._tasks):
        hub.loop.run_until_complete(task)


def test_it_outlives_the_node(hub, clock, loop, romeo, juliet):
    juliet.says("<presence type='unavailable'><status>Heading Home</status></presence>")
    juliet.leaves()
    loop.run_until_complete(hub.stop())
    again = Hub(hub.host, hub.store, Accounts(hub.store.accounts, hub.host), loop)
    again.provide("roster", hub.need("roster"))
    clock.now += 60
    seen = LastSeen(again).seen
    assert seen == {"juliet": (1_700_000_000, "Heading Home"), "romeo": (1_700_000_000, "")}


def test_who_is_removed_is_forgotten(hub, run, clock, person, romeo, juliet, tmp_path):
    juliet.leaves()
    hub.tell("stopping")
    settle(hub)
    assert [row[0] for row in on_disk(tmp_path)] == ["juliet", "romeo"]
    again = person("juliet@hub.local/b")
    person("juliet@hub.local/c").leaves()
    run(hub.accounts.remove("juliet"))
    hub.tell("removed", juliet.jid.bare)
    again.leaves()
    hub.tell("stopping")
    settle(hub)
    assert [row[0] for row in on_disk(tmp_path)] == ["romeo"]
    run(hub.accounts.create("juliet", "another"))
    (answer,) = ask(romeo, "juliet@hub.local")
    assert "<item-not-found" in answer


def test_last_words_are_cut_short(clock, romeo, juliet):
    juliet.says(f"<presence type='unavailable'><status>{'bye' * 200}</status></presence>")
    juliet.leaves()
    assert ask(romeo, "juliet@hub.local") == told("romeo@hub.local/a", "juliet@hub.local", 0, ("bye" * 200)[:500])


def test_a_full_disk_is_told_to_the_admin(hub, clock, romeo, monkeypatch, caplog):
    def full(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("node.hub.store.commit", full)
        hub.tell("stopping")
        settle(hub)
    assert "when people were last here is not kept" in caplog.text


def test_others_questions_and_things_are_not_our_business(hub, seen_by_romeo, romeo, juliet):
    juliet.says("<iq type='get' id='1' to='romeo@hub.local/a'><query xmlns='jabber:iq:version'/></iq>")
    assert "jabber:iq:version" in romeo.heard[0]
    guards = hub._guards["arriving", "iq"]
    (protect,) = [guard for guard in guards if getattr(guard, "__name__", "") == "protect"]
    porch = parse("porch@hub.local/hw")
    hub.things[porch.bare] = object()
    iq = Stanza("iq", E("query", "jabber:iq:last"), type="get", to=porch, sender=juliet.jid, id="1")
    assert protect(iq, juliet) is None
    del hub.things[porch.bare]


def test_it_is_announced(hub):
    assert "jabber:iq:last" in hub.features["host"] and "jabber:iq:last" in hub.features["account"]


def on_disk(folder):
    connection = sqlite3.connect(folder / "accounts.db")
    rows = connection.execute("SELECT * FROM last_seen").fetchall()
    connection.close()
    return rows


def test_nobody_learns_from_the_answer_who_has_an_account(hub, person):
    romeo = person("romeo@hub.local/a")
    person("juliet@hub.local/b")
    answers = [
        romeo.says(f"<iq type='get' id='1' to='{to}@hub.local'><query xmlns='jabber:iq:last'/></iq>").heard[0]
        for to in ("juliet", "nobody")
    ]
    assert answers[0].replace("juliet", "nobody") == answers[1]
    assert "<forbidden" in answers[1]
