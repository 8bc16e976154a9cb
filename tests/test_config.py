"""The configuration file: what it may say, and the one line that answers a mistake."""

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from node import config
from node.config import Config, ConfigError, Listen, Peer, load
from node.hub.board import Declared
from node.hub.driver import Control, Field


@pytest.fixture
def home(tmp_path):
    def written(text: str, domain: str = 'domain = "home.example"') -> Config:
        file = tmp_path / "home.toml"
        file.write_text(f"{domain}\n{text}")
        return load(file)

    return written


@pytest.fixture
def without(monkeypatch):
    """`without(module)`: it cannot be loaded, for what it needs is not installed."""
    load_module = config.importlib.import_module

    def missing(module: str) -> None:
        def load_another(name: str):
            if name == module:
                raise ModuleNotFoundError("No module named 'something'", name="something")
            return load_module(name)

        monkeypatch.setattr(config.importlib, "import_module", load_another)

    return missing


def complaint(home, text: str, **more) -> str:
    """What is said, from the file's name on."""
    with pytest.raises(ConfigError) as raised:
        home(text, **more)
    assert "\n" not in str(raised.value)
    return str(raised.value).rpartition("/home.toml")[2]


def test_a_domain_is_enough(home, tmp_path):
    found = home("")
    assert (found.domain, found.data, found.path) == ("home.example", tmp_path, tmp_path / "home.toml")
    assert found.listen == Listen("", 5222, 5223, 5269)
    assert found.certificate == tmp_path / "certificate.pem"
    assert found.key == tmp_path / "key.pem"
    assert found.peers == {}


def test_the_machine_itself_is_a_thing_without_a_word(home):
    assert home("").things["hub"].driver == "linux"


def test_everything_that_can_be_said_is_read(home, tmp_path):
    (tmp_path / "own.pem").write_text("")
    found = home(f"""
data = "kept"
[listen]
address = "127.0.0.2"
client = 15222
client_tls = 0
server = 15269
[tls]
certificate = "own.pem"
key = "own.pem"
[limits]
rate = 0
[access]
approve = ["@home.example"]
control = ["ann@home.example", "@cabin.example"]
[thing.porch]
board = "arduino-uno"
port = "/dev/ttyACM0"
name = "Porch light"
[federation.peers."Cabin.Example"]
host = "127.0.0.3"
port = 25269
fingerprint = "{"ab" * 32}"
""")
    assert found.data == tmp_path / "kept"
    assert found.listen.ports == {"client": 15222, "server": 15269}
    assert found.certificate == found.key == tmp_path / "own.pem"
    assert found.tables["limits"].rate == 0
    assert found.tables["access"].control == ["ann@home.example", "@cabin.example"]
    porch = found.things["porch"]
    assert (porch.name, porch.driver, porch.label) == ("porch", "line", "Porch light")
    assert porch.options.port == "/dev/ttyACM0"
    assert porch.board is not None
    assert porch.board.name == "arduino-uno"
    assert found.peers == {"cabin.example": Peer("127.0.0.3", 25269, "ab" * 32)}


