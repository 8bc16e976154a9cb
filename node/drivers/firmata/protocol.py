"""The Firmata protocol 2.x without a port: what a board sends becomes messages, what it is told becomes bytes.

Source: protocol.md 2.8 of github.com/firmata/protocol. Only what home automation asks of a board is here: pins,
analog channels, PWM and servos; no I2C, steppers, encoders.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

SYSEX_LIMIT = 4096  # bytes; the longest there is names 12 modes of each of 128 pins: 3200
WORDS = 60  # characters of a firmware's name or complaint: what fits a line
WIDEST = 21  # bits of a value that is written; PWM has 8 to 16

INPUT, OUTPUT, ANALOG, PWM, SERVO, PULLUP = 0, 1, 2, 3, 4, 11
MODES = {
    INPUT: "input",
    OUTPUT: "output",
    ANALOG: "analog",
    PWM: "pwm",
    SERVO: "servo",
    5: "shift",
    6: "I2C",
    7: "1-Wire",
    8: "stepper",
    9: "encoder",
    10: "serial",
    PULLUP: "pull-up",
}

# A status byte is 0x80 or more, data are less, so a new command ends one that was cut short, and what is no command
# is passed over: the stream is in step again at the next status byte.
_MESSAGE = re.compile(rb"[\x90-\x9f\xe0-\xef\xf9][\x00-\x7f]{2}|\xf0[\x00-\x7f]{1,%d}\xf7" % SYSEX_LIMIT)
_BEGUN = re.compile(rb"(?:[\x90-\x9f\xe0-\xef\xf9][\x00-\x7f]?|\xf0[\x00-\x7f]{0,%d})\Z" % SYSEX_LIMIT)


class Analog(NamedTuple):
    """The raw value of an analog channel, 14 bits at the most."""

    channel: int
    value: int


class Digital(NamedTuple):
    """The levels of the input pins 8 * port to 8 * port + 7, the lowest bit first."""

    port: int
    levels: int


class Version(NamedTuple):
    """Of the protocol."""

    major: int
    minor: int


class Firmware(NamedTuple):
    """What sketch is on the board; `version` as "2.5"."""

    name: str
    version: str


class Capabilities(NamedTuple):
    """What each pin can do: its modes, each with its resolution in bits. A pin without modes is not for us."""

    pins: tuple[dict[int, int], ...]


class AnalogMap(NamedTuple):
    """The pin of each analog channel."""

    pins: dict[int, int]


class PinState(NamedTuple):
    """The mode that a pin is in, and what was last written to it."""

    pin: int
    mode: int
    state: int


class Text(NamedTuple):
    """A complaint of the firmware."""

    text: str


Message = Analog | Digital | Version | Firmware | Capabilities | AnalogMap | PinState | Text


class Parser:
    """Bytes in any pieces become messages; noise and what is not for us is passed over."""

    def __init__(self) -> None:
        self._rest = b""  # of a message that has begun

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole by now."""
        data = self._rest + data
        messages = []
        end = 0
        for found in _MESSAGE.finditer(data):
            end = found.end()
            message = _read(found[0])
            if message is not None:
                messages.append(message)
        begun = _BEGUN.search(data, end)
        self._rest = begun[0] if begun else b""
        return messages


def _read(message: bytes) -> Message | None:
    first = message[0]
    if 0xE0 <= first <= 0xEF:
        return Analog(first & 0x0F, message[1] | message[2] << 7)
    if first <= 0x9F:
        return Digital(first & 0x0F, message[1] | (message[2] & 1) << 7)
    if first == 0xF9:
        return Version(message[1], message[2])
    read = _SYSEX.get(message[1])
    return read(message[2:-1]) if read else None


def _firmware(data: bytes) -> Firmware | None:
    if len(data) < 2:
        return None
    return Firmware(_text(data[2:]).removesuffix(".ino"), f"{data[0]}.{data[1]}")


def _capabilities(data: bytes) -> Capabilities | None:
    # Mode and resolution are two bytes, and a resolution may be 0x7F as well as the end of a pin is: no split().
    pins: list[dict[int, int]] = []
    modes: dict[int, int] = {}
    at = 0
    while at < len(data):
        if data[at] == 0x7F:
            pins.append(modes)
            modes = {}
            at += 1
        elif at + 1 < len(data):
            modes[data[at]] = data[at + 1]
            at += 2
        else:
            return None
    return Capabilities(tuple(pins)) if pins and not modes else None


def _analog_map(data: bytes) -> AnalogMap:
    return AnalogMap({channel: pin for pin, channel in enumerate(data) if channel != 0x7F})


def _pin_state(data: bytes) -> PinState | None:
    if len(data) < 3:  # of a pin that the board does not have it says nothing more
        return None
    return PinState(data[0], data[1], sum(bits << 7 * place for place, bits in enumerate(data[2:])))


def _text(data: bytes) -> str:
    """Its bytes come in pairs of 7 bits, the lower first. What is not fit for a log or XML becomes a blank."""
    text = bytes(low | (high & 1) << 7 for low, high in zip(data[::2], data[1::2], strict=False)).decode(
        errors="replace"
    )
    return "".join(mark if mark.isprintable() else " " for mark in text[:WORDS])


_SYSEX: dict[int, Callable[[bytes], Message | None]] = {
    0x6A: _analog_map,
    0x6C: _capabilities,
    0x6E: _pin_state,
    0x71: lambda data: Text(_text(data)),
    0x79: _firmware,
}

# To the board

ASK_VERSION = b"\xf9"
ASK_FIRMWARE = b"\xf0\x79\xf7"
ASK_CAPABILITIES = b"\xf0\x6b\xf7"
ASK_ANALOG_MAP = b"\xf0\x69\xf7"


def ask_state(pin: int) -> bytes:
    """What mode is it in, and what was written to it? Protocol 2.2."""
    return bytes((0xF0, 0x6D, pin, 0xF7))


def set_mode(pin: int, mode: int) -> bytes:
    return bytes((0xF4, pin, mode))


def set_pin(pin: int, high: bool) -> bytes:
    """One digital output. Protocol 2.5."""
    return bytes((0xF5, pin, high))


def set_port(port: int, levels: int) -> bytes:
    """Eight digital outputs at once, and the pull-ups of inputs among them."""
    return bytes((0x90 | port, levels & 0x7F, levels >> 7))


def set_analog(pin: int, value: int) -> bytes:
    """PWM or a servo: `value` has at most WIDEST bits."""
    if pin < 16 and value < 1 << 14:
        return bytes((0xE0 | pin, value & 0x7F, value >> 7))
    return bytes((0xF0, 0x6F, pin, value & 0x7F, value >> 7 & 0x7F, value >> 14, 0xF7))


def report_analog(channel: int) -> bytes:
    """Let us hear of this channel from now on."""
    return bytes((0xC0 | channel, 1))


def report_digital(port: int) -> bytes:
    """Let us hear of the inputs of this port from now on."""
    return bytes((0xD0 | port, 1))


def set_sampling(milliseconds: int) -> bytes:
    """How often analog channels are told: 1 to 16383 ms."""
    return bytes((0xF0, 0x7A, milliseconds & 0x7F, milliseconds >> 7, 0xF7))
