"""Devices that announce themselves to Home Assistant become things."""

import logging

import pytest

from node.base.jid import parse
from node.hub.thing import ControlError
from node.things import rules
from node.things.access import Grant
from node.things.rules import Rule
from node.things.watches import Watch
from node.things.watches.wish import Wish
from tests.conftest import settle

LAMP = "homeassistant/light/0x84b4dbfffe0a1b2c/light/config"


def test_a_lamp_of_zigbee2mqtt_is_one_thing_with_all_its_entities(home):
    home.begin().plays("zigbee2mqtt_lamp")
    assert home.names() == ["kitchen-lamp"]
    lamp = home.there("kitchen-lamp")
    assert lamp.label == "Kitchen lamp" and lamp.kind == "mqtt"
    assert lamp.driver.about == {"name": "TRADFRI bulb E27, white spectrum, globe, opal, 1055 lm", "version": "1.1.20"}
    values = home.values("kitchen-lamp")
    assert values == {
        "light": "false",
        "brightness": "50",
        "warmth": "370",
        "power_on_behavior": "previous",
        "linkquality": "120",
        "installed_version": "16842784",
        "latest_version": "16842784",
    }
    assert [field.name for field in lamp.fields.values() if field.shown] == ["light", "brightness"]
    assert lamp.fields["linkquality"].category == "status"
    assert sorted(lamp.controls) == ["brightness", "effect", "light", "power_on_behavior", "warmth"]
    assert lamp.controls["effect"].options[0] == "blink"
    assert (lamp.controls["warmth"].minimum, lamp.controls["warmth"].maximum) == (250, 454)
    assert lamp.controls["power_on_behavior"].options == ("off", "on", "toggle", "previous")


def test_a_sensor_keeps_its_decimals(home):
    home.begin().plays("zigbee2mqtt_sensor")
    balcony = home.there("balcony")
    values = home.values("balcony")
    assert values["temperature"] == "4.30" and values["pressure"] == "1002.50" and values["battery"] == "87"
    assert [field.shown for field in balcony.fields.values()] == [True] * 3 + [False] * 3
    assert balcony.fields["temperature"].unit == "°C" and balcony.fields["battery"].shown is False


def test_esphome_speaks_in_abbreviations(home):
    home.begin().plays("esphome")
    boiler = home.there("boiler")
    assert home.values("boiler") == {
        "flow_temperature": "48.3",
        "uptime": "86412",
        "flame": "true",
        "pump": "false",
        "setpoint": "55.0",
    }
    setpoint = boiler.controls["setpoint"]
    assert (setpoint.type, setpoint.minimum, setpoint.maximum, setpoint.unit) == ("quantity", 30, 70, "°C")
    assert boiler.controls["restart"].options == ("press",)


def test_tasmota_has_a_base_of_topics_and_tells_its_name_last(home):
    home.begin().plays("tasmota")
    assert home.names() == ["washer"]
    assert home.values("washer")["energy_power"] == "412"
    assert "ON" not in home.values("washer").values()


def test_a_gateway_whose_templates_ask_whether_a_value_is_there(home):
    home.begin().plays("openmqttgateway")
    assert home.names() == ["lywsd03mmc-aabbcc"]
    values = home.values("lywsd03mmc-aabbcc")
    assert sorted(values.values()) == ["19.8", "52.31", "77"]


def test_a_whole_device_in_one_announcement(home):
    home.begin().plays("device_based")
    gate = home.there("garden-gate")
    assert home.values("garden-gate") == {
        "lock": "locked",
        "door": "false",
        "wing": "closed",
        "wing_position": "0",
        "air": "7.0",
    }
    assert gate.controls["lock"].options == ("locked", "unlocked")


def test_an_empty_payload_takes_it_back_and_the_address_waits_for_it(home, run):
    home.begin().plays("esphome")
    first = home.there("boiler").jid
    for topic in [topic for topic in home.broker.retained if topic.endswith("config")]:
        home.says(topic, "")
    assert home.incoming._addresses.present() == {}
    assert home.names() == [] and not any("boiler" in filter for filter, _ in home.broker.listeners)
    home.plays("esphome")
    assert home.there("boiler").jid == first


def test_a_component_that_is_only_a_platform_is_removed(home):
    home.begin()
    topic = "homeassistant/device/x/config"
    whole = {
        "dev": {"ids": "x", "name": "Box"},
        "o": {"name": "box"},
        "cmps": {each: {"p": "sensor", "uniq_id": each, "stat_t": f"box/{each}"} for each in ("one", "two")},
    }
    home.says(topic, whole)
    assert sorted(home.there("box").fields) == ["one", "two"]
    home.says(topic, whole | {"cmps": whole["cmps"] | {"two": {"p": "sensor"}}})
    assert sorted(home.there("box").fields) == ["one"]


