"""The broker, for the rest of the gateway: subscribe, publish, deliver; connected again whenever it was lost."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from paho.mqtt.matcher import MQTTMatcher
from paho.mqtt.reasoncodes import ReasonCode

from node.gateways.mqtt.connection import Connection
from node.gateways.mqtt.outbox import Letter, Outbox
from node.hub.driver import DriverError

if TYPE_CHECKING:
    from node.gateways.mqtt import Options

log = logging.getLogger("hobnode")

Listener = Callable[[str, bytes, bool], None]

FIRST_RETRY = 2.0  # seconds; a broker that is started again needs one
LAST_RETRY = 60.0  # seconds between attempts at the most
STEADY = 30  # seconds connected after which a loss is a new one
LEAVE_DEADLINE = 1.5  # seconds for the last words; the hub waits two
CONFIRM_DEADLINE = 30.0  # seconds until a broker has confirmed what was sent; one that swaps takes some
COMPLAINTS = 100  # of one connection; who has more to complain of has been heard
NOBODY = 0x10  # MQTT 5 §3.4.2.1: no matching subscribers

ONLINE, OFFLINE = "online", "offline"


class Client:
    """The broker as we see it. `status` is the topic that says whether we are there, by our last will too; `name` is
    the client id: two with the same take the place of each other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: "Options", status: str, name: str):
        self._loop = loop
        self.turn(options, status, name)
        self._connection: Connection | None = None  # while we are connected
        self._outbox = Outbox()
        self._flying: dict[int, Letter] = {}  # by id
        self._asked: dict[int, str] = {}  # filters, by the id of the question
        self._filters: dict[str, list[Listener]] = {}
        self._numbers: dict[str, int] = {}  # of the filters: a broker says for which of them it sends something,
        self._numbered: dict[int, list[Listener]] = {}  # and sends it once for each
        self._last = 0
        self._wild = MQTTMatcher()  # filters that fit more than one topic
        self._watchers: list[Callable[[bool], None]] = []
        self._told: set[str] = set()  # complaints of this connection
        self._keeper: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None  # while something is not confirmed
        self._heard = 0.0  # when something was, on the loop's clock
        self._empty: asyncio.Future[None] | None = None  # done when all has been said
        self._leaving = False

    @property
    def online(self) -> bool:
        """Whether we are connected."""
        return self._connection is not None

    def turn(self, options: "Options", status: str, name: str) -> None:
        """Turns to a broker; before the start, or when we have left another."""
        self.status = status
        self._options = options
        self._name = name
        self._where = f"{options.broker}:{options.port}"
        self._said = "not tried yet"  # why we are not connected

    def start(self) -> None:
        """Begins to look after the connection."""
        self._leaving = False
        self._keeper = self._loop.create_task(self._keep(), name="mqtt")

    async def leave(self, farewell: str = OFFLINE) -> None:
        """Says goodbye to the broker and ends. `farewell` is what is left at our status; with "" all that was said
        before is on its way, too, and nothing is left."""
        self._leaving = True
        try:
            async with asyncio.timeout(LEAVE_DEADLINE):
                if self._connection and not farewell and (self._flying or len(self._outbox)):
                    self._empty = self._loop.create_future()
                    await self._empty
                if self._connection:
                    await self.deliver(self.status, farewell, retain=True, timeout=LEAVE_DEADLINE)
                    self._connection.leave()
                    await asyncio.wait([self._connection.lost])
        except (DriverError, TimeoutError):
            log.warning("mqtt: %s does not hear our goodbye", self._where)
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        self._outbox = Outbox()  # what waits was meant for that broker

    # What others use

    def subscribe(self, filter: str, listener: Listener) -> None:
        """`listener(topic, payload, retained)` hears of all that fits, except what we publish ourselves, now and after
        each connect. What the broker has kept for these topics comes again. Raises ValueError: no topic filter."""
        _check(filter, wildcards=True)
        if filter not in self._filters:
            self._last = number = self._last + 1
            self._numbers[filter] = number
            self._filters[filter] = self._numbered[number] = []
            if _is_wild(filter):
                self._wild[filter] = self._filters[filter]
        self._filters[filter].append(listener)
        self._ask(filter)

    def unsubscribe(self, filter: str, listener: Listener) -> None:
        """The listener hears no more of that filter."""
        listeners = self._filters.get(filter, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners and self._filters.pop(filter, None) is not None:
            del self._numbered[self._numbers.pop(filter)]
            if _is_wild(filter):
                del self._wild[filter]
            if self._connection:
                self._connection.unsubscribe(filter)

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Sends a message, now or when the broker can take it. Raises ValueError: no topic.

        Of a retained one the newest waits for the connection. Any other is meant for now: without a connection it
        is dropped, and who wants to know uses `deliver`.
        """
        _check(topic)
        if self.online or retain:
            self._put(Letter(topic, _bytes(payload), retain, qos))

    async def deliver(self, topic: str, payload: str | bytes, *, retain: bool = False, timeout: float) -> None:
        """Sends a message before all that waits; returns when the broker has confirmed it (QoS 1).

        Raises DriverError within `timeout` seconds, in words: there is no connection, the broker refuses it or is
        silent, or nobody has subscribed to the topic of a message that is not retained.
        """
        try:
            _check(topic)
        except ValueError as error:
            raise DriverError(str(error)) from error
        if not self.online:
            raise DriverError(f"the MQTT broker {self._where} is not connected: {self._said}")
        told: asyncio.Future[None] = self._loop.create_future()
        letter = Letter(topic, _bytes(payload), retain, 1, told)
        self._put(letter)
        try:
            async with asyncio.timeout(timeout):
                await told
        except TimeoutError:
            raise DriverError(f"the MQTT broker {self._where} has not confirmed within {timeout:g} s") from None
        finally:
            self._outbox.remove(letter)

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """`listener(online)` hears when the connection is up, with all subscriptions asked for, and when it is lost."""
        self._watchers.append(listener)

    # The connection

    async def _keep(self) -> None:
        retry = FIRST_RETRY
        while True:
            begun = self._loop.time()
            connection = Connection(self._loop, self._options, self._name, (self.status, OFFLINE))
            try:
                await connection.open(self)
                self._begin(connection)
                reason = await connection.lost
            except OSError as error:
                reason = str(error)
            except Exception as error:  # else nobody would look after the connection any more
                log.exception("mqtt: the connection failed")
                reason = f"{type(error).__name__}: {error}"
            finally:
                connection.close()
                self._end()
            if self._loop.time() - begun >= STEADY:
                retry = FIRST_RETRY
            if reason != self._said and not self._leaving:  # one line for each new reason
                log.warning("mqtt: %s is not connected: %s", self._where, reason)
            self._said = reason
            await asyncio.sleep(retry * random.uniform(0.8, 1.2))  # not with all others of a broker that came back
            retry = min(2 * retry, LAST_RETRY)

    def _begin(self, connection: Connection) -> None:
        """The broker has let us in."""
        self._connection, self._said = connection, ""
        log.info("mqtt: connected to %s as %s", self._where, self._name)
        for filter in self._filters:
            self._ask(filter)
        self.publish(self.status, ONLINE, retain=True)
        self._tell(True)

    def _end(self) -> None:
        """The connection is over. What is retained and was not confirmed waits for the next; all else has failed."""
        if not self._connection:
            return
        self._connection = None
        self._asked.clear()
        self._told.clear()
        if self._watchdog:
            self._watchdog.cancel()
            self._watchdog = None
        if self._empty and not self._empty.done():
            self._empty.set_result(None)
        flying, self._flying = list(self._flying.values()), {}
        for letter in (*self._outbox.forget(), *flying):
            if letter.told:
                fail(letter.told, f"the MQTT broker {self._where} was lost before it confirmed")
            elif letter.retain:
                self._outbox.put_back(letter)
        self._tell(False)

    def _tell(self, online: bool) -> None:
        for watcher in self._watchers:
            try:
                watcher(online)
            except Exception:
                log.exception("mqtt: a listener failed")

    # What the connection tells

    def heard(self, topic: str, payload: bytes, retained: bool, numbers: list[int]) -> None:
        """Somebody says something."""
        if numbers:
            found = [self._numbered.get(number, []) for number in numbers]
        else:
            found = [self._filters.get(topic, []), *self._wild.iter_match(topic)]
        for listeners in found:
            for listener in tuple(listeners):
                try:
                    listener(topic, payload, retained)
                except Exception as error:
                    self._once(f"a listener failed at {topic[:200]!r}", error)

    def confirmed(self, id: int, reason: ReasonCode) -> None:
        """The broker has taken a message, or refused it."""
        letter = self._flying.pop(id, None)
        if letter:
            if reason.is_failure:
                self._once(f"{self._where} does not take what we publish, such as {letter.topic}: {reason}")
                fail(letter.told, f"the MQTT broker does not take {letter.topic}: {reason}")
            elif reason.value == NOBODY and not letter.retain:
                fail(letter.told, f"nobody on the MQTT broker listens to {letter.topic}")
            elif letter.told and not letter.told.done():
                letter.told.set_result(None)
        self._heard = self._loop.time()
        self._pump()
        if self._empty and not self._flying and not self._empty.done():
            self._empty.set_result(None)

    def granted(self, id: int, reason: ReasonCode) -> None:
        """The broker lets us hear something, or does not."""
        filter = self._asked.pop(id, "")
        if reason.is_failure:
            self._once(f"{self._where} does not let us hear {filter}: {reason}")

    # What we say

    def _ask(self, filter: str) -> None:
        id = self._connection.subscribe(filter, self._numbers[filter]) if self._connection else None
        if id is not None:
            self._asked[id] = filter

    def _put(self, letter: Letter) -> None:
        for dropped in self._outbox.put(letter):
            self._once(f"too much waits for {self._where}: what is oldest is dropped", about=dropped.topic)
        self._pump()

    def _pump(self) -> None:
        """Sends as much as may be on its way at once."""
        while self._connection and len(self._outbox) and len(self._flying) < self._connection.window:
            letter = self._outbox.take()
            if letter.size > self._connection.largest:
                self._once(f"{self._where} takes no message as large as {letter.topic}")
                fail(letter.told, "that is too large for the MQTT broker")
                continue
            id = self._connection.publish(letter.topic, letter.payload, letter.qos, letter.retain)
            if id is None:
                self._outbox.put_back(letter)
                return
            if not self._flying:
                self._heard = self._loop.time()
            self._flying[id] = letter
        if self._flying and not self._watchdog:
            self._watchdog = self._loop.call_later(CONFIRM_DEADLINE, self._look)

    def _look(self) -> None:
        """A broker may answer to pings and confirm nothing: what is on its way would fill the window for ever."""
        self._watchdog = None
        due = self._heard + CONFIRM_DEADLINE
        if self._connection and self._flying and due <= self._loop.time():
            self._connection.give_up(f"it has not confirmed anything for {CONFIRM_DEADLINE:g} s")
        elif self._flying:
            self._watchdog = self._loop.call_at(due, self._look)

    def _once(self, text: str, error: Exception | None = None, about: str = "") -> None:
        """A complaint that a connection makes once: what is wrong with a message is wrong with the next thousand."""
        key = f"{type(error).__name__} {error}"[:200] if error else text
        if key not in self._told and len(self._told) < COMPLAINTS:
            self._told.add(key)
            log.warning("mqtt: %s%s", text, f", such as {about}" if about else "", exc_info=error)


def fail(told: asyncio.Future[None] | None, text: str) -> None:
    """Tells whoever waits for it that it has failed."""
    if told and not told.done():
        told.set_exception(DriverError(text))


def _is_wild(filter: str) -> bool:
    return "+" in filter or "#" in filter


def _bytes(payload: str | bytes) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


def _check(topic: str, wildcards: bool = False) -> None:
    """Raises ValueError for what is no topic, or no topic filter (MQTT 5 §4.7)."""
    levels = topic.split("/")
    wrong = not topic or "\0" in topic or len(topic.encode()) > 0xFFFF
    if wildcards:
        wrong = wrong or any("+" in level and level != "+" for level in levels)
        wrong = wrong or any("#" in level and level != "#" for level in levels) or "#" in levels[:-1]
    else:
        wrong = wrong or "+" in topic or "#" in topic
    if wrong:
        raise ValueError(f"{topic[:80]!r} is no MQTT topic{' filter' if wildcards else ''}")
