"""The line driver against a board that a test plays by hand, at the other end of a pseudo-terminal."""

import asyncio
import json
import logging
import os
import pty

import pytest

from node.drivers.line import Driver, Options, protocol
from node.hub.driver import Control, DriverError, Field
from tests.conftest import until

HELLO = (
    '{"hello":"porch","version":"1.2","protocol":1,'
    '"fields":[{"name":"temperature","unit":"°C","label":"Temperature","deadband":0.5},'
    '{"name":"count","type":"integer"},{"name":"door","type":"boolean"},{"name":"note","type":"string"}],'
    '"controls":[{"name":"lamp","type":"boolean"},{"name":"dimmer","type":"integer","minimum":0,"maximum":255},'
    '{"name":"setpoint","type":"quantity"},{"name":"text","type":"string"}]}'
)
DEADLINE = 3  # seconds for anything here


class Board:
    """A board whose firmware is the test."""

    plugged = []

    def __init__(self, hello=HELLO):
        self.hello = hello
        self.deaf = 0  # questions for the hello that it will miss
        self.pongs = True
        self.asked = 0
        self.heard = asyncio.Queue()
        self._rest = b""
        self._master, self._slave = (
            pty.openpty()
        )  # the slave stays open, or we would read errors until the driver comes
        self.port = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._hear)
        self.plugged.append(self)

    def says(self, text):
        os.write(self._master, text.encode() + b"\n")

    def unplug(self):
        self.plugged.remove(self)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    async def hears(self):
        """The next line that is no question for the hello and no ping, read as JSON."""
        return json.loads(await asyncio.wait_for(self.heard.get(), DEADLINE), parse_float=str)

    def _hear(self):
        *lines, self._rest = (self._rest + os.read(self._master, 65536)).split(b"\n")
        for text in lines:
            if b"hello" in text:
                self.asked += 1
                if self.asked > self.deaf:
                    self.says(self.hello)
            elif b"ping" in text:
                if self.pongs:
                    self.says('{"pong":1}')
            else:
                self.heard.put_nowait(text)


class Talk:
    """A board, and a driver that has opened it."""

    def __init__(self):
        self.readings = asyncio.Queue()

    async def __aenter__(self):
        self.board = Board()
        self.driver = Driver(Options(self.board.port, heartbeat=10))
        await self.driver.open(self.readings.put_nowait)
        return self

    async def __aexit__(self, *_):
        await self.driver.close()

    async def reads(self):
        return await asyncio.wait_for(self.readings.get(), DEADLINE)


@pytest.fixture(autouse=True)
def tidy_desk():
    yield
    for board in list(Board.plugged):
        board.unplug()


@pytest.fixture
def hurry(monkeypatch):
    """The hello is asked for again soon."""
    monkeypatch.setattr(protocol, "ASK_AGAIN", 0.05)


def nothing(readings):
    """For who does not care for readings."""


# Hello


def test_the_hello_says_what_the_board_can_do(run):
    async def talk():
        async with Talk() as talk:
            temperature, count, door, note = talk.driver.fields
            assert (temperature.name, temperature.type, temperature.unit) == ("temperature", "quantity", "°C")
            assert str(temperature.deadband) == "0.5"
            assert [each.type for each in (count, door, note)] == ["integer", "boolean", "string"]
            lamp, dimmer, *_ = talk.driver.controls
            assert lamp.type == "boolean"
            assert (dimmer.minimum, dimmer.maximum) == (0, 255)
            assert talk.driver.about == {"name": "porch", "version": "1.2"}

    run(talk())


def test_a_hello_may_take_several_lines(run):
    async def talk():
        board = Board(
            '{"hello":"small","version":"1","protocol":1,"fields":1,"controls":1}\n'
            '{"field":{"name":"light","type":"integer"}}\n'
            '{"control":{"name":"lamp","type":"boolean"}}\n'
            '{"light":7}'
        )
        driver = Driver(Options(board.port))
        readings = {}
        await driver.open(readings.update)
        assert driver.fields == (Field("light", "integer"),)
        assert driver.controls == (Control("lamp", "boolean"),)
        assert readings == {"light": "7"}
        await driver.close()

    run(talk())


