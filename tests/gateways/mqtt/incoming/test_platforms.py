"""What the entities of Home Assistant are to us."""

import json
import logging

import pytest

from node.gateways.mqtt.incoming import platforms
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.templates import Message


def made(platform, **config):
    return platforms.entity(platform, Config(config), platform, main=True)


def reads(entity, name, text):
    (source,) = [source for _, source in entity.sources if source.field == name]
    found = source.find(Message(text))
    return source.meaning(found) if found else ""


LIGHT = {"schema": "json", "command_topic": "l/set", "state_topic": "l"}


@pytest.mark.parametrize("mode", ["rgb", "hs", "xy"])
def test_a_lamp_with_colours(mode):
    lamp = made("light", **LIGHT, supported_color_modes=[mode])
    asked = json.loads(lamp.orders["color"].payload("FF8000"))
    assert sorted(asked["color"]) == sorted(mode)
    said = reads(lamp, "color", json.dumps({"color": asked["color"]}))
    assert lamp.orders["color"].done("FF8000", said) and lamp.orders["color"].done("804000", said)
    assert not lamp.orders["color"].done("0000FF", said)


def test_a_lamp_of_many_topics():
    lamp = made(
        "light",
        command_topic="l/set",
        state_topic="l",
        brightness_command_topic="l/bri/set",
        brightness_state_topic="l/bri",
        rgb_command_topic="l/rgb/set",
        rgb_state_topic="l/rgb",
    )
    assert lamp.orders["light"].payload("true") == "ON" and reads(lamp, "light", "OFF") == "false"
    assert lamp.orders["brightness"].payload("50") == "128" and reads(lamp, "brightness", "128") == "50"
    assert reads(lamp, "brightness", "1") == "1" and lamp.orders["brightness"].payload("1") == "3"
    assert lamp.orders["color"].payload("FF8000") == "255,128,0" and reads(lamp, "color", "255,128,0") == "FF8000"
    with pytest.raises(ValueError, match="300 is not from 0 to 255"):
        reads(lamp, "brightness", "300")


def test_a_lock_says_more_than_it_is_told():
    lock = made("lock", command_topic="d/set", state_topic="d")
    assert lock.orders["lock"].payload("locked") == "LOCK" and reads(lock, "lock", "JAMMED") == "jammed"
    with pytest.raises(ValueError, match="is none of"):
        reads(lock, "lock", "OPEN")


def test_a_cover_is_confirmed_when_it_moves():
    cover = made("cover", command_topic="c/set", state_topic="c", payload_stop=None)
    assert cover.controls[0].options == ("open", "closed")
    done = cover.orders["cover"].done
    assert done("open", "opening") and done("closed", "closed") and not done("open", "closed")


def test_a_position_may_be_upside_down():
    cover = made(
        "cover", position_topic="c", set_position_topic="c/set", position_open=0, position_closed=100, command_topic="x"
    )
    assert reads(cover, "position", "30") == "70" and cover.orders["position"].payload("70") == "30"


def test_a_valve_with_a_position():
    valve = made("valve", command_topic="v/set", state_topic="v", reports_position=True)
    assert reads(valve, "valve", "40") == "40" and valve.orders["valve"].payload("40") == "40"


def test_a_fan_of_three_speeds():
    fan = made(
        "fan",
        command_topic="f/set",
        state_topic="f",
        percentage_command_topic="f/speed/set",
        percentage_state_topic="f/speed",
        speed_range_min=1,
        speed_range_max=3,
    )
    assert fan.orders["speed"].payload("66") == "2" and reads(fan, "speed", "2") == "67"
    assert fan.orders["speed"].done("60", "67")


def test_a_siren_speaks_json_without_a_template():
    siren = made("siren", command_topic="s/set", state_topic="s")
    assert siren.orders["siren"].payload("true") == '{"state": "ON"}'
    siren = made("siren", command_topic="s/set", command_template="{{ value }}!")
    assert siren.orders["siren"].payload("false") == "OFF!" and siren.orders["siren"].done is None


def test_a_number_and_its_template():
    number = made("number", command_topic="n/set", state_topic="n", command_template="{{ value * 10 }}", min=-5, max=5)
    assert number.orders["number"].payload("2") == "20"
    assert (number.controls[0].minimum, number.controls[0].maximum) == (-5, 5)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('{"event_type": "double", "brightness": 7}', "double"),
        ("single", "single"),
        ('{"brightness": 7}', ""),
        ("{}", ""),
        ("None", None),
    ],
)
def test_what_happens_is_of_a_kind(said, kind):
    button = made("event", state_topic="b", event_types=["single", "double"], device_class="button")
    assert reads(button, "event", said) == kind and not button.fields[0].shown


def test_what_happens_and_was_not_announced_is_nothing():
    button = made("event", state_topic="b", event_types=["single", "double"])
    with pytest.raises(ValueError, match="'triple' is none of single, double"):
        reads(button, "event", '{"event_type": "triple"}')
    with pytest.raises(ValueError, match="event_types must be a list"):
        made("event", state_topic="b")


def test_an_optimistic_switch_is_confirmed_by_the_broker():
    assert made("switch", command_topic="s/set", state_topic="s", optimistic=True).orders["switch"].done is None
    assert made("switch", command_topic="s/set", state_topic="s").orders["switch"].done("true", "true")


def test_a_truth_of_json_is_that_of_a_template():
    sensor = made(
        "binary_sensor", state_topic="s", payload_on=False, payload_off=True, value_template="{{ value_json.c }}"
    )
    assert reads(sensor, "binary_sensor", '{"c": false}') == "true"


