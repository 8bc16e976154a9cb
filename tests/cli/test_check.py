"""hobnode check: each finding in plain words, and an exit code."""

import dataclasses
import socket
import threading
import time

import pytest

from node.cli import check, ground
from node.config import load
from node.net import certificate, dns
from tests.cli.conftest import free_port, serving


@pytest.fixture(autouse=True)
def silent_dns(monkeypatch):
    """Nobody is asked: DNS knows what a test says it knows."""
    known = {}

    class Resolver:
        async def targets(self, domain, services, port):
            (service,) = services
            found = known.get(service, dns.Target(domain, port, False))
            if isinstance(found, Exception):
                raise found
            return [found]

        async def addresses(self, host):
            if host not in known:
                raise dns.NotFound(f"DNS knows no address of {host}")
            return [known[host]]

        async def close(self):
            pass

    monkeypatch.setattr(dns, "Resolver", Resolver)
    return known


@pytest.fixture
def config(home):
    config = load(home)
    ground.make(config)
    return config


def test_a_home_before_its_first_start(types, home):
    code, out, err = types("check", "--config", home)
    assert (code, err) == (0, "")
    assert "ok       configuration: " in out
    assert "note     node: not running" in out
    assert "note     certificate: " in out
    assert "note     people: no accounts yet" in out
    assert [path.name for path in home.parent.iterdir()] == ["home.toml"]  # it only looks


def test_a_running_node_is_greeted_at_each_port(types, home):
    ports = free_port(21000), free_port(21100)
    home.write_text(
        f'domain = "home.example"\n[listen]\naddress = "127.0.9.1"\n'
        f"client = {ports[0]}\nclient_tls = {ports[1]}\nserver = 0\n"
    )
    with serving("run", "--config", home, folder=home.parent) as node:
        code, out, _ = types("check", "--config", home)
        assert f"ok       ports: client {ports[0]} answers" in out
        assert f"ok       ports: client_tls {ports[1]} answers" in out
        assert "ok       node: running" in out
        assert "things: hub: " in out
        # A new certificate that the node has not read yet
        certificate.make("home.example", home.parent / "certificate.pem", home.parent / "key.pem")
        code, out, _ = types("check", "--config", home)
        assert code == 1
        assert "shows another certificate than" in out
    assert "warning" not in node.logged and "error" not in node.logged


def test_another_program_on_a_port_is_noticed(config):
    def answer(listening):
        with listening.accept()[0] as visitor:
            visitor.recv(4096)
            visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    port = free_port(21200)
    listen = dataclasses.replace(config.listen, address="127.0.9.1", client=port)
    with socket.create_server(("127.0.9.1", port)) as listening:
        visited = threading.Thread(target=answer, args=(listening,))
        visited.start()
        found = list(check.ports(dataclasses.replace(config, listen=listen), running=True))
        visited.join(5)
    said = f"[listen] client {port}: what answers there offers no TLS: is it another program?"
    assert found == [("problem", said)]


def test_a_port_that_is_taken_or_dead_is_a_problem(config):
    port = free_port(21300)
    listen = dataclasses.replace(config.listen, address="127.0.9.1", client=port)
    config = dataclasses.replace(config, listen=listen)
    with socket.create_server(("127.0.9.1", port)):
        assert list(check.ports(config, running=False)) == [
            ("problem", f"[listen] client {port}: port {port} at 127.0.9.1 is taken")
        ]
    assert list(check.ports(config, running=False)) == [("ok", f"client {port} is free")]
    assert list(check.ports(config, running=True)) == [("problem", f"[listen] client {port}: connection refused")]


def test_the_certificate_is_judged(config, monkeypatch):
    good = list(check.certificate_(config))
    assert [level for level, _ in good] == ["ok", "ok"]
    assert good[1][1] == f"fingerprint {certificate.fingerprint(config.certificate)}"
    expires = certificate.expires(config.certificate)
    for now, level, said in (
        (expires - 86400, "note", "valid until"),
        (expires + 1, "problem", "expired on"),
        (0.0, "problem", "and the clock says 1970-01-01"),
    ):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        found = next(check.certificate_(config))
        assert found[0] == level
        assert said in found[1]


def test_a_certificate_for_somebody_else_is_a_problem(config):
    other = dataclasses.replace(config, domain="other.example")
    assert (
        "problem",
        "certificate is for home.example, *.home.example; it has to be for other.example",
    ) in list(check.certificate_(other))


def test_a_key_that_does_not_fit_is_a_problem(config, tmp_path):
    certificate.make("home.example", tmp_path / "c", config.key)
    ((level, said),) = check.certificate_(config)
    assert level == "problem"
    assert "does not belong to the certificate" in said


def test_a_clock_in_1970_is_a_problem(config, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 3600.0)
    assert list(check.clock(config)) == [
        ("problem", "it is not 1970-01-01: set the clock, or let systemd-timesyncd do it")
    ]


