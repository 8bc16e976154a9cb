"""Lights of Home Assistant's MQTT discovery: those that speak JSON, and those with a topic for each of their parts."""

import json
from collections.abc import Callable
from decimal import Decimal

from node.gateways.mqtt.incoming import colors, meanings
from node.gateways.mqtt.incoming.entity import Made, more_than_0, needed, on_off
from node.gateways.mqtt.incoming.templates import Find, Message, Template, finder

COLOR_MODES = ("rgb", "hs", "xy")  # in which we can say a colour, best first


def light(made: Made) -> None:
    schema = made.config.text("schema", "default")
    if schema == "json":
        _json_light(made)
    elif schema in ("default", "basic"):
        _plain_light(made)
    else:
        raise ValueError(f"a light with schema {schema[:20]!r} is not known here")


def _plain_light(made: Made) -> None:
    config = made.config
    on_off(made, "state_topic", "state_value_template", "command_topic", str)
    name, top = made.part("brightness"), config.number("brightness_scale", "255")
    scale = Decimal(0), more_than_0(top, "brightness_scale")
    find = config.find("brightness_value_template")
    made.field(name, "integer", config.topic("brightness_state_topic"), find, meanings.scaled(*scale), unit="%")
    fill, scaled = config.filled("brightness_command_template", numeric=True), meanings.unscaled(*scale)
    topic = config.topic("brightness_command_topic")
    made.control(
        name, "integer", topic, lambda value: fill(scaled(value)), meanings.near, unit="%", minimum=1, maximum=100
    )
    _mireds(made, config.topic("color_temp_state_topic"), config.find("color_temp_value_template"))
    if topic := config.topic("color_temp_command_topic"):
        _warmth(made, topic, config.filled("color_temp_command_template", numeric=True))
    name = made.part("color")
    find = config.find("rgb_value_template")
    made.field(name, "string", config.topic("rgb_state_topic"), find, _commas, shown=False)
    template = config.text("rgb_command_template", longest=10_000)
    filled = Template(template) if template else None

    def rgb(value: str) -> str:
        red, green, blue = colors.channels(value)
        return filled.render(red=red, green=green, blue=blue) if filled else f"{red},{green},{blue}"

    made.control(name, "color", config.topic("rgb_command_topic"), rgb, colors.alike)


def _json_light(made: Made) -> None:
    config = made.config
    state, command = config.topic("state_topic"), needed(config, "command_topic")
    modes = config.words("supported_color_modes") if config.values.get("supported_color_modes") else ()
    made.field(made.name, "boolean", state, finder("{{ value_json.state }}"), meanings.boolean("ON", "OFF"))
    made.control(made.name, "boolean", command, lambda value: json.dumps({"state": "ON" if value == "true" else "OFF"}))
    if config.flag("brightness") or any(mode not in ("onoff", "") for mode in modes):
        name = made.part("brightness")
        scale = Decimal(0), more_than_0(config.number("brightness_scale", "255"), "brightness_scale")
        find = finder("{{ value_json.brightness }}")
        made.field(name, "integer", state, find, meanings.scaled(*scale), unit="%")
        scaled = meanings.unscaled(*scale)
        made.control(
            name,
            "integer",
            command,
            lambda value: json.dumps({"state": "ON", "brightness": int(scaled(value))}),
            meanings.near,
            unit="%",
            minimum=1,
            maximum=100,
        )
    if "color_temp" in modes and not config.flag("color_temp_kelvin"):
        _mireds(made, state, finder("{{ value_json.color_temp }}"))
        _warmth(made, command, lambda value: json.dumps({"state": "ON", "color_temp": int(value)}))
    mode = next((mode for mode in COLOR_MODES if mode in modes), None)
    if mode:
        name = made.part("color")
        made.field(name, "string", state, _color_in(mode), meanings.value("string"), shown=False)
        made.control(
            name,
            "color",
            command,
            lambda value: json.dumps({"state": "ON", "color": colors.asked(mode, value)}),
            colors.alike,
        )


def _mireds(made: Made, topic: str, find: Find) -> None:
    made.field(made.part("warmth"), "integer", topic, find, _whole, unit="mired", shown=False)


def _warmth(made: Made, topic: str, payload: Callable[[str], str]) -> None:
    """The colour temperature, in mireds: more is warmer."""
    config = made.config
    low, high = config.number("min_mireds", "153"), config.number("max_mireds", "500")
    made.control(made.part("warmth"), "integer", topic, payload, meanings.near, unit="mired", minimum=low, maximum=high)


def _color_in(mode: str) -> Find:
    def find(message: Message) -> str:
        data = message.json
        color = data.get("color") if isinstance(data, dict) else None
        # A lamp that shines white tells colours, too, in other parts.
        return colors.told(mode, color) if isinstance(color, dict) and set(mode) <= color.keys() else ""

    return find


def _commas(text: str) -> str | None:
    parts = text.split(",")
    if len(parts) != 3:
        raise ValueError(f"{text[:60]!r} is no r,g,b")
    return colors.told("rgb", dict(zip("rgb", parts, strict=True)))


def _whole(text: str) -> str | None:
    number = meanings.value("quantity")(text)
    return None if number is None else str(int(Decimal(number).to_integral_value()))
