"""The real StandardFirmata in simavr: by the driver, and with the node and a person with slixmpp."""

import asyncio
import time

import pytest
from slixmpp.exceptions import IqError

from node.drivers.firmata import Driver, Options
from node.drivers.firmata.options import ControlPlace, FieldPlace
from node.hub import board
from node.hub.driver import DriverError
from node.hub.thing import OPEN_DEADLINE
from tests.drivers.reports import Reports
from tests.live.peers import DEADLINE, Person, ann_at, is_offline, shows
from tests.live.simavr import Uno, standard_firmata, tells_light_in_moderation

PORCH = "porch@home.example"


@pytest.fixture
def uno(built, tmp_path):
    with Uno(built, tmp_path / "ttyACM0", standard_firmata()) as uno:
        yield uno


@pytest.fixture
def home(home_with, uno):
    """`home(more)` is a node with the board on its porch; `more` is TOML below [thing.porch]."""
    thing = f'[thing.porch]\nname = "Porch"\nboard = "arduino-firmata"\nport = "{uno.port}"\n'
    return lambda more="": home_with(thing + more)


async def connect(uno, **more):
    """The driver with the fields and controls of board.toml, open."""
    shipped = board.load("arduino-firmata").declared
    places = {name: FieldPlace(**place) for name, place in shipped.field_places.items()}
    outputs = {name: ControlPlace(**place) for name, place in shipped.control_places.items()}
    options = Options(str(uno.port), hello=OPEN_DEADLINE - 1, fields=places, controls=outputs | more)
    driver, readings = Driver(options, shipped.fields, shipped.controls), Reports(DEADLINE)
    await driver.open(readings)
    return driver, readings


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
        await readings.until(lambda now: now.get("light") == "50.0" and len(now) == 4)
        driver.options.watchdog = 0.5
        driver._watch()
        await tells_light_in_moderation(uno, readings)
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
        assert uno.times("pin 13 1", after=begun) == 50

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
        driver, readings = await connect(uno)
        driver.options.watchdog, driver.options.timeout = 0.5, 1.5
        driver._watch()
        known = await readings.until(lambda now: len(now) == 4)
        await readings.number(3, *known)  # so many answers
        uno.hang()
        assert await driver.gone() == f"the board on {uno.port} has not answered for 1.5 s"
        await driver.close()
        with pytest.raises(DriverError):
            await driver.write("lamp", "true")

    run(talk())


# The node, and people


def test_light_is_seen_and_the_lamp_is_on_before_it_is_said_to_be(home, uno, run):
    node = home()

    async def talk():
        ann = await ann_at(node, PORCH, "light")
        uno.light(4000)
        await ann.hears(shows(PORCH, "80.0"))
        uno.button(True)
        async with asyncio.timeout(DEADLINE):
            while "Button: pressed" not in await ann.says(PORCH, "status"):
                pass
        for on in (True, False):
            before = time.monotonic()
            answer = await ann.says(PORCH, f"lamp {'on' if on else 'off'}")
            said = time.monotonic()
            assert f"is {'on' if on else 'off'}" in answer
            event = uno.wait(f"pin 13 {int(on)}", after=before)
            assert before < event.stamp < said
        assert "from 0 to 255" in await ann.says(PORCH, "dimmer 300")
        assert "128" in await ann.says(PORCH, "dimmer 128")
        uno.wait("pwm 9 128")
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("end", ["kill", "hang"])
def test_a_board_that_is_lost_in_the_middle_of_a_command_is_told_and_comes_back(home, uno, run, end):
    node = home()

    async def talk():
        ann = await ann_at(node, PORCH, "light")
        uno.hang()  # so that the command is under way
        asked = asyncio.ensure_future(ann.sets(PORCH, "lamp", "true"))
        if end == "kill":
            await ann.hears(shows(PORCH, show="dnd"))  # it carries out a command
            assert not asked.done()
            uno.kill()
        with pytest.raises(IqError) as caught:
            await asked
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        reason = "USB cable gone" if end == "kill" else "does not answer"
        assert reason in caught.value.text
        await ann.hears(is_offline(PORCH, reason))
        assert "offline" in await ann.says(PORCH, "lamp on")
        if end == "kill":
            uno.start()
        else:
            uno.go()
        await ann.hears(shows(PORCH, "light"))
        begun = time.monotonic()
        await ann.sets(PORCH, "lamp", "true")
        uno.wait("pin 13 1", after=begun)
        await ann.leaves()

    run(talk())


def test_a_pin_that_cannot_do_it_is_told_in_words(home, uno, run):
    node = home('[[thing.porch.controls]]\nname = "fan"\ntype = "integer"\npin = 7\nmode = "pwm"\n')

    async def talk():
        ann = await Person("ann@home.example/phone", node).logs_in()
        ann.send_presence_subscription(PORCH)
        words = "fan: pin 7 cannot be pwm; it can be input, output, servo"
        await ann.hears(is_offline(PORCH, words))
        assert words in await ann.says(PORCH, "lamp on")
        await ann.leaves()

    run(talk())
