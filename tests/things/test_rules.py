"""Rules: once when a condition becomes true, with what a thing has confirmed in the audit, and never in circles."""

import asyncio
import re
from decimal import Decimal

import pytest

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import parse
from node.base.stanza import Stanza
from node.config import load
from node.hub.controls import TEXT_LIMIT
from node.hub.store import StoreError
from node.hub.thing import TO_COME, Thing
from node.things import rules as file
from node.things.rules import Rule
from node.things.rules.far import AGAIN, SOON
from tests.conftest import settle
from tests.things.board import Board
from tests.things.conftest import until

LIGHT = {"lamp": True}
HOT = {"thing": "porch", "field": "temperature", "above": Decimal(25), "set": {"porch": LIGHT}}
WARM = {"field": "heat", "above": Decimal(50), "set": {"porch": LIGHT}}
FAR = parse("stove@cabin.example")
MYSELF = "hub@hub.local"
SCENE = "\n".join(f"set.lamp{number} = {{ lamp = true }}" for number in range(17))
SD = "urn:nf:iot:sd:1.0"


@pytest.fixture
def rules(hub, porch, loop):
    """`rules({...}, ...)` puts rules into force, where hub@hub.local is the machine itself."""
    put_in(hub, Thing(jid=parse(MYSELF), label="The machine", kind="linux", driver=Board(loop)))

    def rules(*tables):
        made = [Rule(**table) for table in tables]
        if "rules" in hub._parts:
            hub.need("rules").load(made)
        else:
            file.setup(hub, made)
        settle(hub)

    return rules


def said(caplog):
    """The warnings."""
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def unopened(thing):
    """As when the node has just been started."""
    thing.online, thing.reason, thing.awaited = False, "not started yet", thing.clock() + TO_COME


def put_in(hub, thing):
    hub.things[thing.jid] = thing
    hub.tell("thing", thing)
    return thing


@pytest.fixture
def reads(hub, porch):
    """`reads("26.0")`: that is the temperature now, and what follows from it has been done."""

    def reads(*values):
        for value in values:
            porch.report({"temperature": value})
            settle(hub)

    return reads


@pytest.fixture
def lines(hub, run, porch):
    return lambda jid="porch@hub.local": [line[1:] for line in run(hub.need("audit").lines(parse(jid), 99))]


def test_it_acts_once_when_the_condition_becomes_true_and_again_after_it_was_false(rules, reads, board):
    rules(HOT)
    reads("24.0", "25.0")
    assert board.written == []
    reads("25.1", "26.0", "27.0")
    assert board.written == [("lamp", "true")]
    reads("24.9", "25.1")
    assert board.written == [("lamp", "true")] * 2


@pytest.mark.parametrize(
    ("condition", "false", "true"),
    [
        ({"field": "temperature", "below": Decimal(5)}, "5", "4.9"),
        ({"field": "temperature", "equals": "30"}, "30.0", "30"),
        ({"field": "temperature", "equals": 30}, "30.1", "30.0"),
        ({"field": "temperature", "equals": Decimal("30.50")}, "30.0", "30.5"),
        ({"field": "temperature", "above": Decimal(30), "hysteresis": Decimal(2)}, "30", "30.1"),
    ],
)
def test_conditions(rules, reads, board, condition, false, true):
    rules({"thing": "porch", "set": {"porch": LIGHT}, **condition})
    reads("20.0", false)
    assert board.written == []
    reads(true)
    assert board.written == [("lamp", "true")]


def test_a_boolean_is_equal_to_true(rules, porch, hub, board):
    rules({"thing": "porch", "field": "water", "equals": True, "set": {"porch": LIGHT}})
    porch.report({"water": "false"})
    porch.report({"water": "true"})
    settle(hub)
    assert board.written == [("lamp", "true")]


def test_with_hysteresis_the_value_has_to_come_back_so_far(rules, reads, board):
    rules(HOT | {"hysteresis": Decimal(2)})
    reads("26", "24", "26")
    assert board.written == [("lamp", "true")]
    reads("22.9", "26")
    assert board.written == [("lamp", "true")] * 2


def test_it_has_to_last(rules, reads, board, later, hub):
    rules(HOT | {"lasting": 60.0})
    reads("26")
    later(59)
    reads("24", "26")
    later(2)
    settle(hub)
    assert board.written == []
    later(60)
    settle(hub)
    assert board.written == [("lamp", "true")]


def test_what_goes_offline_does_not_last_and_its_going_is_a_condition_too(rules, reads, board, later, hub, porch, ann):
    rules(HOT | {"lasting": 60.0}, {"thing": "porch", "gone": True, "tell": ["ann@hub.local"]})
    reads("26")
    board.pull("USB cable gone")
    until(hub, lambda: not porch.online)
    later(61)
    settle(hub)
    assert board.written == []
    assert "<body>Porch is gone.</body>" in "".join(ann.heard)


