"""What the live tests share."""

import asyncio

import pytest

from tests.live.peers import DEADLINE, Node


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


@pytest.fixture
def run():
    """`run(coroutine)` in a loop of its own, with a deadline for all of it."""

    def run(work, timeout=4 * DEADLINE):
        async def within():
            async with asyncio.timeout(timeout):
                return await work

        return asyncio.run(within())

    return run
