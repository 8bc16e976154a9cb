"""RFC 6121 §3 and appendix A: the tables as they are printed, and the talks between two accounts."""

import asyncio

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.roster import Item
from node.features.subscription import STRANGER_LIMIT, STRANGERS_LIMIT, inbound, outbound
from tests.conftest import settle

CONTACT = parse("juliet@hub.local")
FETCH = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"
REQUEST = b"<presence/>"

STATES = {
    "None": Item(CONTACT),
    "None + Pending Out": Item(CONTACT, ask=True),
    "None + Pending In": Item(CONTACT, request=REQUEST),
    "None + Pending Out+In": Item(CONTACT, ask=True, request=REQUEST),
    "To": Item(CONTACT, subscription="to"),
    "To + Pending In": Item(CONTACT, subscription="to", request=REQUEST),
    "From": Item(CONTACT, subscription="from"),
    "From + Pending Out": Item(CONTACT, subscription="from", ask=True),
    "Both": Item(CONTACT, subscription="both"),
}
SAME = "no state change"

# Appendix A.2: whether the stanza is routed, and the new state; in the order of STATES.
OUTBOUND = {
    "subscribe": [
        (True, "None + Pending Out"),
        (True, SAME),
        (True, "None + Pending Out+In"),
        (True, SAME),
        (True, SAME),
        (True, SAME),
        (True, "From + Pending Out"),
        (True, SAME),
        (True, SAME),
    ],
    "unsubscribe": [
        (True, SAME),
        (True, "None"),
        (True, SAME),
        (True, "None + Pending In"),
        (True, "None"),
        (True, "None + Pending In"),
        (True, SAME),
        (True, "From"),
        (True, "From"),
    ],
    "subscribed": [
        (False, "pre-approval"),
        (False, "pre-approval"),
        (True, "From"),
        (True, "From + Pending Out"),
        (False, "pre-approval"),
        (True, "Both"),
        (False, SAME),
        (False, SAME),
        (False, SAME),
    ],
    "unsubscribed": [
        (False, SAME),
        (False, SAME),
        (True, "None"),
        (True, "None + Pending Out"),
        (False, SAME),
        (True, "To"),
        (True, "None"),
        (True, "None + Pending Out"),
        (True, "To"),
    ],
}

# Appendix A.3: whether the stanza is delivered, and the new state.
INBOUND = {
    "subscribe": [
        (True, "None + Pending In"),
        (True, "None + Pending Out+In"),
        (False, SAME),
        (False, SAME),
        (True, "To + Pending In"),
        (False, SAME),
        (False, SAME),
        (False, SAME),
        (False, SAME),
    ],
    "unsubscribe": [
        (False, SAME),
        (False, SAME),
        (True, "None"),
        (True, "None + Pending Out"),
        (False, SAME),
        (True, "To"),
        (True, "None"),
        (True, "None + Pending Out"),
        (True, "To"),
    ],
    "subscribed": [
        (False, SAME),
        (True, "To"),
        (False, SAME),
        (True, "To + Pending In"),
        (False, SAME),
        (False, SAME),
        (False, SAME),
        (True, "Both"),
        (False, SAME),
    ],
    "unsubscribed": [
        (False, SAME),
        (True, "None"),
        (False, SAME),
        (True, "None + Pending In"),
        (True, "None"),
        (True, "None + Pending In"),
        (False, SAME),
        (True, "From"),
        (True, "From"),
    ],
}


def rows(tables):
    return [
        pytest.param(type, state, passed, becomes, id=f"{type} in {state}")
        for type, table in tables.items()
        for state, (passed, becomes) in zip(STATES, table, strict=True)
    ]


def after(state, becomes):
    if becomes == "pre-approval":
        return STATES[state]._replace(approved=True)
    return STATES[state if becomes == SAME else becomes]


