"""Everything can be said in words, whatever is said is answered, and confirmed when it is done."""

import re
import time
from itertools import count

import pytest

from node.base import stamp
from node.base.element import escape
from node.base.errors import StanzaError
from node.hub.driver import Control, Field
from node.things.access import Grant, Options, Rights
from tests.conftest import Heard, settle
from tests.things.conftest import stanza_of, until

NUMBERS = count(1)  # of what is said: each has an id of its own


def ask(person, text, to="porch@hub.local", attributes="type='chat'", more=""):
    """Says it, and returns what is answered."""
    body = f"<body>{escape(text)}</body>" if text is not None else ""
    heard = person.says(f"<message to='{to}' id='m{next(NUMBERS)}' {attributes}>{body}{more}</message>").heard
    return [said(each) for each in heard if "<body>" in each]


def said(xml):
    body = re.search("<body>(.*)</body>", xml, re.DOTALL)[1]
    return body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.mark.parametrize("text", ["status", "Status?", " ? ", "STATUS"])
def test_status_tells_all_readings(ben, text):
    assert ask(ben, text) == ["temperature: 21.40 °C\nhumidity: 48 %\nlamp: off\nwater: no reading"]


def test_two_question_marks_tell_everything_with_its_time(ben):
    (answer,) = ask(ben, "??")
    assert re.fullmatch(
        r"temperature: 21.40 °C \(\d\d:\d\d\)\n.*\n.*\nwater: no reading\nserial: A1 \(\d\d:\d\d\)", answer
    )


def test_what_has_no_value_says_so_and_why_values_are_old_is_said_before_them(ben, porch):
    assert ask(ben, "water?") == ["water: no reading"]
    porch.fault = "no answer from unit 3"
    assert ask(ben, "temperature?") == ["Not read: no answer from unit 3.\ntemperature: 21.40 °C"]
    porch.stale, porch.last = True, 1795356131.0
    (answer,) = ask(ben, "temperature?")
    assert re.fullmatch(r"No reading since .*: no answer from unit 3\.\ntemperature: 21.40 °C", answer)


@pytest.mark.parametrize("text", ["temperature", "Temperature?", "TEMPERATURE ?"])
def test_one_reading_by_its_name(ben, text):
    assert ask(ben, text) == ["temperature: 21.40 °C"]


@pytest.mark.parametrize("text", ["help", "Help!", "menu", "#", "hello"])
def test_help_shows_what_this_person_may_say(ann, ben, text):
    (to_ann,), (to_ben,) = ask(ann, text), ask(ben, text)
    assert "lamp on, lamp off, lamp toggle" in to_ann
    assert "set fade 4095 (0–4095 ms)" in to_ann
    assert "set mode eco|Hot" in to_ann
    assert "approve ann@home.example" in to_ann
    assert "lamp on" not in to_ben
    assert "approve" not in to_ben


@pytest.mark.parametrize(
    ("text", "written", "answer"),
    [
        ("lamp on", ("lamp", "true"), "Lamp is on (took "),
        ("Lamp ON!", ("lamp", "true"), "Lamp is on (took "),
        ("lamp off", ("lamp", "false"), "Lamp is off (took "),
        ("On!", ("lamp", "true"), "Lamp is on (took "),
        ("off", ("lamp", "false"), "Lamp is off (took "),
        ("lamp toggle", ("lamp", "true"), "Lamp is on (took "),
        ("set lamp on", ("lamp", "true"), "Lamp is on (took "),
        ("lamp:=on", ("lamp", "true"), "Lamp is on (took "),
        ("LAMP := 1", ("lamp", "true"), "Lamp is on (took "),
        ("fade 300", ("fade", "300"), "Fade is 300 ms (took "),
        ("set fade to 300 ms", ("fade", "300"), "Fade is 300 ms (took "),
        ("fade = 300ms", ("fade", "300"), "Fade is 300 ms (took "),
        ("set mode hot", ("mode", "Hot"), "Mode is Hot (took "),
    ],
)
def test_a_control_is_set_in_words_and_confirmed(ann, board, text, written, answer):
    (told,) = ask(ann, text)
    assert board.written == [written]
    assert told.startswith(answer)


