"""The node's configuration: one TOML file, read whole and checked before anything is changed."""

import importlib
import os
import socket
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from node.base import jid, toml
from node.base.path import Path
from node.hub import board as boards
from node.hub.driver import Driver
from node.options import ConfigError, Table, build, closest, read
from node.ports.link import Peer
from node.things import picture

__all__ = ["Config", "ConfigError", "Listen", "Peer", "Thing", "Tls", "load"]

# Where the file of a table `[name]` may lie: node/features/name.py or node/things/name.py; and one of a port.
FLOORS = ("features", "things")
PORTS = {"limits": ["ports"]}
OWN_NAMES = ("domain", "data", "listen", "thing", "federation", "tls", "gateway", "rule")
# Tables that are looked for at the top, and where they are.
ELSEWHERE = {
    "rules": "[[rule]]",
    "things": "[thing.NAME]",
    "peer": '[federation.peers."DOMAIN"]',
    "peers": '[federation.peers."DOMAIN"]',
    "mqtt": "[gateway.mqtt]",
}
PORT_LIMIT = 65535
SHARED = ("modbus",)  # drivers of which several may have one port: a line with many devices


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the node is reached. A port of 0 is off."""

    address: str = ""  # every address of the machine
    client: int = 5222
    client_tls: int = 5223
    server: int = 5269

    def __post_init__(self):
        if not _may_be_an_address(self.address):
            raise ValueError(f"address {self.address!r} is no IP address")
        ports = {name: getattr(self, name) for name in ("client", "client_tls", "server")}
        for name, port in ports.items():
            if not 0 <= port <= PORT_LIMIT:
                raise ValueError(f"{name} must be a port from 1 to {PORT_LIMIT}, or 0 for off, not {port}")
            for other, same in ports.items():
                if other != name and port and same == port:
                    raise ValueError(f"{name} and {other} cannot both have port {port}")

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are on, by name."""
        named = {"client": self.client, "client_tls": self.client_tls, "server": self.server}
        return {name: port for name, port in named.items() if port}


def _may_be_an_address(text: str) -> bool:
    """Whether what looks like an IP address is one; names are looked up when the node listens."""
    if not text or not (":" in text or set(text) <= set("0123456789.")):
        return True
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text.partition("%")[0])
    except (OSError, ValueError):  # ValueError: a NUL
        return False
    return True


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate of one's own; without it the node makes one in its data directory."""

    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self):
        if (self.certificate is None) != (self.key is None):
            raise ValueError("needs both, certificate and key")


class Thing(NamedTuple):
    """One thing as configured; `options` is an instance of the driver's own `Options`."""

    name: str  # the localpart of its address
    driver: str
    options: Any  # None: the driver cannot be loaded
    label: str = ""
    board: boards.Board | None = None
    declared: boards.Declared = boards.Declared()  # by the board, and by the thing's own table
    picture: str = ""  # one of node/things/pictures

    def make_driver(self) -> Driver:
        """Its driver, which reaches for nothing yet, or what stands in for one that cannot be loaded."""
        declared = self.declared
        if self.options is None:
            from node.hub.absent import Absent

            return Absent(self.driver, declared.fields, declared.controls)
        driver = importlib.import_module(f"node.drivers.{self.driver}").Driver
        return driver(self.options, declared.fields, declared.controls)


@dataclass(frozen=True, slots=True)
class Config:
    """All that the file says, checked; paths are absolute."""

    path: Path
    domain: str
    data: Path
    listen: Listen = Listen()
    tls: Tls = Tls()
    peers: dict[str, Peer] = field(default_factory=dict)
    things: dict[str, Thing] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)  # 'access' → an instance of its file's Options
    gateways: dict[str, Any] = field(default_factory=dict)  # 'mqtt' → the same, None: it cannot be loaded
    rules: tuple[Any, ...] = ()  # instances of node.things.rules.Rule
    lacking: tuple[str, ...] = ()  # what cannot be loaded here, each with what has to be installed

    def options(self, module: ModuleType) -> Any:
        """What the file says for a feature or a face, its defaults where the file is silent, or None."""
        made = getattr(module, "Options", None)
        if made is None:
            return None
        said = self.tables.get(module.__name__.rpartition(".")[2])
        return said if isinstance(said, made) else made()

    @property
    def certificate(self) -> Path:
        return self.tls.certificate or self.data / "certificate.pem"

    @property
    def key(self) -> Path:
        return self.tls.key or self.data / "key.pem"


def load(path: Path, text: str | None = None) -> Config:
    """Read and check the file, or `text` as if it stood there. Raises ConfigError.

    Of the drivers only those that are configured get imported.
    """
    try:
        return _load(path, text)
    finally:
        toml.let_go()


