"""Which pin is to do what, checked against what the board says that its pins can do."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from node.drivers.firmata.analog import Channel
from node.drivers.firmata.options import ControlPlace, FieldPlace, Options
from node.drivers.firmata.protocol import (
    ANALOG,
    INPUT,
    MODES,
    OUTPUT,
    PULLUP,
    PWM,
    SERVO,
    WIDEST,
    AnalogMap,
    Capabilities,
)
from node.hub.driver import Control, DriverError, Field

ANGLE = 180  # degrees, what a servo takes
_MODES = {"output": OUTPUT, "pwm": PWM, "servo": SERVO}


class Input(NamedTuple):
    """A digital input: its bit in its port, its field, and whether low is true."""

    bit: int
    name: str
    invert: bool


class Output(NamedTuple):
    """A pin that a control sets."""

    pin: int
    mode: int

    def level(self, value: str) -> int:
        """What the pin is set to for that value of the control."""
        return int(value == "true") if self.mode == OUTPUT else int(value)

    def value(self, level: int) -> str:
        return ("true" if level else "false") if self.mode == OUTPUT else str(level)


class Pins:
    """The pins as they are to be used."""

    def __init__(self) -> None:
        self.modes: dict[int, int] = {}  # of the pins that are read
        self.inputs: dict[int, list[Input]] = {}  # by their port: eight pins each
        self.channels: dict[int, Channel] = {}
        self.outputs: dict[str, Output] = {}
        self.controls: tuple[Control, ...] = ()  # with the ranges that their pins have
        self.written: dict[int, int] = {}  # which pins of a port are written high: outputs and pull-ups


def assign(
    options: Options, fields: Iterable[Field], controls: Iterable[Control], can: Capabilities, analog: AnalogMap
) -> Pins:
    """Raises DriverError for a pin that the board does not have, or that cannot do what is asked of it."""
    pins = Pins()
    users: dict[int, str] = {}
    for control in controls:
        users[options.controls[control.name].pin] = control.name
        _assign_output(pins, control, options.controls[control.name], can)
    for field in fields:
        if field.name in pins.outputs:
            continue
        pin = _assign_input(pins, field, options.fields[field.name], can, analog)
        user = users.setdefault(pin, field.name)
        if user != field.name:  # A0 is a pin, too
            raise DriverError(f"{user!r} and {field.name!r} are both at pin {pin}")
    return pins


def _assign_output(pins: Pins, control: Control, place: ControlPlace, can: Capabilities) -> None:
    mode = _MODES[place.mode]
    bits = _resolution(control.name, place.pin, mode, can)
    if mode != OUTPUT:
        control = _ranged(control, place.pin, ANGLE if mode == SERVO else (1 << min(bits, WIDEST)) - 1)
    pins.outputs[control.name] = Output(place.pin, mode)
    pins.controls += (control,)


def _assign_input(pins: Pins, field: Field, place: FieldPlace, can: Capabilities, analog: AnalogMap) -> int:
    """The pin."""
    if place.analog is not None:
        if place.analog not in analog.pins:
            known = ", ".join(map(str, sorted(analog.pins))) or "none"
            raise DriverError(f"{field.name}: the board has no analog channel {place.analog}; there are {known}")
        pin = analog.pins[place.analog]
        bits = _resolution(field.name, pin, ANALOG, can)
        pins.channels[place.analog] = Channel(field.name, place, field.deadband, bits)
        pins.modes[pin] = ANALOG
        return pin
    assert place.pin is not None  # or it has a channel
    pin, port, bit = place.pin, place.pin >> 3, 1 << (place.pin & 7)
    _resolution(field.name, pin, INPUT, can)
    pins.inputs.setdefault(port, []).append(Input(bit, field.name, place.invert))
    pins.modes[pin] = INPUT
    if place.pull and PULLUP in can.pins[pin]:
        pins.modes[pin] = PULLUP
    elif place.pull:  # before protocol 2.5 an input that is written to has its pull-up on
        pins.written[port] = pins.written.get(port, 0) | bit
    return pin


def _resolution(name: str, pin: int, mode: int, can: Capabilities) -> int:
    """Bits. Raises DriverError when the pin does not have that mode."""
    if pin >= len(can.pins):
        raise DriverError(f"{name}: the board has no pin {pin}; there are 0 to {len(can.pins) - 1}")
    modes = can.pins[pin]
    if mode not in modes:
        known = ", ".join(MODES[each] for each in modes if each in MODES) or "nothing: the firmware keeps it for itself"
        raise DriverError(f"{name}: pin {pin} cannot be {MODES[mode]}; it can be {known}")
    return modes[mode]


def _ranged(control: Control, pin: int, top: int) -> Control:
    low = control.minimum if control.minimum is not None else Decimal(0)
    high = control.maximum if control.maximum is not None else Decimal(top)
    if low < 0 or high > top:
        raise DriverError(f"{control.name}: pin {pin} takes 0 to {top}, and it is declared to take {low} to {high}")
    return control._replace(minimum=low, maximum=high)
