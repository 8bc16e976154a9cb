"""Who watches a thing is told once when something is so, once when it ends, and otherwise nothing."""

import re
import time
from decimal import Decimal

import pytest

from node.hub import people
from node.hub.store import StoreError
from node.hub.thing import Reading
from node.things import watches as file
from node.things.access import Options
from node.things.rules import Rule, Rules
from node.things.watches import talk
from node.things.watches.wish import Wish, exactly, roughly
from tests.things.conftest import until
from tests.things.test_chat import ask, said
from tests.things.test_commands import run as command
from tests.things.test_commands import submit
from tests.things.test_rules import unopened

SAYS = "\nYou can say: mute 2h · status"
CLOCK = r"(?:\d+ \w+ )?\d\d:\d\d"  # before midnight with the day of tomorrow


@pytest.fixture
def watches(hub):
    return hub.need("watches")


@pytest.fixture
def clock(porch, later):
    """`clock(60)`: a minute has passed, also on the wall."""
    ahead = 0

    def clock(seconds):
        nonlocal ahead
        ahead += seconds
        porch.now = lambda: time.time() + ahead
        later(seconds)

    return clock


def told(person):
    """The texts of the messages that came, without what can be said to them."""
    return [said(each).removesuffix(SAYS) for each in alarms(person)]


def alarms(person):
    return [each for each in person.heard if "<message" in each]


def id_of(message):
    return re.search("<message[^>]* id='([^']*)'", message)[1]


def restarted(hub, porch):
    """The watches as the next node reads them; this one has stopped."""
    hub.loop.run_until_complete(hub.store.things.committed())
    hub.need("watches").stop()
    porch._listeners[:] = [
        each for each in porch._listeners if getattr(each, "__self__", None) is not hub.need("watches")
    ]
    fresh = file.Watches(hub)
    porch.on_change(fresh.changed)
    return fresh


# What is asked for


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("watch temperature above 25", "temperature above 25 °C"),
        ("Watch Temperature goes above 25,5 °C!", "temperature above 25.5 °C"),
        ("watch temperature > 25C", "temperature above 25 °C"),
        ("watch temperature below -5 for 5 min", "temperature below -5 °C for 5 min"),
        ("tell me when temperature is under 5 for at least 2 hours", "temperature below 5 °C for 2 h"),
        ("watch temperature change 1", "temperature changes by 1 °C"),
        ("watch temperature changes by 0.5 °C", "temperature changes by 0.5 °C"),
        ("watch humidity over 60 %", "humidity above 60 %"),
        ("watch lamp", "lamp changes"),
        ("watch lamp on", "lamp is on"),
        ("watch lamp is off for 90 s", "lamp is off for 90 s"),
        ("tell me when lamp closes for 2 weeks", "lamp is off for 14 d"),
        ("watch lamp opens", "lamp is on"),
        ("watch serial B2", "serial is B2"),
        ("watch gone", "gone"),
        ("watch offline for 10 minutes", "gone for 10 min"),
    ],
)
def test_what_is_watched_is_said_again_in_the_same_words(ben, text, wish):
    assert ask(ben, text) == [f"I tell you: {wish} (watch 1)."] or "is so already" in ask(ben, "watches")[0]
    assert ask(ben, "watches") == [f"1: {wish}"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("watch", "You watch nothing here. Say for example: watch temperature above 25, watch gone for 10 min"),
        ("watch temperature", "When? Say for example: watch temperature above 25"),
        ("watch temperature 25", "When? Say for example: watch temperature above 25"),
        ("watch temperature change", "When? Say for example: watch temperature above 25"),
        ("watch temperature change 0.0", "By how much? Say for example: watch temperature change 1"),
        ("watch temperature above 25 %", "Temperature is in °C."),
        ("watch lamp above 2", "Lamp is no number. Say for example: watch lamp on"),
        ("watch lamp green", "Lamp is on or off."),
        ("watch moon", "I do not know “moon”. I can watch: temperature, humidity, lamp, water, serial, gone."),
        ("unwatch 1", "You watch nothing here."),
        ("mute", "You watch nothing here: I say nothing unless you ask me."),
        ("unmute", "Nothing is muted."),
    ],
)
def test_what_cannot_be_watched_is_explained(ben, watches, porch, text, answer):
    assert ask(ben, text) == [answer]
    assert not watches.of(porch, ben.jid)


