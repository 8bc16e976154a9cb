"""What followers of a thing see, how often, and how one becomes a follower."""

import asyncio
import re

import pytest

from node.base.jid import parse
from node.base.stanza import CLIENT, Stanza
from node.hub.driver import DriverError, Field
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things.access import Options
from node.things.picture import digest
from node.things.presence import BURST, MOMENT
from tests.conftest import settle
from tests.things.conftest import arrived, stanza_of, until

PICTURE = f"<x xmlns='vcard-temp:x:update'><photo>{digest('board')}</photo></x>"


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
    assert heard[0] == (
        "<presence to='ann@hub.local' from='porch@hub.local' type='subscribed'>"
        "<nick xmlns='http://jabber.org/protocol/nick'>Porch</nick></presence>"
    )
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


def test_every_presence_says_by_its_hash_which_picture_the_thing_has(hub, ann, porch, board):
    porch.report({"temperature": "25.0"})
    porch._turn(stale=True)
    porch._turn(online=False, reason="unplugged")
    porch._turn(online=True, stale=False, reason="")
    hub.tell("stopping")
    heard = ann.heard
    assert len(heard) == 5
    assert all(PICTURE in each for each in heard)
    assert PICTURE in ann.says("<presence to='porch@hub.local' type='probe'/>").heard[0]


def test_the_picture_is_another_one_when_the_board_turns_out_to_be_something_else(ann, porch, board):
    board.fields, board.controls = board.fields[:1], ()
    porch.described()
    (presence,) = ann.heard
    assert digest("thermometer") in presence
    porch.label = "Kitchen lamp"
    porch.described()
    assert digest("lamp") in ann.says("<presence to='porch@hub.local' type='probe'/>").heard[0]


def test_which_picture_it_is_is_not_found_out_for_each_reading(hub, ann, porch, monkeypatch):
    monkeypatch.setattr("node.things.picture.name", lambda thing: pytest.fail("it is found out again"))
    for number in range(3):
        porch.report({"temperature": f"3{number}.0"})
    assert sum(PICTURE in each for each in ann.heard) == 3


def test_its_name_comes_with_what_it_says_first_and_never_with_what_all_see(ann, hub, person, porch):
    nick = "<nick xmlns='http://jabber.org/protocol/nick'>Porch</nick>"
    ben = arrived(person("ben@hub.local/desk")).says("<presence to='porch@hub.local' type='subscribe'/>")
    assert nick in ann.heard[-1], "the owner is asked"
    ann.says("<message to='porch@hub.local/hw'><body>approve ben@hub.local</body></message>")
    porch.report({"temperature": "25.0"})
    told = [each for each in ben.heard if "from='porch" in each]
    assert [nick in each for each in told] == [True, False, True, False]  # subscribed, as it is, greeting, a change
    ann.says("<message to='porch@hub.local/hw'><body>deny ben@hub.local</body></message>")
    assert not any("<nick" in each for each in ben.heard)


def names(person):
    """What the things are called in the contact list of somebody."""
    person.says("<iq type='get' id='names'><query xmlns='jabber:iq:roster'/></iq>")
    (roster,) = [each for each in person.heard if "id='names'" in each]
    return re.findall(r"<item jid='porch@hub.local'(?: name='(.*?)')?", roster)


def test_who_has_given_a_thing_no_name_has_it_in_his_contact_list_under_its_own(person, porch):
    ann = arrived(person("ann@hub.local/phone"))
    heard = ann.says("<presence to='porch@hub.local' type='subscribe'/>").heard
    assert any("jabber:iq:roster" in each and "name='Porch'" in each for each in heard)
    assert names(ann) == ["Porch"]
    item = "<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='porch@hub.local'%s/></query></iq>"
    ann.says(item % "").says("<presence to='porch@hub.local' type='subscribe'/>")
    assert names(ann) == [""], "he wants none"


