"""XEP-0198 §4: what of a stream has been handled: two counters, and the queue of what the peer has not acked.

No socket and no clock: what time it is, and what is on disk, is said by who knows (ports/client/management.py).
Inside, counters grow for ever; on the wire they begin anew at 2^32.
"""

from typing import NamedTuple

from node.base.stanza import Stanza

WRAP = 1 << 32  # §4: after 2^32 - 1 comes 0

NEVER = 1 << 62  # the turn of what waits for something else than the disk


class Unacked(NamedTuple):
    """A stanza that was sent, its size in bytes, when (Unix time), and what its owner wants to know of it."""

    stanza: Stanza
    size: int
    stamp: float
    note: int = 0


class Sent:
    """What the peer was sent: how much of it is acked, and the rest, the oldest first."""

    __slots__ = ("acked", "on_line", "queue", "size")

    def __init__(self, acked: int = 0):
        self.acked = acked  # stanzas that the peer has handled
        self.queue: list[Unacked] = []  # not a deque, which takes 0.6 KiB when it is empty
        self.size = 0  # bytes in the queue
        self.on_line = 0  # when the line was cut, this many of the queue had been written to it

    @property
    def count(self) -> int:
        """All that was sent."""
        return self.acked + len(self.queue)

    def add(self, stanza: Stanza, size: int, stamp: float, note: int = 0) -> None:
        self.queue.append(Unacked(stanza, size, stamp, note))
        self.size += size

    def more(self, h: int) -> int:
        """How many more stanzas this h acks: below 0 if it takes back, above the queue's length if it is too high."""
        more = (h - self.acked) % WRAP
        return more if more < WRAP // 2 else more - WRAP

    def ack(self, more: int) -> None:
        """The peer has handled that many more of the queue."""
        self.size -= sum(entry.size for entry in self.queue[:more])
        del self.queue[:more]
        self.acked += more
        self.on_line = max(0, self.on_line - more)

    def compact(self) -> None:
        """Of what has not been on the line, only the last presence of each sender stays: nobody has counted them."""
        kept = []
        seen = set()
        for entry in reversed(self.queue[self.on_line :]):
            stanza = entry.stanza
            if stanza.name == "presence" and stanza.type in (None, "unavailable"):
                if stanza.sender in seen:
                    continue
                seen.add(stanza.sender)
            kept.append(entry)
        self.queue[self.on_line :] = reversed(kept)
        self.size = sum(entry.size for entry in self.queue)


class Handled:
    """How many of the peer's stanzas are handled. As that is said by one number, it stops at the first that is not.

    What has changed something waits for the disk: for the turn in which it was written (hub/store).
    """

    __slots__ = ("_open", "count", "note")

    def __init__(self, count: int = 0):
        self.count = count
        self.note = 0  # of the last one that had to wait
        self._open: list[list[int]] = []  # turns, how many stanzas wait for each, and the note of the last

    @property
    def received(self) -> int:
        """All that has come, handled or not."""
        return self.count + sum(each[1] for each in self._open)

    @property
    def settled(self) -> bool:
        """Whether all that has come is handled."""
        return not self._open

    def handle(self) -> None:
        """One more has come, and is done with."""
        if self._open:
            self._open[-1][1] += 1
        else:
            self.count += 1

    def owe(self, turn: int, note: int = 0) -> list[int]:
        """One more has come, and is handled when that turn is safe. Who gives NEVER lowers it by `done`."""
        if turn != NEVER and self._open and self._open[-1][0] == turn:
            self._open[-1][1] += 1
            self._open[-1][2] = note
        else:
            self._open.append([turn, 1, note])
        return self._open[-1]

    @staticmethod
    def done(owed: list[int]) -> None:
        """What `owe(NEVER)` gave is done with."""
        owed[0] = 0

    def settle(self, safe: int) -> bool:
        """All turns up to `safe` are safe. Whether more are handled by that."""
        before = self.count
        while self._open and self._open[0][0] <= safe:
            _, stanzas, note = self._open.pop(0)
            self.count += stanzas
            self.note = note or self.note
        return self.count != before
