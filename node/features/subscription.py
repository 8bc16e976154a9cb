"""RFC 6121 §3 and appendix A: who asks to see whose presence, who grants, refuses and ends it.

Both sides of a subscription keep their own half in their own roster. `outbound` and `inbound` are the tables
of appendix A for one half; everything else here sends what they say. What is sent to the other side is sent
after the commit, so nobody is told of a state that a crash would take back.
"""

import logging
from asyncio import Task, wait

from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza
from node.base.stored import pack, unpack
from node.features.roster import Item, Rosters, Saving
from node.hub.quota import Peers

log = logging.getLogger(__name__)

NEEDS = ("roster",)

TYPES = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
HELD_LIMIT = 100  # stanzas between two people while a commit of 20 ms is under way; more if the disk hangs
# Changes that strangers of one domain may make in an hour, by asking and taking it back: each is a commit of some
# 12 KiB, so 6 MB a day, a quarter of what a card is to bear. A village gets to know this home in an evening.
STRANGERS_LIMIT = 20
STRANGER_LIMIT = 4  # of these, of one: he asks, takes it back, and asks again, and does not speak for all of his domain
REQUEST_LIMIT = 4096  # bytes of a request that are kept: a line of introduction and a nickname


def setup(hub, options):
    subscriptions = Subscriptions(hub)
    hub.provide("subscription", subscriptions)
    for name in ("message", "presence", "iq"):
        hub.guard("leaving", name, subscriptions.hold_leaving)
        hub.guard("arriving", name, subscriptions.hold_arriving)
    hub.guard("leaving", "presence", subscriptions.leave)
    hub.on("available", subscriptions.remind)
    hub.on("restore", subscriptions.restored)
    hub.on("contact removed", subscriptions.part)


# The tables of appendix A: from the item and what is said to the new item and whether it is passed on.


def outbound(item: Item, type: str) -> tuple[Item, bool]:
    """A.2: the owner of the roster says `type` to the contact. The item then, and whether it is routed."""
    if type == "subscribe":
        return (item if item.sees else item._replace(ask=True)), True
    if type == "unsubscribe":
        return without(item, "to")._replace(ask=False), True
    if type == "subscribed":
        if item.pending_in:
            return granted(item), True
        return (item if item.seen else item._replace(approved=True)), False  # §3.4: pre-approval
    # unsubscribed: A.2.4, where it may also take back a pre-approval, of which the contact knows nothing
    refused = without(item, "from")._replace(request=None, approved=False)
    return refused, item.seen or item.pending_in


def inbound(item: Item, type: str, stanza: bytes = b"") -> tuple[Item, bool]:
    """A.3: the contact says `type` to the owner. The item as it becomes, and whether the owner hears it."""
    if type == "subscribe":
        if item.seen or item.pending_in:
            return item, False
        if item.approved:
            return granted(item), False
        return item._replace(request=stanza), True
    if type == "unsubscribe":
        return without(item, "from")._replace(request=None), item.seen or item.pending_in
    if type == "subscribed":
        if item.sees or not item.ask:
            return item, False
        return item._replace(subscription=_UNION["to", item.subscription], ask=False), True
    return without(item, "to")._replace(ask=False), item.sees or item.ask


def granted(item: Item) -> Item:
    """The contact sees the owner from now on; his request and a pre-approval have had their effect."""
    return item._replace(subscription=_UNION["from", item.subscription], request=None, approved=False, listed=True)


def without(item: Item, side: str) -> Item:
    """The item when nobody looks in that direction any more."""
    return item._replace(subscription=_DIFFERENCE.get((item.subscription, side), item.subscription))


_UNION = {
    ("to", "none"): "to",
    ("to", "from"): "both",
    ("from", "none"): "from",
    ("from", "to"): "both",
}
_DIFFERENCE = {
    ("to", "to"): "none",
    ("from", "from"): "none",
    ("both", "to"): "from",
    ("both", "from"): "to",
}


