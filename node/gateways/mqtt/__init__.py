"""MQTT: our things go to a broker, where Home Assistant finds them, and what others say there becomes our things."""

import re
from dataclasses import dataclass, field

from node.base.path import Path
from node.gateways.mqtt import incoming, out
from node.gateways.mqtt.client import Client
from node.gateways.mqtt.incoming.topics import Topic, check
from node.gateways.mqtt.names import level

PORT, TLS_PORT = 1883, 8883
LEVEL = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass
class Options:
    """`[gateway.mqtt]`."""

    broker: str = "localhost"
    port: int = 0  # 1883, or 8883 with TLS
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: Path | None = None  # of a broker whose certificate nobody else vouches for; says tls, too
    client_id: str = ""  # made of the node's domain
    keepalive: int = 60  # seconds of silence after which one asks whether the other is there
    publish: bool = True  # our things
    things: list[str] = field(default_factory=lambda: ["*"])  # which of them; names or patterns
    control: bool = True  # who may write to our topics may set controls: the broker's own access lists say who
    topic: str = "hobnode"  # all that we publish is below it
    announce: str = "homeassistant"  # our things for Home Assistant, below this; "" is off
    discovery: str = "homeassistant"  # others' things that are announced for Home Assistant; "" is off
    homie: str = "homie"  # devices by the Homie convention; "" is off
    topics: dict[str, Topic] = field(default_factory=dict)  # things that nobody announces

    def __post_init__(self):
        if not self.broker:
            raise ValueError("broker must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must be a port from 1 to 65535, or 0 for the usual one, not {self.port}")
        if not 5 <= self.keepalive <= 3600:
            raise ValueError(f"keepalive must be from 5 to 3600 seconds, not {self.keepalive}")
        for name in ("topic", "announce", "discovery", "homie"):
            text = getattr(self, name)
            if not all(map(LEVEL.match, text.split("/"))) and (text or name == "topic"):
                raise ValueError(f"{name} must be letters, digits, - and _, and / between levels, not {text!r}")
        self.tls = self.tls or self.ca is not None
        check(self.topics)
        self.port = self.port or (TLS_PORT if self.tls else PORT)


def setup(hub, options):
    node = level(hub.host.replace(".", "_"))
    status = f"{options.topic}/{node}/status"
    client = Client(hub.loop, options, status, options.client_id or f"hobnode-{node}")
    hub.provide("mqtt", client)
    if options.publish:
        out.setup(hub, client, options, node)
    if options.discovery or options.homie or options.topics:
        incoming.setup(hub, client, options)
    hub.on("started", client.start)
    hub.on("stopping", lambda: hub.spawn(client.leave(), "mqtt says goodbye"))
