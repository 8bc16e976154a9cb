"""XEP-0080: a position as other programs read it."""

from node.hub.thing import Reading
from node.things.geoloc import geoloc

STAMP = 1_795_348_931.0


def readings(**values):
    return {name: Reading(value, STAMP) for name, value in values.items()}


def said(values):
    return str(bytes(geoloc(values)), "utf-8") if hasattr(geoloc(values), "__bytes__") else geoloc(values).to_text()
