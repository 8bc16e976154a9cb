"""Serial ports on USB, as the kernel and udev tell of them: which device each is, and a name that stays the same."""

from glob import glob
from os.path import basename, dirname, isfile, join, realpath
from typing import NamedTuple

ABOVE = 4  # folders between a port and its USB device, at most: the tty, its driver's port, the interface


class Port(NamedTuple):
    """`path` stays the same at the next start if udev is there, and when cables change places; of boards that cannot be
    told from each other it names the socket. `id` is vendor:product in hexadecimal."""

    path: str
    id: str
    product: str


def ports(root: str = "/") -> list[Port]:
    """All that are plugged in, sorted by their paths."""
    devices = {}
    for tty in glob(join(root, "sys/class/tty/*/device")):
        device = _usb_device(realpath(tty))
        if device is not None:
            devices[basename(dirname(tty))] = device
    faces = {device: (_id(device), _product(device), _said(device, "serial")) for device in devices.values()}
    by_id, by_path = _links(root, "by-id"), _links(root, "by-path")
    found = []
    for name, device in devices.items():
        id, product, _ = face = faces[device]
        # Of equal boards without a number of their own udev names one by-id, and at the next start maybe the other
        lasting = by_path if list(faces.values()).count(face) > 1 else by_id
        found.append(Port(lasting.get(name, join(root, "dev", name)), id, product))
    return sorted(found)


def _links(root: str, kind: str) -> dict[str, str]:
    """The links of udev, by what they lead to."""
    return {basename(realpath(link)): link for link in sorted(glob(join(root, "dev/serial", kind, "*")))}


def _usb_device(folder: str) -> str | None:
    for _ in range(ABOVE):
        if isfile(join(folder, "idVendor")):
            return folder
        folder = dirname(folder)
    return None


def _id(device: str) -> str:
    return f"{_said(device, 'idVendor')}:{_said(device, 'idProduct')}"


def _product(device: str) -> str:
    """What the device calls itself: a stranger's words."""
    words = f"{_said(device, 'manufacturer')} {_said(device, 'product')}".strip()
    return "".join(mark for mark in words if mark.isprintable())


def _said(device: str, name: str) -> str:
    try:
        with open(join(device, name), errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
