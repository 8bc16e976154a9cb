"""What the fast tests share: a hub with all features, without sockets, a thing, and people who talk to them."""

import asyncio
import gc
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from unittest.mock import patch
from xml.parsers import expat

import pytest

from node.app import assemble
from node.base.element import Element, read
from node.base.errors import StreamError
from node.base.jid import Jid, parse
from node.base.stanza import CLIENT, Stanza
from node.config import Config, ConfigError, load
from node.hub.accounts import Accounts
from node.hub.hub import Hub
from node.hub.store import Store
from node.hub.thing import Thing
from node.net import certificate
from node.stream.events import Refused
from node.stream.framing import CLIENT_LIMIT, Framing
from node.things.access import Options as Access
from tests.things.board import Board

HOST = "hub.local"
DEADLINE = 5  # seconds that anything in a fast test may take
HEADER = f"<stream:stream xmlns='{CLIENT}' xmlns:stream='http://etherx.jabber.org/streams' to='{HOST}' version='1.0'>"


def pytest_collection_finish():
    """Thousands of tests stay in memory to the end: the collector of garbage, which some call, looks past them."""
    gc.collect()
    gc.freeze()


class Heard(str):
    """What somebody heard: equal to any text that means the same XML. The ids that messages have in archives here
    count only if the text names one: they are other ones each time."""

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, str) and _meaning(self, "<stanza-id " in other) == _meaning(other, True)
        except expat.ExpatError:  # `other` is a part of a stanza, or no XML at all
            return False

    __hash__ = None


def read_stanza(text: str) -> Element:
    """The first element of a text that stands in a client's stream."""
    return _read_all(text).elements[0]


def _read_all(text: str) -> Element:
    return read(f"<s xmlns='{CLIENT}' xmlns:stream='http://etherx.jabber.org/streams'>{text}</s>".encode())


def _meaning(text: str, with_ids: bool):
    all_of_it = _read_all(text)
    return _plain(all_of_it if with_ids else without_ids(all_of_it))


def without_ids(element: Element) -> Element:
    """The same without the ids of archives here (XEP-0359)."""
    children = [
        child if isinstance(child, str) else without_ids(child)
        for child in element.children
        if isinstance(child, str) or child.name != "stanza-id" or not child.get("by", "").endswith(f"@{HOST}")
    ]
    return Element(element.name, element.ns, element.attrs, children)


def _plain(element):
    children = [child if isinstance(child, str) else _plain(child) for child in element.children]
    return element.name, element.ns, dict(element.attrs), children


class Person:
    """A real endpoint fed by a real stream; what the socket would do is left out."""

    def __init__(self, hub: Hub, jid: Jid):
        self.hub = hub
        self.jid = jid
        self.framing = Framing(CLIENT_LIMIT)
        self.framing.feed(HEADER.encode())
        self.ears: list[Heard] = []
        self.closed_with: StreamError | None = None
        self.since = time.time()
        hub.bind(self)

    def says(self, xml: str) -> "Person":
        """Sends a stanza, and waits until what it sets going has come to rest."""
        for event in self.framing.feed(xml.encode()):
            if isinstance(event, Refused):
                event.stanza.sender = self.jid
                self.hub.refuse(event.stanza, event.error)
                continue
            assert isinstance(event, Stanza), event
            event.sender = self.jid
            if event.to is None and event.name != "presence":
                event.to = self.jid.bare
            self.hub.route(event, self)
        settle(self.hub)
        return self

    def deliver(self, stanza: Stanza) -> None:
        self.ears.append(Heard(stanza.to_bytes(CLIENT).decode()))

    def forgets(self) -> None:
        """What was said before is another matter."""
        settle(self.hub)
        self.ears = []

    def when_acked(self, callback) -> bool:
        return False

    def close(self, error: StreamError | None) -> None:
        self.closed_with = error
        self.leaves()

    def leaves(self) -> None:
        """The line is cut."""
        self.hub.unbind(self)
        settle(self.hub)

    @property
    def heard(self) -> list[Heard]:
        """What has been heard since this was last asked."""
        settle(self.hub)
        ears, self.ears = self.ears, []
        return ears


