"""XEP-0280: Message Carbons: all devices of a person see both sides of a conversation.

A copy is handed to a session and never routed, so there are no copies of copies, and an error that one comes back
with is for the account, where errors end.
"""

from itertools import islice
from time import time

from node.base.element import SEPARATOR
from node.base.jid import Jid
from node.base.stanza import CLIENT, PLAIN_SCOPES, SAME_NAMESPACE, Stanza, kind
from node.hub.delivery import listening

NS = "urn:xmpp:carbons:2"
RULES = "urn:xmpp:carbons:rules:0"  # §6.2: the rules of §6.1 hold exactly
FORWARD = "urn:xmpp:forward:0"  # XEP-0297
MUC = "http://jabber.org/protocol/muc#user"

RECENT = 200  # messages whose errors are known, for one account, 20 KiB: an error comes within seconds

LEFT, CAME = "left", "came"

_BODY = kind("body", CLIENT)
_PRIVATE = kind("private", NS)
_NO_COPY = kind("no-copy", "urn:xmpp:hints")
_ROOM = kind("x", MUC)
# What makes an instant message of one without a body, whatever it is called.
_PAYLOADS = {
    "urn:xmpp:receipts",
    "http://jabber.org/protocol/chatstates",
    "urn:xmpp:chat-markers:0",
    "jabber:x:conference",  # XEP-0249: come to this room
}


def setup(hub, options):
    carbons = Carbons(hub)
    hub.provide("carbons", carbons)
    hub.advertise(NS, RULES)  # on the domain alone: §3
    hub.on_iq("set", "enable", NS, carbons.enable, at="self")
    hub.on_iq("set", "disable", NS, carbons.disable, at="self")
    hub.watch("leaving", "message", carbons.left)
    hub.watch("arriving", "message", carbons.came)
    hub.on("unbound", carbons.ended)
    hub.on("save", carbons.save)
    hub.on("restore", carbons.restore)


