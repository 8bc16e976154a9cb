"""Home Assistant core finds our things by itself, shows them as they are, and commands them."""

import signal

import pytest

from node.gateways.mqtt import entities
from tests.live.home_assistant import HomeAssistant
from tests.live.mosquitto import Broker
from tests.live.simavr import Uno

pytestmark = pytest.mark.timeout(120)  # seconds: whichever is first waits for the assistant's start, too

GATEWAY = """
[gateway.mqtt]
broker = "127.0.0.1"
port = {port}
discovery = ""
homie = ""
things = ["thing"]
[thing.thing]
name = "{name}"
"""
BOARD = """
board = "arduino-uno"
port = "{port}"
"""
# A program that prints what stands in a file, and one that writes there.
PROGRAM = """
driver = "exec"
command = ["/usr/bin/tail", "-n", "+1", "-f", "{file}"]
interval = 0
"""
FIELD = """
[[thing.thing.fields]]
name = "{name}"
type = "{type}"
unit = "{unit}"
key = "{name}"
"""
CONTROL = """
[[thing.thing.controls]]
name = "{name}"
type = "{type}"
{more}
command = ["/bin/sh", "-c", "echo $1=$2 >> $0", "{file}", "{name}", "{{value}}"]
"""
GONE = "unavailable"
FIELDS = (
    ("words", "string", ""),
    ("state", "enum", ""),
    ("day", "date", ""),
    ("moment", "dateTime", ""),
    ("clock", "time", ""),
    ("lasting", "duration", ""),
    ("amount", "quantity", "apples"),
    ("count", "integer", ""),
    ("truth", "boolean", ""),
    ("switch", "boolean", ""),
    ("choice", "enum", ""),
    ("level", "integer", ""),
    ("target", "quantity", "°C"),
    ("note", "string", ""),
    ("color", "string", ""),
)
CONTROLS = (
    ("switch", "boolean", ""),
    ("choice", "enum", 'options = ["low", "high"]'),
    ("target", "quantity", ""),
    ("level", "integer", "minimum = 0\nmaximum = 255"),
    ("note", "string", ""),
    ("color", "color", ""),
)
GOOD = (
    "words=hello state=idle day=2026-01-02 moment=2026-01-02T03:04:05Z clock=03:04:05 lasting=PT5S amount=3.50 count=7",
    "truth=1 switch=1 choice=low level=12 target=21.50 note=hello color=FF8800",
)
ODD = (  # what is not of its kind, or more than can be shown
    f"words={'x' * 300} state={'x' * 300} day=soon moment=2026-01-02T03:04:06 count=123456789012345678",
    f"switch=0 choice=medium level=300 target=-40.5 note={'x' * 300} color=magenta-red",
)
SHOWN = {  # what becomes of both
    "sensor.bench_words": ("hello", "x" * 255),
    "sensor.bench_state": ("idle", "x" * 255),
    "sensor.bench_day": ("2026-01-02", "unknown"),
    "sensor.bench_moment": ("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:06+00:00"),
    "sensor.bench_clock": ("03:04:05", "03:04:05"),
    "sensor.bench_lasting": ("PT5S", "PT5S"),
    "sensor.bench_amount": ("3.5", "3.5"),
    "sensor.bench_count": ("7", "123456789012345678"),
    "binary_sensor.bench_truth": ("on", "on"),
    "switch.bench_switch": ("on", "off"),
    "select.bench_choice": ("low", "unknown"),
    "number.bench_level": ("12", "unknown"),
    "number.bench_target": ("21.5", "-40.5"),
    "text.bench_note": ("hello", "x" * 255),
    "text.bench_color": ("FF8800", "magenta-"),
}
SET = (
    ("turn_on", "switch.bench_switch", {}, "on"),
    ("select_option", "select.bench_choice", {"option": "high"}, "high"),
    ("set_value", "number.bench_level", {"value": 55}, "55"),
    ("set_value", "number.bench_target", {"value": 12.5}, "12.5"),
    ("set_value", "text.bench_note", {"value": "bye"}, "bye"),
    ("set_value", "text.bench_color", {"value": "00FF00"}, "00FF00"),
)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def started(tmp_path_factory, broker):
    with HomeAssistant(tmp_path_factory.mktemp("assistant"), broker) as assistant:
        yield assistant


