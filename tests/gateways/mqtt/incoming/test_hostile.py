"""A broker full of nonsense costs what a home can bear."""

import json

from node.gateways.mqtt.incoming.discovery import Discovery
from tests.conftest import until


def the_discovery(home):
    return next(listener.__self__ for _, listener in home.broker.listeners if isinstance(listener.__self__, Discovery))


def config(device, id, **more):
    table = {"stat_t": f"s/{id}", "uniq_id": id, "dev": {"ids": [device], "name": device}}
    return json.dumps(table | more).encode()


def test_thousands_of_devices_are_remembered_as_six_hundred(home, monkeypatch):
    monkeypatch.setattr(home.incoming, "put", lambda key, look: None)
    home.begin()
    discovery = the_discovery(home)
    for number in range(3000):
        discovery.heard(f"homeassistant/sensor/d{number}/x/config", config(f"d{number}", f"u{number}"), True)
    assert len(discovery._devices) == len(discovery._keys) == len(discovery._topics) == 600


def test_topics_as_long_as_books_are_not_remembered(home):
    home.begin()
    home.says(f"homeassistant/sensor/{'n' * 60_000}/config", config("d", "u").decode())
    home.says(f"homeassistant/{'p' * 60_000}/n/config", config("d", "u").decode())
    discovery = the_discovery(home)
    assert discovery._topics == {} and discovery._said == set()


def test_many_announcements_of_one_entity_are_one(home):
    home.begin()
    discovery = the_discovery(home)
    for number in range(500):
        discovery.heard(f"homeassistant/sensor/n{number}/x/config", config("one", "same"), True)
    assert len(discovery._topics) == 1 and len(discovery._devices["ha:one"].entities) == 1


def test_what_is_not_taken_in_is_not_remembered(home, monkeypatch):
    monkeypatch.setattr("node.gateways.mqtt.incoming.THINGS", 0)
    home.begin()
    for number in range(50):
        home.says(f"homeassistant/sensor/n{number}/config", config(f"d{number}", f"u{number}").decode())
    discovery = the_discovery(home)
    assert discovery._topics == discovery._devices == discovery._keys == {}


def test_a_device_cannot_have_more_and_more_identifiers(home):
    home.begin()
    for number in range(500):
        table = {"stat_t": "s", "uniq_id": "u", "dev": {"ids": ["one", f"other{number}"], "name": "One"}}
        home.says("homeassistant/sensor/x/config", table)
    assert len(the_discovery(home)._keys) <= 64


def test_what_we_do_not_know_is_not_remembered(home):
    home.begin()
    discovery = the_discovery(home)
    for number in range(500):
        discovery.heard(f"homeassistant/camera/n{number}/x/config", config(f"c{number}", f"u{number}"), True)
    assert discovery._topics == discovery._devices == discovery._keys == {}


def test_a_thing_that_says_too_much_is_not_listened_to_for_a_second(home, monkeypatch, later):
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.SHARE", 0.0)
    home.begin()
    home.says("homeassistant/sensor/x/config", {"stat_t": "s", "dev": {"ids": "x", "name": "Chatter"}})
    home.there("chatter")
    home.says("s", "one")
    assert home.values("chatter") == {}
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.SHARE", 1.0)
    later(2)
    home.says("s", "two")
    assert home.values("chatter") == {"x": "two"}


def test_tables_in_tables_hurt_nobody(home, caplog):
    home.begin()
    deep = "[" * 900 + "]" * 900
    for table in (
        f'{{"state_topic": {deep}}}',
        f'{{"state_topic": "s", "device": {{"identifiers": "x", "a": {deep}}}}}',
    ):
        home.says("homeassistant/sensor/deep/config", table)
    for word in ("availability", "options", "unit_of_measurement", "name", "device"):
        home.says(
            f"homeassistant/select/{word}/config", f'{{"state_topic": "s", "command_topic": "c", "{word}": {deep}}}'
        )
    parts = [{"stat_t": "s", "uniq_id": id, "val_tpl": f"{{{{ value_json.{id} }}}}", "p": "sensor"} for id in "ab"]
    table = {"dev": {"ids": "x", "name": "Box"}, "o": {"name": "o"}, "cmps": dict(zip("ab", parts, strict=True))}
    home.says("homeassistant/device/x/config", table)
    home.says("s", f'{{"a": {deep}, "b": 5}}')
    assert home.values("box")["b"] == "5"
    assert "a listener failed" not in caplog.text and "Traceback" not in caplog.text


