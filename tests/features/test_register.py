"""XEP-0077 in a session: the password is changed, the account is removed; nobody registers in band."""

import asyncio

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.hub.store import StoreError
from tests.conftest import settle

NS = "jabber:iq:register"
HOST = " to='hub.local'"
ROSTER = "<iq type='get' id='l'><query xmlns='jabber:iq:roster'/></iq>"


def ask(inside="", to=HOST, type="set"):
    return f"<iq type='{type}' id='r'{to}><query xmlns='{NS}'>{inside}</query></iq>"


def change(username="bill", password="new secret", to=HOST):
    return ask(f"<username>{username}</username><password>{password}</password>", to)


def result(person, sender="hub.local"):
    return [f"<iq type='result' id='r' from='{sender}' to='{person.jid}'/>"]


@pytest.fixture
def bill(person):
    return person("bill@hub.local/globe")


@pytest.fixture
def knows(hub, run):
    return lambda password, name="bill": run(hub.accounts.check(name, password))


def test_it_is_told(bill):
    bill.says(f"<iq type='get' id='d'{HOST}><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
    assert f"<feature var='{NS}'/>" in bill.heard[0]


@pytest.mark.parametrize("to", [HOST, ""])
def test_who_is_logged_in_is_registered(bill, to):
    """§3.1, example 4, less the password."""
    (heard,) = bill.says(ask(to=to, type="get")).heard
    assert "<registered/>" in heard and "<username>bill</username>" in heard and "<password/>" in heard
    assert "secret" not in heard


@pytest.mark.parametrize("to", [HOST, ""])
def test_a_new_password_is_kept_when_it_is_answered(bill, knows, to):
    bill.says(change(to=to))
    assert bill.heard == result(bill, "hub.local" if to else "bill@hub.local")
    assert knows("new secret") and not knows("secret")


def test_a_name_is_prepared_before_it_is_compared(bill, knows):
    assert bill.says(change(" Bill ")).heard == result(bill)
    assert knows("new secret")


def test_the_other_sessions_end_and_the_one_that_asked_stays(bill, person):
    phone, other = person("bill@hub.local/phone"), person("ann@hub.local/a")
    bill.says(change())
    assert phone.closed_with.condition == "reset"
    assert bill.closed_with is None and other.closed_with is None


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        (change("ann"), "not-allowed"),  # somebody else's, and a new one
        (change("nobody"), "not-allowed"),
        (change("a b"), "not-allowed"),
        (change(password=""), "bad-request"),
        (ask("<password>new secret</password>"), "bad-request"),
        (ask("<username>bill</username>"), "bad-request"),
        (ask(), "bad-request"),
        (change(password="new secret&#9;"), "not-acceptable"),
        (change(password="new secret" * 1000), "not-acceptable"),
        (ask("<remove/><username>bill</username>"), "bad-request"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(hub, bill, person, knows, said, condition):
    ann = person("ann@hub.local/a")
    (heard,) = bill.says(said).heard
    assert f"<{condition} " in heard and "type='error'" in heard
    assert "new secret" not in heard
    assert knows("secret") and knows("secret", "ann") and not hub.accounts.exists("nobody")
    assert bill.closed_with is None and ann.closed_with is None


def test_a_password_that_could_not_be_kept_is_not_changed(hub, bill, person, knows, monkeypatch):
    phone = person("bill@hub.local/phone")

    def full(connection):
        raise StoreError("the disk is full")

    monkeypatch.setattr(hub.accounts, "_settle", full)
    (heard,) = bill.says(change()).heard
    assert "<resource-constraint " in heard and "new secret" not in heard
    assert phone.closed_with is None


def test_no_password_is_in_the_log(bill, caplog):
    caplog.set_level("DEBUG")
    bill.says(change()).says(change("ann")).says(change(password="new secret&#9;"))
    assert "new secret" not in caplog.text


@pytest.mark.parametrize("to", [HOST, ""])
def test_a_removal_is_answered_and_then_every_session_ends(hub, bill, person, to):
    phone = person("bill@hub.local/phone")
    ears = []
    bill.close = lambda error: (ears.extend(bill.ears), bill.leaves())  # what was heard before the end
    bill.says(ask("<remove/>", to))
    assert ears == result(bill, "hub.local" if to else "bill@hub.local")
    assert phone.closed_with.condition == "not-authorized"
    assert not hub.accounts.exists("bill") and not hub.sessions


def test_a_removed_account_leaves_nothing_to_the_next_of_that_name(hub, bill, person):
    bill.says("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='ann@hub.local'/></block></iq>")
    bill.says("<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='ann@hub.local'/></query></iq>")
    bill.says(ask("<remove/>"))
    assert bill.closed_with.condition == "not-authorized"
    tables = [name for (name,) in hub.store.accounts.read("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = [row for name in tables for row in hub.store.accounts.read(f"SELECT * FROM {name}")]
    assert [row for row in rows if any("bill" in str(value) for value in row)] == []
    again = person("bill@hub.local/new").says(ROSTER)
    assert "<item" not in again.heard[0]


def test_contacts_are_told_that_a_removed_one_has_gone(hub, bill, person):
    ann = person("ann@hub.local/a")
    for each, contact in ((bill, ann), (ann, bill)):
        each.says(ROSTER).says("<presence/>").says(f"<presence type='subscribe' to='{contact.jid.bare}'/>")
    for each, contact in ((bill, ann), (ann, bill)):
        each.says(f"<presence type='subscribed' to='{contact.jid.bare}'/>")
    assert ann.heard
    bill.says(ask("<remove/>"))
    unavailable, unsubscribe, *_ = ann.heard
    assert "type='unavailable'" in unavailable and "type='unsubscribe'" in unsubscribe


def test_an_account_is_removed_once(hub, bill, person):
    phone = person("bill@hub.local/phone")
    for each in (bill, phone):
        hub.route(
            Stanza("iq", E("query", NS, E("remove")), type="set", id="r", to=parse("hub.local"), sender=each.jid), each
        )
    settle(hub)
    assert bill.heard == result(bill) and phone.heard == []
    assert not hub.accounts.exists("bill")


def test_a_removal_that_takes_too_long_for_the_asker_still_comes_to_its_end(hub, bill, run, monkeypatch):
    monkeypatch.setattr("node.hub.hub.ANSWER_DEADLINE", 0)
    may_end, remove = asyncio.Event(), hub.accounts.remove

    async def slow(name):
        await may_end.wait()
        await remove(name)

    monkeypatch.setattr(hub.accounts, "remove", slow)
    (heard,) = bill.says(ask("<remove/>")).heard
    assert "<remote-server-timeout " in heard
    gone = asyncio.Event()
    hub.on("removed", lambda jid: gone.set())
    may_end.set()
    run(gone.wait())
    assert bill.closed_with.condition == "not-authorized"


@pytest.mark.parametrize(
    ("type", "inside", "condition"),
    [
        ("get", (), "service-unavailable"),
        ("set", (E("username", NS, "kim"), E("password", NS, "new secret")), "not-allowed"),
        ("set", (E("username", NS, "bill"), E("password", NS, "new secret")), "not-allowed"),
        ("set", (E("remove", NS),), "registration-required"),
    ],
)
@pytest.mark.parametrize("sender", ["bill@far.example/x", "far.example"])
def test_nobody_registers_in_band_from_elsewhere(hub, bill, knows, type, inside, condition, sender):
    heard = []
    hub.remote = lambda stanza, origin: heard.append(stanza)
    hub.route(
        Stanza("iq", E("query", NS, *inside), type=type, id="r", to=parse("hub.local"), sender=parse(sender)), object()
    )
    settle(hub)
    (error,) = heard
    assert error.child("error", "jabber:client").elements[0].name == condition
    assert not error.has("query", NS)
    assert knows("secret") and hub.accounts.names() == ["bill"]


def test_nobody_else_can_be_asked(hub, bill, person, knows):
    ann = person("ann@hub.local/a")
    (heard,) = ann.says(ask("<remove/>", " to='bill@hub.local'")).heard
    assert "<service-unavailable " in heard
    assert hub.accounts.exists("bill")
