"""A port on a real socket, and those who come to it."""

import asyncio

import pytest

from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.client import ClientPort
from node.ports.limits import Options
from tests.ports.talker import DEADLINE, Talker


@pytest.fixture
def rate():
    return 0


@pytest.fixture
def port(hub, files, run, rate):
    port = ClientPort(hub, Options(rate), Identity(*files), Turn(hub.loop))
    run(hub.accounts.create("ann", "secret"))
    run(hub.accounts.create("bob", "secret"))
    yield port
    port.close()
    run(port.turn.goodbyes(DEADLINE))


@pytest.fixture
def visitors(port):
    """Who has come to the port; they go when the test is over."""
    visitors = []
    yield visitors
    for visitor in visitors:
        visitor.writer.close()


@pytest.fixture
def connect(port, visitors):
    listener = port.listen("127.0.0.1", 0, direct_tls=False)

    async def connect():
        visitors.append(Talker(*await asyncio.open_connection("127.0.0.1", listener.port)))
        return visitors[-1]

    return connect
