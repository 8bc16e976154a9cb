"""The Homie convention, 5: a device describes itself in one JSON document, its values have topics of their own."""

import asyncio
import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from node.gateways.mqtt.incoming import Incoming, Way, colors, meanings
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.entity import word
from node.gateways.mqtt.incoming.far import ONLINE, Far, Order, Presence, Sign, Source, by_topic, same
from node.gateways.mqtt.incoming.meanings import KINDS, Meaning
from node.gateways.mqtt.incoming.templates import Message, finder
from node.hub import board
from node.hub.driver import Control, Field
from node.net.grumble import Grumble

LABEL = 60  # characters, as of all others
PROPERTIES = 64  # of one device; as many as a board may have fields
DEVICES = 600  # that are remembered: some more than may become things

ID = re.compile(r"[a-z0-9-]{1,64}\Z", re.ASCII)  # §Topic IDs
NODE = re.compile(r"[a-z0-9-]{1,64}(_\d{1,3})?\Z", re.ASCII)  # and elements of an array of Homie 3
STATES = {  # §Device Lifecycle, and `alert` of Homie 4
    "ready": ONLINE,
    "sleeping": ONLINE,
    "alert": ONLINE,
    "init": "it is being started",
    "disconnected": "it has said goodbye to the broker",
    "lost": "it was lost without a word",
}
TYPES = {  # ours, by those of Homie; json is for programs
    "integer": "integer",
    "float": "quantity",
    "boolean": "boolean",
    "string": "string",
    "enum": "enum",
    "color": "string",
    "datetime": "dateTime",
    "duration": "duration",
}
COLORS = {"rgb": "rgb", "hsv": "hs"}  # in which we can say one
EMPTY = "\0"  # §Empty string values


def ways(incoming: Incoming, client: Any, domain: str) -> tuple[Way, ...]:
    from node.gateways.mqtt.incoming.homie4 import Homie4

    return Homie5(incoming, client, f"{domain}/5"), Homie4(incoming, client, domain)


class Homie5:
    def __init__(self, incoming: Incoming, client: Any, root: str):
        self._incoming = incoming
        self._client = client
        self._root = root
        self._known: dict[str, bytes] = {}  # the description of each device that has a $state
        self._noise = Grumble("mqtt: %s: %d descriptions of Homie were not understood; the last: %s")
        client.subscribe(f"{root}/+/$state", self._state)

    def turned(self, online: bool) -> None:
        """All that a device says is kept at the broker."""

    def close(self) -> None:
        self._client.unsubscribe(f"{self._root}/+/$state", self._state)
        for device in self._known:
            self._client.unsubscribe(f"{self._root}/{device}/$description", self._described)

    def _state(self, topic: str, payload: bytes, retained: bool) -> None:
        device = topic.split("/")[-2]
        if not ID.match(device):
            return
        description = f"{self._root}/{device}/$description"
        if payload and device not in self._known and len(self._known) < DEVICES:
            self._known[device] = b""
            self._client.subscribe(description, self._described)
        elif not payload and self._known.pop(device, None) is not None:
            self._client.unsubscribe(description, self._described)
            self._incoming.put(f"homie:{device}", lambda: None)

    def _described(self, topic: str, payload: bytes, retained: bool) -> None:
        device = topic.split("/")[-2]
        if not payload or self._known.get(device) in (None, payload):
            return
        self._known[device] = payload
        try:
            description = json.loads(payload, parse_float=Decimal)
            if not isinstance(description, dict) or not str(description.get("homie")).startswith("5."):
                raise ValueError("no description of Homie 5")
            made = far(self._root, device, description)
        except (ValueError, RecursionError) as error:
            self._noise.add(topic, str(error)[:200], asyncio.get_running_loop().time())
            return
        self._incoming.put(f"homie:{device}", lambda: made)


def far(root: str, device: str, description: dict[str, Any], version: int = 5) -> Far:
    """What a device describes. What is illegal in it is ignored, and the rest kept (§Forward compatibility)."""
    base = f"{root}/{device}"
    about = Config(description)
    made = _Made()
    for node, told in _objects(description.get("nodes"), NODE):
        element = Config(told).line("name") if "_" in node else ""
        for name, table in _objects(told.get("properties"), ID):
            if len(made.sources) + len(made.orders) < PROPERTIES:
                made.add(f"{base}/{node}/{name}", node, name, Config(table), version, element)
    return Far(
        name=about.line("name") or device,
        fields=tuple(made.fields.values()),
        controls=tuple(made.controls.values()),
        sources=by_topic(made.sources),
        orders=made.orders,
        presences=(Presence(tuple(_signs(root, device, description.get("root"))), "all"),),
        about={"name": about.line("type") or "Homie", "version": about.line("homie")},
    )


