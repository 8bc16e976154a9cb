"""A stream that another server opens to us: on it he sends, once dialback has shown who he is.

Nobody is believed on this stream itself. A domain that he claims is asked about on a link that we open to
that domain, whose certificate we check (outgoing.py, trust.py). So his certificate is not asked for here; to
ask would keep out those whose self-signed one is pinned: `ssl` cannot take that one and refuse the others.

What is allowed now is the method in `_expect`: the header, STARTTLS, then dialback and stanzas.
"""

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.base.element import E, Element, write
from node.base.errors import StreamError
from node.base.jid import Jid
from node.base.stanza import SERVER, Stanza
from node.net.connection import Connection
from node.net.listener import Listener, network
from node.ports import dialback
from node.ports.limits import Throttle
from node.ports.link.failure import LinkError, told
from node.ports.link.outgoing import LIMITS_NS, SASL_NS, TLS_NS, end_when_silent
from node.stream.events import Closing, Event, Opening, Refused
from node.stream.framing import SERVER_LIMIT, Framing
from node.stream.opening import check, features, header, last_words, new_stream_id

if TYPE_CHECKING:
    from node.ports.link import Links

log = logging.getLogger("hobnode")

CLAIMS_LIMIT = 8  # domains of one stream asked about at a time; each costs us a link
DOMAINS_LIMIT = 64  # that one stream may send from: a hosting company's, not a flooder's
FAILED_LIMIT = 16  # claims that came to nothing; each is remembered for minutes, and this stream brings no others
STRANGER_TICKS = 10  # minutes for one that only asks about keys: it takes a stranger's place at the door
FIRST_OF_TLS = b"\x16"  # a handshake record (RFC 8446 §5.1); no XML begins so


