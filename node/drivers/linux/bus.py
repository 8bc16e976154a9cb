"""Sensors that share a wire: read one after another, in a thread, each with a deadline.

A reading of sysfs may be a conversation with a chip: 850 ms on 1-Wire, 20 on a slow I²C bus, a second with a disk that
is asleep; and a file that hangs cannot be given up, only left alone. So no such file is read on the loop, and a sensor
that hangs holds up its own bus and no other.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from node.drivers.linux.sysfs import Lost, Sensor
from node.hub.driver import DriverError

T = TypeVar("T")

DEADLINE = 4.0  # seconds for one reading or one command: a DS18B20 takes one, a Thing gives up a command after 5
PATIENCE = 3  # readings of one sensor that fail in a row until it is given up; long wires garble one now and then


class Bus:
    """What its sensors say and why one says nothing: `begin` a round, and ask when it is done or takes too long."""

    def __init__(self, name: str):
        self.name = name
        self.sensors: dict[str, Sensor] = {}
        self._readings: dict[str, str] = {}
        self._misses: dict[str, _Missed] = {}
        self._turn = asyncio.Lock()
        self._occupied = False  # the thread is at work, or hangs
        self._round: asyncio.Task[None] | None = None

    @property
    def errors(self) -> dict[str, str]:
        """Why the last reading failed, by the names of the sensors of which it did."""
        return {name: missed.why for name, missed in self._misses.items()}

    @property
    def faults(self) -> dict[str, str]:
        """The same of those that have been given up."""
        return {name: missed.why for name, missed in self._misses.items() if missed.times >= PATIENCE}

    def taken(self) -> dict[str, str]:
        """What has been said since this was last asked."""
        readings, self._readings = self._readings, {}
        return readings

    def begin(self) -> asyncio.Task[None]:
        """The round through its sensors: the one that is under way, or a new one."""
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._read_all(), name=f"bus {self.name}")
        return self._round

    def stop(self) -> None:
        """Reads no further. A thread that hangs is left to itself; none is begun beside it."""
        if self._round is not None:
            self._round.cancel()
        self._readings, self._misses = {}, {}

    async def do(self, job: Callable[[], T]) -> T:
        """Has a thread do it when it is its turn. Raises TimeoutError and what the job raises."""
        async with asyncio.timeout(DEADLINE), self._turn:
            if self._occupied:
                raise TimeoutError("waits for another one of its bus that does not answer")
            loop = asyncio.get_running_loop()
            done: asyncio.Future[T] = loop.create_future()
            self._occupied = True
            # A daemon: one that hangs must not keep the node from ending.
            Thread(target=self._work, args=(job, done, loop), name=f"bus {self.name}", daemon=True).start()
            return await done

    async def command(self, name: str, job: Callable[[], T]) -> T:
        """The same for a command of that name: raises DriverError in words."""
        try:
            return await self.do(job)
        except (Lost, OSError, ValueError) as error:
            raise DriverError(_words(name, error, "set")) from error

    def _work(self, job: Callable[[], T], done: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
        try:
            tell = partial(_settle, done.set_result, job())
        except Exception as error:
            tell = partial(_settle, done.set_exception, error)
        self._occupied = False
        try:
            loop.call_soon_threadsafe(tell, done)
        except RuntimeError:
            return  # it hung for so long that the loop has ended

    async def _read_all(self) -> None:
        for name, sensor in self.sensors.items():
            try:
                self._readings[name] = await self.do(sensor.read)
            except (Lost, OSError, ValueError) as error:  # a TimeoutError is an OSError
                times = self._misses[name].times if name in self._misses else 0
                times = PATIENCE if isinstance(error, Lost) else times + 1
                self._misses[name] = _Missed(times, _words(name, error, "read"))
            else:
                self._misses.pop(name, None)


class _Missed(NamedTuple):
    """How many readings of a sensor failed in a row, and why the last."""

    times: int
    why: str


def _words(name: str, error: Exception, what: str) -> str:
    """What went wrong, for people."""
    if isinstance(error, TimeoutError):
        return f"{name} {error}" if str(error) else f"{name} has not answered within {DEADLINE:g} s"
    if isinstance(error, OSError):
        return f"{name} cannot be {what}: {error.strerror or error}"
    return str(error) if isinstance(error, Lost) else f"{name} {error}"


def _settle(settle: Callable[[Any], None], outcome: Any, done: asyncio.Future) -> None:
    if not done.done():  # whoever waited has given up
        settle(outcome)
