"""D4: what a session that has ended did not ack goes the way of what is sent to a resource that is not there.

XEP-0198 §4. It may have come and only its ack was lost; a message that comes twice is better than one that is lost.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from operator import attrgetter

from node.base import stamp as dates
from node.base.element import E, write
from node.base.errors import StanzaError
from node.base.hints import worth_keeping
from node.base.jid import Jid
from node.base.stanza import CLIENT, Stanza, kind
from node.hub.claims import STANZA_ID
from node.hub.delivery import listening
from node.hub.hub import Hub, Session
from node.stream.acks import Unacked

log = logging.getLogger("hobnode")

DELAY_NS = "urn:xmpp:delay"
DELAY = kind("delay", DELAY_NS)


def together(queues: Iterable[Iterable[Unacked]]) -> list[Unacked]:
    """What several sessions of an account have left, in order, and what they have in common once.

    By what it says: sessions that have outlived the node do not share their stanzas.
    """
    found: dict[tuple[bytes, int], Unacked] = {}
    for queue in queues:
        times: Counter[bytes] = Counter()  # the same may have been said twice
        for each in queue:
            data = each.stanza.to_bytes(CLIENT)
            found.setdefault((data, times[data]), each)
            times[data] += 1
    return sorted(found.values(), key=attrgetter("stamp"))


def pass_on(hub: Hub, ended: list[Jid], unacked: Iterable[Unacked]) -> None:
    """Passes on what the sessions of an account with these addresses, already unbound, have left.

    Messages go once to the other resources that listen and have not had them, with the time when they came
    (XEP-0203). If nobody listens they are kept for later. Who has asked something by an iq hears that nobody is
    there. Presence, answers, and what only concerned this session are dropped.
    """
    for stanza, _, stamp, _ in unacked:
        try:
            if stanza.name == "message":
                _pass_on_message(hub, ended, stanza, stamp)
            elif stanza.name == "iq" and stanza.type in ("get", "set"):
                hub.missing(stanza)
        except StanzaError as error:
            hub.refuse(stanza, error)
        except Exception:  # the others are not to suffer
            log.exception("a %s that %s has not acked is lost", stanza.name, ended)


def _pass_on_message(hub: Hub, ended: list[Jid], message: Stanza, stamp: float) -> None:
    owner = ended[0].bare
    if (message.type or "normal") not in ("chat", "normal") or not worth_keeping(message):
        return  # nobody wants to hear later that somebody was typing
    if message.sender is None or message.sender == owner:
        return  # the account's own: carbons, events of its nodes
    if hub.need("offline").hands_over(message):
        return  # kept still, and goes to the next who comes
    receivers = listening(hub, owner)
    if not receivers:
        try:
            hub.need("offline").keep(owner, message, stamp)
        except StanzaError:
            if STANZA_ID not in message.kinds:  # what is in his archive is his, and its sender hears nothing else
                raise
        return
    late = _stamped(hub, message, stamp)
    for receiver in receivers:
        session = hub.sessions.get(owner, {}).get(receiver)
        if session is not None and not _had(hub, ended, session, message, stamp):
            session.deliver(late)


def _had(hub: Hub, ended: list[Jid], session: Session, message: Stanza, stamp: float) -> bool:
    """Whether another resource got the message, or a copy, when it came: what was not for these alone was for all."""
    if message.to not in ended and session.since <= stamp:
        return True
    return session.jid in hub.need("carbons").copied(message, stamp)


def _stamped(hub: Hub, message: Stanza, stamp: float) -> Stanza:
    if DELAY in message.kinds:  # the first time is the true one
        return message
    delay = E("delay", DELAY_NS, from_=hub.host, stamp=dates.format(stamp))
    return message.plus(DELAY, write(delay, CLIENT).encode())
