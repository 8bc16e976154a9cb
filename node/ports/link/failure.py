"""Why a link could not be had: words for the log, a stanza error for senders, a dialback error for peers."""

from node.base.element import STREAMS, Element
from node.base.errors import STREAMS_NS, StanzaError
from node.stream.events import Event

NOT_FOUND = "remote-server-not-found"
TIMEOUT = "remote-server-timeout"


class LinkError(Exception):
    """No link, or none any more. `text` says why, to be read behind the domain's name.

    `condition` is what a sender hears (RFC 6120 §8.3.3), `dialback` what a server hears that wants to be
    trusted (XEP-0220 §2.5).
    """

    def __init__(self, condition: str, text: str, dialback: str = TIMEOUT):
        super().__init__(text)
        self.condition = condition
        self.text = text
        self.dialback = dialback

    def as_stanza_error(self, domain: str) -> StanzaError:
        return StanzaError(self.condition, f"{domain}: {self.text}")


class Unreachable(LinkError):
    """Nobody took the connection."""

    def __init__(self, text: str):
        super().__init__(TIMEOUT, text, "remote-connection-failed")


class Crowded(LinkError):
    """Too many links are wanted here: that says nothing about the domain."""

    def __init__(self, text: str):
        super().__init__("resource-constraint", text, "resource-constraint")


def not_found(text: str) -> LinkError:
    """There is no such server."""
    return LinkError(NOT_FOUND, text, NOT_FOUND)


def silent(text: str) -> LinkError:
    """There is one, and it does not answer, or not now."""
    return LinkError(TIMEOUT, text)


def distrusted(text: str) -> LinkError:
    """Somebody answered who cannot show that the domain is his: the server that we want was not found."""
    return LinkError(NOT_FOUND, text, "not-authorized")


def told(event: Event) -> tuple[str, str] | None:
    """What the peer ends his stream with, if it is an error: its condition, and words with his text."""
    if not isinstance(event, Element) or (event.name, event.ns) != ("error", STREAMS):
        return None
    names = [each.name for each in event.elements if each.ns == STREAMS_NS and each.name != "text"]
    condition = names[0][:80] if names else "undefined-condition"
    text = event.find("text", STREAMS_NS)
    return condition, f"says {condition}{': ' + text.text[:200] if text else ''}"
