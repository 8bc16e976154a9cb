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
from pymodbus.pdu.bit_message import ReadCoilsResponse, ReadDiscreteInputsResponse, WriteSingleCoilResponse
from pymodbus.pdu.exceptionresponse import ExceptionResponse
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterResponse,
)

from node.config import ConfigError, load
from node.drivers.modbus import Driver, Options
from node.drivers.modbus.bus import BusError
from node.drivers.modbus.registers import Register, spans
from node.hub import board
from node.hub.driver import Control, DriverError, Field
from node.net.tty import Tty
from tests.conftest import until

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
        self.code = 2  # with which
        self.silent = set()  # addresses
        self.asked = []
        self.called = []  # the devices, also those that are not there
        self.before = b""  # noise
        self.rest = b""  # the begin of a question
        self.delays = []  # seconds that the next answers take
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.far, self.readable)

    def readable(self):
        """What the kernel brings late may be two questions."""
        with contextlib.suppress(OSError):
            self.rest += os.read(self.far, 512)
            used = 1
            while used and self.rest:
                used, pdu = self.frames.handleFrame(self.rest, 0, 0)
                self.rest = self.rest[used:]
                if pdu is not None:
                    self.hears(pdu)

    def hears(self, pdu):
        self.called.append(pdu.dev_id)
        if pdu.dev_id in self.devices:
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
            return ExceptionResponse(pdu.function_code, self.code)
        values = [self.registers.get(each, 0) for each in range(pdu.address, pdu.address + pdu.count)]
        match pdu.function_code:
            case 2:
                return ReadDiscreteInputsResponse(bits=[not self.coils[pdu.address]])
            case 1:
                return ReadCoilsResponse(bits=[self.coils[pdu.address]])
            case 3:
                return ReadHoldingRegistersResponse(registers=[each + 1 for each in values])
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
async def talking(timeout=DEADLINE, **more):
    """A line, and a driver of device 1 on it, which has been opened; `timeout` is what is waited in vain."""
    line = Line()
    driver = Driver(
        Options(**{"port": line.port, "timeout": DEADLINE, "fields": PLACES, "controls": SETTERS} | more),
        FIELDS,
        CONTROLS,
    )
    readings = asyncio.Queue()
    try:
        await driver.open(readings.put_nowait)
        driver.options.timeout = timeout
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
        (Register(0, kind="float32"), [0x3F9E, 0x0652], "quantity", "1.234568"),
        (Register(0, kind="uint64"), [65535] * 4, "quantity", str(2**64 - 1)),
        (Register(0, kind="int32"), [65535] * 2, "quantity", "-1"),
        (Register(0, factor=Decimal("0.1")), [25], "integer", "2"),
        (Register(0), [3], "boolean", "true"),
        (Register(0), [0], "boolean", "false"),
        (Register(0, bit=15), [32768], "boolean", "true"),
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
        (Register(0, kind="float32"), "1" + "0" * 40, "0 does not fit a register of float32"),
    ],
)
def test_what_does_not_fit_is_said(register, text, said):
    with pytest.raises(ValueError, match=said):
        register.values(text)


def test_neighbours_are_read_in_one_request_and_gaps_only_where_they_may_be():
    places = {"a": Register(0, "input", "float32"), "b": Register(6, "input", "float32"), "c": Register(0, "holding")}
    assert [(each.table, each.start, each.count) for each in spans(places.items(), 0)] == [
        ("holding", 0, 1),
        ("input", 0, 2),
        ("input", 6, 2),
    ]
    assert [(each.table, each.start, each.count) for each in spans(places.items(), 4)] == [
        ("holding", 0, 1),
        ("input", 0, 8),
    ]
    near = {"a": Register(0, "input"), "b": Register(63, "input")}
    far = {"a": Register(0, "input"), "b": Register(64, "input")}
    assert [len(spans(each.items(), 100)) for each in (near, far)] == [1, 2], "no device gives more at once"
    inside = {"all": Register(0, "input", "uint64"), "part": Register(1, "input")}
    assert [each.count for each in spans(inside.items(), 0)] == [4]
    mixed = {"a": Register(0, "input"), "b": Register(1, "holding"), "c": Register(2, "input")}
    assert len(spans(mixed.items(), 1)) == 2
    assert len(spans({"a": Register(0), "b": Register(2)}.items(), 0)) == 2


