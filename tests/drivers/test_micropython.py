"""The micropython driver against a simulated board at the other end of a pseudo-terminal, and MicroPython itself."""

import asyncio
import logging
import os
import pty

import pytest

from node import config
from node.drivers import micropython
from node.drivers.micropython import Driver, Expression, Options, Statement, repl
from node.hub.driver import Control, DriverError, Field
from tests.boards.micropython import MicroPython
from tests.conftest import until
from tests.drivers.micropython.board import Board, programs

DEADLINE = 3  # seconds for anything here
SHORT = 0.2  # seconds until what hangs is interrupted
SETUP = "level = 21.50\npressed = False\nnote = ''\ndef shown(text):\n    global note\n    note = text\n"
FIELDS = (
    Field("temperature", unit="°C"),
    Field("count", "integer"),
    Field("button", "boolean"),
    Field("note", "string"),
)
CONTROLS = (
    Control("lamp", "boolean"),
    Control("dimmer", "integer"),
    Control("setpoint", "quantity"),
    Control("show", "string"),
)
READS = {"temperature": "'%.2f' % level", "count": "len(note)", "button": "pressed", "note": "note"}
DOES = {
    "lamp": "pressed = {value}",
    "dimmer": "level = {value}",
    "setpoint": "level = {value}",
    "show": "shown({value})",
}


class Desk:
    """A simulated board on a serial port, and the driver's end of it."""

    def __init__(self, paste="R1", once=None, **options):
        self.board = Board(paste, once)
        self.options = options
        self.closed = False

    async def __aenter__(self):
        self._master, self._slave = pty.openpty()
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._hears)
        self.driver = driver_at(os.ttyname(self._slave), **self.options)
        await self.driver.open(nothing)
        return self

    async def __aexit__(self, *_):
        await self.driver.close()
        self.unplug()

    def _hears(self):
        self.says(self.board.hears(os.read(self._master, 65536)))

    def says(self, data):
        os.write(self._master, data)

    def unplug(self):
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)


def driver_at(port, reads=None, does=None, **options):
    reads = READS | (reads or {})
    options = {"setup": SETUP, "timeout": DEADLINE} | options
    return Driver(
        Options(
            port,
            fields={name: Expression(text) for name, text in reads.items()},
            controls={name: Statement(text) for name, text in (DOES | (does or {})).items()},
            **options,
        ),
        FIELDS,
        CONTROLS,
    )


