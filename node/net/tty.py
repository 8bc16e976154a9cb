"""Bytes to and from a serial port: no thread while it is open, and nothing here waits for the port."""

import asyncio
import contextlib
import errno
import os
import termios
import threading
from typing import Protocol

CHUNK = 4096  # bytes a turn of the loop: a third of a second at 115200 baud
RATE = 32 * 1024  # bytes a second: three times 115200 baud; a native USB board gone mad brings megabytes
UNSENT = 4096  # bytes: thirty commands; a port that takes none for so long has nobody behind it


class TtyError(Exception):
    """Why a port cannot be used, in words for people."""


class Owner(Protocol):
    """Whom a Tty tells. `closed` comes once for each opening, and not after the owner's own `close`."""

    def received(self, data: bytes) -> None: ...
    def closed(self, reason: str) -> None: ...


class Tty:
    """The serial port at `path`, `baud` bits a second, for us alone; opened as often as one likes.

    8N1, unless another `parity` ('N', 'E', 'O') or number of stop bits is said.
    """

    __slots__ = (
        *("_allowed", "_loop", "_opening", "_parity", "_port", "_resume", "_second", "_stopbits", "_unsent"),
        *("baud", "owner", "path"),
    )

    def __init__(self, path: str, baud: int, owner: Owner, parity: str = "N", stopbits: int = 1):
        self.path = path
        self.baud = baud
        self.owner = owner
        self._parity = parity
        self._stopbits = stopbits
        self._port: int | None = None  # its descriptor while open
        self._opening = False  # a thread is at it
        self._resume: asyncio.TimerHandle | None = None

    async def open(self, seconds: float) -> None:
        """Opens the port, which resets an Arduino. Raises TtyError when that fails or takes too long."""
        if self._opening:
            raise TtyError(f"{self.path} does not open: its driver hangs; unplug it")
        self._loop = asyncio.get_running_loop()
        opened = self._loop.create_future()
        # The kernel may hold open() for as long as a broken device likes. The loop's own threads are waited
        # for when the node stops, so it has to be another.
        self._opening = True
        threading.Thread(target=self._try, args=(opened,), name="open tty", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                self._port = await opened
        except TimeoutError:
            raise TtyError(f"{self.path} does not open: its driver hangs") from None
        self._unsent = b""
        self._second = self._loop.time()
        self._allowed = RATE
        self._loop.add_reader(self._port, self._readable)

    def write(self, data: bytes) -> None:
        """Sends bytes, now or when the port takes them. Raises TtyError when it is gone or takes no more."""
        if self._port is None:
            raise TtyError(f"{self.path} is closed")
        if len(self._unsent) + len(data) > UNSENT:
            raise TtyError(f"{self.path} takes no more: the board does not read")
        waiting = bool(self._unsent)
        self._unsent += data
        if not waiting:
            self._writable()
        if self._port is None:
            raise TtyError(self._gone())

    def close(self) -> None:
        """Closes the port. Bytes that are still unsent are thrown away."""
        if self._port is None:
            return
        port, self._port = self._port, None
        self._loop.remove_reader(port)
        self._loop.remove_writer(port)
        if self._resume:
            self._resume.cancel()
        with contextlib.suppress(termios.error, OSError):
            termios.tcflush(port, termios.TCIOFLUSH)  # else close() waits until they are sent: up to 30 s
        with contextlib.suppress(OSError):
            os.close(port)

    def _try(self, opened: asyncio.Future) -> None:
        port = error = None
        try:
            import serial  # only when a serial thing is configured: 0.6 MB

            framing = {"parity": self._parity, "stopbits": self._stopbits}
            with serial.Serial(self.path, self.baud, timeout=0, write_timeout=0, exclusive=True, **framing) as made:
                port = os.dup(made.fd)  # settings and lock stay; with the rest of it go 1 KiB and four descriptors
        except (OSError, ValueError, termios.error) as problem:
            error = TtyError(self._refused(problem))
        try:
            self._loop.call_soon_threadsafe(self._tried, opened, port, error)
        except RuntimeError:  # the loop has closed meanwhile
            if port is not None:
                os.close(port)

    def _tried(self, opened: asyncio.Future, port: int | None, error: TtyError | None) -> None:
        self._opening = False
        if opened.done():  # too late: nobody waits any more
            if port is not None:
                os.close(port)
        elif error:
            opened.set_exception(error)
        else:
            opened.set_result(port)

    def _readable(self) -> None:
        port = self._port
        assert port is not None
        try:
            data = os.read(port, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if not data:
            self._lost(None)
            return
        self._spend(port, len(data))
        self.owner.received(data)

    def _spend(self, port: int, count: int) -> None:
        """Stops reading until the second is over when more than RATE has come in it."""
        now = self._loop.time()
        if now - self._second >= 1:
            self._second = now
            self._allowed = RATE
        self._allowed -= count
        if self._allowed <= 0:
            self._loop.remove_reader(port)
            self._resume = self._loop.call_at(self._second + 1, self._loop.add_reader, port, self._readable)

    def _writable(self) -> None:
        assert self._port is not None
        try:
            sent = os.write(self._port, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(error)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._port, self._writable)
        else:
            self._loop.remove_writer(self._port)

    def _lost(self, error: OSError | None) -> None:
        self.close()
        if error and error.errno not in (errno.EIO, errno.ENXIO, errno.ENODEV):
            self.owner.closed(f"{self.path}: {error.strerror}")
        else:
            self.owner.closed(self._gone())

    def _gone(self) -> str:
        return f"USB cable gone: {self.path}"

    def _refused(self, problem: Exception) -> str:
        match getattr(problem, "errno", None):
            case errno.ENOENT | errno.ENODEV | errno.ENXIO:
                return f"no board at {self.path}: is the USB cable in?"
            case errno.EACCES | errno.EPERM:
                return f"{self.path} may not be opened: add the node's user to the group dialout"
            case errno.EBUSY | errno.EWOULDBLOCK:
                return f"{self.path} is in use by another program or thing"
        return f"{self.path} cannot be opened: {problem}"