def test_who_has_given_a_thing_a_name_keeps_it(person, porch):
    ann = arrived(person("ann@hub.local/phone"))
    item = "<item jid='porch@hub.local' name='Out there'/>"
    ann.says(f"<iq type='set' id='2'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
    ann.says("<presence to='porch@hub.local' type='subscribe'/>")
    assert names(ann) == ["Out there"]


def test_the_name_is_told_to_all_who_have_the_contact_list_open(hub, ann, porch, run):
    run(hub.need("roster").set_subscription(porch.jid, ann.jid.bare, "none"))
    ann.says("<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='porch@hub.local'/></query></iq>")
    assert names(ann) == [""]
    run(hub.need("followers").approve(porch, ann.jid.bare))
    assert any("type='set'" in each and "name='Porch' subscription='to'" in each for each in ann.heard)


def test_a_contact_list_without_room_for_the_name_is_no_reason_not_to_let_follow(person, porch, monkeypatch, caplog):
    ann = arrived(person("ann@hub.local/phone"))
    monkeypatch.setattr("node.features.roster.TEXTS_LIMIT", len("porch@hub.local"))
    heard = ann.says("<presence to='porch@hub.local' type='subscribe'/>").heard
    assert "Hello, I am Porch" in heard[-1]
    assert "has no name in the contact list of ann@hub.local" in caplog.text


def test_who_comes_back_is_seen_with_readings_or_after_a_moment_without(ann, porch, later):
    all_of_them = {"temperature": "20.0", "humidity": "48", "lamp": "true"}
    for readings, status in ((all_of_them, "20.0 °C · 48 % · lamp on"), ({}, "no reading yet")):
        porch._turn(online=False, reason="unplugged")
        assert seen(ann) == [("unavailable", "unplugged")]
        porch.readings = {}
        porch._turn(online=True, reason="")
        assert seen(ann) == []
        porch.report(readings)
        assert [each for each in seen(ann) if readings] == ([("online", status)] if readings else [])
        later(MOMENT)
        assert seen(ann) == ([] if readings else [("online", status)])


@pytest.fixture
def started(hub, ann, porch):
    """The porch as it is when the node has been started again, and has not told anything of itself yet."""
    porch._turn(online=False)
    porch.readings = {}
    hub.need("followers").appeared(porch)
    porch._listeners.pop()  # it listened already
    porch._turn(online=True, reason="")
    assert [kind for kind, _ in seen(ann)] == ["unavailable"]
    return porch


def test_after_a_start_a_thing_tells_its_first_state_and_then_once_an_interval(ann, started, later):
    for values in ({"temperature": "20.0"}, {"humidity": "48"}, {"lamp": "true"}):
        started.report(values)
    assert seen(ann) == [("online", "20.0 °C · 48 % · lamp on")]
    for number in range(10):
        started.report({"temperature": f"3{number}.0"})
        later(5)
    assert seen(ann) == []
    later(10)
    assert seen(ann) == [("online", "39.0 °C · 48 % · lamp on")]
    for _ in range(BURST):
        later(60)
    uses_up_the_burst(ann, started)


def test_what_was_gone_and_is_back_has_not_been_started(ann, started, later):
    started.report({"temperature": "20.0", "humidity": "48", "lamp": "true"})
    later(BURST * 60)
    started._turn(online=False, reason="unplugged")
    started._turn(online=True, reason="")
    assert len(seen(ann)) == 3
    uses_up_the_burst(ann, started)


def test_after_a_start_what_had_no_value_yet_is_told_when_it_has_one(ann, started, later):
    started.report({"temperature": "20.0", "humidity": "48"})
    later(MOMENT)
    assert seen(ann) == [("online", "20.0 °C · 48 %")]
    started.report({"lamp": "true"})
    assert seen(ann) == [("online", "20.0 °C · 48 % · lamp on")]
    started.report({"humidity": "49"})
    assert seen(ann) == []


def test_what_people_switch_is_seen_at_once_some_times_more(ann, started, later):
    started.report({"temperature": "20.0", "humidity": "48", "lamp": "false"})
    assert len(seen(ann)) == 1
    for number in range(BURST):
        started.report({"temperature": f"3{number}.0"})
        assert seen(ann) == []
        lamp = "off" if number % 2 else "on"
        started.report({"lamp": "false" if number % 2 else "true"})
        assert seen(ann) == [("online", f"3{number}.0 °C · 48 % · lamp {lamp}")]
    started.report({"lamp": "false"})
    assert seen(ann) == [], "somebody plays, or it blinks"
    later(60)
    assert seen(ann) == [("online", f"3{BURST - 1}.0 °C · 48 % · lamp off")]
    started.report({"temperature": "50.0"})
    assert seen(ann) == []
    later(60)
    assert seen(ann) == [("online", "50.0 °C · 48 % · lamp off")], "and no longer than that"


def test_after_a_start_an_alarm_is_told_at_once(ann, started):
    started.report({"water": "true"})
    assert seen(ann) == [("dnd", "⚠ water in the cellar")]
    started.report({"water": "false"})
    assert [kind for kind, _ in seen(ann)] == ["online"]
    started.report({"water": "true"})
    assert [kind for kind, _ in seen(ann)] == ["dnd"]


def test_who_was_back_for_less_than_a_moment_was_not_seen(ann, porch, later):
    porch._turn(online=False, reason="unplugged")
    assert seen(ann) == [("unavailable", "unplugged")]
    porch.readings = {}
    porch._turn(online=True, reason="")
    porch._turn(online=False, reason="unplugged")
    later(2 * MOMENT)
    assert seen(ann) == []


def test_a_door_is_seen_to_open_while_something_else_drifts(ann, porch, board):
    board.fields = (board.fields[0], Field("door", "boolean"))
    porch.described()
    porch.report({"door": "false"})
    seen(ann)
    for number in range(2 * BURST):
        porch.report({"temperature": f"3{number}.0"})
    seen(ann)
    porch.report({"door": "true"})
    assert [status for _, status in seen(ann)] == ["39.0 °C · door open"]


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
    assert 13 <= sum(switches() for _ in range(600)) <= 15
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
        f"<status>USB cable gone: /dev/ttyUSB0</status>{PICTURE}</presence>"
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


@pytest.fixture
def read(run, porch, board):
    """`read("no answer")` is a read that fails, `read()` one that does not."""

    def read(fault="", **readings):
        async def of_it():
            if fault:
                raise DriverError(fault)
            return readings

        board.read = of_it
        run(porch._read())

    return read


def test_a_read_that_fails_is_seen_and_so_is_the_next_that_does_not(ann, read):
    read("no answer from unit 3")
    assert seen(ann) == [("online", "not read: no answer from unit 3 (last 21.40 °C · 48 % · lamp off)")]
    read("no answer from unit 3")
    assert seen(ann) == []
    read()
    assert seen(ann) == [("online", "21.40 °C · 48 % · lamp off")]
    read("the checksum is wrong")
    assert [status[:31] for _, status in seen(ann)] == ["not read: the checksum is wrong"]
    read(temperature="22.0")
    assert seen(ann) == [("online", "22.0 °C · 48 % · lamp off")], "once"


def test_reads_that_fail_now_and_then_are_told_once_an_interval(ann, read, later):
    for _ in range(100):
        read("the checksum is wrong")
        read()
    assert len(seen(ann)) == BURST
    later(60)
    read("the checksum is wrong")
    assert len(seen(ann)) == 1


def test_who_is_silent_says_why_and_an_alarm_stays_first(ann, porch, read):
    porch.last = 1795356131.0
    read("no answer")
    seen(ann)
    porch._turn(stale=True)
    ((kind, status),) = seen(ann)
    assert kind == "away"
    assert re.fullmatch(r"no reading since .*: no answer \(last 21.40 °C · 48 % · lamp off\)", status)
    porch._turn(stale=False)
    seen(ann)
    porch.report({"water": "true"})
    assert seen(ann) == [("dnd", "⚠ water in the cellar · not read: no answer (last 21.40 °C · 48 % · lamp off)")]


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
