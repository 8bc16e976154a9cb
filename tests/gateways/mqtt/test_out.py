"""Our things on a broker: what is told when, which commands are taken, and what is taken away."""

import json
import logging
from unittest.mock import Mock

import pytest
from paho.mqtt.client import topic_matches_sub

from node.base.jid import parse
from node.gateways.mqtt import Options, out
from node.hub.driver import Control, Field
from node.hub.thing import Thing
from tests.conftest import settle, until
from tests.gateways.mqtt.rules import check
from tests.things.board import Board

ROOT = "hobnode/hub_local"
CONFIG = "homeassistant/device/hobnode_hub_local/{}/config"
PORCH = CONFIG.format("porch")
ATTIC = [(CONFIG.format("attic"), ""), (f"{ROOT}/attic/state", ""), (f"{ROOT}/attic/status", "")]


class Wire:
    """A client whose broker is the test. `told` is what was published since it was last asked."""

    def __init__(self):
        self.status = f"{ROOT}/status"
        self.online = True
        self.listeners = []
        self.watchers = []
        self.letters = []

    def subscribe(self, filter, listener):
        self.listeners.append((filter, listener))

    def on_change(self, watcher):
        self.watchers.append(watcher)

    def publish(self, topic, payload, *, retain=False, qos=1):
        assert self.online
        assert retain, "all that we tell is kept"
        self.letters.append((topic, payload))

    def turns(self, online):
        self.online = online
        for watcher in self.watchers:
            watcher(online)

    def says(self, topic, payload, retained=False):
        for filter, listener in self.listeners:
            if topic_matches_sub(filter, topic):
                listener(topic, payload.encode(), retained)

    @property
    def told(self):
        letters, self.letters = self.letters, []
        return letters

    @property
    def topics(self):
        return [topic for topic, _ in self.told]


@pytest.fixture
def options():
    return Options()


@pytest.fixture
def wire(hub, options):
    wire = Wire()
    out.setup(hub, wire, options, "hub_local")
    return wire


@pytest.fixture
def told(wire, porch):
    """The wire, when the porch has been told."""
    wire.turns(True)
    assert wire.told
    return wire


def audit(hub, run, thing):
    return [(line.who, line.way, line.what, line.outcome) for line in run(hub.need("audit").lines(thing.jid, 100))]


def commands(hub, wire, topic, *payloads):
    for payload in payloads:
        wire.says(topic, payload)
    settle(hub)


def test_when_the_broker_is_there_all_is_told(wire, porch):
    wire.letters.clear()
    wire.turns(True)
    (first, config), status, state = wire.told
    assert first == PORCH
    check(json.loads(config))
    assert status == (f"{ROOT}/porch/status", "online")
    assert state[0] == f"{ROOT}/porch/state"
    assert json.loads(state[1], parse_float=str)["temperature"] == "21.40"


def test_without_a_broker_nothing_is_told(wire, porch, board):
    wire.turns(False)
    wire.letters.clear()
    porch.report({"temperature": "1"})
    porch._turn(online=False, reason="reset")
    assert wire.told == []


def test_what_a_thing_can_do_is_not_told_before_it_is_known(hub, wire):
    """Its entities of an earlier life stay, as they are: not available."""
    thing = Thing(jid=parse("attic@hub.local"), label="Attic", kind="script", driver=Board(hub.loop))
    hub.tell("thing", thing)
    assert wire.told == [(f"{ROOT}/attic/status", "offline")]
    wire.says(CONFIG.format("attic"), '{"cmps": {"old": {"p": "sensor", "uniq_id": "x"}}}', retained=True)
    assert wire.told == []
    thing._turn(online=True, reason="")
    assert wire.topics == [CONFIG.format("attic"), f"{ROOT}/attic/status", f"{ROOT}/attic/state"]


def test_readings_are_told_once_a_second(told, porch, loop, monkeypatch):
    now = loop.time() + 10
    monkeypatch.setattr(loop, "time", lambda: now)
    timers = []
    monkeypatch.setattr(loop, "call_at", lambda at, *what: timers.append((at, what)) or Mock())
    for value in ("1", "2", "3"):
        porch.report({"temperature": value})
    assert [json.loads(state)["temperature"] for _, state in told.told] == [1]
    ((at, (tell, face)),) = timers
    assert at == now + out.PAUSE
    tell(face)
    assert [json.loads(state)["temperature"] for _, state in told.told] == [3]


def test_what_was_set_is_told_at_once(told, porch):
    porch.report({"temperature": "1"})
    porch.report({"lamp": "true"})
    assert json.loads(told.told[-1][1])["lamp"] == "ON"


