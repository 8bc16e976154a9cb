"""XEP-0386: Bind 2: a resource, and all that a client wants of its session, in one step within its login.

From that moment on it gets what is live, and what it is told of its archive is true of that moment: nothing falls
between, and nothing comes twice. So what waits for it offline is not sent, as far as the archive has it.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.base.element import E, Element
from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid, JidError, make
from node.base.stanza import new_id
from node.hub.store import StoreError
from node.ports.client import csi, management
from node.ports.client.binding import begin, make_room

if TYPE_CHECKING:
    from node.ports.client.session import Client

log = logging.getLogger("hobnode")

NS = "urn:xmpp:bind:0"
ARCHIVE = "urn:xmpp:mam:2"
CARBONS = "urn:xmpp:carbons:2"


def feature() -> Element:
    """What can be had with a resource."""
    offered = dict.fromkeys(ns for ns, _ in _INLINE)
    return E("bind", NS, E("inline", None, *(E("feature", None, var=ns) for ns in offered)))


def bind(client: "Client", wanted: Element) -> Element:
    """Makes a session of a client that has logged in; `wanted` is its <bind/>. Gives <bound/>. Raises StreamError."""
    hub = client.port.hub
    jid = address(client, wanted)
    _replace_older(client, jid)
    try:
        make_room(client, jid)
    except StanzaError as error:
        raise StreamError(error.condition, error.text, extra=error.extra) from None
    client.jid = jid
    begin(client)
    bound = E("bound", NS)
    for (ns, name), turn_on in _INLINE.items():
        element = wanted.find(name, ns)
        answer = None if element is None else turn_on(client, element)
        if answer is not None:
            bound.children.append(answer)
    try:
        bound.children.append(_metadata(hub.need("archive").ends(jid.bare)))
        hub.need("offline").leave_to_archive(jid.bare)
    except StoreError as error:  # then the client finds out by itself, and what waits for it is sent
        log.warning("%s: nothing can be said of the archive: %s", jid, error)
    return bound


def address(client: "Client", wanted: Element) -> Jid:
    """What the client calls itself, as it is, and something that nobody can guess."""
    host, own = client.port.hub.host, new_id()
    tag = wanted.find("tag")
    if tag is not None and tag.text:
        try:
            return make(client.user, host, f"{tag.text}/{own}")
        except JidError:  # too long, or not for addresses: it can do without
            pass
    return make(client.user, host, own)


def _replace_older(client: "Client", jid: Jid) -> None:
    """The same client program is back: its session of before has been given up."""
    if client.agent is None:
        return
    for other in list(client.port.hub.sessions.get(jid.bare, {}).values()):
        if getattr(other, "agent", None) == client.agent:
            other.close(StreamError("conflict", "this client has logged in anew"))


def _metadata(ends: tuple[tuple[str, str], tuple[str, str]] | None) -> Element:
    """The state of an archive (XEP-0313 §"Archive metadata")."""
    if ends is None:
        return E("metadata", ARCHIVE)
    (first, since), (last, until) = ends
    return E("metadata", ARCHIVE, E("start", None, id=first, timestamp=since), E("end", None, id=last, timestamp=until))


# What turns a feature on; the answer, if it has one, stands in <bound/>


def _copy(client: "Client", element: Element) -> None:
    client.port.hub.need("carbons").add(client.jid)


def _doze(client: "Client", element: Element) -> None:
    csi.doze(client)


_INLINE: "dict[tuple[str, str], Callable[[Client, Element], Element | None]]" = {
    (CARBONS, "enable"): _copy,
    (management.NS, "enable"): management.enable,
    (csi.NS, "inactive"): _doze,
}
