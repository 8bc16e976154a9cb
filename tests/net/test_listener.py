"""Listeners: who is taken in, who is refused, and what a port that cannot be had says."""

import asyncio
import contextlib
import gc
import resource
import socket

import pytest

from node.net import listener as module
from node.net.listener import Listener, ListenError, Strangers, at_home, network

DEADLINE = 10


class Door:
    """Takes note of who comes in, and keeps the sockets."""

    def __init__(self):
        self.guests = []
        self.news = asyncio.Event()

    def accept(self, sock, peer):
        self.guests.append((sock, peer))
        self.news.set()

    async def until(self, count):
        while len(self.guests) < count:
            self.news.clear()
            await self.news.wait()


def open_listener(loop, address, accept, strangers=None) -> Listener:
    """One on a port of these tests' own."""
    for port in range(21500, 21600):
        with contextlib.suppress(ListenError):
            return Listener(loop, address, port, accept, strangers)
    raise AssertionError("all ports are taken")


def call(listener, host="127.0.0.1") -> socket.socket:
    sock = socket.create_connection((host, listener.port), DEADLINE)
    sock.settimeout(DEADLINE)
    return sock


async def ends(sock) -> bool:
    """Whether the other side closes."""
    sock.setblocking(False)
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def play():
    """Runs a scene with a listener, its door and the strangers it counts; all closed afterwards."""

    async def whole(scene, address, strangers):
        loop, door = asyncio.get_running_loop(), Door()
        listener = open_listener(loop, address, door.accept, strangers)
        try:
            async with asyncio.timeout(DEADLINE):
                await scene(listener, door)
        finally:
            listener.close()
            for sock, _ in door.guests:
                sock.close()

    def play(scene, address="127.0.0.1", strangers=None):
        asyncio.run(whole(scene, address, strangers))

    return play


def test_who_comes_in_is_handed_over_ready_for_the_loop(play):
    async def scene(listener, door):
        with call(listener) as caller:
            await door.until(1)
            sock, peer = door.guests[0]
            assert peer == caller.getsockname()
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 180
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 180_000

    play(scene)


def test_many_come_in_at_once(play):
    async def scene(listener, door):
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(call(listener)) for _ in range(module.IN_TURN + 10)]
            await door.until(len(callers))
            assert {peer for _, peer in door.guests} == {caller.getsockname() for caller in callers}

    play(scene)


def test_every_address_of_the_machine_is_listened_on(play):
    async def scene(listener, door):
        hosts = ["127.0.0.1", "127.0.0.7"] + ["::1"] * module._has_ipv6()
        for count, host in enumerate(hosts, 1):
            with call(listener, host) as caller:
                await door.until(count)
                assert door.guests[-1][1] == caller.getsockname()[:2]  # IPv4 reads as IPv4

    play(scene, "")


def test_a_name_is_listened_on_at_its_addresses(play):
    async def scene(listener, door):
        with call(listener):
            await door.until(1)

    play(scene, "localhost")


def test_an_address_of_a_name_that_the_machine_lacks_is_passed_over(play, monkeypatch):
    hosts = [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "127.0.0.1")]
    monkeypatch.setattr(module, "_hosts", lambda _: hosts)

    async def scene(listener, door):
        with call(listener):
            await door.until(1)

    play(scene, "home.example")


def test_a_free_port_is_found_when_none_is_asked_for():
    async def scene():
        listener = Listener(asyncio.get_running_loop(), "127.0.0.1", 0, lambda sock, peer: sock.close())
        assert listener.port > 0
        listener.close()

    asyncio.run(scene())


def test_after_closing_nobody_comes_in(play):
    async def scene(listener, door):
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            call(listener)
        again = Listener(asyncio.get_running_loop(), "127.0.0.1", listener.port, door.accept)
        again.close()

    play(scene)


# Ports that cannot be had


def test_a_taken_port_is_said_in_words(play):
    async def scene(listener, door):
        with pytest.raises(ListenError, match=f"^port {listener.port} at 127.0.0.1 is taken$"):
            Listener(asyncio.get_running_loop(), "127.0.0.1", listener.port, door.accept)
        with pytest.raises(ListenError, match=f"^port {listener.port} is taken$"):
            Listener(asyncio.get_running_loop(), "", listener.port, door.accept)

    play(scene)


@pytest.mark.parametrize("address", ["192.0.2.1", "no such name.invalid"])
def test_an_address_of_someone_else_is_said_in_words(address):
    async def scene():
        with pytest.raises(ListenError, match=f"^{address} is not an address of this machine$"):
            Listener(asyncio.get_running_loop(), address, 21600, lambda sock, peer: None)

    asyncio.run(scene())


