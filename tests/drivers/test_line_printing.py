"""The line driver against boards that just print, at the other end of a pseudo-terminal."""

import asyncio
import logging
import random
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from node.config import load
from node.drivers.line import Driver, Options
from node.drivers.line.options import Sending
from node.hub.driver import Control, DriverError, Field
from node.hub.formats import Format, Place
from tests.drivers.printer import DEADLINE, LONG, Printer, Readings, at_the_port, open_to

FIELDS = (Field("temp", unit="°C"), Field("door", "boolean"))
CONTROLS = (
    Control("lamp", "boolean"),
    Control("level", "integer"),
    Control("text", "string"),
    Control("reset", "enum", options=("now",)),
)


@asynccontextmanager
async def opened(**options):
    """A board that prints, and a driver that has opened it and read its first line."""
    with Printer() as board:
        driver = Driver(Options(board.port, **({"format": "pairs"} | options)), FIELDS, CONTROLS)
        readings = Readings()
        try:
            await open_to(driver, readings, board, "temp=1.0")
            await readings.next()
            yield board, driver, readings
        finally:
            await driver.close()


# Readings


@pytest.mark.parametrize(
    ("options", "places", "said", "read"),
    [
        ({"format": "pairs"}, {}, "temp=21.40 door=1", {"temp": "21.40", "door": "true"}),
        ({"format": "pairs", "sign": ":", "separator": "|"}, {"temp": Place(key="T in")}, "T in: 7|x", {"temp": "7"}),
        (
            {"format": "csv"},
            {"temp": Place(column=2), "door": Place(column=1)},
            "0, 2.5",
            {"temp": "2.5", "door": "false"},
        ),
        (
            {"format": "regex"},
            {"temp": Place(pattern=r"T=(-?\d+\.\d+)"), "door": Place(pattern="door (.*),", true="open", false="shut")},
            "the door shut, T=-3.50 C",
            {"temp": "-3.50", "door": "false"},
        ),
        (
            {"format": "paths"},
            {"temp": Place(path="sensors[1].t", factor=Decimal("0.1"))},
            '{"sensors":[{"t":1},{"t":214}],"door":true}',
            {"temp": "21.4", "door": "true"},
        ),
    ],
)
def test_a_board_that_just_prints_is_read(run, options, places, said, read):
    async def talk():
        with Printer() as board:
            driver, readings = Driver(Options(board.port, fields=places, **options), FIELDS), Readings()
            await open_to(driver, readings, board, said)
            assert await readings.next() == read
            await driver.close()

    run(talk())


def test_a_line_with_a_value_of_the_wrong_type_is_skipped_and_counted(run, caplog):
    async def talk():
        async with opened() as (board, driver, readings):
            board.says("temp=warm door=1", "temp=2.0")
            assert await readings.next() == {"temp": "2.0"}
            assert caplog.messages == [
                f"{board.port}: skipped 1 lines that were not understood; the last: temp=warm door=1"
            ]

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


def test_a_sensor_that_does_not_answer_leaves_the_others(run):
    async def talk():
        async with opened() as (board, driver, readings):
            board.says("temp=nan door=1")
            assert await readings.next() == {"door": "true"}
            board.says("temp=nan", "temp=nan")
            assert await readings.next() == {"temp": None}, "it is lost"

    run(talk())


def test_what_comes_while_it_is_opened_is_told(run):
    async def talk():
        with Printer() as board:
            driver, readings = Driver(Options(board.port, format="pairs"), FIELDS), Readings()
            await open_to(driver, readings, board, "temp=1.0", "temp=2.0 door=0")
            assert await readings.next() == {"temp": "1.0"}
            assert await readings.next() == {"temp": "2.0", "door": "false"}
            await driver.close()

    run(talk())


# Opening


def test_a_board_that_says_nothing_is_opened_in_the_end(run, later):
    async def talk():
        with Printer() as board:
            driver = Driver(Options(board.port, format="pairs", hello=10), FIELDS)
            opening = asyncio.ensure_future(driver.open(Readings()))
            await at_the_port(driver)
            later(10)
            await opening
            assert board.heard.empty(), "it has been asked for nothing"
            await driver.close()

    run(talk(), LONG)


def test_a_board_that_says_only_what_is_not_understood_is_refused_with_it(run, later):
    async def talk():
        with Printer() as board:
            driver = Driver(Options(board.port, format="pairs"), FIELDS)
            opening = asyncio.ensure_future(driver.open(Readings()))
            await at_the_port(driver)
            board.says(b"\xfe\x80\x00")
            while not driver._port.complaint:
                await asyncio.sleep(0)
            later(10)
            with pytest.raises(DriverError) as caught:
                await opening
            assert str(caught.value) == (
                f"nothing from {board.port} is understood within 10 s: "
                r"it says '\\xfe\\x80\\x00'; is 115200 baud right?"
            )
            await driver.close()

    run(talk(), LONG)


def test_a_board_that_speaks_when_asked_is_asked_again_and_again(run, later):
    async def talk():
        async with opened(ask="READ\n", every=60) as (board, driver, readings):
            assert await board.hears() == b"READ"
            assert board.heard.empty()
            later(60)
            assert await board.hears() == b"READ"

    run(talk(), LONG)


