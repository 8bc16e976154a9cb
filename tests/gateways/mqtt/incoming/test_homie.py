"""Devices by the Homie convention become things."""

import json

import pytest

from node.hub.thing import ControlError

BASE = "homie/5/heating"


def test_a_device_of_homie_5(home):
    home.begin().plays("homie5")
    assert home.names() == ["bridge", "heating"]
    heating = home.there("heating")
    assert home.values("heating") == {
        "temperature": "48.50",
        "target": "55",
        "on": "true",
        "mode": "eco",
        "speed": "40",
        "light": "FF8000",
    }
    assert heating.fields["temperature"].label == "Water temperature" and heating.fields["temperature"].unit == "°C"
    target = heating.controls["target"]
    assert (target.type, target.minimum, target.maximum) == ("quantity", 20, 80)
    assert heating.controls["mode"].options == ("eco", "comfort")
    assert sorted(heating.controls) == ["light", "mode", "on", "pulse", "speed", "target"]


def test_the_root_is_lost_and_all_with_it(home):
    home.begin().plays("homie5")
    home.there("heating")
    home.says("homie/5/bridge/$state", "lost")
    assert home.away("heating").reason == "bridge, by which it is reached, was lost without a word"
    home.says("homie/5/bridge/$state", "init")  # its child may be ready all the same
    assert home.there("heating")


@pytest.mark.parametrize(
    ("state", "online"),
    [("ready", True), ("sleeping", True), ("init", False), ("disconnected", False), ("lost", False)],
)
def test_states(home, state, online):
    home.begin().plays("homie5")
    home.there("heating")
    home.says(f"{BASE}/$state", state)
    assert (home.there if online else home.away)("heating").online is online


def test_a_device_is_removed(home):
    home.begin().plays("homie5")
    home.says(f"{BASE}/$state", "")
    assert home.names() == ["bridge"]
    assert not any("heating/" in filter for filter, _ in home.broker.listeners)


def test_a_property_confirms_what_was_set(home):
    home.begin().plays("homie5")
    home.there("heating")
    home.broker.devices[f"{BASE}/water/target/set"] = lambda said: home.broker.says(f"{BASE}/water/target", "60.0")
    home.sets("heating", target="60")
    assert home.values("heating")["target"] == "60.0"


def test_a_target_confirms_what_takes_its_time(home):
    home.begin().plays("homie5")
    home.there("heating")
    home.broker.devices[f"{BASE}/pump/speed/set"] = lambda said: home.broker.says(f"{BASE}/pump/speed/$target", said)
    home.sets("heating", speed="100")
    home.broker.devices[f"{BASE}/pump/light/set"] = lambda said: home.broker.says(f"{BASE}/pump/light", said)
    home.sets("heating", light="00FF00")
    assert home.broker.came[-1] == (f"{BASE}/pump/light/set", "rgb,0,255,0")


def test_a_target_of_another_value_does_not(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.CONFIRM", 0.05)
    home.begin().plays("homie5")
    home.there("heating")
    home.broker.devices[f"{BASE}/pump/speed/set"] = lambda said: home.broker.says(f"{BASE}/pump/speed/$target", "7")
    with pytest.raises(ControlError, match="it says 40"):
        home.sets("heating", speed="100")


def test_a_target_that_the_broker_kept_does_not(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.CONFIRM", 0.05)
    home.begin().plays("homie5")
    home.there("heating")
    target = f"{BASE}/pump/speed/$target"
    (heard,) = [listener for filter, listener in home.broker.listeners if filter == target]
    home.broker.devices[f"{BASE}/pump/speed/set"] = lambda said: heard(target, said.encode(), True)
    with pytest.raises(ControlError, match="it says 40"):
        home.sets("heating", speed="100")


def test_a_root_that_says_nothing_is_no_reason(home):
    home.begin().plays("homie5").says("homie/5/bridge/$state", "")
    home.does(lambda: home.broker.turn(False))
    home.away("heating")
    home.does(lambda: home.broker.turn(True))
    assert home.there("heating")


def test_what_is_not_retained_is_set_when_the_broker_has_it(home):
    home.begin().plays("homie5")
    home.there("heating")
    home.sets("heating", pulse="true")
    assert home.broker.came == [(f"{BASE}/pump/pulse/set", "true")]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"homie": "6.0"}', "[" * 50_000])
def test_what_is_no_description_is_let_be(home, text):
    home.begin().says(f"{BASE}/$state", "ready")
    home.says(f"{BASE}/$description", text)
    assert home.names() == []


def test_no_more_properties_than_a_board_has_fields(home):
    properties = {f"p{number}": {"datatype": "integer"} for number in range(500)}
    home.begin().says(f"{BASE}/$state", "ready")
    home.says(f"{BASE}/$description", json.dumps({"homie": "5.0", "nodes": {"n": {"properties": properties}}}))
    assert len(home.there("heating").fields) == 64


def test_an_array_of_homie_3(home):
    home.begin().plays("homie3_array")
    car = home.there("super-car")
    assert home.values("super-car") == {"lights_0_intensity": "0", "lights_1_intensity": "100"}
    assert [field.label for field in car.fields.values()] == ["Back lights intensity", "Front lights intensity"]
    assert car.controls["lights_1_intensity"].maximum == 100
    home.broker.devices["homie/super-car/lights_1/intensity/set"] = lambda said: home.broker.says(
        "homie/super-car/lights_1/intensity", said
    )
    home.sets("super-car", lights_1_intensity="30")


@pytest.mark.parametrize("range", ["", "x", "1", "0-99999999", "-1-5", "5-1"])
def test_an_array_without_an_end_is_none(home, range):
    home.begin().plays("homie3_array")
    home.says("homie/super-car/lights/$array", range)
    assert home.there("super-car").fields == {}


def test_an_array_has_no_more_elements_than_a_board_has_fields(home):
    home.begin().plays("homie3_array")
    home.says("homie/super-car/lights/$array", "0-999")
    assert len(home.there("super-car").fields) <= 64


def test_a_device_of_homie_4(home):
    home.begin().plays("homie4")
    assert home.names() == ["greenhouse"]
    house = home.there("greenhouse")
    assert home.values("greenhouse") == {"temperature": "17.20", "open": "false"}
    assert house.fields["temperature"].unit == "°C" and list(house.controls) == ["open"]
    home.broker.devices["homie/greenhouse/window/open/set"] = lambda said: home.broker.says(
        "homie/greenhouse/window/open", said
    )
    home.sets("greenhouse", open="true")
    home.says("homie/greenhouse/$state", "lost")
    assert home.away("greenhouse").reason == "it was lost without a word"
    home.says("homie/greenhouse/$state", "")
    assert home.names() == []
