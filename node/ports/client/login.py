"""Before there is a session: STARTTLS (RFC 6120 §5) and what both profiles of SASL share (§6; XEP-0388 in sasl2.py).

What is allowed now is the function that `client.expect` names: `before_tls`, `shaking`, `before_login`, `judging`.
STARTTLS is required on one port; on the other TLS comes first (XEP-0368).
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from node.base.element import E, Element
from node.base.errors import StreamError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import Stanza
from node.hub.store import StoreError
from node.net.listener import Listener, network
from node.stream import sasl
from node.stream.events import Closing, Event, Refused
from node.stream.framing import CLIENT_LIMIT, Framing

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.newcomer import Stranger
    from node.ports.client.sasl2 import Request
    from node.ports.client.session import Client

log = logging.getLogger("hobnode")

TLS_NS = "urn:ietf:params:xml:ns:xmpp-tls"

TRIES = 3  # wrong passwords on one stream; a person mistypes twice

Outcome = TypeVar("Outcome")


class Exchange(Protocol):
    """One of sasl.Scram, sasl.Plain and token.Token."""

    user: str
    authzid: bool
    success_data: bytes | None

    def step(self, data: bytes | None) -> bytes | None: ...


class Profile(NamedTuple):
    """How one of the two profiles of SASL that XMPP has says what an exchange comes to."""

    challenge: "Callable[[Client, bytes], None]"
    success: "Callable[[Client, Exchange], None]"  # the last step of a login; may raise SaslFailure
    failure: "Callable[[Client, sasl.SaslFailure], None]"


class Login:
    """What a client is before it has a session; the session drops it."""

    __slots__ = ("claimed", "end_point", "exchange", "listener", "profile", "request", "since", "stranger", "tries")

    def __init__(self, listener: Listener):
        self.listener: Listener | None = listener
        self.end_point: bytes | None = None  # the channel binding of the certificate that this client was shown
        self.claimed: Jid | None = None  # who the header of its stream says that it is
        self.profile = SASL1
        self.exchange: Exchange | None = None
        self.request: Request | None = None  # what it has asked for beside, in SASL2
        self.stranger: Stranger | None = None  # who asks for an account (newcomer.py)
        self.since = 0  # how many passwords had been changed when the exchange began
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


def claim(client: "Client", sender: str | None) -> None:
    """The header says who the client is: one of ours, or it is at the wrong house (XEP-0388 §2.1). StreamError."""
    if not sender or client.login is None:
        return
    try:
        claimed = parse(sender)
    except JidError as error:
        raise StreamError("invalid-from", str(error)) from None
    if claimed.domain != client.port.hub.host:
        raise StreamError("invalid-from", f"{claimed[:80]} does not live here")
    client.login.claimed = claimed


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
    if isinstance(event, Stanza) and client.port.asks(client, event):
        return
    if ended(client, event):
        return
    assert isinstance(event, Element)
    if event.ns == sasl.NS:
        attempt(client, partial(_step, client, event))
        return
    handler = client.port.before_login.get((event.ns or "", event.name))
    if handler is None:
        raise StreamError("unsupported-stanza-type" if event.ns == TLS_NS else "not-authorized", "log in first")
    handler(client, event)


def _step(client: "Client", element: Element) -> None:
    login = client.login
    assert login is not None
    login.profile = SASL1
    if element.name == "abort":
        raise sasl.SaslFailure("aborted")
    if element.name == "auth":
        if login.exchange is not None:
            raise sasl.SaslFailure("malformed-request", "one login at a time")
        begin(client, SASL1, by_password(client, element.get("mechanism", "") or ""))
    elif element.name != "response" or login.exchange is None:
        raise sasl.SaslFailure("malformed-request")
    text = element.text
    advance(client, sasl.decode(text) if text or element.name == "response" else None)


# What both profiles share


def attempt(client: "Client", step: Callable[[], object]) -> None:
    """Takes a step of a login. What it refuses is told and counted; what ends the stream ends it."""
    try:
        try:
            step()
        except sasl.SaslFailure as failure:
            refuse(client, failure)
        except StoreError as error:
            refuse(client, sasl.SaslFailure("temporary-auth-failure", str(error)))
    except StreamError as error:
        client.close(error)
    except Exception:  # a bug of ours: nobody knows how far it has come
        log.exception("%s: the login failed", client.name)
        client.close(StreamError("internal-server-error"))


def by_password(client: "Client", mechanism: str) -> Exchange:
    """An exchange by a mechanism that knows the password. Raises SaslFailure."""
    assert client.login is not None
    hub = client.port.hub
    return sasl.start(mechanism, hub.host, hub.accounts.keys, encrypted=True, end_point=client.login.end_point)


def begin(client: "Client", profile: Profile, exchange: Exchange) -> None:
    """From now on this is the exchange."""
    login = client.login
    assert login is not None
    login.profile = profile
    login.exchange = exchange
    login.since = client.port.hub.accounts.changes


def advance(client: "Client", data: bytes | None) -> None:
    """Gives the exchange what the client said (None: nothing). Raises SaslFailure, StoreError."""
    login = client.login
    assert login is not None
    exchange = login.exchange
    assert exchange is not None
    if exchange.user:  # SCRAM: what comes now is the proof
        check_patience(client.port, exchange.user, neighbourhood(client))
    challenge = exchange.step(data)
    if challenge is not None:
        login.profile.challenge(client, challenge)
    elif isinstance(exchange, sasl.Plain):
        check_patience(client.port, exchange.user, neighbourhood(client))
        wait(client, client.port.hub.accounts.check(exchange.user, exchange.password), partial(_judged, exchange))
    else:
        _succeed(client)


def check_patience(port: "ClientPort", user: str, neighbourhood: str) -> None:
    """Raises SaslFailure for who has guessed wrong too often, and has not waited."""
    pause = port.attempts.begin(user, neighbourhood, port.hub.loop.time())
    if pause > 0:
        raise sasl.SaslFailure("temporary-auth-failure", f"too many wrong passwords; wait {ceil(pause)} s")


def neighbourhood(client: "Client") -> str:
    """Where wrong passwords come from: an IPv6 customer has a whole network of addresses."""
    return network(client.connection.peer_address[0])


def wait(client: "Client", work: Awaitable[Outcome], go_on: "Callable[[Client, Outcome], object]") -> None:
    """The client has nothing to say until the work is done; then `go_on` is its next step. None, if it has left."""
    client.expect = judging
    client.port.hub.spawn(_wait(client, work, go_on), "login")


async def _wait(client: "Client", work: Awaitable[Outcome], go_on: "Callable[[Client, Outcome], object]") -> None:
    step: Callable[[], object]
    try:
        step = partial(go_on, client, await work)
    except StoreError as error:
        step = partial(refuse, client, sasl.SaslFailure("temporary-auth-failure", str(error)))
    except StreamError as error:
        step = partial(client.close, error)
    if client.expect is judging and client.is_on_line:  # otherwise it has left meanwhile
        client.expect = before_login
        attempt(client, step)


def judging(client: "Client", event: Event) -> None:
    """An answer is on its way: the client has nothing to say now."""
    if not ended(client, event):
        raise StreamError("policy-violation", "wait for the answer")


def _judged(exchange: sasl.Plain, client: "Client", right: bool) -> None:
    exchange.verdict(right)
    _succeed(client)


def _succeed(client: "Client") -> None:
    login, port = client.login, client.port
    assert login is not None and login.exchange is not None
    exchange = login.exchange
    _check_unchanged(client)
    port.attempts.right(exchange.user, neighbourhood(client))
    login.profile.success(client, exchange)


def admit(client: "Client") -> None:
    """The client is who it says: its login is over, but for a resource. Raises SaslFailure."""
    login = client.login
    assert login is not None and login.exchange is not None
    _check_unchanged(client)
    client.user = login.exchange.user
    login.exchange = None


def _check_unchanged(client: "Client") -> None:
    """What the client has shown must not have lost its worth while it was looked at. Raises SaslFailure."""
    login = client.login
    assert login is not None and login.exchange is not None
    if client.port.hub.accounts.changed_since(login.exchange.user, login.since):
        raise sasl.SaslFailure("not-authorized", "the password has just been changed")


def refuse(client: "Client", failure: sasl.SaslFailure) -> None:
    """The login has failed; another may follow on the same stream. Raises StreamError after the last."""
    login = client.login
    assert login is not None
    if client.user:  # it had succeeded: only what comes behind it has failed
        raise StreamError("resource-constraint", failure.text)
    exchange, login.exchange = login.exchange, None
    if failure.condition == "not-authorized" and exchange is not None:
        pause = client.port.attempts.wait(exchange.user, neighbourhood(client), client.port.hub.loop.time())
        rest = f"; the next is looked at in {ceil(pause)} s" if pause > 0 else ""
        log.warning("a login as %s from %s failed%s", exchange.user, client.connection.peer_address[0], rest)
    login.profile.failure(client, failure)
    login.tries += 1
    if login.tries >= TRIES:
        raise StreamError("policy-violation", f"{TRIES} failed logins")


# How RFC 6120 §6 says it


def _challenge(client: "Client", data: bytes) -> None:
    client.send(E("challenge", sasl.NS, sasl.encode(data)))


def _success(client: "Client", exchange: Exchange) -> None:
    admit(client)
    data = exchange.success_data
    client.send(E("success", sasl.NS, sasl.encode(data) if data else None))
    client.restart(CLIENT_LIMIT)


def _failure(client: "Client", failure: sasl.SaslFailure) -> None:
    text = E("text", None, failure.text, xml_lang="en") if failure.text else None
    client.send(E("failure", sasl.NS, E(failure.condition), text))


SASL1 = Profile(_challenge, _success, _failure)