def test_an_update_changes_the_thing_in_place(home):
    home.begin().plays("zigbee2mqtt_lamp")
    lamp = home.there("kitchen-lamp")
    lamp.on_change(lambda thing, names: went.append(thing.online))
    went = []
    text = home.broker.retained[LAMP].decode()
    home.says(LAMP, text.replace('"Kitchen lamp"', '"Cellar lamp"').replace("254,", "100,"))
    assert home.thing("kitchen-lamp") is lamp and lamp.label == "Cellar lamp" and all(went) and went
    home.says("zigbee2mqtt/Kitchen lamp", {"state": "ON", "brightness": 30})
    assert home.values("kitchen-lamp")["brightness"] == "30"


def test_the_same_announcement_again_changes_nothing(home):
    home.begin().plays("zigbee2mqtt_lamp")
    before = list(home.broker.listeners)
    home.plays("zigbee2mqtt_lamp")
    assert home.broker.listeners == before


def test_a_device_is_the_same_by_any_of_its_identifiers(home):
    home.begin()
    for id, device in {"a": {"ids": ["one"]}, "b": {"ids": ["two", "one"]}, "c": {"cns": [["mac", "x"]]}}.items():
        home.says(f"homeassistant/sensor/{id}/config", {"stat_t": f"{id}/s", "dev": device | {"name": "Box"}})
    assert home.names() == ["box", "box-2"]


def test_what_is_ours_is_not_taken_in(home):
    home.begin()
    device = {"dev": {"ids": ["hobnode_hub_local_porch"], "name": "Porch"}, "o": {"name": "hobnode"}}
    part = {"p": "sensor", "uniq_id": "x", "stat_t": "hobnode/hub_local/porch/state"}
    home.says("homeassistant/device/hobnode_hub_local/porch/config", device | {"cmps": {"t": part}})
    home.says("homeassistant/sensor/sly/config", {"~": "hobnode/hub_local", "stat_t": "~/porch/state"})
    home.says("homeassistant/sensor/other/config", {"stat_t": "hobnode/other_node/porch/state"})
    assert home.names() == ["homeassistant-sensor-other-config"]


def test_what_another_hobnode_announces_is_a_contact_already(home, caplog):
    caplog.set_level(logging.INFO, "hobnode")
    home.begin()
    part = {"p": "sensor", "uniq_id": "x", "stat_t": "hobnode/cabin_example/porch/state"}
    table = {
        "dev": {"ids": ["hobnode_cabin_example_porch"], "name": "Porch"},
        "o": {"name": "hobnode"},
        "cmps": {"t": part},
    }
    for name in ("porch", "attic"):
        home.says(f"homeassistant/device/hobnode_cabin_example/{name}/config", table)
    assert home.names() == []
    assert caplog.text.count("things of another hobnode, such as ") == 1


def test_what_another_hobnode_had_announced_goes_when_it_is_wanted_no_more(home):
    home.incoming._addresses.of("ha:hobnode_cabin_example_porch", "Porch")
    home.begin()
    assert home.names() == ["porch"]
    table = {"stat_t": "hobnode/c/s", "dev": {"ids": ["hobnode_cabin_example_porch"]}, "o": {"name": "hobnode"}}
    home.says("homeassistant/sensor/x/config", table)
    assert home.names() == []


def test_what_another_hobnode_announces_is_taken_in_where_that_is_wanted(options, home):
    home.broker.turn(False)
    options.neighbours = True
    home.run(home.incoming.change(options, anew=True))
    home.begin()
    part = {"p": "sensor", "uniq_id": "x", "stat_t": "hobnode/cabin_example/porch/state"}
    table = {
        "dev": {"ids": ["hobnode_cabin_example_porch"], "name": "Porch"},
        "o": {"name": "hobnode"},
        "cmps": {"t": part},
    }
    home.says("homeassistant/device/hobnode_cabin_example/porch/config", table)
    assert home.names() == ["porch"]


def test_two_of_one_name_have_their_own_orders(home):
    home.begin()
    device = {"dev": {"ids": "x", "name": "Box"}}
    for number in (1, 2):
        table = {"name": "Pump", "cmd_t": f"p{number}/set", "uniq_id": f"u{number}"}
        home.says(f"homeassistant/switch/p{number}/config", table | device)
    home.says("homeassistant/button/b/config", {"name": "Brightness", "cmd_t": "b/set"} | device)
    table = {"schema": "json", "cmd_t": "l/set", "brightness": True}  # of a light, too
    home.says("homeassistant/light/l/config", table | device)
    home.there("box")
    home.sets("box", pump="true", pump_2="true", brightness="press")
    assert home.broker.came == [("p1/set", "ON"), ("p2/set", "ON"), ("b/set", "PRESS")]


