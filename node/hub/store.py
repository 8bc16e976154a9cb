"""What outlives us: three databases behind one writer thread that commits in groups.

The loop never waits for a disk: `write` appends to a list, `committed` is a future. The thread commits what
one turn of the loop wrote, with what came meanwhile, and nothing is called kept before it is synced.
"""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from node.base.path import Path
from node.hub.sqlite import StoreError, connect, in_words, is_fault, lock, open_reader, remember_damage

log = logging.getLogger("hobnode")

INTERVAL = 0.020  # seconds between two commits: a sync costs a card 1-20 ms, and 20 ms is not felt in a chat
GROUP = 32  # writes that are worth a commit at once: waiting for more would save few bytes
LIMIT = 10_000  # writes that may wait, about 10 MB: a card that hangs for half a minute in a busy house
CLOSE_DEADLINE = 10.0  # seconds: less than the patience of systemd (90) and of most people

Statement = tuple[str, Any]  # SQL and its arguments, by position or by name
Waiter = asyncio.Future[None]
Answer = tuple[Waiter, StoreError | None]
# Statements that belong together, or one who waits for all that stands before him.
Op = tuple[Sequence[Statement], Waiter | None]


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
        self._loop = loop
        self._written: list[Database] = []  # in this turn of the loop
        self._turns: deque[list[tuple[Database, list[Op]]]] = deque()  # for the writer: whole turns only
        self._wake = threading.Event()
        self._hurry = threading.Event()  # there is enough for a commit, or we close
        self._given = 0  # ops handed over, counted by the loop
        self._taken = 0  # of these, taken by the writer
        self._closing = False
        self._lock = lock(folder)
        self._databases: list[Database] = []
        try:
            for name in ("accounts", "archive", "things"):
                precious = name == "accounts"
                self._databases.append(Database(folder / f"{name}.db", precious, loop, self._wrote))
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
        self._hurry.set()
        self._wake.set()
        self._thread.join(CLOSE_DEADLINE)
        if self._thread.is_alive():
            waiting = sum(database.waiting for database in self._databases)
            log.error("the disk does not answer: %d writes may be lost", waiting)
        self._release()

    def _release(self) -> None:
        for database in self._databases:
            database.reader.close()
        os.close(self._lock)

    # on the loop

    def _wrote(self, database: "Database") -> None:
        """A database has its first op of this turn."""
        if self._closing:
            raise StoreError("the store is closed")
        if not self._written:
            self._loop.call_soon(self._end_of_turn)
        self._written.append(database)

    def _end_of_turn(self) -> None:
        """Hands over whole turns, so that who waits shares the fate of all that was written in his turn."""
        if not self._written:
            return
        turn = [(database, database.take_turn()) for database in self._written]
        self._written = []
        self._given += sum(len(ops) for _, ops in turn)
        self._turns.append(turn)
        if self._given - self._taken >= GROUP:
            self._hurry.set()
        self._wake.set()

    # on the writer's thread

    def _work(self) -> None:
        due = 0.0
        closing = False
        while not closing:
            self._wake.wait()  # without a timer: an idle store sleeps
            self._hurry.wait(max(0.0, due - time.monotonic()))
            due = time.monotonic() + INTERVAL
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
        answers = [answer for database, turns in batch.items() for answer in database.save(turns)]
        if not answers:
            return
        try:
            self._loop.call_soon_threadsafe(_tell, answers)
        except RuntimeError:  # the loop has ended, and with it those who waited
            log.debug("%d waited for a commit when the loop ended", len(answers))


