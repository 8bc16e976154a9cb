"""RFC 6121 §2: fetching and changing the roster, pushes, versions, and what is refused."""

import re

import pytest

from node.base.jid import parse
from node.features.roster import Item, Rosters
from node.hub.hub import Hub
from node.hub.store import Store

NS = "jabber:iq:roster"


def fetch(version=None):
    return f"<iq type='get' id='g'><query xmlns='{NS}'{'' if version is None else f' ver={version!r}'}/></iq>"


def change(items, id="s"):
    return f"<iq type='set' id='{id}'><query xmlns='{NS}'>{items}</query></iq>"


def version_in(text):
    return re.search("ver='([^']*)'", text).group(1)


def full_disk(connection):
    import sqlite3

    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


RESULT = "<iq type='result' id='s' from='romeo@hub.local' to='romeo@hub.local/a'/>"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


def test_an_empty_roster_is_an_empty_query(romeo):
    romeo.says(fetch())
    assert romeo.heard == [
        f"<iq type='result' id='g' from='romeo@hub.local' to='romeo@hub.local/a'><query xmlns='{NS}'/></iq>"
    ]


def test_a_change_is_answered_first_and_then_pushed_to_who_fetched_the_roster(romeo, person):
    other, blind = person("romeo@hub.local/b"), person("romeo@hub.local/c")
    romeo.says(fetch())
    other.says(fetch())
    assert romeo.heard and other.heard
    item = "<item jid='juliet@hub.local' name='Juliet'><group>Family</group><group>Fair</group></item>"
    romeo.says(change(item))
    result, push = romeo.heard
    assert result == RESULT
    assert "from=" not in push and "type='set'" in push and "to='romeo@hub.local/a'" in push
    shown = item.replace("name='Juliet'", "name='Juliet' subscription='none'")
    assert shown in push
    assert shown in other.heard[0]
    assert blind.heard == []


def test_an_item_that_is_changed_keeps_its_subscription(romeo, hub, run):
    juliet = parse("juliet@hub.local")
    run(hub.need("roster").put(romeo.jid.bare, Item(juliet, "J", ("A",), subscription="both")).done())
    romeo.says(change("<item jid='juliet@hub.local' name='Juliet' subscription='none'/>"))
    romeo.says(fetch())
    assert "<item jid='juliet@hub.local' name='Juliet' subscription='both'/>" in romeo.heard[-1]


def test_items_that_are_equal_are_one_in_memory(hub, run):
    rosters, ann = hub.need("roster"), parse("ann@hub.local")
    lamps = [parse(f"lamp{number}@hub.local") for number in range(2)]
    for lamp in lamps:
        run(rosters.set_subscription(lamp, ann, "from"))
    rosters.loaded.clear()
    first, second = (rosters.items(lamp)[ann] for lamp in lamps)
    assert first is second
    assert first == Item(ann, subscription="from")


def test_versions(romeo):
    romeo.says(fetch("")).says(change("<item jid='juliet@hub.local'/>"))
    roster, _, push = romeo.heard
    assert version_in(roster) != version_in(push)
    romeo.says(fetch(version_in(push)))
    assert romeo.heard == ["<iq type='result' id='g' from='romeo@hub.local' to='romeo@hub.local/a'/>"]
    romeo.says(fetch(version_in(roster)))
    assert "juliet@hub.local" in romeo.heard[0]


def test_a_client_without_versions_hears_none(romeo):
    romeo.says(change("<item jid='juliet@hub.local'/>")).says(fetch())
    assert "ver=" not in romeo.heard[-1]


def test_a_change_that_nobody_can_see_changes_no_version(romeo, hub, run):
    rosters, owner = hub.need("roster"), romeo.jid.bare
    version = rosters.roster(owner).version
    run(rosters.set_pending(owner, parse("stranger@far.example"), True))
    assert rosters.roster(owner).version == version


def test_a_contact_is_removed(romeo):
    romeo.says(fetch()).says(change("<item jid='juliet@hub.local'/>"))
    assert romeo.heard
    romeo.says(change("<item jid='juliet@hub.local' subscription='remove'/>"))
    result, push = romeo.heard
    assert result == RESULT
    assert "<item jid='juliet@hub.local' subscription='remove'/>" in push
    romeo.says(fetch())
    assert "item" not in romeo.heard[0]


def test_an_address_is_prepared_and_without_its_resource(romeo):
    romeo.says(change("<item jid='Juliet@HUB.local/phone'/>")).says(fetch())
    assert "jid='juliet@hub.local'" in romeo.heard[-1]


GROUPS = "".join(f"<group>{number}</group>" for number in range(17))