@pytest.mark.parametrize(
    "payload",
    [
        "{",
        "[]",
        "1",
        '{"state_topic": "a/#"}',
        '{"state_topic": 5}',
        '{"unit_of_measurement": "x"}',
        '{"state_topic": "a", "device": {"identifiers": {}}, "availability": [1]}',
        "[" * 100_000,
        '{"state_topic": "' + "x" * 1000 + '"}',
    ],
)
def test_what_is_no_announcement_is_let_be(home, payload):
    home.begin().says("homeassistant/sensor/x/config", payload)
    home.plays("zigbee2mqtt_sensor")
    assert "balcony" in home.names() and home.there("balcony")


def test_more_things_than_a_home_has_are_not_taken_in(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.THINGS", 3)
    home.begin()
    for number in range(10):
        table = {"stat_t": f"n/{number}", "dev": {"ids": [f"n{number}"], "name": f"N{number}"}}
        home.says(f"homeassistant/sensor/n{number}/config", table)
    assert len(home.names()) == 3


def test_a_device_has_no_more_entities_than_a_board(home):
    home.begin()
    parts = {f"e{number}": {"p": "sensor", "uniq_id": f"e{number}", "stat_t": "a/b"} for number in range(200)}
    home.says(
        "homeassistant/device/many/config", {"dev": {"ids": "m", "name": "Many"}, "o": {"name": "m"}, "cmps": parts}
    )
    assert len(home.there("many").fields) == 64


def test_names_are_short_and_printable(home):
    home.begin()
    table = {"stat_t": "a/b", "name": "\u202e<b>\x00" + "long " * 50, "unit_of_meas": "\x07" * 99}
    home.says("homeassistant/sensor/x/config", table | {"dev": {"ids": "x", "name": "\x1b[31m" + "n" * 500}})
    (name,) = home.names()
    thing = home.there(name)
    (field,) = thing.fields.values()
    assert len(thing.label) <= 60 and thing.label.isprintable() and len(name) <= 41
    assert len(field.name) <= 23 and len(field.label) <= 60 and field.label.isprintable() and field.unit.isprintable()


def test_an_address_of_somebody_else_is_not_taken(home, person):
    person("kitchen-lamp@hub.local/a")
    home.begin().plays("zigbee2mqtt_lamp")
    assert home.names() == ["kitchen-lamp-2"]


def test_a_switch_is_confirmed_when_it_says_so(home):
    home.begin().plays("esphome")
    home.there("boiler")
    home.broker.devices["boiler/switch/pump/command"] = lambda said: home.broker.says("boiler/switch/pump/state", said)
    home.sets("boiler", pump="true")
    assert home.broker.came == [("boiler/switch/pump/command", "ON")]
    assert home.values("boiler")["pump"] == "true"


def test_a_switch_that_does_not_say_so_is_not_confirmed(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.CONFIRM", 0.05)
    home.begin().plays("esphome")
    home.there("boiler")
    with pytest.raises(ControlError, match="it has not said within 0.05 s that pump is true; it says false"):
        home.sets("boiler", pump="true")
    assert home.values("boiler")["pump"] == "false"


def test_nobody_listens_to_a_command(home):
    home.begin().plays("esphome")
    home.there("boiler")
    home.broker.deaf.add("boiler/switch/pump/command")
    with pytest.raises(ControlError, match="nobody on the MQTT broker listens"):
        home.sets("boiler", pump="true")


def test_what_has_no_state_is_set_when_the_broker_has_it(home):
    home.begin().plays("esphome")
    home.there("boiler")
    home.sets("boiler", restart="press")
    assert home.broker.came == [("boiler/button/restart/command", "PRESS")]


def test_a_lamp_is_dimmed_by_percents(home):
    home.begin().plays("zigbee2mqtt_lamp")
    home.there("kitchen-lamp")
    state = {"state": "ON", "brightness": 64}
    home.broker.devices["zigbee2mqtt/Kitchen lamp/set"] = lambda said: home.broker.says(
        "zigbee2mqtt/Kitchen lamp", state, False
    )
    home.sets("kitchen-lamp", brightness="25")
    assert home.broker.came == [("zigbee2mqtt/Kitchen lamp/set", '{"state": "ON", "brightness": 64}')]
    assert home.values("kitchen-lamp")["light"] == "true"


def test_a_lamp_that_is_unplugged_is_offline_and_comes_back_at_once(home):
    home.begin().plays("zigbee2mqtt_lamp")
    lamp = home.there("kitchen-lamp")
    home.says("zigbee2mqtt/Kitchen lamp/availability", {"state": "offline"})
    assert home.away("kitchen-lamp").reason == "zigbee2mqtt/Kitchen lamp/availability says 'offline'"
    home.says("zigbee2mqtt/Kitchen lamp/availability", {"state": "online"})
    assert home.there("kitchen-lamp") is lamp
    home.says("zigbee2mqtt/bridge/state", {"state": "offline"})
    assert home.away("kitchen-lamp").reason == "zigbee2mqtt/bridge/state says 'offline'"


def test_without_the_broker_all_are_offline(home):
    home.begin().plays("zigbee2mqtt_lamp").plays("zigbee2mqtt_sensor")
    home.there("kitchen-lamp"), home.there("balcony")
    home.does(lambda: home.broker.turn(False))
    assert home.away("kitchen-lamp").reason == home.away("balcony").reason == "the MQTT broker is not connected"
    kept = home.broker.retained.pop("zigbee2mqtt/Kitchen lamp/availability")
    home.does(lambda: home.broker.turn(True))
    home.there("balcony")
    assert not home.thing("kitchen-lamp").online  # what was said before may be so no more
    home.says("zigbee2mqtt/Kitchen lamp/availability", kept.decode())
    assert home.values("kitchen-lamp")["brightness"] == "50" and home.there("balcony")


def test_things_of_an_earlier_life_are_there_and_offline_until_they_are_announced(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.HEAR", 0)
    addresses = home.incoming._addresses
    addresses.of("ha:zigbee2mqtt_0x84b4dbfffe0a1b2c", "Kitchen lamp")
    home.begin()
    lamp = home.away("kitchen-lamp")
    assert home.names() == ["kitchen-lamp"]
    home.plays("zigbee2mqtt_lamp")
    assert home.there("kitchen-lamp") is lamp


def test_what_is_remembered_and_announced_soon_was_never_gone(home, person, caplog):
    lamp, ben = parse("kitchen-lamp@hub.local"), person("ben@hub.local/a").says("<presence/>")
    home.incoming._addresses.of("ha:zigbee2mqtt_0x84b4dbfffe0a1b2c", "Kitchen lamp")
    home.hub.need("access").grant([Grant("*", "read", ben.jid.bare)])
    home.hub.need("watches").put(lamp, Watch(ben.jid.bare, 1, Wish("", "gone", "", 0)))
    rules.setup(home.hub, [Rule(name="dark", thing="kitchen-lamp", gone=True, set={lamp: {"light": False}})])
    home.begin().plays("zigbee2mqtt_lamp")
    home.there("kitchen-lamp")
    settle(home.hub)
    assert "rule dark" not in caplog.text
    assert "<message" not in "".join(ben.heard)
    home.does(lambda: home.broker.turn(False))
    home.away("kitchen-lamp")
    settle(home.hub)
    assert "Kitchen lamp is offline" in "".join(ben.heard)
    assert "rule dark" in caplog.text


def test_what_nobody_announces_for_a_day_is_no_more(home, later):
    home.incoming._addresses.of("ha:x", "Old lamp")
    home.begin().plays("zigbee2mqtt_lamp")
    assert home.names() == ["kitchen-lamp", "old-lamp"]
    later(24 * 3600 + 1)
    home.does(lambda: None)
    home.does(lambda: None)
    assert home.names() == ["kitchen-lamp"]


def test_a_value_that_has_expired_is_no_value(home, later):
    home.begin().plays("device_based")
    assert home.values("garden-gate")["air"] == "7.0"
    later(121)
    home.does(lambda: None)
    assert "air" not in home.values("garden-gate")


def test_a_motion_that_is_never_taken_back_ends_by_itself(home, later):
    home.begin()
    table = {"stat_t": "pir/state", "off_dly": 30, "dev_cla": "motion", "dev": {"ids": "pir", "name": "Hall"}}
    home.says("homeassistant/binary_sensor/pir/config", table)
    home.there("hall")
    home.says("pir/state", "ON", retain=False)
    assert home.values("hall") == {"motion": "true"}
    later(31)
    home.does(lambda: None)
    assert home.values("hall") == {"motion": "false"}


def test_who_keeps_nothing_at_the_broker_is_told_that_somebody_listens(home, later):
    home.begin()
    assert home.broker.came == []
    later(3)
    home.does(lambda: None)
    assert home.broker.came == [("homeassistant/status", "online")]
