"""XEP-0050: what a thing offers, to whom, and how a form is shown, filled in, cancelled and forgotten."""

import re

import pytest

from node.hub.driver import Control
from node.hub.thing import Thing
from node.things.access import Grant
from tests.things.conftest import arrived, until

NS = "http://jabber.org/protocol/commands"
ITEMS = "http://jabber.org/protocol/disco#items"
INFO = "http://jabber.org/protocol/disco#info"


def run(person, node="set", to="porch@hub.local", inner="", **attributes):
    attributes = "".join(f" {name}='{value}'" for name, value in attributes.items())
    heard = person.says(
        f"<iq type='set' to='{to}' id='e1' xml:lang='en'>"
        f"<command xmlns='{NS}' node='{node}'{attributes}>{inner}</command></iq>"
    ).heard
    return next(each for each in heard if "id='e1'" in each)


def submit(**values):
    fields = "".join(f"<field var='{var}'><value>{value}</value></field>" for var, value in values.items())
    return f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"


def session(answer):
    return re.search("sessionid='([^']*)'", answer)[1]


def disco(person, ns, node, to="porch@hub.local"):
    (answer,) = person.says(f"<iq type='get' to='{to}' id='d'><query xmlns='{ns}' node='{node}'/></iq>").heard
    return answer


def test_ah_1_the_list_has_what_this_person_may_run(ann, ben):
    assert disco(ann, ITEMS, NS) == (
        "<iq from='porch@hub.local' to='ann@hub.local/phone' id='d' type='result'>"
        f"<query xmlns='{ITEMS}' node='{NS}'><item jid='porch@hub.local' node='read' name='Read sensors'/>"
        "<item jid='porch@hub.local' node='set' name='Control'/>"
        "<item jid='porch@hub.local' node='approve' name='Approve followers'/>"
        "<item jid='porch@hub.local' node='grant' name='Give access'/>"
        "<item jid='porch@hub.local' node='revoke' name='Take access back'/>"
        "<item jid='porch@hub.local' node='watch' name='Alert me'/></query></iq>"
    )
    of_ben = disco(ben, ITEMS, NS, to="porch@hub.local/hw")
    assert re.findall("node='([a-z]*)' name", of_ben) == ["read", "watch"]
    assert "jid='porch@hub.local/hw'" in of_ben


def test_the_server_itself_has_no_commands_and_says_so(ann):
    answer = disco(ann, ITEMS, NS, to="hub.local")
    assert "type='result'" in answer and f"<query xmlns='{ITEMS}' node='{NS}'/>" in answer


def test_ah_2_a_command_and_the_list_say_what_they_are(ann, ben):
    assert "<identity category='automation' type='command-list'/>" in disco(ann, INFO, NS)
    info = disco(ann, INFO, "set")
    assert "<identity category='automation' type='command-node' name='Control'/>" in info
    assert f"<feature var='{NS}'/><feature var='jabber:x:data'/>" in info
    assert "<error type='cancel'><forbidden" in disco(ben, INFO, "set")
    assert "item-not-found" in disco(ann, INFO, "explode")


def test_read_is_done_in_one_step(ben):
    answer = run(ben, "read", action="execute")
    assert "status='completed'" in answer
    assert "<reported><field var='field' label='Field'" in answer
    assert (
        "<item><field var='field'><value>temperature</value></field>"
        "<field var='value'><value>21.40</value></field>"
        "<field var='unit'><value>°C</value></field>" in answer
    )
    assert "<value>lamp</value></field><field var='value'><value>off</value>" in answer
    # For clients that show no tables
    assert "<note type='info'>temperature: 21.40 °C\nhumidity: 48 %\nlamp: off\nwater: no reading\n" in answer
    assert "<value>water</value></field><field var='value'><value>no reading</value>" in answer


def test_read_says_why_values_are_old(ben, porch):
    porch.fault = "no answer from unit 3"
    note = "<note type='info'>Not read: no answer from unit 3.\ntemperature: 21.40 °C\n"
    assert note in run(ben, "read", action="execute")


def test_ah_3_and_4_set_shows_its_form_and_then_does_it(ann, board):
    shown = run(ann, to="porch@hub.local/hw")
    assert "from='porch@hub.local/hw'" in shown
    assert "xml:lang='en'" in shown
    assert "node='set'" in shown
    assert "status='executing'" in shown
    assert "<actions execute='complete'><complete/></actions>" in shown
    assert "<x xmlns='jabber:x:data' type='form'><title>Porch</title>" in shown
    assert (
        "<field var='fade' type='text-single' label='Fade (ms)'>"
        "<validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:int'>"
        "<range min='0' max='4095'/></validate></field>" in shown
    )
    assert "<field var='lamp' type='boolean' label='lamp'><value>false</value>" in shown
    assert "<option label='eco'><value>eco</value></option><option label='Hot'><value>Hot</value></option>" in shown
    assert board.written == []
    done = run(ann, to="porch@hub.local/hw", sessionid=session(shown), action="complete", inner=submit(lamp="1"))
    assert f"sessionid='{session(shown)}'" in done
    assert "status='completed'" in done
    assert "<note type='info'>Lamp is on.</note>" in done
    assert board.written == [("lamp", "true")]