class Carbons:
    def __init__(self, hub):
        self.hub = hub
        # Resources that want copies, and since when (Unix time); an account without is not there.
        self.enabled: dict[Jid, dict[Jid, float]] = {}
        # Eligible messages of these accounts, the oldest first: way, peer and id, as a hash, since an id may be long.
        self.recent: dict[Jid, dict[int, None]] = {}

    # Who gets copies

    def enable(self, iq, origin):
        self.add(iq.sender)
        self.hub.tell("changed", iq.sender)
        return iq.reply()

    def add(self, full: Jid, since: float = 0.0) -> None:
        """This resource gets copies from now on, or since that Unix time."""
        self.enabled.setdefault(full.bare, {}).setdefault(full, since or time())

    def disable(self, iq, origin):
        self.forget(iq.sender)
        self.hub.tell("changed", iq.sender)
        return iq.reply()

    def save(self, session, parts):
        since = self.enabled.get(session.jid.bare, {}).get(session.jid)
        if since:
            parts["carbons"] = since

    def restore(self, session, parts):
        if parts.get("carbons"):
            self.add(session.jid, parts["carbons"])

    def as_heard(self, full: Jid, message: Stanza) -> Stanza | None:
        """A message from the account's archive, as this resource of it hears it when it passes; None: not at all."""
        owner, to = full.bare, message.to
        if to is None or message.sender is None or message.sender == full:
            return None
        if to == full or (to == owner and full in listening(self.hub, owner)):
            return message
        way = LEFT if message.sender.bare == owner else CAME
        if full not in self.enabled.get(owner, ()) or not is_conversation(message, way):
            return None
        return wrapped("sent" if way is LEFT else "received", owner, message).copy(to=full)

    def copied(self, message: Stanza, when: float) -> set[Jid]:
        """The resources that got a copy of a message for their account or another of it; it came at that Unix time."""
        assert message.to is not None
        enabled = self.enabled.get(message.to.bare)
        if not enabled or not is_conversation(message, CAME):
            return set()
        return {full for full, since in enabled.items() if since <= when and full not in (message.to, message.sender)}

    def ended(self, session):
        self.forget(session.jid)

    def forget(self, full: Jid) -> None:
        resources = self.enabled.get(full.bare)
        if resources is None:
            return
        resources.pop(full, None)
        if not resources:
            del self.enabled[full.bare]
            self.recent.pop(full.bare, None)

    # Which messages are copied

    def left(self, message, origin):
        """Watcher: a resource of ours sends; the others get copies (§8)."""
        sender, to = message.sender, message.to
        owner = sender.bare
        if owner not in self.enabled:
            return
        itself = to.bare == owner
        if itself and message.type == "error" and not to.full:
            return  # a copy of ours has bounced
        if self.is_eligible(owner, LEFT, message):
            already = self.receivers(message) if itself else []
            self.copy("sent", owner, message, [sender, *already])

    def came(self, message, origin):
        """Watcher: what one resource of ours receives the others get as a copy (§7)."""
        sender, to = message.sender, message.to
        owner = to.bare
        if owner not in self.enabled or sender.bare == owner:  # what we send to ourselves has been copied when it left
            return
        if message.type == "error" and not to.full:
            return  # the answer to a message goes to the resource that sent it
        if self.is_eligible(owner, CAME, message):
            self.copy("received", owner, message, self.receivers(message))

    def receivers(self, message: Stanza) -> list[Jid]:
        """The resources that get the message itself (hub/delivery)."""
        to = message.to
        assert to is not None
        if to in self.hub.sessions.get(to.bare, ()):
            return [to]
        return [] if message.type == "error" else listening(self.hub, to.bare)

    def is_eligible(self, owner: Jid, way: str, message: Stanza) -> bool:
        """§6.1. An eligible message is remembered, because an error is eligible when it answers one."""
        peer = message.to if way is LEFT else message.sender
        assert peer is not None
        recent = self.recent.setdefault(owner, {})
        if message.type == "error":  # XEP-0334 §5: a hint in it is the one of the message that it returns
            answered = CAME if way is LEFT else LEFT
            return _PRIVATE not in message.kinds and hash((answered, peer.bare, message.id)) in recent
        if not is_conversation(message, way):
            return False
        recent[hash((way, peer.bare, message.id))] = None
        if peer.bare == owner:  # it comes, too
            recent[hash((CAME, peer.bare, message.id))] = None
        for oldest in list(islice(recent, max(0, len(recent) - RECENT))):
            del recent[oldest]
        return True

    def copy(self, name: str, owner: Jid, message: Stanza, without: list[Jid]) -> None:
        """Hands copies to the resources that want them; they are serialised once."""
        receivers = [full for full in self.enabled[owner] if full not in without]
        if not receivers:
            return
        if name == "sent":  # what came has its id in it already (XEP-0313 §3.5)
            message = self.hub.need("archive").with_id(owner, message)
        wrapper = wrapped(name, owner, message)
        sessions = self.hub.sessions
        for full in receivers:
            session = sessions.get(owner, {}).get(full)  # one that does not read may end while the others are told
            if session is not None:
                session.deliver(wrapper.copy(to=full))


def is_conversation(message: Stanza, way: str) -> bool:
    """§6.1 for all but errors: whether it is an instant message that is for all devices."""
    kinds, to, sender = message.kinds, message.to, message.sender
    assert to is not None and sender is not None
    if message.type in ("groupchat", "headline") or _PRIVATE in kinds:
        return False
    if _NO_COPY in kinds and to.full:  # XEP-0334 §4.3: it means nothing on what is for an account
        return False
    if _ROOM in kinds:
        if any(x.find("invite") for x in message.children if (x.name, x.ns) == ("x", MUC)):
            return True
        if way is CAME and sender.full:
            return False  # an occupant's: the room sends it to all resources that are there
        if way is LEFT and to.full:
            return True
    if message.type == "chat" or _BODY in kinds:
        return True
    return any(each.partition(SEPARATOR)[0] in _PAYLOADS for each in kinds)


def wrapped(name: str, owner: Jid, message: Stanza) -> Stanza:
    """The message as a copy by the account for one of its resources, without `to`.

    The bytes of the message are taken as they are: 3 us, where a tree takes 26.
    """
    inner = b"<%b xmlns='%b'><forwarded xmlns='%b'><message xmlns='%b'%b</forwarded></%b>" % (
        name.encode(),
        NS.encode(),
        FORWARD.encode(),
        CLIENT.encode(),
        message.to_bytes(CLIENT).removeprefix(b"<message"),
        name.encode(),
    )
    wrapper = Stanza.received("message", (kind(name, NS),), inner, CLIENT, PLAIN_SCOPES[CLIENT], SAME_NAMESPACE)
    wrapper.type = message.type
    wrapper.sender = owner
    return wrapper
