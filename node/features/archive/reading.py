"""What is in the archives on the disk: pages, ends and moments, without ever looking through a whole archive."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from node.base.jid import Jid
from node.features.archive.pending import Group
from node.features.archive.rows import ID, INSERT, RECEIVER_ARCHIVE, SENDER_ARCHIVE, STAMP, Rows

CHUNK = 100  # messages looked at one by one in one turn of the loop: 0.3 ms
HEAVY = 1 << 20  # bytes of large ones looked at in one turn of the loop: 1 ms; SQLite loads all to show the beginning
INLINE = 4096  # bytes: a larger message is loaded when there is room for it in the page
START = 16_400  # bytes: a start tag up to behind its two addresses, each with all of its 1023 octets escaped
COUNTED = 10_000  # messages are counted up to here, in 1 ms; beyond it nobody is told how many there are


class Wanted(NamedTuple):
    """A part of an archive: the rows between two numbers, neither of them included.

    With `peer`, the number of a bare address: what was said to or by it. With `full`: to or by this resource of it.
    With `ids`, in order: of these rows.
    """

    archive: int
    low: int
    high: int
    peer: int | None = None
    full: Jid | None = None
    ids: tuple[int, ...] | None = None


class Found(NamedTuple):
    """A message: its row's number, milliseconds since 1970, and its XML, or the size of that if it is a large one."""

    id: int
    stamp: int
    stanza: bytes | int


class _Source(NamedTuple):
    """Where to look: the rows between `low` and `high` in the map, or beyond it."""

    plain: str
    joined: str  # with the stanzas
    id: str
    low: int
    high: int

    def order(self, backwards: bool) -> str:
        return f"ORDER BY {self.id} {'DESC' if backwards else 'ASC'}"


_STANZAS = "FROM stanzas s WHERE s.id > :low AND s.id < :high AND {}"
_OWN = "(s.sender_archive = :archive OR s.receiver_archive = :archive)"
_WITH = "(s.sender_archive = :archive AND s.receiver = :peer OR s.receiver_archive = :archive AND s.sender = :peer)"
_PLACES = "FROM places p {} WHERE p.archive = :archive AND p.id > :low AND p.id < :high"
_PLACES_WITH = _PLACES.replace("places p", "places p INDEXED BY places_by_peer") + " AND p.peer = :peer"
_JOIN = "CROSS JOIN stanzas s ON s.id = p.id"
# As in Found.
DATA = f"CASE WHEN length(s.stanza) <= {INLINE} THEN s.stanza ELSE length(s.stanza) END"