def nothing(readings):
    """For who does not care for readings."""


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Seventy farewells are four seconds."""
    monkeypatch.setattr(micropython, "FAREWELL", 0)


# Reading


def test_expressions_are_read_as_the_board_prints_them(run):
    async def talk():
        async with Desk() as desk:
            assert programs(desk.board) == [SETUP]
            assert await desk.driver.read() == {"temperature": "21.50", "count": "0", "button": "false", "note": ""}
            assert (desk.driver.interval, desk.driver.fields) == (10.0, FIELDS)

    run(talk())


@pytest.mark.parametrize(
    ("field", "expression", "text"),
    [
        ("temperature", "21", "21"),
        ("temperature", "-0.5", "-0.5"),
        ("temperature", "2.5e-05", "0.000025"),
        ("temperature", "'10.0'", "10.0"),
        ("temperature", "1 # a comment", "1"),
        ("count", "-7", "-7"),
        ("button", "1", "true"),
        ("button", "0", "false"),
        ("button", "3 > 2", "true"),
        ("note", "'it\\x00 rains\\n'", "it  rains"),
        ("note", "(1, 2)", "(1, 2)"),
        ("note", "2000 * 'x'", 1024 * "x"),
    ],
)
def test_a_reading_keeps_its_text(run, field, expression, text):
    async def talk():
        async with Desk(reads={field: expression}) as desk:
            assert (await desk.driver.read())[field] == text

    run(talk())


@pytest.mark.parametrize(
    ("field", "expression", "fault"),
    [
        ("temperature", "'warm'", "temperature: warm is no number, or out of all bounds"),
        ("temperature", "True", "temperature: True is no number, or out of all bounds"),
        ("temperature", "10 ** 40", f"temperature: 1{40 * '0'} is no number, or out of all bounds"),
        ("temperature", "1e99", "temperature: 1e+99 is no number, or out of all bounds"),
        ("count", "1.0", "count: 1.0 is no whole number"),
        ("button", "2", "button: 2 is neither true nor false"),
        ("note", "1 / 0", "note: ZeroDivisionError: division by zero"),
        ("note", "nobody", "note: NameError: name 'nobody' is not defined"),
    ],
)
def test_what_cannot_be_read_is_told_once_in_words_and_the_rest_is_read(run, caplog, field, expression, fault):
    async def talk():
        async with Desk(reads={field: expression}) as desk:
            for _ in range(3):
                readings = await desk.driver.read()
                assert readings.keys() == READS.keys()
                assert [name for name, value in readings.items() if value is None] == [field]
            assert caplog.messages == [f"{desk.driver.options.port}: {fault}"]

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


@pytest.mark.parametrize("field", READS)
def test_none_is_no_reading_and_no_fault(run, caplog, field):
    async def talk():
        async with Desk(reads={field: "None"}) as desk:
            assert (await desk.driver.read()).keys() == READS.keys() - {field}
        assert not caplog.messages

    run(talk())


def test_a_fault_that_comes_back_after_it_was_gone_is_told_again(run, caplog):
    async def talk():
        async with Desk(reads={"count": "1 // level"}) as desk:
            for value in ("0", "1", "0"):
                await desk.driver.write("dimmer", value)
                await desk.driver.read()
        assert len(caplog.messages) == 2

    run(talk())


def test_a_board_of_which_nothing_can_be_read_says_why(run):
    async def talk():
        async with Desk(reads=dict.fromkeys(READS, "1 / 0")) as desk:
            with pytest.raises(DriverError, match="ZeroDivisionError: division by zero"):
                await desk.driver.read()

    run(talk())


def test_an_empty_text_is_a_reading_too(run):
    async def talk():
        async with Desk(reads=dict.fromkeys(READS, "1 / 0") | {"note": "''"}) as desk:
            assert (await desk.driver.read())["note"] == ""

    run(talk())


def test_a_field_without_an_expression_is_left_to_its_control(run):
    async def talk():
        async with Desk() as desk:
            driver = Driver(Options(desk.driver.options.port), FIELDS, CONTROLS)
            assert await driver.read() == {}

    run(talk())


# Commands


@pytest.mark.parametrize("paste", ["R1", "R0", "none"])
def test_a_command_is_confirmed_when_its_statement_has_run(run, paste):
    async def talk():
        async with Desk(paste) as desk:
            await desk.driver.write("lamp", "true")
            assert (await desk.driver.read())["button"] == "true"
            await desk.driver.write("lamp", "false")
            assert (await desk.driver.read())["button"] == "false"

    run(talk())


@pytest.mark.parametrize(
    ("control", "value", "spelled"),
    [
        ("lamp", "true", "pressed = True"),
        ("dimmer", "+007", "level = 7"),
        ("setpoint", "021.50", "level = 21.50"),
        ("setpoint", "5.", "level = 5"),
        ("show", "hi", "shown('hi')"),
        ("show", "it's", 'shown("it\'s")'),
        ("show", "'); reset() #", 'shown("\'); reset() #")'),
        ("show", "a\nb\x03\x04\\", r"shown('a\nb\x03\x04\\')"),
        ("show", "21 °C €", r"shown('21 \xb0C \u20ac')"),
        ("show", "{value} {0}", "shown('{value} {0}')"),
    ],
)
def test_a_value_is_spelled_as_python(run, control, value, spelled):
    async def talk():
        async with Desk() as desk:
            await desk.driver.write(control, value)
            assert programs(desk.board)[-1] == spelled
            if control == "show":
                assert desk.board.names["note"] == value

    run(talk())


def test_an_exception_is_the_answer_to_a_command(run):
    async def talk():
        async with Desk(does={"dimmer": "level = 1 // {value}"}) as desk:
            with pytest.raises(DriverError, match="^dimmer: ZeroDivisionError"):
                await desk.driver.write("dimmer", "0")
            await desk.driver.write("dimmer", "1")

    run(talk())


def test_a_command_that_the_board_has_no_room_for_is_not_sent(run):
    async def talk():
        async with Desk() as desk:
            with pytest.raises(DriverError, match="show: that is too long for the board, which takes 4096 bytes"):
                await desk.driver.write("show", 1024 * "😀")
            assert programs(desk.board) == [SETUP]

    run(talk())


def test_a_control_without_a_statement_is_refused(run):
    async def talk():
        async with Desk() as desk:
            with pytest.raises(DriverError, match="fan has no statement"):
                await desk.driver.write("fan", "true")

    run(talk())


def test_readings_and_commands_take_turns(run):
    async def talk():
        async with Desk() as desk:
            await asyncio.gather(
                *(desk.driver.write("dimmer", str(number)) for number in range(5)),
                *(desk.driver.read() for _ in range(5)),
            )
            assert len(programs(desk.board)) == 1 + 5 + 5 * len(READS)

    run(talk())


# A board that hangs


def test_an_expression_that_hangs_is_interrupted_and_the_others_get_their_turn(run):
    async def talk():
        async with Desk(reads={"temperature": "hang"}, timeout=SHORT) as desk:
            with pytest.raises(DriverError, match=r"^temperature: no end within 0\.2 s, interrupted$"):
                await desk.driver.read()
            for _ in range(2):
                readings = await desk.driver.read()
                assert readings == {"count": "0", "button": "false", "note": "", "temperature": None}

    run(talk())


def test_a_statement_that_hangs_is_interrupted_and_the_next_one_runs(run):
    async def talk():
        async with Desk(does={"show": "hang if {value} else hang"}, timeout=SHORT) as desk:
            desk.board.names["hang"] = 1
            desk.driver.options.controls["show"].statement = "hang"
            with pytest.raises(DriverError, match="no end within"):
                await desk.driver.write("show", "x")
            await desk.driver.write("dimmer", "5")
            assert desk.board.names["level"] == 5

    run(talk())


def test_a_board_that_prints_for_ever_is_interrupted(run):
    async def talk():
        async with Desk(reads={"note": "flood"}) as desk:
            assert (await desk.driver.read())["note"] is None
            assert desk.driver._faults == {"note": "note: it prints more than 4096 bytes"}
            assert desk.board.mode == "raw", "it is interrupted now, and not at the next reading"
            assert (await desk.driver.read()).keys() == READS.keys()

    run(talk())


def test_who_gives_up_leaves_no_program_behind(run):
    async def talk():
        async with Desk(reads={"temperature": "hang"}) as desk:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(desk.driver.read(), 0.05)
            await desk.driver.write("dimmer", "5")
            assert desk.board.names["level"] == 5

    run(talk())


def test_a_board_that_does_not_hear_ctrl_c_is_lost_with_what_it_hangs_in(run, monkeypatch):
    monkeypatch.setattr(micropython, "INTERRUPTED", 0.1)

    async def talk():
        async with Desk(reads={"temperature": "deaf"}, timeout=SHORT) as desk:
            gone = asyncio.ensure_future(desk.driver.gone())
            reason = "the board hangs in temperature and does not hear Ctrl-C: reset it"
            with pytest.raises(DriverError, match=reason):
                await desk.driver.read()
            assert await gone == reason
            with pytest.raises(DriverError, match=reason):
                await desk.driver.write("dimmer", "5")

    run(talk())


# Coming and going


def test_a_board_that_is_reset_is_lost_and_set_up_again(run):
    async def talk():
        async with Desk() as desk:
            desk.says(desk.board.reset())
            assert await desk.driver.gone() == "the board has started anew"
            await desk.driver.close()  # nothing is sent: the port is closed already
            await desk.driver.open(nothing)
            assert (await desk.driver.read())["temperature"] == "21.50"
            assert desk.board.ran.count(SETUP) == 2

    run(talk())


def test_a_board_that_was_reset_and_runs_a_program_of_its_own_is_interrupted(run):
    async def talk():
        async with Desk(timeout=SHORT) as desk:
            desk.board.runs_main()
            with pytest.raises(DriverError, match="the board has started anew"):
                await desk.driver.read()
            await desk.driver.close()
            desk.board.runs_main()
            await desk.driver.open(nothing)
            assert (await desk.driver.read())["temperature"] == "21.50"

    run(talk())


@pytest.mark.parametrize("reset", ["crash", "soft"])
@pytest.mark.parametrize("paste", ["R1", "R0", "none"])
def test_a_board_that_resets_itself_in_a_command_is_lost_at_once(run, paste, reset):
    async def talk():
        async with Desk(paste, timeout=10 * DEADLINE) as desk:
            desk.driver.options.controls["show"].statement = reset
            with pytest.raises(DriverError, match="the board has started anew"):
                await desk.driver.write("show", "x")
            assert await desk.driver.gone() == "the board has started anew"

    run(talk())


@pytest.mark.parametrize("paste", ["R1", "none"])
@pytest.mark.parametrize(
    ("at", "accident"),
    [  # to be silent in the setup is none: it may take long
        *(("who", accident) for accident in ("lost", "crash", "soft", "main")),
        *(("setup", accident) for accident in ("lost", "crash", "soft")),
    ],
)
def test_a_board_that_is_just_starting_is_set_up_anew_until_it_has_all_of_it(run, monkeypatch, at, accident, paste):
    monkeypatch.setattr(repl, "TAKEN", 0.02)

    async def talk():
        program = {"who": micropython.WHO, "setup": SETUP}[at]
        async with Desk(paste, once={program: accident}, start=DEADLINE, timeout=SHORT) as desk:
            monkeypatch.undo()
            assert not desk.board.once, "it has happened"
            assert desk.driver.about["name"]
            assert (await desk.driver.read())["temperature"] == "21.50"

    run(talk())


def test_a_board_that_starts_anew_again_and_again_is_told(run):
    async def talk():
        reason = r"^the setup has not ended within 0\.3 s: the board has started anew$"
        with pytest.raises(DriverError, match=reason):
            async with Desk(setup="crash", start=0.3):
                pass

    run(talk())


def test_a_pulled_cable_ends_a_command_at_once_with_its_reason(run):
    async def talk():
        async with Desk(timeout=DEADLINE) as desk:
            desk.driver.options.controls["show"].statement = "hang"
            writing = asyncio.ensure_future(desk.driver.write("show", "x"))
            await until(lambda: desk.board.mode == "hanging")
            desk.unplug()
            reason = f"USB cable gone: {desk.driver.options.port}"
            with pytest.raises(DriverError, match=reason):
                await asyncio.wait_for(writing, DEADLINE)
            assert await desk.driver.gone() == reason

    run(talk())


def test_a_mistake_in_the_setup_is_said(run):
    async def talk():
        with pytest.raises(DriverError, match="^setup: ModuleNotFoundError: No module named 'microbit'$"):
            async with Desk(setup="import microbit"):
                pass

    run(talk())


def test_a_setup_without_end_is_said(run):
    async def talk():
        with pytest.raises(DriverError, match=r"the setup has not ended within 0\.2 s"):
            async with Desk(setup="hang", start=0.2):
                pass

    run(talk())


def test_what_runs_no_micropython_is_said(run, monkeypatch):
    monkeypatch.setattr(repl, "ASK_AGAIN", 0.01)

    async def talk():
        master, slave = pty.openpty()
        driver = driver_at(os.ttyname(slave), start=0.2)
        with pytest.raises(DriverError, match="does not show its prompt: does it run MicroPython"):
            await driver.open(nothing)
        assert os.read(master, 6) == 2 * b"\x03\x03\x01", "it was asked more than once"
        await driver.close()
        os.close(master)
        os.close(slave)

    run(talk())


def test_a_port_that_is_not_there_is_named(run):
    with pytest.raises(DriverError, match="no board at /dev/ttyNONE"):
        run(driver_at("/dev/ttyNONE").open(nothing))


def test_a_driver_that_was_never_opened_can_be_closed(run):
    run(driver_at("/dev/ttyNONE").close())


@pytest.mark.parametrize("reset", [False, True])
def test_the_board_is_left_at_its_own_prompt_and_reset_only_when_asked(run, reset, monkeypatch):
    monkeypatch.undo()

    async def talk():
        async with Desk(reset=reset) as desk:
            await desk.driver.close()
            assert desk.board.mode == "friendly"
            assert desk.board.resets == reset
            assert await desk.driver.gone() == "closed"

    run(talk())


def test_a_board_that_cannot_tell_who_it_is_is_still_a_board(run):
    async def talk():
        desk = Desk()
        desk.board.names["__builtins__"] = {}
        async with desk:
            assert desk.driver.about == {"name": "MicroPython", "version": ""}

    run(talk())


# The configuration


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[[thing.desk.fields]]\nname='a'\nexpression='1 +'", "expression is no Python: invalid syntax"),
        ("[[thing.desk.fields]]\nname='a'\nexpression='x = 1'", "expression is no Python"),
        ("[[thing.desk.fields]]\nname='a'", "the field a needs 'expression'"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'", "the control a needs 'statement'"),
        ("[[thing.desk.fields]]\nname='a'\nexpression=\"'\\u0003'\"", "expression must be without control characters"),
        ("[[thing.desk.fields]]\nname='a'\nexpression='%s1'" % (3000 * "1+"), "must have at most 4096 bytes"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'\nstatement='f()'", "must have {value} where"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'\nstatement='f(\"{value}\")'", "without quotes around it"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'\nstatement='f({value}, \"{value}\")'", "without quotes"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'\nstatement='f(f{value})'", "without quotes around it"),
        ("[[thing.desk.controls]]\nname='a'\ntype='string'\nstatement='f() # {value}'", "must have {value} where"),
        ("setup = 'import'", "setup is no Python"),
        ("timeout = 0", "timeout must be more than 0"),
    ],
)
def test_a_mistake_in_the_configuration_is_said(tmp_path, line, complaint):
    file = tmp_path / "hobnode.toml"
    file.write_text(f'domain = "home.example"\n[thing.desk]\ndriver = "micropython"\nport = "x"\n{line}\n')
    with pytest.raises(config.ConfigError, match=complaint):
        config.load(file)


def test_a_value_may_stand_in_a_function_of_the_statement():
    Statement("(lambda: f({value}, {value}))()")


# MicroPython itself


def test_micropython_itself_tells_the_same_story(run):
    async def talk():
        with MicroPython() as python:
            driver = driver_at(python.port, reads={"count": "1 // 0"}, timeout=SHORT)
            await driver.open(nothing)
            assert driver.about["version"].startswith("micropython 1.")
            assert driver._repl._pastes, "the newer ones have raw-paste mode"
            await driver.write("show", "'\"°\n\x03 €" + 300 * "x")
            await driver.write("setpoint", "10.00")
            readings = await driver.read()
            assert readings["temperature"] == "10.00"
            assert readings["note"].startswith("'\"°   €xxx")
            assert driver._faults == {"count": "count: ZeroDivisionError: divide by zero"}
            driver._repl._pastes = False  # its port for Unix does not hear Ctrl-C in a program that was pasted
            driver.options.controls["lamp"].statement = "while True: pass"
            with pytest.raises(DriverError, match="interrupted"):
                await driver.write("lamp", "true")
            await driver.write("dimmer", "7")
            assert (await driver.read())["temperature"] == "7.00"
            python.unplug()
            assert await driver.gone() == f"USB cable gone: {python.port}"
            await driver.close()

    run(talk())