def test_people_are_told_in_words(rules, reads, ann):
    said = {"name": "heat", "tell": ["ann@hub.local"], "set": {}}
    rules(HOT | said, HOT | said | {"say": "Too hot at {thing}: {field} {value}"})
    reads("26.5")
    heard = "".join(ann.heard)
    assert "<body>Porch: temperature is 26.5 °C (temperature above 25).</body>" in heard
    assert "<body>Too hot at Porch: temperature 26.5 °C</body>" in heard


def test_what_a_boolean_is_was_the_condition_and_is_said_once(rules, reads, ann, porch, hub):
    rules({"thing": "porch", "field": "lamp", "equals": True, "tell": ["ann@hub.local"]})
    porch.report({"lamp": "true"})
    settle(hub)
    assert bodies(ann) == ["Porch: lamp is on."]


def bodies(person):
    return re.findall("<body>(.*?)</body>", "".join(person.heard))


TELLING = {"thing": "porch", "field": "temperature", "above": Decimal(25), "tell": ["ann@hub.local"]}
SAID = "Porch: temperature is 26 °C (temperature above 25)."


@pytest.fixture
def restarted(hub, porch, run):
    """`restarted(table)`: the node has stopped, `meanwhile` it is so warm, and the next node has this rule."""
    before = []

    def restarted(table, meanwhile=None):
        run(hub.store.things.committed())
        for rules in before:
            rules.stop()
            porch._listeners[:] = [each for each in porch._listeners if getattr(each, "__self__", None) is not rules]
        if meanwhile:
            porch.report({"temperature": meanwhile})
        before.append(file.Rules(hub, [Rule(**table)]))
        settle(hub)

    return restarted


def test_what_is_true_at_the_start_acts_on_things_and_is_told(rules, reads, board, ann):
    reads("26")
    assert ann.heard
    rules(TELLING | {"set": {"porch": LIGHT}})
    assert board.written == [("lamp", "true")]
    assert bodies(ann) == [SAID]


def test_what_was_told_before_the_node_was_restarted_is_not_told_again(restarted, reads, board, ann):
    rule = TELLING | {"set": {"porch": LIGHT}, "hysteresis": Decimal(2)}
    restarted(rule)
    reads("26")
    restarted(rule)
    assert bodies(ann) == [SAID]
    assert board.written == [("lamp", "true")] * 2, "of a thing nobody knows what it has done meanwhile"
    reads("24")
    restarted(rule)
    assert board.written == [("lamp", "true")] * 3, "it has not come back so far"
    reads("26")
    assert bodies(ann) == []
    reads("22", "26")
    assert bodies(ann) == [SAID]


@pytest.mark.parametrize("lasting", [0.0, 60.0])
def test_what_became_so_while_the_node_was_away_is_told(restarted, reads, ann, later, hub, lasting):
    rule = TELLING | {"lasting": lasting}
    restarted(rule)
    reads("26")
    later(61)
    assert bodies(ann) == [SAID]
    reads("24")
    restarted(rule, meanwhile="26")
    assert bodies(ann) == ([] if lasting else [SAID])
    later(61)
    assert bodies(ann) == ([SAID] if lasting else [])


def test_what_ended_while_the_node_was_away_is_told_when_it_begins_anew(restarted, reads, ann):
    restarted(TELLING)
    reads("26")
    restarted(TELLING, meanwhile="24")
    assert bodies(ann) == [SAID]
    reads("26")
    assert bodies(ann) == [SAID]


def test_that_a_thing_is_gone_is_not_told_again_after_a_restart(restarted, porch, ann, later):
    rule = {"thing": "porch", "gone": True, "tell": ["ann@hub.local"]}
    restarted(rule)
    porch._turn(online=False, reason="USB cable gone")
    restarted(rule)
    later(60)
    assert bodies(ann) == ["Porch is gone."]
    porch._turn(online=True, reason="")
    porch._turn(online=False, reason="USB cable gone")
    assert bodies(ann) == ["Porch is gone."]


def test_a_rule_that_tells_something_else_tells_it(rules, reads, ann):
    rules(TELLING)
    reads("26")
    rules(TELLING | {"set": {"porch": LIGHT}})
    assert bodies(ann) == [SAID]
    rules(TELLING | {"say": "{value}!"})
    rules(TELLING)
    assert bodies(ann) == ["26 °C!", SAID], "the one before is forgotten"


def test_a_disk_that_does_not_keep_up_keeps_nobody_from_being_told(rules, reads, ann, hub, monkeypatch, caplog):
    rules(TELLING)

    def full(sql, args=()):
        raise StoreError("things.db: the disk is full")

    monkeypatch.setattr(hub.need("rules").database, "write", full)
    reads("26")
    assert bodies(ann) == [SAID]
    assert "it is not kept what rules have told: things.db: the disk is full" in said(caplog)


def test_what_was_done_and_what_failed_stands_in_the_audit_of_what_was_set(rules, reads, board, lines, caplog):
    rules(HOT | {"name": "heat"})
    reads("24", "26")
    board.fault = "the relay sticks"
    reads("24", "26")
    who = ("porch@hub.local", "rule: heat", "lamp=true")
    assert lines() == [(*who, "done"), (*who, "failed: Porch: the relay sticks")]
    assert "rule heat: lamp=true of porch@hub.local failed: Porch: the relay sticks" in caplog.text


