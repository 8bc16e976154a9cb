"""What registers mean: values as decimal text, and the spans in which they are read."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Table = Literal["input", "holding", "coil", "discrete"]
Kind = Literal["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32"]

SIZES = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4, "float32": 2}
CODES = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "uint64": ">Q", "int64": ">q", "float32": ">f"}
BITS = ("coil", "discrete")
SPAN = 64  # registers in one request; the standard allows 125, some meters 80
FLOAT = 7  # digits that a float32 is good for
LAST = 65535


@dataclass(frozen=True)
class Register:
    """Where a field or control is found: address and table, and what its number means.

    A number is multiplied by `factor`; its decimals are those of the product, or for a float32 `decimals`. `bit`
    is one bit of a register. In `words = "little"` the low word of a long number comes first.
    """

    register: int
    table: Table = "holding"
    kind: Kind = "uint16"
    factor: Decimal = Decimal(1)
    decimals: int | None = None
    bit: int | None = None
    words: Literal["big", "little"] = "big"

    def __post_init__(self):
        if not 0 <= self.register <= LAST:
            raise ValueError(f"register must be 0 to {LAST}, not {self.register}")
        if not self.factor or not self.factor.is_finite():
            raise ValueError("factor must not be 0")
        if self.bit is not None and (self.bit not in range(16) or self.table in BITS):
            raise ValueError("bit must be 0 to 15, of a register")
        if self.decimals is not None and self.decimals not in range(10):
            raise ValueError("decimals must be 0 to 9")

    @property
    def size(self) -> int:
        """Registers, or bits in the tables of bits."""
        return 1 if self.table in BITS else SIZES[self.kind]

    def text(self, values: list[int], type: str) -> str | None:
        """What was read, as a field of that type has it; None for a float32 that is no number."""
        if self.table in BITS or self.bit is not None:
            return "true" if values[0] >> (self.bit or 0) & 1 else "false"
        number = self._number(values)
        if number is None:
            return None
        if type == "boolean":
            return "true" if number else "false"
        number *= self.factor
        if self.decimals is not None:
            number = number.quantize(Decimal(1).scaleb(-self.decimals))
        return str(int(number)) if type == "integer" else f"{number:f}"

    def _number(self, values):
        order = values if self.words == "big" else values[::-1]
        (raw,) = struct.unpack(CODES[self.kind], b"".join(value.to_bytes(2, "big") for value in order))
        if self.kind != "float32":
            return Decimal(raw)
        number = Decimal(f"{raw:.{FLOAT}g}")
        return number if number.is_finite() else None

    def values(self, text: str) -> list[int]:
        """The registers for a control's value; raises ValueError in words when it does not fit."""
        if text in ("true", "false"):
            return [int(text == "true")]
        number = Decimal(text) / self.factor
        if self.kind != "float32" and number != int(number):
            raise ValueError(f"{text} is between two steps of {self.factor}")
        try:
            packed = struct.pack(CODES[self.kind], float(number) if self.kind == "float32" else int(number))
        except (struct.error, OverflowError):
            raise ValueError(f"{text} does not fit a register of {self.kind}") from None
        words = [int.from_bytes(packed[at : at + 2], "big") for at in range(0, len(packed), 2)]
        return words if self.words == "big" else words[::-1]


@dataclass
class Span:
    """Neighbours that are read in one request."""

    table: str
    start: int
    count: int
    registers: dict[str, Register]  # by field


def spans(registers: Iterable[tuple[str, Register]], gap: int) -> list[Span]:
    """The fewest requests that read all, over at most `gap` registers in between that nobody wants."""
    found: list[Span] = []
    for name, each in sorted(registers, key=lambda pair: (pair[1].table, pair[1].register)):
        last = found[-1] if found else None
        if last and last.table == each.table and each.register <= last.start + last.count + gap:
            count = max(last.count, each.register + each.size - last.start)
            if count <= SPAN:
                last.count = count
                last.registers[name] = each
                continue
        found.append(Span(each.table, each.register, each.size, {name: each}))
    return found
