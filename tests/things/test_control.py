"""Control in four namespaces: checked whole, done in order, confirmed by the hardware."""

import re
import time

import pytest

from node.base import stamp
from node.hub.thing import COMMAND_DEADLINE
from tests.things.conftest import stanza_of, until

SHORT = ["urn:nf:iot:ctr:1.0", "urn:nfi:iot:ctr:1.0", "urn:ieee:iot:ctr:1.0"]
NF, LEGACY = SHORT[0], "urn:xmpp:iot:control"


def put(person, inner, ns=NF, id="C1", to="porch@hub.local/hw"):
    heard = person.says(f"<iq type='set' to='{to}' id='{id}'><set xmlns='{ns}'>{inner}</set></iq>").heard
    return next(each for each in heard if f"id='{id}'" in each)


@pytest.mark.parametrize("ns", SHORT)
def test_ct_2_parameters_are_set_in_the_order_of_the_document(ann, board, ns):
    answer = put(ann, "<i n='fade' v='500'/><b n='lamp' v='true'/><e n='mode' v='eco'/>", ns)
    assert answer == (
        f"<iq type='result' from='porch@hub.local/hw' to='ann@hub.local/phone' id='C1'><resp xmlns='{ns}'/></iq>"
    )
    assert board.written == [("fade", "500"), ("lamp", "true"), ("mode", "eco")]


def test_l_6_the_older_namespace_is_answered_with_its_response_code(ann, board):
    answer = put(
        ann,
        "<boolean name='lamp' value='true'/><int name='fade' value='5'/><string name='mode' value='Hot'/>",
        LEGACY,
    )
    assert f"<setResponse xmlns='{LEGACY}' responseCode='OK'/>" in answer
    assert board.written == [("lamp", "true"), ("fade", "5"), ("mode", "Hot")]


@pytest.mark.parametrize("ns", [NF, LEGACY])
def test_ct_7_a_form_sets_only_what_is_in_it(ann, board, ns):
    answer = put(
        ann,
        "<x xmlns='jabber:x:data' type='submit'>"
        "<field var='xdd session' type='hidden'><value>1</value></field>"
        "<field var='lamp'><value>1</value></field></x>",
        ns,
    )
    assert "type='result'" in answer
    assert board.written == [("lamp", "true")]


@pytest.mark.parametrize(
    ("inner", "condition", "var"),
    [
        ("<i n='fade' v='5000'/>", "bad-request", "fade"),
        ("<i n='fade' v='much'/>", "bad-request", "fade"),
        ("<b n='fade' v='true'/>", "bad-request", "fade"),
        ("<i n='lamp' v='1'/>", "bad-request", "lamp"),
        ("<b n='lamp'/>", "bad-request", "lamp"),
        ("<b n='lump' v='true'/>", "item-not-found", "lump"),
        ("<e n='mode' v='cold'/>", "bad-request", "mode"),
        ("<b n='lamp' v='true'/><i n='fade' v='-1'/>", "bad-request", "fade"),
        (
            "<x xmlns='jabber:x:data' type='submit'><field var='lump'><value>1</value></field></x>",
            "item-not-found",
            "lump",
        ),
    ],
)
def test_ct_3_all_is_checked_before_the_hardware_is_touched(ann, board, inner, condition, var):
    answer = put(ann, inner)
    assert f"<error type='modify'><{condition} " in answer
    assert re.search(rf"<paramError xmlns='{NF}' n='{var}' var='{var}'>[^<]+</paramError>", answer)
    assert board.written == []


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "<nd id='porch'/>",
        "<b v='true'/>",
        "<explode n='lamp' v='true'/>",
        "<b n='lamp' v='true'/><b n='lamp' v='false'/>",
        "<b xmlns='urn:other' n='lamp' v='true'/>",
        "<b n='lamp' v='true'/><x xmlns='jabber:x:data' type='submit'><field var='lamp'><value>1</value></field></x>",
        "<b n='lamp' v='true'/>" * 101,
    ],
)
def test_ct_3_what_is_no_list_of_parameters_is_refused(ann, board, inner):
    assert "<error type='modify'><bad-request" in put(ann, inner)
    assert board.written == []


def test_a_node_is_the_thing_itself_or_is_not_there(ann, board):
    assert "type='result'" in put(ann, "<nd id='porch'/><b n='lamp' v='true'/>")
    assert "<error type='cancel'><item-not-found" in put(ann, "<nd id='cellar'/><b n='lamp' v='true'/>", id="C2")
    assert "type='result'" in put(ann, "<node nodeId='porch'/><boolean name='lamp' value='false'/>", LEGACY, "C3")
    assert len(board.written) == 2


def test_S14_ct_4_who_has_no_grant_is_forbidden_and_the_log_tells(ben, board, caplog):
    for number, ns in enumerate((NF, LEGACY)):
        answer = put(ben, "<b n='lamp' v='true'/>", ns, f"C{number}")
        assert "<error type='cancel'><forbidden" in answer
        assert f"ben@hub.local/desk may not control it and was refused: {ns} 'set" in caplog.text
    assert board.written == []


