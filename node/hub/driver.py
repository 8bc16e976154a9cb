"""What a driver is to a thing: the fields and controls that it declares, and what it can be asked to do.

A driver reaches one piece of hardware, and knows no XMPP. Values are texts from the sensor to the wire: "10.0" is not
"10".
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Field(NamedTuple):
    """What can be read. `type` is quantity, boolean, integer, string, enum, date, dateTime, time or duration.

    `category` is momentary, peak, status, computed or identity; `shown` puts it into the status line; a change
    smaller than `deadband` (in `unit`) is not told in presence. `alarm` is what a boolean's true means, in words, if
    it is alarming.
    """

    name: str
    type: str = "quantity"
    unit: str = ""
    label: str = ""
    category: str = "momentary"
    shown: bool = True
    deadband: Decimal | None = None
    alarm: str = ""


class Control(NamedTuple):
    """What can be set. `type` is boolean, integer, quantity, string, enum (one of `options`) or color (RRGGBB[AA])."""

    name: str
    type: str
    label: str = ""
    unit: str = ""
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    options: tuple[str, ...] = ()


KINDS = 256  # of what `shared` keeps at once, a KiB each at the most
_kinds: dict[str, Any] = {}


def shared(made: T) -> T:
    """The first of all that are written like this one, not to be changed: boards of a kind declare a KiB of the same.

    Not the first that is equal: Decimal("10.0") is not to become Decimal("10").
    """
    if len(_kinds) >= KINDS:
        _kinds.clear()
    return _kinds.setdefault(repr(made), made)


class DriverError(Exception):
    """What is wrong with the hardware, for people: 'USB cable gone: /dev/ttyUSB0'."""


Report = Callable[[Mapping[str, str | None]], None]


class Driver(Protocol):
    """One way to reach hardware. `fields` and `controls` are known once it is open."""

    fields: tuple[Field, ...]
    controls: tuple[Control, ...]
    interval: float | None  # seconds between reads; None: it reports by itself
    # Who reports by itself may have a `patience`, too: seconds without a report until it is stale, if not STALE_SECONDS
    # Who hears when a far end that was not there is back may have a `back`: a coroutine that waits for it
    about: dict[str, str]  # name and version, of the board and its firmware

    async def open(self, report: Report) -> None:
        """Reaches the hardware. `report` takes readings from now on. Raises DriverError."""

    async def read(self) -> Mapping[str, str | None]:
        """The readings now, None of a sensor that is lost. Raises DriverError. Called for drivers with an interval."""
        ...

    async def write(self, control: str, value: str) -> None:
        """Sets a control; returns when the hardware has confirmed it. Raises DriverError."""

    def gone(self) -> Awaitable[str]:
        """Waits until the far end is lost; why."""
        ...

    async def close(self) -> None: ...