class Reader:
    def __init__(self, rows: Rows):
        self._rows = rows
        self._database = rows.database
        self._looking = asyncio.Lock()  # one looks for a resource at a time, or many make a long turn of the loop
        self._loaded = 0  # bytes of large messages, since the last time that the others came first

    async def find(self, wanted: Wanted, limit: int, backwards: bool) -> list[Found]:
        """The first `limit` messages, or backwards the last ones, the last first. Raises StoreError."""
        found: list[Found] = []
        for source in self._sources(wanted, backwards):
            if wanted.full is None:
                found += self._read(wanted, source, limit - len(found), backwards)
                continue
            while len(found) < limit and source.low + 1 < source.high:
                async with self._looking:
                    rows = self._read(wanted, source, CHUNK, backwards)
                    for row in rows:
                        if _is_with(wanted.full, await self.start(row.id, row.stanza)):
                            found.append(row)
                    await asyncio.sleep(0)  # the others first: a resource may not have spoken for years
                if len(rows) < CHUNK:
                    break
                last = rows[-1].id
                source = source._replace(high=last) if backwards else source._replace(low=last)
        return found[:limit]

    def _read(self, wanted: Wanted, source: _Source, limit: int, backwards: bool) -> list[Found]:
        if not limit or source.low + 1 >= source.high:
            return []
        sql = f"SELECT s.id, s.stamp, {DATA} {source.joined} {source.order(backwards)} LIMIT :limit"
        return [Found(*row) for row in self._database.read(sql, _named(wanted, source, limit))]

    async def start(self, row: int, data: bytes | int) -> bytes:
        """The start tag of a message that DATA gives so, its first START bytes at most; none if it has been deleted.

        Lets the others come first when enough has been loaded for it.
        """
        if isinstance(data, int):
            self._loaded += data
            if self._loaded > HEAVY:
                await asyncio.sleep(0)
                self._loaded = data
            rows = self._database.read(f"SELECT substr(stanza, 1, {START}) FROM stanzas WHERE id = ?", (row,))
            data = rows[0][0] if rows else b""
        return data.partition(b">")[0]  # it has been written by us, so that there is none inside

    def count(self, wanted: Wanted) -> int | None:
        """How many messages; None when there are more than COUNTED, or when each would have to be looked at."""
        if wanted.full is not None:
            return None
        number = 0
        for source in self._sources(wanted, backwards=False):
            ((more,),) = self._database.read(
                f"SELECT count(*) FROM (SELECT 1 {source.plain} LIMIT :limit)",
                _named(wanted, source, limit=COUNTED + 1 - number),
            )
            number += more
        return number if number <= COUNTED else None

    def holds(self, archive: int, row: int | None) -> bool:
        """Whether this row is in this archive, and on disk."""
        if row is None or not 0 < row < self._rows.next_id:
            return False
        args = {"archive": archive, "low": row - 1, "high": row + 1}
        return bool(self._database.read(f"SELECT 1 {_STANZAS.format(_OWN)}", args))

    def load(self, row: int) -> bytes | None:
        """The XML of a message; None when it has been deleted meanwhile."""
        rows = self._database.read("SELECT stanza FROM stanzas WHERE id = ?", (row,))
        return rows[0][0] if rows else None

    def since(self, moment: int) -> int:
        """The number of the first row of that moment (milliseconds since 1970) or of a later one, which may be yet to
        come. Stamps never decrease, so it is found by halving: 36 looks, 0.2 ms.
        """
        low, high = 0, self._rows.next_id
        while low < high:
            middle = (low + high) // 2
            rows = self._database.read("SELECT id, stamp FROM stanzas WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
            if not rows or rows[0][1] >= moment:
                high = middle
            else:
                low = rows[0][0] + 1
        return low

    def ends(self, archive: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The first and the last message of an archive, each its row's number and milliseconds since 1970. None when
        there is none. What is not on disk yet counts, too.
        """
        pending = self._rows.pending
        first = self._end(archive, backwards=False) or _any(pending.oldest(), archive)
        last = _any(pending.newest(), archive) or self._end(archive, backwards=True)
        return (first, last) if first and last else None

    def _end(self, archive: int, backwards: bool) -> tuple[int, int] | None:
        wanted = Wanted(archive, 0, self._rows.next_id)
        for source in self._sources(wanted, backwards):
            rows = self._database.read(
                f"SELECT s.id, s.stamp {source.joined} {source.order(backwards)} LIMIT 1",
                _named(wanted, source),
            )
            if rows:
                return rows[0]
        return None

    def _sources(self, wanted: Wanted, backwards: bool) -> list[_Source]:
        """Where the rows are, in their order, or in the opposite one. `folded` is read once: the map may grow while we
        look, but what we found beyond it stays there, too.
        """
        folded, low, high = self._rows.folded, wanted.low, wanted.high
        own = _STANZAS.format(_OWN if wanted.peer is None else _WITH)
        if wanted.ids is not None:
            sources = [_Source(own, own, "s.id", id - 1, id + 1) for id in wanted.ids if low < id < high]
        else:
            places = _PLACES if wanted.peer is None else _PLACES_WITH
            sources = [
                _Source(places.format(""), places.format(_JOIN), "p.id", low, min(high, folded + 1)),
                _Source(own, own, "s.id", max(low, folded), high),
            ]
        return sources[::-1] if backwards else sources


def _named(wanted: Wanted, source: _Source, limit: int = 1) -> dict[str, Any]:
    return {
        "archive": wanted.archive,
        "peer": wanted.peer,
        "low": source.low,
        "high": source.high,
        "limit": limit,
    }


def _is_with(full: Jid, start: bytes) -> bool:
    """Whether it is said to or by this resource: the start tag has `to`, then `from`, neither with a quote inside."""
    to, _, rest = start.removeprefix(b"<message to='").partition(b"' from='")
    return full.wire in (to, rest.partition(b"'")[0])


def _any(groups: Iterable[Group], archive: int) -> tuple[int, int] | None:
    """The first of these rows that is in the archive."""
    for group in groups:
        for sql, row in group:
            if sql is INSERT and archive in (row[SENDER_ARCHIVE], row[RECEIVER_ARCHIVE]):
                return row[ID], row[STAMP]
    return None
