"""History: the values of all fields that are numbers or true and false, kept thinned, answered as text and plots.

Readings stay in memory, packed, and are written in one batch every five minutes (design: the SD card), so a crash
costs five minutes of them; of what has not changed it costs that it was so, for up to an hour. A change smaller than
a fifth of a field's deadband is not kept: the deadband says which changes people care about.
"""

import asyncio
import logging
import time
from asyncio import Task
from collections.abc import Iterable
from decimal import InvalidOperation
from itertools import islice
from typing import NamedTuple

from node.base.jid import Jid
from node.base.stamp import is_plausible
from node.hub.driver import Field
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things.history import answer
from node.things.history.samples import SECOND, Point, Sample, Span, number, pack, points, together
from node.things.history.shelf import DAY, HOUR, LONGEST, MINUTE, Options, Shelf

__all__ = ["History", "Options", "setup"]

log = logging.getLogger("hobnode")

NEEDS = ("chat",)

FLUSH = 300.0  # seconds: at most so much is lost in a crash (D7)
QUIET = HOUR * SECOND  # what does not change is written so often
SHARE = 5  # of a deadband: smaller changes are noise
TYPES = ("quantity", "integer", "boolean")
BACK = 2 * SECOND  # that the clock is set back and not just rounded
COARSE = 4 * HOUR  # parts of that length are made of hours: a month of minutes is a second's work for a Pi
LENGTH = 64  # characters of a value: more than any sensor has
MAGNITUDE = 18  # digits before or behind the point, as a control has them
FULL = 4096  # bytes of one series in memory: 3 readings a second for five minutes; then it is written earlier


class Bucket(NamedTuple):
    """A Point and when it begins, as a Unix time."""

    begin: float
    point: Point | None


class _Series:
    """The values of one field that are not written yet."""

    __slots__ = ("changed", "data", "first", "id", "last", "value")

    def __init__(self, id: int, at: int, value: str):
        self.id = id
        self.value = value
        self.start(at)
        self.changed = True

    def start(self, at: int) -> None:
        """A new span, which begins with what holds."""
        self.first = self.last = at
        self.data = pack(b"", at, at, self.value)
        self.changed = False

    def add(self, at: int, value: str) -> None:
        at = max(at, self.last)  # the clock may have been set back
        self.data = pack(self.data, self.last, at, value)
        self.last, self.value, self.changed = at, value, True

    def span(self, until: int) -> Span:
        """Until then, but for no longer than a span may be: the machine may have slept."""
        return Span(self.first, max(min(until, self.first + LONGEST), self.last), self.data)


def setup(hub, options: Options) -> None:
    history = History(hub, options)
    hub.provide("history", history)
    answer.setup(hub, history)


