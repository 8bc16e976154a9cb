"""A program as a process of its own: no shell, few words of environment, bounded output, a deadline, no zombie."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable

from node.hub.driver import DriverError
from node.hub.formats import values
from node.net.lines import Lines

OUTPUT = 64 * 1024  # bytes: a page of JSON; what is more comes from a program that has gone mad
RATE = 32 * 1024  # bytes a second from a program that keeps running, as from a serial port
GRACE = 1.0  # seconds after SIGTERM for a program that keeps running; a Thing waits 5 for all
REAP = 0.4  # seconds for the kernel to end what was killed; one that hangs in a driver of the kernel takes longer
FAULT = 200  # characters of what a program says on its standard error

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STDERR = 2


def environment() -> dict[str, str]:
    """All that a program is told: nothing of the node's own, such as systemd's socket."""
    return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}


class Program(asyncio.SubprocessProtocol):
    """A running program. `take` gets its output as it comes, and raises DriverError where that is too much."""

    def __init__(self, name: str, take: Callable[[bytes], None], rate: int = 0):
        self.name = name
        self._take = take
        self._rate = rate  # bytes a second; 0: any number
        self._loop = asyncio.get_running_loop()
        self._second, self._allowed = self._loop.time(), rate
        self._resume: asyncio.TimerHandle | None = None
        self._fault = ""  # ours
        self._killed = False
        self._stderr = Lines()
        self._last = b""  # line that it has said on its standard error
        self.ended: asyncio.Future[int] = self._loop.create_future()  # its exit code, minus the signal that killed it

    @property
    def complaint(self) -> str:
        """Why it has failed, in its own last words if it has any; '' when it has not."""
        if self._fault:
            return self._fault
        code = self.ended.result()
        if not code:
            return ""
        self._heard(b"\n")  # its last line may lack its end
        return values.words(self._last.decode(errors="replace"))[:FAULT].strip() or _ending(self.name, code)

    async def stop(self, grace: float = 0.0) -> None:
        """Ends it with all its children: asked first, if there is grace, then not asked any more."""
        if grace and not self.ended.done():
            self._signal(signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=grace)
        if not self.ended.done():
            self._kill()
            await asyncio.wait([self.ended], timeout=REAP)

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._killed:
            return
        if fd == STDERR:
            self._heard(data)
            return
        try:
            self._take(data)
        except DriverError as error:
            self._fault = str(error)
            self._kill()
        if self._rate:
            self._spend(len(data))

    def process_exited(self) -> None:
        if self._killed:
            self._transport.close()  # of what has left its group, and holds our pipes open, we hear no more

    def connection_lost(self, error: Exception | None) -> None:
        """It has closed its output, and ended."""
        if self._resume:
            self._resume.cancel()
        self._transport.close()
        self.ended.set_result(self._transport.get_returncode() or 0)

    def _heard(self, data: bytes) -> None:
        for line in self._stderr.feed(data):
            if line and line.strip():
                self._last = line

    def _spend(self, count: int) -> None:
        """What is more than the rate waits in the pipe, and the program with it."""
        now = self._loop.time()
        if now - self._second >= 1:
            self._second, self._allowed = now, self._rate
        self._allowed -= count
        pipe = self._transport.get_pipe_transport(1)
        if self._allowed <= 0 and isinstance(pipe, asyncio.ReadTransport):
            pipe.pause_reading()
            self._resume = self._loop.call_at(self._second + 1, pipe.resume_reading)

    def _kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)
        if self._transport.get_returncode() is not None:
            self.process_exited()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter: it has become another user's
            os.killpg(self._transport.get_pid(), number)


def _ending(name: str, code: int) -> str:
    if code > 0:
        return f"{name} has ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"{name} was killed by {signal.Signals(-code).name}"
    return f"{name} was killed by signal {-code}"


async def start(command: tuple[str, ...], take: Callable[[bytes], None], rate: int = 0) -> Program:
    """Starts it, in a group of its own. Raises DriverError."""
    pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    starting = asyncio.ensure_future(
        asyncio.get_running_loop().subprocess_exec(
            lambda: Program(command[0], take, rate),
            *command,
            stdin=nothing,
            stdout=pipe,
            stderr=pipe,
            env=environment(),
            cwd="/",
            start_new_session=True,  # a group that can be killed whole, and no Ctrl-C that is meant for us
        )
    )
    try:
        return (await asyncio.shield(starting))[1]
    except OSError as error:
        raise DriverError(f"{command[0]} cannot be started: {error.strerror}") from error
    except asyncio.CancelledError:  # too late to undo, and it may have children already
        await asyncio.wait([starting])
        if not starting.exception():
            await starting.result()[1].stop()
        raise


async def run(command: tuple[str, ...], seconds: float) -> bytes:
    """Runs it to its end, which is when it has closed its output and ended; what it has said.

    Raises DriverError when it fails, says more than OUTPUT, or is not done after so many seconds: then it is killed
    with all its children.
    """
    output = bytearray()

    def take(data: bytes) -> None:
        output.extend(data)
        if len(output) > OUTPUT:
            raise DriverError(f"{command[0]} says more than {OUTPUT // 1024} KiB")

    program = await start(command, take)
    try:
        done, _ = await asyncio.wait([program.ended], timeout=seconds)
        if not done:
            raise DriverError(f"{command[0]} has not ended within {seconds:.3g} s")
    finally:  # who waits may have been cancelled, too
        await program.stop()
    if program.complaint:
        raise DriverError(program.complaint)
    return bytes(output)
