"""A broker in the test's own loop, and a client of it."""

import asyncio
import logging

import pytest

from node.gateways.mqtt import Options, client
from node.gateways.mqtt.client import Client
from tests.gateways.mqtt.broker import Broker


@pytest.fixture
def broker(loop, run):
    broker = Broker()
    run(broker.start())
    yield broker
    run(broker.stop())


@pytest.fixture
def unconnected(loop, run, broker, monkeypatch):
    """A client that has not been started; it does not wait long until it tries again."""
    monkeypatch.setattr(client, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(client, "LAST_RETRY", 0.01)
    monkeypatch.setattr(client, "LEAVE_DEADLINE", 0.1)
    made = Client(loop, Options(broker="127.0.0.1", port=broker.port), "hobnode/home/status", "hobnode-home")
    made.turns = []
    made.on_change(made.turns.append)
    yield made
    run(made.leave())


@pytest.fixture
def connected(unconnected, run):
    """The same, at the broker, which has heard that it is there."""
    unconnected.start()
    run(reaches(unconnected, True))
    return unconnected


async def reaches(client, online):
    """Waits until the client is connected, or is no more."""
    news = asyncio.Event()
    client.on_change(lambda online: news.set())
    while client.online != online:
        news.clear()
        await news.wait()


@pytest.fixture
def said(caplog):
    """The log so far: `said()`."""
    caplog.set_level(logging.DEBUG, "hobnode")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)
