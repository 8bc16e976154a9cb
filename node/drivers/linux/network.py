"""Network links: whether there is a cable, or a Wi-Fi, at the other end (RFC 2863 §3.1.13: ifOperStatus)."""

from node.base.path import Path
from node.drivers.linux import sysfs
from node.drivers.linux.sysfs import Kind

LINKS = "sys/class/net"


class Sensor:
    """`net = "eth0"`: true while it is up; for an alarm `net = "eth0/down"`, true while it is not."""

    def __init__(self, root: Path, where: str, decimals: int | None):
        self.root = root
        self.link, _, down = where.partition("/")
        self.down = down == "down"
        if not self.link or where not in (self.link, f"{self.link}/down"):
            raise ValueError(f"must be like 'eth0' or 'eth0/down', not {where!r}")
        self.bus = f"net {self.link}"
        self.kind = Kind(type="boolean", alarm=f"{self.link} has no link" if self.down else "")

    def read(self) -> str:
        link = sysfs.pick(sysfs.folders(self.root, LINKS), lambda each: [each.name], self.link, "network link")
        state = sysfs.text(link / "operstate")
        # Tunnels and PPP do not know their state, but whether they are connected.
        up = state == "up" or (state == "unknown" and sysfs.told(link / "carrier") == "1")
        return sysfs.boolean(up != self.down)