@pytest.mark.parametrize(
    ("register", "size"),
    [
        (Register(0), 1),
        (Register(0, kind="int32"), 2),
        (Register(0, kind="uint64"), 4),
        (Register(0, kind="int64"), 4),
        (Register(0, "coil", "uint64"), 1),
    ],
)
def test_how_many_registers_a_number_has(register, size):
    assert register.size == size


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"register": 65536}, "register must be 0 to 65535"),
        ({"register": -1}, "register must be 0 to 65535"),
        ({"register": 0, "factor": Decimal(0)}, "factor must not be 0"),
        ({"register": 0, "factor": Decimal("Infinity")}, "factor must not be 0"),
        ({"register": 0, "bit": 16}, "bit must be 0 to 15"),
        ({"register": 0, "bit": 1, "table": "coil"}, "bit must be 0 to 15, of a register"),
        ({"register": 0, "decimals": 10}, "decimals must be 0 to 9"),
    ],
)
def test_a_mistake_in_a_register_is_said(wrong, said):
    with pytest.raises(ValueError, match=said):
        Register(**wrong)


def test_the_last_register_is_one():
    assert Register(65535, decimals=9).register == 65535


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": 0}, "device must be 1 to 247"),
        ({"device": 248}, "device must be 1 to 247"),
        ({"stopbits": 3}, "stopbits must be 1 or 2"),
        ({"baud": 0}, "baud must be more than 0"),
        ({"interval": 0}, "interval must be more than 0"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"controls": {"a": Register(0, bit=1)}}, "controls: a must be a coil or a whole holding register"),
        ({"controls": {"a": Register(0, "discrete")}}, "controls: a must be a coil or a whole holding register"),
        ({"controls": {"a": TEMPERATURE}}, "controls: a must be a coil or a whole holding register"),
    ],
)
def test_a_mistake_in_the_options_is_said(options, said):
    with pytest.raises(ValueError, match=said):
        Options("x", **options)


def test_the_last_address_of_a_line_is_one():
    assert Options("x", device=247, stopbits=2).device == 247


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


def test_all_tables_are_read_with_their_own_functions(run):
    async def talk():
        places = {"a": Register(1, "input"), "b": Register(1, "holding"), "c": Register(0, "coil")}
        places["d"] = Register(0, "discrete")
        line = Line()
        driver = Driver(Options(line.port, fields=places), tuple(map(Field, places)))
        try:
            await driver.open(lambda readings: None)
            assert await driver.read() == {"a": "214", "b": "215", "c": "true", "d": "false"}
        finally:
            await driver.close()
            line.end()

    run(talk())


def test_a_float_that_is_no_number_is_no_reading(run):
    async def talk():
        async with talking() as (line, driver, _):
            line.registers[2] = 0x7FC0
            assert await driver.read() == {"temperature": "21.4", "relay": "true"}

    run(talk())


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1, "it does not know that function"),
        (2, "it has no such register"),
        (3, "it does not take that value"),
        (4, "it has failed"),
        (6, "it is busy"),
        (11, "its code is 11"),
    ],
)
def test_what_a_device_says_when_it_refuses(run, code, said):
    async def talk():
        async with talking() as (line, driver, _):
            line.refused, line.code = {5}, code
            with pytest.raises(DriverError, match=f"device 1 refuses: {said}$"):
                await driver.write("setpoint", "20")

    run(talk())


def answer_of(line, device, *registers):
    """The bytes of an answer."""
    pdu = ReadInputRegistersResponse(registers=list(registers))
    pdu.dev_id = device
    return line.frames.buildFrame(pdu)


