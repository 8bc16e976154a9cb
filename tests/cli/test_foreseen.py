"""What a thing will have is known before anybody reaches for it, as far as its configuration says."""

import pytest

from node.cli.foreseen import foreseen
from node.config import Thing, load
from node.drivers.linux import Driver
from node.hub import board
from tests.drivers.linux import Tree, control, field, opened

FAN = field("fan", 'hwmon = "pwmfan/fan1"')
LINK = field("link", 'net = "eth0"')
LED = control("lamp", 'led = "ACT"')


@pytest.fixture
def thing(tmp_path):
    """`thing("board = ...")`: what is foreseen of a thing that is configured so."""

    def thing(toml, readings=()):
        text = f'domain = "home.example"\n[thing.porch]\n{toml}\n'
        return foreseen(load(tmp_path / "hobnode.toml", text).things["porch"], list(readings))

    return thing


@pytest.mark.parametrize("name", board.names())
def test_of_each_board_that_is_shipped_its_profile_is_known(thing, name):
    port = "" if board.load(name).driver in ("linux", "gpio") else 'port = "/dev/hobnode-none"'
    pin = '[[thing.porch.fields]]\nname = "door"\npin = 17' if name == "raspberry-pi" else ""
    known, declared = thing(f'board = "{name}"\n{port}\n{pin}'), board.load(name).declared
    assert known.fields
    assert {each.name for each in declared.fields} <= known.fields.keys()
    assert known.controls == {each.name: each for each in declared.controls}


@pytest.mark.parametrize(
    "declared", ["", FAN, FAN + LINK, LED, LINK + LED, f"machine = true\n{FAN}", field("load", "")]
)
def test_of_the_machine_all_is_known_that_it_has_when_it_is_open(tmp_path, run, declared):
    tree = Tree(tmp_path)
    tree({"proc/loadavg": "0.42 0.20 0.11 1/93 18008\n", "proc/uptime": "273841.57 1021700.12\n"})
    tree({"sys/class/hwmon/hwmon0/name": "pwmfan\n", "sys/class/hwmon/hwmon0/fan1_input": "1200\n"})
    tree({"sys/class/net/eth0/operstate": "up\n", "sys/class/net/eth0/flags": "0x1003\n"})
    tree({"sys/class/leds/ACT/brightness": "0\n", "sys/class/leds/ACT/max_brightness": "255\n"})
    text = f'domain = "home.example"\n[thing.cellar]\ndriver = "linux"\nroot = "{tree.root}"\n{declared}\n'
    thing = load(tree.config, text).things["cellar"]
    known = foreseen(thing, [])
    driver = run(opened(Driver(thing.options, thing.declared.fields, thing.declared.controls)))
    assert {name: each.type for name, each in known.fields.items()} == {each.name: each.type for each in driver.fields}
    assert known.controls.keys() == {each.name for each in driver.controls}


def test_a_board_that_says_itself_what_it_has_is_known_as_it_is_declared(thing):
    known = thing('board = "arduino-uno"\nport = "/dev/hobnode-none"', [{"name": "soil", "type": "quantity"}])
    assert known.name == "porch, as it is declared,"
    assert "soil" in known.fields, "the running node has it"
    assert known.fields["lamp"].type == "boolean"


def test_of_a_thing_whose_driver_cannot_be_loaded_nothing_is_known():
    for driver in ("line", "linux", "nmea"):
        assert foreseen(Thing("porch", driver, None), []) == ("porch", None, None)


@pytest.mark.parametrize(
    "toml",
    ['driver = "line"\nport = "/dev/hobnode-none"', 'driver = "exec"\ncommand = ["/usr/bin/uptime"]'],
)
def test_where_nothing_is_declared_no_field_is_known(thing, toml):
    known = thing(toml, [{"name": "soil", "type": "quantity"}])
    assert known.fields is None
    assert known.controls is None or "exec" in toml
