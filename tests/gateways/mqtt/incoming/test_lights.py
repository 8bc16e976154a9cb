"""Lights that speak as their templates say, and what lights have beside brightness."""

import json

import pytest

from tests.gateways.mqtt.incoming.test_platforms import LIGHT, made, reads


def test_lights_by_templates(home):
    home.begin().plays("template_lights")
    assert home.values("matrix") == {"display": "true", "display_brightness": "50"}
    assert home.values("shelly-rgbw2") == {
        "strip": "true",
        "strip_brightness": "40",
        "strip_color": "FF8000",
        "strip_effect": "0",
    }
    home.broker.devices["pixelit/setScreen"] = lambda said: home.broker.says(
        "pixelit/matrixinfo", {"sleepMode": False, "currentMatrixBrightness": 26}
    )
    home.sets("matrix", display_brightness="10")
    assert home.broker.came == [("pixelit/setScreen", "{'sleepMode': false, 'brightness': 26}")]


def test_what_a_light_by_templates_is_told():
    strip = made(
        "light",
        schema="template",
        command_topic="c",
        state_topic="s",
        command_on_template="on,{{ brightness|d }},{{ red|d }}-{{ green|d }}-{{ blue|d }},{{ hue|d }}-{{ sat|d }}",
        command_off_template="off",
        state_template="{{ value.split(',')[0] }}",
        brightness_template="{{ value.split(',')[1] }}",
        red_template="{{ value.split(',')[2].split('-')[0] }}",
        green_template="{{ value.split(',')[2].split('-')[1] }}",
        blue_template="{{ value.split(',')[2].split('-')[2] }}",
        color_temp_template="{{ value.split(',')[3] }}",
    )
    assert strip.orders["light"].payload("true") == "on,,--,-" and strip.orders["light"].payload("false") == "off"
    assert strip.orders["brightness"].payload("100") == "on,255,--,-"
    assert strip.orders["color"].payload("FF8000") == "on,,255-128-0,30-100"
    assert reads(strip, "color", "on,255,255-128-0,200") == "FF8000" and reads(strip, "warmth", "on,9,--,200") == "200"
    assert reads(strip, "color", "on,255,--,200") is None
    assert reads(strip, "light", "off,0,--,") == "false"


@pytest.mark.parametrize("missing", ["command_on_template", "command_off_template", "command_topic"])
def test_a_light_by_templates_needs_them(missing):
    table = {"schema": "template", "command_on_template": "on", "command_off_template": "off", "command_topic": "c"}
    del table[missing]
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        made("light", **table)


@pytest.mark.parametrize(("mode", "said"), [("hs", "30,100"), ("xy", "0.543,0.407"), ("rgb", "255,128,0")])
def test_a_colour_has_its_own_topics(mode, said):
    lamp = made("light", command_topic="c", **{f"{mode}_command_topic": "k/set", f"{mode}_state_topic": "k"})
    assert lamp.orders["color"].payload("FF8000") == said
    assert lamp.orders["color"].done("FF8000", reads(lamp, "color", said))
    table = {f"{mode}_command_topic": "k/set", f"{mode}_command_template": "{{ hue }}{{ red }}{{ x }}"}
    assert made("light", command_topic="c", **table).orders["color"].payload("FF8000") == said.partition(",")[0]


def test_a_light_that_says_its_modes_as_it_was_done_before():
    lamp = made("light", **LIGHT, rgb=True, color_temp=True)
    assert sorted(lamp.orders) == ["brightness", "color", "light", "warmth"]


def test_warmth_in_kelvins():
    lamp = made("light", **LIGHT, supported_color_modes=["color_temp"], color_temp_kelvin=True, min_kelvin=2200)
    warmth = next(control for control in lamp.controls if control.name == "warmth")
    assert (warmth.unit, warmth.minimum, warmth.maximum) == ("K", 2200, 6535)
    assert json.loads(lamp.orders["warmth"].payload("2700"))["color_temp"] == 2700
    assert lamp.orders["warmth"].done("2700", "2702") and not lamp.orders["warmth"].done("2700", "3000")


def test_effects():
    lamp = made("light", **LIGHT, effect=True, effect_list=["blink", "breathe"])
    assert json.loads(lamp.orders["effect"].payload("blink")) == {"state": "ON", "effect": "blink"}
    assert lamp.orders["effect"].done is None, "few tell when it is over"
    lamp = made("light", command_topic="c", effect_command_topic="e", effect_state_topic="f", effect_list=["a"])
    assert lamp.orders["effect"].topic == "e" and reads(lamp, "effect", "a") == "a"
