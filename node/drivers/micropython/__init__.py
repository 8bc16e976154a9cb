"""Boards that run MicroPython, with nothing of ours on them: expressions are read, statements are commands.

The board's own program is interrupted when we come, and stays so.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from decimal import Decimal
from types import CodeType

from node.drivers.micropython.repl import Astray, Fault, Repl, ReplError, Restarted
from node.hub.driver import Control, DriverError, Field, Report
from node.hub.formats import values
from node.net.tty import Tty, TtyError

log = logging.getLogger("hobnode")

INTERRUPTED = 1.0  # seconds from Ctrl-C to the prompt, two attempts; a micro:bit takes 0.01
FAREWELL = 0.05  # seconds for our last bytes to leave the port, which forgets unsent ones when it is closed
CODE = 4096  # bytes of a program: a micro:bit has 9 KiB of memory for it, and for what it does
WORDS = 200  # characters of a board's own words

WHO = """
import sys
print(sys.implementation[0], '.'.join(str(n) for n in sys.implementation[1][:3]))
try:
    import os
    print(os.uname().machine)
except Exception:
    pass
"""


@dataclass
class Expression:
    """Where a field's value comes from: `expression = "adc.read_u16()"`."""

    expression: str

    def __post_init__(self):
        _python("expression", self.expression, "eval")


@dataclass
class Statement:
    """What sets a control: `statement = "led.value({value})"`; the value is spelled as Python spells its type."""

    statement: str

    def __post_init__(self):
        parts = self.statement.split("{value}")
        names = {f"value_{number}_" for number in range(1, len(parts))}
        code = parts[0] + "".join(f"value_{number}_{part}" for number, part in enumerate(parts[1:], 1))
        # Inside of quotes a text that has a quote in it would be program.
        if not names or names - _names(_python("statement", code, "exec")):
            raise ValueError("statement must have {value} where the value goes, and without quotes around it")


