"""One word that many things share does not hold up everybody else."""

import asyncio
from collections import Counter

import pytest

from node.gateways.mqtt.incoming import signs
from node.gateways.mqtt.incoming.far import ONLINE, Presence, Sign
from node.gateways.mqtt.incoming.signs import Signs
from tests.conftest import until

BRIDGE = "zigbee2mqtt/bridge/state"
LAMPS = 5 * signs.SLICE


class Turns:
    """Counts the turns of the loop."""

    def __init__(self, loop):
        self.now = 0
        self._loop = loop
        self._next = loop.call_soon(self._turn)

    def _turn(self):
        self.now += 1
        self._next = self._loop.call_soon(self._turn)

    def stop(self):
        self._next.cancel()


@pytest.fixture
def turns(loop):
    turns = Turns(loop)
    yield turns
    turns.stop()


def watched(broker, turns):
    """Signs with many watchers, and who of them was called in which turn."""
    shared, calls = Signs(broker), []
    for number in range(LAMPS):
        shared.watch(BRIDGE, lambda number=number: calls.append((number, turns.now)))
    broker.online = True
    return shared, calls


def test_those_who_share_a_word_hear_of_it_a_few_in_a_turn(broker, run, turns):
    _, calls = watched(broker, turns)

    async def speak():
        broker.says(BRIDGE, "offline")
        await until(lambda: len(calls) == LAMPS)

    run(speak())
    assert [number for number, _ in calls] == list(range(LAMPS))
    assert set(Counter(turn for _, turn in calls).values()) == {signs.SLICE}


def test_the_opposite_in_the_middle_is_what_counts_in_the_end(broker, run, turns):
    shared, calls = watched(broker, turns)
    meant = Presence((Sign(BRIDGE, lambda message: ONLINE if message.text == "online" else "it is off"),))
    verdicts = {}

    async def speak():
        broker.says(BRIDGE, "offline")
        await until(lambda: len(calls) > signs.SLICE)
        broker.says(BRIDGE, "online")
        before = len(calls)
        assert before < LAMPS
        await until(lambda: len({number for number, _ in calls[before:]}) == LAMPS)
        verdicts.update((number, shared.judge(meant)) for number, _ in calls[before:])
        assert len(calls) == before + LAMPS, "whose turn had not come is called once"

    run(speak())
    assert set(verdicts.values()) == {ONLINE}
    assert max(Counter(turn for _, turn in calls).values()) == signs.SLICE


def test_a_watcher_that_fails_does_not_silence_what_comes_after(broker, run, turns, loop):
    shared, calls = Signs(broker), []
    loop.set_exception_handler(lambda loop, context: calls.append(str(context["exception"])))
    for number in range(LAMPS):
        shared.watch(BRIDGE, lambda number=number: calls.append(number) if number != signs.SLICE else 1 / 0)
    broker.online = True

    async def speak():
        broker.says(BRIDGE, "offline")
        await until(lambda: LAMPS - 1 in calls)

    run(speak())
    assert "division by zero" in calls


def lamps(home, count):
    for number in range(count):
        table = {"stat_t": f"lamp/{number}", "avty_t": BRIDGE, "dev": {"ids": [f"l{number}"], "name": f"Lamp {number}"}}
        home.broker.says(f"homeassistant/binary_sensor/l{number}/config", table)
    home.broker.says(BRIDGE, "online")
    return [f"lamp-{number}" for number in range(count)]


@pytest.mark.parametrize("word", ["the bridge", "the broker"])
def test_lamps_that_go_together_go_a_few_in_a_turn(home, run, turns, word):
    home.begin()
    names = []
    home.does(lambda: names.extend(lamps(home, LAMPS)))
    things = [home.there(name) for name in names]
    news = []
    for thing in things:
        thing.on_change(lambda thing, names: news.append((turns.now, thing.online)))

    async def goes():
        home.broker.says(BRIDGE, "offline") if word == "the bridge" else home.broker.turn(False)
        await until(lambda: len(news) == LAMPS)

    run(goes())
    assert not any(thing.online for thing in things)
    assert set(Counter(turn for turn, _ in news).values()) == {signs.SLICE}


def test_a_bridge_that_is_back_at_once_leaves_all_lamps_online(home, run):
    home.begin()
    names = []
    home.does(lambda: names.extend(lamps(home, LAMPS)))
    things = [home.there(name) for name in names]
    went = []
    for thing in things:
        thing.on_change(lambda thing, names: went.append(thing) if not thing.online else None)

    async def blinks():
        home.broker.says(BRIDGE, "offline")
        await until(lambda: went)
        home.broker.says(BRIDGE, "online")
        await asyncio.sleep(0)

    run(blinks())
    run(until(lambda: all(thing.online for thing in things)))
    assert 0 < len(went) < LAMPS