def test_tables_without_end_are_not_remembered(home, monkeypatch, caplog):
    monkeypatch.setattr("node.gateways.mqtt.incoming.discovery.SIZE", 3000)
    home.begin()
    discovery = the_discovery(home)
    for number in range(50):
        home.says(f"homeassistant/sensor/n{number}/config", config(f"d{number}", f"u{number}", x="y" * 500).decode())
    assert 0 < len(discovery._topics) < 6 and discovery._size <= 3000 and "there is no room for more" in caplog.text
    for number in range(50):
        home.says(f"homeassistant/sensor/n{number}/config", "")
    assert discovery._size == 0 and discovery._topics == discovery._devices == discovery._keys == {}


def test_what_takes_long_is_looked_at_in_the_next_second(home, monkeypatch, later):
    """Its templates are made when they are first needed, on a small machine say."""
    monkeypatch.setattr("node.gateways.mqtt.incoming.driver.SHARE", 1e-9)
    home.begin()
    parts = {
        each: {"p": "sensor", "uniq_id": each, "stat_t": "s", "val_tpl": f"{{{{ value_json.{each} }}}}"}
        for each in "abc"
    }
    home.says("homeassistant/device/x/config", {"dev": {"ids": "x", "name": "Box"}, "o": {"name": "o"}, "cmps": parts})
    home.there("box")
    home.says("s", {"a": 1, "b": 2, "c": 3})
    assert home.values("box") == {"a": "1"}
    for found in ({"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}):
        later(2)
        home.does(lambda: None)
        assert home.values("box") == found


def test_a_thousand_devices_that_come_and_go_do_not_wear_out_the_card(home, monkeypatch, later):
    monkeypatch.setattr("node.gateways.mqtt.incoming.GRACE", 5.0)
    home.begin()
    table = config("d", "u").decode()
    home.broker.says("homeassistant/sensor/d/config", table)
    home.run(until(lambda: home.names() == ["d"]))
    thing, written = home.thing("d"), []
    monkeypatch.setattr(home.hub.store.things, "write", lambda *about: written.append(about))
    for _ in range(100):
        for payload in ("", table):
            home.broker.says("homeassistant/sensor/d/config", payload)
            home.run(until(lambda: home.incoming._timer is None))
    assert home.thing("d") is thing and not written
    home.broker.says("homeassistant/sensor/d/config", "")
    home.run(until(lambda: home.incoming._timer is None))
    later(6)
    home.run(until(lambda: home.names() == []))
    assert len(written) == 1


def test_the_soonest_of_what_is_due_is_not_late(home, later):
    home.begin()
    device = {"dev": {"ids": "x", "name": "Hall"}}
    home.says("homeassistant/sensor/t/config", {"stat_t": "t", "exp_aft": 3600, "unit_of_meas": "K"} | device)
    home.says("homeassistant/binary_sensor/m/config", {"stat_t": "m", "off_dly": 5, "dev_cla": "motion"} | device)
    home.there("hall")
    home.says("t", "20", retain=False)
    home.says("m", "ON", retain=False)
    assert home.values("hall")["motion"] == "true"
    later(6)
    home.does(lambda: None)
    assert home.values("hall")["motion"] == "false"


def test_a_template_that_fails_shows_what_came_and_is_told_once(home, caplog):
    home.begin()
    table = {"stat_t": "s", "val_tpl": "{{ states('x') }}", "dev": {"ids": "x", "name": "Odd"}}
    home.says("homeassistant/sensor/x/config", table)
    home.there("odd")
    for number in range(5):
        home.says("s", f"raw {number}")
    assert list(home.values("odd").values()) == ["raw 4"]
    assert caplog.text.count("not safely callable") == 1


def test_bytes_that_are_no_text_hurt_nobody(home):
    home.begin().plays("esphome")
    home.there("boiler")
    for topic in ("boiler/status", "boiler/switch/pump/state", "boiler/sensor/uptime/state"):
        for data in (b"\xff\xfe", b"\0" * 1000, b"9" * 5000):
            for filter, listener in list(home.broker.listeners):
                if filter == topic:
                    home.does(lambda listener=listener, topic=topic, data=data: listener(topic, data, False))
    assert home.thing("boiler").readings["uptime"].value == "86412"
