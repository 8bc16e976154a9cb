"""Industrial I/O: converters, climate and light sensors (kernel.org: ABI/testing/sysfs-bus-iio)."""

import os
import re
from decimal import Decimal

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind, Lost

DEVICES = "sys/bus/iio/devices"
# What the kernel tells in m°C, m%, kPa, mV, mA, mW and lx.
KINDS = {
    "temp": Kind("°C", 3, 1, Decimal("0.2")),
    "humidityrelative": Kind("%", 3, 1, Decimal(1)),
    "pressure": Kind("hPa", -1, 1, Decimal("0.5")),
    "voltage": Kind("V", 3, 3, Decimal("0.01")),
    "current": Kind("A", 3, 3, Decimal("0.01")),
    "power": Kind("W", 3, 1, Decimal(1)),
    "illuminance": Kind("lx", 0, 0, Decimal(10)),
}
OTHER = Kind()

_DIGITS = re.compile(r"\d+")
_TYPE = re.compile(r"[a-z]+")


class Sensor:
    """`iio = "DEVICE/CHANNEL"`: bme280/temp, mcp3008/voltage0, bh1750/illuminance.

    A device is called by its name or label, or by its address (1-0076) where several have the name.
    """

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.device, self.channel = sysfs.halves(where, "bme280/temp")
        self.bus = f"iio {self.device}"
        self.decimals = decimals
        kind = _TYPE.match(self.channel)
        if not kind:
            raise ValueError(f"must be like 'bme280/temp', not {where!r}")
        self.kind = KINDS.get(kind[0], OTHER)

    def read(self) -> str:
        device = sysfs.pick(sysfs.folders(self.root, DEVICES), _names, self.device, "IIO device")
        channel = f"in_{self.channel}"
        if (device / f"{channel}_input").exists():  # the driver has done the sum
            value = sysfs.number(sysfs.text(device / f"{channel}_input"))
        elif (device / f"{channel}_raw").exists():
            raw = sysfs.number(sysfs.text(device / f"{channel}_raw"))
            value = (raw + _factor(device, channel, "offset", "0")) * _factor(device, channel, "scale", "1")
        else:
            raise Lost(f"{self.device} has no {self.channel}; it has {sysfs.listed(iter(_channels(device)))}")
        return sysfs.spelled(value, self.kind, self.decimals)


def _factor(device: Path, channel: str, what: str, otherwise: str) -> Decimal:
    """The channel's own, or the one that all channels of its type share: in_voltage0_scale, in_voltage_scale."""
    kind = _TYPE.match(channel.removeprefix("in_"))
    shared = f"in_{kind[0]}" if kind else channel
    for name in dict.fromkeys((channel, _DIGITS.sub("", channel), shared)):
        if said := sysfs.told(device / f"{name}_{what}"):
            return sysfs.number(said)
    return Decimal(otherwise)


def _names(device: Path) -> list[str]:
    address = os.path.basename(os.path.dirname(os.path.realpath(device)))
    return [sysfs.told(device / "name"), sysfs.told(device / "label"), device.name, address]


def _channels(device: Path) -> list[str]:
    names = (each for each in sorted(os.listdir(device)) if each.startswith("in_"))
    return [each[3:].rpartition("_")[0] for each in names if each.endswith(("_raw", "_input"))]
