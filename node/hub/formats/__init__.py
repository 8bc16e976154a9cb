"""Readings out of what others print: pairs, columns, patterns, and JSON that is not ours.

The drivers `line` and `exec` read so. Which format it is, the configuration says; and beside each field, where it is
found.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Literal

from node.hub.driver import Field
from node.hub.formats import values
from node.hub.formats.budget import Budget, compiled
from node.hub.formats.path import follow, path

WORDS = {"pairs": "key", "csv": "column", "regex": "pattern", "paths": "path"}  # which word of a Place is for which
COLUMNS = 256  # a line has 1024 bytes
NOWHERE = object()

Name = Literal["pairs", "csv", "regex", "paths"]
# What is printed for a field, None for JSON's null. Raises LookupError when nothing is.
Finder = Callable[[Any], str | None]


@dataclass
class Place:
    """Words of `[[thing.NAME.fields]]`: where the field is found, and how its value is spelled."""

    key: str = ""  # format = "pairs": the name before the sign; without it, that of the field
    column: int | None = None  # "csv": 1 is the first
    pattern: str = ""  # "regex": a regular expression of Python with one group, which is the value
    path: str = ""  # "paths": where in the JSON, as sensors[0].temp; without it, the field's name
    factor: Decimal | None = None  # for a quantity: the number printed times this
    true: str = ""  # for a boolean: what is printed for it, if not one of true on yes high 1
    false: str = ""

    def __post_init__(self) -> None:
        if self.column is not None and not 1 <= self.column <= COLUMNS:
            raise ValueError(f"column must be a number from 1 to {COLUMNS}")
        if self.pattern:
            compiled(self.pattern, groups=1)
        if self.path:
            path(self.path)
        if self.factor is not None and not (self.factor.is_finite() and self.factor):
            raise ValueError("factor must be a number, and not 0")


def check(format: str, places: dict[str, Place]) -> None:
    """Raises ValueError when a field has words that are for another format, or lacks those of this one."""
    for name, place in places.items():
        for other, word in WORDS.items():
            if other != format and getattr(place, word):
                raise ValueError(f"field {name!r}: {word!r} is for format = {other!r}, and this is {format!r}")
        if format in ("csv", "regex") and not getattr(place, WORDS[format]):
            raise ValueError(_needs(format, name))


def _needs(format: str, name: str) -> str:
    return f"field {name!r} needs {WORDS[format]!r}: format = {format!r} does not know where else to look"


class Format:
    """Reads what is printed. Raises ValueError when a field does not say where it is found.

    `separator` is what stands between pairs (default: blanks, commas or semicolons) or columns (default: a comma; a
    blank means any number of them), `sign` what stands between a key and its value.
    """

    def __init__(
        self, format: Name, fields: tuple[Field, ...], places: dict[str, Place], separator: str = "", sign: str = "="
    ):
        check(format, {field.name: places.get(field.name, Place()) for field in fields})
        for field in fields:
            if field.type != "quantity" and field.name in places and places[field.name].factor:
                raise ValueError(f"field {field.name!r}: factor is for a quantity")
        self._split = _splitter(format, separator, sign)
        self._budget = Budget() if format == "regex" else None
        self._fields = [
            (field, place, self._finder(format, field, place))
            for field in fields
            for place in (places.get(field.name, Place()),)
        ]

    def __call__(self, text: str) -> dict[str, str | None]:
        """The readings in a line, by the names of fields; None of a sensor that has none just now.

        Raises ValueError when no field is in it, or one has a value that is not of its type.
        """
        printed = self._split(text)
        readings: dict[str, str | None] = {}
        for field, place, find in self._fields:
            try:
                raw = find(printed)
            except LookupError:
                continue
            readings[field.name] = None if raw is None else _value(raw, field, place)
        if not readings and self._fields:
            raise ValueError("no field is in it")
        return readings

    def _finder(self, format: Name, field: Field, place: Place) -> Finder:
        match format:
            case "pairs":
                return partial(_keyed, place.key or field.name)
            case "csv":
                return partial(_column, (place.column or 1) - 1)
            case "paths":
                return partial(_at, path(place.path) if place.path else (field.name,))
        pattern = compiled(place.pattern, groups=1)
        assert self._budget
        return partial(_searched, self._budget, pattern)


def _splitter(format: Name, separator: str, sign: str) -> Callable[[str], Any]:
    match format:
        case "pairs":
            if not sign:
                raise ValueError("sign must not be empty")
            return partial(_pairs, separator, sign)
        case "csv":
            if len(separator) > 1:
                raise ValueError("separator must be one character for format = 'csv'")
            return partial(_columns, separator or ",")
        case "paths":
            return _json
    return str


def _pairs(separator: str, sign: str, text: str) -> dict[str, str]:
    if not separator:
        # "a = 1" is one pair, too
        text = sign.join(part.strip() for part in text.split(sign)).translate(BLANKS)
    found = {}
    for part in text.split(separator or None):
        key, there, value = part.partition(sign)
        if there:
            found[key.strip()] = value.strip()
    return found


BLANKS = str.maketrans(",;", "  ")


def _keyed(key: str, pairs: dict[str, str]) -> str:
    return pairs[key]


def _columns(separator: str, text: str) -> list[str]:
    if separator == " ":
        return text.split()
    import csv  # only for who has quotes: 0.1 MB

    try:
        return next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from None


def _column(number: int, columns: list[str]) -> str:
    return columns[number]


def _searched(budget: Budget, pattern, text: str) -> str:
    found = budget.search(pattern, text)
    if found is None or found[1] is None:  # a group that is optional
        raise LookupError
    return found[1]


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except RecursionError:  # a thousand brackets
        raise ValueError("too deep") from None


def _at(steps: tuple[str | int, ...], data: Any) -> str | None:
    """Texts as they are, numbers as they are spelled; a table or list is no value."""
    found = follow(steps, data, NOWHERE)
    if found is NOWHERE:
        raise LookupError
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, dict | list):
        raise ValueError("a table or a list is no value")
    return found


def _value(raw: str, field: Field, place: Place) -> str | None:
    if field.type == "boolean" and (place.true or place.false):
        for word, meaning in ((place.true, "true"), (place.false, "false")):
            if word and raw.strip() == word:
                return meaning
    value = values.value(raw, field.type)
    if value is None or place.factor is None:
        return value
    return f"{Decimal(value) * place.factor:f}"
