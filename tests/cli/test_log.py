"""The log: one line per event, whatever a stranger puts into it."""

import logging

import pytest

from node.cli.log import DEBUG_LIMIT, ERROR_LIMIT, LIMIT, _Lines, escaped


def line(text, *arguments, level=logging.WARNING, journal=False, **more):
    record = logging.LogRecord("node.x", level, "x.py", 1, text, arguments, more.get("exc_info"))
    return _Lines(journal).format(record)


def test_a_line_says_when_how_bad_and_what():
    assert line("link to %s: gone", "cabin.example").partition(" ")[2].partition(" ")[2] == (
        "warning: link to cabin.example: gone"
    )


def test_the_journal_gets_a_priority_and_no_time():
    assert line("broken", level=logging.ERROR, journal=True) == "<3>broken"


@pytest.mark.parametrize("bad", ["\n", "\r", "\x1b[2J", "\x00", "\u202e", "\u2028", "\x85"])
def test_L12_a_stranger_starts_no_line_and_moves_no_cursor(bad):
    shown = line("login of %s failed", f"a{bad}b")
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1


def test_L12_long_lines_are_cut():
    assert len(escaped("x" * 5000, LIMIT)) == LIMIT
    assert len(escaped("\n" * 5000, LIMIT)) == LIMIT
    assert escaped("x" * LIMIT, LIMIT) == "x" * LIMIT
    assert len(line("x" * 5000, level=logging.DEBUG, journal=True)) == DEBUG_LIMIT + len("<7>")


def test_F4_the_fingerprint_of_a_peer_is_there_to_be_pasted():
    shown = ":".join(["AB"] * 32)
    why = f"certificate is not the pinned one; its fingerprint is {shown}"
    stranger = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff port 65535"
    accepted = f"link from {stranger} as {'x' * 50}.example: not accepted, that domain: {why}"
    assert line("%s", accepted).endswith(shown)


def test_an_error_has_room_for_what_is_to_be_done():
    advice = "not reloaded, all stays as it is: " + "x" * (ERROR_LIMIT - 34)
    assert line(advice, level=logging.ERROR, journal=True) == f"<3>{advice}"
    assert len(line(advice, level=logging.WARNING, journal=True)) == LIMIT + len("<4>")


def test_a_bug_shows_where_it_is():
    try:
        raise KeyError("lamp")
    except KeyError as error:
        shown = line("handler failed", exc_info=(type(error), error, error.__traceback__))
    assert "test_log.py" in shown
    assert shown.splitlines()[-1] == "    KeyError: 'lamp'"
