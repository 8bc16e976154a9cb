"""EV-1 to EV-6: who subscribes is told of changes that are large enough, and of no more."""

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.things import events
from tests.things.conftest import stanza_of

FAMILIES = ("urn:nf:iot", "urn:nfi:iot", "urn:ieee:iot")
NF = "urn:nf:iot"
MACHINE = "kim@friend.example/hub"


def subscribe(person, inner="", family=NF, id="w1", type="set", **more):
    more = "".join(f" {name}='{value}'" for name, value in more.items())
    return person.says(
        f"<iq type='{type}' to='porch@hub.local/hw' id='S1'>"
        f"<subscribe xmlns='{family}:events:1.0' id='{id}'{more}>{inner}</subscribe></iq>"
    ).heard


def data(person, family=NF):
    return [each for each in person.heard if f"<resp xmlns='{family}:sd:1.0'" in each]


def warm(porch, *values):
    for value in values:
        porch.report({"temperature": value})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("type", ["get", "set"])
def test_ev_1_2_the_answer_and_the_data_are_in_the_sensor_namespace_of_the_same_family(ben, porch, family, type):
    (accepted,) = subscribe(ben, "<f n='temperature'/>", family=family, type=type, m="true")
    assert accepted == (
        "<iq type='result' from='porch@hub.local/hw' to='ben@hub.local/desk' id='S1'>"
        f"<accepted xmlns='{family}:sd:1.0' id='w1'/></iq>"
    )
    porch.now = lambda: 1795356131.0
    warm(porch, "22.0")
    (message,) = data(ben, family)
    assert message == (
        "<message from='porch@hub.local/hw' to='ben@hub.local/desk'>"
        f"<resp xmlns='{family}:sd:1.0' id='w1'><ts v='2026-11-22T14:02:11Z'>"
        "<q n='temperature' v='22.0' u='°C' m='true' ar='true'/></ts></resp></message>"
    )


def test_req_asks_for_the_values_at_once(ben):
    _, message = subscribe(ben, "<f n='Humidity'/>", req="true")
    assert "<i n='humidity' v='48'" in message
    assert "temperature" not in message


@pytest.mark.parametrize(
    ("rule", "values", "told"),
    [
        ("by='0.5'", ["21.8", "21.9", "22.0"], ["21.9"]),  # ≥, from 21.40, then from what was told
        ("v='22.0' by='0.5'", ["21.6", "21.5"], ["21.5"]),
        ("up='0.5'", ["20.0", "21.8", "21.9"], ["21.9"]),
        ("dn='0.5'", ["22.9", "21.0", "20.9"], ["20.9"]),
        ("up='1' dn='0.1'", ["21.9", "21.3"], ["21.3"]),
        ("", ["21.40", "21.41"], ["21.41"]),
        ("by='0'", ["21.40", "21.41"], ["21.41"]),
        ("by='0'", ["21.4", "21.40"], []),
    ],
)
def test_ev_3_a_change_is_told_when_it_is_as_large_as_was_said(ben, porch, later, rule, values, told):
    subscribe(ben, f"<f n='temperature' {rule}/>")
    heard = []
    for value in values:
        later(2)
        warm(porch, value)
        heard += [value for message in data(ben) if f"v='{value}'" in message]
    assert heard == told


def test_ev_3_a_boolean_counts_as_0_and_1_and_texts_are_above_or_below(porch):
    up = events.Rule(None, events.number("1"), None)
    assert up.fires("false", "true")
    assert not up.fires("true", "false")
    assert up.fires("eco", "hot")
    assert not up.fires("hot", "eco")


def test_ev_3_never_more_often_than_said_and_then_the_last_value(ben, porch, later):
    subscribe(ben, "<f n='temperature'/>", minInt="PT10S")
    warm(porch, "22.0")
    assert len(data(ben)) == 1
    warm(porch, "23.0", "24.0")
    assert data(ben) == []
    later(11)
    (message,) = data(ben)
    assert "v='24.0'" in message
    later(11)
    assert data(ben) == [], "nothing new"