def _load(path: Path, text: str | None) -> Config:
    table = read(path, text)
    for key, value in table.values.items():
        if key in ELSEWHERE:
            said = f"[[{key}]]" if isinstance(value, list) else f"[{key}]"
            raise table.mistake(f"{said}: did you mean {ELSEWHERE[key]}?", key)
        if key not in OWN_NAMES and _options_of(key) is None:
            raise table.unknown(key, [*OWN_NAMES, *filter(_options_of, _tables())])
        if key not in ("domain", "data", "rule") and not isinstance(value, dict):
            raise table.wrong(key, f"a table, [{key}]")
    lacking: list[str] = []
    domain = _domain(table, "domain")
    tls = build(Tls, table.inside("tls"))
    for name, file in (("certificate", tls.certificate), ("key", tls.key)):
        if file is not None and not file.is_file():
            raise table.inside("tls").mistake(f"[tls] {name}: there is no file {file}", name)
    return Config(
        path=path.absolute(),
        domain=domain,
        data=_data(table),
        listen=build(Listen, table.inside("listen")),
        tls=tls,
        peers=_peers(table.inside("federation"), domain),
        things=_things(table.inside("thing"), domain, lacking),
        gateways=_gateways(table.inside("gateway"), lacking),
        rules=_rules(table),
        tables={
            key: build(made, table.inside(key))
            for key in table.values
            if key not in OWN_NAMES and (made := _options_of(key))
        },
        lacking=tuple(lacking),
    )


def _domain(table: Table, key: str) -> str:
    if key not in table.values:
        raise table.mistake(f"{table.title} needs {key!r}, the part after the @ of every address")
    if not isinstance(table.values[key], str):
        raise table.wrong(key, "a text")
    try:
        return str(jid.make("", table.values[key]))
    except jid.JidError as error:
        raise table.mistake(f"{key}: {error}", key) from error


def _data(table: Table) -> Path:
    """Beside the file, if the file does not say where."""
    named = table.values.get("data", ".")
    if not isinstance(named, str):
        raise table.wrong("data", "a path in quotes")
    data = (table.file.parent / os.path.expanduser(named)).absolute()
    if data.exists() and not data.is_dir():
        raise table.mistake(f"data: {data} is not a directory", "data")
    return data


def _peers(federation: Table, domain: str) -> dict[str, Peer]:
    for key in federation.values:
        if key != "peers":
            raise federation.unknown(key, ["peers"])
    peers = federation.inside("peers")
    found = {}
    for name in peers.values:
        try:
            prepared = str(jid.make("", name))
        except jid.JidError as error:
            raise peers.mistake(f"{peers.inside(name).title}: {error}", name) from error
        if prepared == domain:
            raise peers.mistake(f"{peers.inside(name).title} is this node itself", name)
        found[prepared] = build(Peer, peers.inside(name))
    return found


def _things(table: Table, domain: str, lacking: list[str]) -> dict[str, Thing]:
    """The configured things, and the machine itself as `hub`, which is there without a word. What keeps a driver from
    being loaded is added to `lacking`: that costs its thing, and nobody else."""
    found: dict[str, Thing] = {}
    for name in table.values:
        try:
            prepared = jid.make(name, domain).local
        except jid.JidError as error:
            raise table.mistake(f"{table.inside(name).title} cannot be an address: {error}", name) from error
        if prepared in found:
            raise table.mistake(f"{table.inside(name).title} is the address of another thing too", name)
        found[prepared] = _thing(prepared, table.inside(name), lacking)
        _check_port(found, prepared, table.inside(name))
    if "hub" not in found:
        found["hub"] = _thing("hub", Table({}, table.file, {}, (*table.path, "hub")), lacking)
    return found


def _check_port(things: dict[str, Thing], name: str, table: Table) -> None:
    """A serial port has one owner: two would take each other's bytes."""
    port = getattr(things[name].options, "port", None)
    for other, thing in things.items():
        if other == name or not isinstance(port, str) or getattr(thing.options, "port", None) != port:
            continue
        if not thing.driver == things[name].driver in SHARED:
            raise table.mistake(f"{table.title} port: {port} is the port of [thing.{other}] too", "port")


