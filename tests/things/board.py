"""A board that does what the test tells it."""

import asyncio
from decimal import Decimal

from node.hub.driver import Control, DriverError, Field

FIELDS = (
    Field("temperature", unit="°C", deadband=Decimal("0.3")),
    Field("humidity", type="integer", unit="%"),
    Field("lamp", type="boolean", category="status"),
    Field("water", type="boolean", shown=False, alarm="water in the cellar"),
    Field("serial", type="string", category="identity", shown=False),
)
CONTROLS = (
    Control("fade", "integer", label="Fade", unit="ms", minimum=Decimal(0), maximum=Decimal(4095)),
    Control("lamp", "boolean"),
    Control("mode", "enum", options=("eco", "Hot")),
)


class Board:
    """A driver whose hardware is the test."""

    fields = FIELDS
    controls = CONTROLS
    interval = None

    def __init__(self, loop):
        self.loop = loop
        self.about = {"name": "Uno", "version": "1.2"}
        self.written = []
        self.missing = ""  # why it cannot be opened
        self.fault = ""  # why it does not do what it is told
        self.confirms = asyncio.Event()
        self.confirms.set()
        self.lost = loop.create_future()

    async def open(self, report):
        if self.missing:
            raise DriverError(self.missing)

    async def read(self):
        raise AssertionError("a board that reports is not read")

    async def write(self, control, value):
        await self.confirms.wait()
        if self.fault:
            raise DriverError(self.fault)
        self.written.append((control, value))

    async def gone(self):
        return await self.lost

    async def close(self):
        pass

    def pull(self, reason):
        """The cable is pulled."""
        self.missing = reason
        self.lost.set_result(reason)
