"""XEP-0080: User Location: where a thing is that tells its latitude and longitude."""

from collections.abc import Mapping

from node.base import stamp
from node.base.element import E, Element
from node.hub.thing import Reading

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