@pytest.mark.parametrize(
    "text",
    [
        "lamp on please",
        "Lamp on, please!",
        "please lamp on",
        "Please turn the lamp on.",
        "turn on the lamp",
        "turn on lamp please",
        "switch the lamp on",
        "switch on lamp",
        "turn on",
        "set lamp to on",
        "set the lamp to on",
        "set the lamp on please",
    ],
)
def test_it_may_be_said_politely_and_in_either_order(ann, board, text):
    assert ask(ann, text)[0].startswith("Lamp is on (took ")
    assert board.written == [("lamp", "true")]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("turn on lamp off", "I do not know “turn on lamp off”. Say help to see what I know."),
        ("turn the lamp", "I do not know “turn the lamp”. Say help to see what I know."),
        ("turn the lamp on and the heater off", "I do not know “turn the lamp on and the heater off”. Say help"),
        ("turn the lamp on later", "I do not know “turn the lamp on later”. Say help"),
        ("turn the lamp on?", "I do not know “turn the lamp on?”. Say help"),
        ("do not turn the lamp on", "I do not know “do not turn the lamp on”. Say help"),
        ("please don't turn the lamp on", "I do not know “don't turn the lamp on”. Say help"),
        ("lamp on?", "lamp: on or off."),
        ("turn fade on", "You can say: set fade 4095 (0–4095 ms)"),
        ("please", "I do not know “please”. Say help"),
    ],
)
def test_what_might_mean_something_else_is_not_obeyed(ann, board, text, answer):
    assert ask(ann, text)[0].startswith(answer)
    assert board.written == []


def test_other_things_may_be_asked_politely_too(ann):
    assert ask(ann, "humidity please") == ask(ann, "please humidity?") == ["humidity: 48 %"]
    assert "You can say:" in ask(ann, "help please")[0]


@pytest.mark.parametrize("text", ["display a beer please", "set Display a beer please", "display := a beer please"])
def test_a_please_stays_in_a_text_that_is_set(ann, porch, board, text):
    porch.controls = {"display": Control("display", "string")}
    ask(ann, text)
    assert board.written == [("display", "a beer please")]


def test_of_two_controls_with_one_label_none_is_meant_by_it(ann, porch, board):
    porch.controls = {each: Control(each, "boolean", label="Lamp") for each in ("relay_1", "relay_2")}
    porch.fields = {each: Field(each, "boolean", label="Lamp") for each in porch.controls}
    for text in ("lamp on", "turn on the lamp", "lamp := on"):
        assert "I do not know" in ask(ann, text)[0]
    assert board.written == []
    ask(ann, "relay_2 on")
    ask(ann, "relay 1 off")
    assert board.written == [("relay_2", "true"), ("relay_1", "false")]


def test_a_control_that_is_called_switch_keeps_its_name(ann, porch, board):
    porch.controls = {each: Control(each, "boolean") for each in ("switch_1", "1", "lamp")}
    ask(ann, "switch 1 on")
    ask(ann, "switch lamp off")
    assert board.written == [("switch_1", "true"), ("lamp", "false")]


def test_a_command_is_confirmed_when_the_hardware_has_and_not_before(hub, ann, porch, board):
    board.confirms.clear()
    stanza = stanza_of("<message to='porch@hub.local/hw' type='chat' id='1'><body>lamp on</body></message>")
    stanza.sender = ann.jid
    hub.route(stanza, ann)
    until(hub, lambda: porch.busy, come_to_rest=False)
    assert ann.ears == []
    board.confirms.set()
    assert any("Lamp is on" in each for each in ann.heard)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("fade 5000", "Fade: a whole number from 0 to 4095."),
        ("lamp maybe", "lamp: on or off."),
        ("lamp on for 5 min", "lamp: on or off."),
        ("set mode cold", "mode: one of eco, Hot."),
    ],
)
def test_a_value_that_a_control_cannot_have_is_answered_with_what_it_can(ann, board, text, answer):
    assert ask(ann, text) == [answer]
    assert board.written == []


def test_a_board_that_has_other_controls_when_it_has_confirmed(ann, porch, board, monkeypatch):
    async def write(control, value):
        board.controls = ()
        porch.described()

    monkeypatch.setattr(board, "write", write)
    assert ask(ann, "set fade to 007")[0].startswith("Fade is 7 ms (took ")


def test_a_board_that_is_gone_says_why_and_since_when(hub, ann, porch, board):
    board.pull("USB cable gone: /dev/ttyUSB0")
    until(hub, lambda: not porch.online)
    assert ann.heard
    offline = r"Porch is offline since \d\d:\d\d: USB cable gone: /dev/ttyUSB0"
    (told,) = ask(ann, "lamp on")
    assert re.fullmatch(rf"Lamp was not changed\. {offline}", told)
    (told,) = ask(ann, "status")
    assert re.match(rf"{offline}\.\ntemperature: 21\.40 °C \(\d\d:\d\d\)", told)