def test_help_tells_of_watches(ben):
    examples = "watch temperature above 25, watch gone for 10 min"
    assert f"{examples}: I tell you when it is so, once a minute at most\n" in ask(ben, "help")[0]
    assert "unwatch" not in ask(ben, "help")[0]
    ask(ben, "watch gone")
    assert "watches, unwatch 1, unwatch all, mute 2h, mute, unmute" in ask(ben, "help")[0]


def test_watches_have_numbers_that_stay(ben):
    for text in ("watch gone", "watch lamp", "watch temperature above 25"):
        ask(ben, text)
    assert ask(ben, "unwatch 2") == ["No longer: lamp changes."]
    assert ask(ben, "watches") == ["1: gone\n3: temperature above 25 °C"]
    assert ask(ben, "unwatch 2") == ["You have no watch 2. Say watches to see yours."]
    assert ask(ben, "watch gone") == ["You watch that already: 1: gone."]
    assert "(watch 2)" in ask(ben, "watch humidity above 60")[0]
    assert "No longer: gone, humidity above 60 %, temperature" in ask(ben, "unwatch all")[0]
    assert "You watch nothing here" in ask(ben, "watches")[0]


def test_a_stranger_watches_nothing(person, porch, watches):
    eve = person("eve@hub.local/x")
    assert (
        "service-unavailable"
        in eve.says("<message to='porch@hub.local' id='1'><body>watch gone</body></message>").heard[0]
    )
    assert not watches.kept


# By the command


def test_alert_me_asks_and_is_hidden_from_who_may_not_read(ann, ben, person, porch):
    shown = command(ben, "watch")
    for text in ("<option label='temperature'>", "<option label='goes above'>", "var='value'", "var='for'"):
        assert text in shown
    answers = submit(field="temperature", condition="above", value="25 °C", **{"for": "5 min"})
    done = command(ben, "watch", inner=answers)
    assert "I tell you: temperature above 25 °C for 5 min (watch 1)." in done
    assert "completed" in done
    assert "I tell you: gone (watch 2)." in command(ben, "watch", inner=submit(condition="gone", field="lamp"))
    assert "service-unavailable" in command(person("eve@hub.local/x"), "watch")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"field": "temperature", "condition": "above", "value": "warm"}, "“warm” is no number."),
        ({"field": "temperature", "condition": "above"}, "“” is no number."),
        ({"field": "temperature", "condition": "any"}, "When? Say for example"),
        ({"field": "lamp", "condition": "is"}, "Which value?"),
        ({"condition": "gone", "for": "long"}, "For how long? Such as: 10 min"),
    ],
)
def test_what_the_form_does_not_make_clear_is_refused(ben, answers, text):
    refusal = command(ben, "watch", inner=submit(**answers))
    assert "<bad-payload" in refusal
    assert text in refusal


# Alarms


