"""Values over time: how they are packed, and what was least, mean and most of them.

A value holds from its sample to the next one. A sample without a value says that from then on nothing is known.
Times are whole tenths of a second since 1970; values are the sensor's own texts, and are never floats.

Packed, they are text, a line for each sample: the time since the one before, a blank, the value. Of numbers such a
text has no more than 16 different characters, so two of them make a byte: half the memory, and half of what a card has
to write.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

SECOND = 10  # tenths

_TRUTHS = {"true": "1.00", "false": "0.00"}
SHARE = Decimal("0.0001")  # of a minute that is 6 ms
DIGITS = 27  # of a mean: what decimal reckons with, less one

Sample = tuple[int, str]

_DIGITS = str.maketrans(".-+e \nABCDEFabcdf", "abcdef" + 11 * "?")  # beside 0 to 9; "?" is none, so it is refused
_TEXT = str.maketrans("abcdef", ".-+e \n")
_PLAIN = b"0 "  # how a text begins that is not packed so: the first sample is at the beginning


class Span(NamedTuple):
    """Samples in a row; the last one holds until `until`."""

    first: int
    until: int
    data: bytes

    def samples(self) -> Iterator[Sample]:
        """The samples, oldest first."""
        at = self.first
        for line in _text(self.data).split("\n"):
            if not line:
                continue
            delta, _, value = line.partition(" ")
            at += int(delta)
            yield at, value


def pack(data: bytes, since: int, at: int, value: str) -> bytes:
    """What is packed and one sample more, `since` the one before (or the beginning of the span)."""
    line = f"{at - since} {value}\n"
    if not data.startswith(_PLAIN):
        even = line if len(line) % 2 == 0 else f"{line}\n"
        try:
            return data + bytes.fromhex(even.translate(_DIGITS))
        except ValueError:
            data = _text(data).encode()
    return data + line.encode()


def _text(data: bytes) -> str:
    return data.decode() if data.startswith(_PLAIN) else data.hex().translate(_TEXT)


class Point(NamedTuple):
    """What a value was within some time: the least, the mean over that time, and the most.

    `share` is the part of that time of which anything is known: so much the point counts beside others.
    """

    low: Decimal
    mean: Decimal
    high: Decimal
    share: Decimal = Decimal(1)


class _Sum:
    """A Point in the making."""

    __slots__ = ("decimals", "high", "low", "sum", "time")

    def __init__(self):
        self.low: Decimal | None = None
        self.high = Decimal(0)
        self.sum = Decimal(0)
        self.time = Decimal(0)
        self.decimals = 0

    def add(self, low: Decimal, mean: Decimal, high: Decimal, time: Decimal) -> None:
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.time == 0 else max(self.high, high)
        self.sum += mean * time
        self.time += time
        for each in (low, high):  # the sensor's own: means have one more
            exponent = each.as_tuple().exponent
            self.decimals = max(self.decimals, -exponent if isinstance(exponent, int) else 0)

    def point(self, length: Decimal) -> Point | None:
        """Of that length of time altogether."""
        if self.low is None:
            return None
        mean, share = self.sum / self.time, max((self.time / length).quantize(SHARE), SHARE)
        if self.low == self.high:
            return Point(self.low, self.low, self.high, share)
        decimals = min(self.decimals + 1, DIGITS - mean.adjusted())
        return Point(self.low, mean.quantize(Decimal(1).scaleb(-decimals)), self.high, share)


def points(spans: Iterable[Span], begin: int, end: int, count: int) -> list[Point | None]:
    """`count` Points of equal length from `begin` to `end`; None where nothing is known."""
    sums = [_Sum() for _ in range(count)]
    width = Decimal(end - begin) / count
    for span in spans:
        samples = list(span.samples())
        ends = [at for at, _ in samples[1:]] + [span.until]
        for (at, text), until in zip(samples, ends, strict=True):
            if text and max(at, begin) < min(until, end):
                _spread(sums, number(text), max(at, begin) - begin, min(until, end) - begin, width)
    return [each.point(width) for each in sums]


def _spread(sums: list[_Sum], value: Decimal, at: int, until: int, width: Decimal) -> None:
    """A value that held from `at` to `until`, over the sums that this time lies in."""
    position = Decimal(at)
    for index in range(int(at / width), len(sums)):
        edge = min(width * (index + 1), Decimal(until))
        if edge > position:
            sums[index].add(value, value, value, edge - position)
        position = edge
        if position >= until:
            return


def number(text: str) -> Decimal:
    """A value as a number: true is 1, with decimals for the share of time in which it was so."""
    return Decimal(_TRUTHS.get(text, text))


def pack_points(found: list[Point | None]) -> bytes:
    """Points of equal length, one after the other."""
    return "\n".join("" if each is None else _words(each) for each in found).encode()


def _words(point: Point) -> str:
    words = [point.low] if point.low == point.high else [point.low, point.mean, point.high]
    if point.share < 1:
        words = [point.low, point.mean, point.high, point.share]
    return " ".join(f"{word:f}" for word in words)


def unpack_points(data: bytes) -> list[Point | None]:
    """What `pack_points` has packed."""
    found: list[Point | None] = []
    for line in data.decode().split("\n"):
        words = [Decimal(word) for word in line.split()]
        if len(words) == 1:
            words *= 3
        found.append(Point(*words) if words else None)
    return found


def together(found: Iterable[tuple[Point | None, int]]) -> Point | None:
    """Points as one, each with its length of time."""
    total, length = _Sum(), Decimal(0)
    for point, each in found:
        length += each
        if point is not None:
            total.add(point.low, point.mean, point.high, each * point.share)
    return total.point(length)
