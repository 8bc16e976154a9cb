"""XEP-0202: Entity Time."""

from time import localtime, time

from node.base import stamp
from node.base.element import E

NS = "urn:xmpp:time"


def setup(hub, options):
    hub.advertise(NS)
    hub.on_iq("get", "time", NS, tell)


def tell(iq, origin):
    now = time()
    offset = localtime(now).tm_gmtoff
    return iq.reply(E("time", NS, E("tzo", None, zone(offset)), E("utc", None, stamp.format(now))))


def zone(offset: int) -> str:
    """Seconds east of Greenwich as XEP-0082 §3.3 writes them: '+01:00'."""
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
