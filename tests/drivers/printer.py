"""A board at the other end of a pseudo-terminal, which says what the test has it say."""

import asyncio
import os
import pty
import time

DEADLINE = 10  # seconds for anything here; the first port loads its library, on a busy machine
LONG = 10**6  # seconds: a deadline that does not pass while a test sets the clock forward


class Printer:
    """A board that prints. `heard` are the lines that came to it."""

    def __init__(self):
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._master, self._slave = pty.openpty()  # the slave stays open, or we would read errors until somebody comes
        self.port = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._hear)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._master >= 0:
            self.unplug()

    def says(self, *lines: str | bytes) -> None:
        for line in lines:
            os.write(self._master, (line if isinstance(line, bytes) else line.encode()) + b"\n")

    async def hears(self) -> bytes:
        return await asyncio.wait_for(self.heard.get(), DEADLINE)

    def unplug(self) -> None:
        self._loop.remove_reader(self._master)
        master, self._master = self._master, -1
        os.close(master)
        os.close(self._slave)

    def _hear(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._master, 65536)).split(b"\n")
        for line in lines:
            self.heard.put_nowait(line)


class Readings:
    """What a driver reports, one report after the other."""

    def __init__(self):
        self._told: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    def __call__(self, readings: dict[str, str]) -> None:
        self._told.put_nowait(dict(readings))

    async def next(self) -> dict[str, str]:
        return await asyncio.wait_for(self._told.get(), DEADLINE)

    @property
    def none(self) -> bool:
        return self._told.empty()


async def at_the_port(driver) -> None:
    """Waits until the port is open: what is said earlier is thrown away. A thread opens it, on a clock of its own."""
    end = time.monotonic() + DEADLINE
    while not driver._port._tty._port:
        assert time.monotonic() < end
        await asyncio.sleep(0)


async def open_to(driver, readings: Readings, board: Printer, *lines: str | bytes) -> None:
    """Opens the driver of a board that says these lines then."""
    opening = asyncio.ensure_future(driver.open(readings))
    await at_the_port(driver)
    board.says(*lines)
    await opening
