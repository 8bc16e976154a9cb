"""Lights of Home Assistant's MQTT discovery: those with a topic for each of their parts, those that speak JSON, and
those that speak as their templates say.
"""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from node.gateways.mqtt.incoming import colors, meanings
from node.gateways.mqtt.incoming.config import Config
from node.gateways.mqtt.incoming.entity import Made, more_than_0, needed, on_off
from node.gateways.mqtt.incoming.templates import Find, Message, Template, finder

COLOR_MODES = ("rgb", "hs", "xy")  # in which we can say a colour, best first
NAMES = {"r": "red", "g": "green", "b": "blue", "h": "hue", "s": "sat"}  # of their parts, in templates
RGB = ("red", "green", "blue")
KELVINS = 50  # within which a lamp may say something else


def light(made: Made) -> None:
    schema = made.config.text("schema", "default")
    if schema == "json":
        _json_light(made)
    elif schema in ("default", "basic"):
        _plain_light(made)
    elif schema == "template":
        _template_light(made)
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
    _warmth_told(made, config.topic("color_temp_state_topic"), config.find("color_temp_value_template"))
    if topic := config.topic("color_temp_command_topic"):
        _warmth(made, topic, config.filled("color_temp_command_template", numeric=True))
    if mode := next((mode for mode in COLOR_MODES if config.topic(f"{mode}_command_topic")), None):
        name = made.part("color")
        find, topic = config.find(f"{mode}_value_template"), config.topic(f"{mode}_state_topic")
        made.field(name, "string", topic, find, lambda text: _commas(mode, text), shown=False)
        template = config.text(f"{mode}_command_template", longest=10_000)
        filled = Template(template) if template else None

        def color(value: str) -> str:
            parts = colors.asked(mode, value)
            return filled.render(**_named(parts)) if filled else ",".join(map(str, parts.values()))

        made.control(name, "color", config.topic(f"{mode}_command_topic"), color, colors.alike)
    made.choices("effect", "effect", config.words("effect_list", ()), "value_template")


def _json_light(made: Made) -> None:
    config = made.config
    state, command = config.topic("state_topic"), needed(config, "command_topic")
    modes = config.words("supported_color_modes", ())
    modes = modes or tuple(mode for mode in ("color_temp", *COLOR_MODES) if config.flag(mode))  # as it was said before
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
    if "color_temp" in modes:
        _warmth_told(made, state, finder("{{ value_json.color_temp }}"))
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
    if config.flag("effect"):
        order = command, lambda value: json.dumps({"state": "ON", "effect": value})
        # Few lamps tell of it: a blink is over when it is done.
        made.choice(made.part("effect"), config.words("effect_list", ()), ("", finder(None)), order)


def _template_light(made: Made) -> None:
    """One topic where all is said, and one for all that is asked."""
    config = made.config
    state, command = config.topic("state_topic"), needed(config, "command_topic")
    on = Template(_needed_template(config, "command_on_template"))
    off = Template(_needed_template(config, "command_off_template"))

    def asks(values: Callable[[str], dict[str, Any]]) -> Callable[[str], str]:
        return lambda value: on.render(state=True, **values(value))

    if config.text("state_template"):
        made.field(made.name, "boolean", state, config.find("state_template"), meanings.boolean("on", "off"))
    plain = asks(lambda value: {})
    made.control(
        made.name, "boolean", command, lambda value: plain(value) if value == "true" else off.render(state=False)
    )
    if config.text("brightness_template"):
        name, scale = made.part("brightness"), (Decimal(0), Decimal(255))
        find, scaled = config.find("brightness_template"), meanings.unscaled(*scale)
        made.field(name, "integer", state, find, meanings.scaled(*scale), unit="%")
        payload = asks(lambda value: {"brightness": int(scaled(value))})
        made.control(name, "integer", command, payload, meanings.near, unit="%", minimum=1, maximum=100)
    if config.text("color_temp_template"):
        _warmth_told(made, state, config.find("color_temp_template"))
        _warmth(made, command, asks(lambda value: {"color_temp": int(value)}))
    channels = [config.text(f"{color}_template") for color in RGB]
    if all(channels):
        name, finds = made.part("color"), [config.find(f"{color}_template") for color in RGB]
        made.field(name, "string", state, lambda message: ",".join(find(message) for find in finds), _rgb, shown=False)
        payload = asks(lambda value: _named(colors.asked("rgb", value) | _hue(value)))
        made.control(name, "color", command, payload, colors.alike)
    if config.text("effect_template"):
        found, order = (state, config.find("effect_template")), (command, asks(lambda value: {"effect": value}))
        made.choice(made.part("effect"), config.words("effect_list", ()), found, order, shown=False)


def _needed_template(config: Config, key: str) -> str:
    text = config.text(key, longest=10_000)
    if not text:
        raise ValueError(f"{key} is missing")
    return text


def _named(parts: Mapping[str, float]) -> dict[str, float]:
    """As templates call them."""
    return {NAMES.get(part, part): value for part, value in parts.items()}


def _hue(value: str) -> dict[str, float]:
    hue = colors.asked("hs", value)
    return {"hue": hue["h"], "sat": hue["s"]}


def _rgb(text: str) -> str | None:
    """What a lamp that shines white says is no colour."""
    return (
        _commas("rgb", text) if all(part.strip() not in ("", *meanings.NOTHING) for part in text.split(",")) else None
    )


def _warmth_told(made: Made, topic: str, find: Find) -> None:
    made.field(made.part("warmth"), "integer", topic, find, _whole, unit=_warmth_unit(made), shown=False)


def _warmth_unit(made: Made) -> str:
    return "K" if made.config.flag("color_temp_kelvin") else "mired"


def _warmth(made: Made, topic: str, payload: Callable[[str], str]) -> None:
    """The colour temperature. In mireds: more is warmer."""
    config, unit = made.config, _warmth_unit(made)
    word, low, high = ("kelvin", "2000", "6535") if unit == "K" else ("mireds", "153", "500")
    limits = {"minimum": config.number(f"min_{word}", low), "maximum": config.number(f"max_{word}", high)}
    # A lamp keeps mireds: of 2700 K it says 2702.
    done = meanings.near if unit == "mired" else lambda asked, said: abs(int(asked) - int(said)) <= KELVINS
    made.control(made.part("warmth"), "integer", topic, payload, done, unit=unit, **limits)


def _color_in(mode: str) -> Find:
    def find(message: Message) -> str:
        data = message.json
        color = data.get("color") if isinstance(data, dict) else None
        # A lamp that shines white tells colours, too, in other parts.
        return colors.told(mode, color) if isinstance(color, dict) and set(mode) <= color.keys() else ""

    return find


def _commas(mode: str, text: str) -> str | None:
    parts = text.split(",")
    if len(parts) != len(mode):
        raise ValueError(f"{text[:60]!r} is no {','.join(mode)}")
    return colors.told(mode, dict(zip(mode, parts, strict=True)))


def _whole(text: str) -> str | None:
    number = meanings.value("quantity")(text)
    return None if number is None else str(int(Decimal(number).to_integral_value()))