def test_a_reason_that_is_a_question_gets_no_full_stop(hub, ann, porch, board):
    board.pull("no answer: is the USB cable in?")
    until(hub, lambda: not porch.online)
    assert ann.heard
    assert re.match(r"Porch is offline since .*: is the USB cable in\?\ntemp", ask(ann, "status")[0])


def test_a_value_that_was_mistyped_is_no_warning_and_a_board_that_refuses_is(ann, board, caplog):
    caplog.set_level("INFO")
    ask(ann, "fade 5000")
    assert [record.levelname for record in caplog.records if "'fade=5000'" in record.getMessage()] == ["INFO"]
    board.fault = "the relay is stuck"
    ask(ann, "lamp on")
    assert [record.levelname for record in caplog.records if "'lamp=true'" in record.getMessage()] == ["WARNING"]


def test_a_board_that_refuses_is_quoted(ann, board):
    board.fault = "the relay is stuck"
    assert ask(ann, "lamp on") == ["Lamp was not confirmed. Porch: the relay is stuck"]
    board.fault = "it is false after true was written"
    assert ask(ann, "lamp on") == ["Lamp was not confirmed. Porch: it is off after on was written"]


@pytest.mark.parametrize("said", ["porch on", "turn it on", "please turn on the porch", "turn the porch on"])
def test_where_there_is_one_switch_the_name_of_the_thing_means_it(ann, porch, board, said):
    assert ask(ann, said)[0].startswith("Lamp is on")
    assert board.written == [("lamp", "true")]


@pytest.mark.parametrize("said", ["fade on", "water off", "kitchen on", "porch open", "temperature on"])
def test_what_is_another_name_is_not_obeyed(ann, board, said):
    ask(ann, said)
    assert board.written == []


def test_of_two_switches_neither_is_the_thing_itself(ann, porch, board):
    board.controls += (Control("siren", "boolean"),)
    porch.described()
    ask(ann, "porch on")
    assert board.written == []


def test_a_follower_without_a_grant_is_told_whom_to_ask(ben, board, caplog):
    assert ask(ben, "lamp on") == ["You may read me, but not control me. Ask ann@hub.local."]
    assert board.written == []
    assert "ben@hub.local/desk may not control it and was refused: chat 'lamp on'" in caplog.text


@pytest.mark.parametrize(("control", "whom"), [([], "nobody"), (["ben@hub.local"], "others")])
def test_an_owner_without_a_grant_is_not_told_to_ask_herself(hub, ann, board, control, whom):
    hub.need("access").allow(Options(owners=["ann@hub.local"], control=control))
    (answer,) = ask(ann, "lamp on")
    assert answer == f"The configuration grants control of me to {whom}. You may say: grant ann@hub.local control"
    assert board.written == []
    assert f"May control me: {', '.join(control) or 'nobody'}" in ask(ann, "who")[0]


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("temprature", "Did you mean temperature?"),
        ("lmap on", "Did you mean lamp?"),
        ("satus", "Did you mean status?"),
        ("set fide 3", "Did you mean fade?"),
        ("open sesame", "Say help to see what I know."),
        ("set", "Did you mean set?"),
        (":=", "Say help to see what I know."),
        ("????", "Say help to see what I know."),
    ],
)
def test_what_is_not_understood_is_answered_with_the_closest_match(ann, board, text, guess):
    (answer,) = ask(ann, text)
    assert answer == f"I do not know “{text}”. {guess}"
    assert board.written == []


@pytest.mark.parametrize("text", ["temperature 25", "set temperature 25", "Temperature on", "temperature:=25"])
def test_what_can_only_be_read_says_so(ann, board, text):
    assert ask(ann, text) == ["Temperature can only be read.\ntemperature: 21.40 °C"]
    assert board.written == []


def test_two_programs_that_puzzle_each_other_come_to_an_end(ann, later):
    assert sum(len(ask(ann, "are you a robot?")) for _ in range(50)) == 20
    assert ask(ann, "status") != []
    later(61)
    assert len(ask(ann, "are you a robot?")) == 1


