"""A port on a real socket, and those who speak bytes to it."""

import asyncio

import pytest

from tests.ports.client.modern import PHONE, Modern
from tests.ports.client.restarts import again, killed  # noqa: F401  fixtures
from tests.ports.test_client import connect, files, port, rate, trusting  # noqa: F401  fixtures


@pytest.fixture
def modern(port):  # noqa: F811
    """`await modern(user)` is a client of today, on a line that was TLS from the first byte."""
    listener = port.listen("127.0.0.1", 0, direct_tls=True)

    async def modern(user="ann", agent=PHONE, sender=None, opens=True):
        client = Modern(*await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting()))
        client.user, client.agent = user, agent
        if opens:
            await client.opens(sender)
        return client

    return modern
