"""An entity of Home Assistant's MQTT discovery that is being made into fields, controls and places at the broker."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.far import Order, Source, same
from node.gateways.mqtt.incoming.meanings import Meaning
from node.gateways.mqtt.incoming.templates import Find
from node.hub import board
from node.hub.driver import Control, Field

NAME = 23  # characters of a name, as of those that boards say


class Entity(NamedTuple):
    """What one entity adds to its thing; sources with their topics."""

    fields: tuple[Field, ...] = ()
    controls: tuple[Control, ...] = ()
    sources: tuple[tuple[str, Source], ...] = ()
    orders: dict[str, Order] = {}

    @property
    def names(self) -> set[str]:
        return {field.name for field in self.fields} | {control.name for control in self.controls}

    @property
    def places(self) -> list[str]:
        """All topics."""
        return sorted({topic for topic, _ in self.sources} | {order.topic for order in self.orders.values()})


def word(text: str) -> str:
    """A name of a field or control, of what people call it: 'Soil moisture 2' is soil_moisture_2. '' if it cannot."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return re.sub(r"^[^a-z]+", "", name)[:NAME].strip("_")


class Made:
    """An entity that is being made. Its parts are called after `name`, but those of a device's main entity (the light
    of a lamp), which is called as its platform, are not."""

    def __init__(self, config: Config, name: str, main: bool = False):
        self.config = config
        self.name = name
        self.main = main
        self.fields: list[Field] = []
        self.controls: list[Control] = []
        self.sources: list[tuple[str, Source]] = []
        self.orders: dict[str, Order] = {}
        self._aside = bool(config.text("entity_category"))  # diagnostic or config: nothing for a status line

    def part(self, word: str) -> str:
        """The name of a part: `brightness` of `light`, `hall_brightness` of `hall`."""
        return word if self.main else f"{self.name[: NAME - len(word) - 1]}_{word}"

    def field(
        self,
        name: str,
        type: str,
        topic: str,
        find: Find,
        meaning: Meaning,
        *,
        unit: str = "",
        alarm: str = "",
        shown: bool = True,
        off: float = 0.0,
        rest: str = "",
    ) -> None:
        """A field that is found at a topic; none when there is no topic."""
        if not topic:
            return
        about: dict[str, Any] = {"name": name, "type": type, "unit": unit, "alarm": "" if self._aside else alarm}
        about["shown"] = shown and not self._aside
        self.fields.append(board.field(about | ({"category": "status"} if self._aside else {})))
        expires = float(self.config.number("expire_after", "0"))
        self.sources.append((topic, Source(name, find, meaning, max(expires, 0.0), off, rest)))

    def control(
        self,
        name: str,
        type: str,
        topic: str,
        payload: Callable[[str], str],
        done: Callable[[str, str], bool] = same,
        **limits: Any,
    ) -> None:
        """A control; none when there is no topic. Its field, if it has one, was made before."""
        if not topic:
            return
        self.controls.append(board.control({"name": name, "type": type} | limits))
        told = any(source.field == name for _, source in self.sources) and not self.config.flag("optimistic")
        self.orders[name] = Order(topic, payload, done if told else None, self.config.flag("retain"))

    def choice(
        self,
        name: str,
        options: Sequence[str],
        state: tuple[str, Find],
        command: tuple[str, Callable[[str], str]],
        shown: bool = True,
    ) -> None:
        """One of these words, or any text if they are more than a form can show. `state` is where it is found,
        `command` how it is set."""
        short = all(len(each) <= board.TEXT and each.isprintable() for each in options)
        fits = 0 < len(options) <= board.OPTIONS and short
        type = "enum" if fits else "string"
        self.field(name, type, *state, meanings.value("string"), shown=shown)
        limits: dict[str, Any] = {"options": tuple(options)} if fits else {}
        self.control(name, type, *command, **limits)

    def choices(self, word: str, key: str, options: Sequence[str], template: str, shown: bool = False) -> None:
        """The part `word` of it, whose places are called after `key`."""
        config = self.config
        state = config.topic(f"{key}_state_topic"), config.find(f"{key}_{template}")
        command = config.topic(f"{key}_command_topic"), config.filled(f"{key}_command_template")
        self.choice(self.part(word), options, state, command, shown)


def on_off(made: Made, state: str, template: str, command: str, payload: Callable[[str], str]) -> None:
    config = made.config
    on, off = config.text("payload_on", "ON"), config.text("payload_off", "OFF")
    meaning = meanings.boolean(config.text("state_on", on), config.text("state_off", off))
    made.field(made.name, "boolean", config.topic(state), config.find(template), meaning)
    made.control(made.name, "boolean", needed(config, command), lambda value: payload(on if value == "true" else off))


def needed(config: Config, key: str) -> str:
    topic = config.topic(key)
    if not topic:
        raise ValueError(f"{key} is missing")
    return topic


def more_than_0(number: Decimal, what: str) -> Decimal:
    if number <= 0:
        raise ValueError(f"{what} must be more than 0")
    return number
