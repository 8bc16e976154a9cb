"""The line that Modbus RTU devices share: one request at a time, each with its deadline (Modbus over Serial Line 1.02).

pymodbus knows the frames; the port is ours, so that opening it holds nobody up. Things with the same port share
one bus.
"""

import asyncio
from typing import Any

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU

from node.net.tty import Tty, TtyError

SILENCE = 3.5  # characters between two frames (§2.5.1.1)
SHORTEST = 0.002  # seconds: the same for fast lines, and what USB adapters need to turn the line round
BITS = 11  # of a character on the line
LONGEST = 512  # bytes: twice the longest frame; what is more is noise
TRIES = 2  # of a request: an echo on the line or a lost bit; reading and setting again do no harm.
# Who was silent the last time is asked once, and lets all who answer go first: a live one waits for one dead one.
REST = 10  # of the line's time a tenth at most goes to those who are gone: the others keep their intervals.
REST_OF_ALL = 2  # where nobody answers half of it: all who come back with the power are soon there, and who is new

_buses: dict[str, "Bus"] = {}  # those in use, by port

_REFUSALS = {
    1: "it does not know that function",
    2: "it has no such register",
    3: "it does not take that value",
    4: "it has failed",
    6: "it is busy",
}


class BusError(Exception):
    """Why a device or the line cannot be used, in words for people."""


class Refusal(BusError):
    """The device is there, and will not."""


async def join(path: str, baud: int, parity: str, stopbits: int, timeout: float) -> "Bus":
    """The bus at that port, opened by the first. Raises BusError. Who has joined has to `leave`."""
    bus = _buses.get(path)
    if bus is None:
        bus = _buses[path] = Bus(path, baud, parity, stopbits)
    if bus.framing != (baud, parity, stopbits):
        raise BusError(f"{path} is in use with {bus.framing[0]} baud, parity {bus.framing[1]}: one line, one speed")
    bus.users += 1
    try:
        await bus.open(timeout)
    except BaseException:  # who has waited too long has not joined, either
        bus.leave()
        raise
    return bus


class Bus:
    """One serial line. `lost` is done, with the reason, when its port is gone."""

    def __init__(self, path: str, baud: int, parity: str, stopbits: int):
        self.path = path
        self.framing = baud, parity, stopbits
        self.users = 0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tty = Tty(path, baud, self, parity, stopbits)
        self._silence = max(SILENCE * BITS / baud, SHORTEST)
        self._turn = asyncio.Lock()
        self._behind = asyncio.Lock()  # one of those who may not answer waits for the turn at a time
        self._each: dict[int, asyncio.Lock] = {}  # one request to a device at a time
        self._clock = asyncio.get_running_loop().time
        self._frames = FramerRTU(DecodePDU(False))
        self._opened = False
        self._device = 0  # who is asked
        self._live: set[int] = set()  # who has answered the last time
        self._silent: dict[int, float] = {}  # who has not, and until when it rests
        self._late: dict[int, float] = {}  # until when an answer to a question of before may come, by device
        self._data = b""
        self._answer: asyncio.Future[Any] | None = None

    async def open(self, timeout: float) -> None:
        """Opens the port, if that has not been done. Raises BusError."""
        async with self._turn:
            if not self._opened:
                try:
                    await self._tty.open(timeout)
                except TtyError as error:
                    raise BusError(str(error)) from error
                self._opened = True

    def leave(self) -> None:
        """The last one closes the port."""
        self.users -= 1
        if self.users == 0:
            self._end("closed")

    def rest(self, device: int) -> float:
        """Until when a device is not to be asked, on the loop's clock: it was silent, and others wait for the line.

        The more of them are gone, the more seldom each has its turn.
        """
        return self._silent.get(device, 0.0)

    async def request(self, device: int, pdu: Any, timeout: float) -> Any:
        """The device's answer to a request of pymodbus. Raises BusError, Refusal."""
        pdu.dev_id = device
        async with self._each.setdefault(device, asyncio.Lock()):
            late = self._late.get(device, 0.0) - self._clock()
            if late > 0:  # a frame does not say what it answers
                await asyncio.sleep(late)
            for attempt in range(1 if device in self._silent else TRIES):
                if device in self._live:
                    answer = await self._try(device, pdu, timeout)
                else:
                    async with self._behind:
                        answer = await self._try(device, pdu, timeout)
                if answer is not None:
                    if attempt == 0:
                        del self._late[device]
                    break
                self._live.discard(device)
                share = REST * len({*self._silent, device}) if self._live else REST_OF_ALL * self.users
                self._silent[device] = self._clock() + share * timeout
            else:
                raise BusError(f"device {device} on {self.path} does not answer")
        self._silent.pop(device, None)
        self._live.add(device)
        if answer.isError():
            code = answer.exception_code
            raise Refusal(f"device {device} refuses: {_REFUSALS.get(code, f'its code is {code}')}")
        return answer

    async def _try(self, device, pdu, timeout):
        """The answer, or None when nothing came in time that can be one."""
        async with self._turn:
            if self.lost.done():
                raise BusError(self.lost.result())
            self._late[device] = self._clock() + 2 * timeout
            try:
                found = await self._ask(device, pdu, timeout)
            except TimeoutError:
                return None
            except TtyError as error:
                raise BusError(str(error)) from error
        return found if found.function_code & 0x7F == pdu.function_code else None

    async def _ask(self, device, pdu, timeout):
        self._device, self._data = device, b""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._tty.write(self._frames.buildFrame(pdu))
            async with asyncio.timeout(timeout):
                return await self._answer
        finally:
            await asyncio.sleep(self._silence)  # the line has to be silent between frames

    # From the port

    def received(self, data: bytes) -> None:
        """A part of a frame, or noise."""
        if self._answer is None or self._answer.done():
            return  # nobody has asked
        self._data = (self._data + data)[-LONGEST:]
        try:
            used, pdu = self._frames.handleFrame(self._data, self._device, 0)
        except (ModbusException, ValueError, IndexError):  # a frame of nonsense with a right checksum
            used, pdu = len(self._data), None
        self._data = self._data[used:]
        if pdu is not None:
            self._answer.set_result(pdu)

    def closed(self, reason: str) -> None:
        """The port is gone."""
        self._end(reason)

    def _end(self, reason):
        self._tty.close()
        if _buses.get(self.path) is self:
            del _buses[self.path]
        if not self.lost.done():
            self.lost.set_result(reason)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TtyError(reason))
