"""SIGHUP, without a process: what the file says now is what the node does, and a mistake changes nothing."""

import contextlib

import pytest

from node import config as configuration
from node.app import Reloading
from node.config import load
from node.features.contact import NS as CONTACT
from tests.conftest import HOST, settle


class Ports:
    """Identity, clients and links at once, as far as they are told."""

    rate = 0

    def reload(self, options=None):
        pass


@pytest.fixture
def reload(hub, config, run):
    """`reload(text)`: the file is this now, and has been read again."""
    config.path.write_text(f'domain = "{HOST}"')
    ports = Ports()
    reloading = Reloading(hub, load(config.path), ports, ports, ports)

    def reload(text):
        config.path.write_text(f'domain = "{HOST}"\n{text}')
        reloading.begin()
        settle(hub)
        return ports

    yield reload
    for thing in hub.things.values():
        run(thing.stop())


def test_the_tables_that_are_read_again(hub, reload):
    forms, register = hub.need("disco").forms["host"], hub.need("register")
    reload('[contact]\nadmin = ["mailto:ann@home.example"]\n[register]\nopen = true')
    assert CONTACT in forms and register.open
    reload("[strangers]\ncontacts_only = true")
    assert hub.need("strangers").contacts_only
    assert reload("[limits]\nrate = 1000").rate == 1000
    assert CONTACT not in forms and not register.open


def test_a_thing_looks_as_its_table_says(hub, reload):
    reload('[thing.shed]\ndriver = "linux"\npicture = "door"')
    assert hub.things["shed@hub.local"].picture == "door"


@pytest.fixture
def without(monkeypatch):
    """`with without(module)`: it cannot be loaded, for what it needs is not installed."""
    load_module = configuration.importlib.import_module

    @contextlib.contextmanager
    def missing(module):
        def load_another(name):
            if name == module:
                raise ModuleNotFoundError("No module named 'something'", name="something")
            return load_module(name)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(configuration.importlib, "import_module", load_another)
            yield

    return missing


def test_a_driver_that_could_not_be_loaded_is_loaded_when_it_can_be(hub, reload, caplog, without):
    text = '[thing.meter]\nboard = "sdm120"\nport = "/dev/hobnode-none"'
    with without("node.drivers.modbus"):
        reload(text)
        meter = hub.things["meter@hub.local"]
        assert not meter.online and meter.reason.startswith("needs more Python packages, those for modbus")
        assert "voltage" in meter.fields
        (said,) = (each.message for each in caplog.records if each.levelname == "ERROR")
        assert "[thing.meter]: the driver 'modbus' needs more Python packages" in said
        reload(text + '\n[thing.shed]\ndriver = "linux"')
        assert hub.things["meter@hub.local"] is meter
    reload(text)
    assert hub.things["meter@hub.local"] is not meter


def test_a_gateway_that_cannot_be_loaded_keeps_nobody_from_the_rest(hub, reload, caplog, without):
    with without("node.gateways.mqtt"):
        reload('[gateway.mqtt]\n[thing.shed]\ndriver = "linux"')
    assert "shed@hub.local" in hub.things
    assert "[gateway.mqtt] needs more Python packages" in caplog.text


def test_a_node_is_put_together_without_a_gateway_that_cannot_be_loaded(config, request):
    config.gateways["mqtt"] = None
    assert request.getfixturevalue("hub").need("disco")


def test_a_mistake_changes_nothing(hub, reload):
    reload("[register]\nopen = true")
    reload("[register]\nopen = 3")
    assert hub.need("register").open


@pytest.mark.parametrize("changed", ["[listen]\nclient = 0", "[presence]\ninterval = 30", "[history]\nraw_hours = 3"])
def test_what_takes_a_restart_is_said_as_long_as_it_is_another_than_what_runs(hub, reload, caplog, changed):
    for also in ("", "\n[register]\nopen = true"):
        reload(changed + also)
        (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert said.startswith(f"'{changed[1:].partition(']')[0]}' has changed in ")
        assert said.endswith(": that takes a restart")
        caplog.clear()
    reload("")
    assert "restart" not in caplog.text


def test_rules_come_and_go_and_come_again(hub, reload, porch, board):
    rule = '[[rule]]\nthing = "porch"\nfield = "temperature"\nabove = 25\nset.porch = {{ fade = {} }}\n'
    for fade in (1, 2, 3):
        reload(rule.format(fade))
        porch.report({"temperature": "26"})
        settle(hub)
        assert board.written == [("fade", str(fade))]
        board.written.clear()
        reload("")
        for value in ("20", "26", "20"):
            porch.report({"temperature": value})
        settle(hub)
        assert board.written == []
    watching = [each for each in porch._listeners if "Rules" in each.__qualname__]
    assert len(watching) == 1
