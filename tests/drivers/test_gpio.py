"""Pins as fields and controls, on a simulated chip behind the classes of the real gpiod."""

import asyncio
import errno
import sys
from datetime import timedelta

import gpiod
import pytest
from gpiod import LineSettings
from gpiod.line import Bias, Direction, Drive, Edge, Value

from node.config import ConfigError, load
from node.drivers import gpio
from node.drivers.gpio import Driver
from node.hub.driver import DriverError, Field
from tests.conftest import DEADLINE
from tests.drivers.pins import Pins
from tests.drivers.reports import Reports

DOOR = """
[[thing.porch.fields]]
name = "door"
alarm = "the door is open"
pin = 17
bias = "up"
active_low = true
debounce = 20
"""
LAMP = """
[[thing.porch.controls]]
name = "lamp"
label = "Lamp"
type = "boolean"
pin = 27
"""


@pytest.fixture
def pins(monkeypatch):
    pins = Pins()
    monkeypatch.setattr(gpiod, "Chip", pins)
    yield pins
    pins.close()


@pytest.fixture
def porch(tmp_path):
    def porch(toml: str) -> Driver:
        text = f'domain = "home.example"\n[thing.porch]\ndriver = "gpio"\n{toml}'
        thing = load(tmp_path / "hobnode.toml", text).things["porch"]
        return Driver(thing.options, thing.declared.fields, thing.declared.controls)

    return porch


@pytest.fixture
def told():
    return Reports(DEADLINE)


def test_pins_are_taken_as_they_are_declared(pins, porch, run, told):
    more = 'open_drain = true\nactive_low = true\ninitial = true\n[[thing.porch.fields]]\nname = "motion"\npin = 4\n'
    driver = porch('chip = "/dev/gpiochip4"' + DOOR + LAMP + more)
    run(driver.open(told))
    assert pins.path == "/dev/gpiochip4"
    assert pins.taken == {
        17: LineSettings(
            direction=Direction.INPUT,
            edge_detection=Edge.BOTH,
            bias=Bias.PULL_UP,
            active_low=True,
            debounce_period=timedelta(milliseconds=20),
        ),
        4: LineSettings(
            direction=Direction.INPUT, edge_detection=Edge.BOTH, debounce_period=timedelta(milliseconds=10)
        ),
        27: LineSettings(
            direction=Direction.OUTPUT, drive=Drive.OPEN_DRAIN, active_low=True, output_value=Value.ACTIVE
        ),
    }
    assert driver.about == {"name": "pinctrl-bcm2711", "version": ""}
    assert driver.fields == (
        Field("door", "boolean", alarm="the door is open"),
        Field("motion", "boolean"),
        Field("lamp", "boolean", label="Lamp", category="status"),
    )
    assert run(driver.read()) == {"door": "false", "motion": "false", "lamp": "true"}
    run(driver.close())
    assert pins.taken == {}


def test_a_change_is_told_at_once(pins, porch, run, told):
    async def story():
        driver = porch(DOOR)
        await driver.open(told)
        await driver.read()
        pins.goes(17, True)
        await told.number(1, "door")
        assert told.all == [{"door": "true"}]
        pins.goes(17, False)
        await told.number(2, "door")
        assert told.all[1] == {"door": "false"}
        await driver.close()

    run(story())


def test_a_press_that_is_over_already_is_told_too(pins, porch, run, told):
    async def story():
        driver = porch(DOOR)
        await driver.open(told)
        await driver.read()
        pins.goes(17, True, False)
        await told.number(2, "door")
        assert told.all == [{"door": "true"}, {"door": "false"}]
        await driver.close()

    run(story())


def test_a_loose_wire_costs_a_bounded_number_of_reports(pins, porch, run, told, later):
    async def story():
        driver = porch(DOOR)
        await driver.open(told)
        await driver.read()
        for _ in range(10):
            for _ in range(50):
                pins.goes(17, True, False)
                await asyncio.sleep(0)
            later(gpio.REST)
        assert 2 <= told.count("door") <= 2 * 10
        pins.goes(17, True)
        await told.until(lambda now: now["door"] == "true")
        await driver.close()

    run(story())


def test_an_output_is_confirmed_when_its_pin_has_followed(pins, porch, run, told):
    async def story():
        driver = porch(LAMP)
        await driver.open(told)
        assert await driver.read() == {"lamp": "false"}
        await driver.write("lamp", "true")
        assert pins.levels[27] is True
        assert await driver.read() == {"lamp": "true"}
        pins.stuck.add(27)
        with pytest.raises(DriverError, match=r"pin 27 does not follow: is it shorted\?"):
            await driver.write("lamp", "false")
        with pytest.raises(DriverError, match="there is no output door"):
            await driver.write("door", "true")
        await driver.close()
        with pytest.raises(DriverError, match="there is no output lamp"):
            await driver.write("lamp", "true")

    run(story())


@pytest.mark.parametrize("initial", [False, True])
def test_an_output_has_its_initial_value_before_and_after(pins, porch, run, told, initial):
    async def story():
        driver = porch(LAMP + f"initial = {str(initial).lower()}\n")
        await driver.open(told)
        assert pins.levels[27] is initial
        await driver.write("lamp", "false" if initial else "true")
        await driver.close()
        assert pins.levels[27] is initial
        await driver.close()  # a second time is no harm

    run(story())


