"""One client: a stream that is secured, logged in and bound, and then a session (RFC 6120).

What is allowed now is the method that waits: `_opening`, `_before_tls`, `_before_login`, `_judging`,
`_before_bind`, `_stanzas`. STARTTLS is required on one port; on the other TLS comes first (XEP-0368).
"""

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.base.element import E, Element, write
from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, JidError, make
from node.base.stanza import CLIENT, Stanza, new_id
from node.hub.store import StoreError
from node.net.connection import Connection
from node.net.listener import Listener, network
from node.ports.limits import Throttle
from node.stream import opening, sasl
from node.stream.events import Closing, Event, Opening, Refused
from node.stream.framing import CLIENT_LIMIT, Framing

if TYPE_CHECKING:
    from node.ports.client import ClientPort

log = logging.getLogger("hobnode")

TLS_NS = "urn:ietf:params:xml:ns:xmpp-tls"
BIND_NS = "urn:ietf:params:xml:ns:xmpp-bind"
LIMIT_EXCEEDED_NS = "urn:xmpp:errors"

LOGIN_DEADLINE = 30  # seconds from the first byte to a bound resource; the slowest phone takes five
TRIES = 3  # wrong passwords on one stream; a person mistypes twice
LANG_LIMIT = 35  # characters (RFC 5646 §4.4.1) of what is put into every stanza, however small that is
RESOURCES_LIMIT = 10  # sessions of one account; each costs memory and a copy of every message


