"""From a login to a session: the resource (RFC 6120 §7)."""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from node.base.element import E, Element
from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, JidError, make
from node.base.stanza import Stanza, new_id
from node.ports.client.login import ended
from node.stream.events import Event, Refused

if TYPE_CHECKING:
    from node.ports.client.session import Client

log = logging.getLogger("hobnode")

BIND_NS = "urn:ietf:params:xml:ns:xmpp-bind"
LIMIT_EXCEEDED_NS = "urn:xmpp:errors"

RESOURCES_LIMIT = 10  # sessions of one account; each costs memory and a copy of every message


def before_bind(client: "Client", event: Event) -> None:
    if isinstance(event, Refused):
        event = event.stanza
    if isinstance(event, Stanza) and event.name == "iq" and event.type == "set" and event.has("bind", BIND_NS):
        try:
            _answer(client, event)
        except StanzaError as error:
            client.deliver(event.error(error))
    elif not ended(client, event):
        assert isinstance(event, Element)
        handler = client.port.before_bind.get((event.ns or "", event.name))
        if handler is None:
            raise StreamError("not-authorized", "bind a resource first")
        handler(client, event)


def _answer(client: "Client", iq: Stanza) -> None:
    assert iq.payload is not None
    wanted = iq.payload.find("resource")
    try:
        jid = make(client.user, client.port.hub.host, (wanted.text if wanted else "") or new_id())
    except JidError as error:
        raise StanzaError("bad-request", str(error)) from None
    make_room(client, jid)
    client.jid = jid
    client.deliver(Stanza("iq", E("bind", BIND_NS, E("jid", None, jid)), type="result", id=iq.id))
    begin(client)


def make_room(client: "Client", jid: Jid) -> None:
    """An older session with this address ends. Raises StanzaError: there are too many; StreamError: `check_login`."""
    check_login(client)
    others = client.port.hub.sessions.get(jid.bare, {})
    if jid in others:
        others[jid].close(StreamError("conflict", "the same resource has connected again"))
    elif len(others) >= RESOURCES_LIMIT and not _end_a_sleeper(others.values()):
        extra = E("resource-limit-exceeded", LIMIT_EXCEEDED_NS)
        raise StanzaError("resource-constraint", f"{RESOURCES_LIMIT} clients are connected already", extra=extra)


def check_login(client: "Client") -> None:
    """What it has logged in with is still good. Raises StreamError: the account is gone, the password has changed."""
    accounts = client.port.hub.accounts
    if not accounts.exists(client.user):
        raise StreamError("not-authorized", "the account has been removed")
    if client.login is not None and accounts.changed_since(client.user, client.login.since):
        raise StreamError("reset", "the password was changed")


def _end_a_sleeper(sessions: Iterable[Any]) -> bool:
    """The session that waits longest for its client to resume it ends in favour of one that is here."""
    sleepers = [session for session in sessions if session.is_asleep]
    if not sleepers:
        return False
    oldest = min(sleepers, key=lambda session: session.management.since)
    oldest.close(StreamError("resource-constraint", "too many other clients are here"))
    return True


def begin(client: "Client") -> None:
    """The client, whose `jid` is known, is a session from now on."""
    client.become_session()
    client.port.hub.bind(client)
    log.info("%s has logged in from %s", client.jid, client.connection.peer_address[0])
