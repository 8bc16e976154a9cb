"""What one thing lacks is told of, and keeps nobody from the rest."""

import sys

import pytest

from node import config
from tests.cli.conftest import serving

METER = """
[thing.meter]
board = "sdm120"
port = "/dev/hobnode-none"
"""


@pytest.fixture
def lacking(home, monkeypatch):
    """A home with a power meter, on a machine that has not what its driver needs; what is said of that."""
    home.write_text(home.read_text() + METER)
    load_module = config.importlib.import_module

    def load(name):
        if name == "node.drivers.modbus":
            raise ModuleNotFoundError("No module named 'pymodbus'", name="pymodbus")
        return load_module(name)

    monkeypatch.setattr(config.importlib, "import_module", load)
    install = f"type {sys.prefix}/bin/pip install '.[modbus]' in the folder that hobnode came from"
    return f"{home}:8: [thing.meter]: the driver 'modbus' needs more Python packages: {install}"


def test_people_can_be_added_and_removed(types, home, lacking):
    said = f"hobnode: {lacking}\n"
    ann = "ann@home.example"
    added = types("user", "add", ann, "--password-stdin", "--config", home, stdin="secret")
    assert added == (0, f"added {ann}\n", said)
    assert types("user", "list", "--config", home) == (0, f"{ann}\n", said)
    assert types("user", "remove", ann, "--config", home) == (0, f"removed {ann}\n", said)


def test_the_thing_is_in_the_list(types, home, lacking):
    code, out, err = types("thing", "list", "--config", home)
    assert code == 0 and err.startswith(f"hobnode: {lacking}\n")
    assert out.splitlines()[1].split() == ["meter", "modbus", "(sdm120)", "not", "running"]
    assert types("thing", "log", "meter", "--config", home)[0] == 0


def test_check_tells_it_as_a_problem(types, home, lacking, monkeypatch):
    monkeypatch.setattr("node.cli.check.names", no_dns)
    code, out, err = types("check", "--config", home)
    assert (code, err) == (1, "")
    problems = [line for line in out.splitlines() if line.startswith("problem")]
    assert problems == [
        f"problem  configuration: {lacking}",
        "problem  things: meter: the driver modbus cannot be loaded",
    ]


async def no_dns(config):
    return []


def test_a_node_serves_and_its_thing_says_what_it_needs(types, home, tmp_path):
    home.write_text(home.read_text() + METER)
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "pymodbus.py").write_text("raise ImportError")
    with serving("run", "--config", home, folder=home.parent, PYTHONPATH=str(absent)) as node:
        _, out, _ = types("thing", "list", "--config", home)
    (row,) = (line for line in out.splitlines() if line.startswith("meter"))
    assert row.endswith(": needs more Python packages, those for modbus: see `hobnode check`")
    assert f"error: {home}:8: [thing.meter]: the driver 'modbus' needs more Python packages: type " in node.logged
    assert "info: hub: online" in node.logged
