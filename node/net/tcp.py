"""What every TCP socket of the node has: options, and an address that people can read."""

import socket

# Who has gone is noticed within three and a half minutes. While something waits to be confirmed, three minutes without
# Wi-Fi are survived. On a line that is quiet a probe goes out after three minutes, and is to be confirmed before the
# next would be due: TCP_USER_TIMEOUT counts from what was heard last, and holds in the place of TCP_KEEPCNT (tcp(7)).
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 180),  # s
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),  # s
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 180_000),  # ms that sent bytes may stay unconfirmed
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # we coalesce per turn ourselves
)


def tune(sock: socket.socket) -> None:
    """Sets what every connection has; Linux passes it on from a listening socket to those it accepts."""
    for level, option, value in KEEPALIVE:
        sock.setsockopt(level, option, value)


def doze(sock: socket.socket) -> None:
    """The other side is a phone that sleeps: each of our probes wakes its radio for ten seconds (XEP-0286)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 900)  # as often as a phone asks by itself
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 120)  # one probe that is not answered for so long is it


def wake(sock: socket.socket) -> None:
    """It is awake: probes as everybody gets them."""
    tune(sock)


def peer_of(sock: socket.socket) -> tuple[str, int]:
    """(host, port) of the other side."""
    try:
        return plain_address(sock.getpeername())
    except OSError:
        return "", 0  # it has gone already; the first read will tell


def plain_address(address: tuple) -> tuple[str, int]:
    """(host, port) of a socket address; IPv4 that came to an IPv6 socket reads as IPv4."""
    return address[0].removeprefix("::ffff:"), address[1]
