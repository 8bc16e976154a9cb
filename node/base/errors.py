"""What goes wrong, as the peer hears it: stanza errors (RFC 6120 §8.3) and stream errors (§4.9)."""

from node.base.element import STREAMS, E, Element

STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-stanzas"
STREAMS_NS = "urn:ietf:params:xml:ns:xmpp-streams"

# RFC 6120 §8.3.3: each condition with the type that the text recommends for it.
TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}


class StanzaError(Exception):
    """Refuses one stanza. `extra` is an application's own condition beside the standard one.

    Raises KeyError for a condition that RFC 6120 does not know.
    """

    def __init__(
        self, condition: str, text: str | None = None, *, type: str | None = None, extra: Element | None = None
    ):
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text
        self.type = type or TYPES[condition]
        self.extra = extra

    def element(self) -> Element:
        text = E("text", STANZAS_NS, self.text, xml_lang="en") if self.text else None
        return E("error", None, E(self.condition, STANZAS_NS), text, self.extra, type=self.type)


class StreamError(Exception):
    """Ends a stream, with the reason that the peer is told (RFC 6120 §4.9.3)."""

    def __init__(self, condition: str, text: str | None = None, *, extra: Element | None = None):
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text
        self.extra = extra

    def element(self) -> Element:
        text = E("text", STREAMS_NS, self.text, xml_lang="en") if self.text else None
        return E("error", STREAMS, E(self.condition, STREAMS_NS), text, self.extra)