@pytest.mark.parametrize(("type", "state", "routed", "becomes"), rows(OUTBOUND))
def test_what_we_say_follows_the_tables_of_appendix_a_2(type, state, routed, becomes):
    assert outbound(STATES[state], type) == (after(state, becomes), routed)


@pytest.mark.parametrize(("type", "state", "delivered", "becomes"), rows(INBOUND))
def test_what_we_hear_follows_the_tables_of_appendix_a_3(type, state, delivered, becomes):
    assert inbound(STATES[state], type, REQUEST) == (after(state, becomes), delivered)


def test_unsubscribed_takes_a_pre_approval_back_and_tells_nobody():
    assert outbound(STATES["To"]._replace(approved=True), "unsubscribed") == (STATES["To"], False)


def test_a_request_that_was_approved_in_advance_is_granted_and_not_delivered():
    for state, becomes in (("None", "From"), ("None + Pending Out", "From + Pending Out"), ("To", "Both")):
        approved = STATES[state]._replace(approved=True)
        assert inbound(approved, "subscribe", REQUEST) == (STATES[becomes], False)


# Two accounts of one node


def pushes(heard):
    """The items of the roster pushes among what was heard."""
    return [text[text.index("<item") : text.index("</query>")] for text in heard if "type='set'" in text]


def presences(heard):
    return [text for text in heard if text.startswith("<presence")]


@pytest.fixture
def romeo(person):
    romeo = person("romeo@hub.local/a")
    romeo.says(FETCH).says("<presence/>")
    assert romeo.heard
    return romeo


@pytest.fixture
def juliet(person):
    juliet = person("juliet@hub.local/b")
    juliet.says(FETCH).says("<presence/>")
    assert juliet.heard
    return juliet


def befriend(one, other):
    one.says(f"<presence type='subscribe' to='{other.jid.bare}'/>")
    other.says(f"<presence type='subscribed' to='{one.jid.bare}'/>")
    assert one.heard and other.heard


def test_a_request_is_pushed_to_who_asks_and_delivered_from_his_account(romeo, juliet):
    romeo.says("<presence type='subscribe' id='s' to='juliet@hub.local/b'><status>Hi</status></presence>")
    assert pushes(romeo.heard) == ["<item jid='juliet@hub.local' subscription='none' ask='subscribe'/>"]
    assert juliet.heard == [
        "<presence type='subscribe' id='s' from='romeo@hub.local' to='juliet@hub.local'><status>Hi</status></presence>"
    ]


def test_who_is_asked_has_nobody_in_the_roster_before_the_answer(romeo, juliet):
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    juliet.says(FETCH)
    assert "<item" not in juliet.heard[-1]


def test_an_approval_is_heard_before_its_push_and_then_the_presence(romeo, juliet):
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert romeo.heard and juliet.heard
    juliet.says("<presence type='subscribed' to='romeo@hub.local'/>")
    approval, push, presence = romeo.heard
    assert approval == "<presence type='subscribed' from='juliet@hub.local' to='romeo@hub.local'/>"
    assert pushes([push]) == ["<item jid='juliet@hub.local' subscription='to'/>"]
    assert presence == "<presence from='juliet@hub.local/b' to='romeo@hub.local'/>"
    assert pushes(juliet.heard) == ["<item jid='romeo@hub.local' subscription='from'/>"]


def test_a_request_that_is_taken_back_leaves_no_trace(romeo, juliet, hub):
    """RFC 6121 §3.3.3: of somebody who is in no roster only the record is removed."""
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert juliet.heard
    romeo.says("<presence type='unsubscribe' to='juliet@hub.local'/>")
    assert juliet.heard == []
    assert hub.need("roster").items(juliet.jid.bare) == {}


