"""What waits for one other domain, and the link that takes it there.

A domain that is away costs its own queue and nobody else's: one attempt at a time, each with a deadline; when
it fails, all that waits goes back to its senders with the reason, and until the next attempt may begin
(back-off) whatever follows goes back at once. Order is kept: what is sent while others wait goes behind them.

A message that has to wait is a row of the store, too, until the kernel has taken it (kept.py): between servers
nobody acknowledges. What waited when the last run ended is tried again for a while: after a power cut
this node is up before its router, and its people come back later still.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid
from node.base.stanza import SERVER, Stanza
from node.hub.store import StoreError
from node.ports.dialback import Packet
from node.ports.link.failure import Crowded, LinkError, silent
from node.ports.link.openings import Openers, Turn, sender_of
from node.ports.link.outgoing import LOOK_SECONDS, Outgoing
from node.ports.link.way import reach

if TYPE_CHECKING:
    from node.ports.link import Links

log = logging.getLogger("hobnode")

TURN_SECONDS = 60  # until an attempt may begin: so long 8 at a time find out about some 40 that are dead
ATTEMPT_SECONDS = 30  # from the DNS question to the right to send: what a person waits for before he shrugs
STANZAS_LIMIT = 500  # waiting; a phone that comes home after a day writes fewer
BYTES_LIMIT = 1024 * 1024  # waiting; a dozen peers that are away at once must fit into a Pi
PERSON_STANZAS = 2000  # waiting, in all that were made for one person: 3 MiB of objects; without it 110
PERSON_BYTES = 4 * 1024 * 1024  # likewise: more than a login says to all contacts
FIRST_REST = 5  # seconds after the first failure; doubled with each
LONGEST_REST = 300  # a peer that comes back is found within 5 minutes
DOUBLINGS_LIMIT = 10  # long past the longest rest
QUESTION_REST = 1  # seconds between attempts for a peer who knocks himself: he is likely to be there
OLD_SECONDS = 300  # for what waited before the start: a router takes three minutes to come back


class Waiting(NamedTuple):
    """A stanza in the queue."""

    stanza: Stanza
    size: int  # bytes
    row: int  # in the store; 0 for what is not kept
    old: bool = False  # it waited when the last run ended


class Outbox:
    """Sends to one domain. `link` is there from the moment when questions can be asked on it."""

    __slots__ = (
        "_again",
        "_asking",
        "_attempt",
        "_began",
        "_failure",
        "_failures",
        "_look_later",
        "_next",
        "_old_until",
        "_size",
        "_tried",
        "_turn",
        "_under_way",
        "_waiting",
        "_wanted",
        "_work",
        "domain",
        "link",
        "links",
        "opener",
        "openers",
    )

    def __init__(self, links: "Links", domain: Jid, openers: Openers, opener: str):
        self.links = links
        self.domain = domain
        self.openers = openers
        self.opener = opener  # for whose sake it was made, one of these
        self.link: Outgoing | None = None
        self._waiting: deque[Waiting] = deque()
        self._size = 0  # of these, in bytes
        self._under_way: deque[tuple[int, Waiting]] = deque()  # given to the link, with when it has taken them
        self._look_later: asyncio.TimerHandle | None = None  # at those
        self._work: asyncio.Task[None] | None = None  # sends what waits
        self._attempt: asyncio.Task[LinkError | None] | None = None  # opens the link
        self._turn: Turn | None = None  # for which the attempt waits
        self._wanted: set[tuple[Openers, str]] = set()  # by whom
        self._began = 0.0  # when its turn had come, by the loop's clock
        self._asking = 0  # questions
        self._failure: LinkError | None = None  # of the last attempt
        self._failures = 0  # in a row
        self._tried = self._next = 0.0  # when the last attempt ended and the next may begin, by the loop's clock
        self._old_until = 0.0  # so long what is old is tried again, by the same clock
        self._again: asyncio.TimerHandle | None = None  # tries it

    @property
    def is_in_use(self) -> bool:
        """Something waits or is under way, or there is a link: it does more than remember a failure."""
        return bool(self._waiting or self.link or self._work or self._attempt or self._asking)

    @property
    def load(self) -> tuple[int, int]:
        """How many stanzas wait, and their bytes."""
        return len(self._waiting), self._size

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is under way and no failure needs to be remembered."""
        if self.is_in_use:
            return False
        return self._failure is None or self.links.loop.time() > self._next + LONGEST_REST

    def send(self, stanza: Stanza) -> None:
        """Sends it now, or when the link is there, or gives it back to its sender with the reason.

        StoreError if it would have to wait and cannot be kept.
        """
        link = self.link
        if link is not None and link.may_send and not self._waiting:
            if link.behind:
                self._give(link, self._keep(stanza, len(stanza.to_bytes(SERVER))))
                self._look()
            else:
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
        stanzas, together = self.openers.waiting(self.opener)
        if stanzas >= PERSON_STANZAS or together + size > PERSON_BYTES:
            error = StanzaError("resource-constraint", "too much waits for other servers already")
            self.links.give_back(stanza, error)
            return
        self._waiting.append(self._keep(stanza, size))
        self._size += size
        self._begin()
        self._want(self.links.people, sender_of(stanza))

    def send_old(self, row: int, stanza: Stanza) -> None:
        """From the store, at the start: it waited when the last run ended."""
        size = len(stanza.to_bytes(SERVER))
        self._waiting.append(Waiting(stanza, size, row, old=True))
        self._size += size
        self._old_until = self.links.loop.time() + OLD_SECONDS
        self._begin()

    async def ask(self, question: Packet, asker: str) -> Packet:
        """Asks the domain about a key, on a link of ours to it, for the sake of a network. Raises LinkError."""
        self._asking += 1
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                if self.link is None and self._attempt is None and self._failure is not None:
                    # The back-off is not for one who knocks himself: he is up, and not to believe him would
                    # cost his messages. But who claims to be somebody else shall not make us a nuisance to him.
                    await asyncio.sleep(self._tried + QUESTION_REST - self.links.loop.time())
                return await (await self._reach((self.links.knocking, asker))).ask(question)
        except TimeoutError:
            raise self._too_late() from None
        finally:
            self._asking -= 1

    def forgive(self) -> None:
        """Something else is configured for this domain: that it has failed means nothing any more."""
        self._failure, self._failures = None, 0

    def close(self, error: StreamError) -> None:
        """The node stops: the link ends with that reason, what is under way is given up. The store has it."""
        for task in (self._work, self._attempt, self._again, self._look_later):
            if task is not None:
                task.cancel()
        self._waiting.clear()
        self._under_way.clear()
        if self.link is not None:
            self.link.close(error)

    def _keep(self, stanza: Stanza, size: int) -> Waiting:
        def lost(error: StoreError) -> None:
            if waiting in self._waiting:  # else it is on its way
                self._waiting.remove(waiting)
                self._size -= size
                self.links.give_back(stanza, StanzaError("resource-constraint", f"This could not be kept: {error}"))

        waiting = Waiting(stanza, size, self.links.kept.keep(stanza, lost))
        return waiting

    def _begin(self) -> None:
        if self._work is None:
            self._work = self.links.hub.spawn(self._deliver(), f"link to {self.domain}")

    async def _deliver(self) -> None:
        """A link, the right to send on it, and then all that waits."""
        try:
            while self._waiting:
                now = self.links.loop.time()
                link = await self._reach(*((self.links.people, sender_of(each.stanza)) for each in self._waiting))
                async with asyncio.timeout_at(max(now, self._began) + ATTEMPT_SECONDS):
                    await link.authorize()
                self._failure, self._failures = None, 0
                while self._waiting and link.may_send:
                    waiting = self._waiting.popleft()
                    self._size -= waiting.size
                    self._give(link, waiting)
                self.links.loop.call_soon(self._look)  # after this turn's sending
        except (LinkError, TimeoutError) as error:
            self._give_up(error if isinstance(error, LinkError) else self._too_late())
        finally:
            self._work = None

    def _give(self, link: Outgoing, waiting: Waiting) -> None:
        taken = link.send(waiting.stanza)
        if waiting.row:
            self._under_way.append((taken, waiting))

    def _look(self) -> None:
        """What has left us needs no row any more; what has not is looked at again."""
        if self._look_later is not None:
            self._look_later.cancel()
            self._look_later = None
        if self.link is not None:
            self._drop_taken(self.link)
            if self._under_way:
                self._look_later = self.links.loop.call_later(LOOK_SECONDS, self._look)

    def _drop_taken(self, link: Outgoing) -> None:
        rows = []
        while self._under_way and self._under_way[0][0] <= link.taken:
            rows.append(self._under_way.popleft()[1].row)
        self.links.kept.drop(rows)

    def _give_up(self, failure: LinkError) -> None:
        if failure is not self._failure and not isinstance(failure, Crowded):
            self._remember(failure)
        hopeful = self.links.loop.time() < self._old_until
        old = [each for each in self._waiting if each.old and hopeful]
        lost = [each for each in self._waiting if not (each.old and hopeful)]
        self._waiting = deque(old)
        self._size = sum(each.size for each in old)
        if old:
            self._again = self.links.loop.call_at(self._next, self._begin)
        for each in lost:
            self.links.give_back(each.stanza, failure.as_stanza_error(self.domain))
        self.links.kept.drop(each.row for each in lost)

    async def _reach(self, *wanted: tuple[Openers, str]) -> Outgoing:
        """The link, opened if need be; those who want it at the same time share one attempt."""
        if self.link is None:
            if self._attempt is None:
                self._turn = self.links.loop.create_future()
                self._attempt = self.links.hub.spawn(self._open(self._turn), f"way to {self.domain}")
            for openers, who in wanted:
                self._want(openers, who)
            crowded = await asyncio.shield(self._attempt)
            if crowded is not None:
                raise crowded
        if self.link is None:
            raise self._failure or silent("hung up")
        return self.link

    def _want(self, openers: Openers, who: str) -> None:
        """An attempt that waits for its turn begins with that of the first of all who want it."""
        if self._turn is not None and not self._turn.done() and (openers, who) not in self._wanted:
            self._wanted.add((openers, who))
            openers.want(who, self._turn)

    async def _open(self, turn: Turn) -> LinkError | None:
        """An attempt, in its turn. The reason if that did not come."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await turn
            await self._try()
        except TimeoutError:
            return Crowded(f"too many other servers are being looked for, in {TURN_SECONDS} s it was not its turn")
        finally:
            if not turn.cancelled() and turn.done():
                turn.result().give_back()
            self._turn = self._attempt = None
            self._wanted.clear()
        return None

    async def _try(self) -> None:
        self._began = self.links.loop.time()
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
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
            if self._waiting:  # the domain has knocked while we rested
                self._begin()

    def _ended(self) -> None:
        """The link is gone. What it has not taken waits again; without that the next stanza opens another."""
        link, self.link = self.link, None
        if link is None or not self._under_way:
            return
        self._drop_taken(link)
        while self._under_way:
            waiting = self._under_way.pop()[1]
            self._waiting.appendleft(waiting)
            self._size += waiting.size
        if self._waiting:
            self._begin()

    def _remember(self, failure: LinkError) -> None:
        log.warning("link to %s: %s", self.domain, failure.text)
        self._failure = failure
        self._tried = self.links.loop.time()
        self._next = self._tried + min(FIRST_REST * 2**self._failures, LONGEST_REST)
        self._failures = min(self._failures + 1, DOUBLINGS_LIMIT)

    def _too_late(self) -> LinkError:
        return silent(f"no answer within {ATTEMPT_SECONDS} s")
