"""A meter and a probe on one Modbus line (pymodbus's simulator), as contacts of somebody with slixmpp."""

import asyncio
import struct

import pytest

from tests.live import peers
from tests.live.modbus_devices import METER, PROBE, Devices
from tests.live.peers import shows

POWER, GREENHOUSE = "meter@home.example", "greenhouse@home.example"
THINGS = """
[thing.meter]
board = "sdm120"
port = "{port}"
device = {meter}
baud = 9600
interval = 0.2
[thing.greenhouse]
board = "xy-md02"
port = "{port}"
device = {probe}
interval = 0.2
"""


def put_float(devices, address, value):
    for at, word in enumerate(struct.unpack(">HH", struct.pack(">f", value))):
        devices.set(METER, address + at, word)


@pytest.fixture
def line(tmp_path):
    with Devices(tmp_path) as devices:
        put_float(devices, 0x000C, 1234.5)
        put_float(devices, 0x0000, 230.2)
        devices.set(PROBE, 1, 214)
        yield devices


@pytest.fixture
def home(home_with, line):
    return home_with(THINGS.format(port=line.port, meter=METER, probe=PROBE))


async def ann_at(home):
    ann = await peers.ann_at(home, POWER, "1234.5 W")
    await ann.sees(GREENHOUSE, "21.4 °C")
    return ann


def test_two_devices_on_one_line_are_seen_and_their_changes_too(home, line, run):
    async def talk():
        ann = await ann_at(home)
        line.set(PROBE, 1, 0xFFFF)
        await ann.hears(shows(GREENHOUSE, "-0.1 °C"))
        assert await ann.says(POWER, "voltage") == "Voltage: 230.2 V"
        await ann.leaves()

    run(talk())


def test_a_register_is_set_and_confirmed(home, line, run):
    async def talk():
        ann = await ann_at(home)
        assert "is -1.5 °C (took" in await ann.says(GREENHOUSE, "set temperature offset -1.5")
        assert "-1.5" in await ann.says(GREENHOUSE, "temperature_offset")
        assert "a number from -10 to 10" in await ann.says(GREENHOUSE, "set temperature offset 11")
        await ann.leaves()

    run(talk())


def test_the_adapter_is_pulled_and_put_back(home, line, run):
    async def talk():
        ann = await ann_at(home)
        line.pull()
        gone = {"meter", "greenhouse"}
        while gone:
            presence = await ann.hears(lambda s: s.name == "presence" and s["type"] == "unavailable")
            gone.discard(presence["from"].local)
            assert presence["status"], "it says why"
        assert "is offline since" in await ann.says(GREENHOUSE, "set temperature offset 1")
        await asyncio.to_thread(line.start)
        put_float(line, 0x000C, 99)
        await ann.hears(shows(POWER, "99.0 W"))
        await ann.leaves()

    run(talk())
