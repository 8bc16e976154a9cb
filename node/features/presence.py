"""RFC 6121 §4: who is available, and who is told.

A resource that sends presence is seen by the subscribers of its account and by its account's other resources;
when it leaves, or its line is cut, the same are told, and those to whom it had sent presence directly.
"""

import re
import time

from node.base.errors import StanzaError
from node.base.jid import Jid, parse
from node.base.stanza import CLIENT, Stanza
from node.base.stored import pack, unpack
from node.features.subscription import TYPES as SUBSCRIPTION_TYPES

NEEDS = ("roster", "subscription", "blocking")

DIRECTED_LIMIT = 200  # rooms and strangers that one session shows itself to; nobody looks at more

_PRIORITY = re.compile(r"\s*[+-]?[0-9]{1,3}\s*\Z")


def setup(hub, options):
    presences = Presences(hub)
    hub.provide("presence", presences)
    hub.on_stanza("presence", presences.declare, at="self")
    hub.on_stanza("presence", presences.arrive, at="account")
    hub.guard("leaving", "presence", presences.direct)
    hub.on("unbound", presences.lost)
    hub.on("save", presences.save)
    hub.on("restore", presences.restore)


class Presences:
    def __init__(self, hub):
        self.hub = hub
        self.rosters = hub.need("roster")
        self.subscriptions = hub.need("subscription")
        self.blocking = hub.need("blocking")
        # What each available resource said last, without `to`. Which are available, hub.present knows.
        self.last: dict[Jid, Stanza] = {}
        # To whom each resource has shown itself directly, in order.
        self.directed: dict[Jid, dict[Jid, None]] = {}

    # What a client says

    def declare(self, stanza, origin):
        """A presence without `to`: for all who may see it (§4.2, §4.4, §4.5)."""
        if stanza.type is None:
            self.come(stanza, origin)
        elif stanza.type == "unavailable":
            self.go(stanza.sender, stanza)
            origin.deliver(stanza.copy(to=stanza.sender))  # §4.5.2
        elif stanza.type != "error":
            raise StanzaError("bad-request", f"A presence of type {stanza.type} is for somebody")

    def come(self, stanza, session):
        full = stanza.sender
        owner = full.bare
        priority = priority_of(stanza)
        first = full not in self.last
        self.last[full] = stanza
        if self.hub.present.get(owner, {}).get(full, -1) < 0 <= priority:
            session.since = time.time()
        self.hub.set_priority(full, priority)
        self.broadcast(owner, stanza)
        if first:
            for said in self.said(owner):
                if said.sender != full:
                    session.deliver(said.copy(to=full))
            self.probe(owner, session)
        self.hub.tell("available", session, first)
        self.hub.tell("changed", full)

    def go(self, full: Jid, stanza: Stanza) -> None:
        """The resource is not available any more: all who saw it are told."""
        owner = full.bare
        told: list[Jid] = []
        if full in self.last:
            del self.last[full]
            self.hub.set_priority(full, None)
            told = self.broadcast(owner, stanza)
            self.hub.tell("changed", full)
        directed = self.directed.pop(full, None)
        if directed:
            told_already = set(told)
            for to in directed:
                if not told_already.isdisjoint((to, to.bare)) or self.blocking.blocks(owner, to):
                    continue
                self.hub.route(stanza.copy(to=to))

    def lost(self, session):
        """A session has ended, whether it said good-bye or not (§4.5.2)."""
        full = session.jid
        self.go(full, Stanza("presence", type="unavailable", sender=full))

    def direct(self, stanza, origin):
        """Guard: remembers to whom a resource shows itself directly, to tell them when it leaves (§4.6.3)."""
        to = stanza.to
        if to is None or stanza.type not in (None, "unavailable"):
            return False
        full = stanza.sender
        if full not in self.hub.sessions.get(full.bare, ()):
            return True  # the subscription held it up, and its session has ended meanwhile
        shown = self.directed.get(full)
        if stanza.type == "unavailable":
            if shown and to in shown:
                del shown[to]
                self.hub.tell("changed", full)
            return False
        if shown is None:
            shown = self.directed[full] = {}
        if to not in shown and len(shown) >= DIRECTED_LIMIT:
            raise StanzaError("resource-constraint", f"At most {DIRECTED_LIMIT} addresses get presence directly")
        if to not in shown:
            shown[to] = None
            self.hub.tell("changed", full)
        return False

    # A session that outlives the node (XEP-0198): nobody is told that it went, or that it is back

    def save(self, session, parts):
        full = session.jid
        if full in self.last:
            parts["presence"] = pack(self.last[full]).decode()
        if full in self.directed:
            parts["directed"] = list(self.directed[full])

    def restore(self, session, parts):
        full = session.jid
        if "presence" in parts:
            said = self.last[full] = unpack(parts["presence"].encode())
            self.hub.set_priority(full, priority_of(said))
        if parts.get("directed"):
            self.directed[full] = dict.fromkeys(map(parse, parts["directed"]))

    # Who is told

    def broadcast(self, owner: Jid, stanza: Stanza) -> list[Jid]:
        """To all subscribers, and to the available resources of the account (§4.2.2). The subscribers."""
        subscribers = self.rosters.subscribers(owner)
        if self.blocking.blocks_anybody(owner):
            subscribers = [jid for jid in subscribers if not self.blocking.blocks(owner, jid)]
        route = self.hub.route
        for subscriber in subscribers:
            route(stanza.copy(to=subscriber))
        for session in self.available(owner):
            session.deliver(stanza.copy(to=session.jid))
        return subscribers

    def available(self, owner: Jid) -> list:
        """The sessions that have sent presence. A list: one that does not read may end while it is told."""
        sessions = self.hub.sessions.get(owner, {})
        return [sessions[full] for full in self.hub.present.get(owner, ()) if full in sessions]

    def said(self, owner: Jid) -> list[Stanza]:
        """What the available resources of an account said last."""
        return [self.last[full] for full in self.hub.present.get(owner, ())]

    def show(self, owner: Jid, contact: Jid) -> None:
        """Sends the account's current presence to a contact, now a subscriber or blocked no more."""
        if not self.blocking.blocks(owner, contact):
            for said in self.said(owner):
                self.hub.route(said.copy(to=contact))

    def withdraw(self, owner: Jid, contact: Jid) -> None:
        """Sends unavailable presence of every available resource to a contact who shall see them no more."""
        for full in list(self.hub.present.get(owner, ())):
            self.hub.route(Stanza("presence", type="unavailable", sender=full, to=contact))

    def leave_blocked(self, owner: Jid) -> None:
        """To those whom the owner has just blocked no resource stays shown directly."""
        for full in list(self.hub.present.get(owner, ())):
            for to in [to for to in self.directed.get(full, ()) if self.blocking.blocks(owner, to)]:
                del self.directed[full][to]
                self.hub.route(Stanza("presence", type="unavailable", sender=full, to=to))

    def probe(self, owner: Jid, session) -> None:
        """§4.2.2: asks how those are whom the owner sees. Accounts of this node are looked up in memory."""
        full = session.jid
        for contact in self.rosters.watching(owner):
            if contact.domain != self.hub.host or contact in self.hub.things:
                self.hub.route(Stanza("presence", type="probe", sender=full, to=contact))
                continue
            here = self.said(contact)
            if here and self.rosters.subscribed(contact, owner) and not self.blocking.between(owner, contact):
                for said in here:
                    session.deliver(said.copy(to=full))

    # What others say

    def arrive(self, stanza, origin):
        """A presence for a local account or one of its resources."""
        if stanza.type is None or stanza.type == "unavailable":
            self.deliver(stanza)
        elif stanza.type == "probe":
            self.answer(stanza)
        elif stanza.type in SUBSCRIPTION_TYPES:
            return self.subscriptions.arrive(stanza, origin)
        else:
            self.deliver(stanza)  # an error: why somebody could not be reached, for people to read
        return None

    def deliver(self, stanza: Stanza) -> None:
        """§8.5.2.1.2, §8.5.3: to the resource named, or to all that are available, if any."""
        to = stanza.to
        assert to is not None
        if not to.resource:
            for session in self.available(to):
                session.deliver(stanza)
            return
        session = self.hub.sessions.get(to.bare, {}).get(to)
        if session is not None:
            session.deliver(stanza)

    def answer(self, probe):
        """§4.3.2: a subscriber hears what each resource said last, others what a missing account says."""
        to, asker = probe.to, probe.sender
        owner = to.bare
        if asker.bare != owner and not self.rosters.subscribed(owner, asker.bare):
            if asker.bare in self.rosters.items(owner):
                # A contact who believes to be a subscriber: this mends his half when ours was lost.
                self.hub.route(Stanza("presence", type="unsubscribed", sender=owner, to=asker.bare))
            else:
                self.hub.missing(probe)
            return
        shown = [self.last[to]] if to in self.last else [] if to.full else self.said(owner)
        for said in shown:
            self.hub.route(said.copy(to=asker))
        if not shown:
            self.hub.route(Stanza("presence", type="unavailable", sender=to, to=asker))


def priority_of(stanza: Stanza) -> int:
    """§4.7.2.3: -128 to 127, and 0 when none is given. Raises StanzaError."""
    element = stanza.child("priority", CLIENT)
    if element is None:
        return 0
    text = element.text
    if not _PRIORITY.match(text) or not -128 <= int(text) <= 127:
        raise StanzaError("bad-request", "A priority is a whole number from -128 to 127")
    return int(text)