def test_what_alarms():
    assert made("binary_sensor", state_topic="s", device_class="smoke").fields[0].alarm == "smoke"
    aside = made("binary_sensor", state_topic="s", device_class="problem", entity_category="diagnostic")
    assert aside.fields[0].alarm == "" and not aside.fields[0].shown


@pytest.mark.parametrize(
    ("config", "type"),
    [
        ({"unit_of_measurement": "W"}, "quantity"),
        ({"state_class": "measurement"}, "quantity"),
        ({"device_class": "timestamp"}, "dateTime"),
        ({"device_class": "enum", "options": ["a", "b"]}, "enum"),
        ({}, "string"),
    ],
)
def test_the_type_of_a_sensor(config, type):
    assert made("sensor", state_topic="s", **config).fields[0].type == type


@pytest.mark.parametrize("text", ["unknown", "unavailable", "None", "null"])
def test_a_sensor_without_a_value(text):
    assert reads(made("sensor", state_topic="s", unit_of_measurement="W"), "sensor", text) is None


@pytest.mark.parametrize("text", ["warm", "1e999", "9" * 40, "0x10", "١٢"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match="no number"):
        reads(made("sensor", state_topic="s", unit_of_measurement="W"), "sensor", text)


def test_a_time_is_one():
    sensor = made("sensor", state_topic="s", device_class="timestamp")
    assert reads(sensor, "sensor", "2026-11-22T21:00:00+0100") == "2026-11-22T21:00:00+01:00"
    with pytest.raises(ValueError, match="no dateTime"):
        reads(sensor, "sensor", "yesterday")


@pytest.mark.parametrize("platform", ["camera", "image", "device_tracker", "device_automation", "tag", "x"])
def test_what_is_not_shown_is_said_once(home, platform, caplog):
    caplog.set_level(logging.INFO, "hobnode")
    home.begin()
    for number in range(3):
        home.says(
            f"homeassistant/{platform}/n{number}/config", {"topic": "c", "dev": {"ids": f"n{number}", "name": "C"}}
        )
    assert home.names() == []
    said = f"what is announced as '{platform}' is not shown, such as homeassistant/{platform}/n0/config"
    assert [record.getMessage() for record in caplog.records] == [f"mqtt: {said}"]


def test_the_words_of_nonsense_have_an_end(home, caplog):
    caplog.set_level(logging.INFO, "hobnode")
    home.begin()
    for number in range(100):
        home.says(f"homeassistant/p{number}/x/config", {"dev": {"ids": "x", "name": "C"}})
    assert len(caplog.records) == 30


def test_versions_in_one_table_or_apart():
    told = '{"installed_version": "1.21.0", "latest_version": "1.22.0", "title": "Firmware"}'
    update = made("update", state_topic="u", command_topic="u/set", payload_install="install")
    assert reads(update, "installed_version", told) == "1.21.0" and reads(update, "latest_version", told) == "1.22.0"
    assert reads(update, "installed_version", "1.21.0") == "1.21.0" and reads(update, "latest_version", "1.21.0") == ""
    template = "{{ {'installed_version': value_json.v, 'latest_version': value_json.n} | to_json }}"
    update = made("update", state_topic="u", value_template=template)
    assert reads(update, "latest_version", '{"v": "1", "n": "2"}') == "2"
    update = made(
        "update",
        state_topic="u",
        value_template="{{ value_json['update'].old_version }}",
        latest_version_topic="u",
        latest_version_template="{{ value_json['update'].new_version }}",
    )
    told = '{"update": {"old_version": "20230913-1", "new_version": "20231219-2"}}'
    assert reads(update, "installed_version", told) == "20230913-1"
    assert reads(update, "latest_version", told) == "20231219-2"
    assert update.controls == () and not any(field.shown for field in update.fields)


def test_a_door_that_can_be_opened():
    door = made("lock", command_topic="d/set", state_topic="d", payload_open="OPEN")
    assert door.orders["lock"].payload("open") == "OPEN"
    done = door.orders["lock"].done
    assert done("open", "unlocked") and done("locked", "locked") and not done("locked", "locking")


def test_a_fan_that_turns_about():
    fan = made(
        "fan",
        command_topic="f/set",
        oscillation_command_topic="f/o/set",
        oscillation_state_topic="f/o",
        direction_command_topic="f/d/set",
        direction_state_topic="f/d",
        preset_mode_command_topic="f/p/set",
        preset_modes=["auto", "whoosh"],
    )
    assert fan.orders["oscillation"].payload("true") == "oscillate_on"
    assert reads(fan, "oscillation", "oscillate_off") == "false" and reads(fan, "direction", "reverse") == "reverse"
    assert {control.name: control.options for control in fan.controls}["preset"] == ("auto", "whoosh")


def test_a_blind_that_is_tilted():
    blind = made("cover", command_topic="c", tilt_command_topic="t/set", tilt_status_topic="t", tilt_min=0, tilt_max=90)
    assert blind.orders["tilt"].payload("100") == "90" and reads(blind, "tilt", "45") == "50"


def test_scenes_and_notes():
    assert made("scene", command_topic="s", payload_on="GO").orders["scene"].payload("activate") == "GO"
    note = made("notify", command_topic="n", command_template='{"text": {{ value | tojson }} }')
    assert note.orders["notify"].payload('a "b"') == '{"text": "a \\"b\\"" }'


def test_a_select_with_too_many_options_takes_any_text():
    select = made("select", command_topic="s/set", options=[str(number) for number in range(99)])
    assert select.controls[0].type == "string"
