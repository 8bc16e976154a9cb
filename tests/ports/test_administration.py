"""What the administrator may ask: of people, and what that means for those who are logged in; of things."""

import time

import pytest

from node.base.jid import parse
from node.hub.driver import Field
from node.hub.store import StoreError
from node.hub.thing import Reading, Thing
from node.ports.administration import requests
from node.ports.control import Refused

NS = "jabber:iq:roster"
ROSTER = f"<iq type='get' id='r'><query xmlns='{NS}'/></iq>"


@pytest.fixture
def ask(hub, run):
    handlers = requests(hub)
    return lambda do, **request: run(handlers[do](request))


def test_which_node_it_is_is_told(ask):
    assert ask("domain") == "hub.local"


def test_people_are_added_listed_and_removed(ask):
    assert ask("user-add", name="Ann", password="secret") == "ann@hub.local"
    assert ask("user-add", name="bob", password="secret") == "bob@hub.local"
    assert ask("user-list") == ["ann@hub.local", "bob@hub.local"]
    assert ask("user-remove", name="ann") == "ann@hub.local"
    assert ask("user-list") == ["bob@hub.local"]


@pytest.mark.parametrize(
    ("do", "name", "password", "why"),
    [
        ("user-add", "ann", "secret", "exists already"),
        ("user-add", "a b", "secret", "a b"),
        ("user-add", "", "secret", "empty"),
        ("user-add", "bob", "", "password"),
        ("user-passwd", "eve", "secret", "there is no account eve@hub.local"),
        ("user-remove", "eve", "", "there is no account eve@hub.local"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(ask, do, name, password, why):
    ask("user-add", name="ann", password="secret")
    with pytest.raises(Refused, match=why):
        ask(do, name=name, password=password)


def test_somebody_is_invited(hub, ask, monkeypatch):
    made = ask("user-invite", days=2)
    assert hub.need("register").features() != []
    assert 1 < (made["expires"] - time.time()) / 86400 < 2.01
    assert len(hub.store.accounts.read("SELECT * FROM invitations")) == 1  # it is on disk when it is told
    monkeypatch.setattr("node.features.register.invitations.LIMIT", 1)
    with pytest.raises(Refused, match="too many invitations are open"):
        ask("user-invite", days=2)


def test_an_invitation_that_cannot_be_kept_is_none(hub, ask, monkeypatch):
    async def full():
        raise StoreError("the disk is full")

    monkeypatch.setattr(hub.store.accounts, "committed", full)
    with pytest.raises(Refused, match="the disk is full"):
        ask("user-invite", days=2)
    assert hub.need("register").features() == []


def test_a_new_password_ends_every_session_but_no_other_persons(ask, person):
    phone, desk, other = (
        person("ann@hub.local/phone"),
        person("ann@hub.local/desk"),
        person("bob@hub.local/a"),
    )
    ask("user-passwd", name="ann", password="new")
    assert [each.closed_with and each.closed_with.condition for each in (phone, desk, other)] == [
        "reset",
        "reset",
        None,
    ]


def test_a_removed_account_is_forgotten(hub, ask, person):
    forgotten = []
    hub.on("removed", forgotten.append)
    person("ann@hub.local/phone")
    ask("user-remove", name="ann")
    assert forgotten == ["ann@hub.local"]


def test_who_is_removed_while_logged_in_leaves_nothing_to_the_next_of_that_name(hub, ask, person):
    ann, bob = person("ann@hub.local/phone"), person("bob@hub.local/desk")
    befriend(ann, bob)
    ask("user-remove", name="ann")
    assert ann.closed_with.condition == "not-authorized"
    unavailable, unsubscribe, *_ = bob.heard
    assert "type='unavailable'" in unavailable and "type='unsubscribe'" in unsubscribe
    assert ask("user-add", name="ann", password="another")
    ann = person("ann@hub.local/phone")
    ann.says(ROSTER)
    assert ann.heard == [f"<iq type='result' id='r' to='{ann.jid}' from='ann@hub.local'><query xmlns='{NS}'/></iq>"]
    assert bob.heard == []


def test_who_followed_a_thing_does_not_follow_a_person_of_its_name(hub, ask, person, thing, run):
    bob = person("bob@hub.local/desk")
    run(hub.need("roster").set_subscription(thing.jid, bob.jid.bare, "from"))
    del hub.things[thing.jid]
    ask("user-add", name="porch", password="secret")
    with pytest.raises(Refused, match="exists already"):
        ask("user-add", name="porch", password="secret")
    assert hub.need("roster").subscribers(thing.jid) == []


def befriend(one, other):
    for each, contact in ((one, other), (other, one)):
        each.says(ROSTER).says("<presence/>").says(f"<presence type='subscribe' to='{contact.jid.bare}'/>")
    for each, contact in ((one, other), (other, one)):
        each.says(f"<presence type='subscribed' to='{contact.jid.bare}'/>")
        assert each.heard


def test_things_are_described_as_they_are(hub, ask, thing):
    thing.readings["light"] = Reading("40.0", 5.0)
    for state, expected in (
        ({"online": False, "reason": "USB cable gone"}, "offline"),
        ({"online": True}, "online"),
        ({"fault": "no answer"}, "fault"),
        ({"stale": True}, "stale"),
        ({"busy": True}, "busy"),
    ):
        for name, value in state.items():
            setattr(thing, name, value)
        (told,) = ask("thing-list")
        assert told["state"] == expected
    assert told["name"] == "porch"
    assert told["reason"] == "USB cable gone"
    light = {"name": "light", "label": "Light", "type": "quantity", "unit": "%", "value": "40.0", "stamp": 5.0}
    assert told["readings"] == [light]


def test_a_thing_is_nobodys_account(ask, thing):
    with pytest.raises(Refused, match="porch@hub.local is a thing"):
        ask("user-add", name="porch", password="secret")


@pytest.fixture
def thing(hub):
    class Driver:
        fields = (Field("light", unit="%", label="Light"),)
        controls = ()
        interval = None

    made = Thing(parse("porch@hub.local"), "Porch", "test", Driver())
    hub.things.clear()
    hub.things[made.jid] = made
    yield made
    hub.things.clear()
