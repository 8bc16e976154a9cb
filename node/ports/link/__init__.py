"""Links to other servers (federation): RFC 6120 between servers, XEP-0220, XEP-0185, XEP-0368, XEP-0178.

One stream in each direction: on those that we open (outgoing.py) we send, on those that we accept
(incoming.py) we are sent to. What waits for a domain is in its outbox (outbox.py). TLS is a must both ways,
and whom we open a link to has to show the right certificate (trust.py); since dialback asks on such a link,
this also holds for those whom we listen to.
"""

import logging
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, parse
from node.base.stanza import Stanza
from node.hub.hub import Hub
from node.net import certificate
from node.net.deadlines import Deadlines
from node.net.listener import Listener, Strangers
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.link.failure import LinkError
from node.ports.link.kept import Kept
from node.ports.link.openings import Openers, sender_of
from node.ports.link.trust import Trust

# What speaks and listens is loaded when another server is met: 0.3 MiB, and many a home never meets one.
if TYPE_CHECKING:
    from node.net.dns import Resolver
    from node.ports.dialback import Secret
    from node.ports.link.incoming import Incoming
    from node.ports.link.outbox import Outbox

log = logging.getLogger("hobnode")

_SHA256 = re.compile("[0-9a-f]{64}")

OPENINGS = 20  # links being opened at a time for the people here: after a power cut all peers are to be told at once
SHARE = 8  # of these for one person: some dead servers do not hold up the living; and two who write to many leave some
DOMAINS = 600  # that are known of at a time: 5 MiB if all wait, 30 if all are linked
DOMAINS_EACH = 150  # for one person: twice what the contacts and rooms of a busy one have
KNOCKING = (10, 4, 250, 50)  # likewise for servers that knock, by network: they have 30 s, and each knows few domains
STRANGER_SECONDS = 30  # from the connection to the first dialback (security: L7)
TICK_SECONDS = 60  # between keep-alives
IDLE_TICKS = 10  # without a stanza, then a link of ours is closed: ten minutes; it holds 50 KiB here and there
UNUSED_TICKS = 1  # for one that served a question only


@dataclass(frozen=True, slots=True)
class Peer:
    """A domain that is reached at a fixed place, or known by its certificate."""

    host: str = ""  # name or address; '': as DNS says
    port: int = 5269
    fingerprint: str = ""  # SHA-256 of its certificate; '': it must be valid for the domain

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port must be from 1 to 65535, not {self.port}")
        digits = certificate.digits(self.fingerprint)
        if self.fingerprint and not _SHA256.fullmatch(digits):
            strange = next((each for each in digits if each not in "0123456789abcdef"), "")
            why = f"and {strange!r} is none" if strange else f"not {len(digits)}"
            wanted = "a SHA-256: 64 hexadecimal digits, as `hobnode check` prints it"
            raise ValueError(f"fingerprint must be {wanted}, {why}")


@dataclass(frozen=True, slots=True)
class Options:
    """What the configuration says of other servers."""

    peers: Mapping[str, Peer] = field(default_factory=dict)  # by domain, prepared
    own: tuple[str, str] | None = None  # the files of our certificate and its key, for peers that ask (EXTERNAL)
    rate: int = 4 * 65536  # bytes per second that one peer may send: as four clients; 0: no limit