def test_the_beginning_of_an_answer_that_never_ended_does_not_spoil_the_next(run):
    async def talk():
        async with talking(timeout=0.2) as (line, driver, _):
            line.before, real = bytes([1, 4, 200]), driver._bus.received
            driver._bus.received = lambda data: (setattr(line, "before", b""), real(data))
            assert await driver._read(driver._spans[1]) == {"temperature": "21.4", "power": "230.2"}

    run(talk())


def test_what_comes_before_an_answer_is_passed_over(run):
    async def talk():
        async with talking() as (line, driver, _):
            bus = driver._bus
            for before in (answer_of(line, 2, 7), bytes.fromhex("0118000301DE50")):  # of another; of nonsense
                bus._answer = asyncio.get_running_loop().create_future()
                bus._device, bus._data = 1, b""
                bus.received(before)
                assert not bus._answer.done()
                bus.received(answer_of(line, 1, 8))
                assert bus._answer.result().registers == [8]

    run(talk())


def test_an_answer_of_another_device_is_none(run):
    async def talk():
        async with talking(timeout=0.1) as (line, driver, _):
            line.before = answer_of(line, 2, 7, 7, 7)
            line.frames.buildFrame = lambda pdu: b""  # and nothing else
            with pytest.raises(BusError, match="device 1 on .* does not answer"):
                await driver._read(driver._spans[1])

    run(talk())


def test_what_nobody_has_asked_for_and_what_comes_twice_is_passed_over(run):
    async def talk():
        async with talking() as (line, driver, _):
            bus, told = driver._bus, answer_of(line, 1, 7)
            bus.received(told)
            bus._answer = None  # as it is before the first question
            bus.received(told)
            bus._answer = asyncio.get_running_loop().create_future()
            bus._device, bus._data = 1, b""
            for _ in range(2):
                bus.received(told)
            assert bus._answer.result().registers == [7]

    run(talk())


def test_noise_without_end_takes_no_memory(run):
    async def talk():
        async with talking() as (line, driver, _):
            bus = driver._bus
            bus._answer = asyncio.get_running_loop().create_future()
            bus._device, bus._data = 1, b""
            for _ in range(20):
                bus.received(bytes([1, 24, 255, 255]) * 100)  # 64 KiB are to come
            assert len(bus._data) <= 512
            bus._answer.cancel()

    run(talk())


@pytest.mark.parametrize(("baud", "pause"), [(9600, 3.5 * 11 / 9600), (1200, 3.5 * 11 / 1200), (115200, 0.002)])
def test_the_line_is_silent_between_frames_for_as_long_as_the_standard_says(run, monkeypatch, baud, pause):
    async def talk():
        async with talking(baud=baud) as (line, driver, _):
            seen, write, sleep = [], Tty.write, asyncio.sleep
            monkeypatch.setattr(Tty, "write", lambda tty, data: (seen.append("frame"), write(tty, data)))
            monkeypatch.setattr(asyncio, "sleep", lambda seconds: (seen.append(seconds), sleep(0))[1])
            await driver.read()
            monkeypatch.undo()
            assert seen == ["frame", pytest.approx(pause)] * 2

    run(talk())


def test_noise_before_an_answer_is_skipped_by_asking_again(run):
    async def talk():
        async with talking(timeout=0.2) as (line, driver, _):
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
        async with talking(timeout=0.2) as (line, driver, _):
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
            line.silent, driver.options.timeout = set(), DEADLINE
            await driver.read()
            line.silent, driver.options.timeout = {0, 1}, 0.1
            before = len(line.asked)
            with pytest.raises(DriverError):
                await driver.read()
            assert len(line.asked) - before == 2

    run(talk())


