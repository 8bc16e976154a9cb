"""Before there is a session: STARTTLS (RFC 6120 §5) and the login by SASL (§6).

What is allowed now is the function that `client.expect` names: `before_tls`, `shaking`, `before_login`, `judging`.
STARTTLS is required on one port; on the other TLS comes first (XEP-0368).
"""

import logging
from typing import TYPE_CHECKING

from node.base.element import E, Element
from node.base.errors import StreamError
from node.base.stanza import Stanza
from node.hub.store import StoreError
from node.net.listener import Listener, network
from node.stream import sasl
from node.stream.events import Closing, Event, Refused
from node.stream.framing import CLIENT_LIMIT, Framing

if TYPE_CHECKING:
    from node.ports.client.session import Client

log = logging.getLogger("hobnode")

TLS_NS = "urn:ietf:params:xml:ns:xmpp-tls"

TRIES = 3  # wrong passwords on one stream; a person mistypes twice


class Login:
    """What a client is before it has a session; the session drops it."""

    __slots__ = ("end_point", "exchange", "listener", "tries")

    def __init__(self, listener: Listener):
        self.listener: Listener | None = listener
        self.end_point: bytes | None = None  # the channel binding of the certificate that this client was shown
        self.exchange: sasl.Scram | sasl.Plain | None = None
        self.tries = 0

    def leave(self, address: tuple[str, int]) -> None:
        """The listener counts it no longer as a stranger."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.admitted(address)


def ended(client: "Client", event: Event) -> bool:
    """Handles what may come at any time: the end."""
    if isinstance(event, StreamError):
        raise event
    if isinstance(event, Closing):
        client.close(None)
        return True
    if isinstance(event, Stanza | Refused):
        raise StreamError("not-authorized", "log in first")
    return False


def before_tls(client: "Client", event: Event) -> None:
    if ended(client, event):
        return
    assert isinstance(event, Element)
    if event.ns == sasl.NS and event.name == "auth":
        client.send(E("failure", sasl.NS, E("encryption-required")))
    elif event.ns == TLS_NS and event.name == "starttls":
        client.send(E("proceed", TLS_NS))
        client.framing = Framing()
        start_tls(client)
    else:
        raise StreamError("policy-violation", "STARTTLS comes first")


def start_tls(client: "Client") -> None:
    client.expect = shaking
    identity = client.port.identity
    assert client.login is not None
    # Of the same moment as the context: the certificate may be exchanged.
    client.login.end_point = identity.end_point
    client.connection.start_tls(identity.context("xmpp-client"), established=client.secured)


def shaking(client: "Client", event: Event) -> None:
    """The handshake is under way; until it is done nothing can be heard or said."""


def before_login(client: "Client", event: Event) -> None:
    if ended(client, event):
        return
    assert isinstance(event, Element)
    if event.ns != sasl.NS:
        raise StreamError("unsupported-stanza-type" if event.ns == TLS_NS else "not-authorized", "log in first")
    try:
        _step(client, event)
    except sasl.SaslFailure as failure:
        _fail(client, failure)
    except StoreError as error:
        _fail(client, sasl.SaslFailure("temporary-auth-failure", str(error)))


def _step(client: "Client", element: Element) -> None:
    login = client.login
    assert login is not None
    if element.name == "abort":
        raise sasl.SaslFailure("aborted")
    if element.name == "auth":
        if login.exchange is not None:
            raise sasl.SaslFailure("malformed-request", "one login at a time")
        login.exchange = sasl.start(
            element.get("mechanism", "") or "",
            client.port.hub.host,
            client.port.hub.accounts.keys,
            encrypted=True,
            end_point=login.end_point,
        )
    elif element.name != "response" or login.exchange is None:
        raise sasl.SaslFailure("malformed-request")
    exchange = login.exchange
    if exchange.user:  # SCRAM: what comes now is the proof
        check_patience(client, exchange.user)
    text = element.text
    challenge = exchange.step(sasl.decode(text) if text or element.name == "response" else None)
    if challenge is not None:
        client.send(E("challenge", sasl.NS, sasl.encode(challenge)))
    elif isinstance(exchange, sasl.Plain):
        check_patience(client, exchange.user)
        client.expect = judging
        client.port.hub.spawn(_judge(client, exchange), "PLAIN login")
    elif exchange.done:
        _succeed(client, exchange)


def check_patience(client: "Client", user: str) -> None:
    """Raises SaslFailure for who has guessed wrong too often, and has not waited."""
    wait = client.port.attempts.begin(user, neighbourhood(client), client.port.hub.loop.time())
    if wait > 0:
        raise sasl.SaslFailure("temporary-auth-failure", f"too many wrong passwords; wait {wait:.0f} s")


def neighbourhood(client: "Client") -> str:
    """Where wrong passwords come from: an IPv6 customer has a whole network of addresses."""
    return network(client.connection.peer_address[0])


def judging(client: "Client", event: Event) -> None:
    """The password is being checked: the client has nothing to say now."""
    if not ended(client, event):
        raise StreamError("policy-violation", "wait for the answer")


async def _judge(client: "Client", exchange: sasl.Plain) -> None:
    failure = None
    try:
        exchange.verdict(await client.port.hub.accounts.check(exchange.user, exchange.password))
    except sasl.SaslFailure as wrong:
        failure = wrong
    except StoreError as error:
        failure = sasl.SaslFailure("temporary-auth-failure", str(error))
    if client.expect is not judging:  # it has left meanwhile
        return
    client.expect = before_login
    try:
        if failure:
            _fail(client, failure)
        else:
            _succeed(client, exchange)
    except StreamError as error:
        client.close(error)


def _succeed(client: "Client", exchange: "sasl.Scram | sasl.Plain") -> None:
    assert client.login is not None
    client.login.exchange = None
    client.user = exchange.user
    client.port.attempts.right(client.user, neighbourhood(client))
    data = exchange.success_data
    client.send(E("success", sasl.NS, sasl.encode(data) if data else None))
    client.restart(CLIENT_LIMIT)


def _fail(client: "Client", failure: sasl.SaslFailure) -> None:
    login = client.login
    assert login is not None
    exchange, login.exchange = login.exchange, None
    if failure.condition == "not-authorized" and exchange is not None:
        log.warning("a login as %s from %s failed", exchange.user, client.connection.peer_address[0])
    text = E("text", None, failure.text, xml_lang="en") if failure.text else None
    client.send(E("failure", sasl.NS, E(failure.condition), text))
    login.tries += 1
    if login.tries >= TRIES:
        raise StreamError("policy-violation", f"{TRIES} failed logins")
