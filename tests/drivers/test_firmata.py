"""The firmata driver against a board that a test plays, at the other end of a pseudo-terminal."""

import asyncio
import logging
import os
import pty
import random
import tty
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.path import Path
from node.config import ConfigError, load
from node.drivers.firmata import Driver, Options, driver, protocol
from node.drivers.firmata.analog import Channel
from node.drivers.firmata.options import ControlPlace, FieldPlace
from node.drivers.firmata.protocol import (
    SYSEX_LIMIT,
    Analog,
    AnalogMap,
    Capabilities,
    Digital,
    Firmware,
    Parser,
    PinState,
    Text,
    Version,
)
from node.hub import board as boards
from node.hub.driver import Control, DriverError, Field
from tests.conftest import until

DEADLINE = 3  # seconds for anything here
DIGITAL = {0: 1, 11: 1, 1: 1}
UNO = (
    *({}, {}, DIGITAL, DIGITAL | {3: 8}, DIGITAL, DIGITAL | {3: 8, 4: 14}, DIGITAL | {3: 8}, DIGITAL),
    *(DIGITAL, DIGITAL | {3: 8, 4: 14}, DIGITAL | {3: 8}, DIGITAL | {3: 8}, DIGITAL, DIGITAL),
    *(DIGITAL | {2: 10} for _ in range(4)),
    *(DIGITAL | {2: 10, 3: 16} for _ in range(2)),
)
OLD = tuple({mode: bits for mode, bits in modes.items() if mode != 11} for modes in UNO)  # as 2.4 is
CHANNELS = {channel: 14 + channel for channel in range(6)}
LENGTHS = {0x90: 3, 0xE0: 3, 0xC0: 2, 0xD0: 2}
WHO = (b"\xf9", b"\xf0\x79\xf7")

FIELDS = (
    Field("light", unit="V", deadband=Decimal("0.05")),
    Field("door", "boolean"),
    Field("button", "boolean"),
    Field("lamp", "boolean"),
)
CONTROLS = (
    Control("lamp", "boolean"),
    Control("fan", "boolean"),
    Control("dimmer", "integer"),
    Control("blind", "integer", maximum=Decimal(90)),
)
PLACES = {
    "light": FieldPlace(analog=0, factor=Decimal("0.0048"), decimals=2),
    "door": FieldPlace(pin=4),
    "button": FieldPlace(pin=8, pull="up", invert=True),
}
TARGETS = {
    "lamp": ControlPlace(13),
    "fan": ControlPlace(12),
    "dimmer": ControlPlace(3, "pwm"),
    "blind": ControlPlace(5, "servo"),
}


def sysex(number, *data):
    return bytes((0xF0, number, *data, 0xF7))


def text(words):
    return bytes(half for byte in words.encode() for half in (byte & 0x7F, byte >> 7))


def analog(channel, raw):
    return bytes((0xE0 | channel, raw & 0x7F, raw >> 7))


def digital(port, levels):
    return bytes((0x90 | port, levels & 0x7F, levels >> 7))


