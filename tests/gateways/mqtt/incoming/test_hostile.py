"""A broker full of nonsense costs what a home can bear."""

import json

from node.gateways.mqtt.incoming.discovery import Discovery


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


def test_many_announcements_of_one_entity_are_one(home):
    home.begin()
    discovery = the_discovery(home)
    for number in range(500):
        discovery.heard(f"homeassistant/sensor/n{number}/x/config", config("one", "same"), True)
    assert len(discovery._topics) == 1 and len(discovery._devices["ha:one"].entities) == 1


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
