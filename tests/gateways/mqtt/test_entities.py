"""What Home Assistant is told of a thing, against the rules of devices.md B2 and Home Assistant's own tables."""

import json
import re
from decimal import Decimal

import pytest
from jinja2 import Template

from node.gateways.mqtt import entities
from node.hub.driver import Control, Field
from tests.gateways.mqtt.rules import check

ID = "hobnode_hub_local_porch"
ROOT = "hobnode/hub_local/porch"


@pytest.fixture
def told(porch):
    """What is told of the porch, which has these fields and controls: `told(*fields, *controls)`."""

    def told(*declared, commands=True):
        porch.fields = {each.name: each for each in declared if isinstance(each, Field)}
        porch.controls = {each.name: each for each in declared if isinstance(each, Control)}
        payload = entities.device(porch, ID, ROOT, "hobnode/hub_local/status", commands)
        check(payload)
        return payload["cmps"]

    return told


def test_the_device_says_who_it_is_and_when_it_is_available(porch):
    told = entities.device(porch, ID, ROOT, "hobnode/hub_local/status")
    check(told)
    assert told["dev"] == {"ids": [ID], "name": "Porch", "mf": "hobnode", "mdl": "Uno", "sw": "1.2"}
    assert told["o"]["name"] == "hobnode"
    assert told["avty"] == [{"t": "hobnode/hub_local/status"}, {"t": f"{ROOT}/status"}]
    assert told["avty_mode"] == "all"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("temperature", unit="°C"), ("temperature", "measurement")),
        (Field("Humidity", type="integer", unit="%"), ("humidity", "measurement")),
        (Field("disk", unit="%"), (None, "measurement")),
        (Field("battery_level", unit="%"), ("battery", "measurement")),
        (Field("power", unit="W"), ("power", "measurement")),
        (Field("energy", unit="kWh"), ("energy", "total_increasing")),
        (Field("uptime", unit="s"), ("duration", "measurement")),
        (Field("pressure", unit="hPa"), ("pressure", "measurement")),
        (Field("co2", unit="ppm"), ("carbon_dioxide", "measurement")),
        (Field("gas", unit="ppm"), (None, "measurement")),
        (Field("wind", unit="km/h"), ("wind_speed", "measurement")),
        (Field("speed", unit="km/h"), ("speed", "measurement")),
        (Field("load"), (None, "measurement")),
        (Field("note", type="string"), (None, None)),
        (Field("started", type="dateTime"), ("timestamp", None)),
        (Field("count", type="integer", category="identity"), (None, None)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_sensor_has_the_class_of_its_unit(told, field, expected):
    entity = told(field)[field.name]
    assert entity["p"] == "sensor"
    assert (entity.get("dev_cla"), entity.get("stat_cla")) == expected
    assert entity.get("unit_of_meas", "") == field.unit


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Field("door", "boolean"), "door"),
        (Field("cellar", "boolean", alarm="water in the cellar"), "moisture"),
        (Field("supply", "boolean", alarm="it is bad"), "problem"),
        (Field("enabled", "boolean"), None),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_boolean_is_a_binary_sensor(told, field, expected):
    entity = told(field)[field.name]
    assert (entity["p"], entity.get("dev_cla")) == ("binary_sensor", expected)


