"""The way out: a connection to another host, by name or address."""

import asyncio
import socket

from node.net.connection import UNSENT, Connection, Owner
from node.net.tcp import tune
from node.net.tls import words
from node.net.turn import Turn


async def connect(
    host: str,
    port: int,
    turn: Turn,
    owner: Owner,
    *,
    timeout: float = 20.0,
    limit: int = UNSENT,
) -> Connection:
    """A connection to a host by name or address: the first of its addresses that answers.

    `timeout` is for the whole, in seconds. Raises OSError with the reason in words.
    """
    loop = turn.loop
    deadline = loop.time() + timeout
    addresses = await _addresses(loop, host, port, timeout)
    why = OSError(f"{host} has no address")
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        # An equal share for each that is left: a dead IPv6 route does not take the time of the others.
        share = (deadline - loop.time()) / (len(addresses) - position)
        place = f"{host}:{port}" if address[0] == host else f"{host}:{port} ({address[0]})"
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            tune(sock)
            async with asyncio.timeout(share):
                await loop.sock_connect(sock, address)
            return Connection(sock, turn, owner, limit=limit, peer_address=(address[0], port))
        except TimeoutError:
            why = OSError(f"{place} does not answer")
        except OSError as error:
            why = OSError(f"{place}: {words(error)}")
        except BaseException:  # cancelled: nobody else closes it
            if sock is not None:
                sock.close()
            raise
        if sock is not None:
            sock.close()
    raise why


async def _addresses(loop: asyncio.AbstractEventLoop, host: str, port: int, timeout: float) -> list:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)  # an address: asks nobody
    except socket.gaierror:
        pass
    try:
        async with asyncio.timeout(timeout):
            return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # in a thread
    except TimeoutError:
        raise OSError(f"no answer about the address of {host}") from None
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"{host} has no address") from error
