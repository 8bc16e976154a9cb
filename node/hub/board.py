"""A board: a folder that names its driver and says what is wired to it (boards/NAME/board.toml)."""

import os
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from node.base import toml
from node.base.path import Path
from node.hub.driver import Control, Field, shared

FIELD_TYPES = ("quantity", "boolean", "integer", "string", "enum", "date", "dateTime", "time", "duration")
CONTROL_TYPES = ("boolean", "integer", "quantity", "string", "enum", "color")
CATEGORIES = ("momentary", "peak", "status", "computed", "identity")
TEXT = 60  # characters of a label, a unit or an option: more does not fit a status line
OPTIONS = 32  # of an enum: more is no choice any more

# 23 letters: boards keep names in a buffer of 24
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,22}\Z")
_FOLDER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_USB = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}\Z")


class BoardError(Exception):
    """What is wrong with a board's name or its board.toml, in words for people."""


# What a driver is told of fields or controls, by their names: `register = 3`, `pin = 13`.
Places = dict[str, dict[str, Any]]


class Declared(NamedTuple):
    """Fields and controls as tables declare them, and where the driver finds each."""

    fields: tuple[Field, ...] = ()
    controls: tuple[Control, ...] = ()
    field_places: Places = {}
    control_places: Places = {}

    def updated(self, other: "Declared") -> "Declared":
        """With what `other` says more, and in the place of what both say."""
        fields = {each.name: each for each in (*self.fields, *other.fields)}
        controls = {each.name: each for each in (*self.controls, *other.controls)}
        return Declared(
            tuple(fields.values()),
            tuple(controls.values()),
            self.field_places | other.field_places,
            self.control_places | other.control_places,
        )


class Board(NamedTuple):
    """What boards/NAME/board.toml says; `usb` are vendor:product in hexadecimal, `options` the driver's."""

    name: str
    label: str
    driver: str
    usb: tuple[str, ...]
    options: dict[str, Any]
    declared: Declared
    picture: str = ""  # one of node/things/pictures; '' for one by what it tells and can be told


def names() -> list[str]:
    """The boards we know, by the alphabet."""
    folder = _boards()
    return sorted(name for name in os.listdir(folder) if (folder / name / "board.toml").is_file())


def load(name: str) -> Board:
    """The board of that name. Raises BoardError."""
    file = _boards() / name / "board.toml"
    if not _FOLDER.match(name) or not file.is_file():
        raise BoardError(_unknown(name))
    try:
        table = toml.loads(file.read_text())
        return Board(
            name=name,
            label=_text(table, "label") or name,
            driver=table["driver"],
            usb=tuple(_usb_id(each) for each in table.get("usb", ())),
            options=table.get("options", {}),
            declared=declared(table),
            picture=_text(table, "picture"),
        )
    except KeyError as missing:
        raise BoardError(f"{file} needs {missing}") from None
    except (OSError, ValueError) as error:
        raise BoardError(f"{file}: {error}") from error


def declared(table: Mapping[str, Any]) -> Declared:
    """What the lists `fields` and `controls` of a table declare; raises ValueError.

    What is no word of ours is the driver's.
    """
    fields, controls = (_tables(table, key) for key in ("fields", "controls"))
    made = Declared(
        tuple(map(field, fields)),
        tuple(map(control, controls)),
        {each["name"]: place for each in fields if (place := _without(each, Field))},
        {each["name"]: place for each in controls if (place := _without(each, Control))},
    )
    return shared(made)


def _tables(table: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    tables = table.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ValueError(f"{key} must be tables, each [[{key}]]")
    return tables


def _without(table: dict[str, Any], known: type[Field] | type[Control]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in known._fields}


def field(table: Mapping[str, Any]) -> Field:
    """A Field from its declaration in board.toml or in a board's hello; raises ValueError.

    Keys that we do not know are let be: a board may be newer than we are.
    """
    made = Field(
        name=_name(table),
        type=_one_of(table, "type", FIELD_TYPES, "quantity"),
        unit=_text(table, "unit"),
        label=_text(table, "label"),
        category=_one_of(table, "category", CATEGORIES, "momentary"),
        shown=table.get("shown", True) is not False,
        deadband=_number(table, "deadband"),
        alarm=_text(table, "alarm"),
    )
    return shared(made)


def control(table: Mapping[str, Any]) -> Control:
    """A Control from its declaration in board.toml or in a board's hello; raises ValueError."""
    options = table.get("options", ())
    if not isinstance(options, list | tuple) or len(options) > OPTIONS:
        raise ValueError(f"options must be a list of at most {OPTIONS} texts")
    made = Control(
        name=_name(table),
        type=_one_of(table, "type", CONTROL_TYPES),
        label=_text(table, "label"),
        unit=_text(table, "unit"),
        minimum=_number(table, "minimum"),
        maximum=_number(table, "maximum"),
        options=tuple(_short(each, "an option") for each in options),
    )
    if made.type == "enum" and not made.options:
        raise ValueError(f"the enum {made.name} needs options")
    return shared(made)


def _boards() -> Path:
    """Inside the package in an installed wheel, beside it in the source tree."""
    package = Path(os.path.realpath(__file__)).parent.parent
    inside = package / "boards"
    return inside if inside.is_dir() else package.parent / "boards"


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

    close = get_close_matches(name, names(), n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names())}"
    return f"there is no board {name!r}{guess}"


def _name(table: Mapping[str, Any]) -> str:
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.match(name):
        raise ValueError(f"{str(name)[:TEXT]!r} is no name: a letter, then at most 22 letters, digits, _ or -")
    return name


def _one_of(table: Mapping[str, Any], key: str, known: tuple[str, ...], default: str | None = None) -> str:
    """One of the words that are known; the table has a name."""
    value = table.get(key, default)
    if value not in known:
        said = f", not {str(value)[:TEXT]!r}" if value is not None else ""
        raise ValueError(f"{table['name']}: {key} must be one of {', '.join(known)}{said}")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    return _short(table.get(key, ""), key)


def _short(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > TEXT or not (value.isprintable()):
        raise ValueError(f"{what} must be a text of at most {TEXT} characters")
    return value


def _number(table: Mapping[str, Any], key: str) -> Decimal | None:
    value = table.get(key)
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 18:  # what Thing takes: 18 digits
        raise ValueError(f"{key} must be a number")
    return number


def _usb_id(text: str) -> str:
    if not _USB.match(text.lower()):
        raise ValueError(f"usb id {text!r} must be vendor:product in hexadecimal, as in 2341:0043")
    return text.lower()
