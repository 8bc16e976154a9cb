"""A stream that we open to another domain: on it we send, and ask about keys. Only answers come back.

TLS is a must. The certificate is the one that was pinned, or is valid for the domain (trust.py). Then the
peer has to know who we are: by our own certificate (SASL EXTERNAL, XEP-0178) if he offers that, else by
dialback. The negotiation is a story, read from `open` downwards; what comes after it goes to `_handle`.
"""

import asyncio
import base64
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.base.element import STREAMS, E, Element, write
from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, ascii_domain
from node.base.stanza import SERVER, Stanza
from node.net.connect import connect
from node.net.connection import Connection
from node.ports import dialback
from node.ports.link.failure import NOT_FOUND, LinkError, Unreachable, distrusted, not_found, silent, told
from node.stream.events import Closing, Event, Opening, Refused
from node.stream.framing import Framing
from node.stream.opening import header, last_words

if TYPE_CHECKING:
    from node.ports.link import Links

log = logging.getLogger("hobnode")

TLS_NS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL_NS = "urn:ietf:params:xml:ns:xmpp-sasl"
LIMITS_NS = "urn:xmpp:stream-limits:0"
CONNECT_SECONDS = 6  # for one address: two that are black holes leave time for a third
NEGOTIATE_SECONDS = 12  # for one that has taken the connection; TLS on a Pi Zero takes one or two
HEARD_LIMIT = 20  # events that may pile up while we negotiate: a header, features, an answer
UNSENT_LIMIT = 256 * 1024  # bytes in the connection that the kernel has not taken; what follows waits outside
LOOK_SECONDS = 0.2  # between looks at a peer that is so far behind
SILENCE = 100_000  # ms without an acknowledgement by the peer's kernel; a keep-alive goes every 60 s, so a dead
# link is known after 160 s at most (security: F6)


