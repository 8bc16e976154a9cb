"""XEP-0441: everybody decides for himself what is kept of what is said to him and by him."""

import sqlite3

import pytest

from node.features.archive import NS
from node.features.archive.preferences import Preferences
from tests.conftest import read_stanza
from tests.features.archive.conftest import chat

JULIET, NURSE = "juliet@hub.local", "nurse@hub.local"


def prefs(default="always", always=(), never=()):
    lists = "".join(
        f"<{name}>{''.join(f'<jid>{jid}</jid>' for jid in jids)}</{name}>"
        for name, jids in (("always", always), ("never", never))
    )
    return f"<prefs xmlns='{NS}' default='{default}'>{lists}</prefs>"


@pytest.fixture
def asks(romeo):
    """`asks("get", "<prefs .../>")`: what Romeo is told; of an error its condition."""

    def asks(type, inner):
        romeo.forgets()
        romeo.says(f"<iq type='{type}' id='p'>{inner}</iq>")
        (answer,) = romeo.heard
        iq = read_stanza(answer)
        if iq.get("type") == "error":
            return iq.find("error").elements[0].name
        (told,) = iq.elements
        return told

    return asks


def test_retrieving_archiving_preferences(asks):
    assert asks("get", f"<prefs xmlns='{NS}'/>") == read_stanza(prefs())


def test_updating_archiving_preferences(asks):
    wanted = prefs("roster", ["romeo@montague.lit"], ["montague@montague.lit"])
    assert asks("set", wanted) == asks("get", f"<prefs xmlns='{NS}'/>") == read_stanza(wanted)
    plain = f"<prefs xmlns='{NS}' default='never'/>"  # lists that are missing are empty
    assert asks("set", plain) == asks("get", f"<prefs xmlns='{NS}'/>") == read_stanza(prefs("never"))


def test_the_text_is_an_address(asks):
    told = asks("set", prefs(always=[" Juliet@HUB.local ", f"{JULIET}/Balcony"]))
    assert told == read_stanza(prefs(always=[JULIET, f"{JULIET}/Balcony"]))


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (prefs("sometimes"), "bad-request"),
        (f"<prefs xmlns='{NS}'/>", "bad-request"),
        (prefs(never=["@"]), "jid-malformed"),
        (prefs(never=[f"a{number}@b" for number in range(1001)]), "resource-constraint"),
        (prefs(never=[f"{number}{'x' * 1000}@b" for number in range(200)]), "resource-constraint"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(asks, wanted, error):
    before = asks("set", prefs("roster"))
    assert asks("set", wanted) == error
    assert asks("get", f"<prefs xmlns='{NS}'/>") == before


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (prefs("always"), "abcd"),
        (prefs("never"), ""),
        (prefs("roster"), "ac"),
        (prefs("never", always=[JULIET]), "ac"),
        (prefs("always", never=[JULIET]), "bd"),
        (prefs("roster", always=[NURSE], never=[JULIET]), "bd"),
        (prefs("never", always=[f"{JULIET}/balcony"]), "c"),
        (prefs("always", never=[f"{JULIET}/balcony"]), "abd"),
        (prefs("never", always=[f"{JULIET}/balcony"], never=[JULIET]), "c"),
        (prefs("always", always=[JULIET], never=[JULIET]), "bd"),
    ],
)
def test_jid_matching(romeo, juliet, person, asks, look, wanted, kept):
    nurse = person(f"{NURSE}/kitchen")
    romeo.says(f"<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='{JULIET}'/></query></iq>")
    asks("set", wanted)
    romeo.says(chat(JULIET, "a")).says(chat(NURSE, "b"))
    juliet.says(chat("romeo@hub.local", "c"))
    nurse.says(chat("romeo@hub.local", "d"))
    assert "".join(look(romeo).bodies) == kept
    assert look(juliet).bodies == ["a", "c"] and look(nurse).bodies == ["b", "d"]  # everybody for himself


def test_a_request_to_see_one_is_no_roster_entry(romeo, juliet, asks, look):
    asks("set", prefs("roster"))
    juliet.says("<presence type='subscribe' to='romeo@hub.local'/>")
    juliet.says(chat("romeo@hub.local", "c"))
    assert look(romeo).bodies == []


def test_D5_it_is_answered_when_it_is_on_disk(romeo, asks, hub):
    asks("set", prefs("roster", always=[JULIET], never=[NURSE]))
    assert Preferences(hub).choices == hub.need("archive").preferences.choices != {}


def test_what_cannot_be_kept_does_not_hold(romeo, asks, monkeypatch):
    before = asks("set", prefs("roster"))
    error = sqlite3.OperationalError("full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fail(connection):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("node.hub.store.commit", fail)
        assert asks("set", prefs("never")) == "resource-constraint"
        assert asks("get", f"<prefs xmlns='{NS}'/>") == before


def test_a_new_account_of_that_name_has_its_own(romeo, asks, hub, person, run):
    asks("set", prefs("never", always=[JULIET]))
    hub.tell("removed", romeo.jid.bare)
    assert asks("get", f"<prefs xmlns='{NS}'/>") == read_stanza(prefs())
    run(hub.store.accounts.committed())
    assert Preferences(hub).choices == {}
