"""1-Wire thermometers: DS18B20 and its family (kernel.org: w1/slaves/w1_therm).

A reading takes the sensor up to 850 ms, and the kernel keeps the whole bus waiting meanwhile.
"""

from decimal import Decimal
from fnmatch import fnmatchcase

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind, Lost

DEVICES = "sys/bus/w1/devices"
FAMILIES = ("10-", "22-", "28-", "3b-", "42-")  # DS18S20, DS1822, DS18B20, DS1825, DS28EA00
POWER_ON = 85000  # what the memory of the sensor has before it has measured: its supply is weak, or was cut


class Sensor:
    """`w1 = "28-0316a2797bff"`, or `w1 = "28-*"` where there is only one.

    The steps of a DS18B20 are 0.0625 °C, but it is right to 0.5 °C only, so one decimal says what it knows. Who looks
    for differences says `decimals = 2`.
    """

    kind = Kind("°C", 3, 1, Decimal("0.2"))
    bus = "w1"  # readings take turns on the wire

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.pattern = where
        self.decimals = decimals
        if not where.startswith(FAMILIES):
            raise ValueError(f"must be like '28-0316a2797bff', not {where!r}")

    def read(self) -> str:
        value = sysfs.number(_told(self._device()))
        if value == POWER_ON:
            raise ValueError("says 85 °C, as one does that has no power to measure: look at its wires")
        return sysfs.spelled(value, self.kind, self.decimals)

    def _device(self) -> Path:
        there = [each for each in sysfs.folders(self.root, DEVICES) if each.name.startswith(FAMILIES)]
        found = [each for each in there if fnmatchcase(each.name, self.pattern)]
        if len(found) == 1:
            return found[0]
        names = sysfs.listed(each.name for each in there)
        if found:
            raise Lost(f"there are several 1-Wire sensors {self.pattern}: say {names}")
        raise Lost(f"there is no 1-Wire sensor {self.pattern}; there {'are ' + names if names else 'is none'}")


def _told(device: Path) -> str:
    """Thousandths of a degree. The kernel checks the CRC, and answers with an error when it is wrong."""
    try:
        return sysfs.text(device / "temperature")
    except FileNotFoundError:  # before Linux 5.10 there is only this file, in which the CRC's fate is a word
        said = sysfs.text(device / "w1_slave")
    if "YES" not in said:
        raise ValueError("was garbled on the wire (CRC)")
    return said.rpartition("t=")[2]
