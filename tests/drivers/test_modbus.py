"""Modbus RTU: registers as text, spans, and a line with devices on it, played by pymodbus's own frames."""

import asyncio
import contextlib
import os
import pty
import re
from decimal import Decimal

import pytest
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.bit_message import ReadCoilsResponse, WriteSingleCoilResponse
from pymodbus.pdu.exceptionresponse import ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterResponse,
)

from node.config import ConfigError, load
from node.drivers.modbus import Driver, Options
from node.drivers.modbus.registers import Register, spans
from node.hub import board
from node.hub.thing import Control, DriverError, Field

DEADLINE = 3  # seconds for anything here

TEMPERATURE = Register(1, "input", "int16", Decimal("0.1"))
FIELDS = (Field("temperature"), Field("power"), Field("relay", "boolean"))
PLACES = {
    "temperature": TEMPERATURE,
    "power": Register(2, "input", "float32", decimals=1),
    "relay": Register(0, "coil"),
}
CONTROLS = (Control("relay", "boolean"), Control("setpoint", "quantity"), Control("limit", "integer"))
SETTERS = {
    "relay": Register(0, "coil"),
    "setpoint": Register(5, factor=Decimal("0.5")),
    "limit": Register(6, kind="uint32"),
}


class Line:
    """Devices 1 and 2 at the other end of a cable."""

    def __init__(self):
        self.far, self.near = pty.openpty()
        os.set_blocking(self.far, False)
        self.port = os.ttyname(self.near)
        self.frames = FramerRTU(DecodePDU(True))
        self.registers = {1: 214, 2: 0x4366, 3: 0x3333}  # 21.4, and 230.2 as float32
        self.coils = {0: True}
        self.devices = {1, 2}
        self.refused = set()  # addresses
        self.silent = set()  # addresses
        self.asked = []
        self.before = b""  # noise
        self.delays = []  # seconds that the next answers take
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.far, self.readable)

    def readable(self):
        with contextlib.suppress(OSError):
            _, pdu = self.frames.handleFrame(os.read(self.far, 512), 0, 0)
            if pdu is not None and pdu.dev_id in self.devices:
                self.asked.append((pdu.dev_id, pdu.function_code, pdu.address, pdu.count))
                if pdu.address in self.silent:
                    return
                answer = self.answer(pdu)
                answer.dev_id = pdu.dev_id
                self.loop.call_later(
                    self.delays.pop(0) if self.delays else 0,
                    lambda: os.write(self.far, self.before + self.frames.buildFrame(answer)),
                )

    def answer(self, pdu):
        if pdu.address in self.refused:
            return ExceptionResponse(pdu.function_code, 2)
        values = [self.registers.get(each, 0) for each in range(pdu.address, pdu.address + pdu.count)]
        match pdu.function_code:
            case 1:
                return ReadCoilsResponse(bits=[self.coils[pdu.address]])
            case 3:
                return ReadHoldingRegistersResponse(registers=values)
            case 4:
                return ReadInputRegistersResponse(registers=values)
            case 5:
                self.coils[pdu.address] = pdu.bits[0]
                return WriteSingleCoilResponse(address=pdu.address, bits=pdu.bits)
            case 6:
                self.registers[pdu.address] = pdu.registers[0]
                return WriteSingleRegisterResponse(address=pdu.address, registers=pdu.registers)
            case 16:
                self.registers |= dict(enumerate(pdu.registers, pdu.address))
                return WriteMultipleRegistersResponse(address=pdu.address, count=pdu.count)
        raise AssertionError(pdu)

    def pull(self):
        self.loop.remove_reader(self.far)
        os.close(self.far)

    def end(self):
        with contextlib.suppress(OSError):
            self.pull()
        os.close(self.near)


@contextlib.asynccontextmanager
async def talking(**more):
    """A line, and a driver of device 1 on it, which has been opened."""
    line = Line()
    driver = Driver(
        Options(**{"port": line.port, "timeout": 0.2, "fields": PLACES, "controls": SETTERS} | more), FIELDS, CONTROLS
    )
    readings = asyncio.Queue()
    try:
        await driver.open(readings.put_nowait)
        yield line, driver, readings
    finally:
        await driver.close()
        line.end()


# Registers


