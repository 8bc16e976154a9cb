"""Sensor data in four namespaces: one readout, answered in the namespace asked."""

import re
import time

import pytest

from node.base import stamp
from node.base.jid import parse
from node.hub.driver import Field
from node.hub.thing import Thing
from tests.conftest import settle
from tests.things.conftest import stanza_of, until

SHORT = ["urn:nf:iot:sd:1.0", "urn:nfi:iot:sd:1.0", "urn:ieee:iot:sd:1.0"]
NF, LEGACY = SHORT[0], "urn:xmpp:iot:sensordata"
AT = 1795356131.0  # 2026-11-22T14:02:11Z


@pytest.fixture
def porch(porch):
    porch.now = lambda: AT
    porch.report({"temperature": "21.40", "humidity": "48", "lamp": "false", "serial": "A1"})
    return porch


def ask(person, inner, to="porch@hub.local/hw", type="get"):
    return [each for each in person.says(f"<iq type='{type}' to='{to}' id='R1'>{inner}</iq>").heard if "urn:" in each]


@pytest.mark.parametrize("ns", SHORT)
def test_sd_3_the_values_at_hand_are_in_the_result(ben, ns):
    fields = "<f n='temperature'/><f n='humidity'/><f n='lamp'/>"
    (answer,) = ask(ben, f"<req xmlns='{ns}' id='00000001' m='true' s='true'>{fields}</req>")
    assert answer == (
        "<iq type='result' from='porch@hub.local/hw' to='ben@hub.local/desk' id='R1'>"
        f"<resp xmlns='{ns}' id='00000001'><ts v='2026-11-22T14:02:11Z'>"
        "<q n='temperature' v='21.40' u='°C' m='true' ar='true'/>"
        "<i n='humidity' v='48' m='true' ar='true'/>"
        "<b n='lamp' v='false' s='true' ar='true' ctr='true'/>"
        "</ts></resp></iq>"
    )


def test_l_1_the_older_namespace_accepts_first_and_sends_the_data_after_it(ben):
    accepted, data = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' momentary='true'/>")
    assert accepted == (
        "<iq type='result' from='porch@hub.local/hw' to='ben@hub.local/desk' id='R1'>"
        f"<accepted xmlns='{LEGACY}' seqnr='1'/></iq>"
    )
    assert data == (
        "<message from='porch@hub.local/hw' to='ben@hub.local/desk'>"
        f"<fields xmlns='{LEGACY}' seqnr='1' done='true'>"
        "<node nodeId='porch'><timestamp value='2026-11-22T14:02:11Z'>"
        "<numeric name='temperature' momentary='true' automaticReadout='true' value='21.40' unit='°C'/>"
        "<int name='humidity' momentary='true' automaticReadout='true' value='48'/>"
        "</timestamp></node></fields></message>"
    )


def test_l_5_the_address_that_was_asked_answers(ben):
    for address in ("porch@hub.local", "porch@hub.local/hw"):
        for each in ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' all='true'/>", to=address):
            assert f"from='{address}'" in each


def names(answers):
    return re.findall(r" (?:n|name)='(\w+)'", "".join(answers))


@pytest.mark.parametrize(
    ("attributes", "children", "found"),
    [
        ("", "", ["temperature", "humidity", "lamp", "serial"]),
        ("all='true'", "", ["temperature", "humidity", "lamp", "serial"]),
        ("i='1'", "", ["serial"]),
        ("m='true' i='true'", "", ["temperature", "humidity", "serial"]),
        ("p='true'", "", []),
        ("h='true'", "", []),
        ("m='false' s='true'", "", ["lamp"]),
        ("all='true'", "<f n='Temperature'/><f n='lamp'/>", ["temperature", "lamp"]),
        ("m='true'", "<f n='nothing'/>", []),
        ("all='true' from='2026-11-22T14:02:12Z'", "", []),
        (
            "all='true' from='2026-11-22T14:02:11Z' to='2026-11-22T15:02:11+01:00'",
            "",
            ["temperature", "humidity", "lamp", "serial"],
        ),
        ("all='true' to='2026-11-22T14:02:10Z'", "", []),
        ("m='true'", "<nd id='porch'/>", ["temperature", "humidity"]),
    ],
)
def test_sd_2_what_is_asked_for_is_answered(ben, attributes, children, found):
    assert names(ask(ben, f"<req xmlns='{NF}' id='1' {attributes}>{children}</req>")) == found