def test_a_thing_that_is_not_there_and_a_value_that_is_none_are_said(rules, reads, lines):
    rules(HOT | {"set": {"attic": LIGHT, "porch": {"lamp": "purple"}}})
    reads("24", "26")
    assert lines("attic@hub.local")[0][-1] == "failed: there is no such thing"
    assert lines()[-1][-1] == "failed: lamp: true or false."


@pytest.mark.parametrize(("at_last", "written"), [("27", [("lamp", "true")]), ("24", [])])
def test_what_is_set_while_a_thing_is_offline_is_made_up_for_if_the_rule_still_holds(
    rules, reads, hub, loop, run, lines, at_last, written
):
    board = Board(loop)
    shed = put_in(hub, Thing(jid=parse("shed@hub.local"), label="Shed", kind="script", driver=board))
    rules(HOT | {"set": {"shed": LIGHT}})
    reads("26")
    assert "failed: Shed is offline" in lines("shed@hub.local")[0][-1]
    reads(at_last)
    loop.run_until_complete(start(shed))
    until(hub, lambda: shed.online)
    assert board.written == written
    run(shed.stop())


def test_what_a_thing_did_not_do_because_it_was_lost_is_made_up_for_once(rules, reads, hub, loop, run):
    """Where it stays there it is not asked again: it has said no."""
    board = Board(loop)
    shed = put_in(hub, Thing(jid=parse("shed@hub.local"), label="Shed", kind="script", driver=board))
    rules(HOT | {"set": {"shed": LIGHT}})
    shed._turn(online=True, reason="")
    board.fault = "USB cable gone"
    reads("26")
    board.fault = ""
    shed._turn(busy=True)
    shed._turn(busy=False)
    settle(hub)
    assert board.written == []
    for _ in range(2):
        shed._turn(online=False, reason="USB cable gone")
        shed._turn(online=True, reason="")
        settle(hub)
    assert board.written == [("lamp", "true")]


def test_what_was_done_at_last_is_not_done_again_when_the_thing_is_back(rules, reads, hub, loop):
    board = Board(loop)
    shed = put_in(hub, Thing(jid=parse("shed@hub.local"), label="Shed", kind="script", driver=board))
    rules(HOT | {"set": {"shed": LIGHT}})
    shed._turn(online=True, reason="")
    board.fault = "shorted"
    reads("26")
    board.fault = ""
    reads("24", "26")
    shed._turn(online=False, reason="USB cable gone")
    shed._turn(online=True, reason="")
    settle(hub)
    assert board.written == [("lamp", "true")]


async def start(thing):
    thing.start()


def test_rules_that_drive_each_other_in_a_circle_are_stopped(rules, porch, hub, board, lines):
    rules(
        {"name": "on", "thing": "porch", "field": "lamp", "equals": False, "set": {"porch": {"lamp": True}}},
        {"name": "off", "thing": "porch", "field": "lamp", "equals": True, "set": {"porch": {"lamp": False}}},
    )
    settle(hub)
    assert board.written == [("lamp", "true"), ("lamp", "false")]
    assert ("rule: on", "lamp is false", "it would follow from itself: on → off → on") in [line[1:] for line in lines()]


def test_a_chain_of_rules_is_no_circle(rules, reads, porch, hub, board, lines):
    rules(HOT, {"thing": "porch", "field": "lamp", "equals": True, "set": {"porch": {"fade": 100}}})
    reads("24", "26")
    assert board.written == [("lamp", "true"), ("fade", "100")]


def test_what_people_do_long_after_a_rule_is_not_its_doing(rules, reads, hub, board, later, porch):
    rules({"thing": "porch", "field": "lamp", "equals": False, "set": {"porch": LIGHT}})
    porch.report({"lamp": "false"})
    settle(hub)
    assert board.written == [("lamp", "true")], "who does so at once might be the rule itself"
    porch.report({"lamp": "true"})
    later(file.FOLLOWS + 1)
    porch.report({"lamp": "false"})
    settle(hub)
    assert board.written == [("lamp", "true")] * 2


def test_a_thing_that_is_taken_out_is_gone_and_when_the_node_stops_nothing_waits(
    rules, reads, hub, porch, board, ann, later
):
    rules(HOT | {"lasting": 60.0}, {"thing": "porch", "gone": True, "tell": ["ann@hub.local"]})
    reads("20", "26")
    hub.tell("stopping")
    later(61)
    settle(hub)
    assert board.written == []
    hub.tell("thing gone", porch)
    del hub.things[porch.jid]
    assert "Porch is gone." in "".join(ann.heard)


def test_a_circle_that_cannot_be_seen_is_stopped_by_the_number_of_times(rules, reads, board, lines):
    rules(HOT | {"name": "heat"})
    for _ in range(file.TIMES + 5):
        reads("24", "26")
    assert len(board.written) == file.TIMES
    assert "it has acted 20 times within 10 minutes" in lines()[-1][-1]


