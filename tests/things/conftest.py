"""A board that does what the test tells it, and a thing on it."""

import asyncio
from decimal import Decimal

import pytest

from node.base.jid import parse
from node.hub.thing import Control, DriverError, Field, Thing
from node.stream.framing import CLIENT_LIMIT, Framing
from node.things.access import Options
from tests.conftest import DEADLINE, HEADER, HOST, settle

ANN, BEN, EVE = "ann@hub.local/phone", "ben@hub.local/desk", "eve@elsewhere.example/x"

FIELDS = (
    Field("temperature", unit="°C", deadband=Decimal("0.3")),
    Field("humidity", type="integer", unit="%"),
    Field("lamp", type="boolean", category="status"),
    Field("water", type="boolean", shown=False, alarm="water in the cellar"),
    Field("serial", type="string", category="identity", shown=False),
)
CONTROLS = (
    Control("fade", "integer", label="Fade", unit="ms", minimum=Decimal(0), maximum=Decimal(4095)),
    Control("lamp", "boolean"),
    Control("mode", "enum", options=("eco", "Hot")),
)


class Board:
    """A driver whose hardware is the test."""

    fields = FIELDS
    controls = CONTROLS
    interval = None

    def __init__(self, loop):
        self.loop = loop
        self.about = {"name": "Uno", "version": "1.2"}
        self.written = []
        self.missing = ""  # why it cannot be opened
        self.fault = ""  # why it does not do what it is told
        self.confirms = asyncio.Event()
        self.confirms.set()
        self.lost = loop.create_future()

    async def open(self, report):
        if self.missing:
            raise DriverError(self.missing)

    async def read(self):
        raise AssertionError("a board that reports is not read")

    async def write(self, control, value):
        await self.confirms.wait()
        if self.fault:
            raise DriverError(self.fault)
        self.written.append((control, value))

    async def gone(self):
        return await self.lost

    async def close(self):
        pass

    def pull(self, reason):
        """The cable is pulled."""
        self.missing = reason
        self.lost.set_result(reason)


def stanza_of(xml):
    """The stanza as a stream makes it; its sender is still to be said."""
    framing = Framing(CLIENT_LIMIT)
    framing.feed(HEADER.encode())
    return framing.feed(xml.encode())[0]


def until(hub, condition, come_to_rest=True):
    """Lets the loop run until the condition holds, and then until nothing waits any more."""

    async def wait():
        while not condition():
            await asyncio.sleep(0)

    hub.loop.run_until_complete(asyncio.wait_for(wait(), DEADLINE))
    if come_to_rest:
        settle(hub)


@pytest.fixture
def board(loop):
    return Board(loop)


@pytest.fixture
def porch(hub, board, run):
    """porch@hub.local, online, with readings. Ann owns it, Ben may ask to follow."""
    hub.need("access").allow(Options(approve=["ann@hub.local"], control=["ann@hub.local", "@friend.example"]))
    thing = Thing(jid=parse(f"porch@{HOST}"), label="Porch", kind="script", driver=board)
    hub.things[thing.jid] = thing
    hub.tell("thing", thing)

    async def start():
        thing.start()

    run(start())
    until(hub, lambda: thing.online)
    thing.report({"temperature": "21.40", "humidity": "48", "lamp": "false", "serial": "A1"})
    yield thing
    run(thing.stop())


@pytest.fixture
def ann(hub, person, porch):
    """The owner, who follows and has been greeted."""
    return follower(person(ANN))


@pytest.fixture
def ben(hub, person, porch):
    """A guest, who follows and may not control."""
    access = hub.need("access")
    access.approve.accounts.add(parse(BEN).bare)
    ben = follower(person(BEN))
    access.approve.accounts.remove(parse(BEN).bare)
    return ben


def arrived(person):
    """Somebody who sees his roster and is available."""
    person.says("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>").says("<presence/>")
    assert person.heard
    return person


def follower(person):
    arrived(person).says("<presence to='porch@hub.local' type='subscribe'/>")
    assert "Hello, I am Porch" in person.heard[-1]
    return person


class Wire:
    """What goes out to other servers."""

    def __init__(self, hub):
        self.hub = hub
        self.sent = []
        hub.remote = lambda stanza, origin: self.sent.append(stanza)

    def __call__(self):
        settle(self.hub)
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def remote(hub):
    return Wire(hub)


@pytest.fixture
def later(loop, hub):
    """`later(60)`: a minute has passed on the loop's clock, and what was due then has been done."""
    real, ahead = loop.time, 0.0
    loop.time = lambda: real() + ahead

    async def turns():
        for _ in range(3):
            await asyncio.sleep(0)

    def later(seconds):
        nonlocal ahead
        ahead += seconds
        loop.run_until_complete(turns())

    return later
