"""Modbus RTU: meters, probes and relays on a serial line, their registers mapped in board.toml."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from node.drivers.modbus.bus import Bus, BusError, Refusal, join
from node.drivers.modbus.registers import BITS, Register, Span, spans
from node.hub.driver import Control, DriverError, Field, Report

log = logging.getLogger("hobnode")

READERS: dict[str, type] = {
    "input": ReadInputRegistersRequest,
    "holding": ReadHoldingRegistersRequest,
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
}
PATIENCE = 3  # readings without any answer until the device counts as gone


@dataclass
class Options:
    """`[thing.NAME]` with a device on a Modbus line; several things may share a port."""

    port: str  # of the RS-485 adapter
    device: int = 1  # its address on the line
    baud: int = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: int = 1
    interval: float = 10.0  # seconds between readings
    timeout: float = 1.0  # seconds for an answer; it is asked twice
    gap: int = 0  # registers that may be read in vain between two that are wanted; not every device likes it
    fields: dict[str, Register] = field(default_factory=dict)
    controls: dict[str, Register] = field(default_factory=dict)

    def __post_init__(self):
        if self.device not in range(1, 248):  # §2.2 of Modbus over Serial Line
            raise ValueError(f"device must be 1 to 247, not {self.device}")
        if self.stopbits not in (1, 2):
            raise ValueError("stopbits must be 1 or 2")
        for name in ("baud", "interval", "timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        for name, each in self.controls.items():
            if each.table in ("input", "discrete") or each.bit is not None:
                raise ValueError(f"controls: {name} must be a coil or a whole holding register")

    def misfit(self, fields: Iterable[Field], controls: Iterable[Control]) -> str:
        """What is declared and has no register, in words; '' when all is well."""
        for declared, places in ((fields, self.fields), (controls, self.controls)):
            for each in declared:
                if each.name not in places:
                    return f"{each.name} needs 'register'"
        for each in controls:
            if each.type not in ("boolean", "integer", "quantity"):
                return f"{each.name} must be a boolean, an integer or a quantity: a register holds a number"
        return ""


class Driver:
    """One device on the line."""

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.interval: float | None = options.interval
        self.about: dict[str, str] = {}
        self._types = {each.name: each.type for each in self.fields}
        self._spans = spans(options.fields.items(), options.gap)
        self._bus: Bus | None = None
        self._rest = 0.0

    async def open(self, report: Report) -> None:
        """Joins the line and reads once. Raises DriverError."""
        options = self.options
        if asyncio.get_running_loop().time() < self._rest:
            raise DriverError(f"device {options.device} on {options.port} does not answer")
        self._failed = 0
        self._silent: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            self._bus = await join(options.port, options.baud, options.parity, options.stopbits, 4 * options.timeout)
        except BusError as error:
            raise DriverError(str(error)) from error
        report(await self.read())

    async def read(self) -> dict[str, str]:
        """The fields that can be read now. Raises DriverError when there is none."""
        readings: dict[str, str] = {}
        wrong = None
        for span in self._spans:
            try:
                readings |= await self._read(span)
            except Refusal as error:  # of these registers: others may be there
                wrong = error
                log.debug("%s: %s", self.options.port, error)
            except BusError as error:
                if readings:  # some devices are silent about registers that they do not have
                    break
                self._missed(str(error))
                raise DriverError(str(error)) from error
        self._failed = 0
        if wrong and not readings:
            raise DriverError(str(wrong))
        return readings

    async def write(self, control: str, value: str) -> None:
        """Sets a register or coil; returns when the device has confirmed it. Raises DriverError."""
        place = self.options.controls[control]
        try:
            await self._request(_writing(place, place.values(value)))
        except (BusError, ValueError) as error:
            raise DriverError(str(error)) from error

    async def gone(self) -> str:
        """Waits until the port is gone, or the device has been silent for some readings; why."""
        assert self._bus is not None
        done, _ = await asyncio.wait([self._bus.lost, self._silent], return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def close(self) -> None:
        """Leaves the line."""
        if self._bus:
            self._rest = self._bus.rest(self.options.device)
            self._bus.leave()
            self._bus = None

    async def _read(self, span: Span) -> dict[str, str]:
        answer = await self._request(READERS[span.table](address=span.start, count=span.count))
        values = [int(bit) for bit in answer.bits] if span.table in BITS else answer.registers
        if len(values) < span.count:
            raise Refusal(f"device {self.options.device} has answered with less than was asked")
        found = {}
        for name, register in span.registers.items():
            at = register.register - span.start
            text = register.text(values[at : at + register.size], self._types[name])
            if text is not None:
                found[name] = text
        return found

    async def _request(self, pdu: Any) -> Any:
        if self._bus is None:
            raise BusError(f"{self.options.port} is closed")
        return await self._bus.request(self.options.device, pdu, self.options.timeout)

    def _missed(self, reason: str) -> None:
        self._failed += 1
        if self._failed >= PATIENCE and not self._silent.done():
            self._silent.set_result(reason)


def _writing(place: Register, values: list[int]) -> Any:
    if place.table == "coil":
        return WriteSingleCoilRequest(address=place.register, bits=[bool(values[0])])
    if len(values) == 1:
        return WriteSingleRegisterRequest(address=place.register, registers=values)
    return WriteMultipleRegistersRequest(address=place.register, registers=values)
