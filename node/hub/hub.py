"""The middle of the node: who is where, and the way of every stanza.

`route` is one synchronous call stack from the socket that a stanza came in on to the socket that it leaves by:
guards and watchers of the sender, then those of the receiver, then the endpoint or the handler. Nothing is queued
in between. A handler returns the answer or raises StanzaError; it may be `async` where it has to wait, and is then
answered for when it is done. What a handler fails to do has one fixed meaning: no handler is service-unavailable,
an exception is logged once and is internal-server-error, and the node goes on.

Whoever is not there and whoever may not be seen get the same answer (`missing`), so that nobody can find out by
asking who has an account.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from node.base.errors import StanzaError, StreamError
from node.base.jid import Jid
from node.base.stanza import Stanza, kind, new_id
from node.hub.claims import honest
from node.hub.delivery import deliver_message
from node.hub.store import StoreError

if TYPE_CHECKING:
    from node.hub.accounts import Accounts
    from node.hub.store import Store
    from node.hub.thing import Thing

log = logging.getLogger("hobnode")

ANSWER_DEADLINE = 30  # seconds for a handler that waits; a board has 5, a peer 10, a slow card a few
LAST_ANSWERS = 2  # seconds for what is being answered when the node stops; systemd waits 90, people less
ASK_DEADLINE = 10  # seconds for somebody else's answer to our question

Answer = Stanza | None
Handler = Callable[[Stanza, Any], "Answer | Awaitable[Answer]"]
Guard = Callable[[Stanza, Any], "bool | Stanza | asyncio.Task[None] | None"]
Taker = Callable[[Stanza, Any], "asyncio.Task[None] | None"]
Watcher = Callable[[Stanza, Any], None]


class Session(Protocol):
    """Somebody who is connected: a full address to deliver to."""

    jid: Jid
    since: float  # Unix time of its binding, and then since when it gets what is for the account (hub/delivery)

    def deliver(self, stanza: Stanza) -> None: ...

    def when_acked(self, callback: Callable[[], object]) -> bool:
        """Calls back when all that was delivered so far is acked; False if this one never acks."""

    def close(self, error: StreamError | None) -> None: ...


class Hub:
    """The node's own domain (`host`), its accounts, things and sessions, and what handles their stanzas."""

    def __init__(self, host: Jid, store: "Store", accounts: "Accounts", loop: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self.store = store
        self.accounts = accounts
        self.loop = loop
        self.things: dict[Jid, Thing] = {}
        self.sessions: dict[Jid, dict[Jid, Session]] = {}
        self.present: dict[Jid, dict[Jid, int]] = {}  # available resources with their priority
        self.remote: Callable[[Stanza, Any], None] | None = None  # takes what is for other domains
        self.features: dict[str, list[str]] = defaultdict(list)
        self.identities: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        self._parts: dict[str, Any] = {}
        self._iq_handlers: dict[str, dict[tuple[str, str], Handler]] = defaultdict(dict)
        self._stanza_handlers: dict[tuple[str, str], Taker] = {}
        self._guards: dict[tuple[str, str], list[Guard]] = defaultdict(list)
        self._watchers: dict[tuple[str, str], list[Watcher]] = defaultdict(list)
        self._listeners: dict[str, list[Callable[..., None]]] = defaultdict(list)
        self._questions: dict[tuple[Jid, str], asyncio.Future[Stanza]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # What features declare

    def advertise(self, *features: str, at: str = "host") -> None:
        """Names features in disco#info of the `host`, of an `account` or of a `thing`."""
        self.features[at].extend(feature for feature in features if feature not in self.features[at])

    def identity(self, category: str, type: str, name: str = "", at: str = "host") -> None:
        """An identity for disco#info (XEP-0030 §3.1)."""
        self.identities[at].append((category, type, name))

    def provide(self, name: str, part: Any) -> None:
        """Lets other features find this one by name."""
        self._parts[name] = part

    def need(self, name: str) -> Any:
        """What was provided under that name. Raises KeyError: the order in app.py is wrong."""
        return self._parts[name]

    def on_iq(self, type: str, name: str, ns: str, handler: Handler, at: str = "host") -> None:
        """Handles iqs of that type and payload: at the `host`, a `thing`, an account asked by it`self` or by anybody
        (`account`), or one that is `missing` (where the answer for an account must not tell that it is there)."""
        self._iq_handlers[at][type, kind(name, ns)] = handler

    def on_stanza(self, name: str, handler: Taker, at: str) -> None:
        """Handles messages or presences at the `host`, a `thing`, an `account`, or (presence without `to`) `self`.

        A handler returns what is still at work when it has returned: the sender is not acked before that is done.
        """
        self._stanza_handlers[at, name] = handler

    def guard(self, way: str, name: str, guard: Guard) -> None:
        """Stands on the way of stanzas `leaving` an account or `arriving` at an account or thing.

        It returns True to stop one silently, what is still at work when it is only held up or done later, a stanza
        that goes on in its stead, and raises StanzaError to refuse it.
        """
        self._guards[way, name].append(guard)

    def watch(self, way: str, name: str, watcher: Watcher) -> None:
        """Looks at the stanzas that have passed the guards."""
        self._watchers[way, name].append(watcher)

    def on(self, event: str, listener: Callable[..., None]) -> None:
        self._listeners[event].append(listener)

    def tell(self, event: str, *about: Any) -> None:
        """Tells the listeners of an event, each of which may fail for itself."""
        for listener in self._listeners[event]:
            try:
                listener(*about)
            except Exception:
                log.exception("%s: a listener failed", event)

    # Who is where

    def bind(self, session: Session) -> None:
        """A session has got its address."""
        self.sessions.setdefault(session.jid.bare, {})[session.jid] = session

    def unbind(self, session: Session, quietly: bool = False) -> None:
        """A session has ended. Another that has taken over its address stays. `quietly`: nobody is told, for it will
        be there again when the node is."""
        resources = self.sessions.get(session.jid.bare, {})
        if resources.get(session.jid) is not session:
            return
        if not quietly:
            self.tell("unbound", session)
        self.set_priority(session.jid, None)
        del resources[session.jid]
        if not resources:
            del self.sessions[session.jid.bare]

    def set_priority(self, full: Jid, priority: int | None) -> None:
        """A resource is available with that priority (-128..127), or None: it is not."""
        if priority is not None:
            self.present.setdefault(full.bare, {})[full] = priority
            return
        resources = self.present.get(full.bare)
        if resources and resources.pop(full, None) is not None and not resources:
            del self.present[full.bare]

    # The way of a stanza

    def route(self, stanza: Stanza, origin: Any = None) -> "asyncio.Task[None] | None":
        """Passes a stanza on. `origin` is the session or link that it came in by, None for the node itself.

        `sender` is the true one by now: the port has stamped or checked it. Returns what is still at work on it,
        when a guard or handler has to wait.
        """
        try:
            if origin is not None:
                stanza = honest(stanza, self.host)
            sender = stanza.sender
            if origin is not None and sender is not None and sender.domain == self.host:
                passed = self._passed("leaving", stanza, origin)
                if not isinstance(passed, Stanza):
                    return passed
                stanza = passed
            to = stanza.to
            if to is None:
                return self._handle("self", stanza, origin)
            if to.domain != self.host:
                if self.remote is None:
                    raise StanzaError("remote-server-not-found", "this node does not talk to other servers")
                self.remote(stanza, origin)
            elif not to.local:
                return self._at("host", stanza, origin)
            elif to.bare in self.things:
                passed = self._passed("arriving", stanza, origin)
                return self._at("thing", passed, origin) if isinstance(passed, Stanza) else passed
            elif self.accounts.exists(to.local):
                passed = self._passed("arriving", stanza, origin)
                return self._at_account(passed, origin) if isinstance(passed, Stanza) else passed
            else:
                return self.nobody(stanza, origin)
        except Exception as error:
            self.refuse(stanza, as_stanza_error(stanza, error))
        return None

    def _passed(self, way: str, stanza: Stanza, origin: Any) -> "Stanza | asyncio.Task[None] | None":
        """What has passed the guards of a way. When one has stopped it: what is still at work on it, or None."""
        key = way, stanza.name
        for guard in self._guards[key]:
            verdict = guard(stanza, origin)
            if verdict:
                if not isinstance(verdict, Stanza):
                    return None if verdict is True else verdict
                stanza = verdict
        for watcher in self._watchers[key]:
            watcher(stanza, origin)
        return stanza

    def _at(self, at: str, stanza: Stanza, origin: Any) -> "asyncio.Task[None] | None":
        if stanza.name != "iq":
            return self._handle(at, stanza, origin)
        if stanza.type in ("get", "set"):
            return self._ask_handler(at, stanza, origin)
        self._answered(stanza)
        return None

    def _at_account(self, stanza: Stanza, origin: Any) -> "asyncio.Task[None] | None":
        to = stanza.to
        assert to is not None
        if stanza.name == "message":
            deliver_message(self, stanza)
        elif stanza.name == "presence":
            return self._handle("account", stanza, origin)
        elif to.full:
            session = self.sessions.get(to.bare, {}).get(to)
            if session is None:
                self.missing(stanza)
            else:
                session.deliver(stanza)
        elif stanza.type not in ("get", "set"):
            self._answered(stanza)
        else:
            own = stanza.sender is not None and stanza.sender.bare == to
            at = "self" if own and self._handler("self", stanza) else "account"
            return self._ask_handler(at, stanza, origin)
        return None

    def _handle(self, at: str, stanza: Stanza, origin: Any) -> "asyncio.Task[None] | None":
        handler = self._stanza_handlers.get((at, stanza.name))
        if handler is None:
            self.missing(stanza)
            return None
        return handler(stanza, origin)

    def _handler(self, at: str, iq: Stanza) -> Handler | None:
        return self._iq_handlers[at].get((iq.type or "", iq.kinds[0]))

    def _ask_handler(self, at: str, iq: Stanza, origin: Any) -> "asyncio.Task[None] | None":
        handler = self._handler(at, iq)
        if handler is None:
            raise StanzaError("service-unavailable")
        answer = handler(iq, origin)
        if isinstance(answer, Stanza):
            self.route(answer)
        elif answer is not None:
            return self.spawn(self._answer_later(iq, answer), "answer")
        return None

    async def _answer_later(self, iq: Stanza, answer: Awaitable[Answer]) -> None:
        try:
            async with asyncio.timeout(ANSWER_DEADLINE):
                result = await answer
            if result is not None:
                self.route(result)
        except TimeoutError:
            log.warning("an iq from %s to %s was not answered within %s s", iq.sender, iq.to, ANSWER_DEADLINE)
            self.refuse(iq, StanzaError("remote-server-timeout", "this took too long"))
        except Exception as error:
            self.refuse(iq, as_stanza_error(iq, error))

    def nobody(self, stanza: Stanza, origin: Any) -> "asyncio.Task[None] | None":
        """What is said to an account that is not there, and by strangers to a thing. Raises StanzaError."""
        if stanza.name == "iq" and stanza.type in ("get", "set"):
            return self._ask_handler("missing", stanza, origin)
        self.missing(stanza)
        return None

    def missing(self, stanza: Stanza) -> None:
        """What everybody gets from an address that is not there, or that does not want to be seen."""
        if stanza.name != "presence":  # of which none is answered: a probe must not tell a blocked one from a stranger
            self.refuse(stanza, StanzaError("service-unavailable"))

    def refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Sends the error answer; never to an error or a result (RFC 6120 §8.3.1)."""
        if stanza.sender is not None and stanza.type not in ("error", "result"):
            self.route(stanza.error(error))

    # Questions of our own

    async def ask(self, iq: Stanza, timeout: float = ASK_DEADLINE) -> Stanza:
        """Sends an iq (get or set; its sender one of ours) and waits for the result, in seconds.

        Raises StanzaError with the peer's condition, or remote-server-timeout.
        """
        iq.id = new_id()
        assert iq.to is not None
        answer: asyncio.Future[Stanza] = self.loop.create_future()
        self._questions[iq.to, iq.id] = answer
        try:
            self.route(iq)
            async with asyncio.timeout(timeout):
                result = await answer
        except TimeoutError:
            raise StanzaError("remote-server-timeout", f"{iq.to} did not answer within {timeout} s") from None
        finally:
            self._questions.pop((iq.to, iq.id), None)
        if result.type == "error":
            raise _told(result)
        return result

    def _answered(self, iq: Stanza) -> None:
        # The id cannot be guessed, and only whom we asked can answer (security: S6).
        if iq.sender is not None and iq.id is not None:
            answer = self._questions.get((iq.sender, iq.id))
            if answer is not None and not answer.done():
                answer.set_result(iq)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs something that waits, beside the rest. Its failure is logged."""
        task = self.loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    async def stop(self) -> None:
        """Lets what is being answered come to its end, for a moment."""
        self.tell("stopping")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_ANSWERS)
        for task in self._tasks:
            task.cancel()


def as_stanza_error(stanza: Stanza, error: Exception) -> StanzaError:
    """What the sender hears when handling his stanza has failed; what is a bug of ours is logged."""
    if isinstance(error, StanzaError):
        return error
    if isinstance(error, StoreError):  # a disk that is full or broken; the store has logged it
        return StanzaError("resource-constraint", str(error))
    log.error("a %s from %s to %s failed", stanza.name, stanza.sender, stanza.to, exc_info=error)
    return StanzaError("internal-server-error", type="wait")


def _told(answer: Stanza) -> StanzaError:
    """The error that an answer tells."""
    error = answer.child("error", "jabber:client")
    if error is None or not error.elements:
        return StanzaError("undefined-condition")
    text = error.find("text", "urn:ietf:params:xml:ns:xmpp-stanzas")
    try:
        return StanzaError(error.elements[0].name, text.text if text else None, type=error.get("type"))
    except KeyError:
        return StanzaError("undefined-condition", text.text if text else None)