class Subscriptions:
    def __init__(self, hub):
        self.hub = hub
        self.rosters: Rosters = hub.need("roster")
        # A change that is being kept, and what follows it, by owner and contact.
        self.held: dict[tuple[Jid, Jid], tuple[Task[None], list]] = {}
        self.strangers = Peers(STRANGER_LIMIT, STRANGERS_LIMIT, 3600)

    @property
    def presence(self):
        return self.hub.need("presence")  # set up after us

    # The order between two addresses (RFC 6120 §10.1) is kept: what follows a change waits for its commit.

    def hold_leaving(self, stanza, origin):
        """Guard: what a client says to a contact after a change between the two."""
        if not self.held or stanza.to is None:
            return False
        return self._hold((stanza.sender.bare, stanza.to.bare), stanza, origin)

    def hold_arriving(self, stanza, origin):
        """Guard: what a contact says after a change between the two."""
        if not self.held or stanza.sender is None:  # our own answer to an address that is none
            return False
        # No origin: it has passed the guards of its sender, and does not pass them twice.
        return self._hold((stanza.to.bare, stanza.sender.bare), stanza, None)

    def _hold(self, pair, stanza, origin):
        if pair not in self.held:
            return False
        change, held = self.held[pair]
        if len(held) >= HELD_LIMIT:
            raise StanzaError("resource-constraint", "The disk is slow")
        held.append((stanza, origin))
        return change

    def _when_kept(self, pair, saving, failed, effect, *what):
        """Has the `effect` now when there is nothing to keep, else when it is kept. Returns what is still at work."""
        if saving is None:
            return effect(None, *what)
        change = self.hub.spawn(self._wait(pair, saving, failed, effect, *what), "a subscription")
        self.held[pair] = change, []
        return change

    async def _wait(self, pair, saving, failed, effect, *what):
        """Ends when all that came of it is done, also to those who were held up: they are not acked before."""
        at_work = []
        try:
            await saving.done()
            at_work.append(effect(saving, *what))
        except StanzaError as error:
            log.error("the subscription between %s and %s: %s", *pair, error)
            failed(error)
        finally:
            _, held = self.held.pop(pair)
            at_work += [self.hub.route(stanza, origin) for stanza, origin in held]
        # None of these waits for us: nobody is held up by us any more.
        for work in filter(None, at_work):
            await wait([work])

    def _keep(self, owner: Jid, old: Item, new: Item) -> Saving | None:
        if new == old:
            return None
        if not new.listed and not new.pending_in:
            return self.rosters.remove(owner, new.jid)
        return self.rosters.put(owner, new)

    # What the people of this node say

    def leave(self, stanza, origin):
        """Guard: what a client says of subscriptions goes out when it is kept, from his account (§3.1.2)."""
        if stanza.type not in TYPES or stanza.to is None:
            return False
        contact, owner = stanza.to.bare, stanza.sender.bare
        if contact == owner:  # everybody sees himself without asking (§4.2.2)
            return True
        old = self.rosters.items(owner).get(contact) or Item(contact, listed=False)
        new, routed = outbound(old, stanza.type)
        if new.ask or new.approved:
            new = new._replace(listed=True)
        saving = self._keep(owner, old, new)

        def failed(error):
            self.hub.refuse(stanza, error)

        said = stanza.copy(sender=owner, to=contact)
        return self._when_kept((owner, contact), saving, failed, self.said, old, said, routed) or True

    def said(self, saving, old, stanza, routed):
        """It is kept: now the contact may know. Returns what is still at work on his side."""
        owner, contact = stanza.sender, stanza.to
        if stanza.type == "unsubscribed" and old.seen:
            self.presence.withdraw(owner, contact)  # §3.2.2: before he ceases to be a subscriber
        at_work = self.hub.route(stanza) if routed else None
        if saving:
            saving.push()
        if stanza.type == "subscribed" and routed:
            self.presence.show(owner, contact)  # §3.1.5
        return at_work

    def part(self, owner, item):
        """§2.5.2: somebody has been taken off a roster; he is told, as far as anything tied the two."""
        if item.seen:
            self.presence.withdraw(owner, item.jid)
        if item.sees or item.ask:
            self.hub.route(Stanza("presence", type="unsubscribe", sender=owner, to=item.jid))
        if item.seen or item.pending_in:
            self.hub.route(Stanza("presence", type="unsubscribed", sender=owner, to=item.jid))

    # What is said to the people of this node

    def arrive(self, stanza, origin):
        """A presence of one of TYPES has come for a local account. Returns what is still at work on it."""
        owner, contact = stanza.to.bare, stanza.sender.bare
        if contact == owner:
            return None
        stanza = stanza.copy(sender=contact, to=owner)  # §3.1.3: subscriptions are between accounts
        old = self.rosters.items(owner).get(contact) or Item(contact, listed=False)
        new, heard = inbound(old, stanza.type, kept_request(stanza))
        if stanza.type == "unsubscribe" and not old.listed:
            heard = False  # §3.3.3: of a request that was in no roster only the record is removed
        counts = new != old and not old.listed and contact.domain != self.hub.host
        if counts and not self.strangers.take(contact, self.hub.loop.time()):
            log.debug(
                "%s: %s of %s is dropped: there were too many from him or from there", owner, stanza.type, contact
            )
            return None  # silently, as for an account that is not there; his server asks again at his next login

        def failed(error):
            log.warning("%s: %s of %s is dropped: %s", owner, stanza.type, contact, error)

        try:
            saving = self._keep(owner, old, new)
        except StanzaError as error:
            failed(error)
            return None
        return self._when_kept((owner, contact), saving, failed, self.heard, old, new, stanza, heard)

    def heard(self, saving, old, new, stanza, heard):
        """It is kept: now the owner hears it, and the contact what follows from it. Returns what is still at work."""
        at_work = None
        owner, contact = stanza.to, stanza.sender
        if heard and stanza.type == "subscribe":
            self.presence.deliver(stanza)  # §3.1.3: to all available resources
        elif heard:
            for session in self.rosters.interested_sessions(owner):
                session.deliver(stanza)
        if saving:
            saving.push()
        if stanza.type == "subscribe" and new.seen:
            # §3.1.3 and §3.4.2: he is a subscriber already, or he was approved in advance.
            at_work = self.hub.route(Stanza("presence", type="subscribed", sender=owner, to=contact))
            self.presence.show(owner, contact)
        elif stanza.type == "unsubscribe" and old.seen:
            self.presence.withdraw(owner, contact)  # §3.3.3
        return at_work

    # What waits for an answer

    def remind(self, session, first):
        """A resource has become available: it hears the requests that wait, until one answers (§3.1.3)."""
        if not first:
            return
        owner = session.jid.bare
        for item in list(self.rosters.items(owner).values()):
            if item.request:
                session.deliver(unpack(item.request))
            if item.ask and next(iter(self.hub.present[owner])) == session.jid:
                # §3.1.2: ask again, for the request or its answer may have been lost.
                self.hub.route(Stanza("presence", type="subscribe", sender=owner, to=item.jid))

    def restored(self, session, parts):
        """It was there when the node was killed, and so maybe between what was kept here and what the contact was to
        hear of it; or a request was on its way to it. It will not become available anew."""
        self.hub.loop.call_soon(self._remind_again, session)  # when all are back

    def _remind_again(self, session):
        if session.jid in self.hub.present.get(session.jid.bare, ()):
            self.remind(session, True)


def kept_request(stanza: Stanza) -> bytes:
    """The request as it is kept: with what it says in addition (§3.1.3), unless that is much."""
    request = pack(stanza)
    if len(request) <= REQUEST_LIMIT:
        return request
    return pack(Stanza("presence", type=stanza.type, id=stanza.id, sender=stanza.sender, to=stanza.to))
