"""A machine (slixmpp) here and a board there: sensor data, history, events, control; and a board that has gone mad."""

import asyncio
import datetime
import time

import pytest
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from node.net.tty import RATE
from tests.bench.home import SETTINGS, THING, Board
from tests.live.peers import DEADLINE, Person
from tests.live.simavr import Uno
from tests.live.test_two_nodes import HOME, STOVE, is_online, stove, two

__all__ = ["two"]  # a fixture

MACHINE = f"{STOVE}/hw"
SECONDS = 10  # of noise at the most that is read
SHARE = 0.1  # of a core, for all of the node while a board spews; less than 0.01 was seen
SD, CONTROL, EVENTS = (f"urn:nf:iot:{interface}:1.0" for interface in ("sd", "ctr", "events"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uno")


@pytest.fixture
def uno(cache, tmp_path):
    with Uno(cache, tmp_path / "ttyACM0") as uno:
        yield uno


async def hub_at(home):
    """A program of ann's, which sees the board."""
    hub = await Person(f"ann@{HOME}/program", home).logs_in()
    hub.register_handler(Callback("data", MatchXPath(f"{{jabber:client}}message/{{{SD}}}resp"), hub._comes))
    hub.send_presence_subscription(STOVE)
    await hub.hears(is_online(MACHINE))
    return hub


async def asks(hub, type, name, ns, *children, **attrs):
    """The payload of the answer."""
    iq = hub.make_iq(itype=type, ito=MACHINE)
    asked = ET.SubElement(iq.xml, f"{{{ns}}}{name}", attrs)
    for child, of in children:
        ET.SubElement(asked, f"{{{ns}}}{child}", of)
    return next(iter((await iq.send(timeout=DEADLINE)).xml), None)


async def told(hub, id, condition=lambda values: True):
    """The values by field of the next message with data for that id of which this is true."""
    found = {}

    def is_it(stanza):
        data = stanza.xml.find(f"{{{SD}}}resp[@id='{id}']")
        if data is None:
            return False
        found.clear()
        found.update({each.get("n"): each.get("v") for each in data.iter() if each.get("n")})
        return condition(found)

    await hub.hears(is_it)
    return found


def values(payload, name, **flags):
    """What was said of a field with these flags, oldest first."""
    assert payload.tag == f"{{{SD}}}resp"
    return [
        each.get("v")
        for each in payload.iter()
        if each.get("n") == name and all(each.get(flag) == value for flag, value in flags.items())
    ]


def test_events_come_from_the_other_node_and_end_when_the_machine_says_so(two_nodes, uno, run):
    home, _ = two_nodes

    async def talk():
        hub = await hub_at(home)
        accepted = await asks(hub, "set", "subscribe", EVENTS, ("f", {"n": "light", "by": "5"}), id="e1", req="true")
        assert (accepted.tag, accepted.get("id")) == (f"{{{SD}}}accepted", "e1")
        assert list(await told(hub, "e1")) == ["light"]
        for millivolts, light in ((4000, 80), (1000, 20)):
            uno.light(millivolts)
            await told(hub, "e1", lambda values, light=light: abs(float(values["light"]) - light) < 1)
        await asks(hub, "set", "unsubscribe", EVENTS, id="e1")
        hub.came.clear()
        uno.light(4000)
        while True:  # what it would tell would come before the answer
            now = await asks(hub, "get", "req", SD, ("f", {"n": "light"}), id="r1", m="true")
            if abs(float(values(now, "light")[0]) - 80) < 1:
                break
        assert not [each for each in hub.came if each.xml.find(f"{{{SD}}}resp") is not None]
        await hub.leaves()

    run(talk())


def test_what_it_sets_is_confirmed_by_the_board_and_read_back_now_and_as_history(two_nodes, uno, run):
    home, _ = two_nodes

    async def talk():
        hub = await hub_at(home)
        begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
        for value in ("true", "false", "true"):
            answer = await asks(hub, "set", "set", CONTROL, ("b", {"n": "lamp", "v": value}))
            assert answer.tag == f"{{{CONTROL}}}resp"
            await asyncio.sleep(0.2)  # history knows tenths of a second
        assert sum(event.text == "pin 13 1" for event in uno.events) == 2
        now = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r1", m="true")
        assert values(now, "lamp") == ["true"]
        since = begun.isoformat(timespec="seconds").replace("+00:00", "Z")
        past = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r2", h="true", **{"from": since})
        assert "true false" in " ".join(values(past, "lamp", h="true"))
        before = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r3", h="true", **{"to": since})
        assert "true" not in values(before, "lamp")
        with pytest.raises(IqError) as caught:
            await asks(hub, "set", "set", CONTROL, ("b", {"n": "heater", "v": "true"}))
        assert caught.value.condition == "item-not-found"
        await hub.leaves()

    run(talk())


def test_a_machine_without_a_grant_reads_and_sets_nothing(two_nodes, uno, run):
    home, _ = two_nodes

    async def talk():
        bob = await Person(f"bob@{HOME}/program", home).logs_in()
        for question in (
            asks(bob, "get", "req", SD, id="r1", all="true"),
            asks(bob, "set", "subscribe", EVENTS, id="e1"),
            asks(bob, "set", "set", CONTROL, ("b", {"n": "lamp", "v": "true"})),
        ):
            with pytest.raises(IqError) as stranger:
                await question
            assert stranger.value.condition == "service-unavailable"
        bob.send_presence_subscription(STOVE)
        await bob.hears(is_online(MACHINE))
        assert values(await asks(bob, "get", "req", SD, id="r2", all="true"), "lamp") == ["false"]
        with pytest.raises(IqError) as caught:
            await asks(bob, "set", "set", CONTROL, ("b", {"n": "lamp", "v": "true"}))
        assert caught.value.condition == "forbidden"
        assert not any(event.text == "pin 13 1" for event in uno.events)
        await bob.leaves()

    run(talk())


@pytest.fixture
def two_nodes(two, uno):
    return two(stove(uno))


def test_a_board_that_is_unplugged_in_the_middle_is_an_error_and_then_data_again(two_nodes, uno, run):
    home, _ = two_nodes

    async def talk():
        hub = await hub_at(home)
        uno.hang()
        command = asyncio.ensure_future(asks(hub, "set", "set", CONTROL, ("b", {"n": "lamp", "v": "true"})))
        uno.kill()
        with pytest.raises(IqError) as caught:
            await command
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        await hub.hears(lambda s: s["from"] == MACHINE and s["type"] == "unavailable")
        failed = await asks(hub, "get", "req", SD, id="r1", all="true")
        assert failed.find(f".//{{{SD}}}err") is not None
        uno.start()
        await hub.hears(lambda s: is_online(MACHINE)(s) and "light" in s["status"])
        assert values(await asks(hub, "get", "req", SD, id="r2", all="true"), "lamp") == ["false"]
        await hub.leaves()

    run(talk(), timeout=50)


def test_while_a_board_spews_noise_nobody_waits_for_more_than_a_second_of_it(nodes, run):
    async def talk():
        mad, sane = Board("mad"), Board("sane")
        things = "".join(THING.format(name=board.name, port=board.port) for board in (mad, sane))
        home = nodes(more=SETTINGS.format(host=HOME) + things)
        await asyncio.to_thread(home.start)
        await asyncio.to_thread(home.add, "ann")
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        ann.send_presence_subscription(f"sane@{HOME}")
        await ann.hears(is_online(f"sane@{HOME}/hw"))
        mad.spews()
        await home.says("lines that were not understood")
        pings, begun, used = 0, mad.spewed, time.clock_gettime(~home.process.pid << 3 | 2)
        since = time.monotonic()
        while mad.spewed < begun + SECONDS * RATE:
            before = mad.spewed
            await ann.plugin["xep_0199"].send_ping(HOME, timeout=DEADLINE)
            sane.says(f"{pings}.0", pings)
            await ann.hears(lambda s, text=f"{pings}.0 ": s.name == "presence" and s["status"].startswith(text))
            assert mad.spewed - before <= 2 * RATE
            pings += 1
            await asyncio.sleep(1)  # so that each reading may be told at once
        share = (time.clock_gettime(~home.process.pid << 3 | 2) - used) / (time.monotonic() - since)
        print(f"{share:.3f} of a core, {pings} pings")
        assert share < SHARE
        await ann.leaves()
        for board in (mad, sane):
            board.close()

    run(talk(), timeout=50)
