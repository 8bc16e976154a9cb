"""`machine` as boards have it: what is at a pin lies in a file of the folder PINS (tests/boards/micropython.py)."""

import os

_FOLDER = os.getenv("PINS")


def read(name, default=""):
    try:
        with open(f"{_FOLDER}/{name}") as file:
            return file.read()
    except OSError:
        return default


class Pin:
    """`pinNAME` is its level, `shorted` has the name of one that does not do what it is told."""

    IN, OUT, PULL_UP = 0, 1, 1

    def __init__(self, id, mode=IN, pull=None):
        if str(id) in read("missing").split():
            raise ValueError("invalid pin")
        self.id = id
        self.default = "1" if pull == Pin.PULL_UP else "0"

    def value(self, level=None):
        if level is None:
            return int(read(f"pin{self.id}", self.default))
        if read("shorted") != str(self.id):
            with open(f"{_FOLDER}/pin{self.id}", "w") as file:
                file.write(str(int(level)))
        return None


class ADC:
    """`adcNAME` is its reading, 0 to 65535."""

    ATTN_11DB = 3

    def __init__(self, pin):
        self.name = f"adc{pin.id if isinstance(pin, Pin) else pin}"

    def atten(self, attenuation):
        pass

    def read_u16(self):
        return int(read(self.name, "0"))
