"""Watches: "watch temperature above 25": whoever may read a thing is told when something is so, and when it ends.

Quiet by default: one message when it begins and one when it ends, never two of a watch within a minute. What is
news again within five minutes corrects the last message (XEP-0308) instead of being another one. What comes and goes
within the minute is told after it. Watches and mutes are kept in things.db, with what was told last, so that a restart
repeats no alarm.
"""

import logging
import math
from asyncio import TimerHandle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from node.base import hints
from node.base.element import E
from node.base.jid import Jid, make, parse
from node.base.stanza import Stanza, new_id
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things import words
from node.things.responses import responses
from node.things.watches import talk
from node.things.watches.wish import Wish

log = logging.getLogger("hobnode")

NEEDS = ("access", "chat", "commands")

CORRECT = "urn:xmpp:message-correct:0"  # XEP-0308

PAUSE = 60.0  # seconds from one message of a watch to the next at the least
AGAIN = 300.0  # seconds within which a message is corrected; after that it is news, and a phone may ring

SCHEMA = """
CREATE TABLE watches (
    thing TEXT, who TEXT, number INTEGER, field TEXT, kind TEXT, value TEXT, lasting INTEGER, told TEXT,
    PRIMARY KEY (thing, who, number)
) WITHOUT ROWID;
CREATE TABLE mutes (thing TEXT, who TEXT, until REAL, PRIMARY KEY (thing, who)) WITHOUT ROWID;
"""


def setup(hub, options):
    watches = Watches(hub)
    hub.provide("watches", watches)
    talk.setup(hub, watches)


@dataclass(slots=True, eq=False)
class Watch:
    """One watch of one person, and where it stands. Moments are on the loop's clock."""

    who: Jid  # bare
    number: int  # his own, at this thing
    wish: Wish
    told: str | None = None  # the value that was told last; None: there is nothing of which he waits for the end
    since: float | None = None  # it has been so; None: it is not, or was so before we knew
    until: float | None = None  # it is so no more, and that is not told yet
    sent: float = -math.inf  # the last message
    original: str = ""  # the id of the message that the next ones correct
    begun: float = -math.inf  # when that was sent
    times: int = 0  # alarms
    counted: float = -math.inf  # since when they are counted
    value: str = ""  # when it was so last
    missed: int = 0  # how often it came and went since the last message
    passed: tuple[float, float, str] | None = None  # from when until when, and the value, if that is not told yet
    timer: TimerHandle | None = None


