"""An address is one device's for ever: rights, followers, history and audit go by it."""

import json

import pytest

from node.base.jid import parse
from node.features.roster import Item
from node.gateways.mqtt.incoming import addresses
from node.gateways.mqtt.incoming.topics import FieldTopic, Topic
from node.things.access import Grant
from tests.conftest import settle

TEXT = "homeassistant/switch/{}/config"


def announced(home, device, name="Hall lamp"):
    table = {"stat_t": f"{device}/s", "cmd_t": f"{device}/set", "dev": {"ids": [device], "name": name}}
    home.says(TEXT.format(device), json.dumps(table))


def taken_back(home, device):
    home.says(TEXT.format(device), "")


def address(home, device):
    return home.incoming._things[f"ha:{device}"].jid.local


def kept(home):
    """As if the node had been started anew: what is on the disk."""
    home.run(home.hub.store.things.committed())
    return addresses.Addresses(home.hub)


def test_the_same_device_has_its_address_again_whatever_it_is_called(home):
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    announced(home, "one", name="Garden lamp")
    assert home.names() == ["hall-lamp"] and home.thing("hall-lamp").label == "Garden lamp"


def test_another_device_of_the_same_name_has_another_address(home):
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    announced(home, "two")
    assert home.names() == ["hall-lamp-2"]
    announced(home, "one")
    assert (address(home, "one"), address(home, "two")) == ("hall-lamp", "hall-lamp-2")


def test_also_when_the_device_before_is_forgotten(home, monkeypatch):
    monkeypatch.setattr(addresses, "LIMIT", 1)
    home.begin()
    announced(home, "one")
    home.hub.need("audit").note(parse("hall-lamp@hub.local"), "ann@hub.local", "chat", "hall_lamp=true")
    taken_back(home, "one")
    announced(home, "two", name="Other")
    taken_back(home, "two")
    assert "ha:one" not in home.incoming._addresses._kept
    home.run(home.hub.store.things.committed())
    announced(home, "three")
    assert home.names() == ["hall-lamp-2"]


@pytest.mark.parametrize("trace", ["grant", "audit", "history", "watch", "follower"])
def test_a_name_that_something_had_before_is_not_given_to_a_device(home, person, trace):
    """A thing of the configuration that is there no more, say."""
    local = "hall-lamp"
    jid = parse(f"{local}@hub.local")
    write = home.hub.store.things.write
    if trace == "grant":
        write("INSERT INTO grants VALUES (?, 'control', 'ben@hub.local')", (local,))
    elif trace == "audit":
        home.hub.need("audit").note(jid, "ann@hub.local", "chat", "lamp=true")
    elif trace == "history":
        write("INSERT INTO series (thing, field) VALUES (?, 'light')", (local,))
    elif trace == "watch":
        write("INSERT INTO watches (thing, who, number) VALUES (?, 'ben@hub.local', 1)", (local,))
    else:
        roster = home.hub.need("roster")
        roster.put(jid, Item(parse("ben@hub.local"), subscription="from"))
    home.run(home.hub.store.things.committed())
    settle(home.hub)
    home.begin()
    announced(home, "one")
    assert home.names() == ["hall-lamp-2"]


def test_what_was_granted_at_one_device_is_not_granted_at_the_next(home, person):
    ben = parse("ben@hub.local/a")
    home.begin()
    announced(home, "one")
    access = home.hub.need("access")
    home.hub.store.things.write("INSERT INTO grants VALUES ('hall-lamp', 'control', 'ben@hub.local')")
    access.grant([Grant("hall-lamp", "control", "ben@hub.local")])
    assert access.may_control(home.there("hall-lamp"), ben)
    taken_back(home, "one")
    announced(home, "two")
    assert not access.may_control(home.there("hall-lamp-2"), ben)
    announced(home, "one")
    assert access.may_control(home.there("hall-lamp"), ben)


def test_who_loses_its_address_to_the_configuration_is_told_of(home, caplog):
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    home.hub.things[parse("hall-lamp@hub.local")] = object()
    announced(home, "one")
    del home.hub.things[parse("hall-lamp@hub.local")]
    assert address(home, "one") == "hall-lamp-2"
    assert "Hall lamp: its address hall-lamp is somebody else's now: it is hall-lamp-2" in caplog.text


def test_a_name_in_the_configuration_that_was_a_device_s_is_warned_of(home, options, caplog):
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    options.topics = {"hall-lamp": Topic(fields={"light": FieldTopic("l", type="boolean")})}
    old = type(options)(**vars(options) | {"topics": {}})
    home.incoming._options = old
    home.run(home.incoming.change(options, anew=False))
    assert "what was granted to and at 'Hall lamp' holds for it now" in caplog.text


def test_a_device_that_has_got_another_identifier_is_the_same_also_after_a_restart(home):
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    discovery = home.incoming._ways["ha"][0]
    assert discovery._keys == {}
    table = {"stat_t": "s", "cmd_t": "c", "dev": {"ids": ["new", "one"], "name": "Hall lamp"}}
    home.says(TEXT.format("one"), json.dumps(table))
    assert home.names() == ["hall-lamp"]


def test_addresses_are_kept_on_the_disk(home):
    home.begin()
    announced(home, "one")
    again = kept(home)
    assert again.present() == {"ha:one": "Hall lamp"} and again.owner("hall-lamp") == "Hall lamp"