def test_things_on_one_modbus_line_share_its_port(home):
    text = "".join(f'[thing.{name}]\nboard = "sdm120"\nport = "/dev/x"\n' for name in ("light", "heat"))
    assert set(home(text).things) == {"light", "heat", "hub"}
    assert "[thing.c] port: /dev/x is the port of [thing.light] too" in complaint(
        home, f'{text}[thing.c]\ndriver = "line"\nport = "/dev/x"\n'
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%eth0", "localhost", "pi.local", "10.example"])
def test_an_address_to_listen_on_may_be_a_name(home, address):
    assert home(f"[listen]\naddress = '{address}'").listen.address == address


def test_the_example_of_the_manual(home):
    said = complaint(home, '[thing.porch]\nboard = "arduino-uno"\nprot = "/dev/ttyACM0"\n')
    assert said == ":4: [thing.porch] has no option 'prot'; did you mean 'port'?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lisen]\nclient = 1", ":2: the file has no table or option 'lisen'; did you mean 'listen'?"),
        ("dta = 'x'", ":2: the file has no table or option 'dta'; did you mean 'data'?"),
        ("[listen]\ncleint = 1", ":3: [listen] has no option 'cleint'; did you mean 'client'?"),
        ("[listen]\nclient = '5222'", ':3: [listen] client must be a whole number, not "5222"'),
        (
            "[listen]\nclient = 70000",
            ":3: [listen] client must be a port from 1 to 65535, or 0 for off, not 70000",
        ),
        ("[listen]\nserver = 5222", ":2: [listen] client and server cannot both have port 5222"),
        ("[listen]\nclient = 5269\nserver = 5269", ":3: [listen] client and server cannot both have port 5269"),
        ("[listen]\nserver = 0\naddress = '127.0.0'", ":4: [listen] address '127.0.0' is no IP address"),
        ("[listen]\naddress = '1::2::3'", ":3: [listen] address '1::2::3' is no IP address"),
        ("listen = 5222", ":2: listen must be a table, [listen], not 5222"),
        ("data = 3", ":2: data must be a path in quotes, not 3"),
        ("data = 'home.toml'", " is not a directory"),
        ("[tls]\nkey = 'k'", ":2: [tls] needs both, certificate and key"),
        ("[tls]\ncertificate = 'c'\nkey = 'k'", ":3: [tls] certificate: there is no file"),
        ("[limits]\nrate = 'fast'", ':3: [limits] rate must be a whole number, not "fast"'),
        ("[limits]\nrate = -1", ":3: [limits] rate"),
        ("[access]\ncontrol = 'ann'", ':3: [access] control must be a list, each a text, not "ann"'),
        ("[access]\ncontrol = ['ann']", "control"),
        ("[federation]\npers = 1", ":3: [federation] has no option 'pers'; did you mean 'peers'?"),
        ('[federation.peers."a@b@c"]', ':2: [federation.peers."a@b@c"]'),
        ('[federation.peers."home.example"]', ':2: [federation.peers."home.example"] is this node itself'),
        (
            '[federation.peers.cabin]\nhost = "x"\nfingerprint = "12:ab"',
            ":4: [federation.peers.cabin] fingerprint must be a SHA-256: 64 hexadecimal digits,"
            " as `hobnode check` prints it, not 4",
        ),
        (f'[federation.peers.cabin]\nfingerprint = "{"AB:" * 31}AG"', "`hobnode check` prints it, and 'g' is none"),
        ('[peer."cabin.example"]\nport = 1', ':2: [peer]: did you mean [federation.peers."DOMAIN"]?'),
        ('[peers."cabin.example"]\nport = 1', ':2: [peers]: did you mean [federation.peers."DOMAIN"]?'),
        ("[things.porch]\nport = 1", ":2: [things]: did you mean [thing.NAME]?"),
        ("[mqtt]\nbroker = 'x'", ":2: [mqtt]: did you mean [gateway.mqtt]?"),
        ("[acess]", ":2: the file has no table or option 'acess'; did you mean 'access'?"),
        (
            "[federation.peers.cabin]\nport = 0",
            ":3: [federation.peers.cabin] port must be from 1 to 65535, not 0",
        ),
        ("[thing.porch]\nboard = 'arduino-un'\nport = 'x'", "did you mean 'arduino-uno'?"),
        ("[thing.porch]\nboard = 3", ":3: [thing.porch] board must be a text, not 3"),
        ("[thing.porch]\nport = 'x'", ":2: [thing.porch] needs 'board' or 'driver'"),
        ("[thing.porch]\nbord = 'x'", ":3: [thing.porch] needs 'board' or 'driver'; did you mean 'board'?"),
        ("[thing.porch]\nbaud = 9600", ":2: [thing.porch] needs 'board' or 'driver'"),
        ("[[rules]]\nthing = 'porch'", ":2: [[rules]]: did you mean [[rule]]?"),
        ("[rules]\nthing = 'porch'", ":2: [rules]: did you mean [[rule]]?"),
        ("[thing.porch]\ndriver = 'lines'", ":3: [thing.porch]: there is no driver 'lines'; there are"),
        ("[thing.porch]\ndriver = 'line'", ":2: [thing.porch] needs 'port'"),
        (
            "[thing.porch]\nboard = 'arduino-uno'\ndriver = 'line'",
            ":4: [thing.porch] has a board, which names",
        ),
        ('[thing."a b"]\ndriver = "line"', ':2: [thing."a b"] cannot be an address'),
        ("[thing.hub]\n[thing.HUB]", ":3: [thing.HUB] is the address of another thing too"),
        ("thing = 1", ":2: thing must be a table, [thing], not 1"),
        ("[thing]\nporch = 1", ":3: [thing] porch must be a table, [thing.porch], not 1"),
        ("[thing.porch]\nboard\n", ":3: not valid TOML: Expected '=' after a key in a key/value pair"),
        (
            "[thing.a]\ndriver = 'line'\nport = '/dev/x'\n[thing.b]\nboard = 'gps-receiver'\nport = '/dev/x'",
            ":7: [thing.b] port: /dev/x is the port of [thing.a] too",
        ),
        (
            "[thing.a]\nboard = 'arduino-uno'\nport = 'x'\n[thing.b]\nboard = 'arduino-uno'\nport = 'x'",
            ":7: [thing.b] port: x is the port of [thing.a] too",
        ),
        ('[thing."b b"]\ndriver = "line"', "the name 'b b' has a blank that no address may have"),
    ],
)
def test_a_mistake_is_answered_in_one_line(home, text, said):
    assert said in complaint(home, text)


