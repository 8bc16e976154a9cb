"""Names as levels of topics."""

from node.gateways.mqtt.names import level


def test_a_plain_name_is_its_own_level():
    assert level("living_room-2") == "living_room-2"


def test_no_two_names_become_the_same_and_none_has_a_meaning_of_its_own():
    levels = [level(name) for name in ("küche", "k che", "k_che", "lamp.1", "lamp_1", "+", "#", "a/b")]
    assert len(set(levels)) == len(levels)
    assert not set("".join(levels)) & set("+#/ ü.")
