"""XEP-0280: who gets a copy of what, and that nobody else can make one."""

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.features import carbons
from tests.conftest import Heard, read_stanza, without_ids

NS = carbons.NS
ENABLE = f"<iq type='set' id='e'><enable xmlns='{NS}'/></iq>"
DISABLE = f"<iq type='set' id='d'><disable xmlns='{NS}'/></iq>"
BODY = "<body>Hi</body>"
PRIVATE = f"<private xmlns='{NS}'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"
ROOM = f"<x xmlns='{carbons.MUC}'/>"
INVITE = f"<x xmlns='{carbons.MUC}'><invite from='juliet@hub.local'/></x>"
DIRECT_INVITE = "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
ELSEWHERE = "juliet@elsewhere.example/b"
OCCUPANT, MEETING = "room@rooms.example/juliet", "room@rooms.example"


@pytest.fixture
def devices(person):
    """`phone, desk = devices("romeo@hub.local/phone", ...)`: available, with carbons."""

    def devices(*addresses, presence="<presence/>"):
        made = [person(address).says(presence).says(ENABLE) for address in addresses]
        for each in made:
            assert each.heard
        return made

    return devices


@pytest.fixture
def romeo(devices):
    return devices("romeo@hub.local/phone", "romeo@hub.local/desk")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/b")


@pytest.fixture
def comes(hub):
    """`comes(sender, xml)`: a message comes from another server."""

    def comes(sender, xml):
        element = read_stanza(xml)
        to = parse(element.get("to"))
        message = Stanza(
            "message", *element.elements, type=element.get("type"), to=to, sender=parse(sender), id=element.get("id")
        )
        hub.route(message, object())

    return comes


@pytest.fixture
def sent(hub):
    """What went to other servers."""
    gone = []
    hub.remote = lambda stanza, origin: gone.append(stanza)
    return gone


def copied(name, person, type="chat"):
    """The message inside the one copy that somebody has heard; None when nothing was heard."""
    heard = person.heard
    if not heard:
        return None
    (text,) = heard
    wrapper = read_stanza(text)
    assert (wrapper.get("from"), wrapper.get("to")) == (person.jid.bare, person.jid)
    assert wrapper.get("type") == type
    (container,) = wrapper.elements
    assert (container.name, container.ns) == (name, NS)
    (forwarded,) = container.elements
    assert (forwarded.name, forwarded.ns) == ("forwarded", carbons.FORWARD)
    (message,) = forwarded.elements
    assert (message.name, message.ns) == ("message", "jabber:client")
    assert "<message xmlns='jabber:client'" in text
    return without_ids(message)


# Enabling


def test_it_is_enabled_and_disabled_as_often_as_one_likes(person, juliet):
    phone = person("romeo@hub.local/phone")
    for request, id in ((ENABLE, "e"), (ENABLE, "e"), (DISABLE, "d"), (DISABLE, "d"), (ENABLE, "e")):
        phone.says(request)
        assert phone.heard == [f"<iq type='result' id='{id}' from='romeo@hub.local' to='{phone.jid}'/>"]


def test_who_does_not_want_copies_gets_none(romeo, person, juliet):
    phone, desk = romeo
    plain = person("romeo@hub.local/plain").says("<presence/>")
    desk.says(DISABLE)
    assert plain.heard and desk.heard and phone.heard
    juliet.says(f"<message to='{phone.jid}' type='chat'>{BODY}</message>")
    assert desk.heard == plain.heard == []


def test_a_session_that_has_ended_leaves_nothing(romeo, person, juliet, monkeypatch, hub):
    phone, desk = romeo
    juliet.says(f"<message to='{phone.jid}' type='chat' id='1'>{BODY}</message>")
    desk.leaves()
    assert person("romeo@hub.local/desk").heard == []
    assert phone.heard
    juliet.says(f"<message to='{phone.jid}' type='chat' id='1'>{BODY}</message>")
    assert len(phone.heard) == 1
    phone.leaves()
    (watcher,) = hub._watchers["leaving", "message"][:1]
    assert (watcher.__self__.enabled, watcher.__self__.recent) == ({}, {})


def test_nobody_enables_it_for_others(juliet, romeo):
    juliet.says(f"<iq type='set' id='e' to='romeo@hub.local'><enable xmlns='{NS}'/></iq>")
    assert "service-unavailable" in juliet.heard[0]  # as for an account that is not there


