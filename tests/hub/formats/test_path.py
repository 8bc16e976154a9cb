"""Paths into JSON."""

import pytest

from node.hub.formats.path import follow, path

DATA = {"sensors": [{"temp": 1}, {"temp": {"now": 2}}], "any name": {"a.b": 3}, "zero": 0}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sensors[0].temp", 1),
        ("sensors[1].temp.now", 2),
        ('["any name"]["a.b"]', 3),
        ("zero", 0),
        ("sensors[2].temp", None),
        ("sensors.temp", None),
        ("zero.temp", None),
        ("missing[0]", None),
    ],
)
def test_a_path_leads_to_what_is_there(text, found):
    assert follow(path(text), DATA) == found


def test_a_path_may_begin_with_a_list():
    assert follow(path("[1]"), [7, 8]) == 8


@pytest.mark.parametrize("text", ["", ".a", "a..b", "a[", "a[-1]", "a[x]", "a b", "a[0]]", ".".join("a" * 17), "a\n"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ValueError):
        path(text)
