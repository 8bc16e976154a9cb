"""Alarm panels and vacuum cleaners: what is announced of them has many words for what they are told and what they say.

The words and their defaults are those of Home Assistant's MQTT documentation.
"""

from node.gateways.mqtt.incoming import meanings
from node.gateways.mqtt.incoming.entity import Made, needed
from node.gateways.mqtt.incoming.templates import Template, finder

ARMED = {  # what a panel is then, by what it can
    "arm_home": "armed_home",
    "arm_away": "armed_away",
    "arm_night": "armed_night",
    "arm_vacation": "armed_vacation",
    "arm_custom_bypass": "armed_custom_bypass",
    "trigger": "triggered",
}

CLEANER = ("cleaning", "docked", "error", "idle", "paused", "returning")
ACTIONS = {  # what a cleaner can: the word of its payload, and what it is then; of being looked for it says nothing
    "start": ("start", ("cleaning",)),
    "pause": ("pause", ("paused", "idle")),
    "stop": ("stop", ("idle", "paused", "docked")),
    "return_home": ("return_to_base", ("returning", "docked")),
    "clean_spot": ("clean_spot", ("cleaning",)),
    "locate": ("locate", CLEANER),
}
USUAL = ("start", "stop", "return_home", "clean_spot")  # of one that does not say what it can


def alarm_control_panel(made: Made) -> None:
    """What wants a code cannot be set: nobody here is asked for one."""
    config = made.config
    name, triggered = "alarm" if made.main else made.name, made.part("triggered")
    topic, find = needed(config, "state_topic"), config.find("value_template")
    states = ("disarmed", "disarming", "arming", "pending", *ARMED.values())
    made.field(name, "enum", topic, find, meanings.words({state: state for state in states}))
    alarming = meanings.words(dict.fromkeys(states, "false") | {"triggered": "true"})
    made.field(triggered, "boolean", topic, find, alarming, alarm="alarm triggered", shown=False)
    features = config.words("supported_features", tuple(ARMED))
    payloads = {"disarmed": ("disarm", "disarm")}
    payloads |= {state: (feature, feature.partition("_")[0]) for feature, state in ARMED.items() if feature in features}
    known = {
        state: config.text(f"payload_{word}", word.upper())
        for state, (word, kind) in payloads.items()
        if not (config.text("code") and config.flag(f"code_{kind}_required", True))
    }
    template = config.text("command_template", longest=10_000)
    whole = Template(template) if template else None

    def payload(value: str) -> str:
        return whole.render(action=known[value], code=None) if whole else known[value]

    if known:
        made.control(name, "enum", needed(config, "command_topic"), payload, _is_set, options=tuple(known))


def _is_set(asked: str, said: str) -> bool:
    """That it has begun is enough: it leaves time to leave the house."""
    begun = {"disarmed": ("disarming",), "triggered": ("pending",)}.get(asked, ("arming", "pending"))
    return said == asked or said in begun


def vacuum(made: Made) -> None:
    config = made.config
    topic, features = config.topic("state_topic"), config.words("supported_features", USUAL)
    states = meanings.words({state: state for state in CLEANER})
    made.field(made.name, "enum", topic, finder("{{ value_json.state }}"), states)
    known = {
        action: config.text(f"payload_{word}", word) for action, (word, _) in ACTIONS.items() if action in features
    }
    if known:
        made.control(made.name, "enum", config.topic("command_topic"), known.__getitem__, _does, options=tuple(known))
    speeds, name = config.words("fan_speed_list", ()), made.part("fan_speed")
    if speeds:
        command = config.topic("set_fan_speed_topic"), str
        made.choice(name, speeds, (topic, finder("{{ value_json.fan_speed }}")), command, shown=False)


def _does(asked: str, said: str) -> bool:
    return said in ACTIONS[asked][1]
