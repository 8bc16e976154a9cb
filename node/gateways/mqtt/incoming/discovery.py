"""Home Assistant's MQTT discovery: what devices announce of themselves, one entity at a time or all at once.

`<prefix>/<component>/[<node id>/]<object id>/config`; the component `device` announces a whole device. All entities of
a device are one thing. An empty payload takes the announcement back.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from node.gateways.mqtt.incoming import Incoming
from node.gateways.mqtt.incoming.abbreviations import DEVICE, ORIGIN, expanded
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.entity import ANY, NAME, Entity, word
from node.gateways.mqtt.incoming.far import Far, Order, Presence
from node.gateways.mqtt.incoming.platforms import entity
from node.net.grumble import Grumble

ENTITIES = 64  # of one device; fields, and controls, too: as many as a board may have
IDENTIFIERS = 8  # of one device that are looked at
DEVICES = 600  # that are remembered: some more than may become things, for some have nothing that we know
SHARED = (  # what entities have from their device, unless they say it themselves
    *("availability", "availability_mode", "availability_template", "availability_topic", "command_topic"),
    *("payload_available", "payload_not_available", "state_topic"),
)
KEY = 120  # characters
BIRTH = 2.0  # seconds after we have connected; then we listen to all that is kept at the broker


class _Known(NamedTuple):
    """An entity, and the topic that announced it last. `said` stands for how its presence was announced, which is the
    same for most entities of a device.

    `called` are texts of which its name is made, best first, when all of its device is known.
    """

    topic: str
    entity: Entity
    called: tuple[str, ...]
    said: int
    presence: Presence | None


class _Device:
    """What is announced of one device."""

    __slots__ = ("about", "entities", "name")

    def __init__(self) -> None:
        self.name = ""
        self.about: dict[str, str] = {}
        self.entities: dict[str, _Known] = {}  # by unique id


class Discovery:
    """`own` is the beginning of our own topics: what has them is not announced to us."""

    def __init__(self, incoming: Incoming, client: Any, prefix: str, own: str):
        self._incoming = incoming
        self._own = own
        self._topic = re.compile(rf"{re.escape(prefix)}/(\w+)/(?:([\w-]+)/)?([\w-]+)/config\Z", re.ASCII)
        self._devices: dict[str, _Device] = {}
        self._keys: dict[str, str] = {}  # the device's, by each of its identifiers
        self._topics: dict[str, tuple[int, str]] = {}  # what was announced there, as a hash, and of which device
        self._noise = Grumble("mqtt: %s: %d announcements were not understood; the last: %s")
        self._client = client
        self._birth = f"{prefix}/status"
        for filter in (f"{prefix}/+/+/config", f"{prefix}/+/+/+/config"):
            client.subscribe(filter, self.heard)
        client.on_change(self._turned)

    def _turned(self, online: bool) -> None:
        if online:
            asyncio.get_running_loop().call_later(BIRTH, self._is_born)

    def _is_born(self) -> None:
        """Home Assistant's word that somebody listens: who keeps nothing at the broker then says all of it again."""
        self._client.publish(self._birth, "online")

    def heard(self, topic: str, payload: bytes, retained: bool) -> None:
        """An announcement."""
        found = self._topic.match(topic)
        if not found:
            return
        if not payload.strip():
            self._forget(topic)
            return
        known = self._topics.get(topic)
        if known and known[0] == hash(payload):
            return
        try:
            self._announced(topic, found[1], found[3], payload)
        except ValueError as error:
            self._complain(topic, error)

    def _complain(self, topic: str, error: Exception) -> None:
        self._noise.add(topic, str(error)[:200], asyncio.get_running_loop().time())

    def _announced(self, topic: str, component: str, object_id: str, payload: bytes) -> None:
        try:
            config = json.loads(payload, parse_float=Decimal, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
        config = expanded(config)
        about = Config(expanded(_table(config, "device"), DEVICE))
        parts = list(_parts(config, component, object_id))
        if any(_is_ours(values, self._own) for _, _, values in parts):
            return
        if not parts:
            return
        key = self._key(about, topic)
        device = self._devices.get(key)
        if device is None:
            if len(self._devices) >= DEVICES or not self._incoming.takes(key):
                return
            device = self._devices[key] = _Device()
        before = self._topics.get(topic)
        if before and before[1] != key:
            self._forget(topic)
        self._topics[topic] = hash(payload), key
        device.name = about.line("name") or device.name
        origin = Config(expanded(_table(config, "origin"), ORIGIN))
        made = {"name": about.line("model") or origin.line("name"), "version": about.line("sw_version")}
        device.about = {word: text for word, text in made.items() if text} or device.about
        device.entities = {id: each for id, each in device.entities.items() if each.topic != topic}
        for platform, id, values in parts:
            try:
                self._entity(device, topic, platform, id, Config(values))
            except ValueError as error:
                self._complain(f"{topic} {id}", error)
        if not any(each.topic == topic for each in device.entities.values()):
            self._forget(topic)  # there was nothing in it that we know
        self._incoming.put(key, lambda: self._far(key))

    def _entity(self, device: _Device, topic: str, platform: str, id: str, config: Config) -> None:
        if len(device.entities) >= ENTITIES:
            raise ValueError(f"more than {ENTITIES} entities")
        unique = config.text("unique_id") or f"{topic} {id}"
        others = [each for other, each in device.entities.items() if other != unique]
        label = config.line("name")
        called = _called(label, config.text("device_class"), platform, id)
        made = entity(platform, config, platform if called == (platform,) else ANY, label)
        if made is None:
            return
        said = hash(repr([config.values.get(key) for key in config.values if "avail" in key]))
        presence = next((each.presence for each in others if each.said == said), None) or config.presence()
        before = device.entities.get(unique)
        device.entities[unique] = _Known(topic, made, called, said, presence)
        if before and not any(each.topic == before.topic for each in device.entities.values()):
            self._topics.pop(before.topic, None)  # another has announced it since

    def _forget(self, topic: str) -> None:
        """What that topic has announced is no more."""
        _, key = self._topics.pop(topic, (0, ""))
        device = self._devices.get(key)
        if device is None:
            return
        device.entities = {id: each for id, each in device.entities.items() if each.topic != topic}
        if not device.entities:
            del self._devices[key]
            self._keys = {id: other for id, other in self._keys.items() if other != key}
        self._incoming.put(key, lambda: self._far(key))

    def _key(self, about: Config, topic: str) -> str:
        """The device's: one of its identifiers makes it the same."""
        ids = [f"ha:{each}"[:KEY] for each in _identifiers(about)] or [f"ha:{topic}"[:KEY]]
        key = next((self._keys[id] for id in ids if id in self._keys), ids[0])
        if key in self._devices or len(self._devices) < DEVICES:
            for id in ids:
                self._keys[id] = key
        return key

    def _far(self, key: str) -> Far | None:
        """All of a device; None when nothing is announced of it that we know."""
        device = self._devices.get(key)
        if device is None or not device.entities:
            return None
        fields, controls, sources = [], [], []
        orders: dict[str, Order] = {}
        names: set[str] = set()
        # What a broker keeps comes in any order, and names are to stay.
        for known in sorted(device.entities.values(), key=lambda known: known.topic):
            each = _named(known, device.name, names)
            new = each.names - names
            names |= new
            fields += [field for field in each.fields if field.name in new]
            controls += [control for control in each.controls if control.name in new]
            sources += [source for source in each.sources if source.field in new]
            orders |= {name: order for name, order in each.orders.items() if name in new}
        fields.sort(key=lambda field: not field.shown)  # a status line has the first
        presences = {known.said: known.presence for known in device.entities.values() if known.presence}
        return Far(
            name=device.name or key.partition(":")[2][:60],
            fields=tuple(fields[:ENTITIES]),
            controls=tuple(controls[:ENTITIES]),
            sources=tuple(sources),
            orders=orders,
            presences=tuple(presences.values()),
            about=device.about,
        )


def _parts(config: dict[str, Any], component: str, object_id: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Platform, id and table of each entity, with all that it has from its device."""
    if component != "device":
        if config.get("migrate_discovery") is not True or len(config) > 1:
            yield component, object_id, _whole(config)
        return
    components = config.get("components")
    if not isinstance(components, dict) or not _table(config, "device"):
        raise ValueError("a device needs 'device' and 'components'")
    shared = {key: config[key] for key in (*SHARED, "~") if key in config}
    for id, table in list(components.items())[:ENTITIES]:
        values = expanded(table) if isinstance(table, dict) else {}
        platform = values.pop("platform", None)
        if isinstance(platform, str) and values:  # only the platform: it is no more
            yield platform, str(id)[:60], _whole(shared | values)


def _whole(values: dict[str, Any]) -> dict[str, Any]:
    """With long keys in its availability, and `~` in the place of which stands what begins its topics."""
    signs = values.get("availability")
    if isinstance(signs, dict):
        signs = [signs]
    if isinstance(signs, list):
        values = values | {"availability": [expanded(each) if isinstance(each, dict) else each for each in signs]}
    base = values.pop("~", None) if isinstance(values.get("~"), str) else None
    if base is None:
        return values
    whole = {key: _based(value, base) if key.endswith("topic") else value for key, value in values.items()}
    if isinstance(signs, list):
        whole["availability"] = [
            each | {"topic": _based(each.get("topic"), base)} if isinstance(each, dict) else each
            for each in values["availability"]
        ]
    return whole


def _based(topic: Any, base: str) -> Any:
    if not isinstance(topic, str):
        return topic
    if topic.startswith("~"):
        topic = base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def _is_ours(value: Any, own: str) -> bool:
    """Whether a topic of ours is anywhere in it."""
    if isinstance(value, str):
        return value.startswith(own)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_is_ours(each, own) for each in inner)


def _table(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _identifiers(about: Config) -> list[str]:
    ids = about.values.get("identifiers", [])
    pairs = about.values.get("connections", [])
    found = [str(each) for each in (ids if isinstance(ids, list) else [ids]) if isinstance(each, str | int)]
    if isinstance(pairs, list):
        found += [f"{pair[0]} {pair[1]}" for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return found[:IDENTIFIERS]


def _called(label: str, kind: str, platform: str, id: str) -> tuple[str, ...]:
    """Texts that may be its name, best first."""
    if label:
        return label, kind, platform, id
    if platform.endswith("sensor"):
        # `pressure` says more than its class atmospheric_pressure, `door` more than an id of digits
        return (id, kind) if platform == "sensor" and id.replace("_", "").isalpha() else (kind, id)
    return (platform,)  # what is the main thing of a device has no name of its own: the light of a lamp


def _named(known: _Known, device: str, taken: set[str]) -> Entity:
    """The entity with a name that is not taken; and nothing of it repeats the device's."""
    texts = [each for each in (_less(text, device) for text in known.called) if word(each)]
    begin = word(texts[0]) if texts else "value"
    number, name = 1, begin
    while name in taken:
        number += 1
        name = f"{begin[: NAME - 3]}_{number}"
    old = ANY if known.called != (begin,) else begin
    made = known.entity.renamed(old, name)
    fields = tuple(field._replace(label=_less(field.label, device)) for field in made.fields)
    controls = tuple(control._replace(label=_less(control.label, device)) for control in made.controls)
    return made._replace(fields=fields, controls=controls)


def _less(text: str, device: str) -> str:
    """'Temperature' of 'Porch temperature', at the porch; of what is called as its device, that."""
    begins = device and text.lower().startswith(device.lower() + " ")
    return text[len(device) :].strip() if begins else text