class Database:
    """One SQLite file with two connections: the loop reads, the writer's thread writes."""

    def __init__(
        self, path: Path, precious: bool, loop: asyncio.AbstractEventLoop, wrote: Callable[["Database"], None]
    ):
        self.path = path
        self.trouble = ""  # why the last commit failed, in words; empty when all is well
        self.reader = open_reader(path, precious)
        self._loop = loop
        self._wrote = wrote
        self._turn: list[Op] = []
        self._asked = 0  # ops, counted by the loop
        self._settled = 0  # of these, committed or lost, counted by the writer
        self._untold: StoreError | None = None  # a loss for which nobody was waiting; set by the writer
        self._writer: sqlite3.Connection | None = None
        self._versions = self._read_versions()

    # on the loop

    def schema(self, feature: str, *migrations: str) -> None:
        """Brings the tables of `feature` up to date by SQL scripts, each run once, in order, all or nothing.

        A script that was released never changes: a new one is added. It blocks: for the start only.
        StoreError if a newer node has written this file, or if a script fails.
        """
        version = self._versions.get(feature, 0)
        if version > len(migrations):
            raise StoreError(
                f"{self.path} was written by a newer hobnode:"
                f" {feature} has version {version}, this one knows {len(migrations)}"
            )
        for number, script in enumerate(migrations[version:], version + 1):
            self._migrate(feature, number, script)

    def read(self, sql: str, args: Any = ()) -> list[tuple]:
        """The rows of a short, indexed query. It blocks the loop, and does not see what is not committed yet.

        StoreError if the disk or the file is at fault; a mistake in the SQL is an sqlite3.Error.
        """
        try:
            return self.reader.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            if not is_fault(error):
                raise
            remember_damage(self.path, error)
            raise in_words(self.path, error) from error

    def write(self, sql: str, args: Any = ()) -> None:
        """Queues a statement. Who must know that it is kept awaits `committed`.

        StoreError if LIMIT writes wait already, and after `close`.
        """
        self._ask(((sql, args),))

    def write_all(self, statements: Iterable[Statement]) -> None:
        """Queues statements of which all are kept or none. StoreError as for `write`."""
        self._ask(tuple(statements))

    def committed(self) -> Waiter:
        """Done when all that was written to this database before the call is on disk; StoreError if not.

        Call it in the turn of the loop that wrote; the future may be awaited later. A loss is told to all who
        ask in the turn that wrote, and if nobody did, to the next who asks.
        """
        waiter = self._loop.create_future()
        if self._asked == self._settled and self._untold is None:
            waiter.set_result(None)
        else:
            self._queue(((), waiter))
        return waiter

    @property
    def waiting(self) -> int:
        """How much was asked for and is neither on disk nor lost."""
        return self._asked - self._settled

    def take_turn(self) -> list[Op]:
        """What was asked for in this turn of the loop."""
        turn, self._turn = self._turn, []
        return turn

    def _ask(self, statements: Sequence[Statement]) -> None:
        if self._asked - self._settled >= LIMIT:
            raise StoreError(f"{self.path.name}: the disk does not keep up, {LIMIT} writes wait for it")
        self._queue((statements, None))

    def _queue(self, op: Op) -> None:
        if not self._turn:
            self._wrote(self)
        self._turn.append(op)
        self._asked += 1

    def _read_versions(self) -> dict[str, int]:
        known = self.read("SELECT 1 FROM sqlite_schema WHERE name = 'versions'")
        return dict(self.read("SELECT feature, version FROM versions")) if known else {}

    def _migrate(self, feature: str, number: int, script: str) -> None:
        name = feature.replace("'", "''")
        self.reader.execute("PRAGMA query_only = OFF")
        try:
            self.reader.executescript(f"""
                BEGIN IMMEDIATE;
                CREATE TABLE IF NOT EXISTS versions (feature TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID;
                {script}
                ;
                INSERT OR REPLACE INTO versions VALUES ('{name}', {number});
                COMMIT""")
        except sqlite3.Error as error:
            if self.reader.in_transaction:
                self.reader.execute("ROLLBACK")
            raise StoreError(f"{self.path}: cannot bring {feature} to version {number}: {error}") from error
        finally:
            self.reader.execute("PRAGMA query_only = ON")
        self._versions[feature] = number

    # on the writer's thread

    def save(self, turns: list[list[Op]]) -> list[Answer]:
        """Commits several turns in one transaction. The answers for all who wait in them."""
        try:
            answers = self._save(turns)
        except Exception as error:  # whatever it was: nothing of it is on disk
            answers = self._lose(turns, error)
        self._settled += sum(map(len, turns))
        return answers

    def _save(self, turns: list[list[Op]]) -> list[Answer]:
        writer = self._writer = self._writer or connect(self.path)
        if not any(statements for turn in turns for statements, _ in turn):
            return [answer for turn in turns for answer in self._run_turn(writer, turn)]
        writer.execute("BEGIN IMMEDIATE")
        answers = [answer for turn in turns for answer in self._run_turn(writer, turn)]
        commit(writer)
        if self.trouble:
            log.warning("%s: writing works again", self.path.name)
            self.trouble = ""
        return answers

    def _run_turn(self, writer: sqlite3.Connection, turn: list[Op]) -> list[Answer]:
        """A statement that fails on its own spares the others. Who waits behind it in its turn is told."""
        answers: list[Answer] = []
        untold = lost = self._untold
        for statements, waiter in turn:
            if waiter:
                answers.append((waiter, lost))
                untold = None
                continue
            try:
                _run(writer, statements)
            except Exception as error:
                if is_fault(error) or not writer.in_transaction:
                    raise
                log.error("%s: %s, in: %s", self.path.name, error, statements[0][0])
                untold = lost = StoreError(f"{self.path.name}: {error}")
        self._untold = untold
        return answers

    def _lose(self, turns: list[list[Op]], error: Exception) -> list[Answer]:
        """Nothing is tried again: after a failed sync nobody knows what is on disk."""
        lost = in_words(self.path, error)
        if self.trouble != str(lost):  # said once, not fifty times a second
            self.trouble = str(lost)
            log.error("%s; nothing is kept until this is mended", lost)
        remember_damage(self.path, error)
        self._untold = lost if any(turn[-1][1] is None for turn in turns) else None
        self._hang_up()
        return [(waiter, lost) for turn in turns for _, waiter in turn if waiter]

    def _hang_up(self) -> None:
        """The next batch opens the file anew: what was opened on a read-only disk would stay read-only."""
        if self._writer is None:
            return
        try:
            self._writer.close()  # rolls back
        except sqlite3.Error as error:
            log.debug("%s: %s", self.path.name, error)
        self._writer = None

    def end(self) -> None:
        """Moves the log into the file, which is then all there is to copy, and closes it.

        SQLite would do so by itself, but on the loop, where no deadline helps against a slow disk.
        """
        try:
            if self._writer:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.warning("%s", in_words(self.path, error))
        self._hang_up()


def _tell(answers: list[Answer]) -> None:
    for waiter, lost in answers:
        if waiter.done():  # he was cancelled
            continue
        if lost:
            waiter.set_exception(lost)
        else:
            waiter.set_result(None)


def _run(writer: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """All or nothing, inside a transaction."""
    if len(statements) == 1:  # SQLite undoes one failed statement itself
        writer.execute(*statements[0])
        return
    writer.execute("SAVEPOINT together")
    try:
        for sql, args in statements:
            writer.execute(sql, args)
    except Exception:
        if writer.in_transaction:
            writer.execute("ROLLBACK TO together")
            writer.execute("RELEASE together")
        raise
    writer.execute("RELEASE together")
