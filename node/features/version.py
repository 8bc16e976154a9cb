"""XEP-0092: Software Version. The operating system is nobody's business (§5)."""

from node import __version__
from node.base.element import E

NS = "jabber:iq:version"


def setup(hub, options):
    hub.advertise(NS)
    hub.on_iq("get", "query", NS, tell)


def tell(iq, origin):
    return iq.reply(E("query", NS, E("name", None, "hobnode"), E("version", None, __version__)))
