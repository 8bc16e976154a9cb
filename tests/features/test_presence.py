"""RFC 6121 §4: who is told when somebody comes, changes and goes."""

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.roster import Item

NURSE = parse("nurse@far.example")


@pytest.fixture
def knows(hub, run):
    """`knows(owner, contact, "both")` puts one half of a subscription into a roster."""

    def knows(owner, contact, subscription):
        run(hub.need("roster").put(owner, Item(contact, subscription=subscription)).done())

    return knows


@pytest.fixture
def friends(knows):
    """`friends(one, other)`: each sees the other."""

    def friends(one, other):
        knows(one.jid.bare, other.jid.bare, "both")
        knows(other.jid.bare, one.jid.bare, "both")

    return friends


@pytest.fixture
def sent(hub):
    """What went to other servers."""
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza.to_bytes("jabber:server").decode())
    return sent


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/b")


def test_who_comes_is_seen_by_his_subscribers_and_by_himself(romeo, juliet, friends):
    friends(romeo, juliet)
    juliet.says("<presence/>")
    assert juliet.heard == ["<presence from='juliet@hub.local/b' to='juliet@hub.local/b'/>"]
    romeo.says("<presence><show>away</show></presence>")
    away = "<presence from='romeo@hub.local/a' to='{}'><show>away</show></presence>"
    assert juliet.heard == [away.format("juliet@hub.local")]
    assert romeo.heard == [
        away.format("romeo@hub.local/a"),
        "<presence from='juliet@hub.local/b' to='romeo@hub.local/a'/>",
    ]


def test_who_is_not_subscribed_sees_nothing(romeo, juliet, knows):
    knows(romeo.jid.bare, juliet.jid.bare, "to")
    knows(juliet.jid.bare, romeo.jid.bare, "to")
    juliet.says("<presence/>")
    assert juliet.heard
    romeo.says("<presence/>")
    assert juliet.heard == []
    assert len(romeo.heard) == 1


def test_another_resource_of_the_same_account_is_seen_and_sees(romeo, person):
    romeo.says("<presence><status>one</status></presence>")
    assert romeo.heard
    other = person("romeo@hub.local/z")
    other.says("<presence><status>two</status></presence>")
    assert romeo.heard == ["<presence from='romeo@hub.local/z' to='romeo@hub.local/a'><status>two</status></presence>"]
    assert other.heard == [
        "<presence from='romeo@hub.local/z' to='romeo@hub.local/z'><status>two</status></presence>",
        "<presence from='romeo@hub.local/a' to='romeo@hub.local/z'><status>one</status></presence>",
    ]


def test_a_contact_of_another_server_is_told_and_asked_once(romeo, knows, sent):
    knows(romeo.jid.bare, NURSE, "both")
    romeo.says("<presence id='p'/>")
    assert sent == [
        "<presence to='nurse@far.example' from='romeo@hub.local/a' id='p'/>",
        "<presence to='nurse@far.example' from='romeo@hub.local/a' type='probe'/>",
    ]
    sent.clear()
    romeo.says("<presence><show>dnd</show></presence>")
    assert sent == ["<presence to='nurse@far.example' from='romeo@hub.local/a'><show>dnd</show></presence>"]


def test_who_goes_is_seen_to_go_with_what_he_says(romeo, juliet, friends):
    friends(romeo, juliet)
    juliet.says("<presence/>")
    romeo.says("<presence/>")
    assert juliet.heard and romeo.heard
    romeo.says("<presence type='unavailable'><status>bye</status></presence>")
    bye = "<presence type='unavailable' from='romeo@hub.local/a' to='{}'><status>bye</status></presence>"
    assert juliet.heard == [bye.format("juliet@hub.local")]
    assert romeo.heard == [bye.format("romeo@hub.local/a")]
    romeo.leaves()
    assert juliet.heard == []


