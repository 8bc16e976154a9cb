"""Who did what to a thing is kept, refusals too, and a flood of them is counted."""

import pytest

from node.hub.store import StoreError
from node.things import audit
from tests.things.test_chat import ask

SET = "<iq type='set' id='{}' to='porch@hub.local'><set xmlns='urn:nf:iot:ctr:1.0'><b n='lamp' v='true'/></set></iq>"


@pytest.fixture
def lines(hub, run, porch):
    """The audit of porch without its times."""
    return lambda count=100: [line[1:] for line in run(hub.need("audit").lines(porch.jid, count))]


def test_a_command_stands_in_it_with_who_how_what_and_the_outcome(ann, lines):
    ask(ann, "lamp on")
    ann.says(SET.format(1))
    assert lines() == [
        ("ann@hub.local/phone", "chat", "lamp=true", "done"),
        ("ann@hub.local/phone", "urn:nf:iot:ctr:1.0", "lamp=true", "done"),
    ]


def test_a_command_that_failed_stands_in_it_with_the_reason(ann, board, lines):
    board.fault = "the relay sticks"
    ask(ann, "lamp on")
    assert lines() == [("ann@hub.local/phone", "chat", "lamp=true", "failed: Porch: the relay sticks")]


def test_a_refusal_that_comes_again_and_again_is_counted(ben, lines, later):
    for number in range(5):
        ben.says(SET.format(number))
    once = ("ben@hub.local/desk", "urn:nf:iot:ctr:1.0", "set", "refused")
    assert lines() == [once]
    later(audit.SAME + 1)
    assert lines() == [once, ("ben@hub.local", "urn:nf:iot:ctr:1.0", "4 more times", "refused")]
    later(audit.SAME + 1)
    assert len(lines()) == 2, "told once"
    ben.says(SET.format(9))
    assert len(lines()) == 3, "a new minute"


def test_of_one_thing_so_much_is_kept_and_the_last_is_read_first(hub, porch, lines, monkeypatch):
    monkeypatch.setattr(audit, "KEPT", 3)
    monkeypatch.setattr(audit, "TRIM", 5)
    book = hub.need("audit")
    for number in range(5):
        book.note(porch.jid, "ann", "chat", str(number))
    hub.need("audit").note(porch.jid.with_resource("x"), "ann", "chat", "5")
    assert [what for _, _, what, _ in lines()] == ["2", "3", "4", "5"]
    assert [what for _, _, what, _ in lines(2)] == ["4", "5"]


def test_a_lamp_is_lit_though_the_disk_is_full(ann, hub, board, monkeypatch, caplog):
    def full(*args):
        raise StoreError("full")

    monkeypatch.setattr(hub.need("audit").database, "write", full)
    assert ask(ann, "lamp on")[0].startswith("Lamp is on")
    assert "porch: not kept: full" in caplog.text
