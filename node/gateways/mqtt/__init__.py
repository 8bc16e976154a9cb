"""MQTT: our things go to a broker, where Home Assistant finds them, and what others say there becomes our things."""

import re
from dataclasses import dataclass, field

from node.base.path import Path
from node.gateways.mqtt import incoming, out
from node.gateways.mqtt.client import OFFLINE, Client
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
    neighbours: bool = False  # things that another hobnode announces: by federation they are contacts anyway
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


NOTHING = Options(publish=False, discovery="", homie="")  # of which the file says nothing

# Options that take another connection when they change, those by which what we have told is found no more, and those by
# which other things are found.
CONNECTION = (
    "broker",
    "port",
    "user",
    "password",
    "tls",
    "ca",
    "client_id",
    "keepalive",
    "topic",
    "publish",
    "announce",
)
TOLD = ("topic", "publish", "announce")
HEARD = ("broker", "port", "topic", "discovery", "homie", "neighbours")


def setup(hub, options):
    gateway = Gateway(hub, options)
    hub.provide("gateway.mqtt", gateway)
    hub.on("started", gateway.client.start)
    return gateway


async def reload(hub, options):
    """The file says something else of us; None: nothing. The node serves."""
    try:
        gateway = hub.need("gateway.mqtt")
    except KeyError:
        gateway = setup(hub, options)
        gateway.incoming.begin()
        gateway.client.start()
    else:
        await gateway.exchange(options or NOTHING)


class Gateway:
    """The broker, what we tell there, and what we hear."""

    def __init__(self, hub, options):
        self.options = options
        self.node = level(hub.host.replace(".", "_"))
        self.client = Client(hub.loop, *self.address(options))
        self.things = out.setup(hub, self.client, options, self.node)
        self.incoming = incoming.setup(hub, self.client, options)
        hub.on("stopping", lambda: hub.spawn(self.client.leave(), "mqtt says goodbye"))

    def address(self, options):
        """What Client has to know: how the broker is reached, the topic of our status, and our name there."""
        return options, f"{options.topic}/{self.node}/status", options.client_id or f"hobnode-{self.node}"

    async def exchange(self, options):
        """Does as these options say. Things stay what they are: they are gone for as long as we are not connected."""
        old, self.options = self.options, options

        def differs(names):
            return (
                NOTHING is old
                or NOTHING is options
                or any(getattr(options, each) != getattr(old, each) for each in names)
            )

        withdrawn, anew = differs(TOLD), differs(CONNECTION)
        if withdrawn:
            self.things.withdraw()
        if anew:
            await self.client.leave("" if withdrawn else OFFLINE)
            self.client.turn(*self.address(options))
        self.things.change(options)
        await self.incoming.change(options, anew=differs(HEARD))
        if anew and options is not NOTHING:
            self.client.start()
