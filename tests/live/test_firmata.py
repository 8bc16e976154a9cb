"""The real StandardFirmata in simavr: by the driver, and with the node and a person with slixmpp."""

import asyncio
import time

import pytest
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from node.drivers.firmata import Driver, Options
from node.drivers.firmata.options import ControlPlace, FieldPlace
from node.hub import board
from node.hub.thing import COMMAND_DEADLINE, DriverError
from tests.live.peers import DEADLINE, Person
from tests.live.simavr import Uno, standard_firmata

PORCH = "porch@home.example"
MACHINE = f"{PORCH}/hw"
CONTROL = "urn:nf:iot:ctr:1.0"
HOME = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]\n[presence]\ninterval = 1\n'


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uno")


@pytest.fixture
def uno(cache, tmp_path):
    with Uno(cache, tmp_path / "ttyACM0", standard_firmata()) as uno:
        yield uno


@pytest.fixture
def home(nodes, uno):
    """`home(more)` is a node with the board on its porch; `more` is TOML below [thing.porch]."""

    def home(more=""):
        thing = f'[thing.porch]\nname = "Porch"\nboard = "arduino-firmata"\nport = "{uno.port}"\n'
        node = nodes(more=HOME + thing + more)
        node.start()
        node.add("ann")
        return node

    return home


class Readings:
    """What the board has reported, and a way to wait for more."""

    def __init__(self):
        self.now = {}
        self.all = []
        self._news = asyncio.Event()

    def __call__(self, readings):
        self.now |= readings
        self.all.append(readings)
        self._news.set()

    async def until(self, wanted):
        async with asyncio.timeout(DEADLINE):
            while not wanted(self.now):
                self._news.clear()
                await self._news.wait()


async def connect(uno, **more):
    """The driver with the fields and controls of board.toml, open."""
    shipped = board.load("arduino-firmata").declared
    places = {name: FieldPlace(**place) for name, place in shipped.field_places.items()}
    outputs = {name: ControlPlace(**place) for name, place in shipped.control_places.items()}
    options = Options(str(uno.port), fields=places, controls=outputs | more)
    driver, readings = Driver(options, shipped.fields, shipped.controls), Readings()
    await driver.open(readings)
    return driver, readings


def is_online(stanza):
    return stanza.name == "presence" and stanza["from"] == MACHINE and "light" in stanza["status"]


def is_offline(stanza):
    return stanza.name == "presence" and stanza["from"].bare == PORCH and stanza["type"] == "unavailable"


async def ann_at(node):
    ann = await Person("ann@home.example/phone", node).logs_in()
    ann.send_presence_subscription(PORCH)
    return ann


async def sets_the_lamp(ann, on):
    """By a machine's IQ; the seconds that the answer took."""
    before = time.monotonic()
    iq = ann.make_iq_set(ito=MACHINE)
    command = ET.SubElement(iq.xml, f"{{{CONTROL}}}set")
    ET.SubElement(command, f"{{{CONTROL}}}b", {"n": "lamp", "v": "true" if on else "false"})
    await iq.send(timeout=DEADLINE)
    return time.monotonic() - before


# The driver and the firmware


def test_the_firmware_says_what_it_is_and_the_first_readings_are_true(uno, run):
    async def talk():
        uno.light(2500)
        uno.button(True)
        driver, readings = await connect(uno)
        assert driver.about == {"name": "StandardFirmata", "version": "2.4"}
        assert driver._version == (2, 4)
        await readings.until(lambda now: now.keys() == {"lamp", "dimmer", "light", "button"})
        await readings.until(lambda now: now["light"] != "0.0")  # of before A0 was looked at for the first time
        assert readings.now == {"lamp": "false", "dimmer": "0", "light": "50.0", "button": "true"}
        await driver.close()

    run(talk())


def test_the_pin_has_changed_before_it_is_confirmed(uno, run):
    async def talk():
        driver, readings = await connect(uno)
        for control, value, event in (
            ("lamp", "true", "pin 13 1"),
            ("dimmer", "128", "pwm 9 128"),
            ("lamp", "false", "pin 13 0"),
            ("dimmer", "1", "pwm 9 1"),
        ):
            begun = time.monotonic()
            await driver.write(control, value)
            confirmed = time.monotonic()
            done = await asyncio.to_thread(uno.wait, event, after=begun)
            assert begun < done.stamp < confirmed
            assert readings.now[control] == value
        await driver.close()

    run(talk())


def test_a_pull_up_and_the_outputs_of_its_port_do_not_disturb_each_other(uno, run):
    async def talk():
        driver, readings = await connect(uno, lamp=ControlPlace(7), dimmer=ControlPlace(3, "pwm"))  # the button's port
        for pressed in (True, False, True):
            await driver.write("lamp", "true" if pressed else "false")
            uno.button(pressed)
            await readings.until(lambda now, pressed=pressed: now.get("button") == ("true" if pressed else "false"))
        await driver.close()

    run(talk())


