"""hobnode up: the first run makes everything and says how to log in; the second just runs."""

import os
import re
import socket

import pytest

from node.cli import up
from node.cli.log import is_the_journal
from node.config import load
from tests.cli.conftest import QUIET, serving


@pytest.fixture
def free(monkeypatch):
    """Set up without opening the usual ports, which the machine that tests may need."""
    monkeypatch.setattr(up, "FIRST", re.sub(" = 5[0-9]{3}", " = 0", up.FIRST))


def set_up(types, monkeypatch, data, *words):
    """All of the first run but serving."""

    async def serve(config, announce):
        announce()
        return 0

    monkeypatch.setattr("node.app.serve", serve)
    return types("up", "--data", data, *words)


def test_the_first_run_says_how_to_log_in_and_the_second_does_not(types, free, monkeypatch, tmp_path):
    data = tmp_path / "deep" / "data"
    code, out, err = set_up(types, monkeypatch, data, "--domain", "Pi.Local")
    assert (code, err) == (0, "")
    config = load(data / "hobnode.toml")
    owner = config.tables["access"].control[0]
    password = re.search(r"password +(\S+)", out)[1]
    assert f"address      {owner}" in out
    assert owner.endswith("@pi.local")
    assert re.fullmatch(rf"([{up.ALPHABET}]{{4}}-){{3}}[{up.ALPHABET}]{{4}}", password)
    assert re.search(r"SHA-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}\n", out)
    assert re.search(r"SHA-1   ([0-9A-F]{2}:){19}[0-9A-F]{2}\n", out)
    assert "▄" in out  # the QR code
    assert types("user", "list", "--config", data / "hobnode.toml")[1] == f"{owner}\n"

    before = {path.name: path.read_bytes() for path in data.glob("*.[pt][eo]m*")}
    code, out, err = set_up(types, monkeypatch, data)
    assert (code, err) == (0, "")
    assert password not in out
    assert "hobnode: pi.local, configured in" in out
    assert {path.name: path.read_bytes() for path in data.glob("*.[pt][eo]m*")} == before


def test_it_serves(tmp_path):
    (tmp_path / "hobnode.toml").write_text(QUIET)
    with serving("up", "--data", tmp_path, folder=tmp_path) as node:
        pass
    assert node.returncode == 0
    assert re.findall("(?:warning|error): (.*)", node.logged) == [
        "[listen] client and client_tls are 0: nobody can log in"  # as this test has it
    ]
    assert "password     " in node.said
    assert node.said.endswith("hobnode: ready; Ctrl-C stops it\n")


def test_the_journal_sees_no_password(types, free, monkeypatch, tmp_path):
    monkeypatch.setattr("node.cli.log.is_the_journal", lambda stream: True)
    code, out, _ = set_up(types, monkeypatch, tmp_path)
    assert code == 0
    assert "password" not in out
    owner = load(tmp_path / "hobnode.toml").tables["access"].control[0]
    assert f"hobnode user add {owner} --config {tmp_path}/hobnode.toml" in out
    assert types("user", "list", "--config", tmp_path / "hobnode.toml")[1] == ""


def test_another_domain_needs_another_directory(types, home):
    home.rename(home.parent / "hobnode.toml")
    code, out, err = types("up", "--data", home.parent, "--domain", "other.example")
    assert (code, out) == (2, "")
    assert "says that this is home.example" in err


@pytest.mark.parametrize("domain", ["a b", "", "ann@pi.local", "pi.local/x"])
def test_a_domain_that_cannot_be_is_a_mistake(types, tmp_path, domain):
    code, _, err = types("up", "--data", tmp_path / "data", "--domain", domain)
    assert code == 2
    assert err.startswith(f"hobnode: --domain {domain!r}: ")
    assert not (tmp_path / "data").exists()


def test_the_domain_is_what_the_machine_is_called_on_its_network(monkeypatch):
    for name, domain in (
        ("raspberrypi", "raspberrypi.local"),
        ("My_Pi.fritz.box", "my-pi.local"),
        ("localhost", "hobnode.local"),
        ("", "hobnode.local"),
    ):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        assert up._domain() == domain


