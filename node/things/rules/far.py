"""Things of other nodes, for rules: followed by presence, read by event subscriptions, set by IQ.

They are asked in the name of this machine, `hub@` our domain, whom the other home has to let follow
(`approve`) and set (`control`).
"""

import logging
from collections.abc import Callable
from decimal import Decimal

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza
from node.hub.thing import RESOURCE
from node.things.dialects import FAMILIES

log = logging.getLogger("hobnode")

DEADLINE = 10.0  # seconds for an answer of another node: its board has 5
PAUSE = "PT1S"  # between two readings: no rule needs more
LONGEST = "PT5M"  # without a reading: so we see that the subscription is still there
FAMILY = FAMILIES[0]

Seen = Callable[[Jid, bool, dict[str, str]], None]


class Far:
    """Things by their bare addresses; `seen(address, online, values)` is told what comes."""

    def __init__(self, hub, myself: Jid, seen: Seen):
        self.hub = hub
        self.access = hub.need("access")
        self.myself = myself
        self.seen = seen
        self.wanted: dict[Jid, set[str]] = {}  # fields, by thing
        self.online: dict[Jid, Jid] = {}  # where each is (full)
        hub.guard("arriving", "presence", self.presence)
        hub.guard("arriving", "message", self.message)
        hub.on("started", self.ask)

    def follow(self, wanted: dict[Jid, set[str]]) -> None:
        """These fields of these things, and no others."""
        before, self.wanted = self.wanted, wanted
        self.access.expect(wanted)
        for thing in set(before) - set(wanted):
            self.online.pop(thing, None)
            self.send(thing, "unsubscribe")
        for thing in set(wanted) & set(self.online):
            self.subscribe(thing)

    def ask(self):
        """The node has started: whoever lets us follow tells us how he is."""
        for thing in self.wanted:
            self.send(thing, "subscribe")

    def send(self, thing, type):
        self.hub.route(Stanza("presence", type=type, sender=self.myself, to=thing))

    # What comes

    def presence(self, presence, origin):
        """Takes what concerns a thing that we follow."""
        thing = presence.sender.bare
        if thing not in self.wanted or presence.to.bare != self.myself:
            return False
        if presence.type is None:
            new = self.online.get(thing) != presence.sender
            self.online[thing] = presence.sender
            if new:
                self.subscribe(thing)
            self.seen(thing, True, {})
        elif presence.type in ("unavailable", "unsubscribed", "error"):
            self.online.pop(thing, None)
            self.seen(thing, False, {})
            if presence.type == "unsubscribed":
                log.warning("rules: %s does not let %s follow it", thing, self.myself)
        return presence.type not in ("subscribe", "unsubscribe", "probe")

    def message(self, message, origin):
        """Takes readings; what it says in words is for people."""
        thing = message.sender.bare
        if thing not in self.wanted or message.to.bare != self.myself:
            return False
        data = message.child("resp", f"{FAMILY}:sd:1.0")
        if data is not None and thing in self.online:
            values = {}
            for at in data.findall("ts"):
                for each in at.elements:
                    name, value = each.get("n"), each.get("v")
                    if name in self.wanted[thing] and value is not None:
                        values[name] = value
            self.seen(thing, True, values)
        return True

    # What is asked

    def subscribe(self, thing):
        """EV-1: one subscription for all fields; the same id puts it in the place of the one before."""
        fields = [E("f", f"{FAMILY}:events:1.0", n=name) for name in sorted(self.wanted[thing])]
        if fields:
            asked = E(
                "subscribe", f"{FAMILY}:events:1.0", *fields, id="rules", minInt=PAUSE, maxInt=LONGEST, req="true"
            )
            self.hub.spawn(self.subscribed(thing, asked), f"rules subscribe to {thing}")

    async def subscribed(self, thing, asked):
        try:
            await self.question(thing, asked)
        except StanzaError as error:
            log.warning("rules: %s tells no readings: %s", thing, error.text or error.condition)

    async def set(self, thing: Jid, controls: dict[str, object]) -> None:
        """Returns when the other node has confirmed all. Raises StanzaError."""
        ns = f"{FAMILY}:ctr:1.0"
        await self.question(thing, E("set", ns, *(element(ns, name, value) for name, value in controls.items())))

    async def question(self, thing, payload):
        to = self.online.get(thing) or thing.with_resource(RESOURCE)
        iq = Stanza("iq", payload, type="set", sender=self.myself.with_resource(RESOURCE), to=to)
        await self.hub.ask(iq, DEADLINE)


def element(ns, name, value):
    """A control with a value of the TOML file, in the element for its type."""
    if isinstance(value, bool):
        return E("b", ns, n=name, v="true" if value else "false")
    kind = "i" if isinstance(value, int) else "db" if isinstance(value, Decimal) else "s"
    return E(kind, ns, n=name, v=str(value))
