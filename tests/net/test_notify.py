"""sd_notify: what systemd hears from us, over its own kind of socket."""

import asyncio
import socket

import pytest

from node.net.notify import Service


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        yield heard


def told(manager) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_the_manager_hears_ready_and_stopping(manager):
    async def serve():
        service = Service({"NOTIFY_SOCKET": manager.getsockname()})
        service.ready("serving home.example\nand more")
        assert told(manager) == ["READY=1", "STATUS=serving home.example and more"]
        service.stopping()
        assert told(manager) == ["STOPPING=1"]
        service.close()

    asyncio.run(serve())


def test_signs_of_life_come_at_half_of_what_is_allowed(manager):
    async def serve():
        service = Service({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "40000"})
        assert service.interval == 0.02
        service.ready("")
        heard = [await asyncio.to_thread(told, manager) for _ in range(4)]
        assert heard[1:] == [["WATCHDOG=1"]] * 3
        service.close()

    asyncio.run(serve())


def test_a_watchdog_meant_for_another_process_is_not_fed(manager):
    service = Service({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"})
    assert service.interval == 0


def test_an_abstract_socket_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0hobnode-test-notify")
        heard.settimeout(5)
        service = Service({"NOTIFY_SOCKET": "@hobnode-test-notify"})
        service.stopping()
        assert told(heard) == ["STOPPING=1"]
        service.close()


def test_without_a_manager_or_when_it_is_gone_nothing_happens(tmp_path):
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone")}):
        service = Service(environment)
        service.stopping()
        service.close()
        service.stopping()