def _thing(name: str, table: Table, lacking: list[str]) -> Thing:
    own = {key: table.values.get(key, "") for key in ("name", "board", "driver", "picture")}
    for key, value in own.items():
        if not isinstance(value, str):
            raise table.wrong(key, "a text")
    board = _board(table, own["board"])
    driver = board.driver if board else own["driver"] or ("linux" if name == "hub" else "")
    _check_driver(table, driver)
    shown = own["picture"] or (board.picture if board else "")
    if shown and shown not in picture.names():
        known = ", ".join(picture.names())
        raise table.mistake(f"{table.title}: there is no picture {shown!r}; there are {known}", "picture")
    try:
        declared = boards.declared(table.values)
    except ValueError as error:
        raise table.mistake(f"{table.title}: {error}") from error
    rest = table.without(*own, "fields", "controls")
    if board:
        declared = board.declared.updated(declared)
        rest.values = board.options | rest.values  # the board knows its speed, the house its port
    try:
        options_class = importlib.import_module(f"node.drivers.{driver}").Options
    except ImportError:
        said = f"{table.title}: the driver {driver!r} needs {_packages(driver)}"
        lacking.append(str(table.mistake(said, "board" if board else "driver")))
        return Thing(name, driver, None, own["name"], board, declared, shown)
    rest.values |= _places(table, driver, options_class, declared)
    options = build(options_class, rest, also_known=[*own, "fields", "controls"])
    # What an Options cannot see by itself: whether what is declared and where it is found fit each other.
    misfit = options.misfit(declared.fields, declared.controls) if hasattr(options, "misfit") else ""
    if misfit:
        raise table.mistake(f"{table.title}: {misfit}")
    return Thing(name, driver, options, own["name"], board, declared, shown)


def _board(table: Table, name: str) -> boards.Board | None:
    if not name:
        return None
    if table.values.get("driver"):
        raise table.mistake(f"{table.title} has a board, which names the driver: leave 'driver' out", "driver")
    try:
        return boards.load(name)
    except boards.BoardError as error:
        raise table.mistake(f"{table.title} board: {error}", "board") from error


def _check_driver(table: Table, driver: str) -> None:
    if not driver:
        # 0.75: 'bord' and 'drivr' are found; 'baud' is not, it is an option
        guessed = ((key, closest(key, ("board", "driver"), 0.75)) for key in table.values)
        near, guess = next((each for each in guessed if each[1]), (None, ""))
        raise table.mistake(f"{table.title} needs 'board' or 'driver'{guess}", near)
    if driver not in _files("drivers"):
        known = ", ".join(_files("drivers"))
        raise table.mistake(f"{table.title}: there is no driver {driver!r}; there are {known}", "driver")


def _places(table: Table, driver: str, options_class: type, declared: boards.Declared) -> dict[str, Any]:
    """Where the driver finds what is declared, as two of its options."""
    found = {"fields": declared.field_places, "controls": declared.control_places}
    for key, places in found.items():
        if places and key not in options_class.__annotations__:
            name, place = next(iter(places.items()))
            word = next(iter(place))
            raise table.mistake(f"{table.title}: {word!r} of {name!r} means nothing to the driver {driver!r}", key)
    return {key: places for key, places in found.items() if places}


def _gateways(table: Table, lacking: list[str]) -> dict[str, Any]:
    """The configured gateways, None for one that cannot be loaded; what keeps it from that is added to `lacking`."""
    found: dict[str, Any] = {}
    for name in table.values:
        if name not in _files("gateways"):
            raise table.unknown(name, list(_files("gateways")))
        try:
            made = importlib.import_module(f"node.gateways.{name}").Options
        except ImportError:
            lacking.append(str(table.mistake(f"{table.inside(name).title} needs {_packages(name)}", name)))
            found[name] = None
        else:
            found[name] = build(made, table.inside(name))
    return found


def _packages(extra: str) -> str:
    """How what is not installed gets there: extras in pyproject.toml are called as who needs them."""
    install = f"{sys.prefix}/bin/pip install '.[{extra}]'"
    return f"more Python packages: type {install} in the folder that hobnode came from"


def _rules(table: Table) -> tuple[Any, ...]:
    said = table.values.get("rule", [])
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise table.wrong("rule", "tables, each [[rule]]")
    if not said:
        return ()
    rule = importlib.import_module("node.things.rules").Rule  # who has no rules does not load them
    rules = tuple(build(rule, Table(each, table.file, table.lines, ("rule",))) for each in said)
    names = [each.name for each in rules if each.name]
    for name in names:
        if names.count(name) > 1:  # they would be taken for one that drives itself in circles
            raise table.mistake(f"[[rule]]: two rules have the name {name!r}", "rule")
    return rules


def _tables() -> dict[str, list[str]]:
    """The files whose tables stand at the top, each with its floors."""
    return _files(*FLOORS) | PORTS


def _options_of(table: str) -> type | None:
    """The class `Options` for that table, of the first floor where its file has one."""
    for floor in _tables().get(table, ()):
        found = getattr(importlib.import_module(f"node.{floor}.{table}"), "Options", None)
        if found is not None:
            return found
    return None


def _files(*floors: str) -> dict[str, list[str]]:
    """The names of the files on these floors, each with its floors."""
    here = Path(__file__).parent
    found: dict[str, list[str]] = {}
    for floor in floors:
        for file in sorted(os.listdir(here / floor)):
            name = file.removesuffix(".py")
            if name.isidentifier() and not name.startswith("_"):
                found.setdefault(name, []).append(floor)
    return found
