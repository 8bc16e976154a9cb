"""A value of sysfs: a short file in the kernel's unit, told as decimal text in people's."""

import os
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple, Protocol

from node.base.path import Path

LISTED = 8  # names in a complaint about one that is not there: more does not fit a status line

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,12})?\Z", re.ASCII)


class Kind(NamedTuple):
    """What a file tells: it is `unit` after its point has moved by `shift` places, rounded to `decimals`.

    The decimals are what the sensors of this kind are good for: the kernel gives thousandths of a degree of a chip
    that is right to half a degree. A smaller change than `deadband` is the sensor's own unrest.
    """

    unit: str = ""
    shift: int = 0
    decimals: int | None = None  # None: all that there are
    deadband: Decimal | None = None
    type: str = "quantity"
    alarm: str = ""


class Sensor(Protocol):
    """One value that can be read. `bus` names what it shares with others, which are read before or after it."""

    kind: Kind
    bus: str

    def read(self) -> str:
        """The value now, in its field's own form; may take long. Raises Lost, OSError or ValueError."""
        ...


class Lost(Exception):
    """There is no such device: in words, with the names of those that there are."""


def text(path: Path) -> str:
    """What a file says. Raises OSError, and ValueError when it is no text."""
    return path.read_text().strip()


def told(path: Path) -> str:
    """The same, and '' where there is no such file."""
    try:
        return text(path)
    except (OSError, ValueError):
        return ""


def number(said: str) -> Decimal:
    """A number as the kernel writes it. Raises ValueError."""
    if not _NUMBER.match(said):
        raise ValueError(f"says {said[:20]!r}, which is no number")
    return Decimal(said)


def spelled(value: Decimal, kind: Kind, decimals: int | None = None) -> str:
    """The value as a field has it: '21.4' of 21437 thousandths. `decimals` come in the place of the kind's."""
    value = value.scaleb(-kind.shift)
    places = kind.decimals if decimals is None else decimals
    if places is not None:
        value = round(value, places)  # half to even, and exact: these are no floats
    return f"{abs(value) if value.is_zero() else value:f}"  # -0.0 is a surprise


def boolean(value: bool) -> str:
    return "true" if value else "false"


def folders(root: Path, where: str) -> Iterator[Path]:
    """The devices of a class, sorted; of a class that this kernel has not, none."""
    try:
        names = sorted(os.listdir(root / where))
    except OSError:
        return
    for name in names:
        yield root / where / name


def pick(found: Iterator[Path], names: Callable[[Path], list[str]], wanted: str, what: str) -> Path:
    """The one device that has this name among its names, of which the last is its own. Raises Lost."""
    devices = [(each, names(each)) for each in found]
    matching = [(each, called) for each, called in devices if wanted in called]
    if not matching:
        there = listed(called[0] for _, called in devices)
        raise Lost(f"there is no {what} {wanted}; there {'is none' if not there else 'are ' + there}")
    if len(matching) > 1:
        raise Lost(f"there are several {what}s {wanted}: say {listed(called[-1] for _, called in matching)}")
    return matching[0][0]


def listed(names: Iterator[str]) -> str:
    """Names for a complaint, each once."""
    all_of_them = list(dict.fromkeys(names))
    return ", ".join(all_of_them[:LISTED]) + (" …" if len(all_of_them) > LISTED else "")


def halves(where: str, example: str) -> tuple[str, str]:
    """'coretemp/temp1' in its two parts; raises ValueError."""
    device, slash, part = where.partition("/")
    if not device or not slash or not part or "/" in part or device.startswith("."):
        raise ValueError(f"must be like {example!r}, not {where!r}")
    return device, part
