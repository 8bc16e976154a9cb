"""A stanza as it lies in the store: its XML in jabber:client, and back."""

from node.base.element import Element, read
from node.base.jid import parse
from node.base.stanza import CLIENT, PLAIN_SCOPES, Stanza


def pack(stanza: Stanza) -> bytes:
    """The whole stanza, addresses included, as UTF-8."""
    return stanza.to_bytes(CLIENT)


def unpack(data: bytes, *more: Element) -> Stanza:
    """The stanza that `pack` made these bytes of, with `more` children at its end.

    Raises JidError for an address that was valid once and is not any more (a newer Unicode may decide so).
    """
    element = read(PLAIN_SCOPES[CLIENT] + data + b"</s>").elements[0]
    attrs = element.attrs
    return Stanza(
        element.name,
        *element.elements,
        *more,
        type=attrs.get("type"),
        to=parse(attrs["to"]) if "to" in attrs else None,
        sender=parse(attrs["from"]) if "from" in attrs else None,
        id=attrs.get("id"),
        lang=attrs.get("xml:lang"),
    )