def _signs(root: str, device: str, parent: Any) -> list[Sign]:
    """The device's own state, and that of the root of its tree, which is all that tells when both were lost."""
    signs = [Sign(f"{root}/{device}/$state", _meant)]
    if isinstance(parent, str) and ID.match(parent) and parent != device:
        lost = f"{parent}, by which it is reached, was lost without a word"
        signs.append(
            Sign(f"{root}/{parent}/$state", lambda message: lost if message.text == "lost" else ONLINE, optional=True)
        )
    return signs


def _meant(message: Message) -> str | None:
    return STATES.get(message.text)


def _objects(table: Any, legal: re.Pattern[str]) -> list[tuple[str, dict[str, Any]]]:
    """Those with a legal id."""
    pairs = table.items() if isinstance(table, dict) else ()
    return [(id, each) for id, each in pairs if isinstance(each, dict) and legal.match(id)]


class _Made:
    """Fields and controls of a device."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}
        self.controls: dict[str, Control] = {}
        self.sources: list[tuple[str, Source]] = []
        self.orders: dict[str, Order] = {}

    def add(self, topic: str, node: str, id: str, table: Config, version: int, element: str) -> None:
        """`element` is what the element of an array is called: its properties are those of all others."""
        name = word(id)
        if not name or element or name in self.fields or name in self.controls:
            name = word(f"{node}-{id}")
        datatype = table.values.get("datatype")
        if not name or name in self.fields or name in self.controls or datatype not in TYPES:
            return
        type, format = TYPES[datatype], table.text("format", longest=2000)
        label, unit = table.line("name"), table.line("unit")
        label = f"{element} {(label or id).lower()}"[:LABEL] if element else label
        kept, settable = table.flag("retained", True), table.flag("settable")
        try:
            mode = _color(format) if datatype == "color" else ""
            field = Field(name, type, unit, label, shown=kept and datatype != "color")
            control = None
            if settable and (datatype != "color" or mode) and type not in ("dateTime", "duration"):
                control = board.control(
                    {"name": name, "type": "color" if mode else type, "label": label, "unit": unit}
                    | _limits(datatype, format)
                )
        except ValueError:
            return
        if kept or not settable:
            self.fields[name] = field
            self.sources.append((topic, Source(name, finder(None), _meaning(type, mode))))
        if control:
            self.controls[name] = control
            done = (colors.alike if mode else same) if kept else None
            self.orders[name] = Order(f"{topic}/set", _payload(mode, version), done, echo=f"{topic}/$target")


def _color(format: str) -> str:
    """The first of the formats that we know; '' when there is none."""
    return next((COLORS[each] for each in format.split(",") if each in COLORS), "")


def _limits(datatype: str, format: str) -> dict[str, Any]:
    """§Formats: min:max:step, or the values of an enum. Raises ValueError."""
    if datatype == "enum":
        return {"options": format.split(",")}
    if datatype not in ("integer", "float") or not format:
        return {}
    low, _, rest = format.partition(":")
    high = rest.partition(":")[0]
    return {key: value for key, value in (("minimum", low), ("maximum", high)) if value}


@lru_cache(KINDS)
def _meaning(type: str, mode: str) -> Meaning:
    if mode:
        return lambda text: _told(mode, text)
    if type == "boolean":
        return meanings.words({"true": "true", "false": "false"})
    if type == "string":
        return lambda text: meanings.value("string")(text) if text != EMPTY else ""
    return meanings.value(type)


def _told(mode: str, text: str) -> str:
    """§Color: rgb,100,100,100; in Homie 4 without the first word."""
    parts = text.split(",")
    numbers = parts[1:] if parts[0] in COLORS else parts
    if len(numbers) != 3 or (parts[0] in COLORS and COLORS[parts[0]] != mode):
        raise ValueError(f"{text[:60]!r} is no colour")
    return colors.told(mode, dict(zip("rgb" if mode == "rgb" else "hsv", numbers, strict=True)))


@lru_cache(KINDS)
def _payload(mode: str, version: int) -> Callable[[str], str]:
    if not mode:
        return lambda value: value or EMPTY

    def payload(value: str) -> str:
        parts = [str(part) for part in colors.asked(mode, value).values()]
        parts += ["100"] if mode == "hs" else []
        word = next(word for word, each in COLORS.items() if each == mode)
        return ",".join(parts if version == 4 else [word, *parts])

    return payload
