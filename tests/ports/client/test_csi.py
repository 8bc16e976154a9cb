"""XEP-0352: what waits while a client is inactive, what does not, and that order is kept."""

import re
import socket

import pytest

from node.base.jid import parse
from node.ports.client import csi
from node.ports.client.csi import Calm
from tests.conftest import Person, settle
from tests.ports.talker import in_session
from tests.things.conftest import follower, stanza_of

ACTIVE = f"<active xmlns='{csi.NS}'/>"
INACTIVE = f"<inactive xmlns='{csi.NS}'/>"
BODY = "<body>Art thou not Romeo?</body>"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
PAUSED = "<paused xmlns='http://jabber.org/protocol/chatstates'/>"
RECEIVED = "<received xmlns='urn:xmpp:receipts' id='m1'/>"
DISPLAYED = "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>"
EVENT = "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:mood'/></event>"
ENCRYPTED = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>"
ASIDE = "<thread>t</thread><no-store xmlns='urn:xmpp:hints'/><origin-id xmlns='urn:xmpp:sid:0' id='o'/>"
ROOM = "http://jabber.org/protocol/muc#user"
MUC = f"<x xmlns='{ROOM}'/>"


class Phone(Person):
    """An inactive client, as far as the hub can tell."""

    def __init__(self, hub, jid):
        super().__init__(hub, jid)
        self.calm = Calm(self)

    def deliver(self, stanza):
        if self.calm is None or not self.calm.holds(stanza):
            super().deliver(stanza)

    @property
    def held(self):
        """What waits, without waking it."""
        settle(self.hub)
        return list(self.calm._held.values())


@pytest.fixture
def phone(hub, person):
    person("juliet@hub.local/phone").leaves()
    phone = Phone(hub, parse("juliet@hub.local/phone"))
    phone.says("<presence/>")
    phone.calm.flush()
    phone.ears.clear()
    return phone


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/y")


def sends(romeo, inside, type="chat", to="juliet@hub.local/phone", id="m"):
    romeo.says(f"<message type='{type}' to='{to}' id='{id}'>{inside}</message>")


def waits(phone):
    """Whether the one stanza that was sent waits."""
    heard, held = phone.heard, phone.held
    assert len(heard) + len(held) == 1
    return bool(held)


@pytest.mark.parametrize(
    "inside",
    [
        COMPOSING,
        COMPOSING + ASIDE,
        COMPOSING + MUC,  # to an occupant, in private
        RECEIVED,
        RECEIVED + ASIDE,
        DISPLAYED,
        DISPLAYED + COMPOSING,
        EVENT,
    ],
)
def test_a_message_that_can_wait(phone, romeo, inside):
    sends(romeo, inside, "headline" if inside is EVENT else "chat")
    assert waits(phone)


@pytest.mark.parametrize(
    "inside",
    [
        BODY,
        BODY + COMPOSING,
        BODY + "<request xmlns='urn:xmpp:receipts'/>",
        ENCRYPTED + "<store xmlns='urn:xmpp:hints'/>",
        "<propose xmlns='urn:xmpp:jingle-message:0' id='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1'/></propose>",
        f"<x xmlns='{ROOM}'><invite from='romeo@hub.local'/></x>",
        "<x xmlns='jabber:x:conference' jid='verona@rooms.hub.local'/>",
        "<subject>The feud</subject>",
        "<retract xmlns='urn:xmpp:message-retract:1' id='s'/>",
        "<result xmlns='urn:xmpp:mam:2' id='1'/>",
        "<fields xmlns='urn:xmpp:iot:sensordata' seqnr='1'/>",
        "<attention xmlns='urn:xmpp:attention:0'/>",
        COMPOSING + "<mystery xmlns='urn:example:unknown'/>",
        "",
    ],
)
@pytest.mark.parametrize("type", ["chat", "headline"])
def test_a_message_that_cannot(phone, romeo, inside, type):
    sends(romeo, inside, type)
    assert not waits(phone)


def copied(way, inside, more="", to="romeo@hub.local/y"):
    """A carbon of a message by another of her devices."""
    return stanza_of(
        f"<message type='chat'><{way} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<message xmlns='jabber:client' from='juliet@hub.local/desk' to='{to}'{more}>{inside}</message>"
        f"</forwarded></{way}></message>"
    )


