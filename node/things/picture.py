"""What a thing looks like: one of the pictures in pictures/, which stand for what a thing is.

NAME.svg is how it was drawn, NAME.png what clients get: 192 pixels square, white on a colour that is seen on light and
dark, with nothing in the corners, for some clients cut a circle out. A thing whose configuration names none gets what
the words of its own name say ("Kitchen lamp"), else what it can be told and what it tells.
"""

import hashlib
import os
from functools import lru_cache

from node.base.path import Path
from node.hub.thing import Thing

SIZE = 192  # pixels, of each side: a phone shows 48 points as 144 and more
BOARD = "board"  # of what is several things, or none that we know

_FOLDER = Path(os.path.realpath(__file__)).parent / "pictures"

# By a word of a name, for controls and for what is true or false.
WORDS = {
    **dict.fromkeys(("lamp", "light", "lights", "bulb", "led", "dimmer", "brightness", "color"), "lamp"),
    **dict.fromkeys(("plug", "socket", "outlet", "switch", "relay"), "plug"),
    **dict.fromkeys(("door", "gate", "garage", "hatch", "lid", "contact"), "door"),
    "window": "window",
    **dict.fromkeys(("motion", "occupancy", "presence", "pir"), "motion"),
    **dict.fromkeys(("water", "leak", "flood", "pump", "valve", "moisture", "soil"), "water"),
    **dict.fromkeys(("blind", "blinds", "shutter", "curtain", "cover", "awning"), "blind"),
    **dict.fromkeys(("heating", "heater", "radiator", "boiler", "stove", "thermostat", "setpoint"), "heating"),
    **dict.fromkeys(("button", "key"), "button"),
    "lock": "lock",
}
# By a unit, for what has nothing of the above, the most telling first; every other number has a gauge.
UNITS = {
    **dict.fromkeys(("°C", "°F", "K"), "thermometer"),
    **dict.fromkeys(("W", "kW", "Wh", "kWh", "VA", "A", "V"), "meter"),
    "lx": "light",
}


def names() -> list[str]:
    """The pictures that there are, by the alphabet."""
    return sorted(file.removesuffix(".png") for file in os.listdir(_FOLDER) if file.endswith(".png"))


def name(thing: Thing) -> str:
    """Which picture a thing has."""
    return thing.picture or _called(thing.label) or _made(thing)


def data(name: str) -> bytes:
    """The PNG of that name. It is seldom asked for, so it stays on the disk."""
    return (_FOLDER / f"{name}.png").read_bytes()


@lru_cache(64)  # more than there are
def digest(name: str) -> str:
    """The SHA-1 of that PNG, as hexadecimal digits."""
    return hashlib.sha1(data(name), usedforsecurity=False).hexdigest()


def _called(label: str) -> str:
    """What a thing is by its name: in "Door lamp" the last word counts."""
    said = (WORDS.get(word) for word in reversed(label.casefold().replace("-", " ").split()))
    return next(filter(None, said), "")


def _made(thing: Thing) -> str:
    """What a thing is by what it can be told and what it tells."""
    if "latitude" in thing.fields:
        return "position"
    if thing.kind == "linux" and "load" in thing.fields:
        return "computer"
    telling = [*thing.controls, *(name for name, field in thing.fields.items() if field.type == "boolean")]
    kinds = {_called(name.replace("_", " ")) for name in telling} - {""}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else BOARD
    if any(control.type == "boolean" for control in thing.controls.values()):
        return "plug"
    units = {each.unit for each in thing.fields.values() if each.type in ("quantity", "integer")}
    return next((UNITS[unit] for unit in UNITS if unit in units), "gauge" if units else BOARD)