def test_the_answer_keeps_type_thread_and_address(ben):
    (heard,) = ben.says(
        "<message to='porch@hub.local/hw' type='chat' id='x'><body>humidity</body><thread>t1</thread></message>"
    ).heard
    assert Heard(re.sub(" id='[^']*'", "", heard)) == (
        "<message from='porch@hub.local/hw' to='ben@hub.local/desk' type='chat'>"
        "<body>humidity: 48 %</body><thread>t1</thread></message>"
    )
    (heard,) = ben.says("<message to='porch@hub.local'><body>humidity</body></message>").heard
    assert Heard(re.sub(" id='[^']*'", "", heard)) == (
        "<message from='porch@hub.local' to='ben@hub.local/desk'><body>humidity: 48 %</body></message>"
    )


@pytest.mark.parametrize("type", ["error", "groupchat", "headline"])
def test_what_is_not_said_to_it_is_not_answered(ann, board, type):
    assert ann.says(f"<message to='porch@hub.local' type='{type}'><body>lamp on</body></message>").heard == []
    assert board.written == []


@pytest.mark.parametrize(
    "child",
    [
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<body/>",
        "<body>  \n </body>",
        "",
    ],
)
def test_a_message_that_says_nothing_is_not_answered(ann, child):
    assert ann.says(f"<message to='porch@hub.local' type='chat'>{child}</message>").heard == []


def test_a_receipt_is_given_when_one_is_asked_for(ben):
    receipt, answer = ben.says(
        "<message to='porch@hub.local' type='chat' id='r1'><body>?</body><request xmlns='urn:xmpp:receipts'/></message>"
    ).heard
    assert receipt == (
        "<message from='porch@hub.local' to='ben@hub.local/desk' type='chat'>"
        "<received xmlns='urn:xmpp:receipts' id='r1'/></message>"
    )
    assert "temperature" in answer


def test_a_command_that_was_said_long_ago_is_answered_and_not_carried_out(ann, board):
    def delayed(seconds):
        at = stamp.format(time.time() - seconds)
        return f"<delay xmlns='urn:xmpp:delay' stamp='{at}'/>"

    (answer,) = ask(ann, "lamp on", more=delayed(90))
    assert "it has arrived only now, so I did nothing with lamp" in answer
    assert board.written == []
    assert ask(ann, "status", more=delayed(90)) != []
    ask(ann, "lamp on", more=delayed(10))
    ask(ann, "lamp off", more="<delay xmlns='urn:xmpp:delay' stamp='nonsense'/>")
    assert board.written == [("lamp", "true"), ("lamp", "false")]


def test_a_message_that_comes_twice_is_carried_out_once(ann, board, later):
    message = "<message to='porch@hub.local' id='same' type='chat'><body>lamp toggle</body></message>"
    ann.says(message).says(message)
    assert board.written == [("lamp", "true")]
    later(61)
    ann.says(message)
    assert len(board.written) == 2


def test_different_commands_with_one_id_are_all_carried_out(ann, board):
    for word in ("on", "off", "on"):
        ann.says(f"<message to='porch@hub.local' id='1'><body>lamp {word}</body></message>")
    assert board.written == [("lamp", "true"), ("lamp", "false"), ("lamp", "true")]


def test_a_toggle_needs_to_know_what_is(ann, porch, board):
    del porch.readings["lamp"]
    assert ask(ann, "lamp toggle") == ["I do not know how lamp is now. Say lamp on, or lamp off."]
    assert board.written == []


def test_a_control_by_name_alone_shows_its_value_or_how_to_set_it(ann, porch, board):
    assert ask(ann, "lamp:=") == ["lamp: off"]
    assert ask(ann, "fade") == ["You can say: set fade 4095 (0–4095 ms)"]
    assert ask(ann, "set mode") == ["You can say: set mode eco|Hot"]
    assert board.written == []


def test_who_tells_an_owner_all_and_others_their_rights(ann, ben):
    assert ask(ben, "who") == ["You are ben@hub.local, and you may read me."]
    assert ask(ann, "who?") == [
        "My followers: ann@hub.local, ben@hub.local\nMay control me: ann@hub.local, @friend.example"
    ]


def test_who_tells_an_owner_of_those_who_may_read_by_a_grant_alone(ann, ben, hub):
    above = "ann@hub.local", "ben@hub.local", "kim@friend.example", "@friend.example"
    readers = *above, "eve@hub.local", "@cabin.example"
    hub.need("access").grant(Grant("porch", "read", each) for each in readers)
    assert ask(ann, "who")[0].splitlines()[1:] == [
        "May control me: ann@hub.local, @friend.example",
        "May read me: eve@hub.local, @cabin.example",
    ]


