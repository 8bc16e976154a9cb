"""Lamps of others become contacts by themselves: mosquitto, publishers' recorded announcements, slixmpp."""

import asyncio
import json
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.gateways.mqtt.incoming.broker import RECORDED
from tests.live.mosquitto import Broker, Talker
from tests.live.peers import DEADLINE, Person

LAMP = "kitchen-lamp@home.example"
STATE = "zigbee2mqtt/Kitchen lamp"
TEMPLATE = "{{ value_json.t | float | round(1) }}"
NAMES = (
    *("zigbee2mqtt_sensor", "zigbee2mqtt_thermostat", "esphome", "esphome_climate", "tasmota", "openmqttgateway"),
    *("device_based", "template_lights", "homie5", "homie4", "homie3_array"),
)
ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]'


class Zigbee2Mqtt:
    """Plays Zigbee2MQTT with one lamp: announces it at each connect, does what it is told, and says so."""

    def __init__(self, broker: Broker, name: str = "zigbee2mqtt_lamp", obeys: bool = True):
        self.obeys = obeys
        self.told: list[dict] = []
        self.recorded = {each["topic"]: each["payload"] for each in json.loads((RECORDED / f"{name}.json").read_text())}
        self.state = json.loads(self.recorded.pop(STATE))
        self._ready = threading.Event()
        self._paho = paho.Client(CallbackAPIVersion.VERSION2, client_id="zigbee2mqtt")
        self._paho.on_connect = self._connected
        self._paho.on_message = self._commanded
        self._paho.on_subscribe = lambda *about: self._ready.set()
        self._paho.reconnect_delay_set(1, 1)
        self._paho.connect("127.0.0.1", broker.port)
        self._paho.loop_start()
        assert self._ready.wait(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._paho.disconnect()
        self._paho.loop_stop()

    def _connected(self, client, *about):
        client.subscribe([(f"{STATE}/set", 1), ("homeassistant/status", 1)])
        for topic, payload in self.recorded.items():
            client.publish(topic, payload, qos=1, retain=True)
        client.publish(STATE, json.dumps(self.state), qos=1)

    def _commanded(self, client, data, message):
        if message.topic == "homeassistant/status":
            client.publish(STATE, json.dumps(self.state), qos=1)
            return
        said = json.loads(message.payload)
        self.told.append(said)
        if self.obeys:
            self.state |= said
            client.publish(STATE, json.dumps(self.state), qos=1)


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def home(nodes, broker):
    node = nodes(more=f'{ACCESS}\n[gateway.mqtt]\nbroker = "127.0.0.1"\nport = {broker.port}')
    node.start()
    node.add("ann")
    return node


def tale(story):
    """A test that is told in a loop of its own."""

    def test(home, broker, run):
        run(story(home, broker))

    return test


def of(name, condition):
    return lambda stanza: (
        stanza.name == "presence" and stanza["from"].bare == f"{name}@home.example" and condition(stanza)
    )


async def ann_at(home):
    return await Person("ann@home.example/phone", home, plugins=("xep_0004", "xep_0050")).logs_in()


async def follows(ann, home, name, text):
    """Ann follows a thing, until it shows that text, and has greeted her: what she hears then is an answer."""
    await home.says(f"taken in from MQTT as {name}@")
    ann.send_presence_subscription(f"{name}@home.example")
    greets = f"{name}@home.example"
    return await ann.hears(
        of(name, lambda stanza: text in stanza["status"]),
        lambda stanza: stanza.name == "message" and stanza["from"].bare == greets,
    )


async def answers(ann, thing, question, condition):
    """Asks until that is the answer: what is said at the broker is on its way for a moment."""
    async with asyncio.timeout(DEADLINE):
        while not condition(await ann.says(thing, question)):
            pass


@tale
async def test_a_lamp_becomes_a_contact_by_itself_and_is_switched(home, broker):
    with Zigbee2Mqtt(broker) as lamp:
        ann = await ann_at(home)
        await follows(ann, home, "kitchen-lamp", "light off")
        begun = time.monotonic()
        answer = await ann.says(LAMP, "light on")
        print(f"confirmed in {(time.monotonic() - begun) * 1000:.1f} ms: {answer}")
        assert "on" in answer and lamp.told == [{"state": "ON"}]
        assert "on" in await ann.says(LAMP, "light?")
        assert "20" in await ann.says(LAMP, "set brightness 20")
        assert lamp.told[-1] == {"state": "ON", "brightness": 51}
        await ann.leaves()


@tale
async def test_a_lamp_that_does_not_obey_is_answered_within_the_deadline(home, broker):
    with Zigbee2Mqtt(broker, obeys=False):
        ann = await ann_at(home)
        await follows(ann, home, "kitchen-lamp", "light off")
        answer = await ann.says(LAMP, "light on")
        assert "it has not said within 4.5 s that light is on; it says off" in answer, answer
        await ann.leaves()


@tale
async def test_unplugged_and_plugged_in_again(home, broker):
    with Zigbee2Mqtt(broker), Talker(broker) as talker:
        ann = await ann_at(home)
        await follows(ann, home, "kitchen-lamp", "light off")
        talker.says(f"{STATE}/availability", '{"state":"offline"}', retain=True)
        gone = await ann.hears(of("kitchen-lamp", lambda stanza: stanza["type"] == "unavailable"))
        assert gone["status"] == "zigbee2mqtt/Kitchen lamp/availability says 'offline'"
        talker.says(f"{STATE}/availability", '{"state":"online"}', retain=True)
        await ann.hears(of("kitchen-lamp", lambda stanza: "light off" in stanza["status"]))
        await ann.leaves()


@tale
async def test_the_broker_is_killed_and_started(home, broker):
    with Zigbee2Mqtt(broker):
        ann = await ann_at(home)
        await follows(ann, home, "kitchen-lamp", "light off")
        broker.kill()
        gone = await ann.hears(of("kitchen-lamp", lambda stanza: stanza["type"] == "unavailable"))
        assert gone["status"] == "the MQTT broker is not connected"
        assert "offline" in await ann.says(LAMP, "light on")
        broker.start()
        await ann.hears(
            of("kitchen-lamp", lambda stanza: stanza["type"] == "available" and "light" in stanza["status"])
        )
        assert "on" in await ann.says(LAMP, "light on")
        await ann.leaves()


@tale
async def test_followers_stay_when_the_node_starts_before_the_broker(home, broker):
    with Zigbee2Mqtt(broker):
        ann = await ann_at(home)
        await follows(ann, home, "kitchen-lamp", "light off")
        await ann.leaves()
        home.stop()
        broker.kill()
        home.start()
        ann = await ann_at(home)
        broker.start()
        await ann.hears(of("kitchen-lamp", lambda stanza: "light" in stanza["status"]))
        assert ann.client_roster[LAMP]["subscription"] == "to"
        await ann.leaves()


@tale
async def test_what_others_were_heard_to_announce(home, broker):
    with Talker(broker) as talker:
        for name in NAMES:
            for each in json.loads((RECORDED / f"{name}.json").read_text()):
                talker.says(each["topic"], each["payload"], retain=True)
        ann = await ann_at(home)
        told = {
            "balcony": "4.30 °C",
            "boiler": "48.3 °C",
            "washer": "412 W",
            "lywsd03mmc-aabbcc": "19.8 °C",
            "garden-gate": "lock locked · door closed",
            "heating": "48.50 °C",
            "greenhouse": "17.20 °C",
            "bathroom-radiator": "19.8 °C · target 21.5 °C · mode auto",
            "bedroom-ac": "24.3 °C",
            "shelly-rgbw2": "strip on",
            "super-car": "back lights intensity 0 %",
        }
        for name, text in told.items():
            await follows(ann, home, name, text)
        assert talker.came, "what is retained is said"
        published = [message.topic for message in talker.came if message.topic.startswith("hobnode/")]
        assert published and not any("balcony" in topic or "boiler" in topic for topic in published), published
        await ann.leaves()


@tale
async def test_a_button_is_pressed_a_part_is_away_and_the_thing_is_forgotten(home, broker):
    porch, about = "porch@home.example", {"ids": ["porch"], "name": "Porch"}
    parts = {
        "b": {"p": "event", "name": "Button", "uniq_id": "b", "stat_t": "porch/b", "evt_typ": ["single", "double"]},
        "t": {"p": "sensor", "name": "Air", "uniq_id": "t", "stat_t": "porch/t", "avty_t": "porch/t/there"},
        "s": {"p": "vacuum", "name": "Robot", "uniq_id": "s", "stat_t": "porch/s", "cmd_t": "porch/s/set"},
    }
    table = {"dev": about, "o": {"name": "box"}, "avty_t": "porch/there", "cmps": parts}
    with Talker(broker) as talker:
        for topic, said in (
            ("porch/there", "online"),
            ("porch/t/there", "online"),
            ("porch/t", "4.30"),
            ("porch/s", '{"state": "docked"}'),
            ("porch/b", '{"event_type": "double"}'),
            ("homeassistant/device/porch/config", json.dumps(table)),
        ):
            talker.says(topic, said, retain=True)
        ann = await ann_at(home)
        await follows(ann, home, "porch", "robot docked")
        assert "none" in await ann.says(porch, "button?"), "what is kept has happened before"
        await ann.says(porch, "watch button")
        talker.says("porch/b", '{"event_type": "single"}')
        await ann.hears(lambda stanza: stanza.name == "message" and "Button is single (it was none" in stanza["body"])
        await answers(ann, porch, "air?", lambda text: "4.30" in text)
        talker.says("porch/t/there", "offline", retain=True)
        await answers(ann, porch, "air?", lambda text: "4.30" not in text)
        assert "docked" in await ann.says(porch, "robot?")
        assert "porch@home.example is online" in home.command("thing", "forget", "porch").stderr
        talker.says("homeassistant/device/porch/config", "", retain=True)
        await home.says("no longer announced on MQTT")
        assert home.command("thing", "forget", "porch").stdout.startswith("forgot porch@home.example: followers")
        assert "forget porch" in home.command("thing", "log", "hub").stdout
        assert "forget porch" not in home.command("thing", "log", "porch").stdout
        await ann.leaves()


@tale
async def test_ten_thousand_announcements_leave_the_node_awake(home, broker):
    with Talker(broker, "none") as talker:
        ann = await ann_at(home)

        def announces():
            for number in range(10_000):
                about = {"ids": [f"d{number}"], "name": f"Device {number}"}
                table = {"stat_t": f"d{number}/state", "val_tpl": TEMPLATE, "uniq_id": f"d{number}", "dev": about}
                talker.says(f"homeassistant/sensor/d{number}/t/config", json.dumps(table))

        announcing = asyncio.create_task(asyncio.to_thread(announces))
        slowest, begun = 0.0, time.monotonic()
        while not announcing.done():
            asked = time.monotonic()
            await ann.plugin["xep_0199"].ping("home.example", timeout=DEADLINE)
            slowest = max(slowest, time.monotonic() - asked)
        status = Path(f"/proc/{home.process.pid}/status").read_text()
        memory = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        print(f"slowest ping {slowest * 1000:.0f} ms, {memory}, {time.monotonic() - begun:.1f} s")
        await home.says("more are not taken in")
        assert home.said().count("taken in from MQTT as") == 500
        await ann.leaves()
