"""What a day of readings writes to disk: the clocks are moved, and what goes to files is counted."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from node.base.jid import make
from node.hub.hub import Hub
from node.hub.thing import Thing
from tests.conftest import HOST
from tests.things.board import Board

START = 1795305600.0  # 2026-11-22T00:00:00Z
PERIOD = 10  # seconds from one reading to the next
TURNS = 3  # of the loop, for what is due
FLUSH = 300  # seconds: what is written together, else the tests' haste would make several commits of it


async def written(hub: Hub, sensors: int, seconds: int, value: Callable[[int, int], str]) -> int:
    """Bytes that a node with so many sensors writes in that time; `value(sensor, period)` is what one reads."""
    loop = hub.loop
    ahead, real = 0, loop.time

    def now() -> float:
        return START + ahead

    with patch.object(loop, "time", lambda: real() + ahead), patch("time.time", now):
        things = [Thing(make(f"sensor{number}", HOST), "", "bench", Board(loop), now) for number in range(sensors)]
        for thing in things:
            hub.things[thing.jid] = thing
            hub.tell("thing", thing)
            thing.start()
        hub.tell("started")
        before = to_files()
        while ahead < seconds:
            ahead += PERIOD
            for number, thing in enumerate(things):
                thing.report({"temperature": value(number, ahead // PERIOD)})
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if ahead % FLUSH == 0:
                await hub.store.things.committed()
        await asyncio.gather(*(thing.stop() for thing in things))
    return to_files() - before


def to_files() -> int:
    """Bytes that this process has written to files since its start, of all threads; sockets are not counted."""
    words = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(words["wchar"])


def restless(sensor: int, period: int) -> str:
    """Each reading is another one, by more than noise."""
    return f"{20 + sensor % 5 + (period * 7 + sensor) % 40 * 0.2:.1f}"


def still(sensor: int, period: int) -> str:
    """Never another one."""
    return f"{20 + sensor}.0"