def test_a_line_that_is_cut_is_told_like_a_goodbye(romeo, juliet, friends, hub):
    friends(romeo, juliet)
    juliet.says("<presence/>")
    romeo.says("<presence/>")
    assert juliet.heard
    romeo.leaves()
    assert juliet.heard == ["<presence type='unavailable' from='romeo@hub.local/a' to='juliet@hub.local'/>"]
    assert list(hub.present) == [juliet.jid.bare]


def test_S13_a_stranger_who_was_shown_presence_directly_hears_the_end_of_it(romeo, juliet):
    romeo.says("<presence to='juliet@hub.local/b'><status>hi</status></presence>")
    assert juliet.heard == ["<presence from='romeo@hub.local/a' to='juliet@hub.local/b'><status>hi</status></presence>"]
    romeo.says("<presence/>").says("<presence><show>away</show></presence>")
    assert juliet.heard == []
    romeo.says("<presence type='unavailable'/>")
    assert juliet.heard == ["<presence type='unavailable' from='romeo@hub.local/a' to='juliet@hub.local/b'/>"]


def test_a_stranger_hears_it_also_when_the_line_is_cut_or_presence_was_never_sent(romeo, juliet):
    romeo.says("<presence to='juliet@hub.local/b'/>")
    assert juliet.heard
    romeo.leaves()
    assert juliet.heard == ["<presence type='unavailable' from='romeo@hub.local/a' to='juliet@hub.local/b'/>"]


def test_a_stranger_who_was_told_directly_hears_it_once(romeo, juliet):
    romeo.says("<presence to='juliet@hub.local/b'/>").says("<presence to='juliet@hub.local/b' type='unavailable'/>")
    assert len(juliet.heard) == 2
    romeo.leaves()
    assert juliet.heard == []


def test_a_subscriber_who_was_also_told_directly_hears_it_once(romeo, juliet, friends):
    friends(romeo, juliet)
    juliet.says("<presence/>")
    romeo.says("<presence/>").says("<presence to='juliet@hub.local/b'><show>chat</show></presence>")
    assert len(juliet.heard) == 3
    romeo.leaves()
    assert juliet.heard == ["<presence type='unavailable' from='romeo@hub.local/a' to='juliet@hub.local'/>"]


def test_presence_is_sent_directly_to_so_many_addresses_and_no_more(romeo, sent):
    for number in range(201):
        romeo.says(f"<presence to='room{number}@far.example/me'/>")
    assert len(sent) == 200
    assert "<resource-constraint " in romeo.heard[-1]
    sent.clear()
    romeo.leaves()
    assert len(sent) == 200


@pytest.mark.parametrize("text", ["", "x", "1.5", "128", "-129", "9999", "１"])
def test_a_priority_that_is_none_is_refused(romeo, hub, text):
    romeo.says(f"<presence><priority>{text}</priority></presence>")
    assert "<bad-request " in romeo.heard[0]
    assert hub.present == {}


@pytest.mark.parametrize(("text", "priority"), [("127", 127), ("-128", -128), (" 5\n", 5), ("+1", 1)])
def test_a_priority_is_a_small_number(romeo, hub, text, priority):
    romeo.says(f"<presence><priority>{text}</priority></presence>")
    assert hub.present[romeo.jid.bare] == {romeo.jid: priority}


def test_a_subscription_needs_an_address(romeo):
    romeo.says("<presence type='subscribe'/>")
    assert "<bad-request " in romeo.heard[0]


def test_S13_nobody_who_is_connected_without_presence_hears_presence(romeo, juliet, friends):
    friends(romeo, juliet)
    romeo.says("<presence/>")
    assert juliet.heard == []


# Probes of other servers (§4.3.2)


def probe(hub, to, sender=NURSE):
    hub.route(Stanza("presence", type="probe", sender=sender, to=parse(to)))