def test_an_alarm_comes_once_and_its_end_once(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    porch.report({"temperature": "25.0"})
    assert told(ben) == []
    porch.report({"temperature": "25.4"})
    assert told(ben) == ["⚠ Temperature is 25.4 °C (above 25)"]
    clock(60)
    porch.report({"temperature": "25.9"})
    clock(600)
    porch.report({"temperature": "24.8"})  # not lower by the deadband of 0.3
    assert told(ben) == []
    clock(60)
    porch.report({"temperature": "23.9"})
    assert told(ben) == ["Temperature is 23.9 °C again. It was above 25 for 12 min."]
    clock(600)
    porch.report({"temperature": "20.1"})
    assert told(ben) == []


def test_without_a_deadband_a_value_comes_back_by_two_percent(ben, porch, clock):
    ask(ben, "watch humidity below 50 %")
    ask(ben, "unwatch all")
    porch.report({"humidity": "60"})
    ask(ben, "watch humidity below 50 %")
    porch.report({"humidity": "49"})
    assert told(ben) == ["⚠ Humidity is 49 % (below 50)"]
    clock(60)
    porch.report({"humidity": "50"})
    assert told(ben) == []
    porch.report({"humidity": "51"})
    assert told(ben) == ["Humidity is 51 % again. It was below 50 for 1 min."]


def test_what_is_so_already_is_told_when_it_ends(ben, porch):
    assert ask(ben, "watch temperature above 20") == [
        "I tell you: temperature above 20 °C (watch 1). That is so already: I tell you when it ends."
    ]
    porch.report({"temperature": "22.0"})
    assert told(ben) == []
    porch.report({"temperature": "19.0"})
    assert told(ben) == ["Temperature is 19.0 °C again."]


def test_a_condition_may_have_to_last(ben, porch, clock):
    ask(ben, "watch temperature above 25 for 5 min")
    porch.report({"temperature": "26.0"})
    clock(299)
    assert told(ben) == []
    porch.report({"temperature": "24.9"})  # hysteresis is for the end only
    porch.report({"temperature": "25.1"})
    clock(299)
    assert told(ben) == []
    clock(1)
    assert told(ben) == ["⚠ Temperature is 25.1 °C (above 25 for 5 min)"]


def test_what_is_so_already_and_has_to_last_needs_no_other_reading(ben, clock):
    ask(ben, "watch temperature above 20 for 5 min")
    clock(300)
    assert told(ben) == ["⚠ Temperature is 21.40 °C (above 20 for 5 min)"]


def test_each_change_has_to_last_for_itself(ben, porch, clock):
    ask(ben, "watch lamp for 5 min")
    porch.report({"lamp": "true"})
    clock(300)
    assert told(ben) == ["Lamp is on (it was off)"]
    porch.report({"lamp": "false"})
    clock(299)
    assert told(ben) == []
    clock(1)
    assert told(ben) == ["Lamp is off (it was on 5 min ago)"]


def test_the_first_reading_is_no_change(ben, porch):
    ask(ben, "watch water")
    porch.report({"water": "false"})
    assert told(ben) == []
    porch.report({"water": "true"})
    assert told(ben) == ["Water is found (it was none)"]


def test_of_a_text_capitals_do_not_matter(ben, porch):
    ask(ben, "watch serial b2")
    porch.report({"serial": "B2"})
    assert told(ben) == ["⚠ Serial is B2"]


def test_a_change_is_measured_from_the_value_told_last(ben, porch, clock):
    ask(ben, "watch temperature change 1")
    porch.report({"temperature": "22.3"})
    assert told(ben) == []
    porch.report({"temperature": "22.4"})
    assert told(ben) == ["Temperature is 22.4 °C (it was 21.40 °C)"]
    clock(720)
    porch.report({"temperature": "21.5"})
    assert told(ben) == []
    porch.report({"temperature": "21.4"})
    assert told(ben) == ["Temperature is 21.4 °C (it was 22.4 °C 12 min ago)"]


def test_what_is_on_or_off_is_watched_for_any_change_or_for_one(ann, ben, porch, clock):
    ask(ben, "watch lamp")
    ask(ann, "watch lamp on for 10 min")
    porch.report({"lamp": "true"})
    assert told(ben) == ["Lamp is on (it was off)"]
    clock(600)
    (message,) = told(ann)
    assert message == f"⚠ Lamp is on for 10 min{SAYS} · lamp off"
    porch.report({"lamp": "false"})
    assert told(ben) == ["Lamp is off (it was on 10 min ago)"]
    clock(60)
    assert told(ann) == ["Lamp is off again. It was on for 10 min."]


def test_a_thing_that_is_gone_and_back(hub, ben, porch, board, clock):
    ask(ben, "watch gone")
    board.pull("USB cable gone")
    until(hub, lambda: not porch.online)
    (message,) = told(ben)
    assert re.fullmatch(rf"⚠ Porch is offline since {CLOCK}: USB cable gone", message)
    clock(120)
    porch._turn(online=True, reason="")
    assert told(ben) == ["Porch is back. It was offline for 2 min."]


def test_gone_for_a_time_is_not_gone_for_a_moment(ben, porch, clock):
    ask(ben, "watch gone for 10 min")
    porch._turn(online=False, reason="cable")
    clock(599)
    porch._turn(online=True, reason="")
    clock(599)
    assert told(ben) == []
    porch._turn(online=False, reason="cable")
    clock(600)
    assert len(told(ben)) == 1


@pytest.mark.parametrize(("text", "when"), [("watch gone", 30), ("watch gone for 10 min", 630)])
def test_what_was_not_there_since_the_start_is_gone_when_it_had_the_time_to_come(hub, ben, porch, clock, text, when):
    ask(ben, text)
    restarted(hub, porch)
    unopened(porch)
    clock(25)
    porch.described()
    assert told(ben) == []
    clock(5)
    clock(when - 30)
    (message,) = told(ben)
    assert "Porch is offline" in message


def test_what_comes_soon_after_the_start_was_never_gone(hub, ben, porch, clock):
    ask(ben, "watch gone")
    restarted(hub, porch)
    unopened(porch)
    porch.described()
    porch._turn(online=True, reason="")
    clock(700)
    assert told(ben) == []
    porch._turn(online=False, reason="cable")
    assert len(told(ben)) == 1


def test_what_cannot_be_seen_does_not_last(ben, porch, clock):
    ask(ben, "watch temperature above 25 for 5 min")
    porch.report({"temperature": "26.0"})
    clock(200)
    porch._turn(online=False, reason="cable")
    clock(200)
    assert told(ben) == []
    porch._turn(online=True, reason="")  # a driver that is read: the value is as it was, and that is no news
    clock(299)
    assert told(ben) == []
    clock(1)
    assert told(ben) == ["⚠ Temperature is 26.0 °C (above 25 for 5 min)"]


def test_what_a_board_says_instead_of_a_number_alarms_nobody(ben, porch):
    ask(ben, "watch temperature above 25")
    ask(ben, "watch temperature change 1")
    for wish in (Wish("temperature", "above", "25", 0), Wish("temperature", "change", "1", 0)):
        for text in ("overheated", "nan", "sNaN", ""):
            assert not wish.holds(porch.fields["temperature"], text, "21.40")
    porch.report({"temperature": "overheated"})
    porch.report({"temperature": None})
    assert told(ben) == []


# Corrected instead of repeated (XEP-0308)


def test_what_is_news_within_five_minutes_corrects_the_message(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    messages = []
    for value in ("26.0", "23.0", "26.2"):
        porch.report({"temperature": value})
        messages += alarms(ben)
        clock(60)
    first, end, second = messages
    assert "<replace" not in first
    assert f"<replace xmlns='urn:xmpp:message-correct:0' id='{id_of(first)}'/>" in end
    assert f"<replace xmlns='urn:xmpp:message-correct:0' id='{id_of(first)}'/>" in second, (
        "the original's, not the last's"
    )
    assert len({id_of(each) for each in messages}) == 3
    assert said(end) == "Temperature is 23.0 °C again. It was above 25 for 1 min."
    assert re.match(rf"⚠ Temperature is 26.2 °C \(above 25, 2 times since {CLOCK}\)\n", said(second))
    clock(121)
    porch.report({"temperature": "23.0"})
    (later,) = alarms(ben)
    assert "<replace" not in later, "five minutes after the original it is news"


def test_a_message_that_is_not_the_last_any_more_is_not_corrected(ann, ben, hub, porch, clock):
    ask(ben, "watch temperature above 25")
    ask(ann, "watch temperature above 25")
    porch.report({"temperature": "26.0"})
    ask(ben, "status")
    clock(60)
    porch.report({"temperature": "23.0"})
    assert "<replace" not in alarms(ben)[-1]
    assert "<replace" in alarms(ann)[-1], "what is said to others does not matter"


def test_what_it_says_by_itself_counts_as_the_last_message_too(ann, person, porch, clock):
    ask(ann, "watch temperature above 25")
    porch.report({"temperature": "26.0"})
    person("kim@hub.local/x").says("<presence to='porch@hub.local' type='subscribe'/>")
    assert "kim@hub.local would like to follow me." in told(ann)[-1]
    clock(60)
    porch.report({"temperature": "23.0"})
    assert "<replace" not in alarms(ann)[-1]


def test_what_a_rule_tells_counts_as_well(hub, ann, porch, clock):
    Rules(hub, [Rule("porch", "humidity", above=Decimal(60), tell=["ann@hub.local"])])
    ask(ann, "watch temperature above 25")
    porch.report({"temperature": "26.0"})
    porch.report({"humidity": "70"})
    assert "humidity is 70 %" in told(ann)[-1]
    clock(60)
    porch.report({"temperature": "23.0"})
    assert "<replace" not in alarms(ann)[-1]


def test_of_two_watches_only_the_one_that_spoke_last_corrects(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    ask(ben, "watch humidity above 60")
    porch.report({"temperature": "26.0"})
    porch.report({"humidity": "70"})
    clock(60)
    assert len(alarms(ben)) == 2
    porch.report({"temperature": "23.0"})
    porch.report({"humidity": "40"})
    first, second = alarms(ben)
    assert "<replace" not in first
    assert "<replace" not in second


def test_a_watch_speaks_once_a_minute_at_most_and_then_says_how_it_is(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    for value in ("26.0", "23.0", "26.1", "23.1", "26.2"):
        porch.report({"temperature": value})
    assert told(ben) == ["⚠ Temperature is 26.0 °C (above 25)"]
    clock(60)
    assert told(ben) == [], "it is as it was told"
    porch.report({"temperature": "23.2"})
    porch.report({"temperature": "26.3"})
    clock(59)
    porch.report({"temperature": "22.9"})
    (end,) = told(ben)
    assert re.fullmatch(rf"Temperature is 23.2 °C again\. It was above 25 for 1 min, 3 times since {CLOCK}\.", end)
    clock(1)
    (passed,) = told(ben)
    assert re.fullmatch(rf"Temperature was above 25 for 59 s at {CLOCK}, 4 times since {CLOCK}\.", passed)


def press(porch, clock, seconds):
    porch.report({"lamp": "true"})
    clock(seconds)
    porch.report({"lamp": "false"})


def test_what_came_and_went_within_the_minute_is_told_after_it(ben, porch, clock):
    ask(ben, "watch lamp on")
    press(porch, clock, 3)
    (first,) = alarms(ben)
    clock(57)
    assert told(ben) == ["Lamp is off again. It was on for 3 s."]
    clock(7)
    press(porch, clock, 8)
    clock(44)
    assert told(ben) == []
    clock(1)
    (message,) = alarms(ben)
    assert f"id='{id_of(first)}'/>" in message
    assert "<response" not in message, "there is nothing to do"
    assert re.fullmatch(rf"Lamp was on for 8 s at {CLOCK}, 2 times since {CLOCK}\.", said(message))
    press(porch, clock, 8)
    assert told(ben) == [], "that was a message, too: the next one is a minute away"
    clock(52)
    assert len(told(ben)) == 1
    clock(10**4)
    assert told(ben) == [], "once"
    porch.report({"lamp": "true"})
    assert told(ben) == ["⚠ Lamp is on"]


def test_a_moment_that_is_no_correction_is_told_by_itself(ben, porch, clock):
    ask(ben, "watch lamp on")
    ask(ben, "watch gone")
    press(porch, clock, 301)
    told(ben)
    ask(ben, "status")
    press(porch, clock, 0)
    clock(60)
    (message,) = alarms(ben)
    assert "<replace" not in message
    assert re.fullmatch(rf"Lamp was on at {CLOCK}\.", said(message))
    for seconds in (60, 5):
        porch._turn(online=False, reason="cable")
        clock(seconds)
        porch._turn(online=True, reason="")
    clock(55)
    assert re.match(rf"Porch was offline for 5 s at {CLOCK}", told(ben)[-1])


def test_moments_are_counted_with_the_alarm_that_follows_and_with_the_end(ben, porch, clock):
    ask(ben, "watch lamp on")
    press(porch, clock, 3)
    press(porch, clock, 3)
    ask(ben, "status")
    told(ben)
    clock(54)
    assert re.search(rf"for 6 s, 2 times since {CLOCK}\.$", told(ben)[-1]), "although it corrects nothing"
    press(porch, clock, 3)
    porch.report({"lamp": "true"})
    clock(57)
    assert re.fullmatch(rf"⚠ Lamp is on \(4 times since {CLOCK}\)", told(ben)[-1])


def test_a_change_and_back_is_told_with_its_value(ben, porch, clock):
    ask(ben, "watch temperature change 1")
    porch.report({"temperature": "23.0"})
    told(ben)
    for value in ("24.5", "24.6", "23.1"):
        porch.report({"temperature": value})
        clock(8)
    clock(36)
    assert re.fullmatch(rf"Temperature was 24.6 °C for 16 s at {CLOCK}\.", told(ben)[0])
    porch.report({"temperature": "23.9"})
    clock(60)
    assert told(ben) == [], "it is measured from 23.0 as before"
    for value in ("24.0", "22.9", "24.1", "22.9", "24.1"):
        porch.report({"temperature": value})
    clock(60)
    assert re.fullmatch(rf"Temperature was 22.9 °C at {CLOCK}, 2 times since {CLOCK}\.", told(ben)[1])


def test_an_end_that_is_quicker_than_the_first_alarm_is_a_moment_too(ben, porch, clock, watches):
    ask(ben, "watch lamp on for 10 s")
    porch.report({"lamp": "true"})
    (watch,) = watches.of(porch, ben.jid)
    file.set_timer(watch, None)  # its time has come, but the loop is busy
    clock(10)
    porch.report({"lamp": "false"})
    press(porch, clock, 10)
    clock(60)
    first, second = told(ben)
    assert re.fullmatch(rf"Lamp was on for 10 s at {CLOCK}\.", first)
    assert re.fullmatch(rf"Lamp was on for 10 s at {CLOCK}, 2 times since {CLOCK}\.", second)


def test_a_moment_that_did_not_last_or_was_muted_is_not_told(ben, porch, clock):
    ask(ben, "watch lamp on for 10 s")
    press(porch, clock, 60)
    press(porch, clock, 1)
    clock(60)
    assert told(ben) == ["⚠ Lamp is on for 10 s", "Lamp is off again. It was on for 1 min."]
    press(porch, clock, 9)
    clock(60)
    assert told(ben) == []
    press(porch, clock, 60)
    clock(60)
    assert len(told(ben)) == 2
    press(porch, clock, 10)
    ask(ben, "mute 1 min")
    clock(100)
    assert told(ben) == []


def test_alarms_are_kept_for_who_is_not_there(ben, porch, hub):
    ask(ben, "watch temperature above 25")
    ben.leaves()
    porch.report({"temperature": "26.0"})
    ben = ben.__class__(hub, ben.jid)
    ben.says("<presence/>")
    (message,) = [each for each in ben.heard if "<body>" in each]
    assert "<store xmlns='urn:xmpp:hints'/>" in message
    assert "<delay" in message
    assert "type='chat'" in message
    assert "to='ben@hub.local' from='porch@hub.local/hw'" in message


def test_xep_0439_an_alarm_offers_answers_and_lists_them(ann, ben, porch, clock):
    ask(ben, "watch temperature above 25")
    porch.report({"temperature": "26.0"})
    (message,) = alarms(ben)
    assert (
        "<response xmlns='urn:xmpp:tmp:quick-response' value='mute 2h' label='Mute for two hours'/>"
        "<response xmlns='urn:xmpp:tmp:quick-response' value='status' label='Status'/>" in message
    )
    assert said(message).endswith("\nYou can say: mute 2h · status")
    clock(60)
    porch.report({"temperature": "20.0"})
    assert "<response" not in alarms(ben)[0], "there is nothing to do"
    ask(ann, "watch lamp on")
    ask(ben, "watch lamp on")
    porch.report({"lamp": "true"})
    assert "value='lamp off' label='Lamp off'/>" in alarms(ann)[0]
    assert "lamp off" not in alarms(ben)[0], "who may not control it"


# Mute


def test_who_has_muted_is_told_afterwards_what_is_still_so(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    ask(ben, "watch humidity above 60")
    assert re.fullmatch(rf"I tell you nothing until {CLOCK}\.", ask(ben, "mute 2h")[0])
    porch.report({"temperature": "26.0", "humidity": "70"})
    clock(3600)
    porch.report({"humidity": "50"})
    assert re.search(rf"\nAll is muted until {CLOCK}; say unmute to end that\.$", ask(ben, "watches")[0])
    clock(3599)
    assert told(ben) == []
    clock(2)
    assert told(ben) == ["⚠ Temperature is 26.0 °C (above 25)"]
    assert "muted" not in ask(ben, "watches")[0]


def test_mute_without_a_time_lasts_until_unmute_and_is_ones_own(ann, ben, porch, clock):
    for person in (ann, ben):
        ask(person, "watch temperature above 25")
    assert ask(ben, "mute") == ["I tell you nothing until you say unmute."]
    porch.report({"temperature": "26.0"})
    clock(10**6)
    assert told(ben) == []
    assert len(told(ann)) == 1
    assert "All is muted; say unmute" in ask(ben, "watch gone")[0]
    assert ask(ben, "unmute") == ["⚠ Temperature is 26.0 °C (above 25)" + SAYS, "I tell you again."]


def test_an_alarm_that_waits_for_its_minute_waits_for_unmute(ben, porch, clock):
    ask(ben, "watch temperature above 25")
    porch.report({"temperature": "26.0"})
    porch.report({"temperature": "20.0"})
    told(ben)
    ask(ben, "mute 10 min")
    clock(60)
    assert told(ben) == []
    clock(541)
    assert len(told(ben)) == 1


# Kept


def test_watches_outlive_the_node_and_repeat_no_alarm(hub, ann, ben, porch, clock):
    ask(ben, "watch temperature above 25")
    ask(ben, "watch temperature change 5")
    ask(ben, "watch gone for 10 min")
    ask(ann, "watch lamp")
    ask(ann, "mute")
    porch.report({"temperature": "26.0"})
    assert len(told(ben)) == 1
    fresh = restarted(hub, porch)
    assert [watch.wish.said(porch) for watch in fresh.of(porch, ben.jid)] == [
        "temperature above 25 °C",
        "temperature changes by 5 °C",
        "gone for 10 min",
    ]
    assert fresh.muted(porch, ann.jid) == float("inf")
    porch._turn(stale=True)
    porch._turn(stale=False)
    assert told(ben) == []
    porch.report({"temperature": "20.0"})
    assert told(ben) == ["Temperature is 20.0 °C again."]
    porch.report({"temperature": "16.4"})
    assert told(ben) == ["Temperature is 16.4 °C (it was 21.40 °C)"]


def test_what_came_before_the_restart_is_told_after_it(hub, ben, porch):
    ask(ben, "watch temperature above 25")
    ask(ben, "unwatch 1")
    ask(ben, "watch temperature below 10")
    porch.readings["temperature"] = Reading("5.0", time.time())  # while the node was away
    fresh = restarted(hub, porch)
    porch._turn(stale=True)
    assert told(ben) == []
    porch._turn(stale=False)
    assert told(ben) == ["⚠ Temperature is 5.0 °C (below 10)"]
    assert len(fresh.of(porch, ben.jid)) == 1


def test_a_watch_is_confirmed_when_it_is_kept(ben, hub, porch, watches, monkeypatch):
    async def full():
        raise StoreError("the disk is full")

    ask(ben, "watch lamp")
    monkeypatch.setattr(hub.store.things, "committed", full)
    assert ask(ben, "watch gone") == ["That did not work: That could not be kept: the disk is full"]
    assert [watch.wish.kind for watch in watches.of(porch, ben.jid)] == ["any"]
    assert "could not be kept" in ask(ben, "mute")[0]
    assert "could not be kept" in ask(ben, "unwatch 1")[0]


def test_a_disk_that_does_not_keep_up_is_said_in_words_and_changes_nothing(ben, hub, porch, watches, monkeypatch):
    def behind(*args):
        raise StoreError("the disk does not keep up")

    ask(ben, "watch lamp")
    monkeypatch.setattr(hub.store.things, "write", behind)
    for text in ("watch gone", "mute", "mute 2h", "unwatch 1"):
        assert ask(ben, text) == ["That did not work: That could not be kept: the disk does not keep up"], text
    assert watches.muted(porch, ben.jid) is None
    assert watches.of(porch, ben.jid) == []


def test_a_disk_that_does_not_keep_up_lets_nobody_watch_who_may_not(hub, ann, ben, porch, watches, monkeypatch, caplog):
    def behind(*args):
        raise StoreError("the disk does not keep up")

    for text in ("watch lamp", "watch temperature above 25"):
        ask(ben, text)
    monkeypatch.setattr(hub.store.things, "write", behind)
    hub.need("access").allow(Options(control=["ann@hub.local"]))
    ask(ann, "deny ben@hub.local")
    assert watches.of(porch, ben.jid) == []
    assert "Traceback" not in caplog.text


def test_what_a_thing_has_no_more_is_said_in_the_list(ben, porch):
    ask(ben, "watch humidity above 90")
    ask(ben, "watch gone")
    porch.fields = {name: field for name, field in porch.fields.items() if name != "humidity"}
    assert ask(ben, "watches") == ["1: humidity above 90 (I have no such reading now)\n2: gone"]


def test_who_may_read_no_longer_is_told_no_more(hub, ann, ben, porch, watches):
    access = hub.need("access")
    access.allow(Options(read=["ben@hub.local"], control=["ann@hub.local"]))
    ask(ben, "watch temperature above 25")
    ask(ann, "deny ben@hub.local")
    assert watches.of(porch, ben.jid), "he may still read it"
    access.allow(Options(control=["ann@hub.local"]))
    porch.report({"temperature": "26.0"})
    assert told(ben) == []
    assert not watches.of(porch, ben.jid)


@pytest.mark.parametrize("how", ["deny", "unsubscribe"])
def test_who_follows_no_longer_watches_no_longer(hub, ann, ben, porch, watches, how):
    ask(ben, "watch temperature above 25")
    if how == "deny":
        ask(ann, "deny ben@hub.local")
    else:
        ben.says("<presence to='porch@hub.local' type='unsubscribe'/>")
    assert not watches.of(porch, ben.jid)
    assert not restarted(hub, porch).of(porch, ben.jid)


def test_the_next_owner_of_a_name_has_no_watches_of_the_one_before(hub, ben, porch, watches, run):
    ask(ben, "watch temperature above 25")
    ask(ben, "mute")
    run(people.forget(hub, ben.jid.bare))
    assert not watches.of(porch, ben.jid)
    fresh = restarted(hub, porch)
    assert not fresh.of(porch, ben.jid)
    assert fresh.muted(porch, ben.jid) is None


def test_a_thing_taken_out_and_put_in_again_is_still_watched(hub, ben, porch, clock):
    ask(ben, "watch temperature above 25 for 5 min")
    porch.report({"temperature": "26.0"})
    hub.tell("thing gone", porch)
    clock(400)
    assert told(ben) == []
    hub.tell("thing", porch)
    porch.report({"temperature": "26.1"})
    assert not any("⚠" in text for text in told(ben))
    clock(300)
    assert "⚠ Temperature is 26.1 °C (above 25 for 5 min)" in told(ben)


def test_more_watches_than_the_limits_are_refused(ann, ben, monkeypatch):
    monkeypatch.setattr(talk, "OF_ONE", 1)
    monkeypatch.setattr(talk, "OF_THING", 1)
    ask(ben, "watch gone")
    assert ask(ben, "watch lamp") == ["You have 1 watches here already; say for example: unwatch 1"]
    assert "I am watched for 1 reasons already" in ask(ann, "watch lamp")[0]


@pytest.mark.parametrize(
    ("seconds", "exact", "rough"),
    [
        (40, "40 s", "40 s"),
        (90, "90 s", "2 min"),
        (300, "5 min", "5 min"),
        (7200, "2 h", "2 h 0 min"),
        (86400, "1 d", "1 d 0 h"),
    ],
)
def test_times_in_words(seconds, exact, rough):
    assert exactly(seconds) == exact
    assert roughly(seconds) == rough
