"""Event subscriptions: urn:nf/nfi/ieee:iot:events:1.0, readings that are sent when they have changed enough.

Who subscribes is told by messages in the sensor data namespace of the same family, until he unsubscribes, goes, or
may no longer read. Subscriptions live in memory: a machine renews them when it sees the thing come online again.
"""

import re
from asyncio import TimerHandle
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.form import FormError
from node.base.jid import Jid
from node.base.stanza import Stanza
from node.hub.thing import Thing
from node.things.dialects import FAMILIES, Dialect
from node.things.sensor import Request, flag, readout, understood

NEEDS = ("access",)

OF_ONE = 20  # subscriptions of one address (bare) at one thing: a hub has one for each rule
OF_THING = 100  # at one thing, some KiB each; every reading is held against all of them
SOONEST = 1.0  # seconds between two messages to one subscriber at the least, whatever he says
MOST_OFTEN = 60.0  # seconds: `maxInt` below it would have us repeat what has not changed

_DURATION = re.compile(
    r"P(?:(\d{1,5})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,3})?)S)?)?\Z", re.ASCII
)


def setup(hub, options):
    events = Events(hub)
    hub.provide("events", events)
    for family in FAMILIES:
        ns = f"{family}:events:1.0"
        hub.advertise(ns, at="thing")
        for type in ("get", "set"):  # EV-1: the table says set, the examples get
            hub.on_iq(type, "subscribe", ns, events.subscribe, at="thing")
            hub.on_iq(type, "unsubscribe", ns, events.unsubscribe, at="thing")
    changed = events.changed  # one for all things
    hub.on("thing", lambda thing: thing.on_change(changed))
    hub.on("thing gone", events.forget)
    hub.watch("arriving", "presence", events.presence)
    hub.watch("arriving", "message", events.message)


class Rule(NamedTuple):
    """When a field's change is worth telling: by how much either way, upwards, downwards. None of them: any change."""

    either: Decimal | None
    up: Decimal | None
    down: Decimal | None

    def fires(self, old: str | None, new: str) -> bool:
        """EV-3: the first value always does."""
        if old is None:
            return True
        if self == ANY:
            return old != new
        step = distance(old, new)
        return any(
            limit is not None and moved >= limit and moved > 0
            for limit, moved in ((self.either, abs(step)), (self.up, step), (self.down, -step))
        )


ANY = Rule(None, None, None)


@dataclass(slots=True)
class Subscription:
    """What one address (full) wants to be told of one thing."""

    request: Request
    rules: dict[str, Rule]  # by field, casefolded
    pause: float  # seconds between two messages at the least
    longest: float | None  # seconds without a message at the most
    told: dict[str, str] = field(default_factory=dict)  # the values of which a change is measured, by field
    sent: float = float("-inf")  # on the loop's clock
    timer: TimerHandle | None = None


