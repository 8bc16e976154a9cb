"""Things that others announce on the broker: each becomes a contact, and goes when it is taken back.

Three ways lead here: Home Assistant's discovery (discovery.py), the Homie convention (homie.py), and topics that the
configuration names (topics.py). What we publish ourselves is never taken in, and what is taken in (things of kind
"mqtt") is never published: so there are no loops.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from node.base.jid import Jid, make
from node.gateways.mqtt.incoming.addresses import Addresses
from node.gateways.mqtt.incoming.driver import Driver
from node.gateways.mqtt.incoming.far import Far
from node.gateways.mqtt.incoming.signs import Signs
from node.hub.thing import Thing

log = logging.getLogger("hobnode")

KIND = "mqtt"
THINGS = 500  # more is no home; each costs 13 KB
GATHER = 0.3  # seconds until what is announced is looked at: a device with ten entities announces itself ten times
GRACE = 5.0  # seconds until what was taken back is gone: some take all back to announce it anew
SLICE = 5  # things that are made or changed in one turn of the loop: 2 ms
ABSENT = 24 * 3600.0  # seconds without an announcement, after which a thing of an earlier life is no more
TOPICS = "topics"  # how the key of a thing begins that the configuration names

Make = Callable[[], Far | None]


class Way(Protocol):
    """One way in. It hears of the broker's coming and going, and listens no more when it is closed."""

    def turned(self, online: bool) -> None: ...
    def close(self) -> None: ...


def setup(hub: Any, client: Any, options: Any) -> "Incoming":
    incoming = Incoming(hub, client, options)
    hub.on("started", incoming.begin)
    return incoming