class Incoming:
    """One stream. `domains` are those that it may send from."""

    __slots__ = (
        "_claims",
        "_connection",
        "_expect",
        "_failed",
        "_framing",
        "_greeted",
        "_links",
        "_listener",
        "_secure",
        "_throttle",
        "_ticks",
        "_waiting",
        "domains",
        "id",
        "peer",
        "quiet",
    )

    def __init__(self, links: "Links", sock: socket.socket, peer: tuple[str, int], listener: Listener):
        self.peer = peer
        self.domains: set[str] = set()
        self.id = ""  # of this stream, given by us: his dialback keys hang on it
        self.quiet = 0  # keep-alives since something was heard
        self._links = links
        self._listener = listener
        self._connection: Connection | None = None
        self._framing = Framing()
        self._expect: Callable[[Event], None] = self._header
        self._greeted = False  # our header is out
        self._secure = False
        self._claims: set[Jid] = set()  # domains that we are asking about
        self._failed = 0  # claims
        self._ticks = 0  # keep-alives while no domain had been shown
        self._throttle = Throttle(links.options.rate, links.loop) if links.options.rate else None
        self._waiting: socket.socket | None = sock
        links.loop.add_reader(sock, self._knocks)

    def _knocks(self) -> None:
        """His first byte says whether TLS comes first (XEP-0368): one port serves both."""
        sock, self._waiting = self._waiting, None
        assert sock is not None
        self._links.loop.remove_reader(sock)
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except OSError:
            first = b""  # the connection will find out itself
        self._connection = Connection(sock, self._links.turn, self, peer_address=self.peer)
        if first == FIRST_OF_TLS:
            self._start_tls()

    # What is heard

    def received(self, data: bytes) -> None:
        """From the connection."""
        self.quiet = 0
        if self._throttle is not None and self._connection is not None:
            self._throttle.spend(len(data), self._connection)
        framing = self._framing
        try:
            for event in framing.feed(data):
                if isinstance(event, StreamError):
                    raise event
                if error := told(event):
                    log.info("link from %s: he %s", self.name, error[1])
                if error or isinstance(event, Closing):
                    self.close()
                else:
                    self._expect(event)
                if self._framing is not framing:
                    return  # what stands behind <starttls/> counts for nothing
        except StreamError as error:
            self.close(error)
        except Exception:
            log.exception("link from %s: failed", self.name)
            self.close(StreamError("internal-server-error"))

    def _header(self, event: Event) -> None:
        if not isinstance(event, Opening):
            raise StreamError("bad-format", "a stream begins with its header")
        self._greet(event.sender)
        check(event, SERVER, self._links.hosted)
        if self._secure:
            self._expect = self._serve
            limits = E("limits", LIMITS_NS, E("max-bytes", None, str(SERVER_LIMIT)))
            self._write(features(SERVER, [dialback.feature(), limits]))
        else:
            self._expect = self._encryption
            self._write(features(SERVER, [E("starttls", TLS_NS, E("required"))]))

    def _greet(self, to: str | None) -> None:
        self.id = new_stream_id()
        self._greeted = True
        self._write(header(SERVER, sender=self._links.hub.host, to=to, id=self.id))

    def _encryption(self, event: Event) -> None:
        if isinstance(event, Element) and (event.name, event.ns) == ("starttls", TLS_NS):
            self._write(write(E("proceed", TLS_NS), SERVER).encode())
            self._start_tls()
        else:
            raise StreamError("policy-violation", "STARTTLS first: nothing is taken in the clear here")

    def _start_tls(self) -> None:
        """Encryption, then the stream from its beginning."""
        assert self._connection is not None
        self._framing.close()
        self._framing = Framing()
        self._expect = self._header
        self._greeted = False
        context = self._links.identity.context("xmpp-server")
        self._connection.start_tls(context, server_side=True, established=self._encrypted)

    def _encrypted(self) -> None:
        self._secure = True
        assert self._connection is not None
        end_when_silent(self._connection)

    def _serve(self, event: Event) -> None:
        if type(event) is Stanza:
            self._admit(event)
            self._links.hub.route(event, self)
        elif isinstance(event, Refused):
            stanza = event.stanza
            stanza.to = stanza.to or self._links.hub.host  # who was meant could not be read
            self._admit(stanza)
            self._links.give_back(stanza, event.error)
        elif isinstance(event, Element) and event.ns == dialback.NS:
            self._dialback(dialback.read(event))
        elif isinstance(event, Element) and event.ns == SASL_NS:
            self._write(write(E("failure", SASL_NS, E("invalid-mechanism")), SERVER).encode())
        else:
            raise StreamError("unsupported-stanza-type")

    def _ended(self, event: Event) -> None:
        """Whatever he still says, we have closed."""

    def _admit(self, stanza: Stanza) -> None:
        """Holds RFC 6120 §8.1.1.2 and §8.1.2.2. Raises StreamError."""
        if not self.domains:
            raise StreamError("not-authorized", "dialback comes first")
        if stanza.sender is None or stanza.to is None:
            raise StreamError("improper-addressing", "between servers every stanza says from whom and to whom")
        if stanza.sender.domain not in self.domains:
            raise StreamError("invalid-from", f"this stream may not send from {stanza.sender.domain[:80]}")
        if not self._links.hosted(stanza.to.domain):
            raise StreamError("host-unknown", f"{stanza.to.domain[:80]} does not live here")

    # Dialback (XEP-0220 §2.2)

    def _dialback(self, packet: dialback.Packet) -> None:
        if packet.type is not None:
            log.warning("link from %s: ignored an unasked answer: %r", self.name, packet)
        elif not self._links.hosted(packet.to):
            self._tell(packet.answer("error", "item-not-found", f"{packet.to[:80]} does not live here"))
        elif packet.name == "verify":
            known = self._links.secret.knows(packet.key, packet.sender, packet.to, packet.id or "")
            self._tell(packet.answer("valid" if known else "invalid"))
            self._links.deadlines.discard(self)
        elif packet.sender in self._claims:
            log.info("link from %s: %s is being asked about already", self.name, packet.sender)
        elif len(self._claims) >= CLAIMS_LIMIT or len(self.domains) >= DOMAINS_LIMIT:
            self._tell(packet.answer("error", "resource-constraint", "too many domains for one stream"))
        elif self._links.hosted(packet.sender):
            log.warning("link from %s: it claims to be this node", self.name)
            self._reject(packet)
        else:
            self._claims.add(packet.sender)
            self._links.hub.spawn(self._find_out(packet), f"dialback with {packet.sender}")

    async def _find_out(self, packet: dialback.Packet) -> None:
        """Asks the domain that he claims whether the key is its own, and tells him (steps 2 to 4)."""
        domain = packet.sender
        question = dialback.Packet("verify", packet.to, domain, id=self.id, key=packet.key)
        try:
            asker = network(self.peer[0])
            answer = await self._links.outbox(domain, self._links.knocking, asker).ask(question, asker)
        except LinkError as error:
            log.warning("link from %s as %s: not accepted, that domain: %s", self.name, domain, error.text)
            self._tell(packet.answer("error", error.dialback, f"{domain}: {error.text}"))
            self._count_failure()
            return
        finally:
            self._claims.discard(domain)
        if answer.type == "valid":
            self._accept(packet)
        elif answer.type == "error":
            why = f"{domain} says {answer.condition or 'undefined-condition'}"
            log.warning("link from %s as %s: not accepted, %s", self.name, domain, why)
            # XEP-0220 §2.4: whatever went wrong in step 3, this is its name in step 4.
            self._tell(packet.answer("error", "remote-server-not-found", why))
            self._count_failure()
        else:
            log.warning("link from %s as %s: not accepted, the domain does not know the key", self.name, domain)
            self._reject(packet)

    def _count_failure(self) -> None:
        self._failed += 1
        if self._failed >= FAILED_LIMIT:
            self.close(StreamError("policy-violation", "too many domains that are not yours"))

    def _accept(self, packet: dialback.Packet) -> None:
        if self._expect != self._serve:
            return
        self.domains.add(packet.sender)
        self._framing.limit = SERVER_LIMIT
        self._links.deadlines.discard(self)
        self._listener.admitted(self.peer)
        log.info("link from %s: open", packet.sender)
        self._tell(packet.answer("valid"))

    def _reject(self, packet: dialback.Packet) -> None:
        """Somebody claims to be a domain that is not his."""
        if self.domains:  # those that he has shown are his stay (XEP-0220 §2.2.1)
            self._tell(packet.answer("error", "forbidden", f"{packet.sender} does not know this key"))
            self._count_failure()
        else:
            self._tell(packet.answer("invalid"))
            self.close()

    def _tell(self, packet: dialback.Packet) -> None:
        self._write(packet.to_bytes())

    # The rest of its life

    @property
    def name(self) -> str:
        """For the log: the domains, or where it comes from."""
        return ", ".join(sorted(self.domains)) or self.peer[0]

    def keep_alive(self) -> None:
        """A space (RFC 6120 §4.6.1); when nobody acknowledges it the kernel ends the connection."""
        self.quiet += 1
        stranger = not self.domains and not self._claims
        self._ticks = self._ticks + 1 if stranger else 0
        if stranger and (self.quiet > 1 or self._ticks > STRANGER_TICKS):
            self.close(
                StreamError("connection-timeout", "nothing was said for a minute, or only questions asked for ten")
            )
        elif self._secure:
            self._write(b" ")

    def _write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)

    def close(self, error: StreamError | None = None) -> None:
        """Ends the stream in order, with the reason if there is one."""
        if self._expect == self._ended:
            return
        if error is not None:
            log.info("link from %s: ended with %s", self.name, error)
        if self._waiting is not None:
            self._knocks()
        if not self._greeted:  # RFC 6120 §4.9.1.2: an error needs a stream to stand in
            self._greet(None)
        self._expect = self._ended
        self._write(last_words(SERVER, error))
        assert self._connection is not None
        self._connection.close()

    def overflowed(self) -> None:
        """From the connection: he does not read our answers."""
        self.close(StreamError("resource-constraint", "you do not read"))

    def closed(self, reason: str) -> None:
        """From the connection: it has ended."""
        level = logging.INFO if self.domains else logging.DEBUG
        log.log(level, "link from %s: ended, %s", self.name, reason)
        self._expect = self._ended
        self._framing.close()
        self._connection = None
        self._listener.admitted(self.peer)
        self._links.ended(self)
