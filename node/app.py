"""Puts the parts together, and serves until somebody says stop.

Order is a list one can read: FEATURES and FACES are set up, and so stand in the way of stanzas, in the order in
which they are named here.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from importlib import import_module

from node.base.jid import make, parse
from node.config import Config, ConfigError, load
from node.config import Thing as Configured
from node.hub.accounts import Accounts
from node.hub.hub import Hub
from node.hub.store import Store
from node.hub.thing import Thing
from node.net.certificate import CertificateError
from node.net.notify import Service
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.administration import requests
from node.ports.client import ClientPort
from node.ports.control import Control
from node.ports.limits import Options as Limits
from node.ports.link import Links
from node.ports.link import Options as Federation
from node.things.access import Options as Access

log = logging.getLogger("hobnode")

FEATURES = (
    "disco",
    "caps",
    "blocking",  # before all that looks at stanzas: whom we block is not there
    "carbons",
    "roster",
    "strangers",  # what is refused is not archived; rosters say who is none
    "archive",  # behind all that may stop a message: what is refused has not been said
    "subscription",
    "presence",
    "offline",
    "ping",
    "version",
    "time",
    "last",
    "vcard",
    "contact",
    "register",
    "reporting",
)

FACES = (
    "audit",
    "access",  # first: strangers do not get past it
    "presence",
    "control",
    "chat",
    "commands",
    "grants",
    "history",
    "watches",  # behind what is said to a thing, and its commands
    "geoloc",
    "sensor",
    "events",
    "about",
    "card",
)

RELOADED = ("contact", "register", "strangers")  # features whose table is read again at SIGHUP

GOODBYE = 3  # seconds for sessions to take their last words; systemd gives 90, people less


def assemble(hub: Hub, config: Config) -> None:
    """Sets up the features, the faces of things, rules, gateways, and the things themselves (not yet started)."""
    for floor, names in (("features", FEATURES), ("things", FACES)):
        for name in names:
            module = import_module(f"node.{floor}.{name}")
            module.setup(hub, config.options(module))
    if config.rules:
        import_module("node.things.rules").setup(hub, config.rules)
    for name, options in config.gateways.items():
        if options is not None:
            import_module(f"node.gateways.{name}").setup(hub, options)
    for name, configured in config.things.items():
        add_thing(hub, name, configured)


def add_thing(hub: Hub, name: str, configured: Configured) -> Thing:
    """Makes a thing, not yet started."""
    thing = Thing(
        jid=parse(f"{name}@{hub.host}"),  # not `make`: with those in rosters of who follows it, it is one
        label=configured.label or name,
        kind=configured.board.name if configured.board else configured.driver,
        driver=configured.make_driver(),
        picture=configured.picture,
    )
    hub.things[thing.jid] = thing
    hub.tell("thing", thing)
    return thing


def check_addresses(hub: Hub, config: Config) -> None:
    """Raises ConfigError for a thing that would hide a person."""
    for name in config.things:
        if hub.accounts.exists(name):
            address = make(name, hub.host)
            raise ConfigError(f"{config.path}: [thing.{name}]: {address} is a person's address already")


def complain(config: Config) -> None:
    """What is not served for want of what it needs."""
    for each in config.lacking:
        log.error("%s", each)


async def serve(config: Config, announce: Callable[[], None] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; `announce` is called when clients can log in. 0 after an orderly end."""
    loop = asyncio.get_running_loop()
    store = Store(config.data, loop)
    try:
        host = parse(config.domain)
        hub = Hub(host, store, Accounts(store.accounts, host), loop)
        check_addresses(hub, config)
        assemble(hub, config)
        complain(config)
        return await _serve(hub, config, announce)
    finally:
        store.close()


async def _serve(hub: Hub, config: Config, announce: Callable[[], None] | None) -> int:
    identity = Identity(config.certificate, config.key)
    turn = Turn(hub.loop)
    clients = ClientPort(hub, config.tables.get("limits", Limits()), identity, turn)
    links = Links(hub, _federation(config), identity, turn)
    control = Control(config.data, requests(hub))
    service = Service()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        hub.loop.add_signal_handler(number, stop.set)
    reloading = Reloading(hub, config, identity, clients, links)
    terminal = _has_terminal()
    hub.loop.add_signal_handler(
        signal.SIGHUP, lambda: stop.set() if terminal and not _has_terminal() else reloading.begin()
    )
    try:
        listen = config.listen
        for port, direct in ((listen.client, False), (listen.client_tls, True)):
            if port:
                clients.listen(listen.address, port, direct_tls=direct)
        if listen.server:
            links.listen(listen.address, listen.server)
        await control.open()
        for thing in hub.things.values():
            thing.start()
        hub.tell("started")
        log.info("%s serves", hub.host)
        if not clients.listeners:
            log.warning("[listen] client and client_tls are 0: nobody can log in")
        service.ready(f"{hub.host} serves")
        if announce:
            announce()
        await stop.wait()
        log.info("%s stops", hub.host)
    finally:
        service.stopping()
        await control.close()
        await asyncio.gather(*(thing.stop() for thing in hub.things.values()))
        await hub.stop()
        await clients.leave()
        links.close()  # after all who still had something to say to other servers
        await turn.goodbyes(GOODBYE)
        service.close()
    return 0


