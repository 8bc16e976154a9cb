"""The presence of a thing: what its followers see in their contact lists, and who follows it.

Presence is broadcast, over federation too, so a chattering sensor must not become a chattering contact:
`show` changes at once, the status line once an interval, with the last value (PR-5). A thing that has been
quiet may change it some times at once first: a lamp is seen to be on, and a reading that rises in steps is not
shown half-way up for a minute. When the node has been started nobody knows whether it was quiet, and all things
begin at once: each tells its first state, and has to be quiet first. What is switched may change as often again at
once, however much the rest drifts: who has just switched a lamp looks whether it is on, and a door is open or not.
"""

import logging
from asyncio import TimerHandle
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from node.base import stamp
from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza, new_id
from node.hub.thing import Thing
from node.things import picture, words
from node.things.responses import responses

log = logging.getLogger("hobnode")

NEEDS = ("roster", "caps", "access")

IDLE = "urn:xmpp:idle:1"  # XEP-0319
NICK = "http://jabber.org/protocol/nick"  # XEP-0172
UPDATE = "vcard-temp:x:update"  # XEP-0153
BURST = 5  # changes told at once; each interval brings one more: a person plays with a lamp, a loose wire does
TOLD = 10  # requests at one thing within an hour that owners and log are told of; who makes more plays with us
HOUR = 3600.0  # seconds
PLAIN = (None, None)  # type and show of one that is well: then its values alone make its text
NEVER = float("-inf")
MOMENT = 1.0  # seconds: neither a command that is carried out sooner nor the first readings of what is back are
# worth two presences to everybody


@dataclass
class Options:
    """`[presence]`: what things tell of themselves."""

    interval: int = 60  # seconds, over time, from one change of a status line to the next

    def __post_init__(self):
        if self.interval < 1:
            raise ValueError(f"interval must be 1 second or more, not {self.interval}")


def setup(hub, options):
    hub.provide("followers", Presences(hub, options))


class Face:
    """What the followers of one thing were told last, and what they are going to be told."""

    __slots__ = (
        "asked",
        "begun",
        "came",
        "fault",
        "new",
        "paid",
        "picture",
        "said",
        "shape",
        "text",
        "timer",
        "told",
    )

    def __init__(self) -> None:
        self.shape: tuple[str | None, str | None] = ("unavailable", None)  # type and show
        self.text = ""
        self.fault = ""  # that the text speaks of
        self.said: Mapping[str, str] = {}  # values by field, as the status line had them
        # Until when the changes told use up the interval; on the loop's clock, like all times here.
        self.paid = NEVER
        self.told = NEVER  # when a change was told last
        self.new = True  # it has not been online since it is here
        self.begun: float | None = None  # since when it is busy
        self.came: float | None = None  # since when it is back, and nobody has been told
        self.asked: list[float] = []  # when owners were told of requests
        self.timer: TimerHandle | None = None
        self.picture: Element | None = None  # which one it is (XEP-0153), when somebody has to know


