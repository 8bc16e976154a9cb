"""History in words: `temperature history 24h` is answered with the least, the mean, the most, and a sparkline."""

import time
from decimal import Decimal

from node.base.errors import StanzaError
from node.hub.store import StoreError
from node.things import words
from node.things.history.samples import Point
from node.things.meant import named

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}  # by their first letters
NAMES = {"m": "min", "h": "h", "d": "days", "w": "weeks"}
COLUMNS = 24  # of a sparkline: as many as fit a phone's line
LONGEST = 400 * 86400  # seconds that one can ask for
BARS = "▁▂▃▄▅▆▇█"
TIME = (
    r"(?: (?:for |of )?(?:the )?(?:(?:last )?(\d{1,4}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)"
    r"|last (minute|hour|day|week)|(today|yesterday)))?"
)


def setup(hub, history):
    chat = hub.need("chat")

    def answer(talk, name, number, unit, last, day):
        if day:
            return told(history, talk.thing, name, day.lower(), *calendar_day(day.lower()))
        count, letter = int(number or (1 if last else 24)), (unit or last or "h")[0].lower()
        end = time.time()
        begin = end - min(max(count, 1) * UNITS[letter], LONGEST)
        return told(history, talk.thing, name, f"the last {count} {NAMES[letter]}", begin, end)

    def of_the_first(talk, *said):
        field = first(talk.thing)
        return field and answer(talk, field.name, *said)

    chat.understand(rf"(.+?) history{TIME}", answer, offers)
    chat.understand(rf"history(?: of)? (.+?){TIME}", answer)
    chat.understand(rf"history{TIME}", of_the_first)
    chat.understand(r"(.+?) history (.+)", how_to_ask)


def how_to_ask(talk, name, said):
    """When the field is known, and the time is not."""
    field = named(talk.thing.fields, name)
    known = field and f"Say for example: {field.name} history 90 min, 24h, today, yesterday."
    return known and f"I do not know the time “{said[:60]}”. {known}"


def first(thing):
    """The first field that has a history to look at."""
    return next((each for each in thing.fields.values() if each.type in ("quantity", "integer")), None)


def calendar_day(day: str) -> tuple[float, float]:
    """When it begins and ends here, or has got to: Unix times. `day` is today or yesterday."""
    now = time.time()
    year, month, number, *_ = time.localtime(now)
    midnights = [time.mktime((year, month, number - back, 0, 0, 0, 0, 0, -1)) for back in (1, 0)]
    return (midnights[1], now) if day == "today" else (midnights[0], midnights[1])


def offers(talk):
    """In the help: with a field that has a history."""
    field = first(talk.thing)
    return [f"{field.name} history 24h, {field.name} history 7 days"] if field else []


def told(history, thing, name, period, begin, end):
    """What waits for the answer in words; None when there is no such field."""
    field = named(thing.fields, name)
    return field and in_words(history, thing, field, period, begin, end)


async def in_words(history, thing, field, period, begin, end):
    try:
        buckets = await history.buckets(thing.jid, field.name, begin, end, COLUMNS)
    except StoreError as error:
        raise StanzaError("internal-server-error", str(error)) from error
    total = history.summary(buckets)
    title = f"{words.capital(words.title(field))}, {period}"
    if total is None:
        return f"{title}: nothing is known."
    line = sparkline([each.point for each in buckets], total)
    return f"{title}: {spread(field, total)}\n{line}\n{words.clock(begin)} … {words.clock(end)}"


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
