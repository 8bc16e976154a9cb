"""The floors of the house: a file imports from floors below its own or from its own folder."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

CLONE = Path(__file__).parent.parent
NODE = CLONE / "node"
FLOORS = {
    "base": 0,
    "net": 1,
    "stream": 1,
    "hub": 2,
    "ports": 3,
    "features": 3,
    "things": 3,
    "drivers": 3,
    "gateways": 3,
}
TOP = 4  # app, config, cli and what else lies in node/ itself: one folder
FILES = sorted(path for path in NODE.rglob("*.py"))
# Each library's name appears in one file, which is the place to exchange it, or to load it late.
LIBRARIES = {
    "precis_i18n": {"node/base/jid.py"},
    "idna": {"node/base/jid.py", "node/net/certificate.py"},  # certificates know no addresses
    "aiodns": {"node/net/dns.py"},
    "serial": {"node/net/tty.py"},
    "cryptography": {"node/net/certificate.py"},
    "segno": {"node/cli/qr.py"},
    "pymodbus": {"node/drivers/modbus/__init__.py", "node/drivers/modbus/bus.py"},  # requests, and frames
    "pynmea2": {"node/drivers/nmea.py"},
    "gpiod": {"node/drivers/gpio.py"},
    "paho": {"node/gateways/mqtt/connection.py", "node/gateways/mqtt/client.py"},  # what fits a filter
    "jinja2": {"node/gateways/mqtt/incoming/sandbox.py"},
}


def floor(folder: str) -> int:
    return FLOORS.get(folder, TOP)


def folder_of(path: Path) -> str:
    """'hub' for node/hub/x.py and node/hub/x/y.py; the top is one folder of its own, named ''."""
    first = path.relative_to(NODE).parts[0]
    return first if first in FLOORS else ""


@cache
def imports(path: Path) -> list[str]:
    """All modules that a file names, at its top or inside: 'node.hub.thing', 'serial'."""
    found = []
    for part in ast.walk(ast.parse(path.read_text())):
        if isinstance(part, ast.Import):
            found += [name.name for name in part.names]
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0, f"{path}: a relative import hides from which floor it is"
            # `from node.hub import board` names a module, `from node.hub.board import Board` does too
            found += [f"{part.module}.{name.name}" for name in part.names]
    return found


def ours(path: Path) -> list[str]:
    """The folders of the house that a file imports from."""
    named = [name.split(".") for name in imports(path) if name.split(".")[0] == "node"]
    # node/__init__.py itself holds the version and nothing else: a constant for all
    return [parts[1] if parts[1] in FLOORS else "" for parts in named if parts != ["node", "__version__"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLONE)))
def test_a_file_imports_from_below_or_from_its_own_folder(path):
    own = folder_of(path)
    for other in ours(path):
        assert other == own or floor(other) < floor(own), f"{path} imports from {other or 'the top'}"


def test_every_folder_has_a_floor():
    folders = {path.name for path in NODE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - set(FLOORS) == {"cli"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_named_in_one_file(library):
    files = {
        str(path.relative_to(CLONE)) for path in FILES if any(name.split(".")[0] == library for name in imports(path))
    }
    assert files == LIBRARIES[library]


def test_there_are_no_other_libraries():
    known = {*sys.stdlib_module_names, *LIBRARIES, "node"}
    named = {name.split(".")[0] for path in FILES for name in imports(path)}
    assert named - known == set()


def named_on(folder: str) -> set[str]:
    return {name for path in (NODE / folder).rglob("*.py") for name in imports(path)}


def test_streams_know_no_sockets_and_no_clock():
    first = {name.split(".")[0] for name in named_on("stream")}
    assert first & {"socket", "ssl", "asyncio", "select", "time", "threading"} == set()


def test_connections_know_no_xmpp():
    assert {name for name in named_on("net") if name.startswith("node.base")} == set()


def test_drivers_know_no_xmpp():
    forbidden = ("node.base.element", "node.base.stanza", "node.base.jid", "node.base.form", "node.hub.hub")
    assert {name for name in named_on("drivers") if name.startswith(forbidden)} == set()
