"""A port on a real socket, and those who come to it."""

import asyncio

import pytest

from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.client import ClientPort
from node.ports.limits import Options
from tests.ports.talker import Talker


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
    run(port.turn.goodbyes(0.01))


@pytest.fixture
def connect(port):
    listener = port.listen("127.0.0.1", 0, direct_tls=False)

    async def connect():
        return Talker(*await asyncio.open_connection("127.0.0.1", listener.port))

    return connect
