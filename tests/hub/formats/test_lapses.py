"""Sensors that say that they have no value."""

from node.hub.formats.lapses import Lapses


def test_what_has_no_value_three_times_in_a_row_is_lost():
    lapses = Lapses()
    said = ["1.0", None, None, "2.0", None, None, None, None, "3.0"]
    told = [lapses.told({"temp": value}) for value in said]
    lost = {"temp": None}
    assert told == [{"temp": "1.0"}, {}, {}, {"temp": "2.0"}, {}, {}, lost, lost, {"temp": "3.0"}]


def test_each_field_is_counted_for_itself_and_only_when_it_is_spoken_of():
    lapses = Lapses()
    for _ in range(2):
        assert lapses.told({"temp": None, "door": "true"}) == {"door": "true"}
        assert lapses.told({"door": None}) == {}
    assert lapses.told({"temp": None, "door": None}) == {"temp": None}
