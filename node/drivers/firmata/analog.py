"""An analog channel: raw numbers become values, and noise is not told."""

from decimal import ROUND_HALF_EVEN, Decimal
from math import ceil

from node.drivers.firmata.options import FieldPlace


class Channel:
    """The field `name` on an analog channel whose converter has so many bits.

    Told are values that differ from the last one told by `deadband` (in the field's unit), or at all without one.
    """

    __slots__ = ("_last", "_place", "_step", "_text", "_top", "name")

    def __init__(self, name: str, place: FieldPlace, deadband: Decimal | None, bits: int):
        self.name = name
        self._place = place
        # In raw numbers, so that what is not told costs no arithmetic with decimals.
        self._step = max(1, ceil((deadband or 0) / abs(place.factor)))
        self._top = (1 << bits) - 1
        self._last: int | None = None
        self._text = ""

    def hear(self, raw: int) -> str | None:
        """The value if it is to be told: an exact decimal text."""
        # What the converter cannot have measured is noise on the line.
        if raw > self._top or (self._last is not None and -self._step < raw - self._last < self._step):
            return None
        self._last = raw
        value = raw * self._place.factor + self._place.offset
        if self._place.decimals is not None:
            value = value.quantize(Decimal(1).scaleb(-self._place.decimals), ROUND_HALF_EVEN) + 0  # + 0: no -0.0
        text = f"{value:f}"
        if text == self._text:
            return None
        self._text = text
        return text
