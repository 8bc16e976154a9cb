"""What is kept of values: all of them for a day, minutes for a month, hours for a year; older ones are thinned.

One row holds five minutes of a field's values, an hour of its minutes, or a day of its hours. Rows are only ever
put behind the last one and taken away at the other end, so that a card writes few pages: `python -m tests.bench` tells
how many bytes 20 sensors write in a day.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from node.base.clock import Judge
from node.base.stamp import is_plausible
from node.hub.store import Store, StoreError
from node.things.history.samples import SECOND, Point, Span, pack_points, points, together, unpack_points

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds
LONGEST = 2 * HOUR * SECOND  # of a span: an hour, and what the writer comes late
SLICE = 300 * SECOND  # of rows that are looked through at once: each series has written one in that time, or few
CHUNK = 24  # rows that are read at once: on a card that is cold they are 20 ms, and a day of minutes to unpack

SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, thing TEXT, field TEXT, UNIQUE (thing, field));
CREATE TABLE raw (key INTEGER PRIMARY KEY, first INTEGER, data BLOB);
CREATE TABLE minutes (key INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE hours (key INTEGER PRIMARY KEY, data BLOB);
"""
# When there was something of a series last, by the day: where that is not kept any more its number is given back.
USED = f"""
ALTER TABLE series ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
UPDATE series SET used = coalesce((SELECT max(key) >> 20 FROM hours), (SELECT max(key) >> 20 FROM minutes),
    (SELECT (max(key) >> 20) / {SECOND} FROM raw), 0);
"""
# A key is a time (until when, of what hour, of what day) and the number of a series in its last bits: so rows are in
# the order of time, and what comes behind the last integer key costs a card half of what any other key costs.
BITS = 20  # a million fields; with tenths of seconds until the year 9999 that fits an INTEGER
SERIES = (1 << BITS) - 1

# From which second on there is something that ends after a given one, at the earliest.
OLDEST_RAW = f"SELECT ((min(key) >> {BITS}) - {LONGEST}) / {SECOND} FROM raw WHERE key >= (? * {SECOND} + 1) << {BITS}"
OLDEST_MINUTES = f"SELECT min(key) >> {BITS} FROM minutes WHERE key >= ? << {BITS}"
# Rows of one series among those of all: from each time that there is one looks up the next.
SPANS = f"""
WITH RECURSIVE times(at) AS (
    SELECT min(key) >> {BITS} FROM raw WHERE key >= :begin << {BITS}
    UNION ALL
    SELECT (SELECT min(key) >> {BITS} FROM raw WHERE key >= (at + 1) << {BITS}) FROM times WHERE at < :until)
SELECT first, key >> {BITS}, data FROM raw WHERE key IN (SELECT at << {BITS} | :series FROM times WHERE at < :until)
    AND first < :end ORDER BY key
"""


