"""What is kept of values: all of them for a day, minutes for a month, hours for a year; older ones are thinned.

One row holds five minutes of a field's values, an hour of its minutes, or a day of its hours. Rows are only ever
put behind the last one and taken away at the other end, so that a card writes few pages: `python -m tests.bench` tells
how many bytes 20 sensors write in a day.
"""

import asyncio
from dataclasses import dataclass

from node.base.stamp import is_plausible
from node.hub.store import Store, StoreError
from node.things.history.samples import SECOND, Point, Span, pack_points, points, together, unpack_points

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds
LONGEST = 2 * HOUR * SECOND  # of a span: an hour, and what the writer comes late

SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, thing TEXT, field TEXT, UNIQUE (thing, field));
CREATE TABLE raw (key INTEGER PRIMARY KEY, first INTEGER, data BLOB);
CREATE TABLE minutes (key INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE hours (key INTEGER PRIMARY KEY, data BLOB);
"""
# A key is a time (until when, of what hour, of what day) and the number of a series in its last bits: so rows are in
# the order of time, and what comes behind the last integer key costs a card half of what any other key costs.
BITS = 20  # a million fields; with tenths of seconds until the year 9999 that fits an INTEGER
SERIES = (1 << BITS) - 1

# From which second on there is something that ends after a given one, at the earliest.
OLDEST_RAW = f"SELECT ((min(key) >> {BITS}) - {LONGEST}) / {SECOND} FROM raw WHERE key >= (? * {SECOND} + 1) << {BITS}"
OLDEST_MINUTES = f"SELECT min(key) >> {BITS} FROM minutes WHERE key >= ? << {BITS}"


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
    """The tables. Blocking reads are short: rows of one series within hours."""

    def __init__(self, store: Store, options: Options):
        self.database = database = store.things
        self.options = options
        self.fresh: list[tuple[int, Span]] = []  # not on disk yet, so not to be read there
        database.schema("history", SCHEMA)
        self.series = {(thing, field): id for id, thing, field in database.read("SELECT id, thing, field FROM series")}
        self._last = max(self.series.values(), default=0)

    def id(self, thing: str, field: str) -> int:
        """The number of a field's series. Raises StoreError."""
        if (thing, field) not in self.series:
            if self._last == SERIES:
                raise StoreError("there are a million fields already")
            self._last += 1
            self.database.write("INSERT INTO series VALUES (?, ?, ?)", (self._last, thing, field))
            self.series[thing, field] = self._last
        return self.series[thing, field]

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
        rows = self.database.read(
            f"SELECT first, key >> {BITS}, data FROM raw"
            f" WHERE key >= ? AND key < ? AND key & {SERIES} = ? AND first < ?",
            (begin + 1 << BITS, end + LONGEST + 1 << BITS, series, end),
        )
        found = {span.first: span for span in (Span(*row) for row in rows)}
        found |= {span.first: span for id, span in self.fresh if id == series}
        return list(found.values())

    def minutes(self, series: int, begin: int, end: int) -> dict[int, Point]:
        """The minutes from `begin` to `end`, by the second at which each begins."""
        return self._points("minutes", HOUR, MINUTE, series, begin, end)

    def hours(self, series: int, begin: int, end: int) -> dict[int, Point]:
        """The hours, likewise."""
        return self._points("hours", DAY, HOUR, series, begin, end)

    def _points(self, table, length, width, series, begin, end):
        rows = self.database.read(
            f"SELECT key >> {BITS}, data FROM {table} WHERE key >= ? AND key < ? AND key & {SERIES} = ?",
            (begin - length + 1 << BITS, end << BITS, series),
        )
        return _unpacked(rows, width)

    # Thinning

    async def thin(self, now: float) -> None:
        """Makes minutes of the hours and hours of the days that are over, and lets go of what is too old.

        It lets others have their turn after each series. Raises StoreError.
        """
        if not is_plausible(now):
            return  # a Pi that thinks it is 1970 must not judge what is old
        options, second = self.options, int(now)
        await self.database.committed(hurry=False)  # what is not on disk yet would be overlooked
        await self._each("minutes", HOUR, second, OLDEST_RAW, self._make_minutes)
        await self._each("hours", DAY, second, OLDEST_MINUTES, self._make_hours)
        for table, until in (
            ("raw", (second - options.raw_hours * HOUR) * SECOND),
            ("minutes", second - options.minute_days * DAY),
            ("hours", second - options.hour_days * DAY),
        ):
            self.database.write(f"DELETE FROM {table} WHERE key < ?", (until << BITS,))

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
            rows = []
            for series in list(self.series.values()):
                rows.append((begin << BITS | series, make(series, begin)))
                await asyncio.sleep(0)
            sql = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
            self.database.write_all([(sql, row) for row in rows if row[-1]])
            begin += length
        await self.database.committed(hurry=False)

    def _make_minutes(self, series, hour):
        begin, end = hour * SECOND, (hour + HOUR) * SECOND
        spans = self.spans(series, begin, end)
        return pack_points(points(spans, begin, end, HOUR // MINUTE)) if spans else None

    def _make_hours(self, series, day):
        minutes = self.minutes(series, day, day + DAY)
        if not minutes:
            return None
        hours = range(day, day + DAY, HOUR)
        return pack_points(
            [together((minutes.get(at), 1) for at in range(hour, hour + HOUR, MINUTE)) for hour in hours]
        )


def _unpacked(rows, width):
    return {
        start + index * width: point
        for start, data in rows
        for index, point in enumerate(unpack_points(data))
        if point is not None
    }
