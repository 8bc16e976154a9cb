"""XEP-0220: Server Dialback, with the keys of XEP-0185: who opens a link is asked back whether it was him.

Pure: packets, keys, and the list of what we have asked. Sockets are the links' business (ports/link).
"""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, replace

from node.base.element import E, Element, escape, escape_attribute, write
from node.base.errors import STANZAS_NS, TYPES, StreamError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import SERVER

NS = "jabber:server:dialback"
FEATURE = "urn:xmpp:features:dialback"
PENDING_LIMIT = 64  # questions open on one stream; each is a domain that somebody claims, and a home knows a few
KEY_LIMIT = 255  # ours have 64 characters; whatever others put in, it travels in our question


def feature() -> Element:
    """What we say in the features of a stream: we speak dialback, and an error of one pair ends no stream."""
    return E("dialback", FEATURE, E("errors"))


class Secret:
    """Makes and knows our keys. They hold as long as the node runs, since the text is chosen at its start."""

    def __init__(self, text: str):
        # XEP-0185 §2: the hexadecimal text of the hash, not its bytes, is the key of the HMAC.
        self._key = hashlib.sha256(text.encode()).hexdigest().encode()

    def key(self, receiving: str, originating: str, stream: str) -> str:
        """The key for one stream between two domains. No domain holds a space: no two pairs share a text."""
        text = f"{receiving} {originating} {stream}"
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def knows(self, key: str, receiving: str, originating: str, stream: str) -> bool:
        """Whether it is a key of ours; takes the same time whichever character differs."""
        return hmac.compare_digest(self.key(receiving, originating, stream).encode(), key.encode())


@dataclass(frozen=True, slots=True)
class Packet:
    """A <db:result/> or <db:verify/>. Without a type it asks; with valid, invalid or error it answers."""

    name: str
    sender: Jid
    to: Jid
    id: str | None = None
    type: str | None = None
    key: str = ""
    condition: str | None = None
    text: str | None = None

    def answer(self, type: str, condition: str | None = None, text: str | None = None) -> "Packet":
        """The answer, with the domains the other way round. An error has a condition of XEP-0220 §2.5."""
        return replace(self, sender=self.to, to=self.sender, type=type, key="", condition=condition, text=text)

    def to_bytes(self) -> bytes:
        """As it goes into a stream whose header declares the prefix `db` (XEP-0220 §2: MUST be prefixed)."""
        start = f"<db:{self.name} from='{self.sender.wire.decode()}' to='{self.to.wire.decode()}'"
        if self.id is not None:
            start += f" id='{escape_attribute(self.id)}'"
        if self.type is not None:
            start += f" type='{self.type}'"
        inner = escape(self.key)
        if self.condition is not None:
            text = E("text", STANZAS_NS, self.text) if self.text else None
            error = E("error", SERVER, E(self.condition, STANZAS_NS), text, type=TYPES.get(self.condition, "cancel"))
            inner = write(error, SERVER)
        return f"{start}>{inner}</db:{self.name}>".encode() if inner else f"{start}/>".encode()


def read(element: Element) -> Packet:
    """A packet from a stream. Raises StreamError for one without domains or of a kind that nobody knows."""
    kind = element.get("type")
    if element.name not in ("result", "verify") or kind not in (None, "valid", "invalid", "error"):
        raise StreamError("unsupported-stanza-type", f"dialback has no {element.name} of type {kind}"[:200])
    key = element.text.strip()
    if element.name == "verify" and not element.get("id"):
        raise StreamError("bad-format", "a dialback question names the stream by its id")
    if len(key) > KEY_LIMIT or len(element.get("id") or "") > KEY_LIMIT:
        raise StreamError("policy-violation", f"dialback keys and ids have up to {KEY_LIMIT} characters")
    # XEP-0220 §2.4: in jabber:server; some put it in the namespace of dialback.
    error = next((child for child in element.elements if child.name == "error"), None)
    conditions = [child.name for child in error.elements if child.ns == STANZAS_NS] if error else []
    text = error.find("text", STANZAS_NS) if error else None
    return Packet(
        element.name,
        _domain(element, "from"),
        _domain(element, "to"),
        element.get("id") if element.name == "verify" else None,
        kind,
        key,
        next((name for name in conditions if name != "text"), None),
        text.text[:200] if text else None,
    )


def _domain(element: Element, attribute: str) -> Jid:
    try:
        jid = parse(element.get(attribute) or "")
    except JidError as error:
        raise StreamError("improper-addressing", f"dialback {attribute}: {error}") from None
    if jid.local or jid.full:
        raise StreamError("improper-addressing", f"dialback is between domains, and {attribute} is none")
    return jid


class Questions:
    """What we have asked on one stream that we opened. Nothing else is believed there (XEP-0220 §4.1)."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[tuple[str, Jid, Jid, str | None], asyncio.Future[Packet]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def ask(self, packet: Packet) -> "asyncio.Future[Packet]":
        """Remembers the question. The future gets its answer, or the error that the stream ended with."""
        about = (packet.name, packet.sender, packet.to, packet.id)
        future = self._open.get(about)
        if future is None or future.done():  # done: who asked before has given up
            future = self._open[about] = asyncio.get_running_loop().create_future()
        return future

    def answered(self, packet: Packet) -> bool:
        """Gives the answer to who asked. False: nobody here had asked that, and nothing happens."""
        if packet.type is None:
            return False
        future = self._open.pop((packet.name, packet.to, packet.sender, packet.id), None)
        if future is None:
            return False
        if not future.done():  # given up meanwhile
            future.set_result(packet)
        return True

    def fail(self, error: Exception) -> None:
        """The stream ended before the answers came."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen: who asked may have gone
        self._open.clear()
