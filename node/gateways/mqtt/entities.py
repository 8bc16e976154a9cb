"""What Home Assistant is told of a thing: its device-based MQTT discovery, one entity for each field and control.

Keys are the abbreviations of Home Assistant's own list (components/mqtt/abbreviations.py); units and device classes
are those that it accepts together (components/sensor/const.py).
"""

import json
import re
from datetime import date
from decimal import Decimal
from typing import Any

from node import __version__
from node.base import stamp
from node.gateways.mqtt.names import level
from node.hub.driver import Control, Field
from node.hub.thing import Thing

TEXT_LIMIT = 255  # characters of a state, at the most
FAR = 10**18  # where a number has no limit of its own: Home Assistant's would be 1 to 100
CLASSES = {  # of a sensor, by its unit
    **dict.fromkeys(("°C", "°F", "K"), "temperature"),
    **dict.fromkeys(("Pa", "hPa", "kPa", "bar", "mbar", "mmHg", "inHg", "psi"), "pressure"),
    **dict.fromkeys(("W", "kW", "MW"), "power"),
    **dict.fromkeys(("Wh", "kWh", "MWh", "GWh"), "energy"),
    **dict.fromkeys(("mV", "V"), "voltage"),
    **dict.fromkeys(("mA", "A"), "current"),
    **dict.fromkeys(("Hz", "kHz", "MHz", "GHz"), "frequency"),
    **dict.fromkeys(("d", "h", "min", "s", "ms"), "duration"),
    **dict.fromkeys(("m/s", "km/h", "mph", "kn"), "speed"),
    **dict.fromkeys(("mm", "cm", "m", "km"), "distance"),
    **dict.fromkeys(("g", "kg", "mg", "lb"), "weight"),
    **dict.fromkeys(("B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"), "data_size"),
    **dict.fromkeys(("B/s", "kB/s", "MB/s", "kbit/s", "Mbit/s"), "data_rate"),
    "lx": "illuminance",
    "dBm": "signal_strength",
    "dB": "sound_pressure",
    "VA": "apparent_power",
    "var": "reactive_power",
    "W/m²": "irradiance",
}
NAMED = {  # of a sensor, by its unit and a part of its name
    "%": {"humid": "humidity", "batter": "battery", "charge": "battery", "soil": "moisture", "moist": "moisture"},
    "ppm": {"co2": "carbon_dioxide", "carbon_dioxide": "carbon_dioxide"},
    "µg/m³": {"pm25": "pm25", "pm2_5": "pm25", "pm10": "pm10", "pm1": "pm1"},
    "km/h": {"wind": "wind_speed"},
    "m/s": {"wind": "wind_speed"},
    "mm": {"rain": "precipitation"},
}
TRUTHS = {  # of a binary sensor, by a part of its name or of its alarm
    **dict.fromkeys(("door", "window", "motion", "smoke", "vibration", "tamper", "occupancy"), None),
    **dict.fromkeys(("water", "leak", "flood"), "moisture"),
    "gate": "garage_door",
    "presence": "occupancy",
    "undervoltage": "problem",
    "fault": "problem",
    "plug": "plug",
}
LIGHTS = ("lamp", "light", "led", "bulb")
NUMBERS = ("quantity", "integer")
MOMENTS = ("dateTime", "date")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?\Z")  # as JSON writes one
_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)\Z")


def device(thing: Thing, ids: str, root: str, status: str, commands: bool = True) -> dict[str, Any]:
    """The discovery payload of a thing. `ids` begins what is unique in Home Assistant, `root` is the topic of the
    thing, `status` that of the gateway: when one of both is not there, the entities are not available.

    Without `commands` its controls are only shown.
    """
    about = thing.driver.about
    told: dict[str, Any] = {"ids": [ids], "name": thing.label, "mf": "hobnode", "mdl": about.get("name") or thing.kind}
    if about.get("version"):
        told["sw"] = about["version"]
    controls = thing.controls if commands else {}
    entities = {name: _sensor(field) for name, field in thing.fields.items() if name not in controls}
    for name, control in controls.items():
        unit = control.unit or (thing.fields[name].unit if name in thing.fields else "")
        entities[name] = _actuator(control, unit) | {"cmd_t": f"{root}/{level(name)}/set"}
    for name, entity in entities.items():
        entity |= {"uniq_id": f"{ids}_{level(name)}", "name": _title(controls.get(name) or thing.fields[name])}
        if name in thing.fields:  # else Home Assistant can but assume what it has set
            template = "stat_val_tpl" if entity["p"] == "light" else "val_tpl"
            entity |= {"stat_t": f"{root}/state", template: _template(thing.fields[name], entity)}
    return {
        "dev": told,
        "o": {"name": "hobnode", "sw": __version__},
        "avty": [{"t": status}, {"t": f"{root}/status"}],
        "avty_mode": "all",
        "cmps": {level(name): entity for name, entity in entities.items()},
    }


