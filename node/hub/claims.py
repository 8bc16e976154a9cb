"""What only we may say of a stanza is taken out of what comes from outside (security: S3, S5, S7).

Receivers believe a delay stamped by their server, or an id that it gave, because it comes through their server.
"""

from node.base.element import Element
from node.base.jid import Jid, JidError, parse
from node.base.stanza import Stanza, kind

SID = "urn:xmpp:sid:0"
STANZA_ID = kind("stanza-id", SID)  # XEP-0359 §5: by nobody else, in nobody's name but his own
ARCHIVE = "urn:xmpp:mam:2"
AUTHORITY = {
    kind("delay", "urn:xmpp:delay"): "from",  # XEP-0203
    kind("x", "jabber:x:delay"): "from",  # XEP-0091, which some clients still read
    STANZA_ID: "by",
    kind("received", "urn:xmpp:carbons:2"): None,  # XEP-0280 §11: in whosever name, a copy is made by us only
    kind("sent", "urn:xmpp:carbons:2"): None,
}
# XEP-0313 §4.2: of an archive here nobody but we ourselves reads. One elsewhere (a room's) speaks for itself.
ANSWERS = {kind("result", ARCHIVE), kind("fin", ARCHIVE)}
CLAIMS = ANSWERS.union(AUTHORITY)


def honest(stanza: Stanza, host: Jid) -> Stanza:
    """The stanza without what claims to be said by `host`, or by other accounts of it than the sender's."""
    if CLAIMS.isdisjoint(stanza.kinds) or stanza.name == "iq":
        return stanza  # what an iq asks is a question, and no claim
    children = [child for child in stanza.children if not _is_ours(child, stanza.sender, host)]
    if len(children) == len(stanza.children):
        return stanza
    return Stanza(
        stanza.name,
        *children,
        type=stanza.type,
        to=stanza.to,
        sender=stanza.sender,
        id=stanza.id,
        lang=stanza.lang,
    )


def _is_ours(child: Element, sender: Jid | None, host: Jid) -> bool:
    key = kind(child.name, child.ns or "")
    if key in ANSWERS:
        return sender is not None and sender.domain == host
    if key not in AUTHORITY:
        return False
    attribute = AUTHORITY[key]
    if attribute is None:
        return True
    try:
        authority = parse(child.get(attribute) or "")
    except JidError:
        return False  # in nobody's name
    if key != STANZA_ID and sender is not None and authority.bare == sender.bare:
        return False  # a client may say that it has kept its own message back
    return authority.domain == host


def archive_id(owner: Jid, message: Stanza) -> str | None:
    """The id that a message has in the archive of `owner` (bare), who alone is believed in that (XEP-0359 §6)."""
    if STANZA_ID not in message.kinds:
        return None
    ids = (child for child in message.children if (child.name, child.ns) == ("stanza-id", SID))
    return next((child.get("id") for child in ids if child.get("by") == owner), None)
