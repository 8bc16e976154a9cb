"""What an entity of Home Assistant's MQTT discovery is to us: fields, controls, and where they are at the broker.

The words and their defaults are those of Home Assistant's MQTT documentation, a section for each platform.
"""

import json
from collections.abc import Callable
from decimal import Decimal

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.climates import climate, humidifier, water_heater
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.entity import Entity, Made, more_than_0, needed, on_off
from node.gateways.mqtt.incoming.lights import light
from node.gateways.mqtt.incoming.panels import alarm_control_panel, vacuum
from node.gateways.mqtt.incoming.templates import Find, Message, Template

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
MOMENT = 1.0  # seconds for which it is seen that something has happened
NOTHING = "none"  # in the place of what happens, at all other times
TIMES = {"timestamp": "dateTime", "date": "date"}


def entity(platform: str, config: Config, name: str, main: bool = False) -> Entity:
    """Of one of PLATFORMS; `main` is that of its device. Raises ValueError."""
    made = Made(config, name, main)
    PLATFORMS[platform](made)
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


def _event(made: Made) -> None:
    """What only happens, such as a press of a button: of which kind it is."""
    config = made.config
    kinds = meanings.words({kind: kind for kind in config.words("event_types")})
    topic, find = needed(config, "state_topic"), _told("event_type", config.find("value_template"), plain=True)
    made.field(made.name, "enum", topic, find, kinds, shown=False, off=MOMENT, rest=NOTHING)


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
    if config.text("payload_open"):
        payloads["open"] = config.text("payload_open")
    topic = needed(config, "command_topic")
    made.control(made.name, "enum", topic, lambda value: fill(payloads[value]), _latches, options=tuple(payloads))


def _latches(asked: str, said: str) -> bool:
    return asked == said or (asked == "open" and said.startswith("unlock"))


def _cover(made: Made) -> None:
    config = made.config
    _opening(made, "cover", ("position_topic", "position_template"), ("set_position_topic", "set_position_template"))
    ends = config.number("tilt_min", "0"), config.number("tilt_max", "100")
    tilt = ("tilt_status_topic", "tilt_status_template"), ("tilt_command_topic", "tilt_command_template")
    _positions(made, made.part("tilt"), *tilt, ends)


def _valve(made: Made) -> None:
    if made.config.flag("reports_position"):
        _positions(
            made, made.name, ("state_topic", "value_template"), ("command_topic", "command_template"), _ends(made)
        )
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
        _positions(made, made.part("position"), position, command, _ends(made))


def _moves(asked: str, said: str) -> bool:
    return said in {"open": ("open", "opening"), "closed": ("closed", "closing")}.get(
        asked, ("stopped", "open", "closed")
    )


def _ends(made: Made) -> tuple[Decimal, Decimal]:
    return made.config.number("position_closed", "0"), made.config.number("position_open", "100")


def _positions(
    made: Made, name: str, state: tuple[str, str], command: tuple[str, str], ends: tuple[Decimal, Decimal]
) -> None:
    config = made.config
    if ends[0] == ends[1]:
        raise ValueError("open and closed must not be the same")
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
    made.choices("preset", "preset_mode", config.words("preset_modes", ()), "value_template")
    made.choices("direction", "direction", ("forward", "reverse"), "value_template")
    name, topic = made.part("oscillation"), config.topic("oscillation_command_topic")
    on, off = (
        config.text("payload_oscillation_on", "oscillate_on"),
        config.text("payload_oscillation_off", "oscillate_off"),
    )
    find, swing = config.find("oscillation_value_template"), config.filled("oscillation_command_template")
    made.field(name, "boolean", config.topic("oscillation_state_topic"), find, meanings.boolean(on, off), shown=False)
    made.control(name, "boolean", topic, lambda value: swing(on if value == "true" else off))


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
    state = config.topic("state_topic"), config.find("value_template")
    command = needed(config, "command_topic"), config.filled("command_template")
    made.choice(made.name, config.words("options"), state, command)


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


def _scene(made: Made) -> None:
    config = made.config
    on = config.text("payload_on", "ON")
    made.control(made.name, "enum", needed(config, "command_topic"), lambda value: on, options=("activate",))


def _notify(made: Made) -> None:
    config = made.config
    made.control(made.name, "string", needed(config, "command_topic"), config.filled("command_template"))


def _update(made: Made) -> None:
    """Which firmware there is. Whether it is installed is for its maker's program to ask."""
    config = made.config
    topic, find = config.topic("state_topic"), config.find("value_template")
    text, installed = meanings.value("string"), _told("installed_version", find, plain=True)
    made.field(made.part("installed_version"), "string", topic, installed, text, shown=False)
    other = config.topic("latest_version_topic")
    latest = config.find("latest_version_template") if other else _told("latest_version", find)
    made.field(made.part("latest_version"), "string", other or topic, latest, text, shown=False)
    if not made.fields:
        raise ValueError("state_topic is missing")


def _told(key: str, find: Find, plain: bool = False) -> Find:
    """What is said is a table with this, or, where that may be `plain`, this alone."""

    def found(message: Message) -> str:
        text = find(message)
        table = Message(text).json
        if isinstance(table, dict):
            return str(table.get(key, ""))
        return text if plain else ""

    return found


def _states(config: Config, names: tuple[str, ...], otherwise: Callable[[str], str]) -> dict[str, str]:
    """What a publisher says for each, and what we do."""
    return {config.text(f"state_{name}", otherwise(name)): name for name in names}


PLATFORMS: dict[str, Callable[[Made], None]] = {
    "alarm_control_panel": alarm_control_panel,
    "binary_sensor": _binary_sensor,
    "button": _button,
    "climate": climate,
    "cover": _cover,
    "event": _event,
    "fan": _fan,
    "humidifier": humidifier,
    "light": light,
    "lock": _lock,
    "notify": _notify,
    "number": _number,
    "scene": _scene,
    "select": _select,
    "sensor": _sensor,
    "siren": _siren,
    "switch": _switch,
    "text": _text,
    "update": _update,
    "vacuum": vacuum,
    "valve": _valve,
    "water_heater": water_heater,
}