def test_a_full_and_a_slow_disk_are_told(config, monkeypatch):
    for free, level in ((10 << 20, "problem"), (100 << 20, "note"), (1000 << 20, "ok")):
        monkeypatch.setattr(check.shutil, "disk_usage", lambda path, free=free: FakeUsage(free))
        assert next(iter(check.disk(config))) == (level, f"{free >> 20} MiB free for {config.data}")
    monkeypatch.setattr(check, "_sync_time", lambda folder: 1.5)
    assert list(check.disk(config))[1][0] == "note"

    def refused(folder):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(check, "_sync_time", refused)
    said = f"{config.data} cannot be written to: Read-only file system"
    assert list(check.disk(config))[1] == ("problem", said)


class FakeUsage:
    def __init__(self, free):
        self.free = free


RECORD = "_xmpp-client._tcp.home.example. 3600 IN SRV 0 5 5222 home.example."
ADVICE = f"to be found from elsewhere, add the record {RECORD}"


@pytest.mark.parametrize(
    ("known", "port", "level", "said"),
    [
        ({}, 5222, "note", f"DNS knows no address of home.example; {ADVICE}"),
        ({"home.example": "192.0.2.1"}, 5222, "ok", "home.example has an address"),
        ({"home.example": "192.0.2.1"}, 6000, "note", "add the record"),
        (
            {"_xmpp-client._tcp": dns.Target("pi.example", 6000, False), "pi.example": "192.0.2.1"},
            6000,
            "ok",
            "DNS says pi.example port 6000",
        ),
        (
            {"_xmpp-client._tcp": dns.Target("pi.example", 6000, False), "pi.example": "192.0.2.1"},
            5222,
            "problem",
            "pi.example port 6000, but we listen on 5222",
        ),
        ({"_xmpp-client._tcp": dns.Target("pi.example", 1, False)}, 1, "note", "no address of pi.example"),
    ],
)
def test_what_dns_says_is_compared_with_what_we_do(config, silent_dns, known, port, level, said):
    silent_dns.update(known)
    listen = dataclasses.replace(config.listen, client=port)
    ((found, text),) = check.asyncio.run(check.names(dataclasses.replace(config, listen=listen)))
    assert found == level
    assert said in text


def test_a_local_name_belongs_to_this_network(config, silent_dns):
    config = dataclasses.replace(config, domain="pi.local")
    ((level, said),) = check.asyncio.run(check.names(config))
    assert level == "note"
    assert "install avahi-daemon" in said
    silent_dns["pi.local"] = "192.0.2.1"
    ((level, said),) = check.asyncio.run(check.names(config))
    assert level == "ok"


def test_an_account_with_the_address_of_a_thing_is_a_problem(types, home, config):
    types("user", "add", "porch@home.example", "--config", home, "--password-stdin", stdin="x\n")
    home.write_text(home.read_text() + '[thing.porch]\ndriver = "linux"\n')
    code, out, _ = types("check", "--config", home)
    assert code == 1
    assert "problem  people: porch@home.example is an account, and [thing.porch] wants the address" in out


def test_a_board_that_is_not_plugged_in_is_a_problem(types, home):
    home.write_text(home.read_text() + '[thing.porch]\nboard = "arduino-uno"\nport = "/dev/hobnode-none"\n')
    code, out, _ = types("check", "--config", home)
    assert code == 1
    assert "problem  things: porch: /dev/hobnode-none is not there" in out


ACCESS = """
[access]
control = ["bne@home.example", "Ben@HOME.example", "@cabin.example", "kim@cabin.example", "kids", "hub@home.example"]
owners = ["ann@home.example"]
groups = { kids = ["lia@home.example"] }
[access.things.proch]
read = []
[access.things."p*"]
approve = ["mia@home.example"]
[thing.porch]
driver = "linux"
"""
MISSING = [
    '[access.things."proch"]: there is no such thing here; did you mean porch?',
    "[access] control: there is no bne@home.example here; did you mean ben@home.example?",
    "[access] owners: there is no ann@home.example here",
    "[access.groups] kids: there is no lia@home.example here",
    '[access.things."p*"] approve: there is no mia@home.example here',
]


def test_a_grant_to_nobody_is_noted(types, home, config):
    types("user", "add", "ben@home.example", "--config", home, "--password-stdin", stdin="x\n")
    home.write_text(home.read_text() + ACCESS)
    code, out, _ = types("check", "--config", home)
    assert [line for line in out.splitlines() if " access: " in line] == [
        f"note     access: {each}" for each in MISSING
    ]
    assert code == 0


RULES = """
[thing.porch]
driver = "linux"
[[thing.porch.controls]]
name = "lamp"
type = "boolean"
led = "ACT"
[[rule]]
name = "dusk"
thing = "prch"
field = "light"
below = 20
set.porch = { lamp = true }
set."hall@home.example" = { lamp = true }
tell = ["bne@home.example", "kim@cabin.example", "ben@home.example"]
[[rule]]
thing = "freezer@cabin.example"
gone = true
set.porch = { lamp = true }
set.attic = { lamp = true }
"""


