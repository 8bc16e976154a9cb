"""A thing whose parts come and go by themselves."""

import pytest

from node.hub.thing import ControlError

BOILER = {"dev": {"ids": ["boiler"], "name": "Boiler"}, "o": {"name": "box"}, "avty_t": "boiler/status"}
PARTS = {
    "flow": {"p": "sensor", "uniq_id": "flow", "stat_t": "boiler/flow", "unit_of_meas": "°C"},
    "outside": {
        "p": "sensor",
        "uniq_id": "out",
        "stat_t": "boiler/out",
        "avty_t": "boiler/radio",
        "unit_of_meas": "°C",
    },
    "bell": {"p": "button", "name": "Bell", "uniq_id": "b", "cmd_t": "boiler/bell/set", "avty_t": "boiler/radio"},
}


@pytest.fixture
def boiler(home):
    """A device that is there, with a radio of its own that is not always."""
    home.begin()
    home.says("homeassistant/device/boiler/config", BOILER | {"cmps": PARTS})
    for topic, word in (("status", "online"), ("radio", "online"), ("flow", "48.3"), ("out", "4.30")):
        home.says(f"boiler/{topic}", word)
    assert home.values("boiler") == {"flow": "48.3", "outside": "4.30"}
    return home


def test_a_part_that_is_away_has_no_value_and_the_rest_goes_on(boiler):
    thing, went = boiler.thing("boiler"), []
    thing.on_change(lambda thing, names: went.append((thing.online, sorted(thing.readings))))
    boiler.says("boiler/radio", "offline")
    boiler.says("boiler/out", "5.00")
    boiler.says("boiler/flow", "50.1")
    assert boiler.values("boiler") == {"flow": "50.1"}
    boiler.says("boiler/radio", "online")
    assert boiler.values("boiler") == {"flow": "50.1", "outside": "5.00"}, "it was kept for when it is back"
    assert went == [(True, ["flow"]), (True, ["flow"]), (True, ["flow", "outside"])]


def test_a_part_of_which_nothing_is_known_yet_has_no_value(home):
    home.begin()
    home.says("homeassistant/device/boiler/config", BOILER | {"cmps": PARTS})
    home.says("boiler/status", "online")
    home.says("boiler/out", "4.30")
    assert home.values("boiler") == {}
    home.says("boiler/radio", "online")
    assert home.values("boiler") == {"outside": "4.30"}


def test_a_part_that_is_away_cannot_be_set_and_says_why(boiler):
    boiler.says("boiler/radio", "offline")
    with pytest.raises(ControlError, match="Boiler: boiler/radio says 'offline'"):
        boiler.sets("boiler", bell="press")
    assert boiler.broker.came == []
    boiler.says("boiler/radio", "online")
    boiler.sets("boiler", bell="press")
    assert boiler.broker.came == [("boiler/bell/set", "PRESS")]


def test_a_device_is_offline_when_all_its_parts_are(boiler):
    boiler.says("boiler/status", "offline")
    assert boiler.values("boiler") == {"outside": "4.30"}
    boiler.says("boiler/radio", "offline")
    assert boiler.away("boiler").reason == "boiler/status says 'offline'"
    boiler.says("boiler/radio", "online")
    assert boiler.values("boiler") == {"outside": "4.30"}
    boiler.says("boiler/status", "online")
    assert boiler.values("boiler") == {"flow": "48.3", "outside": "4.30"}


def test_a_part_that_is_announced_anew_without_its_own_availability_is_there(boiler):
    boiler.says("boiler/radio", "offline")
    parts = PARTS | {"outside": {key: value for key, value in PARTS["outside"].items() if key != "avty_t"}}
    boiler.says("homeassistant/device/boiler/config", BOILER | {"cmps": parts})
    assert boiler.values("boiler") == {"flow": "48.3", "outside": "4.30"}


def test_without_the_broker_a_part_keeps_what_it_said_last(boiler):
    boiler.does(lambda: boiler.broker.turn(False))
    assert sorted(boiler.away("boiler").readings) == ["flow", "outside"]


BUTTON = {"stat_t": "hall/button", "evt_typ": ["single", "double"], "dev": {"ids": ["b"], "name": "Hall"}}


@pytest.fixture
def button(home):
    """A button, its thing, and all that its field was: `home.was`."""
    home.begin()
    home.says("hall/button", {"event_type": "double"})
    home.says("homeassistant/event/b/config", BUTTON)
    thing, home.was = home.there("hall"), []
    thing.on_change(lambda thing, names: home.was.append(thing.readings["event"].value) if names else None)
    return home


def test_what_happened_before_we_listened_happens_no_more(button):
    assert button.values("hall") == {"event": "none"}
    button.does(lambda: button.broker.turn(False))
    button.away("hall")
    button.does(lambda: button.broker.turn(True))
    assert button.values("hall") == {"event": "none"}


def test_what_happens_is_seen_for_a_moment(button, later):
    button.says("hall/button", {"event_type": "single"}, retain=False)
    assert button.values("hall") == {"event": "single"}
    assert not button.thing("hall").stale
    later(1.01)
    button.does(lambda: None)
    assert button.values("hall") == {"event": "none"} and button.was == ["single", "none"]


def test_what_happens_again_within_the_moment_is_seen_again(button):
    for kind in ("single", "single", "double"):
        button.says("hall/button", {"event_type": kind}, retain=False)
    assert button.was == ["single", "none", "single", "double"]


def test_a_word_that_it_never_says_is_not_its_state(home):
    home.begin()
    table = {"cmd_t": "blind/set", "stat_t": "blind", "dev": {"ids": ["blind"], "name": "Blind"}}
    home.says("homeassistant/cover/blind/config", table)
    home.says("blind", "open")
    assert home.values("blind") == {"cover": "open"}
    home.sets("blind", cover="stop")
    assert home.broker.came == [("blind/set", "STOP")] and home.values("blind") == {"cover": "open"}
