"""A GPS receiver as a contact: a walk, played by gpsd's gpsfake, told by its gpspipe, on a pseudo-terminal by socat."""

import asyncio
import os
import signal
import subprocess
from functools import reduce
from pathlib import Path

import pytest

from tests.live import peers
from tests.live.peers import DEADLINE, free_port, is_offline, need, shows, socat

BOAT = "boat@home.example"
STEPS = 40
PAUSE = 0.05  # seconds between two sentences: a receiver's second goes by in 0.15


def sentence(text: str) -> str:
    return f"${text}*{reduce(lambda sum, mark: sum ^ ord(mark), text, 0):02X}\r\n"


def walk(path: Path, fix: bool) -> None:
    """Northwards, in steps of 0.05 minutes (93 m); or nowhere, under a roof."""
    told = []
    for step in range(STEPS):
        clock = f"1203{step:02d}.00"
        place = f"{4807 + step * 0.05:.4f},N,01131.0000,E"
        if fix:
            told.append(f"GPGGA,{clock},{place},1,08,0.9,545.4,M,46.9,M,,")
            told.append(f"GPRMC,{clock},A,{place},002.7,000.0,221126,,,A")
        else:
            told.append(f"GPGGA,{clock},,,,,0,00,99.9,,M,,M,,")
            told.append(f"GPRMC,{clock},V,,,,,,,221126,,,N")
        told.append("GPGSV,1,1,00")
    path.write_text("".join(map(sentence, told)), newline="")


class Receiver:
    """`port` is where it speaks; `unplug` and `plug`, `falls_silent` and `speaks` are what may happen to it."""

    def __init__(self, folder: Path, fix: bool):
        for program, package in (("gpsfake", "gpsd-clients"), ("gpspipe", "gpsd-clients"), ("gpsd", "gpsd")):
            need(program, package)
        self.port = folder / "ttyGPS"
        log = folder / "walk.nmea"
        walk(log, fix)
        self._tcp = free_port()
        self._fake = subprocess.Popen(
            ["gpsfake", "-P", str(self._tcp), "-c", str(PAUSE), str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if not any("begins" in line for line in self._fake.stderr):  # gpsd listens then
            pytest.fail("gpsfake has ended")
        self.plug()

    def plug(self) -> None:
        self._pipe = subprocess.Popen(["gpspipe", "-r", f"127.0.0.1:{self._tcp}"], stdout=subprocess.PIPE)
        self._socat = socat("-u", "STDIN", f"PTY,link={self.port},rawer", stdin=self._pipe.stdout)
        self._pipe.stdout.close()

    def unplug(self) -> None:
        for process in (self._socat, self._pipe):
            process.kill()
            process.wait(DEADLINE)
        self.port.unlink(missing_ok=True)

    def falls_silent(self) -> None:
        self._pipe.send_signal(signal.SIGSTOP)

    def speaks(self) -> None:
        self._pipe.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.unplug()
        self._fake.terminate()  # it ends its gpsd
        try:
            self._fake.wait(DEADLINE)
        finally:
            if self._fake.poll() is None:
                os.killpg(self._fake.pid, signal.SIGKILL)


@pytest.fixture
def receiver(tmp_path, request):
    receiver = Receiver(tmp_path, fix=getattr(request, "param", True))
    yield receiver
    receiver.close()


@pytest.fixture
def home(home_with, receiver):
    return home_with(f'[thing.boat]\nname = "Boat"\nboard = "gps-receiver"\nport = "{receiver.port}"\nsilence = 2\n')


async def ann_at(home, *words):
    return await peers.ann_at(home, BOAT, *words, plugins=("xep_0323",))


async def readings(ann):
    """What a machine reads (XEP-0323)."""
    told = asyncio.Queue()
    ann.plugin["xep_0323"].request_data(
        ann.boundjid.full, f"{BOAT}/hw", lambda **said: told.put_nowait(said), flags={"all": "true"}
    )
    while (said := await asyncio.wait_for(told.get(), DEADLINE))["result"] != "fields":
        assert said["result"] == "accepted", said
    return {field["name"]: field for field in said["fields"]}


def test_a_receiver_is_a_contact_that_says_where_it_is(home, receiver, run):
    async def talk():
        ann = await ann_at(home, "fix GPS", "latitude 48.1", "longitude 11.516667 °")
        while not {"altitude", "speed", "time"} <= (fields := await readings(ann)).keys():  # two sentences tell them
            pass
        assert (fields["altitude"]["value"], fields["altitude"]["unit"]) == ("545.4", "m")
        assert (fields["accuracy"]["value"], fields["fix"]["value"]) == ("4.5", "GPS")
        assert (fields["speed"]["value"], fields["speed"]["unit"]) == ("1.39", "m/s")
        assert fields["time"]["value"].startswith("2026-11-22T12:03:")
        assert "latitude" in (await ann.says(BOAT, "status")).lower()
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("receiver", [False], indirect=True)
def test_without_a_fix_no_position_is_told(home, receiver, run):
    async def talk():
        ann = await ann_at(home, "fix none")
        assert "latitude" not in await readings(ann)
        await ann.leaves()

    run(talk())


def test_unplugged_it_is_offline_at_once_and_comes_back_by_itself(home, receiver, run):
    async def talk():
        ann = await ann_at(home, "fix GPS", "latitude 48.1", "longitude 11.516667 °")
        receiver.unplug()
        await ann.hears(is_offline(BOAT, f"USB cable gone: {receiver.port}"), deadline=5)
        receiver.plug()
        await ann.hears(shows(BOAT, "fix"))
        await ann.leaves()

    run(talk())


def test_a_receiver_that_falls_silent_is_offline_with_the_reason(home, receiver, run):
    async def talk():
        ann = await ann_at(home, "fix GPS", "latitude 48.1", "longitude 11.516667 °")
        receiver.falls_silent()
        await ann.hears(is_offline(BOAT, "has been silent for 2 s"))
        receiver.speaks()
        await ann.hears(shows(BOAT, "fix"))
        await ann.leaves()

    run(talk())
