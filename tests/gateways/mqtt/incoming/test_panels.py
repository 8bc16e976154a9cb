"""Alarm panels and vacuum cleaners."""

import pytest

from tests.gateways.mqtt.incoming.test_platforms import made, reads

PANEL = {"command_topic": "p/set", "state_topic": "p"}
CLEANER = {"command_topic": "v/set", "state_topic": "v"}


def test_an_alarm_panel_is_armed_and_says_when_it_is_triggered():
    panel = made("alarm_control_panel", **PANEL, supported_features=["arm_home", "arm_away"])
    assert panel.controls[0].options == ("disarmed", "armed_home", "armed_away")
    order = panel.orders["alarm"]
    assert [order.payload(each) for each in panel.controls[0].options] == ["DISARM", "ARM_HOME", "ARM_AWAY"]
    assert reads(panel, "alarm", "armed_away") == "armed_away" and reads(panel, "triggered", "pending") == "false"
    assert reads(panel, "alarm", "triggered") == "triggered" and reads(panel, "triggered", "triggered") == "true"
    assert panel.fields[1].alarm == "alarm triggered" and not panel.fields[1].shown
    with pytest.raises(ValueError, match="is none of"):
        reads(panel, "alarm", "asleep")


@pytest.mark.parametrize(
    ("asked", "said", "is_so"),
    [
        ("armed_home", "arming", True),
        ("armed_home", "armed_home", True),
        ("armed_home", "armed_away", False),
        ("armed_home", "disarmed", False),
        ("disarmed", "disarming", True),
        ("disarmed", "pending", False),
        ("triggered", "pending", True),
    ],
)
def test_an_alarm_panel_takes_its_time(asked, said, is_so):
    assert made("alarm_control_panel", **PANEL).orders["alarm"].done(asked, said) is is_so


@pytest.mark.parametrize("code", ["1234", "REMOTE_CODE", "REMOTE_CODE_TEXT"])
def test_what_wants_a_code_cannot_be_set(code):
    assert made("alarm_control_panel", **PANEL, code=code).controls == ()
    panel = made("alarm_control_panel", **PANEL, code=code, code_arm_required=False)
    assert panel.controls[0].options == tuple(
        f"armed_{how}" for how in ("home", "away", "night", "vacation", "custom_bypass")
    )
    panel = made("alarm_control_panel", **PANEL, code=code, code_disarm_required=False, code_trigger_required=False)
    assert panel.controls[0].options == ("disarmed", "triggered")


def test_what_an_alarm_panel_is_told_may_be_a_template():
    template = '{"action": "{{ action }}", "by": "hobnode"}'
    panel = made("alarm_control_panel", **PANEL, command_template=template, payload_disarm="OFF")
    assert panel.orders["alarm"].payload("disarmed") == '{"action": "OFF", "by": "hobnode"}'


def test_a_cleaner_is_told_what_to_do_and_says_what_it_does():
    cleaner = made("vacuum", **CLEANER, payload_start="go")
    assert cleaner.controls[0].options == ("start", "stop", "return_home", "clean_spot")
    order = cleaner.orders["vacuum"]
    assert order.payload("start") == "go" and order.payload("return_home") == "return_to_base"
    assert reads(cleaner, "vacuum", '{"state": "cleaning", "battery_level": 80}') == "cleaning"
    assert (
        reads(cleaner, "vacuum", '{"battery_level": 80}') == "" and reads(cleaner, "vacuum", '{"state": null}') is None
    )
    assert order.done("return_home", "returning") and not order.done("return_home", "cleaning")
    assert len(cleaner.fields) == 1, "one that cannot clean slower has no speed"


def test_a_cleaner_with_speeds():
    more = {"fan_speed_list": ["min", "max"], "set_fan_speed_topic": "v/speed", "supported_features": ["locate"]}
    cleaner = made("vacuum", **CLEANER, **more)
    assert cleaner.controls[0].options == ("locate",) and cleaner.orders["vacuum"].done("locate", "error")
    assert cleaner.controls[1].options == ("min", "max") and cleaner.orders["fan_speed"].payload("max") == "max"
    assert reads(cleaner, "fan_speed", '{"fan_speed": "min"}') == "min"


def test_a_cleaner_that_can_only_be_looked_at():
    cleaner = made("vacuum", **CLEANER, supported_features=["status", "battery"])
    assert cleaner.controls == () and len(cleaner.fields) == 1
