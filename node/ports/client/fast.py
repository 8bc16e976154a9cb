"""XEP-0484: Fast Authentication Streamlining Tokens: who has logged in once comes back in one round-trip.

TLS 0-RTT data are not taken (the ssl module has no way to), so `tls-0rtt` is not offered. A count that a client gives
all the same has to grow.
"""

from asyncio import Future
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING

from node.base import stamp
from node.base.element import E, Element
from node.hub.store import StoreError
from node.hub.tokens import Issued
from node.ports.client.login import check_patience, neighbourhood
from node.stream import token
from node.stream.sasl import SaslFailure

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.sasl2 import Request
    from node.ports.client.session import Client

NS = "urn:xmpp:fast:0"
COUNT_LIMIT = 2**31 - 1  # xs:int


def feature(client: "Client") -> Element:
    """The mechanisms that take a token."""
    return E("fast", NS, *(E("mechanism", None, name) for name in _mechanisms(client)))


def _mechanisms(client: "Client") -> list[str]:
    assert client.login is not None
    return token.mechanisms(client.login.end_point is not None)


def exchange(client: "Client", request: "Request", mechanism: str) -> token.Token:
    """A login by token. Raises SaslFailure."""
    if mechanism not in _mechanisms(client):
        raise SaslFailure("invalid-mechanism")
    if request.agent is None:
        raise SaslFailure("malformed-request", "a token belongs to a client: <user-agent/> needs its id")
    assert client.login is not None
    channel = client.login.end_point
    check = partial(_check, client.port, neighbourhood(client), request, mechanism, channel, _count(request))
    return token.Token(client.port.hub.host, check)


def _check(
    port: "ClientPort",
    neighbourhood: str,
    request: "Request",
    mechanism: str,
    end_point: bytes | None,
    count: int | None,
    user: str,
    proof: bytes,
) -> bytes:
    """Our answer to the client's proof. Raises SaslFailure."""
    assert request.agent is not None
    check_patience(port, user, neighbourhood)
    request.match = port.hub.accounts.tokens.match(user, request.agent, mechanism, end_point, proof, count)
    return request.match.used.seal.answer


def _count(request: "Request") -> int | None:
    text = _asked(request, "fast").get("count")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:11]) <= COUNT_LIMIT:
        raise SaslFailure("malformed-request", "count is a positive number")
    return int(text)


def settle(client: "Client", request: "Request", user: str) -> Coroutine[None, None, Issued | None] | None:
    """After a login has succeeded. What is to be waited for, if anything, comes to the token that goes with <success/>.

    A token that could not be kept is not told: the client has what it had. One that it wants to be rid of is gone
    when it hears of it, or the login fails. Raises StoreError.
    """
    assert client.login is not None
    if request.agent is None:
        return None
    dismissed = request.match is not None and _asked(request, "fast").get("invalidate") in ("1", "true")
    wanted = _asked(request, "request-token").get("mechanism")
    if wanted not in _mechanisms(client):
        wanted = None
    issued = None
    try:
        issued = _write(client, request, user, wanted, dismissed)
    except StoreError:
        if dismissed:
            raise
    if issued is None and not dismissed:
        return None
    return _kept(client.port.hub.store.accounts.committed(), issued, dismissed)


def _write(client: "Client", request: "Request", user: str, wanted: str | None, dismissed: bool) -> Issued | None:
    """What has changed, in one row: the token used, and a new one if it was asked for or is due."""
    assert client.login is not None and request.agent is not None
    tokens, match, end_point = client.port.hub.accounts.tokens, request.match, client.login.end_point
    if match is not None and not dismissed:
        due = match.used.seal.mechanism if match.due else None
        return tokens.accept(match, wanted or due, end_point)
    if dismissed:
        tokens.forget(user, request.agent)
    return tokens.issue(user, request.agent, wanted, end_point) if wanted else None


async def _kept(commit: "Future[None]", issued: Issued | None, dismissed: bool) -> Issued | None:
    try:
        await commit
    except StoreError:
        if dismissed:
            raise
        return None
    return issued


def _asked(request: "Request", name: str) -> Element:
    """What a client has put into its <authenticate/> under this name."""
    return request.element.find(name, NS) or _NOTHING


def element(issued: Issued | None) -> Element | None:
    """A new token, as its client is told."""
    return E("token", NS, expiry=stamp.format(issued.expires), token=issued.text) if issued else None


_NOTHING = E("nothing")