def test_l_2_identity_is_spelled_out_and_so_is_history(ben):
    assert names(ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' identity='true'/>")) == ["serial"]
    assert names(ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' identification='1'/>")) == ["serial"]
    _, data = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' historicalHour='true'/>")
    assert f"<fields xmlns='{LEGACY}' seqnr='1' done='true'/>" in data
    assert names(ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' all='true'><field name='lamp'/></req>")) == ["lamp"]


def test_sd_6_a_node_is_answered_when_a_node_was_asked(ben):
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' i='true'><nd id='porch'/></req>")
    assert "<nd id='porch'><ts v=" in answer
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' i='true'/>")
    assert "<nd" not in answer


@pytest.mark.parametrize(
    ("request_", "condition"),
    [
        (f"<req xmlns='{NF}' m='true'/>", "<error type='modify'><bad-request"),
        (f"<req xmlns='{NF}' id='1' m='perhaps'/>", "<error type='modify'><bad-request"),
        (f"<req xmlns='{NF}' id='1' from='yesterday'/>", "<error type='modify'><bad-request"),
        (f"<req xmlns='{NF}' id='1'><nd id='cellar'/></req>", "<error type='cancel'><item-not-found"),
        (f"<req xmlns='{NF}' id='1'>" + "<f n='a'/>" * 201 + "</req>", "<error type='modify'><bad-request"),
        (f"<req xmlns='{LEGACY}' momentary='true'/>", "<error type='modify'><bad-request"),
        (f"<req xmlns='{LEGACY}' seqnr='one'/>", "<error type='modify'><bad-request"),
        (
            f"<req xmlns='{LEGACY}' seqnr='1'><node nodeId='cellar'/></req>",
            "<error type='cancel'><item-not-found",
        ),
    ],
)
def test_sd_8_and_l_3_what_is_wrong_is_refused(ben, request_, condition):
    (answer,) = ask(ben, request_)
    assert condition in answer


def test_sd_7_what_is_wrong_comes_beside_the_values(hub, ben, porch, board):
    board.pull("USB cable gone")
    until(hub, lambda: not porch.online)
    assert ben.heard
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' m='true'/>")
    assert names([answer]) == ["temperature", "humidity"]
    assert re.search(r"<ts v='[^']*'><err>Porch is offline since \d\d:\d\d: USB cable gone</err></ts></resp>", answer)
    _, data, failure = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' momentary='true'/>")
    assert f"<fields xmlns='{LEGACY}' seqnr='1'><node" in data
    assert re.search(
        rf"<failure xmlns='{LEGACY}' seqnr='1' done='true'>"
        "<error nodeId='porch' timestamp='[^']*'>Porch is off",
        failure,
    )


def test_a_thing_that_has_not_been_read_says_so(ben, porch):
    porch.readings.clear()
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1'/>")
    assert "<err>There is no reading yet.</err>" in answer
    _, failure = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1'/>")
    assert "<failure" in failure


def test_what_has_no_value_is_told_beside_those_that_have(ben):
    err = "<err>There is no reading of water.</err>"
    for request in ("all='true'", "m='true'"):
        assert err in ask(ben, f"<req xmlns='{NF}' id='1' {request}/>")[0]
    for request in ("s='true'", "h='true'"):
        assert err not in ask(ben, f"<req xmlns='{NF}' id='1' {request}/>")[0]
    assert "<err" not in ask(ben, f"<req xmlns='{NF}' id='1'><f n='lamp'/></req>")[0]


def test_l_2_what_has_no_value_is_a_failure_only_for_who_has_named_it(ben):
    _, failure = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' all='true'><field name='water'/></req>")
    assert "<failure" in failure and "There is no reading of water." in failure
    _, data = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' all='true'/>")
    assert f"<fields xmlns='{LEGACY}' seqnr='1' done='true'><node" in data


def test_who_subscribes_is_not_told_each_time_what_has_no_value(ben, porch):
    ask(ben, "<subscribe xmlns='urn:nf:iot:events:1.0' id='1' req='true'/>")
    porch.report({"temperature": "25.0"})
    assert "<err" not in "".join(ben.heard)


def test_why_values_are_old_is_told_beside_them(ben, porch):
    porch.fault = "no answer from unit 3"
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' m='true'/>")
    assert "<err>Not read: no answer from unit 3.</err>" in answer
    assert names([answer]) == ["temperature", "humidity"]


def test_sd_10_no_stanza_is_larger_than_10_kb(ben, porch):
    porch.fields = {f"f{each}": Field(f"f{each}", unit="µg/m³") for each in range(600)}
    porch.report(dict.fromkeys(porch.fields, "21.4"))
    for inner in (f"<req xmlns='{NF}' id='1'/>", f"<req xmlns='{LEGACY}' seqnr='1'/>"):
        answers = ask(ben, inner)
        assert len(answers) > 2
        assert max(len(each.encode()) for each in answers) < 10_000
        assert names(answers) == list(porch.fields)
    first, *between, last = ask(ben, f"<req xmlns='{NF}' id='1'/>")
    assert "type='result'" in first
    assert all(each.startswith("<message") and "more='true'" in each for each in between)
    assert "more=" not in last


def test_values_keep_their_text_and_integers_the_element_of_their_size(ben, porch):
    porch.fields = {"n": Field("n", type="integer"), "t": Field("t"), "e": Field("e", type="enum")}
    for number, element in (("2147483647", "i"), ("2147483648", "l"), ("many", "s")):
        porch.report({"n": number})
        (answer,) = ask(ben, f"<req xmlns='{NF}' id='1'><f n='n'/></req>")
        assert f"<{element} n='n' v='{number}'" in answer
    porch.report({"t": "10.00", "e": "eco"})
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1'/>")
    assert "<q n='t' v='10.00'" in answer
    assert "<e n='e' v='eco' m='true' ar='true' t='e'/>" in answer
    assert "<enum name='e' value='eco'" in "".join(ask(ben, f"<req xmlns='{LEGACY}' seqnr='1'/>"))


def soon(seconds):
    return stamp.format(time.time() + seconds)


@pytest.mark.parametrize(
    ("ns", "id", "queued"),
    [(NF, "id", "id='7' queued='true'"), (LEGACY, "seqnr", "seqnr='7' queued='true'")],
)
def test_sd_5_a_readout_ordered_for_later_comes_then(ben, later, ns, id, queued):
    (accepted,) = ask(ben, f"<req xmlns='{ns}' {id}='7' all='true' when='{soon(100)}'/>")
    assert f"<accepted xmlns='{ns}' {queued}/>" in accepted
    later(90)
    assert ben.heard == []
    later(11)
    started, data = ben.heard
    assert started == (
        f"<message from='porch@hub.local/hw' to='ben@hub.local/desk'><started xmlns='{ns}' {id}='7'/></message>"
    )
    assert "21.40" in data


@pytest.mark.parametrize("type", ["get", "set"])
def test_sd_9_a_readout_is_cancelled(ben, later, type):
    ask(ben, f"<req xmlns='{NF}' id='7' when='{soon(100)}'/>")
    (answer,) = ben.says(f"<iq type='{type}' to='porch@hub.local' id='c'><cancel xmlns='{NF}' id='7'/></iq>").heard
    assert answer == "<iq type='result' from='porch@hub.local' to='ben@hub.local/desk' id='c'/>"
    ask(ben, f"<req xmlns='{LEGACY}' seqnr='7' when='{soon(100)}'/>")
    (answer,) = ask(ben, f"<cancel xmlns='{LEGACY}' seqnr='7'/>", type=type)
    assert f"<cancelled xmlns='{LEGACY}' seqnr='7'/>" in answer
    (answer,) = ask(ben, f"<cancel xmlns='{LEGACY}' seqnr='99'/>", type=type)
    assert "type='result'" in answer
    later(101)
    assert ben.heard == []


def test_one_cannot_cancel_for_another(ann, ben, later):
    ask(ben, f"<req xmlns='{NF}' id='7' when='{soon(100)}'/>")
    ask(ann, f"<cancel xmlns='{NF}' id='7'/>", type="set")
    later(101)
    assert len(ben.heard) == 2


def test_who_may_not_read_any_more_gets_no_late_data(ben, later, run, hub, porch):
    ask(ben, f"<req xmlns='{NF}' id='7' when='{soon(100)}'/>")
    run(hub.need("roster").set_subscription(porch.jid, parse("ben@hub.local"), "none"))
    later(101)
    assert ben.heard == []


def test_a_thing_that_has_been_taken_out_sends_no_late_data(ben, later, hub, porch, board):
    ask(ben, f"<req xmlns='{NF}' id='7' when='{soon(100)}'/>")
    hub.things[porch.jid] = Thing(porch.jid, "Porch", "script", board)
    later(101)
    assert ben.heard == []


def test_readouts_that_wait_are_bounded(ben):
    for each in range(20):
        ask(ben, f"<req xmlns='{NF}' id='{each}' when='{soon(100)}'/>")
    ask(ben, f"<req xmlns='{NF}' id='0' when='{soon(200)}'/>")  # takes the place of its own
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='x' when='{soon(100)}'/>")
    assert "<error type='wait'><resource-constraint" in answer
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='0' when='{soon(8 * 86400)}'/>")
    assert "bad-request" in answer
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='y' when='{soon(-8)}' i='true'/>")
    assert "A1" in answer


def test_l_7_all_namespaces_are_advertised(ben):
    (info,) = ask(ben, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    for ns in (*SHORT, *(ns.replace(":sd:", ":events:") for ns in SHORT), LEGACY):
        assert f"<feature var='{ns}'/>" in info


def test_a_peer_elsewhere_reads_with_a_subscription(hub, porch, run, remote):
    kim = parse("kim@cabin.example/app")
    run(hub.need("roster").set_subscription(porch.jid, kim.bare, "from"))
    for inner, count in ((f"<req xmlns='{NF}' id='1'/>", 1), (f"<req xmlns='{LEGACY}' seqnr='1'/>", 2)):
        question = stanza_of(f"<iq type='get' to='porch@hub.local/hw' id='1'>{inner}</iq>")
        question.sender = kim
        hub.route(question, object())
        settle(hub)
        assert [each.to for each in remote()] == [kim] * count


# History


@pytest.fixture
def yesterday(hub, porch):
    """The temperature of three hours."""
    hub.need("history").series.clear()
    for hours, text in ((3, "18.0"), (2, "19.5"), (1, "20.0")):
        porch.now = lambda hours=hours: AT - hours * 3600
        porch.report({"temperature": text, "lamp": "true" if hours == 2 else "false"})
    porch.now = lambda: AT
    porch.report({"temperature": "21.40"})
    return porch


def test_historical_values_are_told_one_by_one_and_marked(ben, yesterday):
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' h='true'><f n='temperature'/></req>")
    values = re.findall(r"<ts v='([^']+)'>(<q[^>]+>)", answer)
    assert [at for at, _ in values] == [f"2026-11-22T{hour}:02:11Z" for hour in (11, 12, 13)]
    assert [re.search(r" v='([^']+)'", each)[1] for _, each in values] == ["18.0", "19.5", "20.0"]
    assert all(" h='true'" in each and " m=" not in each for _, each in values)


def test_from_a_time_on_all_values_are_told_also_that_of_now(ben, yesterday):
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' from='2026-11-22T12:30:00Z'><f n='temperature'/></req>")
    assert re.findall(r" v='([\d.]+)'", answer) == ["20.0", "21.40"]
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' m='true' from='2026-11-22T12:30:00Z'><f n='temperature'/></req>")
    assert re.findall(r" v='([\d.]+)'", answer) == ["21.40"], "history was not asked for"


def test_in_the_older_namespace_a_status_of_before_is_both(ben, yesterday):
    _, data = ask(ben, f"<req xmlns='{LEGACY}' seqnr='1' historical='true'><field name='lamp'/></req>")
    lamps = re.findall(r"<boolean[^>]+>", data)
    assert [" status='true'" in each and " historicalOther='true'" in each for each in lamps] == [True]


def test_of_too_many_values_means_are_told(ben, yesterday, monkeypatch):
    monkeypatch.setattr("node.things.sensor.PAST", 2)
    (answer,) = ask(
        ben,
        f"<req xmlns='{NF}' id='1' h='true' from='2026-11-22T11:02:11Z' to='2026-11-22T13:02:11Z'>"
        "<f n='temperature'/></req>",
    )
    assert re.findall(r" v='([\d.]+)'", answer) == ["18.0", "19.5"]
    assert answer.count(" c='true'") == 2
    history, wanted = ben.hub.need("history"), []
    real = history.samples
    monkeypatch.setattr(history, "samples", lambda *args: wanted.append(args[-1]) or real(*args))
    (answer,) = ask(ben, f"<req xmlns='{NF}' id='1' h='true' from='2026-11-22T11:02:11Z' to='2026-11-22T13:02:11Z'/>")
    assert answer.count(" c='true'") == 2, "of a thing with more fields one each, and of two of them there is something"
    assert set(wanted) == {3}, "no more are looked at than it takes to see that they are too many"
