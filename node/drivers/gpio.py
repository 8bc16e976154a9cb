"""Pins of the machine: inputs tell when they change, outputs are switched and read back, by the kernel's GPIO lines.

The library is gpiod, of the kernel's own people: an extra of this package, loaded when a thing of this driver opens.
All its calls are made on the loop. The pins of a processor answer in microseconds; those of an I²C expander take a
millisecond. What the kernel has to say of changes waits in its buffer until we ask.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from node.hub.driver import Control, DriverError, Field, Report

if TYPE_CHECKING:
    import gpiod

UNABLE = (errno.EINVAL, errno.ENXIO, 524)  # 524: ENOTSUPP, which the kernel lets out by mistake
CONSUMER = "hobnode"  # who has the pin, in `gpioinfo`
INTERVAL = 30.0  # seconds between looks at all pins; what changes is told at once, by the kernel
REST = 0.05  # seconds after changes until we look for more: a loose wire makes thousands in a second
MISSING = "the driver gpio needs the package gpiod, of version 2: python3 -m node.install, or pip install '.[gpio]'"
COMPILED = "; on this processor that compiles it, with gcc, libc6-dev and python3-dev"  # no wheels for 32-bit ARM


@dataclass
class Input:
    """Where a field is found. True is the high level, or the low one if `active_low`."""

    pin: int  # number of the line on its chip; on a Raspberry Pi that of GPIO17 is 17
    bias: Literal["as-is", "up", "down", "off"] = (
        "as-is"  # the pin's own resistor; as-is is what the machine starts with
    )
    active_low: bool = False  # a button to ground with bias up is pressed when it is low
    debounce: float = 10.0  # milliseconds that a level must last; contacts bounce for one to five

    def __post_init__(self):
        if not 0 <= self.debounce <= 1000:
            raise ValueError(f"debounce must be from 0 to 1000 milliseconds, not {self.debounce:g}")


@dataclass
class Output:
    """Where a control is found. It has its `initial` value when the driver opens, and again when it closes."""

    pin: int
    active_low: bool = False  # many a relay module switches on when its input is low
    open_drain: bool = False  # pulls down or lets go: for wires that others pull up, also to another voltage
    initial: bool = False


@dataclass
class Options:
    """`[thing.NAME]` with driver "gpio"."""

    chip: str = "/dev/gpiochip0"  # as `gpiodetect` lists them
    fields: dict[str, Input] = field(default_factory=dict)
    controls: dict[str, Output] = field(default_factory=dict)

    def __post_init__(self):
        taken: dict[int, str] = {}
        for name, place in self.places():
            if place.pin in taken:
                raise ValueError(f"pin {place.pin} cannot be both {taken[place.pin]} and {name}")
            taken[place.pin] = name
        if both := self.fields.keys() & self.controls.keys():
            raise ValueError(f"{min(both)} has two pins: the field of an output is read from the pin that is set")

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What is declared and can be no pin, in words; '' when all is well."""
        pins = self.fields.keys() | self.controls.keys()
        for name in [*(each.name for each in fields), *(each.name for each in controls)]:
            if name not in pins:
                return f"{name} needs a pin, as in: pin = 17"
        for control in controls:
            if control.type != "boolean":
                return f"{control.name} must be of type boolean: a pin is on or off"
        return "" if pins else "there is no pin: [[fields]] and [[controls]] say which are what"

    def places(self) -> Iterator[tuple[str, Input | Output]]:
        yield from self.fields.items()
        yield from self.controls.items()


