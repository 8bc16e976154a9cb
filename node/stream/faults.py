"""What is wrong with what came: with a stanza, which is refused, or with the stream, which ends."""

from xml.parsers import expat
from xml.parsers.expat import errors as expat_errors

from node.base.element import E
from node.base.errors import StanzaError, StreamError
from node.base.stanza import Stanza

_IQ_TYPES = frozenset(("get", "set", "result", "error"))
_MESSAGE_TYPES = frozenset(("chat", "normal", "groupchat", "headline", "error"))
_PRESENCE_TYPES = frozenset(("unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error"))

_CONDITIONS = {
    expat_errors.codes[expat_errors.XML_ERROR_UNDEFINED_ENTITY]: "restricted-xml",
    expat_errors.codes[expat_errors.XML_ERROR_UNBOUND_PREFIX]: "bad-namespace-prefix",
    expat_errors.codes[expat_errors.XML_ERROR_UNKNOWN_ENCODING]: "unsupported-encoding",
    expat_errors.codes[expat_errors.XML_ERROR_INCORRECT_ENCODING]: "unsupported-encoding",
}


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


def as_stream_error(error: expat.ExpatError, data: bytes | bytearray) -> StreamError:
    """What the peer hears of `data` that expat cannot read."""
    if b"<!DOCTYPE" in data:  # after the header expat finds it merely misplaced
        return _restricted_xml()
    return StreamError(_CONDITIONS.get(error.code, "not-well-formed"), expat.ErrorString(error.code))


def restricted(*_what: object) -> None:
    """Handles what RFC 6120 §11.1 forbids, whatever it says. Raises StreamError."""
    raise _restricted_xml()


def _restricted_xml() -> StreamError:
    return StreamError("restricted-xml", "comments, processing instructions and document types have no place here")


def too_big(limit: int) -> StreamError:
    """An element has more than `limit` bytes (XEP-0205)."""
    extra = E("stanza-too-big", "urn:xmpp:errors")
    return StreamError("policy-violation", f"more than {limit} bytes in one piece", extra=extra)
