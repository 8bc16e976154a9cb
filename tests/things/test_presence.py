"""What followers of a thing see, how often, and how one becomes a follower."""

import asyncio
import re

import pytest

from node.base.jid import parse
from node.base.stanza import CLIENT, Stanza
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things.access import Options
from node.things.presence import BURST, MOMENT
from tests.conftest import settle
from tests.things.conftest import arrived, stanza_of, until


def seen(person):
    """Type or show, and status, of each presence heard; the rest is left out."""
    found = []
    for each in person.heard:
        if each.startswith("<presence"):
            type = re.search(r"type='(\w+)'", each)
            show, status = re.search("<show>(.*)</show>", each), re.search("<status>(.*)</status>", each)
            kind = type[1] if type else show[1] if show else "online"
            found.append((kind, status[1] if status else ""))
    return found


def test_one_whom_access_approves_follows_at_once_and_is_greeted_once(person, porch, hub):
    ann = arrived(person("ann@hub.local/phone"))
    heard = [each for each in ann.says("<presence to='porch@hub.local' type='subscribe'/>").heard if "<iq" not in each]
    assert heard[0] == "<presence to='ann@hub.local' from='porch@hub.local' type='subscribed'/>"
    assert heard[1].startswith("<presence to='ann@hub.local' from='porch@hub.local/hw'>")
    assert "<status>21.40 °C · 48 % · lamp off</status>" in heard[1]
    assert heard[2].startswith("<message to='ann@hub.local' from='porch@hub.local/hw' type='chat'")
    assert "status · temperature? · set fade 4095 · lamp on · help" in heard[2]
    again = ann.says("<presence to='porch@hub.local' type='subscribe'/>").heard
    assert not any(each.startswith("<message") for each in again)


def test_a_presence_has_a_priority_and_the_capabilities_of_all_things(ann):
    (presence,) = ann.says("<presence to='porch@hub.local' type='probe'/>").heard
    assert "<priority>0</priority>" in presence
    assert "<c xmlns='http://jabber.org/protocol/caps'" in presence
    assert "<show>" not in presence
    assert "<idle" not in presence


def test_who_comes_back_is_seen_with_readings_or_after_a_moment_without(ann, porch, later):
    for readings, status in (({"temperature": "20.0"}, "20.0 °C"), ({}, "no reading yet")):
        porch._turn(online=False, reason="unplugged")
        assert seen(ann) == [("unavailable", "unplugged")]
        porch.readings = {}
        porch._turn(online=True, reason="")
        assert seen(ann) == []
        porch.report(readings)
        assert [each for each in seen(ann) if readings] == ([("online", status)] if readings else [])
        later(MOMENT)
        assert seen(ann) == ([] if readings else [("online", status)])


def test_who_was_back_for_less_than_a_moment_was_not_seen(ann, porch, later):
    porch._turn(online=False, reason="unplugged")
    assert seen(ann) == [("unavailable", "unplugged")]
    porch.readings = {}
    porch._turn(online=True, reason="")
    porch._turn(online=False, reason="unplugged")
    later(2 * MOMENT)
    assert seen(ann) == []


def uses_up_the_burst(ann, porch):
    for number in range(BURST):
        porch.report({"temperature": f"3{number}.0"})
        assert len(seen(ann)) == 1


def test_a_status_line_changes_some_times_at_once_and_then_once_an_interval(ann, porch, later):
    uses_up_the_burst(ann, porch)
    porch.report({"temperature": "23.0"})
    porch.report({"temperature": "24.0"})
    assert seen(ann) == []
    later(59)
    assert seen(ann) == []
    later(1)
    ((kind, status),) = seen(ann)
    assert (kind, status.split(" · ")[0]) == ("online", "24.0 °C")
    porch.report({"temperature": "25.0"})
    assert seen(ann) == []
    later(60)
    assert len(seen(ann)) == 1


def test_what_came_back_before_it_was_told_is_not_told(ann, porch, later):
    uses_up_the_burst(ann, porch)
    before = porch.readings["temperature"].value
    porch.report({"temperature": "23.0"})
    porch.report({"temperature": before})
    assert seen(ann) == []
    later(120)
    assert seen(ann) == []


def test_what_is_not_told_costs_neither_a_text_nor_another_timer(hub, ann, porch, monkeypatch):
    face, texts = hub.need("followers").faces[porch.jid], []
    monkeypatch.setattr("node.things.presence.status", lambda *about: texts.append(about) or f"text {len(texts)}")
    for number in range(5):
        porch.report({"temperature": f"21.{40 + number}"})
    assert (face.timer, texts) == (None, [])
    for number in range(20):
        porch.report({"temperature": f"{30 + number}.0"})
    assert (len(seen(ann)), len(texts)) == (BURST, BURST)
    timer = face.timer
    porch.report({"temperature": "60.0"})
    assert face.timer is timer is not None


def test_a_change_within_the_deadband_is_not_told_but_adds_up(ann, porch, later):
    porch.report({"temperature": "22.0"})
    seen(ann)
    later(61)
    porch.report({"temperature": "22.2"})
    later(61)
    assert seen(ann) == []
    porch.report({"temperature": "22.3"})
    assert [status[:7] for _, status in seen(ann)] == ["22.3 °C"]


