"""A Prosody from Debian's package, and names in DNS by which it and a node find each other; all on loopback."""

import os
import subprocess
from pathlib import Path

import pytest

from node.net import certificate
from tests.live.log import Log
from tests.live.peers import DEADLINE, free_port, need

# Two runs of the tests may go on beside each other, and DNS has only one port.
NAME_SERVER = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"

CONFIGURATION = """
data_path = "{folder}/data"
pidfile = "{folder}/pid"
run_as_root = true
log = {{ {{ levels = {{ min = "debug" }}, to = "console" }} }}
interfaces = {{ "{address}" }}
c2s_ports = {{ {port} }}
s2s_ports = {{ {server_port} }}
s2s_direct_tls_ports = {{ {tls_server_port} }}
c2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
ssl = {{ certificate = "{certificate}", key = "{key}", cafile = "{trusted}" }}
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = {secure}
storage = "internal"
authentication = "internal_hashed"
unbound = {{ resolvconf = "{resolver}" }}
modules_enabled = {{
  "roster", "saslauth", "tls", "dialback", "disco", "blocklist", "private", "vcard_legacy", "version", "uptime",
  "time", "ping", "lastactivity", "posix", "s2s", "c2s", "message", "presence", "iq", "offline",
}}
VirtualHost "{domain}"
"""


class Names:
    """A name server for `entries`: domain → (address, {service: port}); -1 as the port: not offered here.

    `resolver` is a resolv.conf that points to it. `within` are the words that put a command into a world where
    that file is the machine's own: it takes root.
    """

    def __init__(self, folder: Path, entries: dict[str, tuple[str, dict[str, int]]]):
        need("dnsmasq", "dnsmasq-base")
        if os.geteuid() != 0:
            pytest.fail("names of our own in DNS take port 53 and a mount of our own: run this test as root")
        self.resolver = folder / "resolv.conf"
        self.resolver.write_text(f"nameserver {NAME_SERVER}\n")
        mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        self.within = ("unshare", "--mount", "sh", "-c", mount, str(self.resolver))
        records = []
        for domain, (address, services) in entries.items():
            records.append(f"--address=/{domain}/{address}")
            for service, port in services.items():
                target = f",{domain},{port}" if port > 0 else ""
                records.append(f"--srv-host=_{service}._tcp.{domain}{target}")
        self.process = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file"]
            + ["--user=root", f"--listen-address={NAME_SERVER}", "--bind-interfaces", "--local=/#/", *records]
            + ["--log-facility=-"],
            stderr=subprocess.PIPE,
            text=True,
        )
        if not any("started" in line for line in self.process.stderr):
            pytest.fail("dnsmasq has ended")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)


class Prosody:
    """One server, at an address of its own; people log in to it as to a node (`address`, `port`)."""

    def __init__(self, folder: Path, domain: str, address: str, resolver: Path, trusted: Path | None = None):
        """`trusted`: a certificate that it believes; then it believes no other, and takes it for a login."""
        need("prosody", "prosody lua-event lua-sec lua-unbound")
        folder.mkdir(parents=True)
        self.folder = folder
        self.domain = domain
        self.address = address
        self.port, self.server_port, self.tls_server_port = (free_port(address) for _ in range(3))
        self.certificate = folder / "certificate.pem"
        certificate.make(domain, self.certificate, folder / "key.pem")
        self.config = folder / "prosody.cfg.lua"
        self.config.write_text(
            CONFIGURATION.format(
                **vars(self),
                key=folder / "key.pem",
                trusted=trusted or self.certificate,
                secure="true" if trusted else "false",
                resolver=resolver,
            )
        )
        self.log = Log()
        self.process: subprocess.Popen | None = None

    @property
    def fingerprint(self) -> str:
        return certificate.fingerprint(self.certificate)

    def add(self, name: str, password: str = "secret") -> None:
        words = ("prosodyctl", "--config", str(self.config), "register", name, self.domain, password)
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Starts it and waits until it listens."""
        self.process = subprocess.Popen(
            ["prosody", "--config", str(self.config), "-F"], stdout=subprocess.PIPE, text=True, errors="replace"
        )
        self.log.follow(self.process.stdout)
        self.log.wait(f"Activated service 's2s' on [{self.address}]:{self.server_port}")

    def said(self) -> str:
        return self.log.said()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE)