# Controls


@pytest.mark.parametrize(
    ("sending", "control", "value", "sent"),
    [
        (Sending("LAMP {value}\n"), "lamp", "true", b"LAMP 1"),
        (Sending("LAMP {value}\n", true="ON", false="OFF"), "lamp", "false", b"LAMP OFF"),
        (Sending("D{value}{value}\n"), "level", "-7", b"D-7-7"),
        (Sending("RST\n"), "reset", "now", b"RST"),
        (Sending("SAY {value}\n"), "text", "{value} {0} %s °", "SAY {value} {0} %s °".encode()),
    ],
)
def test_a_control_is_a_text_with_the_value_in_it(run, sending, control, value, sent):
    async def talk():
        async with opened(controls={control: sending}) as (board, driver, readings):
            await driver.write(control, value)
            assert await board.hears() == sent

    run(talk())


def test_a_control_is_confirmed_by_a_line_that_says_so(run, caplog):
    async def talk():
        controls = {"level": Sending("L {value}\n", confirm="^OK {value}$")}
        async with opened(controls=controls) as (board, driver, readings):
            writing = asyncio.ensure_future(driver.write("level", "7"))
            assert await board.hears() == b"L 7"
            board.says("OK 77", "OK", "temp=3")
            await readings.next()
            assert not writing.done()
            board.says("OK 7")
            await writing
            board.says("OK 7", "temp=4")
            assert await readings.next() == {"temp": "4"}
            driver._port._noise._next = 0.0  # a minute later
            board.says("OK 7", "temp=5")
            await readings.next()
            assert "skipped 3 lines" in caplog.messages[-1], "one that nobody waits for is noise"

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


def test_a_text_is_confirmed_by_itself_and_not_as_a_pattern(run):
    async def talk():
        controls = {"text": Sending("S {value}\n", confirm="^OK {value}$")}
        async with opened(controls=controls) as (board, driver, readings):
            writing = asyncio.ensure_future(driver.write("text", "a.(c"))
            await board.hears()
            board.says("OK ab(c", "temp=3")
            await readings.next()
            assert not writing.done()
            board.says("OK a.(c")
            await writing

    run(talk())


def test_a_control_that_is_not_confirmed_in_time_is_a_fault(run, later):
    async def talk():
        controls = {"level": Sending("L {value}\n", confirm="OK")}
        async with opened(controls=controls, timeout=3) as (board, driver, readings):
            writing = asyncio.ensure_future(driver.write("level", "7"))
            await board.hears()
            later(3)
            with pytest.raises(DriverError, match="has not answered within 3 s"):
                await writing

    run(talk(), LONG)


