"""What is said in an announcement of Home Assistant's discovery: of which device, and of which of its entities."""

from collections.abc import Iterator, Mapping
from typing import Any

from node.gateways.mqtt.incoming.abbreviations import expanded
from node.gateways.mqtt.incoming.config import Config

ENTITIES = 64  # of one device; fields, and controls, too: as many as a board may have
IDENTIFIERS = 8  # of one device that are looked at
SHARED = (  # what entities have from their device, unless they say it themselves
    *("availability", "availability_mode", "availability_template", "availability_topic", "command_topic"),
    *("payload_available", "payload_not_available", "state_topic"),
)


def parts(config: dict[str, Any], component: str, object_id: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Platform, id and table of each entity, with all that it has from its device."""
    if component != "device":
        if config.get("migrate_discovery") is not True or len(config) > 1:
            yield component, object_id, _whole(config)
        return
    components = config.get("components")
    if not isinstance(components, dict) or not table(config, "device"):
        raise ValueError("a device needs 'device' and 'components'")
    shared = {key: config[key] for key in (*SHARED, "~") if key in config}
    for id, said in list(components.items())[:ENTITIES]:
        values = expanded(said) if isinstance(said, dict) else {}
        platform = values.pop("platform", None)
        if isinstance(platform, str) and values:  # only the platform: it is no more
            yield platform, str(id)[:60], _whole(shared | values)


def _whole(values: dict[str, Any]) -> dict[str, Any]:
    """With long keys in its availability, and `~` in the place of which stands what begins its topics."""
    signs = values.get("availability")
    if isinstance(signs, dict):
        signs = [signs]
    if isinstance(signs, list):
        values = values | {"availability": [expanded(each) if isinstance(each, dict) else each for each in signs]}
    base = values.pop("~", None) if isinstance(values.get("~"), str) else None
    if base is None:
        return values
    whole = {key: _based(value, base) if key.endswith("topic") else value for key, value in values.items()}
    if isinstance(signs, list):
        whole["availability"] = [
            each | {"topic": _based(each.get("topic"), base)} if isinstance(each, dict) else each
            for each in values["availability"]
        ]
    return whole


def _based(topic: Any, base: str) -> Any:
    if not isinstance(topic, str):
        return topic
    if topic.startswith("~"):
        topic = base + topic[1:]
    return topic[:-1] + base if topic.endswith("~") else topic


def is_ours(value: Any, own: str) -> bool:
    """Whether a topic of ours is anywhere in it."""
    if isinstance(value, str):
        return value.startswith(own)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(is_ours(each, own) for each in inner)


def table(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An inner one; empty where there is none."""
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def identifiers(about: Config) -> list[str]:
    """Of a device: what it calls so, and its connections."""
    ids = about.values.get("identifiers", [])
    pairs = about.values.get("connections", [])
    found = [str(each) for each in (ids if isinstance(ids, list) else [ids]) if isinstance(each, str | int)]
    if isinstance(pairs, list):
        found += [f"{pair[0]} {pair[1]}" for pair in pairs if isinstance(pair, list) and len(pair) == 2]
    return found[:IDENTIFIERS]
