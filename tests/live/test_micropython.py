"""A micro:bit with MicroPython and nothing of ours, in QEMU: the node, and people and machines with slixmpp."""

import time

import pytest
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from tests.live.microbit import Microbit
from tests.live.peers import DEADLINE, Person

DESK = "desk@home.example"
MACHINE = f"{DESK}/hw"
CONTROL = "urn:nf:iot:ctr:1.0"
BACK = 2 * DEADLINE  # seconds: a first attempt that meets a board while it starts takes 15, and the next one waits
ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]'
# Its own profile, less what QEMU has not, and with something to hang in.
DESK_TABLE = """
[thing.desk]
name = "Desk"
board = "microbit"
port = "{port}"
interval = 0.5
setup = '''
from microbit import *
level = 21.5
def restart(program):
    if program:
        with open("main.py", "w") as file:
            file.write(program)
    reset()
'''
[[thing.desk.fields]]
name = "temperature"
unit = "°C"
expression = "'%.2f' % level"
[[thing.desk.fields]]
name = "light"
type = "integer"
expression = "{light}"
[[thing.desk.controls]]
name = "level"
type = "quantity"
statement = "level = {{value}} / 1"
[[thing.desk.controls]]
name = "pause"
type = "integer"
statement = "sleep({{value}})"
[[thing.desk.controls]]
name = "broken"
type = "boolean"
statement = "temperature() if {{value}} else 0"
[[thing.desk.controls]]
name = "restart"
type = "string"
statement = "restart({{value}})"
[presence]
interval = 1
"""


@pytest.fixture
def microbit(tmp_path):
    with Microbit(tmp_path / "ttyACM0") as microbit:
        yield microbit


@pytest.fixture
def home(nodes, microbit):
    def home(light="7"):
        node = nodes(more=ACCESS + DESK_TABLE.format(port=microbit.port, light=light))
        node.start()
        node.add("ann")
        return node

    return home


def is_online(stanza):
    """The board is there, and its readings too."""
    return stanza.name == "presence" and stanza["from"] == MACHINE and "°C" in stanza["status"]


def is_offline(stanza):
    return stanza["from"] == MACHINE and stanza["type"] == "unavailable"


async def ann_at(node):
    """Ann is logged in and sees the board."""
    ann = await Person("ann@home.example/phone", node).logs_in()
    ann.send_presence_subscription(DESK)
    await ann.hears(is_online)
    return ann


async def command(ann, name, value, kind):
    iq = ann.make_iq_set(ito=MACHINE)
    ET.SubElement(ET.SubElement(iq.xml, f"{{{CONTROL}}}set"), f"{{{CONTROL}}}{kind}", {"n": name, "v": value})
    return await iq.send(timeout=DEADLINE)


def test_a_micropython_board_is_a_contact_whose_readings_change_by_its_controls(home, run):
    async def talk():
        ann = await ann_at(home())
        status = await ann.says(DESK, "status")
        assert "21.50 °C" in status
        assert await ann.says(DESK, "level 22.75")
        await ann.hears(lambda s: is_online(s) and "22.75 °C" in s["status"])
        assert "Hi" in await ann.says(DESK, 'show Hi, it\'s "me" °')
        assert "HEART" in await ann.says(DESK, "picture heart")
        about = await ann.plugin["xep_0030"].get_info(MACHINE)
        assert CONTROL in about["disco_info"]["features"]
        await ann.leaves()

    run(talk())


def test_an_exception_on_the_board_is_the_answer(home, run):
    async def talk():
        ann = await ann_at(home())
        with pytest.raises(IqError) as caught:
            await command(ann, "pause", "-1000000000000", "i")
        assert caught.value.condition == "recipient-unavailable"
        assert "OverflowError" in caught.value.text
        assert await command(ann, "level", "23", "db")
        await ann.leaves()

    run(talk())


def test_a_statement_that_takes_too_long_is_interrupted_and_all_goes_on(home, run):
    async def talk():
        ann = await ann_at(home())
        begun = time.monotonic()
        with pytest.raises(IqError) as caught:
            await command(ann, "pause", "60000", "i")
        assert time.monotonic() - begun < 5
        assert "pause: no end within 2 s, interrupted" in caught.value.text
        assert await command(ann, "level", "24", "db")
        await ann.hears(lambda s: is_online(s) and "24.00 °C" in s["status"])
        await ann.leaves()

    run(talk())


def test_a_board_that_hangs_for_good_is_offline_with_its_reason_and_back_after_a_reset(home, microbit, run):
    async def talk():
        ann = await ann_at(home())
        begun = time.monotonic()
        with pytest.raises(IqError) as caught:
            await command(ann, "broken", "true", "b")
        assert time.monotonic() - begun < 5.5
        assert "the board hangs in broken and does not hear Ctrl-C: reset it" in caught.value.text
        assert "does not hear Ctrl-C" in (await ann.hears(is_offline))["status"]
        assert "offline" in await ann.says(DESK, "level 25")
        microbit.kill()
        microbit.start()
        await ann.hears(is_online, deadline=BACK)
        assert await command(ann, "level", "26", "db")
        await ann.leaves()

    run(talk())


def test_a_sensor_that_hangs_the_board_is_named_in_presence(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home(light="temperature()")).logs_in()
        ann.send_presence_subscription(DESK)
        await ann.hears(lambda s: is_offline(s) and "the board hangs in light" in s["status"])
        await ann.leaves()

    run(talk())


def test_a_board_that_dies_in_the_middle_of_a_command_answers_in_time_and_comes_back(home, microbit, run):
    async def talk():
        ann = await ann_at(home())
        iq = ann.make_iq_set(ito=MACHINE)
        ET.SubElement(ET.SubElement(iq.xml, f"{{{CONTROL}}}set"), f"{{{CONTROL}}}i", {"n": "pause", "v": "60000"})
        answer = iq.send(timeout=DEADLINE)
        await ann.hears(lambda s: s["from"] == MACHINE and s["show"] == "dnd")  # it carries out a command
        begun = time.monotonic()
        microbit.kill()
        with pytest.raises(IqError) as caught:
            await answer
        assert time.monotonic() - begun < 1
        assert caught.value.condition == "recipient-unavailable"
        assert "USB cable gone" in caught.value.text
        gone = await ann.hears(is_offline, deadline=5)
        assert gone["status"]
        microbit.start()
        await ann.hears(is_online, deadline=BACK)
        assert await command(ann, "level", "27", "db")
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("program", ["", "while True: pass"])
def test_a_reset_is_seen_and_the_board_set_up_again_whatever_runs_on_it(home, run, program):
    async def talk():
        ann = await ann_at(home())
        assert await command(ann, "level", "28", "db")
        await ann.hears(lambda s: is_online(s) and "28.00" in s["status"])
        with pytest.raises(IqError) as caught:
            await command(ann, "restart", program, "s")
        assert "the board has started anew" in caught.value.text
        assert "started anew" in (await ann.hears(is_offline))["status"]
        await ann.hears(lambda s: is_online(s) and "21.50" in s["status"], deadline=BACK)
        await ann.leaves()

    run(talk())
