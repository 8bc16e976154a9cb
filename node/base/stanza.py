"""A message, presence or iq (RFC 6120 §8): its address, its kind, and its bytes as they came.

A stanza that is only passed on is never a tree: `to_bytes` writes a new start tag and the bytes that came in.
The tree is built when somebody asks for `children`. Inside the node every stanza is in `jabber:client`, also
one that came from another server in `jabber:server`: the two names mean the same (RFC 6120 §4.8.2).

When the bytes may be passed on as they are (`portable`) is decided by the stream, which saw every declaration
of a namespace: NEVER when the bytes lean on a prefix that the stream or the start tag declared; SAME_NAMESPACE
when one of the two content namespaces is spelled inside; ANYWHERE otherwise.
"""

import secrets
from typing import Any

from node.base.element import SEPARATOR, STREAMS, Element, escape_attribute, read, write
from node.base.errors import StanzaError
from node.base.jid import Jid

CLIENT = "jabber:client"
SERVER = "jabber:server"

NEVER, SAME_NAMESPACE, ANYWHERE = range(3)

# A start tag with the declarations of an ordinary stream: before bytes that lean on nothing else.
PLAIN_SCOPES = {ns: f"<s xmlns='{ns}' xmlns:stream='{STREAMS}'>".encode() for ns in (CLIENT, SERVER)}


def kind(name: str, ns: str) -> str:
    """What `Stanza.kinds` holds for a child of that name."""
    return f"{ns}{SEPARATOR}{name}"


_BODY = kind("body", CLIENT)
_OPEN = {name: f"<{name}".encode() for name in ("message", "presence", "iq")}
_CLOSE = {name: f"</{name}>".encode() for name in _OPEN}
_AS_IT_IS: Any = object()


