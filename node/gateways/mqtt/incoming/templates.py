"""Value templates: how Home Assistant finds a value in what a device publishes, and makes a payload of one.

Nearly all of them are `{{ value_json.temperature }}`: these are paths, which are followed without jinja2. It is
imported when the first other one comes. A template is a stranger's program: see sandbox.py for what bounds it.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

LONGEST = 2048  # characters of a template; those of publishers have 30, seldom 500
SIZE = 32 * 1024  # characters of a payload that a template looks at: states of devices have 200 to 2000
OUTPUT = 4096  # characters of what comes out; a reading has 1024, a command a few
COMPILED = 500  # templates; the devices of one model share theirs, and each costs 5 KB

_PATH = re.compile(
    r"""\{\{\s*+value_json((?:\.[A-Za-z_]\w*+|\[\s*+(?:"[^"\\]*+"|'[^'\\]*+'|\d{1,4})\s*+\])++)\s*+\}\}\Z""", re.ASCII
)
_STEP = re.compile(r"""\.(\w+)|\[\s*(?:"([^"]*)"|'([^']*)'|(\d+))\s*\]""", re.ASCII)
_VALUE = re.compile(r"\{\{\s*value\s*\}\}\Z")
_MISSING = object()


class TemplateError(ValueError):
    """A template that is not understood, or that fails; in words."""


class Number(float):
    """A number of JSON, which remembers how it is spelled: "10.0" is not "10"."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "Number":
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


class Message:
    """What came for a topic: a text, and as JSON when somebody asks for it."""

    __slots__ = ("_json", "text")

    def __init__(self, text: str):
        self.text = text
        self._json = _MISSING

    @property
    def json(self) -> Any:
        """None when it is no JSON."""
        if self._json is _MISSING:
            try:
                self._json = json.loads(self.text, parse_float=Number, parse_constant=str)
            except (ValueError, RecursionError):
                self._json = None
        return self._json


Find = Callable[[Message], str]


@lru_cache(COMPILED)
def finder(template: str | None) -> Find:
    """What finds the value: the whole text without a template. Raises TemplateError, then or when it is used."""
    if not template or _VALUE.match(template):
        return _whole
    found = _PATH.match(template)
    if found and len(template) <= LONGEST:
        return _Path(found[1])
    return Template(template)


def _whole(message: Message) -> str:
    return message.text


class _Path:
    __slots__ = ("steps",)

    def __init__(self, text: str):
        self.steps = tuple(
            int(index) if index else name or double or single for name, double, single, index in _STEP.findall(text)
        )

    def __call__(self, message: Message) -> str:
        data = message.json
        if data is None:
            raise TemplateError("what came is no JSON")
        for step in self.steps:
            try:
                data = data[step]
            except (LookupError, TypeError):
                return ""  # as in Home Assistant: it says nothing of this
        return str(data)[:OUTPUT]


class Template:
    """One for jinja2, compiled when it is first used."""

    __slots__ = ("text",)

    def __init__(self, text: str):
        if len(text) > LONGEST:
            raise TemplateError(f"a template of more than {LONGEST} characters")
        self.text = text

    def __call__(self, message: Message) -> str:
        if len(message.text) > SIZE:
            raise TemplateError(f"more than {SIZE} characters for a template")
        data = message.json
        if data is None and "value_json" in self.text:
            raise TemplateError("what came is no JSON")
        return self.render(value=message.text, value_json=data)

    def render(self, **variables: Any) -> str:
        """Raises TemplateError."""
        return _compiled(self.text)(variables)[:OUTPUT].strip()


def number(text: str) -> int | Number:
    """A number for a template, in which it can be reckoned with."""
    return int(text) if re.fullmatch(r"-?\d{1,18}", text, re.ASCII) else Number(text)


@lru_cache(COMPILED)
def _compiled(text: str) -> Callable[[dict[str, Any]], str]:
    """Also what is not understood is kept, so that it costs once."""
    try:
        from node.gateways.mqtt.incoming import sandbox

        return sandbox.compiled(text)
    except ImportError:
        complaint = f"the template {text[:80]!r} needs the Python package 'jinja2'"
    except TemplateError as error:
        complaint = str(error)

    def fails(variables: dict[str, Any]) -> str:
        raise TemplateError(complaint)

    return fails