def state(thing: Thing) -> str:
    """All values as one JSON text: numbers as the sensor wrote them, ON and OFF, null where there is none yet."""
    parts = []
    for name, field in thing.fields.items():
        reading = thing.readings.get(name)
        text = _json(field, reading.value) if reading else "null"
        parts.append(f"{json.dumps(name)}: {text}")
    return "{" + ", ".join(parts) + "}"


def value(control: Control, payload: str) -> str:
    """What a command's payload means to us: a switch says ON."""
    if control.type == "boolean":
        return {"on": "true", "off": "false"}.get(payload.strip().lower(), payload.strip().lower())
    return payload


def _json(field: Field, text: str) -> str:
    if field.type == "boolean":
        return '"ON"' if text == "true" else '"OFF"'
    if field.type in MOMENTS:
        return json.dumps(_moment(field.type, text))
    if field.type in NUMBERS:
        if _NUMBER.match(text):
            return text
        text = text.removeprefix("+").rstrip(".")
        text = f"0{text}" if text.startswith(".") else text
        if _NUMBER.match(text):
            return text
    return json.dumps(text, ensure_ascii=False)


def _moment(type: str, text: str) -> str | None:
    """A date, or a time with its zone; None when it is none, which Home Assistant would call an error."""
    try:
        if type == "date":
            return date.fromisoformat(text).isoformat()
        zoned = text if _ZONE.search(text) else f"{text}Z"  # XEP-0323 leaves it out, too, and means UTC
        stamp.parse(zoned)
    except ValueError:
        return None
    return zoned


def _template(field: Field, entity: dict[str, Any]) -> str:
    """Where the value stands in the state; None in its place where Home Assistant would complain of it each time."""
    value = f"value_json[{json.dumps(field.name)}]"
    if entity["p"] == "text":  # which None cannot be shown in
        return f'{{{{ "" if {value} is none else ({value} | string)[:{entity["max"]}] }}}}'
    if entity["p"] == "select":
        return f"{{{{ {value} if {value} in {json.dumps(entity['ops'], ensure_ascii=False)} else None }}}}"
    if entity["p"] == "number":
        return f"{{{{ {value} if {value} is number and {entity['min']} <= {value} <= {entity['max']} else None }}}}"
    if entity["p"] == "sensor" and field.type not in (*NUMBERS, *MOMENTS):
        return f"{{{{ ({value} | string)[:{TEXT_LIMIT}] }}}}"
    return f"{{{{ {value} }}}}"


def _title(item: Field | Control) -> str:
    text = item.label or item.name.replace("_", " ")
    return text[:1].upper() + text[1:]


def _sensor(field: Field) -> dict[str, Any]:
    """The entity of what can only be read."""
    entity: dict[str, Any] = {"p": "binary_sensor" if field.type == "boolean" else "sensor"}
    name = field.name.lower()
    if field.type == "boolean":
        found = _found(TRUTHS, f"{name} {field.alarm.lower()}")
        kind = (TRUTHS[found] or found) if found else ("problem" if field.alarm else "")
        entity |= {"dev_cla": kind} if kind else {}
    elif field.type in NUMBERS:
        named = NAMED.get(field.unit, {})
        kind = named[found] if (found := _found(named, name)) else CLASSES.get(field.unit, "")
        entity |= {"dev_cla": kind} if kind else {}
        entity |= {"unit_of_meas": field.unit} if field.unit else {}
        if field.category != "identity":
            entity["stat_cla"] = "total_increasing" if kind == "energy" else "measurement"
    elif field.type in MOMENTS:
        entity["dev_cla"] = "timestamp" if field.type == "dateTime" else "date"
    if field.category == "identity" or (field.category == "status" and not (field.shown or field.alarm)):
        entity["ent_cat"] = "diagnostic"
    return entity


def _actuator(control: Control, unit: str) -> dict[str, Any]:
    """The entity of what can be set, in this unit."""
    if control.type == "boolean":
        return {"p": "light" if _found(LIGHTS, control.name.lower()) else "switch"}
    if control.type == "enum":
        return {"p": "select", "ops": list(control.options)}
    if control.type in NUMBERS:
        return {
            "p": "number",
            "mode": "box" if None in (control.minimum, control.maximum) else "auto",
            "min": _plain(control.minimum, -FAR),
            "max": _plain(control.maximum, FAR),
            "step": 1 if control.type == "integer" else 0.1,
            **({"unit_of_meas": unit} if unit else {}),
        }
    if control.type == "color":
        return {"p": "text", "max": 8, "ptrn": "([0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?)?"}  # nothing, until one is told
    return {"p": "text", "max": TEXT_LIMIT}


def _plain(limit: Decimal | None, otherwise: int) -> int | float:
    """A limit as JSON has it; a slider needs no more digits than a float has."""
    if limit is None:
        return otherwise
    return int(limit) if limit == limit.to_integral_value() else float(limit)


def _found(words, text: str) -> str:
    """The first of these with which a word of the text begins: 'led' is in 'red_led', and not in 'enabled'."""
    return next((word for word in words if re.search(rf"(?<![a-z]){word}", text)), "")