class Stanza:
    """One stanza. Not changed any more once it has been routed: `copy` makes another."""

    __slots__ = (
        "_children",
        "_inner",
        "_ns",
        "_scope",
        "_tails",
        "id",
        "kinds",
        "lang",
        "name",
        "portable",
        "sender",
        "to",
        "type",
    )

    def __init__(
        self,
        name: str,
        *children: Element | None,
        type: str | None = None,
        to: Jid | None = None,
        sender: Jid | None = None,
        id: str | None = None,
        lang: str | None = None,
    ):
        """One of ours. The namespace of children such as body is CLIENT; those that are None are left out."""
        self.name = name
        self.type = type
        self.to = to
        self.sender = sender
        self.id = id
        self.lang = lang
        self._children: list[Element] | None = [child for child in children if child is not None]
        self.kinds: tuple[str, ...] = tuple(
            kind(child.name, CLIENT if child.ns is None else child.ns) for child in self._children
        )
        self._inner = b""
        self._scope = b""
        self._ns = CLIENT
        self.portable = NEVER
        self._tails: dict[str, bytes] = {}

    @classmethod
    def received(
        cls, name: str, kinds: tuple[str, ...], inner: bytes, ns: str, scope: bytes, portable: int
    ) -> "Stanza":
        """One that a stream has checked. `scope` is a start tag with the declarations that `inner` leans on."""
        self = cls.__new__(cls)
        self.name = name
        self.type = self.id = self.lang = None
        self.to = self.sender = None
        self.kinds = kinds
        self._children = None
        self._inner = inner
        self._scope = scope
        self._ns = ns
        self.portable = portable
        self._tails = {}
        return self

    @property
    def children(self) -> list[Element]:
        """The child elements, built when first asked for."""
        if self._children is None:
            root = read(self._scope + self._inner + b"</s>") if self._inner else None
            self._children = root.elements if root else []
            if self._ns == SERVER:
                for child in self._children:
                    _rename(child, SERVER, CLIENT)
        return self._children

    @property
    def payload(self) -> Element | None:
        """The first child: of an iq, what it asks."""
        return self.children[0] if self.kinds else None

    @property
    def body(self) -> str | None:
        """The text of a message (RFC 6121 §5.2.3), None when it has none."""
        if _BODY not in self.kinds:
            return None
        element = self.child("body", CLIENT)
        return element.text if element else None

    def has(self, name: str, ns: str) -> bool:
        """Whether there is such a child; builds no tree."""
        return kind(name, ns) in self.kinds

    def child(self, name: str, ns: str) -> Element | None:
        """The first child of that name."""
        if kind(name, ns) not in self.kinds:
            return None
        for child in self.children:
            if child.name == name and (child.ns == ns or (child.ns is None and ns == CLIENT)):
                return child
        return None

    def reply(self, *children: Element | None) -> "Stanza":
        """The result of this iq, to whom asked, from whom was asked (RFC 6120 §8.2.3)."""
        return Stanza("iq", *children, type="result", to=self.sender, sender=self.to, id=self.id)

    def error(self, error: StanzaError | str) -> "Stanza":
        """The error answer to this stanza (RFC 6120 §8.3)."""
        if isinstance(error, str):
            error = StanzaError(error)
        return Stanza(self.name, error.element(), type="error", to=self.sender, sender=self.to, id=self.id)

    def copy(
        self,
        *,
        to: Jid | None = _AS_IT_IS,
        sender: Jid | None = _AS_IT_IS,
        type: str | None = _AS_IT_IS,
        id: str | None = _AS_IT_IS,
    ) -> "Stanza":
        """The same content under another address. Copies that differ in `to` alone are serialised once."""
        other = Stanza.__new__(Stanza)
        other.name = self.name
        other.kinds = self.kinds
        other.lang = self.lang
        other._children = self._children
        other._inner = self._inner
        other._scope = self._scope
        other._ns = self._ns
        other.portable = self.portable
        other.to = self.to if to is _AS_IT_IS else to
        other.sender = self.sender if sender is _AS_IT_IS else sender
        other.type = self.type if type is _AS_IT_IS else type
        other.id = self.id if id is _AS_IT_IS else id
        same = other.sender is self.sender and other.type is self.type and other.id is self.id
        other._tails = self._tails if same else {}
        return other

    def plus(self, key: str, xml: bytes) -> "Stanza":
        """The same stanza with one more child at its end: `key` is its kind, `xml` its bytes with all namespaces that
        they need. No tree is built: 1 us."""
        other = self.copy()
        other.kinds = (*self.kinds, key)
        close = _CLOSE[self.name]
        other._tails = {
            ns: tail[: -len(close)] + xml + close for ns, tail in self._tails.items() if tail.endswith(close)
        }
        if self._scope:
            other._inner = self._inner + xml
            other._children = None
        else:  # one of ours
            other._children = [*self.children, read(xml)]
        return other

    def to_bytes(self, ns: str) -> bytes:
        """The stanza for a stream whose content namespace is `ns` (CLIENT or SERVER)."""
        tail = self._tails.get(ns)
        if tail is None:
            tail = self._tails[ns] = self._tail(ns)
        if self.to is None:
            return _OPEN[self.name] + tail
        return b"%b to='%b'%b" % (_OPEN[self.name], self.to.wire, tail)

    def _tail(self, ns: str) -> bytes:
        """All that follows `to`: the same for every receiver."""
        start = b"" if self.sender is None else b" from='%b'" % self.sender.wire
        if self.type is not None:
            start += b" type='%b'" % escape_attribute(self.type).encode()
        if self.id is not None:
            start += b" id='%b'" % escape_attribute(self.id).encode()
        if self.lang is not None:
            start += b" xml:lang='%b'" % escape_attribute(self.lang).encode()
        inner = self._content(ns)
        if not inner:
            return start + b"/>"
        return b"%b>%b%b" % (start, inner, _CLOSE[self.name])

    def _content(self, ns: str) -> bytes:
        if self.portable == ANYWHERE or (self.portable == SAME_NAMESPACE and self._ns == ns):
            return self._inner
        children = self.children
        if ns == SERVER:
            children = [_renamed(child) for child in children]
        return "".join([write(child, ns) for child in children]).encode()

    def __repr__(self) -> str:
        return self.to_bytes(CLIENT).decode()


def _rename(element: Element, old: str, new: str) -> None:
    """Moves an element, and what is in the same namespace directly below it, to the other content namespace.

    What a foreign element wraps (a forwarded message) keeps the namespace that it names.
    """
    if element.ns == old:
        element.ns = new
        for child in element.elements:
            _rename(child, old, new)


def _renamed(element: Element) -> Element:
    if element.ns is not None and element.ns != CLIENT:
        return element
    children = [_renamed(child) if isinstance(child, Element) else child for child in element.children]
    return Element(element.name, SERVER, element.attrs, children)


def new_id() -> str:
    """An id that nobody can guess: 128 bits."""
    return secrets.token_urlsafe(16)