def test_who_answers_waits_for_one_dead_device_and_not_for_all(run):
    async def talk():
        async with talking() as (line, driver, _):
            line.called.clear()
            dead = [device_on(line, number) for number in range(3, 10)]
            opening = [asyncio.ensure_future(each.open(lambda readings: None)) for each in dead]
            await until(lambda: line.called)
            assert (await driver.read())["relay"] == "true"
            spans = [at for at, device in enumerate(line.called) if device == 1]
            assert spans == [1, 3], "one between its two requests, not seven"
            for each in opening:
                each.cancel()
            await asyncio.wait(opening)
            for each in dead:
                await each.close()

    run(talk())


def test_one_that_has_just_fallen_silent_goes_behind_for_its_second_try(run):
    async def talk():
        async with talking() as (line, driver, _):
            bus, pdu = driver._bus, lambda: ReadInputRegistersRequest(address=1, count=1)
            await bus.request(2, pdu(), DEADLINE)
            line.devices = {1}
            line.called.clear()
            asking = [asyncio.ensure_future(bus.request(number, pdu(), 0.03)) for number in (2, 3, 4)]
            asking.append(asyncio.ensure_future(bus.request(1, pdu(), DEADLINE)))
            await asyncio.wait(asking, timeout=DEADLINE)
            assert [isinstance(each.exception(), BusError) for each in asking] == [True, True, True, False]
            assert line.called == [2, 3, 1, 4, 2, 3, 4]

    run(talk())


def test_a_second_question_to_a_device_waits_until_the_first_is_done(run):
    async def talk():
        async with talking() as (line, driver, _):
            asked = []

            async def ask(device, pdu, timeout):
                asked.append(pdu.address)
                await asyncio.sleep(0)
                if len(asked) == 1:
                    raise TimeoutError
                return ReadInputRegistersResponse(registers=[pdu.address])

            driver._bus._ask = ask
            questions = (ReadInputRegistersRequest(address=address, count=1) for address in (1, 50))
            await driver._bus._turn.acquire()  # another device is asked meanwhile
            asking = [asyncio.ensure_future(driver._bus.request(1, each, 0.01)) for each in questions]
            await asyncio.sleep(0)
            driver._bus._turn.release()
            found = await asyncio.gather(*asking)
            assert [each.registers for each in found] == [[1], [50]]
            assert asked == [1, 1, 50], "an answer to the first may still come, and does not say to what it is one"

    run(talk())


def test_for_a_late_answer_is_waited_as_long_as_for_an_answer(run):
    async def talk():
        async with talking(timeout=0.02) as (line, driver, _):
            bus = driver._bus
            bus._clock = lambda: 1000.0
            line.devices = set()
            with pytest.raises(BusError):
                await bus.request(2, ReadInputRegistersRequest(address=1, count=1), 0.02)
            assert bus._late[2] == pytest.approx(1000.04)

    run(talk())


def device_on(line, number, **more):
    options = Options(line.port, number, fields={"temperature": TEMPERATURE}, **{"timeout": 0.03} | more)
    return Driver(options, FIELDS[:1])


async def opened_in_vain(driver):
    with pytest.raises(DriverError, match=f"device {driver.options.device} on .* does not answer"):
        await driver.open(lambda readings: None)
    await driver.close()


def test_dead_devices_together_take_a_tenth_of_the_line(run):
    async def talk():
        async with talking() as (line, driver, _):
            bus = driver._bus
            bus._clock = lambda: 1.0  # nobody rests until then
            dead = [device_on(line, number) for number in (3, 4)]
            for each in dead:
                await opened_in_vain(each)
            assert [each._rest for each in dead] == [pytest.approx(1.3), pytest.approx(1.6)]
            bus._clock = lambda: 5.0
            await opened_in_vain(dead[0])
            assert dead[0]._rest == pytest.approx(5.6), "there are still two"
            line.devices = {3}
            with pytest.raises(BusError):
                await bus.request(1, ReadInputRegistersRequest(address=1, count=1), 0.03)
            await opened_in_vain(dead[1])
            assert dead[1]._rest == pytest.approx(5.12), "where nobody answers half of it, for the two who are here"
            dead[0].options.timeout = DEADLINE
            await dead[0].open(lambda readings: None)
            await dead[0].close()
            assert dead[0]._rest == 0

    run(talk())


