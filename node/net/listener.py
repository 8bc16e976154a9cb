"""A listening port: takes connections in, as many strangers as the node can bear."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

from node.net.tcp import plain_address, tune

log = logging.getLogger(__name__)

BACKLOG = 128  # after a power cut a household's clients come at once, and accepting may pause for a second
IN_TURN = 32  # accepted per turn of the loop; a flood of newcomers is not to keep those who are in waiting
PAUSE = 1.0  # seconds without accepting when there are no file descriptors or no memory
QUIET = 60.0  # seconds between two log lines about a flood
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class ListenError(Exception):
    """A port cannot be listened on; the message says why, in words."""


class Strangers:
    """Counts who is connected and has not logged in, over all the ports that share it.

    A stranger costs 20 to 30 KiB with its TLS handshake and its half-sent XML, so 500 are 15 MiB at most. An
    address (an IPv6 network of 64 bits: that is what one customer has) may have 200: a school behind one
    address logs in, one attacker does not take all. The last 100 places are for the home's own network.
    """

    __slots__ = ("_counts", "_per_address", "_reserve", "_total", "total")

    def __init__(self, per_address: int = 200, total: int = 500, reserve: int = 100):
        self._per_address = per_address
        self._total = total
        self._reserve = reserve
        self._counts: dict[str, int] = {}
        self.total = 0
        """How many there are now."""

    def enter(self, host: str) -> bool:
        """Counts one from this address; False if there are too many."""
        key = network(host)
        count = self._counts.get(key, 0)
        places = self._total if at_home(host) else self._total - self._reserve
        if count >= self._per_address or self.total >= places:
            return False
        self._counts[key] = count + 1
        self.total += 1
        return True

    def leave(self, host: str) -> None:
        """Counts one less."""
        key = network(host)
        self.total -= 1
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]


class Listener:
    """Listens at an address and hands each new connection to `accept(sock, peer)`, non-blocking.

    `address` is an IP address, a name, or "" for every address of the machine; `port` 0 takes any free one.
    `peer` is (host, port). The owner calls `admitted(peer)` when that peer has logged in, and when its
    connection has ended: until then it counts as a stranger. Too many strangers are refused by closing at
    once. Raises ListenError.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: str,
        port: int,
        accept: Callable[[socket.socket, tuple[str, int]], object],
        strangers: Strangers | None = None,
    ):
        self._loop = loop
        self._accept = accept
        self._strangers = strangers or Strangers()
        self._waiting: set[tuple[str, int]] = set()  # the strangers that came in here
        self._exhausted = False
        self._refused = -QUIET
        self._resume: asyncio.TimerHandle | None = None
        self._sockets = _listen(address, port)
        self.port: int = self._sockets[0].getsockname()[1]
        """The port, also if any was asked for."""
        self._watch()

    def admitted(self, peer: tuple[str, int]) -> None:
        """This peer has logged in, or is gone: it is no stranger any more. May be said more than once."""
        if peer in self._waiting:
            self._waiting.remove(peer)
            self._strangers.leave(peer[0])

    def close(self) -> None:
        """Listens no more. Connections that were accepted stay."""
        if self._resume:
            self._resume.cancel()
            self._resume = None
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets = []

    def _watch(self) -> None:
        self._resume = None
        for sock in self._sockets:
            self._loop.add_reader(sock, self._take, sock)

    def _take(self, listening: socket.socket) -> None:
        for _ in range(IN_TURN):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._wait(error)
                return  # accept(2): a network error of the one that was coming, nobody's business
            self._exhausted = False
            self._welcome(sock, plain_address(address))

    def _welcome(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        if not self._strangers.enter(peer[0]):
            sock.close()
            now = self._loop.time()
            if now >= self._refused + QUIET:
                self._refused = now
                log.warning("port %d: too many connections without a login, refusing %s", self.port, peer[0])
            return
        self._waiting.add(peer)
        sock.setblocking(False)
        try:
            self._accept(sock, peer)
        except Exception:
            log.exception("port %d: cannot serve %s", self.port, peer[0])
            self.admitted(peer)
            sock.close()

    def _wait(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            log.warning("port %d: accepting no connections for now: %s", self.port, (error.strerror or "").lower())
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        self._resume = self._loop.call_later(PAUSE, self._watch)


def look(address: str, port: int) -> None:
    """Whether one could listen there. Nobody is taken in. Raises ListenError."""
    for sock in _listen(address, port):
        sock.close()


def network(host: str) -> str:
    """What is counted as one: an IPv4 address, or the first 64 bits of an IPv6 address."""
    if ":" not in host:
        return host
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8].hex()


def at_home(host: str) -> bool:
    """Whether an address is of the home's own network, or the machine's own (RFC 1918, 3927, 4193, 4291)."""
    if ":" in host:
        return host == "::1" or host.startswith(("fe80:", "fc", "fd"))
    first, second = (int(octet) for octet in host.split(".")[:2])
    return first in (10, 127) or (first, second) in ((192, 168), (169, 254)) or (first == 172 and 16 <= second <= 31)


def _listen(address: str, port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, host in _hosts(address):
        try:
            sockets.append(_open(family, host, port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                absent = error  # localhost is ::1, too, where the kernel has no IPv6
                continue
            for sock in sockets:
                sock.close()
            raise ListenError(_words(error, address, port)) from error
        port = sockets[0].getsockname()[1]  # a name may have several addresses: they share the port
    if absent and not sockets:
        raise ListenError(_words(absent, address, port)) from absent
    return sockets


def _hosts(address: str) -> list[tuple[int, str]]:
    if not address:
        # One socket for both kinds of addresses, where the kernel has both.
        return [(socket.AF_INET6, "::")] if _has_ipv6() else [(socket.AF_INET, "0.0.0.0")]
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # an address, for which getaddrinfo would load 0.3 MiB of tables for names
            socket.inet_pton(family, address)
            return [(family, address)]
    try:
        # Before anyone is served, so a slow answer about a name delays nobody.
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"{address} is not an address of this machine") from error
    return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::", 0))
    except OSError:
        return False
    return True


def _open(family: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        tune(sock)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _words(error: OSError, address: str, port: int) -> str:
    place = f"port {port} at {address}" if address else f"port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{place} is taken"
    if error.errno == errno.EACCES:
        return f"{place} needs rights that we do not have (ports below 1024 do)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this machine"
    return f"cannot listen on {place}: {(error.strerror or str(error)).lower()}"
