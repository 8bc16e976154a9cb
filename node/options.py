"""A table of TOML becomes an options dataclass; a mistake is answered with its line and the closest name."""

import dataclasses
import os
import re
import types
import typing
from decimal import Decimal
from typing import Any

from node.base import toml
from node.base.path import Path

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    bool: "true or false",
    object: "a text, a number, true or false",
}
_SYNTAX_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
# What tomllib says, by its beginning, in words for those who do not know its grammar.
_SYNTAX = {
    "Illegal character '\\n'": "a quote is missing at the end of the line",
    "Unterminated string": "a quote is missing at the end of the line",
    'Expected "\'"': "a quote is missing at the end of the line",
    "Invalid value": "a value is missing, or its quotes are",
    "Expected newline or end of document": "something stands behind the value; # begins a remark",
    "Unclosed array": "a list has no ] at its end",
    "Cannot overwrite a value": "this is in the file twice",
    "Cannot declare": "this is in the file twice",
    "Unescaped '\\'": "a \\ in a text has to be \\\\, or the text between single quotes",
}
# Possessive, or a line of thirty letters without a '=' would take for ever.
_KEY = re.compile(r"""\s*+((?:[\w-]++|"[^"]*+"|'[^']*+'|\s*\.\s*+)++)\s*=""")


class ConfigError(Exception):
    """One line for people: which file, which line where it can be known, what is wrong, what may be meant."""


class Table:
    """One table of a TOML file, which knows where it stands, so that a complaint can say so."""

    def __init__(self, values: dict[str, Any], file: Path, lines: dict[tuple[str, ...], int], path=()):
        self.values = values
        self.file = file
        self.lines = lines
        self.path: tuple[str, ...] = path

    @property
    def title(self) -> str:
        """`[thing.porch]`, or the file's own words for what stands outside of tables."""
        return f"[{'.'.join(map(_quoted, self.path))}]" if self.path else "the file"

    def mistake(self, text: str, key: str | None = None) -> ConfigError:
        """The error to raise: `text` goes after the file and the line of `key`, or of the table itself."""
        line = self.lines.get((*self.path, key)) if key is not None else None
        # [thing.a.fields.t] is written as [[thing.a.fields]]; what is above a thing says nothing of it
        places = [self.path, *(self.path[:length] for length in range(len(self.path) - 1, 1, -1))]
        line = line or next((self.lines[each] for each in places if each in self.lines), None)
        return ConfigError(f"{self.file}:{line}: {text}" if line else f"{self.file}: {text}")

    def wrong(self, key: str, expected: str) -> ConfigError:
        """`key` has a value of another kind than `expected`."""
        name = f"{self.title} {key}" if self.path else key
        return self.mistake(f"{name} must be {expected}, not {_shown(self.values[key])}", key)

    def unknown(self, key: str, known) -> ConfigError:
        """`key` is none of `known`; says which of them is close."""
        guess = closest(key, known)
        if not guess and self.path and known:  # at the top there are too many to be told
            guess = f"; there are {', '.join(known)}" if len(known) > 1 else f"; there is {known[0]}"
        noun = "table or option" if not self.path else "option"
        return self.mistake(f"{self.title} has no {noun} {key!r}{guess}", key)

    def inside(self, key: str) -> "Table":
        """The table `key` of this one. Raises ConfigError when it is there and is none."""
        values = self.values.get(key, {})
        if not isinstance(values, dict):
            raise self.wrong(key, f"a table, [{'.'.join(map(_quoted, (*self.path, key)))}]")
        return Table(values, self.file, self.lines, (*self.path, key))

    def without(self, *keys: str) -> "Table":
        """The same table less `keys`, which somebody else has read."""
        rest = {key: value for key, value in self.values.items() if key not in keys}
        return Table(rest, self.file, self.lines, self.path)


def read(file: Path, text: str | None = None) -> Table:
    """The whole file, or `text` as if it stood there. Raises ConfigError: no such file, not TOML."""
    try:
        text = file.read_bytes().decode() if text is None else text
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not a text in UTF-8") from error
    try:
        values = toml.loads(text)
    except ValueError as error:
        raise ConfigError(f"{file}:{_syntax(str(error), text)}") from error
    return Table(values, file, _lines(text))


