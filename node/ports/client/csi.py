"""XEP-0352: Client State Indication: a phone that sleeps is woken only for what its owner waits for.

While a client is inactive these wait, since nobody looks at them, and each time the radio wakes it stays awake for
ten seconds (XEP-0286):

- presence, the last one of each sender, so the readings of a sensor in its status line too. Not its own, nor a
  room's answer that it is in or out, nor a request (subscribe): it has asked for those, or its owner is asked;
- a message of which all that it says is a chat state (the last one of each sender), a receipt, a chat marker, or an
  event of PubSub, and a carbon of such a message. None is dropped: the last chat state makes an "is typing" true
  again, a receipt is the only one of its kind.

All else goes at once: iqs, errors, whatever has a body or is encrypted, calls, invitations, retractions, results from
an archive, and what we do not know. What has waited goes before it, in order, for then the radio is awake. The same
holds when the client says something, be it a space to keep the line open, and when too much waits.

Nobody else can tell the difference: who sends to a client that sleeps hears what he always hears.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from node.base.element import SEPARATOR, Element
from node.base.jid import Jid
from node.base.stanza import CLIENT, Stanza, kind
from node.net import tcp

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.session import Client

NS = "urn:xmpp:csi:0"

COUNT = 256  # stanzas that wait: 20 sensors, 100 contacts with two clients each, and a room
SIZE = 65536  # bytes of them; a hub with 20 sleeping phones spends 4 MiB at most, the objects included

STATES = "http://jabber.org/protocol/chatstates"
CARBONS = "urn:xmpp:carbons:2"
FORWARD = "urn:xmpp:forward:0"
MUC = "http://jabber.org/protocol/muc#user"

_RECEIPT = kind("received", "urn:xmpp:receipts")  # <request/> is never alone
_EVENT = kind("event", "http://jabber.org/protocol/pubsub#event")
_MARKERS = "urn:xmpp:chat-markers:0"
# What changes nothing about whether a message can wait: where it belongs, how it is kept, who says so.
_ASIDE = {
    kind("thread", CLIENT),
    kind("x", MUC),  # a private message in a room; an invitation has nothing beside it that could wait
    kind("delay", "urn:xmpp:delay"),
    kind("occupant-id", "urn:xmpp:occupant-id:0"),
}
_ASIDE_NAMESPACES = {"urn:xmpp:hints", "urn:xmpp:sid:0"}
_CARBONS = {kind(name, CARBONS): name for name in ("sent", "received")}
_ROOM = kind("x", MUC)
_ITSELF = "110"  # XEP-0045 §15.6: this presence is about you


def setup(port: "ClientPort") -> None:
    port.in_session[NS, "inactive"] = lambda client, element: doze(client)
    port.in_session[NS, "active"] = lambda client, element: wake(client)


def doze(client: "Client") -> None:
    """The client is inactive from now on."""
    if client.calm is None:
        client.calm = Calm(client)
        assert client.connection.tls is not None
        tcp.doze(client.connection.tls)


def wake(client: "Client") -> None:
    """It is active again: what has waited goes before whatever comes of its next stanza."""
    calm = client.calm
    if calm is not None:
        calm.flush()
        client.calm = None
        assert client.connection.tls is not None
        tcp.wake(client.connection.tls)


class Calm:
    """What waits for one inactive client."""

    __slots__ = ("_client", "_held", "_size")

    def __init__(self, client: "Client"):
        self._client = client
        self._held: dict[object, Stanza] = {}  # in order, by what a newer one takes the place of
        self._size = 0

    def holds(self, stanza: Stanza) -> bool:
        """Whether this stanza waits. If not, what has waited was sent: it can go."""
        place = place_of(stanza, self._client.jid)
        if place is None:
            self.flush()
            return False
        older = self._held.pop(place, None)  # the newer one goes to the end: between the two others may have come
        if older is not None:
            self._size -= len(older.to_bytes(CLIENT))
        self._held[place] = stanza
        self._size += len(stanza.to_bytes(CLIENT))
        if len(self._held) > COUNT or self._size > SIZE:
            self.flush()
        return True

    def take(self) -> Iterable[Stanza]:
        """All that has waited, in order, and waits no more."""
        held, self._held = self._held, {}
        self._size = 0
        return held.values()

    def flush(self) -> None:
        """Sends what has waited."""
        if not self._held:
            return
        client = self._client
        client.calm = None  # or it would all wait again
        for stanza in self.take():
            client.deliver(stanza)
        client.calm = self


def place_of(stanza: Stanza, receiver: Jid) -> object:
    """None if the stanza goes at once. Otherwise what a newer one of its sort has in common with it."""
    if stanza.name == "message":
        return None if stanza.type == "error" else _message(stanza)
    if stanza.name != "presence" or stanza.type not in (None, "unavailable") or stanza.sender == receiver:
        return None
    if _ROOM in stanza.kinds and _is_about_us(stanza):
        return None
    return stanza.sender


def _message(message: Stanza) -> object:
    for each, name in _CARBONS.items():
        if each in message.kinds:
            inner = _copied(message, name)
            if inner is None or inner.get("type") == "error":
                return None
            kinds = [kind(child.name, CLIENT if child.ns is None else child.ns) for child in inner.elements]
            return _place(kinds, message, (inner.get("from"), inner.get("to")))
    return _place(message.kinds, message, message.sender)


def _place(kinds: Iterable[str], message: Stanza, sender: object) -> object:
    """The place of a message that says this much."""
    place: object = None
    for each in kinds:
        ns = each.partition(SEPARATOR)[0]
        if ns == STATES:
            place = place or (STATES, sender)
        elif ns == _MARKERS or each in (_RECEIPT, _EVENT):
            place = message  # each for itself
        elif each not in _ASIDE and ns not in _ASIDE_NAMESPACES:
            return None
    return place


def _copied(wrapper: Stanza, name: str) -> Element | None:
    """The message that a carbon is a copy of."""
    carbon = wrapper.child(name, CARBONS)
    forwarded = carbon.find("forwarded", FORWARD) if carbon else None
    return forwarded.find("message", CLIENT) if forwarded else None


def _is_about_us(presence: Stanza) -> bool:
    room = presence.child("x", MUC)
    return room is not None and any(status.get("code") == _ITSELF for status in room.findall("status"))
