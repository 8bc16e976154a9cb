"""X23: a short run of what `python -m tests.fuzz` does for as long as one likes, always the same; and its tools."""

from random import Random
from xml.etree import ElementTree

import pytest

from tests.conftest import HEADER
from tests.fuzz import framing, recorded, second
from tests.fuzz.__main__ import read, run, written
from tests.fuzz.mutate import bend, twist
from tests.fuzz.shrink import shrunk
from tests.fuzz.targets import TARGETS, case, check

SEED = 23
COUNTS = {"framing": 300, "addresses": 1000, "forms": 700, "paging": 500, "sasl": 1000, "house": 10}


@pytest.mark.parametrize("name", TARGETS)
def test_X23_whatever_is_said_only_what_is_declared_comes_of_it(name):
    for number in range(COUNTS[name]):
        check(name, case(name, SEED, number))


def test_the_recordings_are_what_they_are_taken_for():
    assert all(b"<stream:stream " in stream[0] for stream in recorded.streams())
    assert {b"jabber:client" in stream[0] for stream in recorded.links()} == {False}
    assert "hub.local" in recorded.addresses()
    for session in recorded.sessions():
        events = framing.heard([HEADER.encode(), *session])
        assert len(events) > len(session)  # with the header
        assert "StreamError" not in {type(event).__name__ for event in events}


def test_mutations_change_something_and_the_same_seed_changes_the_same():
    pieces = recorded.pieces()
    for how, others in ((bend, pieces), (twist, recorded.addresses())):
        changed = [how(pieces[number], Random(number), others) for number in range(100)]
        assert changed == [how(pieces[number], Random(number), others) for number in range(100)]
        assert sum(one != other for one, other in zip(changed, pieces, strict=False)) > 80


@pytest.mark.parametrize(
    "text",
    [
        *("<a/>", "<a>]]<![CDATA[>]]></a>", "<a>\r\n\r</a>"),
        "<a b='&#10;\t&quot;'>x<b:c xmlns:b='u' b:d=\"'\"/>&#x1F600;</a>",
    ],
)
def test_the_second_parser_finds_what_elementtree_finds(text):
    assert second.tree(text) == framing.plain(ElementTree.fromstring(text))


@pytest.mark.parametrize(
    "text",
    [
        *("<a>", "</a>", "<a></b>", "<a/><b/>", "x<a/>", "<a/>x", "<a b='1' b='2'/>", "<a b=1/>", "<a b='<'/>"),
        *("<a>&b;</a>", "<a>&#0;</a>", "<a>&#xFFFE;</a>", "<a>&</a>", "<a>]]></a>", "<a>\0</a>", "<a>\ufffe</a>"),
        *("<a><!-- --></a>", "<a><?b?></a>", "<!DOCTYPE a><a/>", "<a><![CDATA[</a>", "<a><b:c/></a>", "<a b:c=''/>"),
        *("<a xmlns:b=''/>", "<a xmlns:xml='u'/>", "<a xmlns:xmlns='u'/>", "<a:b:c xmlns:a='u'/>", "<a b='1'c='2'/>"),
        "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
    ],
)
def test_the_second_parser_is_strict(text):
    with pytest.raises(second.NotWellFormed):
        second.tree(text)


def test_a_failing_input_is_made_small_written_down_and_read_again(tmp_path, monkeypatch, capsys):
    def check(case):
        assert not any(b"x" in part for part in case[0])

    whole = ([b"abc", b"dxf", b"ghi"], 5)
    small = shrunk(check, whole)
    assert small == ([b"x"], 5)
    assert read(written("framing", small, "because\nof that")) == ("framing", small)
    monkeypatch.setitem(TARGETS, "framing", type("Broken", (), {"make": lambda chance: whole, "check": check}))
    monkeypatch.setattr("tests.fuzz.__main__.mkdtemp", lambda prefix: tmp_path)
    assert run(["framing"], 1, 0.05) == 1
    assert read((tmp_path / "framing-1-0.txt").read_text()) == ("framing", small)
    assert "1 findings" in capsys.readouterr().out
