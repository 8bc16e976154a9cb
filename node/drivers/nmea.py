"""GPS receivers that speak NMEA 0183 over a serial port: where the house, the boat or the bicycle is.

Sentences GGA, RMC, GLL and VTG of any talker are read, by their raw texts: values never pass through a float.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pynmea2

from node.hub import patience
from node.hub.driver import Control, DriverError, Field, Report
from node.hub.formats import values
from node.net.tty import TtyError
from node.net.ttylines import TtyLines

METRES = Decimal(5)  # of error for each 1.0 of HDOP: what a receiver without help has under an open sky
KNOT = Decimal(1852) / 3600  # m/s
DIGITS = 8  # decimals of a degree: a millimetre

FIELDS = (
    Field("fix", type="enum", category="status"),
    # 0.0005° are 55 m: a receiver that lies still wanders by some metres
    Field("latitude", unit="°", deadband=Decimal("0.0005")),
    Field("longitude", unit="°", deadband=Decimal("0.0005")),
    Field("altitude", unit="m", shown=False, deadband=Decimal(10)),
    Field("speed", unit="m/s", shown=False, deadband=Decimal(1)),
    Field("bearing", unit="°", shown=False, deadband=Decimal(10)),
    Field("satellites", type="integer", category="status", shown=False),
    Field("accuracy", unit="m", category="status", shown=False, deadband=Decimal(5)),
    Field("time", type="dateTime", category="status", shown=False),
)

# GGA's quality and RMC's mode, in words (NMEA 0183 v4.1)
QUALITIES = ("none", "GPS", "DGPS", "PPS", "RTK", "RTK float", "estimated", "manual", "simulated")
MODES = {"A": "GPS", "D": "DGPS", "P": "PPS", "R": "RTK", "F": "RTK float", "E": "estimated", "M": "manual"}
NO_FIX = "none"

_ANGLE = re.compile(r"(\d{1,3})(\d\d(?:\.(\d{1,8}))?)\Z", re.ASCII)  # ddmm.mmmm
_CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.\d*)?\Z", re.ASCII)  # hhmmss.ss
_DAY = re.compile(r"(\d\d)(\d\d)(\d\d)\Z", re.ASCII)  # ddmmyy


@dataclass
class Options:
    """`[thing.NAME]` with a GPS receiver."""

    port: str  # /dev/serial/by-id/... stays the same when cables are changed
    baud: int = 9600  # old ones: 4800
    timeout: float = 4.0  # seconds for the port to open
    hello: float = 10.0  # seconds for the first sentence: receivers talk every second, some start slowly
    silence: float = 10.0  # seconds without a sentence until the receiver counts as gone

    def __post_init__(self):
        patience.check(self, "baud", "timeout", "hello", "silence")

    def misfit(self, fields: tuple[Field, ...], controls: tuple[Control, ...]) -> str:
        """What is declared and not to be had from a receiver; '' when all is well."""
        known = [field.name for field in FIELDS]
        lost = [field.name for field in fields if field.name not in known] + [control.name for control in controls]
        return f"a GPS receiver has no {lost[0]!r}; it has {', '.join(known)}" if lost else ""


class Driver:
    """A receiver on a serial port. There is nothing to set."""

    controls: tuple[Control, ...] = ()
    interval = None

    def __init__(self, options: Options, fields: tuple[Field, ...] = (), controls: tuple[Control, ...] = ()):
        named = {field.name: field for field in fields}  # a board may call them otherwise
        self.options = options
        self.fields = tuple(named.get(field.name, field) for field in FIELDS)
        self.about: dict[str, str] = {}
        self._port = TtyLines(options.port, options.baud, options.silence, self._line)

    async def open(self, report: Report) -> None:
        """Opens the port, and waits for a sentence. Raises DriverError; `close` is due then, too."""
        options = self.options
        self._quality = False  # GGA tells the fix; RMC and GLL only where it is not sent
        self._report = report
        try:
            await self._port.open(options.timeout)
            if not await self._port.first(options.hello):
                what = self._port.complaint or "it says nothing at all"
                raise DriverError(f"no GPS receiver speaks on {options.port}: {what}")
        except TtyError as error:
            raise DriverError(str(error)) from error

    async def read(self) -> dict[str, str]:
        """Nothing: a receiver reports by itself."""
        return {}

    async def write(self, control: str, value: str) -> None:
        """There is nothing to set."""
        raise DriverError(f"there is no {control}")

    def gone(self) -> asyncio.Future[str]:
        """Waits until the receiver is lost; why."""
        return self._port.lost

    async def close(self) -> None:
        """Lets go of the port."""
        self._port.close()

    def _line(self, line: bytes) -> None:
        """Raises ValueError for what is no sentence, or has another checksum than it says."""
        if not line.startswith(b"$"):
            raise ValueError("no sentence")
        try:
            sentence = pynmea2.parse(line.decode("ascii"), check=True)
        except pynmea2.SentenceTypeError:
            return  # of another kind, with a checksum that is right: a receiver
        kind = getattr(sentence, "sentence_type", "")
        readings = dict(self._read(kind, _texts(sentence)))
        if readings:
            self._report(readings)

    def _read(self, kind: str, said: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What a sentence tells. A position is told only while there is a fix."""
        match kind:
            case "GGA":
                self._quality = True
                fix = _named(QUALITIES, said["gps_qual"])
                yield "fix", fix
                if satellites := said["num_sats"]:
                    yield "satellites", str(int(satellites))
                if fix != NO_FIX:
                    yield from _position(said)
                    yield from _number("altitude", said["altitude"])
                    yield from _accuracy(said["horizontal_dil"])
            case "RMC" | "GLL":
                valid = said["status"] == "A"
                mode = said["mode_indicator" if kind == "RMC" else "faa_mode"]
                if not self._quality:
                    yield "fix", MODES.get(mode, "GPS") if valid else NO_FIX
                if valid:
                    yield from _position(said)
                if kind == "RMC":
                    if valid:
                        yield from _number("bearing", said["true_course"])
                        yield from _speed(said["spd_over_grnd"])
                    yield from _time(said["datestamp"], said["timestamp"])
            case "VTG":
                yield from _number("bearing", said["true_track"])
                yield from _speed(said["spd_over_grnd_kts"])