def test_a_hello_without_fields_leaves_those_of_board_toml(run):
    async def talk():
        board = Board('{"hello":"bare","protocol":1}')
        driver = Driver(Options(board.port), (Field("light", "integer"),), (Control("lamp", "boolean"),))
        await driver.open(nothing)
        assert driver.fields == (Field("light", "integer"),)
        assert driver.controls == (Control("lamp", "boolean"),)
        await driver.close()

    run(talk())


def test_a_hello_that_was_lost_is_asked_for_again(run, hurry):
    async def talk():
        board = Board()
        board.deaf = 2
        driver = Driver(Options(board.port))
        await driver.open(nothing)
        assert board.asked == 3
        await driver.close()

    run(talk())


def test_a_hello_that_lost_a_line_is_asked_for_again(run, hurry):
    async def talk():
        board = Board('{"hello":"small","protocol":1,"fields":2}\n{"field":{"name":"light"}}\n{"fie#d":{"name":"x"}}')
        driver = Driver(Options(board.port))
        opening = asyncio.ensure_future(driver.open(nothing))
        await until(lambda: board.asked == 2)
        board.hello = HELLO
        await opening
        assert len(driver.fields) == 4
        await driver.close()

    run(talk())


def test_a_board_that_does_not_say_hello_is_refused(run, hurry):
    async def talk():
        board = Board()
        board.deaf = 1000
        driver = Driver(Options(board.port, hello=0.3))
        with pytest.raises(DriverError, match=f"the board on {board.port} does not say hello"):
            await driver.open(nothing)
        await driver.close()

    run(talk())


@pytest.mark.parametrize(
    "hello", ["\x7fELF%&", '{"hello":"porch","protocol":2}', '{"hello":"x","protocol":1,"fields":[7]}']
)
def test_a_board_that_speaks_otherwise_is_refused_with_what_it_says(run, hurry, hello):
    async def talk():
        board = Board(hello)
        driver = Driver(Options(board.port, hello=0.3))
        with pytest.raises(DriverError, match="does not say hello.* needs 'format'.* it says .*115200 baud"):
            await driver.open(nothing)
        await driver.close()

    run(talk())


def test_a_port_that_is_not_there_is_named(run):
    driver = Driver(Options("/dev/ttyNONE"))
    with pytest.raises(DriverError, match="no board at /dev/ttyNONE"):
        run(driver.open(nothing))


def test_a_driver_that_was_never_opened_can_be_closed(run):
    run(Driver(Options("/dev/ttyNONE")).close())


# Readings


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"temperature":10.0}', "10.0"),
        ('{"temperature":-0.50}', "-0.50"),
        ('{"temperature":21}', "21"),
        ('{"temperature":2.5e-05}', "0.000025"),
        ('{"count":42}', "42"),
        ('{"door":true}', "true"),
        ('{"door":false}', "false"),
        ('{"note":"it\\u0000 rains"}', "it  rains"),
    ],
)
def test_a_reading_keeps_its_text(run, said, text):
    async def talk():
        async with Talk() as talk:
            talk.board.says(said)
            assert list((await talk.reads()).values()) == [text]

    run(talk())


@pytest.mark.parametrize(
    "said",
    [
        '{"temperature":"21.4"}',
        '{"temperature":true}',
        '{"temperature":NaN}',
        '{"temperature":1e99999999999999999999}',
        '{"temperature":' + 40 * "9" + "}",
        '{"count":4.2}',
        '{"door":1}',
        '{"note":7}',
        '{"temperature":[1]}',
        '{"temperature":null}',
        '{"unheard-of":1}',
        '{"ok":[1]}',
        '{"err":{}}',
        '{"error":7}',
        '{"pong":1}',
        "{}",
        "[1]",
        "7",
        '{"temperature":2',
        "\x00\xff",
        "[" * 1024,
        "x" * 5000,
        "",
    ],
)
def test_what_is_no_reading_of_that_type_changes_nothing(run, said):
    async def talk():
        async with Talk() as talk:
            talk.board.says(said)
            talk.board.says('{"temperature":1.0}')
            assert await talk.reads() == {"temperature": "1.0"}

    run(talk())


def test_a_sensor_that_has_no_reading_again_and_again_is_lost(run):
    async def talk():
        async with Talk() as talk:
            for _ in range(3):
                talk.board.says('{"temperature":null}')
            assert await talk.reads() == {"temperature": None}

    run(talk())