def test_a_subscriber_who_asks_hears_what_each_resource_said_last(romeo, person, knows, hub, sent):
    knows(romeo.jid.bare, NURSE, "from")
    romeo.says("<presence><show>away</show></presence>")
    person("romeo@hub.local/z").says("<presence/>")
    sent.clear()
    probe(hub, "romeo@hub.local")
    assert sent == [
        "<presence to='nurse@far.example' from='romeo@hub.local/a'><show>away</show></presence>",
        "<presence to='nurse@far.example' from='romeo@hub.local/z'/>",
    ]
    sent.clear()
    probe(hub, "romeo@hub.local/z")
    assert sent == ["<presence to='nurse@far.example' from='romeo@hub.local/z'/>"]


def test_a_subscriber_who_asks_about_somebody_away_hears_that(romeo, knows, hub, sent):
    knows(romeo.jid.bare, NURSE, "from")
    for address in ("romeo@hub.local", "romeo@hub.local/gone"):
        sent.clear()
        probe(hub, address)
        assert sent == [f"<presence to='nurse@far.example' from='{address}' type='unavailable'/>"]


def test_P6_a_stranger_who_asks_hears_what_he_hears_about_nobody(romeo, hub, sent):
    romeo.says("<presence/>")
    answers = []
    for name in ("romeo", "nobody"):
        probe(hub, f"{name}@hub.local")
        answers.append([text.replace(name, "name") for text in sent])
        sent.clear()
    assert answers[0] == answers[1]


def test_a_contact_who_wrongly_believes_to_be_a_subscriber_is_told(romeo, knows, hub, sent):
    knows(romeo.jid.bare, NURSE, "to")
    probe(hub, "romeo@hub.local")
    assert sent == ["<presence to='nurse@far.example' from='romeo@hub.local' type='unsubscribed'/>"]


# What others say


def test_presence_for_an_account_goes_to_its_available_resources(romeo, person, hub):
    silent = person("romeo@hub.local/silent")
    romeo.says("<presence/>")
    assert romeo.heard
    hub.route(Stanza("presence", sender=NURSE, to=romeo.jid.bare))
    assert romeo.heard == ["<presence from='nurse@far.example' to='romeo@hub.local'/>"]
    assert silent.heard == []


def test_presence_for_a_resource_goes_there_or_nowhere(romeo, person, hub):
    romeo.says("<presence/>")
    assert romeo.heard
    hub.route(Stanza("presence", sender=NURSE, to=parse("romeo@hub.local/gone")))
    assert romeo.heard == []
    hub.route(Stanza("presence", sender=NURSE, to=romeo.jid))
    assert len(romeo.heard) == 1


def test_an_error_about_a_contact_is_heard(romeo, hub):
    """So that a person can read why somebody could not be reached."""
    romeo.says("<presence/>")
    assert romeo.heard
    hub.route(Stanza("presence", type="error", sender=NURSE, to=romeo.jid.bare))
    assert len(romeo.heard) == 1


def test_nothing_of_who_has_left_is_in_memory(romeo, juliet, hub):
    presences = hub.need("presence")
    romeo.says("<presence/>").says("<presence to='juliet@hub.local'/>")
    assert presences.last and presences.directed
    romeo.leaves()
    assert not presences.last and not presences.directed


def test_L22_a_broadcast_is_serialised_once(romeo, knows, hub, monkeypatch):
    for number in range(5):
        knows(romeo.jid.bare, parse(f"n{number}@far.example"), "from")
    tails, tail = [], Stanza._tail
    monkeypatch.setattr(Stanza, "_tail", lambda self, ns: tails.append(ns) or tail(self, ns))
    hub.remote = lambda stanza, origin: stanza.to_bytes("jabber:server")
    romeo.says("<presence><show>away</show></presence>")
    assert tails.count("jabber:server") == 1


def test_a_session_that_ends_while_it_is_told_spares_the_others(romeo, person):
    others = [person(f"romeo@hub.local/{number}") for number in range(3)]
    for other in others:
        other.says("<presence/>")
    assert all(other.heard for other in others)
    slow = others[0]
    slow.deliver = lambda stanza: slow.hub.unbind(slow)
    romeo.says("<presence/>")
    assert any("romeo@hub.local/a" in text for text in others[2].heard)
