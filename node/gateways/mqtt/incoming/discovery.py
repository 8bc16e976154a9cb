"""Home Assistant's MQTT discovery: what devices announce of themselves, one entity at a time or all at once.

`<prefix>/<component>/[<node id>/]<object id>/config`; the component `device` announces a whole device. All entities of
a device are one thing. An empty payload takes the announcement back.
"""

import asyncio
import json
import logging
import re
import sys
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from node.gateways.mqtt.incoming import Incoming
from node.gateways.mqtt.incoming.abbreviations import DEVICE, ORIGIN, expanded
from node.gateways.mqtt.incoming.announcement import ENTITIES, identifiers, is_ours, parts, table
from node.gateways.mqtt.incoming.config import TOPIC, Config
from node.gateways.mqtt.incoming.entity import NAME, Entity, word
from node.gateways.mqtt.incoming.far import Far, Order, Presence, Source, by_topic, shared
from node.gateways.mqtt.incoming.platforms import PLATFORMS, entity
from node.hub.driver import Control, Field
from node.net.grumble import Grumble

log = logging.getLogger("hobnode")

DEVICES = 600  # that are remembered: some more than may become things, for some have nothing that we know
KEY = 120  # characters
KEYS = 30  # of one device, in all of its announcements: they have one or two
NAMED_US = "hobnode"  # the origin of what hobnodes announce
MODELS = 500  # entities, each 2 KB, that are kept once for all devices of a kind: a hundred kinds have five each
SIZE = 4_000_000  # characters of tables: 500 devices with ten entities have 2,000,000, if no two are alike
WORDS = 30  # platforms of which it is said that they are not shown: Home Assistant has thirty, nonsense has no end
OWN = (  # words of an entity that mean nothing to us, or that only it has
    *(
        "default_entity_id",
        "device",
        "enabled_by_default",
        "entity_picture",
        "icon",
        "json_attributes_template",
        "name",
    ),
    *("object_id", "origin", "payload_install", "qos", "release_summary", "release_url", "title", "unique_id"),
)
BIRTH = 2.0  # seconds after we have connected; then we listen to all that is kept at the broker


class _Kind(NamedTuple):
    """What entities of devices of one kind have in common, kept once for all of them.

    `text` is the table as JSON, with the names of topics in the place of the topics. `called` are texts of which the
    entity's name is made, best first, when all of its device is known.
    """

    platform: str
    text: str
    label: str
    called: tuple[str, ...]


class _Known(NamedTuple):
    """An entity, the topic that announced it last, a hash of all that was said there, and topics for its `places`."""

    topic: str
    digest: int
    kind: _Kind
    topics: tuple[str, ...]
    presence: Presence | None


class _Device:
    """What is announced of one device."""

    __slots__ = ("about", "entities", "key", "name")

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = ""
        self.about: dict[str, str] = {}
        self.entities: dict[str, _Known] = {}  # by unique id

    def of(self, topic: str) -> list[str]:
        """The unique ids of what that topic has announced."""
        return [unique for unique, each in self.entities.items() if each.topic == topic]


