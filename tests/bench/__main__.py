"""What the hot path costs, in processor time for each stanza: `python -m tests.bench`, less than a minute.

Loopback TCP with TLS, the node's own port and store. To compare two states of the code, run it for each on a machine
that does nothing else; differences under a tenth are noise.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from node.config import Config
from node.net import certificate
from tests.bench.scenes import Scene, scenes
from tests.bench.street import Street
from tests.conftest import HOST, furnished


class Cost(NamedTuple):
    """Microseconds of processor time for one: the median of all rounds, the least and the most."""

    name: str
    median: float
    least: float
    most: float


async def costs(street: Street, pairs: int, times: int, rounds: int) -> AsyncIterator[Cost]:
    """A round says each scene `times` times; one round more, at the beginning, is for warming up."""
    async for scene in scenes(street, pairs):
        found = sorted([await one(street, scene, times) for _ in range(rounds + 1)][1:])
        yield Cost(scene.name, statistics.median(found), found[0], found[-1])


async def one(street: Street, scene: Scene, times: int) -> float:
    await street.settled()
    begun = street.clock()
    for _ in range(times):
        for exchange in scene.exchanges:
            await street.exchange(*exchange)
    await street.settled()
    return (street.clock() - begun) / (times * scene.units) * 1e6


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=50, help="of people who talk at the same time")
    parser.add_argument("--times", type=int, default=20, help="that each says his stanza in a round")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args(words)

    async def run(hub, *files: Path) -> None:
        async with Street(hub, *files) as street:
            print(f"{'processor time in µs for each':48}{'median':>8}{'least':>8}{'most':>8}")
            async for cost in costs(street, asked.pairs, asked.times, asked.rounds):
                print(f"{cost.name:48}{cost.median:8.1f}{cost.least:8.1f}{cost.most:8.1f}", flush=True)

    with TemporaryDirectory(prefix="bench-") as name, asyncio.Runner() as runner:
        folder = Path(name)
        files = folder / "certificate.pem", folder / "key.pem"
        certificate.make(HOST, *files)
        config = Config(path=folder / "hobnode.toml", domain=HOST, data=folder)
        with furnished(runner.get_loop(), config, hasty=False) as hub:
            runner.run(run(hub, *files))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
