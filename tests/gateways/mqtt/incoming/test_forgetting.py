"""A device that has left for good leaves nothing behind."""

from types import SimpleNamespace

import pytest

from node.base.jid import parse
from node.features.roster import Item
from node.gateways.mqtt.incoming.topics import FieldTopic, Topic
from node.ports.administration import requests
from node.ports.control import Refused
from node.things.access import Grant
from node.things.watches.wish import Wish
from tests.conftest import settle
from tests.gateways.mqtt.incoming.test_addresses import announced, taken_back

LAMP, BEN = parse("hall-lamp@hub.local"), parse("ben@hub.local")


def forget(home, name="hall-lamp"):
    home.hub.provide("gateway.mqtt", SimpleNamespace(incoming=home.incoming))
    return home.run(requests(home.hub)["thing-forget"]({"name": name}))


@pytest.fixture
def lamp(home, person, run):
    """A lamp with a history, which Ben follows, may set and watches."""
    person("ben@hub.local/a")
    home.begin()
    announced(home, "one")
    lamp, need = home.there("hall-lamp"), home.hub.need
    need("roster").put(LAMP, Item(BEN, subscription="from"))
    need("roster").put(BEN, Item(LAMP, subscription="to"))
    home.hub.store.things.write("INSERT INTO grants VALUES ('hall-lamp', 'control', 'ben@hub.local')")
    need("access").grant([Grant("hall-lamp", "control", BEN), Grant("*", "read", BEN)])
    need("audit").note(LAMP, BEN, "chat", "switch=true")
    run(need("watches").add(lamp, BEN, Wish("", "gone", "", 0)))
    run(need("watches").mute(lamp, BEN, 4e9))
    home.says("one/s", "ON")
    settle(home.hub)
    return lamp


def test_nothing_of_it_is_left_and_another_may_be_called_so(lamp, home, run):
    need, read = home.hub.need, home.hub.store.things.read
    number = need("history").shelf.series["hall-lamp", "switch"]
    taken_back(home, "one")
    assert forget(home) == "forgot hall-lamp@hub.local: followers, rights, alerts, history and log"
    settle(home.hub)
    for table in ("grants", "audit", "watches", "mutes", "series"):
        assert read(f"SELECT * FROM {table} WHERE thing = 'hall-lamp'") == [], table
    assert read("SELECT id FROM series WHERE thing = ''") == [(number,)]
    assert read("SELECT * FROM mqtt_things") == [] == list(need("roster").items(LAMP))
    assert need("roster").items(BEN)[LAMP].subscription == "none"
    ((_, *said),) = run(need("audit").lines(parse("hub@hub.local"), 9))
    assert said == ["hub.local", "command line", "forget hall-lamp", "done"]

    announced(home, "two")
    other = home.there("hall-lamp")
    assert need("access").grants == {Grant("*", "read", BEN)}
    assert need("watches").of(other, BEN) == [] and need("watches").muted(other, BEN) is None
    home.says("two/s", "ON")
    assert need("history").shelf.series["hall-lamp", "switch"] == number + 1, "its values are on the disk yet"


def test_what_is_online_is_not_forgotten(lamp, home):
    with pytest.raises(Refused, match="hall-lamp@hub.local is online"):
        forget(home)
    assert home.there("hall-lamp") is lamp and home.hub.need("access").may_control(lamp, BEN)


def test_what_is_offline_and_still_announced_goes_and_it_is_said_that_it_comes_again(lamp, home):
    home.does(lambda: home.broker.turn(False))
    home.away("hall-lamp")
    assert forget(home).endswith("; it is still announced at the broker: take that back, else it comes again")
    assert home.names() == []


@pytest.mark.parametrize("name", ["hub", "garden", "nobody", "hall-lamp"])
def test_what_is_no_device_of_the_broker_is_not_forgotten(home, options, name):
    options.topics = {"garden": Topic(fields={"soil": FieldTopic("g")})}
    home.begin()
    announced(home, "one")
    taken_back(home, "one")
    home.hub.things[LAMP] = home.thing("garden")  # the configuration has its address now
    with pytest.raises(Refused, match=f"{name}@hub.local is no device of the MQTT broker"):
        forget(home, name)
    del home.hub.things[LAMP]