def test_only_an_owner_decides_who_follows(ann, ben, hub, porch, person):
    eve = person("eve@hub.local/x").says("<presence to='porch@hub.local' type='subscribe'/>")
    assert "Only an owner can decide that." in ask(ben, "approve eve@hub.local")[0]
    assert "Waiting for approval: eve@hub.local" in ask(ann, "who")[-1]
    assert ask(ann, "approve nobody@hub.local") == ["nobody@hub.local has not asked to follow me."]
    assert "is no address" in ask(ann, "approve @@")[0]
    assert ask(ann, "approve xmpp:eve@hub.local")[-1] == "eve@hub.local follows me now."
    assert ask(ann, "approve eve@hub.local") == ["eve@hub.local follows me already."]
    assert hub.need("followers").waiting(porch) == []
    settle(hub)
    assert ask(eve, "humidity") == ["humidity: 48 %"]


def test_who_is_denied_is_told_of_with_what_a_grant_still_lets_him(ann, ben, hub, porch, person):
    person("eve@hub.local/x").says("<presence to='porch@hub.local' type='subscribe'/>")
    ann.forgets()
    assert ask(ann, "deny eve@hub.local")[-1] == "eve@hub.local may not follow me."
    nobody = "eve@hub.local does not follow me, and has not asked to."
    assert ask(ann, "deny eve@hub.local") == [nobody]
    for right, what in (("read", "read"), ("control", "read and control")):
        hub.need("access").grant([Grant("porch", right, "eve@hub.local"), Grant("porch", right, "ben@hub.local")])
        lets = f" But a grant lets eve@hub.local {what} me: say revoke eve@hub.local."
        assert ask(ann, "deny eve@hub.local") == [f"{nobody}{lets}"]
    said = ask(ann, "deny ben@hub.local")[-1]
    assert said.startswith("ben@hub.local follows me no longer. But a grant lets ben@hub.local read and control me: ")


@pytest.mark.parametrize(
    ("options", "grants", "ways"),
    [
        ({"control": ["eve@hub.local"]}, [], "change [access] in the configuration"),
        ({"things": {"porch": Rights(read=["@hub.local"])}}, [], "change [access] in the configuration"),
        ({}, ["@hub.local", "kids", "gone", "kim@hub.local"], "say revoke @hub.local, and say revoke kids"),
        ({"read": ["eve@hub.local"]}, ["kids"], "say revoke kids, and change [access] in the configuration"),
    ],
)
def test_who_denies_is_told_the_way_that_works(ann, hub, options, grants, ways):
    access = hub.need("access")
    access.allow(Options(owners=["ann@hub.local"], groups={"kids": ["eve@hub.local"]}, **options))
    access.grant([Grant("*", "read", each) for each in grants] + [Grant("porch", "approve", "eve@hub.local")])
    (said,) = ask(ann, "deny eve@hub.local")
    assert said.endswith(f" me: {ways}.")


def test_a_decision_that_cannot_be_kept_is_told(ann, ben, hub, monkeypatch):
    async def full(*_):
        raise StanzaError("resource-constraint", "the disk is full")

    monkeypatch.setattr(hub.need("roster"), "set_subscription", full)
    assert ask(ann, "deny ben@hub.local") == ["That did not work: the disk is full"]


def test_things_do_not_talk_to_each_other(hub, porch, board):
    message = stanza_of("<message to='porch@hub.local' type='chat' id='1'><body>lamp on</body></message>")
    message.sender = porch.full
    hub.need("access").allow(Options(control=["@hub.local"]))
    hub.route(message)
    settle(hub)
    assert board.written == []


def test_a_long_message_is_looked_at_in_part(ann):
    (answer,) = ask(ann, "x" * 10_000)
    assert len(answer) < 200


def test_a_feature_teaches_all_things_a_phrase(hub, ann, porch):
    chat = hub.need("chat")
    chat.understand(r"paint (\w+)", lambda talk, color: None if color == "nothing" else f"{talk.thing.label}: {color}")
    assert ask(ann, "Paint  RED") == ["Porch: RED"]
    assert "I do not know" in ask(ann, "paint nothing")[0]


def test_what_a_feature_has_taught_stands_in_the_help(hub, ann, porch):
    hub.need("chat").understand("paint", lambda talk: "done", lambda talk: [f"paint: {talk.asker.local} likes it"])
    assert "paint: ann likes it" in ask(ann, "help")[0]
