"""Many equal deadlines with one timer: the oldest is always the next to fall due."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

log = logging.getLogger(__name__)


class Deadlines:
    """Tells of each key that was not discarded in time.

    `expired(key)` is called once per key, `seconds` after it was added, in the order of adding. All keys
    wait equally long, so the order of adding is the order of falling due, and one timer serves thousands
    of sessions; `add` and `discard` cost the same however many there are. The time is the loop's.
    """

    __slots__ = ("_due", "_expired", "_loop", "_seconds", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[Any], object]):
        self._loop = loop
        self._seconds = seconds
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        # An OrderedDict because its oldest key is found at once; a dict searches past all that were deleted.
        self._due: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: Hashable) -> None:
        """Starts the time of this key; starts it anew if it was running."""
        self._due[key] = self._loop.time() + self._seconds
        self._due.move_to_end(key)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._ring)

    def discard(self, key: Hashable) -> None:
        """Forgets this key. Nothing happens if it is not there."""
        # The timer stays: when it rings it looks which key is the oldest now.
        self._due.pop(key, None)

    def close(self) -> None:
        """Forgets everything."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        now = self._loop.time()
        while self._due:
            key, due = next(iter(self._due.items()))
            if due > now:
                self._timer = self._loop.call_at(due, self._ring)
                return
            del self._due[key]
            try:
                self._expired(key)
            except Exception:
                log.exception("what follows a deadline failed")  # the other keys are not to suffer
        self._timer = None