def test_the_domain_says_so(juliet):
    juliet.says("<iq type='get' id='i' to='hub.local'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
    (info,) = juliet.heard
    for feature in (NS, "urn:xmpp:carbons:rules:0"):
        assert f"<feature var='{feature}'/>" in info


# Which messages


def message(to, type=None, *children, id="1"):
    kind = f" type='{type}'" if type else ""
    return f"<message to='{to}' id='{id}'{kind}>{''.join(children)}</message>"


EITHER_WAY = [
    (True, "chat", BODY),
    (True, "chat"),
    (True, None, BODY),
    (True, "normal", BODY),
    (True, "unheard-of", BODY),
    (False, None, "<subject>Hi</subject>"),
    (True, None, RECEIPT),
    (True, None, "<request xmlns='urn:xmpp:receipts'/>"),
    (True, None, MARKER),
    (True, None, STATE),
    (False, None, f"<a xmlns='urn:a'>{STATE}</a>"),
    (True, None, DIRECT_INVITE),
    (False, "groupchat", BODY),
    (False, "groupchat", DIRECT_INVITE),
    (False, "headline", BODY),
    (False, "error", BODY),
    (False, "chat", BODY, PRIVATE),
    (False, "chat", BODY, PRIVATE, NO_COPY),
    (False, None, STATE, PRIVATE),
    (False, None, DIRECT_INVITE, PRIVATE),
    (False, "chat", BODY, NO_COPY),
    (True, "chat", BODY, "<no-store xmlns='urn:xmpp:hints'/>"),
]
KINDS = {"unheard-of": None}


@pytest.mark.parametrize("case", EITHER_WAY, ids=str)
def test_what_comes_is_copied_by_the_rules(romeo, juliet, case):
    eligible, type, *children = case
    phone, desk = romeo
    juliet.says(message(phone.jid, type, *children))
    (original,) = phone.heard
    for child in children:
        assert child in original  # nothing is stripped
    copy = copied("received", desk, KINDS.get(type, type))
    assert (copy is not None) == eligible
    assert copy is None or copy == without_ids(read_stanza(original))


@pytest.mark.parametrize("case", EITHER_WAY, ids=str)
def test_what_leaves_is_copied_by_the_rules(romeo, sent, case):
    eligible, type, *children = case
    phone, desk = romeo
    phone.says(message(ELSEWHERE, type, *children))
    (original,) = sent
    copy = copied("sent", desk, KINDS.get(type, type))
    assert (copy is not None) == eligible
    assert copy is None or copy == read_stanza(str(original))
    assert phone.heard == []


@pytest.mark.parametrize(
    "eligible, sender, type, children",
    [
        (False, OCCUPANT, "chat", BODY + ROOM),
        (False, OCCUPANT, None, BODY + ROOM),
        (False, OCCUPANT, None, STATE + ROOM),
        (True, OCCUPANT, "chat", BODY),  # nobody can see that it is an occupant's
        (True, MEETING, None, INVITE),
        (True, MEETING, None, BODY + INVITE),
        (True, MEETING, None, BODY + ROOM),
        (False, MEETING, None, ROOM),
        (False, MEETING, "groupchat", INVITE),
        (False, MEETING, None, INVITE + PRIVATE),
    ],
)
def test_what_comes_from_rooms(romeo, comes, eligible, sender, type, children):
    phone, desk = romeo
    comes(sender, message(phone.jid, type, children))
    assert len(phone.heard) == 1
    assert (copied("received", desk, type) is not None) == eligible


@pytest.mark.parametrize(
    "eligible, to, type, children",
    [
        (True, OCCUPANT, "chat", BODY + ROOM),
        (True, OCCUPANT, None, ROOM),
        (True, MEETING, None, INVITE),
        (False, MEETING, None, ROOM),
        (False, MEETING, "groupchat", BODY),
        (False, OCCUPANT, "chat", BODY + ROOM + PRIVATE),
    ],
)
def test_what_goes_to_rooms(romeo, sent, eligible, to, type, children):
    phone, desk = romeo
    phone.says(message(to, type, children))
    assert (copied("sent", desk, type) is not None) == eligible


def test_no_copy_means_nothing_on_what_is_for_an_account(romeo, sent):
    phone, desk = romeo
    phone.says(message("juliet@elsewhere.example", "chat", BODY, NO_COPY))
    assert copied("sent", desk) is not None


# Errors


def test_an_error_is_copied_when_it_answers_what_was_eligible(romeo, sent, comes):
    phone, desk = romeo
    for id, type, eligible in (("1", "chat", True), ("2", "headline", False)):
        phone.says(message(ELSEWHERE, type, BODY, id=id))
        assert (copied("sent", desk, type) is not None) == eligible
        comes(ELSEWHERE, message(phone.jid, "error", BODY, NO_COPY, id=id))
        assert len(phone.heard) == 1
        assert (copied("received", desk, "error") is not None) == eligible


def test_an_error_by_somebody_else_or_for_another_message_is_not_copied(romeo, sent, comes):
    phone, desk = romeo
    phone.says(message(ELSEWHERE, "chat", BODY))
    assert desk.heard
    comes("tybalt@elsewhere.example", message(phone.jid, "error"))
    comes(ELSEWHERE, message(phone.jid, "error", id="2"))
    comes(ELSEWHERE, message("romeo@hub.local", "error"))
    comes(ELSEWHERE, message(phone.jid, "error", PRIVATE))
    assert desk.heard == []


def test_the_error_that_a_resource_answers_with_is_copied(romeo, juliet):
    phone, desk = romeo
    juliet.says(message(phone.jid, "chat", BODY))
    assert phone.heard and desk.heard
    phone.says(message(juliet.jid, "error"))
    assert copied("sent", desk, "error") is not None


def test_an_error_for_a_resource_that_has_left_is_copied(romeo, sent, comes):
    phone, desk = romeo
    phone.says(message(ELSEWHERE, "chat", BODY))
    phone.leaves()
    assert desk.heard
    comes(ELSEWHERE, message(phone.jid, "error"))
    assert copied("received", desk, "error") is not None


def test_an_error_between_ones_own_resources_is_copied(romeo, devices):
    phone, desk = romeo
    (tablet,) = devices("romeo@hub.local/tablet")
    phone.says(message(desk.jid, "chat", BODY))
    assert copied("sent", tablet) is not None
    desk.says(message(phone.jid, "error"))
    assert copied("sent", tablet, "error") is not None


def test_our_own_refusal_is_copied(romeo):
    phone, desk = romeo
    phone.says(message("nobody@hub.local", "chat", BODY))
    assert len(phone.heard) == 1
    message_copy, error_copy = desk.heard
    assert "<sent " in message_copy and "type='error'" in error_copy and "<received " in error_copy


def test_only_so_many_messages_are_remembered(romeo, sent, comes, monkeypatch):
    monkeypatch.setattr(carbons, "RECENT", 2)
    phone, desk = romeo
    for id in "123":
        phone.says(message(ELSEWHERE, "chat", BODY, id=id))
    assert len(desk.heard) == 3
    comes(ELSEWHERE, message(phone.jid, "error", id="1"))
    assert desk.heard == []
    comes(ELSEWHERE, message(phone.jid, "error", id="2"))
    assert copied("received", desk, "error") is not None


@pytest.mark.parametrize("id", ["", " id='1'"])
def test_a_bounced_copy_reaches_nobody(romeo, juliet, id):
    phone, desk = romeo
    phone.says(f"<message to='{desk.jid}' type='chat'{id}>{BODY}</message>")  # whose errors would be eligible
    juliet.says(f"<message to='{phone.jid}' type='chat'{id}>{BODY}</message>")
    assert phone.heard and desk.heard
    desk.says(f"<message to='romeo@hub.local' type='error'{id}><error type='cancel'/></message>")
    assert juliet.heard == phone.heard == desk.heard == []


# Who gets it


def test_what_is_for_the_account_is_copied_to_those_alone_who_did_not_get_it(romeo, devices, person, juliet):
    phone, desk = romeo
    (away,) = devices("romeo@hub.local/away", presence="<presence><priority>-1</priority></presence>")
    silent = person("romeo@hub.local/silent").says(ENABLE)
    assert phone.heard and desk.heard and silent.heard
    juliet.says(message("romeo@hub.local", "chat", BODY))
    for each in (phone, desk):
        (original,) = each.heard
        assert "received" not in original
    for each in (away, silent):
        assert copied("received", each) is not None


def test_what_is_for_a_resource_that_has_left_goes_to_each_once(romeo, juliet):
    juliet.says(message("romeo@hub.local/gone", "chat", BODY))
    for each in romeo:
        (original,) = each.heard
        assert "received" not in original


def test_the_sender_needs_no_carbons_itself(romeo, sent):
    phone, desk = romeo
    phone.says(DISABLE).says(message(ELSEWHERE, "chat", BODY))
    assert len(phone.heard) == 1
    assert copied("sent", desk) is not None


def test_what_one_sends_to_oneself_is_heard_once_everywhere(romeo, devices):
    phone, desk = romeo
    (tablet,) = devices("romeo@hub.local/tablet")
    assert phone.heard and desk.heard
    phone.says(message(desk.jid, "chat", BODY))
    assert phone.heard == []
    assert len(desk.heard) == 1
    assert copied("sent", tablet) is not None
    phone.says(message("romeo@hub.local", "chat", BODY))
    assert [len(each.heard) for each in (phone, desk, tablet)] == [1, 1, 1]


def test_both_sides_have_copies(romeo, devices):
    phone, desk = romeo
    chamber, balcony = devices("juliet@hub.local/chamber", "juliet@hub.local/balcony")
    phone.says(message(chamber.jid, "chat", BODY))
    assert phone.heard == []
    assert len(chamber.heard) == 1
    assert copied("sent", desk) == copied("received", balcony)


def test_of_what_is_blocked_there_are_no_copies(romeo, juliet):
    phone, desk = romeo
    phone.says(f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{juliet.jid.bare}'/></block></iq>")
    assert phone.heard
    juliet.says(message(phone.jid, "chat", BODY))
    phone.says(message(juliet.jid, "chat", BODY))
    assert desk.heard == []


def test_who_ends_while_others_are_told_is_left_out(romeo, devices, juliet, monkeypatch):
    phone, desk = romeo
    tablet, watch = devices("romeo@hub.local/tablet", "romeo@hub.local/watch")
    monkeypatch.setattr(desk, "deliver", lambda stanza: stanza.name == "message" and tablet.leaves())
    juliet.says(message(phone.jid, "chat", BODY))
    assert juliet.heard == tablet.heard == []
    assert "<received " in watch.heard[-1]


def test_all_copies_are_serialised_once(devices, juliet, monkeypatch):
    phone, *others = devices(*(f"romeo@hub.local/{name}" for name in "abcd"))
    for each in (phone, *others):
        each.forgets()
    tails = []
    tail = Stanza._tail
    monkeypatch.setattr(Stanza, "_tail", lambda stanza, ns: tails.append(stanza) or tail(stanza, ns))
    juliet.says(message(phone.jid, "chat", BODY))
    assert [copied("received", each) is not None for each in others] == [True] * 3
    assert len(tails) == 2  # the message, for the archive, its receiver and inside the copies; and the copies


def test_a_copy_is_whole_when_the_message_leans_on_what_stands_around_it(romeo, juliet):
    phone, desk = romeo
    juliet.says(
        f"<message xmlns:x='urn:x' to='{phone.jid}' type='chat' xml:lang='en'><x:y a='&lt;'/>"
        f"<body xmlns='jabber:client'>&amp;</body><z xmlns=''/></message>"
    )
    (original,) = phone.heard
    copy = copied("received", desk)
    assert copy == without_ids(read_stanza(original))
    assert [(child.name, child.ns) for child in copy.elements] == [("y", "urn:x"), ("body", "jabber:client"), ("z", "")]


# Forgeries


def forged(name):
    inner = f"<message xmlns='jabber:client' from='juliet@hub.local/b' to='{OCCUPANT}' type='chat'>{BODY}</message>"
    return f"<{name} xmlns='{NS}'><forwarded xmlns='{carbons.FORWARD}'>{inner}</forwarded></{name}>"


@pytest.mark.parametrize("name", ["received", "sent"])
def test_S3_a_forged_copy_is_just_a_message(romeo, juliet, comes, name):
    phone, desk = romeo
    for sender, says in ((juliet.jid, juliet.says), (ELSEWHERE, lambda text: comes(ELSEWHERE, text))):
        says(f"<message to='{phone.jid}' type='chat' id='1'>{forged(name)}{BODY}{2 * forged(name)}</message>")
        plain = f"<message from='{sender}' to='{phone.jid}' type='chat' id='1'>{BODY}</message>"
        assert phone.heard == [plain]
        assert Heard(copied("received", desk)) == plain


def test_S3_nor_can_one_resource_forge_for_another_or_for_others(romeo, sent):
    phone, desk = romeo
    phone.says(f"<message to='{desk.jid}' xml:lang='en'>{forged('sent')}</message>")
    assert desk.heard == [f"<message from='{phone.jid}' to='{desk.jid}' xml:lang='en'/>"]
    phone.says(f"<message to='{ELSEWHERE}'>{forged('received')}{BODY}</message>")
    assert [stanza.body for stanza in sent] == ["Hi"] and not sent[0].has("received", NS)


def test_S3_whom_we_block_gets_no_forgery_through(romeo, juliet):
    phone, desk = romeo
    phone.says(f"<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{juliet.jid.bare}'/></block></iq>")
    assert phone.heard
    juliet.says(f"<message to='{phone.jid}' type='chat' id='1'>{forged('sent')}</message>")
    assert phone.heard == desk.heard == []
    assert len(juliet.heard) == 1
