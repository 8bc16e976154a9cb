"""What is in the archives on the disk: pages, ends and moments, without ever looking through a whole archive."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple

from node.base.jid import Jid
from node.features.archive.pending import Group
from node.features.archive.rows import ID, INSERT, RECEIVER_ARCHIVE, SENDER_ARCHIVE, STAMP, Rows

CHUNK = 500  # messages looked at for one resource in one turn of the loop: 1 ms
INLINE = 4096  # bytes: a larger message is loaded when there is room for it in the page
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
_BLOB = f"CASE WHEN length(s.stanza) <= {INLINE} THEN s.stanza ELSE length(s.stanza) END"
# The start tag has been written by us: `to`, then `from`, neither with a quote inside.
_TO_OR_FROM = "(substr(s.stanza, 1, length(:to)) = :to OR instr(s.stanza, :from) = instr(s.stanza, :any))"


class Reader:
    def __init__(self, rows: Rows):
        self._rows = rows
        self._database = rows.database

    async def find(self, wanted: Wanted, limit: int, backwards: bool) -> list[Found]:
        """The first `limit` messages, or backwards the last ones, the last first. Raises StoreError."""
        found: list[Found] = []
        what = _BLOB if wanted.full is None else f"CASE WHEN {_TO_OR_FROM} THEN {_BLOB} END"
        for source in self._sources(wanted, backwards):
            low, high = source.low, source.high
            while len(found) < limit and low + 1 < high:
                asked = limit - len(found) if wanted.full is None else CHUNK
                rows = self._database.read(
                    f"SELECT s.id, s.stamp, {what} {source.joined} {source.order(backwards)} LIMIT :limit",
                    _named(wanted, low, high, limit=asked),
                )
                found += [Found(*row) for row in rows if row[2] is not None]
                if len(rows) < asked or wanted.full is None:
                    break
                low, high = (low, rows[-1][0]) if backwards else (rows[-1][0], high)
                await asyncio.sleep(0)  # the others first: a resource may not have spoken for years
        return found[:limit]

    def count(self, wanted: Wanted) -> int | None:
        """How many messages; None when there are more than COUNTED, or when each would have to be looked at."""
        if wanted.full is not None:
            return None
        number = 0
        for source in self._sources(wanted, backwards=False):
            ((more,),) = self._database.read(
                f"SELECT count(*) FROM (SELECT 1 {source.plain} LIMIT :limit)",
                _named(wanted, source.low, source.high, limit=COUNTED + 1 - number),
            )
            number += more
        return number if number <= COUNTED else None

    def holds(self, archive: int, row: int | None) -> bool:
        """Whether this row is in this archive, and on disk."""
        if row is None or not 0 < row < self._rows.next_id:
            return False
        wanted = Wanted(archive, row - 1, row + 1)
        return bool(self._database.read(f"SELECT 1 {_STANZAS.format(_OWN)}", _named(wanted, row - 1, row + 1)))

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
                _named(wanted, source.low, source.high),
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


def _named(wanted: Wanted, low: int, high: int, limit: int = 1) -> dict[str, Any]:
    args: dict[str, Any] = {"archive": wanted.archive, "peer": wanted.peer, "low": low, "high": high, "limit": limit}
    if wanted.full is not None:
        args |= {
            "to": b"<message to='%b'" % wanted.full.wire,
            "from": b"' from='%b'" % wanted.full.wire,
            "any": b"' from='",
        }
    return args


def _any(groups: Iterable[Group], archive: int) -> tuple[int, int] | None:
    """The first of these rows that is in the archive."""
    for group in groups:
        for sql, row in group:
            if sql is INSERT and archive in (row[SENDER_ARCHIVE], row[RECEIVER_ARCHIVE]):
                return row[ID], row[STAMP]
    return None
