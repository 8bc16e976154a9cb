"""The way out: which address is taken, and what is said when none answers."""

import asyncio
import contextlib
import socket

import pytest

from node.net.connect import connect
from node.net.turn import Turn

DEADLINE = 10


class Ear:
    def __init__(self):
        self.heard = asyncio.Queue()

    def received(self, data):
        self.heard.put_nowait(data)

    def overflowed(self):
        pass

    def closed(self, reason):
        self.heard.put_nowait(reason)


def listening(backlog=5) -> socket.socket:
    sock = socket.socket()
    for port in range(21400, 21500):
        with contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            break
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def resolved(loop, *answers):
    """Makes the loop's resolver give these addresses of any name."""

    async def getaddrinfo(host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port)) for answer in answers]

    loop.getaddrinfo = getaddrinfo


def play(scene):
    async def whole():
        async with asyncio.timeout(DEADLINE):
            await scene(asyncio.get_running_loop())

    asyncio.run(whole())


def test_a_connection_by_address_speaks_and_hears():
    async def scene(loop):
        with listening() as server:
            port = server.getsockname()[1]
            ear = Ear()
            line = await connect("127.0.0.1", port, Turn(loop), ear, timeout=5)
            assert line.peer_address == ("127.0.0.1", port)
            line.write(b"hello")
            peer, _ = await loop.sock_accept(server)
            with peer:
                assert await loop.sock_recv(peer, 5) == b"hello"
                await loop.sock_sendall(peer, b"welcome")
                assert await ear.heard.get() == b"welcome"
            assert await ear.heard.get() == "closed by the other side"

    play(scene)


def test_the_socket_keeps_alive_and_does_not_wait_to_fill_packets():
    async def scene(loop):
        with listening() as server:
            line = await connect("127.0.0.1", server.getsockname()[1], Turn(loop), Ear(), timeout=5)
            sock = line._sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            line.abort()

    play(scene)


def test_a_refusal_is_said_in_words():
    async def scene(loop):
        with listening() as server:
            port = server.getsockname()[1]
        with pytest.raises(OSError, match=f"^127.0.0.1:{port}: connection refused$"):
            await connect("127.0.0.1", port, Turn(loop), Ear(), timeout=5)

    play(scene)


def test_the_next_address_is_tried_when_one_refuses():
    async def scene(loop):
        with listening() as server:
            resolved(loop, "127.0.0.9", "127.0.0.1")
            ear = Ear()
            line = await connect("cabin.example", server.getsockname()[1], Turn(loop), ear, timeout=5)
            assert line.peer_address[0] == "127.0.0.1"
            line.abort()

    play(scene)


def test_an_address_that_is_silent_takes_only_its_share_of_the_time():
    async def scene(loop):
        with listening(0) as full, contextlib.ExitStack() as stack:
            port = full.getsockname()[1]
            for _ in range(8):  # the queue of one who never accepts: later ones hear nothing
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            with socket.socket() as server:
                server.bind(("127.0.0.9", port))
                server.listen()
                resolved(loop, "127.0.0.1", "127.0.0.9")
                line = await connect("cabin.example", port, Turn(loop), Ear(), timeout=0.4)
                assert line.peer_address[0] == "127.0.0.9"
                line.abort()
            resolved(loop, "127.0.0.1")
            with pytest.raises(OSError, match=rf"^cabin.example:{port} \(127.0.0.1\) does not answer$"):
                await connect("cabin.example", port, Turn(loop), Ear(), timeout=0.1)

    play(scene)


def test_a_name_without_an_address_is_said_in_words():
    async def scene(loop):
        async def getaddrinfo(*_, **__):
            raise socket.gaierror(-2, "Name or service not known")

        loop.getaddrinfo = getaddrinfo
        with pytest.raises(OSError, match="^cabin.example has no address$"):
            await connect("cabin.example", 5269, Turn(loop), Ear(), timeout=5)
        resolved(loop)
        with pytest.raises(OSError, match="^cabin.example has no address$"):
            await connect("cabin.example", 5269, Turn(loop), Ear(), timeout=5)

    play(scene)


def test_a_resolver_that_is_silent_has_a_deadline():
    async def scene(loop):
        loop.getaddrinfo = lambda *_, **__: loop.create_future()
        with pytest.raises(OSError, match="^no answer about the address of cabin.example$"):
            await connect("cabin.example", 5269, Turn(loop), Ear(), timeout=0.05)

    play(scene)


def test_one_who_is_cancelled_leaves_no_socket(recwarn):
    async def scene(loop):
        with listening(0) as full, contextlib.ExitStack() as stack:
            for _ in range(8):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connect(*full.getsockname(), Turn(loop), Ear(), timeout=5)

    play(scene)
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
