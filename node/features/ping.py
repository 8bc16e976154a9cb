"""XEP-0199: XMPP Ping."""

NS = "urn:xmpp:ping"


def setup(hub, options):
    hub.advertise(NS)
    for at in ("host", "self"):  # §4.2: a client may also ping its own bare address, or none
        hub.on_iq("get", "ping", NS, pong, at=at)


def pong(iq, origin):
    return iq.reply()