def test_what_is_read_before_a_thing_is_online_counts_when_it_is(rules, porch, hub, board, ann):
    porch._turn(online=False, reason="not started yet")
    rules(HOT, {"thing": "porch", "gone": True, "set": {"porch": {"fade": 1}}, "tell": ["ann@hub.local"]})
    board.written.clear()
    assert ann.heard
    for states in hub.need("rules").states.values():  # as when the node starts, before anything is opened
        for state in states:
            state.true, state.first = None, True
    hub.need("rules").caused.clear()
    porch.report({"temperature": "26"})
    settle(hub)
    assert not hub.need("rules").caused, "it is just being opened"
    porch._turn(online=True, reason="")
    settle(hub)
    assert board.written == [("lamp", "true")]
    assert "gone" not in "".join(ann.heard)


def test_a_sensor_that_is_lost_does_not_last(rules, reads, board, later, hub):
    rules(HOT | {"lasting": 60.0})
    reads("26", None)
    later(61)
    settle(hub)
    assert board.written == []


@pytest.mark.parametrize("value", ["NaN", "sNaN", "warm", ""])
def test_what_is_no_number_is_neither_above_nor_below(value):
    assert not Rule(**HOT).holds(value, False)
    assert not Rule(**HOT | {"above": None, "below": Decimal(1)}).holds(value, True)


def test_a_thing_that_is_not_there_is_said_when_the_node_starts_and_when_rules_are_new(rules, hub, caplog):
    rules({"name": "dusk", "thing": "proch", "gone": True, "set": {"attic": LIGHT, "porch": LIGHT, FAR: LIGHT}})
    missing = ["rule dusk: there is no proch@hub.local yet", "rule dusk: there is no attic@hub.local yet"]
    assert said(caplog) == missing
    hub.tell("started")
    settle(hub)
    assert said(caplog) == missing * 2


def test_a_thing_that_a_gateway_remembers_is_there_when_the_node_has_started(rules, hub, loop, caplog):
    rules({"thing": "weather", "gone": True, "set": {"porch": LIGHT}})
    caplog.clear()
    weather = Thing(jid=parse("weather@hub.local"), label="Weather", kind="mqtt", driver=Board(loop))
    hub.on("started", lambda: put_in(hub, weather))
    hub.tell("started")
    settle(hub)
    assert said(caplog) == []


def test_new_rules_take_the_place_of_the_old_ones(rules, reads, board, hub, later):
    rules(HOT | {"lasting": 60.0})
    reads("26")
    rules({"thing": "porch", "field": "temperature", "above": Decimal(50), "set": {"porch": LIGHT}})
    later(61)
    settle(hub)
    assert board.written == []


def test_a_rule_that_stays_as_it_is_goes_on_where_it_was_when_others_are_new(rules, reads, board, later, hub, ann):
    heat, slow = HOT | {"tell": ["ann@hub.local"]}, HOT | {"set": {"porch": {"fade": 9}}, "lasting": 60.0}
    rules(heat, slow)
    reads("26")
    board.written.clear()
    later(30)
    rules(HOT | {"name": "new", "above": Decimal(50)}, heat, slow)
    assert board.written == [], "somebody may have switched it off since"
    later(31)
    settle(hub)
    assert board.written == [("fade", "9")]
    reads("24", "26")
    assert board.written[1:] == [("lamp", "true")], "it is there once"
    assert "above 25" in "".join(ann.heard)


def test_each_of_two_equal_rules_stays_and_what_is_only_nearly_equal_is_new(rules, reads, hub):
    flag = {"thing": "porch", "field": "lamp", "set": {"porch": {"fade": 1}}}
    rules(HOT, HOT, flag | {"equals": 1})
    before = [state for states in hub.need("rules").states.values() for state in states]
    rules(flag | {"equals": True}, HOT, HOT)
    after = [state for states in hub.need("rules").states.values() for state in states]
    assert {id(state) for state in after[1:]} == {id(state) for state in before[:2]}
    assert after[0].rule.equals is True
    assert [state.name for state in after] == ["rule 1", "rule 2", "rule 3"]


@pytest.mark.parametrize(("lasting", "still"), [(0.0, 30), (10.0, 20), (60.0, 0)])
def test_what_is_gone_at_the_start_and_stays_so_is_told(rules, hub, porch, ann, later, lasting, still):
    unopened(porch)
    rules({"thing": "porch", "gone": True, "lasting": lasting, "tell": ["ann@hub.local"]})
    if lasting:
        later(lasting + 0.1)
    if still:
        later(still - 5)
        assert "gone" not in "".join(ann.heard)
        later(5)
    assert "".join(ann.heard).count("<body>Porch is gone.</body>") == 1


def test_what_is_gone_at_the_start_and_comes_soon_is_not_told(rules, hub, porch, ann, later):
    unopened(porch)
    rules({"thing": "porch", "gone": True, "tell": ["ann@hub.local"]})
    later(25)
    porch._turn(online=True, reason="")
    later(60)
    assert "gone" not in "".join(ann.heard)
    porch._turn(online=False, reason="USB cable gone")
    assert "Porch is gone." in "".join(ann.heard)


