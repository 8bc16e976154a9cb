"""How the values of a thing are said to people: `21.4 °C · 48 % · door closed`."""

import re
import time
from collections.abc import Mapping

from node.hub.driver import Control, Field
from node.hub.thing import Thing

PARTS = 3  # a status line holds the two or three most important values,
LENGTH = 60  # as much as a contact list shows
NOTHING = "no reading"  # of what has no value, be it not yet or no more
LONG = 3600  # seconds; who is told so many has to divide

# Units that say by themselves what is measured; other values are told with their names.
TELLING = frozenset({"°C", "°F", "hPa", "mbar", "lx", "W", "kW", "kWh", "ppm", "dB", "km/h"})

# false and true in words, by the last word of a name; everything else is off or on.
OPENINGS = dict.fromkeys(("door", "window", "gate", "lid", "hatch", "valve", "curtain"), ("closed", "open"))
BUTTONS = dict.fromkeys(("button", "key"), ("released", "pressed"))
TRUTHS = {
    **OPENINGS,
    **BUTTONS,
    "lock": ("unlocked", "locked"),
    "motion": ("none", "seen"),
    "water": ("none", "found"),
}
TRUTH = re.compile(r"\b(?:true|false)\b")


def sentence(text: str) -> str:
    """With a full stop, unless it ends in a question or a stop of its own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def title(item: Field | Control) -> str:
    """What people call a field or control: its label, or its name."""
    return item.label or item.name.replace("_", " ")


def truth(item: Field | Control, value: str) -> str:
    """A boolean in words: 'closed' or 'open' for a door, 'off' or 'on' for a lamp."""
    last = item.name.casefold().replace("_", " ").split()[-1:]
    return TRUTHS.get(last[0] if last else "", ("off", "on"))[value == "true"]


def spoken(control: Control | None, text: str) -> str:
    """What a driver says of a control, with people's words for its true and false: 'it says off'."""
    if control is None or control.type != "boolean":
        return text
    return TRUTH.sub(lambda found: truth(control, found[0]), text)


def value(item: Field | Control, text: str) -> str:
    """A value with its unit, or its word: '21.4 °C', 'open'."""
    if item.type == "boolean":
        return truth(item, text)
    if item.unit == "s" and isinstance(item, Field) and text.isdecimal() and int(text) >= LONG:
        return duration(int(text))
    return f"{text} {item.unit}" if item.unit else text


def duration(seconds: int) -> str:
    """A long time in its two largest units: '3 d 4 h', '2 h 5 min'."""
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def line(thing: Thing, values: Mapping[str, str]) -> str:
    """The status line of a thing that has these values: its first shown fields, as far as they fit."""
    shown = [field for field in thing.fields.values() if field.shown and field.name in values]
    units = [field.unit for field in shown]
    said = ""
    for field in shown[:PARTS]:
        text = value(field, values[field.name])
        if field.type == "boolean" or not (tells(field) and units.count(field.unit) == 1):
            text = f"{small(title(field))} {text}"
        longer = f"{said} · {text}" if said else text[:LENGTH]
        if len(longer) > LENGTH:
            break
        said = longer
    return said


def tells(field):
    return field.unit in TELLING or (field.unit == "%" and "humidity" in field.name.casefold())


def small(text):
    """Without its capital, unless that is no mere capital: 'Door' is 'door', 'CPU' stays."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def capital(text: str) -> str:
    """As the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def clock(seconds: float, now: float | None = None) -> str:
    """A Unix time as people here say it: '14:02', with the day when it was another one."""
    then, today = time.localtime(seconds), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return f"{then.tm_mday} {time.strftime('%b %H:%M' if then.tm_year == today.tm_year else '%b %Y', then)}"


def wrong(thing: Thing) -> str:
    """Why what a thing that is online has told may be so no more: 'no reading since 14:02: no answer'; '' if not."""
    since = f"no reading since {clock(thing.last)}" if thing.stale and thing.last else ""
    return f"{since or 'not read'}: {thing.fault}" if thing.fault else since


def example(control: Control) -> str:
    """What one can say to set it: 'lamp on', 'set dimmer 255'."""
    if control.type == "boolean":
        return f"{control.name} on"
    known = next(iter(control.options), None) or control.maximum or control.minimum
    return f"set {control.name} {'3399FF' if control.type == 'color' else '…' if known is None else known}"


def how_to_set(control: Control) -> str:
    """All that one can say to set it."""
    if control.type == "boolean":
        return f"{control.name} on, {control.name} off, {control.name} toggle"
    if control.options:
        return f"set {control.name} {'|'.join(control.options)}"
    unit = f" {control.unit}" if control.unit else ""
    if control.minimum is not None and control.maximum is not None:
        return f"set {control.name} {control.maximum} ({control.minimum}–{control.maximum}{unit})"
    return f"set {control.name} …{unit}"
