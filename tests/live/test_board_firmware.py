"""The real firmware of the Arduino Uno in simavr, driven by the line driver through a serial port."""

import asyncio
import time

import pytest

from node.drivers.line import Driver, Options
from node.hub import board
from node.hub.driver import DriverError
from node.hub.thing import OPEN_DEADLINE
from tests.drivers.reports import Reports
from tests.live.peers import DEADLINE, processor
from tests.live.simavr import tells_light_in_moderation


async def connect(uno):
    driver, readings = Driver(Options(str(uno.port), hello=OPEN_DEADLINE - 1)), Reports(DEADLINE)
    await driver.open(readings)
    return driver, readings


def test_the_hello_is_what_board_toml_says_and_the_first_readings_are_true(uno, run):
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

    run(conversation())


def test_the_lamp_is_lit_before_it_is_confirmed(uno, run):
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

    run(conversation())


def test_the_dimmer_dims_and_goes_off(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        for value in ("128", "255", "1", "0"):
            begun = time.monotonic()
            await driver.write("dimmer", value)
            await asyncio.to_thread(uno.wait, f"pwm 9 {value}", after=begun)
            assert readings.now["dimmer"] == value
        await driver.close()

    run(conversation())


def test_light_is_told_as_percent_with_one_decimal(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        for millivolts, percent in ((2500, "50.0"), (5000, "100.0"), (500, "10.0"), (0, "0.0")):
            uno.light(millivolts)
            await readings.until(lambda now, percent=percent: now.get("light") == percent)
        await driver.close()

    run(conversation())


def test_noise_in_the_light_is_not_told_and_change_at_most_five_times_a_second(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        uno.light(2500)
        await readings.until(lambda now: now.get("light") == "50.0")
        await tells_light_in_moderation(uno, readings)
        await driver.close()

    run(conversation())


def test_a_button_is_told_once_for_each_press(uno, run):
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

    run(conversation())


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


def test_the_firmware_answers_as_boards_readme_says(uno, run):
    async def conversation():
        driver, _ = await connect(uno)
        heard = asyncio.Queue()

        def look(line):
            """Without a sign of life in it: of a line that is too long the simulator may lose the end, and the node's
            ping brings another."""
            heard.put_nowait(line)
            raise ValueError

        driver._port._take = look
        for command, answer in ANSWERS:
            driver._port.write(command.encode() + b"\n")
            async with asyncio.timeout(DEADLINE):
                while not (line := (await heard.get()).decode()).startswith(('{"ok', '{"err', '{"pong')):
                    pass  # the readings of a heartbeat
            assert line == answer, command
        await driver.close()
        assert not uno.times("pin 13 1"), "nothing was done"

    run(conversation())


def test_several_controls_are_set_in_their_order(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        await driver._command("lamp", 'true,"dimmer":200,"lamp":false')
        on, pwm, off = (uno.wait(text, after=0) for text in ("pin 13 1", "pwm 9 200", "pin 13 0"))
        assert on.stamp < pwm.stamp < off.stamp
        assert readings.now["lamp"] == "false"
        await driver.close()

    run(conversation())


def test_a_hundred_commands_in_a_row_are_all_confirmed(uno, run):
    async def conversation():
        driver, _ = await connect(uno)
        begun = time.monotonic()
        for number in range(100):
            await driver.write("lamp", "true" if number % 2 == 0 else "false")
        print(f"a command takes {(time.monotonic() - begun) * 10:.1f} ms")
        await driver.close()
        assert uno.times("pin 13 1") == 50

    run(conversation())


def test_a_killed_board_is_gone_at_once_and_back_with_everything(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        uno.light(2500)
        await driver.write("lamp", "true")
        uno.kill()
        assert await asyncio.wait_for(driver.gone(), DEADLINE) == f"USB cable gone: {uno.port}"
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

    run(conversation())


def test_a_hanging_board_is_gone_within_five_seconds(uno, run):
    async def conversation():
        driver, _ = await connect(uno)
        uno.hang()
        with pytest.raises(DriverError, match="has not answered within 4 s"):
            await driver.write("lamp", "true")
        assert "has been silent for" in await driver.gone()
        await driver.close()

    run(conversation())


def test_a_board_left_alone_stays_and_costs_little(uno, run):
    async def conversation():
        driver, readings = await connect(uno)
        lost = asyncio.ensure_future(driver.gone())
        used, begun = (processor(uno.pid), time.process_time()), uno.clock()
        known = await readings.until(lambda now: now)
        await readings.number(3, *known)
        passed = uno.clock() - begun
        assert not lost.done()
        assert passed > 2 * 1.4, "a heartbeat every 1.5 s"
        simulator, ours = processor(uno.pid) - used[0], time.process_time() - used[1]
        print(f"in {passed:.1f} s: simulator {simulator:.2f} s, driver {ours:.4f} s of CPU")
        lost.cancel()
        await driver.close()

    run(conversation())