def test_who_rests_is_not_asked(run):
    async def talk():
        async with talking() as (line, driver, _):
            dead = device_on(line, 3)
            line.called.clear()
            dead._rest = asyncio.get_running_loop().time() + 60
            await opened_in_vain(dead)
            assert line.called == []
            dead._rest -= 61
            await opened_in_vain(dead)
            await until(lambda: line.called == [3, 3])  # the kernel may be late

    run(talk())


def test_who_was_not_given_a_second_try_in_time_rests_too(run):
    async def talk():
        async with talking() as (line, driver, _):
            dead = device_on(line, 3)
            await driver._bus._behind.acquire()
            opening = asyncio.ensure_future(dead.open(lambda readings: None))
            await until(lambda: dead._bus is not None)
            driver._bus._behind.release()
            await until(lambda: driver._bus.rest(3))
            opening.cancel()
            await asyncio.wait([opening])
            await dead.close()
            assert dead._rest > 0

    run(talk())


def test_before_a_question_is_waited_for_a_late_answer_to_the_last(run, monkeypatch):
    async def talk():
        async with talking() as (line, driver, _):
            driver._bus._clock = lambda: 1000.0
            driver._bus._late[1] = 1060.0
            waited, sleep = [], asyncio.sleep
            monkeypatch.setattr(asyncio, "sleep", lambda seconds: (waited.append(seconds), sleep(0))[1])
            await driver.read()
            monkeypatch.undo()
            assert waited[0] == 60

    run(talk())


def test_a_question_that_is_given_up_before_its_turn_does_not_free_the_line_for_a_late_answer(run):
    async def talk():
        async with talking(timeout=0.1) as (line, driver, _):
            bus = driver._bus
            bus._late[1] = bus._clock() + 60  # an answer to a question of before may still come
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await driver.read()
            assert bus._late[1] > bus._clock()

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
            for readings in range(4):
                assert driver._silent.done() == (readings == 3)
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
                line.devices, driver.options.timeout = {1}, DEADLINE
                await driver.read()
                driver.options.timeout = 0.1
            assert not driver._silent.done()

    run(talk())


def test_a_pulled_adapter_is_noticed_in_the_middle_of_a_command(run):
    async def talk():
        async with talking(timeout=60) as (line, driver, _):
            line.devices = set()
            gone = asyncio.ensure_future(driver.gone())
            writing = asyncio.ensure_future(driver.write("relay", "true"))
            line.called.clear()
            await until(lambda: line.called)
            line.pull()
            with pytest.raises(DriverError, match="USB cable gone"):
                await asyncio.wait_for(writing, DEADLINE)
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


def test_one_that_leaves_twice_takes_nobody_with_it(run):
    async def talk():
        async with talking() as (line, driver, _):
            other = device_on(line, 2, timeout=DEADLINE)
            await other.open(lambda readings: None)
            await other.close()
            await other.close()
            assert (await driver.read())["relay"] == "true"
            with pytest.raises(DriverError, match="is closed"):
                await other.read()

    run(talk())


def test_one_that_leaves_a_line_that_was_lost_leaves_the_new_one_alone(run):
    async def talk():
        async with talking() as (line, driver, _):
            old = driver._bus
            old.closed("USB cable gone")
            with pytest.raises(BusError, match="USB cable gone"):
                await old.request(1, ReadInputRegistersRequest(address=1, count=1), 0.2)
            other, third = device_on(line, 2, timeout=DEADLINE), device_on(line, 1, timeout=DEADLINE)
            await other.open(lambda readings: None)
            await driver.close()
            await third.open(lambda readings: None)
            assert third._bus is other._bus is not old
            await third.close()
            await other.close()

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
