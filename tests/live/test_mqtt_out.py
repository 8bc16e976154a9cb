"""Our things at a real broker (mosquitto): announced, told, commanded, and gone when they are gone."""

import asyncio
import json
import signal

import pytest

from node.net import certificate
from tests.live.mosquitto import Broker, Talker

ROOT = "hobnode/home_example"
CONFIG = "homeassistant/device/hobnode_home_example/porch/config"
GATEWAY = """
[gateway.mqtt]
broker = "{broker}"
port = {port}
discovery = ""
homie = ""
things = ["porch"]
{more}
"""
# A program that prints what stands in a file, and one that writes there.
PORCH = """
[thing.porch]
driver = "exec"
name = "Porch"
command = ["/usr/bin/tail", "-n", "+1", "-f", "{file}"]
interval = 0
[[thing.porch.fields]]
name = "temperature"
unit = "°C"
key = "temperature"
[[thing.porch.fields]]
name = "lamp"
type = "boolean"
key = "lamp"
[[thing.porch.controls]]
name = "lamp"
type = "boolean"
command = ["/bin/sh", "-c", "echo lamp={{value}} >> '{file}'"]
"""


class Home:
    """A node with a porch; `prints` is what the porch says of itself."""

    def __init__(self, node, folder):
        self.node = node
        self.file = folder / "porch"
        self.prints("temperature=21.40 lamp=0")

    def prints(self, line):
        with self.file.open("a") as file:
            file.write(f"{line}\n")

    def configure(self, broker, more="", things=PORCH, address="127.0.0.1"):
        gateway = GATEWAY.format(broker=address, port=broker.port, more=more)
        self.node.configure(gateway + things.format(file=self.file))


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def home(nodes, tmp_path):
    return Home(nodes(), tmp_path)


def values(**wanted):
    """Whether a state has these values, as they are spelled on the wire."""
    return lambda payload: (
        (state := json.loads(payload, parse_float=str))
        and all(state.get(name) == value for name, value in wanted.items())
    )


def test_a_thing_is_announced_told_and_commanded(home, broker):
    home.configure(broker)
    with Talker(broker) as talker:
        home.node.start()
        assert talker.hears(f"{ROOT}/status", lambda payload: payload == "online")
        told = json.loads(talker.hears(CONFIG))
        assert told["dev"]["name"] == "Porch"
        assert {name: each["p"] for name, each in told["cmps"].items()} == {"temperature": "sensor", "lamp": "light"}
        talker.hears(f"{ROOT}/porch/state", values(temperature="21.40", lamp="OFF"))
        home.prints("temperature=21.50")
        talker.hears(f"{ROOT}/porch/state", values(temperature="21.50", lamp="OFF"))
        talker.says(told["cmps"]["lamp"]["cmd_t"], "ON")
        talker.hears(f"{ROOT}/porch/state", values(lamp="ON"))
    assert "gateway.mqtt" in home.node.command("thing", "log", "porch").stdout
    with Talker(broker, f"{ROOT}/#") as late:
        assert late.hears(f"{ROOT}/porch/status") == "online"
        assert all(message.retained for message in late.came), "who comes later sees it too"


def test_after_a_broker_has_died_everything_is_told_anew(home, broker):
    home.configure(broker)
    home.node.start()
    with Talker(broker) as talker:
        talker.hears(f"{ROOT}/porch/state", values(temperature="21.40"))
        home.node.log.wait("mqtt: connected")
        broker.kill()
        home.prints("temperature=19.9")
        broker.start()
        talker.hears(CONFIG)
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "online")
        talker.hears(f"{ROOT}/porch/state", values(temperature="19.9"))
    home.node.log.wait("mqtt: connected")
    said = home.node.said()
    assert said.count("mqtt: connected") == 2
    assert said.count("is not connected") <= 2, "the loss, and why it lasts: no line for each attempt"


def test_a_node_that_was_killed_is_offline_by_its_last_will(home, broker):
    home.configure(broker)
    home.node.start()
    with Talker(broker) as talker:
        talker.hears(f"{ROOT}/status", lambda payload: payload == "online")
        home.node.stop(signal.SIGKILL)
        talker.hears(f"{ROOT}/status", lambda payload: payload == "offline")


def test_a_node_that_stops_says_so_and_is_quick_about_it(home, broker):
    home.configure(broker)
    home.node.start()
    with Talker(broker) as talker:
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "online")
        assert home.node.stop() == 0
        assert "does not hear our goodbye" not in home.node.said()
        talker.hears(f"{ROOT}/status", lambda payload: payload == "offline")


def test_a_node_whose_broker_hangs_stops_all_the_same(home, broker):
    home.configure(broker)
    home.node.start()
    with Talker(broker) as talker:
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "online")
        broker.process.send_signal(signal.SIGSTOP)
        try:
            assert home.node.stop() == 0
            home.node.log.wait("does not hear our goodbye")
        finally:
            broker.process.send_signal(signal.SIGCONT)


def test_a_wrong_password_is_told_in_words_and_once(home, tmp_path, run):
    with Broker(tmp_path, password="right") as broker:
        home.configure(broker, 'user = "home"\npassword = "wrong"')
        home.node.start()
        run(home.node.says("it refuses us: Not authorized; look at user and password of [gateway.mqtt]"))
        home.node.stop()
        home.configure(broker, 'user = "home"\npassword = "right"')
        home.node.start()
        run(home.node.says("mqtt: connected"))


def test_a_broker_with_a_certificate_of_its_own(home, tmp_path, run):
    certificate.make("localhost", tmp_path / "certificate.pem", tmp_path / "key.pem")
    files = f"certfile {tmp_path}/certificate.pem\nkeyfile {tmp_path}/key.pem"
    with Broker(tmp_path, more=files) as broker:
        home.configure(broker, "tls = true", address="localhost")
        home.node.start()
        run(home.node.says("its certificate is not accepted: self-signed certificate"))
        home.node.stop()
        home.configure(broker, f'ca = "{tmp_path}/certificate.pem"', address="localhost")
        home.node.start()
        run(home.node.says("mqtt: connected"))
        home.node.stop()
        assert home.node.said().count("says goodbye") == 0, "no complaints about it"


def test_the_topics_of_a_thing_that_is_taken_out_are_taken_away(home, broker):
    home.configure(broker)
    home.node.start()
    with Talker(broker) as talker:
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "online")
        home.configure(broker, things="")
        home.node.process.send_signal(signal.SIGHUP)
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "offline")
        talker.hears(CONFIG, lambda payload: payload == "")
        talker.hears(f"{ROOT}/porch/status", lambda payload: payload == "")
    with Talker(broker) as late:
        assert late.hears(f"{ROOT}/status") == "online"
        assert not [message for message in late.came if "porch" in message.topic]


def test_what_an_earlier_life_has_left_is_taken_away_and_another_nodes_things_stay(home, broker, run):
    other = "homeassistant/device/hobnode_cabin_example/porch/config"
    with Talker(broker) as talker:
        for topic in (other, "hobnode/cabin_example/porch/state"):
            talker.says(topic, "{}", retain=True)
        home.configure(broker)
        home.node.start()
        talker.hears(f"{ROOT}/porch/state")
        home.node.stop()
        home.configure(broker, things="")
        home.node.start()
        talker.hears(CONFIG, lambda payload: payload == "")
    with Talker(broker) as late:
        late.hears("hobnode/cabin_example/porch/state")
        run(asyncio.sleep(0))
    with Talker(broker, other) as late:
        late.hears(other)