class Discovery:
    """`own` is the beginning of our own topics: what has them is not announced to us. `neighbours`: whether things of
    other hobnodes are taken in."""

    def __init__(self, incoming: Incoming, client: Any, prefix: str, own: str, neighbours: bool = False):
        self._incoming = incoming
        self._own = own
        self._neighbours = neighbours
        self._topic = re.compile(rf"{re.escape(prefix)}/(\w+)/(?:([\w-]+)/)?([\w-]+)/config\Z", re.ASCII)
        self._devices: dict[str, _Device] = {}
        self._keys: dict[str, str] = {}  # the device's, by each of its identifiers
        self._topics: dict[str, _Device] = {}  # of which device something was announced there
        self._size = 0  # characters of the tables of all entities
        self._said: set[str] = set()  # platforms of which it was said that they are not shown, and NAMED_US
        self._noise = Grumble("mqtt: %s: %d announcements were not understood; the last: %s")
        self._client = client
        self._birth = f"{prefix}/status"
        self._filters = f"{prefix}/+/+/config", f"{prefix}/+/+/+/config"
        for filter in self._filters:
            client.subscribe(filter, self.heard)
        self._born: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Listens no more."""
        for filter in self._filters:
            self._client.unsubscribe(filter, self.heard)
        if self._born:
            self._born.cancel()

    def turned(self, online: bool) -> None:
        """The broker is there, or is no more."""
        if self._born:
            self._born.cancel()
            self._born = None
        if online:
            self._born = asyncio.get_running_loop().call_later(BIRTH, self._is_born)

    def _is_born(self) -> None:
        """Home Assistant's word that somebody listens: who keeps nothing at the broker then says all of it again."""
        self._client.publish(self._birth, "online")

    def heard(self, topic: str, payload: bytes, retained: bool) -> None:
        """An announcement."""
        found = self._topic.match(topic) if len(topic) <= TOPIC else None
        if not found:
            return
        if not payload.strip():
            self._forget(topic)
            return
        digest = hash(payload)
        device = self._topics.get(topic)
        if device and any(device.entities[unique].digest == digest for unique in device.of(topic)):
            return
        try:
            self._announced(topic, found[1], found[3], payload, digest)
        except ValueError as error:
            self._complain(topic, str(error))
        except RecursionError:
            self._complain(topic, "tables in tables in tables")

    def _complain(self, topic: str, what: str) -> None:
        self._noise.add(topic, what[:200], asyncio.get_running_loop().time())

    def _announced(self, topic: str, component: str, object_id: str, payload: bytes, digest: int) -> None:
        try:
            config = json.loads(payload, parse_float=Decimal, parse_constant=str)
        except ValueError as error:
            raise ValueError(f"no JSON: {error}") from None
        if not isinstance(config, dict):
            raise ValueError("no JSON object")
        config = expanded(config)
        about = Config(expanded(table(config, "device"), DEVICE))
        origin = Config(expanded(table(config, "origin"), ORIGIN))
        found = list(parts(config, component, object_id))
        if not found or any(is_ours(values, self._own) for _, _, values in found):
            return
        ids = [f"ha:{each}"[:KEY] for each in identifiers(about)] or [f"ha:{topic}"[:KEY]]
        # One of them makes it the same, also as in an earlier life.
        known = (id for id in ids if self._incoming.knows(id))
        key = next((self._keys[id] for id in ids if id in self._keys), "") or next(known, ids[0])
        if origin.values.get("name") == NAMED_US and not self._neighbours:
            self._say(NAMED_US, f"things of another hobnode, such as {topic}, are left out: they are contacts already")
            self._incoming.put(key, lambda: None)  # it may have been taken in in an earlier life
            return
        device = self._devices.get(key)
        if device is None:
            if len(self._devices) >= DEVICES or not self._incoming.takes(key):
                return
            device = self._devices[key] = _Device(key)
        new = [id for id in ids if id not in self._keys]
        if new and list(self._keys.values()).count(key) < KEYS:
            self._keys |= dict.fromkeys(new, key)
        if self._topics.get(topic, device) is not device:
            self._forget(topic)
        self._topics[topic] = device
        device.name = about.line("name") or device.name
        device.about = _about(about.line("model") or origin.line("name"), about.line("sw_version")) or device.about
        self._drop(device, device.of(topic))
        for platform, id, values in found:
            try:
                self._entity(device, topic, digest, platform, id, values)
            except (ValueError, RecursionError) as error:
                self._complain(f"{topic} {id}", str(error))
        if not device.of(topic):
            self._forget(topic)  # there was nothing in it that we know
        self._incoming.put(key, lambda: self._far(key))

    def _entity(self, device: _Device, topic: str, digest: int, platform: str, id: str, values: dict[str, Any]) -> None:
        if platform not in PLATFORMS:
            self._say(platform, f"what is announced as {platform[:40]!r} is not shown, such as {topic}")
            return
        if len(device.entities) >= ENTITIES:
            raise ValueError(f"more than {ENTITIES} entities")
        config = Config(values)
        unique = config.text("unique_id") or f"{topic} {id}"
        label = config.line("name")
        called = _called(label, config.text("device_class"), platform, id)
        text = _without_topics(values)
        if self._size + len(text) > SIZE:
            raise ValueError("there is no room for more")
        name = _name(called, device.name, set())  # most likely, and in the end another if that is taken
        made = model(platform, text, name, called == (name,))
        topics = tuple(sys.intern(config.topic(place)) for place in made.places)
        presence = config.presence()
        others = (each.presence for each in device.entities.values())
        presence = next((each for each in others if each == presence), presence)
        before = device.entities.get(unique)
        if before:
            self._drop(device, [unique])
        kind = shared(_Kind(platform, text, label, called))
        device.entities[unique] = _Known(topic, digest, kind, topics, presence)
        self._size += len(text)
        if before and not device.of(before.topic):
            self._topics.pop(before.topic, None)  # another has announced it since

    def _drop(self, device: _Device, uniques: list[str]) -> None:
        for unique in uniques:
            self._size -= len(device.entities.pop(unique).kind.text)

    def _say(self, word: str, text: str) -> None:
        """Something that holds for all who do so, once."""
        if word[:40] not in self._said and len(self._said) < WORDS:
            self._said.add(word[:40])
            log.info("mqtt: %s", text)

    def _forget(self, topic: str) -> None:
        """What that topic has announced is no more."""
        device = self._topics.pop(topic, None)
        if device is None:
            return
        self._drop(device, device.of(topic))
        if not device.entities:
            self._devices.pop(device.key, None)
            self._keys = {id: other for id, other in self._keys.items() if other != device.key}
        self._incoming.put(device.key, lambda: self._far(device.key))

    def _far(self, key: str) -> Far | None:
        """All of a device; None when nothing is announced of it that we know."""
        device = self._devices.get(key)
        if device is None or not device.entities:
            return None
        fields: list[Field] = []
        controls: list[Control] = []
        sources: list[tuple[str, Source]] = []
        orders: dict[str, Order] = {}
        names: set[str] = set()
        presences = dict.fromkeys(each.presence for each in device.entities.values() if each.presence)
        parts: dict[Presence, tuple[str, ...]] = {}
        # What a broker keeps comes in any order, and names are to stay.
        for known in sorted(device.entities.values(), key=lambda known: known.topic):
            name = _name(known.kind.called, device.name, names)
            main = known.kind.called == (name,)
            each = model(known.kind.platform, known.kind.text, name, main)
            label = _less(known.kind.label, device.name)
            topics = dict(zip(each.places, known.topics, strict=True))
            new = each.names - names
            names |= new
            if known.presence and len(presences) > 1:
                parts[known.presence] = *parts.get(known.presence, ()), *sorted(new)
            fields += [_labelled(field, name, label) for field in each.fields if field.name in new]
            controls += [_labelled(control, name, label) for control in each.controls if control.name in new]
            sources += [(topics[place], source) for place, source in each.sources if source.field in new]
            ordered = ((name, order) for name, order in each.orders.items() if name in new)
            orders |= {name: order._replace(topic=topics[order.topic]) for name, order in ordered}
        fields.sort(key=lambda field: not field.shown)  # a status line has the first
        return Far(
            name=device.name or key.partition(":")[2][:60],
            fields=shared(tuple(fields[:ENTITIES])),
            controls=shared(tuple(controls[:ENTITIES])),
            sources=by_topic(sources),
            orders=orders,
            presences=tuple(presences),
            parts=parts,
            about=device.about,
        )


