"""Things that nobody announces: the configuration names their topics, and what is said there.

[gateway.mqtt.topics.garden]                      # garden@home.example
name = "Garden"
availability = "garden/status"                    # online or offline; other words: online = "1", offline = "0"
[gateway.mqtt.topics.garden.fields]
soil = { topic = "garden/sensors", path = "soil.moisture", unit = "%" }
[gateway.mqtt.topics.garden.controls]
pump = { topic = "garden/pump/set", state = "garden/pump", type = "boolean", on = "ON", off = "OFF" }
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from node.base.jid import JidError, make
from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.far import HERE, ONLINE, Far, Order, Presence, Sign, Source, by_topic, same
from node.gateways.mqtt.incoming.templates import Find, Message, TemplateError
from node.hub import board
from node.hub.driver import Control, Field
from node.hub.formats.path import follow, path

OWN = ("topic", "path", "on", "off", "payload", "state", "retain", "factor")  # words that say where, not what
VALUE = "{value}"


@dataclass
class FieldTopic:
    """Where a field is found, and what it is."""

    topic: str
    path: str = ""  # where in the JSON that is said there: sensors[0].temp; without it the whole text is the value
    type: str = "quantity"
    unit: str = ""
    label: str = ""
    category: str = "momentary"
    shown: bool = True
    deadband: Decimal | None = None
    alarm: str = ""
    on: str = ""  # of a boolean: what is said for true and false, if not one of true on yes 1
    off: str = ""
    factor: Decimal | None = None  # of a quantity: the number that is said times this

    def __post_init__(self):
        _check_topic("topic", self.topic)
        if self.path:
            path(self.path)
        if self.factor is not None and (self.type != "quantity" or not (self.factor.is_finite() and self.factor)):
            raise ValueError("factor must be a number and not 0, and is for a quantity")
        self.made("value")

    def made(self, name: str) -> Field:
        return board.field({"name": name} | _without(self))


@dataclass
class ControlTopic:
    """How a control is set, and where it is said that it is."""

    topic: str
    type: str = "boolean"
    payload: str = VALUE  # what is published; {value} stands for the value
    on: str = ""  # of a boolean: what stands for true and false; ON and OFF
    off: str = ""
    state: str = ""  # the topic that says what it is set to; without one the broker's receipt is all there is
    path: str = ""  # where in the JSON that is said there
    retain: bool = False
    unit: str = ""
    label: str = ""
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    options: list[str] = field(default_factory=list)

    def __post_init__(self):
        _check_topic("topic", self.topic)
        if self.state:
            _check_topic("state", self.state)
        if self.path:
            path(self.path)
        if self.path and not self.state:
            raise ValueError("path is for what is said at 'state', and there is none")
        self.made("value")

    def made(self, name: str) -> Control:
        return board.control({"name": name} | _without(self))


@dataclass
class Topic:
    """`[gateway.mqtt.topics.NAME]`: a thing."""

    name: str = ""
    availability: str = ""  # a topic
    online: str = "online"
    offline: str = "offline"
    silence: float = 0.0  # seconds without a word after which what was said counts no more; 0: never
    fields: dict[str, FieldTopic] = field(default_factory=dict)
    controls: dict[str, ControlTopic] = field(default_factory=dict)

    def __post_init__(self):
        if not self.fields and not self.controls:
            raise ValueError("needs 'fields' or 'controls'")
        if self.availability:
            _check_topic("availability", self.availability)
        if self.silence < 0:
            raise ValueError("silence must not be less than 0")
        for name, place in self.fields.items():
            place.made(name)
        for name, control in self.controls.items():
            control.made(name)


def check(topics: dict[str, Topic]) -> None:
    """Raises ValueError for a name that cannot be an address."""
    for name in topics:
        try:
            if make(name, "home.example").local != name:
                raise ValueError(f"topics: {name!r} cannot be an address: letters have to be small")
        except JidError as error:
            raise ValueError(f"topics: {name!r} cannot be an address: {error}") from error


def setup(incoming: Any, topics: dict[str, Topic], own: str) -> None:
    for name, topic in topics.items():
        incoming.add(name, far(name, topic, own))


def far(name: str, topic: Topic, own: str = "") -> Far:
    """What the configuration says of a thing. A topic below `own`, which is ours, says nothing."""
    fields = {each: place.made(each) for each, place in topic.fields.items()}
    sources = [
        (place.topic, Source(each, _finder(place.path), _meaning(place), topic.silence))
        for each, place in topic.fields.items()
    ]
    controls, orders = [], {}
    for each, control in topic.controls.items():
        controls.append(control.made(each))
        orders[each] = Order(control.topic, _payload(control), same if control.state else None, control.retain)
        if control.state and each not in fields:
            type = control.type if control.type != "color" else "string"
            fields[each] = Field(each, type, control.unit, control.label)
            sources.append((control.state, Source(each, _finder(control.path), _state(control), topic.silence)))
        elif control.state or each in fields:
            orders[each] = orders[each]._replace(done=same)
    signs = [Sign(topic.availability, _there(topic))] if topic.availability else []
    return Far(
        name=topic.name or name,
        fields=tuple(fields.values()),
        controls=tuple(controls),
        sources=by_topic((place, source) for place, source in sources if not (own and place.startswith(own))),
        orders=orders,
        presences=(Presence(tuple(signs)),) if signs else (),
        about={"name": "MQTT topics"},
    )


def _there(topic: Topic) -> Callable[[Message], str | None]:
    words = {topic.online: ONLINE, topic.offline: f"{HERE} says {topic.offline!r}"}
    return lambda message: words.get(message.text)


def _finder(text: str) -> Find:
    if not text:
        return lambda message: message.text
    steps = path(text)

    def find(message: Message) -> str:
        found = follow(steps, message.json)
        if isinstance(found, dict | list):
            raise TemplateError(f"{text} is a table or a list")
        if isinstance(found, bool):
            return "true" if found else "false"
        return "" if found is None else str(found)

    return find


def _meaning(place: FieldTopic) -> meanings.Meaning:
    plain = meanings.value(place.type)
    words = {word: value for word, value in ((place.on, "true"), (place.off, "false")) if word}

    def meaning(text: str) -> str | None:
        if text in words:
            return words[text]
        value = plain(text)
        return value if value is None or place.factor is None else f"{Decimal(value) * place.factor:f}"

    return meaning


def _state(control: ControlTopic) -> meanings.Meaning:
    if control.type == "boolean":
        on, off = control.on or "ON", control.off or "OFF"
        plain = meanings.value("boolean")
        return lambda text: {on: "true", off: "false"}.get(text) or plain(text)
    return meanings.value("string" if control.type == "color" else control.type)


def _payload(control: ControlTopic) -> Callable[[str], str]:
    def payload(value: str) -> str:
        if control.type == "boolean":
            value = (control.on or "ON") if value == "true" else (control.off or "OFF")
        return control.payload.replace(VALUE, value)

    return payload


def _check_topic(word: str, topic: str) -> None:
    if not topic or len(topic) > 512 or any(mark in "+#\0" for mark in topic):
        raise ValueError(f"{word} {topic[:80]!r} is no topic: letters, and / between levels, without + and #")


def _without(place: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(place).items() if key not in OWN and value is not None}
