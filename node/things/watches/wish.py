"""What somebody wants to be told of a thing: "temperature above 25 for 5 min"; whether that is so, and its words."""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from node.hub.driver import Field
from node.hub.thing import Thing
from node.things import words

COMPARING = ("change", "any")  # a value is held against the one that was told last
SHARE = Decimal("0.02")  # of a threshold: how far a value comes back before an alarm ends, if no deadband says it


class Wish(NamedTuple):
    """`kind` is above, below, change (by `value`), is, any (change), or gone: the thing is offline, of no `field`."""

    field: str
    kind: str
    value: str  # as a decimal text, or as the field has it
    lasting: int  # seconds for which it has to be so

    @property
    def compares(self) -> bool:
        """Whether it has no end of which to tell: each change is one."""
        return self.kind in COMPARING

    def holds(self, field: Field, value: str, told: str | None) -> bool:
        """Whether that is so of a value. `told` is the one told last: of an alarm that goes on, or to compare with."""
        if self.kind == "any":
            return value != told
        if self.kind == "is":
            return value.casefold() == self.value.casefold()
        try:
            number, limit = Decimal(value), Decimal(self.value)
            if self.kind == "change":
                return told is not None and abs(number - Decimal(told)) >= limit
            back = margin(field, limit) if told is not None else 0
            return number > limit - back if self.kind == "above" else number < limit + back
        except InvalidOperation:
            return False  # a board may say anything

    def said(self, thing: Thing) -> str:
        """'temperature above 25 °C for 5 min'"""
        if self.kind == "gone":
            return f"gone{self.time}"
        field = thing.fields.get(self.field) or Field(self.field)
        text = words.value(field, self.value) if self.value else ""
        how = {"is": f" is {text}", "any": " changes", "change": f" changes by {text}"}.get(
            self.kind, f" {self.kind} {text}"
        )
        return f"{words.small(words.title(field))}{how}{self.time}"

    @property
    def time(self) -> str:
        """' for 5 min', or nothing."""
        return f" for {exactly(self.lasting)}" if self.lasting else ""

    def alarm(self, thing: Thing, told: str | None, ago: float | None, times: str) -> str:
        """That it is so: '⚠ Temperature is 25.4 °C (above 25)'. A change has the value `told` before, and when."""
        notes = [times] if times else []
        if self.kind == "gone":
            return f"⚠ {thing.complaint()}{in_brackets(notes)}"
        field = thing.fields[self.field]
        text = f"{words.capital(words.title(field))} is {words.value(field, thing.readings[self.field].value)}"
        if self.compares:
            when = f" {roughly(ago)} ago" if ago is not None else ""
            return text + (in_brackets([f"it was {words.value(field, told)}{when}"]) if told is not None else "")
        if self.kind == "is":
            return f"⚠ {text}{self.time}{in_brackets(notes)}"
        return f"⚠ {text}{in_brackets([f'{self.kind} {self.value}{self.time}', *notes])}"

    def end(self, thing: Thing, lasted: float | None, times: str) -> str:
        """That it is so no more: 'Temperature is 23.9 °C again. It was above 25 for 12 min.'"""
        how_long = "".join((f" for {roughly(lasted)}" if lasted is not None else "", f", {times}" if times else ""))
        if self.kind == "gone":
            return f"{thing.label} is back." + (f" It was offline{how_long}." if how_long else "")
        field = thing.fields[self.field]
        was = words.value(field, self.value) if self.kind == "is" else f"{self.kind} {self.value}"
        now = words.value(field, thing.readings[self.field].value)
        text = f"{words.capital(words.title(field))} is {now} again."
        return text + (f" It was {was}{how_long}." if how_long else "")

    def passed(self, thing: Thing, value: str, lasted: float, at: str, times: str) -> str:
        """That it was so in between, with this `value`: 'Button was pressed for 8 s at 14:02.'"""
        notes = (f" for {roughly(lasted)}" if round(lasted) else "") + f" at {at}" + (f", {times}" if times else "")
        if self.kind == "gone":
            return f"{thing.label} was offline{notes}."
        field = thing.fields[self.field]
        was = f"{self.kind} {self.value}" if self.kind in ("above", "below") else words.value(field, value)
        return f"{words.capital(words.title(field))} was {was}{notes}."


def margin(field: Field, limit: Decimal) -> Decimal:
    """How far a value has to come back: without it one that trembles at the threshold would be news all the time."""
    return field.deadband if field.deadband is not None else abs(limit) * SHARE


def in_brackets(notes: list[str]) -> str:
    return f" ({', '.join(notes)})" if notes else ""


def exactly(seconds: int) -> str:
    """A time as somebody has said it: '5 min', '90 s'."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def roughly(seconds: float) -> str:
    """A time that has passed: '40 s', '12 min', '2 h 5 min'."""
    if seconds >= words.LONG:
        return words.duration(int(seconds))
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
