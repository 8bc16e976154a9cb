"""What a crowd of connections leaves behind is given back, and nothing is done for a few."""

import asyncio

import pytest

from node.net import memory
from node.net.memory import CROWD, Crowd, give_back


@pytest.fixture
def given(monkeypatch):
    """Set when memory was given back."""
    given = asyncio.Event()
    monkeypatch.setattr(memory, "give_back", given.set)
    monkeypatch.setattr(memory, "PAUSE", 0.01)
    return given


def run(steps, given, *, waits):
    async def scene():
        crowd = Crowd(asyncio.get_running_loop())
        for now in steps:
            crowd.count(now)
        assert (crowd._timer is not None) == waits
        if waits:
            await asyncio.wait_for(given.wait(), 5)

    asyncio.run(scene())


def test_after_a_crowd_has_left_memory_is_given_back(given):
    run([1, CROWD + 5, 5], given, waits=True)


def test_for_a_few_who_come_and_go_nothing_is_done(given):
    run([1, CROWD, 1, CROWD, 1], given, waits=False)


def test_one_crowd_is_cleaned_up_after_once(given):
    async def scene():
        crowd = Crowd(asyncio.get_running_loop())
        crowd.count(CROWD)
        crowd.count(0)
        await asyncio.wait_for(given.wait(), 5)
        crowd.count(1)
        crowd.count(0)
        assert crowd._timer is None

    asyncio.run(scene())


def test_giving_back_works_wherever_we_run():
    give_back()


def test_a_c_library_that_cannot_trim_is_no_trouble(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    give_back()
