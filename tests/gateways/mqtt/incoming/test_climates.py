"""What keeps a room, its air or its water as it shall be."""

import pytest

from tests.gateways.mqtt.incoming.test_platforms import made, reads


def test_a_radiator_valve_of_zigbee2mqtt(home):
    home.begin().plays("zigbee2mqtt_thermostat")
    valve = home.there("bathroom-radiator")
    assert home.values("bathroom-radiator") == {
        "temperature": "19.8",
        "target": "21.5",
        "mode": "auto",
        "preset": "manual",
        "action": "heating",
        "child_lock": "unlocked",
    }
    target = valve.controls["target"]
    assert (target.type, target.minimum, target.maximum, target.unit) == ("quantity", 5, 35, "°C")
    assert valve.controls["mode"].options == ("heat", "auto", "off")
    assert valve.controls["preset"].options == (
        *("none", "schedule", "manual", "boost", "complex", "comfort", "eco", "away"),
    )
    assert [field.name for field in valve.fields.values() if field.shown][:4] == [
        *("temperature", "target", "mode", "action")
    ]
    topic = "zigbee2mqtt/Bathroom radiator"
    state = {"current_heating_setpoint": 22, "system_mode": "auto"}
    home.broker.devices[f"{topic}/set/current_heating_setpoint"] = lambda said: home.broker.says(topic, state, False)
    home.sets("bathroom-radiator", target="22.0")
    assert home.broker.came == [(f"{topic}/set/current_heating_setpoint", "22.0")]


def test_an_air_conditioner_of_esphome(home):
    home.begin().plays("esphome_climate")
    assert home.values("bedroom-ac") == {
        "air_conditi_temperature": "24.3",
        "air_conditioner_target": "22.0",
        "air_conditioner_mode": "cool",
        "air_conditioner_action": "cooling",
        "air_conditioner_fan": "low",
        "air_conditioner_swing": "off",
    }
    assert home.thing("bedroom-ac").controls["air_conditioner_swing"].options == ("off", "vertical")


def test_one_template_may_be_for_all():
    room = made(
        "climate", value_template="{{ value_json }}", mode_state_topic="m", mode_command_topic="m/set", modes=["on"]
    )
    assert reads(room, "mode", '"on"') == "on"


def test_a_range_in_fahrenheit_and_a_switch_beside_the_modes():
    words = {
        f"temperature_{end}_{what}_topic": f"{end}/{what}" for end in ("low", "high") for what in ("state", "command")
    }
    room = made("climate", **words, temperature_unit="F", power_command_topic="p", payload_on="1", payload_off="0")
    low = next(control for control in room.controls if control.name == "target_low")
    assert (low.unit, low.minimum, low.maximum) == ("°F", 45, 95)
    assert room.orders["target_high"].topic == "high/command"
    assert [room.orders["power"].payload(value) for value in ("true", "false")] == ["1", "0"]


def test_no_action_is_no_value():
    room = made("climate", action_topic="a", action_template="{{ {'heat': 'heating'}[value] | default('None') }}")
    assert reads(room, "action", "heat") == "heating" and reads(room, "action", "x") is None


def test_a_humidifier():
    air = made(
        "humidifier",
        command_topic="h/set",
        state_topic="h",
        current_humidity_topic="h/now",
        target_humidity_command_topic="h/target/set",
        target_humidity_state_topic="h/target",
        min_humidity=30,
        max_humidity=80,
        modes=["normal", "eco"],
        mode_command_topic="h/mode/set",
    )
    assert [field.name for field in air.fields] == ["humidifier", "humidity", "target_humidity"]
    assert {control.name: control.options for control in air.controls}["mode"] == ("normal", "eco")
    assert air.orders["target_humidity"].payload("45") == "45"
    with pytest.raises(ValueError, match="target_humidity_command_topic is missing"):
        made("humidifier", command_topic="h/set")


def test_a_boiler():
    water = made(
        "water_heater", current_temperature_topic="w", temperature_command_topic="w/set", mode_command_topic="m"
    )
    target = next(control for control in water.controls if control.name == "target")
    assert str(target.minimum) == "43.3" and "heat_pump" in water.controls[1].options


def test_what_has_nothing_is_none():
    with pytest.raises(ValueError, match="nothing to be read"):
        made("climate", temperature_unit="C")