def _has_terminal() -> bool:
    """Whether somebody reads our log on a terminal. When its window is closed that sends SIGHUP, too, and ends us:
    nobody would know that we are still here."""
    return os.isatty(2)


def _federation(config: Config) -> Federation:
    limits = config.tables.get("limits", Limits())
    return Federation(config.peers, (config.certificate, config.key), rate=4 * limits.rate)


class Reloading:
    """SIGHUP: certificate and configuration are read again, and what has changed is exchanged while we serve.

    Ports, domain and data directory are what a node is: they change with a restart.
    """

    def __init__(self, hub: Hub, config: Config, identity: Identity, clients: ClientPort, links: Links):
        self.hub = hub
        self.config = config
        self.started = config  # what we are until we are started anew
        self.identity = identity
        self.clients = clients
        self.links = links
        self.has_rules = bool(config.rules)  # or had some
        self._turn = asyncio.Lock()

    def begin(self) -> None:
        self.hub.spawn(self._reload(), "reload")

    async def _reload(self) -> None:
        async with self._turn:
            try:
                fresh = load(self.config.path)
                check_addresses(self.hub, fresh)
                self.identity.reload()
                self.hub.need("access").allow(fresh.tables.get("access", Access()))
                self.clients.rate = fresh.tables.get("limits", Limits()).rate
                self.links.reload(_federation(fresh))
                for name in RELOADED:
                    self.hub.need(name).reload(fresh.options(import_module(f"node.features.{name}")))
                await self._exchange_things(fresh)
                await self._exchange_gateways(fresh)
                self._exchange_rules(fresh)
            except (CertificateError, ConfigError, ValueError) as error:
                log.error("not reloaded, all stays as it is: %s", error)
                return
            for name in self._waits(fresh):
                log.warning("%r has changed in %s: that takes a restart", name, fresh.path)
            complain(fresh)
            self.config = fresh
            log.info("certificate and configuration have been read again")

    def _waits(self, fresh: Config) -> list[str]:
        """What is another than when we were started, and cannot be exchanged while we serve."""
        old, new = self.started, fresh
        own = [name for name in ("domain", "data", "listen", "tls") if getattr(old, name) != getattr(new, name)]
        tables = {**old.tables, **new.tables}.keys() - {*RELOADED, "access", "limits"}
        return [*own, *sorted(name for name in tables if old.tables.get(name) != new.tables.get(name))]

    async def _exchange_things(self, fresh: Config) -> None:
        hub, old, new = self.hub, self.config.things, fresh.things
        for name in [name for name in old if new.get(name) != old[name]]:
            thing = hub.things[make(name, hub.host)]
            await thing.stop()
            log.info("%s: taken out", name)
            hub.tell("thing gone", thing)
            del hub.things[thing.jid]
        for name, configured in new.items():
            if make(name, hub.host) not in hub.things:
                log.info("%s: put in", name)
                add_thing(hub, name, configured).start()
            elif name not in old:  # a gateway has brought one of that name
                log.error("[thing.%s] is not put in: there is a %s already", name, make(name, hub.host))

    async def _exchange_gateways(self, fresh: Config) -> None:
        old, new = self.config.gateways, fresh.gateways
        for name in [name for name in {**old, **new} if old.get(name) != new.get(name)]:
            log.info("[gateway.%s] has changed", name)
            await import_module(f"node.gateways.{name}").reload(self.hub, new.get(name))

    def _exchange_rules(self, fresh: Config) -> None:
        if fresh.rules == self.config.rules:
            return
        if self.has_rules:
            self.hub.need("rules").load(fresh.rules)
        else:  # the first ones
            self.has_rules = True
            import_module("node.things.rules").setup(self.hub, fresh.rules)
            self.hub.need("rules").far.ask()
