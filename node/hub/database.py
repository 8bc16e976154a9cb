"""One SQLite file with two connections: the loop reads, the writer's thread writes."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from node.base.path import Path
from node.hub import schema
from node.hub.sqlite import StoreError, connect, in_words, is_fault, open_reader, remember_damage

if TYPE_CHECKING:
    from node.hub.store import Store

log = logging.getLogger("hobnode")

LIMIT = 10_000  # writes that may wait, about 10 MB: a card that hangs for half a minute in a busy house

Statement = tuple[str, Any]  # SQL and its arguments, by position or by name
Waiter = asyncio.Future[None]
Answer = tuple[Waiter, StoreError | None]
Commit = Callable[[sqlite3.Connection], None]  # returns when the transaction is on disk
Listener = Callable[[StoreError], bool]
# Statements that belong together, or one who waits for all that stands before him.
Op = tuple[Sequence[Statement], Waiter | None]


class Database:
    """One SQLite file with two connections: the loop reads, the writer's thread writes."""

    def __init__(self, path: Path, precious: bool, loop: asyncio.AbstractEventLoop, store: "Store"):
        self.path = path
        self.trouble = ""  # why the last commit failed, in words; empty when all is well
        self.owed = 0  # the first turn whose loss somebody has promised to make good; 0 if there is none
        self.reader = open_reader(path, precious)
        self._loop = loop
        self._store = store
        self._listener: Listener | None = None
        self._turn: list[Op] = []
        self._asked = 0  # ops, counted by the loop
        self._settled = 0  # of these, committed or lost, counted by the writer
        self._writer: sqlite3.Connection | None = None

    # on the loop

    def schema(self, feature: str, *migrations: str) -> None:
        """Brings the tables of `feature` up to date by SQL scripts, each run once, in order, all or nothing.

        A script that was released never changes: a new one is added. It blocks: for the start only.
        StoreError if a newer node has written this file, or if a script fails.
        """
        schema.grow(self.path, self.reader, feature, migrations)

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

    def committed(self, hurry: bool = True) -> Waiter:
        """Done when all that was written to this database before the call is on disk; StoreError if not.

        Call it in the turn of the loop that wrote: who asks later has lost nothing himself. The future may be
        awaited later. Without `hurry` it may take PATIENCE: for those who only want to hear of a loss.
        """
        waiter = self._loop.create_future()
        if self._asked == self._settled:
            waiter.set_result(None)
        else:
            self._queue(((), waiter))
            if hurry:
                self._store.hurry()
        return waiter

    def on_loss(self, listener: Listener) -> None:
        """Calls `listener(error)` on the loop when a commit with writes to this database has failed.

        If it returns True it will write again what was lost, and until it calls `made_good` nothing is safe
        from the first lost turn on. One listener; of a statement that fails by itself it does not hear,
        since that would fail again.
        """
        assert self._listener is None
        self._listener = listener

    def made_good(self) -> None:
        """From the listener: all that was lost is on disk now."""
        self.owed = 0
        self._store.advance()

    def lost(self, error: StoreError, turn: int) -> None:
        """From the store: a commit of this turn, and maybe of some behind it, has failed."""
        if self._listener and self._listener(error):
            self.owed = self.owed or turn

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
        self._store.writes += 1

    def _queue(self, op: Op) -> None:
        if not self._turn:
            self._store.wrote(self)
        self._turn.append(op)
        self._asked += 1

    # on the writer's thread

    def save(self, turns: list[list[Op]], commit: Commit) -> tuple[list[Answer], StoreError | None]:
        """Commits several turns in one transaction. The answers for all who wait, and why all writes are lost."""
        loss = None
        try:
            answers = self._save(turns, commit)
        except Exception as error:  # whatever it was: nothing of it is on disk
            lost = self._lose(error)
            loss = lost if _writes_anything(turns) else None
            answers = [(waiter, lost) for turn in turns for _, waiter in turn if waiter]
        self._settled += sum(map(len, turns))
        return answers, loss

    def _save(self, turns: list[list[Op]], commit: Commit) -> list[Answer]:
        writer = self._writer = self._writer or connect(self.path)
        if not _writes_anything(turns):
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
        lost = None
        for statements, waiter in turn:
            if waiter:
                answers.append((waiter, lost))
                continue
            try:
                _run(writer, statements)
            except Exception as error:
                if is_fault(error) or not writer.in_transaction:
                    raise
                log.error("%s: %s, in: %s", self.path.name, error, statements[0][0])
                lost = StoreError(f"{self.path.name}: {error}")
        return answers

    def _lose(self, error: Exception) -> StoreError:
        """Nothing is tried again: after a failed sync nobody knows what is on disk."""
        lost = in_words(self.path, error)
        if self.trouble != str(lost):  # said once, not fifty times a second
            self.trouble = str(lost)
            log.error("%s; nothing is kept until this is mended", lost)
        remember_damage(self.path, error)
        self._hang_up()
        return lost

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


def _writes_anything(turns: list[list[Op]]) -> bool:
    return any(statements for turn in turns for statements, _ in turn)


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
