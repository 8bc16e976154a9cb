"""Who did what to a thing is kept, refusals too, and a flood of them is counted."""

import itertools

import pytest

from node.base.jid import parse
from node.hub.quota import Quota
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
    once = ("ben@hub.local/desk", "urn:nf:iot:ctr:1.0", "set lamp=true", "refused")
    assert lines() == [once]
    later(audit.SAME + 1)
    assert lines() == [once, ("ben@hub.local", "urn:nf:iot:ctr:1.0", "set: 4 more times", "refused")]
    later(audit.SAME + 1)
    assert len(lines()) == 2, "told once"
    ben.says(SET.format(9))
    assert len(lines()) == 3, "a new minute"


@pytest.fixture
def try_words(hub, porch):
    """`try_words(count)`: so many words that are refused, each another one; how many lines of the audit there are."""
    numbers = itertools.count()

    def try_words(count, who="ben@hub.local/desk"):
        words = (f"x{next(numbers)} on" for _ in range(count))
        return sum(hub.need("audit").refused(porch.jid, parse(who), "chat", word, "refused") for word in words)

    return try_words


def test_S14_who_always_finds_another_word_is_counted_too(try_words, lines, later, hub):
    assert try_words(audit.TRIES + 20) == audit.TRIES
    assert len(lines()) == audit.TRIES
    assert try_words(1, "eve@hub.local/x") == 1, "of others there is a line"
    later(audit.SAME + 1)
    assert try_words(5) == 0
    later(audit.HOUR)
    assert [line for line in lines() if "more" in line[2]] == [("ben@hub.local", "chat", "and 25 more", "refused")]
    assert try_words(2) == 2, "another hour"
    try_words(audit.TRIES)
    hub.tell("stopping")
    assert lines()[-1][2] == "and 2 more"


def test_S14_the_log_tells_of_a_refusal_where_the_audit_does(ben, caplog, lines):
    for number in range(audit.TRIES + 5):
        ask(ben, f"approve x{number}@hub.local")
        ask(ben, f"lamp {number}")
        run(ben, "grant")
    told = [record for record in caplog.records if "may not" in record.getMessage()]
    assert len(told) == len(lines()) == 3


def test_S14_tries_push_out_nothing_that_was_done(hub, porch, try_words, lines, monkeypatch):
    monkeypatch.setattr(audit, "KEPT", 20)
    monkeypatch.setattr(audit, "REFUSALS", 5)
    monkeypatch.setattr(audit, "TRIM", 10)
    book = hub.need("audit")
    book.quota = Quota(1000, 1)
    for number in range(5):
        book.note(porch.jid, "ann", "chat", f"lamp={number}")
    try_words(55)
    assert [what for _, _, what, _ in lines()][:5] == [f"lamp={number}" for number in range(5)]
    assert len(lines()) == 10


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


LEGACY = "urn:xmpp:iot:control"


def test_S14_what_a_machine_was_refused_stands_in_it_with_the_values(ben, lines):
    form = submit(lamp="1", FORM_TYPE="urn:x")
    ben.says(f"<iq type='set' id='1' to='porch@hub.local'><set xmlns='urn:nf:iot:ctr:1.0'>{form}</set></iq>")
    ben.says(
        f"<message id='2' to='porch@hub.local'><set xmlns='{LEGACY}'><node nodeId='porch'/>"
        "<boolean name='lamp' value='false'/><int name='fade' value='7'/></set></message>"
    )
    run(ben, "set", inner=submit(lamp="0"))
    assert lines() == [
        ("ben@hub.local/desk", "urn:nf:iot:ctr:1.0", "set lamp=1", "refused"),
        ("ben@hub.local/desk", LEGACY, "set lamp=false, fade=7", "refused"),
        ("ben@hub.local/desk", "command", "set lamp=0", "refused"),
    ]


def test_what_a_machine_asked_wrongly_stands_in_it_too(ann, lines):
    for number, inner in enumerate(("<i n='lamp' v='1'/>", "<b n='lamp' v='1'/>" * 2)):
        ann.says(
            f"<iq type='set' id='{number}' to='porch@hub.local'><set xmlns='urn:nf:iot:ctr:1.0'>{inner}</set></iq>"
        )
    assert [line[2:] for line in lines()] == [
        ("lamp=1", "failed: A parameter of type boolean is not a i."),
        ("lamp=1", "failed: One parameter is given twice."),
    ]


def test_S14_a_stranger_to_the_controls_fills_no_audit(ben, lines, caplog):
    many = "".join(f"<i n='{'x' * 50}{number}' v='{'9' * 50}'/>" for number in range(500))
    for number in range(3):
        ben.says(
            f"<iq type='set' id='{number}' to='porch@hub.local'><set xmlns='urn:nf:iot:ctr:1.0'>"
            f"<i n='name{number}' v='1'/>{many}</set></iq>"
        )
    ((_, _, what, _),) = lines()
    assert what.startswith("set name0=1, xxxx") and len(what) == audit.TEXT
    assert len(caplog.records[0].getMessage()) < 2 * audit.TEXT


def test_S14_a_right_that_is_taken_back_ends_the_form_that_lies_open(ann, lines, hub):
    name = session(run(ann, "set"))
    hub.need("access").allow(Options(control=["ben@hub.local"]))
    assert "forbidden" in run(ann, "set", action="complete", inner=submit(lamp="1"), sessionid=name)
    assert lines() == [("ann@hub.local/phone", "command", "set lamp=1", "refused")]


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
