"""The benchmark runs, and measures what it says; how much that is, no test asks."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.bench.__main__ import costs, main
from tests.bench.street import HERE, Street
from tests.bench.things import disk, figures

NAMES = (
    "ping",
    "iq between two clients, there and back",
    "message, archived for both",
    "message, not archived",
    "message, not archived, and a carbon copy of it",
    "presence, for each who hears it",
)


def test_each_scene_is_played_and_costs_something(hub, run, files):
    async def all_of_them():
        async with Street(hub, *files) as street:
            return [cost async for cost in costs(street, pairs=2, times=2, rounds=3)]

    found = run(all_of_them())
    assert tuple(cost.name for cost in found) == NAMES
    assert all(0 < cost.least <= cost.median <= cost.most for cost in found)


def test_what_people_do_is_not_counted(hub, files, monkeypatch):
    used = 0.0
    clocks = SimpleNamespace(process_time=lambda: used, thread_time=lambda: used)
    monkeypatch.setattr("tests.bench.street.time", clocks)
    street = Street(hub, *files)
    used += 3
    with street._not_counted():
        used += 5
    used += 4
    assert street.clock() == 7


def test_what_is_not_heard_as_often_as_it_should_be_is_no_measurement(hub, run, files, monkeypatch):
    async def story():
        async with Street(hub, *files) as street:
            await street.build(["ann"])
            ann = await street.home_of("ann")
            with pytest.raises(AssertionError, match="was heard 2 times, not 1"):
                await street.exchange([(ann, HERE + HERE)], b"id='here'", 1)
            monkeypatch.setattr("tests.bench.street.DEADLINE", 0)
            with pytest.raises(AssertionError, match="was heard 0 times, not 1"):
                await street.exchange([], b"id='here'", 1)

    run(story())


def test_the_table_has_a_line_for_each(capsys, monkeypatch):
    monkeypatch.setattr("node.hub.store.PATIENCE", 0)
    assert main(["--only", "stanzas", "--pairs", "2", "--times", "1", "--rounds", "1"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line[:48].strip() for line in lines] == list(NAMES)
    assert head.split()[-3:] == ["median", "least", "most"]


def test_what_things_cost_is_measured_with_a_node_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.bench.things.IN_MEMORY", 20)

    async def story():
        return [figure async for figure in figures(tmp_path, things=2, followers=1, rounds=2, interval=0.05)]

    found = asyncio.run(story())
    assert [figure.unit for figure in found] == ["% of a core"] * 2 + ["ms"] * 2 + ["KiB", "% of a core"]
    # Of the rest so little is done here that the kernel's clock of a process, and its pages, may not show it.
    assert all(figure.value > 0 for figure in found if figure.unit == "ms")


def test_what_is_written_is_counted_and_less_where_nothing_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("node.hub.store.PATIENCE", 0)
    restless, still = disk(tmp_path, sensors=2, seconds=7200)
    assert restless.value > still.value > 0