@pytest.fixture
def assistant(started):
    """It has nothing to complain about."""
    started.complaints.clear()
    yield started
    print("--- log of Home Assistant", *started.said, sep="\n")
    assert started.complaints == []


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uno")


@pytest.fixture
def uno(cache, tmp_path):
    with Uno(cache, tmp_path / "ttyACM0") as uno:
        uno.light(4000)
        yield uno


@pytest.fixture
def home(nodes, broker):
    """`home(name, thing)`: a node with one thing, whose name no other test gives."""

    def home(name: str, thing: str):
        node = nodes(f"{name.lower()}.example")
        node.configure(GATEWAY.format(port=broker.port, name=name) + thing)
        node.start()
        return node

    return home


def show(assistant, name, lamp, dimmer, light, button):
    """A board's entities have these states."""
    assistant.shows(f"light.{name}_lamp", lamp)
    assistant.shows(f"number.{name}_dimmer", dimmer)
    assistant.shows(f"sensor.{name}_light", light)
    assistant.shows(f"binary_sensor.{name}_button", button)


def program(file, fields=(), controls=()):
    """A thing that prints what stands in a file: `fields` are (name, type, unit), `controls` (name, type, more)."""
    tables = [FIELD.format(name=name, type=type, unit=unit) for name, type, unit in fields]
    tables += [CONTROL.format(name=name, type=type, more=more, file=file) for name, type, more in controls]
    return PROGRAM.format(file=file) + "".join(tables)


def prints(file, *lines):
    with file.open("a") as more:
        more.write(" ".join(lines) + "\n")


def test_a_board_is_a_device_with_all_its_entities_and_their_values(home, assistant, uno):
    home("Porch", BOARD.format(port=uno.port))
    show(assistant, "porch", "off", "0", "80.0", "off")
    device = assistant.device("Porch")
    assert (device["name"], device["manufacturer"], device["model"]) == ("Porch", "hobnode", "arduino-uno")
    assert device["sw_version"]
    assert set(device["entities"]) == {
        "light.porch_lamp",
        "number.porch_dimmer",
        "sensor.porch_light",
        "binary_sensor.porch_button",
    }
    uno.light(2500)
    assistant.shows("sensor.porch_light", "50.0", unit_of_measurement="%", friendly_name="Porch Light")
    uno.button(True)
    assistant.shows("binary_sensor.porch_button", "on")


def test_what_is_set_there_reaches_the_board_and_is_confirmed(home, assistant, uno):
    home("Attic", BOARD.format(port=uno.port))
    show(assistant, "attic", "off", "0", "80.0", "off")
    for state, pin in (("on", 1), ("off", 0)):
        assistant.does("light", f"turn_{state}", "light.attic_lamp")
        uno.wait(f"pin 13 {pin}")
        assistant.shows("light.attic_lamp", state)
    assistant.does("number", "set_value", "number.attic_dimmer", value=128)
    uno.wait("pwm 9 128")
    assistant.shows("number.attic_dimmer", "128", min=0, max=255, step=1)


def test_a_board_is_not_available_while_it_is_unplugged(home, assistant, uno):
    home("Shed", BOARD.format(port=uno.port))
    show(assistant, "shed", "off", "0", "80.0", "off")
    uno.kill()
    show(assistant, "shed", *[GONE] * 4)
    uno.start()
    uno.light(2500)
    show(assistant, "shed", "off", "0", "50.0", "off")


