"""hobnode run: nothing is changed before all is well, and the end is orderly."""

import os
import re
import signal
import socket
import stat
import subprocess

import pytest

from node.cli import ground
from node.cli.trouble import Trouble
from node.config import load
from node.net import certificate
from node.ports import control
from tests.cli.conftest import serving


def files(home) -> list[str]:
    return sorted(path.name for path in home.parent.rglob("*"))


def test_a_node_makes_what_it_needs_serves_and_stops(home):
    home.write_text('data = "kept"\n' + home.read_text())
    with serving("run", "--config", home, folder=home.parent) as node:
        assert control.is_running(home.parent / "kept")
    assert node.returncode == 0
    assert node.said == ""
    assert re.findall("info: (.*)\n", node.logged) == ["home.example serves", "hub: online", "home.example stops"]
    kept = home.parent / "kept"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert stat.S_IMODE((kept / "key.pem").stat().st_mode) == 0o600
    assert (kept / "certificate.pem").exists()
    assert not control.is_running(kept)


def test_a_taken_port_is_said_before_anything_is_made(types, home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        home.write_text(home.read_text().replace("client = 0", f'address = "127.0.0.1"\nclient = {port}'))
        code, out, err = types("run", "--config", home)
    assert (code, out) == (2, "")
    assert err == f"hobnode: [listen] client: port {port} at 127.0.0.1 is taken; change that in {home}\n"
    assert files(home) == ["home.toml"]


def test_an_address_of_somebody_else_is_said(types, home):
    home.write_text(home.read_text().replace("client = 0", 'address = "192.0.2.77"\nclient = 25222'))
    code, _, err = types("run", "--config", home)
    assert code == 2
    assert "192.0.2.77 is not an address of this machine" in err
    assert files(home) == ["home.toml"]


def test_a_second_node_on_the_same_data_is_refused(types, home):
    with serving("run", "--config", home, folder=home.parent):
        code, _, err = types("run", "--config", home)
    assert (code, err) == (2, f"hobnode: a node is already running on {home.parent}\n")


def test_a_certificate_that_cannot_be_used_is_said(types, home):
    for name in ("a", "b"):
        (home.parent / name).write_text("nothing\n")
    home.write_text(home.read_text() + '[tls]\ncertificate = "a"\nkey = "b"\n')
    code, _, err = types("run", "--config", home)
    assert code == 2
    assert str(home.parent / "a") in err
    assert files(home) == ["a", "b", "home.toml"]


def test_a_store_that_cannot_be_used_is_one_line(types, home):
    (home.parent / "accounts.db").write_bytes(b"not a database" * 100)
    code, out, err = types("run", "--config", home)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "accounts.db" in err


def test_a_directory_that_is_not_ours_is_left_alone(home, monkeypatch):
    config = load(home)
    owner = home.parent.stat().st_uid
    monkeypatch.setattr("os.geteuid", lambda: owner + 1)
    with pytest.raises(Trouble, match=f"belongs to user {owner}"):
        ground.look(config)


def test_an_orderly_end_is_asked_for_by_interrupt_too(home):
    with serving("run", "--config", home, folder=home.parent) as node:
        node.send_signal(subprocess.signal.SIGINT)
        node.wait(10)
    assert node.returncode == 0
    assert "home.example" in node.logged


def test_when_its_terminal_is_closed_the_node_stops(home):
    window, screen = os.openpty()
    with serving("run", "--config", home, folder=home.parent, stderr=screen) as node:
        os.close(screen)
        node.send_signal(signal.SIGHUP)  # from somebody who has changed the configuration
        logged = b""
        while b"have been read again" not in logged:
            logged += os.read(window, 4096)
        os.close(window)
        node.send_signal(signal.SIGHUP)
        assert node.wait(10) == 0


def test_a_thing_cannot_have_the_address_of_a_person(home, types):
    assert types("user", "add", "porch@home.example", "--password-stdin", "--config", home, stdin="secret")[0] == 0
    home.write_text(home.read_text() + '[thing.porch]\ndriver = "linux"\n')
    code, _, err = types("run", "--config", home)
    assert code == 2
    assert err.splitlines()[-1].endswith("[thing.porch]: porch@home.example is a person's address already")


@pytest.mark.parametrize("domain", ["home.example", "bücher.example", "192.0.2.1", "[2001:db8::1]"])
def test_the_certificate_stays_as_long_as_the_domain(home, domain, caplog):
    home.write_text(home.read_text().replace("home.example", domain))
    ground.make(load(home))
    before = load(home).certificate.read_bytes()
    ground.make(load(home))
    assert load(home).certificate.read_bytes() == before
    assert caplog.messages == []


def test_another_domain_gets_a_certificate_of_its_own_and_the_old_one_is_kept(home, caplog):
    ground.make(load(home))
    before = [(home.parent / name).read_bytes() for name in ("certificate.pem", "key.pem")]
    home.write_text(home.read_text().replace("home.example", "new.example"))
    ground.make(load(home))
    assert certificate.load(home.parent / "certificate.pem").names == ("new.example", "*.new.example")
    kept = [(home.parent / f"{name}.home.example").read_bytes() for name in ("certificate.pem", "key.pem")]
    assert kept == before
    assert caplog.messages == [
        "certificate is for home.example, *.home.example; it has to be for new.example:"
        " a new one is made; who trusts the old one has to trust it, too"
    ]


@pytest.mark.parametrize("named", [True, False])
def test_a_certificate_of_somebody_else_stays_and_the_log_tells(home, named, caplog, monkeypatch):
    certificate.make("other.example", home.parent / "certificate.pem", home.parent / "key.pem")
    if named:
        home.write_text(home.read_text() + '[tls]\ncertificate = "certificate.pem"\nkey = "key.pem"\n')
    else:  # put where ours would be, by a program that gets one from an authority
        monkeypatch.setattr("node.net.certificate.DAYS", 3651)
    before = files(home)
    ground.make(load(home))
    assert files(home) == before
    said = "certificate is for other.example, *.other.example; it has to be for home.example"
    assert caplog.messages == [said]
