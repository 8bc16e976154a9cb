"""What a session with stream management (XEP-0198) keeps: what it owes an ack, and what is owed one.

`h` counts a stanza when what it has changed is on disk (D1). An `<r/>` is answered at once; when the answer was lower
than what had come, a better `<a/>` follows with the commit, at most one for each. Who did not ask is not told: his
radio would have been on for nothing.

What is delivered is kept until it is acked. The client is asked for an ack after ASK_AFTER stanzas or ASK_BYTES, else
QUIET seconds after the first of them, and never again before it has answered. A client that sleeps (XEP-0352) is
asked in the packet that wakes it.

The limit is COUNT_LIMIT stanzas or SIZE_LIMIT bytes that are not acked. A client on the line that is asked and does
not ack has FULL seconds, and ends with resource-constraint after them, or at SIZE_MOST at once. While the session
sleeps, presence that is superseded is dropped; if that does not help, it ends: in the next turn of the loop, for who
delivers to it now has others to deliver to. What it has not acked is passed on to others, or kept (unacked.py, D4).
"""

from asyncio import Event as Bell
from asyncio import Task, timeout
from collections.abc import Callable
from functools import partial
from time import time
from typing import TYPE_CHECKING

from node.base.element import E
from node.base.errors import StreamError
from node.base.stanza import CLIENT, Stanza
from node.ports.client.ledger import Entry, Found, Page, key_of, may_come_again
from node.ports.client.recovery import Twice
from node.ports.client.session import Client, asleep, nothing, stamp, stanzas
from node.ports.client.unacked import pass_on
from node.stream.acks import NEVER, WRAP, Handled, Sent, Unacked
from node.stream.events import Closing, Event, Refused

if TYPE_CHECKING:
    from node.ports.client.management import Sessions

NS = "urn:xmpp:sm:3"

ASK_AFTER = 20  # stanzas: a chat is acked by its pauses, and a flood costs five in a hundred more
ASK_BYTES = 65536  # likewise for pictures in vCards and pages of an archive
QUIET = 5.0  # seconds; a phone's radio stays on for ten after what it was sent
COUNT_LIMIT = 500  # stanzas: ten minutes of a busy room; 500 objects of 1 KiB
SIZE_LIMIT = 1 << 20  # bytes: what a line may have unsent
SIZE_MOST = 4 << 20  # bytes: a login with 2000 contacts who are all here is less than 2 MiB, and nobody acks in between
FULL = 30.0  # seconds: a slow line has sent 1 MiB by then
LAST_WORDS = 2.0  # seconds that a good-bye waits for the disk

R = f"<r xmlns='{NS}'/>".encode()


