"""XEP-0202: the node's time and zone."""

import time

import pytest

from node.features.time import zone

ASK = "<iq type='get' id='time_1' to='hub.local'><time xmlns='urn:xmpp:time'/></iq>"


def test_entity_time(person, monkeypatch):
    monkeypatch.setenv("TZ", "CST+6")  # as POSIX counts: six hours behind
    time.tzset()
    monkeypatch.setattr("node.features.time.time", lambda: 1166551115.0)
    romeo = person("romeo@hub.local/a")
    romeo.says(ASK)
    heard = romeo.heard
    monkeypatch.undo()
    time.tzset()
    assert heard == [
        "<iq type='result' from='hub.local' to='romeo@hub.local/a' id='time_1'><time xmlns='urn:xmpp:time'>"
        "<tzo>-06:00</tzo><utc>2006-12-19T17:58:35Z</utc>"
        "</time></iq>"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "+00:00"), (3600, "+01:00"), (-12600, "-03:30"), (20700, "+05:45"), (50400, "+14:00")],
)
def test_zones_as_xep_0082_writes_them(seconds, text):
    assert zone(seconds) == text


def test_it_is_announced(hub):
    assert "urn:xmpp:time" in hub.features["host"]
