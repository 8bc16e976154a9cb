"""A node that ends and starts again, with the same files: in good order, or killed."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from node.app import assemble
from node.base.jid import parse
from node.hub.accounts import Accounts
from node.hub.hub import Hub
from node.hub.store import Store
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.client import ClientPort
from node.ports.limits import Options
from tests.conftest import HOST
from tests.ports.test_client import Talker


@pytest.fixture
def again(hub, port, files, tmp_path, config):
    """`async with again() as (hub, connect)`: the node ends in good order, and starts anew with the same files."""

    @asynccontextmanager
    async def again(old=None):
        old_hub, old_port = old or (hub, port)
        await old_hub.stop()
        await old_port.leave()
        await old_port.turn.goodbyes(0.5)
        old_hub.store.close()
        async with started(hub.loop, tmp_path, config, files) as new:
            yield new

    return again


@asynccontextmanager
async def started(loop, folder, config, files):
    store = Store(folder, loop)
    host = parse(HOST)
    hub = Hub(host, store, Accounts(store.accounts, host), loop)
    assemble(hub, config)
    port = ClientPort(hub, Options(0), Identity(*files), Turn(loop))
    listener = port.listen("127.0.0.1", 0, direct_tls=False)

    async def connect():
        return Talker(*await asyncio.open_connection("127.0.0.1", listener.port))

    hub.port = port  # for the tests
    try:
        yield hub, connect
    finally:
        await hub.stop()
        port.close()
        await port.turn.goodbyes(0.05)
        store.close()


@pytest.fixture
def killed(hub, files, tmp_path_factory, tmp_path, config):
    """`async with killed() as (hub, connect)`: the node is as it would be had it been killed now, and started again."""

    @asynccontextmanager
    async def killed(folder=tmp_path):
        copy = tmp_path_factory.mktemp("killed")
        for path in folder.iterdir():
            if path.name != "lock":
                shutil.copy(path, copy)
        async with started(hub.loop, copy, config, files) as (new, connect):
            new.folder = copy
            yield new, connect

    return killed