class Incoming:
    """The things that have come in, by a key of their own: `ha:0x00158d0001`, `homie:kitchen`, `topics:garden`."""

    def __init__(self, hub: Any, client: Any, options: Any):
        self._hub = hub
        self._client = client
        self._options = options
        self._signs = Signs(client)
        self._addresses = Addresses(hub)
        self._ways: dict[str, tuple[Way, ...]] = {}  # by what keys begin with
        self._things: dict[str, Thing] = {}
        self._waiting: dict[str, Make] = {}  # what is to be looked at
        self._going: dict[str, asyncio.TimerHandle] = {}  # what was taken back
        self._timer: Any = None
        self._absent: Any = None
        self._full = False
        client.on_change(self._turned)
        hub.on("stopping", self._stop)
        self._listen()

    def begin(self) -> None:
        """The node serves."""
        self._name_topics({})
        self.restore()

    async def change(self, options: Any, anew: bool) -> None:
        """Does as these options say. `anew`: what was announced counts no more, things wait to be announced again."""
        old, self._options = self._options, options
        if anew:
            await self._listen_anew()
        for key in list(self._things):
            way, _, name = key.partition(":")
            if way == TOPICS and options.topics.get(name) != old.topics.get(name):
                await self._disappear(key)
        self._name_topics(old.topics)

    async def _listen_anew(self) -> None:
        for ways in self._ways.values():
            for way in ways:
                way.close()
        self._waiting.clear()
        self._listen()
        for key, thing in list(self._things.items()):
            begin = key.partition(":")[0]
            if begin in self._ways:
                _driver(thing).forget()
            elif begin != TOPICS:
                await self._disappear(key)
        self.restore()

    def _listen(self) -> None:
        """Each way is imported if it is used."""
        options, client, own = self._options, self._client, self._client.status.rpartition("/")[0] + "/"
        self._ways = {}
        if options.discovery:
            from node.gateways.mqtt.incoming.discovery import Discovery

            self._ways["ha"] = (Discovery(self, client, options.discovery, own, options.neighbours),)
        if options.homie:
            from node.gateways.mqtt.incoming import homie

            self._ways["homie"] = homie.ways(self, client, options.homie)

    def _name_topics(self, old: dict[str, Any]) -> None:
        """Puts in things of the configuration that are not there yet."""
        if self._options.topics:
            from node.gateways.mqtt.incoming import topics

            own = self._client.status.rpartition("/")[0] + "/"
            new = {name: topic for name, topic in self._options.topics.items() if old.get(name) != topic}
            topics.setup(self, new, own)

    def knows(self, key: str) -> bool:
        """Whether that thing is there, or was."""
        return self._addresses.knows(key)

    def takes(self, key: str) -> bool:
        """Whether that thing is there, or there is room for it."""
        if key in self._things or len(self._things) < THINGS:
            return True
        if not self._full:
            log.warning("mqtt: there are %d things; more are not taken in, such as %s", THINGS, key)
            self._full = True
        return False

    def restore(self) -> None:
        """Things of an earlier life are there, and offline, until they are announced: their followers stay."""
        for key, name in list(self._addresses.present().items())[:THINGS]:
            if key not in self._things and key.partition(":")[0] in self._ways:
                self._appear(key, name, None, self._addresses.of(key, name))
        if self._absent:
            self._absent.cancel()
        self._absent = self._hub.loop.call_later(ABSENT, self._forget)

    def put(self, key: str, look: Make) -> None:
        """In a moment `look()` says what is known of that thing; None: it is no more."""
        self._waiting[key] = look
        if self._timer is None:
            self._timer = self._hub.loop.call_later(GATHER, self._begin)

    def add(self, name: str, far: Far) -> None:
        """A thing of the configuration, whose address is its name."""
        jid = make(name, self._hub.host)
        if jid in self._hub.things or self._hub.accounts.exists(jid.local):
            log.error("[gateway.mqtt.topics.%s]: %s is somebody's address already", name, jid)
            return
        if other := self._addresses.owner(jid.local):
            log.warning("[gateway.mqtt.topics.%s]: what was granted to and at %r holds for it now", name, other)
        self._appear(f"{TOPICS}:{name}", far.name, far, jid.local)

    async def forget(self, jid: Jid) -> str:
        """Keeps nothing of a device that has left for good; what is to be said of it. Raises ValueError, StoreError."""
        key = self._addresses.key(jid.local)
        thing = self._things.get(key)
        if not key or self._hub.things.get(jid) is not thing:
            raise ValueError(f"{jid} is no device of the MQTT broker, and never was one that is remembered")
        if thing and thing.online:
            raise ValueError(f"{jid} is online: take it off the broker first")
        known = thing is not None and _driver(thing).known
        await self._disappear(key)
        if key in self._things:
            raise ValueError(f"{jid} has just come back")
        await self._addresses.forget(key)
        again = "; it is still announced at the broker: take that back, else it comes again" if known else ""
        return f"forgot {jid}: followers, rights, alerts, history and log{again}"

    def _begin(self) -> None:
        self._hub.spawn(self._work(), "things come and go by mqtt")

    async def _work(self) -> None:
        """A few at a time: a broker may have thousands."""
        while self._waiting:
            for key in list(self._waiting)[:SLICE]:
                look = self._waiting.pop(key)
                try:
                    await self._look(key, look())
                except Exception:  # what is announced is a stranger's: the others go on
                    log.exception("mqtt: %s is not taken in", key)
            await asyncio.sleep(0)
        self._timer = None

    async def _look(self, key: str, far: Far | None) -> None:
        going = self._going.pop(key, None)
        if going:
            going.cancel()
        if far is None:
            if key in self._things:
                self._going[key] = self._hub.loop.call_later(GRACE, self._go, key)
        elif key in self._things:
            thing = self._things[key]
            _driver(thing).describe(far)
            thing.label = far.name
            self._addresses.renamed(key, far.name)
            thing.described()
        elif self.takes(key):
            self._appear(key, far.name, far, self._addresses.of(key, far.name))

    def _go(self, key: str) -> None:
        del self._going[key]
        self._hub.spawn(self._disappear(key), f"{key} goes")

    def _appear(self, key: str, name: str, far: Far | None, local: str) -> None:
        hub = self._hub
        driver = Driver(self._client, self._signs, local, far)
        thing = Thing(jid=make(local, hub.host), label=name, kind=KIND, driver=driver)
        self._things[key] = thing
        hub.things[thing.jid] = thing
        hub.tell("thing", thing)
        thing.start()
        log.info("%s: taken in from MQTT as %s", name, thing.jid)

    async def _disappear(self, key: str) -> None:
        thing = self._things.pop(key, None)
        if thing is None:
            return
        self._full = False
        self._addresses.gone(key)
        await thing.stop()
        _driver(thing).forget()
        self._hub.tell("thing gone", thing)
        self._hub.things.pop(thing.jid, None)
        log.info("%s: no longer announced on MQTT", thing.jid)

    def _turned(self, online: bool) -> None:
        for ways in self._ways.values():
            for way in ways:
                way.turned(online)
        self._signs.call(_driver(thing).judge for thing in self._things.values())

    def _forget(self) -> None:
        if not self._client.online:
            self._absent = self._hub.loop.call_later(ABSENT, self._forget)
            return
        for key, thing in self._things.items():
            if not _driver(thing).known:
                self.put(key, lambda: None)

    def _stop(self) -> None:
        for timer in (self._timer, self._absent, *self._going.values()):
            if timer:
                timer.cancel()
        self._waiting.clear()


def _driver(thing: Thing) -> Driver:
    """All things here have one of ours."""
    assert isinstance(thing.driver, Driver)
    return thing.driver