@pytest.mark.parametrize("name", ["card", "crad", "carbons", "pictures", "words", "alice", "peerage"])
def test_what_is_no_table_is_neither_taken_nor_proposed(home, name):
    assert complaint(home, f"[{name}]") == f":2: the file has no table or option {name!r}"


def test_the_domain_is_needed_and_must_be_one(home):
    assert complaint(home, "", domain="") == ": the file needs 'domain', the part after the @ of every address"
    said = ":1: domain: the domain 'a b' has ' ', which no domain may have"
    assert complaint(home, "", domain='domain = "a b"') == said
    assert ": only the part after the @" in complaint(home, "", domain='domain = "ann@home.example"')
    assert ":1: domain must be a text, not 5" in complaint(home, "", domain="domain = 5")


def test_names_are_prepared_like_every_address(home):
    found = home("[thing.hub]\n", domain='domain = "Home.EXAMPLE"')
    assert found.domain == "home.example"


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_a_file_is_told_by_its_name_as_given(home, tmp_path, monkeypatch):
    home("")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home.toml").write_text("domian = 'x'")
    with pytest.raises(ConfigError) as raised:
        load(Path("home.toml"))
    assert str(raised.value) == "home.toml:1: the file has no table or option 'domian'; did you mean 'domain'?"


def test_a_board_brings_options_that_the_house_may_change(home, monkeypatch):
    @dataclass
    class Options:
        port: str
        baud: int = 9600
        gain: Decimal = Decimal(1)

    monkeypatch.setattr("node.drivers.line.Options", Options)
    text = '[thing.porch]\nboard = "arduino-uno"\nport = "x"\n'
    monkeypatch.setattr(config.boards, "load", lambda name: FakeBoard())
    assert home(text).things["porch"].options == Options("x", 57600)
    assert home(f"{text}baud = 1\n").things["porch"].options == Options("x", 1)


def test_a_thing_has_the_picture_that_it_names_or_that_of_its_board(home):
    microbit = '[thing.porch]\nboard = "microbit"\nport = "/dev/ttyACM0"\n'
    assert home("").things["hub"].picture == ""
    assert home('[thing.hub]\npicture = "gauge"').things["hub"].picture == "gauge"
    assert home(microbit).things["porch"].picture == "board"
    assert home(f'{microbit}picture = "lamp"').things["porch"].picture == "lamp"


def test_a_picture_that_there_is_not_is_answered_with_those_that_there_are(home):
    said = complaint(home, '[thing.hub]\npicture = "frog"')
    assert said.startswith(":3: [thing.hub]: there is no picture 'frog'; there are blind, board, button, ")


class FakeBoard:
    driver = "line"
    options = {"baud": 57600}
    declared = Declared()
    picture = ""


@pytest.fixture
def pins(monkeypatch):
    """A driver that finds fields and controls at pins."""

    @dataclass
    class Pin:
        pin: int
        pull: str = ""

    @dataclass
    class Options:
        fields: dict[str, Pin] = field(default_factory=dict)
        controls: dict[str, Pin] = field(default_factory=dict)

    monkeypatch.setattr("node.drivers.line.Options", Options)
    return Pin


