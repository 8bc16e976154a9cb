"""Where clients come in: the listeners, what is offered at each step, and what the sessions share (session.py)."""

import socket
from collections.abc import Callable

from node.base.element import E, Element
from node.base.errors import StreamError
from node.hub.accounts import Attempts
from node.hub.hub import Hub
from node.net.deadlines import Deadlines
from node.net.listener import Listener, Strangers
from node.net.memory import Crowd
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.client import csi, management, newcomer, sasl2
from node.ports.client.binding import BIND_NS
from node.ports.client.idle import Idle
from node.ports.client.login import TLS_NS
from node.ports.client.session import LOGIN_DEADLINE, Client
from node.ports.limits import Options
from node.stream import sasl

# What handles an element that is no stanza, by namespace and name.
Handlers = dict[tuple[str, str], Callable[[Client, Element], None]]

SESSION_NS = "urn:ietf:params:xml:ns:xmpp-session"
BINDING_NS = "urn:xmpp:sasl-cb:0"
LIMITS_NS = "urn:xmpp:stream-limits:0"


class ClientPort:
    """The listeners for clients, and what their sessions share."""

    def __init__(self, hub: Hub, options: Options, identity: Identity, turn: Turn):
        self.hub = hub
        self.rate = options.rate
        self.identity = identity
        self.turn = turn
        self.waiting = Deadlines(hub.loop, LOGIN_DEADLINE, Client.too_slow)
        self.strangers = Strangers()
        self.attempts = Attempts()
        self.connected: set[Client] = set()
        self.crowd = Crowd(hub.loop)
        self.listeners: list[Listener] = []
        self.newcomers = Deadlines(hub.loop, newcomer.FORM_DEADLINE, newcomer.too_slow)
        self.asks = newcomer.asks  # what a stranger may ask in a stanza
        self.before_login: Handlers = {}
        self.before_bind: Handlers = {}
        self.in_session: Handlers = {}
        for at in ("self", "host"):
            hub.on_iq("set", "session", SESSION_NS, lambda iq, origin: iq.reply(), at=at)
        csi.setup(self)
        self.idle = Idle(self)
        self.managed = management.Sessions(self)
        management.setup(self)
        self.managed.saved.restore()
        sasl2.setup(self)

    def listen(self, address: str, port: int, *, direct_tls: bool) -> Listener:
        """Opens a port. Raises ListenError."""

        def accept(sock: socket.socket, peer: tuple[str, int]) -> None:
            self.connected.add(Client(self, sock, peer, listener, direct_tls))
            self.crowd.count(len(self.connected))

        listener = Listener(self.hub.loop, address, port, accept, self.strangers)
        self.listeners.append(listener)
        return listener

    def offer(self, client: "Client") -> list[Element]:
        """The stream features of this moment (RFC 6120 §4.3.2, XEP-0388, XEP-0440, XEP-0478)."""
        if client.connection.tls is None:
            return [E("starttls", TLS_NS, E("required"))]
        limits = E("limits", LIMITS_NS, E("max-bytes", None, str(client.framing.limit)))
        if client.user:
            resource = () if client.bound else (E("bind", BIND_NS), E("session", SESSION_NS, E("optional")))
            # With Bind 2 it may be on already; xmpp.js takes the offer for one to resume what it has just begun.
            managed = () if client.management else (E("sm", management.NS),)
            return [
                *resource,
                E("ver", "urn:xmpp:features:rosterver"),
                E("sub", "urn:xmpp:features:pre-approval"),
                *managed,
                E("csi", csi.NS),
                self.hub.need("caps").element("host"),
                limits,
            ]
        assert client.login is not None
        binding = client.login.end_point is not None
        names = sasl.mechanisms(encrypted=True, binding=binding)
        offered = [E("mechanisms", sasl.NS, *(E("mechanism", None, name) for name in names)), limits]
        offered.insert(1, sasl2.feature(client, names))
        if binding:
            kinds = (E("channel-binding", None, type=kind) for kind in sasl.BINDINGS)
            offered.insert(1, E("sasl-channel-binding", BINDING_NS, *kinds))
        offered += self.hub.need("register").features()
        return offered

    def stop_listening(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()

    async def leave(self) -> None:
        """The node ends: who can be resumed at the next start is written down, and told like the others."""
        self.stop_listening()
        for client in list(self.connected):
            if not client.resumable:
                client.close(StreamError("system-shutdown"))
        await self.managed.leave()
        self.close()

    def close(self) -> None:
        """Says goodbye to everybody."""
        self.stop_listening()
        for client in list(self.connected):
            client.close(StreamError("system-shutdown"))
        self.managed.close()
        self.idle.close()