class History:
    """Collects, writes, and answers for all things."""

    def __init__(self, hub, options: Options):
        self.hub = hub
        self.shelf = Shelf(hub.store, options)
        self.series: dict[tuple[Jid, str], _Series] = {}
        self.timer = hub.loop.call_later(FLUSH, self.flush)
        self.thinning: Task[None] | None = None
        self.reading = asyncio.Lock()  # one long time after the other: of a month there are 40,000 minutes in memory
        changed = self.changed  # one for all things
        hub.on("thing", lambda thing: thing.on_change(changed))
        hub.on("thing gone", self.forget)
        hub.on("thing forgotten", lambda thing: self.shelf.forget(thing.local))
        hub.on("started", self.start)
        hub.on("stopping", self.stop)

    def start(self):
        self.thinning = self.hub.loop.create_task(self.thin_forever(), name="history")

    def stop(self):
        """What is not written yet is written: the store commits it when it closes."""
        self.timer.cancel()
        if self.thinning is not None:
            self.thinning.cancel()
        self.write(all_of_it=True)

    # Collecting

    def changed(self, thing: Thing, names: set[str]) -> None:
        """A face of the thing: new values, or with no names a new state."""
        at = round(thing.now() * SECOND)
        if not is_plausible(at / SECOND):
            return
        known = thing.readings if thing.online and not thing.stale else {}
        for name in thing.fields:
            if name not in known:
                self.unknown(thing, name, at)
        for name in (names or known) if known else ():
            field = thing.fields[name]
            if field.type in TYPES:
                self.take(thing, field, at, thing.readings[name].value)

    def take(self, thing: Thing, field: Field, at: int, value: str) -> None:
        series = self.series.get((thing.jid, field.name))
        try:
            if series is not None and (series.value == value or is_noise(field, series.value, value)):
                return
            if not is_number(value):
                return
        except InvalidOperation:
            return  # a board may say anything
        if series is None:
            try:
                id = self.shelf.id(thing.jid.local, field.name)
            except StoreError as error:
                log.warning("%s: no history of %s: %s", thing.jid.local, field.name, error)
                return
            self.series[thing.jid, field.name] = _Series(id, at, value)
            return
        self.add(series, at, value)

    def unknown(self, thing, name, at):
        """From now on nothing is known: it is offline, or silent."""
        series = self.series.get((thing.jid, name))
        if series is not None and series.value:
            self.add(series, at, "")

    def add(self, series, at, value):
        if len(series.data) > FULL or at - series.first > LONGEST or at < series.last - BACK:
            self.put([series], at)
        series.add(at, value)

    def forget(self, thing):
        self.changed(thing, set())
        for name in thing.fields:
            series = self.series.pop((thing.jid, name), None)
            if series is not None:
                self.put([series], round(thing.now() * SECOND))

    # Writing

    def flush(self):
        self.write(all_of_it=False)
        self.timer = self.hub.loop.call_later(FLUSH, self.flush)

    def write(self, all_of_it: bool) -> None:
        """What has changed, and what is due after an hour."""
        now = round(time.time() * SECOND)
        due = (each for each in self.series.values() if all_of_it or each.changed or now - each.first >= QUIET)
        self.put(due, now)

    def put(self, due: Iterable[_Series], now: int) -> None:
        due = list(due)
        if not due:
            return
        try:
            self.shelf.put([(each.id, each.span(now)) for each in due])
        except StoreError as error:  # these minutes are lost, and memory is not to grow until there is room
            log.warning("history: not kept: %s", error)
        for each in due:
            each.start(now if now < each.last - BACK else max(now, each.last))

    async def thin_forever(self):
        """Once an hour."""
        while True:
            await self.thin()
            await asyncio.sleep(HOUR)

    async def thin(self) -> None:
        """Makes minutes and hours of what is over, and first writes what is in memory: it is a part of it."""
        self.write(all_of_it=True)
        try:
            await self.shelf.thin(time.time(), lambda: {each.id for each in self.series.values()})
        except StoreError as error:
            log.warning("history: not thinned: %s", error)
        except Exception:  # the next hour has its turn whatever was wrong with this one
            log.exception("history: not thinned")

    # Answering

    def samples(self, thing: Jid, field: str, begin: float, end: float, most: int | None = None) -> list[Sample]:
        """The values from `begin` to `end` (Unix times), as far as they are still kept one by one; see `samples`.

        No more than `most`: a day of a board that chatters is a second's work for a Pi.
        """
        first, last = round(begin * SECOND), round(end * SECOND)
        found = (
            sample
            for span in self.spans(thing, field, first, last)
            for sample in span.samples()
            if first <= sample[0] <= last
        )
        return list(islice(found, most))

    def spans(self, thing, field, begin, end):
        id = self.shelf.series.get((thing.local, field))
        spans = self.shelf.spans(id, begin, end) if id is not None else []
        series = self.series.get((thing, field))
        if series is not None:
            spans.append(series.span(max(end, series.last) if series.value else series.last))
        return spans

    async def buckets(self, thing: Jid, field: str, begin: float, end: float, count: int) -> list[Bucket]:
        """What the value was in each of `count` equal parts of the time from `begin` to `end` (Unix times).

        Within two hours that is made of all values, else of minutes, or of hours where they are not kept or too many.
        Others have their turn meanwhile. Raises StoreError.
        """
        first, last = round(begin), round(end)
        if last - first <= 2 * HOUR:
            found = points(
                self.spans(thing, field, first * SECOND, last * SECOND), first * SECOND, last * SECOND, count
            )
        else:
            async with self.reading:
                found = await self.thinned(thing, field, first, last, count)
        width = (end - begin) / count
        return [Bucket(begin + index * width, point) for index, point in enumerate(found)]

    @staticmethod
    def summary(buckets: list[Bucket]) -> Point | None:
        """Least, mean and most of all."""
        return together((each.point, 1) for each in buckets)

    async def thinned(self, thing, field, begin, end, count):
        """From hours where it is a long time, minutes behind them, and all values where there are no minutes yet."""
        id = self.shelf.series.get((thing.local, field))
        if id is None:
            return [None] * count
        at = begin
        parts: list[list[tuple[Point | None, int]]] = [[] for _ in range(count)]
        levels = [(self.shelf.minutes, MINUTE)]
        if end - begin > min(self.shelf.options.minute_days * DAY, count * COARSE):
            levels.insert(0, (self.shelf.hours, HOUR))
        for read, length in levels:
            async for start, point in read(id, at, end):
                if at <= start < end:
                    parts[(start - begin) * count // (end - begin)].append((point, length))
                    at = start + length
        recent = max(at, end - 2 * HOUR)
        wanted = range(recent, end, MINUTE)
        spans = self.spans(thing, field, recent * SECOND, end * SECOND)
        until = recent + len(wanted) * MINUTE
        minutes = points(spans, recent * SECOND, until * SECOND, len(wanted)) if wanted else []
        for start, minute in zip(wanted, minutes, strict=True):
            parts[(start - begin) * count // (end - begin)].append((minute, min(MINUTE, end - start)))
        found = []
        for part in parts:
            found.append(together(part))
            await asyncio.sleep(0)
        return found


def is_number(value: str) -> bool:
    """Whether it can be kept and reckoned with. Raises InvalidOperation."""
    found = number(value)
    small = len(value) <= LENGTH and found.is_finite() and abs(found.adjusted()) <= MAGNITUDE
    return small and value.isprintable()  # a line each


def is_noise(field: Field, old: str, new: str) -> bool:
    """Whether a change is too small to be kept."""
    if not field.deadband or not old:
        return False
    return abs(number(new) - number(old)) < field.deadband / SHARE
