"""Things whose topics the configuration names."""

import pytest

from node.base.path import Path
from node.config import ConfigError, load
from node.hub.thing import ControlError

GARDEN = """
domain = "hub.local"
[gateway.mqtt.topics.garden]
name = "Garden"
availability = "garden/status"
[gateway.mqtt.topics.garden.fields]
soil = { topic = "garden/sensors", path = "soil.moisture", unit = "%" }
tank = { topic = "garden/tank", unit = "l", factor = 0.5 }
door = { topic = "garden/door", type = "boolean", on = "auf", off = "zu" }
[gateway.mqtt.topics.garden.controls]
pump = { topic = "garden/pump/set", state = "garden/pump", on = "EIN", off = "AUS" }
level = { topic = "garden/level", type = "integer", payload = "level={value}", minimum = 0, maximum = 9 }
"""


@pytest.fixture
def options(options, tmp_path):
    options.topics = load(Path(tmp_path / "hobnode.toml"), GARDEN).gateways["mqtt"].topics
    return options


def test_fields_and_controls_by_their_topics(home):
    home.begin()
    assert home.names() == ["garden"]
    home.says("garden/status", "online")
    home.says("garden/sensors", {"soil": {"moisture": 41}})
    home.says("garden/tank", "120.0")
    home.says("garden/door", "auf")
    home.says("garden/pump", "AUS")
    assert home.values("garden") == {"soil": "41", "tank": "60.00", "door": "true", "pump": "false"}
    home.broker.devices["garden/pump/set"] = lambda said: home.broker.says("garden/pump", said)
    home.sets("garden", pump="true")
    home.sets("garden", level="7")
    assert home.broker.came == [("garden/pump/set", "EIN"), ("garden/level", "level=7")]
    with pytest.raises(ControlError, match="from 0 to 9"):
        home.sets("garden", level="10")


def test_it_goes_and_comes_by_its_availability(home):
    home.begin().says("garden/status", "online")
    home.there("garden")
    home.says("garden/status", "offline")
    assert home.away("garden").reason == "garden/status says 'offline'"
    home.says("garden/status", "online")
    assert home.there("garden")


def test_an_address_of_a_person_is_not_taken(home, person, caplog):
    person("garden@hub.local/a")
    home.begin()
    assert home.names() == [] and "is somebody's address already" in caplog.text


@pytest.mark.parametrize(
    ("was", "is_", "said"),
    [
        ("garden/sensors", "garden/+", "topic 'garden/+' is no topic"),
        ("soil.moisture", ".x", "'.x' is no path"),
        ('type = "boolean", on = "auf"', 'type = "bool", on = "auf"', "type must be one of"),
        ("factor = 0.5", "factor = 0", "factor must be a number and not 0"),
        ("unit = ", "unti = ", "did you mean 'unit'?"),
        ('topic = "garden/tank", ', "", "needs 'topic'"),
        ("topics.garden", "topics.'gar den'", "cannot be an address"),
        ("soil = {", '"1soil" = {', "is no name"),
    ],
)
def test_mistakes_are_answered_in_words(tmp_path, was, is_, said):
    assert was in GARDEN
    with pytest.raises(ConfigError) as answered:
        load(Path(tmp_path / "hobnode.toml"), GARDEN.replace(was, is_))
    assert said in str(answered.value), str(answered.value)