class Board:
    """A board whose firmware is this: it says what it is asked, and remembers what it was told."""

    plugged = []

    def __init__(self, minor=5, major=2, pins=UNO, banner=True):
        self.version = bytes((0xF9, major, minor))
        self.firmware = sysex(0x79, 2, 5, *text("StandardFirmata.ino"))
        self.pins = pins
        self.banner = banner  # said when it is opened
        self.mute = set()  # first bytes, or those of sysex, of questions that it leaves unanswered
        self.stuck = set()  # pins that do not follow
        self.heard = []  # all commands in their order, but the questions who it is
        self.asked = []  # these
        self.modes = {}
        self.states = {}
        self.news = asyncio.Event()
        self._rest = b""
        self._master, self._slave = pty.openpty()  # the slave stays open, or we would read errors until it is opened
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._master, self._hear)
        self.plugged.append(self)
        if banner:
            self._loop.call_later(0.02, self.starts)

    def starts(self):
        self.modes, self.states = {}, {}
        self.says(self.version + self.firmware)

    def says(self, data):
        os.write(self._master, data)

    def unplug(self):
        self.plugged.remove(self)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    async def hears(self, command, times=1):
        """Waits until it has heard the command so often."""
        async with asyncio.timeout(DEADLINE):
            while (self.heard + self.asked).count(command) < times:
                self.news.clear()
                await self.news.wait()

    def _hear(self):
        self._rest += os.read(self._master, 65536)
        while self._rest:
            first = self._rest[0]
            if first == 0xF0:
                length = self._rest.find(0xF7) + 1 or 1000
            else:
                length = 3 if first in (0xF4, 0xF5) else LENGTHS.get(first & 0xF0, 1)
            if len(self._rest) < length:
                break
            command, self._rest = self._rest[:length], self._rest[length:]
            (self.asked if command in WHO else self.heard).append(command)
            self._obey(command)
        self.news.set()

    def _obey(self, command):
        first = command[1] if command[0] == 0xF0 else command[0]
        if first in self.mute or command[1:2] and command[1] in self.stuck and first in (0xF4, 0xF5):
            return
        match first:
            case 0xF9:
                self.says(self.version)
            case 0x79:
                self.says(self.firmware)
            case 0x6B:
                pins = (byte for modes in self.pins for byte in (*sum(modes.items(), ()), 0x7F))
                self.says(sysex(0x6C, *pins))
            case 0x69:
                by_pin = {pin: channel for channel, pin in CHANNELS.items()}
                self.says(sysex(0x6A, *(by_pin.get(pin, 0x7F) for pin in range(len(self.pins)))))
            case 0xF4:
                self.modes[command[1]] = command[2]
                self.states[command[1]] = 0
            case 0xF5:
                self.states[command[1]] = command[2]
            case 0x6D:
                pin = command[2]
                state = self.states[pin]
                self.says(sysex(0x6E, pin, self.modes[pin], state & 0x7F, *((state >> 7,) if state >> 7 else ())))
            case _ if first & 0xF0 == 0xE0:
                self.states[first & 0x0F] = command[1] | command[2] << 7
            case 0x6F:
                self.states[command[2]] = command[3] | command[4] << 7
            case _ if first & 0xF0 == 0x90:
                levels = command[1] | command[2] << 7
                for pin in range(8 * (first & 0x0F), 8 * (first & 0x0F) + 8):
                    if self.modes.get(pin) in (0, 1):
                        self.states[pin] = levels >> (pin & 7) & 1


class Talk:
    """A board, and a driver that has opened it."""

    def __init__(self, declared=(FIELDS, CONTROLS), **kind):
        self.declared = declared
        self.told = {name: kind.pop(name) for name in list(kind) if name in Options.__annotations__}
        self.kind = kind
        self.readings = asyncio.Queue()

    async def __aenter__(self):
        self.board = Board(**self.kind)
        self.driver = Driver(options(self.board, **self.told), *self.declared)
        await self.driver.open(self.readings.put_nowait)
        return self

    async def __aexit__(self, *_):
        await self.driver.close()

    async def reads(self):
        return await asyncio.wait_for(self.readings.get(), DEADLINE)

    async def first_reads(self):
        """What is known right after it was opened."""
        assert await self.reads() == {"lamp": "false"}


def options(board, **told):
    return Options(board.port, **{"fields": PLACES, "controls": TARGETS, **told})