@pytest.mark.parametrize(
    ("register", "values", "type", "text"),
    [
        (Register(0), [65535], "quantity", "65535"),
        (Register(0, kind="int16"), [65535], "quantity", "-1"),
        (Register(0, kind="int16", factor=Decimal("0.1")), [200], "quantity", "20.0"),
        (Register(0, kind="int16", factor=Decimal("0.10")), [200], "quantity", "20.00"),
        (Register(0, kind="uint32"), [1, 2], "integer", "65538"),
        (Register(0, kind="uint32", words="little"), [2, 1], "integer", "65538"),
        (Register(0, kind="int64"), [65535] * 4, "integer", "-1"),
        (Register(0, kind="float32"), [0x4366, 0x3333], "quantity", "230.2"),
        (Register(0, kind="float32", decimals=2), [0x4366, 0x3333], "quantity", "230.20"),
        (Register(0, kind="float32"), [0x7FC0, 0], "quantity", None),
        (Register(0, kind="float32"), [0x7F80, 0], "quantity", None),
        (Register(0), [3], "boolean", "true"),
        (Register(0, bit=2), [4], "boolean", "true"),
        (Register(0, bit=1), [4], "boolean", "false"),
        (Register(0, "coil"), [1], "boolean", "true"),
    ],
)
def test_what_registers_mean(register, values, type, text):
    assert register.text(values, type) == text


@pytest.mark.parametrize(
    ("register", "text", "values"),
    [
        (Register(0), "true", [1]),
        (Register(0, kind="int16", factor=Decimal("0.1")), "-2.5", [65511]),
        (Register(0, kind="uint32"), "65538", [1, 2]),
        (Register(0, kind="uint32", words="little"), "65538", [2, 1]),
        (Register(0, kind="float32"), "230.2", [0x4366, 0x3333]),
    ],
)
def test_what_is_written(register, text, values):
    assert register.values(text) == values


@pytest.mark.parametrize(
    ("register", "text", "said"),
    [
        (Register(0, factor=Decimal("0.5")), "1.3", "1.3 is between two steps of 0.5"),
        (Register(0), "65536", "65536 does not fit a register of uint16"),
        (Register(0), "-1", "-1 does not fit"),
    ],
)
def test_what_does_not_fit_is_said(register, text, said):
    with pytest.raises(ValueError, match=said):
        register.values(text)


def test_neighbours_are_read_in_one_request_and_gaps_only_where_they_may_be():
    places = {"a": Register(0, "input", "float32"), "b": Register(6, "input", "float32"), "c": Register(0, "holding")}
    assert [(each.table, each.start, each.count) for each in spans(places.items(), 0)] == [
        ("holding", 0, 1), ("input", 0, 2), ("input", 6, 2),
    ]  # fmt: skip
    assert [(each.table, each.start, each.count) for each in spans(places.items(), 4)] == [
        ("holding", 0, 1), ("input", 0, 8),
    ]  # fmt: skip
    far = {"a": Register(0, "input"), "b": Register(64, "input")}
    assert len(spans(far.items(), 100)) == 2, "no device gives so many at once"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": 0}, "device must be 1 to 247"),
        ({"baud": 0}, "baud must be more than 0"),
        ({"controls": {"a": TEMPERATURE}}, "controls: a must be a coil or a whole holding register"),
    ],
)
def test_a_mistake_in_the_options_is_said(options, said):
    with pytest.raises(ValueError, match=said):
        Options("x", **options)


@pytest.mark.parametrize("name", ["sdm120", "xy-md02"])
def test_the_boards_are_configured_as_their_readmes_say(name, tmp_path):
    path = tmp_path / "home.toml"
    readme = (board._boards() / name / "README.md").read_text()
    path.write_text('domain = "home.example"\n' + re.search(r"```toml\n(.*?)```", readme, re.DOTALL)[1])
    (thing,) = [each for each in load(path).things.values() if each.board]
    assert thing.options.fields.keys() == {each.name for each in thing.declared.fields}


def test_a_control_that_is_no_number_is_said(tmp_path):
    path = tmp_path / "home.toml"
    path.write_text(
        'domain = "a.b"\n[thing.x]\ndriver = "modbus"\nport = "x"\n[[thing.x.controls]]\n'
        'name = "mode"\ntype = "enum"\noptions = ["eco", "hot"]\nregister = 1\n'
    )
    with pytest.raises(ConfigError, match=r"\[thing.x\]: mode must be a boolean, an integer or a quantity"):
        load(path)


