"""Serial ports on USB, as the kernel and udev tell of them: which device each is, and a name that stays the same."""

from glob import glob
from os.path import basename, dirname, isfile, join, realpath
from typing import NamedTuple

ABOVE = 4  # folders between a port and its USB device, at most: the tty, its driver's port, the interface


class Port(NamedTuple):
    """`path` stays the same when cables change places if udev is there; `id` is vendor:product in hexadecimal."""

    path: str
    id: str
    product: str


def ports(root: str = "/") -> list[Port]:
    """All that are plugged in, sorted by their paths."""
    lasting = {basename(realpath(link)): link for link in glob(join(root, "dev/serial/by-id/*"))}
    found = []
    for tty in glob(join(root, "sys/class/tty/*/device")):
        name = basename(dirname(tty))
        device = _usb_device(realpath(tty))
        if device is not None:
            path = lasting.get(name, join(root, "dev", name))
            found.append(Port(path, f"{_said(device, 'idVendor')}:{_said(device, 'idProduct')}", _product(device)))
    return sorted(found)


def _usb_device(folder: str) -> str | None:
    for _ in range(ABOVE):
        if isfile(join(folder, "idVendor")):
            return folder
        folder = dirname(folder)
    return None


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
