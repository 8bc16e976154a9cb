"""The line protocol of boards/README.md: boards that speak JSON, say what they can do, and confirm what they did."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from node.drivers.line.hello import RESERVED, Hello, Number, reading, words
from node.drivers.line.options import Options
from node.hub.thing import Control, DriverError, Field
from node.net.grumble import Grumble
from node.net.lines import Lines
from node.net.listening import TEXT
from node.net.tty import Tty, TtyError

COMMAND = 127  # bytes of a line to the board, its end not counted: an ATmega328P has 2 KiB of memory for all
ASK_AGAIN = 1.0  # seconds between two questions for the hello; an Uno takes 0.05 s to say it
LAST_ID = 65535  # 16 bits are cheap for a board; a reply that is late by 65535 commands is none

_READER = json.JSONDecoder(parse_float=Number, parse_int=Number)  # to make one costs more than a line


class Talking:
    """A board on a serial port. Until it has said hello, it is what its board.toml says of it."""

    interval = None

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self._tty = Tty(options.port, options.baud, self)
        self._turn = asyncio.Lock()  # a board has room for one command
        self._id = 0
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._waiting_for_end: list[asyncio.Future[str]] = []
        self._hello: Hello | None = None  # while it is being said
        self._heartbeat: asyncio.TimerHandle | None = None
        self._noise = Grumble("%s: skipped %d lines that were not understood; the last: %s")
        self._complaints = Grumble("%s: the board has complained %d times; the last: %s")

    async def open(self, report: Callable[[dict[str, str]], None]) -> None:
        """Opens the port and waits for the hello. Raises DriverError; `close` is due then, too."""
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[str] = self._loop.create_future()  # '' or why it will not be
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._waiting_for_end = [self._greeted, self._lost]
        self._lines = Lines()
        self._hello = None
        self._known: dict[str, Field] = {}
        self._nonsense = ""
        early: dict[str, str] = {}
        self._report: Callable[[dict[str, str]], None] = early.update
        try:
            await self._tty.open(self.options.timeout)
            await self._greet()
        except TtyError as error:
            raise DriverError(str(error)) from error
        self._heard = self._loop.time()
        self._heartbeat = self._loop.call_later(self.options.heartbeat / 2, self._listen)
        # What came right after the hello is told when our caller has seen which fields there are now.
        self._report = report
        if early:
            self._loop.call_soon(report, early)

    async def read(self) -> dict[str, str]:
        """Nothing: a board reports by itself."""
        return {}

    async def write(self, control: str, value: str) -> None:
        """Sets a control; returns when the board has confirmed it. Raises DriverError."""
        type = next((each.type for each in self.controls if each.name == control), None)
        if type is None:
            raise DriverError(f"the board has no control {control}")
        try:
            async with asyncio.timeout(self.options.timeout), self._turn:
                await self._command(control, _spell(value, type))
        except TimeoutError:
            raise DriverError(f"the board has not answered within {self.options.timeout:g} s") from None
        except TtyError as error:
            raise DriverError(str(error)) from error

    async def gone(self) -> str:
        """Waits until the board is lost; why."""
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        """Lets go of the port."""
        self._end("closed")

    # From the port

    def received(self, data: bytes) -> None:
        """What the board says, as it comes."""
        for line in self._lines.feed(data):
            if self._lost.done():  # by one of these lines
                return
            if line is None:
                self._skip("a line without end")
            elif line:
                self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            self._understand(_READER.decode(line.decode()))
        except (ValueError, RecursionError):  # the latter: a thousand brackets
            self._skip(ascii(line[:TEXT])[2:-1])
        else:
            self._heard = self._loop.time()

    def closed(self, reason: str) -> None:
        """The port is gone."""
        self._end(reason)

    def _understand(self, message: Any) -> None:
        """Raises ValueError when it makes no sense."""
        if not isinstance(message, dict):
            raise ValueError("not an object")
        match next((word for word in RESERVED if word in message), None):
            case None:
                self._take(message)
            case "hello":
                self._hello = Hello(message)
                self._declared(self._hello)
            case ("field" | "control") as word if self._hello:
                self._hello.declare(word, message[word])
                self._declared(self._hello)
            case "ok":
                self._reply(message["ok"], None)
            case "err":
                self._reply(message["err"], DriverError(words(message.get("msg")) or "the board refused it"))
            case "error":
                self._complaints.add(self.options.port, words(message["error"]), self._loop.time())

    def _take(self, readings: dict[str, Any]) -> None:
        values = {
            name: reading(value, self._known[name].type)
            for name, value in readings.items()
            if name in self._known and value is not None
        }
        if values:
            self._report(values)

    def _declared(self, hello: Hello) -> None:
        if not hello.complete:
            return
        self._hello = None
        fields, controls = hello.fields or self.fields, hello.controls or self.controls
        if not self._greeted.done():
            self.fields, self.controls, self.about = fields, controls, hello.about
            self._known = {field.name: field for field in fields}
            self._greeted.set_result("")
        elif (fields, controls, hello.about) != (self.fields, self.controls, self.about):
            self._end("the board has started with another firmware")

    def _reply(self, id: Any, error: DriverError | None) -> None:
        waiting = self._pending.get(id) if isinstance(id, str) else None
        if not waiting or waiting.done():  # a late one is for nobody
            return
        if error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)

    def _skip(self, what: str) -> None:
        self._nonsense = what
        if self._greeted.done():  # before, a boot loader may babble
            self._noise.add(self.options.port, what, self._loop.time())

    # To the port

    async def _greet(self) -> None:
        """Asks for the hello until it comes: a board that is being reset misses the question."""
        try:
            async with asyncio.timeout(self.options.hello):
                while not self._greeted.done():
                    self._tty.write(b'{"hello":1}\n')
                    await asyncio.wait([self._greeted], timeout=ASK_AGAIN)
        except TimeoutError:
            text = f"the board on {self.options.port} does not say hello: is our firmware on it?"
            text += " One that just prints needs 'format'."
            if self._nonsense:
                text += f" It says {self._nonsense!r}; is {self.options.baud} baud right?"
            raise DriverError(text) from None
        if self._greeted.result():
            raise DriverError(self._greeted.result())

    async def _command(self, control: str, value: str) -> None:
        self._id = self._id % LAST_ID + 1
        line = f'{{"set":{{"{control}":{value}}},"id":{self._id}}}'.encode()
        if len(line) > COMMAND:
            raise DriverError(f"that is too long for the board: {len(line)} bytes, and it takes {COMMAND}")
        id = str(self._id)
        waiting = self._pending[id] = self._loop.create_future()
        try:
            self._tty.write(line + b"\n")
            await waiting
        finally:
            del self._pending[id]

    def _listen(self) -> None:
        """Twice a heartbeat: has the board said something? Is it to be asked, or to be given up?"""
        silent = self._loop.time() - self._heard
        if silent >= 2 * self.options.heartbeat:
            self._end(f"the board on {self.options.port} has been silent for {silent:.0f} s")
            return
        if silent >= self.options.heartbeat:
            try:
                self._tty.write(b'{"ping":1}\n')
            except TtyError as error:
                self._end(str(error))
                return
        self._heartbeat = self._loop.call_later(self.options.heartbeat / 2, self._listen)

    def _end(self, reason: str) -> None:
        """Nothing is to be expected from the board any more."""
        self._tty.close()
        if self._heartbeat:
            self._heartbeat.cancel()
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(DriverError(reason))
        for future in self._waiting_for_end:
            if not future.done():
                future.set_result(reason)


def _spell(value: str, type: str) -> str:
    """A control's value as JSON."""
    match type:
        case "boolean":
            return value
        case "integer":
            return str(int(value))  # JSON knows neither +5 nor 007
        case "quantity":
            return f"{Decimal(value):f}"
    return json.dumps(value, ensure_ascii=False)
