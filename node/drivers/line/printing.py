"""Boards that just print: pairs, columns, text for a regular expression, JSON of their own."""

import asyncio
import re

from node.drivers.line.options import Options, Sending
from node.hub.driver import Control, DriverError, Field, Report
from node.hub.formats.budget import Budget
from node.hub.formats.lapses import Lapses
from node.net.tty import TtyError
from node.net.ttylines import TtyLines


class Printing:
    """A board on a serial port that knows nothing of us.

    Opening asks for no hello. It waits up to `hello` seconds for a line that is understood; a board that says nothing
    at all in this time is taken as one that seldom speaks, and one that says only what is not understood is refused.
    """

    interval = None

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.options = options
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self.patience = options.silence / 3 or float("inf")  # seconds until what it said last is stale
        self._format = options.reader(fields)
        self._budget = Budget()  # for what confirms
        self._lapses = Lapses()
        self._port = TtyLines(options.port, options.baud, options.silence, self._line)
        self._turn = asyncio.Lock()  # a board that confirms does not say what
        self._confirming: tuple[re.Pattern[str], asyncio.Future[None]] | None = None
        self._asking: asyncio.TimerHandle | None = None

    async def open(self, report: Report) -> None:
        """Opens the port, and listens. Raises DriverError; `close` is due then, too."""
        options = self.options
        self._loop = asyncio.get_running_loop()
        self._report = report
        try:
            await self._port.open(options.timeout)
            self._ask()
            if not await self._port.first(options.hello) and options.hello and self._port.complaint:
                text = f"nothing from {options.port} is understood within {options.hello:g} s: {self._port.complaint}"
                raise DriverError(text)
        except TtyError as error:
            raise DriverError(str(error)) from error

    async def read(self) -> dict[str, str]:
        """Nothing: a board reports by itself."""
        return {}

    async def write(self, control: str, value: str) -> None:
        """Sends a control's text. With `confirm`, returns when the board has said so; without, when it is sent.

        Raises DriverError.
        """
        sending = self.options.controls.get(control)
        type = next((each.type for each in self.controls if each.name == control), None)
        if sending is None or type is None:
            raise DriverError(f"it is not said what to send for {control}: it needs 'send'")
        if not value.isprintable():
            raise DriverError("that would be several lines: a board that just prints takes one")
        if type == "boolean":
            value = sending.true if value == "true" else sending.false
        try:
            async with asyncio.timeout(self.options.timeout), self._turn:
                await self._send(sending, value)
        except TimeoutError:
            raise DriverError(f"the board has not answered within {self.options.timeout:g} s") from None
        except TtyError as error:
            raise DriverError(str(error)) from error

    def gone(self) -> asyncio.Future[str]:
        """Waits until the board is lost; why."""
        return self._port.lost

    async def close(self) -> None:
        """Lets go of the port."""
        if self._asking:
            self._asking.cancel()
        self._port.close()

    async def _send(self, sending: Sending, value: str) -> None:
        data = sending.send.replace("{value}", value).encode()
        if not sending.confirm:
            self._port.write(data)
            return
        confirmed = self._loop.create_future()
        self._confirming = re.compile(sending.confirm.replace("{value}", re.escape(value))), confirmed
        try:
            self._port.write(data)
            await asyncio.wait([confirmed, self._port.lost], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._confirming = None
        if not confirmed.done():
            raise DriverError(self._port.reason)

    def _ask(self) -> None:
        """Again and again, if that is wanted. A port that takes no more has nobody behind it, and is given up."""
        if not self.options.ask:
            return
        try:
            self._port.write(self.options.ask.encode())
        except TtyError as error:
            self._port.close(str(error))
            return
        if self.options.every:
            self._asking = self._loop.call_later(self.options.every, self._ask)

    def _line(self, line: bytes) -> None:
        """Raises ValueError when it means nothing to us."""
        text = line.decode(errors="replace")
        confirms = self._confirms(text)
        try:
            readings = self._lapses.told(self._format(text))
        except ValueError:
            if not confirms:
                raise
        else:
            if readings:
                self._report(readings)
        if confirms and self._confirming:
            confirmed = self._confirming[1]
            if not confirmed.done():
                confirmed.set_result(None)

    def _confirms(self, text: str) -> bool:
        if not self._confirming:
            return False
        return self._budget.search(self._confirming[0], text) is not None
