"""Sensor data for machines: urn:nf/nfi/ieee:iot:sd:1.0 and XEP-0323, one readout in two spellings.

The short dialect answers in the iq; XEP-0323 always accepts first and sends the data in a message (L-1). A
readout for later (`when`) waits here, can be cancelled, and is lost when the node stops. Who asks for historical
values, or for all `from` a time on, gets those that are kept: one by one if they are few, else means of equal times.
"""

import time
from asyncio import TimerHandle
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from node.base import stamp
from node.base.element import E, Element, write
from node.base.errors import StanzaError
from node.base.form import FormError, boolean, check
from node.base.jid import Jid
from node.base.stanza import Stanza
from node.hub.driver import Field
from node.hub.store import StoreError
from node.hub.thing import Reading, Thing
from node.things import words
from node.things.dialects import Dialect, addressed, dialects
from node.things.history.samples import SECOND

NEEDS = ("access", "history")

LEGACY = "urn:xmpp:iot:sensordata"

FRAGMENT = 8000  # bytes of values in one stanza: with its envelope below the 10 kB that every server takes (SD-10)
NAMES = 200  # field names in one request: more than a board has
WAITING = 20  # readouts that wait at one thing: a few per follower; each costs a timer
PAST = 500  # historical values in one readout: five stanzas or so
DAY = 86400  # seconds: how far back historical values go if nobody says
HALF = Decimal("0.5")
HORIZON = 7 * 86400  # seconds ahead that a readout may be ordered; the node was restarted by then


def setup(hub, options):
    sensor = Sensor(hub)
    for dialect in dialects("sd", LEGACY):
        hub.advertise(dialect.ns, at="thing")
        hub.on_iq("get", "req", dialect.ns, sensor.asked, at="thing")
        for type in ("get", "set"):  # the short dialect's table says set, XEP-0323 get, and code sends both
            hub.on_iq(type, "cancel", dialect.ns, sensor.cancel, at="thing")
        sensor.dialects[dialect.ns] = dialect


@dataclass(slots=True)
class Request:
    """What somebody wants to read."""

    dialect: Dialect
    id: str  # unique for the one who asks (SD-2)
    asker: Jid
    address: Jid  # of the thing, as it was asked: it answers from there (L-5)
    by_node: bool
    categories: set[str] = field(default_factory=set)  # empty: all
    names: set[str] = field(default_factory=set)  # empty: all; casefolded
    begin: float | None = None
    end: float | None = None
    when: float | None = None


# A value of before, its field, and whether it is a mean.
Past = tuple[Reading, Field, bool]