class Client:
    """One client's connection, from its first byte to its last."""

    __slots__ = (
        "_exchange",
        "_expect",
        "_listener",
        "_throttle",
        "_tries",
        "connection",
        "end_point",
        "framing",
        "jid",
        "lang",
        "port",
        "said_hello",
        "user",
    )

    jid: Jid
    _expect: "Callable[[Client, Event], None]"  # not bound: that would be a circle, which only the collector frees

    def __init__(
        self, port: "ClientPort", sock: socket.socket, peer: tuple[str, int], listener: Listener, direct_tls: bool
    ):
        self.port = port
        self.framing = Framing()
        self.user = ""  # the localpart that has logged in
        self.lang: str | None = None
        self.said_hello = False  # our header is out
        self._listener: Listener | None = listener
        self._exchange: sasl.Scram | sasl.Plain | None = None
        self._tries = 0
        self._throttle = Throttle(port.rate, port.hub.loop) if port.rate else None
        self._expect = Client._opening
        self.connection = Connection(sock, port.turn, self, peer_address=peer)
        port.waiting.add(self)
        self.end_point: bytes | None = None  # the channel binding of the certificate that this client was shown
        if direct_tls:
            self._start_tls()

    # What the connection tells

    def received(self, data: bytes) -> None:
        framing = self.framing
        if self._throttle is not None:
            self._throttle.spend(len(data), self.connection)
        try:
            for event in framing.feed(data):
                self._expect(self, event)
                if self.framing is not framing:  # what came behind a restart is thrown away
                    framing.close()
                    return
        except StreamError as error:
            self.close(error)
        except Exception:  # a bug of ours: what it sent after this is lost, so it has to begin anew
            log.exception("%s: the stream failed", self._name)
            self.close(StreamError("internal-server-error"))

    def closed(self, reason: str) -> None:
        """The line is down. Called once."""
        self._expect = Client._nothing
        self.framing.close()
        self._leave_the_door()
        self.port.connected.discard(self)
        self.port.crowd.count(len(self.port.connected))
        if self._bound:
            log.info("%s has left: %s", self.jid, reason)
            self.port.hub.unbind(self)
        else:
            log.debug("a client from %s has left before login: %s", self.connection.peer_address[0], reason)

    def overflowed(self) -> None:
        """The client does not read what it is sent."""
        log.info("%s does not read; closed", self.jid if self._bound else self.connection.peer_address[0])
        self.close(StreamError("resource-constraint", "you do not read what you are sent"))

    # What the hub tells

    def deliver(self, stanza: Stanza) -> None:
        self.connection.write(stanza.to_bytes(CLIENT))

    def close(self, error: StreamError | None) -> None:
        """Ends the stream; an error before our header comes behind it (RFC 6120 §4.9.1.2)."""
        if self._expect is Client._nothing:
            return
        self._expect = Client._nothing
        if error is not None:
            log.info("stream of %s closed: %s", self._name, error)
        if not self.said_hello:
            self._hello(None)
        self.connection.write(opening.last_words(CLIENT, error))
        self.connection.close(str(error) if error else "it closed its stream")
        if self._bound:  # at once: what is for this account goes to those who listen
            self.port.hub.unbind(self)

    def too_slow(self) -> None:
        """Not logged in within the deadline (slow loris, half-open lines)."""
        self.close(StreamError("connection-timeout", f"not logged in within {LOGIN_DEADLINE} s"))

    @property
    def _bound(self) -> bool:
        return hasattr(self, "jid")

    @property
    def _name(self) -> str:
        return self.jid if self._bound else f"a client at {self.connection.peer_address[0]}"

    @property
    def _neighbourhood(self) -> str:
        """Where wrong passwords come from: an IPv6 customer has a whole network of addresses."""
        return network(self.connection.peer_address[0])

    def _send(self, element: Element) -> None:
        self.connection.write(write(element, CLIENT).encode())

    def _leave_the_door(self) -> None:
        """Counts no longer as a stranger at the listener."""
        self.port.waiting.discard(self)
        if self._listener is not None:
            self._listener.admitted(self.connection.peer_address)
            self._listener = None

    # The stream

    def _hello(self, to: str | None) -> None:
        self.said_hello = True
        host = self.port.hub.host
        self.connection.write(opening.header(CLIENT, sender=host, to=to, id=opening.new_stream_id()))

    def _opening(self, event: Event) -> None:
        if isinstance(event, StreamError):
            raise event
        if not isinstance(event, Opening):
            raise StreamError("bad-format", "the stream has not begun")
        self._hello(event.sender)
        opening.check(event, CLIENT, self.port.hub.host.__eq__)
        if event.lang and len(event.lang) <= LANG_LIMIT:
            self.lang = event.lang
        self.connection.write(opening.features(CLIENT, self.port.offer(self)))
        if self.connection.tls is None:
            self._expect = Client._before_tls
        else:
            self._expect = Client._before_bind if self.user else Client._before_login

    def _restart(self, limit: int) -> None:
        self.framing = Framing(limit)
        self.said_hello = False
        self._expect = Client._opening

    def _nothing(self, event: Event) -> None:
        """The stream has ended; whatever still comes is not ours."""

    def _ended(self, event: Event) -> bool:
        """Handles what may come at any time: the end."""
        if isinstance(event, StreamError):
            raise event
        if isinstance(event, Closing):
            self.close(None)
            return True
        if isinstance(event, Stanza | Refused):
            raise StreamError("not-authorized", "log in first")
        return False

    def _before_tls(self, event: Event) -> None:
        if self._ended(event):
            return
        assert isinstance(event, Element)
        if event.ns == sasl.NS and event.name == "auth":
            self._send(E("failure", sasl.NS, E("encryption-required")))
        elif event.ns == TLS_NS and event.name == "starttls":
            self._send(E("proceed", TLS_NS))
            self.framing = Framing()
            self._start_tls()
        else:
            raise StreamError("policy-violation", "STARTTLS comes first")

    def _start_tls(self) -> None:
        self._expect = Client._shaking
        identity = self.port.identity
        self.end_point = identity.end_point  # of the same moment as the context: the certificate may be exchanged
        self.connection.start_tls(identity.context("xmpp-client"), established=self._secured)

    def _shaking(self, event: Event) -> None:
        """The handshake is under way; until it is done nothing can be heard or said."""

    def _secured(self) -> None:
        self._restart(self.framing.limit)

    # The login (RFC 6120 §6)

    def _before_login(self, event: Event) -> None:
        if self._ended(event):
            return
        assert isinstance(event, Element)
        if event.ns != sasl.NS:
            raise StreamError("unsupported-stanza-type" if event.ns == TLS_NS else "not-authorized", "log in first")
        try:
            self._step(event)
        except sasl.SaslFailure as failure:
            self._fail(failure)
        except StoreError as error:
            self._fail(sasl.SaslFailure("temporary-auth-failure", str(error)))

    def _step(self, element: Element) -> None:
        if element.name == "abort":
            raise sasl.SaslFailure("aborted")
        if element.name == "auth":
            if self._exchange is not None:
                raise sasl.SaslFailure("malformed-request", "one login at a time")
            self._exchange = sasl.start(
                element.get("mechanism", "") or "",
                self.port.hub.host,
                self.port.hub.accounts.keys,
                encrypted=True,
                end_point=self.end_point,
            )
        elif element.name != "response" or self._exchange is None:
            raise sasl.SaslFailure("malformed-request")
        exchange = self._exchange
        if exchange.user:  # SCRAM: what comes now is the proof
            self._check_patience(exchange.user)
        text = element.text
        challenge = exchange.step(sasl.decode(text) if text or element.name == "response" else None)
        if challenge is not None:
            self._send(E("challenge", sasl.NS, sasl.encode(challenge)))
        elif isinstance(exchange, sasl.Plain):
            self._check_patience(exchange.user)
            self._expect = Client._judging
            self.port.hub.spawn(self._judge(exchange), "PLAIN login")
        elif exchange.done:
            self._succeed(exchange)

    def _check_patience(self, user: str) -> None:
        wait = self.port.attempts.begin(user, self._neighbourhood, self.port.hub.loop.time())
        if wait > 0:
            raise sasl.SaslFailure("temporary-auth-failure", f"too many wrong passwords; wait {wait:.0f} s")

    def _judging(self, event: Event) -> None:
        """The password is being checked: the client has nothing to say now."""
        if not self._ended(event):
            raise StreamError("policy-violation", "wait for the answer")

    async def _judge(self, exchange: sasl.Plain) -> None:
        failure = None
        try:
            exchange.verdict(await self.port.hub.accounts.check(exchange.user, exchange.password))
        except sasl.SaslFailure as wrong:
            failure = wrong
        except StoreError as error:
            failure = sasl.SaslFailure("temporary-auth-failure", str(error))
        if self._expect is not Client._judging:  # it has left meanwhile
            return
        self._expect = Client._before_login
        try:
            if failure:
                self._fail(failure)
            else:
                self._succeed(exchange)
        except StreamError as error:
            self.close(error)

    def _succeed(self, exchange: "sasl.Scram | sasl.Plain") -> None:
        self._exchange = None
        self.user = exchange.user
        self.port.attempts.right(self.user, self._neighbourhood)
        data = exchange.success_data
        self._send(E("success", sasl.NS, sasl.encode(data) if data else None))
        self._restart(CLIENT_LIMIT)

    def _fail(self, failure: sasl.SaslFailure) -> None:
        exchange, self._exchange = self._exchange, None
        address = self.connection.peer_address[0]
        if failure.condition == "not-authorized" and exchange is not None:
            log.warning("a login as %s from %s failed", exchange.user, address)
        text = E("text", None, failure.text, xml_lang="en") if failure.text else None
        self._send(E("failure", sasl.NS, E(failure.condition), text))
        self._tries += 1
        if self._tries >= TRIES:
            raise StreamError("policy-violation", f"{TRIES} failed logins")

    # The resource (RFC 6120 §7)

    def _before_bind(self, event: Event) -> None:
        if isinstance(event, Refused):
            event = event.stanza
        if isinstance(event, Stanza) and event.name == "iq" and event.type == "set" and event.has("bind", BIND_NS):
            try:
                self._bind(event)
            except StanzaError as error:
                self.deliver(event.error(error))
        elif not self._ended(event):
            raise StreamError("not-authorized", "bind a resource first")

    def _bind(self, iq: Stanza) -> None:
        assert iq.payload is not None
        wanted = iq.payload.find("resource")
        hub = self.port.hub
        try:
            jid = make(self.user, hub.host, (wanted.text if wanted else "") or new_id())
        except JidError as error:
            raise StanzaError("bad-request", str(error)) from None
        if not hub.accounts.exists(self.user):
            raise StreamError("not-authorized", "the account has been removed")
        others = hub.sessions.get(jid.bare, {})
        if jid in others:
            others[jid].close(StreamError("conflict", "the same resource has connected again"))
        elif len(others) >= RESOURCES_LIMIT:
            extra = E("resource-limit-exceeded", LIMIT_EXCEEDED_NS)
            raise StanzaError("resource-constraint", f"{RESOURCES_LIMIT} clients are connected already", extra=extra)
        self.jid = jid
        self._leave_the_door()
        self._expect = Client._stanzas
        self.deliver(Stanza("iq", E("bind", BIND_NS, E("jid", None, jid)), type="result", id=iq.id))
        hub.bind(self)
        log.info("%s has logged in from %s", jid, self.connection.peer_address[0])

    # The session

    def _stanzas(self, event: Event) -> None:
        if type(event) is Stanza:
            self._stamp(event)
            self.port.hub.route(event, self)
        elif isinstance(event, Refused):
            self._stamp(event.stanza)
            self.port.hub.refuse(event.stanza, event.error)
        elif isinstance(event, StreamError):
            raise event
        elif isinstance(event, Closing):
            self.close(None)
        else:
            raise StreamError("unsupported-stanza-type")

    def _stamp(self, stanza: Stanza) -> None:
        """RFC 6120 §8.1.2.1: who sends is known by the stream; a claim to be somebody else ends it."""
        jid = self.jid
        if stanza.sender is not None and stanza.sender != jid and stanza.sender != jid.bare:
            raise StreamError("invalid-from", f"you are {jid}")
        stanza.sender = jid
        if stanza.to is None and stanza.name != "presence":
            stanza.to = jid.bare  # RFC 6120 §10.3: what names nobody is for the account itself
        if stanza.lang is None:
            stanza.lang = self.lang  # RFC 6120 §8.1.5
