"""XEP-0388: Extensible SASL Profile: a login without a new stream, and what else a client wants in the same breath.

What was asked for beside the login is done when that has succeeded, and its results are in <success/>: first the
resumption of a stream (XEP-0198), or else a resource (XEP-0386, bind2.py); and a token for the next login (XEP-0484,
fast.py). Nothing but the exchange may be on the line while it lasts, so each element is looked at when all that came
with it has been read. One thing is forgiven: white space behind an element, which some clients end a line with.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from node.base.element import E, Element
from node.base.errors import StreamError
from node.base.jid import Jid, make
from node.hub.tokens import Issued, Match
from node.ports.client import bind2, fast, management
from node.ports.client.binding import before_bind
from node.ports.client.login import (
    Exchange,
    Profile,
    admit,
    advance,
    attempt,
    before_login,
    begin,
    by_password,
    ended,
    judging,
    wait,
)
from node.stream import sasl
from node.stream.events import Event
from node.stream.framing import CLIENT_LIMIT

if TYPE_CHECKING:
    from node.ports.client import ClientPort
    from node.ports.client.session import Client

NS = "urn:xmpp:sasl:2"

_is_uuid4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE).fullmatch


def setup(port: "ClientPort") -> None:
    port.before_login[NS, "authenticate"] = authenticate


def feature(client: "Client", mechanisms: list[str]) -> Element:
    """What is offered in a stream that is encrypted, to one who has not logged in."""
    inline = E("inline", None, E("sm", management.NS), bind2.feature(), fast.feature(client))
    return E("authentication", NS, *(E("mechanism", None, name) for name in mechanisms), inline)


class Request:
    """What a client asks for with its <authenticate/>. Raises SaslFailure."""

    __slots__ = ("agent", "data", "element", "issued", "match")

    def __init__(self, element: Element):
        self.element = element
        self.agent = _agent(element.find("user-agent"))
        self.match: Match | None = None  # the token that it has shown
        self.issued: Issued | None = None  # the one that it gets
        self.data: bytes | None = None  # our last word in the exchange


def _agent(element: Element | None) -> bytes | None:
    """The id of the client program, 16 bytes. It is nobody else's business (§2.3), the software's name neither."""
    text = element.get("id") if element is not None else None
    if text is None:
        return None
    if not _is_uuid4(text):
        raise sasl.SaslFailure("malformed-request", "the id of a user-agent is a UUID v4")
    return bytes.fromhex(text.replace("-", ""))


# What the client says


def authenticate(client: "Client", element: Element) -> None:
    assert client.login is not None
    if client.login.exchange is not None:
        raise StreamError("policy-violation", "one login at a time")
    client.framing.strict = True
    _when_all_is_read(client, partial(_begin, client, element))


def exchanging(client: "Client", event: Event) -> None:
    """The client has been sent a challenge."""
    if ended(client, event):
        return
    assert isinstance(event, Element)
    if event.ns != NS or event.name not in ("response", "abort"):
        raise StreamError("policy-violation", "<response/> or <abort/>, nothing else in a login")
    _when_all_is_read(client, partial(_abort if event.name == "abort" else _respond, client, event))


def _when_all_is_read(client: "Client", step: Callable[[], object]) -> None:
    """Our answer leaves at the end of this turn of the loop: what comes before that was sent ahead of it."""
    client.expect = judging
    client.port.hub.loop.call_soon(_all_is_read, client, step)


def _all_is_read(client: "Client", step: Callable[[], object]) -> None:
    if client.expect is not judging:  # it has left, or was shown the door
        return
    client.expect = before_login
    if client.framing.unfinished:
        client.close(StreamError("policy-violation", "wait for the answer"))
    else:
        attempt(client, step)


def _begin(client: "Client", element: Element) -> None:
    login = client.login
    assert login is not None
    login.profile = SASL2
    login.request = request = Request(element)
    mechanism = element.get("mechanism", "") or ""
    if element.find("fast", fast.NS) is not None:
        begin(client, SASL2, fast.exchange(client, request, mechanism))
    else:
        begin(client, SASL2, by_password(client, mechanism))
    first = element.find("initial-response")
    advance(client, None if first is None else _data(first))


def _respond(client: "Client", element: Element) -> None:
    advance(client, _data(element))


def _abort(client: "Client", element: Element) -> None:
    raise sasl.SaslFailure("aborted")


def _data(element: Element) -> bytes:
    if element.text == "=":  # which stands for nothing in the older profile only (§2.2)
        raise sasl.SaslFailure("incorrect-encoding")
    return sasl.decode(element.text)


# What we say


def _challenge(client: "Client", data: bytes) -> None:
    client.send(E("challenge", NS, sasl.encode(data)))
    client.expect = exchanging


def _failure(client: "Client", failure: sasl.SaslFailure) -> None:
    client.framing.strict = False
    text = E("text", None, failure.text, xml_lang="en") if failure.text else None
    client.send(E("failure", NS, E(failure.condition, sasl.NS), text))


def _success(client: "Client", exchange: Exchange) -> None:
    login = client.login
    assert login is not None and login.request is not None
    if exchange.authzid and login.claimed and login.claimed.bare != make(exchange.user, client.port.hub.host):
        raise sasl.SaslFailure("invalid-authzid", "this is not who the stream is from")
    login.request.data = exchange.success_data
    tokens = fast.settle(client, login.request, exchange.user)
    if tokens is None:
        _go_on(client, None)
    else:
        wait(client, tokens, _go_on)


def _go_on(client: "Client", issued: Issued | None) -> None:
    login = client.login
    assert login is not None and login.request is not None
    request = login.request
    request.issued = issued
    admit(client)
    client.agent = request.agent
    resume = request.element.find("resume", management.NS)
    if resume is None:
        _begin_session(client, None)
    else:
        wait(client, management.resume(client, resume), partial(_resume, resume))


def _resume(resume: Element, client: "Client", outcome: "tuple[Element, Client | None]") -> None:
    answer, session = outcome
    if session is None:
        _begin_session(client, answer)
    else:
        assert client.login is not None and client.login.request is not None
        _tell(client, client.login.request, session.jid, answer)
        management.go_on(client, session, resume)  # instead of features (XEP-0198 §"Inline Stream Resumption")


def _begin_session(client: "Client", failed: Element | None) -> None:
    assert client.login is not None and client.login.request is not None
    request = client.login.request
    client.expect = before_bind
    wanted = request.element.find("bind", bind2.NS)
    if wanted is None:
        _tell(client, request, make(client.user, client.port.hub.host), failed)
    else:
        bound = bind2.bind(client, wanted)
        _tell(client, request, client.jid, failed, bound)
    client.offer()


def _tell(client: "Client", request: Request, jid: Jid, *answers: Element | None) -> None:
    """<success/>; in the same step as what it tells of, so that nothing can happen between."""
    client.framing.strict = False
    client.framing.limit = CLIENT_LIMIT
    data = None if request.data is None else E("additional-data", None, sasl.encode(request.data))
    identifier = E("authorization-identifier", None, jid)
    client.send(E("success", NS, data, identifier, *answers, fast.element(request.issued)))


SASL2 = Profile(_challenge, _success, _failure)
