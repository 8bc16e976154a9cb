"""LEDs and backlights: on, off, or a brightness (kernel.org: leds/leds-class, ABI/stable/sysfs-class-backlight)."""

from decimal import Decimal

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind

ON, OFF = "0", "4"  # of bl_power: FB_BLANK_UNBLANK and FB_BLANK_POWERDOWN


class Light:
    """A control and its field. `type` is boolean (on or off) or integer (a brightness from 0 to `maximum`)."""

    folder = ""
    what = ""

    def __init__(self, root: Path, name: str, type: str):
        self.root = root
        self.name = name
        self.bus = f"{self.what} {name}"
        self.kind = Kind(type=type)

    def read(self) -> str:
        return self._read(self._device())

    def maximum(self) -> Decimal:
        """The brightness that it can have."""
        return sysfs.number(sysfs.text(self._device() / "max_brightness"))

    def write(self, value: str) -> None:
        """Returns when it has read back what it wrote. Raises Lost, OSError or ValueError."""
        device = self._device()
        self._set(device, value)
        if (now := self._read(device)) != value:
            raise ValueError(f"is {now} after {value} was written")

    def _device(self) -> Path:
        found = sysfs.folders(self.root, self.folder)
        return sysfs.pick(found, lambda each: [each.name], self.name, self.what)

    def _read(self, device: Path) -> str:
        brightness = sysfs.number(sysfs.text(device / "brightness"))
        return sysfs.boolean(brightness > 0) if self.kind.type == "boolean" else f"{brightness}"

    def _set(self, device: Path, value: str) -> None:
        """`value` is a number, or 'true' for all that it has."""
        if self.kind.type == "boolean":
            value = sysfs.text(device / "max_brightness") if value == "true" else "0"
        _write(device / "brightness", value)


class Led(Light):
    """`led = "ACT"`: one that shows what the system does ceases to do so when it is set."""

    folder = "sys/class/leds"
    what = "LED"

    def _set(self, device: Path, value: str) -> None:
        if (device / "trigger").exists():
            _write(device / "trigger", "none")
        super()._set(device, value)


class Backlight(Light):
    """`backlight = "10-0045"`: off is without power, as many a panel still glows at 0."""

    folder = "sys/class/backlight"
    what = "backlight"

    def _read(self, device: Path) -> str:
        if self.kind.type == "boolean":
            return sysfs.boolean(sysfs.text(device / "bl_power") == ON)
        return super()._read(device)

    def _set(self, device: Path, value: str) -> None:
        if self.kind.type == "boolean":
            _write(device / "bl_power", ON if value == "true" else OFF)
        else:
            super()._set(device, value)


def _write(file: Path, value: str) -> None:
    try:
        with open(file, "w") as stream:
            stream.write(value)
    except PermissionError:
        raise ValueError(f"may not be set by the user of this node: {file}") from None
