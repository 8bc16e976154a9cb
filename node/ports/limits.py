"""[limits]: how much a client may send, in bytes per second on average, held by not reading on (security: L13)."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

BURST = 10  # seconds of the average in one go: the roster, presences and queries of a login


@dataclass(frozen=True, slots=True)
class Options:
    """`[limits]`."""

    rate: int = 65536  # bytes per second of one client session; half a megabit leaves room on any line. 0: no limit

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError("rate must be a number of bytes per second, or 0 for no limit")


class Line(Protocol):
    """What can be made to wait."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Throttle:
    """The allowance of one session; it has a timer only while it makes somebody wait."""

    __slots__ = ("_allowance", "_loop", "_rate", "_since")

    def __init__(self, rate: int, loop: asyncio.AbstractEventLoop):
        self._rate = rate
        self._loop = loop
        self._allowance: float = rate * BURST
        self._since = loop.time()

    def spend(self, size: int, line: Line) -> None:
        """Takes `size` bytes from the allowance; when it is used up, `line` waits until it is not."""
        now = self._loop.time()
        rate = self._rate
        self._allowance = min(self._allowance + (now - self._since) * rate, rate * BURST) - size
        self._since = now
        if self._allowance < 0:
            line.pause()
            self._loop.call_later(-self._allowance / rate, line.resume)
