"""One client, from its first byte to its last: a stream that is secured, logged in and bound, and then a session.

What is allowed now is the function that `expect` names: `opening` and `stanzas` here, in login.py what comes before
a login, in binding.py what comes before a resource.
"""

import logging
import socket
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, cast

from node.base.element import Element, write
from node.base.errors import StreamError
from node.base.jid import Jid
from node.base.stanza import CLIENT, Stanza
from node.net.connection import Connection
from node.net.listener import Listener
from node.ports.client.binding import before_bind
from node.ports.client.csi import Calm
from node.ports.client.gone import GONE
from node.ports.client.login import Login, before_login, before_tls, claim, start_tls
from node.ports.limits import Throttle
from node.stream import opening as header
from node.stream.events import Closing, Event, Opening, Refused
from node.stream.framing import Framing

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.keeping import Management

log = logging.getLogger("hobnode")

LOGIN_DEADLINE = 30  # seconds from the first byte to a bound resource; the slowest phone takes five
LANG_LIMIT = 35  # characters (RFC 5646 §4.4.1) of what is put into every stanza, however small that is


class Client:
    """One client's connection, and the session that comes of it: what the hub delivers to."""

    __slots__ = (
        "_throttle",
        "agent",
        "calm",
        "connection",
        "expect",
        "framing",
        "heard",
        "jid",
        "lang",
        "login",
        "management",
        "port",
        "said_hello",
        "since",
        "user",
    )

    jid: Jid  # once a resource is bound
    expect: "Callable[[Client, Event], None]"  # not bound: that would be a circle, which only the collector frees

    def __init__(
        self, port: "ClientPort", sock: socket.socket, peer: tuple[str, int], listener: Listener, direct_tls: bool
    ):
        self.port = port
        self.framing = Framing()
        self.user = ""  # the localpart that has logged in
        self.agent: bytes | None = None  # the id of the client program (sasl2.py), for nobody else to see
        self.lang: str | None = None
        self.said_hello = False  # our header is out
        self.login: Login | None = Login(listener)
        self.expect = opening
        self.calm: Calm | None = None  # while it is inactive (csi.py)
        self.management: Management | None = None  # what is acked (keeping.py)
        self.heard = True  # since we last asked (idle.py)
        self.since = 0.0  # since when it gets what is for the account (Unix time; hub.Session)
        self._throttle = Throttle(port.rate, port.hub.loop) if port.rate else None
        self.connection = Connection(sock, port.turn, self, peer_address=peer)
        port.waiting.add(self)
        if direct_tls:
            start_tls(self)

    @classmethod
    def revived(cls, port: "ClientPort", jid: Jid, lang: str | None, agent: bytes | None) -> "Client":
        """A session of the node's last run, asleep: without a line."""
        self = cls.__new__(cls)
        self.port = port
        self.jid = jid
        self.user = jid.local
        self.lang, self.agent = lang, agent
        self.framing, self.connection = _NO_FRAMING, cast(Connection, GONE)
        self.login = self.calm = self.management = self._throttle = None
        self.said_hello = self.heard = True
        self.since = 0.0
        self.expect = asleep
        return self

    # What the connection tells

    def received(self, data: bytes) -> None:
        framing = self.framing
        self.heard = True
        if self._throttle is not None:
            self._throttle.spend(len(data), self.connection)
        try:
            if self.calm is not None:  # XEP-0286 §4.2: its radio is on
                self.calm.flush()
            store = self.port.hub.store
            writes = store.writes
            for event in framing.feed(data):
                self.expect(self, event)
                if self.framing is not framing:  # what came behind a restart is thrown away
                    framing.close()
                    return
            if writes != store.writes and store.holds_back(self.connection.resume):
                self.connection.pause()  # faster than the disk: TCP holds it back, and nothing is refused
        except StreamError as error:
            self.close(error)
        except Exception:  # a bug of ours: what it sent after this is lost, so it has to begin anew
            log.exception("%s: the stream failed", self.name)
            self.close(StreamError("internal-server-error"))

    def closed(self, reason: str) -> None:
        """The line is down. Called once for each line."""
        if self.expect is asleep:  # we gave it up before
            return
        if self.expect is not nothing and self.resumable:
            self._fall_asleep(reason)
            return
        self.expect = nothing
        self.framing.close()
        self._leave_the_door()
        self._leave_the_crowd()
        if self.bound:
            log.info("%s has left: %s", self.jid, reason)
            self.end_session()
        else:
            log.debug("a client from %s has left before login: %s", self.connection.peer_address[0], reason)

    def overflowed(self) -> None:
        """The client does not read what it is sent."""
        log.info("%s does not read; closed", self.jid if self.bound else self.connection.peer_address[0])
        self.close(StreamError("resource-constraint", "you do not read what you are sent"))

    # What the hub tells

    def deliver(self, stanza: Stanza) -> None:
        if self.calm is not None and self.calm.holds(stanza):
            return
        management = self.management
        if management is None:
            self.connection.write(stanza.to_bytes(CLIENT))
        elif management.had is None or not management.has_had(stanza):
            data = stanza.to_bytes(CLIENT)
            self.connection.write(data)
            management.keep(stanza, len(data))

    def when_acked(self, callback: Callable[[], object]) -> bool:
        """Calls `callback()` when the client has acked all that it was sent so far; never if its session ends before.

        False: this client acks nothing (no stream management).
        """
        if self.management is None:
            return False
        self.management.when_acked(callback)
        return True

    def close(self, error: StreamError | None) -> None:
        """Ends the stream; an error before our header comes behind it (RFC 6120 §4.9.1.2)."""
        if self.expect is nothing:
            return
        self.expect = nothing
        if error is not None:
            log.info("stream of %s closed: %s", self.name, error)
        if not self.said_hello:
            self.hello(None)
        self.say_goodbye(error)
        if self.bound:  # at once: what is for this account goes to those who listen
            self.end_session(clean=error is None)

    def say_goodbye(self, error: StreamError | None) -> None:
        """The last words on this line."""
        if self.management is not None:
            self.management.answer()  # XEP-0198 §4: right before the end
        self.connection.write(header.last_words(CLIENT, error))
        self.connection.close(str(error) if error else "it closed its stream")

    def end_session(self, clean: bool = False) -> None:
        """Nobody finds it any more; `clean`: the client has said good-bye."""
        self.port.idle.forget(self)
        if self.calm is not None:
            self.calm.flush()  # to go where all goes that it has not acked
        self.port.hub.unbind(self)
        management, self.management = self.management, None
        if management is not None:
            management.end(clean)

    # A session that can be resumed outlives its line (XEP-0198 §5)

    @property
    def resumable(self) -> bool:
        return self.management is not None and self.management.seconds > 0

    @property
    def is_asleep(self) -> bool:
        """Whether it waits for its client to come back."""
        return self.expect is asleep

    @property
    def is_on_line(self) -> bool:
        return self.connection.owner is self

    def lose(self, error: StreamError) -> None:
        """Nobody is at the other end: the session sleeps if it can be resumed, else it ends."""
        if self.resumable:
            self.cut(error)
        else:
            self.close(error)

    def cut(self, error: StreamError) -> None:
        """Ends the line and not the session, which sleeps."""
        if self.expect is asleep:
            return
        connection = self.connection
        if connection.owner is not None:
            self.say_goodbye(error)
            connection.owner = GONE
        self._fall_asleep(str(error))

    def _fall_asleep(self, reason: str) -> None:
        """Holds nothing any more that belongs to a line: what sleeps is small."""
        assert self.management is not None
        log.info("%s may come back: %s", self.jid, reason)
        self.framing.close()
        self._leave_the_crowd()
        self.port.idle.forget(self)
        self.expect = asleep
        self.connection = cast(Connection, GONE)
        self.framing = _NO_FRAMING
        self._throttle = None
        self.management.fall_asleep()
        calm, self.calm = self.calm, None
        if calm is not None:  # what has waited for it to wake waits with the rest
            for stanza in calm.take():
                self.deliver(stanza)

    def take_over(self, other: "Client", expect: "Callable[[Client, Event], None]") -> None:
        """The line of another, logged in and not bound, is this session's from now on."""
        other._leave_the_door()
        other.expect = nothing
        other.login = None
        self.connection, self.framing = other.connection, other.framing
        self.connection.owner = self
        self.agent, self.lang = other.agent, other.lang
        self._throttle = other._throttle
        self.expect = expect
        self.port.connected.discard(other)
        self.port.connected.add(self)
        self.port.idle.watch(self)

    def too_slow(self) -> None:
        """Not logged in within the deadline (slow loris, half-open lines)."""
        self.close(StreamError("connection-timeout", f"not logged in within {LOGIN_DEADLINE} s"))

    @property
    def bound(self) -> bool:
        return hasattr(self, "jid")

    @property
    def name(self) -> str:
        """For the log: who it is, as far as that is known."""
        return self.jid if self.bound else f"a client at {self.connection.peer_address[0]}"

    # What the steps of a login do with it

    def send(self, element: Element) -> None:
        """Sends what is not a stanza."""
        self.connection.write(write(element, CLIENT).encode())

    def hello(self, to: str | None) -> None:
        """Sends our header."""
        self.said_hello = True
        host = self.port.hub.host
        self.connection.write(header.header(CLIENT, sender=host, to=to, id=header.new_stream_id()))

    def offer(self) -> None:
        """Sends the stream features of this moment (RFC 6120 §4.3.2)."""
        self.connection.write(header.features(CLIENT, self.port.offer(self)))

    def restart(self, limit: int) -> None:
        """A new stream begins on the same line; one element of it may have `limit` bytes."""
        self.framing = Framing(limit)
        self.said_hello = False
        self.expect = opening

    def secured(self) -> None:
        """TLS is there."""
        self.restart(self.framing.limit)

    def become_session(self) -> None:
        """It is somebody now."""
        self._leave_the_door()
        self.login = None
        self.since = time()
        self.expect = stanzas
        self.port.idle.watch(self)

    def _leave_the_door(self) -> None:
        """Counts no longer as a stranger at the listener."""
        self.port.waiting.discard(self)
        self.port.newcomers.discard(self)
        if self.login is not None:
            self.login.leave(self.connection.peer_address)

    def _leave_the_crowd(self) -> None:
        self.port.connected.discard(self)
        self.port.crowd.count(len(self.port.connected))


