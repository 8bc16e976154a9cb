"""Pins as contacts: the real gpiod on a chip that we simulate at the border to the kernel (gpio/chip.c)."""

import asyncio
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from tests.live.peers import DEADLINE, ann_at, is_offline, need, shows

PORCH = "porch@home.example"
DOOR, LAMP, TAKEN = 17, 27, 3
FALLING, RISING = 2, 1  # of gpio_v2_line_event
PULL_UP, ACTIVE_LOW, OUTPUT = 1 << 8, 1 << 1, 1 << 3  # of gpio_v2_line_flag
THINGS = """
[thing.porch]
name = "Porch"
board = "raspberry-pi"
chip = "{chip}"
[[thing.porch.fields]]
name = "door"
alarm = "the door is open"
pin = 17
bias = "up"
debounce = 20
[[thing.porch.controls]]
name = "lamp"
type = "boolean"
pin = {lamp}
active_low = true
"""


class Chip:
    """What is soldered to the pins."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.device = folder / "gpiochip0"
        self.levels = folder / "levels"
        self.device.touch()
        self.levels.write_bytes(bytes(32))
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listening.bind(str(folder / "events"))
        self.listening.listen()
        self.listening.settimeout(DEADLINE)
        self.lines: socket.socket | None = None
        self.library = folder / "chip.so"
        source = Path(__file__).parent / "gpio" / "chip.c"
        options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result")
        subprocess.run([need("gcc", "gcc"), *options, "-o", str(self.library), str(source)], check=True)

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "GPIOCHIP": str(self.folder)}

    def taken(self) -> dict[int, int]:
        """Waits until somebody takes pins; the flags of each."""
        self.lines, _ = self.listening.accept()
        request = self.lines.recv(4096)
        offsets = struct.unpack_from("64I", request)
        attributes = 64 * 4 + 32  # where the config begins: after offsets and consumer
        default, number = struct.unpack_from("=QI", request, attributes)
        (lines,) = struct.unpack_from("=I", request, attributes + 32 + 10 * 24)
        flags = dict.fromkeys(offsets[:lines], default)
        for each in range(number):
            id, _, value, mask = struct.unpack_from("=IIQQ", request, attributes + 32 + each * 24)
            if id == 1:
                flags |= {pin: value for place, pin in enumerate(offsets[:lines]) if mask >> place & 1}
        return flags

    def goes(self, pin: int, level: bool) -> None:
        self.sets(pin, level)
        self.lines.send(struct.pack("=QIIII24x", 0, RISING if level else FALLING, pin, 0, 0))

    def sets(self, pin: int, level: bool) -> None:
        levels = bytearray(self.levels.read_bytes())
        levels[pin] = level
        self.levels.write_bytes(levels)

    def voltage(self, pin: int) -> int:
        return self.levels.read_bytes()[pin]

    def is_unplugged(self) -> None:
        self.device.unlink()
        self.lines.close()

    def close(self) -> None:
        self.listening.close()
        if self.lines:
            self.lines.close()


@pytest.fixture
def chip(tmp_path):
    folder = tmp_path / "chip"
    folder.mkdir()
    chip = Chip(folder)
    yield chip
    chip.close()


@pytest.fixture
def home(home_with, chip):
    return lambda lamp=LAMP: home_with(THINGS.format(chip=chip.device, lamp=lamp), **chip.environment())


def test_a_door_is_seen_to_open_and_a_lamp_is_switched(home, chip, run):
    node = home()
    flags = chip.taken()
    assert flags[DOOR] & PULL_UP and not flags[DOOR] & ACTIVE_LOW
    assert flags[LAMP] & OUTPUT and flags[LAMP] & ACTIVE_LOW
    assert chip.voltage(LAMP) == 1  # off

    async def story():
        ann = await ann_at(node, PORCH, "door closed", "lamp off")
        chip.goes(DOOR, True)
        await ann.hears(shows(PORCH, "⚠ the door is open", show="dnd"))
        chip.goes(DOOR, False)
        await ann.hears(shows(PORCH, "door closed"))
        answer = await ann.says(PORCH, "lamp on")
        assert chip.voltage(LAMP) == 0
        assert "is on" in answer, answer
        await ann.leaves()

    run(story())
    assert node.stop() == 0
    assert chip.voltage(LAMP) == 1  # off again


def test_a_chip_that_is_unplugged_is_offline_and_comes_back(home, chip, run):
    node = home()
    chip.taken()

    async def story():
        ann = await ann_at(node, PORCH, "door closed")
        chip.is_unplugged()
        await ann.hears(is_offline(PORCH, f"{chip.device}: No such device"), deadline=5)
        assert "offline" in await ann.says(PORCH, "lamp on")
        chip.sets(DOOR, True)
        chip.device.touch()
        await asyncio.to_thread(chip.taken)
        await ann.hears(shows(PORCH, "⚠ the door is open", show="dnd"))
        assert "is on" in await ann.says(PORCH, "lamp on")
        await ann.leaves()

    run(story())


def test_a_pin_that_the_kernel_has_is_left_to_it(home, chip, run):
    node = home(lamp=TAKEN)

    async def story():
        await node.says(f"porch: offline: pin {TAKEN} of {chip.device} is in use: spi0 CS0")

    run(story())