def test_what_has_not_changed_is_not_told_again(told, porch):
    porch.report({"lamp": "true"})
    assert len(told.told) == 1
    porch.report({"lamp": "true"})
    assert told.told == []


def test_a_board_that_is_lost_is_offline(told, porch, board, run, hub):
    board.pull("cable gone")
    settle(hub)
    run(until(lambda: not porch.online))
    assert (f"{ROOT}/porch/status", "offline") in told.told


def test_a_command_is_carried_out_and_stands_in_the_audit(told, porch, hub, board, run):
    commands(hub, told, f"{ROOT}/porch/lamp/set", "ON")
    assert board.written == [("lamp", "true")]
    assert json.loads(told.told[-1][1])["lamp"] == "ON"
    assert audit(hub, run, porch) == [("hub.local", "gateway.mqtt", "lamp=true", "done")]


def test_an_old_wish_is_no_command(told, hub, board):
    told.says(f"{ROOT}/porch/lamp/set", "ON", retained=True)
    settle(hub)
    assert board.written == []


def test_a_command_that_fails_leaves_the_state_as_it_is_and_says_why(told, porch, hub, board, run):
    board.fault = "the relay is stuck"
    commands(hub, told, f"{ROOT}/porch/lamp/set", "ON")
    assert json.loads(told.told[-1][1])["lamp"] == "OFF"
    assert audit(hub, run, porch)[0][3] == "failed: Porch: the relay is stuck"


@pytest.mark.parametrize(
    ("control", "payload"), [("fade", "4096"), ("mode", "hot"), ("lamp", "maybe"), ("lamp", "\ufffd")]
)
def test_a_value_that_cannot_be_is_not_written(told, porch, hub, board, run, control, payload):
    commands(hub, told, f"{ROOT}/porch/{control}/set", payload)
    assert board.written == []
    assert audit(hub, run, porch)[0][3].startswith("failed: ")


def test_commands_for_nothing_are_nothing(told, hub, board):
    for topic in ("porch/lamp", "porch/nothing/set", "attic/lamp/set", "porch/lamp/x/set", "porch"):
        commands(hub, told, f"{ROOT}/{topic}", "ON")
    assert board.written == []


def test_who_commands_without_end_is_refused(told, porch, hub, board, run, later):
    for _ in range(out.COMMANDS + 5):
        commands(hub, told, f"{ROOT}/porch/lamp/set", "ON")
        later(0.001)
    assert len(board.written) == out.COMMANDS
    assert "more than 30 commands" in audit(hub, run, porch)[-1][3]


class TestWithoutControl:
    @pytest.fixture
    def options(self):
        return Options(control=False)

    def test_nobody_sets_anything(self, told, porch, hub, board, run):
        commands(hub, told, f"{ROOT}/porch/lamp/set", "ON")
        assert board.written == []
        assert audit(hub, run, porch) == [("hub.local", "gateway.mqtt", "lamp=true", "refused")]


class TestSomeThings:
    @pytest.fixture
    def options(self):
        return Options(things=["p*", "attic"], announce="")

    def test_only_those_are_told_that_the_file_names(self, hub, wire, porch, run):
        for name, kind in (("cellar", "script"), ("attic", "mqtt")):
            thing = Thing(jid=parse(f"{name}@hub.local"), label=name, kind=kind, driver=Board(hub.loop))
            hub.tell("thing", thing)
        wire.turns(True)
        assert set(wire.topics) == {f"{ROOT}/porch/status", f"{ROOT}/porch/state"}


def test_home_assistant_that_has_been_started_is_told_all(told, porch):
    told.says("homeassistant/status", "online", retained=True)
    told.says("homeassistant/status", "offline")
    assert told.told == []
    told.says("homeassistant/status", "online")
    assert told.topics == [PORCH, f"{ROOT}/porch/status", f"{ROOT}/porch/state"]


def test_an_entity_that_is_no_more_is_said_to_be_gone(told, porch, board):
    board.fields = tuple(each for each in board.fields if each.name != "humidity")
    porch._describe()
    porch._turn(online=False, reason="reset")
    (topic, config), *_ = told.told
    assert topic == PORCH
    assert json.loads(config)["cmps"]["humidity"] == {"p": "sensor"}


def test_tables_in_tables_in_the_place_of_an_announcement_are_passed_over(told):
    told.says(PORCH, "[" * 100_000, retained=True)
    assert told.told == []


def test_an_entity_of_an_earlier_life_is_said_to_be_gone_and_one_that_was_gone_then_is_not(told, porch):
    before = {"cmps": {"old": {"p": "sensor", "uniq_id": "x"}, "older": {"p": "switch"}}}
    told.says(PORCH, json.dumps(before), retained=True)
    ((_, config),) = told.told
    components = json.loads(config)["cmps"]
    assert components["old"] == {"p": "sensor"}
    assert "older" not in components
    assert "temperature" in components


