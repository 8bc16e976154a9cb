"""Which boards are plugged in, from a tree as the kernel and udev make it."""

import os

import pytest

from node.net import usb

CH340, CP2102, FTDI, UNO = "1a86:7523", "10c4:ea60", "0403:6010", "2341:0043"


class Machine:
    """Its /sys and /dev."""

    def __init__(self, root):
        self.root = root
        (root / "sys/class/tty").mkdir(parents=True)

    def device(self, socket, id, product="", maker="", serial=""):
        """What is plugged in there."""
        folder = self.root / f"sys/devices/pci0000:00/0000:00:14.0/usb1/{socket}"
        folder.mkdir(parents=True)
        vendor, _, number = id.partition(":")
        said = {"idVendor": vendor, "idProduct": number, "product": product, "manufacturer": maker, "serial": serial}
        for name, text in said.items():
            if text:
                (folder / name).write_text(f"{text}\n")
        return folder

    def port(self, device, name, interface="1.0"):
        """As drivers make one: cdc_acm at the interface, those of USB to serial in a folder below."""
        at = device / f"{device.name}:{interface}"
        owner = at if name.startswith("ttyACM") else at / name
        (owner / "tty" / name).mkdir(parents=True)
        os.symlink("../..", owner / "tty" / name / "device")
        os.symlink(owner / "tty" / name, self.root / "sys/class/tty" / name)

    def link(self, kind, link, name):
        """As udev makes one."""
        folder = self.root / "dev/serial" / kind
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(f"../../{name}", folder / link)

    def ports(self):
        return [(port.path.removeprefix(str(self.root)), *port[1:]) for port in usb.ports(str(self.root))]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_is_plugged_in(machine):
    assert machine.ports() == []
    assert usb.ports("/nowhere") == []


@pytest.mark.parametrize(
    ("id", "maker", "product", "serial", "name", "said"),
    [
        (CH340, "", "USB Serial", "", "ttyUSB0", "USB Serial"),
        (CP2102, "Silicon Labs", "CP2102 USB to UART Bridge Controller", "0001", "ttyUSB0", None),
        (UNO, "Arduino (www.arduino.cc)", "", "85736323838351F0E1E1", "ttyACM0", "Arduino (www.arduino.cc)"),
        ("2e8a:0005", "MicroPython", "Board in FS mode", "e6614103e7452d2f", "ttyACM0", None),
    ],
)
def test_a_board_of_each_kind(machine, id, maker, product, serial, name, said):
    machine.port(machine.device("1-1", id, product, maker, serial), name)
    said = said or f"{maker} {product}"
    assert machine.ports() == [(f"/dev/{name}", id, said)], "without udev"
    machine.link("by-id", "usb-board-if00", name)
    machine.link("by-path", "pci-0000:00:14.0-usb-0:1:1.0", name)
    assert machine.ports() == [("/dev/serial/by-id/usb-board-if00", id, said)]


def test_one_device_may_have_two_ports(machine):
    device = machine.device("1-1", FTDI, "Dual RS232-HS", "FTDI")
    for number in (0, 1):
        machine.port(device, f"ttyUSB{number}", f"1.{number}")
        machine.link("by-id", f"usb-FTDI_Dual_RS232-HS-if0{number}-port0", f"ttyUSB{number}")
    assert [path for path, _, _ in machine.ports()] == [
        "/dev/serial/by-id/usb-FTDI_Dual_RS232-HS-if00-port0",
        "/dev/serial/by-id/usb-FTDI_Dual_RS232-HS-if01-port0",
    ]


def test_two_equal_boards_with_numbers_of_their_own(machine):
    for number in (0, 1):
        machine.port(machine.device(f"1-{number}", UNO, serial=f"A{number}"), f"ttyACM{number}")
        machine.link("by-id", f"usb-Arduino_Uno_A{number}-if00", f"ttyACM{number}")
    assert [path for path, _, _ in machine.ports()] == [
        "/dev/serial/by-id/usb-Arduino_Uno_A0-if00",
        "/dev/serial/by-id/usb-Arduino_Uno_A1-if00",
    ]


@pytest.mark.parametrize("serial", ["", "0001"])
def test_two_boards_that_cannot_be_told_apart_are_named_by_their_sockets(machine, serial):
    for number in (0, 1):
        machine.port(machine.device(f"1-{number}", CH340, "USB Serial", serial=serial), f"ttyUSB{number}")
    machine.link("by-id", "usb-1a86_USB_Serial-if00-port0", "ttyUSB1")  # at the next start it may be the other
    assert [path for path, _, _ in machine.ports()] == ["/dev/ttyUSB0", "/dev/ttyUSB1"]
    for number in (0, 1):
        machine.link("by-path", f"pci-0000:00:14.0-usb-0:{number}:1.0-port0", f"ttyUSB{number}")
    assert [path for path, _, _ in machine.ports()] == [
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:0:1.0-port0",
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
    ]


def test_a_port_that_is_not_on_usb_is_none(machine):
    folder = machine.root / "sys/devices/platform/serial8250/tty/ttyS0"
    folder.mkdir(parents=True)
    os.symlink("../..", folder / "device")
    os.symlink(folder, machine.root / "sys/class/tty/ttyS0")
    (machine.root / "sys/class/tty/tty0").mkdir()
    assert machine.ports() == []


def test_a_device_that_is_pulled_while_we_look_is_read_as_far_as_it_goes(machine):
    device = machine.device("1-1", UNO, "Uno \x1b[2J")
    machine.port(device, "ttyACM0")
    (device / "product").write_bytes(b"Uno \xff\x1b[2J\n")
    assert machine.ports() == [("/dev/ttyACM0", UNO, "Uno \N{REPLACEMENT CHARACTER}[2J")]
    (device / "product").unlink()
    (device / "idProduct").unlink()
    assert machine.ports() == [("/dev/ttyACM0", "2341:", "")]