class Links:
    """All links: out by domain, in by stream."""

    def __init__(self, hub: Hub, options: Options, identity: Identity, turn: Turn):
        self.hub = hub
        self.loop = hub.loop
        self.options = options
        self.identity = identity
        self.turn = turn
        self.trust = Trust(options.peers, options.own)
        self.people = Openers(OPENINGS, SHARE, DOMAINS, DOMAINS_EACH)
        self.knocking = Openers(*KNOCKING)
        self.kept = Kept(hub)
        self.deadlines = Deadlines(hub.loop, STRANGER_SECONDS, self._too_slow)
        self.outboxes: dict[Jid, Outbox] = {}
        self.streams: set[Incoming] = set()
        self.listeners: list[Listener] = []
        self._timer = hub.loop.call_later(TICK_SECONDS, self._tick)

    def listen(self, address: str, port: int, strangers: Strangers | None = None) -> Listener:
        """Opens a port, for STARTTLS and for TLS from the first byte, and begins to send. Raises ListenError.

        A node on which no server can call is heard by none: dialback calls. So there is no sending without this.
        """

        def accept(sock: socket.socket, peer: tuple[str, int]) -> None:
            from node.ports.link.incoming import Incoming

            stream = Incoming(self, sock, peer, listener)
            self.streams.add(stream)
            self.deadlines.add(stream)

        listener = Listener(self.loop, address, port, accept, strangers)
        self.listeners.append(listener)
        if self.hub.remote is None:
            self.hub.remote = self.send
            for row, message in self.kept.left():
                self._send_old(row, message)
        return listener

    @cached_property
    def resolver(self) -> "Resolver":
        from node.net.dns import Resolver

        return Resolver()

    @cached_property
    def secret(self) -> "Secret":
        """New at each start: keys live as long as a stream."""
        from node.ports.dialback import Secret

        return Secret(secrets.token_hex(32))

    def hosted(self, domain: str) -> bool:
        return domain == self.hub.host

    def outbox(self, domain: Jid, openers: Openers, opener: str) -> "Outbox":
        """The outbox of a domain, made for the sake of `opener` if it is not there. Raises LinkError."""
        from node.ports.link.outbox import Outbox

        box = self.outboxes.get(domain)
        if box is None:
            box = Outbox(self, domain, openers, opener)
            gone = openers.enter(opener, box)
            if gone is not None:
                del self.outboxes[gone.domain]
            self.outboxes[domain] = box
        return box

    def send(self, stanza: Stanza, origin: object = None) -> None:
        """From the hub: a stanza for another domain."""
        assert stanza.to is not None
        domain = parse(stanza.to.domain)
        box = self.outboxes.get(domain)
        if box is None:
            try:
                box = self.outbox(domain, self.people, sender_of(stanza))
            except LinkError as error:
                self.give_back(stanza, error.as_stanza_error(domain))
                return
        box.send(stanza)

    def _send_old(self, row: int, message: Stanza) -> None:
        """From the store. What waits for more domains than may be waited for goes back."""
        assert message.to is not None
        domain = parse(message.to.domain)
        try:
            self.outbox(domain, self.people, sender_of(message)).send_old(row, message)
        except LinkError as error:
            self.give_back(message, error.as_stanza_error(domain))
            self.kept.drop([row])

    def give_back(self, stanza: Stanza, error: StanzaError) -> None:
        """Tells the sender why his stanza was not taken. Presence is worth no answer, but who asks for a
        subscription waits for one."""
        if stanza.name != "presence" or stanza.type == "subscribe":
            self.hub.refuse(stanza, error)

    def ended(self, stream: "Incoming") -> None:
        self.streams.discard(stream)
        self.deadlines.discard(stream)

    def reload(self, options: Options) -> None:
        """Peers or our certificate have changed: who is believed no more is hung up on, all else holds for the links
        that are opened from now on."""
        peers, before = self.options.peers, self.trust
        self.options, self.trust = options, Trust(options.peers, options.own)
        for domain, box in list(self.outboxes.items()):
            if peers.get(domain) != options.peers.get(domain):
                box.forgive()
            if box.link is not None:
                box.link.look_again()
        for stream in list(self.streams):  # those were believed by what a link of ours was shown at that time
            if any(self.trust.wants_another(domain, before) for domain in stream.domains):
                stream.close(StreamError("reset", "another certificate is wanted of you"))

    def close(self) -> None:
        """Listens no more, sends no more, and says goodbye to everybody."""
        self.hub.remote = None
        self._timer.cancel()
        for listener in self.listeners:
            listener.close()
        for box in self.outboxes.values():
            box.close(StreamError("system-shutdown"))
        for stream in list(self.streams):
            stream.close(StreamError("system-shutdown"))
        self.deadlines.close()
        if "resolver" in vars(self):  # somebody has asked
            self.hub.spawn(self.resolver.close(), "the resolver's end")

    def _too_slow(self, stream) -> None:
        stream.close(StreamError("connection-timeout", f"no dialback within {STRANGER_SECONDS} s"))

    def _tick(self) -> None:
        self._timer = self.loop.call_later(TICK_SECONDS, self._tick)
        for stream in list(self.streams):
            stream.keep_alive()
        for domain, box in list(self.outboxes.items()):
            if box.idle:
                box.openers.leave(box)
                del self.outboxes[domain]
            elif box.link is not None:
                limit = IDLE_TICKS if box.link.may_send else UNUSED_TICKS
                if box.link.quiet >= limit:
                    box.link.close()
                else:
                    box.link.keep_alive()