def opening(client: Client, event: Event) -> None:
    """The header of a stream (RFC 6120 §4.7)."""
    if isinstance(event, StreamError):
        raise event
    if not isinstance(event, Opening):
        raise StreamError("bad-format", "the stream has not begun")
    client.hello(event.sender)
    header.check(event, CLIENT, client.port.hub.host.__eq__)
    claim(client, event.sender)
    if event.lang and len(event.lang) <= LANG_LIMIT:
        client.lang = event.lang
    client.offer()
    if client.connection.tls is None:
        client.expect = before_tls
    else:
        client.expect = before_bind if client.user else before_login


def stanzas(client: Client, event: Event) -> None:
    """What a session says."""
    if type(event) is Stanza:
        stamp(client, event)
        client.port.hub.route(event, client)
    elif isinstance(event, Refused):
        stamp(client, event.stanza)
        if event.stanza.type not in ("error", "result"):
            client.deliver(event.stanza.error(event.error))  # at once: no guard may keep from him what he did wrong
    elif isinstance(event, Element):
        handler = client.port.in_session.get((event.ns or "", event.name))
        if handler is None:
            raise StreamError("unsupported-stanza-type")
        handler(client, event)
    elif isinstance(event, StreamError):
        raise event
    elif isinstance(event, Closing):
        client.close(None)
    else:
        raise StreamError("unsupported-stanza-type")


def stamp(client: Client, stanza: Stanza) -> None:
    """RFC 6120 §8.1.2.1: who sends is known by the stream; a claim to be somebody else ends it."""
    jid = client.jid
    if stanza.sender is not None and stanza.sender != jid and stanza.sender != jid.bare:
        raise StreamError("invalid-from", f"you are {jid}")
    stanza.sender = jid
    if stanza.to is None and stanza.name != "presence":
        stanza.to = jid.bare  # RFC 6120 §10.3: what names nobody is for the account itself
    if stanza.lang is None:
        stanza.lang = client.lang  # RFC 6120 §8.1.5


def nothing(client: Client, event: Event) -> None:
    """The stream has ended; whatever still comes is not ours."""


def asleep(client: Client, event: Event) -> None:
    """The line is cut, and the session waits for another one."""


_NO_FRAMING = Framing()
