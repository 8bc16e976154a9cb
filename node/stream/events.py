"""What a stream amounts to: its beginning and end, stanzas, other elements, and what is wrong with them."""

from node.base.element import SEPARATOR, XML, Element
from node.base.errors import StanzaError, StreamError
from node.base.stanza import Stanza

LANG = f"{XML}{SEPARATOR}lang"  # what expat calls xml:lang

_IQ_TYPES = frozenset(("get", "set", "result", "error"))
_MESSAGE_TYPES = frozenset(("chat", "normal", "groupchat", "headline", "error"))
_PRESENCE_TYPES = frozenset(("unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"))


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


def fault_of(stanza: Stanza) -> StanzaError | None:
    """What RFC 6120 §8.1-8.2 and RFC 6121 §4.7.1 say that this stanza must not be."""
    if stanza.name == "message":
        if stanza.type not in _MESSAGE_TYPES:
            stanza.type = None  # RFC 6121 §5.2.2: a type that is not understood is `normal`
        return None
    if stanza.name == "presence":
        if stanza.type is not None and stanza.type not in _PRESENCE_TYPES:
            return StanzaError("bad-request", "an unknown type of presence")
        return None
    if stanza.id is None:
        return StanzaError("bad-request", "an iq needs an id")
    if stanza.type not in _IQ_TYPES:
        return StanzaError("bad-request", "an iq is get, set, result or error")
    count = len(stanza.kinds)
    if (count != 1 and stanza.type in ("get", "set")) or (count > 1 and stanza.type == "result"):
        return StanzaError("bad-request", "an iq asks one thing")
    return None
