"""A machine (slixmpp) here and a board there: sensor data, history, events, control; and a board that has gone mad."""

import asyncio
import datetime

import pytest
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from node.net.tty import RATE
from tests.bench.home import SETTINGS, THING, Board
from tests.live.neighbours import HOME, STOVE
from tests.live.peers import DEADLINE, Person, is_offline, processor, shows

MACHINE = f"{STOVE}/hw"
SECONDS = 8  # of noise, by what is read of it
SHARE = 0.1  # of a core, for all of the node while a board spews; less than 0.01 was seen
SD, EVENTS = "urn:nf:iot:sd:1.0", "urn:nf:iot:events:1.0"


@pytest.fixture
def home(two, stove):
    home, _ = two(stove)
    return home


class Mad(Board):
    """A board that tells when it has spewed enough."""

    def __init__(self, name):
        super().__init__(name)
        self._news = asyncio.Event()

    def _spew(self):
        super()._spew()
        self._news.set()

    async def has_spewed(self, bytes):
        while self.spewed < bytes:
            self._news.clear()
            await self._news.wait()


async def hub_at(home):
    """A program of ann's, which sees the board."""
    hub = await Person(f"ann@{HOME}/program", home).logs_in()
    hub.register_handler(Callback("data", MatchXPath(f"{{jabber:client}}message/{{{SD}}}resp"), hub._comes))
    await hub.sees(STOVE)
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


def test_events_come_from_the_other_node_and_end_when_the_machine_says_so(home, uno, run):
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


def test_what_it_sets_is_confirmed_by_the_board_and_read_back_now_and_as_history(home, uno, run):
    async def talk():
        hub = await hub_at(home)
        begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
        for value in ("true", "false", "true"):
            await hub.sets(STOVE, "lamp", value)
            await asyncio.sleep(0.2)  # history knows tenths of a second
        assert uno.times("pin 13 1") == 2
        now = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r1", m="true")
        assert values(now, "lamp") == ["true"]
        since = begun.isoformat(timespec="seconds").replace("+00:00", "Z")
        past = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r2", h="true", **{"from": since})
        assert "true false" in " ".join(values(past, "lamp", h="true"))
        before = await asks(hub, "get", "req", SD, ("f", {"n": "lamp"}), id="r3", h="true", **{"to": since})
        assert "true" not in values(before, "lamp")
        with pytest.raises(IqError) as caught:
            await hub.sets(STOVE, "heater", "true")
        assert caught.value.condition == "item-not-found"
        await hub.leaves()

    run(talk())


def test_a_machine_without_a_grant_reads_and_sets_nothing(home, uno, run):
    async def talk():
        bob = await Person(f"bob@{HOME}/program", home).logs_in()
        for question in (
            asks(bob, "get", "req", SD, id="r1", all="true"),
            asks(bob, "set", "subscribe", EVENTS, id="e1"),
            bob.sets(STOVE, "lamp", "true"),
        ):
            with pytest.raises(IqError) as stranger:
                await question
            assert stranger.value.condition == "service-unavailable"
        await bob.sees(STOVE)
        assert values(await asks(bob, "get", "req", SD, id="r2", all="true"), "lamp") == ["false"]
        with pytest.raises(IqError) as caught:
            await bob.sets(STOVE, "lamp", "true")
        assert caught.value.condition == "forbidden"
        assert not uno.times("pin 13 1")
        await bob.leaves()

    run(talk())


def test_a_board_that_is_unplugged_in_the_middle_is_an_error_and_then_data_again(home, uno, run):
    async def talk():
        hub = await hub_at(home)
        uno.hang()
        command = asyncio.ensure_future(hub.sets(STOVE, "lamp", "true"))
        uno.kill()
        with pytest.raises(IqError) as caught:
            await command
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        await hub.hears(is_offline(STOVE))
        failed = await asks(hub, "get", "req", SD, id="r1", all="true")
        assert failed.find(f".//{{{SD}}}err") is not None
        uno.start()
        await hub.hears(shows(STOVE, "light"))
        assert values(await asks(hub, "get", "req", SD, id="r2", all="true"), "lamp") == ["false"]
        await hub.leaves()

    run(talk(), timeout=50)


def test_while_a_board_spews_noise_nobody_waits_for_more_than_a_second_of_it(nodes, run):
    async def talk():
        mad, sane = Mad("mad"), Board("sane")
        things = "".join(THING.format(name=board.name, port=board.port) for board in (mad, sane))
        home = nodes(more=SETTINGS.format(host=HOME) + things)
        await asyncio.to_thread(home.start)
        await asyncio.to_thread(home.add, "ann")
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        await ann.sees(f"sane@{HOME}")
        mad.spews()
        await home.says("lines that were not understood")
        begun, used = mad.spewed, processor(home.process.pid)
        for second in range(SECONDS):
            before = mad.spewed
            await ann.plugin["xep_0199"].send_ping(HOME, timeout=DEADLINE)
            sane.says(f"{second}.0", second)
            await ann.hears(shows(f"sane@{HOME}", f"{second}.0 "))
            assert mad.spewed - before <= 2 * RATE
            await mad.has_spewed(before + RATE)  # the next second: so much is read in one
        share = (processor(home.process.pid) - used) / ((mad.spewed - begun) / RATE)
        print(f"{share:.3f} of a core")
        assert share < SHARE
        await ann.leaves()
        for board in (mad, sane):
            board.close()

    run(talk(), timeout=50)
