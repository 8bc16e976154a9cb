"""Things of other nodes, for rules: followed by presence, read by event subscriptions, set by IQ.

They are asked in the name of this machine, `hub@` our domain, whom the other home has to let follow
(`approve`) and set (`control`).
"""

import logging
from asyncio import TimerHandle
from collections.abc import Callable
from decimal import Decimal

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza
from node.hub.board import TEXT
from node.hub.controls import TEXT_LIMIT
from node.hub.driver import Field
from node.hub.thing import RESOURCE
from node.things.dialects import FAMILIES
from node.things.presence import NICK

log = logging.getLogger("hobnode")

DEADLINE = 10.0  # seconds for an answer of another node: its board has 5
PAUSE = "PT1S"  # between two readings: no rule needs more
LONGEST = "PT5M"  # without a reading: so we see that the subscription is still there
AGAIN = 600.0  # seconds between two looks whether each thing is: by then two readings have come
SOON = 5.0  # seconds after its presence in which a thing tells its readings, if it knows that we want them
SILENT = ("remote-server-timeout", "remote-server-not-found")  # errors of whoever is not there
PING = "urn:xmpp:ping"
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
        self.fields: dict[Jid, dict[str, Field]] = {}  # of these, as far as their readings say
        self.online: dict[Jid, Jid] = {}  # where each is (full)
        self.heard: set[Jid] = set()  # who has told readings since the last look
        self.doubted: set[Jid] = set()  # who has shown itself, and told none yet
        self.refused: set[Jid] = set()  # whose owner does not want us to follow
        self.timer: TimerHandle | None = None
        hub.guard("arriving", "presence", self.presence)
        hub.guard("arriving", "message", self.message)
        hub.on("started", self.ask)
        hub.on("stopping", self.stop)

    def follow(self, wanted: dict[Jid, set[str]]) -> None:
        """These fields of these things, and no others."""
        before, self.wanted = self.wanted, wanted
        self.access.expect(self.myself, wanted)
        for thing in set(before) - set(wanted):
            self.online.pop(thing, None)
            self.fields.pop(thing, None)
            self.send(thing, "unsubscribe")
        if self.timer is not None:  # what is wanted before the start is asked then
            for thing in set(wanted) - set(before):
                self.send(thing, "subscribe")
        for thing in set(wanted) & set(self.online):
            self.subscribe(thing)

    def ask(self):
        """The node has started: whoever lets us follow tells us how he is."""
        for thing in self.wanted:
            self.send(thing, "subscribe")
        self.timer = self.hub.loop.call_later(AGAIN, self.look)

    def stop(self):
        self.doubted.clear()
        if self.timer is not None:
            self.timer.cancel()

    def look(self):
        """Nobody tells us that another node has lost its power, or that it was started anew since."""
        for thing in self.wanted:
            if thing in self.online and thing not in self.heard:
                (self.subscribe if self.wanted[thing] else self.ping)(thing)
            elif thing not in self.online and thing not in self.refused:
                self.send(thing, "subscribe")
        self.heard.clear()
        self.timer = self.hub.loop.call_later(AGAIN, self.look)

    def send(self, thing, type):
        """XEP-0172 §4.1: who asks says his name."""
        nick = E("nick", NICK, self.hub.things[self.myself].label) if type == "subscribe" else None
        self.hub.route(Stanza("presence", nick, type=type, sender=self.myself, to=thing))

    # What comes

    def presence(self, presence, origin):
        """Takes what concerns a thing that we follow."""
        thing = presence.sender.bare
        if thing not in self.wanted or presence.to.bare != self.myself:
            return False
        if presence.type is None:
            new = self.online.get(thing) != presence.sender
            self.online[thing] = presence.sender
            self.refused.discard(thing)
            if new:
                self.subscribe(thing)
            elif thing not in self.doubted:
                self.doubted.add(thing)
                self.hub.loop.call_later(SOON, self.doubt, thing)
            self.seen(thing, True, {})
        elif presence.type in ("unavailable", "unsubscribed", "error"):
            self.lose(thing)
            if presence.type == "unsubscribed":
                self.refused.add(thing)
                log.warning("rules: %s does not let %s follow it", thing, self.myself)
        return presence.type not in ("subscribe", "unsubscribe", "probe")

    def message(self, message, origin):
        """Takes readings; what it says in words is for people."""
        thing = message.sender.bare
        if thing not in self.wanted or message.to.bare != self.myself:
            return False
        data = message.child("resp", f"{FAMILY}:sd:1.0")
        if data is not None and thing in self.online:
            self.heard.add(thing)
            self.doubted.discard(thing)
            values, fields = {}, self.fields.setdefault(thing, {})
            for at in data.findall("ts"):
                for each in at.elements:
                    name, value = each.get("n"), each.get("v")
                    if name in self.wanted[thing] and value is not None:
                        values[name] = value[:TEXT_LIMIT]
                        type = "boolean" if each.name == "b" else "quantity"
                        fields[name] = Field(name, type, (each.get("u") or "")[:TEXT])
            self.seen(thing, True, values)
        return True

    def lose(self, thing):
        self.online.pop(thing, None)
        self.seen(thing, False, {})

    def doubt(self, thing):
        """Its node may have been killed and started anew, and know nothing of us."""
        if thing in self.doubted:
            self.doubted.discard(thing)
            if thing in self.online:
                self.subscribe(thing)

    # What is asked

    def subscribe(self, thing):
        """EV-1: one subscription for all fields; the same id puts it in the place of the one before."""
        fields = [E("f", f"{FAMILY}:events:1.0", n=name) for name in sorted(self.wanted[thing])]
        if fields:
            asked = E(
                "subscribe", f"{FAMILY}:events:1.0", *fields, id="rules", minInt=PAUSE, maxInt=LONGEST, req="true"
            )
            self.hub.spawn(self.answered(thing, "set", asked), f"rules subscribe to {thing}")

    def ping(self, thing):
        """XEP-0199: of whom we want no readings."""
        self.hub.spawn(self.answered(thing, "get", E("ping", PING)), f"rules ping {thing}")

    async def answered(self, thing, type, asked):
        try:
            await self.question(thing, type, asked)
        except StanzaError as error:
            log.warning("rules: %s tells no readings: %s", thing, error.text or error.condition)
            if error.condition in SILENT:
                self.lose(thing)

    async def set(self, thing: Jid, controls: dict[str, object]) -> None:
        """Returns when the other node has confirmed all. Raises StanzaError."""
        ns = f"{FAMILY}:ctr:1.0"
        await self.question(thing, "set", E("set", ns, *(element(ns, name, value) for name, value in controls.items())))

    async def question(self, thing, type, payload):
        to = self.online.get(thing) or thing.with_resource(RESOURCE)
        iq = Stanza("iq", payload, type=type, sender=self.myself.with_resource(RESOURCE), to=to)
        await self.hub.ask(iq, DEADLINE)


def element(ns, name, value):
    """A control with a value of the TOML file, in the element for its type."""
    if isinstance(value, bool):
        return E("b", ns, n=name, v="true" if value else "false")
    kind = "i" if isinstance(value, int) else "db" if isinstance(value, Decimal) else "s"
    return E(kind, ns, n=name, v=str(value))
