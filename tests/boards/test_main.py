"""What runs on a Pico and on an ESP32, as it is shipped: under MicroPython itself, driven by the line driver."""

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import groupby

import pytest

from node.drivers.line import Driver, Options
from node.hub import board as boards
from node.hub.driver import DriverError, Field
from tests.boards.micropython import MicroPython
from tests.drivers.reports import Reports
from tests.test_floors import CLONE

DEADLINE = 10  # seconds for anything here
PICO = CLONE / "boards" / "raspberry-pi-pico" / "firmware" / "main.py"
ESP32 = CLONE / "boards" / "esp32" / "firmware" / "main.py"


class Talk(Reports):
    """A board that runs, a driver that has opened it, and what that reports."""

    def __init__(self, board, driver):
        super().__init__(DEADLINE)
        self.board = board
        self.driver = driver


@asynccontextmanager
async def talking(program, **pins):
    with MicroPython(program, **pins) as board:
        talk = Talk(board, Driver(Options(board.port)))
        await talk.driver.open(talk)
        yield talk
        await talk.driver.close()


@pytest.mark.parametrize(("program", "chip"), [(PICO, ""), (ESP32, "mcu_temperature")])
def test_the_hello_is_what_board_toml_says(run, program, chip):
    async def conversation():
        async with talking(program, chip=chip) as talk:
            known = boards.load(program.parent.parent.name)
            assert sorted(talk.driver.fields) == sorted(known.declared.fields)
            assert talk.driver.controls == known.declared.controls
            assert talk.driver.about == {"name": known.name, "version": "1.0"}

    run(conversation())


def test_a_pico_tells_what_is_at_its_pins(run):
    async def conversation():
        async with talking(PICO, adc26="32768", adc4="14300") as talk:
            await talk.until(lambda now: now)
            assert talk.all[0] == {"lamp": "false", "temperature": "18.8", "light": "50.0", "button": "false"}
            talk.board.pin("pin15", "0")
            talk.board.pin("adc26", "65535")
            await talk.until(lambda now: now["button"] == "true" and now["light"] == "100.0")
            talk.board.pin("pin15", "1")
            await talk.until(lambda now: now["button"] == "false")
            told = [each["button"] for each in talk.all if "button" in each]
            assert [level for level, _ in groupby(told)] == ["false", "true", "false"]

    run(conversation())


def test_a_pico_whose_micropython_knows_no_names_of_pins_has_a_lamp(run):
    async def conversation():
        async with talking(PICO, missing="LED") as talk:
            await talk.driver.write("lamp", "true")
            assert talk.board.level("pin25") == "1"

    run(conversation())


@pytest.mark.parametrize(
    ("chip", "fields"),
    [
        ("", set()),
        ("mcu_temperature", {Field("temperature", unit="°C", label="Temperature")}),
        (
            "raw_temperature hall_sensor",
            {Field("temperature", unit="°C", label="Temperature"), Field("hall", "integer", label="Magnetic field")},
        ),
    ],
)
def test_an_esp32_tells_what_its_chip_can(run, chip, fields):
    async def conversation():
        pins = {"mcu_temperature": "41", "raw_temperature": "100", "hall_sensor": "-7"}
        async with talking(ESP32, chip=chip, **pins) as talk:
            told = {each._replace(deadband=None) for each in talk.driver.fields}
            assert fields <= told
            assert len(told) == 3 + len(fields)
            await talk.until(lambda now: now)
            temperature = {"mcu": "41", "raw": "37.8", "": None}[chip[:3]]
            assert talk.now.get("temperature") == temperature
            assert talk.now.get("hall") == ("-7" if "hall" in chip else None)

    run(conversation())


@pytest.mark.parametrize(("program", "pin"), [(PICO, "pinLED"), (ESP32, "pin2")])
def test_the_lamp_is_lit_before_it_is_confirmed(run, program, pin):
    async def conversation():
        async with talking(program) as talk:
            for value, level in (("true", "1"), ("false", "0")):
                await talk.driver.write("lamp", value)
                assert talk.board.level(pin) == level
                assert talk.now["lamp"] == value, "the reading comes before the confirmation"

    run(conversation())


def test_a_lamp_that_does_not_follow_is_not_confirmed(run):
    async def conversation():
        async with talking(PICO, shorted="LED") as talk:
            with pytest.raises(DriverError, match=r"lamp did not follow: is its pin shorted\?"):
                await talk.driver.write("lamp", "true")

    run(conversation())


ANSWERS = [
    ('{"set":{"lamp":1},"id":9}', {"err": 9, "msg": "lamp takes true or false"}),
    ('{"set":{"fan":true},"id":9}', {"err": 9, "msg": "fan is no control of this board"}),
    ('{"set":{"lamp":true,"fan":true},"id":9}', {"err": 9, "msg": "fan is no control of this board"}),
    ('{"set":7,"id":9}', {"err": 9, "msg": "set is not understood"}),
    ('{"set":{"lamp":true},"id":0}', {"error": "set needs an id from 1 to 65535"}),
    ('{"set":{"lamp":true},"id":65536}', {"error": "set needs an id from 1 to 65535"}),
    ('{"set":{"lamp":true},"id":true}', {"error": "set needs an id from 1 to 65535"}),
    ('{"set":{"lamp":true}}', {"error": "set needs an id from 1 to 65535"}),
    ('{"set":{"lamp":true},"id":9', {"error": "a line was not understood"}),
    ("lamp on", {"error": "a line was not understood"}),
    ("[]", {"error": "a line was not understood"}),
    ("[" * 100, {"error": "a line was not understood"}),
    ("\udcff", {"error": "a line was not understood"}),
    ('{"set":{"lamp":true},"id":9,"x":"' + 127 * "y" + '"}', {"error": "a line was not understood"}),
    ('{"set":{"lamp":true},"id":9}' + 127 * " ", {"error": "a line was not understood"}),
    ('{"set":{},"id":9}', {"ok": 9}),
    (' { "id" : 9 , "more" : [ { "}" : "\\"" } ] , "set" : { } } \r', {"ok": 9}),
    ('{"ping":65535}', {"pong": 65535}),
]