def test_nothing_is_set_for_what_is_gone_at_the_start_and_comes_soon(rules, hub, porch, caplog, later, board, loop):
    attic = put_in(hub, Thing(jid=parse("attic@hub.local"), label="Attic", kind="script", driver=Board(loop)))
    rules({"thing": "attic", "gone": True, "set": {"porch": LIGHT}})
    attic.described()
    settle(hub)
    later(25)
    attic._turn(online=True, reason="")
    later(60)
    settle(hub)
    assert board.written == []
    attic._turn(online=False, reason="USB cable gone")
    settle(hub)
    assert board.written == [("lamp", "true")]


def test_what_is_gone_at_the_start_and_stays_so_sets_things(rules, hub, porch, later, board):
    unopened(porch)
    attic = put_in(hub, Thing(jid=parse("attic@hub.local"), label="Attic", kind="script", driver=board))
    attic.online = True
    rules({"thing": "porch", "gone": True, "set": {"attic": LIGHT}})
    assert board.written == []
    later(TO_COME)
    settle(hub)
    assert board.written == [("lamp", "true")]


def test_what_a_rule_wants_and_the_thing_does_not_have_is_said_once(rules, porch, hub, caplog):
    rules(
        HOT | {"name": "heat", "field": "temprature"},
        HOT | {"field": "x", "set": {"porch": {"lmap": True, "fade": 5000, "lamp": True}, "hub": {"zzz": 1}}},
    )
    has = "temperature, humidity, lamp, water, serial"
    mistakes = [
        "rule heat: porch@hub.local has no field 'temprature'; did you mean 'temperature'?",
        f"rule 2: porch@hub.local has no field 'x'; there are {has}",
        "rule 2: porch@hub.local has no control 'lmap'; did you mean 'lamp'?",
        "rule 2: porch@hub.local cannot have fade=5000: Fade: a whole number from 0 to 4095.",
    ]
    assert said(caplog) == mistakes
    porch._turn(online=False, reason="gone")
    porch._turn(online=True, reason="")
    machine = hub.things[parse(MYSELF)]
    machine._turn(online=True, reason="")
    assert [text for text in said(caplog) if text.startswith("rule")] == [
        *mistakes,
        "rule 2: hub@hub.local has no control 'zzz'; there are fade, lamp, mode",
    ]


@pytest.mark.parametrize(
    ("field", "never", "wanted"),
    [("lamp", "on", "true or false."), ("temperature", "warm", "a number."), ("temperature", True, "a number.")],
)
def test_a_condition_that_a_field_cannot_fulfil_is_said(rules, porch, caplog, field, never, wanted):
    rules({"thing": "porch", "field": field, "equals": never, "tell": ["ann@hub.local"]})
    shown = "true" if never is True else never
    assert said(caplog) == [f"rule 1: '{field} is {shown}' is never so: {field} of porch@hub.local is {wanted}"]


@pytest.mark.parametrize(
    ("field", "value"), [("lamp", False), ("lamp", "true"), ("lamp", 1), ("temperature", 21), ("temperature", "21.0")]
)
def test_a_condition_that_a_field_can_fulfil_is_no_mistake(rules, porch, caplog, field, value):
    rules({"thing": "porch", "field": field, "equals": value, "tell": ["ann@hub.local"]})
    assert said(caplog) == []


def test_what_has_no_controls_at_all_is_said_too(rules, porch, hub, loop, board, caplog):
    board.controls = ()
    loop.call_soon(porch.described)
    settle(hub)
    rules(HOT | {"thing": MYSELF})
    assert said(caplog) == ["rule 1: porch@hub.local has no control 'lamp'; there are none"]


def test_what_a_rule_did_elsewhere_stands_in_the_audit_of_what_it_looks_at(rules, reads, lines, hub, ann, porch):
    people = ["ann@hub.local", "ben@hub.local"]
    rules(HOT | {"name": "heat", "set": {"attic": LIGHT, "porch": LIGHT}, "tell": people}, HOT)
    reads("24", "26")
    assert set(lines()) == {
        ("porch@hub.local", "rule: heat", "set attic: lamp=true", "failed: there is no such thing"),
        ("porch@hub.local", "rule: heat", "lamp=true", "done"),
        ("porch@hub.local", "rule: heat", "told ann@hub.local, ben@hub.local", "done"),
        ("porch@hub.local", "rule: 2", "lamp=true", "done"),
    }
    assert lines("attic@hub.local") == [
        ("porch@hub.local", "rule: heat", "lamp=true", "failed: there is no such thing")
    ]


def test_what_was_set_at_another_home_stands_in_the_audit_of_what_it_looks_at(
    rules, reads, lines, hub, remote, monkeypatch
):
    monkeypatch.setattr("node.things.rules.far.DEADLINE", 0.01)
    rules(HOT | {"name": "heat", "set": {FAR: LIGHT}}, {"thing": FAR, "gone": True, "set": {"porch": LIGHT}})
    reads("24", "26")
    (line,) = lines()
    assert line[:3] == ("porch@hub.local", "rule: heat", f"set {FAR}: lamp=true")
    hub.need("rules").seen(FAR, True, {})
    hub.need("rules").seen(FAR, False, {})
    settle(hub)
    assert lines()[1][0] == FAR
    assert lines("stove@hub.local") == []


