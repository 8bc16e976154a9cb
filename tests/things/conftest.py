"""The people around a thing, and what goes out to other servers."""

import asyncio

import pytest

from node.stream.framing import CLIENT_LIMIT, Framing
from node.things.access import Grant
from tests.conftest import DEADLINE, HEADER, settle

ANN, BEN, EVE = "ann@hub.local/phone", "ben@hub.local/desk", "eve@elsewhere.example/x"


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
def ann(hub, person, porch):
    """The owner, who follows and has been greeted."""
    return follower(person(ANN))


@pytest.fixture
def ben(hub, person, porch):
    """A guest, who follows and may not control."""
    access = hub.need("access")
    access.grant([Grant("porch", "approve", "ben@hub.local")])
    ben = follower(person(BEN))
    access.grant([])
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
