"""The two spellings of machine IQ: the short one of urn:nf/nfi/ieee:iot and the long one of urn:xmpp:iot.

The Neuro-Foundation's interfaces (devices.md A2) succeed XEP-0323 and XEP-0325: the same model under shorter
names. What is asked in one namespace is answered in the same, and everything behind it is written once.
"""

from typing import NamedTuple

from node.base.element import Element
from node.base.errors import StanzaError

FAMILIES = ("urn:nf:iot", "urn:nfi:iot", "urn:ieee:iot")

INT = 2**31  # beyond it an integer is a `long`

CATEGORIES = {"momentary": "m", "peak": "p", "status": "s", "computed": "c", "identity": "i"}
PERIODS = ("", "Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year", "Other")
SHORT_FLAGS = {"h": "historical", **{short: name for name, short in CATEGORIES.items()}}
LONG_FLAGS = {
    **{f"historical{period}": "historical" for period in PERIODS},
    **{name: name for name in CATEGORIES},
    "identification": "identity",  # in the examples of XEP-0323, where its schema says identity
}
SHORT = {
    "quantity": "q",
    "boolean": "b",
    "integer": "i",
    "long": "l",
    "string": "s",
    "enum": "e",
    "date": "d",
    "dateTime": "dt",
    "time": "t",
    "duration": "dr",
}
LONG = {
    "quantity": "numeric",
    "integer": "int",
    **{name: name for name in SHORT if name not in ("quantity", "integer")},
}
# Which elements may set a control of which type; a number may come in any element for numbers that it fits.
SETTERS = {
    "boolean": ("b", "boolean"),
    "integer": ("i", "l", "int", "long"),
    "quantity": ("db", "i", "l", "double", "int", "long"),
    "string": ("s", "d", "dt", "t", "dr", "string", "date", "dateTime", "time", "duration"),
    "enum": ("e", "s", "string"),
    "color": ("cl", "s", "color", "string"),
}


class Dialect(NamedTuple):
    """How one namespace spells names and values."""

    ns: str
    short: bool

    @property
    def node(self) -> str:
        return "nd" if self.short else "node"

    @property
    def node_id(self) -> str:
        return "id" if self.short else "nodeId"

    @property
    def field(self) -> str:
        return "f" if self.short else "field"

    @property
    def name(self) -> str:
        return "n" if self.short else "name"

    @property
    def value(self) -> str:
        return "v" if self.short else "value"

    def category(self, name: str) -> str:
        return CATEGORIES[name] if self.short else name

    @property
    def flags(self) -> dict[str, str]:
        """The categories that a request may name, by attribute; `historical` for all kinds of history."""
        return SHORT_FLAGS if self.short else LONG_FLAGS

    def element(self, type: str, value: str) -> str:
        """The name of the element for a value of that type."""
        if type == "integer":
            type = sized(value)
        return (SHORT if self.short else LONG)[type]

    def nodes(self, asked: Element) -> list[str]:
        """The nodes that a request names; [] when it means the device itself."""
        return [each.get(self.node_id) or "" for each in asked.findall(self.node)]


def sized(value: str) -> str:
    """What an integer is by its size; a text that is none is passed on as the text it is."""
    try:
        return "integer" if -INT <= int(value) < INT else "long"
    except ValueError:
        return "string"


def dialects(interface: str, legacy: str) -> list[Dialect]:
    """All spellings of an interface: `sd` or `ctr`, with the older namespace."""
    return [Dialect(f"{family}:{interface}:1.0", True) for family in FAMILIES] + [Dialect(legacy, False)]


def addressed(dialect: Dialect, asked: Element, name: str) -> bool:
    """Whether a request names the thing as a node. Raises StanzaError when it names any other (SD-8)."""
    nodes = dialect.nodes(asked)
    for each in nodes:
        if each != name:
            raise StanzaError("item-not-found", f"There is no node {each[:80]!r} here, only {name!r}.")
    return bool(nodes)
