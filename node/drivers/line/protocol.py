"""The line protocol of boards/README.md: boards that speak JSON, say what they can do, and confirm what they did."""

import asyncio
import json
from decimal import Decimal
from typing import Any

from node.drivers.line.hello import RESERVED, Hello, Number, reading, words
from node.drivers.line.options import Options
from node.hub.driver import Control, DriverError, Field, Report, shared
from node.hub.formats.lapses import Lapses
from node.net.grumble import Grumble
from node.net.tty import TtyError
from node.net.ttylines import TtyLines

COMMAND = 127  # bytes of a line to the board, its end not counted: an ATmega328P has 2 KiB of memory for all
ASK_AGAIN = 1.0  # seconds between two questions for the hello; an Uno takes 0.05 s to say it
LAST_ID = 65535  # 16 bits are cheap for a board; a reply that is late by 65535 commands is none

_READER = json.JSONDecoder(parse_float=Number, parse_int=Number)  # to make one costs more than a line


class Talking:
    """A board on a serial port. Until it has said hello, it is what its board.toml says of it."""

    __slots__ = (
        *("_complaints", "_greeted", "_hello", "_id", "_known", "_lapses", "_loop", "_pending", "_pinging", "_port"),
        *("_report", "_turn", "about", "controls", "fields", "options"),
    )
    interval = None

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self._port = TtyLines(options.port, options.baud, 2 * options.heartbeat, self._line)
        self._turn = asyncio.Lock()  # a board has room for one command
        self._id = 0
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._hello: Hello | None = None  # while it is being said
        self._pinging: asyncio.TimerHandle | None = None
        self._complaints = Grumble("%s: the board has complained %d times; the last: %s")

    async def open(self, report: Report) -> None:
        """Opens the port and waits for the hello. Raises DriverError; `close` is due then, too."""
        self._loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] | None = self._loop.create_future()
        self._hello = None
        self._known: dict[str, Field] = {}
        self._lapses = Lapses()
        self._report = report
        try:
            await self._port.open(self.options.timeout)
            await self._greet(self._greeted)
            self._greeted = None
            await self._port.first(0)  # it has come: now silence counts
        except TtyError as error:
            raise DriverError(str(error)) from error
        self._pinging = self._loop.call_later(self.options.heartbeat / 2, self._ping)

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

    def gone(self) -> asyncio.Future[str]:
        """Waits until the board is lost; why."""
        return self._port.lost

    async def close(self) -> None:
        """Lets go of the port."""
        if self._pinging:
            self._pinging.cancel()
        self._port.close()

    # From the port

    def _line(self, line: bytes) -> None:
        """Raises ValueError when it makes no sense."""
        try:
            message = _READER.decode(line.decode())
        except RecursionError:  # a thousand brackets
            raise ValueError("too deep") from None
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
            name: None if value is None else reading(value, self._known[name].type)
            for name, value in readings.items()
            if name in self._known
        }
        if told := self._lapses.told(values):
            self._report(told)

    def _declared(self, hello: Hello) -> None:
        if not hello.complete:
            return
        self._hello = None
        fields, controls = hello.fields or self.fields, hello.controls or self.controls
        if self._greeted is not None and not self._greeted.done():
            self.fields, self.controls, self.about = fields, controls, hello.about
            self._known = shared({field.name: field for field in fields})
            self._greeted.set_result(None)
        elif (fields, controls, hello.about) != (self.fields, self.controls, self.about):
            self._port.close("the board has started with another firmware")

    def _reply(self, id: Any, error: DriverError | None) -> None:
        waiting = self._pending.get(id) if isinstance(id, str) else None
        if not waiting or waiting.done():  # a late one is for nobody
            return
        if error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)

    # To the port

    async def _greet(self, greeted: asyncio.Future[None]) -> None:
        """Asks for the hello until it comes: a board that is being reset misses the question."""
        try:
            async with asyncio.timeout(self.options.hello):
                while not greeted.done():
                    self._port.write(b'{"hello":1}\n')
                    await self._wait_for(greeted, ASK_AGAIN)
        except TimeoutError:
            text = f"the board on {self.options.port} does not say hello: is our firmware on it?"
            text += " One that just prints needs 'format'."
            if self._port.complaint:
                text += f" But {self._port.complaint}"
            raise DriverError(text) from None

    async def _command(self, control: str, value: str) -> None:
        self._id = self._id % LAST_ID + 1
        line = f'{{"set":{{"{control}":{value}}},"id":{self._id}}}'.encode()
        if len(line) > COMMAND:
            raise DriverError(f"that is too long for the board: {len(line)} bytes, and it takes {COMMAND}")
        id = str(self._id)
        waiting = self._pending[id] = self._loop.create_future()
        try:
            self._port.write(line + b"\n")
            await self._wait_for(waiting)
            waiting.result()
        finally:
            del self._pending[id]

    async def _wait_for(self, answer: asyncio.Future[None], seconds: float | None = None) -> None:
        """Until it is there, or the time is over. Raises DriverError when the board is lost meanwhile."""
        both: list[asyncio.Future[Any]] = [answer, self._port.lost]
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._port.lost.done() and not answer.done():
            raise DriverError(self._port.reason)

    def _ping(self) -> None:
        """Twice a heartbeat: is it to be asked whether it lives?"""
        if self._loop.time() - self._port.heard >= self.options.heartbeat:
            try:
                self._port.write(b'{"ping":1}\n')
            except TtyError as error:
                self._port.close(str(error))
                return
        self._pinging = self._loop.call_later(self.options.heartbeat / 2, self._ping)


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