def test_a_refusal_ends_the_waiting_and_leaves_no_trace_with_who_refused(romeo, juliet, hub):
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert romeo.heard and juliet.heard
    juliet.says("<presence type='unsubscribed' to='romeo@hub.local'/>")
    assert juliet.heard == []
    refusal, push = romeo.heard
    assert refusal == "<presence type='unsubscribed' from='juliet@hub.local' to='romeo@hub.local'/>"
    assert pushes([push]) == ["<item jid='juliet@hub.local' subscription='none'/>"]
    assert hub.need("roster").items(juliet.jid.bare) == {}


def test_who_ends_a_subscription_of_another_disappears_first(romeo, juliet):
    befriend(romeo, juliet)
    juliet.says("<presence type='unsubscribed' to='romeo@hub.local'/>")
    assert presences(romeo.heard) == [
        "<presence type='unavailable' from='juliet@hub.local/b' to='romeo@hub.local'/>",
        "<presence type='unsubscribed' from='juliet@hub.local' to='romeo@hub.local'/>",
    ]
    assert pushes(juliet.heard) == ["<item jid='romeo@hub.local' subscription='none'/>"]


def test_who_unsubscribes_sees_the_other_no_more(romeo, juliet):
    befriend(romeo, juliet)
    romeo.says("<presence type='unsubscribe' to='juliet@hub.local'/>")
    heard, push = juliet.heard
    assert heard == "<presence type='unsubscribe' from='romeo@hub.local' to='juliet@hub.local'/>"
    assert pushes([push]) == ["<item jid='romeo@hub.local' subscription='none'/>"]
    assert presences(romeo.heard) == ["<presence type='unavailable' from='juliet@hub.local/b' to='romeo@hub.local'/>"]
    juliet.says("<presence><show>away</show></presence>")
    assert romeo.heard == []


def test_a_request_waits_for_who_is_away_and_is_heard_at_each_login(romeo, person, hub, run):
    run(hub.accounts.create("juliet", "secret"))
    request = "<presence type='subscribe' to='juliet@hub.local'><nick xmlns='urn:x'>R &amp; J</nick></presence>"
    romeo.says(request).says("<presence type='subscribe' to='juliet@hub.local'/>")
    expected = request.replace(" to=", " from='romeo@hub.local' to=")
    for resource in ("b", "c"):
        juliet = person(f"juliet@hub.local/{resource}")
        juliet.says("<presence/>")
        assert [text for text in juliet.heard if "subscribe" in text] == [expected]
    juliet.says("<presence type='subscribed' to='romeo@hub.local'/>")
    last = person("juliet@hub.local/d")
    last.says("<presence/>")
    assert not any("subscribe" in text for text in last.heard)


def test_a_large_request_is_kept_without_what_it_says_in_addition(romeo, person, hub, run):
    run(hub.accounts.create("juliet", "secret"))
    romeo.says(f"<presence type='subscribe' to='juliet@hub.local'><status>{'x' * 5000}</status></presence>")
    juliet = person("juliet@hub.local/b")
    juliet.says("<presence/>")
    assert "<presence type='subscribe' from='romeo@hub.local' to='juliet@hub.local'/>" in juliet.heard


def test_a_request_that_was_not_answered_is_repeated_at_the_next_login(romeo, hub):
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza.to_bytes("jabber:server").decode())
    romeo.says("<presence type='subscribe' to='nurse@far.example'/>").says("<presence type='unavailable'/>")
    sent.clear()
    romeo.says("<presence/>")
    assert [text for text in sent if "subscribe" in text] == [
        "<presence to='nurse@far.example' from='romeo@hub.local' type='subscribe'/>"
    ]


def test_who_has_asked_asks_again_when_his_session_outlives_a_killed_node(romeo, person, hub, run):
    """XEP-0198: it is resumed, so it never becomes available anew; and what Juliet had to hear may be lost."""
    run(hub.accounts.create("juliet", "secret"))
    romeo.says("<presence to='juliet@hub.local' type='subscribe'/>")
    items = hub.need("roster").items(parse("juliet@hub.local"))
    settle(hub)
    items.clear()  # the node was killed before Juliet's side was on disk
    hub.tell("restore", romeo, {})
    settle(hub)
    assert items[romeo.jid.bare].pending_in
    juliet = person("juliet@hub.local/b").says("<presence/>")
    request = "<presence from='romeo@hub.local' to='juliet@hub.local' type='subscribe'/>"
    assert request in juliet.heard
    hub.tell("restore", juliet, {})  # it was told, and was killed before that had left the node
    assert request in juliet.heard