def build(options_class: type, table: Table, also_known=()) -> Any:
    """An instance of the dataclass. Raises ConfigError for a name or a value that does not fit.

    Types: str, int, float, Decimal, bool, object (any of these), Path (against the file's folder), Literal, another
    dataclass (a table), list, tuple[X, ...] and dict[str, X] of these, and each with `| None`. A ValueError of
    `__post_init__` is a complaint about the table. `also_known` are names that help to guess what was meant.
    """
    kinds = typing.get_type_hints(options_class)
    fields = {field.name: field for field in dataclasses.fields(options_class) if field.init}
    for key in table.values:
        if key not in fields:
            raise table.unknown(key, [*fields, *also_known])
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in table.values:
            raise table.mistake(f"{table.title} needs {name!r}")
    given = {key: _value(table, key, kinds[key]) for key in table.values}
    try:
        return options_class(**given)
    except ValueError as error:
        about = str(error).partition(" ")[0]  # most complaints begin with the option
        raise table.mistake(f"{table.title} {error}", about if about in table.values else None) from error


def closest(key: str, known, cutoff=0.6) -> str:
    """A question whether one of `known` is meant, or ''.

    0.6: 'prot' for 'port' and 'cleint' for 'client' are found, 'alice' for 'listen' is not.
    """
    from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

    close = get_close_matches(key, known, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def _syntax(said: str, text: str) -> str:
    """The line, and what is wrong there."""
    found = _SYNTAX_PLACE.search(said)
    line = found[1] if found and found[1] else len(text.rstrip().splitlines())
    said = _SYNTAX_PLACE.sub("", said)
    return f"{line}: not valid TOML: {next((_SYNTAX[each] for each in _SYNTAX if said.startswith(each)), said)}"


def _value(table: Table, key: str, kind: Any) -> Any:
    value = table.values[key]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # X | None: TOML has no null, so a value is an X
        return _value(table, key, next(each for each in inner if each is not type(None)))
    if origin is typing.Literal:
        if value not in inner:
            raise table.wrong(key, "one of " + ", ".join(map(_shown, inner)))
        return value
    if dataclasses.is_dataclass(kind):
        return build(typing.cast(type, kind), table.inside(key))
    if origin is dict:
        each = table.inside(key)
        return {name: _value(each, name, inner[1]) for name in each.values}
    if origin in (list, tuple):
        return origin(_items(table, key, inner[0]))
    return _plain(table, key, value, kind, _WORDS.get(kind, "a path in quotes"))


def _items(table: Table, key: str, kind: Any) -> list:
    values = table.values[key]
    expected = f"a list, each {_WORDS.get(kind, 'a path in quotes')}"
    if not isinstance(values, list):
        raise table.wrong(key, expected)
    return [_plain(table, key, value, kind, expected) for value in values]


def _plain(table: Table, key: str, value: Any, kind: Any, expected: str) -> Any:
    if kind in (float, Decimal) and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return kind(value)
    if kind is Path and isinstance(value, str):
        return (table.file.parent / os.path.expanduser(value)).absolute()
    if kind in (str, int, bool) and type(value) is kind:
        return value
    if kind is object and isinstance(value, str | int | bool | Decimal):
        return value
    raise table.wrong(key, expected)


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where each table and key begins. Reads line by line: a text of several lines may mislead it, which
    costs a complaint its right line number and nothing else."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+([^\[\]]+)\]+", line)
        key = _KEY.match(line)
        if header:
            table = _key_path(header[1])
            path = table
        elif key:
            path = (*table, *_key_path(key[1]))
        else:
            continue
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], number)
    return found


def _key_path(text: str) -> tuple[str, ...]:
    try:
        values: Any = toml.loads(f"{text} = 0")
    except ValueError:
        return ()
    path = []
    while isinstance(values, dict):
        name, values = next(iter(values.items()))
        path.append(name)
    return tuple(path)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'


def _shown(value: Any) -> str:
    """A value as TOML spells it, short enough for one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value[:60]}"'
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else str(value)[:60]
