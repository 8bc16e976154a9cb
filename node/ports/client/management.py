"""XEP-0198: Stream Management: a session outlives its line.

When the line is cut the session sleeps: for everybody else it is still there, and what it gets is queued. `<resume/>`
moves the new line into it. It sleeps for as long as its client has asked, LONGEST at most. Of the RESOURCES_LIMIT
sessions of an account (binding.py) the one that has slept longest ends for a new one.

    keeping.py   what one session keeps: counters, the queue, and its limits
    unacked.py   what becomes of the queue when the session ends
    saved.py     sessions outlive the node
    ledger.py    and also kill -9
    recovery.py  what a client has missed then
    idle.py      lines that are cut without anybody's noticing
"""

import logging
from asyncio import Event as Bell
from asyncio import sleep, timeout
from collections import OrderedDict, defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from node.base.element import E, Element
from node.base.errors import STANZAS_NS, StreamError
from node.base.jid import Jid
from node.base.stanza import new_id
from node.hub.store import StoreError
from node.net.deadlines import Deadlines
from node.ports.client.binding import before_bind, check_login
from node.ports.client.keeping import FULL, LAST_WORDS, NS, QUIET, Management, leaving, managed
from node.ports.client.ledger import Found, Ledger
from node.ports.client.login import wait
from node.ports.client.recovery import recover
from node.ports.client.saved import Saved
from node.ports.client.session import Client
from node.ports.client.unacked import pass_on, together
from node.stream.acks import WRAP, Unacked

if TYPE_CHECKING:
    from node.ports.client import ClientPort

log = logging.getLogger("hobnode")

LONGEST = 600  # seconds asleep: a tunnel, a walk to the cellar, a new router; then push and offline messages are better
MINUTE = 60  # what a client asks for is rounded up to these, so that ten deadlines serve all
HANDLING = 10.0  # seconds that <resume/> waits for what is being done; a board has 5
REMEMBERED = 1000  # ended sessions whose h is known, 200 KiB: a client that comes too late need not send all again


def setup(port: "ClientPort") -> None:
    port.before_bind[NS, "enable"] = port.in_session[NS, "resume"] = _too_early
    port.before_bind[NS, "resume"] = _resume
    port.in_session[NS, "enable"] = lambda client, element: client.send(enable(client, element))
    port.in_session[NS, "r"] = _asked
    port.in_session[NS, "a"] = _acked


class Sessions:
    """What the sessions with stream management share."""

    def __init__(self, port: "ClientPort"):
        self.port = port
        self.loop = loop = port.hub.loop
        self.by_id: dict[str, Client] = {}
        self.ended: OrderedDict[str, tuple[str, int]] = OrderedDict()  # by id: whose it was, and its h
        self.quiet = Deadlines(loop, QUIET, Management.ask)
        self.full = Deadlines(loop, FULL, Management.overdue)
        self._asleep: dict[int, Deadlines] = {}  # by how long they may
        self.ending: dict[Management, StreamError] = {}  # in the next turn of the loop
        self.saved = Saved(port)
        self.ledger = Ledger(port.hub.store.accounts.path.parent)
        self.archive = port.hub.need("archive")
        self.carbons = port.hub.need("carbons")
        self.last_row = self.archive.last_on_disk()  # of the runs before this one

    def manage(self, management: Management) -> None:
        """A session has stream management from now on, and can be resumed."""
        management.client.management = management
        self.by_id[management.id] = management.client

    def asleep(self, seconds: int) -> Deadlines:
        """The deadline of the sessions that may sleep so long."""
        if seconds not in self._asleep:
            self._asleep[seconds] = Deadlines(self.loop, seconds, Management.forgotten)
        return self._asleep[seconds]

    def end_soon(self, management: Management, error: StreamError) -> None:
        """Ends a session in the next turn of the loop, together with all that end in this one."""
        if not self.ending:
            self.loop.call_soon(self._end_all)
        self.ending[management] = error

    def spare(self, management: Management) -> None:
        """It is not too full, or no longer in the way that it was; or it has ended already."""
        self.full.discard(management)
        self.ending.pop(management, None)

    def _end_all(self) -> None:
        """What several sessions of an account have left is passed on when all of them have ended: none of them gets
        what another has left, and what they have in common is kept once."""
        while self.ending:  # what is passed on may be too much for others
            left: defaultdict[Jid, dict[Jid, list[Unacked]]] = defaultdict(dict)
            for management, error in list(self.ending.items()):
                client = management.client
                if client.calm is not None:
                    client.calm.flush()  # to go where all goes
                left[client.jid.bare][client.jid] = management.sent.queue
                management.sent.queue = []
                self.spare(management)
                client.close(error)
            for queues in left.values():
                pass_on(self.port.hub, list(queues), together(queues.values()))

    def remember(self, id: str, user: str, h: int) -> None:
        self.ended[id] = user, h
        if len(self.ended) > REMEMBERED:
            self.ended.popitem(last=False)

    async def leave(self) -> None:
        """The node ends: the sessions that can be resumed go to sleep, and are written down."""
        for client in list(self.by_id.values()):
            if not client.is_asleep:
                client.expect = leaving
        bell = Bell()
        self.port.hub.store.when_safe(bell.set)  # by then all have heard what is handled
        self.port.hub.store.hurry()
        with suppress(TimeoutError):
            async with timeout(LAST_WORDS):
                await bell.wait()
        for client in list(self.by_id.values()):
            client.cut(StreamError("system-shutdown"))
        self._end_all()
        for client in list(self.by_id.values()):
            if client.management is not None:
                self.saved.keep(client, client.management)
        with suppress(TimeoutError, StoreError):  # what the ledger says is better than nothing
            async with timeout(LAST_WORDS):
                await self.port.hub.store.accounts.committed()
            self.ledger.forget()

    def close(self) -> None:
        for deadlines in (self.quiet, self.full, *self._asleep.values()):
            deadlines.close()
        self.ledger.close()


