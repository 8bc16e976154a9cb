"""A client's line without a library: text goes out, elements come in, and nothing is hidden."""

import asyncio
import ssl
from collections import deque
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder, tostring
from xml.parsers import expat

CLIENT = "{jabber:client}"
STREAM = "{http://etherx.jabber.org/streams}"
SM = "{urn:xmpp:sm:3}"
SID = "{urn:xmpp:sid:0}"
MAM = "{urn:xmpp:mam:2}"
RSM = "{http://jabber.org/protocol/rsm}"
CARBONS = "{urn:xmpp:carbons:2}"
FORWARD = "{urn:xmpp:forward:0}"
DELAY = "{urn:xmpp:delay}"
BIND = "{urn:ietf:params:xml:ns:xmpp-bind}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
STANZAS = (CLIENT + "message", CLIENT + "presence", CLIENT + "iq")

_trusting = ssl.create_default_context()
_trusting.check_hostname = False
_trusting.verify_mode = ssl.CERT_NONE


class Cut(ConnectionError):
    """The line is down."""


class Heard(NamedTuple):
    """A message as it came. `way` is live, carbon or archive; `archive_id` is "" where it has none of ours."""

    sender: str
    to: str
    id: str  # the origin-id, else the id
    archive_id: str
    way: str
    stamp: str  # XEP-0203: when it was sent or archived; "" for what has not waited
    type: str
    body: str

    def __repr__(self) -> str:
        return f"{self.way} {self.id} {self.archive_id} {self.sender} -> {self.to} {self.stamp} {self.body[:40]!r}"


class Line:
    """One connection with TLS from its first byte (XEP-0368): text goes out, elements come in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer
        self._elements: deque[Element] = deque()
        self.ended = False  # the other side has closed its stream

    @classmethod
    async def open(cls, address: str, port: int, domain: str) -> "Line":
        """Raises Cut."""
        try:
            return cls(*await asyncio.open_connection(address, port, ssl=_trusting, server_hostname=domain))
        except OSError as error:
            raise Cut(str(error)) from None

    def begin(self, domain: str) -> None:
        """A new stream: the header goes out."""
        self._parser = expat.ParserCreate(namespace_separator="}")
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            self._parser.SetReparseDeferralEnabled(False)  # it would keep complete stanzas back
        self._parser.StartElementHandler = self._starts
        self._parser.EndElementHandler = self._ends
        self._parser.CharacterDataHandler = self._text
        self._depth = 0
        self.write(
            f"<stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )

    def write(self, text: str) -> None:
        if not self._writer.is_closing():
            self._writer.write(text.encode())

    async def element(self) -> Element:
        """The next child of the stream. Raises Cut."""
        while not self._elements:
            try:
                data = await self._reader.read(65536)
            except OSError as error:
                raise Cut(str(error)) from None
            if not data:
                raise Cut("the line is down")
            self._parser.Parse(data)
        return self._elements.popleft()

    def cut(self) -> None:
        """As a line breaks: without a word."""
        self._writer.transport.abort()

    def _starts(self, name: str, attrs: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._tree = TreeBuilder()
        if self._depth >= 2:
            self._tree.start(_clark(name), {_clark(key): value for key, value in attrs.items()})

    def _ends(self, name: str) -> None:
        self._depth -= 1
        if self._depth >= 1:
            self._tree.end(_clark(name))
        if self._depth == 1:
            self._elements.append(self._tree.close())
        self.ended = self._depth == 0

    def _text(self, text: str) -> None:
        if self._depth >= 2:
            self._tree.data(text)


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def hear(message: Element | None, way: str, account: str) -> Heard:
    """What a message says to a device of this account (bare)."""
    assert message is not None
    origin = message.find(SID + "origin-id")
    ours = [sid.get("id", "") for sid in message.iter(SID + "stanza-id") if sid.get("by") == account]
    assert len(ours) <= 1, tostring(message, "unicode")
    return Heard(
        message.get("from", ""),
        message.get("to", ""),
        origin.get("id", "") if origin is not None else message.get("id", ""),
        ours[0] if ours else "",
        way,
        stamp_of(message),
        message.get("type", "normal"),
        message.findtext(CLIENT + "body", "") or conditions(message),
    )


def conditions(stanza: Element) -> str:
    """What an error says; "" for what is none."""
    return " ".join(child.tag.partition("}")[2] for child in stanza.find(CLIENT + "error") or ())


def stamp_of(element: Element) -> str:
    """XEP-0203."""
    delay = element.find(DELAY + "delay")
    return "" if delay is None else delay.get("stamp", "")