class Sensor:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.history = hub.need("history")
        self.dialects: dict[str, Dialect] = {}
        self.waiting: dict[Jid, dict[tuple[Jid, str], TimerHandle]] = defaultdict(dict)

    def asked(self, iq, origin):
        """SD-2, SD-3, L-1: data at once, or the promise of data."""
        thing, dialect = self.hub.things[iq.to.bare], self.dialects[iq.payload.ns]
        request = understood(dialect, iq, thing.jid.local)
        if request.when is not None and request.when > time.time():
            self.order(thing, request)
            return iq.reply(said(request, "accepted", queued="true"))
        if not dialect.short:
            # The answer first, then the data: whoever asked learns by it which data are his.
            self.hub.route(iq.reply(said(request, "accepted")))
        if asks_past(request):
            return self.look_up(iq, thing, request)
        return self.answer(iq, request, readout(thing, request, (), absent(thing, request)))

    async def look_up(self, iq, thing, request):
        """The same with values of before: it may take a while to read them."""
        return self.answer(iq, request, await self.readout(thing, request))

    def answer(self, iq, request, parts):
        first, *rest = parts
        if request.dialect.short and not rest:
            return iq.reply(first)
        if request.dialect.short:
            self.hub.route(iq.reply(first))
            parts = rest
        self.send(request, parts)
        return None

    def send(self, request, parts):
        for part in parts:
            self.hub.route(Stanza("message", part, sender=request.address, to=request.asker))

    def order(self, thing, request):
        """Keeps a readout for its time; the same id again takes the place of the one before."""
        waiting, key = self.waiting[thing.jid], (request.asker, request.id)
        self.drop(thing, key)
        if len(waiting) >= WAITING:
            raise StanzaError("resource-constraint", f"{WAITING} readouts wait here already.")
        delay = request.when - time.time()
        if delay > HORIZON:
            raise StanzaError("bad-request", "A readout can be ordered for the next seven days.")
        waiting[key] = self.hub.loop.call_later(delay, self.due, thing, request)

    def due(self, thing, request):
        self.drop(thing, (request.asker, request.id))
        # Since it was ordered the thing may have been taken out, or the right to read it taken back.
        if self.hub.things.get(thing.jid) is thing and self.access.may_read(thing, request.asker):
            self.hub.spawn(self.send_late(thing, request), f"a readout of {thing.jid} for {request.asker}")

    async def send_late(self, thing, request):
        self.send(request, [said(request, "started"), *await self.readout(thing, request)])

    async def readout(self, thing, request):
        past = await self.past(thing, request) if asks_past(request) else ()
        return readout(thing, request, past, absent(thing, request))

    async def past(self, thing, request):
        """The historical values that are asked for, with their fields and whether they are means."""
        end = request.end if request.end is not None else thing.now()
        begin = request.begin if request.begin is not None else end - DAY
        fields = [each for each in thing.fields.values() if named(request, each)]
        try:
            found = [(each, self.history.samples(thing.jid, each.name, begin, end, PAST + 1)) for each in fields]
            if begin < end and sum(len(samples) for _, samples in found) > PAST:
                count = max(PAST // len(fields), 1)
                return [past for each in fields for past in await self.means(thing, each, begin, end, count)]
        except StoreError as error:
            raise StanzaError("internal-server-error", str(error)) from error
        return [
            (Reading(value, at / SECOND), each, False)
            for each, samples in found
            for at, value in samples
            if value and not (each.name in thing.readings and at / SECOND >= thing.readings[each.name].stamp)
        ]

    async def means(self, thing, field, begin, end, count):
        found = []
        for bucket in await self.history.buckets(thing.jid, field.name, begin, end, count):
            if bucket.point is not None:
                mean = bucket.point.mean
                text = f"{mean:f}" if field.type == "quantity" else f"{mean:.0f}"
                if field.type == "boolean":
                    text = "true" if mean >= HALF else "false"
                found.append((Reading(text, bucket.begin), field, True))
        return found

    def cancel(self, iq, origin):
        """SD-9, L-2: an id that is not known is as good as cancelled."""
        thing, dialect = self.hub.things[iq.to.bare], self.dialects[iq.payload.ns]
        id = identified(dialect, iq.payload)
        self.drop(thing, (iq.sender, id))
        return iq.reply(None if dialect.short else E("cancelled", dialect.ns, seqnr=id))

    def drop(self, thing, key):
        timer = self.waiting[thing.jid].pop(key, None)
        if timer is not None:
            timer.cancel()


# What is asked


def understood(dialect: Dialect, iq: Stanza, node: str) -> Request:
    """The request of an iq. Raises StanzaError: bad-request or item-not-found (SD-8, L-3)."""
    asked = iq.payload
    assert asked is not None and iq.sender is not None and iq.to is not None
    request = Request(dialect, identified(dialect, asked), iq.sender, iq.to, addressed(dialect, asked, node))
    fields = asked.findall(dialect.field)
    if len(fields) > NAMES:
        raise StanzaError("bad-request", f"At most {NAMES} fields in one request.")
    request.names = {(each.get(dialect.name) or "").casefold() for each in fields}
    try:
        if not flag(asked, "all"):
            request.categories = {name for key, name in dialect.flags.items() if flag(asked, key)}
        request.begin, request.end, request.when = (moment(asked.get(key)) for key in ("from", "to", "when"))
    except (FormError, ValueError) as error:
        raise StanzaError("bad-request", str(error)) from None
    return request


def identified(dialect, asked):
    id = asked.get("id" if dialect.short else "seqnr")
    if not id or len(id) > 200:
        raise StanzaError("bad-request", "A request needs an id of at most 200 characters.")
    if not dialect.short:
        try:
            check(id, "xs:int")
        except FormError:
            raise StanzaError("bad-request", "seqnr must be a whole number.") from None
    return id


def flag(asked, key):
    return key in asked.attrs and boolean(asked.attrs[key], key)


def moment(text):
    """A dateTime; XEP-0323 writes them without a zone too, which can only mean UTC."""
    if text is None:
        return None
    try:
        return stamp.parse(text)
    except ValueError:
        return stamp.parse(f"{text}Z")


# What is answered


def said(request, name, **attrs):
    return E(name, request.dialect.ns, **{"id" if request.dialect.short else "seqnr": request.id}, **attrs)


def readout(thing: Thing, request: Request, past: Iterable[Past] = (), absent: str | None = None) -> list[Element]:
    """The readings asked for, in as many parts as it takes; what is wrong comes last (SD-7), else what is `absent`."""
    values = [
        (thing.readings[name].stamp, value(thing, request.dialect, each, thing.readings[name]))
        for name, each in thing.fields.items()
        if name in thing.readings and wanted(request, each) and timely(request, thing.readings[name])
    ]
    for reading, each, mean in past:
        element = value(thing, request.dialect, each, reading)
        historical(request.dialect, element, each.category, mean)
        values.append((reading.stamp, element))
    parts = fragments(values)
    wrong = complaint(thing) or absent
    return short(thing, request, parts, wrong) if request.dialect.short else long(thing, request, parts, wrong)


def asks_past(request):
    """Whether values of before are asked for."""
    return "historical" in request.categories or (not request.categories and request.begin is not None)


def named(request, field):
    return not request.names or field.name.casefold() in request.names


def wanted(request, field):
    return (not request.categories or field.category in request.categories) and named(request, field)


def timely(request, reading):
    return (request.begin is None or reading.stamp >= request.begin) and (
        request.end is None or reading.stamp <= request.end
    )


def absent(thing: Thing, request: Request) -> str | None:
    """Which fields that are asked for have no value, in words. In XEP-0323 that is a failure of the whole readout, so
    there only who has named them is told."""
    if not request.dialect.short and not request.names:
        return None
    none = [name for name, each in thing.fields.items() if wanted(request, each) and name not in thing.readings]
    return f"There is no reading of {', '.join(none)}." if none else None


def complaint(thing):
    """Why there are no fresh values, if so."""
    if not thing.online:
        return thing.complaint()
    if not thing.readings:
        return "There is no reading yet."
    return words.sentence(words.capital(wrong)) if (wrong := words.wrong(thing)) else None


def value(thing: Thing, dialect: Dialect, field: Field, reading: Reading) -> Element:
    """One value; its text is the sensor's, for its decimals are its precision."""
    attrs = {dialect.name: field.name, dialect.value: reading.value, dialect.category(field.category): "true"}
    attrs["ar" if dialect.short else "automaticReadout"] = "true"
    if field.name in thing.controls:
        attrs["ctr" if dialect.short else "writable"] = "true"
    if field.type == "quantity":
        attrs["u" if dialect.short else "unit"] = field.unit
    if field.type == "enum":
        attrs["t" if dialect.short else "dataType"] = field.name
    return E(dialect.element(field.type, reading.value), dialect.ns, **attrs)


def historical(dialect, element, category, mean):
    """Marks a value as one of before. What is not momentary stays what it is, besides (XEP-0323 §5)."""
    if category == "momentary":
        del element.attrs[dialect.category(category)]
    element.attrs["h" if dialect.short else "historicalOther"] = "true"
    if mean:
        element.attrs[dialect.category("computed")] = "true"


def fragments(values: Iterable[tuple[float, Element]]) -> list[dict[str, list[Element]]]:
    """Values by their time, oldest first, in parts that fit a stanza (SD-10); one part at least."""
    parts: list[dict[str, list[Element]]] = [{}]
    size = 0
    for seconds, element in sorted(values, key=lambda pair: pair[0]):
        length = len(write(element, element.ns or "").encode())
        if size and size + length > FRAGMENT:
            parts.append({})
            size = 0
        parts[-1].setdefault(stamp.format(seconds), []).append(element)
        size += length
    return parts


def short(thing, request, parts, wrong):
    """`resp`, the last one without `more` (SD-4, SD-6, SD-7)."""
    ns, answers = request.dialect.ns, []
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        stamps = [E("ts", ns, *values, v=at) for at, values in part.items()]
        if last and wrong:
            stamps.append(E("ts", ns, E("err", ns, wrong), v=stamp.now()))
        if request.by_node:
            stamps = [E("nd", ns, *stamps, id=thing.jid.local)]
        answers.append(said_with(request, "resp", stamps, more=None if last else "true"))
    return answers


def long(thing, request, parts, wrong):
    """`fields`, the last one `done`; where something is wrong, `failure` is the last (L-2)."""
    ns, answers = request.dialect.ns, []
    for number, part in enumerate(parts, 1):
        last = number == len(parts) and not wrong
        stamps = [E("timestamp", ns, *values, value=at) for at, values in part.items()]
        node = E("node", ns, *stamps, nodeId=thing.jid.local)
        if stamps or last:
            answers.append(said_with(request, "fields", [node] if stamps else [], done="true" if last else None))
    if wrong:
        error = E("error", ns, wrong, nodeId=thing.jid.local, timestamp=stamp.now())
        answers.append(said_with(request, "failure", [error], done="true"))
    return answers


def said_with(request, name, children, **attrs):
    element = said(request, name, **attrs)
    element.children.extend(children)
    return element