def test_a_pre_approval_stays_here_and_grants_the_request_when_it_comes(romeo, juliet):
    juliet.says("<presence type='subscribed' to='romeo@hub.local'/>")
    assert romeo.heard == []
    assert pushes(juliet.heard) == ["<item jid='romeo@hub.local' subscription='none' approved='true'/>"]
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert juliet.heard[0].startswith("<iq")
    assert presences(romeo.heard) == [
        "<presence type='subscribed' from='juliet@hub.local' to='romeo@hub.local'/>",
        "<presence from='juliet@hub.local/b' to='romeo@hub.local'/>",
    ]


def test_who_is_subscribed_and_asks_again_is_told_so(juliet, hub):
    """RFC 6121 §3.1.3: his server may have missed the first answer."""
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza.to_bytes("jabber:server").decode())
    nurse = parse("nurse@far.example")
    hub.route(Stanza("presence", type="subscribe", sender=nurse, to=juliet.jid.bare))
    juliet.says("<presence type='subscribed' to='nurse@far.example'/>")
    assert juliet.heard
    sent.clear()
    hub.route(Stanza("presence", type="subscribe", sender=nurse, to=juliet.jid.bare))
    assert juliet.heard == []
    assert sent == [
        "<presence to='nurse@far.example' from='juliet@hub.local' type='subscribed'/>",
        "<presence to='nurse@far.example' from='juliet@hub.local/b'/>",
    ]


def test_removing_a_contact_ends_it_in_both_directions(romeo, juliet):
    befriend(romeo, juliet)
    befriend(juliet, romeo)
    romeo.says(
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
        "<item jid='juliet@hub.local' subscription='remove'/></query></iq>"
    )
    assert presences(juliet.heard) == [
        "<presence type='unavailable' from='romeo@hub.local/a' to='juliet@hub.local'/>",
        "<presence type='unsubscribe' from='romeo@hub.local' to='juliet@hub.local'/>",
        "<presence type='unsubscribed' from='romeo@hub.local' to='juliet@hub.local'/>",
    ]
    heard = romeo.heard
    assert heard[0] == "<iq type='result' id='x' from='romeo@hub.local' to='romeo@hub.local/a'/>"
    assert pushes(heard) == ["<item jid='juliet@hub.local' subscription='remove'/>"]
    assert heard[2:] == ["<presence type='unavailable' from='juliet@hub.local/b' to='romeo@hub.local'/>"]
    juliet.says(FETCH)
    assert "<item jid='romeo@hub.local' subscription='none'/>" in juliet.heard[-1]


def test_a_removed_account_lets_go_of_its_contacts(romeo, juliet, hub):
    befriend(romeo, juliet)
    befriend(juliet, romeo)
    hub.tell("removed", romeo.jid.bare)
    assert "<presence type='unsubscribed' from='romeo@hub.local' to='juliet@hub.local'/>" in juliet.heard


def test_who_does_not_exist_is_asked_in_vain(romeo):
    romeo.says("<presence type='subscribe' to='nobody@hub.local'/>")
    assert presences(romeo.heard) == []


def test_nobody_subscribes_to_himself(romeo):
    romeo.says("<presence type='subscribe' to='romeo@hub.local'/>")
    assert romeo.heard == []


