"""A table of Home Assistant's discovery, asked with types: strangers write it. All here raise ValueError, in words."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from node.gateways.mqtt.incoming.far import HERE, KINDS, ONLINE, Presence, Sign
from node.gateways.mqtt.incoming.templates import Find, Message, Template, finder, number

TOPIC = 512  # characters; those of publishers have 60
WORD = 255  # characters of a payload that stands for something
SIGNS = 8  # topics that say whether one thing is there; Zigbee2MQTT has two
MODES = ("latest", "all", "any")


class Config:
    """`values` has long keys and whole topics."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]):
        self.values = values

    def text(self, key: str, default: str = "", longest: int = WORD) -> str:
        """Home Assistant takes `true` for "True", as its templates write it."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str | int | float | Decimal) or len(text := str(value)) > longest:
            raise ValueError(f"{key} must be a text of at most {longest} characters")
        return text

    def line(self, key: str, longest: int = 60) -> str:
        """A text for people, cut if it is too long."""
        value = self.values.get(key)
        text = str(value)[: 4 * longest] if isinstance(value, str | int | float | Decimal) else ""
        return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:longest]

    def topic(self, key: str) -> str:
        """'' when there is none."""
        topic = self.text(key, longest=TOPIC)
        if any(mark in "+#" or not mark.isprintable() for mark in topic):
            raise ValueError(f"{key}: {topic[:80]!r} is no topic")
        return topic

    def number(self, key: str, default: str) -> Decimal:
        try:
            number = Decimal(self.text(key, default))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or abs(number.adjusted()) > 18:
            raise ValueError(f"{key} must be a number")
        return number

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key, default)
        return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "yes", "on")

    def find(self, key: str) -> Find:
        """By the value template of that key."""
        return finder(self.text(key, longest=10_000))

    def filled(self, key: str, numeric: bool = False) -> Callable[[str], str]:
        """What makes a payload of a value, by the command template of that key: the value itself without one."""
        text = self.text(key, longest=10_000)
        return _filled(text, numeric) if text else str

    def inner(self, key: str) -> "Config":
        value = self.values.get(key)
        return Config(value if isinstance(value, dict) else {})

    def words(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts; without a default it has to be there."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, list):
            raise ValueError(f"{key} must be a list")
        return tuple(str(each)[:WORD] for each in value)

    def presence(self) -> Presence | None:
        """What says whether it is there."""
        said = self.values.get("availability")
        if said is None and self.topic("availability_topic"):
            plain: dict[str, Any] = {
                "topic": self.topic("availability_topic"),
                "value_template": self.text("availability_template"),
            }
            for key in ("payload_available", "payload_not_available"):
                plain[key] = self.values.get(key)
            said = plain
        signs = said if isinstance(said, list) else [said] if isinstance(said, dict) else []
        if not signs:
            return None
        if len(signs) > SIGNS or not all(isinstance(each, dict) for each in signs):
            raise ValueError(f"availability must be a list of at most {SIGNS} tables")
        mode = self.text("availability_mode", "latest")
        if mode not in MODES:
            raise ValueError(f"availability_mode must be one of {', '.join(MODES)}")
        return Presence(tuple(_sign(Config(each)) for each in signs), mode)


def _sign(config: Config) -> Sign:
    topic = config.topic("topic")
    if not topic:
        raise ValueError("availability needs a topic")
    there = config.text("payload_available", "online")
    away = config.text("payload_not_available", "offline")
    return Sign(topic, _meant(config.text("value_template", longest=10_000), there, away))


@lru_cache(KINDS)
def _meant(template: str, there: str, away: str) -> Callable[[Message], str | None]:
    find = finder(template)
    why = f"{HERE} says {away[:40]!r}"

    def meaning(message: Message) -> str | None:
        found = find(message)
        return ONLINE if found == there else why if found == away else None

    return meaning


@lru_cache(KINDS)
def _filled(text: str, numeric: bool) -> Callable[[str], str]:
    template = Template(text)
    return lambda value: template.render(value=number(value) if numeric else value)
