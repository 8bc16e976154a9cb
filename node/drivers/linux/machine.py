"""The machine that the node runs on: its temperature, load, memory, disk, uptime and supply voltage.

All but the disk are files of the kernel that say what it knows already, so they are read on the loop itself: 0.06 ms
on a PC for all of them.
"""

import os
from collections.abc import Callable, Iterator, Set
from decimal import Decimal
from functools import partial
from glob import glob

from node.base.path import Path
from node.hub.driver import Field

# What processors call their thermometers. One of another name may be the battery's: worse than none.
ZONES = ("cpu", "soc", "pkg", "package", "bcm2835", "imx")  # in thermal zones: ARM boards, Intel, older Pis
SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")  # in hwmon: Intel, AMD, ARM

UNDERVOLTAGE = 1  # bit 0 of get_throttled: now (bit 16: since the start), as `vcgencmd get_throttled` documents

Source = Callable[[], str]


class Machine:
    """What this machine can tell; `fields` are known once it has been looked at."""

    def __init__(self, root: Path, disk: Path):
        self.root = root
        self.disk = disk
        self.fields: dict[str, Field] = {}
        self._sources: dict[str, Source] = {}

    def look(self) -> None:
        """Finds out what there is to be told."""
        found = [(field, source) for field, source in self._offers() if _try(source) is not None]
        self.fields = {field.name: field for field, _ in found}
        self._sources = {field.name: source for field, source in found}

    def read(self) -> dict[str, str]:
        """What can be read now."""
        return {name: text for name, source in self._sources.items() if (text := _try(source)) is not None}

    def keep(self, names: Set[str]) -> None:
        """Of its fields, these only."""
        self.fields = {name: field for name, field in self.fields.items() if name in names}
        self._sources = {name: self._sources[name] for name in self.fields}

    def about(self) -> dict[str, str]:
        """The board's model and the kernel's version."""
        model = _try(partial(_text, self.root / "proc/device-tree/model"))
        kernel = _try(partial(_text, self.root / "proc/sys/kernel/osrelease"))
        return {"name": (model or "Linux").rstrip("\0"), "version": kernel or ""}

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