def test_an_entity_that_has_become_another_is_taken_away_before(told, porch):
    before = {"cmps": {"lamp": {"p": "binary_sensor", "uniq_id": "x"}}}
    told.says(PORCH, json.dumps(before), retained=True)
    (_, gone), (_, config) = told.told
    assert json.loads(gone)["cmps"]["lamp"] == {"p": "binary_sensor"}
    lamp = json.loads(config)["cmps"]["lamp"]
    assert (lamp["p"], lamp["name"]) == ("light", "Lamp")
    told.says(PORCH, config, retained=True)
    assert told.told == []


@pytest.mark.parametrize(
    "payload", ["", "[]", "{", '{"cmps": 1}', '{"cmps": {"a": 1}}', '{"cmps": {"a": {"q": 1, "r": 2}}}']
)
def test_nonsense_in_the_place_of_an_announcement_is_passed_over(told, payload):
    told.says(PORCH, payload, retained=True)
    assert told.told == []


@pytest.mark.parametrize("first", [CONFIG.format("attic"), f"{ROOT}/attic/state"])
def test_what_is_left_of_a_thing_that_is_no_more_is_taken_away(told, first):
    told.says(first, "{}", retained=True)
    assert told.told == ATTIC
    told.says(f"{ROOT}/a\nb/state", "{}", retained=True)
    told.says(f"{ROOT}/attic/state", "{}")
    told.says(f"{ROOT}/attic/state", "", retained=True)
    told.says(f"{ROOT}/status", "online", retained=True)
    told.says(f"{ROOT}/porch/state", "{}", retained=True)
    assert told.told == [], "that is ours"


def test_it_is_taken_away_once_in_a_connection_whatever_is_left_of_it(told, caplog):
    caplog.set_level(logging.INFO, "hobnode")
    for _ in range(2):
        for topic, _ in ATTIC:
            told.says(topic, "{}", retained=True)
        assert told.told == ATTIC
        assert [record.getMessage() for record in caplog.records] == ["mqtt: the topics of attic are taken away"]
        caplog.clear()
        told.turns(False)
        told.turns(True)
        told.letters.clear()


def test_a_thing_that_was_taken_away_came_back_and_went_again_is_taken_away_again(told, porch, hub, loop, monkeypatch):
    later = []
    monkeypatch.setattr(loop, "call_later", lambda seconds, *what: later.append(what))
    for _ in range(2):
        hub.tell("thing gone", porch)
        forget, name = later.pop()
        told.letters.clear()
        forget(name)
        assert told.topics == [PORCH, f"{ROOT}/porch/state", f"{ROOT}/porch/status"]
        hub.tell("thing", porch)


def test_a_thing_that_is_taken_out_is_offline_and_then_forgotten(told, porch, hub, loop, monkeypatch):
    later = []
    monkeypatch.setattr(loop, "call_later", lambda seconds, *what: later.append((seconds, what)))
    hub.tell("thing gone", porch)
    assert told.told == [(f"{ROOT}/porch/status", "offline")]
    ((seconds, (forget, name)),) = later
    assert seconds == out.GRACE
    forget(name)
    assert told.topics == [PORCH, f"{ROOT}/porch/state", f"{ROOT}/porch/status"]


def test_a_thing_that_comes_back_at_once_is_not_forgotten(told, porch, hub, loop, monkeypatch):
    later = []
    monkeypatch.setattr(loop, "call_later", lambda seconds, *what: later.append(what))
    hub.tell("thing gone", porch)
    hub.tell("thing", porch)
    told.letters.clear()
    forget, name = later[0]
    forget(name)
    assert told.told == []


def test_names_with_any_letters_have_topics_of_their_own(hub, wire):
    driver = Board(hub.loop)
    driver.fields = (Field("wärme#", unit="°C"), Field("licht+", "boolean"))
    driver.controls = (Control("licht+", "boolean"),)
    thing = Thing(jid=parse("küche@hub.local"), label="Küche", kind="script", driver=driver)
    hub.tell("thing", thing)
    thing._turn(online=True, reason="")
    letters = dict(wire.told)
    (config,) = (json.loads(text) for topic, text in letters.items() if topic.endswith("/config"))
    check(config)
    (command,) = (each["cmd_t"] for each in config["cmps"].values() if "cmd_t" in each)
    assert not set(command) & set("+#ü")
    commands(hub, wire, command, "ON")
    assert driver.written == [("licht+", "true")]
