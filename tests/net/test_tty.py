"""The serial port, with a pseudo-terminal for a cable."""

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
import threading

import pytest

from node.net import tty
from node.net.tty import Tty, TtyError
from tests.conftest import until

DEADLINE = 3  # seconds for anything here


class Ears:
    """Keeps what a Tty tells."""

    def __init__(self):
        self.heard = b""
        self.news = asyncio.Event()
        self.reasons = asyncio.Queue()

    def received(self, data):
        self.heard += data
        self.news.set()

    def closed(self, reason):
        self.reasons.put_nowait(reason)

    async def hears(self, count):
        """Waits until so many bytes have come, and takes all that came."""
        async with asyncio.timeout(DEADLINE):
            while len(self.heard) < count:
                self.news.clear()
                await self.news.wait()
        heard, self.heard = self.heard, b""
        return heard

    async def loses(self):
        return await asyncio.wait_for(self.reasons.get(), DEADLINE)


@pytest.fixture
def cable():
    """(the far end, the path of the near end)"""
    far, near = pty.openpty()
    os.set_blocking(far, False)
    yield far, os.ttyname(near)
    os.close(near)
    with contextlib.suppress(OSError):  # the test may have pulled it
        os.close(far)


async def connect(path):
    ears = Ears()
    port = Tty(path, 115200, ears)
    await port.open(DEADLINE)
    return port, ears


def descriptors():
    """What this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return found


async def read(far):
    """What comes to the far end, when something has come."""
    loop, something = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(far, something.set)
    await something.wait()
    loop.remove_reader(far)
    return os.read(far, 65536)


def test_bytes_come_as_they_were_sent(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        sent = bytes(range(256))
        os.write(cable[0], sent)
        assert await ears.hears(256) == sent
        port.close()

    run(talk())


def test_lines_go_out_at_once(run, cable):
    async def talk():
        port, _ = await connect(cable[1])
        port.write(b"one\n")
        port.write(b"two\n")
        assert port._unsent == b"", "they are in the kernel's hands"
        got = b""
        async with asyncio.timeout(DEADLINE):
            while got != b"one\ntwo\n":
                got += await read(cable[0])
        port.close()

    run(talk())


def test_a_flood_is_read_no_faster_than_the_limit(run, cable, later):
    async def talk():
        port, ears = await connect(cable[1])

        async def flood(turns):
            for _ in range(turns):
                with contextlib.suppress(BlockingIOError):  # the cable is full: the board has to wait
                    os.write(cable[0], b"noise\n" * 500)
                await asyncio.sleep(0)

        for second in (1, 2):
            while len(ears.heard) < second * tty.RATE:
                await flood(1)
            await flood(1000)
            assert len(ears.heard) <= second * (tty.RATE + tty.CHUNK)
            later(1)
        port.close()

    run(talk())


def test_a_board_that_does_not_read_is_not_waited_for(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        with pytest.raises(TtyError, match="takes no more: the board does not read"):
            while True:
                port.write(b"x" * 99 + b"\n")
        got = b""
        async with asyncio.timeout(DEADLINE):  # it reads after all: nothing was torn
            while len(got) % 100 or not got.endswith(b"\n") or port._unsent:
                got += await read(cable[0])
        assert set(got.split(b"\n")) == {b"x" * 99, b""}
        port.close()

    run(talk())


def test_a_pulled_cable_is_noticed_at_once(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        os.close(cable[0])
        assert await asyncio.wait_for(ears.reasons.get(), 0.5) == f"USB cable gone: {cable[1]}"
        with pytest.raises(TtyError, match="is closed"):
            port.write(b"hello\n")
        port.close()
        assert ears.reasons.empty(), "told once"

    run(talk())


def test_a_cable_that_is_found_pulled_while_writing_is_told_too(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        os.close(cable[0])
        with pytest.raises(TtyError, match="USB cable gone"):
            port.write(b"hello\n")
        assert "USB cable gone" in await ears.loses()

    run(talk())


def test_after_close_nothing_is_heard(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        port.close()
        again, other = await connect(cable[1])
        os.write(cable[0], b"late\n")
        assert await other.hears(5) == b"late\n"
        assert (ears.heard, ears.reasons.empty()) == (b"", True)
        again.close()

    run(talk())


def test_a_port_can_be_opened_again(run, cable):
    async def talk():
        port, ears = await connect(cable[1])
        port.close()
        await port.open(DEADLINE)
        os.write(cable[0], b"again")
        assert await ears.hears(5) == b"again"
        port.close()

    run(talk())


def test_a_port_that_is_not_there_says_so(run):
    with pytest.raises(TtyError, match="no board at /dev/ttyNONE: is the USB cable in"):
        run(connect("/dev/ttyNONE"))


def test_a_port_of_somebody_else_says_so(run, cable):
    async def talk():
        port, _ = await connect(cable[1])
        with pytest.raises(TtyError, match="in use by another program"):
            await connect(cable[1])
        port.close()

    run(talk())


def test_a_file_that_is_no_port_says_so(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TtyError, match="cannot be opened"):
        run(connect(str(tmp_path / "file")))


def test_a_port_whose_driver_hangs_does_not_hold_us_up(run, cable, monkeypatch):
    import serial

    hanging, closed = threading.Event(), threading.Event()

    class Hanging(serial.Serial):
        def open(self):
            hanging.wait(DEADLINE)
            super().open()

        def close(self):
            super().close()
            closed.set()

    monkeypatch.setattr(serial, "Serial", Hanging)

    async def talk():
        port = Tty(cable[1], 115200, Ears())
        with pytest.raises(TtyError, match="does not open: its driver hangs"):
            await port.open(0.05)
        with pytest.raises(TtyError, match="unplug it"):
            await port.open(0.05)
        hanging.set()
        assert await asyncio.to_thread(closed.wait, DEADLINE)
        await until(lambda: not port._opening)
        assert descriptors().count(cable[1]) == 1, "opened too late, so closed again: one is the test's"

    run(talk())


def test_an_open_port_is_one_descriptor(run, cable):
    """Of 1024 that a process has: pyserial's pipes would take four more, for each board."""

    async def talk():
        before = descriptors()
        port, _ = await connect(cable[1])
        assert sorted(descriptors()) == sorted([*before, cable[1]])
        port.close()
        assert sorted(descriptors()) == sorted(before)

    run(talk())


def test_the_library_is_loaded_by_the_first_port_only():
    code = "import sys, node.net.tty, node.drivers.line; sys.exit('serial' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0