@pytest.mark.parametrize(
    ("carbon", "held"),
    [
        (copied("sent", COMPOSING), True),
        (copied("received", PAUSED + ASIDE), True),
        (copied("sent", DISPLAYED), True),
        (copied("sent", BODY), False),
        (copied("received", COMPOSING + ENCRYPTED), False),
        (copied("received", RECEIVED, " type='error'"), False),
        (stanza_of("<message><received xmlns='urn:xmpp:carbons:2'/></message>"), False),
    ],
)
def test_a_copy_waits_when_the_message_itself_could(phone, carbon, held):
    phone.deliver(carbon)
    assert waits(phone) == held


def test_a_copy_of_what_goes_to_her_other_device(phone, romeo, person):
    person("juliet@hub.local/desk").says("<presence/>")
    phone.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
    phone.ears.clear()
    phone.calm.take()
    sends(romeo, COMPOSING, to="juliet@hub.local/desk")
    assert "<forwarded" in repr(phone.held[0])
    sends(romeo, BODY, to="juliet@hub.local/desk")
    state, body = phone.heard
    assert "<composing" in state and "<body>" in body


def test_an_error_does_not_wait(phone, romeo):
    sends(romeo, COMPOSING, "error")
    assert not waits(phone)


@pytest.mark.parametrize("type", ["get", "set", "result", "error"])
def test_an_iq_does_not_wait(phone, romeo, type):
    romeo.says(f"<iq type='{type}' id='q' to='juliet@hub.local/phone'><query xmlns='urn:example'/></iq>")
    assert not waits(phone)


@pytest.mark.parametrize("type", ["", " type='unavailable'"])
def test_presence_waits(phone, romeo, type):
    romeo.says(f"<presence to='juliet@hub.local/phone'{type}/>")
    assert waits(phone)


def test_who_wants_to_see_her_does_not_wait(phone, romeo):
    romeo.says("<presence type='subscribe' to='juliet@hub.local'/>")
    assert "type='subscribe'" in phone.heard[0]


def room(status, type=""):
    return f"<presence to='juliet@hub.local/phone'{type}><x xmlns='{ROOM}'><item/>{status}</x></presence>"


@pytest.mark.parametrize(
    ("said", "held"),
    [
        (room(""), True),
        (room("<status code='100'/>"), True),
        (room("<status code='100'/><status code='110'/>"), False),  # she is in
        (room("<status code='307'/><status code='110'/>", " type='unavailable'"), False),  # and out
        (room("", " type='error'"), False),
    ],
)
def test_of_a_room_she_hears_what_is_about_herself(phone, romeo, said, held):
    romeo.says(said)
    assert waits(phone) == held


def test_her_own_presence_comes_back_at_once(phone):
    phone.says("<presence><show>xa</show></presence>")
    assert "<show>xa</show>" in phone.heard[0]


def test_only_the_last_presence_of_each_sender_is_kept_and_order_is_not_broken(phone, romeo, person):
    tablet = person("romeo@hub.local/tablet")
    for each, status in ((romeo, "p1"), (tablet, "p2"), (romeo, "p3")):
        each.says(f"<presence to='juliet@hub.local/phone'><status>{status}</status></presence>")
        sends(each, RECEIVED, id=f"after-{status}")
    assert phone.ears == []
    sends(romeo, BODY)
    said = [re.search("after-p.|p.(?=</status>)|<body>", each)[0] for each in phone.heard]
    assert said == ["after-p1", "p2", "after-p2", "p3", "after-p3", "<body>"]


def test_of_chat_states_the_last_one_of_each_is_kept(phone, romeo, person):
    sends(romeo, COMPOSING)
    sends(person("nurse@hub.local/x"), COMPOSING)
    sends(romeo, PAUSED)
    phone.calm.flush()
    said = [re.search("from='(\\w+)@.*<(composing|paused)", each).groups() for each in phone.heard]
    assert said == [("nurse", "composing"), ("romeo", "paused")]


def test_copies_of_chat_states_are_told_apart_by_who_said_it_to_whom(phone):
    for to in ("romeo@hub.local/y", "nurse@hub.local/x", "romeo@hub.local/y"):
        phone.deliver(copied("sent", COMPOSING, to=to))
    assert len(phone.held) == 2


def test_each_receipt_and_each_marker_is_kept(phone, romeo):
    for number in range(3):
        sends(romeo, RECEIVED, id=f"r{number}")
        sends(romeo, DISPLAYED + COMPOSING, id=f"d{number}")
    assert len(phone.held) == 6