def test_what_was_switched_is_told_at_once_and_once_an_interval_when_it_chatters(ann, porch, later):
    def switches():
        porch.report({"lamp": "false" if porch.readings["lamp"].value == "true" else "true"})
        later(1)
        return len(seen(ann))

    assert [switches() for _ in range(5)] == [1, 1, 1, 1, 1]
    assert 8 <= sum(switches() for _ in range(600)) <= 10
    later(600)
    seen(ann)
    assert [switches() for _ in range(5)] == [1, 1, 1, 1, 1]


def test_a_board_that_is_gone_is_offline_with_the_reason(hub, ann, porch, board):
    board.pull("USB cable gone: /dev/ttyUSB0")
    until(hub, lambda: not porch.online)
    assert seen(ann) == [("unavailable", "USB cable gone: /dev/ttyUSB0")]
    (answer,) = ann.says("<presence to='porch@hub.local' type='probe'/>").heard
    assert answer == (
        "<presence from='porch@hub.local/hw' to='ann@hub.local/phone' type='unavailable'>"
        "<status>USB cable gone: /dev/ttyUSB0</status></presence>"
    )


def test_a_silent_board_is_away_and_says_since_when(ann, porch):
    porch.last = 1795356131.0
    porch._turn(stale=True)
    (presence,) = ann.heard
    assert "<show>away</show>" in presence
    assert "(last 21.40 °C" in presence
    assert "<status>no reading since " in presence
    assert "<idle xmlns='urn:xmpp:idle:1' since='2026-11-22T14:02:11Z'/>" in presence
    porch.report({"temperature": "21.5"})
    assert [kind for kind, _ in seen(ann)] == ["online"]


def test_an_alarm_comes_first_and_at_once(ann, porch):
    porch.report({"temperature": "22.0"})
    seen(ann)
    porch.report({"water": "true"})
    assert seen(ann) == [("dnd", "⚠ water in the cellar · 22.0 °C · 48 % · lamp off")]
    porch.report({"water": "false"})
    assert seen(ann) == [("online", "22.0 °C · 48 % · lamp off")]


FADE = "<iq type='set' id='%s' to='porch@hub.local'><set xmlns='urn:nf:iot:ctr:1.0'><i n='fade' v='5'/></set></iq>"


def test_a_quick_command_is_no_news(ann):
    assert seen(ann.says(FADE % 1)) == []


def test_a_command_that_takes_long_is_dnd_until_it_is_done(hub, ann, porch, board, later):
    board.confirms.clear()
    stanza = stanza_of(FADE % 2)
    stanza.sender = ann.jid
    hub.route(stanza, ann)
    later(0)
    assert porch.busy
    later(0.5)
    assert ann.ears == []
    later(0.6)
    assert "<show>dnd</show>" in ann.ears[0]
    board.confirms.set()
    assert [kind for kind, _ in seen(ann)] == ["dnd", "online"]


def test_a_stranger_waits_and_the_owner_hears_of_it_once(ann, person, hub, porch):
    ben = arrived(person("ben@hub.local/desk"))
    ask = "<presence to='porch@hub.local' type='subscribe'/>"
    assert not any("porch@hub.local/hw" in each for each in ben.says(ask).says(ask).heard)
    (news,) = ann.heard
    assert news.startswith("<message to='ann@hub.local' from='porch@hub.local/hw' type='chat'")
    assert "ben@hub.local would like to follow me" in news
    assert hub.need("followers").waiting(porch) == ["ben@hub.local"]
    ann.says("<message type='chat' to='porch@hub.local/hw'><body>Approve ben@hub.local</body></message>")
    assert "ben@hub.local follows me now." in ann.heard[-1]
    told = [each for each in ben.heard if "<iq" not in each]
    assert [re.search(r"type='\w+'|$", each)[0] for each in told] == ["type='subscribed'", "", "type='chat'"]
    assert hub.need("followers").followers(porch) == ["ann@hub.local", "ben@hub.local"]


def test_one_who_is_denied_hears_so_and_may_ask_again(ann, person, hub, porch):
    ben = arrived(person("ben@hub.local/desk"))
    ben.says("<presence to='porch@hub.local' type='subscribe'/>")
    ann.says("<message to='porch@hub.local/hw'><body>deny ben@hub.local</body></message>")
    assert "<presence from='porch@hub.local' to='ben@hub.local' type='unsubscribed'/>" in ben.heard
    assert hub.need("followers").waiting(porch) == []
    assert ann.heard
    ben.says("<presence to='porch@hub.local' type='subscribe'/>")
    assert len(ann.heard) == 1


def test_a_request_is_taken_back(ann, person, hub, porch):
    ben = arrived(person("ben@hub.local/desk"))
    ben.says("<presence to='porch@hub.local' type='subscribe'/>")
    assert ben.heard
    ben.says("<presence to='porch@hub.local' type='unsubscribe'/>")
    assert hub.need("followers").waiting(porch) == []