class Watches:
    """All watches of all things."""

    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.database = hub.store.things
        self.database.schema("watches", SCHEMA)
        self.kept: dict[Jid, dict[str, list[Watch]]] = {}  # by thing and field; "" is the thing itself
        self.mutes: dict[tuple[Jid, Jid], float] = {}  # by thing and person: until when, as a Unix time
        self.last: dict[tuple[Jid, Jid], Watch] = {}  # whose message was the last that a thing said to a person
        self.load()
        changed = self.changed  # one for all things
        hub.on("thing", lambda thing: thing.on_change(changed))
        hub.on("thing gone", self.disappeared)
        hub.on("unfollowed", self.unfollowed)
        hub.on("removed", self.removed)
        hub.on("thing forgotten", self.forgotten)
        hub.on("said", lambda thing, person: self.last.pop((thing, person), None))
        hub.on("stopping", self.stop)

    def load(self):
        rows = self.database.read("SELECT thing, who, number, field, kind, value, lasting, told FROM watches")
        for thing, who, number, *wish, told in rows:
            self.put(make(thing, self.hub.host), Watch(parse(who), number, Wish(*wish), told))
        for thing, who, until in self.database.read("SELECT thing, who, until FROM mutes"):
            self.mutes[make(thing, self.hub.host), parse(who)] = until

    def stop(self):
        for fields in self.kept.values():
            for watches in fields.values():
                for watch in watches:
                    set_timer(watch, None)

    # Who watches what

    def of(self, thing: Thing, who: Jid) -> list[Watch]:
        """The watches that a person has at a thing, by number."""
        return sorted((watch for watch in self.all(thing.jid) if watch.who == who.bare), key=lambda watch: watch.number)

    def all(self, thing: Jid) -> Iterator[Watch]:
        return (watch for watches in self.kept.get(thing, {}).values() for watch in watches)

    async def add(self, thing: Thing, who: Jid, wish: Wish) -> tuple[Watch, bool]:
        """Keeps a watch, and whether it is so already, of which nothing is told but the end. Raises StoreError."""
        numbers = {watch.number for watch in self.of(thing, who)}
        number = next(each for each in count(1) if each not in numbers)
        watch = Watch(who.bare, number, wish)
        field, reading = thing.fields.get(wish.field), thing.readings.get(wish.field)
        if wish.compares:
            watch.told = reading.value if reading else None
        elif not wish.lasting and (
            not thing.online if field is None else reading and wish.holds(field, reading.value, None)
        ):
            watch.told = reading.value if reading else wish.kind
        row = (thing.jid.local, watch.who, number, *wish, watch.told)
        self.database.write("INSERT INTO watches VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.put(thing.jid, watch)
        try:
            await self.database.committed()
        except StoreError:
            self.forget(thing.jid, watch)
            raise
        self.look(thing, watch)
        return watch, watch.told is not None and not wish.compares

    def put(self, thing, watch):
        self.kept.setdefault(thing, {}).setdefault(watch.wish.field, []).append(watch)

    async def remove(self, thing: Thing, watches: list[Watch]) -> None:
        """Ends watches. Who waits knows that it is kept. Raises StoreError."""
        for watch in watches:
            self.drop(thing.jid, watch)
        await self.database.committed()

    def drop(self, thing: Jid, watch: Watch) -> None:
        """Raises StoreError, but ends it."""
        self.forget(thing, watch)
        args = (thing.local, watch.who, watch.number)
        self.database.write("DELETE FROM watches WHERE thing = ? AND who = ? AND number = ?", args)

    def end(self, thing: Jid, watch: Watch) -> None:
        """The same where nobody waits: what comes back at the next start ends then."""
        with suppress(StoreError):
            self.drop(thing, watch)

    def forget(self, thing: Jid, watch: Watch) -> None:
        set_timer(watch, None)
        fields = self.kept[thing]
        watches = [each for each in fields.pop(watch.wish.field, ()) if each is not watch]
        if watches:
            fields[watch.wish.field] = watches
        key = thing, watch.who
        if self.last.get(key) is watch:
            del self.last[key]

    async def mute(self, thing: Thing, who: Jid, until: float | None) -> None:
        """Tells him nothing before that Unix time, or `math.inf`; None: he is told again, now if there is news.

        Who waits knows that it is kept. Raises StoreError.
        """
        key = thing.jid, who.bare
        if until is None:
            self.database.write("DELETE FROM mutes WHERE thing = ? AND who = ?", (thing.jid.local, who.bare))
            self.mutes.pop(key, None)
        else:
            self.database.write("INSERT OR REPLACE INTO mutes VALUES (?, ?, ?)", (thing.jid.local, who.bare, until))
            self.mutes[key] = until
        kept = self.database.committed()
        for watch in self.of(thing, who):
            self.look(thing, watch)
        await kept

    def muted(self, thing: Thing, who: Jid) -> float | None:
        """Until when he is told nothing, if he has asked for that."""
        until = self.mutes.get((thing.jid, who.bare))
        return until if until is not None and until > thing.now() else None

    # How it ends

    def unfollowed(self, thing, who):
        """He may come back, but then he asks again."""
        if not self.access.may_read(thing, who):
            for watch in self.of(thing, who):
                self.end(thing.jid, watch)

    def removed(self, account):
        """Who gets that name next is told nothing."""
        for thing in self.kept:
            for watch in [watch for watch in self.all(thing) if watch.who == account]:
                self.forget(thing, watch)
        self.mutes = {key: until for key, until in self.mutes.items() if key[1] != account}
        self.database.write_all([(f"DELETE FROM {table} WHERE who = ?", (account,)) for table in ("watches", "mutes")])

    def forgotten(self, thing):
        """What gets that name next is watched by nobody."""
        for watch in list(self.all(thing)):
            self.forget(thing, watch)
        self.mutes = {key: until for key, until in self.mutes.items() if key[0] != thing}
        tables = ("watches", "mutes")
        self.database.write_all([(f"DELETE FROM {table} WHERE thing = ?", (thing.local,)) for table in tables])

    def disappeared(self, thing):
        """It has been taken out of the configuration, often to be put in again with other options."""
        for watch in self.all(thing.jid):
            set_timer(watch, None)
            watch.since = watch.until = None

    # What happens

    def changed(self, thing: Thing, names: set[str]) -> None:
        """A face of the thing: these fields have new values, or with no names it has a new state."""
        fields = self.kept.get(thing.jid)
        if fields:
            for name in names or list(fields):
                for watch in fields.get(name, ()):
                    self.look(thing, watch)

    def look(self, thing: Thing, watch: Watch) -> None:
        """Tells what is news of a watch, or looks again when its time has come."""
        wish, now = watch.wish, self.hub.loop.time()
        waits = watch.told is not None and not wish.compares  # for the end
        if wish.kind == "gone":
            so = not thing.online
            if so and now < thing.awaited:
                set_timer(watch, self.hub.loop.call_at(thing.awaited, self.due, thing, watch))
                return
        else:
            reading = thing.readings.get(wish.field)
            if reading is None or not thing.online or thing.stale:  # what cannot be seen does not last
                watch.since = watch.since if waits else None
                set_timer(watch, None)
                return
            if watch.told is None and wish.compares:
                watch.told = reading.value
            so = wish.holds(thing.fields[wish.field], reading.value, watch.told)
            watch.value = reading.value if so else watch.value
        quiet = self.quiet_until(thing, watch, now)
        if so:
            watch.missed += waits and watch.until is not None and not wish.lasting
            watch.until = None
            if watch.since is None and not waits:
                watch.since = now
        elif not waits:
            if watch.since is not None and now - watch.since >= wish.lasting:
                watch.missed, watch.passed = watch.missed + 1, (watch.since, now, watch.value)
            watch.since = None
        elif watch.until is None:
            watch.until = now
        if quiet > now:  # who has muted is told what is still so
            watch.missed, watch.passed = 0, None
        if so == waits and watch.passed is None:
            set_timer(watch, None)
            return
        due = max(watch.sent + PAUSE, quiet)
        if so and watch.since is not None:
            due = max(due, watch.since + wish.lasting)
        if due <= now:
            self.tell(thing, watch, so)
        elif watch.timer is None or watch.timer.when() != due:
            set_timer(watch, self.hub.loop.call_at(due, self.due, thing, watch) if due < math.inf else None)

    def due(self, thing, watch):
        watch.timer = None
        self.look(thing, watch)

    def quiet_until(self, thing, watch, now):
        """On the loop's clock."""
        until = self.muted(thing, watch.who)
        return -math.inf if until is None else now + until - thing.now()

    def tell(self, thing: Thing, watch: Watch, so: bool) -> None:
        """Sends that it is so, or so no more, or was so in between: another message, or the last one corrected."""
        set_timer(watch, None)
        key, now = (thing.jid, watch.who), self.hub.loop.time()
        if not self.access.may_read(thing, watch.who):
            log.info("%s: %s may not read it any more and watches it no longer", thing.jid.local, watch.who)
            self.end(thing.jid, watch)
            return
        id = new_id()
        # XEP-0308 §Business Rules: the last message only, and always by the id of the original
        corrects = self.last.get(key) is watch and now < watch.begun + AGAIN
        if not corrects:
            watch.original, watch.begun = id, now
            if not watch.missed or watch.sent == -math.inf:  # else they are counted together
                watch.times, watch.counted = 0, now
        watch.times += so + watch.missed
        text, options = self.message(thing, watch, so, now)
        reading = thing.readings.get(watch.wish.field)
        if so:
            watch.told = reading.value if reading else watch.wish.kind
        elif not watch.wish.compares:
            watch.told = None
        if not so or watch.wish.compares:
            watch.since = watch.until = None
        watch.sent, watch.missed, watch.passed = now, 0, None
        self.remember(thing, watch)
        self.last[key] = watch
        self.hub.route(
            Stanza(
                "message",
                E("body", None, text),
                *responses(*options),
                E("replace", CORRECT, id=watch.original) if corrects else None,
                E("store", hints.NS),  # XEP-0334: for who is not there now
                type="chat",
                sender=thing.full,
                to=watch.who,
                id=id,
            )
        )

    def message(self, thing, watch, so, now):
        """Its text, and what can be answered with a touch."""
        wish = watch.wish
        wall = thing.now() - now
        many, counted = (watch.missed, watch.sent) if wish.compares else (watch.times, watch.counted)
        times = f"{many} times since {words.clock(wall + counted)}" if many > 1 else ""
        if not so and watch.passed:
            since, until, value = watch.passed
            return wish.passed(thing, value, until - since, words.clock(wall + since), times), ()
        if not so:
            lasted = watch.until - watch.since if watch.until is not None and watch.since is not None else None
            return wish.end(thing, lasted, times), ()
        ago = now - watch.sent if watch.sent > -math.inf else None
        options = [("mute 2h", "Mute for two hours"), ("status", "Status")]
        control = thing.controls.get(wish.field)
        if control is not None and control.type == "boolean" and self.access.may_control(thing, watch.who):
            other = "off" if thing.readings[wish.field].value == "true" else "on"
            options.append((f"{control.name} {other}", f"{words.capital(words.title(control))} {other}"))
        said = " · ".join(value for value, _ in options)
        return f"{wish.alarm(thing, watch.told, ago, times)}\nYou can say: {said}", options

    def remember(self, thing, watch):
        """What was told: an alarm that goes on is not told again after a restart."""
        args = (watch.told, thing.jid.local, watch.who, watch.number)
        try:
            self.database.write("UPDATE watches SET told = ? WHERE thing = ? AND who = ? AND number = ?", args)
        except StoreError as error:
            log.warning("%s: it is not kept what %s was told: %s", thing.jid.local, watch.who, error)


def set_timer(watch, timer):
    """Has this timer (or none) in the place of the one before."""
    if watch.timer is not None:
        watch.timer.cancel()
    watch.timer = timer