@dataclass
class Options:
    """`[thing.NAME]` with a board that runs MicroPython."""

    port: str  # /dev/serial/by-id/... stays the same when cables are changed
    baud: int = 115200
    setup: str = ""  # lines to run once the board is reached: imports, pins
    interval: float = 10.0  # seconds between readings
    timeout: float = 2.0  # seconds for one expression; a command waits for one, and its sender for no more than 5
    start: float = 12.0  # seconds for the prompt and the setup; a Thing gives up after 15
    reset: bool = False  # starts the board's own main.py when we leave
    fields: dict[str, Expression] = field(default_factory=dict)
    controls: dict[str, Statement] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("baud", "interval", "timeout", "start"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")
        _python("setup", self.setup, "exec")

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What would never be read, or could not be set, in words; '' when all is well."""
        unread = [each.name for each in fields if each.name not in self.fields and each.name not in self.controls]
        if unread:
            return f"the field {unread[0]} needs 'expression'"
        unset = [each.name for each in controls if each.name not in self.controls]
        return f"the control {unset[0]} needs 'statement'" if unset else ""


def _python(name: str, code: str, mode: str) -> CodeType:
    """Raises ValueError for what is no Python, or would not get to the board as it is."""
    if not all(mark.isprintable() or mark in "\n\t" for mark in code):  # a Ctrl-C, for instance
        raise ValueError(f"{name} must be without control characters")
    if len(code.encode()) > CODE:
        raise ValueError(f"{name} must have at most {CODE} bytes")
    try:
        return compile(code, name, mode)
    except SyntaxError as error:
        raise ValueError(f"{name} is no Python: {error.msg}") from None


def _names(code: CodeType) -> set[str]:
    """The names that are used in the code, and in functions inside of it."""
    return set(code.co_names).union(*(_names(each) for each in code.co_consts if isinstance(each, CodeType)))


class _Hung(DriverError):
    """It did not end by itself."""


class Driver:
    """A board whose raw REPL is on a serial port."""

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.interval: float | None = options.interval
        self.about: dict[str, str] = {}
        self._field_types = {each.name: each.type for each in fields}
        self._control_types = {each.name: each.type for each in controls}
        self._order = [each.name for each in fields if each.name in options.fields]
        self._faults: dict[str, str] = {}
        self._tty = Tty(options.port, options.baud, self)
        self._turn = asyncio.Lock()  # a REPL runs one program
        self._repl = Repl(self._tty.write)
        self._lost: asyncio.Future[str] | None = None

    async def open(self, report: Report) -> None:
        """Opens the port, interrupts the board and runs the setup. Raises DriverError; `close` is due then, too."""
        self._lost = asyncio.get_running_loop().create_future()
        self._repl = Repl(self._tty.write)
        waiting_for = f"the board on {self.options.port} does not show its prompt: does it run MicroPython?"
        try:
            async with asyncio.timeout(self.options.start):
                await self._tty.open(self.options.start)
                await self._repl.enter()
                waiting_for = unfinished = f"the setup has not ended within {self.options.start:g} s"
                while trouble := await self._set_up():
                    waiting_for = f"{unfinished}: {trouble}"
                    await self._repl.enter()
        except TimeoutError:
            raise DriverError(waiting_for) from None
        except Fault as fault:
            raise DriverError(f"setup: {_words(str(fault))}") from fault
        except (TtyError, ReplError) as error:
            raise DriverError(str(error)) from error

    async def read(self) -> dict[str, str | None]:
        """What can be read now, None where that fails. Raises DriverError when all of it does.

        An expression that hangs ends the round, and is the last one of the next: the others get their turn.
        """
        readings: dict[str, str | None] = {}
        fault = ""
        for name in self._order:
            try:
                value = await self._read(name)
                if value is not None:
                    readings[name] = value
                self._faults.pop(name, None)
            except DriverError as error:
                fault = str(error)
                readings[name] = None
                self._note(name, fault)
                if isinstance(error, _Hung):
                    self._order = [*(each for each in self._order if each != name), name]
                    break
        if fault and all(value is None for value in readings.values()):
            raise DriverError(fault)
        return readings

    async def write(self, control: str, value: str) -> None:
        """Runs the control's statement; returns when it has ended. Raises DriverError."""
        place = self.options.controls.get(control)
        if place is None:
            raise DriverError(f"{control} has no statement")
        literal = _literal(value, self._control_types[control])
        await self._run(place.statement.replace("{value}", literal), control)

    async def gone(self) -> str:
        """Waits until the board is lost; why."""
        assert self._lost is not None, "it has been opened"
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Leaves the board at its friendly prompt, and lets go of the port."""
        with contextlib.suppress(TtyError):
            self._repl.leave(self.options.reset)
            await asyncio.sleep(FAREWELL)
        self._end("closed")

    # From the port

    def received(self, data: bytes) -> None:
        """What the board says, as it comes."""
        self._repl.feed(data)
        if self._repl.restarted:
            self._end("the board has started anew")

    def closed(self, reason: str) -> None:
        """The port is gone."""
        self._end(reason)

    # To the port

    async def _read(self, name: str) -> str | None:
        """A field as the board prints it; None when there is no reading just now. Raises DriverError."""
        printed = await self._run(f"print({self.options.fields[name].expression}\n)", name)
        try:
            return values.value(printed, self._field_types[name]) if printed != "None" else None
        except ValueError as error:
            raise DriverError(f"{name}: {_words(str(error))}") from error

    async def _set_up(self) -> str:
        """Asks the board who it is and runs the setup; why that has to begin anew, or "". Raises Fault.

        A board that is just starting may lose what it was told, or say nothing and run a program of its own.
        """
        try:
            async with asyncio.timeout(self.options.timeout):
                await self._introduce()
            if self.options.setup:
                await self._repl.run(self.options.setup)
        except Astray as error:
            return str(error)
        except TimeoutError:
            return "the board does not say who it is"
        return ""

    async def _introduce(self) -> None:
        """Asks the board who it is; one that cannot tell is still a board."""
        try:
            version, _, name = (await self._repl.run(WHO)).partition("\n")
        except Fault:
            version, name = "", ""
        self.about = {"name": _words(name) or "MicroPython", "version": _words(version)}

    async def _run(self, code: str, what: str) -> str:
        """What the program printed, within its deadline. Raises DriverError."""
        if len(code.encode()) > CODE:
            raise DriverError(f"{what}: that is too long for the board, which takes {CODE} bytes")
        async with self._turn:
            if not self._repl.ready:  # somebody has given up waiting for the last one
                await self._interrupt("an earlier command")
            try:
                async with asyncio.timeout(self.options.timeout):
                    return await self._repl.run(code)
            except Fault as fault:
                raise DriverError(f"{what}: {_words(str(fault))}") from fault
            except Restarted as error:
                raise self._ended(str(error)) from error
            except TimeoutError:
                await self._interrupt(what)
                raise _Hung(f"{what}: no end within {self.options.timeout:g} s, interrupted") from None
            except ReplError as error:
                await self._interrupt(what)
                raise _Hung(f"{what}: {_words(str(error))}") from error
            except TtyError as error:
                raise self._ended(str(error)) from error

    async def _interrupt(self, what: str) -> None:
        """Back to the prompt, by Ctrl-C. Raises DriverError when the board does not follow: it is lost then."""
        try:
            async with asyncio.timeout(INTERRUPTED):
                was_raw = await self._repl.enter()
        except TimeoutError:
            raise self._ended(f"the board hangs in {what} and does not hear Ctrl-C: reset it") from None
        except (ReplError, TtyError) as error:
            raise self._ended(str(error)) from error
        if not was_raw:
            raise self._ended("the board has started anew")

    @property
    def _is_lost(self) -> bool:
        return self._lost is None or self._lost.done()

    def _ended(self, reason: str) -> DriverError:
        """The board is lost, if not for an earlier reason then for this one; the error to raise."""
        self._end(reason)
        return DriverError(self._lost.result() if self._lost else "it is not open")

    def _end(self, reason: str) -> None:
        """Nothing is to be expected from the board any more."""
        self._tty.close()
        if self._lost and not self._lost.done():
            self._lost.set_result(reason)
        self._repl.end(reason)

    def _note(self, name: str, fault: str) -> None:
        """Logs what is wrong with a field, when that is news."""
        if self._faults.get(name) != fault and not self._is_lost:
            log.warning("%s: %s", self.options.port, fault)
        self._faults[name] = fault


def _literal(value: str, type: str) -> str:
    """A control's value as Python spells it; whatever a text holds, it stays one text."""
    match type:
        case "boolean":
            return value.capitalize()
        case "integer" | "quantity":
            return f"{Decimal(value):f}"  # Python knows no 007
    return ascii(value)


def _words(text: str) -> str:
    """What the board says, fit for a log and for XML."""
    return values.words(text[:WORDS]).strip()
