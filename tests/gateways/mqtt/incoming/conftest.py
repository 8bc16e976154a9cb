"""A hub with the incoming half of the gateway, and a broker that is none."""

import asyncio
from types import SimpleNamespace

import pytest

from node.base.jid import parse
from node.gateways.mqtt import incoming
from tests.conftest import HOST, settle, until
from tests.gateways.mqtt.incoming.broker import Broker


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def options():
    return SimpleNamespace(discovery="homeassistant", homie="homie", topics={}, neighbours=False)


@pytest.fixture
def home(hub, broker, options, run, monkeypatch):
    """The hub, once `home.begin()` was called, connected to the broker. `home.thing(name)` waits for one."""
    monkeypatch.setattr(incoming, "GATHER", 0)
    monkeypatch.setattr(incoming, "GRACE", 0)
    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 0)
    home = Home(hub, broker, options, run)
    yield home
    run(home.stop())


class Home:
    def __init__(self, hub, broker, options, run):
        self.hub, self.broker, self.run = hub, broker, run
        self.incoming = incoming.setup(hub, broker, options)
        self.own = set(hub.things)

    def begin(self):
        async def begin():
            self.hub.tell("started")
            self.broker.turn(True)

        self.run(begin())
        return self

    def plays(self, name):
        self.does(lambda: self.broker.plays(name))
        return self

    def says(self, topic, payload, retain=True):
        self.does(lambda: self.broker.says(topic, payload, retain))

    def does(self, what):
        """Does it on the loop, and waits until what comes of it has come to rest."""

        async def on_the_loop():
            what()
            await asyncio.sleep(0)

        self.run(on_the_loop())
        self.run(until(lambda: self.incoming._timer is None and not self.incoming._going))
        settle(self.hub)

    def names(self):
        return sorted(jid.local for jid in self.hub.things if jid not in self.own)

    def there(self, name):
        """The thing, online and with what it has said."""
        thing = self.thing(name)
        self.run(until(lambda: thing.online))
        self.run(asyncio.sleep(0))
        return thing

    def away(self, name):
        thing = self.thing(name)
        self.run(until(lambda: not thing.online))
        return thing

    def thing(self, name):
        return self.hub.things[parse(f"{name}@{HOST}")]

    def values(self, name):
        return {field: reading.value for field, reading in self.there(name).readings.items()}

    def sets(self, name, **values):
        return self.run(self.thing(name).control(values, parse(f"ann@{HOST}/a")))

    async def stop(self):
        self.incoming._stop()
        await asyncio.gather(*(thing.stop() for jid, thing in self.hub.things.items() if jid not in self.own))
