"""SIGHUP exchanges the broker, the password and the filters of a running node; two nodes share a broker (mosquitto)."""

import json
import signal

import pytest

from tests.gateways.mqtt.incoming.broker import RECORDED
from tests.live.mosquitto import Broker, Talker

ROOT = "hobnode/home_example"
CONFIG = "homeassistant/device/hobnode_home_example/hub/config"
AGAIN = "configuration have been read again"


def gateway(broker, more=""):
    return f'[gateway.mqtt]\nbroker = "127.0.0.1"\nport = {broker.port}\n{more}\n'


def folder(tmp_path, name):
    made = tmp_path / name
    made.mkdir()
    return made


async def read_again(node, more):
    node.configure(more)
    node.process.send_signal(signal.SIGHUP)
    await node.says(AGAIN)


@pytest.fixture
def home(nodes):
    return nodes()


def test_the_right_password(home, tmp_path, run):
    async def talk():
        with Broker(tmp_path, password="right") as broker:
            home.configure(gateway(broker, 'user = "home"\npassword = "wrong"'))
            home.start()
            await home.says("it refuses us: Not authorized")
            await read_again(home, gateway(broker, 'user = "home"\npassword = "right"'))
            with Talker(broker, user="home", password="right") as talker:
                talker.hears(f"{ROOT}/hub/status", lambda payload: payload == "online")

    run(talk())


def test_another_broker(home, tmp_path, run):
    async def talk():
        with Broker(folder(tmp_path, "one")) as one, Broker(folder(tmp_path, "two")) as two:
            home.configure(gateway(one))
            home.start()
            with Talker(one) as before, Talker(two) as after:
                for each in json.loads((RECORDED / "zigbee2mqtt_lamp.json").read_text()):
                    before.says(each["topic"], each["payload"], retain=True)
                before.hears(f"{ROOT}/hub/status", lambda payload: payload == "online")
                await home.says("kitchen-lamp: online")
                await read_again(home, gateway(two))
                before.hears(f"{ROOT}/status", lambda payload: payload == "offline")
                after.hears(f"{ROOT}/hub/status", lambda payload: payload == "online")
                await home.says("kitchen-lamp: offline: ")
                for each in json.loads((RECORDED / "zigbee2mqtt_lamp.json").read_text()):
                    after.says(each["topic"], each["payload"], retain=True)
                await home.says("kitchen-lamp: online")
                assert "kitchen-lamp@home.example" in home.said() and "kitchen-lamp-2" not in home.said()

    run(talk())


def test_the_table_comes_and_goes(home, tmp_path, run):
    async def talk():
        with Broker(tmp_path) as broker, Talker(broker) as talker:
            home.configure()
            home.start()
            await read_again(home, gateway(broker))
            talker.hears(CONFIG)
            await read_again(home, "")
            talker.hears(CONFIG, lambda payload: payload == "")
            talker.hears(f"{ROOT}/status", lambda payload: payload == "")
            await read_again(home, gateway(broker, 'things = ["porch"]'))
            talker.hears(f"{ROOT}/status", lambda payload: payload == "online")
            with Talker(broker) as late:
                late.hears(f"{ROOT}/status")
                assert not [message for message in late.came if message.topic == CONFIG]

    run(talk())


def test_two_nodes_on_one_broker(nodes, home, tmp_path, run):
    cabin = nodes("cabin.example")

    async def talk():
        with Broker(tmp_path) as broker, Talker(broker) as talker:
            for node in (cabin, home):
                node.configure(gateway(broker))
                node.start()
            talker.hears(CONFIG)
            await home.says("mqtt: things of another hobnode, such as")
            assert "taken in from MQTT" not in home.said()
            await read_again(home, gateway(broker, "neighbours = true"))
            await home.says("hub: taken in from MQTT as hub-2@home.example")
            await home.says("hub-2: online")
            assert "taken in from MQTT" not in cabin.said()
            cabin.stop(signal.SIGKILL)
            await home.says("hub-2: offline: hobnode/cabin_example/status says 'offline'")

    run(talk())