def test_noise_is_told_once_a_minute_with_its_amount(run, caplog):
    async def talk():
        async with Talk() as talk:
            talk.board.says("\n".join(["#!" * 20] * 100))
            talk.board.says('{"count":1}')
            await talk.reads()
            assert len(caplog.messages) == 1
            assert "skipped 1 lines" in caplog.text
            talk.driver._port._noise._next = 0.0  # a minute later
            talk.board.says("#?")
            talk.board.says('{"count":2}')
            await talk.reads()
            assert caplog.messages[1:] == [
                f"{talk.board.port}: skipped 100 lines that were not understood; the last: #?"
            ]

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


def test_a_complaint_of_the_board_is_logged(run, caplog):
    async def talk():
        async with Talk() as talk:
            talk.board.says('{"error":"sensor does not answer"}')
            talk.board.says('{"count":1}')
            await talk.reads()
            assert "sensor does not answer" in caplog.text

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


# Commands


def test_a_control_is_confirmed_by_the_reply_to_its_own_id(run):
    async def talk():
        async with Talk() as talk:
            writing = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            command = await talk.board.hears()
            assert command == {"set": {"lamp": True}, "id": command["id"]}
            talk.board.says(f'{{"ok":{command["id"] + 1}}}')
            talk.board.says('{"ok":0}')
            talk.board.says('{"ok":true}')
            talk.board.says('{"count":1}')
            await talk.reads()
            assert not writing.done()
            talk.board.says(f'{{"ok":{command["id"]}}}')
            await writing

    run(talk())


def test_a_refusal_comes_with_the_boards_words(run):
    async def talk():
        async with Talk() as talk:
            writing = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            command = await talk.board.hears()
            talk.board.says(f'{{"err":{command["id"]},"msg":"lamp did not follow"}}')
            with pytest.raises(DriverError, match="lamp did not follow"):
                await writing

    run(talk())


def test_a_late_reply_is_for_nobody(run):
    async def talk():
        async with Talk() as talk:
            talk.driver.options.timeout = 0.05
            with pytest.raises(DriverError, match=r"has not answered within 0\.05 s"):
                await talk.driver.write("lamp", "true")
            talk.driver.options.timeout = DEADLINE
            late = await talk.board.hears()
            writing = asyncio.ensure_future(talk.driver.write("lamp", "false"))
            command = await talk.board.hears()
            talk.board.says(f'{{"err":{late["id"]},"msg":"late"}}')
            talk.board.says(f'{{"ok":{command["id"]}}}')
            await writing

    run(talk())


def test_a_command_is_answered_also_when_its_board_is_taken_out_meanwhile(run):
    async def story():
        async with Talk() as talk:
            command = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            await talk.board.hears()
            talk.driver.gone().cancel()  # as a Thing does that is stopped
            with pytest.raises(DriverError, match="closed"):
                await asyncio.wait_for(command, DEADLINE)

    run(story())


def test_a_board_gets_one_command_at_a_time(run):
    async def talk():
        async with Talk() as talk:
            first = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            second = asyncio.ensure_future(talk.driver.write("dimmer", "7"))
            command = await talk.board.hears()
            talk.board.says('{"count":1}')
            await talk.reads()
            assert talk.board.heard.empty()
            talk.board.says(f'{{"ok":{command["id"]}}}')
            await first
            command = await talk.board.hears()
            assert command["set"] == {"dimmer": 7}
            talk.board.says(f'{{"ok":{command["id"]}}}')
            await second

    run(talk())


@pytest.mark.parametrize(
    ("control", "value", "spelled"),
    [
        ("lamp", "false", "false"),
        ("dimmer", "+007", "7"),
        ("setpoint", "21.50", "21.50"),
        ("setpoint", ".5", "0.5"),
        ("setpoint", "5.", "5"),
        ("text", 'say "hi" 100 %s {}', '"say \\"hi\\" 100 %s {}"'),
        ("text", "21 °C", '"21 °C"'),
    ],
)
def test_a_value_is_spelled_as_json(run, control, value, spelled):
    async def talk():
        async with Talk() as talk:
            writing = asyncio.ensure_future(talk.driver.write(control, value))
            text = (await asyncio.wait_for(talk.board.heard.get(), DEADLINE)).decode()
            assert text == f'{{"set":{{"{control}":{spelled}}},"id":1}}'
            talk.board.says('{"ok":1}')
            await writing

    run(talk())