def test_a_field_without_a_register_is_said(tmp_path):
    path = tmp_path / "home.toml"
    path.write_text('domain = "a.b"\n[thing.x]\ndriver = "modbus"\nport = "x"\n[[thing.x.fields]]\nname = "power"\n')
    with pytest.raises(ConfigError, match=r"\[thing.x\]: power needs 'register'"):
        load(path)


# On the line


def test_it_is_read_at_once_and_told_as_text(run):
    async def talk():
        async with talking() as (line, driver, readings):
            told = await asyncio.wait_for(readings.get(), DEADLINE)
            assert told == {"temperature": "21.4", "power": "230.2", "relay": "true"}
            assert line.asked == [(1, 1, 0, 1), (1, 4, 1, 3)], "neighbours in one request"
            line.registers[1] = 65535
            assert (await driver.read())["temperature"] == "-0.1"

    run(talk())


def test_a_control_is_confirmed_by_the_device(run):
    async def talk():
        async with talking() as (line, driver, _):
            await driver.write("relay", "false")
            await driver.write("setpoint", "21.5")
            await driver.write("limit", "65538")
            assert line.coils == {0: False}
            assert (line.registers[5], line.registers[6], line.registers[7]) == (43, 1, 2)
            line.refused = {5}
            with pytest.raises(DriverError, match="device 1 refuses: it has no such register"):
                await driver.write("setpoint", "20")
            with pytest.raises(DriverError, match="between two steps"):
                await driver.write("setpoint", "20.1")

    run(talk())


def test_a_register_that_is_refused_leaves_the_others(run):
    async def talk():
        async with talking() as (line, driver, _):
            line.refused = {1}
            assert await driver.read() == {"relay": "true"}
            line.refused = {0, 1}
            with pytest.raises(DriverError, match="no such register"):
                await driver.read()

    run(talk())


def test_noise_before_an_answer_is_skipped_by_asking_again(run):
    async def talk():
        async with talking() as (line, driver, _):
            line.before = b"\xff\x00\xff"
            asked = len(line.asked)

            def quiet(data):
                line.before = b""
                real(data)

            real = driver._bus.received
            driver._bus.received = quiet
            assert (await driver.read())["relay"] == "true"
            assert len(line.asked) > asked

    run(talk())


def test_an_answer_to_another_function_is_none_and_one_with_too_little_is_refused(run):
    async def talk():
        async with talking() as (line, driver, _):
            other = ReadHoldingRegistersResponse(registers=[7, 7, 7])
            other.dev_id = 1
            real, line.answer = line.answer, lambda pdu: setattr(line, "answer", real) or other
            assert await driver.read() == {"temperature": "21.4", "power": "230.2", "relay": "true"}
            line.answer = lambda pdu: ReadInputRegistersResponse(registers=[1]) if pdu.function_code == 4 else real(pdu)
            assert await driver.read() == {"relay": "true"}

    run(talk())


def test_an_answer_that_comes_late_is_not_taken_for_that_to_the_next_question(run):
    async def talk():
        places = {"near": Register(1, "input"), "far": Register(50, "input")}
        fields = (Field("near"), Field("far"))
        line = Line()
        line.registers = {1: 1, 50: 50}
        driver = Driver(Options(line.port, timeout=0.1, fields=places), fields)
        try:
            await driver.open(lambda readings: None)
            line.delays = [0.15, 0.1]  # so there are two answers to the first question
            assert await driver.read() == {"near": "1", "far": "50"}
            line.delays = [0.1]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):  # the thing's own deadline
                    await driver._read(driver._spans[0])
            assert await driver._read(driver._spans[1]) == {"far": "50"}
        finally:
            await driver.close()
            line.end()

    run(talk())


def test_one_that_is_silent_about_some_registers_gives_the_others_and_is_not_gone(run, monkeypatch):
    monkeypatch.setattr("node.drivers.modbus.PATIENCE", 1)

    async def talk():
        async with talking(timeout=0.1) as (line, driver, _):
            line.silent = {1}
            assert await driver.read() == {"relay": "true"}
            assert not driver._silent.done()

    run(talk())


