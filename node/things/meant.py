"""What words mean: which field or control, and which value; and what is only said out of politeness."""

import re

from node.hub.driver import Control
from node.things import words

TITLE = 10  # words of a label; to hold all 250 words of a message against 64 controls takes a Pi a tenth of a second
PLEASE = re.compile(r"please,? (.+)|(.+?),? please[.!]*", re.IGNORECASE)

ON = frozenset(("on", "true", "yes", "1", "open", "start", "up"))
OFF = frozenset(("off", "false", "no", "0", "close", "closed", "stop", "down"))


def plain(text, controls):
    """Without "please", unless that may be a part of a text to be set: `display two beers please`."""
    polite = PLEASE.fullmatch(text)
    if polite is None or (polite[2] and sets_text(polite[2], controls)):
        return text
    return polite[1] or polite[2]


def sets_text(text, controls):
    start = text.casefold().removeprefix("set ")
    texts = (each for each in controls.values() if each.type == "string")
    return any(start.startswith((each.name.casefold(), words.title(each).casefold())) for each in texts)


def named(items, text):
    """The field or control that somebody calls so, by name or label; none of several controls with one label."""
    text = text.casefold()
    found = [each for each in items.values() if each.name.casefold() == text] or [
        each
        for each in items.values()
        if text in (words.title(each).casefold(), each.name.casefold().replace("_", " "))
    ]
    if len(found) > 1 and isinstance(found[0], Control):
        return None
    return found[0] if found else None


def beginning(items, text):
    """The field or control whose name a text begins with, the longest, and the words that follow; or None."""
    parts = text.split()
    for length in range(min(len(parts) - 1, TITLE), 0, -1):
        found = named(items, " ".join(parts[:length]))
        if found is not None:
            return found, parts[length:]
    return None, []


def meant(control, text, reading):
    """The value that words mean for a control; None for a toggle of what is not known."""
    plain = text.casefold().rstrip("!.")
    if control.type == "boolean":
        if plain == "toggle":
            return reading and ("false" if reading.value == "true" else "true")
        return "true" if plain in ON else "false" if plain in OFF else text
    if control.type == "enum":
        return next((each for each in control.options if each.casefold() == plain), text)
    if control.type in ("integer", "quantity"):
        number = text.removesuffix(control.unit).strip() if control.unit else text
        return number.replace(",", ".") if number.count(",") == 1 and "." not in number else number
    return text