def _texts(sentence) -> dict[str, str]:
    """The parts of a sentence by name, '' for one that is not there."""
    data = sentence.data
    return {name: data[at].strip() if at < len(data) else "" for name, at in type(sentence).name_to_idx.items()}


def _named(names: tuple[str, ...], number: str) -> str:
    return names[int(number)] if number.isdecimal() and int(number) < len(names) else NO_FIX


def _number(name: str, text: str) -> Iterator[tuple[str, str]]:
    if text:
        yield name, f"{Decimal(values.quantity(text)):f}"  # 084.4 is 84.4


def _accuracy(hdop: str) -> Iterator[tuple[str, str]]:
    if hdop:
        yield "accuracy", f"{Decimal(values.quantity(hdop)) * METRES:f}"


def _speed(knots: str) -> Iterator[tuple[str, str]]:
    if knots:
        yield "speed", f"{Decimal(values.quantity(knots)) * KNOT:.2f}"


def _position(said: dict[str, str]) -> Iterator[tuple[str, str]]:
    if said["lat"] and said["lon"]:
        yield "latitude", degrees(said["lat"], said["lat_dir"], 90)
        yield "longitude", degrees(said["lon"], said["lon_dir"], 180)


def degrees(text: str, direction: str, limit: int) -> str:
    """'4807.0380', 'N' as decimal degrees: '48.117300', with two decimals more than the minutes have.

    Raises ValueError, also beyond `limit` degrees.
    """
    found = _ANGLE.match(text)
    if not found or direction not in ("N", "S", "E", "W"):
        raise ValueError(f"{text:.20} {direction:.5} is no angle")
    angle = Decimal(found[1]) + Decimal(found[2]) / 60
    if angle > limit:
        raise ValueError(f"{text:.20} is beyond {limit}°")
    sign = "-" if direction in ("S", "W") and angle else ""
    return f"{sign}{angle:.{min(len(found[3] or '') + 2, DIGITS)}f}"


def _time(day: str, clock: str) -> Iterator[tuple[str, str]]:
    """In UTC, as XML Schema writes it; receivers say two digits of the year."""
    date, moment = _DAY.match(day), _CLOCK.match(clock)
    if date and moment:
        yield "time", f"20{date[3]}-{date[2]}-{date[1]}T{moment[1]}:{moment[2]}:{moment[3]}Z"
