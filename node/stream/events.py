"""What a stream amounts to: its beginning and end, stanzas, and other elements."""

from node.base.element import SEPARATOR, XML, Element
from node.base.errors import StanzaError, StreamError
from node.base.stanza import Stanza

LANG = f"{XML}{SEPARATOR}lang"  # what expat calls xml:lang


class Opening:
    """The header of the peer's stream (RFC 6120 §4.7), as it was written."""

    __slots__ = ("id", "lang", "ns", "sender", "to", "version")

    def __init__(self, attrs: dict[str, str], ns: str):
        self.ns = ns
        self.to = attrs.get("to")
        self.sender = attrs.get("from")
        self.id = attrs.get("id")
        self.version = attrs.get("version")
        self.lang = attrs.get(LANG)


class Closing:
    """The peer has closed its stream."""

    __slots__ = ()


class Refused:
    """A stanza that is well-formed and yet wrong (RFC 6120 §8): its sender hears `error`, the stream goes on."""

    __slots__ = ("error", "stanza")

    def __init__(self, stanza: Stanza, error: StanzaError):
        self.stanza = stanza
        self.error = error


Event = Opening | Stanza | Refused | Element | Closing | StreamError
