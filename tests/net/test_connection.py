"""Connection: what the owner hears and the peer sees, over real sockets, plain and TLS."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import weakref

import pytest

from node.net import certificate, tls
from node.net import connection as module
from node.net.connection import Connection
from node.net.turn import Turn

DEADLINE = 10  # seconds that anything here may take
BIG = bytes(range(256)) * 16384  # 4 MiB: more than the kernel buffers of a socket hold


class Ear:
    """An owner that remembers what it was told; `until` waits for more."""

    def __init__(self):
        self.connection = None
        self.heard = bytearray()
        self.chunks = []
        self.reasons = []
        self.overflows = 0
        self.on_data = None
        self.news = asyncio.Event()

    def received(self, data):
        self.chunks.append(len(data))
        self.heard += data
        self.news.set()
        if self.on_data:
            self.on_data(data)

    def overflowed(self):
        self.overflows += 1
        self.news.set()

    def closed(self, reason):
        self.reasons.append(reason)
        self.news.set()

    async def until(self, seen):
        async with asyncio.timeout(DEADLINE):
            while not seen():
                self.news.clear()
                await self.news.wait()

    async def end(self) -> str:
        await self.until(lambda: self.reasons)
        return self.reasons[0]


class Stage:
    """A loop's connections, and the sockets at their other ends; all closed afterwards."""

    def __init__(self, turn):
        self.turn = turn
        self.ears = []
        self.sockets = []

    def connection(self, sock=None, **options) -> tuple[Ear, socket.socket]:
        """One of ours, and its peer: a plain non-blocking socket."""
        ours, peer = pair()
        if sock is not None:  # a kind of socket of the test's own
            ours = sock(fileno=ours.detach())
            ours.setblocking(False)
        ear = Ear()
        ear.connection = Connection(ours, self.turn, ear, **options)
        self.ears.append(ear)
        self.sockets.append(peer)
        return ear, peer

    def both(self, **options) -> tuple[Ear, Ear]:
        """Two of ours, joined."""
        ear, peer = self.connection(**options)
        self.sockets.remove(peer)
        other = Ear()
        other.connection = Connection(peer, self.turn, other)
        self.ears.append(other)
        return ear, other


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection."""
    with socket.socket() as listening:
        for port in range(21000, 21400):
            with contextlib.suppress(OSError):
                listening.bind(("127.0.0.1", port))
                break
        listening.listen(1)
        one = socket.create_connection(listening.getsockname(), DEADLINE)
        other, _ = listening.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


@pytest.fixture
def play():
    """Runs a scene: an async function that gets a Stage."""

    async def whole(scene):
        stage = Stage(Turn(asyncio.get_running_loop()))
        try:
            async with asyncio.timeout(3 * DEADLINE):
                await scene(stage)
        finally:
            for sock in stage.sockets:
                sock.close()
            for ear in stage.ears:
                ear.connection.abort()

    return lambda scene: asyncio.run(whole(scene))


@pytest.fixture(scope="module")
def contexts(authority):
    """(server, client): TLS for home.example, and one that verifies it."""
    server = tls.server_context(*authority.issue("home.example"), "xmpp-client")
    return server, tls.client_context(True, "xmpp-client", authorities=authority.path)


async def read(sock, size) -> bytes:
    """Exactly so many bytes from a plain socket; fewer if it ends."""
    loop, data = asyncio.get_running_loop(), bytearray()
    async with asyncio.timeout(DEADLINE):
        while len(data) < size and (more := await loop.sock_recv(sock, min(1 << 16, size - len(data)))):
            data += more
    return bytes(data)


async def read_to_the_end(sock) -> bytes:
    return await read(sock, 1 << 30)


async def send(sock, data):
    async with asyncio.timeout(DEADLINE):
        await asyncio.get_running_loop().sock_sendall(sock, data)


def reset(sock):
    """Closes a socket as a crashed machine does."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def secure(ear, other, contexts, name="home.example"):
    """TLS between two of ours, or the failure of both."""
    there = []

    def arrived(one):
        there.append(one)
        one.news.set()

    ear.connection.start_tls(contexts[0], established=lambda: arrived(ear))
    other.connection.start_tls(contexts[1], False, name, lambda: arrived(other))
    for one in (ear, other):
        await one.until(lambda one=one: one in there or one.reasons)


