"""A program's output as fields, and programs as controls; no shell is asked."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Literal

from node.drivers.exec.program import GRACE, OUTPUT, RATE, Program, run, start
from node.hub import formats
from node.hub.driver import Control, DriverError, Field, Report
from node.hub.formats import Format, Place
from node.hub.formats.lapses import Lapses
from node.hub.thing import COMMAND_DEADLINE, READ_DEADLINE
from node.net.grumble import Grumble
from node.net.lines import Lines

LONGEST_COMMAND = COMMAND_DEADLINE - 0.5  # seconds; so it is we who say what has taken so long
FAILURES = 3  # readings in a row that failed, until the thing is offline; one may be an accident
TEXT = 60  # characters of noise in our log
LINES = 200  # the last ones of an output; what is more is no answer to a question


@dataclass
class Setting:
    """Words of `[[thing.NAME.controls]]`: the program that sets it."""

    command: tuple[str, ...]  # ["/usr/bin/lamp", "{value}"]: {value} is what the control is set to
    true: str = "1"  # how a boolean is spelled
    false: str = "0"

    def __post_init__(self):
        _check(self.command)


@dataclass
class Options:
    """`[thing.NAME]` with a program."""

    command: tuple[str, ...] = ()  # ["/usr/bin/program", "word"]; nothing: there are only controls
    format: Literal["pairs", "csv", "regex", "paths"] = "pairs"
    separator: str = ""  # between pairs (blanks, commas or semicolons) or columns (a comma)
    sign: str = "="  # between a key and its value
    interval: float = 60.0  # seconds from one run to the next; 0: it keeps running, and prints lines
    timeout: float = 8.0  # seconds until a run is killed
    fields: dict[str, Place] = field(default_factory=dict)
    controls: dict[str, Setting] = field(default_factory=dict)

    def __post_init__(self):
        if self.command:
            _check(self.command)
        if self.interval and self.interval < 1:
            raise ValueError("interval must be 1 second or more, or 0 for a program that keeps running")
        if not 0 < self.timeout < READ_DEADLINE:
            raise ValueError(f"timeout must be more than 0 and less than {READ_DEADLINE} seconds")
        formats.check(self.format, self.fields)

    def reader(self, fields: tuple[Field, ...]) -> Format:
        """What understands the program. Raises ValueError."""
        return Format(self.format, fields, self.fields, self.separator, self.sign)

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What of the declared has no place, or one that does not fit; '' when all is well."""
        if fields and not self.command:
            return "fields need 'command': the program that prints them"
        try:
            self.reader(fields)
        except ValueError as error:
            return str(error)
        lost = [control.name for control in controls if control.name not in self.controls]
        return f"control {lost[0]!r} needs 'command'" if lost else ""


def _check(command: tuple[str, ...]) -> None:
    if not command or not command[0].startswith("/"):
        raise ValueError("command must begin with the whole path of a program, as in ['/usr/bin/uptime', '-s']")
    if "{value}" in command[0]:
        raise ValueError("command: which program is run is not for who sets the control to say")
    if any("\0" in word for word in command):
        raise ValueError("command must not have a zero byte in it")


class Driver:
    """A program that is run again and again, or keeps running; and one for each control. One at a time."""

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.interval: float | None = options.interval or None
        self.about = {"name": os.path.basename(options.command[0])} if options.command else {}
        self._turn = asyncio.Lock()
        self._running: Program | None = None
        self._format = options.reader(fields)
        self._lapses = Lapses()
        self._fresh: dict[str, str | None] | None = None  # what it said when it was opened, until that is read
        self._ran = float("-inf")  # on the loop's clock
        self._failures = 0
        self._fault = ""
        self._noise = Grumble("%s: skipped %d lines that were not understood; the last: %s")

    async def open(self, report: Report) -> None:
        """Runs the program, or starts the one that keeps running. Raises DriverError."""
        options = self.options
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._report = report
        if not options.command:
            return
        if not options.interval:
            self._lines = Lines(OUTPUT)
            self._running = await start(options.command, self._says, RATE)
            self._running.ended.add_done_callback(self._ended)
            return
        if self._fault and self._loop.time() - self._ran < options.interval:
            raise DriverError(self._fault)  # it is never run more often than it was said, also when it fails
        self._fresh = await self._run()

    async def read(self) -> dict[str, str | None]:
        """The readings that the program prints, None of a sensor that is lost.

        Raises DriverError, also with its own last words. When it has failed several times in a row the thing is lost:
        people see the reason.
        """
        if not self.options.command or not self.options.interval:
            return {}
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            return fresh
        try:
            return await self._run()
        except DriverError as error:
            self._failures += 1
            if self._failures >= FAILURES and not self._lost.done():
                self._lost.set_result(str(error))
            raise

    async def write(self, control: str, value: str) -> None:
        """Runs the control's program; exit code 0 confirms. Raises DriverError with its last words."""
        setting = self.options.controls.get(control)
        type = next((each.type for each in self.controls if each.name == control), None)
        if setting is None or type is None:
            raise DriverError(f"it is not said what to run for {control}: it needs 'command'")
        if not value.isprintable():
            raise DriverError("a text for a program may not have line breaks in it")
        if type == "string" and value.startswith("-") and "{value}" in setting.command:
            raise DriverError("a text that begins with - might be taken for an option of the program")
        if type == "boolean":
            value = setting.true if value == "true" else setting.false
        command = tuple(word.replace("{value}", value) for word in setting.command)
        deadline = self._loop.time() + LONGEST_COMMAND
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise DriverError("another program of this thing is still at work") from None
        try:
            await run(command, min(self.options.timeout, deadline - self._loop.time()))
        finally:
            self._turn.release()

    async def gone(self) -> str:
        """Waits until a program that keeps running has ended, or one has failed several times; why."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Ends a program that keeps running."""
        running, self._running = self._running, None
        if running:
            await running.stop(GRACE)

    async def _run(self) -> dict[str, str | None]:
        try:
            async with self._turn:
                self._ran = self._loop.time()
                output = await run(self.options.command, self.options.timeout)
            readings = self._lapses.told(self._understood(output))
        except DriverError as error:
            self._fault = str(error)
            raise
        self._failures, self._fault = 0, ""
        return readings

    def _understood(self, output: bytes) -> dict[str, str | None]:
        """JSON is read as a whole, of all else the last LINES, one by one: the last word counts."""
        text = output.decode(errors="replace")
        readings: dict[str, str | None] = {}
        understood = False
        for part in [text] if self.options.format == "paths" else text.splitlines()[-LINES:]:
            try:
                readings |= self._format(part)
                understood = True
            except ValueError:
                continue  # headings, and what the program tells people
        if not understood:
            raise DriverError(f"{self.options.command[0]} does not say what was expected, but {text[:TEXT].strip()!r}")
        return readings

    # Of a program that keeps running

    def _says(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line is None or line.strip():
                self._line(line)

    def _line(self, line: bytes | None) -> None:
        try:
            readings = self._lapses.told(self._format((line or b"").decode(errors="replace")))
        except ValueError:
            what = "a line without end" if line is None else ascii(line[:TEXT])[2:-1]
            self._noise.add(self.options.command[0], what, self._loop.time())
            return
        if readings:
            self._report(readings)

    def _ended(self, ended: asyncio.Future[int]) -> None:
        if self._running and not self._lost.done():
            self._lost.set_result(self._running.complaint or f"{self._running.name} has ended")