def test_a_rule_about_what_is_not_here_is_noted(types, home, config):
    types("user", "add", "ben@home.example", "--config", home, "--password-stdin", stdin="x\n")
    home.write_text(home.read_text() + RULES)
    code, out, _ = types("check", "--config", home)
    assert [line for line in out.splitlines() if " rules: " in line] == [
        "note     rules: rule dusk: there is no thing prch here; did you mean porch?",
        "note     rules: rule dusk: there is no thing hall here",
        "note     rules: rule dusk: there is nobody bne@home.example here; did you mean ben@home.example?",
        "note     rules: rule 2 (gone): there is no thing attic here",
    ]
    assert code == 0


def test_a_gateway_may_bring_the_thing_that_a_rule_is_about(home, config):
    home.write_text(home.read_text() + RULES + "[gateway.mqtt]\n")
    found = [said for _, said in check.rules(load(home), running=False)]
    assert [each.partition(": ")[2] for each in found] == [
        f"there is nobody {name}@home.example here" for name in ("bne", "ben")
    ]


WORDS = """
[thing.porch]
board = "arduino-uno"
port = "/dev/hobnode-none"
[thing.desk]
board = "microbit"
port = "/dev/hobnode-nobody"
[thing.sdm]
board = "sdm120"
port = "/dev/hobnode-noone"
[thing.feed]
driver = "exec"
command = ["/usr/bin/uptime"]
[[rule]]
name = "dusk"
thing = "desk"
field = "lihgt"
below = 20
set.desk = { picture = "CAT", shwo = "x" }
set."porch@home.example" = { dimmer = 300, lamp = "on", lmap = true }
[[rule]]
thing = "sdm"
field = "power"
equals = "much"
set.sdm = { power = 1 }
set.hub = { lamp = true }
[[rule]]
name = "fine"
thing = "porch"
field = "button"
equals = true
set.desk = { picture = "HEART", show = "true" }
set.porch = { dimmer = " 255", lamp = false }
[[rule]]
name = "unknown"
thing = "feed"
field = "what"
above = 1
set."stove@cabin.example" = { x = 1 }
[[rule]]
name = "far"
thing = "porch@cabin.example"
field = "what"
above = 1
set.plug = { x = 1 }
set."porch@cabin.example" = { x = 1 }
[[rule]]
thing = "porch"
gone = true
set.desk = { show = "porch is gone" }
"""
WRONG = [
    "rule dusk: desk has no field 'lihgt'; did you mean 'light'?",
    "rule dusk: desk cannot have picture=CAT: Picture on the display: one of OFF, HEART, HAPPY, SAD, YES, NO, "
    "DUCK, HOUSE, UMBRELLA, SKULL.",
    "rule dusk: desk has no control 'shwo'; did you mean 'show'?",
    "rule dusk: porch, as it is declared, cannot have dimmer=300: Dimmer: a whole number from 0 to 255.",
    "rule dusk: porch, as it is declared, cannot have lamp=on: Lamp: true or false.",
    "rule dusk: porch, as it is declared, has no control 'lmap'; did you mean 'lamp'?",
    "rule 2 (power is much): 'power is much' is never so: power of sdm is a number.",
    "rule 2 (power is much): sdm has no control 'power'; there are none",
    "rule 2 (power is much): hub has no control 'lamp'; there are none",
]


def test_a_word_of_a_rule_that_a_thing_does_not_know_is_noted(home, config):
    home.write_text(home.read_text() + WORDS + "[gateway.mqtt]\n")
    assert list(check.rules(load(home), running=False)) == [("note", each) for each in WRONG]


def test_a_field_that_the_running_node_reads_is_there(types, home, config, monkeypatch):
    home.write_text(home.read_text() + WORDS)
    lihgt = {"name": "lihgt", "label": "", "type": "quantity", "unit": "", "value": "1", "stamp": 1.0}
    known = {"user-list": [], "thing-list": [{"name": "desk", "readings": [lihgt]}, {"name": "plug", "readings": []}]}
    monkeypatch.setattr("node.cli.office.ask_running", lambda config, do: known[do])
    assert [said for _, said in check.rules(load(home), running=True)] == WRONG[1:]


def test_a_gateway_may_bring_the_thing_that_is_granted(home, config):
    home.write_text(home.read_text() + '[access.things.plug]\nread = ["x@home.example"]\n[gateway.mqtt]\n')
    found = [said for _, said in check.access(load(home), running=False)]
    assert found == ['[access.things."plug"] read: there is no x@home.example here']


def test_a_mistake_in_the_file_is_exit_code_2(types, home):
    home.write_text("domian = 'x'")
    code, out, err = types("check", "--config", home)
    assert (code, out) == (2, "")
    assert "did you mean 'domain'?" in err
