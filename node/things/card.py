"""The name and the picture of a thing as clients ask for them: XEP-0054 vcard-temp, XEP-0084 User Avatar, XEP-0172.

Who may read it may ask (things/access.py). Its presence tells by XEP-0153 which picture it is, so nobody is notified:
of XEP-0060 there is as much as it takes to fetch an item.
"""

from base64 import b64encode

from node.base.element import E
from node.base.errors import StanzaError
from node.things import picture
from node.things.presence import NICK

NEEDS = ("disco",)

CARD = "vcard-temp"
PUBSUB = "http://jabber.org/protocol/pubsub"
METADATA, DATA = "urn:xmpp:avatar:metadata", "urn:xmpp:avatar:data"


def setup(hub, options):
    cards = Cards(hub)
    hub.advertise(CARD, f"{PUBSUB}#retrieve-items", at="thing")
    hub.on_iq("get", "vCard", CARD, cards.card, at="thing")
    hub.on_iq("set", "vCard", CARD, refuse, at="thing")
    hub.on_iq("get", "pubsub", PUBSUB, cards.items, at="thing")
    for node in PAYLOADS:
        hub.need("disco").on_node(node, leaf, cards.names, at="thing", listed=True)


class Cards:
    def __init__(self, hub):
        self.hub = hub

    def card(self, iq, origin):
        """XEP-0054 §3.3."""
        thing = self.hub.things[iq.to.bare]
        return iq.reply(
            E(
                "vCard",
                CARD,
                E("FN", None, thing.label),
                E("NICKNAME", None, thing.label),
                E("PHOTO", None, E("TYPE", None, "image/png"), E("BINVAL", None, encoded(picture.name(thing)))),
                E("DESC", None, description(thing)),
            )
        )

    def items(self, iq, origin):
        """XEP-0060 §6.5: the one item of a node, which a request may name by its id."""
        thing, asked = self.hub.things[iq.to.bare], iq.payload.find("items")
        if asked is None:
            raise StanzaError("feature-not-implemented")
        node = asked.get("node")
        told = PAYLOADS.get(node)
        if told is None:
            raise StanzaError("item-not-found")
        id, payload = told(thing)
        wanted = [each.get("id") for each in asked.findall("item")]
        item = E("item", None, payload, id=id) if not wanted or id in wanted else None
        return iq.reply(E("pubsub", PUBSUB, E("items", None, item, node=node)))

    def names(self, iq):
        """XEP-0060 §5.5: the items of a node by their ids."""
        id, _ = PAYLOADS[iq.payload.get("node")](self.hub.things[iq.to.bare])
        return [E("item", None, jid=iq.to.bare, name=id)]


def leaf(iq):
    """XEP-0060 §5.3: what a node is."""
    return [E("identity", None, category="pubsub", type="leaf"), E("feature", None, var=PUBSUB)]


def metadata(thing):
    """XEP-0084 §4.2."""
    shown, size = picture.name(thing), str(picture.SIZE)
    id, length = picture.digest(shown), str(len(picture.data(shown)))
    info = E("info", None, id=id, type="image/png", bytes=length, width=size, height=size)
    return id, E("metadata", METADATA, info)


def data(thing):
    """XEP-0084 §4.1."""
    shown = picture.name(thing)
    return picture.digest(shown), E("data", DATA, encoded(shown))


def nick(thing):
    return "current", E("nick", NICK, thing.label)


PAYLOADS = {METADATA: metadata, DATA: data, NICK: nick}


def encoded(shown):
    return b64encode(picture.data(shown)).decode()


def description(thing):
    """What it is and where it is: 'Uno 1.2, at home.example'."""
    about = thing.driver.about
    board = f"{about.get('name') or thing.kind} {about.get('version') or ''}".strip()
    return f"{board}, at {thing.jid.domain}"


def refuse(iq, origin):
    raise StanzaError("forbidden", "A thing's vCard is made by what it is", type="auth")
