"""What a thing tells of itself: XEP-0092 version, XEP-0012 last activity, XEP-0199 ping, XEP-0202 time."""

import time

from node.base import stamp
from node.base.element import E

VERSION, LAST, PING, TIME = "jabber:iq:version", "jabber:iq:last", "urn:xmpp:ping", "urn:xmpp:time"


def setup(hub, options):
    about = About(hub)
    hub.advertise(VERSION, LAST, PING, TIME, at="thing")
    for name, ns, tell in (
        ("query", VERSION, about.version),
        ("query", LAST, about.last),
        ("ping", PING, lambda iq, origin: iq.reply()),
        ("time", TIME, about.time),
    ):
        hub.on_iq("get", name, ns, tell, at="thing")


class About:
    def __init__(self, hub):
        self.hub = hub

    def version(self, iq, origin):
        """PR-8: of the board and its firmware, as far as the driver knows them."""
        thing = self.hub.things[iq.to.bare]
        name, version = (E(key, None, thing.driver.about.get(key) or otherwise) for key, otherwise in DEFAULTS)
        return iq.reply(E("query", VERSION, name, version, E("os", None, "Linux")))

    def last(self, iq, origin):
        """PR-8: seconds since the last reading, or since it was started; why it is offline."""
        thing = self.hub.things[iq.to.bare]
        passed = max(0, int(thing.now() - (thing.last or thing.since)))  # a clock may have been set back
        return iq.reply(E("query", LAST, thing.reason or None, seconds=str(passed)))

    def time(self, iq, origin):
        zone = time.strftime("%z")  # +0100
        return iq.reply(E("time", TIME, E("tzo", None, f"{zone[:3]}:{zone[3:5]}"), E("utc", None, stamp.now())))


DEFAULTS = (("name", "hobnode"), ("version", "unknown"))
