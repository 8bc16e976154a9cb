"""A driver that cannot be loaded: its thing is there, and offline until what the driver needs is installed."""

from collections.abc import Mapping

from node.hub.driver import Control, DriverError, Field, Report


class Absent:
    """Stands in for the driver NAME of a thing that declares these fields and controls."""

    interval: float | None = None

    def __init__(self, name: str, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        self.fields = fields
        self.controls = controls
        self.about: dict[str, str] = {}
        self._reason = f"needs more Python packages, those for {name}: see `hobnode check`"

    async def open(self, report: Report) -> None:
        raise DriverError(self._reason)

    async def read(self) -> Mapping[str, str | None]:
        raise DriverError(self._reason)

    async def write(self, control: str, value: str) -> None:
        raise DriverError(self._reason)

    async def gone(self) -> str:
        return self._reason

    async def close(self) -> None:
        """There is nothing to let go of."""