class Driver:
    """Some pins of one chip. Nobody else can have them meanwhile."""

    interval: float | None = INTERVAL

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        declared = {field.name: field._replace(type="boolean") for field in fields}
        for each in controls:
            declared.setdefault(each.name, Field(each.name, "boolean", label=each.label, category="status"))
        self.fields = tuple(declared.values())
        self.controls = controls
        self.about: dict[str, str] = {}
        self._names = {place.pin: name for name, place in options.places()}
        self._told: dict[str, bool] = {}
        self._lines: gpiod.LineRequest | None = None
        self._resting: asyncio.TimerHandle | None = None

    async def open(self, report: Report) -> None:
        """Takes the pins, outputs at their initial values. Raises DriverError; `close` is due then, too."""
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        gpiod = _library()
        try:
            with gpiod.Chip(self.options.chip) as chip:
                self._take(chip)
        except (OSError, ValueError) as error:  # a ValueError: it has not so many lines
            raise DriverError(self._words(error)) from error
        self._watch()

    async def read(self) -> dict[str, str]:
        """All pins. Raises DriverError."""
        try:
            return self._look()
        except OSError as error:
            self._end(error)
            return {}

    async def write(self, control: str, value: str) -> None:
        """Switches an output; returns when the pin has that level. Raises DriverError."""
        if control not in self.options.controls or self._lines is None:
            raise DriverError(f"there is no output {control}")
        pin, wanted = self.options.controls[control].pin, _level(value == "true")
        try:
            self._lines.set_value(pin, wanted)
            level = self._lines.get_value(pin)
        except OSError as error:
            raise DriverError(self._words(error)) from error
        if level != wanted:
            raise DriverError(f"pin {pin} does not follow: is it shorted?")

    async def gone(self) -> str:
        """Waits until the chip is unplugged; why."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Sets the outputs to their initial values and gives the pins back.

        What a pin does then is the chip's affair: most keep an output as it is, some make it an input. When the node
        is killed nobody sets them: a resistor at the gate decides whether a heater is on then.
        """
        lines, self._lines = self._lines, None
        if self._resting:
            self._resting.cancel()
        if lines is None:
            return
        self._loop.remove_reader(lines.fd)
        with contextlib.suppress(OSError):  # it has been unplugged
            for place in self.options.controls.values():
                lines.set_value(place.pin, _level(place.initial))
        lines.release()

    # The pins

    def _take(self, chip: "gpiod.Chip") -> None:
        info = chip.get_info()
        self.about = {"name": info.label or info.name, "version": ""}
        for pin in self._names:
            line = chip.get_line_info(pin)
            if line.used:
                raise DriverError(f"pin {pin} of {self.options.chip} is in use: {line.consumer or 'by the kernel'}")
        wanted: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None]
        wanted = {place.pin: _settings(place) for _, place in self.options.places()}
        self._lines = chip.request_lines(wanted, consumer=CONSUMER)

    def _look(self) -> dict[str, str]:
        """The levels now. Raises OSError."""
        assert self._lines is not None
        levels = self._lines.get_values()
        self._told = {self._names[pin]: bool(level) for pin, level in zip(self._lines.offsets, levels, strict=True)}
        return {name: _spelled(level) for name, level in self._told.items()}

    def _watch(self) -> None:
        if self._lines is not None:
            self._loop.add_reader(self._lines.fd, self._changed)

    def _changed(self) -> None:
        """The kernel has news for us: some changes, or that the chip is gone."""
        assert self._lines is not None
        self._loop.remove_reader(self._lines.fd)
        try:
            events = self._lines.read_edge_events()
        except OSError as error:
            self._end(error)
            return
        levels: dict[str, list[bool]] = {}
        for event in events:
            rising = event.event_type is event.Type.RISING_EDGE
            levels.setdefault(self._names[event.line_offset], []).append(rising)
        self._tell(levels)
        self._resting = self._loop.call_later(REST, self._watch)

    def _tell(self, levels: dict[str, list[bool]]) -> None:
        """Of many changes of a pin only how it is now, and that it was otherwise: a press that is over already."""
        now = {name: came[-1] for name, came in levels.items()}
        flashes = {
            name: not level
            for name, level in now.items()
            if level == self._told.get(name) and (not level) in levels[name]
        }
        for each in (flashes, now):
            if each:
                self._report({name: _spelled(level) for name, level in each.items()})
        self._told |= now

    def _end(self, error: OSError) -> None:
        if not self._lost.done():
            self._lost.set_result(self._words(error))

    def _words(self, error: OSError | ValueError) -> str:
        chip = self.options.chip
        if isinstance(error, FileNotFoundError):
            return f"there is no {chip}"
        if isinstance(error, PermissionError):
            return f"{chip} may not be opened by the user of this node: on a Raspberry Pi its group is gpio"
        if isinstance(error, OSError) and error.errno in UNABLE and self._lines is None:
            return f"{chip} cannot do what is asked of a pin: bias, debounce, open_drain, or to tell changes"
        if isinstance(error, OSError):
            return f"{chip}: {error.strerror or error}"
        return f"{chip} has not all of the pins {', '.join(map(str, self._names))}"


def _library():
    """gpiod. Version 1, which Debian 12 has as python3-libgpiod, has the same name and other words."""
    with contextlib.suppress(ImportError):
        import gpiod

        if hasattr(gpiod, "LineSettings"):
            return gpiod
    raise DriverError(MISSING + (COMPILED if os.uname().machine.startswith("armv") else ""))


def _settings(place: Input | Output) -> "gpiod.LineSettings":
    from gpiod.line import Bias, Direction, Drive, Edge

    made = _library().LineSettings(active_low=place.active_low)
    if isinstance(place, Output):
        made.direction = Direction.OUTPUT
        made.drive = Drive.OPEN_DRAIN if place.open_drain else Drive.PUSH_PULL
        made.output_value = _level(place.initial)
        return made
    biases = {"as-is": Bias.AS_IS, "up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "off": Bias.DISABLED}
    made.direction = Direction.INPUT
    made.edge_detection = Edge.BOTH
    made.bias = biases[place.bias]
    made.debounce_period = timedelta(milliseconds=place.debounce)
    return made


def _level(active: bool) -> "gpiod.line.Value":
    from gpiod.line import Value

    return Value.ACTIVE if active else Value.INACTIVE


def _spelled(level: bool) -> str:
    return "true" if level else "false"
