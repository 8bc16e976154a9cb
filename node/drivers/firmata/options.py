"""What `[thing.NAME]` may say of a board with Firmata, and of the pins where its fields and controls are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from node.hub import patience
from node.hub.driver import Control, Field

CHANNELS = 15  # the highest analog channel: a message has 4 bits for it
PINS = 127  # the highest pin: a message has 7 bits for it
SAMPLING = (100, 16383)  # milliseconds; faster is for oscilloscopes, and 14 bits is what the protocol has
DECIMALS = 9  # more than any converter has
LARGEST = 10**12  # of a factor or an offset: times 14 bits that is 17 digits, and a Thing takes 18


@dataclass
class FieldPlace:
    """Where a field is: `pin`, a digital input, or `analog`, a channel (A0 is 0).

    A channel's value is raw * factor + offset, exactly, rounded to `decimals`. `invert` makes a low pin true, as a
    button to GND is with `pull = "up"`.
    """

    pin: int | None = None
    analog: int | None = None
    pull: Literal["", "up"] = ""
    invert: bool = False
    factor: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
    decimals: int | None = None

    def __post_init__(self):
        if (self.pin is None) == (self.analog is None):
            raise ValueError("needs 'pin' (digital) or 'analog' (a channel), and not both")
        if self.pin is not None:
            _check("pin", self.pin, PINS)
            if (self.factor, self.offset, self.decimals) != (1, 0, None):
                raise ValueError("has a pin, which is true or false: factor, offset and decimals are for 'analog'")
            return
        _check("analog", self.analog, CHANNELS)
        if self.pull or self.invert:
            raise ValueError("has an analog channel: pull and invert are for 'pin'")
        if self.decimals is not None:
            _check("decimals", self.decimals, DECIMALS)
        for name, number in (("factor", self.factor), ("offset", self.offset)):
            if not number.is_finite() or abs(number) >= LARGEST or number % Decimal(1).scaleb(-DECIMALS):
                raise ValueError(f"{name} must be less than {LARGEST:,} and have at most {DECIMALS} decimals")
        if not self.factor:
            raise ValueError("factor must not be 0")


@dataclass
class ControlPlace:
    """Where a control is: `pin`, switched (`mode = "output"`), dimmed ("pwm") or with a servo ("servo")."""

    pin: int
    mode: Literal["output", "pwm", "servo"] = "output"

    def __post_init__(self):
        _check("pin", self.pin, PINS)


@dataclass
class Options:
    """`[thing.NAME]` with a board that speaks Firmata."""

    port: str  # /dev/serial/by-id/... stays the same when cables are changed
    baud: int = 57600  # StandardFirmata's own
    sampling: int = 200  # milliseconds between two values of an analog channel: five a second are plenty for a home
    timeout: float = 4.0  # seconds for an answer: a Thing gives up after 5
    hello: float = 8.0  # seconds: an Uno is deaf for 2 after its port was opened, then StandardFirmata blinks for 2
    watchdog: float = 10.0  # seconds between two questions whether it lives
    fields: dict[str, FieldPlace] = field(default_factory=dict)
    controls: dict[str, ControlPlace] = field(default_factory=dict)

    def __post_init__(self):
        patience.check(self, "baud", "timeout", "hello", "watchdog")
        low, high = SAMPLING
        if not low <= self.sampling <= high:
            raise ValueError(f"sampling must be {low} to {high} milliseconds, not {self.sampling}")
        taken: dict[tuple[str, int], str] = {}
        for name, place in self.controls.items():
            _take(taken, ("pin", place.pin), name)
        for name, each in self.fields.items():
            if name not in self.controls:
                _take(taken, ("pin", each.pin) if each.pin is not None else ("analog", each.analog or 0), name)
            elif each.pin != self.controls[name].pin:
                raise ValueError(
                    f"has a field and a control {name!r}, so the field says what was set, "
                    "and needs no 'pin' or 'analog' of its own: give one of the two another name"
                )

    def misfit(self, fields: Iterable[Field], controls: Iterable[Control]) -> str:
        """What does not go together in the declarations, in words; '' when all does."""
        types = {each.name: each.type for each in controls}
        for name, type in types.items():
            output = self.controls.get(name)
            if output is None:
                return f"the control {name!r} needs 'pin'"
            needed = "boolean" if output.mode == "output" else "integer"
            if type != needed:
                return f'the control {name!r} has mode = "{output.mode}", so its type must be {needed}, not {type}'
        for each in fields:
            place = self.fields.get(each.name)
            if each.name in types:
                allowed: tuple[str, ...] = (types[each.name],)
            elif place is None:
                return f"the field {each.name!r} needs 'pin' (digital) or 'analog' (a channel)"
            elif place.analog is None:
                allowed = ("boolean",)
            else:
                allowed = ("quantity", "integer") if _is_whole(place) else ("quantity",)
            if each.type not in allowed:
                return f"the type of the field {each.name!r} must be {' or '.join(allowed)} there, not {each.type}"
        return ""


def _check(name: str, value: int | None, highest: int) -> None:
    if value is None or not 0 <= value <= highest:
        raise ValueError(f"{name} must be 0 to {highest}, not {value}")


def _take(taken: dict[tuple[str, int], str], place: tuple[str, int], name: str) -> None:
    other = taken.setdefault(place, name)
    if other != name:
        raise ValueError(f"has {other!r} and {name!r} both at {place[0]} {place[1]}")


def _is_whole(place: FieldPlace) -> bool:
    return place.decimals == 0 or (place.decimals is None and not place.factor % 1 and not place.offset % 1)