def test_ev_3_after_the_longest_silence_they_are_told_though_nothing_has_changed(ben, porch, later):
    subscribe(ben, "<f n='temperature' by='5'/>", maxInt="PT5M")
    later(299)
    assert data(ben) == []
    later(2)
    assert len(data(ben)) == 1
    later(301)
    assert len(data(ben)) == 1


def test_ev_3_the_longest_silence_is_counted_from_what_was_told_last(ben, porch, later):
    subscribe(ben, "<f n='temperature' by='5'/>", maxInt="PT5M")
    later(200)
    warm(porch, "30")
    assert len(data(ben)) == 1
    later(200)
    assert data(ben) == []
    later(101)
    assert len(data(ben)) == 1


@pytest.mark.parametrize("value", ["NaN", "sNaN", "-NaN7", "Infinity", "9E999999999", "-9E999999999", "x"])
def test_no_reference_of_one_keeps_the_others_from_hearing(ben, ann, porch, value):
    subscribe(ben, f"<f n='temperature' by='0.1' v='{value}'/>")
    subscribe(ann, "<f n='temperature' by='0.1'/>")
    warm(porch, "22.0")
    assert len(data(ann)) == 1


def test_ev_5_who_may_read_no_longer_hears_no_more(hub, ben, ann, porch):
    subscribe(ben)
    ann.says("<message to='porch@hub.local' id='d'><body>deny ben@hub.local</body></message>")
    warm(porch, "22.0")
    assert data(ben) == []
    assert not hub.need("events").kept[porch.jid]


def test_a_field_or_category_that_was_not_asked_for_is_not_told(ben, porch, later):
    subscribe(ben, "<f n='humidity'/>")
    warm(porch, "22.0")
    assert data(ben) == []
    later(2)
    subscribe(ben, s="true")
    warm(porch, "23.0")
    assert data(ben) == []
    porch.report({"lamp": "true"})
    (message,) = data(ben)
    assert "<b n='lamp' v='true'" in message
    assert "temperature" not in message


def test_ev_4_the_same_id_takes_the_place_and_another_stands_beside(ben, porch):
    subscribe(ben, "<f n='temperature' by='50'/>")
    subscribe(ben, "<f n='temperature' by='0.1'/>")
    subscribe(ben, "<f n='temperature' by='0.1'/>", id="w2")
    warm(porch, "22.0")
    assert len(data(ben)) == 2


def test_ev_5_6_it_ends_when_he_says_so(ben, porch):
    subscribe(ben)
    ended = f"<iq type='set' to='porch@hub.local/hw' id='U'><unsubscribe xmlns='{NF}:events:1.0' id='w1'/></iq>"
    for _ in range(2):
        assert "type='result'" in ben.says(ended).heard[0]
    warm(porch, "22.0")
    assert data(ben) == []


def test_ev_5_it_ends_when_he_logs_out_goes_or_follows_no_longer(hub, ben, ann, porch):
    subscribe(ann)
    ann.leaves()
    warm(porch, "22.0")
    subscribe(ben)
    ben.says("<presence type='unavailable' to='porch@hub.local'/>")
    warm(porch, "23.0")
    assert data(ben) == []
    subscribe(ben)
    ben.says("<presence type='unsubscribe' to='porch@hub.local'/>")
    warm(porch, "24.0")
    assert data(ben) == []
    assert not hub.need("events").kept[porch.jid]


def test_ev_5_it_ends_when_a_message_comes_back(hub, porch, remote):
    ask = stanza_of(f"<iq type='set' to='porch@hub.local/hw' id='S1'><subscribe xmlns='{NF}:events:1.0' id='w1'/></iq>")
    ask.sender = parse(MACHINE)
    hub.route(ask, object())
    assert remote()[0].type == "result"
    warm(porch, "22.0")
    assert len(remote()) == 1
    hub.route(Stanza("message", type="error", sender=parse(MACHINE), to=porch.full), object())
    assert not hub.need("events").kept[porch.jid]


