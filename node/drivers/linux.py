"""The machine that the node runs on: its temperature, load, memory, disk, uptime and supply voltage.

All but the disk are files of the kernel (sysfs, procfs), read on the loop itself: 0.06 ms on a PC. What this
machine cannot tell is no field of it.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from glob import glob

from node.base.path import Path
from node.hub.thing import Control, DriverError, Field

# What processors call their thermometers. One of another name may be the battery's: worse than none.
ZONES = ("cpu", "soc", "pkg", "package", "bcm2835", "imx")  # in thermal zones: ARM boards, Intel, older Pis
SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")  # in hwmon: Intel, AMD, ARM

UNDERVOLTAGE = 1  # bit 0 of get_throttled: now (bit 16: since the start), as `vcgencmd get_throttled` documents

Source = Callable[[], str]


@dataclass
class Options:
    """`[thing.hub]`, all of it optional. `root` is where the kernel's files are found."""

    disk: Path = Path("/")  # the disk of this folder; a local one: a network disk that is away would stop us
    root: Path = Path("/")


class Driver:
    """Reads the machine every ten seconds. There is nothing to set, and it cannot be lost."""

    controls: tuple[Control, ...] = ()
    interval: float | None = 10.0  # seconds: soon enough for a person

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.disk = options.disk
        self.root = options.root
        self.fields: tuple[Field, ...] = ()
        self.about: dict[str, str] = {}
        self._sources: dict[str, Source] = {}

    async def open(self, report: Callable[[dict[str, str]], None]) -> None:
        """Finds out what this machine can tell. Raises DriverError when it is nothing."""
        found = {field: source for field, source in self._offers() if _try(source) is not None}
        if not found:
            raise DriverError(f"nothing can be read below {self.root}")
        self.fields = tuple(found)
        self._sources = {field.name: source for field, source in found.items()}
        model = _try(partial(_text, self.root / "proc/device-tree/model"))
        kernel = _try(partial(_text, self.root / "proc/sys/kernel/osrelease"))
        self.about = {"name": (model or "Linux").rstrip("\0"), "version": kernel or ""}

    async def read(self) -> dict[str, str]:
        """What can be read now. Raises DriverError when it is nothing."""
        readings = {name: text for name, source in self._sources.items() if (text := _try(source)) is not None}
        if not readings:
            raise DriverError(f"nothing can be read below {self.root} any more")
        return readings

    async def write(self, control: str, value: str) -> None:
        """There is nothing to set."""
        raise DriverError(f"there is no {control}")

    async def gone(self) -> str:
        """Never: where this machine is gone, so are we."""
        return await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Nothing is held open."""

    def _offers(self) -> Iterator[tuple[Field, Source]]:
        """What a machine may be able to tell, the most telling first."""
        if thermometer := self._thermometer():
            yield Field("temperature", unit="°C", deadband=Decimal(1)), partial(_degrees, thermometer)
        yield Field("load", deadband=Decimal("0.5")), partial(_word, self.root / "proc/loadavg")
        yield Field("memory", unit="%", deadband=Decimal(5)), partial(_memory, self.root / "proc/meminfo")
        yield Field("disk", unit="%", deadband=Decimal(1)), partial(_disk, self.disk)
        uptime = Field("uptime", unit="s", shown=False, deadband=Decimal(3600))  # it always changes
        yield uptime, partial(_seconds, self.root / "proc/uptime")
        if voltage := self._voltage():
            alarm = "undervoltage: the power supply is too weak"
            yield Field("undervoltage", type="boolean", category="status", shown=False, alarm=alarm), voltage

    def _thermometer(self) -> Path | None:
        for zone in self._found("sys/class/thermal/thermal_zone*"):
            kind = (_try(partial(_text, zone / "type")) or "").lower()
            if any(word in kind for word in ZONES):
                return zone / "temp"
        sensor = self._sensor(*SENSORS)
        return sensor / "temp1_input" if sensor else None

    def _voltage(self) -> Source | None:
        """Of a Pi: its firmware's own word, or the alarm of newer kernels."""
        for firmware in self._found("sys/devices/platform/soc*/*firmware/get_throttled"):
            return lambda: _boolean(int(_text(firmware), 16) & UNDERVOLTAGE)
        if sensor := self._sensor("rpi_volt"):
            return lambda: _boolean(int(_text(sensor / "in0_lcrit_alarm")))
        return None

    def _sensor(self, *names: str) -> Path | None:
        """The first chip in hwmon that is called one of these."""
        for chip in self._found("sys/class/hwmon/hwmon*"):
            if _try(partial(_text, chip / "name")) in names:
                return chip
        return None

    def _found(self, pattern: str) -> list[Path]:
        """What there is of that pattern, sorted."""
        return [self.root / name for name in sorted(glob(pattern, root_dir=self.root))]


def _try(source: Source) -> str | None:
    """What it says; None where there is no such file, or it says something else than it should."""
    try:
        return source()
    except (OSError, ValueError, KeyError, IndexError, ZeroDivisionError):
        return None


def _text(path: Path) -> str:
    return path.read_text().strip()


def _word(path: Path) -> str:
    return _text(path).split()[0]


def _degrees(path: Path) -> str:
    return f"{int(_text(path)) / 1000:.1f}"


def _memory(path: Path) -> str:
    """Used, in percent: what new programs could not have."""
    sizes = {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in _text(path).splitlines())}
    return f"{100 - 100 * sizes['MemAvailable'] / sizes['MemTotal']:.0f}"


def _disk(folder: Path) -> str:
    """Used, in percent of what we may use, as df says it."""
    disk = os.statvfs(folder)
    used = disk.f_blocks - disk.f_bfree
    return f"{100 * used / (used + disk.f_bavail):.0f}"


def _seconds(path: Path) -> str:
    return _word(path).partition(".")[0]


def _boolean(number: int) -> str:
    return "true" if number else "false"
