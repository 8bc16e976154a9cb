"""Lines, however they were cut."""

import pytest

from node.net.lines import LINE, Lines


@pytest.mark.parametrize("size", [1, 3, 100])
def test_lines_come_whole_however_they_were_cut(size):
    lines, text = Lines(), b"first\nsecond\r\n\nthird\nfou"
    heard = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
    assert heard == [b"first", b"second", b"", b"third"]


@pytest.mark.parametrize("length", [LINE + 1, 10 * LINE])
@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_line_without_end_is_dropped_and_told_once(length, size):
    lines, text = Lines(), b"x" * length + b"\nshort\n"
    heard = []
    for at in range(0, len(text), size):
        heard += lines.feed(text[at : at + size])
        assert len(lines._rest) <= LINE
    assert heard == [None, b"short"]


def test_the_longest_line_is_still_one():
    assert Lines().feed(b"x" * LINE + b"\n") == [b"x" * LINE]
