"""One XML element: read it, build it, write it.

`E("query", NS, E("item", None, jid=jid), seconds="1")` builds; `write` escapes. An element whose namespace
is None is in its parent's. Names of attributes with a prefix are `xml:lang` or `{namespace}name`.
"""

import re
from collections.abc import Iterator
from typing import Union
from xml.parsers import expat

XML = "http://www.w3.org/XML/1998/namespace"
STREAMS = "http://etherx.jabber.org/streams"
SEPARATOR = "\x01"  # between namespace and name in what expat tells: a character that no XML can hold

Child = Union["Element", str, None]


class Element:
    """Name, namespace, attributes, children (elements and texts, in order)."""

    __slots__ = ("attrs", "children", "name", "ns")

    def __init__(self, name: str, ns: str | None, attrs: dict[str, str], children: list["Element | str"]):
        self.name = name
        self.ns = ns
        self.attrs = attrs
        self.children = children

    @property
    def elements(self) -> list["Element"]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        """The text directly inside, joined."""
        return "".join(child for child in self.children if isinstance(child, str))

    def get(self, attribute: str, default: str | None = None) -> str | None:
        return self.attrs.get(attribute, default)

    def find(self, name: str, ns: str | None = None) -> "Element | None":
        """The first child of that name; in this element's own namespace when none is given."""
        return next(self._matching(name, ns), None)

    def findall(self, name: str, ns: str | None = None) -> list["Element"]:
        return list(self._matching(name, ns))

    def _matching(self, name: str, ns: str | None) -> Iterator["Element"]:
        wanted = self.ns if ns is None else ns
        for child in self.children:
            if not isinstance(child, Element) or child.name != name:
                continue
            if child.ns == wanted or (child.ns is None and wanted == self.ns):
                yield child

    def __repr__(self) -> str:
        return write(self, "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Element) and write(self, "") == write(other, "")

    __hash__ = None  # type: ignore[assignment]  # changeable, so no key


def E(name: str, ns: str | None = None, /, *children: Child, **attrs: str | None) -> Element:
    """Builds an element. Children and attributes that are None are left out.

    `from_` stands for the attribute `from` (a word of Python), `xml_lang` for `xml:lang`.
    """
    return Element(
        name,
        ns,
        {_SPELLED.get(key, key): value for key, value in attrs.items() if value is not None},
        [child for child in children if child is not None],
    )


_SPELLED = {"from_": "from", "xml_lang": "xml:lang"}

_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_ATTRIBUTE = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


_needs_escape = re.compile("[&<>\"'\t\n\r]").search  # 0.2 us; translate of an ordinary text takes 1.2


def escape(text: str) -> str:
    """Text as it stands between tags."""
    return text.translate(_TEXT) if _needs_escape(text) else text


def escape_attribute(text: str) -> str:
    """Text as it stands between quotes of either kind."""
    return text.translate(_ATTRIBUTE) if _needs_escape(text) else text


def write(element: Element, ns: str) -> str:
    """The element's XML, for a place where the default namespace is `ns`."""
    parts: list[str] = []
    _write(element, ns, parts)
    return "".join(parts)


def _write(element: Element, ns: str, parts: list[str]) -> None:
    name = element.name
    own = ns if element.ns is None else element.ns
    if own == STREAMS:
        # Every stream of ours declares the prefix `stream`, and nothing else may stand for that namespace.
        name, own = f"stream:{name}", ns
    elif own == XML:  # likewise
        name, own = f"xml:{name}", ns
    parts.append(f"<{name}")
    if own != ns:
        parts.append(f" xmlns='{escape_attribute(own)}'")
    for number, (key, value) in enumerate(element.attrs.items()):
        if key[0] == "{":
            uri, _, key = key[1:].rpartition("}")  # the last: a stranger's namespace may hold more of them
            parts.append(f" xmlns:a{number}='{escape_attribute(uri)}'")
            key = f"a{number}:{key}"
        parts.append(f" {key}='{escape_attribute(value)}'")
    if not element.children:
        parts.append("/>")
        return
    parts.append(">")
    for child in element.children:
        if isinstance(child, str):
            parts.append(escape(child))
        else:
            _write(child, own, parts)
    parts.append(f"</{name}>")


def read(data: bytes) -> Element:
    """The tree of a whole document that a stream has already checked. Raises expat.ExpatError."""
    builder = _Builder()
    builder.parser.Parse(data, True)
    assert builder.root is not None
    return builder.root


class _Builder:
    """Builds a tree out of what expat tells; the limits were held by the stream (stream/framing)."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self.path: list[Element] = []
        self.parser = parser = expat.ParserCreate(None, SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters

    def start(self, name: str, attrs: dict[str, str]) -> None:
        ns, _, local = name.rpartition(SEPARATOR)
        if attrs and any(SEPARATOR in key for key in attrs):
            attrs = {_attribute_name(key): value for key, value in attrs.items()}
        element = Element(local, ns, attrs, [])
        if self.path:
            self.path[-1].children.append(element)
        else:
            self.root = element
        self.path.append(element)

    def end(self, _name: str) -> None:
        self.path.pop()

    def characters(self, text: str) -> None:
        self.path[-1].children.append(text)


def _attribute_name(key: str) -> str:
    ns, separator, local = key.rpartition(SEPARATOR)
    if not separator:
        return key
    return f"xml:{local}" if ns == XML else f"{{{ns}}}{local}"
