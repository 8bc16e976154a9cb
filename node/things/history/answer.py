"""History in words: `temperature history 24h` is answered with the least, the mean, the most, and a sparkline."""

import time
from decimal import Decimal

from node.things import words
from node.things.chat import named
from node.things.history.samples import Point

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # by their first letters
NAMES = {"m": "min", "h": "h", "d": "days", "w": "weeks"}
COLUMNS = 24  # of a sparkline: as many as fit a phone's line
LONGEST = 400 * 86400  # seconds that one can ask for
BARS = "▁▂▃▄▅▆▇█"
TIME = r"(?: (?:for |of )?(?:the )?(?:last )?(\d{1,4}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?))?"


def setup(hub, history):
    chat = hub.need("chat")

    def answer(talk, name, number, unit):
        return told(history, talk.thing, name, number or "24", (unit or "h")[0].lower())

    chat.understand(rf"(.+?) history{TIME}", answer, offers)
    chat.understand(rf"history(?: of)? (.+?){TIME}", answer)


def offers(talk):
    """In the help: with a field that has a history."""
    field = next((each for each in talk.thing.fields.values() if each.type in ("quantity", "integer")), None)
    return [f"{field.name} history 24h, {field.name} history 7 days"] if field else []


def told(history, thing, name, number, unit):
    """The answer in words; None when there is no such field."""
    field = named(thing.fields, name)
    if field is None:
        return None
    seconds = min(max(int(number), 1) * UNITS[unit], LONGEST)
    end = time.time()
    buckets = history.buckets(thing.jid, field.name, end - seconds, end, COLUMNS)
    total = history.summary(buckets)
    title = f"{words.capital(words.title(field))}, the last {int(number)} {NAMES[unit]}"
    if total is None:
        return f"{title}: nothing is known."
    line = sparkline([each.point for each in buckets], total)
    return f"{title}: {spread(field, total)}\n{line}\n{words.clock(end - seconds)} … {words.clock(end)}"


def spread(field, total: Point) -> str:
    """Least to most and mean; of what is on or off, for how much of the time it was on."""
    if field.type == "boolean":
        return f"{words.truth(field, 'true')} for {total.mean * 100:.0f} % of the time"
    unit = f" {field.unit}" if field.unit else ""
    if total.low == total.high:
        return f"always {total.low:f}{unit}"
    return f"{total.low:f} to {total.high:f}{unit}, {total.mean:f}{unit} on average"


def sparkline(found: list[Point | None], total: Point) -> str:
    """Means as bars of text; a blank where nothing is known."""
    span = total.high - total.low
    return "".join(" " if each is None else BARS[bar(each.mean - total.low, span)] for each in found)


def bar(above: Decimal, span: Decimal) -> int:
    return min(int(above * len(BARS) / span), len(BARS) - 1) if span else len(BARS) // 2