def test_an_unplugged_chip_is_gone_and_comes_back(pins, porch, run, told):
    async def story():
        driver = porch(DOOR + LAMP)
        await driver.open(told)
        gone = asyncio.ensure_future(driver.gone())
        pins.is_unplugged()
        async with asyncio.timeout(2):
            assert await gone == "/dev/gpiochip0: No such device"
        with pytest.raises(DriverError, match="/dev/gpiochip0: No such device"):
            await driver.write("lamp", "true")
        assert await driver.read() == {}
        await driver.close()
        pins.error = None
        await driver.open(told)
        assert await driver.read() == {"door": "false", "lamp": "false"}
        pins.goes(17, True)
        await told.number(1, "door")
        await driver.close()

    run(story())


def test_a_chip_that_is_gone_when_it_is_read_is_gone(pins, porch, run, told):
    async def story():
        driver = porch(DOOR)
        await driver.open(told)
        pins.error = errno.ENODEV
        assert await driver.read() == {}
        assert await driver.gone() == "/dev/gpiochip0: No such device"
        await driver.close()

    run(story())


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        (errno.ENOENT, "there is no /dev/gpiochip0"),
        (
            errno.EACCES,
            "/dev/gpiochip0 may not be opened by the user of this node: on a Raspberry Pi its group is gpio",
        ),
        (errno.EBUSY, "/dev/gpiochip0: Device or resource busy"),
        (524, "/dev/gpiochip0 cannot do what is asked of a pin: bias, debounce, open_drain, or to tell changes"),
    ],
)
def test_why_a_chip_cannot_be_opened_is_said(pins, porch, run, told, number, complaint):
    pins.error = number
    driver = porch(DOOR)
    with pytest.raises(DriverError) as caught:
        run(driver.open(told))
    assert str(caught.value) == complaint
    run(driver.close())


def test_after_the_end_nothing_is_heard_any_more(pins, porch, run, told, caplog):
    async def story():
        driver = porch(DOOR + LAMP)
        await driver.open(told)
        pins.error = errno.EINVAL
        with pytest.raises(DriverError, match="/dev/gpiochip0: Invalid argument"):
            await driver.write("lamp", "true")
        await driver.close()
        pins.wakes()
        for _ in range(3):  # who looked would see it in the next
            await asyncio.sleep(0)

    run(story())
    assert caplog.records == []
    assert told.all == []


def test_a_pin_that_somebody_else_has_is_said(pins, porch, run, told):
    pins.used[17] = "spi0 CS1"
    with pytest.raises(DriverError, match="pin 17 of /dev/gpiochip0 is in use: spi0 CS1"):
        run(porch(DOOR).open(told))
    pins.used[17] = ""
    with pytest.raises(DriverError, match="pin 17 of /dev/gpiochip0 is in use: by the kernel"):
        run(porch(DOOR).open(told))


def test_a_pin_that_the_chip_has_not_is_said(pins, porch, run, told):
    with pytest.raises(DriverError, match="/dev/gpiochip0 has not all of the pins 170"):
        run(porch(DOOR.replace("17", "170")).open(told))


def test_what_has_no_chip_at_all_is_said_by_the_real_library(porch, run, told, tmp_path):
    with pytest.raises(DriverError, match=f"there is no {tmp_path}/gpiochip9"):
        run(porch(f'chip = "{tmp_path}/gpiochip9"' + DOOR).open(told))
    with pytest.raises(DriverError, match="/dev/null"):
        run(porch('chip = "/dev/null"' + DOOR).open(told))


@pytest.mark.parametrize(
    ("module", "machine", "complaint"),
    [
        (None, "x86_64", "'.[gpio]'"),
        (sys, "aarch64", "'.[gpio]'"),  # any module without its words: 1.x
        (None, "armv7l", "'.[gpio]'; on this processor that compiles it, with gcc, libc6-dev and python3-dev"),
    ],
)
def test_without_the_library_it_says_how_to_get_it(porch, run, told, monkeypatch, module, machine, complaint):
    monkeypatch.setitem(sys.modules, "gpiod", module)
    monkeypatch.setattr(gpio.os, "uname", lambda: type("Uname", (), {"machine": machine}))
    with pytest.raises(DriverError) as caught:
        run(porch(DOOR).open(told))
    advice = "python3 -m node.install, or pip install"
    assert str(caught.value) == f"the driver gpio needs the package gpiod, of version 2: {advice} {complaint}"


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        (DOOR + LAMP.replace("27", "17"), "pin 17 cannot be both door and lamp"),
        (DOOR.replace('"door"', '"lamp"') + LAMP, "lamp has two pins"),
        (DOOR.replace("pin = 17", ""), "needs 'pin'"),
        (DOOR.replace('"up"', '"high"'), 'bias must be one of "as-is", "up", "down", "off"'),
        (DOOR.replace("20", "2000"), "debounce must be from 0 to 1000 milliseconds, not 2000"),
        (LAMP + "bias = 'up'", "has no option 'bias'"),
        (LAMP.replace("boolean", "integer"), "lamp must be of type boolean: a pin is on or off"),
        (DOOR + '[[thing.porch.fields]]\nname = "gate"\n', "gate needs a pin, as in: pin = 17"),
        (LAMP.replace("pin = 27", ""), "lamp needs a pin"),
        ("", "there is no pin"),
    ],
)
def test_what_cannot_be_wired_is_a_mistake_in_the_configuration(porch, toml, complaint):
    with pytest.raises(ConfigError) as caught:
        porch(toml)
    assert complaint in str(caught.value)
