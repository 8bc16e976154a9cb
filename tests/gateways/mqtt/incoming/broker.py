"""A broker that is none: what the gateway's client does, in memory and at once."""

import json
from pathlib import Path

from paho.mqtt.client import topic_matches_sub

from node.hub.driver import DriverError

# What publishers were heard to say.
RECORDED = Path(__file__).parent / "recorded"


class Broker:
    """The broker's side of a node, and the broker behind it. `deaf` topics are those to which nobody listens."""

    status = "hobnode/hub_local/status"

    def __init__(self):
        self.online = False
        self.retained: dict[str, bytes] = {}
        self.came: list[tuple[str, str]] = []  # what the node has published
        self.listeners: list[tuple[str, object]] = []
        self.watchers: list = []
        self.devices: dict[str, object] = {}  # what answers to a topic: called with the payload
        self.deaf: set[str] = set()

    def subscribe(self, filter, listener):
        self.listeners.append((filter, listener))
        if self.online:
            self._replay(filter, listener)

    def unsubscribe(self, filter, listener):
        self.listeners.remove((filter, listener))

    def publish(self, topic, payload, *, retain=False, qos=1):
        self.came.append((topic, payload))

    async def deliver(self, topic, payload, *, retain=False, timeout):
        if topic in self.deaf:
            raise DriverError(f"nobody on the MQTT broker listens to {topic}")
        self.came.append((topic, payload))
        if topic in self.devices:
            self.devices[topic](payload)

    def on_change(self, listener):
        self.watchers.append(listener)

    # What the test does

    def turn(self, online):
        self.online = online
        for filter, listener in list(self.listeners) if online else ():
            self._replay(filter, listener)
        for watcher in self.watchers:
            watcher(online)

    def says(self, topic, payload, retain=True):
        """Somebody publishes."""
        data = payload.encode() if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False).encode()
        if retain:
            self.retained[topic] = data
            if not data:
                del self.retained[topic]
        for filter, listener in list(self.listeners) if self.online else ():
            if topic_matches_sub(filter, topic):
                listener(topic, data, False)

    def plays(self, name):
        """A publisher says all that it was heard to say."""
        for each in json.loads((RECORDED / f"{name}.json").read_text()):
            self.says(each["topic"], each["payload"])

    def _replay(self, filter, listener):
        for topic, data in list(self.retained.items()):
            if topic_matches_sub(filter, topic):
                listener(topic, data, True)