def test_the_firmware_answers_as_boards_readme_says(run):
    async def conversation():
        async with talking(PICO) as talk:
            heard = asyncio.Queue()
            talk.driver._port._take = heard.put_nowait  # from here on, look at the lines
            for command, answer in ANSWERS:
                talk.driver._port.write(command.encode("utf-8", "surrogateescape") + b"\n")
                said = {}
                async with asyncio.timeout(DEADLINE):
                    while said.keys() != answer.keys():
                        said = json.loads(await heard.get())
                assert said == answer, command
            assert talk.board.level("pinLED") == "", "nothing was done"

    run(conversation())


def test_controls_of_every_type_are_checked_and_set_in_the_order_in_which_they_were_said(run, tmp_path):
    """By a board of one's own, for which lines.py is there to be used."""
    main = tmp_path / "main.py"
    main.write_text(
        """
from machine import Pin
from lines import Board

state = {}

def sets(name):
    def write(value):
        if value == "burnt":
            raise OSError("the bulb is burnt")
        state[name] = value
        with open("%s", "a") as file:
            file.write("%%s=%%s\\n" %% (name, value))
        return True
    return write

board = Board("shed", "2")
board.field("mode", lambda: state.get("mode"), "enum")
for name, more in (
    ("level", {"type": "integer", "minimum": 0, "maximum": 9}),
    ("heat", {"type": "quantity"}),
    ("mode", {"type": "enum", "options": ["eco", "burnt"]}),
    ("text", {"type": "string"}),
):
    board.control(name, sets(name), **more)
board.run()
"""
        % (tmp_path / "done")
    )

    async def conversation():
        async with talking(main) as talk:
            driver = talk.driver
            assert [each.type for each in driver.controls] == ["integer", "quantity", "enum", "string"]
            for value in ("0", "9"):
                await driver.write("level", value)
            await driver.write("heat", "21.50")
            await driver.write("text", "°")
            await driver.write("mode", "eco")
            assert talk.now == {"mode": "eco"}
            for control, value, wrong in (
                ("level", "10", "level takes a whole number, 0 to 9"),
                ("mode", "hot", "mode takes one of eco, burnt"),
                ("mode", "burnt", "mode: the bulb is burnt"),
            ):
                with pytest.raises(DriverError, match=wrong):
                    await driver.write(control, value)
            done = (tmp_path / "done").read_text().splitlines()
            assert done == ["level=0", "level=9", "heat=21.5", "text=°", "mode=eco"]

    run(conversation())


def test_several_controls_are_set_in_the_order_in_which_they_were_said(run, tmp_path):
    names = ["zeta", "beta", "eta", "alpha", "theta"]
    main = tmp_path / "main.py"
    main.write_text(f"""
from lines import Board

done = []
board = Board("shed", "2")
board.field("done", lambda: " ".join(done), "string")
for name in {names}:
    board.control(name, lambda value, name=name: not done.append(name), "boolean")
board.run()
""")

    async def conversation():
        async with talking(main) as talk:
            for order in (names, names[::-1], sorted(names)):
                await talk.driver._command(order[0], "true," + ",".join(f'"{name}":true' for name in order[1:]))
                await talk.until(lambda now, order=order: now.get("done", "").endswith(" ".join(order)))

    run(conversation())


def test_a_field_is_looked_at_no_more_often_than_it_asks_for(run, tmp_path):
    main = tmp_path / "main.py"
    main.write_text("""
from lines import Board

def counter():
    count = [0]
    def look():
        count[0] += 1
        return count[0]
    return look

board = Board("shed", "2")
board.field("often", counter(), "integer")
board.field("seldom", counter(), "integer", every=60000)
board.run()
""")

    async def conversation():
        async with talking(main) as talk:
            await talk.until(lambda now: len([each for each in talk.all if "seldom" not in each]) == 3)
            told = [int(each["seldom"]) for each in talk.all if "seldom" in each]
            assert told == list(range(told[0], told[0] + len(told))), "only when it tells everything"

    run(conversation())


def test_a_board_left_alone_tells_everything_before_it_is_asked(run, tmp_path):
    lines = (CLONE / "boards" / "lines.py").read_text()
    assert "HEARTBEAT = 1500 " in lines, "ms: less than the 2 s after which the node asks"
    (tmp_path / "lines.py").write_text(lines.replace("HEARTBEAT = 1500 ", "HEARTBEAT = 50 "))
    (tmp_path / "main.py").write_text(PICO.read_text())

    async def conversation():
        async with talking(tmp_path / "main.py") as talk:
            await talk.until(lambda now: len(talk.all) >= 5)
            assert all(each.keys() == {"lamp", "temperature", "light", "button"} for each in talk.all)

    run(conversation())


def test_ctrl_c_ends_it_so_that_another_program_can_be_put_onto_the_board(run):
    async def conversation():
        async with talking(PICO) as talk:
            talk.driver._port.write(b"\x03")
            await asyncio.wait_for(talk.driver.gone(), DEADLINE)
            assert talk.board._process.wait(DEADLINE) is not None

    run(conversation())