class Management:
    """The stream management of one session; `seconds` is how long it may sleep, 0 if it cannot be resumed."""

    __slots__ = (
        "_asked",
        "_asking",
        "_bell",
        "_debt",
        "_many",
        "_marks",
        "_much",
        "_turn",
        "attempt",
        "client",
        "done",
        "had",
        "handled",
        "id",
        "lost",
        "page",
        "seconds",
        "sent",
        "since",
    )

    def __init__(self, client: Client, id: str, seconds: int):
        self.client = client
        self.id = id
        self.seconds = seconds
        self.sent = Sent()
        self.handled = Handled()
        self.since = 0.0  # asleep since; the loop's time
        self.attempt: Client | None = None  # that would resume it
        self.page: Page | None = None  # what survives kill -9
        self.lost: Found | None = None  # its node was killed, and nobody has resumed it since
        self.had: Twice | None = None  # after that: what the client has got already, and
        self.done: Twice | None = None  # what it has said already
        self._debt = 0  # <r/> was answered when so many stanzas had come, of which not all were handled
        self._turn = 0  # the last turn that it waits for
        self._bell: Bell | None = None  # rings when all that has come is handled
        self._marks: list[tuple[int, Callable[[], object]]] = []  # who wants to hear of the ack of which stanza
        self._asking = False  # it was asked for an ack, or will be without our doing
        self._asked = False  # it has not answered
        self._many, self._much = ASK_AFTER, ASK_BYTES  # from here on something has to be done about the queue

    @property
    def sessions(self) -> "Sessions":
        return self.client.port.managed

    # What comes in

    def owes(self, task: "Task[None] | None") -> None:
        """A stanza that counts later: when a handler is done (`task`), and what was written is on disk."""
        store = self.client.port.hub.store
        if task is not None:
            task.add_done_callback(partial(self._answered, self.handled.owe(NEVER)))
            return
        if self._turn != store.turn:
            self._turn = store.turn
            store.when_safe(self.settle)
        self.handled.owe(store.turn, self.sessions.archive.newest)

    def _answered(self, owed: list[int], task: "Task[None]") -> None:
        if not task.cancelled():  # what we did not come to do, at the end of the node, the client sends again
            self.client.port.hub.store.when_safe(partial(self._done, owed))

    def _done(self, owed: list[int]) -> None:
        self.handled.done(owed)
        self.settle()

    def settle(self) -> None:
        """More may be handled now; who asked when it was less hears so."""
        handled = self.handled
        if not handled.settle(self.client.port.hub.store.safe):
            return
        if self.page is not None:
            self.page.handled(handled.count, handled.note)
        if self._debt:
            self.answer()
            if handled.count >= self._debt:
                self._debt = 0
        if self._bell is not None and handled.settled:
            self._bell.set()
            self._bell = None

    async def all_handled(self, seconds: float) -> bool:
        """Waits until all that has come is handled. Whether it was in time."""
        if self.handled.settled:
            return True
        if self._bell is None:
            self._bell = Bell()
        try:
            async with timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return False
        return True

    def tell(self) -> None:
        """`<r/>`: answered at once, with what is true now."""
        if not self.handled.settled:
            self._debt = self.handled.received
        self.answer()

    def answer(self) -> None:
        if self.page is not None:  # an h that was told is never taken back
            self.page.handled(self.handled.count, self.handled.note)
        self.client.connection.write(b"<a xmlns='%b' h='%d'/>" % (NS.encode(), self.handled.count % WRAP))

    # What goes out

    def keep(self, stanza: Stanza, size: int) -> None:
        """It was written, or the client sleeps: it is kept until it is acked."""
        sent = self.sent
        page = self.page if stanza.name == "message" and may_come_again(stanza) else None
        sent.add(stanza, size, time(), self.sessions.archive.newest if page else 0)
        if page and not self.client.is_asleep:
            page.sent(sent.count, sent.queue[-1].note, key_of(stanza))
        if not self._asking:
            self._asking = True
            if self.client.calm is None:
                self.sessions.quiet.add(self)
            else:
                self.ask()  # now its radio is on
        if len(sent.queue) >= self._many or sent.size >= self._much:
            self._act()

    def _act(self) -> None:
        sent = self.sent
        if self in self.sessions.ending:
            return
        if self.client.expect is asleep:
            self._compact()
            return
        if not self._asked:
            self.ask()
        if self._is_full() and self._many == COUNT_LIMIT:
            self.sessions.full.add(self)
            self._many, self._much = NEVER, SIZE_MOST
        elif sent.size >= SIZE_MOST:
            self.overdue()

    def _is_full(self) -> bool:
        return len(self.sent.queue) >= COUNT_LIMIT or self.sent.size >= SIZE_LIMIT

    def _compact(self) -> None:
        self.sent.compact()
        if self._is_full():
            self.sessions.end_soon(self, StreamError("resource-constraint", "too much waits for you"))

    def ask(self) -> None:
        """Asks for an ack, if there is anything to ack."""
        if not self.sent.queue or self.client.expect is not managed:
            return
        self._asking = self._asked = True
        self.sessions.quiet.discard(self)
        self._many, self._much = COUNT_LIMIT, SIZE_LIMIT
        self.client.connection.write(R)
        self.client.port.idle.expect_answer(self.client)

    def probe(self) -> None:
        """Asks in any case: is somebody there?"""
        if not self._asked:
            self.client.connection.write(R)

    def overdue(self) -> None:
        """It had time to ack, and did not."""
        if self._is_full() and self.client.expect is managed:
            self.sessions.end_soon(self, StreamError("resource-constraint", "you do not ack what you are sent"))

    def acked(self, h: int) -> None:
        """`<a/>`. Raises StreamError: an h that is too high (§6)."""
        more = self.sent.more(h)
        self.check(h, more)
        self._asked = False
        if more > 0:
            self._take(more)
            self._tell()
        queued = len(self.sent.queue)
        self._many, self._much = queued + ASK_AFTER, self.sent.size + ASK_BYTES
        if not self._is_full():
            self.sessions.spare(self)
        if queued and (more > 0 or self._is_full()):
            if queued >= ASK_AFTER and more > 0:
                self.ask()
            else:
                self.sessions.quiet.add(self)
        else:  # one who acks nothing more is asked again when there is more
            self._asking = False

    def check(self, h: int, more: int) -> None:
        if more > len(self.sent.queue):
            count = self.sent.count % WRAP
            raise StreamError(
                "undefined-condition",
                f"You acknowledged {h} stanzas, but I only sent you {count} so far.",
                extra=E("handled-count-too-high", NS, **{"h": str(h), "send-count": str(count)}),
            )

    def _take(self, more: int) -> None:
        self.sent.ack(more)
        if self.page is not None and not self.sent.queue:
            newest = self.sessions.archive.newest
            if self.handled.settled and self.done is None:  # what it has said up to here is handled
                self.handled.note = newest
                self.page.handled(self.handled.count, newest)
            self.page.all_acked(self.sent.acked, newest)

    def _tell(self) -> None:
        """Those who wait for an ack; they may have more for the client at once."""
        while self._marks and self._marks[0][0] <= self.sent.acked:
            self._marks.pop(0)[1]()

    def when_acked(self, callback: Callable[[], object]) -> None:
        """`callback()` when all that was sent so far is acked; never if the session ends before."""
        if self.sent.queue:
            self._marks.append((self.sent.count, callback))
        else:
            self.sessions.loop.call_soon(callback)

    # The line goes and comes

    def fall_asleep(self) -> None:
        """The line is cut."""
        sessions = self.sessions
        sessions.quiet.discard(self)
        sessions.spare(self)
        self._asking = True
        self.since = sessions.loop.time()
        self.sent.on_line = len(self.sent.queue)
        self._many, self._much = COUNT_LIMIT, SIZE_LIMIT
        sessions.asleep(self.seconds).add(self)
        if self._is_full() and self.attempt is None:  # who is back already will ack a lot
            self._compact()

    def forgotten(self) -> None:
        """Nobody has resumed it in time."""
        self.sessions.end_soon(self, StreamError("connection-timeout", "the session was not resumed in time"))

    def wake(self, h: int) -> None:
        """There is a line again, on which the client has said this h: what it has not acked is sent again (§5)."""
        sessions = self.sessions
        sessions.asleep(self.seconds).discard(self)
        sessions.spare(self)
        self._take(self.sent.more(h))
        if self.page is not None:  # <resumed/> has told an h, too
            self.page.handled(self.handled.count, self.handled.note)
        self._asked = self._asking = False
        self._debt = 0
        sent = self.sent
        self._many, self._much = len(sent.queue) + ASK_AFTER, sent.size + ASK_BYTES
        for number, entry in enumerate(sent.queue):
            self.client.connection.write(entry.stanza.to_bytes(CLIENT))
            if entry.note and number >= sent.on_line and self.page is not None:
                self.page.sent(sent.acked + number + 1, entry.note, key_of(entry.stanza))
        self.ask()
        self._tell()  # behind the queue: what follows now is not in it yet

    def revive(self, found: Found) -> None:
        """The node was killed, and this is what is known of it; written again at once, for it may be killed again."""
        self.lost = found
        known = found.handled, found.row, found.sent, found.sent_row, found.words, found.entries
        self.page = self.sessions.ledger.page(self.id, *known)

    def recovered(self, count: int, missed: list[Unacked], entries: list[Entry]) -> None:
        """The client has `count` stanzas, has missed these, and what came since the node is back follows."""
        assert self.lost is not None and self.page is not None
        before = self.page
        self.revive(self.lost._replace(handled=self.handled.count, entries=entries))
        before.free()
        self.lost = None
        since = [each for each in self.sent.queue if not self.has_had(each.stanza)]
        self.sent = Sent(count)
        for each in (*missed, *since):
            self.sent.add(*each)

    def has_had(self, stanza: Stanza) -> bool:
        """Whether the client got this before the node was killed."""
        return self.had is not None and self.lost is None and self.had.takes(stanza, self.sessions.loop.time())

    def has_done(self, stanza: Stanza) -> bool:
        """Whether the client said this before the node was killed, and it was done. If its receiver is not there now,
        he may have gone without it."""
        if self.done is None or not self.done.takes(stanza, self.sessions.loop.time()):
            return False
        return stanza.to is not None and stanza.to.bare in self.client.port.hub.sessions

    def end(self, clean: bool) -> None:
        """The session has ended: what it has not acked goes another way (D4)."""
        sessions = self.sessions
        sessions.quiet.discard(self)
        sessions.spare(self)
        if self.id:
            sessions.asleep(self.seconds).discard(self)
            del sessions.by_id[self.id]
        page, self.page = self.page, None  # what is settled later must not be noted on the page of another
        if page is not None:
            page.free()
            if not clean:
                sessions.remember(self.id, self.client.user, self.handled.count)
        self._marks.clear()
        queue, self.sent.queue = self.sent.queue, []
        pass_on(self.client.port.hub, [self.client.jid], queue)


def managed(client: Client, event: Event) -> None:
    """What a session with stream management says: the stanzas are counted."""
    if type(event) is Stanza:
        stamp(client, event)
        management = client.management
        if management is not None and management.done is not None and management.has_done(event):
            management.handled.handle()
            return
        store = client.port.hub.store
        writes = store.writes
        task = client.port.hub.route(event, client)
        if management is not None:
            if task is None and writes == store.writes:
                management.handled.handle()
            else:
                management.owes(task)
    elif isinstance(event, Closing):
        _part(client)
    else:
        stanzas(client, event)
        if isinstance(event, Refused) and client.management is not None:
            client.management.handled.handle()


def leaving(client: Client, event: Event) -> None:
    """The node ends. What is not counted the client sends again when it resumes."""


def _part(client: Client) -> None:
    """It says good-bye: the session ends now, the stream when our last `<a/>` can say that all is handled."""
    management = client.management
    if management is None or management.handled.settled:
        client.close(None)
        return
    client.expect = nothing
    client.end_session(clean=True)
    client.port.hub.spawn(_say_goodbye(client, management), "good-bye")


async def _say_goodbye(client: Client, management: Management) -> None:
    await management.all_handled(LAST_WORDS)
    management.answer()
    client.say_goodbye(None)
