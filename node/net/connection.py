"""A socket on the loop: bytes in, bytes out, TLS switched on in place, one send per turn of the loop.

This is where every message passes twice, so there are no transports, tasks or futures here: the loop
calls a method when the socket is ready, and that method calls the owner.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from node.net.tcp import peer_of
from node.net.tls import refusal, words
from node.net.turn import Turn

log = logging.getLogger(__name__)

READ = 16384  # the largest TLS record, so one recv takes a whole one; some 45 chat messages
READ_IN_TURN = 65536  # then it is the others' turn: a flood from one peer delays the rest by a millisecond
SEND = 65536  # four TLS records: encrypting more before the socket is full would be for nothing
UNSENT = 1 << 20  # a reader that is a mebibyte behind is not reading
FRUITLESS = 1000  # wake-ups in a row without data: a TLS peer that floods with key updates, or sends a byte a time

# What a connection is about. The order counts: from CLOSING on, nothing is read or written for the owner.
OPEN, BEFORE_TLS, HANDSHAKE, CLOSING, CLOSED = range(5)


class Owner(Protocol):
    """Whom a connection belongs to: a session."""

    def received(self, data: bytes) -> None:
        """Bytes came in; never empty. Called from the loop; may write, close, pause, start TLS."""

    def overflowed(self) -> None:
        """The peer does not read: more than the limit is unsent. Once, until all has been sent again."""

    def closed(self, reason: str) -> None:
        """The connection has ended, for this reason in words. Once, last of all, in a turn of its own."""


class Connection:
    """One TCP connection, plain or TLS, of which its owner knows only bytes.

    `sock` is connected and non-blocking, and from now on the connection's. `limit` is the number of unsent
    bytes from which on the owner is told that the peer does not read. Deadlines for a login, a handshake
    and an idle peer are the owner's business: it knows what it waits for.
    """

    __slots__ = (
        "_blocked",
        "_dirty",
        "_ended",
        "_fd",
        "_fruitless",
        "_handshake",
        "_limit",
        "_out",
        "_overflowed",
        "_paused",
        "_phase",
        "_read_waits",
        "_reason",
        "_rest",
        "_sock",
        "_turn",
        "_write_waits",
        "owner",
        "peer_address",
        "tls",
        "unsent",
    )

    def __init__(
        self,
        sock: socket.socket,
        turn: Turn,
        owner: Owner,
        *,
        limit: int = UNSENT,
        peer_address: tuple[str, int] | None = None,
    ):
        self.owner = owner
        self.peer_address = peer_address or peer_of(sock)
        """(host, port) of the other side; a mapped IPv4 address as IPv4."""
        self.tls: ssl.SSLSocket | None = None
        """The TLS socket, once `start_tls` has begun."""
        self.unsent = 0
        """Bytes written but not yet taken by the kernel; after the end: that never were."""
        self._sock = sock
        self._fd = sock.fileno()
        self._turn = turn
        self._limit = limit
        self._phase = OPEN
        self._out: list[bytes] = []  # written, not yet joined
        self._rest: bytes | memoryview | None = None  # what is being sent, before `_out`
        self._dirty = False  # stands in the turn's list
        self._blocked = False  # sending waits for the socket
        self._write_waits = False  # TLS: sending waits until something can be read
        self._read_waits = False  # TLS: reading waits until something can be written
        self._paused = False
        self._ended = False  # the peer has sent its last byte
        self._overflowed = False
        self._fruitless = 0
        self._reason = ""
        self._handshake: tuple[ssl.SSLContext, bool, str | None, Callable[[], object] | None] | None = None
        turn.loop.add_reader(self._fd, self._read_plain)

    # What the owner says

    def write(self, data: bytes) -> None:
        """Queues bytes; they are sent at the end of this turn of the loop, in one. Nothing after close."""
        if not data or self._phase >= CLOSING:
            return
        self._out.append(data)
        self.unsent += len(data)
        if not self._dirty:
            self._touch()

    def close(self, reason: str = "closed by us") -> None:
        """Sends what is queued, says goodbye and waits for the peer to close, too; 5 s at most for it all."""
        if self._phase >= CLOSING:
            return
        if self._phase != OPEN:  # what is queued is not for plain eyes, and TLS is not there yet
            self._end(reason)
            return
        self._phase = CLOSING
        self._reason = reason
        self._turn.closing.add(self)
        if not self._ended:
            # Unread bytes would make the kernel reset the connection, and the peer lose our last words.
            self._turn.loop.add_reader(self._fd, self._discard)
        if not self.unsent:
            self._say_goodbye()

    def abort(self, reason: str = "") -> None:
        """Ends the connection now; what is unsent is lost."""
        self._end(reason or self._reason or "aborted")

    def start_tls(
        self,
        context: ssl.SSLContext,
        server_side: bool = True,
        server_hostname: str | None = None,
        established: Callable[[], object] | None = None,
    ) -> None:
        """Switches to TLS in place; `established()` is called when it is there.

        What was written before goes out plain first (`<proceed/>`: write it in the same turn); what is
        written after waits for TLS. Plain bytes that the peer has already sent are thrown away: nobody
        vouches for them. A client gives `server_hostname`, in ASCII; if its context verifies, the peer's
        certificate has to be for that name. A failure ends the connection, with the reason in words.
        """
        if self._phase != OPEN or self.tls is not None:
            raise RuntimeError("TLS can be started once, on an open connection")
        loop = self._turn.loop
        loop.remove_reader(self._fd)
        self._handshake = context, server_side, server_hostname, established
        self._phase = BEFORE_TLS
        if self.unsent or not server_side:
            # Until our <proceed/> has left, or before our own hello, nothing of the peer's can be TLS.
            self._throw_away()
        if self._out:
            self._rest = b"".join((self._rest or b"", *self._out))
            self._out.clear()
        if self._rest is None:
            self._begin_tls()

    def pause(self) -> None:
        """Reads no more until `resume`: TCP holds the peer back. That it closes goes unnoticed, too."""
        if not self._paused:
            self._paused = True
            if self._phase == OPEN:
                self._turn.loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Reads again."""
        if self._paused:
            self._paused = False
            if self._phase == OPEN and not self._ended:
                self._listen()

    @property
    def is_open(self) -> bool:
        """What is written now will be sent, unless the line breaks."""
        return self._phase < CLOSING

    @property
    def behind(self) -> bool:
        """The kernel takes no more: what is written waits until the peer has read."""
        return self._blocked

    @property
    def certificate_der(self) -> bytes | None:
        """The peer's certificate; None if it has shown none."""
        return self.tls.getpeercert(True) if self.tls and self._phase == OPEN else None

    @property
    def alpn(self) -> str | None:
        """The protocol that both sides named in the handshake (RFC 7301); None without."""
        return self.tls.selected_alpn_protocol() if self.tls else None

    # Reading: one of these is what the loop calls

    def _read_plain(self) -> None:
        left = READ_IN_TURN
        while self._phase == OPEN and not self._paused:
            try:
                data = self._sock.recv(READ)
            except BlockingIOError:
                return
            except OSError as error:
                self._end(words(error))
                return
            if not data:
                self._peer_ended()
                return
            self.owner.received(data)
            left -= len(data)
            if len(data) < READ or left <= 0:
                return  # if there is more, the loop calls again

    def _read_tls(self) -> None:
        if self._write_waits:
            self._write_waits = self._blocked = False
            self._send()
        sock = self.tls
        assert sock is not None
        left = READ_IN_TURN
        while self._phase == OPEN and not self._paused:
            try:
                data = sock.recv(READ)
            except ssl.SSLWantReadError:
                self._fruitless += 1
                if self._fruitless > FRUITLESS:
                    self._end("TLS: records without data")
                return
            except ssl.SSLWantWriteError:  # the answer to a key update
                self._read_waits = True
                self._turn.loop.remove_reader(self._fd)
                self._turn.loop.add_writer(self._fd, self._writable)
                return
            except OSError as error:
                self._end(words(error))
                return
            if not data:
                self._peer_ended()
                return
            self._fruitless = 0
            self.owner.received(data)
            left -= len(data)
            if self._phase != OPEN or not sock.pending():
                return  # what is still in the socket wakes us again
            if left <= 0:
                self._turn.loop.call_soon(self._read_tls)  # what is in OpenSSL wakes nobody
                return

    def _discard(self) -> None:
        try:
            # The method of the class below SSLSocket: what is thrown away need not be deciphered.
            data = socket.socket.recv(self._sock, READ_IN_TURN)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            return
        self._ended = True
        self._turn.loop.remove_reader(self._fd)
        if not self.unsent:
            self._end(self._reason)

    def _shake(self) -> None:
        loop = self._turn.loop
        sock = self.tls
        assert sock is not None
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            loop.remove_writer(self._fd)
            loop.add_reader(self._fd, self._shake)
        except ssl.SSLWantWriteError:
            loop.remove_reader(self._fd)
            loop.add_writer(self._fd, self._shake)
        except (OSError, ValueError) as error:
            self._end(words(error, sock))
        else:
            loop.remove_reader(self._fd)
            loop.remove_writer(self._fd)
            self._tls_is_there(sock)

    # Writing

    def _touch(self) -> None:
        self._dirty = True
        turn = self._turn
        if not turn.dirty:
            turn.loop.call_soon(turn.flush)
        turn.dirty.append(self)

    def flush(self) -> None:
        self._dirty = False
        if not self._blocked and self._phase not in (HANDSHAKE, CLOSED):
            self._send()
        if self.unsent > self._limit and not self._overflowed and self._phase < CLOSING:
            self._overflowed = True
            self.owner.overflowed()

    def _send(self) -> None:
        """Sends until all is sent or the socket takes no more."""
        out = self._out
        while True:
            rest = self._rest
            if rest is None:
                if not out or self._phase == BEFORE_TLS:
                    break
                rest = out[0] if len(out) == 1 else b"".join(out)
                out.clear()
            try:
                sent = self._sock.send(rest if len(rest) <= SEND else memoryview(rest)[:SEND])
            except (BlockingIOError, ssl.SSLWantWriteError):
                # OpenSSL wants to see the same bytes again: `_rest` stays until it is sent.
                self._rest = rest
                self._blocked = True
                self._turn.loop.add_writer(self._fd, self._writable)
                return
            except ssl.SSLWantReadError:
                self._rest = rest
                self._blocked = self._write_waits = True
                return
            except OSError as error:
                self._end(self._reason or words(error))
                return
            self.unsent -= sent
            self._rest = None if sent == len(rest) else memoryview(rest)[sent:]
        self._overflowed = False
        if self._phase == BEFORE_TLS:
            self._begin_tls()
        elif self._phase == CLOSING:
            self._say_goodbye()

    def _writable(self) -> None:
        self._turn.loop.remove_writer(self._fd)
        if self._read_waits:
            self._read_waits = False
            if self._phase == OPEN and not self._paused:
                self._listen()
        if self._blocked and self._phase != CLOSED:
            self._blocked = False
            self._send()

    # From one phase to the next

    def _listen(self) -> None:
        loop = self._turn.loop
        if self.tls is None:
            loop.add_reader(self._fd, self._read_plain)
        else:
            loop.add_reader(self._fd, self._read_tls)
            if self.tls.pending():
                loop.call_soon(self._read_tls)

    def _throw_away(self) -> None:
        with suppress(OSError):
            self._sock.recv(READ_IN_TURN)  # one that has sent more will fail in the handshake

    def _begin_tls(self) -> None:
        assert self._handshake is not None
        context, server_side, server_hostname, _ = self._handshake
        try:
            # The same file descriptor passes from the plain socket to the new one.
            self._sock = self.tls = context.wrap_socket(
                self._sock,
                server_side=server_side,
                server_hostname=server_hostname,
                do_handshake_on_connect=False,
            )
        except (OSError, ValueError) as error:
            self._end(words(error))
            return
        self._phase = HANDSHAKE
        self._shake()

    def _tls_is_there(self, sock: ssl.SSLSocket) -> None:
        assert self._handshake is not None
        context, server_side, server_hostname, established = self._handshake
        self._handshake = None
        self._phase = OPEN
        if not server_side and context.verify_mode == ssl.CERT_REQUIRED:
            shown = sock.getpeercert(True)
            why = refusal(shown or b"", server_hostname or "")
            if why:
                self._end(why)
                return
        if not self._paused:
            self._listen()
        if self._out and not self._dirty:
            self._touch()
        if established is not None:
            established()

    def _peer_ended(self) -> None:
        # Without close_notify, too, as most clients do it: what counts is </stream:stream>.
        self._ended = True
        self._turn.loop.remove_reader(self._fd)
        self.close("closed by the other side")

    def _say_goodbye(self) -> None:
        """All is sent: close_notify and FIN; what the peer still says is thrown away until it ends, too."""
        if self.tls is not None:
            with suppress(OSError, ValueError):  # it has not seen the peer's, and says so
                self.tls.unwrap()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._ended = True
        if self._ended:
            self._end(self._reason)

    def _end(self, reason: str) -> None:
        if self._phase == CLOSED:
            return
        self._phase = CLOSED
        loop = self._turn.loop
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        self._sock.close()
        self._turn.closed(self)
        self._out.clear()
        self._rest = self._handshake = None
        loop.call_soon(self.owner.closed, reason)
        self.owner = None  # type: ignore[assignment]  # the owner holds us: leave no cycle behind
