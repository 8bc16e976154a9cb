"""The file is read again: another broker, another password, other filters."""

import asyncio
import json
from dataclasses import replace

import pytest

from node.base.jid import parse
from node.gateways import mqtt
from node.gateways.mqtt import Options, client, incoming
from node.gateways.mqtt.incoming.topics import FieldTopic, Topic
from tests.conftest import until
from tests.gateways.mqtt.broker import Broker

ROOT = "hobnode/hub_local"
CONFIG = "homeassistant/device/hobnode_hub_local/porch/config"
LAMP = json.dumps({"stat_t": "lamp", "cmd_t": "lamp/set", "dev": {"ids": ["l1"], "name": "Hall lamp"}}).encode()
ANNOUNCED = "homeassistant/switch/l1/config"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(client, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(client, "LAST_RETRY", 0.01)
    monkeypatch.setattr(incoming, "GATHER", 0)
    monkeypatch.setattr(incoming, "GRACE", 0)
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.HEAR", 0)
    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 0)


@pytest.fixture
def options(broker):
    return Options(broker="127.0.0.1", port=broker.port)


@pytest.fixture
def home(hub, run, broker, options, quick, porch):
    """A gateway at the broker, which has heard of the porch."""
    gateway = mqtt.setup(hub, options)
    gateway.hub = hub

    async def begin():
        hub.tell("started")
        await broker.until(lambda: f"{ROOT}/porch/state" in broker.topics)

    run(begin())
    yield gateway
    for thing in list(hub.things.values()):
        if thing.kind == "mqtt":
            run(thing.stop())
    gateway.incoming._stop()
    run(gateway.client.leave())


@pytest.fixture
def other(run):
    broker = Broker()
    run(broker.start())
    yield broker
    run(broker.stop())


def reads(home, broker, run, **changed):
    broker.filters.clear()  # what is asked for from now on
    run(mqtt.reload(home.hub, replace(home.options, **changed)))


def last(broker, topic):
    return [each.payload for each in broker.came if each.topic == topic][-1]


def lamp(hub):
    return hub.things.get(parse("hall-lamp@hub.local"))


def announces(home, broker, run):
    async def announce():
        await broker.until(lambda: "homeassistant/+/+/config" in broker.filters)
        broker.says(ANNOUNCED, LAMP)
        await until(lambda: lamp(home.hub) is not None and lamp(home.hub).online)

    run(announce())


def test_another_password_is_another_connection_and_nothing_else(home, broker, run):
    announces(home, broker, run)
    before = lamp(home.hub)
    reads(home, broker, run, user="home", password="new")
    run(broker.until(lambda: "lamp" in broker.filters))
    assert b"\x00\x04home\x00\x03new" in broker.connects[1] and broker.goodbyes == 1
    assert lamp(home.hub) is before and before.driver.known
    run(until(lambda: before.online))
    assert last(broker, CONFIG) and last(broker, f"{ROOT}/status") == b"online"


def test_another_broker_knows_nothing_of_what_this_one_has_announced(home, broker, other, run):
    announces(home, broker, run)
    before = lamp(home.hub)
    reads(home, broker, run, port=other.port)
    run(other.until(lambda: f"{ROOT}/porch/state" in other.topics))
    assert last(broker, f"{ROOT}/status") == b"offline" and last(broker, CONFIG), "who still looks there sees it gone"
    assert lamp(home.hub) is before, "its followers stay"
    run(until(lambda: not before.online and "nobody has announced it" in before.reason))
    assert "lamp" not in other.filters
    announces(home, other, run)
    assert lamp(home.hub) is before


def test_why_another_broker_is_not_connected_is_said_though_it_is_the_same_reason(home, broker, other, run, said):
    broker.reason = other.reason = 0x87
    for port in (broker.port, other.port):
        reads(home, broker, run, port=port, password=f"{port}")
        run(until(lambda port=port: f"127.0.0.1:{port} is not connected: it refuses us: Not authorized" in said()))


def test_another_prefix_leaves_nothing_behind(home, broker, run):
    reads(home, broker, run, topic="house")
    run(broker.until(lambda: "house/hub_local/porch/state" in broker.topics))
    old = [topic for topic in dict.fromkeys(broker.topics) if topic.startswith(ROOT)]
    assert {topic: last(broker, topic) for topic in old} == dict.fromkeys(old, b"")
    assert b"house/hub_local/porch/state" in last(broker, CONFIG)


def test_other_things_are_told_without_a_new_connection(home, broker, run, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.out.GRACE", 0)
    reads(home, broker, run, things=["attic"])
    run(broker.until(lambda: last(broker, CONFIG) == b""))
    reads(home, broker, run, things=["p*"])
    run(broker.until(lambda: last(broker, CONFIG)))
    assert len(broker.connects) == 1


def test_discovery_is_switched_off_and_on(home, broker, run):
    announces(home, broker, run)
    reads(home, broker, run, discovery="")
    run(broker.until(lambda: "homeassistant/+/+/config" in broker.taken_back and "lamp" in broker.taken_back))
    assert lamp(home.hub) is None and len(broker.connects) == 1
    reads(home, broker, run, discovery="homeassistant")
    announces(home, broker, run)


def test_topics_come_change_and_go(home, broker, run):
    announces(home, broker, run)
    tank = {"tank": FieldTopic("garden/tank")}
    for name in ("Garden", "Yard"):
        reads(home, broker, run, topics={"garden": Topic(name=name, fields=tank)})
        assert home.hub.things[parse("garden@hub.local")].label == name
    assert lamp(home.hub).online and len(broker.connects) == 1
    reads(home, broker, run, topics={})
    assert parse("garden@hub.local") not in home.hub.things


def test_the_table_goes_and_comes(home, broker, run):
    announces(home, broker, run)
    run(mqtt.reload(home.hub, None))
    assert last(broker, CONFIG) == last(broker, f"{ROOT}/status") == b"" and broker.goodbyes == 1
    assert lamp(home.hub) is None and not home.client.online
    broker.filters.clear()
    run(mqtt.reload(home.hub, Options(broker="127.0.0.1", port=broker.port, publish=False)))
    announces(home, broker, run)
    assert last(broker, CONFIG) == b""


def test_a_first_table_needs_no_restart_either(hub, broker, options, porch, quick, run):
    run(mqtt.reload(hub, options))
    run(broker.until(lambda: f"{ROOT}/porch/state" in broker.topics))
    run(mqtt.reload(hub, None))
    run(asyncio.sleep(0))
    hub.need("gateway.mqtt").incoming._stop()
