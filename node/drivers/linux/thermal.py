"""Thermal zones: what the kernel itself keeps cool (kernel.org: driver-api/thermal/sysfs-api)."""

from decimal import Decimal

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind

ZONES = "sys/class/thermal"


class Sensor:
    """`thermal = "TYPE"`: cpu-thermal, or thermal_zone0."""

    kind = Kind("°C", 3, 1, Decimal("0.5"))

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.zone = where
        self.bus = f"thermal {where}"
        self.decimals = decimals

    def read(self) -> str:
        zones = (each for each in sysfs.folders(self.root, ZONES) if each.name.startswith("thermal_zone"))
        zone = sysfs.pick(zones, lambda each: [sysfs.told(each / "type"), each.name], self.zone, "thermal zone")
        return sysfs.spelled(sysfs.number(sysfs.text(zone / "temp")), self.kind, self.decimals)
