"""A board with Firmata: asked what it can do, then told what each pin is for, then listened to.

A command is confirmed when the firmware, asked for the state of the pin, says that it is as we wanted it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from node.drivers.firmata import protocol
from node.drivers.firmata.options import Options
from node.drivers.firmata.pins import Output, Pins, assign
from node.drivers.firmata.protocol import (
    MODES,
    OUTPUT,
    SERVO,
    Analog,
    AnalogMap,
    Capabilities,
    Digital,
    Firmware,
    Message,
    PinState,
    Text,
    Version,
)
from node.hub.driver import Control, DriverError, Field, Report
from node.net.grumble import Grumble
from node.net.tty import Tty, TtyError

MAJOR = 2  # of the protocol
SETS_PINS = 5  # the minor version since which a pin is set by itself; before, eight at once
BANNER = 3.0  # seconds in which a board that was reset says its version unasked: 1 of boot loader, 2 of blinking
ASK_AGAIN = 1.0  # seconds between two questions for the same; an answer takes a few hundredths
ANY = -1  # in the place of the state of a pin: whatever it is


class Driver:
    """A board on a serial port whose pins are fields and controls."""

    interval = None

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self._declared = controls  # `controls` get the ranges that their pins have
        self._tty = Tty(options.port, options.baud, self)
        self._turn = asyncio.Lock()  # the state of one pin is asked for at a time
        self._pending: dict[type[Message], asyncio.Future[Any]] = {}
        self._lost: asyncio.Future[str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._complaints = Grumble("%s: the board has complained %d times; the last: %s")

    async def open(self, report: Report) -> None:
        """Opens the port, learns what the board can do, and sets up its pins. Raises DriverError."""
        self._loop = asyncio.get_running_loop()
        self._lost = self._loop.create_future()
        self._parser = protocol.Parser()
        self._opened = False
        self._version = Version(0, 0)  # not known
        self._pins = Pins()
        self._levels: dict[int, int] = {}  # of the inputs of a port, by the port
        self._wanted = PinState(0, 0, ANY)
        self._seen = self._wanted  # another state of the same pin
        self._values: dict[str, str] = {}  # of all fields that are known
        self._report = report
        misfit = self.options.misfit(self.fields, self._declared)
        if misfit:
            raise DriverError(misfit)
        try:
            await self._tty.open(self.options.timeout)
            await self._greet()
            can, analog = await self._learn(Capabilities), await self._learn(AnalogMap)
            self._pins = assign(self.options, self.fields, self._declared, can, analog)
            await self._set_up()
        except TtyError as error:
            raise DriverError(str(error)) from error
        self.controls = self._pins.controls
        self._opened = True
        self._wind(self.options.watchdog, self._watch)

    async def read(self) -> dict[str, str]:
        """Nothing: a board reports by itself."""
        return {}

    async def write(self, control: str, value: str) -> None:
        """Sets a control; returns when the board says that its pin is so. Raises DriverError."""
        output = self._pins.outputs.get(control)
        if output is None:
            raise DriverError(f"the board has no control {control}")
        level = output.level(value)
        async with self._turn:
            try:
                await self._confirm(output, self._set(output, level), level)
            except TimeoutError:  # nobody knows how the pin is now; after it was opened anew, it is known
                reason = f"the board on {self.options.port} does not answer"
                self._end(reason)
                raise DriverError(reason) from None
        self._know(control, value)

    async def gone(self) -> str:
        """Waits until the board is lost; why."""
        assert self._lost
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Lets go of the port."""
        self._end("closed")

    # From the port

    def received(self, data: bytes) -> None:
        """What the board says, as it comes."""
        for message in self._parser.feed(data):
            if self._is_lost():  # by one of these messages
                return
            match message:
                case Analog(number, raw):
                    channel = self._pins.channels.get(number)
                    value = channel.hear(raw) if channel else None
                    if channel and value is not None:
                        self._tell({channel.name: value})
                case Digital(port, levels):
                    self._take_levels(port, levels)
                case Version():
                    self._take_version(message)
                case Firmware(name, version):
                    self._take_name(name, version)
                case PinState():
                    self._take_state(message)
                case Capabilities() | AnalogMap():
                    self._answer(message)
                case Text(text):
                    self._complaints.add(self.options.port, text, self._loop.time())

    def closed(self, reason: str) -> None:
        """The port is gone."""
        self._end(reason)

    def _take_levels(self, port: int, levels: int) -> None:
        inputs = self._pins.inputs.get(port)
        if not inputs:
            return
        changed = levels ^ self._levels.get(port, ~levels)  # all of them, the first time
        self._levels[port] = levels
        self._tell(
            {
                each.name: "true" if bool(levels & each.bit) != each.invert else "false"
                for each in inputs
                if changed & each.bit
            }
        )

    def _take_version(self, version: Version) -> None:
        if self._version.major != MAJOR:
            self._version = version
            if version.major == MAJOR:
                self._answer(version)
        elif self._opened and version == self._version:  # anything else is noise
            self._wind(self.options.watchdog, self._watch)
            self._tell(self._values)  # they still hold

    def _take_name(self, name: str, version: str) -> None:
        if self._opened:  # nobody has asked for it: the modes of its pins are lost
            self._end("the board has started anew")
        else:
            self.about = {"name": name or "Firmata", "version": version}

    def _take_state(self, state: PinState) -> None:
        wanted = self._wanted
        if state == wanted or (wanted.state == ANY and state[:2] == wanted[:2]):
            self._answer(state)
        elif state.pin == wanted.pin:
            self._seen = state

    def _tell(self, values: dict[str, str]) -> None:
        if values:
            self._values |= values
            self._report(dict(values))

    def _answer(self, message: Message) -> None:
        waiting = self._pending.get(type(message))
        if waiting and not waiting.done():
            waiting.set_result(message)

    # To the port

    async def _ask(self, question: bytes, answer: type[Message], seconds: float, first: float = 0) -> Any:
        """The answer; the question is said again until it comes. `first` are seconds in which it may come unasked.

        Raises TimeoutError, and DriverError when the board is gone.
        """
        assert self._lost
        waiting = self._pending[answer] = self._loop.create_future()
        pause = first
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if pause:
                        await asyncio.wait([waiting, self._lost], timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                    if self._lost.done():
                        raise DriverError(self._lost.result())
                    if waiting.done():
                        return waiting.result()
                    self._tty.write(question)
                    pause = ASK_AGAIN
        except TtyError as error:
            raise DriverError(str(error)) from error
        finally:
            del self._pending[answer]

    async def _greet(self) -> None:
        """FM-1: it says its version when it starts, or when it is asked. FM-3: and that must be one we know."""
        port, baud = self.options.port, self.options.baud
        try:
            question = protocol.ASK_VERSION + protocol.ASK_FIRMWARE
            await self._ask(question, Version, self.options.hello, first=BANNER)
        except TimeoutError:
            text = f"the board on {port} does not speak Firmata: is StandardFirmata on it, and is {baud} baud right?"
            major, minor = self._version
            if major:
                text = f"the board on {port} speaks Firmata {major}.{minor}, and {MAJOR}.x is needed"
            raise DriverError(text) from None

    async def _learn(self, what: type[Capabilities] | type[AnalogMap]) -> Any:
        """FM-2: what the pins can do, before any is set."""
        question = protocol.ASK_CAPABILITIES if what is Capabilities else protocol.ASK_ANALOG_MAP
        try:
            return await self._ask(question, what, self.options.timeout)
        except TimeoutError:
            text = f"the firmware on {self.options.port} does not say what its pins can do; Firmata 2.2 and later do"
            raise DriverError(text) from None

    async def _set_up(self) -> None:
        pins = self._pins
        modes = b"".join(protocol.set_mode(pin, mode) for pin, mode in pins.modes.items())
        pull_ups = b"".join(protocol.set_port(port, bits) for port, bits in pins.written.items())
        self._tty.write(modes + pull_ups + protocol.set_sampling(self.options.sampling))
        for name, output in pins.outputs.items():
            await self._start(name, output)
        channels = b"".join(map(protocol.report_analog, pins.channels))
        ports = b"".join(map(protocol.report_digital, pins.inputs))
        self._tty.write(channels + ports)

    async def _start(self, name: str, output: Output) -> None:
        """Off, so that we know; but a servo has gone to its middle, and is not to go to 0 for that."""
        command = protocol.set_mode(output.pin, output.mode)
        try:
            if output.mode == SERVO:
                await self._confirm(output, command, ANY)
            else:
                await self._confirm(output, command + self._set(output, 0), 0)
                self._know(name, output.value(0))
        except TimeoutError:
            raise DriverError(
                f"the firmware on {self.options.port} does not tell the state of a pin, as Firmata 2.2 and later do: "
                f"so it could never be confirmed that {name!r} is set"
            ) from None

    async def _confirm(self, output: Output, command: bytes, state: int) -> None:
        """Says it until the board says that it is so. Raises TimeoutError if it says nothing, DriverError otherwise."""
        self._wanted = PinState(output.pin, output.mode, state)
        self._seen = silence = PinState(output.pin, ANY, ANY)
        try:
            await self._ask(command + protocol.ask_state(output.pin), PinState, self.options.timeout)
        except TimeoutError:
            if self._seen == silence:
                raise
            mode = MODES.get(self._seen.mode, str(self._seen.mode))
            text = (
                f"pin {output.pin} does not follow: the board says its mode is {mode} and its state {self._seen.state}"
            )
            raise DriverError(text) from None

    def _set(self, output: Output, level: int) -> bytes:
        if output.mode != OUTPUT:
            return protocol.set_analog(output.pin, level)
        if self._version.minor >= SETS_PINS:
            return protocol.set_pin(output.pin, bool(level))
        # FM-4: with all that was written to the pins beside it
        port, bit = output.pin >> 3, 1 << (output.pin & 7)
        written = self._pins.written
        written[port] = written.get(port, 0) & ~bit | (bit if level else 0)
        return protocol.set_port(port, written[port])

    def _know(self, control: str, value: str) -> None:
        """A control whose state is a field, too, has one."""
        if any(each.name == control for each in self.fields):
            self._tell({control: value})

    # Whether it lives

    def _watch(self) -> None:
        """FM-8: asks; the answer winds the clock up again."""
        try:
            self._tty.write(protocol.ASK_VERSION)
        except TtyError as error:
            self._end(str(error))
        else:
            silent = f"the board on {self.options.port} has not answered for {self.options.timeout:g} s"
            self._wind(self.options.timeout, self._end, silent)

    def _wind(self, seconds: float, what: Callable[..., None], *words: str) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, what, *words)

    def _is_lost(self) -> bool:
        return self._lost is None or self._lost.done()

    def _end(self, reason: str) -> None:
        """Nothing is to be expected from the board any more."""
        self._tty.close()
        if self._timer:
            self._timer.cancel()
        if self._lost and not self._lost.done():
            self._lost.set_result(reason)
