"""What texts from a broker mean as values of fields, and the other way round."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache

from node.hub.formats import values

Meaning = Callable[[str], str | None]

KINDS = 200  # of meanings that are kept once for all who have them; a home with a hundred models has some dozens

# What Home Assistant and publishers say of a sensor that has no value.
NOTHING = frozenset(("None", "null", "unknown", "unavailable"))

_PATTERNS = {
    "dateTime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z", re.ASCII),
    "date": re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII),
    "duration": re.compile(r"-?P(?=.)(\d{1,9}D)?(T(?=.)(\d{1,9}H)?(\d{1,9}M)?(\d{1,9}(\.\d{1,9})?S)?)?\Z", re.ASCII),
}
_BARE_ZONE = re.compile(r"([+-]\d\d)(\d\d)\Z")


@lru_cache(KINDS)
def value(type: str) -> Meaning:
    """That of a field of that type."""

    def meaning(text: str) -> str | None:
        if text in NOTHING:
            return None
        pattern = _PATTERNS.get(type)
        if pattern is None:
            return values.value(text, type)
        text = _BARE_ZONE.sub(r"\1:\2", text) if type == "dateTime" else text
        if not pattern.match(text):
            raise ValueError(f"{text[:60]!r} is no {type}")
        return text

    return meaning


def words(known: Mapping[str, str]) -> Meaning:
    """What stands for words that a publisher uses."""

    def meaning(text: str) -> str | None:
        if text in known:
            return known[text]
        if text in NOTHING:
            return None
        raise ValueError(f"{text[:60]!r} is none of {', '.join(known)}")

    return meaning


@lru_cache(KINDS)
def boolean(on: str, off: str) -> Meaning:
    return words({off: "false", on: "true"})


@lru_cache(KINDS)
def scaled(low: Decimal, high: Decimal) -> Meaning:
    """A number from `low` to `high` as whole percents; what is on is not 0 %."""

    def meaning(text: str) -> str | None:
        number = values.value(text, "quantity") if text not in NOTHING else None
        if number is None:
            return None
        percent = (Decimal(number) - low) * 100 / (high - low)
        if not -1 < percent < 101:
            raise ValueError(f"{text[:60]} is not from {low} to {high}")
        return str(max(int(percent.to_integral_value()), 1 if percent > 0 else 0))

    return meaning


@lru_cache(KINDS)
def unscaled(low: Decimal, high: Decimal) -> Callable[[str], str]:
    """What a device is told for so many percent."""

    def payload(text: str) -> str:
        number = int((low + Decimal(text) * (high - low) / 100).to_integral_value())
        return str(max(number, 1) if low == 0 and text != "0" else number)

    return payload


def near(asked: str, said: str) -> bool:
    """Percents, which were rounded twice."""
    return abs(int(asked) - int(said)) <= 1
