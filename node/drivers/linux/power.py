"""Power supplies: batteries, chargers and UPS boards (kernel.org: power/power_supply_class)."""

from decimal import Decimal

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind, Lost

SUPPLIES = "sys/class/power_supply"
KINDS = {
    "capacity": Kind("%", 0, 0, Decimal(1)),
    "status": Kind(type="string"),  # Charging, Discharging, Not charging, Full, Unknown
    "health": Kind(type="string"),  # Good, Overheat, Dead ...
    "online": Kind(type="boolean"),
    "present": Kind(type="boolean"),
    "offline": Kind(type="boolean", alarm="no power from outside"),
    "low": Kind(type="boolean", alarm="the battery is nearly empty"),
    "voltage_now": Kind("V", 6, 2, Decimal("0.05")),
    "current_now": Kind("A", 6, 2, Decimal("0.05")),
    "power_now": Kind("W", 6, 1, Decimal(1)),
    "energy_now": Kind("Wh", 6, 1, Decimal("0.5")),
    "charge_now": Kind("Ah", 6, 2, Decimal("0.05")),
    "temp": Kind("°C", 1, 1, Decimal("0.5")),
    "cycle_count": Kind(decimals=0),
}
LEVELS = {"Critical": True, "Low": True, "Normal": False, "High": False, "Full": False}
LOW = 10  # percent, of a battery that does not judge for itself


class Sensor:
    """`power = "SUPPLY/WHAT"`: BAT0/capacity, BAT0/status, AC/online; for alarms AC/offline and BAT0/low."""

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.supply, self.what = sysfs.halves(where, "BAT0/capacity")
        self.bus = f"power {self.supply}"
        self.decimals = decimals
        if self.what not in KINDS:
            raise ValueError(f"{self.what!r} is none of {', '.join(KINDS)}")
        self.kind = KINDS[self.what]

    def read(self) -> str:
        supply = sysfs.pick(sysfs.folders(self.root, SUPPLIES), lambda each: [each.name], self.supply, "power supply")
        if self.what == "low":
            return sysfs.boolean(_low(supply))
        try:
            said = sysfs.text(supply / self.what.replace("offline", "online"))
        except FileNotFoundError:
            raise Lost(f"{self.supply} does not tell {self.what}") from None
        if self.kind.type == "string":
            return said
        value = sysfs.number(said)
        if self.kind.type == "boolean":  # online may be 2: charging from a source that can do more
            return sysfs.boolean((value > 0) != (self.what == "offline"))
        return sysfs.spelled(value, self.kind, self.decimals)


def _low(supply: Path) -> bool:
    level = LEVELS.get(sysfs.told(supply / "capacity_level"))
    return sysfs.number(sysfs.text(supply / "capacity")) < LOW if level is None else level
