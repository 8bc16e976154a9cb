"""What the connections of one loop share: one send per turn, and a deadline for goodbyes."""

import asyncio
import logging
from typing import Protocol

from node.net.deadlines import Deadlines

log = logging.getLogger("hobnode")

GRACE = 5.0  # seconds in which a closing connection has to take the rest and close, too


class Writer(Protocol):
    """A connection, as far as a turn knows it."""

    peer_address: tuple[str, int]

    def flush(self) -> None: ...


class Turn:
    """What the connections of one loop share: who has written in this turn, and who is about to close."""

    __slots__ = ("closing", "dirty", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        self.dirty: list[Writer] = []
        self.closing = Deadlines(loop, GRACE, lambda connection: connection.abort())

    async def goodbyes(self, timeout: float) -> None:
        """Waits until those who are closing have closed, for that many seconds at most: at the end of the node."""
        end = self.loop.time() + timeout
        while len(self.closing) and self.loop.time() < end:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)  # their owners are told in a turn of its own

    def flush(self) -> None:
        """Sends what was written in this turn. Called by the loop, after all who had something to read."""
        dirty, self.dirty = self.dirty, []
        for connection in dirty:
            try:
                connection.flush()
            except Exception:
                # Their bug, not the other connections' trouble.
                log.exception("%s: what follows a send failed", connection.peer_address[0])