def test_one_that_was_silent_is_asked_once_only_until_it_answers(run):
    async def talk():
        async with talking(timeout=0.1) as (line, driver, _):
            line.silent = {0, 1}
            asked = []
            for _ in range(2):
                asked.append(len(line.asked))
                with pytest.raises(DriverError):
                    await driver.read()
            assert [len(line.asked) - asked[1], asked[1] - asked[0]] == [1, 2], "others wait for the line meanwhile"
            line.silent = set()
            await driver.read()
            line.silent = {0, 1}
            before = len(line.asked)
            with pytest.raises(DriverError):
                await driver.read()
            assert len(line.asked) - before == 2

    run(talk())


def test_a_line_that_takes_too_long_to_open_is_left(run, monkeypatch):
    async def talk():
        line = Line()
        driver = Driver(Options(line.port, fields={"temperature": TEMPERATURE}), FIELDS[:1])
        with monkeypatch.context() as patch:
            patch.setattr("node.drivers.modbus.bus.Bus.open", lambda bus, timeout: asyncio.sleep(DEADLINE))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await driver.open(lambda readings: None)
            await driver.close()
        other = Driver(Options(line.port, baud=2400, fields={"temperature": TEMPERATURE}), FIELDS[:1])
        await other.open(lambda readings: None)
        await other.close()
        line.end()

    run(talk())


def test_a_device_that_does_not_answer_is_said_and_after_three_readings_gone(run):
    async def talk():
        async with talking(timeout=0.03) as (line, driver, _):
            line.devices = set()
            gone = asyncio.ensure_future(driver.gone())
            for _ in range(3):
                assert not gone.done()
                with pytest.raises(DriverError, match="device 1 on .* does not answer"):
                    await driver.read()
            assert "device 1 on" in await asyncio.wait_for(gone, DEADLINE)

    run(talk())


def test_one_that_answers_again_is_not_gone(run, monkeypatch):
    monkeypatch.setattr("node.drivers.modbus.PATIENCE", 2)

    async def talk():
        async with talking(timeout=0.1) as (line, driver, _):
            for _ in range(2):
                line.devices = set()
                with pytest.raises(DriverError):
                    await driver.read()
                line.devices = {1}
                await driver.read()
            assert not driver._silent.done()

    run(talk())


def test_a_pulled_adapter_is_noticed_in_the_middle_of_a_command(run):
    async def talk():
        async with talking(timeout=DEADLINE) as (line, driver, _):
            line.devices = set()
            gone = asyncio.ensure_future(driver.gone())
            writing = asyncio.ensure_future(driver.write("relay", "true"))
            async with asyncio.timeout(DEADLINE):
                while driver._bus._answer is None:
                    await asyncio.sleep(0)
            line.pull()
            with pytest.raises(DriverError, match="USB cable gone"):
                await writing
            assert "USB cable gone" in await asyncio.wait_for(gone, DEADLINE)

    run(talk())


def test_two_devices_share_a_line_and_the_last_one_closes_it(run):
    async def talk():
        async with talking() as (line, driver, _):
            other = Driver(Options(line.port, 2, timeout=0.2, fields={"temperature": TEMPERATURE}), FIELDS[:1])
            await other.open(lambda readings: None)
            assert other._bus is driver._bus
            both = await asyncio.gather(driver.read(), other.read())
            assert both[0]["temperature"] == both[1]["temperature"] == "21.4"
            await driver.close()
            assert await other.read() == {"temperature": "21.4"}
            bus = other._bus
            await other.close()
            assert bus.lost.result() == "closed"
            await driver.open(lambda readings: None)

    run(talk())


def test_one_line_has_one_speed(run):
    async def talk():
        async with talking() as (line, driver, _):
            other = Driver(Options(line.port, 2, baud=2400, fields={"temperature": TEMPERATURE}), FIELDS[:1])
            with pytest.raises(DriverError, match="in use with 9600 baud, parity N: one line, one speed"):
                await other.open(lambda readings: None)

    run(talk())


def test_a_port_that_is_not_there_says_so(run):
    driver = Driver(Options("/dev/ttyNONE", fields={"temperature": TEMPERATURE}), FIELDS[:1])
    with pytest.raises(DriverError, match="no board at /dev/ttyNONE"):
        run(driver.open(lambda readings: None))
    run(driver.close())