@lru_cache(MODELS)
def model(platform: str, text: str, name: str, main: bool) -> Entity:
    """The entity of all devices that announce it so. Its topics are the names of those places. Raises ValueError."""
    return entity(platform, Config(json.loads(text)), name, main)


@lru_cache(MODELS)
def _about(name: str, version: str) -> dict[str, str]:
    return {word: text for word, text in (("name", name), ("version", version)) if text}


def _without_topics(values: dict[str, Any]) -> str:
    """A table as JSON, as it is with all devices of a kind: with names in the place of topics."""
    kept = {key: key if key.endswith("topic") and value else value for key, value in values.items()}
    kept = {key: value for key, value in kept.items() if key not in OWN and "avail" not in key}
    return sys.intern(json.dumps(kept, sort_keys=True, separators=(",", ":"), default=str))


def _called(label: str, kind: str, platform: str, id: str) -> tuple[str, ...]:
    """Texts that may be its name, best first."""
    if label:
        return label, kind, platform, id
    if platform.endswith("sensor"):
        # `pressure` says more than its class atmospheric_pressure, `door` more than an id of digits
        return (id, kind) if platform == "sensor" and id.replace("_", "").isalpha() else (kind, id)
    return (platform,)  # what is the main thing of a device has no name of its own: the light of a lamp


def _name(called: tuple[str, ...], device: str, taken: set[str]) -> str:
    """One that is not taken, and that does not repeat the device's."""
    texts = [each for each in (_less(text, device) for text in called) if word(each)]
    begin = name = word(texts[0]) if texts else "value"
    number = 1
    while name in taken:
        number += 1
        name = f"{begin[: NAME - 3]}_{number}"
    return name


Item = TypeVar("Item", Field, Control)


def _labelled(item: Item, name: str, label: str) -> Item:
    return item._replace(label=label) if label and item.name == name else item


def _less(text: str, device: str) -> str:
    """'Temperature' of 'Porch temperature', at the porch; of what is called as its device, that."""
    begins = device and text.lower().startswith(device.lower() + " ")
    return text[len(device) :].strip() if begins else text
