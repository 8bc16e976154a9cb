"""XEP-0080: User Location: where a thing is that tells its latitude and longitude; and the answer to "where"."""

import re
from collections.abc import Mapping

from node.base import stamp
from node.base.element import E, Element
from node.hub.thing import Reading
from node.things import words
from node.things.chat import Reply

NEEDS = ("chat",)

NS = "http://jabber.org/protocol/geoloc"

# Our names of fields, in the order of the schema (XEP-0080 §XML Schema): all but the last are in its units.
NAMES = (
    ("accuracy", "accuracy"),
    ("alt", "altitude"),
    ("bearing", "bearing"),
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("speed", "speed"),
)

_DEGREES = re.compile(r"-?\d{1,3}(\.\d+)?\Z", re.ASCII)  # RFC 5870 §3.3: coord-a, coord-b
_METRES = re.compile(r"\d{1,9}(\.\d+)?\Z", re.ASCII)  # uval


def setup(hub, options):
    hub.need("chat").understand(r"where(?: are you)?[?!.]*", where, offers)


def offers(talk):
    """In the help."""
    return ["where: my position"] if "latitude" in talk.thing.fields else []


def where(talk):
    """The position in words, as a link that opens a map, and for programs; None of a thing that has none."""
    thing, readings = talk.thing, talk.thing.readings
    if "latitude" not in thing.fields:
        return None
    position, link = geoloc(readings), uri(readings)
    if link is None:
        return "I do not know where I am."
    seen = words.clock(readings["latitude"].stamp)
    if not position.elements:
        return f"I do not know where I am now. At {seen} I was here:\n{link}"
    accuracy = readings.get("accuracy")
    about = f" (± {accuracy.value} m)" if accuracy else ""
    at = f", at {seen}" if thing.stale or not thing.online else ""
    return Reply(f"{readings['latitude'].value}, {readings['longitude'].value}{about}{at}\n{link}", (position,))


def uri(readings: Mapping[str, Reading]) -> str | None:
    """RFC 5870: 'geo:48.117300,11.516667;u=4.5', u being the metres of its error; None where nothing is known.

    Without the altitude: there it is that above the ellipsoid, and receivers tell that above the sea.
    """
    at = [readings[name].value for name in ("latitude", "longitude") if name in readings]
    if len(at) < 2 or not all(_DEGREES.match(text) for text in at):
        return None
    accuracy = readings.get("accuracy")
    error = f";u={accuracy.value}" if accuracy is not None and _METRES.match(accuracy.value) else ""
    return f"geo:{','.join(at)}{error}"


def geoloc(readings: Mapping[str, Reading]) -> Element:
    """The readings of a thing as <geoloc/>; an empty one, which says that it is not known, where there is no fix.

    Units: degrees of WGS84, metres, metres a second. The timestamp is that of the position.
    """
    fix, latitude = readings.get("fix"), readings.get("latitude")
    if latitude is None or "longitude" not in readings or (fix is not None and fix.value in ("none", "false")):
        return E("geoloc", NS)
    return E(
        "geoloc",
        NS,
        *(E(name, None, readings[field].value) for name, field in NAMES if field in readings),
        E("timestamp", None, stamp.format(latitude.stamp)),
    )
