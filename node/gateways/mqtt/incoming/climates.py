"""What keeps a room, its air or its water as it shall be, in Home Assistant's MQTT discovery: the temperature or the
humidity that there is, the one that shall be, and modes.
"""

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.entity import Made, needed, on_off
from node.gateways.mqtt.incoming.templates import Find, finder

MODES = ("auto", "off", "cool", "heat", "dry", "fan_only")
FAN_MODES = ("auto", "low", "medium", "high")
HEATS = ("off", "eco", "electric", "gas", "heat_pump", "high_demand", "performance")  # of a water heater
UNITS = {"C": "°C", "F": "°F"}
RANGE = {"°C": ("7", "35"), "°F": ("45", "95")}  # of a room, if it does not say
WATER = {"°C": ("43.3", "60"), "°F": ("110", "140")}


def climate(made: Made) -> None:
    config = made.config
    unit = _unit(made)
    _measured(made, "temperature", unit)
    for word, key in (
        ("target", "temperature"),
        ("target_low", "temperature_low"),
        ("target_high", "temperature_high"),
    ):
        _target(made, word, key, unit, RANGE[unit])
    _mode(made, "mode", "mode", config.words("modes", MODES), shown=True)
    _action(made)
    presets = config.words("preset_modes", ())
    _mode(made, "preset", "preset_mode", ("none", *presets) if presets else ())
    _mode(made, "fan", "fan_mode", config.words("fan_modes", FAN_MODES))
    _mode(made, "swing", "swing_mode", config.words("swing_modes", ("on", "off")))
    _mode(made, "swing_horizontal", "swing_horizontal_mode", config.words("swing_horizontal_modes", ("on", "off")))
    _measured(made, "humidity", "%")
    _target_humidity(made, ("30", "99"))
    _power(made)
    if not made.fields and not made.controls:
        raise ValueError("there is nothing to be read, and nothing to be set")


def water_heater(made: Made) -> None:
    config = made.config
    unit = _unit(made)
    _measured(made, "temperature", unit)
    _target(made, "target", "temperature", unit, WATER[unit])
    _mode(made, "mode", "mode", config.words("modes", HEATS), shown=True)
    _power(made)
    if not made.fields and not made.controls:
        raise ValueError("there is nothing to be read, and nothing to be set")


def humidifier(made: Made) -> None:
    config = made.config
    on_off(made, "state_topic", "state_value_template", "command_topic", config.filled("command_template"))
    _measured(made, "humidity", "%")
    needed(config, "target_humidity_command_topic")
    _target_humidity(made, ("0", "100"))
    _mode(made, "mode", "mode", config.words("modes", ()))
    _action(made)


def _unit(made: Made) -> str:
    """Home Assistant's is that of the house, which nobody tells here."""
    return UNITS.get(made.config.text("temperature_unit", "C").upper(), "°C")


def _find(made: Made, key: str) -> Find:
    """By a template of its own, or by the one for all."""
    text = made.config.text(key, longest=10_000) or made.config.text("value_template", longest=10_000)
    return finder(text)


def _measured(made: Made, word: str, unit: str) -> None:
    topic, find = made.config.topic(f"current_{word}_topic"), _find(made, f"current_{word}_template")
    made.field(made.part(word), "quantity", topic, find, meanings.value("quantity"), unit=unit)


def _target(made: Made, word: str, key: str, unit: str, usual: tuple[str, str], limits: str = "temp") -> None:
    config = made.config
    topic, find = config.topic(f"{key}_state_topic"), _find(made, f"{key}_state_template")
    made.field(made.part(word), "quantity", topic, find, meanings.value("quantity"), unit=unit)
    made.control(
        made.part(word),
        "quantity",
        config.topic(f"{key}_command_topic"),
        config.filled(f"{key}_command_template", numeric=True),
        unit=unit,
        minimum=config.number(f"min_{limits}", usual[0]),
        maximum=config.number(f"max_{limits}", usual[1]),
    )


def _target_humidity(made: Made, usual: tuple[str, str]) -> None:
    _target(made, "target_humidity", "target_humidity", "%", usual, "humidity")


def _mode(made: Made, word: str, key: str, options: tuple[str, ...], shown: bool = False) -> None:
    config = made.config
    template = "value_template" if key == "preset_mode" else "state_template"
    state = config.topic(f"{key}_state_topic"), _find(made, f"{key}_{template}")
    command = config.topic(f"{key}_command_topic"), config.filled(f"{key}_command_template")
    made.choice(made.part(word), options, state, command, shown)


def _action(made: Made) -> None:
    topic = made.config.topic("action_topic")
    made.field(made.part("action"), "string", topic, _find(made, "action_template"), meanings.value("string"))


def _power(made: Made) -> None:
    """Of what is switched beside its mode; that tells what came of it."""
    config = made.config
    on, off = config.text("payload_on", "ON"), config.text("payload_off", "OFF")
    fill = config.filled("power_command_template")
    made.control(
        made.part("power"),
        "boolean",
        config.topic("power_command_topic"),
        lambda value: fill(on if value == "true" else off),
    )
