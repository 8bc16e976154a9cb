"""An entity of Home Assistant's MQTT discovery that is being made into fields, controls and places at the broker."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.far import Order, Source, same
from node.gateways.mqtt.incoming.meanings import Meaning
from node.gateways.mqtt.incoming.templates import Find
from node.hub import board
from node.hub.thing import Control, Field

ANY = "x"  # the name of an entity that has none yet
NAME = 23  # characters of a name, as of those that boards say


class Entity(NamedTuple):
    """What one entity adds to its thing."""

    fields: tuple[Field, ...] = ()
    controls: tuple[Control, ...] = ()
    sources: tuple[Source, ...] = ()
    orders: dict[str, Order] = {}

    @property
    def names(self) -> set[str]:
        return {field.name for field in self.fields} | {control.name for control in self.controls}

    def renamed(self, old: str, new: str) -> "Entity":
        """The same, with all names that were made of `old` made of `new`."""
        if old == new:
            return self

        def name(each: str) -> str:
            part = each.removeprefix(old) if each.startswith(old) else f"_{each}"
            return f"{new[: NAME - len(part)]}{part}"

        return Entity(
            tuple(field._replace(name=name(field.name)) for field in self.fields),
            tuple(control._replace(name=name(control.name)) for control in self.controls),
            tuple(source._replace(field=name(source.field)) for source in self.sources),
            {name(each): order for each, order in self.orders.items()},
        )


def word(text: str) -> str:
    """A name of a field or control, of what people call it: 'Soil moisture 2' is soil_moisture_2. '' if it cannot."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return re.sub(r"^[^a-z]+", "", name)[:NAME].strip("_")


class Made:
    """An entity that is being made."""

    def __init__(self, config: Config, platform: str, name: str, label: str):
        self.config = config
        self.platform = platform
        self.name = name
        self.label = label
        self.fields: list[Field] = []
        self.controls: list[Control] = []
        self.sources: list[Source] = []
        self.orders: dict[str, Order] = {}
        self._aside = bool(config.text("entity_category"))  # diagnostic or config: nothing for a status line

    def part(self, word: str) -> str:
        """The name of a part: `brightness` of `light`, `hall_brightness` of `hall`."""
        return word if self.name == self.platform else f"{self.name[: NAME - len(word) - 1]}_{word}"

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
    ) -> None:
        """A field that is found at a topic; none when there is no topic."""
        if not topic:
            return
        about: dict[str, Any] = {"name": name, "type": type, "unit": unit, "alarm": "" if self._aside else alarm}
        about |= {"label": self.label if name == self.name else "", "shown": shown and not self._aside}
        self.fields.append(board.field(about | ({"category": "status"} if self._aside else {})))
        expires = float(self.config.number("expire_after", "0"))
        self.sources.append(Source(name, topic, find, meaning, max(expires, 0.0), off))

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
        label = self.label if name == self.name else ""
        self.controls.append(board.control({"name": name, "type": type, "label": label} | limits))
        told = any(source.field == name for source in self.sources) and not self.config.flag("optimistic")
        self.orders[name] = Order(topic, payload, done if told else None, self.config.flag("retain"))


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
