"""The real firmware of the Arduino Uno in simavr, driven by the line driver through a serial port."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from node.drivers.line import Driver, Options
from node.hub import board
from node.hub.thing import DriverError
from tests.live.simavr import Uno

DEADLINE = 8  # seconds; a reset takes one, and the machine may be slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("uno")


@pytest.fixture
def uno(cache, tmp_path):
    with Uno(cache, tmp_path / "ttyACM0") as uno:
        yield uno


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

    async def until(self, wanted, seconds=DEADLINE):
        async with asyncio.timeout(seconds):
            while not wanted(self.now):
                self._news.clear()
                await self._news.wait()
        return dict(self.now)


async def connect(uno):
    driver, readings = Driver(Options(str(uno.port))), Readings()
    await driver.open(readings)
    return driver, readings


def talk(conversation, seconds=30):
    asyncio.run(asyncio.wait_for(conversation, seconds))


def test_the_hello_is_what_board_toml_says_and_the_first_readings_are_true(uno):
    async def conversation():
        uno.light(5000)
        uno.button(True)
        driver, readings = await connect(uno)
        uno.wait("reset")
        known = board.load("arduino-uno").declared
        assert driver.fields == known.fields
        assert driver.controls == known.controls
        assert driver.about == {"name": "arduino-uno", "version": "1.0"}
        await readings.until(lambda now: now)
        assert readings.all[0] == {"lamp": "false", "dimmer": "0", "light": "100.0", "button": "true"}
        await driver.close()

    talk(conversation())


def test_the_lamp_is_lit_before_it_is_confirmed(uno):
    async def conversation():
        driver, readings = await connect(uno)
        for value, level in (("true", "1"), ("false", "0")):
            begun = time.monotonic()
            await driver.write("lamp", value)
            confirmed = time.monotonic()
            event = await asyncio.to_thread(uno.wait, f"pin 13 {level}", after=begun)
            assert begun < event.stamp < confirmed
            assert readings.now["lamp"] == value, "the reading comes before the confirmation"
        await driver.close()

    talk(conversation())


def test_the_dimmer_dims_and_goes_off(uno):
    async def conversation():
        driver, readings = await connect(uno)
        for value in ("128", "255", "1", "0"):
            begun = time.monotonic()
            await driver.write("dimmer", value)
            await asyncio.to_thread(uno.wait, f"pwm 9 {value}", after=begun)
            assert readings.now["dimmer"] == value
        await driver.close()

    talk(conversation())


def test_light_is_told_as_percent_with_one_decimal(uno):
    async def conversation():
        driver, readings = await connect(uno)
        for millivolts, percent in ((2500, "50.0"), (5000, "100.0"), (500, "10.0"), (0, "0.0")):
            uno.light(millivolts)
            await readings.until(lambda now, percent=percent: now.get("light") == percent)
        await driver.close()

    talk(conversation())


def test_noise_in_the_light_is_not_told_and_change_at_most_five_times_a_second(uno):
    async def conversation():
        driver, readings = await connect(uno)
        uno.light(2500)
        await readings.until(lambda now: now.get("light") == "50.0")
        readings.all.clear()
        for step in range(40):  # 2 s of 0.4 % up and down: less than the deadband
            uno.light(2500 + 20 * (step % 2))
            await asyncio.sleep(0.05)
        assert not [each for each in readings.all if each.keys() == {"light"}]
        readings.all.clear()
        for step in range(40):  # 2 s of great change
            uno.light(100 * step)
            await asyncio.sleep(0.05)
        assert 5 <= len([each for each in readings.all if each.keys() == {"light"}]) <= 11
        await driver.close()

    talk(conversation())


def test_a_button_is_told_once_for_each_press(uno):
    async def conversation():
        driver, readings = await connect(uno)
        await readings.until(lambda now: "button" in now)
        readings.all.clear()
        for level in (True, False, True, False, True):  # it bounces, faster than 20 ms
            uno.button(level)
        await readings.until(lambda now: now["button"] == "true")
        uno.button(False)
        await readings.until(lambda now: now["button"] == "false")
        assert [each for each in readings.all if each.keys() == {"button"}] == [
            {"button": "true"},
            {"button": "false"},
        ]
        await driver.close()

    talk(conversation())


ANSWERS = [
    ('{"set":{"lamp":1},"id":9}', '{"err":9,"msg":"lamp takes true or false"}'),
    ('{"set":{"dimmer":256},"id":9}', '{"err":9,"msg":"dimmer takes a whole number, 0 to 255"}'),
    ('{"set":{"dimmer":-1},"id":9}', '{"err":9,"msg":"dimmer takes a whole number, 0 to 255"}'),
    ('{"set":{"dimmer":4294967297},"id":9}', '{"err":9,"msg":"dimmer takes a whole number, 0 to 255"}'),
    ('{"set":{"dimmer":2.0},"id":9}', '{"err":9,"msg":"dimmer takes a whole number, 0 to 255"}'),
    ('{"set":{"fan":true},"id":9}', '{"err":9,"msg":"fan is no control of this board"}'),
    ('{"set":{"lamp":true,"dimmer":"x"},"id":9}', '{"err":9,"msg":"dimmer takes a whole number, 0 to 255"}'),
    ('{"set":{"lamp":true},"id":0}', '{"error":"set needs an id from 1 to 65535"}'),
    ('{"set":{"lamp":true},"id":65536}', '{"error":"set needs an id from 1 to 65535"}'),
    ('{"set":{"lamp":true}}', '{"error":"set needs an id from 1 to 65535"}'),
    ('{"set":{"lamp":true,},"id":9}', '{"err":9,"msg":"set is not understood"}'),
    ('{"set":{"lamp":true},"id":9', '{"error":"a line was not understood"}'),
    ("lamp on", '{"error":"a line was not understood"}'),
    ("[" * 100, '{"error":"a line was not understood"}'),
    ('{"set":{"lamp":true},"id":9,"x":"' + 127 * "y" + '"}', '{"error":"a line was not understood"}'),
    ('{"set":{},"id":9}', '{"ok":9}'),
    (' { "id" : 9 , "more" : [ { "}" : "\\"" } ] , "set" : { } } ', '{"ok":9}'),
    ('{"ping":65535}', '{"pong":65535}'),
]


def test_the_firmware_answers_as_boards_readme_says(uno):
    async def conversation():
        driver, _ = await connect(uno)
        heard = asyncio.Queue()
        driver._line = heard.put_nowait  # from here on, look at the bytes
        for command, answer in ANSWERS:
            driver._tty.write(command.encode() + b"\n")
            async with asyncio.timeout(DEADLINE):
                while not (line := (await heard.get()).decode()).startswith(('{"ok', '{"err', '{"pong')):
                    pass  # the readings of a heartbeat
            assert line == answer, command
        await driver.close()
        assert not [event for event in uno.events if event.text == "pin 13 1"], "nothing was done"

    talk(conversation())


def test_several_controls_are_set_in_their_order(uno):
    async def conversation():
        driver, readings = await connect(uno)
        await driver._command("lamp", 'true,"dimmer":200,"lamp":false')
        on, pwm, off = (uno.wait(text, after=0) for text in ("pin 13 1", "pwm 9 200", "pin 13 0"))
        assert on.stamp < pwm.stamp < off.stamp
        assert readings.now["lamp"] == "false"
        await driver.close()

    talk(conversation())


def test_a_hundred_commands_in_a_row_are_all_confirmed(uno):
    async def conversation():
        driver, _ = await connect(uno)
        begun = time.monotonic()
        for number in range(100):
            await driver.write("lamp", "true" if number % 2 == 0 else "false")
        print(f"a command takes {(time.monotonic() - begun) * 10:.1f} ms")
        await driver.close()
        assert len([event for event in uno.events if event.text == "pin 13 1"]) == 50

    talk(conversation())


def test_a_killed_board_is_gone_at_once_and_back_with_everything(uno):
    async def conversation():
        driver, readings = await connect(uno)
        uno.light(2500)
        await driver.write("lamp", "true")
        begun = time.monotonic()
        uno.kill()
        assert await driver.gone() == f"USB cable gone: {uno.port}"
        assert time.monotonic() - begun < 1
        await driver.close()
        with pytest.raises(DriverError, match="no board at"):
            await driver.open(readings)
        await driver.close()

        uno.start()
        readings.now.clear()
        await driver.open(readings)
        told = await readings.until(lambda now: len(now) == 4)
        assert told["lamp"] == "false", "it has been without power"
        await driver.write("lamp", "true")
        await driver.close()

    talk(conversation())


def test_a_hanging_board_is_gone_within_five_seconds(uno):
    async def conversation():
        driver, _ = await connect(uno)
        begun = time.monotonic()
        uno.hang()
        with pytest.raises(DriverError, match="has not answered within 4 s"):
            await driver.write("lamp", "true")
        assert "has been silent for" in await driver.gone()
        assert time.monotonic() - begun < 5.5
        await driver.close()

    talk(conversation())


def test_a_board_left_alone_stays_and_costs_little(uno):
    async def conversation():
        driver, readings = await connect(uno)
        lost = asyncio.ensure_future(driver.gone())
        used = cpu(uno.pid), time.process_time()
        readings.all.clear()
        await asyncio.wait([lost], timeout=5)
        assert not lost.done()
        assert 2 <= len(readings.all) <= 4, "every 1.5 s"
        simulator, ours = cpu(uno.pid) - used[0], time.process_time() - used[1]
        print(f"in 5 s: simulator {simulator:.2f} s, driver {ours:.4f} s of CPU")
        assert 0.9 < uno.pace() < 1.1
        lost.cancel()
        await driver.close()

    talk(conversation())


def cpu(pid):
    """Seconds of processor time that a process has used."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
