"""Addresses as small numbers: a conversation of a thousand messages spells two addresses once."""

from collections.abc import Callable

from node.base.jid import Jid
from node.features.archive.pending import Pending
from node.hub.database import Database

CACHE_LIMIT = 2048  # addresses, 0.5 MiB; a family writes to some hundred, a flood of strangers only empties the cache


class Numbers:
    """The table `name` (id, jid) of archive.db. Numbers are never used twice.

    `after` makes the first number of this run of the node from the last one that the disk knows.
    """

    def __init__(self, database: Database, pending: Pending, name: str, after: Callable[[int], int]):
        self._database = database
        self._pending = pending
        self._find = f"SELECT id FROM {name} WHERE jid = ?"
        self._insert = f"INSERT OR IGNORE INTO {name} VALUES (?, ?)"
        self._next = after(database.read(f"SELECT max(id) FROM {name}")[0][0] or 0)
        self._known: dict[Jid, int] = {}
        self._fresh: dict[Jid, int] = {}  # not to be read from the disk yet
        self._gone: set[int] = set()  # of addresses that have another number now, or none

    def get(self, jid: Jid) -> int | None:
        """The number of an address (bare); None when it has none."""
        number = self._known.get(jid)
        if number is None:
            number = self._fresh.get(jid)
            if number is None:
                rows = self._database.read(self._find, (jid,))
                if not rows or rows[0][0] in self._gone:
                    return None
                number = rows[0][0]
            self._remember(jid, number)
        return number

    def make(self, jid: Jid) -> int:
        """The number of an address (bare), a new one if need be. Raises StoreError."""
        number = self._known.get(jid) or self.get(jid)
        if number is None:
            number = self._next
            self._pending.write((self._insert, (number, jid)))
            self._next += 1
            self._fresh[jid] = number
            self._remember(jid, number)
        return number

    def settled(self, sql: str, args) -> bool:
        """Whether this is one of ours, which is on disk now."""
        if sql is not self._insert:
            return False
        self._fresh.pop(args[1], None)
        return True

    def forget(self, jid: Jid, number: int) -> None:
        """This address has that number no more; the caller writes so."""
        self._gone.add(number)
        self._known.pop(jid, None)
        self._fresh.pop(jid, None)

    def _remember(self, jid: Jid, number: int) -> None:
        if len(self._known) >= CACHE_LIMIT:
            self._known.clear()
        self._known[jid] = number
