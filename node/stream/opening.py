"""How a stream begins and ends (RFC 6120 §4): our header, the check of the peer's, and the way to say why not."""

import secrets
from collections.abc import Callable

from node.base.element import STREAMS, Element, escape_attribute, write
from node.base.errors import StreamError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import SERVER
from node.stream.events import Opening

DIALBACK = "jabber:server:dialback"
CLOSE = b"</stream:stream>"


def new_stream_id() -> str:
    """128 bits that nobody can guess: dialback keys hang on it (RFC 6120 §4.7.3)."""
    return secrets.token_hex(16)


def header(
    ns: str, *, sender: str | None = None, to: str | None = None, id: str | None = None, lang: str = "en"
) -> bytes:
    """The header of our stream, with the XML declaration; `db` is declared between servers (XEP-0220 §2.1)."""
    attributes = "".join(
        f" {name}='{escape_attribute(value)}'"
        for name, value in (("from", sender), ("to", to), ("id", id))
        if value is not None
    )
    dialback = f" xmlns:db='{DIALBACK}'" if ns == SERVER else ""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{ns}' xmlns:stream='{STREAMS}'{dialback}"
        f"{attributes} version='1.0' xml:lang='{escape_attribute(lang)}'>"
    ).encode()


def features(ns: str, offered: list[Element]) -> bytes:
    """The stream features (RFC 6120 §4.3.2)."""
    return write(Element("features", STREAMS, {}, list(offered)), ns).encode()


def last_words(ns: str, error: StreamError | None) -> bytes:
    """What ends our stream: the error, if there is one, and the closing tag."""
    return (write(error.element(), ns).encode() if error else b"") + CLOSE


def check(opening: Opening, ns: str, hosted: Callable[[Jid], bool]) -> Jid:
    """The host that the peer's header asks for. Raises StreamError (RFC 6120 §4.7, §4.8.5, §4.9.3)."""
    if opening.ns != ns:
        raise StreamError("invalid-namespace", f"this port speaks {ns}")
    major = (opening.version or "0").partition(".")[0]
    if not major.isdigit() or int(major) < 1:
        raise StreamError("unsupported-version", "XMPP 1.0, please")
    if opening.to is None:
        raise StreamError("improper-addressing", "the stream header names no host")
    try:
        host = parse(opening.to)
    except JidError as error:
        raise StreamError("host-unknown", str(error)) from None
    if host.local or host.resource or not hosted(host):
        raise StreamError("host-unknown", f"{host[:80]} does not live here")
    return host
