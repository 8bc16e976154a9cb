"""XEP-0334: Message Processing Hints, and without them: which messages are worth keeping.

One answer for those who keep them until somebody comes (XEP-0160) and for those who keep them for good (XEP-0313).
"""

from node.base.element import SEPARATOR
from node.base.stanza import CLIENT, Stanza, kind

NS = "urn:xmpp:hints"

# Namespaces of what says nothing by itself, or only as long as one looks. Receipts, markers, reactions, retractions
# and what is encrypted have no body either, and are kept.
_PASSING = (
    "http://jabber.org/protocol/chatstates",  # XEP-0085
    NS,
    "urn:xmpp:delay",
    "urn:xmpp:sid:0",
    "urn:xmpp:mam:2",  # a page of somebody else's archive
)
# Readings of things, in all their dialects: they are of the moment, and there are thousands a day.
_READINGS = ("urn:xmpp:iot:", "urn:nf:iot:", "urn:nfi:iot:", "urn:ieee:iot:")

_BODY = kind("body", CLIENT)
_THREAD = kind("thread", CLIENT)
_STORE = kind("store", NS)
_NO_STORE = kind("no-store", NS)
_NO_PERMANENT_STORE = kind("no-permanent-store", NS)


def worth_keeping(message: Stanza) -> bool:
    """Whether it says anything that is still worth hearing later (XEP-0160 §3)."""
    kinds = message.kinds
    if _BODY in kinds or _STORE in kinds:
        return True
    return any(key != _THREAD and not _passes(key.partition(SEPARATOR)[0]) for key in kinds)


def worth_archiving(message: Stanza) -> bool:
    """Whether it is a part of what two people have said to each other (XEP-0313 §6.1.1), and nobody minds.

    Not what is for a room, which has an archive of its own, nor headlines. An error is no conversation, whatever
    it carries along of the message that it returns (§5).
    """
    if message.type in ("groupchat", "headline", "error"):
        return False
    kinds = message.kinds
    if _NO_STORE in kinds or _NO_PERMANENT_STORE in kinds:
        return False
    return worth_keeping(message)


def _passes(ns: str) -> bool:
    return ns in _PASSING or ns.startswith(_READINGS)
