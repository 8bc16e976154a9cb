"""What is not on disk yet stays in memory, and is written again when a commit has failed (D1, R4).

So a message that was taken on is lost by a power cut only, and then nobody has acknowledged it: the store calls
nothing safe before it is on disk after all.
"""

import logging
from asyncio import Future, TimerHandle
from collections import deque
from collections.abc import Callable, Sequence

from node.hub.database import Statement
from node.hub.hub import Hub
from node.hub.store import StoreError

log = logging.getLogger("hobnode")

LIMIT = 4000  # groups of statements: who writes faster than the disk is held back long before (hub/store.BEHIND), and
BYTES_LIMIT = 4 << 20  # of messages in them: some minutes of a busy house, for somebody to make room on the disk
AGAIN = 3.0  # seconds until what was lost is tried again: a full disk does not get free sooner

Group = Sequence[Statement]


class _Turn:
    """What was written in one turn of the loop."""

    __slots__ = ("bytes", "groups", "number")

    def __init__(self, number: int):
        self.number = number
        self.groups: list[Group] = []
        self.bytes = 0


class Pending:
    """The writes to archive.db. Every statement is one that may run twice, and in vain.

    `settled` is told the groups of statements that are on disk now, in order.
    """

    def __init__(self, hub: Hub, settled: Callable[[list[Group]], None]):
        self.lost = False  # something is neither on disk nor on its way there
        self._store = hub.store
        self._database = hub.store.archive
        self._loop = hub.loop
        self._settled = settled
        self._turns: deque[_Turn] = deque()
        self._turn = 0
        self._groups = 0
        self._bytes = 0
        self._losses = 0
        self._timer: TimerHandle | None = None
        self._database.on_loss(self._lose)
        hub.on("stopping", self.stop)

    @property
    def full(self) -> bool:
        """Whether nothing more may be taken on until something is on disk."""
        return self._groups >= LIMIT or self._bytes >= BYTES_LIMIT

    def write(self, *group: Statement, size: int = 0) -> None:
        """Queues statements of which all are kept or none; `size` is their part of BYTES_LIMIT. Raises StoreError.

        What is changed in a list of arguments before the end of this turn of the loop is written so.
        """
        self._database.write_all(group)
        number = self._store.turn
        if number != self._turn:
            self._turn = number
            self._turns.append(_Turn(number))
            self._store.when_safe(self._settle)
        turn = self._turns[-1]
        turn.groups.append(group)
        turn.bytes += size
        self._groups += 1
        self._bytes += size

    def newest(self):
        """All groups that are not on disk yet, the last one first."""
        for turn in reversed(self._turns):
            yield from reversed(turn.groups)

    def oldest(self):
        """The same in the order in which they were written."""
        for turn in self._turns:
            yield from turn.groups

    def stop(self) -> None:
        """The node stops: a last try, while the store is open."""
        if self._timer is not None:
            self._timer.cancel()
            self._again()

    def _settle(self) -> None:
        while self._turns and self._turns[0].number <= self._store.safe:
            turn = self._turns.popleft()
            self._groups -= len(turn.groups)
            self._bytes -= turn.bytes
            self._settled(turn.groups)

    # When a commit has failed

    def _lose(self, error: StoreError) -> bool:
        """Which turns it was about nobody says: all that is not safe is written again."""
        if not self._turns:
            return False
        if not self.lost:
            log.warning("archive.db: %d writes wait in memory until they can be kept", self._groups)
        self.lost = True
        self._losses += 1
        self._later()
        return True

    def _later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(AGAIN, self._again)

    def _again(self) -> None:
        self._timer = None
        try:
            for group in self.oldest():
                self._database.write_all(group)
        except StoreError as error:  # the queue is full, or it is closed
            log.debug("not tried again now: %s", error)
            self._later()
            return
        losses = self._losses
        self._database.committed().add_done_callback(lambda commit: self._tried(commit, losses))

    def _tried(self, commit: "Future[None]", losses: int) -> None:
        if commit.cancelled() or commit.exception() is not None or losses != self._losses:
            self._later()
            return
        self.lost = False
        self._database.made_good()