@dataclass
class Options:
    """How long values are kept; what is older is there as minutes, then as hours."""

    raw_hours: int = 24
    minute_days: int = 31
    hour_days: int = 366

    def __post_init__(self):
        for name, least in (("raw_hours", 2), ("minute_days", 2), ("hour_days", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more")


class Shelf:
    """The tables. Reading blocks: rows of one series within a day, or so few that others have their turn between."""

    def __init__(self, store: Store, options: Options):
        self.database = database = store.things
        self.options = options
        self.judge = Judge()
        self.fresh: list[tuple[int, Span]] = []  # not on disk yet, so not to be read there
        database.schema("history", SCHEMA, USED)
        self.series = {(thing, field): id for id, thing, field in database.read("SELECT id, thing, field FROM series")}
        self._last = max(self.series.values(), default=0)

    def id(self, thing: str, field: str) -> int:
        """The number of a field's series, which is needed from now on. Raises StoreError."""
        today = int(time.time()) // DAY * DAY
        id = self.series.get((thing, field))
        if id is not None:
            self.database.write("UPDATE series SET used = ? WHERE id = ? AND used < ?", (today, id, today))
            return id
        if self._last == SERIES:
            raise StoreError("there are a million fields already")
        self._last += 1
        self.database.write("INSERT INTO series VALUES (?, ?, ?, ?)", (self._last, thing, field, today))
        self.series[thing, field] = self._last
        return self._last

    def forget(self, thing: str) -> None:
        """Nobody can ask for its values any more, which leave the disk when they are old, as all do. Raises StoreError.

        Its series are not deleted: their numbers are not free before that.
        """
        for series in [each for each in self.series if each[0] == thing]:
            self.database.write("UPDATE series SET thing = '', field = id WHERE id = ?", (self.series.pop(series),))

    def put(self, spans: list[tuple[int, Span]]) -> None:
        """Keeps spans of values, each with its series. Raises StoreError."""
        self.database.write_all(
            [
                ("INSERT OR REPLACE INTO raw VALUES (?, ?, ?)", (span.until << BITS | series, span.first, span.data))
                for series, span in spans
            ]
        )
        self.fresh += spans
        # Of this file alone: an archive that cannot be mended is no reason to remember for ever.
        self.database.committed(hurry=False).add_done_callback(lambda done: self._settled(len(spans), done))

    def _settled(self, count, done):
        done.exception()  # the store has logged it; what is lost is lost
        del self.fresh[:count]

    def spans(self, series: int, begin: int, end: int) -> list[Span]:
        """The values from `begin` to `end`, in tenths of seconds."""
        rows = self.database.read(SPANS, {"series": series, "begin": begin + 1, "until": end + LONGEST + 1, "end": end})
        found = {span.first: span for span in (Span(*row) for row in rows)}
        found |= {span.first: span for id, span in self.fresh if id == series}
        return list(found.values())

    def minutes(self, series: int, begin: int, end: int) -> AsyncIterator[tuple[int, Point]]:
        """The minutes from `begin` to `end`, in order, each with the second at which it begins.

        Others have their turn meanwhile. Raises StoreError.
        """
        return self._points("minutes", HOUR, MINUTE, series, begin, end)

    def hours(self, series: int, begin: int, end: int) -> AsyncIterator[tuple[int, Point]]:
        """The hours, likewise."""
        return self._points("hours", DAY, HOUR, series, begin, end)

    async def _points(self, table, length, width, series, begin, end):
        """Looks up each row by its key, which is known: of all series the others' rows lie between."""
        ((oldest,),) = self.database.read(f"SELECT min(key) >> {BITS} FROM {table}")
        ((newest,),) = self.database.read(f"SELECT max(key) >> {BITS} FROM {table}")
        if oldest is None:
            return
        times = range(max(begin // length * length, oldest), min(end, newest + 1), length)
        for index in range(0, len(times), CHUNK):
            keys = [at << BITS | series for at in times[index : index + CHUNK]]
            marks = ", ".join("?" * len(keys))
            sql = f"SELECT key >> {BITS}, data FROM {table} WHERE key IN ({marks}) ORDER BY key"
            for start, data in self.database.read(sql, keys):
                for at, point in enumerate(unpack_points(data)):
                    if point is not None:
                        yield start + at * width, point
            await asyncio.sleep(0)

    # Thinning

    async def thin(self, now: float, live: Callable[[], set[int]] = set) -> None:
        """Makes minutes of the hours and hours of the days that are over, and lets go of what is too old.

        `live()` are the series that are needed though nothing of them may be kept. It lets others have their turn
        after each series. Raises StoreError.
        """
        if not is_plausible(now):
            return  # a Pi that thinks it is 1970 must not judge what is old
        options, second = self.options, int(now)
        await self.database.committed(hurry=False)  # what is not on disk yet would be overlooked
        await self._each("minutes", HOUR, second, OLDEST_RAW, self._make_minutes)
        await self._each("hours", DAY, second, OLDEST_MINUTES, self._make_hours)
        if not self.judge.may(now, time.monotonic(), self._has):
            return
        for table, until in (
            ("raw", (second - options.raw_hours * HOUR) * SECOND),
            ("minutes", second - options.minute_days * DAY),
            ("hours", second - options.hour_days * DAY),
        ):
            self.database.write(f"DELETE FROM {table} WHERE key < ?", (until << BITS,))
        longest = max(options.raw_hours * HOUR, options.minute_days * DAY, options.hour_days * DAY)
        self._forget(second - longest - 2 * DAY, live())  # the last of its rows has ended a day later

    def _forget(self, before, live):
        """Gives back the numbers of fields of which nothing is kept any more: devices come and go."""
        gone = {id for (id,) in self.database.read("SELECT id FROM series WHERE used < ?", (before,))} - live
        if gone:
            self.series = {key: id for key, id in self.series.items() if id not in gone}
            self.database.write_all([("DELETE FROM series WHERE id = ?", (id,)) for id in gone])

    def _has(self, begin: float, end: float) -> bool:
        """Whether there are minutes or hours that begin in this time."""
        sql = "SELECT 1 FROM {} WHERE key >= ? AND key < ? LIMIT 1"
        keys = int(begin) << BITS, int(end) << BITS
        return any(self.database.read(sql.format(table), keys) for table in ("minutes", "hours"))

    async def _each(self, table, length, now, oldest, make):
        """Fills a table for all whole times of that length behind the last one that it has, where there is anything.

        Each for all series or for none: where it is not finished it begins again.
        """
        # Not beyond now: the clock may have been ahead.
        ((last,),) = self.database.read(f"SELECT max(key) >> {BITS} FROM {table} WHERE key < ?", (now + 1 << BITS,))
        begin = 0 if last is None else last + length
        while True:
            ((found,),) = self.database.read(oldest, (begin,))
            if found is None:
                break
            begin = max(begin, found // length * length)
            if begin + length > now:
                break
            made = await make(begin)
            if made:
                self.database.write_all(made)
            begin += length
        await self.database.committed(hurry=False)

    async def _make_minutes(self, hour):
        begin, end, made = hour * SECOND, (hour + HOUR) * SECOND, []
        for series, keys in (await self._keys(begin, end)).items():
            marks = ", ".join("?" * len(keys))
            spans = self.database.read(f"SELECT first, key >> {BITS}, data FROM raw WHERE key IN ({marks})", keys)
            data = pack_points(points((Span(*row) for row in spans), begin, end, HOUR // MINUTE))
            made.append(("INSERT OR REPLACE INTO minutes VALUES (?, ?)", (hour << BITS | series, data)))
            await asyncio.sleep(0)
        return made

    async def _keys(self, begin, end):
        """Where there is something of that time, by series."""
        found: dict[int, list[int]] = {}
        last = end + LONGEST + 1
        for at in range(begin + 1, last, SLICE):
            rows = self.database.read(
                "SELECT key FROM raw WHERE key >= ? AND key < ? AND first < ?",
                (at << BITS, min(at + SLICE, last) << BITS, end),
            )
            for (key,) in rows:
                found.setdefault(key & SERIES, []).append(key)
            await asyncio.sleep(0)
        return found

    async def _make_hours(self, day):
        made = []
        for series in list(self.series.values()):
            minutes = {at: point async for at, point in self.minutes(series, day, day + DAY)}
            if not minutes:
                continue
            hours = [
                together((minutes.get(at), 1) for at in range(hour, hour + HOUR, MINUTE))
                for hour in range(day, day + DAY, HOUR)
            ]
            made.append(("INSERT OR REPLACE INTO hours VALUES (?, ?)", (day << BITS | series, pack_points(hours))))
            made.append(("UPDATE series SET used = ? WHERE id = ?", (day, series)))
        return made