@pytest.mark.parametrize(("bound", "value"), [("COUNT", 3), ("SIZE", 400)])
def test_when_too_much_waits_it_is_sent(phone, romeo, monkeypatch, bound, value):
    monkeypatch.setattr(csi, bound, value)
    heard = []
    for number in range(4):
        assert heard == []
        sends(romeo, RECEIVED, id=f"r{number}")
        heard = phone.heard
        if heard:
            break
    assert [re.search(r"id='(r\d)'", each)[1] for each in heard] == [f"r{n}" for n in range(number + 1)]
    assert phone.held == []
    sends(romeo, RECEIVED)
    assert len(phone.held) == 1  # and it waits again


def test_a_presence_that_takes_the_place_of_another_takes_its_room_too(phone, romeo, monkeypatch):
    monkeypatch.setattr(csi, "SIZE", 400)
    for number in range(10):
        romeo.says(f"<presence to='juliet@hub.local/phone'><status>{number}</status></presence>")
    assert phone.heard == [] and len(phone.held) == 1


@pytest.mark.usefixtures("porch")
def test_of_the_readings_of_a_thing_the_last_ones_are_heard(hub, porch, person):
    follower(person("ann@hub.local/desk")).leaves()
    phone = Phone(hub, parse("ann@hub.local/phone"))
    phone.says("<presence/>")
    phone.calm.flush()
    phone.ears.clear()
    for degrees in ("25.0", "28.0"):
        porch.report({"temperature": degrees})
        assert phone.heard == []
    sends(person("ben@hub.local/x"), BODY, to="ann@hub.local/phone")
    presence, message = phone.heard
    assert "<status>28.0 °C" in presence and "<body>" in message


def test_nobody_else_can_tell(phone, romeo):
    before = romeo.heard
    sends(romeo, COMPOSING)
    sends(romeo, BODY)
    romeo.says("<presence to='juliet@hub.local/phone'/>")
    assert before == romeo.heard == []


# On the line


def test_the_line_of_a_phone(connect, run, port, hub):
    """§4, §5.1: what waits comes before the answer to what is said next; probes of the kernel become rare."""

    async def talk():
        ann = await in_session(connect)
        bob = await in_session(connect, "bob")
        await bob.hears("$")
        client = next(each for each in port.connected if each.user == "ann")

        def probes():
            return client.connection.tls.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)

        async def bob_sends(inside, id):
            bob.says(f"<message type='chat' to='ann@hub.local/phone' id='{id}'>{inside}</message>")
            bob.says(f"<iq type='get' id='p{id}' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
            await bob.hears(f"id='p{id}'/>")

        usual = probes()
        ann.says(INACTIVE * 2 + "<iq type='get' id='1' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        await ann.hears("id='1'/>")
        assert probes() == 900 > usual
        await bob_sends(COMPOSING, "a1")
        await bob_sends(PAUSED, "a2")
        ann.says("<iq type='get' id='2' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        heard = await ann.hears("id='2'/>")
        assert heard.startswith("<message ") and "id='a2'" in heard  # its radio was on
        assert "id='a1'" not in heard
        await bob_sends(COMPOSING, "b")
        ann.says(" ")
        assert "<composing" in await ann.hears("</message>")
        await bob_sends(RECEIVED, "c")
        await bob_sends(BODY, "d")
        heard = await ann.hears("id=.d.*</message>")
        assert heard.index("id='c'") < heard.index("id='d'")
        await bob_sends(RECEIVED, "e")
        ann.says(ACTIVE * 2 + "<iq type='get' id='3' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        heard = await ann.hears("id='3'/>")
        assert heard.index("id='e'") < heard.index("id='3'")
        assert client.calm is None and probes() == usual
        await bob_sends(RECEIVED, "f")
        await ann.hears("id='f'")

    run(talk())


def test_in_one_piece_too_what_waits_comes_before_what_is_asked_next(connect, run, hub):
    async def talk():
        ann = await in_session(connect)
        note = f"<message type='chat' to='ann@hub.local/phone' id='note'>{RECEIVED}</message>"
        ping = "<iq type='get' id='1' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>"
        ann.says(INACTIVE + note + INACTIVE + ACTIVE + ping)
        heard = await ann.hears("id='1'/>")
        assert heard.index("id='note'") < heard.index("id='1'")

    run(talk())


def test_it_is_offered_after_the_login_alone(connect, run, hub):
    async def talk():
        ann = await connect()
        assert "<csi " not in await ann.opens()
        await ann.starts_tls()
        assert "<csi " not in await ann.opens()
        bob = await connect()
        assert f"<csi xmlns='{csi.NS}'/>" in await bob.logs_in("bob")

    run(talk())
