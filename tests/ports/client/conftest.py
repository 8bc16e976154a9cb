"""Clients of today, and nodes that end and start again: in good order, or killed."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from tests.ports.client.modern import PHONE, Modern
from tests.ports.client.restarts import started
from tests.ports.talker import trusting


@pytest.fixture
def modern(port, visitors):
    """`await modern(user)` is a client of today, on a line that was TLS from the first byte."""
    listener = port.listen("127.0.0.1", 0, direct_tls=True)

    async def modern(user="ann", agent=PHONE, sender=None, opens=True):
        client = Modern(*await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting()))
        visitors.append(client)
        client.user, client.agent = user, agent
        if opens:
            await client.opens(sender)
        return client

    return modern


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
        async with started(hub.loop, getattr(old_hub, "folder", tmp_path), config, files) as new:
            yield new

    return again


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