def test_ev_5_one_whose_server_is_gone_ends_no_others(hub, ann, porch, remote):
    for id in ("w1", "w2"):
        ask = f"<iq type='set' to='porch@hub.local/hw' id='S'><subscribe xmlns='{NF}:events:1.0' id='{id}'/></iq>"
        ask = stanza_of(ask)
        ask.sender = parse(MACHINE)
        hub.route(ask, object())
    subscribe(ann)
    hub.remote = None
    warm(porch, "22.0")
    assert [asker for asker, _ in hub.need("events").kept[porch.jid]] == ["ann@hub.local/phone"]
    assert len(data(ann)) == 1


def test_a_stranger_hears_what_a_missing_account_says(person, porch):
    eve = person("eve@hub.local/x")
    (answer,) = subscribe(eve)
    assert "service-unavailable" in answer


@pytest.mark.parametrize(
    ("inner", "more"),
    [
        ("", {"minInt": "soon"}),
        ("", {"maxInt": "P"}),
        ("", {"maxInt": "PT"}),
        ("", {"maxInt": "P1Y"}),
        ("<f n='temperature' by='x'/>", {}),
        ("<f n='temperature' by='-1'/>", {}),
        ("<f n='temperature' by='NaN'/>", {}),
        ("", {"req": "perhaps"}),
        ("", {"m": "perhaps"}),
        ("", {"id": ""}),
    ],
)
def test_what_makes_no_sense_is_a_bad_request(ben, inner, more):
    (answer,) = subscribe(ben, inner, **more)
    assert "<bad-request" in answer


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT1S", 1), ("PT5M", 300), ("P1DT2H", 93600), ("PT0.5S", 0.5), (None, None)]
)
def test_durations(text, seconds):
    assert events.duration(text) == seconds


def test_so_many_and_no_more(ben, monkeypatch):
    monkeypatch.setattr(events, "OF_ONE", 2)
    for number in range(2):
        assert "accepted" in subscribe(ben, id=f"w{number}")[0]
    assert "resource-constraint" in subscribe(ben, id="w3")[0]
    assert "accepted" in subscribe(ben, id="w1")[0], "that one it has"


def test_at_one_thing_there_are_so_many_and_of_one_person_however_many_clients_he_has(
    person, ann, ben, porch, monkeypatch
):
    monkeypatch.setattr(events, "OF_THING", 3)
    monkeypatch.setattr(events, "OF_ONE", 2)
    tablet = person("ben@hub.local/tablet")
    assert "accepted" in subscribe(ben)[0]
    assert "accepted" in subscribe(tablet)[0]
    assert "resource-constraint" in subscribe(ben, id="w2")[0]
    assert "accepted" in subscribe(ann)[0]
    assert "resource-constraint" in subscribe(ann, id="w2")[0]


def test_what_is_wished_is_kept_within_bounds(hub, ben, porch, later):
    subscribe(ben, minInt="PT0.1S", maxInt="PT0.5S")
    warm(porch, "22.0", "23.0")
    assert len(data(ben)) == 1
    later(0.5)
    assert data(ben) == []
    later(events.SOONEST - 0.5)
    assert len(data(ben)) == 1
    later(events.MOST_OFTEN - 1)
    assert data(ben) == []
    later(1)
    assert len(data(ben)) == 1


def test_no_times_of_a_readout_keep_an_event_back(ben, porch):
    subscribe(ben, "<f n='temperature'/>", to="2026-01-01T00:00:00Z")
    warm(porch, "22.0")
    (message,) = data(ben)
    assert "v='22.0'" in message


def test_ev_5_one_client_that_goes_leaves_the_other_and_no_follower_is_both(hub, person, ben, porch):
    tablet = person("ben@hub.local/tablet")
    for each in (ben, tablet):
        subscribe(each)
    gone = "<presence type='unavailable' to='porch@hub.local'/>"
    tablet.says(gone)
    warm(porch, "22.0")
    assert (len(data(ben)), len(data(tablet))) == (1, 0)
    subscribe(tablet)
    ben.says("<presence type='unsubscribe' to='porch@hub.local'/>")
    assert not hub.need("events").kept[porch.jid]


def test_a_thing_that_is_taken_out_leaves_no_timer(hub, ben, porch, later):
    subscribe(ben, maxInt="PT5M")
    hub.tell("thing gone", porch)
    assert porch.jid not in hub.need("events").kept
    later(400)
    assert data(ben) == []