def test_a_board_unplugged_in_the_middle_of_a_command_fails_it_at_once(run):
    async def talk():
        controls = {"level": Sending("L {value}\n", confirm="OK")}
        async with opened(controls=controls) as (board, driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            writing = asyncio.ensure_future(driver.write("level", "7"))
            await board.hears()
            board.unplug()
            reason = f"USB cable gone: {board.port}"
            with pytest.raises(DriverError, match=reason):
                await asyncio.wait_for(writing, 1)
            assert await gone == reason
            with pytest.raises(DriverError, match="is closed"):
                await driver.write("level", "7")

    run(talk())


def test_no_second_line_can_be_smuggled_into_a_command(run):
    async def talk():
        async with opened(controls={"text": Sending("SAY {value}\n")}) as (board, driver, readings):
            for text in ("a\nLAMP 1", "a\rb", "a\x03"):
                with pytest.raises(DriverError, match="several lines"):
                    await driver.write("text", text)
            await driver.write("text", "b")
            assert await board.hears() == b"SAY b"

    run(talk())


def test_a_control_without_a_text_to_send_is_a_fault_in_words(run):
    async def talk():
        async with opened() as (board, driver, readings):
            with pytest.raises(DriverError, match="what to send for lamp: it needs 'send'"):
                await driver.write("lamp", "true")

    run(talk())


# Silence, noise, and the cable


def test_a_board_that_falls_silent_is_gone_after_that_time(run, later):
    async def talk():
        async with opened(silence=300) as (board, driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            later(200)
            board.says("temp=2")
            await readings.next()
            later(299)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not gone.done()
            later(1)
            assert await gone == f"the board on {board.port} has been silent for 300 s"

    run(talk(), LONG)


def test_noise_is_no_sign_of_life_and_is_named(run, later):
    async def talk():
        async with opened(silence=60, baud=9600) as (board, driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            board.says("#!")
            while not driver._port.complaint:
                await asyncio.sleep(0)
            later(60)
            said = f"nothing from {board.port} has been understood for 60 s: it says '#!'; is 9600 baud right?"
            assert await gone == said

    run(talk(), LONG)


def test_with_silence_0_a_board_may_be_silent_for_ever(run, later):
    async def talk():
        async with opened(silence=0) as (board, driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            later(100_000)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not gone.done()
            gone.cancel()

    run(talk(), LONG)


def test_the_same_driver_opens_the_board_again(run, tmp_path):
    async def talk():
        port = tmp_path / "ttyUSB0"
        driver = Driver(Options(str(port), format="pairs"), FIELDS)
        for said in ("temp=1", "temp=2"):
            with Printer() as board:
                port.unlink(missing_ok=True)
                port.symlink_to(board.port)
                readings = Readings()
                await open_to(driver, readings, board, said)
                assert await readings.next() == {"temp": said[5:]}
                board.unplug()
                assert await asyncio.wait_for(driver.gone(), DEADLINE) == f"USB cable gone: {port}"
                await driver.close()

    run(talk())


def test_a_driver_that_was_never_opened_can_be_closed(run):
    run(Driver(Options("/dev/ttyNONE", format="pairs")).close())


def test_a_port_that_is_not_there_is_named(run):
    with pytest.raises(DriverError, match="no board at /dev/ttyNONE"):
        run(Driver(Options("/dev/ttyNONE", format="pairs"), FIELDS).open(Readings()))


@pytest.mark.parametrize(
    "garbage", [random.Random(4).randbytes(32768), b"a" * 1023 + b"\n", b"a a " * 255 + b"\n", b"=,\n" * 10923]
)
@pytest.mark.parametrize("format", ["pairs", "csv", "regex", "paths"])
def test_garbage_costs_a_small_part_of_a_second(run, format, garbage):
    """As much as a Tty lets through in a second, for a pattern that would take years for one line of it."""
    places = {
        "regex": {"temp": Place(pattern=r"(?:\S+\s*)+T=(\d+)"), "door": Place(pattern=r"(?:a|a a?)* x(\d)")},
        "csv": {"temp": Place(column=1), "door": Place(column=256)},
    }.get(format, {})

    async def talk():
        async with opened() as (board, driver, readings):
            driver._format = Format(format, FIELDS, places)
            begun = time.thread_time()
            driver._port.received(garbage * (32768 // len(garbage)))
            assert time.thread_time() - begun < 0.5

    run(talk())


# Configuration


def test_fields_and_controls_are_mapped_in_the_configuration(tmp_path):
    text = """
domain = "home.example"
[thing.porch]
driver = "line"
port = "x"
format = "regex"
silence = 60
[[thing.porch.fields]]
name = "temp"
unit = "°C"
pattern = 'T=(-?\\d+)'
factor = 0.1
[[thing.porch.controls]]
name = "lamp"
type = "boolean"
send = "LAMP {value}\\n"
confirm = "OK"
"""
    thing = load(tmp_path / "hobnode.toml", text).things["porch"]
    assert thing.options.fields == {"temp": Place(pattern=r"T=(-?\d+)", factor=Decimal("0.1"))}
    assert thing.options.controls == {"lamp": Sending("LAMP {value}\n", "OK")}
    assert thing.declared.fields == (Field("temp", unit="°C"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("format = 'xml'", '[thing.porch] format must be one of "json", "pairs", "csv", "regex", "paths"'),
        ("format = 'regex'\n[[thing.porch.fields]]\nname='a'\npattern='('", "the pattern '(' is no regular expression"),
        ("format = 'regex'\n[[thing.porch.fields]]\nname='a'\npattern='a'", "must have 1 group in round"),
        ("format = 'csv'\n[[thing.porch.fields]]\nname='a'\ncolumn=0", "column must be a number from 1 to 256"),
        ("format = 'csv'\n[[thing.porch.fields]]\nname='a'\nkey='x'", "'key' is for format = 'pairs', and this"),
        ("format = 'paths'\n[[thing.porch.fields]]\nname='a'\npath='a..b'", "'a..b' is no path such as"),
        ("[[thing.porch.fields]]\nname='a'\nkey='x'", "'a': a board with format = 'json' says itself"),
        ("[[thing.porch.fields]]\nname='a'\nkye='x'", "has no option 'kye'; did you mean 'key'?"),
        ("format = 'pairs'\n[[thing.porch.controls]]\nname='a'\ntype='boolean'\nconfirm='x'", "needs 'send'"),
        ("format = 'pairs'\n[[thing.porch.controls]]\nname='a'\ntype='boolean'\nsend='x'\nconfirm='('", "no regular"),
        ("format = 'pairs'\ntimeout = 7", "timeout must be less than 5 seconds"),
        ("format = 'pairs'\nhello = 20", "hello must be less than 15 seconds"),
        ("format = 'csv'\n[[thing.porch.fields]]\nname='a'", "field 'a' needs 'column'"),
        ("format = 'pairs'\nsign = ''", "sign must not be empty"),
        ("format = 'pairs'\n[[thing.porch.controls]]\nname='a'\ntype='boolean'", "control 'a' needs 'send'"),
        ("silence = -1", "silence must not be less than 0"),
    ],
)
def test_a_mistake_in_the_configuration_is_said(mistake, text, said):
    assert said in mistake(f"[thing.porch]\ndriver = 'line'\nport = 'x'\n{text}")
