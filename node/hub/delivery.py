"""RFC 6121 §8.5: which of an account's resources get a message, and what becomes of one that nobody gets."""

from typing import TYPE_CHECKING

from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza

if TYPE_CHECKING:
    from node.hub.hub import Hub


def deliver_message(hub: "Hub", message: Stanza) -> None:
    """Delivers a message to a local account. Raises StanzaError when it can neither be delivered nor kept."""
    to = message.to
    assert to is not None
    kind = message.type or "normal"
    if to.full:
        session = hub.sessions.get(to.bare, {}).get(to)
        if session is not None:
            session.deliver(message)  # §8.5.3.1: also to a resource that has not sent presence
            return
        if kind == "error":
            return  # §8.5.3.2: silently
        if kind in ("groupchat", "headline"):
            raise StanzaError("service-unavailable")
        # §8.5.3.2.1: chat and normal go on as if they had been sent to the account.
    if kind == "error":
        return
    if kind == "groupchat":
        raise StanzaError("service-unavailable")  # §8.5.2.1.1: a room speaks to full addresses
    receivers = listening(hub, to.bare)
    for full in receivers:
        session = hub.sessions.get(to.bare, {}).get(full)  # one may end while the others are told
        if session is not None:
            session.deliver(message)
    if not receivers and kind != "headline":  # §8.5.2.2.1: a headline is for those who are there
        hub.need("offline").keep(to.bare, message)


def listening(hub: "Hub", bare: Jid) -> list[Jid]:
    """The available resources whose priority is not negative: those that get what is sent to the account."""
    present = hub.present.get(bare)
    return [full for full, priority in present.items() if priority >= 0] if present else []
