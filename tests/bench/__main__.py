"""What the hot path costs, in processor time for each stanza, and what things cost: `python -m tests.bench`, a minute
each.

Loopback TCP with TLS, the node's own port and store; for things a node of its own, terminals as serial ports, and a
day whose clock is moved. To compare two states of the code, run it for each on a machine that does nothing else;
differences under a tenth are noise. What comes seldom finds cold caches: a reading of 200 in a second costs several
times what one of 4000 does.
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
from tests.bench import things
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
    parser.add_argument("--things", type=int, default=200)
    parser.add_argument("--followers", type=int, default=5, help="of each thing")
    parser.add_argument("--seconds", type=int, default=10, help="for which each thing has a reading every second")
    parser.add_argument("--hours", type=int, default=24, help="of a day")
    parser.add_argument("--only", choices=("stanzas", "things"))
    asked = parser.parse_args(words)

    with TemporaryDirectory(prefix="bench-") as name:
        if asked.only != "things":
            stanzas(Path(name), asked)
        if asked.only != "stanzas":
            hardware(Path(name), asked)
    return 0


def stanzas(folder: Path, asked: argparse.Namespace) -> None:
    async def run(hub, *files: Path) -> None:
        async with Street(hub, *files) as street:
            print(f"{'processor time in µs for each':48}{'median':>8}{'least':>8}{'most':>8}")
            async for cost in costs(street, asked.pairs, asked.times, asked.rounds):
                print(f"{cost.name:48}{cost.median:8.1f}{cost.least:8.1f}{cost.most:8.1f}", flush=True)

    with asyncio.Runner() as runner:
        files = folder / "certificate.pem", folder / "key.pem"
        certificate.make(HOST, *files)
        config = Config(path=folder / "hobnode.toml", domain=HOST, data=folder)
        with furnished(runner.get_loop(), config, hasty=False) as hub:
            runner.run(run(hub, *files))


def hardware(folder: Path, asked: argparse.Namespace) -> None:
    def show(figure: things.Figure) -> None:
        print(f"{figure.name:48}{figure.value:8.2f} {figure.unit}", flush=True)

    async def run() -> None:
        async for figure in things.figures(folder / "home", asked.things, asked.followers, asked.seconds):
            show(figure)

    print(f"{asked.things} things, each with {asked.followers} followers and a reading a second")
    asyncio.run(run())
    for figure in things.disk(folder, 20, asked.hours * 3600):
        show(figure)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
