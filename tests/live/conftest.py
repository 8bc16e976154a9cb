"""What the live tests share."""

import asyncio
from functools import partial

import pytest

from tests.live.neighbours import HOME, neighbours
from tests.live.peers import DEADLINE, Node
from tests.live.simavr import Uno

ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]\n'


@pytest.fixture
def nodes(tmp_path):
    """`nodes(domain, ...)` makes a Node; all are ended with the test, and their logs are shown if it fails."""
    made: list[Node] = []

    def make(domain: str = "home.example", **options) -> Node:
        node = Node(tmp_path / f"{len(made)}-{domain}", domain, **options)
        made.append(node)
        return node

    yield make
    for node in made:
        node.stop()
        print(f"--- log of {node.domain}\n{node.said()}")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder for what the simulated boards are built of."""
    return tmp_path_factory.mktemp("uno")


@pytest.fixture
def uno(built, tmp_path):
    """An Arduino Uno with our firmware, at a serial port."""
    with Uno(built, tmp_path / "ttyACM0") as uno:
        yield uno


@pytest.fixture
def home(nodes):
    """A node where ann and bob live."""
    node = nodes()
    node.start()
    node.add("ann", "bob")
    return node


@pytest.fixture
def home_with(nodes):
    """`home_with(things)` is a node with what that TOML says, which all may see; ann lives there, and may set it."""

    def start(things: str, *others: str, within: tuple[str, ...] = (), **environment: str) -> Node:
        node = nodes(more=ACCESS + things, within=within)
        node.start(**environment)
        node.add("ann", *others)
        return node

    return start


@pytest.fixture
def two(nodes):
    """`two(at_cabin, at_home)` starts home and the cabin, which know each other; TOML for either."""
    return partial(neighbours, nodes)


@pytest.fixture
def stove(uno):
    """The board at the cabin, for `two`: ann may set it."""
    return (
        f'[access]\ncontrol = ["ann@{HOME}"]\napprove = ["@{HOME}"]\n'
        f'[thing.stove]\nboard = "arduino-uno"\nport = "{uno.port}"\n'
    )


@pytest.fixture
def run():
    """`run(coroutine)` in a loop of its own, with a deadline for all of it."""

    def run(work, timeout=4 * DEADLINE):
        async def within():
            async with asyncio.timeout(timeout):
                return await work

        return asyncio.run(within())

    return run