def test_a_rule_without_a_name_is_called_by_its_number(rules, reads, caplog):
    caplog.set_level("INFO")
    rules(HOT | {"set": {"attic": LIGHT}})
    reads("24", "26")
    assert "rule 1: porch@hub.local, temperature above 25" in caplog.text
    assert "rule 1: lamp=true of attic@hub.local failed" in caplog.text
    assert "rule rule" not in caplog.text


# Things of other nodes


@pytest.fixture
def stove(hub, rules, remote, monkeypatch):
    """A rule that follows a far thing, and that thing's words."""
    monkeypatch.setattr("node.things.rules.far.DEADLINE", 0.05)  # nobody answers here
    rules({"name": "warm", "thing": FAR, **WARM})
    hub.tell("started")
    (asked,) = heard(hub, remote)
    assert (asked.type, asked.sender, asked.to) == ("subscribe", MYSELF, FAR)
    assert "<nick xmlns='http://jabber.org/protocol/nick'>The machine</nick>" in repr(asked), "XEP-0172"

    def says(*children, name="presence", type=None, to=MYSELF, **more):
        hub.route(Stanza(name, *children, type=type, sender=FAR.with_resource("hw"), to=parse(to), **more), object())
        return heard(hub, remote)

    return says


def heard(hub, remote):
    """What has gone out, while it may still wait for an answer."""

    async def turns():
        for _ in range(5):
            await asyncio.sleep(0)

    hub.loop.run_until_complete(turns())
    sent, remote.sent = remote.sent, []
    return sent


def heat(value):
    return E("resp", SD, E("ts", SD, E("q", SD, n="heat", v=value), v="2026-11-22T14:02:11Z"), id="rules")


def test_a_far_thing_is_followed_and_its_readings_subscribed_to(stove, board):
    (iq,) = stove()
    assert (iq.type, iq.sender, iq.to) == ("set", f"{MYSELF}/hw", f"{FAR}/hw")
    assert iq.payload.ns == "urn:nf:iot:events:1.0"
    assert [each.get("n") for each in iq.payload.findall("f")] == ["heat"]
    stove(heat("40"), name="message", to=f"{MYSELF}/hw")
    stove(heat("60"), name="message", to=f"{MYSELF}/hw")
    assert board.written == [("lamp", "true")]
    assert stove(E("body", None, "Hello, I am Stove."), name="message", type="chat") == [], "it is not talked to"


def test_a_far_thing_of_a_new_rule_is_followed_and_one_of_no_rule_is_left(stove, hub, rules, remote, ann):
    stove()
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"]}, {"thing": "oven@cabin.example", **WARM})
    sent = heard(hub, remote)
    assert [(each.type, each.to) for each in sent if each.name == "presence"] == [("subscribe", "oven@cabin.example")]
    stove(type="unavailable")
    assert f"{FAR} is gone." in "".join(ann.heard), "that it was there was known before"
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"]})
    (left,) = heard(hub, remote)
    assert (left.type, left.to) == ("unsubscribe", "oven@cabin.example")
    stove()
    rules()
    rules({"thing": FAR, **WARM})
    assert [each.type for each in heard(hub, remote)] == ["unsubscribe", "subscribe"], "where it is it has to say anew"


def test_a_far_thing_that_tells_nothing_any_more_is_subscribed_to_again_and_else_it_is_gone(
    stove, hub, rules, remote, later, ann
):
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"]}, {"thing": FAR, **WARM})
    (iq,) = stove()
    hub.route(iq.reply(), object())
    settle(hub)
    stove(heat("40"), name="message", to=f"{MYSELF}/hw")
    later(AGAIN)
    assert heard(hub, remote) == [], "it has told its readings"
    later(AGAIN)
    (iq,) = heard(hub, remote)  # its node was started anew without a word, maybe
    assert iq.payload.name == "subscribe"
    settle(hub)
    assert f"{FAR} is gone." in "".join(ann.heard)
    later(AGAIN)
    (presence,) = heard(hub, remote)
    assert (presence.type, presence.to) == ("subscribe", FAR), "it may be back, or the first question was lost"
    (iq,) = stove()
    assert iq.payload.name == "subscribe"


def test_a_far_thing_whose_going_is_all_that_matters_is_asked_whether_it_lives(stove, hub, rules, remote, later, ann):
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"]})
    assert stove() == []
    later(AGAIN)
    (ping,) = heard(hub, remote)
    assert (ping.type, ping.payload.ns) == ("get", "urn:xmpp:ping")
    hub.route(ping.reply(), object())
    settle(hub)
    assert "gone" not in "".join(ann.heard)