def test_a_text_that_does_not_fit_into_the_board_is_refused(run):
    async def talk():
        async with Talk() as talk:
            with pytest.raises(DriverError, match="too long for the board: 226 bytes"):
                await talk.driver.write("text", 200 * "x")

    run(talk())


def test_a_control_the_board_does_not_have_is_refused(run):
    async def talk():
        async with Talk() as talk:
            with pytest.raises(DriverError, match="no control fan"):
                await talk.driver.write("fan", "true")

    run(talk())


# Gone, and back


def test_a_pulled_cable_ends_everything_at_once_with_its_reason(run):
    async def talk():
        async with Talk() as talk:
            gone = asyncio.ensure_future(talk.driver.gone())
            writing = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            await talk.board.hears()
            talk.board.unplug()
            reason = f"USB cable gone: {talk.board.port}"
            assert await asyncio.wait_for(gone, DEADLINE) == reason
            with pytest.raises(DriverError, match=reason):
                await writing
            with pytest.raises(DriverError, match="is closed"):
                await talk.driver.write("lamp", "true")

    run(talk())


def test_a_board_that_vanishes_before_its_hello_is_gone_at_once(run):
    async def talk():
        board = Board()
        board.deaf = 1000
        driver = Driver(Options(board.port))
        opening = asyncio.ensure_future(driver.open(nothing))
        await until(lambda: board.asked)
        board.unplug()
        with pytest.raises(DriverError, match="USB cable gone"):
            await asyncio.wait_for(opening, 1)

    run(talk())


def test_the_same_driver_opens_the_board_again(run, tmp_path):
    async def talk():
        port = tmp_path / "ttyUSB0"
        driver = Driver(Options(str(port)))
        for firmware in ("first", "second"):
            board = Board(HELLO.replace("porch", firmware))
            port.unlink(missing_ok=True)
            port.symlink_to(board.port)
            readings = asyncio.Queue()
            await driver.open(readings.put_nowait)
            assert driver.about["name"] == firmware
            board.says('{"count":5}')
            assert await asyncio.wait_for(readings.get(), DEADLINE) == {"count": "5"}
            board.unplug()
            assert await asyncio.wait_for(driver.gone(), DEADLINE) == f"USB cable gone: {port}"
            await driver.close()

    run(talk())


def test_a_silent_board_is_asked_and_then_given_up(run, later):
    async def talk():
        board = Board()
        driver = Driver(Options(board.port, heartbeat=0.1))
        await driver.open(nothing)
        gone = asyncio.ensure_future(driver.gone())
        for _ in range(5):  # heartbeats, in which it says nothing but its pongs
            heard = driver._port.heard
            later(0.11)
            await until(lambda heard=heard: driver._port.heard != heard)
        board.pongs = False
        for _ in range(3):
            later(0.06)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not gone.done()
        later(0.06)
        assert await gone == f"the board on {board.port} has been silent for 0 s"
        await driver.close()

    run(talk())


def test_noise_is_no_sign_of_life(run):
    async def talk():
        board = Board()
        driver = Driver(Options(board.port, heartbeat=0.1))
        await driver.open(nothing)
        board.pongs = False
        gone = asyncio.ensure_future(driver.gone())
        while not gone.done():
            board.says("#!")
            await asyncio.wait([gone], timeout=0.02)
        assert f"nothing from {board.port} has been understood for 0 s: it says '#!'" in gone.result()
        await driver.close()

    run(talk())


def test_a_board_that_starts_anew_goes_on(run):
    async def talk():
        async with Talk() as talk:
            talk.board.says(HELLO)
            talk.board.says('{"count":1}')
            assert await talk.reads() == {"count": "1"}

    run(talk())


def test_a_board_that_starts_with_another_firmware_is_opened_anew(run):
    async def talk():
        async with Talk() as talk:
            talk.board.says('{"hello":"shed","protocol":1,"fields":[{"name":"light"}],"controls":[]}')
            gone = await asyncio.wait_for(talk.driver.gone(), DEADLINE)
            assert gone == "the board has started with another firmware"

    run(talk())


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ValueError, match="heartbeat must be more than 0"):
        Options("/dev/ttyACM0", heartbeat=0)