class Presences:
    def __init__(self, hub, options):
        self.hub = hub
        self.interval = options.interval
        self.roster = hub.need("roster")
        self.caps = hub.need("caps")
        self.access = hub.need("access")
        self.faces: dict[Jid, Face] = {}
        changed = self.changed  # one for all things
        hub.on("thing", self.appeared)
        hub.on("thing", lambda thing: thing.on_change(changed))
        hub.on("thing gone", self.disappeared)
        hub.on("stopping", self.leave)
        hub.on_stanza("presence", self.receive, at="thing")

    def appeared(self, thing):
        """Not told to anybody before it has been tried whether the hardware is there."""
        face = self.faces[thing.jid] = Face()
        face.text = thing.reason

    def disappeared(self, thing):
        """It has been taken out of the configuration."""
        self.end(thing, "no longer part of this home")
        del self.faces[thing.jid]

    def leave(self):
        """The node stops: who is elsewhere would go on seeing the last presence."""
        for thing in self.hub.things.values():
            self.end(thing, "the node has been stopped")

    def end(self, thing, reason):
        face = self.faces[thing.jid]
        set_timer(face, None)
        if face.shape[0] is None:
            self.tell(self.unavailable(thing, reason))

    # What is shown

    def changed(self, thing: Thing, names: set[str]) -> None:
        """Readings or state changed: the followers are told now, or later, or have been told already."""
        face, now = self.faces[thing.jid], self.hub.loop.time()
        if not names:  # it may be called something else now, or have turned out to be something else
            face.picture = None
        shape, values = self.shape(thing, face, now), steady(thing, face.said)
        comes = face.shape[0] is not None and shape[0] is None
        missing = sum(each.shown and name not in values for name, each in thing.fields.items()) if comes else 0
        face.came = (face.came or now) if comes and missing and not thing.alarm else None
        if face.came is not None and now < face.came + MOMENT:  # its first readings are on their way
            self.later(thing, face, now, face.came + MOMENT)
            return
        same = shape == face.shape and (not thing.online or bool(values) == bool(face.said))
        if same:
            if shape == PLAIN and values == face.said and thing.fault == face.fault:
                self.later(thing, face, now)
                return
            due = min(face.paid - (BURST - 1) * self.interval, face.told + self.interval)
            if now < due and switched(thing, values, face.said):
                due = face.paid - (2 * BURST - 1) * self.interval
            if now < due:
                self.later(thing, face, now, due)
                return
        text = status(thing, values)  # not before it is needed: it is most of what a reading costs
        if same:
            if text == face.text:
                self.later(thing, face, now)
                return
            face.paid, face.told = max(face.paid, now) + self.interval, now
        if comes and face.new:  # what has no value yet may still have its first one told
            face.new, face.paid, face.told = False, now + max(BURST - missing, 0) * self.interval, now
        face.shape, face.said, face.text, face.fault = shape, values, text, thing.fault
        self.later(thing, face, now)
        self.tell(self.current(thing))

    def shape(self, thing, face, now):
        """PR-4: the type and the show of its presence."""
        face.begun = (face.begun or now) if thing.busy else None
        if not thing.online:
            return ("unavailable", None)
        if thing.alarm or (face.begun is not None and now >= face.begun + MOMENT):
            return (None, "dnd")
        return (None, "away" if thing.stale else None)

    def later(self, thing, face, now, due=None):
        """Looks again when the time has come: for a text that waits, or a command that takes long."""
        if face.begun is not None and now < face.begun + MOMENT:
            due = min(due or face.begun + MOMENT, face.begun + MOMENT)
        if due is None:
            set_timer(face, None)
        elif face.timer is None or face.timer.when() != due:  # the loop keeps those that were cancelled for a while
            set_timer(face, self.hub.loop.call_at(due, self.due, thing))

    def due(self, thing):
        self.faces[thing.jid].timer = None
        self.changed(thing, set())

    def current(self, thing: Thing) -> Stanza:
        """The presence that followers see now, without `to`."""
        face = self.faces[thing.jid]
        type, show = face.shape
        if type == "unavailable":
            return self.unavailable(thing, face.text)
        return Stanza(
            "presence",
            E("show", None, show) if show else None,
            E("status", None, face.text) if face.text else None,
            E("priority", None, "0"),  # PR-4: people write to it
            self.caps.element(at="thing"),
            E("idle", IDLE, since=stamp.format(thing.last)) if show == "away" and thing.last else None,
            self.update(thing),
            sender=thing.full,
        )

    def unavailable(self, thing, reason):
        status = E("status", None, reason) if reason else None
        return Stanza("presence", status, self.update(thing), type="unavailable", sender=thing.full)

    def update(self, thing):
        """XEP-0153 §4.1: the hash of its picture, in every presence."""
        face = self.faces[thing.jid]
        if face.picture is None:
            face.picture = pictured(picture.name(thing))
        return face.picture

    def tell(self, presence):
        """To all followers: serialised once, only `to` differs."""
        for follower in self.roster.subscribers(presence.sender.bare):
            self.hub.route(presence.copy(to=follower))

    # Who follows (RFC 6121 §3, §4.3). Access has let in who may read, and strangers who ask to follow.

    def receive(self, stanza, origin):
        thing, asker = self.hub.things[stanza.to.bare], stanza.sender
        if stanza.type == "probe":
            self.probed(thing, asker)
        elif stanza.type in ("subscribe", "unsubscribe"):
            self.hub.spawn(self.decided(thing, asker.bare, stanza.type), f"{stanza.type} of {asker} at {thing.jid}")
        # The rest is nothing to a thing: it follows nobody.

    async def decided(self, thing, asker, type):
        try:
            await (self.asked if type == "subscribe" else self.left)(thing, asker)
        except StanzaError as error:  # a disk that is full: who asks again later may be luckier
            log.warning("%s: %s of %s is dropped: %s", thing.jid.local, type, asker, error)

    def probed(self, thing, asker):
        if self.roster.subscribed(thing.jid, asker.bare):
            self.hub.route(self.current(thing).copy(to=asker))
        else:  # one who may control it and believes that he follows it: RFC 6121 §4.3.2, first rule
            self.send(thing, asker.bare, "unsubscribed")

    async def asked(self, thing, asker):
        if self.roster.subscribed(thing.jid, asker):
            self.send(thing, asker, "subscribed")  # RFC 6121 §3.1.3: the first answer may have been lost
            self.hub.route(self.current(thing).copy(to=asker))
        elif self.access.may_follow(thing, asker):
            await self.approve(thing, asker)
        elif asker not in self.waiting(thing):
            await self.wait(thing, asker)

    async def wait(self, thing, asker):
        """An owner has to say yes (PR-10); the owners are told."""
        told = self.may_tell(thing)
        try:
            await self.roster.set_pending(thing.jid, asker, True)
        except StanzaError as error:
            if told:
                log.warning("%s: %s would like to follow, but cannot wait: %s", thing.jid.local, asker, error)
            return
        if not told:
            return
        whom = " or ".join(self.access.owners) or "an owner, but [access] control names nobody of this node"
        log.info("%s: %s would like to follow and waits for %s", thing.jid.local, asker, whom)
        for owner in self.access.owners:
            self.say(thing, owner, f'{asker} would like to follow me. Say "approve {asker}" or "deny {asker}".')

    def may_tell(self, thing):
        """Asking costs a stranger nothing, and who asks and takes it back leaves none that waits."""
        face, now = self.faces[thing.jid], self.hub.loop.time()
        face.asked = [moment for moment in face.asked if moment > now - HOUR]
        if len(face.asked) > TOLD:
            return False
        face.asked.append(now)
        if len(face.asked) > TOLD:
            log.warning("%s: more than %d would like to follow within an hour; see `who`", thing.jid.local, TOLD)
        return len(face.asked) <= TOLD

    def waiting(self, thing: Thing) -> list[Jid]:
        """Who has asked to follow and waits, sorted."""
        return sorted(jid for jid, item in self.roster.items(thing.jid).items() if item.pending_in)

    def followers(self, thing: Thing) -> list[Jid]:
        """Who sees the presence and may read, sorted."""
        return sorted(self.roster.subscribers(thing.jid))

    async def approve(self, thing: Thing, asker: Jid) -> None:
        """Makes `asker` (bare) a follower and greets him, once that is kept (D5). Raises StanzaError."""
        await self.roster.set_subscription(thing.jid, asker, "from")
        log.info("%s: %s follows", thing.jid.local, asker)
        await self.enter(thing, asker)
        self.send(thing, asker, "subscribed")
        self.hub.route(self.current(thing).copy(to=asker))
        offers = responses(("status", "Status"), ("help", "What I can say"))
        self.say(thing, asker, greeting(thing, self.access.may_control(thing, asker)), *offers)

    async def enter(self, thing, asker):
        """Who lives here, and has given it no name in his contact list, has it there under its own: most clients look
        for a name nowhere else (devices.md A5)."""
        item = self.roster.items(asker).get(thing.jid) if asker.domain == self.hub.host else None
        if item is None or not item.listed or item.name:
            return
        try:
            saving = self.roster.put(asker, item._replace(name=thing.label))
            await saving.done()
        except StanzaError as error:  # he follows it none the less
            log.warning("%s: has no name in the contact list of %s: %s", thing.jid.local, asker, error)
        else:
            saving.push()

    async def deny(self, thing: Thing, asker: Jid) -> None:
        """Refuses the request of `asker` (bare), or ends that he follows. Raises StanzaError."""
        followed = self.roster.subscribed(thing.jid, asker)
        await self.roster.set_subscription(thing.jid, asker, "none")
        log.info("%s: %s %s", thing.jid.local, asker, "follows no longer" if followed else "may not follow")
        if followed:
            self.gone(thing, asker)
        self.send(thing, asker, "unsubscribed")

    async def left(self, thing, asker):
        followed = self.roster.subscribed(thing.jid, asker)
        await self.roster.set_subscription(thing.jid, asker, "none")
        if followed:  # RFC 6121 §3.3.3
            self.gone(thing, asker)

    def gone(self, thing, asker):
        self.hub.tell("unfollowed", thing, asker)
        self.hub.route(Stanza("presence", type="unavailable", sender=thing.full, to=asker))

    def send(self, thing, contact, type):
        nick = E("nick", NICK, thing.label) if type == "subscribed" else None
        self.hub.route(Stanza("presence", nick, type=type, sender=thing.jid, to=contact))

    def say(self, thing, contact, text, *offers):
        """What it says without being asked is often the first: with its name (XEP-0172 §4.2)."""
        said = E("body", None, text), E("nick", NICK, thing.label), *offers
        self.hub.route(Stanza("message", *said, type="chat", sender=thing.full, to=contact, id=new_id()))
        self.hub.tell("said", thing.jid, contact)