def test_a_far_thing_that_refuses_is_not_gone(stove, hub, rules, remote, ann):
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"]}, {"thing": FAR, **WARM})
    (iq,) = stove()
    hub.route(iq.error(StanzaError("resource-constraint")), object())
    settle(hub)
    assert "gone" not in "".join(ann.heard)


def test_who_does_not_let_us_follow_is_not_asked_every_ten_minutes(stove, hub, remote, later):
    stove(type="unsubscribed")
    later(AGAIN)
    assert heard(hub, remote) == []
    stove()
    stove(type="unavailable")
    later(AGAIN)
    assert [each.type for each in heard(hub, remote)] == ["subscribe"], "now he does"


def test_nothing_is_asked_when_the_node_has_stopped(stove, hub, remote, later):
    stove()
    hub.tell("stopping")
    heard(hub, remote)
    later(AGAIN)
    assert heard(hub, remote) == []


def test_a_far_thing_that_comes_back_is_subscribed_to_anew(stove):
    assert len(stove()) == 1
    assert stove() == []
    assert stove(type="unavailable") == []
    assert len(stove()) == 1


def test_a_far_thing_that_shows_itself_and_tells_no_readings_is_subscribed_to_anew(stove, hub, remote, later):
    (iq,) = stove()
    hub.route(iq.reply(), object())
    settle(hub)
    assert stove() == []
    stove(heat("40"), name="message", to=f"{MYSELF}/hw")
    later(SOON)
    assert heard(hub, remote) == []
    assert stove() == stove() == []
    later(SOON)
    (iq,) = heard(hub, remote)  # its node was killed and is there again
    assert iq.payload.name == "subscribe"
    hub.route(iq.reply(), object())
    settle(hub)
    assert stove() == stove(type="unavailable") == []
    later(SOON)
    assert heard(hub, remote) == []


def test_a_far_thing_that_is_followed_may_say_and_may_not_ask(stove):
    (answer,) = stove(E("query", "jabber:iq:version"), name="iq", type="get", id="1")
    assert answer.type == "error"


def test_a_far_thing_that_is_followed_is_a_stranger_to_all_other_things(stove):
    (answer,) = stove(E("body", None, "status"), name="message", type="chat", to="porch@hub.local")
    assert answer.type == "error"
    assert stove(type="probe", to="porch@hub.local") == []


def test_far_things_may_speak_of_what_was_asked_only_and_while_they_are_there(stove, hub, rules, board):
    cold = {"field": "cold", "above": Decimal(50), "set": {"porch": {"fade": 1}}}
    rules({"thing": FAR, **WARM})
    stove(heat("60"), name="message", to=f"{MYSELF}/hw")
    assert board.written == [], "it has not said that it is there"
    stove()
    hub.need("rules").states[FAR][0].rule = Rule(thing=FAR, **cold)
    other = E("resp", SD, E("ts", SD, E("q", SD, n="cold", v="60"), v="2026-11-22T14:02:11Z"), id="rules")
    stove(other, name="message", to=f"{MYSELF}/hw")
    assert board.written == [], "of that we do not want to hear"


def test_what_a_far_thing_says_is_cut(stove, hub):
    stove()
    seen = hub.need("rules").far.seen = Seen()
    stove(heat("x" * 5000), name="message", to=f"{MYSELF}/hw")
    assert len(seen.values["heat"]) == TEXT_LIMIT


class Seen:
    """What the rules would have been told."""

    def __call__(self, source, online, values):
        self.values = values


def test_a_far_thing_that_is_gone_at_the_start_is_asked_again_before_that_counts(stove, later, rules, ann, board):
    rules({"thing": FAR, "gone": True, "tell": ["ann@hub.local"], "set": {"porch": LIGHT}})
    stove(type="error")
    later(AGAIN - 1)
    assert "gone" not in "".join(ann.heard), "our own way out may come up later than we do"
    assert board.written == []
    later(TO_COME + 1)
    assert f"{FAR} is gone." in "".join(ann.heard)


def test_what_a_far_thing_says_to_people_is_theirs(stove, hub, ann):
    stove(E("body", None, "Hello"), name="message", type="chat", to=ann.jid)
    stove(E("status", None, "warm"), to=ann.jid)
    heard = "".join(ann.heard)
    assert "Hello" in heard and "warm" in heard


@pytest.mark.parametrize(
    ("element", "condition", "text"),
    [
        (E("q", SD, n="heat", v="60.5", u="°C"), {"above": 50}, "heat is 60.5 °C (heat above 50)."),
        (E("q", SD, n="heat", v="60.5"), {"above": 50}, "heat is 60.5 (heat above 50)."),
        (E("b", SD, n="heat", v="true"), {"equals": True}, "heat is on."),
    ],
)
def test_what_a_far_thing_reads_is_told_with_its_unit(stove, rules, ann, element, condition, text):
    rules({"thing": FAR, "field": "heat", "tell": ["ann@hub.local"], **condition})
    stove()
    stove(E("resp", SD, E("ts", SD, element, v="2026-11-22T14:02:11Z")), name="message", to=f"{MYSELF}/hw")
    assert bodies(ann) == [f"{FAR}: {text}"]