def settle(hub: Hub) -> None:
    """Lets the loop run until nothing that was begun is waiting any more."""
    if hub.loop.is_running():
        return
    end = time.monotonic() + DEADLINE
    run = hub.loop.run_until_complete
    run(asyncio.sleep(0))
    while hub._tasks:
        assert time.monotonic() < end, f"still waiting: {hub._tasks}"
        run(asyncio.wait(set(hub._tasks), timeout=0.1))
    run(asyncio.sleep(0))


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop run until this holds: for what nobody tells."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def later(loop, monkeypatch):
    """The loop's clock stands still. `later(seconds)` sets it forward: what is due then, the next turns do.

    Deadlines of the test's own pass with it; against one that waits for ever there is pytest's."""
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    def later(seconds: float) -> None:
        nonlocal now
        now += seconds

    return later


@pytest.fixture
def run(loop):
    """`run(coroutine)` waits for its result, with a deadline."""

    def run(work, timeout=DEADLINE):
        return loop.run_until_complete(asyncio.wait_for(work, timeout))

    return run


@pytest.fixture
def config(tmp_path) -> Config:
    """The configuration that the hub is put together by; a test may fill it in before it asks for the hub."""
    return Config(path=tmp_path / "hobnode.toml", domain=HOST, data=tmp_path)


@pytest.fixture
def mistake(tmp_path):
    """`mistake("[thing.porch] ...")`: what is said of a configuration that cannot be."""

    def mistake(text: str) -> str:
        with pytest.raises(ConfigError) as raised:
            load(tmp_path / "hobnode.toml", f'domain = "home.example"\n{text}\n')
        return str(raised.value)

    return mistake


@contextmanager
def furnished(loop: asyncio.AbstractEventLoop, config: Config, hasty: bool = True) -> Iterator[Hub]:
    """A hub with all features: what `hub` gives to tests, and programs that are no tests take for themselves.

    `hasty`: there is no pause between commits; nobody's card is spared.
    """
    with ExitStack() as stack:
        stack.enter_context(patch("node.hub.accounts.ITERATIONS", 16))  # keys of passwords that guard nothing
        for pause in ("hub.store.INTERVAL", "hub.store.PATIENCE", "features.archive.retention.PAUSE") if hasty else ():
            stack.enter_context(patch(f"node.{pause}", 0))
        store = Store(config.data, loop)
        stack.callback(store.close)
        host = parse(config.domain)
        hub = Hub(host, store, Accounts(store.accounts, host), loop)
        assemble(hub, config)
        try:
            yield hub
            settle(hub)
        finally:
            loop.run_until_complete(hub.stop())


@pytest.fixture(scope="session")
def fresh(tmp_path_factory):
    """The folder of a hub that has just begun, with all its tables: copying it takes a tenth of making one."""
    folder = tmp_path_factory.mktemp("fresh")
    with (
        closing(asyncio.new_event_loop()) as loop,
        furnished(loop, Config(path=folder / "hobnode.toml", domain=HOST, data=folder)),
    ):
        pass
    return folder


@pytest.fixture
def hub(loop, config, fresh):
    for file in fresh.glob("*.db"):
        if not (config.data / file.name).exists():
            shutil.copy(file, config.data)
    with furnished(loop, config) as hub:
        yield hub


@pytest.fixture
def person(hub, run):
    """`person("romeo@hub.local/a")` has an account and a session."""

    def person(address: str) -> Person:
        jid = parse(address)
        if not hub.accounts.exists(jid.local):
            run(hub.accounts.create(jid.local, "secret"))
        return Person(hub, jid)

    return person


@pytest.fixture
def board(loop):
    return Board(loop)


@pytest.fixture
def porch(hub, board, run):
    """porch@hub.local, online, with readings. Ann owns it, Ben may ask to follow."""
    hub.need("access").allow(Access(approve=["ann@hub.local"], control=["ann@hub.local", "@friend.example"]))
    thing = Thing(jid=parse(f"porch@{HOST}"), label="Porch", kind="script", driver=board)
    hub.things[thing.jid] = thing
    hub.tell("thing", thing)

    async def start():
        thing.start()
        while not thing.online:
            await asyncio.sleep(0)

    run(start())
    settle(hub)
    thing.report({"temperature": "21.40", "humidity": "48", "lamp": "false", "serial": "A1"})
    hub.need("followers").faces[thing.jid].paid = 0.0  # it was quiet since: its status line may change at once
    yield thing
    run(thing.stop())


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A certificate for the host, and its key."""
    folder = tmp_path_factory.mktemp("identity")
    certificate.make(HOST, folder / "certificate.pem", folder / "key.pem")
    return folder / "certificate.pem", folder / "key.pem"
