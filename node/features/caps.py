"""XEP-0115: Entity Capabilities: a hash that stands for what disco would tell."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable

from node.base import form
from node.base.element import E, Element

NEEDS = ("disco",)

NS = "http://jabber.org/protocol/caps"
NODE = "https://hobnode.example/caps"  # which program it is; the same for all homes


def setup(hub, options):
    caps = Caps(hub)
    hub.provide("caps", caps)
    for at in ("host", "account", "thing"):
        hub.advertise(NS, at=at)
    hub.need("disco").alias(caps.is_current)


class Caps:
    def __init__(self, hub):
        self.hub = hub
        self.known: dict[str, tuple[tuple[int, ...], str]] = {}  # by place: its size, and the hash

    def element(self, at: str = "host") -> Element:
        """The `<c/>` for presences and stream features of the `host`, an `account` or a `thing`."""
        return E("c", NS, hash="sha-1", node=NODE, ver=self.version(at))

    def version(self, at: str) -> str:
        """The hash of what `disco` tells there (XEP-0115 §5.1)."""
        identities, features = self.hub.identities[at], self.hub.features[at]
        disco = self.hub.need("disco")
        size = len(identities), len(features), disco.edition  # the first two only ever grow
        known = self.known.get(at)
        if known is None or known[0] != size:
            with_lang = [(category, type, "", name) for category, type, name in identities]
            known = self.known[at] = size, verification(with_lang, features, disco.forms[at].values())
        return known[1]

    def is_current(self, node: str, at: str) -> bool:
        """Whether the node is that of our hash, which tells the same as no node (§6.2)."""
        return node == f"{NODE}#{self.version(at)}"


def verification(
    identities: Iterable[tuple[str, str, str, str]], features: Iterable[str], forms: Iterable[Element] = ()
) -> str:
    """The verification string of §5.1 by SHA-1, in base64.

    An identity is category, type, language and name; a form is an `<x/>` of XEP-0128.
    """
    parts = ["/".join(identity) for identity in sorted(identities, key=_octets)]
    parts += sorted(features, key=str.encode)
    for fields in sorted(map(form.values, forms), key=lambda fields: fields["FORM_TYPE"][0].encode()):
        parts += fields.pop("FORM_TYPE")
        for name in sorted(fields, key=str.encode):
            parts += [name, *sorted(fields[name], key=str.encode)]
    text = "".join(f"{part}<" for part in parts)
    return b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()


def _octets(identity):
    return [part.encode() for part in identity]
