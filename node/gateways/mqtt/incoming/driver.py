"""A thing at the other end of a broker: what is said for its topics, and what is published for its controls.

Its topics are listened to for as long as it is known, also while it is not there: that it is back is heard there.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from node.gateways.mqtt.incoming.far import ONLINE, SILENT, Far, Order, Presence, Source
from node.gateways.mqtt.incoming.signs import Signs
from node.gateways.mqtt.incoming.templates import Message, TemplateError
from node.hub.driver import Control, DriverError, Field, Report
from node.net.grumble import Grumble

HEAR = 3.0  # seconds until a broker has said what it keeps; one on a Pi with 500 devices needs one
CONFIRM = 4.5  # seconds: a Thing gives up after 5, and knows less of the reason
NOTHING = Far("")
SHARE = 0.05  # seconds of the processor in a second, for one thing; a state of a lamp takes 0.0001


class _Confirming(NamedTuple):
    """A control that has been set, and waits until the thing says so."""

    control: str
    done: Callable[[str], bool]
    echo: str
    payload: str
    told: asyncio.Future[None]


class Driver:
    """What a Thing needs. `client` is the broker's side of the node, `signs` what is shared of who is there."""

    __slots__ = (
        *("_away", "_changed", "_client", "_confirming", "_due", "_far", "_lost", "_name", "_noise"),
        *("_report", "_rest", "_second", "_signs", "_sources", "_spent", "_timer", "_values"),
        *("about", "controls", "fields", "patience"),
    )
    interval: float | None = None

    def __init__(self, client: Any, signs: Signs, name: str, far: Far | None = None):
        self._client = client
        self._signs = signs
        self._name = name
        self._far: Far | None = None
        self._sources = NOTHING.sources
        self._values: dict[str, str | None] = {}  # what was said last, by field
        self._away: dict[str, str] = {}  # why parts of it are not there, by their fields and controls
        self._due: dict[str, tuple[float, str | None]] = {}  # what a field is to be at that time on the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None  # what of a message is looked at later
        self._changed: asyncio.Future[None] | None = None  # done when it has changed whether it is there
        self._report: Callable[[Any], None] | None = None
        self._lost: asyncio.Future[str] | None = None  # while it is open
        self._confirming: _Confirming | None = None
        self._second, self._spent = 0.0, 0.0
        self._noise: Grumble | None = None  # of most there is nothing to be said
        self.fields: tuple[Field, ...] = ()
        self.controls: tuple[Control, ...] = ()
        self.about: dict[str, str] = {}
        self.patience = float("inf")
        if far:
            self.describe(far)

    # What is known of it

    def describe(self, far: Far) -> None:
        """Takes what is known of the far end now, in the place of what was known."""
        old, self._far = self._far or NOTHING, far
        self.fields, self.controls, self.about = far.fields, far.controls, far.about
        expiring = [source.expires for sources in far.sources.values() for source in sources]
        self.patience = max(expiring) if expiring and all(expiring) else float("inf")
        before, self._sources = self._sources, far.topics
        known = {field.name for field in far.fields}
        for name in self._values.keys() - known:
            del self._values[name]
        for name in self._due.keys() - known:
            del self._due[name]
        for source in (source for sources in far.sources.values() for source in sources if source.rest):
            self._values.setdefault(source.field, source.rest)
        for topic, sources in self._sources.items():
            if sources != before.get(topic):  # what the broker keeps comes again, for those who are new
                self._client.subscribe(topic, self._heard)
        for topic in before:
            if before[topic] != self._sources.get(topic):
                self._client.unsubscribe(topic, self._heard)
        self._listen(old.presences, far.presences)
        self.judge()

    @property
    def known(self) -> bool:
        """Whether it has been announced."""
        return self._far is not None

    def forget(self) -> None:
        """Listens no more, until it is announced anew. What it can do it says then; till then it can what it could."""
        fields, controls, about = self.fields, self.controls, self.about
        self.describe(NOTHING)
        self.fields, self.controls, self.about = fields, controls, about
        self._far = None
        for timer in (self._timer, self._rest):
            if timer:
                timer.cancel()
        self._timer = self._rest = None
        self.judge()

    def _listen(self, old: tuple[Presence, ...], new: tuple[Presence, ...]) -> None:
        for topic in sorted({sign.topic for presence in new for sign in presence.signs}):
            self._signs.watch(topic, self.judge)
        for topic in {sign.topic for presence in old for sign in presence.signs}:
            self._signs.leave(topic, self.judge)

    # What a Thing asks for

    async def open(self, report: Report) -> None:
        """Waits a moment until it is known whether it is there. Raises DriverError."""
        try:
            async with asyncio.timeout(HEAR):
                while self._unknown():
                    await self._change()
        except TimeoutError:
            pass
        if why := self._missing():
            raise DriverError(why)
        self._lost = asyncio.get_running_loop().create_future()
        self._report = report
        self._away = self._missing_parts()
        self._tell(self._values)

    async def read(self) -> dict[str, str | None]:
        """Nothing: it reports by itself."""
        return {}

    async def write(self, control: str, value: str) -> None:
        """Publishes, and waits until the thing says that it is so. Raises DriverError."""
        order = self._far.orders.get(control) if self._far else None
        if order is None or self._lost is None:
            raise DriverError(f"nothing is known that sets {control}")
        if control in self._away:
            raise DriverError(self._away[control])
        try:
            payload = order.payload(value)
        except ValueError as error:
            raise DriverError(f"what is to be published for {control} cannot be made: {error}") from error
        said = self._values.get(control)
        try:
            async with asyncio.timeout(CONFIRM):
                already = said is not None and _done(order, value, said)
                await self._send(order, control, value, payload, already)
                if already:
                    self._tell({control: self._values.get(control)})  # what was asked may be a word that it never says
        except TimeoutError:
            said = self._values.get(control)
            so_far = f"; it says {said}" if said is not None else ""
            raise DriverError(f"it has not said within {CONFIRM:g} s that {control} is {value}{so_far}") from None

    async def _send(self, order: Order, control: str, value: str, payload: str, already: bool) -> None:
        lost = self._lost
        assert lost
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._confirming = _Confirming(control, lambda said: _done(order, value, said), order.echo, payload, confirmed)
        try:
            await self._client.deliver(order.topic, payload, retain=order.retain, timeout=CONFIRM)
            if order.done is None or already:
                return
            both: list[asyncio.Future[Any]] = [confirmed, lost]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not confirmed.done():
                raise DriverError("it is taken out" if lost.cancelled() else lost.result())
        finally:
            self._confirming = None

    def gone(self) -> asyncio.Future[str]:
        """Done when it is not there any more, with the reason. (No coroutine: that and its task take 1 KB.)"""
        assert self._lost
        return self._lost

    async def back(self) -> None:
        """Waits until it seems to be there again."""
        while self._missing():
            await self._change()

    async def _change(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        await self._changed

    async def close(self) -> None:
        """Reports no more."""
        self._report = self._lost = None

    # Whether it is there

    def judge(self) -> None:
        """Something may have changed about that."""
        if self._changed and not self._changed.done():
            self._changed.set_result(None)
        if self._lost and not self._lost.done():
            if why := self._missing():
                self._lost.set_result(why)
            else:
                self._judge_parts()

    def _judge_parts(self) -> None:
        """What is not there has no value, and what is back has that which was said last."""
        before, self._away = self._away, self._missing_parts()
        lost: dict[str, str | None] = dict.fromkeys(self._away.keys() - before.keys())
        back = {name: self._values[name] for name in before if name not in self._away and name in self._values}
        if lost or back:
            self._tell(lost | back)

    def _missing_parts(self) -> dict[str, str]:
        parts = self._far.parts.items() if self._far else ()
        return {name: why for presence, names in parts if (why := self._signs.judge(presence)) for name in names}

    def _unknown(self) -> bool:
        """Whether the broker may yet say that it is there."""
        return self._far is None or (self._client.online and self._missing(heard=True) == ONLINE != self._missing())

    def _missing(self, heard: bool = False) -> str:
        """Why it is not there, ONLINE when it is. `heard`: what nothing is known of counts as there."""
        if not self._client.online:
            return "the MQTT broker is not connected"
        if self._far is None:
            return "nobody has announced it on the MQTT broker yet"
        reasons = [self._signs.judge(presence, heard) for presence in self._far.presences]
        return ONLINE if ONLINE in reasons or not reasons else reasons[0]

    # What it says

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now >= self._second:
            self._second, self._spent = now + 1, 0.0
        if self._spent >= SHARE:
            self._complain("it says more than can be looked at", now)
            return
        begun = time.thread_time()
        waiting = self._confirming
        accepted = waiting and topic == waiting.echo and not retained and payload == waiting.payload.encode()
        if waiting and accepted and not waiting.told.done():
            waiting.told.set_result(None)
        self._spent += time.thread_time() - begun
        sources = self._sources.get(topic, ())
        if retained:
            sources = tuple(each for each in sources if not each.rest)
        self._look(topic, Message(payload.decode(errors="replace")), sources)

    def _look(self, topic: str, message: Message, sources: tuple[Source, ...]) -> None:
        """Takes what is said there; when that takes longer than others can bear, the rest in the next second."""
        loop = asyncio.get_running_loop()
        now, begun = loop.time(), time.thread_time() - self._spent
        readings: dict[str, str | None] = {}
        for number, source in enumerate(sources):
            if number and time.thread_time() - begun >= SHARE:
                self._later(topic, message, sources[number:])
                break
            try:
                found = source.find(message)
            except TemplateError as error:
                self._complain(f"{topic}: {error}", now)
                found = message.text  # for who can make something of it
            try:
                value = source.meaning(found) if found else SILENT
            except ValueError as error:
                self._complain(f"{topic}: {source.field}: {error}", now)
                continue
            if value is SILENT:
                continue
            readings[source.field] = value
            self._due.pop(source.field, None)
            if source.expires:
                self._due[source.field] = now + source.expires, None
            elif source.off and (source.rest or value == "true"):
                self._due[source.field] = now + source.off, source.rest or "false"
            if source.rest and value == self._values.get(source.field):
                self._tell({source.field: source.rest})  # it happens again
        self._spent = time.thread_time() - begun
        self._wind_up()
        self._take(readings)

    def _later(self, topic: str, message: Message, sources: tuple[Source, ...]) -> None:
        """One message waits; what comes before it is looked at is newer."""
        if self._rest:
            self._rest.cancel()
            self._complain(f"{topic}: it takes too long to make something of that", asyncio.get_running_loop().time())
        self._rest = asyncio.get_running_loop().call_at(self._second, self._go_on, topic, message, sources)

    def _go_on(self, topic: str, message: Message, sources: tuple[Source, ...]) -> None:
        self._rest = None
        self._second, self._spent = asyncio.get_running_loop().time() + 1, 0.0
        self._look(topic, message, sources)

    def _wind_up(self) -> None:
        """The timer goes off for what is due first."""
        if not self._due:
            return
        first = min(when for when, _ in self._due.values())
        if self._timer and self._timer.when() > first:
            self._timer.cancel()
            self._timer = None
        if not self._timer:
            self._timer = asyncio.get_running_loop().call_at(first, self._is_due)

    def _complain(self, what: str, now: float) -> None:
        if self._noise is None:
            self._noise = Grumble("%s: what was said %d times is not understood; the last: %s")
        self._noise.add(self._name, what, now)

    def _take(self, readings: dict[str, str | None]) -> None:
        if not readings:
            return
        self._values |= readings
        self._tell(readings)
        waiting = self._confirming
        if waiting:
            said = readings.get(waiting.control)
            if said is not None and waiting.done(said) and not waiting.told.done():
                waiting.told.set_result(None)

    def _tell(self, readings: dict[str, str | None]) -> None:
        if self._away:
            readings = {name: None if name in self._away else value for name, value in readings.items()}
        if self._report:
            self._report(readings)

    def _is_due(self) -> None:
        now = asyncio.get_running_loop().time()
        past = {name: value for name, (when, value) in self._due.items() if when <= now}
        for name in past:
            del self._due[name]
        self._timer = None
        self._wind_up()
        self._take(past)


def _done(order: Order, asked: str, said: str) -> bool:
    return order.done is not None and order.done(asked, said)
