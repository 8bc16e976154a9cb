"""The kernel's sensors as contacts: umockdev shows the node a /sys of ours, people look on with slixmpp."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.live.peers import ann_at, is_offline, need, shows

CELLAR, SHED = "cellar@home.example", "shed@home.example"
DEVICES = """\
P: /devices/platform/i2c-1/1-0048/hwmon/hwmon0
E: SUBSYSTEM=hwmon
A: name=lm75\\n
A: temp1_input=20500\\n

P: /devices/platform/i2c-1/1-0049/hwmon/hwmon1
E: SUBSYSTEM=hwmon
A: name=lm75\\n
A: temp1_input=4125\\n

P: /devices/w1_bus_master1/28-0316a2797bff
E: SUBSYSTEM=w1
A: temperature=12062\\n

P: /devices/platform/leds/leds/ACT
E: SUBSYSTEM=leds
A: brightness=0\\n
A: max_brightness=255\\n
A: trigger=none [mmc0] timer\\n
"""
CELLAR_TABLE = """
[thing.cellar]
board = "ds18b20"
interval = 1
"""
SHED_TABLE = """
[thing.shed]
driver = "linux"
interval = 1
[[thing.shed.fields]]
name = "inside"
hwmon = "1-0048/temp1"
[[thing.shed.fields]]
name = "outside"
hwmon = "1-0049/temp1"
deadband = 0
"""
LED_TABLE = """
[[thing.shed.controls]]
name = "led"
type = "boolean"
led = "ACT"
"""
INSIDE = "devices/platform/i2c-1/1-0048/hwmon/hwmon0"
OUTSIDE = "devices/platform/i2c-1/1-0049/hwmon/hwmon1"
PROBE = "devices/w1_bus_master1/28-0316a2797bff"
PROBE_ON_BUS = "bus/w1/devices/28-0316a2797bff"
LED = "devices/platform/leds/leds/ACT"


@pytest.fixture
def home(home_with, tmp_path):
    devices = tmp_path / "devices"
    devices.write_text(DEVICES)
    umockdev = (need("umockdev-run", "umockdev"), "--device", str(devices), "--")
    return home_with(CELLAR_TABLE + SHED_TABLE + LED_TABLE, within=umockdev)


@pytest.fixture
def sys(home) -> Path:
    """The /sys that the node sees."""
    (child,) = Path(f"/proc/{home.process.pid}/task/{home.process.pid}/children").read_text().split()
    environment = dict(each.split("=", 1) for each in Path(f"/proc/{child}/environ").read_text().split("\0") if each)
    return Path(environment["UMOCKDEV_DIR"]) / "sys"


def test_a_thermometer_is_seen_its_changes_and_that_it_is_gone(home, sys, run):
    async def story():
        ann = await ann_at(home, CELLAR, "12.1 °C")
        (sys / PROBE / "temperature").write_text("13500\n")
        await ann.hears(shows(CELLAR, "13.5 °C"))
        assert "13.5 °C" in await ann.says(CELLAR, "temperature?")
        (sys / PROBE_ON_BUS).rename(sys / "unplugged")
        await ann.hears(is_offline(CELLAR, "there is no 1-Wire sensor 28-*; there is none"))
        assert "offline" in await ann.says(CELLAR, "status")
        (sys / PROBE / "temperature").write_text("11000\n")
        (sys / "unplugged").rename(sys / PROBE_ON_BUS)
        await ann.hears(shows(CELLAR, "11.0 °C"))
        await ann.leaves()

    run(story())


def test_a_thermometer_without_power_is_not_believed(home, sys, run):
    async def story():
        ann = await ann_at(home, CELLAR, "12.1 °C")
        (sys / PROBE / "temperature").write_text("85000\n")
        await ann.hears(is_offline(CELLAR, "temperature says 85 °C, as one does that has no power"))
        assert not any("85.0" in stanza["status"] for stanza in ann.came if stanza.name == "presence")
        (sys / PROBE / "temperature").write_text("12500\n")
        await ann.hears(shows(CELLAR, "12.5 °C"))
        await ann.leaves()

    run(story())


def test_of_several_sensors_one_vanishes_and_the_others_go_on(home, sys, run):
    async def story():
        ann = await ann_at(home, SHED, "inside 20.5 °C", "outside 4.1 °C")
        chip = sys / "class/hwmon/hwmon0"
        chip.rename(sys / "unplugged")
        (sys / OUTSIDE / "temp1_input").write_text("-1250\n")
        lost = await ann.hears(shows(SHED, "⚠ inside gives no reading", "-1.2 °C", show="dnd"))
        assert "20.5" not in lost["status"]
        (sys / "unplugged").rename(chip)
        await ann.hears(shows(SHED, "inside 20.5 °C", "outside -1.2 °C"))
        await ann.leaves()

    run(story())


def test_a_led_is_switched_and_seen_to_be_on(home, sys, run):
    async def story():
        ann = await ann_at(home, SHED, "led off")
        ann.send_message(SHED, "led on", mtype="chat")
        await ann.hears(shows(SHED, "led on"), lambda stanza: stanza.name == "message" and "is on" in stanza["body"])
        assert (sys / LED / "brightness").read_text() == "255"
        assert (sys / LED / "trigger").read_text() == "none"
        (sys / LED / "brightness").write_text("0\n")  # somebody else's doing
        await ann.hears(shows(SHED, "led off"))
        await ann.leaves()

    run(story())


def test_a_sensor_that_hangs_keeps_neither_people_nor_the_end_of_the_node_waiting(home_with, tmp_path, run):
    """In a tree of files: umockdev lets a process open one file at a time."""
    root = tmp_path / "root"
    for number in (0, 1):
        (root / f"sys/class/hwmon/hwmon{number}").mkdir(parents=True)
        (root / f"sys/class/hwmon/hwmon{number}/name").write_text("lm75\n")
        (root / f"sys/class/hwmon/hwmon{number}/temp1_input").write_text("12062\n")
    shed = SHED_TABLE.replace("1-0048", "hwmon0").replace("1-0049", "hwmon1")
    home = home_with(shed.replace("interval", f'root = "{root}"\ninterval'))

    async def story():
        ann = await ann_at(home, SHED, "outside 12.1 °C")
        os.mkfifo(root / "pipe")
        (root / "sys/class/hwmon/hwmon1/temp1_input").unlink()
        (root / "sys/class/hwmon/hwmon1/temp1_input").symlink_to(root / "pipe")
        await ann.hears(shows(SHED, "⚠ outside gives no reading", show="dnd"))
        async with asyncio.timeout(1):
            assert "12.1 °C" in await ann.says(SHED, "inside?")
        await ann.leaves()

    run(story())
    assert home.stop() == 0