def test_a_thing_declares_fields_and_where_its_driver_finds_them(home, pins):
    thing = home("""
[thing.porch]
driver = "line"
[[thing.porch.fields]]
name = "door"
type = "boolean"
alarm = "the door is open"
pin = 4
[[thing.porch.controls]]
name = "lamp"
type = "boolean"
pin = 13
pull = "up"
""").things["porch"]
    assert thing.declared.fields == (Field("door", "boolean", alarm="the door is open"),)
    assert thing.declared.controls == (Control("lamp", "boolean"),)
    assert thing.options.fields == {"door": pins(4)}
    assert thing.options.controls == {"lamp": pins(13, "up")}


def test_what_a_thing_declares_comes_in_the_place_of_what_its_board_does(home):
    thing = home("""
[thing.porch]
board = "arduino-uno"
port = "x"
[[thing.porch.fields]]
name = "light"
label = "Twilight"
[[thing.porch.fields]]
name = "rain"
""").things["porch"]
    names = [each.name for each in thing.declared.fields]
    assert names == ["lamp", "dimmer", "light", "button", "rain"]
    assert thing.declared.fields[2] == Field("light", label="Twilight")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("[[thing.porch.fields]]\nname = 'a b'", "'a b' is no name"),
        ("[[thing.porch.controls]]\nname = 'a'", "type must be one of"),
        ("fields = 3", "fields must be tables, each [[fields]]"),
        (
            "[[thing.porch.fields]]\nname = 'a'\npni = 1",
            ":4: [thing.porch.fields.a] has no option 'pni'; did you mean 'pin'?",
        ),
    ],
)
def test_a_declaration_that_is_wrong_is_said(home, pins, declared, said):
    assert said in complaint(home, f"[thing.porch]\ndriver = 'line'\n{declared}\n")


def test_a_word_that_means_nothing_to_the_driver_is_said(home, monkeypatch):
    @dataclass
    class Options:
        port: str

    monkeypatch.setattr("node.drivers.line.Options", Options)
    said = complaint(home, "[thing.porch]\ndriver='line'\nport='x'\n[[thing.porch.fields]]\nname='a'\nregister=3\n")
    assert said == ":5: [thing.porch]: 'register' of 'a' means nothing to the driver 'line'"


def test_a_driver_whose_package_is_missing_costs_its_thing_only(home, without, tmp_path):
    without("node.drivers.modbus")
    found = home("[thing.meter]\nboard = 'sdm120'\nport = 'x'\nbuad = 1\n[thing.porch]\ndriver = 'line'\nport = 'y'\n")
    assert found.lacking == (
        f"{tmp_path}/home.toml:3: [thing.meter]: the driver 'modbus' needs more Python packages: "
        f"type {sys.prefix}/bin/pip install '.[modbus]' in the folder that hobnode came from",
    )
    meter = found.things["meter"]
    assert (meter.driver, meter.options, meter.board.name) == ("modbus", None, "sdm120")
    assert meter.make_driver().fields == meter.declared.fields != ()
    assert found.things["porch"].options.port == "y"


def test_what_is_wrong_about_a_thing_is_said_without_its_packages_too(home, without):
    without("node.drivers.modbus")
    assert "no picture 'x'" in complaint(home, "[thing.meter]\nboard = 'sdm120'\npicture = 'x'")


def test_a_gateway_whose_package_is_missing_costs_that_gateway_only(home, without, tmp_path):
    without("node.gateways.mqtt")
    found = home("[gateway.mqtt]\nbroker = 'x'\n")
    (said,) = found.lacking
    assert said.startswith(f"{tmp_path}/home.toml:2: [gateway.mqtt] needs more Python packages: type ")
    assert "pip install '.[mqtt]'" in said
    assert found.gateways == {"mqtt": None}


def test_of_the_drivers_only_the_configured_ones_are_imported(home, monkeypatch):
    asked = []
    original = config.importlib.import_module
    monkeypatch.setattr(config.importlib, "import_module", lambda name: asked.append(name) or original(name))
    home("")
    assert asked == ["node.drivers.linux"]


def test_each_feature_gets_its_own_options(home):
    from node.features import presence as feature
    from node.things import presence as face

    found = home("[presence]\ninterval = 30\n")
    assert found.options(face).interval == 30
    assert home("").options(face).interval == 60
    assert found.options(feature) is None
