"""Who did what to a thing is kept, refusals too, and a flood of them is counted."""

import pytest

from node.hub.store import StoreError
from node.things import audit
from node.things.access import Options
from tests.things.conftest import arrived
from tests.things.test_chat import ask
from tests.things.test_commands import run, session, submit

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
    assert lines() == [once, ("ben@hub.local", "urn:nf:iot:ctr:1.0", "set: 4 more times", "refused")]
    later(audit.SAME + 1)
    assert len(lines()) == 2, "told once"
    ben.says(SET.format(9))
    assert len(lines()) == 3, "a new minute"


def test_S14_a_guest_who_runs_a_command_that_is_not_his_stands_in_it(ben, lines, later):
    assert "forbidden" in run(ben, "grant")
    for text in ("lamp on", "lamp off", "approve eve@hub.local", "deny ann@hub.local", "grant ben@hub.local control"):
        ask(ben, text)
    assert lines() == [
        ("ben@hub.local/desk", "command", "grant", "refused"),
        ("ben@hub.local/desk", "chat", "lamp on", "refused"),
        ("ben@hub.local/desk", "chat", "approve eve@hub.local", "refused"),
        ("ben@hub.local/desk", "chat", "deny ann@hub.local", "refused"),
        ("ben@hub.local/desk", "chat", "grant ben@hub.local control", "refused"),
    ]
    later(audit.SAME + 1)
    assert lines()[-1] == ("ben@hub.local", "chat", "lamp: 1 more times", "refused")


def test_S14_a_right_that_is_taken_back_ends_the_form_that_lies_open(ann, lines, hub):
    name = session(run(ann, "set"))
    hub.need("access").allow(Options(control=["ben@hub.local"]))
    assert "forbidden" in run(ann, "set", action="complete", inner=submit(lamp="1"), sessionid=name)
    assert lines() == [("ann@hub.local/phone", "command", "set", "refused")]


def test_who_may_follow_is_a_change_of_access(ann, person, lines):
    for name in ("eve", "kim", "joe"):
        arrived(person(f"{name}@hub.local/x")).says("<presence to='porch@hub.local' type='subscribe'/>")
    ask(ann, "approve eve@hub.local")
    run(ann, "approve", inner=submit(jid="kim@hub.local", decision="approve"))
    run(ann, "approve", inner=submit(jid="joe@hub.local", decision="deny"))
    assert lines() == [
        ("ann@hub.local/phone", "chat", "approve eve@hub.local", "done"),
        ("ann@hub.local/phone", "command", "approve kim@hub.local", "done"),
        ("ann@hub.local/phone", "command", "deny joe@hub.local", "done"),
    ]


def test_of_one_thing_so_much_is_kept_and_the_last_is_read_first(hub, porch, lines, monkeypatch):
    monkeypatch.setattr(audit, "KEPT", 3)
    monkeypatch.setattr(audit, "TRIM", 5)
    book = hub.need("audit")
    for number in range(5):
        book.note(porch.jid, "ann", "chat", str(number))
    hub.need("audit").note(porch.jid.with_resource("x"), "ann", "chat", "5")
    assert [what for _, _, what, _ in lines()] == ["2", "3", "4", "5"]
    assert [what for _, _, what, _ in lines(2)] == ["4", "5"]


def test_what_was_counted_when_the_node_stops_is_told(ben, hub, lines):
    for number in range(3):
        ben.says(SET.format(number))
    hub.tell("stopping")
    assert lines()[-1][2] == "set: 2 more times"


def test_of_other_things_nothing_goes_and_what_strangers_say_is_cut(hub, porch, lines, run, monkeypatch):
    monkeypatch.setattr(audit, "KEPT", 1)
    monkeypatch.setattr(audit, "TRIM", 2)
    book, attic = hub.need("audit"), porch.jid.__class__("attic@hub.local")
    attic.local = "attic"
    book.note(attic, "ann", "chat", "here")
    for number in range(4):
        book.note(porch.jid, "ann", "chat", f"{number}" * 1000, "x" * 1000)
    assert [line.what for line in run(book.lines(attic, 9))] == ["here"]
    assert [(len(what), len(outcome)) for _, _, what, outcome in lines()] == [(audit.TEXT, audit.TEXT)]


def test_a_lamp_is_lit_though_the_disk_is_full(ann, hub, board, monkeypatch, caplog):
    def full(*args):
        raise StoreError("full")

    monkeypatch.setattr(hub.need("audit").database, "write", full)
    assert ask(ann, "lamp on")[0].startswith("Lamp is on")
    assert "porch: not kept: full" in caplog.text