async def a_turn():
    """Lets the loop read and flush."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Counting(socket.socket):
    """A socket that remembers what it was asked to send."""

    def __init__(self, **options):
        super().__init__(**options)
        self.sends = []

    def send(self, data, *flags):
        self.sends.append(bytes(data))
        return super().send(data, *flags)


# Plain


def test_bytes_come_in_and_answers_go_out(play):
    async def scene(stage):
        ear, peer = stage.connection()
        ear.on_data = lambda data: ear.connection.write(data.upper())
        await send(peer, b"wherefore")
        assert await read(peer, 9) == b"WHEREFORE"
        assert ear.connection.peer_address == peer.getsockname()

    play(scene)


def test_what_is_written_in_a_turn_leaves_in_one_send(play):
    async def scene(stage):
        ear, peer = stage.connection(Counting)
        for word in (b"art ", b"", b"thou ", b"Romeo"):
            ear.connection.write(word)
        assert ear.connection.unsent == 14
        assert await read(peer, 14) == b"art thou Romeo"
        assert ear.connection._sock.sends == [b"art thou Romeo"]
        assert ear.connection.unsent == 0

    play(scene)


def test_one_flush_serves_all_connections_of_a_turn(play):
    async def scene(stage):
        flushes = []

        class Watched(Turn):
            def flush(self):
                flushes.append(len(self.dirty))
                super().flush()

        stage.turn = Watched(asyncio.get_running_loop())
        pairs = [stage.connection() for _ in range(5)]
        for ear, _ in pairs:
            ear.connection.write(b"a")
            ear.connection.write(b"b")
        for _, peer in pairs:
            assert await read(peer, 2) == b"ab"
        assert flushes == [5]

    play(scene)


def test_what_the_socket_does_not_take_at_once_follows_in_order(play):
    async def scene(stage):
        ear, peer = stage.connection(limit=1 << 30)
        ear.connection.write(BIG)
        ear.connection.write(b"and then")
        await a_turn()
        ear.connection.write(b" the rest")
        assert await read(peer, len(BIG) + 17) == BIG + b"and then the rest"
        assert ear.connection.unsent == 0

    play(scene)


def test_a_socket_that_waits_for_nothing_is_not_watched_for_writing(play):
    async def scene(stage):
        ear, peer = stage.connection(limit=1 << 30)
        ear.connection.write(BIG)
        await read(peer, len(BIG))
        await send(peer, b"x")
        await ear.until(lambda: ear.heard)
        assert not asyncio.get_running_loop().remove_writer(ear.connection._fd)

    play(scene)


def test_L8_one_who_does_not_read_is_reported_once(play):
    async def scene(stage):
        ear, peer = stage.connection(limit=100_000)
        ear.connection.write(BIG)
        ear.connection.write(BIG)
        await ear.until(lambda: ear.overflows)
        for _ in range(3):
            ear.connection.write(b"more")
            await a_turn()
        assert ear.overflows == 1
        assert ear.connection.unsent > 100_000
        await read(peer, 2 * len(BIG) + 12)  # he reads after all
        ear.connection.write(BIG)
        ear.connection.write(BIG)
        await ear.until(lambda: ear.overflows == 2)

    play(scene)


def test_a_burst_that_the_socket_takes_is_no_overflow(play):
    async def scene(stage):
        ear, peer = stage.connection(limit=100)
        ear.connection.write(b"x" * 5000)
        assert len(await read(peer, 5000)) == 5000
        assert ear.overflows == 0

    play(scene)


def test_a_flood_from_one_leaves_the_others_their_turn(play):
    async def scene(stage):
        loud, flood = stage.connection()
        quiet, whisper = stage.connection()
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += flood.send(BIG)
        whisper.send(b"hush")
        then = []
        quiet.on_data = lambda _: then.append(len(loud.heard))
        await quiet.until(lambda: quiet.heard)
        assert sent > 4 * module.READ_IN_TURN
        assert then[0] <= 2 * module.READ_IN_TURN
        await loud.until(lambda: len(loud.heard) == sent)
        assert max(loud.chunks) <= module.READ

    play(scene)


def test_a_paused_connection_reads_when_it_is_resumed(play):
    async def scene(stage):
        ear, peer = stage.connection()
        other, voice = stage.connection()
        ear.connection.pause()
        ear.connection.pause()
        await send(peer, b"patience")
        await send(voice, b"x")
        await other.until(lambda: other.heard)
        assert not ear.heard
        assert not asyncio.get_running_loop().remove_reader(ear.connection._fd)
        ear.connection.resume()
        ear.connection.resume()
        await ear.until(lambda: ear.heard == b"patience")

    play(scene)


def test_a_connection_paused_while_it_is_told_hears_no_more(play, monkeypatch):
    monkeypatch.setattr(module, "READ", 4)

    async def scene(stage):
        ear, peer = stage.connection()
        ear.on_data = lambda _: ear.connection.pause()
        await send(peer, b"onetwo")
        await ear.until(lambda: ear.heard)
        assert ear.heard == b"onet"
        ear.connection.resume()
        await ear.until(lambda: ear.heard == b"onetwo")

    play(scene)


# The end of a connection


def test_closing_sends_what_is_queued_and_the_peer_sees_the_end(play):
    async def scene(stage):
        ear, peer = stage.connection(limit=1 << 30)
        ear.connection.write(BIG)
        ear.connection.write(b"</stream:stream>")
        ear.connection.close("the stream was closed")
        ear.connection.write(b"too late")
        assert await read_to_the_end(peer) == BIG + b"</stream:stream>"
        assert not ear.reasons  # he has not closed yet
        peer.close()
        assert await ear.end() == "the stream was closed"

    play(scene)


def test_last_words_reach_one_who_is_still_talking(play):
    async def scene(stage):
        ear, peer = stage.connection()

        def refuse(_):
            ear.connection.write(b"<policy-violation/>")
            ear.connection.close()

        ear.on_data = refuse
        await send(peer, BIG)  # unread bytes would make the kernel throw our words away
        assert await read_to_the_end(peer) == b"<policy-violation/>"
        peer.close()
        assert await ear.end() == "closed by us"
        assert len(ear.heard) <= module.READ

    play(scene)


def test_one_who_does_not_close_is_cut_off_in_time(play, monkeypatch):
    monkeypatch.setattr("node.net.turn.GRACE", 0.05)

    async def scene(stage):
        stage.turn = Turn(asyncio.get_running_loop())
        ear, peer = stage.connection()
        deaf, silent = stage.connection(limit=1 << 30)
        deaf.connection.write(BIG + BIG)
        ear.connection.close()
        deaf.connection.close()
        assert await ear.end() == await deaf.end() == "closed by us"
        assert peer.fileno() and silent.fileno()

    play(scene)


def test_when_the_peer_closes_the_owner_hears_it_once(play):
    async def scene(stage):
        ear, peer = stage.connection()
        await send(peer, b"farewell")
        peer.close()
        assert await ear.end() == "closed by the other side"
        assert ear.heard == b"farewell"
        ear.connection.close()
        ear.connection.abort()
        ear.connection.write(b"?")
        await a_turn()
        assert ear.reasons == ["closed by the other side"]

    play(scene)


def test_one_who_has_only_stopped_talking_gets_his_answer(play, monkeypatch):
    monkeypatch.setattr(module, "READ", 13)  # so that the end is seen in the turn of the question

    async def scene(stage):
        ear, peer = stage.connection()
        ear.on_data = lambda data: ear.connection.write(data.upper())
        await a_turn()
        peer.send(b"last question")
        peer.shutdown(socket.SHUT_WR)
        assert await read_to_the_end(peer) == b"LAST QUESTION"
        assert await ear.end() == "closed by the other side"

    play(scene)


def test_a_reset_is_said_in_words(play):
    async def scene(stage):
        ear, peer = stage.connection()
        reset(peer)
        assert await ear.end() == "connection reset by peer"

    play(scene)


def test_writing_to_one_who_is_gone_ends_the_connection(play):
    async def scene(stage):
        ear, peer = stage.connection()
        ear.connection.pause()
        reset(peer)
        ear.connection.write(b"hello?")
        assert await ear.end() in ("connection reset by peer", "broken pipe")

    play(scene)


def test_an_abort_ends_it_in_a_turn_of_its_own(play):
    async def scene(stage):
        ear, peer = stage.connection()
        ear.connection.abort("enough")
        assert not ear.reasons
        assert await ear.end() == "enough"
        assert await read_to_the_end(peer) == b""

    play(scene)


def test_an_abort_while_being_told_ends_the_telling(play, monkeypatch):
    monkeypatch.setattr(module, "READ", 4)

    async def scene(stage):
        ear, peer = stage.connection()
        ear.on_data = lambda _: ear.connection.abort("enough")
        await send(peer, b"onetwo")
        assert await ear.end() == "enough"
        assert ear.heard == b"onet"

    play(scene)


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_after_the_end_nothing_holds_a_connection(play, contexts, secured):
    async def live(stage) -> list[weakref.ref]:
        ear, other = stage.both()
        if secured:
            await secure(ear, other, contexts)
        other.connection.write(b"x")
        await ear.until(lambda: ear.heard)
        ear.connection.close()
        await ear.end()
        await other.end()
        return [weakref.ref(ear), weakref.ref(other)]

    async def scene(stage):
        gc.collect()
        gc.disable()  # what only the collector would free has been a leak until then
        try:
            lives = await live(stage)
            stage.ears.clear()
            await a_turn()
            assert [life() for life in lives] == [None, None]
        finally:
            gc.enable()
        assert len(stage.turn.closing) == 0
        assert stage.turn.dirty == []

    play(scene)


def test_a_bug_of_one_owner_does_not_keep_the_others_words_back(play, caplog):
    async def scene(stage):
        bad, _ = stage.connection(limit=10)
        good, peer = stage.connection()
        bad.overflowed = lambda: 1 // 0
        bad.connection.write(BIG + BIG)
        good.connection.write(b"still here")
        assert await read(peer, 10) == b"still here"
        assert "ZeroDivisionError" in caplog.text

    play(scene)


# TLS


def test_tls_is_switched_on_in_place(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection()
        there = []

        def proceed(data):
            if data == b"<starttls/>":
                ear.connection.write(b"<proceed/>")
                ear.connection.start_tls(contexts[0], established=lambda: there.append(ear.connection.alpn))
            else:
                ear.connection.write(data.upper())

        ear.on_data = proceed
        reader, writer = await asyncio.open_connection(sock=peer)  # TLS as others write it
        writer.write(b"<starttls/>")
        assert await reader.readexactly(10) == b"<proceed/>"
        async with asyncio.timeout(DEADLINE):
            await writer.start_tls(contexts[1], server_hostname="home.example")
            writer.write(b"in secret")
            assert await reader.readexactly(9) == b"IN SECRET"
        assert there == ["xmpp-client"]
        assert ear.connection.tls.version() == "TLSv1.3"
        writer.close()
        assert await ear.end() == "closed by the other side"

    play(scene)


def test_plain_bytes_behind_starttls_are_thrown_away(play, contexts, monkeypatch):
    monkeypatch.setattr(module, "READ", 11)

    async def scene(stage):
        ear, peer = stage.connection()

        def proceed(data):
            if data == b"<starttls/>":
                ear.connection.write(b"<proceed/>")
                ear.connection.start_tls(contexts[0])

        ear.on_data = proceed
        await send(peer, b"<starttls/><inject/>")
        assert await read(peer, 10) == b"<proceed/>"
        other = Ear()
        other.connection = Connection(peer, stage.turn, other)
        other.connection.start_tls(contexts[1], False, "home.example", lambda: other.connection.write(b"real"))
        stage.ears.append(other)
        await ear.until(lambda: ear.heard.endswith(b"real"))
        assert ear.heard == b"<starttls/>real"

    play(scene)


def test_plain_output_leaves_before_the_handshake_however_slow_the_reader(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection(limit=1 << 30)
        ear.connection.write(BIG)
        await a_turn()
        ear.connection.write(b"<proceed/>")
        ear.connection.start_tls(contexts[0])
        ear.connection.write(b"the secret")
        assert await read(peer, len(BIG) + 10) == BIG + b"<proceed/>"
        other = Ear()
        other.connection = Connection(peer, stage.turn, other)
        other.connection.start_tls(contexts[1], False, "home.example")
        stage.ears.append(other)
        await other.until(lambda: other.heard == b"the secret")

    play(scene)


def test_what_is_written_before_tls_is_there_waits_for_it(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        ear.connection.start_tls(contexts[0])
        ear.connection.write(b"the secret")
        await a_turn()
        assert ear.connection.unsent == 10
        other.connection.start_tls(contexts[1], False, "home.example")
        await other.until(lambda: other.heard == b"the secret")

    play(scene)


def test_the_start_of_a_stream_may_be_written_as_soon_as_tls_is_there(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        other.connection.start_tls(contexts[1], False, "home.example", lambda: other.connection.write(b"<stream>"))
        ear.connection.start_tls(contexts[0])
        await ear.until(lambda: ear.heard == b"<stream>")

    play(scene)


def test_both_sides_see_the_others_certificate_if_it_was_shown(play, contexts, authority):
    async def scene(stage):
        files = authority.issue("home.example")
        ear, other = stage.both()
        await secure(ear, other, (tls.server_context(*files, "xmpp-client"), contexts[1]))
        assert other.connection.certificate_der == certificate.load(files[0]).der
        assert ear.connection.certificate_der is None
        assert other.connection.alpn == "xmpp-client"

    play(scene)


def test_much_goes_both_ways_at_once(play, contexts):
    async def scene(stage):
        ear, other = stage.both(limit=1 << 30)
        await secure(ear, other, contexts)
        for one in (ear, other):
            one.connection.write(BIG)
            one.connection.write(b"end")
        for one in (ear, other):
            await one.until(lambda one=one: len(one.heard) == len(BIG) + 3)
            assert one.heard == BIG + b"end"

    play(scene)


def test_a_slow_reader_of_tls_gets_everything_in_order(play, contexts):
    async def scene(stage):
        ear, other = stage.both(limit=1 << 30)
        await secure(ear, other, contexts)
        other.connection.pause()
        for word in (BIG, b"second", BIG, b"third"):
            ear.connection.write(word)
            await a_turn()
        assert ear.connection.unsent > 0
        other.connection.resume()
        await other.until(lambda: len(other.heard) == 2 * len(BIG) + 11)
        assert other.heard == BIG + b"second" + BIG + b"third"

    play(scene)


def test_what_openssl_holds_back_is_read_without_a_wake_up(play, contexts, monkeypatch):
    monkeypatch.setattr(module, "READ", 100)
    monkeypatch.setattr(module, "READ_IN_TURN", 200)

    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, contexts)
        other.connection.write(bytes(5000))  # one record, which is read in parts
        await ear.until(lambda: len(ear.heard) == 5000)
        ear.on_data = lambda _: ear.connection.pause()
        other.connection.write(bytes(300))
        while len(ear.heard) < 5300:
            before = len(ear.heard)
            ear.connection.resume()
            await ear.until(lambda before=before: len(ear.heard) > before)
            assert len(ear.heard) == before + 100

    play(scene)


def test_one_who_closes_without_a_goodbye_is_ordinary(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, contexts)
        socket.socket.shutdown(other.connection.tls, socket.SHUT_RDWR)
        assert await ear.end() == "closed by the other side"

    play(scene)


def test_closing_says_goodbye_in_tls(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection()
        ear.connection.start_tls(contexts[0], established=lambda: ear.connection.write(b"farewell"))
        client = tls.client_context(False, "xmpp-client")
        client.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        strict = client.wrap_socket(peer, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        stage.sockets.append(strict)
        loop, heard = asyncio.get_running_loop(), b""

        async def wait_to_read():
            ready = loop.create_future()
            loop.add_reader(strict, lambda: ready.done() or ready.set_result(None))
            await ready
            loop.remove_reader(strict)

        while True:
            try:
                strict.do_handshake()
                break
            except ssl.SSLWantReadError:
                await wait_to_read()
        while True:
            try:
                data = strict.recv(100)  # raises SSLEOFError if the end comes without close_notify
            except ssl.SSLWantReadError:
                await wait_to_read()
                continue
            heard += data
            if heard == b"farewell":
                ear.connection.close()
            if not data:
                break
        assert heard == b"farewell"
        strict.close()
        assert await ear.end() == "closed by us"

    play(scene)


def test_closing_sends_what_is_queued_through_tls(play, contexts):
    async def scene(stage):
        ear, other = stage.both(limit=1 << 30)
        await secure(ear, other, contexts)
        ear.connection.write(BIG)
        ear.connection.write(b"</stream:stream>")
        ear.connection.close()
        assert await other.end() == "closed by the other side"
        assert other.heard == BIG + b"</stream:stream>"
        assert await ear.end() == "closed by us"

    play(scene)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "TLS: http request"),
        (b"<stream:stream to='home.example'>", "TLS: "),
        (b"\x16\x03\x01\xff\xff" + bytes(1000), "TLS: "),
        (b"", "closed by the other side"),
    ],
)
def test_a_stranger_who_speaks_no_tls_is_gone_at_once(play, contexts, said, why):
    async def scene(stage):
        ear, peer = stage.connection()
        there = []
        ear.connection.start_tls(contexts[0], established=lambda: there.append(True))
        peer.send(said)
        peer.shutdown(socket.SHUT_WR)
        assert (await ear.end()).startswith(why)
        assert not there
        assert not ear.heard

    play(scene)


def test_a_reset_before_the_handshake_is_survived(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection()
        reset(peer)
        ear.connection.start_tls(contexts[0])
        assert await ear.end()

    play(scene)


def test_closing_during_the_handshake_tells_nothing_in_plain(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection()
        ear.connection.start_tls(contexts[0])
        ear.connection.write(b"the secret")
        ear.connection.close("too slow")
        assert len(stage.turn.closing) == 0  # there is nothing to wait for
        assert await ear.end() == "too slow"
        assert await read_to_the_end(peer) == b""

    play(scene)


def test_closing_before_the_handshake_tells_nothing_in_plain(play, contexts):
    async def scene(stage):
        ear, peer = stage.connection(limit=1 << 30)
        ear.connection.write(BIG)
        await a_turn()
        ear.connection.start_tls(contexts[0])
        ear.connection.write(b"the secret")
        ear.connection.close("too slow")
        assert await ear.end() == "too slow"
        assert b"secret" not in await read_to_the_end(peer)

    play(scene)


def test_a_certificate_for_another_name_ends_the_connection(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, contexts, "cabin.example")
        assert await other.end() == "certificate is for home.example"
        assert not other.heard
        assert await ear.end()

    play(scene)


def test_a_verifying_client_without_a_name_takes_nobody(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, contexts, None)
        assert await other.end() == "certificate is for home.example"

    play(scene)


def test_an_unknown_issuer_ends_the_connection_and_both_hear_why(play, contexts, stranger):
    async def scene(stage):
        ear, other = stage.both()
        distrustful = tls.client_context(True, "xmpp-client", authorities=stranger.path)
        await secure(ear, other, (contexts[0], distrustful))
        assert await other.end() == "certificate is from an unknown issuer"
        assert await ear.end() == "TLS: the other side says unknown ca"

    play(scene)


def test_without_verification_the_owner_compares(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, (contexts[0], tls.client_context(False, "xmpp-server")), "cabin.example")
        assert other.connection.certificate_der

    play(scene)


def test_tls_starts_once(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        await secure(ear, other, contexts)
        with pytest.raises(RuntimeError):
            ear.connection.start_tls(contexts[0])

    play(scene)


def test_a_connection_paused_during_the_handshake_reads_when_resumed(play, contexts):
    async def scene(stage):
        ear, other = stage.both()
        ear.connection.pause()
        await secure(ear, other, contexts)
        other.connection.write(b"patience")
        other.on_data = lambda _: None
        ear.connection.write(b"x")
        await other.until(lambda: other.heard)
        assert not ear.heard
        assert not asyncio.get_running_loop().remove_reader(ear.connection._fd)
        ear.connection.resume()
        await ear.until(lambda: ear.heard == b"patience")

    play(scene)


def test_A3_one_who_sends_records_in_crumbs_is_cut_off(play, contexts, monkeypatch):
    monkeypatch.setattr(module, "FRUITLESS", 20)

    async def scene(stage):
        ear, peer = stage.connection()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ear.connection.start_tls(contexts[0])
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = contexts[1].wrap_bio(inward, outward, server_hostname="home.example")
        loop = asyncio.get_running_loop()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await send(peer, outward.read())
                inward.write(await loop.sock_recv(peer, 1 << 16))
        client.write(b"a whole record" * 10)
        with contextlib.suppress(OSError):
            for byte in outward.read():
                await send(peer, bytes([byte]))
                await a_turn()
                if ear.reasons:
                    break
        assert await ear.end() == "TLS: records without data"

    play(scene)


def test_a_read_may_have_to_write_and_a_write_to_read(play, contexts, authority):
    class Contrary(ssl.SSLSocket):
        """As OpenSSL is around a key update: each first try is answered with the other need."""

        tries = []

        def recv(self, *arguments):
            if "recv" not in self.tries:
                self.tries.append("recv")
                raise ssl.SSLWantWriteError
            return super().recv(*arguments)

        def send(self, *arguments):
            if "send" not in self.tries:
                self.tries.append("send")
                raise ssl.SSLWantReadError
            return super().send(*arguments)

    async def scene(stage):
        server = tls.server_context(*authority.issue("home.example"), "xmpp-client")
        server.sslsocket_class = Contrary
        ear, other = stage.both()
        await secure(ear, other, (server, contexts[1]))
        other.connection.write(b"to be read")
        await ear.until(lambda: ear.heard == b"to be read")
        ear.connection.write(b"to be written")
        await a_turn()
        assert ear.connection.unsent == 13
        other.connection.write(b"!")
        await other.until(lambda: other.heard == b"to be written")
        await ear.until(lambda: ear.heard == b"to be read!")
        assert ear.connection.unsent == 0
        assert Contrary.tries == ["recv", "send"]

    play(scene)
