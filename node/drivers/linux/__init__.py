"""What the kernel of this machine knows: the machine itself, and the sensors, lights and links that are wired to it.

Without a word in the configuration it is the machine: temperature, load, memory, disk, uptime, supply voltage. A thing
that declares fields is these and nothing else, each with the word for where it is found; a field without such a word
is one of the machine's own. Hardware is read in threads (bus.py), and loaded here only when it is declared.
"""

import asyncio
import importlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from node.base.path import Path
from node.drivers.linux.machine import Machine
from node.hub.driver import Control, DriverError, Field, Report

if TYPE_CHECKING:
    from node.drivers.linux.bus import Bus
    from node.drivers.linux.lights import Light
    from node.drivers.linux.sysfs import Sensor

log = logging.getLogger("hobnode")

ROUND = 8.0  # seconds; a Thing waits 10 for the readings. What a long bus says later comes with the next ones.

REASONS = 2  # of sensors that are lost, in a status line
LIGHTS = ("boolean", "integer")  # on or off, or a brightness

# The words of a field, and the file that has its Sensor.
WORDS = {"hwmon": "hwmon", "thermal": "thermal", "w1": "w1", "iio": "iio", "power": "power", "net": "network"}


@dataclass
class Place:
    """Where a field is found: one of these words. `decimals` come in the place of those that its kind has."""

    hwmon: str | None = None  # chip/input: "coretemp/temp1"
    thermal: str | None = None  # type of the zone: "cpu-thermal"
    w1: str | None = None  # "28-0316a2797bff", or "28-*" where there is only one
    iio: str | None = None  # device/channel: "bme280/temp"
    power: str | None = None  # supply/what: "BAT0/capacity"
    net: str | None = None  # link: "eth0", "eth0/down"
    decimals: int | None = None

    def __post_init__(self):
        said = [word for word in WORDS if getattr(self, word) is not None]
        if len(said) != 1:
            raise ValueError(f"needs one of {', '.join(WORDS)}" + (f", not {' and '.join(said)}" if said else ""))
        if self.decimals is not None and not 0 <= self.decimals <= 9:
            raise ValueError(f"decimals must be from 0 to 9, not {self.decimals}")
        self.word = said[0]
        try:
            self.sensor(Path("/"))
        except ValueError as error:
            raise ValueError(f"{self.word}: {error}") from error

    def sensor(self, root: Path) -> "Sensor":
        """What reads it. Raises ValueError when there can be no such place."""
        file = importlib.import_module(f"node.drivers.linux.{WORDS[self.word]}")
        return file.Sensor(root, getattr(self, self.word), self.decimals)


@dataclass
class Lamp:
    """Where a control is found."""

    led: str | None = None  # "ACT", as in /sys/class/leds
    backlight: str | None = None  # "10-0045", as in /sys/class/backlight

    def __post_init__(self):
        if (self.led is None) == (self.backlight is None):
            raise ValueError("needs one of led, backlight")

    def light(self, root: Path, type: str) -> "Light":
        from node.drivers.linux.lights import Backlight, Led

        return Led(root, self.led, type) if self.led is not None else Backlight(root, self.backlight or "", type)