def test_execute_without_more_is_complete(ann, board):
    done = run(ann, sessionid=session(run(ann)), inner=submit(lamp="true"))
    assert "Lamp is on." in done


def test_ah_10_who_knows_the_form_needs_one_step(ann, board):
    done = run(ann, inner=submit(fade="300", lamp="true"))
    assert "status='completed'" in done
    assert "Fade is 300 ms. Lamp is on." in done
    assert board.written == [("fade", "300"), ("lamp", "true")]


def test_what_nobody_touched_in_the_form_is_not_set(ann, porch, board):
    porch.report({"lamp": "true"})
    shown = run(ann)
    done = run(ann, sessionid=session(shown), inner=submit(fade="", lamp="1", mode="eco"))
    assert "<note type='info'>Mode is eco.</note>" in done
    assert board.written == [("mode", "eco")]


def test_a_form_sent_back_as_it_was_changes_nothing(ann, board):
    done = run(ann, sessionid=session(run(ann)), inner=submit(fade="", lamp="0"))
    assert "Nothing had to be changed." in done
    assert board.written == []


def test_a_form_is_meant_as_it_stands_when_the_thing_has_changed_meanwhile(ann, porch, board):
    porch.report({"lamp": "true"})
    shown = run(ann)
    porch.report({"lamp": "false"})
    assert "Lamp is on." in run(ann, sessionid=session(shown), inner=submit(fade="", lamp="1"))
    assert board.written == [("lamp", "true")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fade": "5000"}, "fade: must be 0–4095."),
        ({"lamp": "maybe"}, "lamp: must be true or false."),
        ({"mode": "cold"}, "mode: 'cold' is not one of the choices."),
    ],
)
def test_ah_8_a_wrong_answer_is_a_bad_payload_and_may_be_mended(ann, board, given, words):
    name = session(run(ann))
    refused = run(ann, sessionid=name, inner=submit(**given))
    assert "<error type='modify'><bad-request" in refused
    assert f"<bad-payload xmlns='{NS}'/>" in refused
    assert words.replace("'", "") in refused.replace("'", "")
    assert "Lamp is on." in run(ann, sessionid=name, inner=submit(lamp="1"))
    assert board.written == [("lamp", "true")]


def test_ah_7_what_failed_is_completed_with_an_error_note(hub, ann, porch, board):
    board.fault = "the relay is still false"
    done = run(ann, inner=submit(lamp="1"))
    assert "status='completed'" in done
    assert "<note type='error'>Porch: the relay is still off</note>" in done
    board.pull("USB cable gone")
    until(hub, lambda: not porch.online)
    assert re.search(
        r"<note type='error'>Porch is offline since \d\d:\d\d: USB cable gone",
        run(ann, inner=submit(lamp="1")),
    )
    assert re.search(r"<note type='warn'>Porch is offline since", run(ann, "read"))


def test_cancel_is_always_allowed(ann):
    name = session(run(ann))
    answer = run(ann, sessionid=name, action="cancel")
    assert "status='canceled'" in answer
    assert f"<session-expired xmlns='{NS}'/>" in run(ann, sessionid=name, inner=submit(lamp="1"))


@pytest.mark.parametrize(
    ("node", "attributes", "words"),
    [
        ("explode", {}, "<error type='cancel'><item-not-found"),
        ("set", {"action": "jump"}, f"<malformed-action xmlns='{NS}'/>"),
        ("set", {"action": "complete"}, f"<bad-sessionid xmlns='{NS}'/>"),
        ("set", {"action": "cancel"}, f"<bad-sessionid xmlns='{NS}'/>"),
        ("set", {"sessionid": "nonsense"}, f"<bad-sessionid xmlns='{NS}'/>"),
    ],
)
def test_ah_8_what_is_wrong_is_said(ann, node, attributes, words):
    assert words in run(ann, node, **attributes)


def test_ah_8_there_is_no_other_page(ann):
    name = session(run(ann))
    assert f"<bad-action xmlns='{NS}'/>" in run(ann, sessionid=name, action="prev")
    assert f"<bad-payload xmlns='{NS}'/>" in run(ann, sessionid=name, action="complete")
    assert f"<bad-sessionid xmlns='{NS}'/>" in run(ann, "read", sessionid=name)


