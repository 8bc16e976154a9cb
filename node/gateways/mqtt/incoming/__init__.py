"""Things that others announce on the broker: each becomes a contact, and goes when it is taken back.

Three ways lead here: Home Assistant's discovery (discovery.py), the Homie convention (homie.py), and topics that the
configuration names (topics.py). What we publish ourselves is never taken in, and what is taken in (things of kind
"mqtt") is never published: so there are no loops.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from node.base.jid import make
from node.gateways.mqtt.incoming.addresses import Addresses
from node.gateways.mqtt.incoming.driver import Driver
from node.gateways.mqtt.incoming.far import Far
from node.gateways.mqtt.incoming.signs import Signs
from node.hub.thing import Thing

log = logging.getLogger("hobnode")

KIND = "mqtt"
THINGS = 500  # more is no home; each costs 30 KB
GATHER = 0.3  # seconds until what is announced is looked at: a device with ten entities announces itself ten times
SLICE = 5  # things that are made or changed in one turn of the loop: 2 ms
ABSENT = 24 * 3600.0  # seconds without an announcement, after which a thing of an earlier life is no more

Make = Callable[[], Far | None]


def setup(hub: Any, client: Any, options: Any) -> "Incoming":
    own = client.status.rpartition("/")[0] + "/"
    incoming = Incoming(hub, client)
    if options.topics:
        from node.gateways.mqtt.incoming import topics

        hub.on("started", lambda: topics.setup(incoming, options.topics, own))
    if options.discovery:
        from node.gateways.mqtt.incoming.discovery import Discovery

        Discovery(incoming, client, options.discovery, own)
    if options.homie:
        from node.gateways.mqtt.incoming import homie

        homie.setup(incoming, client, options.homie)
    hub.on("started", incoming.restore)
    return incoming


class Incoming:
    """The things that have come in, by a key of their own: `ha:0x00158d0001`, `homie:kitchen`."""

    def __init__(self, hub: Any, client: Any):
        self._hub = hub
        self._client = client
        self._signs = Signs(client)
        self._addresses = Addresses(hub)
        self._things: dict[str, tuple[Thing, Driver]] = {}
        self._waiting: dict[str, Make] = {}  # what is to be looked at
        self._timer: Any = None
        self._full = False
        client.on_change(self._turned)
        hub.on("stopping", self._stop)

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
            if key not in self._things:
                self._appear(key, name, None, self._addresses.of(key, name))
        self._hub.loop.call_later(ABSENT, self._forget)

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
        else:
            self._appear(f"topics:{name}", far.name, far, jid.local)

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
        if far is None:
            await self._disappear(key)
        elif key in self._things:
            thing, driver = self._things[key]
            driver.describe(far)
            thing.label = far.name
            self._addresses.renamed(key, far.name)
            thing.described()
        elif self.takes(key):
            self._appear(key, far.name, far, self._addresses.of(key, far.name))

    def _appear(self, key: str, name: str, far: Far | None, local: str) -> None:
        hub = self._hub
        driver = Driver(self._client, self._signs, local, far)
        thing = Thing(jid=make(local, hub.host), label=name, kind=KIND, driver=driver)
        self._things[key] = thing, driver
        hub.things[thing.jid] = thing
        hub.tell("thing", thing)
        thing.start()
        log.info("%s: taken in from MQTT as %s", name, thing.jid)

    async def _disappear(self, key: str) -> None:
        if key not in self._things:
            return
        thing, driver = self._things.pop(key)
        self._full = False
        self._addresses.gone(key)
        await thing.stop()
        driver.end()
        self._hub.tell("thing gone", thing)
        self._hub.things.pop(thing.jid, None)
        log.info("%s: no longer announced on MQTT", thing.jid)

    def _turned(self, online: bool) -> None:
        for _, driver in self._things.values():
            driver.judge()

    def _forget(self) -> None:
        if not self._client.online:
            self._hub.loop.call_later(ABSENT, self._forget)
            return
        for key, (_, driver) in self._things.items():
            if not driver.known:
                self.put(key, lambda: None)

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._waiting.clear()