@dataclass
class Options:
    """`[thing.hub]`, all of it optional. `root` is where the kernel's files are found."""

    disk: Path = Path("/")  # the disk of this folder; a local one: a network disk that is away would stop us
    root: Path = Path("/")
    machine: bool = False  # the machine's own fields, too, where others are declared
    interval: float = 10.0  # seconds between readings: soon enough for a person
    fields: dict[str, Place] = field(default_factory=dict)
    controls: dict[str, Lamp] = field(default_factory=dict)

    def __post_init__(self):
        if self.interval < 1:
            raise ValueError(f"interval must be 1 second or more, not {self.interval:g}")

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What is declared and can be no light, in words; '' when all is well. Which fields there are, shows later."""
        for control in controls:
            if control.name not in self.controls:
                return f"{control.name} needs one of the words led, backlight"
            if control.type not in LIGHTS:
                return f"{control.name} must be of type {' or '.join(LIGHTS)}, not {control.type}"
        return ""


class Driver:
    """Reads every ten seconds. The machine itself cannot be lost; sensors can, one of them or all."""

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.interval: float | None = options.interval
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self._options = options
        self._declared = fields
        self._machine = Machine(options.root, options.disk)
        self._lights: dict[str, Light] = {
            control.name: options.controls[control.name].light(options.root, control.type) for control in controls
        }
        self._sensors: dict[str, Sensor] = {name: place.sensor(options.root) for name, place in options.fields.items()}
        self._sensors |= self._lights
        self._buses: dict[str, Bus] = {}
        for name, sensor in self._sensors.items():
            self._bus(sensor).sensors[name] = sensor

    def _bus(self, sensor: "Sensor") -> "Bus":
        from node.drivers.linux.bus import Bus

        return self._buses.setdefault(sensor.bus, Bus(sensor.bus))

    async def open(self, report: Report) -> None:
        """Finds out what can be read, and reads it. Raises DriverError when it is nothing."""
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._faults: dict[str, str] = {}
        self._look()
        self._first = await self._sensed()
        if not self._first and not self._machine.read():
            raise DriverError(self._reasons() or f"nothing can be read below {self._options.root}")
        self.controls = tuple([await self._limited(control) for control in self.controls])
        self.fields = tuple(self._described())

    async def read(self) -> dict[str, str | None]:
        """What can be read now; None of a sensor that is lost. Raises DriverError when the machine says nothing."""
        sensed, self._first = self._first or await self._sensed(), {}
        readings = self._machine.read() | sensed
        faults = {name: why for bus in self._buses.values() for name, why in bus.faults.items()}
        if self._machine.fields:
            if not readings:
                raise DriverError(f"nothing can be read below {self._options.root} any more")
        elif len(faults) == len(self._sensors):
            self._end(self._reasons())
            return {}
        self._note(faults)
        flags = {_fault(name): "true" if name in faults else "false" for name in self._flagged()}
        return readings | dict.fromkeys(faults) | flags

    async def write(self, control: str, value: str) -> None:
        """Sets a light; returns when it has been read back. Raises DriverError."""
        if control not in self._lights:
            raise DriverError(f"there is no {control}")
        light = self._lights[control]
        await self._bus(light).command(control, partial(light.write, value))

    async def gone(self) -> str:
        """Waits until no sensor is left; why. Where the machine itself is gone, so are we."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Reads no further."""
        for bus in self._buses.values():
            bus.stop()

    # Reading

    async def _sensed(self) -> dict[str, str]:
        """What the sensors have said since this was last asked, after a round of them."""
        rounds = [bus.begin() for bus in self._buses.values()]
        if rounds:
            done, _ = await asyncio.wait(rounds, timeout=ROUND)
            for each in done:
                each.result()  # raises what is a bug of ours
        return {name: text for bus in self._buses.values() for name, text in bus.taken().items()}

    def _note(self, faults: dict[str, str]) -> None:
        """Logs what is new about faults."""
        for name in faults.keys() - self._faults.keys():
            log.warning("%s", faults[name])
        for name in self._faults.keys() - faults.keys():
            log.info("%s can be read again", name)
        self._faults = faults

    def _reasons(self) -> str:
        errors = [why for bus in self._buses.values() for why in bus.errors.values()]
        return "; ".join(list(dict.fromkeys(errors))[:REASONS])

    def _end(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)

    # What there is

    def _look(self) -> None:
        """Raises DriverError when something is declared that cannot be."""
        self._machine.look()
        self.about = self._machine.about()
        own = {field.name for field in self._declared} - self._sensors.keys()
        for name in own - self._machine.fields.keys():
            there = ", ".join(self._machine.fields)
            raise DriverError(f"{name} needs one of the words {', '.join(WORDS)}: this machine itself tells {there}")
        whole = self._options.machine or not (self._declared or self.controls)
        self._machine.keep(self._machine.fields.keys() - self._sensors.keys() if whole else own)

    async def _limited(self, control: Control) -> Control:
        """With the range that the light has."""
        if control.type == "boolean" or control.maximum is not None:
            return control
        light = self._lights[control.name]
        try:
            maximum = await self._bus(light).command(control.name, light.maximum)
        except DriverError:  # it is not there; when it is there again it takes no more than it can, as it always does
            return control
        return control._replace(minimum=control.minimum or Decimal(0), maximum=maximum)

    def _described(self) -> Iterator[Field]:
        """The fields as they are declared, completed by what is known of them."""
        declared = {field.name: field for field in self._declared}
        for control in self.controls:
            declared.setdefault(control.name, Field(control.name, label=control.label, category="status"))
        for name, known in self._machine.fields.items():
            yield _completed(declared.pop(name), known) if name in declared else known
        for name, said in declared.items():
            kind = self._sensors[name].kind
            yield _completed(said, Field(name, kind.type, kind.unit, deadband=kind.deadband, alarm=kind.alarm))
        for name in self._flagged():
            alarm = f"{declared[name].label or name} gives no reading"
            yield Field(_fault(name), "boolean", category="status", shown=False, alarm=alarm)

    def _flagged(self) -> Iterable[str]:
        """The sensors beside which something else goes on when they are lost."""
        return self._sensors if len(self._sensors) + len(self._machine.fields) > 1 else ()


def _completed(declared: Field, known: Field) -> Field:
    """The type is the sensor's. The rest is as declared, or else as it is known."""
    return declared._replace(
        type=known.type,
        unit=declared.unit or known.unit,
        deadband=known.deadband if declared.deadband is None else declared.deadband,
        alarm=declared.alarm or known.alarm,
    )


def _fault(name: str) -> str:
    return f"{name}_fault"
