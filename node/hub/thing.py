"""A thing: an endpoint without a socket, whose far end is a driver (design: one model, many faces).

A `Thing` has fields, which are read, and controls, which are set. It looks after its driver: opens it, reads it,
notices when the far end is gone and opens it again. What fields, controls and states look like in XMPP is the
business of the faces in `things/`; how hardware is reached is the driver's, which knows no XMPP. Values are texts
from the sensor to the wire: "10.0" is not "10".
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from node.base.jid import Jid
from node.hub import controls
from node.hub.driver import Control, Driver, DriverError, Field, shared

log = logging.getLogger("hobnode")

RESOURCE = "hw"  # the fixed resource: libraries such as Smack address a device by its full address
OPEN_DEADLINE = 15  # seconds; a board that was reset by opening its port is deaf for two
READ_DEADLINE = 10  # seconds; a DS18B20 takes one, a bus of them several
COMMAND_DEADLINE = 5  # seconds until the hardware has confirmed all of a command; nobody waits longer for a lamp
CLOSE_DEADLINE = 5  # seconds
FIRST_RETRY = 2  # seconds after the far end was lost; a cable is put back by hand
TO_COME = 30  # seconds: twice what it may take to open; boards boot within, after a power cut
STEADY = 30  # seconds online after which a loss is a new one; a loose plug is not to be news every 3 s
LAST_RETRY = 30  # seconds between attempts at the most
STALE_READS = 3  # intervals without a reading
STALE_SECONDS = 90  # without a word from a driver that reports by itself; boards say something every few seconds
WAITING_LIMIT = 5  # commands at once: more than a family presses, and all are answered within the hub's 30 seconds


class Reading(NamedTuple):
    """A value as the sensor wrote it ('true' and 'false' for a boolean), and its Unix time."""

    value: str
    stamp: float


class ControlError(Exception):
    """A command that was refused or not confirmed: the control's name, an RFC 6120 condition and type, a text."""

    def __init__(self, name: str, condition: str, type: str, text: str):
        super().__init__(text)
        self.name = name
        self.condition = condition
        self.type = type
        self.text = text