@pytest.mark.parametrize(
    ("items", "condition"),
    [
        ("", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<item name='nobody'/>", "bad-request"),
        ("<item jid='a@b'><group>x</group><group>x</group></item>", "bad-request"),
        ("<item jid='@@'/>", "jid-malformed"),
        ("<item jid='romeo@hub.local'/>", "not-allowed"),
        ("<item jid='a@b'><group/></item>", "not-acceptable"),
        (f"<item jid='a@b' name='{'n' * 1024}'/>", "not-acceptable"),
        (f"<item jid='a@b'><group>{'g' * 1024}</group></item>", "not-acceptable"),
        (f"<item jid='a@b'>{GROUPS}</item>", "not-allowed"),
        ("<item jid='nobody@hub.local' subscription='remove'/>", "item-not-found"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(romeo, items, condition):
    romeo.says(change(items))
    assert f"<{condition} " in romeo.heard[0]
    romeo.says(fetch(""))
    assert "<item" not in romeo.heard[0]


def test_a_roster_has_an_end(romeo, hub, monkeypatch):
    monkeypatch.setattr("node.features.roster.ITEMS_LIMIT", 3)
    for number in range(3):
        romeo.says(change(f"<item jid='a{number}@b'/>"))
    assert len(romeo.heard) == 3
    romeo.says(change("<item jid='one@more'/>"))
    assert "<resource-constraint " in romeo.heard[0]
    romeo.says(change("<item jid='a1@b' name='known'/>"))
    assert romeo.heard == [RESULT]


def test_L16_what_is_in_a_roster_has_an_end_too(romeo, monkeypatch):
    monkeypatch.setattr("node.features.roster.TEXTS_LIMIT", 100)
    romeo.says(change(f"<item jid='a@b' name='{'n' * 50}'><group>{'g' * 40}</group></item>"))
    romeo.says(change("<item jid='a@b' name='n'/>")).says(change(f"<item jid='c@d' name='{'n' * 90}'/>"))
    assert romeo.heard == 3 * [RESULT]
    for item in ("<item jid='a@b' name='nnnnn'/>", "<item jid='e@fgh'/>", "<item jid='c@d'><group>g</group></item>"):
        romeo.says(change(item))
    assert ["<resource-constraint " in text for text in romeo.heard] == [True, True, False]


def test_the_roster_of_somebody_else_is_as_that_of_nobody(romeo, person):
    person("juliet@hub.local/b").says(change("<item jid='romeo@hub.local' name='R'/>"))
    answers = []
    for who in ("juliet", "nobody"):
        for type in ("get", "set"):
            query = f"<query xmlns='{NS}'><item jid='a@b'/></query>"
            romeo.says(f"<iq type='{type}' id='x' to='{who}@hub.local'>{query}</iq>")
        answers.append([text.replace(who, "who") for text in romeo.heard])
    assert answers[0] == answers[1]
    assert all("<service-unavailable " in text for text in answers[0])


def test_it_survives_a_restart(romeo, hub, loop, tmp_path, person):
    romeo.says(change("<item jid='juliet@hub.local' name='J &amp; J'><group>A</group><group>B</group></item>"))
    romeo.says("<presence type='subscribe' to='juliet@far.example'/>")
    hub.remote = lambda stanza, origin: None
    person("juliet@hub.local/b").says("<presence type='subscribe' to='romeo@hub.local'/>")
    rosters = hub.need("roster")
    before, version = dict(rosters.items(romeo.jid.bare)), rosters.roster(romeo.jid.bare).version
    hub.store.close()
    store = Store(tmp_path, loop)
    again = Rosters(Hub(hub.host, store, hub.accounts, loop))
    assert again.items(romeo.jid.bare) == before
    assert len(before) == 2 and any(item.request for item in before.values())
    assert again.roster(romeo.jid.bare).version == version
    store.close()


def test_a_disk_that_fails_takes_the_change_back_and_says_so(romeo, monkeypatch):
    romeo.says(change("<item jid='juliet@hub.local'/>")).says(fetch(""))
    _, roster = romeo.heard
    monkeypatch.setattr("node.hub.store.commit", full_disk)
    romeo.says(change("<item jid='nurse@hub.local'/>"))
    (answer,) = romeo.heard
    assert "type='wait'><resource-constraint " in answer
    monkeypatch.undo()
    romeo.says(fetch(""))
    assert romeo.heard == [roster]


def test_rosters_of_those_who_left_are_not_in_memory(romeo, hub):
    romeo.says(fetch())
    rosters = hub.need("roster")
    assert romeo.jid.bare in rosters.loaded
    romeo.leaves()
    assert romeo.jid.bare not in rosters.loaded
    assert rosters.interested == set()


def test_only_some_rosters_of_those_who_are_away_are_in_memory(hub):
    rosters = hub.need("roster")
    for number in range(200):
        rosters.items(parse(f"away{number}@hub.local"))
    assert len(rosters.loaded) <= 50


def test_nothing_of_a_removed_account_is_left(romeo, hub, run):
    romeo.says(change("<item jid='juliet@hub.local'/>"))
    hub.tell("removed", romeo.jid.bare)
    run(hub.store.accounts.committed())
    assert (
        hub.store.accounts.read("SELECT * FROM roster UNION ALL SELECT *, 0, 0, 0, 0, 0, 0, 0 FROM roster_version")
        == []
    )