@pytest.mark.parametrize(("type", "follows"), [("subscribe", False), ("unsubscribe", True)])
def test_a_disk_that_fails_is_told_in_the_log_and_changes_nothing(hub, porch, run, monkeypatch, caplog, type, follows):
    ann, roster = parse("ann@hub.local"), hub.need("roster")
    if follows:
        run(roster.set_subscription(porch.jid, ann, "from"))

    def full(connection):
        raise StoreError("the disk is full")

    monkeypatch.setattr("node.hub.store.commit", full)
    hub.route(Stanza("presence", type=type, sender=ann, to=porch.jid))
    settle(hub)
    monkeypatch.undo()
    assert f"porch: {type} of ann@hub.local is dropped" in caplog.text and "Traceback" not in caplog.text
    assert roster.subscribed(porch.jid, ann) == follows


def test_who_leaves_sees_the_thing_go(ann, hub, porch):
    heard = ann.says("<presence to='porch@hub.local' type='unsubscribe'/>").heard
    assert "<presence to='ann@hub.local' from='porch@hub.local/hw' type='unavailable'/>" in heard
    assert hub.need("followers").followers(porch) == []


def test_those_who_wait_are_bounded_and_the_owner_is_not_pestered(hub, ann, porch, run, caplog):
    followers = hub.need("followers")

    async def flood():
        await asyncio.gather(*(followers.asked(porch, parse(f"eve{each}@elsewhere.example")) for each in range(110)))

    run(flood())
    assert len(followers.waiting(porch)) == 100
    assert len([each for each in ann.heard if "would like to follow me" in each]) == 10
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "more than 10 would like to follow" in warning


def test_who_asks_and_takes_it_back_again_and_again_does_not_pester_the_owner(hub, ann, porch, later, run, caplog):
    followers, eve = hub.need("followers"), parse("eve@elsewhere.example")

    async def pester():
        for _ in range(20):
            await followers.asked(porch, eve)
            await followers.left(porch, eve)

    run(pester())
    assert len([each for each in ann.heard if "would like to follow me" in each]) == 10
    later(3601)
    run(followers.asked(porch, eve))
    assert len([each for each in ann.heard if "would like to follow me" in each]) == 1


def test_who_cannot_wait_is_named_in_the_log(hub, porch, run, monkeypatch, caplog):
    monkeypatch.setattr("node.features.roster.REQUESTS_LIMIT", 0)
    run(hub.need("followers").asked(porch, parse("eve@elsewhere.example")))
    assert "porch: eve@elsewhere.example would like to follow, but cannot wait" in caplog.text


def test_without_an_owner_the_log_says_so(hub, person, porch, caplog):
    hub.need("access").allow(Options())
    caplog.set_level("INFO")
    person("ben@hub.local/desk").says("<presence to='porch@hub.local' type='subscribe'/>")
    assert "[access] control names nobody" in caplog.text


def test_a_probe_of_somebody_with_a_grant_who_does_not_follow_mends_his_roster(hub, porch, remote):
    kim = parse("kim@friend.example")
    hub.route(Stanza("presence", type="probe", sender=kim, to=porch.jid), object())
    (answer,) = remote()
    assert (answer.type, answer.to, answer.sender) == ("unsubscribed", kim, porch.jid)


def test_a_follower_elsewhere_gets_one_presence_that_is_serialised_once(hub, porch, run, remote):
    roster = hub.need("roster")
    for name in ("kim", "lee"):
        run(roster.set_subscription(porch.jid, parse(f"{name}@friend.example"), "from"))
    porch.report({"temperature": "25.0"})
    first, second = remote()
    assert (first.to, second.to) == ("kim@friend.example", "lee@friend.example")
    assert first._tails is second._tails
    first.to_bytes(CLIENT)


def test_when_the_node_stops_the_followers_see_it(hub, porch, run, remote):
    run(hub.need("roster").set_subscription(porch.jid, parse("kim@friend.example"), "from"))
    hub.tell("stopping")
    (last,) = remote()
    assert last.type == "unavailable"


def test_before_the_hardware_was_tried_nobody_is_told(hub, run, remote, board):
    jid = parse("cellar@hub.local")
    run(hub.need("roster").set_subscription(jid, parse("kim@friend.example"), "from"))
    hub.things[jid] = Thing(jid=jid, label="Cellar", kind="script", driver=board)
    hub.tell("thing", hub.things[jid])
    assert remote() == []


@pytest.mark.parametrize("type", ["subscribed", "unsubscribed", "unavailable", None])
def test_other_presences_are_nothing_to_a_thing(ann, type):
    kind = f" type='{type}'" if type else ""
    heard = ann.says(f"<presence to='porch@hub.local/hw'{kind}/>").heard
    assert not any("from='porch" in each for each in heard)


def test_the_greeting_waits_for_the_subscription_and_has_one_id_in_the_archive(person, porch):
    ann = arrived(person("ann@hub.local/phone"))
    ann.says("<presence to='porch@hub.local' type='subscribe'/>")
    (greeting,) = [each for each in ann.heard if "Hello, I am Porch" in each]
    assert greeting.count("<stanza-id ") == 1
