"""kill -9 in the middle of things: nothing that was acked is lost or there twice, and the node is up again in 2 s.

ROUNDS deaths at random moments under load, and one death at every commit of a conversation. A developer who is in a
hurry says `CRASH_ROUNDS=10 python -m pytest tests/live/test_crash.py -k load`, and repeats a failure by its seed with
`CRASH_SEED`.
"""

import asyncio
import os
import shutil
import signal
import statistics
import sys
from collections import Counter

import pytest

from tests.live.conversation import PEOPLE, Conversation
from tests.live.household import Household, starts
from tests.live.peers import Node, Person

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "200"))
SEED = int(os.environ.get("CRASH_SEED", "6120"))
LANES = 2  # nodes at once, each with a data folder of its own on which recovery builds on recovery


@pytest.mark.timeout(900)
def test_nothing_that_was_acked_is_lost_when_the_node_is_killed_under_load(nodes, run, capsys):
    houses = []
    for lane in range(LANES):
        home = nodes(f"home{lane}.example", more="[limits]\nrate = 0")
        home.start()
        home.add("ann", "bob", "carol")
        home.stop(signal.SIGKILL)
        houses.append(Household(home, SEED + lane))

    async def live():
        await asyncio.gather(*(house.lives(-(-ROUNDS // LANES)) for house in houses))

    run(live(), 880)
    took = [seconds for house in houses for seconds in house.starts]
    counts = sum((house.book.counts for house in houses), Counter())
    kills = sum(house.kills for house in houses)
    with capsys.disabled():
        print(f"\nkilled {kills} times; seconds from start to ready: {spread(took)}")
        print(f"{sum(len(house.book.letters) for house in houses)} messages:", dict(counts.most_common()))
    assert kills >= ROUNDS


@pytest.mark.timeout(900)
def test_nothing_that_was_confirmed_is_lost_when_the_node_is_killed_at_any_commit(nodes, run, capsys):
    homes = {moment: nodes(f"{moment}.example", more="[limits]\nrate = 0") for moment in ("before", "after")}

    async def live():
        return await asyncio.gather(*(dies_at_every_commit(home, moment) for moment, home in homes.items()))

    commits = run(live(), 880)
    with capsys.disabled():
        print(f"\nkilled before each of {commits[0]} commits, and behind each of {commits[1]}")
    assert min(commits) > len(PEOPLE)  # it has died at all


async def dies_at_every_commit(home: Node, moment: str) -> int:
    """One life for each commit of the conversation, and another one after it. How many commits it has."""
    home.start()
    home.add(*PEOPLE)
    home.stop(signal.SIGTERM)
    template = home.data.with_name("template")
    shutil.copytree(home.data, template)
    number = 0
    while True:
        number += 1
        shutil.rmtree(home.data)
        shutil.copytree(template, home.data)
        talk = Conversation(home)
        home.within = (sys.executable, "-m", "tests.live.killed_at", moment, str(number))
        whole = await begins(home) and await talk.goes_on()
        home.within = ()
        try:
            if whole:  # there is no such commit any more
                home.stop(signal.SIGKILL)
            assert await asyncio.to_thread(home.process.wait) == -signal.SIGKILL
            await talk.breaks_off()
            await asyncio.to_thread(starts, home)
            await talk.proves()
            assert await talk.goes_on(), "the node died of itself"
            await talk.proves_all()
        except Exception as error:
            step = [*talk.steps, "the end"][talk.confirmed]
            raise AssertionError(f"killed {moment} commit {number}, in {step!r}: {error!r}") from error
        home.stop(signal.SIGKILL)
        await talk.breaks_off()
        if whole:
            return number - 1


async def begins(home: Node) -> bool:
    """Whether it came so far as to be ready."""
    try:
        await asyncio.to_thread(home.start)
    except AssertionError:
        if home.process.returncode != -signal.SIGKILL:
            raise
        return False
    return True


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f} (least, median, most)"


@pytest.mark.parametrize("what", ["add", "passwd", "remove"])
def test_an_account_that_was_confirmed_survives_kill_9(nodes, run, what):
    home = nodes("home.example")
    home.start()
    home.add("ann")
    if what == "passwd":
        assert home.command("user", "passwd", "ann@home.example", "--password-stdin", input="new").returncode == 0
    if what == "remove":
        assert home.command("user", "remove", "ann@home.example").returncode == 0
    home.stop(signal.SIGKILL)
    home.start()

    async def talk():
        if what == "remove":
            with pytest.raises(ConnectionError):
                await Person("ann@home.example", home).logs_in()
        else:
            await Person("ann@home.example", home, password="new" if what == "passwd" else "secret").logs_in()

    run(talk())


def test_a_card_that_was_confirmed_survives_kill_9(nodes, run):
    home = nodes("home.example")
    home.start()
    home.add("ann")

    async def talk(first):
        ann = await Person("ann@home.example/phone", home, plugins=("xep_0054",)).logs_in()
        if first:
            card = ann.plugin["xep_0054"].make_vcard()
            card["FN"] = "Ann"
            await ann.plugin["xep_0054"].publish_vcard(card)
            home.stop(signal.SIGKILL)
        else:
            answer = await ann.plugin["xep_0054"].get_vcard("ann@home.example")
            assert answer["vcard_temp"]["FN"] == "Ann"

    run(talk(True))
    home.start()
    run(talk(False))