# enable


def enable(client: Client, element: Element) -> Element:
    """Turns stream management on for a bound session (`begin` was called). `<enabled/>` or `<failed/>`.

    The caller writes it, alone or in Bind 2's `<bound/>` (§"Enable Stream Management Inline"), before anything else:
    the first stanza behind it is number one, in both directions.
    """
    if client.management is not None or not client.bound:
        return failed("unexpected-request")
    if element.get("resume") not in ("true", "1"):
        client.management = Management(client, "", 0)
        client.expect = managed
        return E("enabled", NS)
    wanted = element.get("max") or ""
    seconds = min(int(wanted), LONGEST) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else LONGEST
    seconds = max(1, -(-seconds // MINUTE)) * MINUTE
    id = new_id()
    sessions = client.port.managed
    newest = sessions.archive.newest
    management = Management(client, id, seconds)
    sessions.manage(management)
    management.handled.note = newest
    management.page = sessions.ledger.page(id, 0, newest, 0, newest)
    sessions.saved.describe_soon(client)
    client.expect = managed
    return E("enabled", NS, id=id, resume="true", max=str(seconds))


# resume


async def resume(client: Client, element: Element) -> tuple[Element, Client | None]:
    """Finds the session that a client, logged in and not bound, would go on with: `<resumed/>` and the session, or
    `<failed/>` and None, which leaves the client as it was.

    The caller writes the answer, alone or in SASL2's `<success/>` (§"Inline Stream Resumption"), and calls `go_on`
    in the same turn of the loop: nothing may be sent between. It may take HANDLING seconds, in which the client has
    nothing to say. Raises StreamError (for this client, not for the session): an h that is not a number or too high,
    an account that is gone, a password that has changed since it was shown.
    """
    check_login(client)
    sessions = client.port.managed
    id = element.get("previd") or ""
    h = number(element)
    old = sessions.by_id.get(id)
    if old is None or old.user != client.user or old.management is None:
        return _not_found(client, id), None
    management = old.management
    if management.lost is None:
        more = management.sent.more(h)
        management.check(h, more)
        if more < 0:  # before its line is cut for nothing
            return _not_found(client, id), None
    management.attempt = client  # an earlier one has lost
    old.cut(StreamError("conflict", "the session goes on elsewhere"))
    await sleep(0)  # an end of the old line that was under way is heard of now
    in_time = await management.all_handled(HANDLING)
    if management.lost is not None and not await _recover(management, management.lost, h):
        return _not_found(client, id), None
    check_login(client)
    if old.management is not management or management.attempt is not client or management.sent.more(h) < 0:
        return _not_found(client, id), None
    management.attempt = None
    if not in_time:  # its h would have the client send again what is being done
        return failed("resource-constraint", management.handled.count), None
    return E("resumed", NS, h=str(management.handled.count % WRAP), previd=id), old


async def _recover(management: Management, found: Found, h: int) -> bool:
    try:
        return await recover(management, found, h)
    except StoreError as error:
        log.warning("%s cannot go on with its session: %s", management.client.jid, error)
        return False


def go_on(client: Client, session: Client, element: Element) -> None:
    """After `resume`, when the answer was written to `client`: its line becomes the session's."""
    assert session.management is not None
    session.take_over(client, managed)
    session.management.wake(number(element))
    client.port.managed.saved.describe_soon(session)
    client.port.hub.tell("resumed", session)
    log.info("%s goes on from %s", session.jid, session.connection.peer_address[0])


def _resume(client: Client, element: Element) -> None:
    wait(client, resume(client, element), partial(_resumed, element))


def _resumed(element: Element, client: Client, outcome: tuple[Element, Client | None]) -> None:
    answer, session = outcome
    client.send(answer)
    if session is None:
        client.expect = before_bind
    else:
        go_on(client, session, element)


def _not_found(client: Client, id: str) -> Element:
    """§5: with the h of one of the client's own sessions, if that is still known."""
    sessions = client.port.managed
    alive = sessions.by_id.get(id)
    if alive is not None and alive.user == client.user and alive.management is not None:
        return failed("item-not-found", alive.management.handled.count)
    user, h = sessions.ended.get(id, ("", 0))
    return failed("item-not-found", h if user == client.user else None)


def failed(condition: str, h: int | None = None) -> Element:
    return E("failed", NS, E(condition, STANZAS_NS), h=None if h is None else str(h % WRAP))


def number(element: Element) -> int:
    """The h of an element. Raises StreamError."""
    text = element.get("h") or ""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < WRAP):
        raise StreamError("invalid-xml", "h is a number below 2^32")
    return int(text)


def _asked(client: Client, element: Element) -> None:
    if client.management is None:
        _too_early(client, element)
    else:
        client.management.tell()


def _acked(client: Client, element: Element) -> None:
    if client.management is None:
        _too_early(client, element)
    else:
        client.management.acked(number(element))


def _too_early(client: Client, element: Element) -> None:
    client.send(failed("unexpected-request"))