@pytest.fixture(autouse=True)
def tidy_desk():
    yield
    for board in list(Board.plugged):
        board.unplug()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Nothing is waited for that a real board needs."""
    monkeypatch.setattr(driver, "BANNER", 0.1)
    monkeypatch.setattr(driver, "ASK_AGAIN", 0.05)


def nothing(readings):
    """For who does not care for readings."""


async def fault(board, match, declared=(FIELDS, CONTROLS), **told):
    """The board cannot be opened for a reason, in words. One that lacks an answer is not waited for as long."""
    short = {"hello": 0.4, "timeout": 0.4} if board.mute or board.version[1] != driver.MAJOR else {}
    opening = Driver(options(board, **short, **told), *declared)
    with pytest.raises(DriverError, match=match):
        await opening.open(nothing)
    await opening.close()


# The bytes

STREAM = [
    (b"\xf9\x02\x05", Version(2, 5)),
    (sysex(0x79, 2, 11, *text("StandardFirmata.ino")), Firmware("StandardFirmata", "2.11")),
    (sysex(0x6C, 0x7F, 0, 1, 1, 1, 0x7F, 2, 10, 0x7F), Capabilities(({}, {0: 1, 1: 1}, {2: 10}))),
    (sysex(0x6A, 0x7F, 0x7F, 0, 1), AnalogMap({0: 2, 1: 3})),
    (sysex(0x6E, 13, 1, 1), PinState(13, 1, 1)),
    (sysex(0x6E, 9, 3, 0x7F, 1), PinState(9, 3, 255)),
    (sysex(0x71, *text("zu heiß\n")), Text("zu heiß ")),
    (sysex(0x71, *text(200 * "x")), Text(60 * "x")),
    (b"\xe0\x7f\x07", Analog(0, 1023)),
    (b"\xef\x00\x00", Analog(15, 0)),
    (b"\x90\x7f\x01", Digital(0, 255)),
    (b"\x9f\x01\x00", Digital(15, 1)),
    (b"\x90\x00\x7f", Digital(0, 128)),
]


def read(data, size=None):
    """The messages in the data, fed in pieces of that size."""
    parser = Parser()
    size = size or len(data) or 1
    return [message for at in range(0, len(data), size) for message in parser.feed(data[at : at + size])]


@pytest.mark.parametrize(("data", "message"), STREAM)
def test_a_message_is_read(data, message):
    assert read(data) == [message]


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
def test_a_stream_in_pieces_gives_the_same_messages(size):
    data = b"".join(data for data, _ in STREAM)
    assert read(data, size) == [message for _, message in STREAM]


@given(
    st.lists(st.sampled_from([data for data, _ in STREAM]) | st.binary(max_size=5)).map(b"".join),
    st.integers(min_value=1, max_value=5),
)
def test_noise_in_pieces_gives_the_same_messages(data, size):
    assert read(data) == read(data, size)


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\x01\x7f",
        b"\xff",
        b"\xe0",
        b"\xe0\x01",
        b"\xf9\x02",
        b"\xf0\x79\x02",
        b"\xf0",
        b"\xf7",
        b"\xf0\xf7",
        b"\xc0\x01\xd0\x01",
        b"\xf0\x6c\x00\x01\x7f\x00",
        sysex(0x6E, 13),
        sysex(0x79, 2),
        sysex(0x6C),
        sysex(0x6C, 0, 1),
        sysex(0x6C, 0x7F, 0, 1),
        sysex(0x77, 1, 2, 3),
        random.Random(7).randbytes(2000).replace(b"\xf9", b""),
    ],
)
def test_fm_5_after_noise_the_next_message_is_read(noise):
    for size in (None, 1):
        messages = read(noise + b"\xf9\x02\x05\xe1\x01\x00", size)
        assert messages[-1] == Analog(1, 1)
        assert [each for each in messages if not isinstance(each, Analog | Digital)] == [Version(2, 5)]


@pytest.mark.parametrize("size", [None, 1])
def test_a_sysex_without_end_is_forgotten(size):
    assert read(b"\xf0\x71" + SYSEX_LIMIT * b"\x00" + b"\xf7\xe1\x01\x00", size) == [Analog(1, 1)]
    parser = Parser()
    for _ in range(20):
        parser.feed(b"\xf0" + 1000 * b"\x00")
        parser.feed(1000 * b"\x00")
    assert len(parser._rest) <= SYSEX_LIMIT


def test_a_pwm_value_of_more_than_14_bits_or_on_a_high_pin_takes_a_longer_message():
    assert protocol.set_analog(9, 255) == b"\xe9\x7f\x01"
    assert protocol.set_analog(44, 255) == sysex(0x6F, 44, 0x7F, 1, 0)
    assert protocol.set_analog(9, 65535) == sysex(0x6F, 9, 0x7F, 0x7F, 3)


# The configuration


@pytest.fixture
def home(tmp_path):
    """`home(text)` reads a configuration with a thing on Firmata; its thing."""

    def home(more):
        text = f'domain = "home.example"\n[thing.porch]\ndriver = "firmata"\nport = "/dev/ttyACM0"\n{more}'
        return load(Path(tmp_path / "hobnode.toml"), text).things["porch"]

    return home


def field_(name, words):
    return f'[[thing.porch.fields]]\nname = "{name}"\n{words}\n'


def control(name, words):
    return f'[[thing.porch.controls]]\nname = "{name}"\ntype = "boolean"\n{words}\n'


def test_pins_are_declared_in_the_configuration(home):
    thing = home(
        field_("light", "analog = 0\nfactor = 0.0048\noffset = -1\ndecimals = 2")
        + field_("door", 'type = "boolean"\npin = 4\npull = "up"\ninvert = true')
        + control("lamp", "pin = 13")
    )
    assert thing.options.fields == {
        "light": FieldPlace(analog=0, factor=Decimal("0.0048"), offset=Decimal(-1), decimals=2),
        "door": FieldPlace(pin=4, pull="up", invert=True),
    }
    assert thing.options.controls == {"lamp": ControlPlace(13)}
    assert thing.options.misfit(thing.declared.fields, thing.declared.controls) == ""


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (control("a", "pin = 7") + control("b", "pin = 7"), "'a' and 'b' both at pin 7"),
        (field_("a", "pin = 7") + control("b", "pin = 7"), "both at pin 7"),
        (field_("a", "analog = 1") + field_("b", "analog = 1"), "'a' and 'b' both at analog 1"),
        (field_("a", "pin = 2") + control("a", "pin = 7"), "give one of the two another name"),
        (control("a", 'pin = 7\nmode = "pmw"'), 'mode must be one of "output", "pwm", "servo", not "pmw"'),
        (control("a", 'mode = "pwm"'), "[thing.porch.controls.a] needs 'pin'"),
        (control("a", "pin = 128"), "pin must be 0 to 127, not 128"),
        (control("a", "pni = 3"), "did you mean 'pin'?"),
        (field_("a", "pull = 'up'"), "needs 'pin' (digital) or 'analog' (a channel), and not both"),
        (field_("a", "pin = 2\nanalog = 2"), "and not both"),
        (field_("a", "pin = 2\nfactor = 2"), "factor, offset and decimals are for 'analog'"),
        (field_("a", "pin = 2\npull = 'down'"), 'pull must be one of "", "up"'),
        (field_("a", "analog = 16"), "analog must be 0 to 15, not 16"),
        (field_("a", "analog = 1\ninvert = true"), "pull and invert are for 'pin'"),
        (field_("a", "analog = 1\nfactor = 0"), "factor must not be 0"),
        (field_("a", "analog = 1\nfactor = nan"), "factor must be less than"),
        (field_("a", "analog = 1\noffset = 1e12"), "offset must be less than"),
        (field_("a", "analog = 1\nfactor = 0.0000000001"), "at most 9 decimals"),
        (field_("a", "analog = 1\ndecimals = 10"), "decimals must be 0 to 9"),
        ("sampling = 99", "sampling must be 100 to 16383 milliseconds, not 99"),  # FM-6
        ("watchdog = 0", "watchdog must be more than 0"),
        ("hello = 15", "hello must be less than 15 seconds"),
        ("timeout = 5", "timeout must be less than 5 seconds"),
    ],
)
def test_a_mistake_in_the_configuration_is_said(home, more, complaint):
    with pytest.raises(ConfigError) as error:
        home(more)
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("fields", "controls", "complaint"),
    [
        ((Field("door", "boolean"), Field("wind")), (), "the field 'wind' needs 'pin'"),
        ((), (Control("pump", "boolean"),), "the control 'pump' needs 'pin'"),
        ((Field("door"),), (), "the type of the field 'door' must be boolean there, not quantity"),
        ((Field("light", "integer"),), (), "'light' must be quantity there, not integer"),
        ((Field("light", "string"),), (), "'light' must be quantity there, not string"),
        ((Field("lamp", "integer"),), (Control("lamp", "boolean"),), "'lamp' must be boolean there"),
        ((), (Control("lamp", "integer"),), "'lamp' has mode = \"output\", so its type must be boolean, not integer"),
        ((), (Control("dimmer", "boolean"),), "'dimmer' has mode = \"pwm\", so its type must be integer, not boolean"),
    ],
)
def test_declarations_that_do_not_go_together_are_a_fault(run, fields, controls, complaint):
    async def talk():
        await fault(Board(), complaint, (fields, controls))

    run(talk())


def test_the_board_that_is_shipped_goes_together(run):
    async def talk():
        shipped = boards.load("arduino-firmata")
        places = shipped.declared
        assert shipped.options == {"baud": 57600}
        told = {
            "fields": {name: FieldPlace(**place) for name, place in places.field_places.items()},
            "controls": {name: ControlPlace(**place) for name, place in places.control_places.items()},
        }
        async with Talk((places.fields, places.controls), **told) as talk:
            assert await talk.reads() | await talk.reads() == {"lamp": "false", "dimmer": "0"}
            talk.board.says(analog(0, 1023))
            assert await talk.reads() == {"light": "100.0"}

    run(talk())


# Opening


def test_fm_1_a_board_that_says_its_version_is_not_asked(run, monkeypatch):
    async def talk():
        board = Board(banner=False)
        driver = Driver(options(board), FIELDS, CONTROLS)
        opening = asyncio.ensure_future(driver.open(nothing))
        await until(lambda: driver._tty._port)  # what came before is thrown away
        board.starts()
        await opening
        assert board.asked == []
        assert driver.about == {"name": "StandardFirmata", "version": "2.5"}
        await driver.close()

    monkeypatch.setattr(driver, "BANNER", 60)  # seconds: longer than one waits for all of it
    run(talk())


def test_fm_1_a_board_that_says_nothing_is_asked_for_both(run):
    async def talk():
        async with Talk(banner=False) as talk:
            assert talk.board.asked[:2] == list(WHO)
            assert talk.driver.about == {"name": "StandardFirmata", "version": "2.5"}

    run(talk())


def test_fm_1_a_board_that_is_deaf_at_first_is_asked_again(run):
    async def talk():
        board = Board(banner=False)
        board.mute = {0xF9, 0x79}
        driver = Driver(options(board), FIELDS, CONTROLS)
        opening = asyncio.ensure_future(driver.open(nothing))
        await board.hears(b"\xf9", 2)
        board.mute = set()
        await opening
        await driver.close()

    run(talk())


def test_fm_1_a_board_that_does_not_answer_is_a_fault(run):
    async def talk():
        board = Board(banner=False)
        board.mute = {0xF9, 0x79}
        await fault(board, "does not speak Firmata: is StandardFirmata on it, and is 57600 baud right")

    run(talk())


def test_fm_2_modes_are_set_when_it_is_known_what_the_pins_can_do(run):
    async def talk():
        async with Talk() as talk:
            heard = talk.board.heard
            assert heard[:2] == [sysex(0x6B), sysex(0x69)]
            assert {command for command in heard if command[0] == 0xF4} == {
                *(b"\xf4\x0e\x02", b"\xf4\x04\x00", b"\xf4\x08\x0b"),
                *(b"\xf4\x0d\x01", b"\xf4\x0c\x01", b"\xf4\x03\x03", b"\xf4\x05\x04"),
            }
            assert {b"\xf5\x0d\x00", b"\xf5\x0c\x00", b"\xe3\x00\x00"} <= set(heard), "all is off, so that we know"
            assert not [command for command in heard if command[0] == 0xE5], "but a servo is not moved"
            await talk.board.hears(b"\xd1\x01")
            assert set(heard[-3:]) == {b"\xc0\x01", b"\xd0\x01", b"\xd1\x01"}

    run(talk())


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        (ControlPlace(7, "pwm"), "dimmer: pin 7 cannot be pwm; it can be input, pull-up, output$"),
        (ControlPlace(1, "pwm"), "dimmer: pin 1 cannot be pwm; it can be nothing: the firmware keeps it"),
        (ControlPlace(20, "pwm"), "dimmer: the board has no pin 20; there are 0 to 19"),
    ],
)
def test_fm_2_a_pin_that_cannot_do_it_is_a_fault_and_nothing_is_set(run, place, complaint):
    async def talk():
        board = Board()
        await fault(board, complaint, controls=TARGETS | {"dimmer": place})
        assert not [command for command in board.heard if command[0] == 0xF4]

    run(talk())


@pytest.mark.parametrize(
    ("place", "type", "complaint"),
    [
        (FieldPlace(analog=9), "quantity", "x: the board has no analog channel 9; there are 0, 1, 2, 3, 4, 5"),
        (FieldPlace(pin=0), "boolean", "x: pin 0 cannot be input"),
        (FieldPlace(pin=14), "boolean", "'light' and 'x' are both at pin 14"),  # which is A0
    ],
)
def test_fm_2_a_field_where_there_is_none_is_a_fault(run, place, type, complaint):
    async def talk():
        await fault(Board(), complaint, ((*FIELDS, Field("x", type)), CONTROLS), fields=PLACES | {"x": place})

    run(talk())


@pytest.mark.parametrize("silent", [0x6B, 0x69])
def test_fm_2_a_firmware_that_does_not_say_what_it_can_is_a_fault(run, silent):
    async def talk():
        board = Board()
        board.mute = {silent}
        await fault(board, "does not say what its pins can do; Firmata 2.2 and later do")

    run(talk())


def test_fm_3_another_protocol_is_refused(run):
    async def talk():
        board = Board(major=3, minor=1)
        await fault(board, r"speaks Firmata 3\.1, and 2\.x is needed")
        assert board.heard == []

    run(talk())


def test_fm_4_an_older_firmware_is_told_of_eight_pins_at_once(run):
    async def talk():
        async with Talk(minor=4, pins=OLD) as talk:
            await talk.driver.write("lamp", "true")
            assert talk.board.heard[-2] == digital(1, 0x21)
            await talk.driver.write("fan", "true")
            assert talk.board.heard[-2] == digital(1, 0x31)
            await talk.driver.write("lamp", "false")
            assert talk.board.heard[-2] == digital(1, 0x11)
            await talk.driver.write("lamp", "false")
            assert talk.board.heard[-2] == digital(1, 0x11)
            assert not [command for command in talk.board.heard if command[0] == 0xF5]
            assert talk.board.modes[8] == 0

    run(talk())


def test_fm_4_an_older_firmware_has_pull_ups_too(run):
    async def talk():
        async with Talk((FIELDS[:3], ()), controls={}, minor=4, pins=OLD) as talk:
            await talk.board.hears(digital(1, 0x01))
            heard = talk.board.heard
            assert heard.index(b"\xf4\x08\x00") < heard.index(digital(1, 0x01))

    run(talk())


def test_fm_5_noise_between_messages_is_passed_over(run):
    async def talk():
        async with Talk() as talk:
            await talk.first_reads()
            talk.board.says(b"\x12\xe0\x01\xf0\x71\x00" + digital(0, 0x10) + b"\xe0\x7f\x7f" + analog(0, 500))
            assert await talk.reads() == {"door": "true"}
            assert await talk.reads() == {"light": "2.40"}, "and a value that 10 bits cannot have is noise"

    run(talk())


def test_fm_6_analog_channels_are_told_every_200_ms_unless_said_otherwise(run):
    async def talk():
        async with Talk() as talk:
            assert sysex(0x7A, 200 & 0x7F, 200 >> 7) in talk.board.heard
        async with Talk(sampling=1000) as talk:
            assert sysex(0x7A, 1000 & 0x7F, 1000 >> 7) in talk.board.heard

    run(talk())


def test_a_firmware_that_does_not_tell_the_state_of_a_pin_is_a_fault_if_there_are_controls(run):
    async def talk():
        board = Board()
        board.mute = {0x6D}
        await fault(board, "does not tell the state of a pin.* could never be confirmed that 'lamp' is set")
        board.starts()
        driver = Driver(options(board, controls={}), FIELDS[:3])
        await driver.open(nothing)
        await driver.close()

    run(talk())


# Readings


def test_a_digital_input_is_told_when_it_changes(run):
    async def talk():
        async with Talk() as talk:
            await talk.first_reads()
            talk.board.says(digital(0, 0x00))
            assert await talk.reads() == {"door": "false"}, "the first time it is always told"
            talk.board.says(digital(0, 0x10))
            assert await talk.reads() == {"door": "true"}
            talk.board.says(digital(0, 0x10) + digital(0, 0x18) + digital(0, 0x08))
            assert await talk.reads() == {"door": "false"}
            talk.board.says(digital(1, 0x01))
            assert await talk.reads() == {"button": "false"}, "inverted"
            talk.board.says(digital(1, 0x00))
            assert await talk.reads() == {"button": "true"}
            assert talk.readings.empty()

    run(talk())


def test_a_board_that_was_told_to_report_before_we_came_is_heard_from_when_it_is_set_up(run):
    async def talk():
        board = Board()
        board.mute = {0x6B}
        driver, readings = Driver(options(board), FIELDS, CONTROLS), asyncio.Queue()
        opening = asyncio.ensure_future(driver.open(readings.put_nowait))
        await board.hears(sysex(0x6B))
        board.says(digital(0, 0x10) + analog(0, 500) + b"\xf9\x02\x04")  # the last is noise
        board.mute = set()
        await opening
        board.says(digital(0, 0x10) + analog(0, 500))
        heard = [await asyncio.wait_for(readings.get(), DEADLINE) for _ in range(3)]
        assert heard == [{"lamp": "false"}, {"door": "true"}, {"light": "2.40"}]
        assert b"\xf5\x0d\x00" in board.heard, "which only 2.5 knows"
        await driver.close()

    run(talk())


def test_an_analog_value_is_told_when_it_has_left_its_deadband(run):
    async def talk():
        async with Talk() as talk:
            await talk.first_reads()
            for raw in (500, 501, 499, 510, 490, 489, 490, 499):  # 0.05 V are 10.4 steps
                talk.board.says(analog(0, raw) + analog(1, raw))
            assert await talk.reads() == {"light": "2.40"}
            assert await talk.reads() == {"light": "2.35"}
            talk.board.says(digital(0, 0x10))
            assert await talk.reads() == {"door": "true"}, "and nothing before it"

    run(talk())


@pytest.mark.parametrize(
    ("place", "deadband", "raws", "told"),
    [
        (FieldPlace(analog=0), None, [511, 511, 512], ["511", None, "512"]),
        (FieldPlace(analog=0), "2", [511, 512, 513, 512, 511], ["511", None, "513", None, "511"]),
        (FieldPlace(analog=0, factor=Decimal("0.0048")), None, [500, 501], ["2.4000", "2.4048"]),
        (FieldPlace(analog=0, factor=Decimal("0.0048"), decimals=1), None, [500, 501, 520], ["2.4", None, "2.5"]),
        (FieldPlace(analog=0, factor=Decimal("0.5"), offset=Decimal(-50)), None, [1, 100], ["-49.5", "0.0"]),
        (FieldPlace(analog=0, factor=Decimal("-0.1"), decimals=0), "1", [1, 10, 11], ["0", None, "-1"]),
        (FieldPlace(analog=0, factor=Decimal("1E+3")), None, [5], ["5000"]),
        (FieldPlace(analog=0, factor=Decimal("1E-9")), None, [5], ["0.000000005"]),
        (FieldPlace(analog=0), None, [1023, 1024, 16383], ["1023", None, None]),
    ],
)
def test_a_raw_number_becomes_an_exact_value(place, deadband, raws, told):
    channel = Channel("x", place, deadband and Decimal(deadband), 10)
    assert [channel.hear(raw) for raw in raws] == told


# Commands


def test_a_control_is_confirmed_when_the_board_says_that_its_pin_is_so(run):
    async def talk():
        async with Talk() as talk:
            await talk.first_reads()
            talk.board.mute = {0x6D}
            writing = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            await talk.board.hears(b"\xf5\x0d\x01")
            talk.board.says(sysex(0x6E, 13, 1, 0) + sysex(0x6E, 12, 1, 1) + sysex(0x6E, 13, 3, 1))
            talk.board.says(digital(0, 0x10))
            await talk.reads()
            assert not writing.done()
            talk.board.says(sysex(0x6E, 13, 1, 1))
            await writing
            assert await talk.reads() == {"lamp": "true"}

    run(talk())


def test_a_control_is_said_again_when_its_confirmation_was_lost(run):
    async def talk():
        async with Talk() as talk:
            talk.board.mute = {0xF5, 0x6D}
            writing = asyncio.ensure_future(talk.driver.write("fan", "true"))
            await talk.board.hears(b"\xf5\x0c\x01", 2)
            talk.board.mute = set()
            await writing

    run(talk())


def test_a_pin_that_does_not_follow_is_a_fault(run):
    async def talk():
        async with Talk(timeout=0.2) as talk:
            talk.board.stuck = {13}
            with pytest.raises(DriverError, match="pin 13 does not follow.* mode is output and its state 0"):
                await talk.driver.write("lamp", "true")
            await talk.driver.write("fan", "true")

    run(talk())


def test_a_board_that_does_not_answer_a_command_is_lost(run):
    async def talk():
        async with Talk(timeout=0.2) as talk:
            talk.board.mute = {0x6D}
            with pytest.raises(DriverError, match="the board on .* does not answer"):
                await talk.driver.write("lamp", "true")
            assert (
                await asyncio.wait_for(talk.driver.gone(), DEADLINE)
                == f"the board on {talk.board.port} does not answer"
            )

    run(talk())


def test_pwm_and_servos_have_the_ranges_of_their_pins(run):
    async def talk():
        async with Talk() as talk:
            ranges = {each.name: (each.minimum, each.maximum) for each in talk.driver.controls}
            assert ranges == {"lamp": (None, None), "fan": (None, None), "dimmer": (0, 255), "blind": (0, 90)}
            await talk.driver.write("dimmer", "200")
            assert talk.board.states[3] == 200
            await talk.driver.write("blind", "45")
            assert talk.board.states[5] == 45
            with pytest.raises(DriverError, match="no control siren"):
                await talk.driver.write("siren", "true")

    run(talk())


def test_a_pwm_pin_above_15_is_set_too(run):
    async def talk():
        async with Talk(controls=TARGETS | {"dimmer": ControlPlace(18, "pwm")}) as talk:
            await talk.driver.write("dimmer", "4000")
            assert talk.board.states[18] == 4000

    run(talk())


def test_a_range_beyond_that_of_the_pin_is_a_fault(run):
    async def talk():
        wide = (Control("dimmer", "integer", maximum=Decimal(1000)),)
        await fault(Board(), "dimmer: pin 3 takes 0 to 255, and it is declared to take 0 to 1000", ((), wide))

    run(talk())


# Gone, and back


def test_fm_7_a_pulled_cable_ends_everything_at_once_with_its_reason(run):
    async def talk():
        async with Talk() as talk:
            gone = asyncio.ensure_future(talk.driver.gone())
            talk.board.mute = {0x6D}
            writing = asyncio.ensure_future(talk.driver.write("lamp", "true"))
            await talk.board.hears(b"\xf5\x0d\x01")
            talk.board.unplug()
            reason = f"USB cable gone: {talk.board.port}"
            assert await asyncio.wait_for(gone, DEADLINE) == reason
            with pytest.raises(DriverError, match=reason):
                await asyncio.wait_for(writing, DEADLINE)
            with pytest.raises(DriverError, match=reason):
                await talk.driver.write("lamp", "true")

    run(talk())


def test_fm_7_a_board_that_vanishes_while_it_is_opened_is_gone_at_once(run):
    async def talk():
        board = Board()
        board.mute = {0x6B}
        opening = asyncio.ensure_future(Driver(options(board), FIELDS, CONTROLS).open(nothing))
        await board.hears(sysex(0x6B))
        board.unplug()
        with pytest.raises(DriverError, match="USB cable gone"):
            await asyncio.wait_for(opening, DEADLINE)

    run(talk())


def test_fm_7_when_it_is_opened_again_everything_is_done_again(run, tmp_path):
    async def talk():
        port = tmp_path / "ttyACM0"
        driver = Driver(Options(str(port), fields=PLACES, controls=TARGETS), FIELDS, CONTROLS)
        heard = []
        for _ in range(2):
            board = Board(minor=4, pins=OLD)
            port.unlink(missing_ok=True)
            port.symlink_to(board.port)
            readings = asyncio.Queue()
            await driver.open(readings.put_nowait)
            assert await readings.get() == {"lamp": "false"}
            await board.hears(b"\xd1\x01")
            heard.append(list(board.heard))
            board.says(analog(0, 500) + digital(0, 0x10))
            assert await asyncio.wait_for(readings.get(), DEADLINE) == {"light": "2.40"}
            assert await asyncio.wait_for(readings.get(), DEADLINE) == {"door": "true"}
            await driver.write("lamp", "true")
            board.unplug()
            assert await asyncio.wait_for(driver.gone(), DEADLINE) == f"USB cable gone: {port}"
            await driver.close()
        assert heard[0] == heard[1]

    run(talk())


def test_fm_7_a_board_that_starts_anew_is_opened_anew(run):
    async def talk():
        async with Talk() as talk:
            talk.board.starts()
            assert await asyncio.wait_for(talk.driver.gone(), DEADLINE) == "the board has started anew"

    run(talk())


def test_fm_8_a_silent_board_is_asked_and_then_given_up(run):
    async def talk():
        async with Talk(watchdog=0.05, timeout=0.2) as talk:
            await talk.first_reads()
            talk.board.says(digital(0, 0x10))
            assert await talk.reads() == {"door": "true"}
            gone = asyncio.ensure_future(talk.driver.gone())
            await talk.board.hears(b"\xf9", 3)
            assert not gone.done()
            assert await talk.reads() == {"lamp": "false", "door": "true"}, "what holds is said again"
            talk.board.mute = {0xF9}
            while not gone.done():  # noise is no sign of life
                talk.board.says(b"\xf9\x03\x05\xe5\x01\x00")
                await asyncio.wait([gone], timeout=0.02)
            assert gone.result() == f"the board on {talk.board.port} has not answered for 0.2 s"
            assert talk.driver._timer.cancelled(), "it must not ring when the board has been opened anew"

    run(talk())


def test_what_the_firmware_complains_of_is_logged_once_a_minute(run, caplog):
    async def talk():
        async with Talk() as talk:
            await talk.first_reads()
            with caplog.at_level(logging.WARNING):
                for _ in range(3):
                    talk.board.says(sysex(0x71, *text("too many servos")))
                talk.board.says(digital(0, 0x10))
                await talk.reads()
            assert caplog.messages == [
                f"{talk.board.port}: the board has complained 1 times; the last: too many servos"
            ]

    run(talk())
