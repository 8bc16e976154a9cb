"""What outlives us: three databases behind one writer thread that commits in groups.

The loop never waits for a disk: `write` appends to a list, `committed` is a future. The thread commits what
one turn of the loop wrote, with what came meanwhile, and nothing is called kept before it is synced.

Turns in which something was written are numbered, so that who owes acknowledgements for thousands of stanzas
needs no future for each: he notes `turn` where `writes` has grown, and may acknowledge all up to `safe`.
"""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable

from node.base.path import Path
from node.hub.database import Answer, Database, Op
from node.hub.sqlite import StoreError, lock

log = logging.getLogger("hobnode")

INTERVAL = 0.020  # seconds between two commits: a sync costs a card 1-20 ms, and 20 ms is not felt in a chat
PATIENCE = 0.5  # seconds that writes gather while only acks wait, which nobody feels: 2 KB a message, not 6
GROUP = 32  # writes that are worth a commit at once: waiting for more would save few bytes
BEHIND = 256  # writes that wait for the disk: who writes more waits with them; at 10,000 a second that is one commit
CLOSE_DEADLINE = 10.0  # seconds: less than the patience of systemd (90) and of most people


def commit(connection: sqlite3.Connection) -> None:
    """Returns when the transaction is on disk. The one place that waits for the disk."""
    connection.execute("COMMIT")


class Store:
    """The databases `accounts`, `archive` and `things`: apart, so that damage in one spares the others.

    `folder` is made if it is absent. One process at a time may have it: StoreError if another one does, or if
    the accounts are damaged; a damaged archive.db or things.db is moved aside. Everything public belongs to
    the thread of `loop`. A command uses a store inside `asyncio.run`, with `contextlib.closing`.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop):
        self.writes = 0  # asked for since the start, in all three
        self.turn = 1  # of the loop: the one whose writes are being collected
        self.safe = 0  # what was written up to this turn is on disk, or its loss has been answered for
        self._loop = loop
        self._written: list[Database] = []  # in this turn of the loop
        self._hurried = False  # in this turn somebody waits who feels it
        self._turns: deque[list[tuple[Database, list[Op]]]] = deque()  # for the writer: whole turns only
        self._wake = threading.Event()
        self._hurry = threading.Event()  # somebody waits who feels it
        self._full = threading.Event()  # there is enough for a commit, or we close
        self._given = 0  # ops handed over, counted by the loop
        self._taken = 0  # of these, taken by the writer
        self._saved = 0  # turns that the writer has dealt with, counted by the writer
        self._told = 0  # of these, heard of by the loop
        self._cautious: deque[tuple[int, Callable[[], object]]] = deque()  # who waits for which turn to be safe
        self._held: list[Callable[[], object]] = []  # who is to write no more until the disk has caught up
        self._closing = False
        self._lock = lock(folder)
        self._databases: list[Database] = []
        try:
            for name in ("accounts", "archive", "things"):
                precious = name == "accounts"
                self._databases.append(Database(folder / f"{name}.db", precious, loop, self))
        except StoreError:
            self._release()
            raise
        self.accounts, self.archive, self.things = self._databases
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commits the rest and closes the files. Blocks, for CLOSE_DEADLINE at most. Once is enough."""
        if self._closing:
            return
        self._end_of_turn()
        self._closing = True
        self._full.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(CLOSE_DEADLINE)
        if self._thread.is_alive():
            log.error("the disk does not answer: %d writes may be lost", self._waiting)
        self._release()

    def _release(self) -> None:
        for database in self._databases:
            database.reader.close()
        os.close(self._lock)

    # on the loop

    def when_safe(self, callback: Callable[[], object]) -> None:
        """Calls `callback()` once, on the loop, when all that was written so far is safe; never before we return.

        Who had to answer for a loss was told first. After `close` there is no such call any more.
        """
        last = self.turn if self._written else self.turn - 1
        if last <= self.safe:
            self._loop.call_soon(callback)
        else:
            self._cautious.append((last, callback))

    def holds_back(self, callback: Callable[[], object]) -> bool:
        """Whether so much waits for the disk that who has just written should read no more from whoever made him.

        Then `callback()` is called when the disk has caught up, or has failed.
        """
        if self._waiting < BEHIND:
            return False
        self._held.append(callback)
        return True

    @property
    def _waiting(self) -> int:
        return sum(database.waiting for database in self._databases)

    def wrote(self, database: Database) -> None:
        """From a database: it has its first op of this turn. StoreError after `close`."""
        if self._closing:
            raise StoreError("the store is closed")
        if not self._written:
            self._loop.call_soon(self._end_of_turn)
        self._written.append(database)

    def hurry(self) -> None:
        """Somebody who feels it waits for what has been written up to now."""
        if self._written:
            self._hurried = True
        else:
            self._hurry.set()

    def advance(self) -> None:
        """From a database, too: what kept turns from being safe may be gone."""
        self.safe = min([self._told, *(database.owed - 1 for database in self._databases if database.owed)])
        while self._cautious and self._cautious[0][0] <= self.safe:
            self._loop.call_soon(self._cautious.popleft()[1])

    def _end_of_turn(self) -> None:
        """Hands over whole turns, so that who waits shares the fate of all that was written in his turn."""
        if not self._written:
            return
        turn = [(database, database.take_turn()) for database in self._written]
        self._written = []
        self._given += sum(len(ops) for _, ops in turn)
        self._turns.append(turn)
        self.turn += 1
        if self._given - self._taken >= GROUP:
            self._full.set()
            self._hurry.set()
        if self._hurried:
            self._hurried = False
            self._hurry.set()
        self._wake.set()

    def _tell(self, saved: int, answers: list[Answer], losses: list[tuple[Database, StoreError]]) -> None:
        """From the writer: it has dealt with all turns up to this one."""
        unsafe, self._told = self._told + 1, saved
        for waiter, lost in answers:
            if waiter.done():  # he was cancelled
                continue
            if lost:
                waiter.set_exception(lost)
            else:
                waiter.set_result(None)
        self._loop.call_soon(self.advance)  # behind those who now answer for a loss
        for database, error in losses:
            database.lost(error, unsafe)
        if self._held and self._waiting < BEHIND:
            held, self._held = self._held, []
            for callback in held:
                self._loop.call_soon(callback)

    # on the writer's thread

    def _work(self) -> None:
        due = 0.0
        closing = False
        while not closing:
            self._wake.wait()  # without a timer: an idle store sleeps
            self._hurry.wait(PATIENCE)
            self._full.wait(max(0.0, due - time.monotonic()))
            due = time.monotonic() + INTERVAL
            self._full.clear()
            self._hurry.clear()
            self._wake.clear()
            closing = self._closing  # looked at before the turns are taken: no turn comes after it
            self._save()
        for database in self._databases:
            database.end()

    def _save(self) -> None:
        batch: dict[Database, list[list[Op]]] = {}
        while self._turns:
            for database, ops in self._turns.popleft():
                batch.setdefault(database, []).append(ops)
                self._taken += len(ops)
            self._saved += 1
        if not batch:
            return
        answers: list[Answer] = []
        losses = []
        # The archive last: what is there is not taken a second time (D6), so all else that came of it has to be there.
        for database in sorted(batch, key=lambda database: database is self.archive):
            told, loss = database.save(batch[database], commit)
            answers += told
            if loss:
                losses.append((database, loss))
        try:
            self._loop.call_soon_threadsafe(self._tell, self._saved, answers, losses)
        except RuntimeError:  # the loop has ended, and with it those who waited
            log.debug("%d waited for a commit when the loop ended", len(answers))