def test_noise_in_the_light_is_not_told_and_change_at_most_five_times_a_second(uno, run):
    async def talk():
        driver, readings = await connect(uno)
        uno.light(2500)
        await readings.until(lambda now: now.get("light") == "50.0" and "button" in now)
        readings.all.clear()
        for step in range(40):  # 2 s of 0.4 % up and down: less than the deadband
            uno.light(2500 + 20 * (step % 2))
            await asyncio.sleep(0.05)
        assert readings.all == []
        for step in range(40):  # 2 s of great change
            uno.light(100 * step)
            await asyncio.sleep(0.05)
        assert 5 <= len(readings.all) <= 11
        await driver.close()

    run(talk())


def test_a_hundred_commands_in_a_row_are_all_confirmed(uno, run):
    async def talk():
        driver, _ = await connect(uno)
        begun = time.monotonic()
        for number in range(100):
            await driver.write("lamp", "true" if number % 2 == 0 else "false")
        print(f"a command takes {(time.monotonic() - begun) * 10:.1f} ms")
        await driver.close()
        assert len([event for event in uno.events if event.text == "pin 13 1" and event.stamp > begun]) == 50

    run(talk())


def test_a_board_that_was_reset_is_opened_anew(uno, run):
    async def talk():
        driver, readings = await connect(uno)
        await driver.write("lamp", "true")
        uno.restart()
        assert await driver.gone() == "the board has started anew"
        await driver.close()
        readings.now.clear()
        await driver.open(readings)
        await readings.until(lambda now: "light" in now)
        assert readings.now["lamp"] == "false"
        await driver.write("lamp", "true")
        await driver.close()

    run(talk())


def test_firmware_that_hangs_is_noticed_by_its_silence(uno, run):
    async def talk():
        driver, _ = await connect(uno)
        driver.options.watchdog, driver.options.timeout = 0.5, 1.5
        driver._watch()
        gone = asyncio.ensure_future(driver.gone())
        await asyncio.sleep(3)  # several questions and answers
        assert not gone.done()
        begun = time.monotonic()
        uno.hang()
        assert await gone == f"the board on {uno.port} has not answered for 1.5 s"
        assert time.monotonic() - begun < 4
        await driver.close()
        with pytest.raises(DriverError):
            await driver.write("lamp", "true")

    run(talk())


# The node, and people


def test_light_is_seen_and_the_lamp_is_on_before_it_is_said_to_be(home, uno, run):
    node = home()

    async def talk():
        ann = await ann_at(node)
        await ann.hears(is_online)
        uno.light(4000)
        await ann.hears(lambda s: is_online(s) and "80.0" in s["status"])
        uno.button(True)
        async with asyncio.timeout(DEADLINE):
            while "Button: pressed" not in await ann.says(PORCH, "status"):
                pass
        for on in (True, False):
            before = time.monotonic()
            answer = await ann.says(PORCH, f"lamp {'on' if on else 'off'}")
            said = time.monotonic()
            assert f"is {'on' if on else 'off'}" in answer
            event = uno.wait(f"pin 13 {int(on)}", seconds=0.1, after=before)
            assert before < event.stamp < said
        assert "from 0 to 255" in await ann.says(PORCH, "dimmer 300")
        assert "128" in await ann.says(PORCH, "dimmer 128")
        uno.wait("pwm 9 128", seconds=0.1)
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("end", ["kill", "hang"])
def test_a_board_that_is_lost_in_the_middle_of_a_command_is_told_and_comes_back(home, uno, run, end):
    node = home()

    async def talk():
        ann = await ann_at(node)
        await ann.hears(is_online)
        uno.hang()  # so that the command is under way
        begun = time.monotonic()
        asked = asyncio.ensure_future(sets_the_lamp(ann, True))
        if end == "kill":
            await asyncio.sleep(0.5)
            assert not asked.done()
            uno.kill()
        with pytest.raises(IqError) as caught:
            await asked
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        reason = "USB cable gone" if end == "kill" else "does not answer"
        assert reason in caught.value.text
        assert time.monotonic() - begun < COMMAND_DEADLINE
        gone = await ann.hears(is_offline, deadline=1)
        assert reason in gone["status"]
        assert "offline" in await ann.says(PORCH, "lamp on")
        if end == "kill":
            uno.start()
        else:
            uno.go()
        await ann.hears(is_online)
        assert await sets_the_lamp(ann, True) < 1
        uno.wait("pin 13 1", seconds=0.1, after=begun)
        await ann.leaves()

    run(talk())


def test_a_pin_that_cannot_do_it_is_told_in_words(home, uno, run):
    node = home('[[thing.porch.controls]]\nname = "fan"\ntype = "integer"\npin = 7\nmode = "pwm"\n')

    async def talk():
        ann = await ann_at(node)
        words = "fan: pin 7 cannot be pwm; it can be input, output, servo"
        gone = await ann.hears(lambda s: is_offline(s) and words in s["status"])
        assert gone
        assert words in await ann.says(PORCH, "lamp on")
        await ann.leaves()

    run(talk())