def test_what_a_device_is_stands_aside(told):
    serial = Field("serial", type="string", category="identity")
    state = Field("state", type="string", category="status", shown=False)
    door = Field("door", type="boolean", category="status")
    assert [each.get("ent_cat") for each in told(serial, state, door).values()] == ["diagnostic", "diagnostic", None]


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (Control("lamp", "boolean"), {"p": "light"}),
        (Control("pump", "boolean"), {"p": "switch"}),
        (Control("mode", "enum", options=("eco", "Hot")), {"p": "select", "ops": ["eco", "Hot"]}),
        (Control("note", "string"), {"p": "text", "max": 255}),
        (
            Control("fade", "integer", unit="ms", minimum=Decimal(0), maximum=Decimal(4095)),
            {"p": "number", "min": 0, "max": 4095, "step": 1, "mode": "auto", "unit_of_meas": "ms"},
        ),
        (
            Control("offset", "quantity", minimum=Decimal("-1.5")),
            {"p": "number", "min": -1.5, "max": 10**18, "step": 0.1, "mode": "box"},
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_control_is_what_can_set_it(told, control, expected):
    field = Field(control.name, "string" if control.type == "enum" else control.type, label="What it is")
    entity = told(field, control)[control.name]
    assert {key: entity[key] for key in expected} == expected
    assert entity["cmd_t"] == f"{ROOT}/{control.name}/set"
    assert entity["stat_t"] == f"{ROOT}/state"
    assert entity["uniq_id"] == f"{ID}_{control.name}"


def test_what_is_set_is_set_in_the_unit_in_which_it_is_read(told):
    assert told(Field("target", unit="°C"), Control("target", "quantity"))["target"]["unit_of_meas"] == "°C"
    assert told(Field("target", unit="°C"), Control("target", "quantity", unit="K"))["target"]["unit_of_meas"] == "K"
    assert "unit_of_meas" not in told(Control("target", "quantity"))["target"]


def test_a_colour_is_a_text_of_its_pattern(told):
    entity = told(Control("color", "color"))["color"]
    assert re.fullmatch(entity["ptrn"], "3399FF")
    assert re.fullmatch(entity["ptrn"], ""), "none yet"
    assert not re.fullmatch(entity["ptrn"], "red")


def test_a_control_that_tells_nothing_back_is_assumed(told):
    assert "stat_t" not in told(Control("pump", "boolean"))["pump"]


def test_controls_are_only_shown_when_nothing_may_be_set(told):
    told = told(Field("lamp", "boolean"), Control("lamp", "boolean"), Control("fade", "integer"), commands=False)
    assert {name: each["p"] for name, each in told.items()} == {"lamp": "binary_sensor"}


def test_a_template_finds_any_name(told):
    (entity,) = told(Field('inside "warm" ü', unit="°C")).values()
    assert entity["val_tpl"] == '{{ value_json["inside \\"warm\\" \\u00fc"] }}'


@pytest.mark.parametrize(
    ("control", "good", "odd", "nothing"),
    [
        (Control("mode", "enum", options=("eco", "höt 😀")), ["eco", "höt 😀"], ["hot", None], "None"),
        (Control("fade", "integer", minimum=Decimal(0), maximum=Decimal(9)), [0, 9], [-1, 10, "x", None], "None"),
        (Control("offset", "quantity", minimum=Decimal("-1.5")), [-1.5, 99.25], [-1.75, None], "None"),
        (Control("note", "string"), ["", "x" * 255], [None], ""),
        (Control("color", "color"), ["ff8800"], [None], ""),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_cannot_be_shown_in_a_control_is_nothing(told, control, good, odd, nothing):
    field = Field(control.name, {"enum": "string", "color": "string"}.get(control.type, control.type))
    template = Template(told(field, control)[control.name]["val_tpl"])
    shown = [template.render(value_json={control.name: value}) for value in (*good, *odd)]
    assert shown == [*map(str, good), *[nothing] * len(odd)]


@pytest.mark.parametrize("declared", [[Field("note", "string")], [Field("note", "string"), Control("note", "string")]])
def test_words_are_cut_to_what_a_state_can_be(told, declared):
    template = Template(told(*declared)["note"]["val_tpl"])
    assert template.render(value_json={"note": "x" * 1024}) == "x" * 255


@pytest.mark.parametrize(
    ("type", "text", "expected"),
    [
        ("dateTime", "2026-11-22T14:02:11.5+01:00", "2026-11-22T14:02:11.5+01:00"),
        ("dateTime", "2026-11-22T14:02:11", "2026-11-22T14:02:11Z"),
        ("dateTime", "2026-11-22", None),
        ("date", "2026-11-22", "2026-11-22"),
        ("date", "tomorrow", None),
        ("date", "2026-13-01", None),
    ],
)
def test_a_moment_is_told_with_its_zone_or_not_at_all(porch, type, text, expected):
    porch.fields = {"when": Field("when", type)}
    porch.report({"when": text})
    assert json.loads(entities.state(porch))["when"] == expected


def test_the_state_has_the_texts_of_the_sensor(porch):
    porch.fields = porch.fields | {name: Field(name) for name in ("plus", "bare", "none", "odd")}
    porch.report({"lamp": "true", "plus": "+1.50", "bare": ".5", "odd": "nan"})
    text = entities.state(porch)
    assert '"temperature": 21.40,' in text
    state = json.loads(text, parse_float=str, parse_int=str)
    assert state == {
        "temperature": "21.40",
        "humidity": "48",
        "lamp": "ON",
        "water": None,
        "serial": "A1",
        "plus": "1.50",
        "bare": "0.5",
        "none": None,
        "odd": "nan",
    }


@pytest.mark.parametrize(("payload", "expected"), [("ON", "true"), ("off", "false"), ("True", "true"), ("1", "1")])
def test_a_switch_says_on_and_off(payload, expected):
    assert entities.value(Control("lamp", "boolean"), payload) == expected


def test_any_other_value_is_taken_as_it_is():
    assert entities.value(Control("mode", "enum", options=("ON",)), "ON") == "ON"
