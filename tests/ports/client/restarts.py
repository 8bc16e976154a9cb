"""A node that starts again, with the files of another."""

import asyncio
from contextlib import asynccontextmanager

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
from tests.ports.talker import DEADLINE, Talker


@asynccontextmanager
async def started(loop, folder, config, files):
    store = Store(folder, loop)
    host = parse(HOST)
    hub = Hub(host, store, Accounts(store.accounts, host), loop)
    assemble(hub, config)
    port = ClientPort(hub, Options(0), Identity(*files), Turn(loop))
    listener = port.listen("127.0.0.1", 0, direct_tls=False)

    visitors = []

    async def connect():
        visitors.append(Talker(*await asyncio.open_connection("127.0.0.1", listener.port)))
        return visitors[-1]

    hub.port = port  # for the tests
    try:
        yield hub, connect
    finally:
        await hub.stop()
        port.close()
        for visitor in visitors:
            visitor.writer.close()
        await port.turn.goodbyes(DEADLINE)
        store.close()
