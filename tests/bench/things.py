"""What things cost: processor, memory and time of a node with many boards, and what their readings write to disk."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from node.config import Config
from tests.bench import day
from tests.bench.home import Home
from tests.bench.street import DEADLINE
from tests.conftest import HOST, furnished

IN_MEMORY = 300  # readings, one a second: then they are written (node/things/history)
SOON = 4000  # readings a second when it is only their number that counts: less than a core can do
TOLD = re.compile(rb"<status>(\d+)\.0 ")


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    value: float
    unit: str


async def figures(folder: Path, things: int, followers: int, rounds: int, interval: float = 1) -> AsyncIterator[Figure]:
    """Of a node with so many things and followers of each. In a round, of `interval` seconds, each has a reading."""
    async with Home(folder, followers) as home:
        await home.has(1)
        before = home.memory()
        await home.has(1 + things)
        yield Figure("things, readings within the deadband", await share(home, rounds, interval, False), "% of a core")
        delays = Delays(home, (1 + things) * rounds * followers)
        yield Figure("things, each reading told", await share(home, rounds, interval, True), "% of a core")
        found = await delays.all_of_them()
        cuts = statistics.quantiles(found, n=100, method="inclusive")
        yield Figure("from a board's line to a presence, p50", cuts[49] * 1000, "ms")
        yield Figure("from a board's line to a presence, p99", cuts[98] * 1000, "ms")
        for _ in range(IN_MEMORY - 2 * rounds):
            await home.readings((1 + things) / SOON, far=False)
        yield Figure(f"a thing with {IN_MEMORY} readings", (home.memory() - before) / things / 1024, "KiB")
        home.boards[0].spews()
        used, begun = home.used(), time.monotonic()
        await asyncio.sleep(rounds * interval)
        noise = (home.used() - used) / (time.monotonic() - begun)
        yield Figure("a board that spews noise", noise * 100, "% of a core")


async def share(home: Home, rounds: int, interval: float, far: bool) -> float:
    """Percent of one core that the node uses while all boards say something in each round."""
    used, begun = home.used(), time.monotonic()
    for _ in range(rounds):
        await home.readings(interval, far)
    return (home.used() - used) / (time.monotonic() - begun) * 100


class Delays:
    """Seconds from a board's line to each presence that tells of it."""

    def __init__(self, home: Home, expected: int):
        self.home = home
        self.expected = expected
        self.found: list[float] = []
        self._complete = asyncio.Event()
        for follower in home.followers:
            follower.hears = self.hears

    def hears(self, heard: bytes) -> None:
        now = time.perf_counter()
        numbers = map(int, TOLD.findall(heard))
        self.found += [now - self.home.said[number] for number in numbers if number in self.home.said]
        if len(self.found) >= self.expected:
            self._complete.set()

    async def all_of_them(self) -> list[float]:
        async with asyncio.timeout(DEADLINE):
            await self._complete.wait()
        return self.found


def disk(folder: Path, sensors: int, seconds: int) -> list[Figure]:
    """What so many sensors, every ten seconds, have a node write in that time."""
    found = []
    for name, value in (("sensors that never rest", day.restless), ("sensors that never change", day.still)):
        with asyncio.Runner() as runner:
            data = folder / name.replace(" ", "-")
            config = Config(path=data / "hobnode.toml", domain=HOST, data=data)
            with furnished(runner.get_loop(), config, hasty=False) as hub:
                written = runner.run(day.written(hub, sensors, seconds, value))
        found.append(Figure(f"{sensors} {name}, written in a day", written / 1e6, "MB"))
    return found
