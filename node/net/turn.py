"""What the connections of one loop share: one send per turn, and a deadline for goodbyes."""

import asyncio
import logging
from collections.abc import Hashable
from contextlib import suppress
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

    __slots__ = ("_gone", "closing", "dirty", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        self.dirty: list[Writer] = []
        self.closing = Deadlines(loop, GRACE, lambda connection: connection.abort())
        self._gone = asyncio.Event()  # a connection has closed since somebody began to wait for it

    def closed(self, connection: Hashable) -> None:
        """This connection has closed, whether or not it was about to."""
        self.closing.discard(connection)
        self._gone.set()

    async def goodbyes(self, timeout: float) -> None:
        """Waits until those who are closing have closed, for that many seconds at most: at the end of the node."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while len(self.closing):
                    self._gone.clear()
                    await self._gone.wait()
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