def test_P2_a_stranger_cannot_fill_the_roster(romeo, hub):
    for number in range(150):
        stanza = Stanza("presence", type="subscribe", sender=parse(f"s@far{number}.example"), to=romeo.jid.bare)
        hub.route(stanza)
    assert len(romeo.heard) == 100
    romeo.says("<iq type='set' id='x'><query xmlns='jabber:iq:roster'><item jid='nurse@hub.local'/></query></iq>")
    assert romeo.heard[0] == "<iq type='result' id='x' from='romeo@hub.local' to='romeo@hub.local/a'/>"


def test_P2_strangers_elsewhere_cannot_wear_out_the_disk(romeo, juliet, hub, monkeypatch):
    """Each change is a commit. Whom one knows is not counted, nor who lives here."""
    romeo.says("<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='known@far.example'/></query></iq>")
    romeo.ears.clear()

    def says(who, type):
        writes = hub.store.writes
        hub.route(Stanza("presence", type=type, sender=parse(who), to=parse("romeo@hub.local")))
        return hub.store.writes > writes

    def changes(who, times):
        written = 0
        for _ in range(times):
            written += says(who, "subscribe")
            settle(hub)
            written += says(who, "unsubscribe")
            settle(hub)
        return written

    assert changes("a@far.example", 8) == STRANGER_LIMIT
    assert STRANGER_LIMIT + sum(changes(f"b{number}@far.example", 2) for number in range(8)) == STRANGERS_LIMIT
    assert not any(says("a@near.example", "unsubscribe") for _ in range(STRANGERS_LIMIT))  # nothing to be kept
    assert changes("a@near.example", 1) == 2
    assert changes("known@far.example", 2) == 4
    assert changes("juliet@hub.local", STRANGERS_LIMIT) == STRANGERS_LIMIT * 2
    later = hub.loop.time() + 3600 / STRANGERS_LIMIT
    monkeypatch.setattr(hub.loop, "time", lambda: later)
    assert changes("c@far.example", 2) == 1


def test_what_follows_a_change_waits_for_it(romeo, juliet):
    """RFC 6120 §10.1: the order between two addresses is kept, also while a commit is under way."""
    session, loop = romeo, romeo.hub.loop
    loop_running, loop.is_running = loop.is_running, lambda: True  # says() shall not wait
    session.says("<presence type='subscribe' to='juliet@hub.local'/>")
    session.says("<message to='juliet@hub.local'><body>And?</body></message>")
    assert juliet.ears == []
    loop.is_running = loop_running
    assert [text.split()[0] for text in juliet.heard] == ["<presence", "<message"]


def test_who_has_left_meanwhile_is_not_shown(romeo, juliet, hub):
    """A presence that waited for a commit comes after the end of its session, whom nobody would see leave."""
    held, pair = hub.need("subscription").held, (romeo.jid.bare, juliet.jid.bare)
    waiting = []
    held[pair] = hub.spawn(asyncio.sleep(0), "a change"), waiting
    romeo.says("<presence to='juliet@hub.local/b'/>").leaves()
    del held[pair]
    for stanza, origin in waiting:
        hub.route(stanza, origin)
    assert len(waiting) == 1 and juliet.heard == []
    assert hub.need("presence").directed == {}


def test_a_disk_that_fails_takes_the_change_back_and_says_so(romeo, juliet, hub, monkeypatch):
    monkeypatch.setattr("node.hub.store.commit", full_disk)
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert juliet.heard == []
    assert "<resource-constraint" in romeo.heard[0]
    monkeypatch.undo()
    assert hub.need("roster").items(romeo.jid.bare) == {}


def full_disk(connection):
    import sqlite3

    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_an_answer_to_a_wrong_address_comes_while_a_change_is_being_kept(person, hub, caplog):
    romeo = person("romeo@hub.local/a")
    hub.need("subscription").held[parse("juliet@hub.local"), parse("nurse@hub.local")] = None, []
    romeo.says("<presence to='a@@b' id='1'/>")
    (answer,) = romeo.heard
    assert "<jid-malformed " in answer
    assert not caplog.records
