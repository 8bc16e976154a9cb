"""hwmon: chips that watch temperatures, fans and voltages (kernel.org: hwmon/sysfs-interface)."""

import os
import re
from decimal import Decimal

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind, Lost

CHIPS = "sys/class/hwmon"
KINDS = {
    "temp": Kind("°C", 3, 1, Decimal("0.5")),
    "fan": Kind("rpm", 0, 0, Decimal(100)),
    "in": Kind("V", 3, 2, Decimal("0.05")),  # steps of the converters in these chips: 8 to 16 mV
    "curr": Kind("A", 3, 2, Decimal("0.05")),
    "power": Kind("W", 6, 1, Decimal(1)),
    "energy": Kind("J", 6, 0),
    "humidity": Kind("%", 3, 1, Decimal(1)),
}
FLAGS = ("_alarm", "_fault")
UNKNOWN = Kind()  # of what is known by its label only, while it is not there

_INPUT = re.compile(rf"({'|'.join(KINDS)}|intrusion)\d+(_\w+)?\Z", re.ASCII)


class Sensor:
    """`hwmon = "CHIP/INPUT"`: coretemp/temp1, k10temp/Tctl, nct6779/fan2, coretemp/temp1_crit_alarm.

    A chip is called by its name, by its device's where several have the name (nvme0, 1-0048), or hwmon3, which may
    be another one after the next start. An input is called as its file, or by its label.
    """

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.chip, self.input = sysfs.halves(where, "coretemp/temp1")
        self.bus = f"hwmon {self.chip}"
        self.decimals = decimals
        self.kind = _kind(self.input) or UNKNOWN

    def read(self) -> str:
        """The chip is looked for each time: after one was unplugged, another may have its number."""
        chip = sysfs.pick(sysfs.folders(self.root, CHIPS), _names, self.chip, "chip")
        file = self._file(chip)
        self.kind = _kind(file) or UNKNOWN
        try:
            value = sysfs.number(sysfs.text(chip / file))
        except FileNotFoundError:
            raise Lost(f"{self.chip} has no {self.input}; it has {sysfs.listed(map(str, _inputs(chip)))}") from None
        if self.kind.type == "boolean":
            return sysfs.boolean(bool(value))
        return sysfs.spelled(value, self.kind, self.decimals)

    def _file(self, chip: Path) -> str:
        if _INPUT.match(self.input):
            return self.input if "_" in self.input else f"{self.input}_input"
        for each in sorted(os.listdir(chip)):
            if each.endswith("_label") and sysfs.told(chip / each) == self.input:
                return each.removesuffix("_label") + "_input"
        return self.input


def _kind(file: str) -> Kind | None:
    if file.endswith(FLAGS) and _INPUT.match(file):
        return Kind(type="boolean", alarm=file.replace("_", " "))
    match = _INPUT.match(file)
    return KINDS.get(match[1]) if match else None


def _names(chip: Path) -> list[str]:
    """Its name, its number, and its device's name: it lies at .../1-0048/hwmon/hwmon3, or .../thermal_zone0/hwmon0."""
    above = os.path.dirname(os.path.realpath(chip))
    device = os.path.dirname(above) if os.path.basename(above) == "hwmon" else above
    return [sysfs.told(chip / "name"), chip.name, os.path.basename(device)]


def _inputs(chip: Path) -> list[str]:
    """What it has, with labels: 'temp1 (Package id 0)'."""
    names = [each.removesuffix("_input") for each in sorted(os.listdir(chip)) if each.endswith("_input")]
    labels = {name: sysfs.told(chip / f"{name}_label") for name in names}
    return [f"{name} ({labels[name]})" if labels[name] else name for name in names]
