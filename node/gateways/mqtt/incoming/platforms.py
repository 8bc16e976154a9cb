"""What an entity of Home Assistant's MQTT discovery is to us: fields, controls, and where they are at the broker.

The words and their defaults are those of Home Assistant's MQTT documentation, a section for each platform.
"""

import json
from collections.abc import Callable
from typing import Any

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.entity import Entity, Made, more_than_0, needed, on_off
from node.gateways.mqtt.incoming.lights import light
from node.gateways.mqtt.incoming.templates import Template
from node.hub import board

ALARMS = {  # what a binary sensor's ON means, by its device class, where that is alarming
    "carbon_monoxide": "carbon monoxide",
    "gas": "gas",
    "heat": "heat",
    "moisture": "water",
    "problem": "problem",
    "safety": "unsafe",
    "smoke": "smoke",
    "tamper": "tampered with",
}
TIMES = {"timestamp": "dateTime", "date": "date"}


def entity(platform: str, config: Config, name: str, label: str) -> Entity | None:
    """None for a platform that we do not know. Raises ValueError."""
    make = PLATFORMS.get(platform)
    if make is None:
        return None
    made = Made(config, platform, name, label)
    make(made)
    return Entity(tuple(made.fields), tuple(made.controls), tuple(made.sources), made.orders)


def _sensor(made: Made) -> None:
    config = made.config
    kind, unit = config.text("device_class"), config.line("unit_of_measurement")
    measured = unit or any(config.text(key) for key in ("state_class", "suggested_display_precision"))
    if kind == "enum" or config.values.get("options"):
        type = "enum"
    else:
        type = TIMES.get(kind) or ("quantity" if measured else "string")
    topic = needed(config, "state_topic")
    made.field(made.name, type, topic, config.find("value_template"), meanings.value(type), unit=unit)


def _binary_sensor(made: Made) -> None:
    config = made.config
    kind = config.text("device_class")
    meaning = meanings.boolean(config.text("payload_on", "ON"), config.text("payload_off", "OFF"))
    off = max(float(config.number("off_delay", "0")), 0.0)
    topic = needed(config, "state_topic")
    made.field(made.name, "boolean", topic, config.find("value_template"), meaning, alarm=ALARMS.get(kind, ""), off=off)


def _switch(made: Made) -> None:
    config = made.config
    on_off(made, "state_topic", "value_template", "command_topic", config.filled("command_template"))


def _siren(made: Made) -> None:
    config = made.config
    template = config.text("command_template", longest=10_000)
    if template:
        whole = Template(template)

        def payload(value: str) -> str:
            return whole.render(value=value, state=value)
    else:

        def payload(value: str) -> str:
            return json.dumps({"state": value})

    on_off(made, "state_topic", "state_value_template", "command_topic", payload)


def _lock(made: Made) -> None:
    config = made.config
    states = _states(config, ("locked", "unlocked", "locking", "unlocking", "jammed"), str.upper)
    made.field(made.name, "enum", config.topic("state_topic"), config.find("value_template"), meanings.words(states))
    fill = config.filled("command_template")
    payloads = {"locked": config.text("payload_lock", "LOCK"), "unlocked": config.text("payload_unlock", "UNLOCK")}
    made.control(
        made.name,
        "enum",
        needed(config, "command_topic"),
        lambda value: fill(payloads[value]),
        options=tuple(payloads),
    )


def _cover(made: Made) -> None:
    _opening(made, "cover", ("position_topic", "position_template"), ("set_position_topic", "set_position_template"))


def _valve(made: Made) -> None:
    if made.config.flag("reports_position"):
        _positions(made, made.name, ("state_topic", "value_template"), ("command_topic", "command_template"))
    else:
        _opening(made, "valve", ("", ""), ("", ""))


def _opening(made: Made, what: str, position: tuple[str, str], command: tuple[str, str]) -> None:
    """What opens and closes, and takes its time: that it has begun is confirmation enough."""
    config = made.config
    states = _states(config, ("open", "closed", "opening", "closing", "stopped"), str)
    made.field(made.name, "enum", config.topic("state_topic"), config.find("value_template"), meanings.words(states))
    payloads = {
        "open": ("payload_open", "OPEN"),
        "closed": ("payload_close", "CLOSE"),
        "stop": ("payload_stop", "STOP"),
    }
    if what == "valve" and "payload_stop" not in config.values:
        del payloads["stop"]
    # null: it cannot do that
    known = {
        value: config.text(*said) for value, said in payloads.items() if config.values.get(said[0], said[1]) is not None
    }
    made.control(made.name, "enum", config.topic("command_topic"), known.__getitem__, _moves, options=tuple(known))
    if position[0]:
        _positions(made, made.part("position"), position, command)