def test_a_node_that_is_killed_is_not_available_until_it_is_back(home, assistant, uno):
    node = home("Cellar", BOARD.format(port=uno.port))
    show(assistant, "cellar", "off", "0", "80.0", "off")
    node.stop(signal.SIGKILL)
    show(assistant, "cellar", *[GONE] * 4)
    node.start()
    show(assistant, "cellar", "off", "0", "80.0", "off")


def test_after_it_has_been_restarted_all_is_back(home, assistant, uno):
    home("Kitchen", BOARD.format(port=uno.port))
    show(assistant, "kitchen", "off", "0", "80.0", "off")
    assistant.stop()
    uno.light(2500)
    assistant.start()
    show(assistant, "kitchen", "off", "0", "50.0", "off")


def test_a_thing_that_is_taken_out_is_gone(home, assistant, uno, broker):
    node = home("Garden", BOARD.format(port=uno.port))
    show(assistant, "garden", "off", "0", "80.0", "off")
    device = assistant.device("Garden")
    node.configure(GATEWAY.format(port=broker.port, name="").partition("[thing.thing]")[0])
    node.process.send_signal(signal.SIGHUP)
    assistant.lacks(*device["entities"])
    assistant.until(lambda: assistant.device("Garden") is None, "the garden to be gone")


def test_every_unit_and_name_is_of_its_class_there(home, assistant, tmp_path):
    units = [(f"u{number}", unit, kind) for number, (unit, kind) in enumerate(entities.CLASSES.items())]
    units += [(name, unit, kind) for unit, kinds in entities.NAMED.items() for name, kind in kinds.items()]
    truths = [(name, kind or name) for name, kind in entities.TRUTHS.items()]
    file = tmp_path / "program"
    prints(file, *(f"{name}=1" for name, *_ in units + truths))
    fields = [(name, "quantity", unit) for name, unit, _ in units] + [(name, "boolean", "") for name, _ in truths]
    home("Meter", program(file, fields))
    classes = {f"sensor.meter_{name}": kind for name, _, kind in units}
    classes |= {f"binary_sensor.meter_{name}": kind for name, kind in truths}
    empty = {"", "unknown", GONE}
    assistant.until(lambda: empty.isdisjoint(map(assistant.state, classes)), "values of all")
    assert {name: assistant.states[name]["attributes"].get("device_class") for name in classes} == classes


def test_every_kind_of_field_and_control(home, assistant, tmp_path):
    file = tmp_path / "program"
    file.touch()
    home("Bench", program(file, FIELDS, CONTROLS))
    for entity in SHOWN:
        assistant.shows(entity, "" if entity.startswith("text.") else "unknown")
    prints(file, *GOOD)
    for entity, (state, _) in SHOWN.items():
        assistant.shows(entity, state)
    assistant.shows("number.bench_target", "21.5", unit_of_measurement="°C")
    prints(file, *ODD)
    for entity, (_, state) in SHOWN.items():
        assistant.shows(entity, state)
    for service, entity, data, state in SET:
        assistant.does(entity.partition(".")[0], service, entity, **data)
        assistant.shows(entity, state)


def test_what_must_not_be_set_any_more_is_only_shown(home, assistant, uno):
    node = home("Gate", BOARD.format(port=uno.port))
    show(assistant, "gate", "off", "0", "80.0", "off")
    node.stop()
    text = node.config.read_text()
    node.config.write_text(text.replace("[gateway.mqtt]", "[gateway.mqtt]\ncontrol = false"))
    node.start()
    assistant.shows("binary_sensor.gate_lamp", "off")
    assistant.shows("sensor.gate_dimmer", "0")
    assistant.lacks("light.gate_lamp", "number.gate_dimmer")
    node.stop()
    node.config.write_text(text)
    node.start()
    show(assistant, "gate", "off", "0", "80.0", "off")
    assistant.lacks("binary_sensor.gate_lamp", "sensor.gate_dimmer")