class Events:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.kept: dict[Jid, dict[tuple[Jid, str], Subscription]] = {}  # by thing; by asker and id (EV-4)

    def subscribe(self, iq, origin):
        """EV-1, EV-2, EV-4: the same id again takes the place of the one before."""
        thing, asked = self.hub.things[iq.to.bare], iq.payload
        dialect = Dialect(asked.ns.replace(":events:", ":sd:"), short=True)
        try:
            subscription = wanted(dialect, iq, thing)
            at_once = flag(asked, "req")
        except (FormError, ValueError) as error:
            raise StanzaError("bad-request", str(error)) from None
        kept = self.kept.setdefault(thing.jid, {})
        key = iq.sender, subscription.request.id
        if key in kept:
            self.drop(thing.jid, key)
        own = sum(asker.bare == iq.sender.bare for asker, _ in kept)
        if own >= OF_ONE or len(kept) >= OF_THING:
            raise StanzaError("resource-constraint", f"At most {OF_ONE} subscriptions of one, {OF_THING} of all.")
        kept[key] = subscription
        self.hub.route(iq.reply(E("accepted", dialect.ns, id=subscription.request.id)))
        for name, reading in thing.readings.items():
            subscription.told.setdefault(name, reading.value)
        if at_once:
            self.send(thing, key)
        else:
            self.set_timer(thing, key)

    def unsubscribe(self, iq, origin):
        """EV-6; what is not there is as good as ended."""
        self.drop(iq.to.bare, (iq.sender, iq.payload.get("id")))
        return iq.reply()

    # What happens

    def changed(self, thing, names):
        """A face of the thing: these fields have new values."""
        for key, subscription in list(self.kept.get(thing.jid, {}).items()):
            if any(self.fires(thing, subscription, name) for name in names):
                self.send(thing, key)

    def fires(self, thing, subscription, name):
        request, rules = subscription.request, subscription.rules
        if request.categories and thing.fields[name].category not in request.categories:
            return False
        if rules and name.casefold() not in rules:
            return False
        rule = rules.get(name.casefold(), ANY)
        return rule.fires(subscription.told.get(name), thing.readings[name].value)

    def send(self, thing, key):
        """Sends all that is subscribed now, or as soon as the pause is over."""
        subscription = self.kept[thing.jid].get(key)
        if subscription is None:
            return  # another message to the same asker has come back just now
        request, now = subscription.request, self.hub.loop.time()
        if now < subscription.sent + subscription.pause:
            self.set_timer(thing, key, subscription.sent + subscription.pause)
            return
        if not self.access.may_read(thing, request.asker) or not self.is_there(request.asker):
            self.drop(thing.jid, key)
            return
        stop_timer(subscription)
        subscription.sent = now
        subscription.told.update((name, reading.value) for name, reading in thing.readings.items())
        for part in readout(thing, request):
            self.hub.route(Stanza("message", part, sender=request.address, to=request.asker))
        if key in self.kept.get(thing.jid, {}):  # it may have come back as an error at once
            self.set_timer(thing, key)

    def due(self, thing, key):
        subscription = self.kept[thing.jid][key]
        subscription.timer = None
        self.send(thing, key)

    def set_timer(self, thing, key, when=None):
        """Sends at that time of the loop, or else after the longest silence."""
        subscription = self.kept[thing.jid][key]
        if when is None and subscription.longest is not None:
            when = max(subscription.sent, self.hub.loop.time()) + subscription.longest
        if when is not None and subscription.timer is not None and subscription.timer.when() <= when:
            return
        stop_timer(subscription)
        subscription.timer = self.hub.loop.call_at(when, self.due, thing, key) if when is not None else None

    # How it ends (EV-5)

    def presence(self, stanza, origin):
        """Whoever goes is told no more; nor is whoever follows no longer."""
        if stanza.type == "unavailable":
            self.leave(stanza.to.bare, lambda asker: asker == stanza.sender)
        elif stanza.type == "unsubscribe":
            self.leave(stanza.to.bare, lambda asker: asker.bare == stanza.sender.bare)

    def message(self, stanza, origin):
        """What was sent has come back."""
        if stanza.type == "error":
            self.leave(stanza.to.bare, lambda asker: asker == stanza.sender)

    def is_there(self, asker):
        """Of another server's people one hears when they are gone; of ours one can look."""
        if asker.domain != self.hub.host or asker.bare in self.hub.things:
            return True
        return asker in self.hub.sessions.get(asker.bare, {})

    def leave(self, thing, has_gone):
        for key in [key for key in self.kept.get(thing, {}) if has_gone(key[0])]:
            self.drop(thing, key)

    def forget(self, thing):
        """The thing has been taken out."""
        self.leave(thing.jid, lambda asker: True)
        self.kept.pop(thing.jid, None)

    def drop(self, thing, key):
        subscription = self.kept.get(thing, {}).pop(key, None)
        if subscription is not None:
            stop_timer(subscription)


def stop_timer(subscription):
    if subscription.timer is not None:
        subscription.timer.cancel()
        subscription.timer = None


def wanted(dialect: Dialect, iq: Stanza, thing: Thing) -> Subscription:
    """What a `subscribe` asks for. Raises StanzaError, ValueError, FormError."""
    asked = iq.payload
    assert asked is not None
    request = understood(dialect, iq, thing.jid.local)
    request.begin = request.end = request.when = None  # EV-1: those are of readouts
    fields = asked.findall("f")
    subscription = Subscription(
        request,
        rules={(each.get("n") or "").casefold(): rule(each) for each in fields},
        pause=max(duration(asked.get("minInt")) or 0, SOONEST),
        longest=duration(asked.get("maxInt")),
    )
    if subscription.longest is not None:
        subscription.longest = max(subscription.longest, subscription.pause, MOST_OFTEN)
    names = {name.casefold(): name for name in thing.fields}
    for each in fields:
        name, value = names.get((each.get("n") or "").casefold()), each.get("v")
        if name is not None and value is not None:  # EV-3: what the asker believes it is
            subscription.told[name] = value
    return subscription


def rule(each: Element) -> Rule:
    """Raises ValueError."""
    limits = []
    for key in ("by", "up", "dn"):
        text = each.get(key)
        try:
            limit = None if text is None else Decimal(text)
        except InvalidOperation:
            limit = Decimal("NaN")
        if limit is not None and not (limit.is_finite() and limit >= 0):
            raise ValueError(f"{key} must be a number, 0 or more.")
        limits.append(limit)
    return Rule(*limits)


def distance(old: str, new: str) -> Decimal:
    """How far apart two values are: true is 1, and of texts one is above or below the other (EV-3)."""
    try:
        step = number(new) - number(old)
        if not step.is_nan():
            return step
    except ArithmeticError:
        pass  # a text, or what an asker believes and no sensor can say
    return Decimal((new > old) - (new < old))


def number(text):
    return Decimal({"true": "1", "false": "0"}.get(text, text))


def duration(text: str | None) -> float | None:
    """Seconds of an xs:duration without years and months, which have no fixed length. Raises ValueError."""
    if text is None:
        return None
    found = _DURATION.match(text)
    if not found or not any(found.groups()):
        raise ValueError(f"{text[:40]!r} is not a duration such as PT5M.")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