class Outgoing:
    """One stream. `is_open`: questions may be asked. `may_send`: stanzas, too."""

    __slots__ = (
        "_authorized",
        "_connection",
        "_ended",
        "_fault",
        "_framing",
        "_handshaking",
        "_heard",
        "_largest",
        "_links",
        "_questions",
        "_shown",
        "_waiter",
        "_written",
        "domain",
        "id",
        "is_open",
        "quiet",
    )

    def __init__(self, links: "Links", domain: Jid, ended: Callable[[], None]):
        self.domain = domain
        self.id = ""  # of this stream, given by the peer: dialback keys hang on it
        self.is_open = False
        self.quiet = 0  # keep-alives since the last stanza or question
        self._links = links
        self._ended = ended
        self._authorized = False  # the peer knows who we are
        self._largest: int | None = None  # bytes of a stanza that the peer takes (XEP-0478)
        self._connection: Connection | None = None
        self._framing = Framing()  # with a stranger's limit: features and answers are small
        self._questions = dialback.Questions()
        self._heard: deque[Event] = deque()  # while we negotiate
        self._waiter: asyncio.Future[None] | None = None
        self._handshaking = False
        self._shown: tuple[bytes | None, bool] = None, False  # the certificate, and whether it was found to be valid
        self._fault: LinkError | None = None  # why it has ended
        self._written = 0  # bytes

    @property
    def may_send(self) -> bool:
        line = self._connection
        return self._authorized and line is not None and line.is_open and line.unsent < UNSENT_LIMIT

    @property
    def behind(self) -> bool:
        """The peer does not read: what is sent now is not on its way at the end of this turn."""
        return self._connection is not None and self._connection.behind

    @property
    def taken(self) -> int:
        """How much of what was written is on its way, in bytes. While the connection is there."""
        return self._written - self._connection.unsent if self._connection is not None else 0

    # The negotiation, from top to bottom

    async def open(self, address: str, port: int, direct_tls: bool) -> None:
        """Connects and negotiates until questions can be asked. Raises LinkError; then `abort` it."""
        try:
            self._connection = await connect(address, port, self._links.turn, self, timeout=CONNECT_SECONDS)
        except OSError as error:
            raise Unreachable(f"cannot be reached, {error}") from None
        try:
            async with asyncio.timeout(NEGOTIATE_SECONDS):
                await self._negotiate(direct_tls)
        except TimeoutError:
            raise silent(f"fell silent, at {address} port {port}") from None
        self._links.trust.check(self.domain, *self._shown)  # which may be another than at the handshake
        self.is_open = True
        while self._heard and self.is_open:
            self._handle(self._heard.popleft())
        if self._fault is not None:  # he has ended it with his last word to us
            self.is_open = False
            raise self._fault

    async def _negotiate(self, direct_tls: bool) -> None:
        if not direct_tls:
            features = await self._start_stream()
            if features.find("starttls", TLS_NS) is None:
                raise LinkError(NOT_FOUND, "offers no encryption", "policy-violation")
            self._write(write(E("starttls", TLS_NS), SERVER).encode())
            answer = await self._element()
            if (answer.name, answer.ns) != ("proceed", TLS_NS):
                raise silent("cannot encrypt now")
        await self._start_tls()
        features = await self._start_stream()
        if _takes_certificates(features) and await self._show_certificate():
            features = await self._start_stream()
            self._authorized = True
            log.info("link to %s: open", self.domain)
        self._largest = _largest(features)

    async def _start_stream(self) -> Element:
        """Our header, the peer's, and the features that he offers."""
        self._framing.close()
        self._framing = Framing()
        self._write(header(SERVER, sender=self._links.hub.host, to=self.domain))
        opening = await self._event()
        if not isinstance(opening, Opening) or not opening.id:
            raise silent("does not speak XMPP as servers do")
        self.id = opening.id
        features = await self._element()
        if (features.name, features.ns) != ("features", STREAMS):
            raise silent("names no features")
        return features

    async def _start_tls(self) -> None:
        line = self._connection
        assert line is not None
        self._heard.clear()  # what came in the clear behind <proceed/> is nobody's
        self._framing.close()
        self._framing = Framing()
        self._handshaking = True
        self._waiter = done = asyncio.get_running_loop().create_future()
        line.start_tls(
            self._links.trust.context(self.domain),
            server_side=False,
            server_hostname=ascii_domain(self.domain),
            established=self._wake,
        )
        await done
        self._handshaking = False
        if self._fault is not None:
            raise self._fault
        assert line.tls is not None
        self._shown = line.certificate_der, line.tls.context.verify_mode == ssl.CERT_REQUIRED
        self._links.trust.check(self.domain, *self._shown)
        end_when_silent(line)

    async def _show_certificate(self) -> bool:
        """SASL EXTERNAL: our certificate says who we are (XEP-0178 §3). False: that is not enough."""
        name = base64.b64encode(self._links.hub.host.encode()).decode()
        self._write(write(E("auth", SASL_NS, name, mechanism="EXTERNAL"), SERVER).encode())
        answer = await self._element()
        if answer.name != "success":
            log.info("link to %s: our certificate is not enough, dialback has to show who we are", self.domain)
        return answer.name == "success"

    # Questions, and the right to send

    async def authorize(self) -> None:
        """Waits for the right to send, and for room. Raises LinkError; the caller has the deadline."""
        if not self._authorized:
            await self._dial_back()
        while self.is_open and not self.may_send:
            await asyncio.sleep(LOOK_SECONDS)
        if self._fault is not None:
            raise self._fault

    async def _dial_back(self) -> None:
        host = self._links.hub.host
        key = self._links.secret.key(self.domain, host, self.id)
        answer = await self.ask(dialback.Packet("result", host, self.domain, key=key))
        if answer.type == "error":
            why = ": ".join(filter(None, (answer.condition or "undefined-condition", answer.text)))
            raise silent(f"does not accept us: {why}")
        if answer.type != "valid":
            # XEP-0220 §2.1.1 wants this condition.
            raise LinkError("internal-server-error", f"says that we are not {host}")
        self._authorized = True
        log.info("link to %s: open", self.domain)

    async def ask(self, question: dialback.Packet) -> dialback.Packet:
        """The answer to a dialback question. Raises LinkError when the stream ends before.

        The deadline is the caller's.
        """
        if not self.is_open or len(self._questions) >= dialback.PENDING_LIMIT:
            raise self._fault or silent("too many questions at once")
        answer = self._questions.ask(question)
        self._write(question.to_bytes())
        self.quiet = 0
        return await asyncio.shield(answer)

    def send(self, stanza: Stanza) -> int:
        """Only when `may_send`. From this value of `taken` on it is on its way, or back at its sender."""
        data = stanza.to_bytes(SERVER)
        if self._largest is not None and len(data) > self._largest:
            # XEP-0478 §4: better refused here than the whole link ended there.
            text = f"{self.domain}: takes no stanza of more than {self._largest} bytes"
            self._links.give_back(stanza, StanzaError("policy-violation", text))
            return 0
        self._write(data)
        self.quiet = 0
        return self._written

    def keep_alive(self) -> None:
        """A space (RFC 6120 §4.6.1); when nobody acknowledges it the kernel ends the connection."""
        self.quiet += 1
        self._write(b" ")

    # What is heard

    def received(self, data: bytes) -> None:
        """From the connection."""
        framing = self._framing
        for event in framing.feed(data):
            if self._fault is not None or self._framing is not framing:
                return
            try:
                self._hear(event)
            except Exception:
                log.exception("link to %s: failed", self.domain)
                self._fail(silent("met a bug of ours"), StreamError("internal-server-error"))

    def _hear(self, event: Event) -> None:
        if self.is_open:
            self._handle(event)
        elif len(self._heard) < HEARD_LIMIT:
            self._heard.append(event)
            self._wake()
        else:
            self._fail(silent("talks too much"), StreamError("policy-violation"))

    def _handle(self, event: Event) -> None:
        if isinstance(event, Element) and event.ns == dialback.NS:
            try:
                packet = dialback.read(event)
            except StreamError as error:
                self._fail(silent(f"sent broken dialback: {error}"), error)
                return
            if not self._questions.answered(packet):
                log.warning("link to %s: ignored an answer that nobody had asked for: %r", self.domain, packet)
        elif isinstance(event, Stanza | Refused):
            # Stanzas go one way here; who answers opens a link of his own.
            refusal = StreamError("not-authorized", "on this stream you do not send")
            self._fail(silent("sent stanzas on a link of ours"), refusal)
        elif (fault := self._ending(event)) is not None:
            self._fail(fault, event if isinstance(event, StreamError) else None)

    def _ending(self, event: Event) -> LinkError | None:
        """The reason, if this event ends the stream."""
        if isinstance(event, StreamError):
            return silent(f"sent broken XML: {event}")
        if isinstance(event, Closing):
            return silent("closed the link")
        if error := told(event):
            condition, words = error
            return not_found(words) if condition in ("host-unknown", "host-gone") else silent(words)
        return None

    async def _event(self) -> Event:
        """The next event of the negotiation."""
        while not self._heard:
            if self._fault is not None:
                raise self._fault
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event = self._heard.popleft()
        fault = self._ending(event)
        if fault is not None:
            raise fault
        return event

    async def _element(self) -> Element:
        event = await self._event()
        if not isinstance(event, Element):
            raise silent("does not keep to the order of a stream")
        return event

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _write(self, data: bytes) -> None:
        if self._connection is not None:
            self._written += len(data)
            self._connection.write(data)

    # The end

    def close(self, error: StreamError | None = None) -> None:
        """Ends the stream in order, with the reason if there is one."""
        self._fail(silent("closed by us"), error)

    def look_again(self) -> None:
        """Whom we trust has changed: ends the stream if its certificate is believed no more."""
        try:
            self._links.trust.check(self.domain, *self._shown)
        except LinkError as fault:
            self._fail(fault, StreamError("reset", "your certificate is believed no more"))

    def abort(self) -> None:
        """Gives a negotiation up."""
        if self._connection is not None:
            self._connection.abort()

    def overflowed(self) -> None:
        """From the connection. Cannot come: from UNSENT_LIMIT on nothing is sent."""
        self._fail(silent("does not read what we send"), None)

    def closed(self, reason: str) -> None:
        """From the connection: it has ended."""
        self._end(distrusted(reason) if self._handshaking and "certificate" in reason else silent(reason))
        self._framing.close()
        self._connection = None

    def _fail(self, fault: LinkError, error: StreamError | None) -> None:
        self._write(last_words(SERVER, error))
        if self._connection is not None:
            self._connection.close()
        self._end(fault)

    def _end(self, fault: LinkError) -> None:
        if self._fault is not None:
            return
        self._fault = fault
        self._questions.fail(fault)
        self._wake()
        if self.is_open:
            self.is_open = False
            self._authorized = False
            log.info("link to %s: ended, %s", self.domain, fault.text)
            self._ended()


def end_when_silent(line: Connection) -> None:
    """Has the kernel end a connection on which nothing is acknowledged any more, not even a keep-alive."""
    assert line.tls is not None
    line.tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE)


def _takes_certificates(features: Element) -> bool:
    mechanisms = features.find("mechanisms", SASL_NS)
    return mechanisms is not None and any(each.text.strip() == "EXTERNAL" for each in mechanisms.elements)


def _largest(features: Element) -> int | None:
    """What the peer says that one stanza may measure, in bytes (XEP-0478 §3.1)."""
    limits = features.find("limits", LIMITS_NS)
    largest = limits.find("max-bytes") if limits else None
    text = largest.text.strip() if largest else ""
    return int(text) if text.isdecimal() and len(text) < 10 else None