def test_the_owner_is_called_like_the_login_of_a_person(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 1000)
    for login, owner in (("Ann", "ann"), ("hub", "owner"), ("a b", "owner")):
        monkeypatch.setattr("getpass.getuser", lambda login=login: login)
        assert up._owner("pi.local") == f"{owner}@pi.local"
    for service in (0, 999, 61184):
        monkeypatch.setattr("os.getuid", lambda service=service: service)
        assert up._owner("pi.local") == "owner@pi.local"


def test_a_taken_port_is_said_when_the_file_is_there_that_can_name_another(types, free, monkeypatch, tmp_path):
    file = tmp_path / "data" / "hobnode.toml"
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as two:
        ports = [each.getsockname()[1] for each in (one, two)]
        written = up.FIRST.replace("client = 0", f"client = {ports[0]}").replace("server = 0", f"server = {ports[1]}")
        monkeypatch.setattr(up, "FIRST", written)
        code, out, err = types("up", "--data", tmp_path / "data", "--domain", "pi.local")
    assert (code, out) == (2, "")
    said = f"[listen] client: port {ports[0]} is taken, server: port {ports[1]} is taken; change that in {file}"
    assert err == f"hobnode: {said}\n"
    assert f"\nclient = {ports[0]}\n" in file.read_text()
    file.write_text(re.sub(" = [0-9]+", " = 0", file.read_text()))
    code, out, _ = set_up(types, monkeypatch, tmp_path / "data")
    assert code == 0 and "This is pi.local." in out


@pytest.mark.parametrize("words", [["--domain", "Pi.Local"], []])
def test_a_file_that_names_no_domain_gets_one(types, monkeypatch, tmp_path, words):
    monkeypatch.setattr("socket.gethostname", lambda: "pi")
    file = tmp_path / "hobnode.toml"
    file.write_text(QUIET.partition("\n")[2])
    assert set_up(types, monkeypatch, tmp_path, *words)[0] == 0
    assert file.read_text() == QUIET.replace("home.example", "pi.local")


def test_a_file_with_a_mistake_gets_nothing(types, tmp_path):
    (tmp_path / "hobnode.toml").write_text('domian = "pi.local"\n')
    code, _, err = types("up", "--data", tmp_path)
    assert code == 2 and "did you mean 'domain'?" in err
    assert (tmp_path / "hobnode.toml").read_text() == 'domian = "pi.local"\n'


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        ("/home/ann/hobnode/.venv/bin/hobnode", None),
        ("/usr/bin/hobnode", "hobnode"),
        ("/x/node/__main__.py", "hobnode"),
    ],
)
def test_what_is_to_be_typed_is_what_the_shell_finds(monkeypatch, called, typed):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("sys.argv", [called, "up"])
    assert up._command() == (typed or called)


def test_on_a_terminal_the_qr_code_is_no_negative_whatever_the_colours_are(monkeypatch):
    assert "\033" not in up.qr("xmpp:ann@pi.local")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = up.qr("xmpp:ann@pi.local").splitlines()
    assert all(line.startswith("\033[97;40m█") and line.endswith("\033[0m") for line in lines[:-1])


def test_the_journal_is_told_from_a_terminal(monkeypatch):
    read, write = os.pipe()
    with os.fdopen(read) as stream:
        status = os.fstat(read)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        assert is_the_journal(stream)
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        assert not is_the_journal(stream)
    os.close(write)


def test_a_first_run_that_was_cut_short_is_finished_by_the_second(types, free, monkeypatch, tmp_path):
    def cut(config):
        raise KeyboardInterrupt

    with monkeypatch.context() as power:
        power.setattr("node.cli.ground.make", cut)
        assert types("up", "--data", tmp_path / "data", "--domain", "pi.local")[0] == 130
    code, out, _ = set_up(types, monkeypatch, tmp_path / "data")
    assert code == 0
    assert "@pi.local\n  password " in out
