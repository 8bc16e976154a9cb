"""A chip with pins, in the place of gpiod.Chip: what the library would say of the kernel's, in its own classes."""

import contextlib
import errno
import os
from collections import deque
from dataclasses import dataclass

from gpiod import EdgeEvent
from gpiod.line import Direction, Edge, Value

BUFFER = 16  # events that the kernel keeps for a line; then it drops the oldest


@dataclass
class About:
    name: str = "gpiochip0"
    label: str = "pinctrl-bcm2711"
    num_lines: int = 58


@dataclass
class Line:
    used: bool = False
    consumer: str = ""


class Pins:
    """The hardware: `levels` by pin, as the driver wants them seen; `stuck` ones do not follow what is set."""

    def __init__(self):
        self.levels = {}
        self.stuck = set()
        self.taken = {}  # settings by pin
        self.used = {}  # consumers by pin
        self.events = deque(maxlen=BUFFER)
        self.error = None  # what every call answers
        self.read_end, self.write_end = os.pipe()  # ready to be read while there are events
        os.set_blocking(self.write_end, False)

    def __call__(self, path):
        """As gpiod.Chip is called."""
        self.path = path
        self.check()
        return self

    def check(self):
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))

    # The chip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def get_info(self):
        return About()

    def get_line_info(self, pin):
        if pin >= About.num_lines:
            raise ValueError("line offset of out range")
        return Line(pin in self.used, self.used.get(pin, ""))

    def request_lines(self, config, consumer):
        assert consumer == "hobnode"
        assert not self.taken, "taken twice"
        self.taken = config
        for pin, settings in config.items():
            if settings.direction is Direction.OUTPUT:
                self.levels[pin] = bool(settings.output_value)
            self.levels.setdefault(pin, False)
        return self

    # The lines

    @property
    def fd(self):
        return self.read_end

    @property
    def offsets(self):
        return list(self.taken)

    def get_values(self):
        self.check()
        return [self.get_value(pin) for pin in self.taken]

    def get_value(self, pin):
        self.check()
        return Value.ACTIVE if self.levels[pin] else Value.INACTIVE

    def set_value(self, pin, value):
        self.check()
        assert self.taken[pin].direction is Direction.OUTPUT
        if pin not in self.stuck:
            self.levels[pin] = bool(value)

    def read_edge_events(self):
        os.read(self.read_end, 65536)
        self.check()
        events = list(self.events)
        self.events.clear()
        return events

    def release(self):
        self.taken = {}

    # What the test does

    def goes(self, pin, *levels):
        """A pin takes these levels, one after another."""
        assert self.taken[pin].edge_detection is Edge.BOTH
        for level in levels:
            self.levels[pin] = level
            kind = EdgeEvent.Type.RISING_EDGE if level else EdgeEvent.Type.FALLING_EDGE
            self.events.append(EdgeEvent(kind, 0, pin, 0, 0))
        self.wakes()

    def is_unplugged(self):
        self.error = errno.ENODEV
        self.wakes()

    def wakes(self):
        """Whoever waits for events."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.write_end, b"!")

    def close(self):
        os.close(self.read_end)
        os.close(self.write_end)
