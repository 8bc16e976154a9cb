"""How long messages are kept, and how much of them: the oldest go first, so that there are no holes.

In small batches, when nobody writes: a batch costs the card some 200 KB, and whoever writes waits for none. What is
left of an account that was removed goes likewise, at once; nobody can read it any more from that moment on.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import Any

from node.base.clock import Judge
from node.base.jid import Jid
from node.features.archive.reading import Reader
from node.features.archive.rows import Rows
from node.hub.hub import Hub
from node.hub.store import StoreError

log = logging.getLogger("hobnode")

INTERVAL = 3600  # seconds between two looks, and to the first: by then a machine without a clock has been told the time
QUIET = 300  # seconds without a message: a good moment
PATIENCE = 86400  # seconds: after a day without a good moment any will do
BATCH = 200  # messages
PAUSE = 1.0  # seconds between batches: a year's archive goes in an hour
FREE = 0.25  # part of the file that may be empty: it fills again. Beyond that somebody has asked for a smaller one
STEPS = 64  # pages given back at once
DAY = 86_400_000  # milliseconds
MEGABYTE = 1 << 20

# The oldest rows, up to one.
_OWNED = " UNION ALL ".join(
    f"SELECT {mine}_archive, id FROM stanzas WHERE id <= :last AND {mine}_archive IS NOT NULL"
    for mine in ("sender", "receiver")
)
_DELETE = (
    f"DELETE FROM places WHERE (archive, id) IN ({_OWNED})",
    "DELETE FROM stanzas WHERE id <= :last",
)
# Those of one archive, up to a row; and those that are not in the map yet.
_MINE = "id IN (SELECT id FROM places WHERE archive = :archive AND id <= :last)"
_NEW = "id > :folded"
_NOBODYS = "sender_archive IS NULL AND receiver_archive IS NULL"
_EMPTY, _EMPTY_NEW = (
    (
        f"UPDATE stanzas SET sender_archive = NULL WHERE sender_archive = :archive AND {which}",
        f"UPDATE stanzas SET receiver_archive = NULL WHERE receiver_archive = :archive AND {which}",
        f"DELETE FROM stanzas WHERE {_NOBODYS} AND {which}",
    )
    for which in (_MINE, _NEW)
)
_FORGET = "DELETE FROM places WHERE archive = :archive AND id <= :last"
# The numbers of what is deleted are not given again.
_REMEMBER = "UPDATE archive_state SET deleted = max(deleted, :last)"


class Retention:
    def __init__(self, hub: Hub, rows: Rows, reader: Reader, keep_days: int, megabytes: int):
        self.hub = hub
        self.rows = rows
        self.reader = reader
        self.database = rows.database
        self.keep = keep_days * DAY
        self.size = megabytes * MEGABYTE
        self.judge = Judge()
        self.worked = hub.loop.time()
        self.timer: asyncio.TimerHandle | None = None
        self.tasks: set[asyncio.Task] = set()

    def setup(self) -> None:
        self.hub.on("removed", self.remove)
        self.hub.on("stopping", self.stop)
        self.timer = self.hub.loop.call_later(INTERVAL, self.look)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        for task in self.tasks:
            task.cancel()

    def look(self) -> None:
        """Once an hour: is it a good moment?"""
        self.timer = self.hub.loop.call_later(INTERVAL, self.look)
        silence = time.time() * 1000 - self.rows.stamp
        if silence > QUIET * 1000 or self.hub.loop.time() - self.worked > PATIENCE:
            self.worked = self.hub.loop.time()
            self._begin(self.work())

    def remove(self, owner: Jid) -> None:
        """The account is gone. Whoever gets its name has another archive, from this moment on."""
        archive = self.rows.archives.get(owner)
        if archive is not None:
            self.rows.archives.forget(owner, archive)
            self.rows.pending.write(("UPDATE archives SET jid = NULL WHERE id = ?", (archive,)))
            self._begin(self.empty(archive))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.hub.spawn(work, "archive retention")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def work(self) -> None:
        """Does all that is to do. What it does not come to is done the next time."""
        try:
            for (archive,) in self.database.read("SELECT id FROM archives WHERE jid IS NULL"):
                await self.empty(archive)
            await self.purge()
            await self.shrink()
        except StoreError as error:
            log.debug("the archive is not purged now: %s", error)

    async def purge(self) -> None:
        """Deletes what is too old or too much."""
        now = int(time.time() * 1000)
        # A clock that is behind the newest message is wrong, or was when that came: nothing is judged by it (R6).
        right = now >= self.rows.stamp and self.judge.may(now / 1000, self.hub.loop.time(), self._has)
        old = self.reader.since(now - self.keep) if self.keep and right else 0
        while batch := self.database.read("SELECT id FROM stanzas ORDER BY id LIMIT ?", (BATCH,)):
            rows = [row for (row,) in batch if row < old]
            if self.size and self._used() > self.size:
                rows = [row for (row,) in batch]
            if not rows:
                return
            await self._write(_DELETE, {"last": rows[-1]})

    async def empty(self, archive: int) -> None:
        """Deletes all of an archive; what was said between two people stays in that of the other."""
        await self.database.committed()  # all that is in it can be seen now
        new = {"archive": archive, "folded": self.rows.folded, "last": self.rows.next_id - 1}
        mine = ":archive IN (sender_archive, receiver_archive)"
        if self.database.read(f"SELECT 1 FROM stanzas WHERE {_NEW} AND {mine} LIMIT 1", new):
            await self._write(_EMPTY_NEW, new)
        some = "SELECT id FROM places WHERE archive = ? ORDER BY id LIMIT ?"
        while batch := self.database.read(some, (archive, BATCH)):
            await self._write((*_EMPTY, _FORGET), {"archive": archive, "last": batch[-1][0]})

    async def shrink(self) -> None:
        """Gives back to the disk what is not going to be filled soon."""
        while self._pragma("freelist_count") > max(FREE * self._pragma("page_count"), STEPS):
            self.rows.pending.write(*[("PRAGMA incremental_vacuum(1)", ())] * STEPS)  # a step is all that is run of it
            await self.database.committed(hurry=False)
            await asyncio.sleep(PAUSE)

    async def _write(self, statements: Iterable[str], args: dict[str, int]) -> None:
        self.rows.pending.write(*((sql, args) for sql in (*statements, _REMEMBER)))
        await self.database.committed(hurry=False)
        await asyncio.sleep(PAUSE)

    def _has(self, begin: float, end: float) -> bool:
        """Whether there is a message of this time."""
        first = self.reader.since(int(begin * 1000))  # as far as the disk knew then: more may get there at any moment
        rows = self.database.read("SELECT stamp FROM stanzas WHERE id >= ? ORDER BY id LIMIT 1", (first,))
        return bool(rows) and begin * 1000 <= rows[0][0] < end * 1000

    def _used(self) -> int:
        """Bytes of the file that are in use."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        ((value,),) = self.database.read(f"PRAGMA {name}")
        return value