@dataclass(slots=True)
class Thing:
    """A contact whose body is hardware: `jid` is its address, `kind` the name of its driver."""

    jid: Jid
    label: str
    kind: str
    driver: Driver
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic  # for intervals: a Pi's time of day may jump by decades
    online: bool = False
    reason: str = "not started yet"
    since: float = 0.0  # Unix time of the last change of `online`
    awaited: float = 0.0  # on the clock: not gone before that, for it may yet come for the first time
    last: float = 0.0  # Unix time of the last reading
    stale: bool = False
    busy: bool = False
    fault: str = ""  # why the last read has failed; '' when it has not
    picture: str = ""  # which of node/things/pictures; '' for one by what it tells and can be told
    fields: dict[str, Field] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    _listeners: list[Callable[["Thing", set[str]], None]] = field(default_factory=list)
    _early: dict[str, str | None] | None = None  # reported while it is being opened: nobody knows its fields yet
    _heard: float = 0.0  # on the clock, when it was opened or the last reading came
    _silence: asyncio.TimerHandle | None = None
    _keeper: asyncio.Task[None] | None = None
    _lock: asyncio.Lock | None = None  # made for the first command: sensors get none
    _waiting: int = 0

    def __post_init__(self) -> None:
        self.since, self.awaited = self.now(), self.clock() + TO_COME
        self._describe()

    @property
    def alarm(self) -> str:
        """What is alarming, in words; '' when nothing is."""
        readings = self.readings
        return " · ".join(
            item.alarm
            for name, item in self.fields.items()
            if item.alarm and name in readings and readings[name].value == "true"
        )

    @property
    def full(self) -> Jid:
        """The address of its one resource."""
        return self.jid.with_resource(RESOURCE)

    def on_change(self, listener: Callable[["Thing", set[str]], None]) -> None:
        """`listener(thing, names)` hears of new readings (their names), and with an empty set of a new state."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begins to look after the driver."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"thing {self.jid.local}")

    async def stop(self) -> None:
        """Lets go of the hardware."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper], timeout=CLOSE_DEADLINE)
        await self._close()
        self._listeners.clear()  # a command that only ends now is nobody's news: another may have its address

    async def control(self, values: dict[str, str], by: Jid) -> None:
        """Sets controls in their order, one command at a time; returns when the hardware has confirmed all.

        Nothing is set when one of them is wrong. Raises ControlError.
        """
        checked = {name: self.validate(name, text) for name, text in values.items()}
        name = next(iter(checked), "")
        if self._waiting >= WAITING_LIMIT:
            raise ControlError(name, "conflict", "wait", f"{self.label} is busy.")
        self._waiting += 1
        if self._lock is None:
            self._lock = asyncio.Lock()
        try:
            async with self._lock:
                if not self.online:
                    raise ControlError(name, "recipient-unavailable", "wait", self.complaint())
                self._turn(busy=True)
                deadline = asyncio.get_running_loop().time() + COMMAND_DEADLINE
                for name, value in checked.items():
                    await self._command(name, value, deadline)
                    log.info("%s: %s set to %s by %s", self.jid.local, name, value, by)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._turn(busy=False)

    async def _command(self, name: str, value: str, deadline: float) -> None:
        before = self.readings.get(name)
        try:
            async with asyncio.timeout_at(deadline):
                await self.driver.write(name, value)
        except DriverError as error:
            raise ControlError(name, "recipient-unavailable", "wait", f"{self.label}: {error}") from error
        except TimeoutError:
            text = f"{self.label} has not confirmed {name} within {COMMAND_DEADLINE} s."
            raise ControlError(name, "recipient-unavailable", "wait", text) from None
        except Exception as error:  # whoever waits gets an answer, also where a driver has a bug
            log.exception("%s: the driver %s failed", self.jid.local, self.kind)
            text = f"{self.label}: the driver failed: {type(error).__name__}"
            raise ControlError(name, "internal-server-error", "wait", text) from error
        # What the hardware says itself is truer; but what was read meanwhile may be older.
        if name in self.fields and (self.driver.interval is not None or self.readings.get(name) is before):
            self.report({name: value})

    def complaint(self) -> str:
        """Why it cannot be commanded: 'Porch is offline since 14:02: USB cable gone: /dev/ttyUSB0'."""
        return f"{self.label} is offline since {time.strftime('%H:%M', time.localtime(self.since))}: {self.reason}"

    def validate(self, name: str, text: str) -> str:
        """The normal form of a value for that control. Raises ControlError."""
        control = self.controls.get(name)
        if control is None:
            raise ControlError(name, "item-not-found", "modify", f"There is no control {name[:80]!r}.")
        value = controls.normal(control, text.strip() if control.type != "string" else text)
        if value is None:
            raise ControlError(name, "bad-request", "modify", f"{control.label or name}: {controls.wanted(control)}")
        return value

    def report(self, readings: Mapping[str, str | None]) -> None:
        """Takes new values; None is that of a sensor that is lost. Those of fields that nobody declared are dropped."""
        if self._early is not None:
            self._early.update(readings)
            return
        stamp = self.now()
        changed: set[str] = set()
        known = lost = False
        for name, value in readings.items():
            before, field = self.readings.get(name), self.fields.get(name)
            if value is None:
                lost |= self.readings.pop(name, None) is not None
            elif field is not None:
                known = True
                self.readings[field.name] = Reading(value, stamp)  # not `name`, another text each time
                if before is None or before.value != value:
                    changed.add(name)
        if known:
            self.last = stamp
            self._heard = self.clock()
            if self.stale:
                self._turn(stale=False)
        if changed or lost:
            self._tell(changed)

    # Looking after the driver

    async def _keep(self) -> None:
        retry = FIRST_RETRY
        while True:
            opened: float | None = None
            self._early = {}
            try:
                async with asyncio.timeout(OPEN_DEADLINE):
                    await self.driver.open(self.report)
                self._describe()
                early, self._early = self._early, None
                opened = self._heard = self.clock()
                gone = asyncio.ensure_future(self.driver.gone())
                try:
                    if self.driver.interval is not None:
                        await self._read()  # so that the first presence has something to say
                        await asyncio.sleep(0)  # it may have been lost by that: then it was never there
                    else:
                        self.readings = {}  # what it said before it was lost may be so no more, and it says it anew
                    if not gone.done():
                        self._turn(online=True, reason="", stale=False)
                        self.report(early)
                    if self.driver.interval is not None:
                        reason = await self._attend(gone, self.driver.interval)
                    else:  # without a task and coroutines that wait for it: a KiB for each thing
                        self._listen()
                        reason = await gone
                finally:
                    gone.cancel()
                    if self._silence is not None:
                        self._silence.cancel()
                if self.clock() - opened >= STEADY:
                    retry = FIRST_RETRY
            except DriverError as error:
                reason = str(error)
            except TimeoutError:
                reason = f"no answer within {OPEN_DEADLINE} s"
            except Exception as error:
                log.exception("%s: the driver %s failed", self.jid.local, self.kind)
                reason = f"the driver failed: {type(error).__name__}"
            self._turn(online=False, reason=reason)
            await self._close()
            await self._pause(retry, was_there=opened is not None)
            retry = min(2 * retry, LAST_RETRY)

    async def _pause(self, seconds: float, was_there: bool) -> None:
        """Until it is time to try again: the whole pause after a loss, so that a loose plug is not news all the time;
        later less for a driver that hears when the far end is back."""
        back = getattr(self.driver, "back", None)
        if back is None or was_there:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(back(), seconds)

    def described(self) -> None:
        """The driver, which is open, has other fields or controls now."""
        self._describe()
        if self.online and self.driver.interval is None:
            self._listen()  # more may be expected of it, or less
        self._tell(set())

    def _describe(self) -> None:
        self.fields = shared({item.name: item for item in self.driver.fields})
        self.controls = shared({item.name: item for item in self.driver.controls})
        self.readings = {name: reading for name, reading in self.readings.items() if name in self.fields}

    async def _attend(self, gone: asyncio.Future[str], interval: float) -> str:
        """Reads until the far end is lost; why."""
        while not (await asyncio.wait([gone], timeout=interval))[0]:
            await self._read()
            self._look(STALE_READS * interval)
        return gone.result()

    def _listen(self) -> None:
        """Looks now and then whether what reports by itself does, if it is expected to."""
        if self._silence is not None:
            self._silence.cancel()
        patience = getattr(self.driver, "patience", STALE_SECONDS)
        self._look(patience)
        if patience < float("inf"):
            assert self._keeper is not None
            self._silence = self._keeper.get_loop().call_later(min(patience, STALE_SECONDS), self._listen)

    def _look(self, patience: float) -> None:
        if self.fields and self.clock() - self._heard >= patience:  # of what has only controls nothing is to be heard
            self._turn(stale=True)

    async def _read(self) -> None:
        fault, before = self.fault, dict(self.readings)
        try:
            async with asyncio.timeout(READ_DEADLINE):
                readings = await self.driver.read()
            self.fault = ""
            # What a command has confirmed meanwhile is newer.
            self.report(
                {name: value for name, value in readings.items() if self.readings.get(name) is before.get(name)}
            )
        except (DriverError, TimeoutError) as error:
            self.fault = str(error) or f"no answer within {READ_DEADLINE} s"
            log.warning("%s: not read: %s", self.jid.local, self.fault)
        if self.fault != fault:
            self._tell(set())

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_DEADLINE):
                await self.driver.close()
        except Exception:
            log.exception("%s: the driver %s did not close", self.jid.local, self.kind)

    def _turn(
        self,
        *,
        online: bool | None = None,
        reason: str | None = None,
        stale: bool | None = None,
        busy: bool | None = None,
    ) -> None:
        """Takes on a state, and tells when that is news."""
        before = self.online, self.reason, self.stale, self.busy
        if online is not None and online != self.online:
            self.online, self.since, self.awaited = online, self.now(), 0.0
        self.reason = self.reason if reason is None else reason
        self.stale = self.stale if stale is None else stale
        self.busy = self.busy if busy is None else busy
        if before == (self.online, self.reason, self.stale, self.busy):
            return
        if before[:2] != (self.online, self.reason):
            if self.online:
                log.info("%s: online", self.jid.local)
            else:
                log.warning("%s: offline: %s", self.jid.local, self.reason)
        self._tell(set())

    def _tell(self, names: set[str]) -> None:
        for listener in self._listeners:
            try:
                listener(self, names)
            except Exception:
                log.exception("%s: a face of the thing failed", self.jid.local)
