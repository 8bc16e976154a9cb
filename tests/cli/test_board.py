"""hobnode board: what is known, what one brings, and what is plugged in."""

import os
import sys
import tomllib

import pytest

from node.hub import board
from node.net import usb

UNO = "2341:0043"


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """`sysfs("ttyACM0", UNO, "Arduino Uno")` plugs a board in."""
    real = usb.ports
    monkeypatch.setattr(usb, "ports", lambda: real(str(tmp_path)))

    def plug(name, id, product, link=None):
        device = tmp_path / f"sys/devices/usb1/{name}-device"
        tty = device / "1-1:1.0" / "tty" / name
        tty.mkdir(parents=True)
        os.symlink("../..", tty / "device")
        vendor, number = id.split(":")
        (device / "idVendor").write_text(f"{vendor}\n")
        (device / "idProduct").write_text(f"{number}\n")
        (device / "product").write_text(f"{product}\n")
        (device / "serial").write_text(f"{name}\n")
        (tmp_path / "sys/class/tty").mkdir(parents=True, exist_ok=True)
        os.symlink(tty, tmp_path / "sys/class/tty" / name)
        if link:
            (tmp_path / "dev/serial/by-id").mkdir(parents=True, exist_ok=True)
            os.symlink(f"../../{name}", tmp_path / "dev/serial/by-id" / link)

    return plug


def test_the_list_has_every_board(types):
    code, out, err = types("board", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == board.names()


def test_one_is_shown_with_what_it_brings_and_the_table_to_paste(types):
    code, out, err = types("board", "show", "arduino-uno")
    assert (code, err) == (0, "")
    assert UNO in out
    assert "reads  light  quantity %" in out
    assert "sets  dimmer  integer 0 to 255" in out
    assert tomllib.loads(out[out.index("[thing") :])["thing"]["arduino-uno"]["board"] == "arduino-uno"


@pytest.mark.parametrize(("name", "needs"), [("sdm120", True), ("microbit", True), ("raspberry-pi", False)])
def test_the_table_has_a_port_where_the_driver_needs_one(types, name, needs):
    out = types("board", "show", name)[1]
    assert ("port" in tomllib.loads(out[out.index("[thing") :])["thing"][name]) == needs


def test_a_driver_whose_package_is_not_installed_has_its_port_too(types, monkeypatch):
    monkeypatch.setitem(sys.modules, "node.drivers.modbus", None)
    assert 'port = "' in types("board", "show", "sdm120")[1]


def test_one_that_is_misspelled_is_guessed(types):
    code, _, err = types("board", "show", "ardiuno-uno")
    assert (code, "did you mean 'arduino-uno'?" in err) == (2, True)


def test_what_is_plugged_in_is_printed_as_it_is_pasted(types, sysfs, tmp_path):
    sysfs("ttyACM0", UNO, "Arduino Uno", link="usb-Arduino_Uno-if00")
    sysfs("ttyACM1", UNO, "Arduino Uno")
    sysfs("ttyUSB0", "dead:beef", "something \x1b[2J")
    (tmp_path / "sys/class/tty/tty0").mkdir()
    code, out, err = types("board", "scan")
    things = list(tomllib.loads(out)["thing"].values())
    assert code == 0
    assert {each["board"] for each in things} <= {name for name in board.names() if UNO in board.load(name).usb}
    assert sorted(each["port"].removeprefix(str(tmp_path)) for each in things) == [
        "/dev/serial/by-id/usb-Arduino_Uno-if00",
        "/dev/ttyACM1",
    ]
    assert "dead:beef" in err
    assert "no board of ours has this id" in err
    assert "\x1b" not in err


def test_of_several_boards_with_that_usb_id_the_one_made_for_it_is_first(types, sysfs):
    sysfs("ttyACM0", UNO, "Arduino Uno")
    out = types("board", "scan")[1]
    assert tomllib.loads(out)["thing"]["arduino-uno"]["board"] == "arduino-uno"
    assert '# board = "arduino-firmata"  has the same USB id' in out


def test_where_nothing_is_plugged_in_it_says_so(types, sysfs):
    code, out, err = types("board", "scan")
    assert (code, out) == (1, "")
    assert "is the cable in" in err
