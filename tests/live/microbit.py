"""A BBC micro:bit for tests: Debian's MicroPython for it, in QEMU.

    with Microbit(tmp_path / "ttyACM0") as microbit:   # the serial port is there now
        ...                                            # let something open the port
        microbit.kill()                                # the cable is pulled
        microbit.start()                               # and put back

QEMU has no thermometer and no light sensor for it: `temperature()` and `display.read_light_level()` hang there for
ever, and hear no Ctrl-C, as a board does whose hardware is broken.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.live.peers import need

FIRMWARE = Path("/usr/share/firmware-microbit-micropython/firmware.hex")


class Microbit:
    """A simulated micro:bit with its serial port at `port`, a link."""

    def __init__(self, port: Path):
        self.port = Path(port)
        self._qemu = need("qemu-system-arm", "qemu-system-arm")
        if not FIRMWARE.is_file():
            pytest.fail("the micro:bit's MicroPython is missing: apt-get install firmware-microbit-micropython")

    def __enter__(self) -> "Microbit":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def start(self) -> None:
        """Plugs it in, and waits until the port is there."""
        self._process = subprocess.Popen(
            [self._qemu, "-M", "microbit", "-device", f"loader,file={FIRMWARE}"]
            + ["-display", "none", "-monitor", "none", "-serial", "pty"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = self._process.stdout.readline()  # "char device redirected to /dev/pts/7 (label serial0)"
        found = re.search(r"/dev/pts/\d+", said)
        if not found:
            pytest.fail(f"QEMU gives no port: {said}")
        self.port.symlink_to(found[0])

    def kill(self) -> None:
        """Kills it without a warning (kill -9). The port is gone, as in /dev: another may get its number."""
        self._process.kill()
        self._process.wait(5)
        self.port.unlink(missing_ok=True)
        self._process.stdout.close()