def test_a_port_without_the_rights_is_said_in_words(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "_open", refuse)
    with pytest.raises(ListenError, match="^port 443 at 127.0.0.1 needs rights"):
        module._listen("127.0.0.1", 443)


# Strangers


def test_L9_too_many_strangers_from_one_address_are_refused(play, caplog):
    async def scene(listener, door):
        with call(listener), call(listener) as second, call(listener) as third, call(listener) as fourth:
            await door.until(2)
            assert await ends(third)
            assert await ends(fourth)
            assert caplog.text.count("too many connections without a login, refusing 127.0.0.1") == 1
            listener.admitted(second.getsockname())
            listener.admitted(second.getsockname())  # saying it twice makes no second place
            with call(listener), call(listener) as sixth:
                await door.until(3)
                assert await ends(sixth)

    play(scene, strangers=Strangers(per_address=2))


def test_ports_that_share_their_strangers_count_them_together(play):
    strangers = Strangers(per_address=1)

    async def scene(listener, door):
        other = open_listener(asyncio.get_running_loop(), "127.0.0.1", door.accept, strangers)
        with call(listener):
            await door.until(1)
            with call(other) as second:
                assert await ends(second)
        other.close()

    play(scene, strangers=strangers)


def test_an_owner_that_fails_costs_that_connection_only(play, caplog):
    async def scene(listener, door):
        welcome, door.accept = door.accept, None
        listener._accept = lambda sock, peer: 1 // 0
        with call(listener) as caller:
            assert await ends(caller)
        assert "ZeroDivisionError" in caplog.text
        listener._accept = welcome
        with call(listener):
            await door.until(1)

    play(scene, strangers=Strangers(per_address=1))


def test_L9_the_home_network_keeps_a_reserve():
    strangers = Strangers(per_address=5, total=10, reserve=3)
    assert sum(strangers.enter(f"203.0.113.{host}") for host in range(20)) == 7
    assert sum(strangers.enter(f"192.168.1.{host}") for host in range(20)) == 3
    assert strangers.total == 10
    strangers.leave("203.0.113.0")
    assert not strangers.enter("203.0.113.0")
    assert strangers.enter("10.1.2.3")


def test_who_has_left_is_not_remembered():
    strangers = Strangers()
    for host in ("203.0.113.1", "2001:db8::1"):
        assert strangers.enter(host)
        strangers.leave(host)
    assert strangers.total == 0
    assert strangers._counts == {}


def test_L9_an_ipv6_customer_counts_as_one():
    assert network("2001:db8:1:2::1") == network("2001:db8:1:2:ffff::9") != network("2001:db8:1:3::1")
    assert network("fe80::1%eth0") == network("fe80::1")
    assert network("203.0.113.1") != network("203.0.113.2")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.9.8.7",
        "192.168.1.20",
        "172.16.0.1",
        "172.31.9.9",
        "169.254.1.1",
        "::1",
        "fe80::1",
        "fd00::5",
    ],
)
def test_the_home_network_is_known(host):
    assert at_home(host)


@pytest.mark.parametrize(
    "host", ["203.0.113.1", "172.15.0.1", "172.32.0.1", "192.169.0.1", "100.64.0.1", "2001:db8::1"]
)
def test_the_world_is_not_the_home_network(host):
    assert not at_home(host)


# Out of file descriptors


def test_L25_without_file_descriptors_accepting_pauses_and_goes_on(play, monkeypatch, caplog):
    pauses, wait, news = [], Listener._wait, asyncio.Event()

    def waiting(listener, error):
        pauses.append(error.errno)
        news.set()
        wait(listener, error)

    monkeypatch.setattr(module, "PAUSE", 0.1)
    monkeypatch.setattr(Listener, "_wait", waiting)

    async def scene(listener, door):
        loop = asyncio.get_running_loop()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        gc.collect()  # files that other tests have left to the collector would be free numbers later
        with call(listener) as early, socket.socket() as late:
            await door.until(1)
            early.setblocking(False)
            late.setblocking(False)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno(), limit[1]))  # no number is free below
                late.connect_ex(("127.0.0.1", listener.port))
                await news.wait()
                for _ in range(10):
                    await asyncio.sleep(0)
                assert len(pauses) == 1  # it does not try again in every turn
                while len(pauses) < 3:
                    news.clear()
                    await news.wait()
                    # Those who are in are served meanwhile.
                    await loop.sock_sendall(door.guests[0][0], b"x")
                    assert await loop.sock_recv(early, 1) == b"x"
                assert len(door.guests) == 1
                assert caplog.text.count("accepting no connections for now: too many open files") == 1
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            await door.until(2)

    play(scene)