def test_ah_9_a_session_belongs_to_who_began_it(ann, ben, board):
    name = session(run(ann))
    assert f"<bad-sessionid xmlns='{NS}'/>" in run(ben, sessionid=name, inner=submit(lamp="1"))
    assert board.written == []


def test_a_form_is_not_for_another_thing_that_has_the_address_now(hub, ann, porch, board):
    name = session(run(ann))
    hub.things[porch.jid] = Thing(porch.jid, "Porch", "script", board)
    assert f"<bad-sessionid xmlns='{NS}'/>" in run(ann, sessionid=name, inner=submit(lamp="1"))


def test_ah_9_a_form_is_not_open_for_ever(ann, later):
    name = session(run(ann))
    later(301)
    refused = run(ann, sessionid=name, inner=submit(lamp="1"))
    assert "<error type='cancel'><not-allowed" in refused
    assert f"<session-expired xmlns='{NS}'/>" in refused


def test_ah_9_open_forms_are_bounded(ann):
    first = session(run(ann))
    for _ in range(100):
        last = session(run(ann))
    assert "session-expired" in run(ann, sessionid=first, inner=submit(lamp="1"))
    assert "Lamp is on." in run(ann, sessionid=last, inner=submit(lamp="1"))


def test_ah_9_one_person_pushes_out_his_own_forms_only(hub, ann, ben):
    hub.need("access").grant([Grant("porch", "control", "ben@hub.local")])
    first = session(run(ann))
    for _ in range(100):
        run(ben)
    assert "Lamp is on." in run(ann, sessionid=first, inner=submit(lamp="1"))


def test_a_follower_may_not_set_and_the_log_tells(ben, board, caplog):
    assert "<error type='cancel'><forbidden" in run(ben, inner=submit(lamp="1"))
    assert board.written == []
    assert "ben@hub.local/desk may not run the command 'set lamp=1'" in caplog.text


def test_an_owner_approves_by_form(ann, person, hub, porch):
    assert "<note type='info'>Nobody waits for approval.</note>" in run(ann, "approve")
    ben = arrived(person("ben@hub.local/desk")).says("<presence to='porch@hub.local' type='subscribe'/>")
    shown = run(ann, "approve")
    assert "<option label='ben@hub.local'><value>ben@hub.local</value></option>" in shown
    assert "Nobody" not in shown
    wrong = run(ann, "approve", sessionid=session(shown), inner=submit(jid="eve@hub.local"))
    assert "bad-payload" in wrong
    done = run(ann, "approve", sessionid=session(shown), inner=submit(jid="ben@hub.local", decision="approve"))
    assert "ben@hub.local follows Porch now." in done
    assert hub.need("followers").followers(porch) == ["ann@hub.local", "ben@hub.local"]
    assert any("Hello, I am Porch" in each for each in ben.heard)


def test_an_owner_denies_by_form(ann, person, hub, porch):
    person("ben@hub.local/desk").says("<presence to='porch@hub.local' type='subscribe'/>")
    done = run(ann, "approve", inner=submit(jid="ben@hub.local", decision="deny"))
    assert "ben@hub.local does not follow Porch." in done
    assert hub.need("followers").waiting(porch) == []


def test_who_has_been_denied_while_the_form_lay_open_does_not_follow(ann, person, hub, porch):
    arrived(person("eve@hub.local/x")).says("<presence to='porch@hub.local' type='subscribe'/>")
    name = session(run(ann, "approve"))
    run(ann, "approve", inner=submit(jid="eve@hub.local", decision="deny"))
    answer = run(ann, "approve", action="complete", inner=submit(jid="eve@hub.local"), sessionid=name)
    assert "eve@hub.local does not wait for approval." in answer
    assert "eve@hub.local" not in hub.need("followers").followers(porch)


def test_a_board_that_has_other_controls_when_it_has_confirmed(ann, porch, board, monkeypatch):
    async def write(control, value):
        board.controls = ()
        porch.described()

    monkeypatch.setattr(board, "write", write)
    assert "Lamp is on." in run(ann, inner=submit(lamp="1"))


def test_a_board_that_has_other_controls_than_the_form_says_so(ann, porch, board):
    name = session(run(ann))
    board.controls = ()
    porch.described()
    assert "forbidden" in run(ann, action="complete", inner=submit(lamp="1"), sessionid=name), "nothing is left to set"
    board.controls = (Control("fade", "integer"), Control("valve", "boolean"))
    porch.described()
    name = session(run(ann))
    board.controls = (Control("dim", "integer"),)
    porch.described()
    answer = run(ann, action="complete", inner=submit(valve="1"), sessionid=name)
    assert "There is no control" in answer