def test_ct_4_no_grant_comes_before_what_else_is_wrong(ben):
    assert "forbidden" in put(ben, "<b n='lump' v='true'/>")


def test_ct_5_a_board_that_is_gone_or_refuses_is_waited_for(hub, ann, porch, board):
    board.fault = "the relay is stuck"
    answer = put(ann, "<b n='lamp' v='true'/>")
    assert "<error type='wait'><recipient-unavailable" in answer
    assert "the relay is stuck" in answer
    board.pull("USB cable gone")
    until(hub, lambda: not porch.online)
    assert "USB cable gone" in put(ann, "<b n='lamp' v='true'/>", id="C2")


def test_ct_5_a_board_that_does_not_confirm_costs_its_deadline(hub, ann, porch, board, later):
    board.confirms.clear()
    stanza = stanza_of(
        f"<iq type='set' to='porch@hub.local' id='C1'><set xmlns='{NF}'><b n='lamp' v='true'/></set></iq>"
    )
    stanza.sender = ann.jid
    hub.route(stanza, ann)
    until(hub, lambda: porch.busy, come_to_rest=False)
    later(COMMAND_DEADLINE + 0.1)
    (answer,) = [each for each in ann.heard if "C1" in each]
    assert "<error type='wait'><recipient-unavailable" in answer
    assert "has not confirmed lamp within 5 s" in answer


@pytest.mark.parametrize("ns", [NF, LEGACY])
def test_ct_6_the_form_has_a_field_per_control_with_its_value_and_type(ann, ns):
    (answer,) = ann.says(f"<iq type='get' to='porch@hub.local' id='F'><getForm xmlns='{ns}'/></iq>").heard
    assert "<x xmlns='jabber:x:data' type='form'><title>Porch</title>" in answer
    assert re.findall("<field var='([a-z]+)'", answer) == ["fade", "lamp", "mode"]
    assert answer.count("<notSame xmlns='urn:xmpp:xdata:dynamic'/>") == 3
    assert answer.count("<validate xmlns='http://jabber.org/protocol/xdata-validate'") == 3
    assert "datatype='xs:int'><range min='0' max='4095'/>" in answer
    assert "<value>false</value>" in answer


def test_ct_6_the_form_is_for_those_who_may_set(ben, ann):
    (answer,) = ben.says(f"<iq type='get' to='porch@hub.local' id='F'><getForm xmlns='{NF}'/></iq>").heard
    assert "<error type='cancel'><forbidden" in answer
    (answer,) = ann.says(
        f"<iq type='get' to='porch@hub.local' id='F'><getForm xmlns='{NF}'><nd id='cellar'/></getForm></iq>"
    ).heard
    assert "item-not-found" in answer


def test_ct_8_the_same_iq_again_is_answered_and_not_carried_out_again(ann, board, later):
    first, second = put(ann, "<b n='lamp' v='true'/>"), put(ann, "<b n='lamp' v='true'/>")
    assert first == second
    assert board.written == [("lamp", "true")]
    board.fault = "the relay is stuck"
    assert put(ann, "<i n='fade' v='1'/>", id="C2") == put(ann, "<i n='fade' v='1'/>", id="C2")
    board.fault = ""
    later(61)
    put(ann, "<b n='lamp' v='true'/>")
    assert len(board.written) == 2


def test_ct_8_an_iq_that_comes_again_while_the_first_is_carried_out_waits_for_it(hub, ann, porch, board):
    board.confirms.clear()
    xml = f"<iq type='set' to='porch@hub.local' id='C1'><set xmlns='{NF}'><b n='lamp' v='true'/></set></iq>"
    for stanza in ann.framing.feed((xml + xml).encode()):
        stanza.sender = ann.jid
        hub.route(stanza, ann)
    until(hub, lambda: porch.busy, come_to_rest=False)
    board.confirms.set()
    assert len([each for each in ann.heard if "<resp " in each]) == 2
    assert board.written == [("lamp", "true")]


@pytest.mark.parametrize("ns", [NF, LEGACY])
def test_l_6_a_set_in_a_message_is_carried_out_in_silence(ann, ben, board, ns):
    element = "<b n='lamp' v='true'/>" if ns == NF else "<boolean name='lamp' value='true'/>"
    message = f"<message to='porch@hub.local' id='1'><set xmlns='{ns}'>{element}</set></message>"
    assert [each for each in ann.says(message).says(message).heard if not each.startswith("<presence")] == []
    assert board.written == [("lamp", "true")]
    assert [each for each in ben.says(message).heard if not each.startswith("<presence")] == []
    old = f"<delay xmlns='urn:xmpp:delay' stamp='{stamp.format(time.time() - 90)}'/>"
    ann.says(f"<message to='porch@hub.local' id='2'><set xmlns='{ns}'>{element}</set>{old}</message>")
    ann.says(f"<message to='porch@hub.local' id='3'><set xmlns='{ns}'><b n='lump'/></set></message>")
    assert len(board.written) == 1


def test_all_namespaces_are_advertised(ann):
    (info,) = ann.says(
        "<iq type='get' to='porch@hub.local/hw' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    ).heard
    for ns in (*SHORT, LEGACY):
        assert f"<feature var='{ns}'/>" in info
