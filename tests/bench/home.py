"""A node as a process of its own, boards at its serial ports, and people who follow them all."""

import asyncio
import itertools
import json
import os
import pty
import random
import time
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.bench.street import DEADLINE, HERE, Device
from tests.conftest import HOST
from tests.live.peers import Node

FIELDS = [
    {"name": "temperature", "unit": "°C", "deadband": 0.5},
    {"name": "light", "unit": "lx", "shown": False},
    {"name": "lamp", "type": "boolean"},
]
HELLO = {"hello": "bench", "protocol": 1, "fields": FIELDS, "controls": [{"name": "lamp", "type": "boolean"}]}
SETTINGS = '[limits]\nrate = 0\n[presence]\ninterval = 1\n[access]\napprove = ["@{host}"]\n'
THING = '[thing.{name}]\ndriver = "line"\nport = "{port}"\nheartbeat = 60\n'
NOISE = 4096  # bytes at once: what a terminal holds


class Board:
    """Speaks the line protocol (boards/README.md) at the other end of a real terminal."""

    def __init__(self, name: str):
        self.name = name
        self.spewed = 0  # bytes
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._asked)

    def says(self, temperature: str, light: int) -> None:
        os.write(self._master, f'{{"temperature":{temperature},"light":{light},"lamp":false}}\n'.encode())

    def spews(self) -> None:
        """From now on random bytes, as many as the port takes."""
        os.set_blocking(self._master, False)
        self._loop.add_writer(self._master, self._spew)

    def _spew(self) -> None:
        with suppress(BlockingIOError):
            self.spewed += os.write(self._master, random.randbytes(NOISE))

    def close(self) -> None:
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _asked(self) -> None:
        for line in os.read(self._master, 4096).splitlines():
            os.write(self._master, json.dumps(HELLO if b"hello" in line else {"pong": 1}).encode() + b"\n")


class Follower(Device):
    """Hears all that comes at once; `hears` is told of the bytes of whole stanzas."""

    def __init__(self, address: tuple[str, int], jid: str):
        super().__init__(address, jid)
        self.hears: Callable[[bytes], object] = len

    def begins(self) -> None:
        asyncio.get_running_loop().add_reader(self.sock, self._comes)

    def _comes(self) -> None:
        self.listens()
        whole, end, rest = self.heard.rpartition(b">")
        self.heard = rest
        self.hears(whole + end)

    async def says_and_hears(self, data: bytes, marker: bytes, times: int) -> None:
        """Says something, and waits until it has heard the marker so often."""
        missing = times
        done = asyncio.Event()

        def hears(heard: bytes) -> None:
            nonlocal missing
            missing -= heard.count(marker)
            if missing <= 0:
                done.set()

        self.hears = hears
        self.sock.setblocking(True)
        self.says(data)
        self.sock.setblocking(False)
        async with asyncio.timeout(DEADLINE):
            await done.wait()


class Home:
    """`async with Home(folder, followers) as home`; `has(200)` boards then, and all people follow them all."""

    def __init__(self, folder: Path, followers: int):
        self.node = Node(folder, HOST)
        self.boards: list[Board] = []
        self.followers: list[Follower] = []
        self.said: dict[
            int, float
        ] = {}  # when, by the number of the reading, which is its temperature if it is far off
        self._turn = itertools.count(100)
        self._names = [f"ann{number}" for number in range(followers)]

    async def __aenter__(self) -> "Home":
        await asyncio.to_thread(self.node.add, *self._names)
        return self

    async def __aexit__(self, *error) -> None:
        await self._stop()
        for board in self.boards:
            board.close()

    async def has(self, count: int) -> None:
        """So many boards. When all follow them the node is started anew: nothing is left of how that came."""
        fresh = [Board(f"board{number}") for number in range(len(self.boards), count)]
        self.boards += fresh
        things = "".join(THING.format(name=board.name, port=board.port) for board in self.boards)
        self.node.configure(SETTINGS.format(host=HOST) + things)
        await self._start()
        asked = "".join(f"<presence to='{board.name}@{HOST}' type='subscribe'/>" for board in fresh)
        for follower in self.followers:
            await follower.says_and_hears(asked.encode(), b"Hello, I am", len(fresh))
        # So that their first readings may be told at once, as the others are: they have been seen without.
        await self._start(b"no reading yet", count)

    async def _start(self, marker: bytes = b"id='here'", times: int = 1) -> None:
        await self._stop()
        online = self.node.said().count(": online") + 1 + len(self.boards)  # the machine itself is one, too
        await asyncio.to_thread(self.node.start)
        while self.node.said().count(": online") < online:
            await self.node.says(": online")
        for name in self._names:
            address = self.node.address, self.node.tls_port
            follower = await asyncio.to_thread(Follower, address, f"{name}@{HOST}/phone")
            follower.begins()
            self.followers.append(follower)
            await follower.says_and_hears(b"<presence/>" + HERE, marker, times)

    async def _stop(self) -> None:
        for follower in self.followers:
            asyncio.get_running_loop().remove_reader(follower.sock)
            follower.sock.close()
        self.followers.clear()
        await asyncio.to_thread(self.node.stop)

    async def readings(self, seconds: float, far: bool) -> None:
        """One of each board, one after the other in that time; far from the one before, or within the deadband."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for index, board in enumerate(self.boards, 1):
            number = next(self._turn)
            self.said[number] = time.perf_counter()
            board.says(f"{number}.0" if far else f"20.{number // len(self.boards) % 3}", number % 1000)
            await asyncio.sleep(max(0, begun + index * seconds / len(self.boards) - loop.time()))

    def used(self) -> float:
        """Seconds of processor time that the node has used."""
        return time.clock_gettime(~self.node.process.pid << 3 | 2)  # its clock, as clock_getcpuclockid(3) makes it

    def memory(self) -> int:
        """Bytes that nobody else can have: private and written to."""
        lines = Path(f"/proc/{self.node.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty")) * 1024