def _moves(asked: str, said: str) -> bool:
    return said in {"open": ("open", "opening"), "closed": ("closed", "closing")}.get(
        asked, ("stopped", "open", "closed")
    )


def _positions(made: Made, name: str, state: tuple[str, str], command: tuple[str, str]) -> None:
    config = made.config
    ends = config.number("position_closed", "0"), config.number("position_open", "100")
    if ends[0] == ends[1]:
        raise ValueError("position_open and position_closed must not be the same")
    find = config.find(state[1])
    made.field(name, "integer", config.topic(state[0]), find, meanings.scaled(*ends), unit="%")
    fill, scaled = config.filled(command[1], numeric=True), meanings.unscaled(*ends)

    def payload(value: str) -> str:
        return fill(scaled(value))

    topic = config.topic(command[0])
    # On its way it says where it is, which is not where it shall be.
    made.control(name, "integer", topic, payload, lambda asked, said: True, unit="%", minimum=0, maximum=100)


def _fan(made: Made) -> None:
    config = made.config
    fill = config.filled("command_template")
    on_off(made, "state_topic", "state_value_template", "command_topic", fill)
    name = made.part("speed")
    low, high = config.number("speed_range_min", "1") - 1, config.number("speed_range_max", "100")
    more_than_0(high - low, "the range of speeds")
    find = config.find("percentage_value_template")
    made.field(name, "integer", config.topic("percentage_state_topic"), find, meanings.scaled(low, high), unit="%")
    filled, scaled = config.filled("percentage_command_template", numeric=True), meanings.unscaled(low, high)
    step = int(100 / (high - low)) + 1  # a fan of three speeds goes to the next one
    made.control(
        name,
        "integer",
        config.topic("percentage_command_topic"),
        lambda value: filled(scaled(value)),
        lambda asked, said: abs(int(asked) - int(said)) <= step,
        unit="%",
        minimum=0,
        maximum=100,
    )


def _number(made: Made) -> None:
    config = made.config
    unit = config.line("unit_of_measurement")
    find = config.find("value_template")
    made.field(made.name, "quantity", config.topic("state_topic"), find, meanings.value("quantity"), unit=unit)
    made.control(
        made.name,
        "quantity",
        needed(config, "command_topic"),
        config.filled("command_template", numeric=True),
        unit=unit,
        minimum=config.number("min", "1"),
        maximum=config.number("max", "100"),
    )


def _select(made: Made) -> None:
    config = made.config
    options = config.words("options")
    fits = 0 < len(options) <= board.OPTIONS and all(len(each) <= board.TEXT and each.isprintable() for each in options)
    topic, find = config.topic("state_topic"), config.find("value_template")
    made.field(made.name, "enum" if fits else "string", topic, find, meanings.value("string"))
    limits: dict[str, Any] = {"options": options} if fits else {}
    command = needed(config, "command_topic")
    made.control(made.name, "enum" if fits else "string", command, config.filled("command_template"), **limits)


def _text(made: Made) -> None:
    config = made.config
    if config.text("mode") != "password":
        find = config.find("value_template")
        made.field(made.name, "string", config.topic("state_topic"), find, meanings.value("string"))
    made.control(made.name, "string", needed(config, "command_topic"), config.filled("command_template"))


def _button(made: Made) -> None:
    config = made.config
    press, fill = config.text("payload_press", "PRESS"), config.filled("command_template")
    made.control(made.name, "enum", needed(config, "command_topic"), lambda value: fill(press), options=("press",))


def _states(config: Config, names: tuple[str, ...], otherwise: Callable[[str], str]) -> dict[str, str]:
    """What a publisher says for each, and what we do."""
    return {config.text(f"state_{name}", otherwise(name)): name for name in names}


PLATFORMS: dict[str, Callable[[Made], None]] = {
    "binary_sensor": _binary_sensor,
    "button": _button,
    "cover": _cover,
    "fan": _fan,
    "light": light,
    "lock": _lock,
    "number": _number,
    "select": _select,
    "sensor": _sensor,
    "siren": _siren,
    "switch": _switch,
    "text": _text,
    "valve": _valve,
}
