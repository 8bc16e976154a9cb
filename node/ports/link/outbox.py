"""What waits for one other domain, and the link that takes it there.

A domain that is away costs its own queue and nobody else's: one attempt at a time, each with a deadline; when
it fails, all that waits goes back to its senders with the reason, and until the next attempt may begin
(back-off) whatever follows goes back at once. Order is kept: what is sent while others wait goes behind them.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid
from node.base.stanza import SERVER, Stanza
from node.ports.dialback import Packet
from node.ports.link.failure import LinkError, silent
from node.ports.link.outgoing import Outgoing
from node.ports.link.way import reach

if TYPE_CHECKING:
    from node.ports.link import Links

log = logging.getLogger("hobnode")

ATTEMPT_SECONDS = 30  # from the DNS question to the right to send: what a person waits for before he shrugs
STANZAS_LIMIT = 500  # waiting; a phone that comes home after a day writes fewer
BYTES_LIMIT = 1024 * 1024  # waiting; a dozen peers that are away at once must fit into a Pi
FIRST_REST = 5  # seconds after the first failure; doubled with each
LONGEST_REST = 300  # a peer that comes back is found within 5 minutes
DOUBLINGS_LIMIT = 10  # long past the longest rest
QUESTION_REST = 1  # seconds between attempts for a peer who knocks himself: he is likely to be there


class Outbox:
    """Sends to one domain. `link` is there from the moment when questions can be asked on it."""

    __slots__ = (
        "_attempt",
        "_failure",
        "_failures",
        "_next",
        "_size",
        "_tried",
        "_waiting",
        "_work",
        "domain",
        "link",
        "links",
    )

    def __init__(self, links: "Links", domain: Jid):
        self.links = links
        self.domain = domain
        self.link: Outgoing | None = None
        self._waiting: deque[tuple[Stanza, int]] = deque()  # with their bytes
        self._size = 0  # the sum of these
        self._work: asyncio.Task[None] | None = None  # sends what waits
        self._attempt: asyncio.Task[None] | None = None  # opens the link
        self._failure: LinkError | None = None  # of the last attempt
        self._failures = 0  # in a row
        self._tried = self._next = 0.0  # when the last attempt ended and the next may begin, by the loop's clock

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is under way and no failure needs to be remembered."""
        if self._waiting or self.link or self._work or self._attempt:
            return False
        return self._failure is None or self.links.loop.time() > self._next + LONGEST_REST

    def send(self, stanza: Stanza) -> None:
        """Sends it now, or when the link is there, or gives it back to its sender with the reason."""
        link = self.link
        if link is not None and link.may_send and not self._waiting:
            link.send(stanza)
            return
        if self._failure is not None and self._work is None and self.links.loop.time() < self._next:
            self.links.give_back(stanza, self._failure.as_stanza_error(self.domain))
            return
        size = len(stanza.to_bytes(SERVER))
        if len(self._waiting) >= STANZAS_LIMIT or self._size + size > BYTES_LIMIT:
            error = StanzaError("resource-constraint", f"too much waits for {self.domain} already")
            self.links.give_back(stanza, error)
            return
        self._waiting.append((stanza, size))
        self._size += size
        if self._work is None:
            self._work = self.links.hub.spawn(self._deliver(), f"link to {self.domain}")

    async def ask(self, question: Packet) -> Packet:
        """Asks the domain about a key, on a link of ours to it. Raises LinkError."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                if self.link is None and self._attempt is None and self._failure is not None:
                    # The back-off is not for one who knocks himself: he is up, and not to believe him would
                    # cost his messages. But who claims to be somebody else shall not make us a nuisance to him.
                    await asyncio.sleep(self._tried + QUESTION_REST - self.links.loop.time())
                return await (await self._reach()).ask(question)
        except TimeoutError:
            raise self._too_late() from None

    def close(self, error: StreamError) -> None:
        """The node stops: the link ends with that reason, what is under way is given up."""
        for task in (self._work, self._attempt):
            if task is not None:
                task.cancel()
        if self.link is not None:
            self.link.close(error)

    async def _deliver(self) -> None:
        """A link, the right to send on it, and then all that waits."""
        try:
            while self._waiting:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    link = await self._reach()
                    await link.authorize()
                self._failure, self._failures = None, 0
                while self._waiting and link.may_send:
                    stanza, size = self._waiting.popleft()
                    self._size -= size
                    link.send(stanza)
        except (LinkError, TimeoutError) as error:
            self._give_up(error if isinstance(error, LinkError) else self._too_late())
        finally:
            self._work = None

    def _give_up(self, failure: LinkError) -> None:
        if failure is not self._failure:
            self._remember(failure)
        waiting, self._waiting, self._size = self._waiting, deque(), 0
        for stanza, _ in waiting:
            self.links.give_back(stanza, failure.as_stanza_error(self.domain))

    async def _reach(self) -> Outgoing:
        """The link, opened if need be; those who want it at the same time share one attempt."""
        if self.link is None:
            if self._attempt is None:
                self._attempt = self.links.hub.spawn(self._open(), f"way to {self.domain}")
            await asyncio.shield(self._attempt)
        if self.link is None:
            raise self._failure or silent("hung up")
        return self.link

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS), self.links.opening:
                self.link = await reach(self.links, self.domain, self._ended)
        except LinkError as error:
            self._remember(error)
        except TimeoutError:
            self._remember(self._too_late())
        except Exception:  # a mistake of ours: what waits must not wait for ever
            log.exception("the way to %s", self.domain)
            self._remember(LinkError("internal-server-error", "this node made a mistake"))
        else:
            self._failure = None  # but their number counts until we may send
        finally:
            self._attempt = None

    def _ended(self) -> None:
        """The link is gone; the next stanza or question opens another."""
        self.link = None

    def _remember(self, failure: LinkError) -> None:
        log.warning("link to %s: %s", self.domain, failure.text)
        self._failure = failure
        self._tried = self.links.loop.time()
        self._next = self._tried + min(FIRST_REST * 2**self._failures, LONGEST_REST)
        self._failures = min(self._failures + 1, DOUBLINGS_LIMIT)

    def _too_late(self) -> LinkError:
        return silent(f"no answer within {ATTEMPT_SECONDS} s")
