"""What strangers may say to the people here, and ask, and how often (security: P2, L23).

A stranger is on another server and not in the roster of whom he addresses; nor has that person written to him, or
joined him as a room, of late. Contacts and the people of this node are not counted at all.
"""

from collections import OrderedDict
from dataclasses import dataclass

from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import CLIENT, Stanza, kind
from node.features.subscription import TYPES as SUBSCRIPTION_TYPES
from node.hub.quota import Peers

NEEDS = ("roster",)

HOUR = 3600
# In an hour, of what costs us a look on the disk or a long answer: a card of 128 KiB is 600 times its question, so one
# address has 4 MB of them, and a domain 16. A room of 30 whose members all ask for one's card is still answered.
ASKED = 30
ASKED_BY_DOMAIN = 120
SPOKEN_LIMIT = 1000  # strangers to whom somebody here has spoken, 200 KiB; who is pushed out is counted again

_BODY = kind("body", CLIENT)


@dataclass
class Options:
    """`[strangers]`."""

    contacts_only: bool = False  # nobody else is heard; who would write has to be added first, or to ask to be
    by_address: int = 100  # stanzas in an hour: an introduction with its typing notices, before there is an answer
    by_domain: int = 400  # likewise: four such at once, of a large public server where spammers make many accounts

    def __post_init__(self):
        for name in ("by_address", "by_domain"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")


def setup(hub, options):
    strangers = Strangers(hub)
    strangers.reload(options)
    hub.provide("strangers", strangers)
    for name in ("message", "presence", "iq"):
        hub.guard("arriving", name, strangers.arriving)
        hub.watch("leaving", name, strangers.leaving)


class Strangers:
    def __init__(self, hub):
        self.hub = hub
        self.rosters = hub.need("roster")
        self.host = hub.host.domain
        self.asked = Peers(ASKED, ASKED_BY_DOMAIN, HOUR)
        self.spoken: OrderedDict[tuple[Jid, Jid], None] = OrderedDict()  # (who, to whom), both bare

    def reload(self, options: Options) -> None:
        """These rules from now on."""
        self.contacts_only = options.contacts_only
        self.said = Peers(options.by_address, options.by_domain, HOUR)

    def may_ask(self, iq: Stanza) -> bool:
        """Whether a question that costs something is answered: always to those who are no strangers."""
        sender, to = iq.sender, iq.to
        assert sender is not None and to is not None
        if sender.domain == self.host or (to.local and not self.is_stranger(to.bare, sender.bare)):
            return True
        return self.asked.take(sender, self.hub.loop.time())

    def is_stranger(self, owner: Jid, other: Jid) -> bool:
        """Whether `other` (bare, of another server) is one to `owner` (bare)."""
        item = self.rosters.items(owner).get(other)
        return (item is None or not item.listed) and not self.has_spoken(owner, other)

    def has_spoken(self, owner: Jid, other: Jid) -> bool:
        if (owner, other) in self.spoken:
            return True
        directed = self.hub.need("presence").directed  # a room that was joined before the node was started again
        for full in self.hub.sessions.get(owner, ()):
            if any(to.bare == other for to in directed.get(full, ())):
                self.note(owner, other)
                return True
        return False

    def note(self, owner: Jid, other: Jid) -> None:
        self.spoken[owner, other] = None
        if len(self.spoken) > SPOKEN_LIMIT:
            self.spoken.popitem(last=False)

    # On the way of stanzas

    def leaving(self, stanza, origin):
        """Watcher: to whom somebody speaks himself. What clients do by themselves, receipts and questions, is none."""
        to = stanza.to
        if to is None or to.domain == self.host or (stanza.sender.bare, to.bare) in self.spoken:
            return
        name = stanza.name
        if _BODY in stanza.kinds if name == "message" else stanza.type == ("set" if name == "iq" else None):
            self.note(stanza.sender.bare, to.bare)

    def arriving(self, stanza, origin):
        """Guard: 0.1 us for those who live here, 0.3 us for contacts."""
        sender = stanza.sender
        if sender is None or sender.domain == self.host:
            return False
        item = self.rosters.items(stanza.to.bare).get(sender.bare)
        if item is not None and item.listed:
            return False
        return self.judge(stanza, origin)

    def judge(self, stanza, origin):
        """A stranger who says too much is told so: policy-violation, since it is a rule that he breaks and nothing here
        is short of anything (RFC 6120 §8.3.3.12; resource-constraint, §8.3.3.18, would say that), and type wait, since
        the same is welcome later. What must not tell who has an account is answered as if there were none."""
        owner, sender = stanza.to.bare, stanza.sender
        if owner in self.hub.things or self.has_spoken(owner, sender.bare):  # of things access.py says who may what
            return False
        if stanza.name == "iq" and stanza.type in ("result", "error"):  # he was asked
            return False
        asks = stanza.name == "presence" and stanza.type in SUBSCRIPTION_TYPES
        if self.contacts_only and not asks:  # how else could he become a contact?
            self.hub.nobody(stanza, origin)
        elif self.said.take(sender, self.hub.loop.time()):
            return False
        elif stanza.name == "message":
            raise StanzaError("policy-violation", "Strangers may say no more for now", type="wait")
        else:
            self.hub.nobody(stanza, origin)
        return True