def test_a_far_thing_may_ask_to_follow_as_all_may(stove, hub):
    stove(type="subscribe")
    settle(hub)
    assert hub.need("followers").waiting(hub.things[parse(MYSELF)]) == [FAR]


def test_of_others_nothing_is_let_in(hub, stove, remote, board):
    eve = parse("eve@cabin.example/hw")
    hub.route(Stanza("message", heat("60"), sender=eve, to=parse(f"{MYSELF}/hw")), object())
    assert remote()[0].type == "error"
    assert board.written == []


def test_a_far_thing_is_set_by_iq_and_its_answer_stands_in_the_audit(hub, rules, porch, remote, lines):
    controls = {"power": False, "level": 3, "target": Decimal("21.50"), "mode": "eco"}
    rules(HOT | {"name": "heat", "set": {FAR: controls}})
    porch.report({"temperature": "26"})
    (iq,) = [each for each in heard(hub, remote) if each.name == "iq"]
    assert [(each.name, each.get("n"), each.get("v")) for each in iq.payload.elements] == [
        ("b", "power", "false"),
        ("i", "level", "3"),
        ("db", "target", "21.50"),
        ("s", "mode", "eco"),
    ]
    hub.route(iq.reply(E("resp", "urn:nf:iot:ctr:1.0")), object())
    settle(hub)
    (line,) = lines("hub@hub.local")
    assert line[1:] == ("rule: heat", f"{FAR}: power=false, level=3, target=21.50, mode=eco", "done")


def test_a_far_thing_that_does_not_answer_fails_within_the_deadline(hub, rules, porch, monkeypatch, remote, lines):
    monkeypatch.setattr("node.things.rules.far.DEADLINE", 0.01)
    rules(HOT | {"set": {FAR: LIGHT}})
    porch.report({"temperature": "26"})
    settle(hub)
    assert "did not answer" in lines("hub@hub.local")[0][-1]


# The configuration


def test_rules_in_the_file(tmp_path):
    path = tmp_path / "home.toml"
    path.write_text("""
domain = "home.example"
[[rule]]
thing = "porch"
field = "temperature"
above = 25.50
lasting = 600
set.hall = { lamp = true, level = 3 }
set."stove@cabin.example" = { power = false }
[[rule]]
thing = "porch"
gone = true
tell = ["ann@home.example"]
""")
    first, second = load(path).rules
    assert first.set == {"hall": {"lamp": True, "level": 3}, "stove@cabin.example": {"power": False}}
    assert (str(first.above), first.lasting) == ("25.50", 600.0)
    assert second.gone


def test_two_rules_of_one_name_could_not_be_told_apart(mistake):
    rule = "[[rule]]\nname = 'heat'\nthing = 'porch'\ngone = true\ntell = ['ann@home.example']\n"
    assert "two rules have the name 'heat'" in mistake(rule + rule)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("thing = 'a'\nset.a = { lamp = true }\nfield = 'x'", "needs one condition"),
        ("thing = 'a'\nfield = 'x'\nabove = 1\nbelow = 2\ntell = []", "needs one condition"),
        ("thing = 'a'\nabove = 1\ntell = ['a@b']", "needs 'field'"),
        ("thing = 'a'\nfield = 'x'\nabove = 1", "needs 'set' or 'tell'"),
        ("thing = 'a'\nfield = 'x'\nabove = 1\ntell = ['a b']", "tell: 'a b' is no"),
        (
            "thing = 'a'\nfield = 'x'\nabove = 1\ntell = ['a@b']\nsay = '{what}'",
            "say knows {thing}, {field} and {value}",
        ),
        ("thing = 'a'\nfield = 'x'\nabov = 1", "did you mean 'above'?"),
        ("thing = 'a'\nfield = 'x'\nabove = 1\nset.a = { lamp = [1] }", "must be a text, a number, true or false"),
        (f"thing = 'a'\nfield = 'x'\nabove = 1\n{SCENE}", "can set at most 16 things"),
        ("thing = 'a b'\nfield = 'x'\nabove = 1\ntell = ['a@b']", "thing: 'a b' is no"),
        ("thing = 'a'\nfield = 'x'\nabove = 1\nset.'a b' = { lamp = true }", "thing: 'a b' is no"),
        ("thing = 'a@b@c'\nfield = 'x'\nabove = 1\ntell = ['a@b']", "thing: 'a@b@c' is no address"),
    ],
)
def test_a_mistake_in_a_rule_is_said(mistake, text, said):
    assert said in mistake(f"[[rule]]\n{text}")


def test_a_thing_that_is_put_in_later_is_seen_too(hub, rules, loop, run):
    rules({"thing": "attic", "field": "lamp", "equals": True, "set": {"porch": LIGHT}})
    attic = put_in(hub, Thing(jid=parse("attic@hub.local"), label="Attic", kind="script", driver=Board(loop)))
    attic.online = True
    attic.report({"lamp": "true"})
    settle(hub)
    assert hub.things[parse("porch@hub.local")].readings["lamp"].value == "true"
