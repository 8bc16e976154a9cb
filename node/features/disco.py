"""XEP-0030: Service Discovery: what the server, its accounts and its things are and can do."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid
from node.base.stanza import Stanza

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"

NAME = "hobnode"  # of all that caps stand for: things whose features are equal shall have equal ones, however called

Children = Callable[[Stanza], list[Element]]


def setup(hub, options):
    disco = Disco(hub)
    hub.provide("disco", disco)
    hub.identity("server", "im", NAME)
    hub.identity("account", "registered", at="account")
    hub.identity("client", "bot", NAME, at="thing")
    for at in ("host", "account", "thing"):
        hub.advertise(INFO, ITEMS, at=at)
        hub.on_iq("get", "query", INFO, partial(disco.info, at), at=at)
        hub.on_iq("get", "query", ITEMS, partial(disco.items, at), at=at)


class Disco:
    def __init__(self, hub):
        self.hub = hub
        self.nodes: dict[tuple[str, str], tuple[Children, Children]] = {}
        self.listed: list[tuple[str, str]] = []  # those of them that are told as items of their place
        self.forms: dict[str, dict[str, Element]] = defaultdict(dict)  # by place and FORM_TYPE
        self.edition = 0  # another one each time that a form changes
        self.is_alias: Callable[[str, str], bool] = lambda node, at: False

    def on_node(self, node: str, info: Children, items: Children, at: str, listed: bool = False) -> None:
        """Answers for a node at the `host`, an `account` or a `thing`, which may be `listed` as one of its items.

        `info` gives the identities and features, `items` the items, to the iq that asks. Both may raise
        StanzaError.
        """
        self.nodes[at, node] = info, items
        if listed:
            self.listed.append((at, node))

    def extend(self, form_type: str, form: Element | None, at: str = "host") -> None:
        """The form of that FORM_TYPE for what is told of the `host`, an `account` or a `thing` (XEP-0128), or None."""
        self.forms[at].pop(form_type, None)
        if form is not None:
            self.forms[at][form_type] = form
        self.edition += 1

    def alias(self, is_alias: Callable[[str, str], bool]) -> None:
        """Says which nodes (node, at) are other names of no node at all (XEP-0115 §6.2)."""
        self.is_alias = is_alias

    def info(self, at, iq, origin):
        """§3: who it is and what it can do."""
        self._admit(at, iq)
        node = iq.payload.get("node")
        plain = node is None or self.is_alias(node, at)
        children = self.describe(at, self._label(at, iq.to, node)) if plain else self._node(at, node)[0](iq)
        return iq.reply(E("query", INFO, *children, node=node))

    def _label(self, at, address, node):
        """What a thing is called, for who asks its bare address. The full one is that of its presence: there what is
        told has to fit the hash, also for who asks without the node (Dino, Monal)."""
        return self.hub.things[address].label if at == "thing" and node is None and not address.full else ""

    def describe(self, at: str, label: str = "") -> list[Element]:
        """The identities, features and forms of the `host`, an `account` or a `thing`, which may go by its `label`."""
        identities = [
            E("identity", None, category=category, type=type, name=label or name or None)
            for category, type, name in self.hub.identities[at]
        ]
        features = [E("feature", None, var=feature) for feature in self.hub.features[at]]
        return [*identities, *features, *self.forms[at].values()]

    def items(self, at, iq, origin):
        """§4: what belongs to it."""
        self._admit(at, iq)
        node = iq.payload.get("node")
        if node is not None:
            children = self._node(at, node)[1](iq)
        elif at == "host":
            children = self._things(iq.sender)
        elif at == "account":
            children = [E("item", None, jid=full) for full in self.hub.present.get(iq.to, ())]
        else:
            children = [E("item", None, jid=iq.to.bare, node=each) for place, each in self.listed if place == at]
        return iq.reply(E("query", ITEMS, *children, node=node))

    def _things(self, asker: Jid) -> list[Element]:
        """The things of the house, for those who live in it (devices: PR-7)."""
        if asker.domain != self.hub.host or not asker.local:
            return []
        return [E("item", None, jid=thing.jid, name=thing.label) for thing in self.hub.things.values()]

    def _node(self, at, node):
        if (at, node) not in self.nodes:
            raise StanzaError("item-not-found")
        return self.nodes[at, node]

    def _admit(self, at, iq):
        """§8: only who may see a person's presence learns that there is one. What the server tells is long, and other
        servers ask for it once, when they meet it."""
        if at == "host" and not self.hub.need("strangers").may_ask(iq):
            raise StanzaError("policy-violation", "Ask less often", type="wait")
        if at != "account" or iq.sender.bare == iq.to:
            return
        if not self.hub.need("roster").subscribed(iq.to, iq.sender.bare):
            raise StanzaError("service-unavailable")
