"""Gives memory back when a crowd has left: for a node that runs for months a peak is not to last for ever."""

import asyncio
import gc
import logging

log = logging.getLogger(__name__)

CROWD = 50  # connections; what fewer leave behind, less than a MiB, the next ones use
PAUSE = 20.0  # seconds after the first of them; a network that was away for a moment brings them back before


class Crowd:
    """`count` is told how many connections there are, whenever that changes."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._most = self._now = 0
        self._timer: asyncio.TimerHandle | None = None

    def count(self, now: int) -> None:
        self._now = now
        self._most = max(self._most, now)
        if self._most - now >= CROWD and self._timer is None:
            self._timer = self._loop.call_later(PAUSE, self._gone)

    def _gone(self) -> None:
        self._timer = None
        if self._most - self._now >= CROWD:
            self._most = self._now
            give_back()


def give_back() -> None:
    """Lets the C library return what it keeps for the next time (1000 TLS sessions: 13 MiB). Takes some 20 ms."""
    import ctypes  # 0.3 MiB, and a process that never saw a crowd is spared it

    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError) as error:  # musl has no such function
        log.debug("memory stays where it is: %s", error)
