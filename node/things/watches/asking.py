"""How a watch is asked for: in words ("watch temperature above 25 for 5 min"), and by a form."""

import re

from node.base import form
from node.base.element import Element
from node.hub.driver import Field
from node.hub.thing import Thing
from node.things import words
from node.things.meant import OFF, ON, beginning, named
from node.things.watches.wish import Wish

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # by their first letters
TIME = r"(\d{1,4}) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)"
NUMBER = r"([+-]?\d{1,12}(?:[.,]\d{1,12})?)"  # as many digits as any sensor has
TEXT = 60  # characters of a text to compare with: states have short names

LASTING = re.compile(rf"(.+?) for (?:at least )?{TIME}", re.IGNORECASE)
GONE = re.compile(r"(?:is )?(?:gone|offline)", re.IGNORECASE)
BOUND = re.compile(
    rf"(.+?) (?:is |goes |gets |rises |falls )?(above|over|>|below|under|<) ?{NUMBER} ?(.*)", re.IGNORECASE
)
CHANGE = re.compile(rf"(.+?) changes?(?: (?:by )?{NUMBER} ?(.*))?", re.IGNORECASE)
IS = re.compile(r"(?:is |= ?)?(.+)", re.IGNORECASE)
BOUNDS = {"above": "above", "over": "above", ">": "above", "below": "below", "under": "below", "<": "below"}
CONDITIONS = (
    ("above", "goes above"),
    ("below", "goes below"),
    ("change", "changes by"),
    ("is", "is"),
    ("any", "changes at all"),
    ("gone", "the thing is offline"),
)


class Unclear(ValueError):
    """What was not understood of a wish, in words."""


def understood(thing: Thing, text: str) -> Wish:
    """The wish that words mean. Raises Unclear."""
    lasting = 0
    if found := LASTING.fullmatch(text):
        text, lasting = found[1], seconds(found[2], found[3])
    if GONE.fullmatch(text):
        return Wish("", "gone", "", lasting)
    if found := BOUND.fullmatch(text):
        return checked(thing, found[1], BOUNDS[found[2].lower()], found[3], found[4], lasting)
    if found := CHANGE.fullmatch(text):
        return checked(thing, found[1], "change" if found[2] else "any", found[2] or "", found[3] or "", lasting)
    field, rest = beginning(thing.fields, text)
    if field is None:
        return checked(thing, text, "any", "", "", lasting)
    value = IS.fullmatch(" ".join(rest))
    assert value is not None
    return checked(thing, field.name, "is", value[1], "", lasting)


def checked(thing: Thing, name: str, kind: str, value: str, unit: str, lasting: int) -> Wish:
    """A wish that the thing can fulfil. Raises Unclear."""
    field = named(thing.fields, name)
    if field is None:
        known = ", ".join(list(thing.fields)[:10]) or "nothing yet"
        raise Unclear(f"I do not know “{name[:TEXT]}”. I can watch: {known}, gone.")
    title = words.capital(words.title(field))
    if field.type not in ("quantity", "integer"):
        if kind in ("above", "below", "change"):
            raise Unclear(f"{title} is no number. Say for example: {example(field)}")
        return Wish(field.name, kind, meant(field, value) if kind == "is" else "", lasting)
    if kind in ("is", "any"):
        raise Unclear(f"When? Say for example: {example(field)}")
    if unit.casefold() not in ("", field.unit.casefold(), field.unit.casefold().lstrip("°")):
        raise Unclear(f"{title} is in {field.unit}." if field.unit else f"{title} has no unit.")
    value = value.replace(",", ".").removeprefix("+")
    if kind == "change" and not value.strip("-0."):
        raise Unclear(f"By how much? Say for example: watch {field.name} change 1")
    return Wish(field.name, kind, value.removeprefix("-") if kind == "change" else value, lasting)


def meant(field: Field, text: str) -> str:
    """The value that words mean: 'open' is the true of a door. Raises Unclear."""
    plain = text.casefold().rstrip("!.")
    plain = {"opens": "open", "closes": "close"}.get(plain, plain)
    if field.type != "boolean":
        return text[:TEXT]
    yes, no = words.truth(field, "true"), words.truth(field, "false")
    if plain in (yes, no):
        return "true" if plain == yes else "false"
    if plain in ON or plain in OFF:
        return "true" if plain in ON else "false"
    raise Unclear(f"{words.capital(words.title(field))} is {yes} or {no}.")


def seconds(number: str, unit: str) -> int:
    """How long '10', 'minutes' is."""
    return int(number) * UNITS[unit[0].lower()]


def example(field: Field) -> str:
    """What one can say."""
    if field.type in ("quantity", "integer"):
        return f"watch {field.name} above 25"
    return f"watch {field.name} {words.truth(field, 'true')}" if field.type == "boolean" else f"watch {field.name}"


def examples(thing: Thing) -> str:
    """The same of a thing, for its help."""
    field = next((each for each in thing.fields.values() if each.category != "identity"), None)
    return ", ".join(([example(field)] if field else []) + ["watch gone for 10 min"])


# By a form


def question(thing: Thing) -> Element:
    """The form of the command."""
    fields = tuple((each.name, words.title(each)) for each in thing.fields.values())
    chosen = next((name for name, _ in fields), None)
    return form.form(
        form.field("field", *([chosen] if chosen else []), type="list-single", label="Reading", options=fields),
        form.field("condition", "above" if fields else "gone", type="list-single", label="When", options=CONDITIONS),
        form.field("value", label="Value", desc="A number, or a word such as: open"),
        form.field("for", label="For how long", desc="Such as: 10 min. Empty: at once"),
        title=thing.label,
    )


def answered(thing: Thing, given: dict[str, list[str]]) -> Wish:
    """The wish that a form means. Raises Unclear."""
    said = {var: " ".join(texts[0].split()) for var, texts in given.items() if texts}
    kind, value, lasting = said.get("condition", "above"), said.get("value", ""), 0
    if said.get("for"):
        time = re.fullmatch(TIME, said["for"], re.IGNORECASE)
        if time is None:
            raise Unclear("For how long? Such as: 10 min")
        lasting = seconds(time[1], time[2])
    if kind == "gone":
        return Wish("", kind, "", lasting)
    unit = ""
    if kind in ("above", "below", "change"):
        number = re.fullmatch(rf"{NUMBER} ?(.*)", value)
        if number is None:
            raise Unclear(f"“{value[:TEXT]}” is no number.")
        value, unit = number[1], number[2]
    elif kind == "is" and not value:
        raise Unclear("Which value? Such as: open")
    return checked(thing, said.get("field", ""), kind, value, unit, lasting)
