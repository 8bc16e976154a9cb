"""A micro:bit with MicroPython and nothing of ours, in QEMU: the node, and people and machines with slixmpp."""

import asyncio

import pytest
from slixmpp.exceptions import IqError

from tests.live import peers
from tests.live.microbit import Microbit
from tests.live.peers import CONTROL, Person, is_offline, shows

DESK = "desk@home.example"
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
"""


@pytest.fixture
def microbit(tmp_path):
    with Microbit(tmp_path / "ttyACM0") as microbit:
        yield microbit


@pytest.fixture
def home(home_with, microbit):
    return lambda light="7": home_with(DESK_TABLE.format(port=microbit.port, light=light))


async def ann_at(home):
    return await peers.ann_at(home, DESK, "°C")


def test_a_micropython_board_is_a_contact_whose_readings_change_by_its_controls(home, run):
    async def talk():
        ann = await ann_at(home())
        status = await ann.says(DESK, "status")
        assert "21.50 °C" in status
        assert await ann.says(DESK, "level 22.75")
        await ann.hears(shows(DESK, "22.75 °C"))
        assert "Hi" in await ann.says(DESK, 'show Hi, it\'s "me" °')
        assert "HEART" in await ann.says(DESK, "picture heart")
        about = await ann.plugin["xep_0030"].get_info(f"{DESK}/hw")
        assert CONTROL in about["disco_info"]["features"]
        await ann.leaves()

    run(talk())


def test_an_exception_on_the_board_is_the_answer(home, run):
    async def talk():
        ann = await ann_at(home())
        with pytest.raises(IqError) as caught:
            await ann.sets(DESK, "pause", "-1000000000000", "i")
        assert caught.value.condition == "recipient-unavailable"
        assert "OverflowError" in caught.value.text
        await ann.sets(DESK, "level", "23", "db")
        await ann.leaves()

    run(talk())


def test_a_statement_that_takes_too_long_is_interrupted_and_all_goes_on(home, run):
    async def talk():
        ann = await ann_at(home())
        with pytest.raises(IqError) as caught:
            await ann.sets(DESK, "pause", "60000", "i")
        assert "pause: no end within 2 s, interrupted" in caught.value.text
        await ann.sets(DESK, "level", "24", "db")
        await ann.hears(shows(DESK, "24.00 °C"))
        await ann.leaves()

    run(talk())


def test_a_board_that_hangs_for_good_is_offline_with_its_reason_and_back_after_a_reset(home, microbit, run):
    async def talk():
        ann = await ann_at(home())
        with pytest.raises(IqError) as caught:
            await ann.sets(DESK, "broken", "true", "b")
        assert "the board hangs in broken and does not hear Ctrl-C: reset it" in caught.value.text
        await ann.hears(is_offline(DESK, "does not hear Ctrl-C"))
        assert "offline" in await ann.says(DESK, "level 25")
        microbit.kill()
        microbit.start()
        await ann.hears(shows(DESK, "°C"))
        await ann.sets(DESK, "level", "26", "db")
        await ann.leaves()

    run(talk())


def test_a_sensor_that_hangs_the_board_is_named_in_presence(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home(light="temperature()")).logs_in()
        ann.send_presence_subscription(DESK)
        await ann.hears(is_offline(DESK, "the board hangs in light"))
        await ann.leaves()

    run(talk())


def test_a_board_that_dies_in_the_middle_of_a_command_answers_in_time_and_comes_back(home, microbit, run):
    async def talk():
        ann = await ann_at(home())
        answer = asyncio.ensure_future(ann.sets(DESK, "pause", "60000", "i"))
        await ann.hears(shows(DESK, show="dnd"))  # it carries out a command
        microbit.kill()
        with pytest.raises(IqError) as caught:
            await answer
        assert caught.value.condition == "recipient-unavailable"
        assert "USB cable gone" in caught.value.text
        await ann.hears(is_offline(DESK, "USB cable gone"), deadline=5)
        microbit.start()
        await ann.hears(shows(DESK, "°C"))
        await ann.sets(DESK, "level", "27", "db")
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("program", ["", "while True: pass"])
def test_a_reset_is_seen_and_the_board_set_up_again_whatever_runs_on_it(home, run, program):
    async def talk():
        ann = await ann_at(home())
        await ann.sets(DESK, "level", "28", "db")
        await ann.hears(shows(DESK, "28.00"))
        with pytest.raises(IqError) as caught:
            await ann.sets(DESK, "restart", program, "s")
        assert "the board has started anew" in caught.value.text
        await ann.hears(is_offline(DESK, "started anew"))
        await ann.hears(shows(DESK, "21.50"))
        await ann.leaves()

    run(talk())