@lru_cache(64)
def pictured(name: str) -> Element:
    """One for all that have this picture: half a KiB each."""
    return E("x", UPDATE, E("photo", None, picture.digest(name)))


def set_timer(face, timer):
    """Has this timer (or none) in the place of the one before."""
    if face.timer is not None:
        face.timer.cancel()
    face.timer = timer


def steady(thing: Thing, said: Mapping[str, str]) -> dict[str, str]:
    """The shown values; one that moved less than its deadband is still the one said last."""
    values = {}
    for name, field in thing.fields.items():
        if field.shown and name in thing.readings:
            value, before = thing.readings[name].value, said.get(name)
            values[name] = before if before is not None and within(field.deadband, before, value) else value
    return values


def switched(thing: Thing, values: Mapping[str, str], said: Mapping[str, str]) -> bool:
    """Whether one differs that can be set, or that is so or not, as a door is open: it does not drift."""
    return any(
        values.get(name) != said.get(name)
        for name, field in thing.fields.items()
        if field.type == "boolean" or name in thing.controls
    )


def within(deadband, before, value):
    try:
        return deadband is not None and abs(Decimal(value) - Decimal(before)) < deadband
    except InvalidOperation:
        return False  # a text has no distance from another


def status(thing: Thing, values: Mapping[str, str]) -> str:
    """The status line: why it is gone, since when it is silent and why, or its values, what alarms first."""
    if not thing.online:
        return thing.reason
    text = words.line(thing, values)
    wrong = words.wrong(thing)
    if wrong:
        text = wrong + (f" (last {text})" if text else "")
    if thing.alarm and not thing.stale:
        return f"⚠ {thing.alarm}" + (f" · {text}" if text else "")
    return text or "no reading yet"


def greeting(thing, control):
    """What can be said, in examples of its own (devices.md A5)."""
    field = next(iter(thing.fields.values()), None)
    examples = ["status"] + ([f"{field.name}?"] if field else [])
    for each in thing.controls.values() if control else ():
        examples.append(words.example(each))
    return f"Hello, I am {thing.label}. You can say: {' · '.join(examples[:4])} · help"
