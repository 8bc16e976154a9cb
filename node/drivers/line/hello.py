"""What a board says of itself, and the spelling of values, in the line protocol of boards/README.md."""

from typing import Any

from node.hub import board
from node.hub.driver import Control, Field, shared
from node.hub.formats import values

PROTOCOL = "1"
DECLARED = 64  # fields, and controls, of one board: more is noise that looks like declarations
RESERVED = ("hello", "field", "control", "ok", "err", "error", "pong")  # what a reading may not be called


class Hello:
    """What a board says of itself, in one line or in several; raises ValueError when it makes no sense."""

    def __init__(self, message: dict[str, Any]):
        if message.get("protocol") != PROTOCOL:
            raise ValueError("another protocol")
        self.about = shared({"name": words(message["hello"]), "version": words(message.get("version"))})
        self._declared: dict[str, dict[str, Any]] = {"field": {}, "control": {}}
        self._expected = {"field": 0, "control": 0}
        for word in self._expected:
            told = message.get(word + "s", [])  # declarations, or how many lines of them will follow
            if isinstance(told, list):
                for each in told:
                    self.declare(word, each)
            else:
                self._expected[word] = int(reading(told, "integer"))

    @property
    def complete(self) -> bool:
        return all(len(self._declared[word]) >= count for word, count in self._expected.items())

    @property
    def fields(self) -> tuple[Field, ...]:
        return shared(tuple(self._declared["field"].values()))

    @property
    def controls(self) -> tuple[Control, ...]:
        return shared(tuple(self._declared["control"].values()))

    def declare(self, word: str, table: Any) -> None:
        """A "field" or a "control"."""
        if not isinstance(table, dict) or len(self._declared[word]) == DECLARED:
            raise ValueError(f"no {word}, or too many")
        made: Field | Control = board.field(table) if word == "field" else board.control(table)
        if made.name in RESERVED:
            raise ValueError(f"{made.name} means something else")
        self._declared[word][made.name] = made


class Number(str):
    """A number as the board spelled it: "10.0" is not "10"."""

    __slots__ = ()


def reading(value: Any, type: str) -> str:
    """A reading as text; raises ValueError when it is not of that type."""
    if type == "boolean" and isinstance(value, bool):
        return "true" if value else "false"
    if type == "integer" and isinstance(value, Number):
        return values.integer(value)
    if type == "quantity" and isinstance(value, Number):
        return values.quantity(value)
    if type not in ("boolean", "integer", "quantity") and isinstance(value, str) and not isinstance(value, Number):
        return values.words(value)
    raise ValueError(f"{value!r:.60} is not of type {type}")


def words(text: Any) -> str:
    """What a board says in words; '' when it does not."""
    return values.words(text) if isinstance(text, str) else ""
