"""Lines from a serial port: each is brought to its reader, noise is counted, and silence is noticed."""

import asyncio
from collections.abc import Callable
from typing import Any

from node.net.grumble import Grumble
from node.net.lines import Lines
from node.net.tty import Tty, TtyError

TEXT = 60  # characters of noise in our log


class TtyLines:
    """The port at `path`, at which somebody speaks in lines.

    `take` gets each that is not empty, and raises ValueError for one that it does not understand: such lines are
    skipped, and no sign of life. After `silence` seconds without a sign of life the board counts as lost; 0: silence
    means nothing. `heard` is when the last one came, on the loop's clock.
    """

    __slots__ = (
        *("_first", "_lines", "_loop", "_nonsense", "_noise", "_settled", "_take", "_tty", "_waiting", "_watch"),
        *("baud", "heard", "lost", "path", "silence"),
    )

    def __init__(self, path: str, baud: int, silence: float, take: Callable[[bytes], None]):
        self.path = path
        self.baud = baud
        self.silence = silence
        self._take = take
        self._tty = Tty(path, baud, self)
        self._noise = Grumble("%s: skipped %d lines that were not understood; the last: %s")
        self._watch: asyncio.TimerHandle | None = None
        self._waiting: tuple[asyncio.Future, ...] = ()

    async def open(self, seconds: float) -> None:
        """Opens the port. Raises TtyError; `close` is due then, too."""
        self._loop = asyncio.get_running_loop()
        self._lines = Lines()
        self._nonsense = ""  # the last of what was not understood
        self._settled = False  # before, a boot loader may babble, and of a line that we come late to half is there
        self.lost: asyncio.Future[str] = self._loop.create_future()  # why nothing is to be expected any more
        self._first: asyncio.Future[None] | None = self._loop.create_future()
        self._waiting = (self.lost,)
        await self._tty.open(seconds)

    async def first(self, seconds: float) -> bool:
        """Waits for a line that is understood; whether one came. From then on silence counts, and noise is logged.

        Raises TtyError when the port is lost.
        """
        first = self._first
        assert first is not None
        both: set[asyncio.Future[Any]] = {first, self.lost}
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self._first = None
        if self.lost.done():
            raise TtyError(self.reason)
        self.heard = self._loop.time()
        self._settled = True
        if self.silence:
            self._watch = self._loop.call_later(self.silence, self._look)
        return first.done()

    @property
    def reason(self) -> str:
        """Why it is lost. Who waits for `lost` alone may have cancelled it when he wanted no more."""
        return "closed" if self.lost.cancelled() else self.lost.result()

    @property
    def complaint(self) -> str:
        """What may be wrong where lines come and none is understood; '' when none came."""
        return f"it says {self._nonsense!r}; is {self.baud} baud right?" if self._nonsense else ""

    def write(self, data: bytes) -> None:
        """Raises TtyError."""
        self._tty.write(data)

    def close(self, reason: str = "closed") -> None:
        """Lets go of the port; who waits for its end hears the reason."""
        self._tty.close()
        if self._watch:
            self._watch.cancel()
        for future in self._waiting:
            if not future.done():
                future.set_result(reason)

    # From the port

    def received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if self.lost.done():  # by one of these lines
                return
            if line is None:
                self._skip("a line without end")
            elif line.strip():
                try:
                    self._take(line)
                except ValueError:
                    self._skip(ascii(line[:TEXT])[2:-1])
                else:
                    self._understood()

    def closed(self, reason: str) -> None:
        self.close(reason)

    def _understood(self) -> None:
        self.heard = self._loop.time()
        self._nonsense = ""
        if self._first is not None and not self._first.done():
            self._first.set_result(None)

    def _skip(self, what: str) -> None:
        self._nonsense = what
        if self._settled:
            self._noise.add(self.path, what, self._loop.time())

    def _look(self) -> None:
        silent = self._loop.time() - self.heard
        if silent < self.silence:
            self._watch = self._loop.call_later(self.silence - silent, self._look)
        elif self._nonsense:
            self.close(f"nothing from {self.path} has been understood for {silent:.0f} s: {self.complaint}")
        else:
            self.close(f"the board on {self.path} has been silent for {silent:.0f} s")
