"""Boards with Firmata on a serial port: a sketch that lets us have its pins, so that nobody has to program one.

protocol.py  the bytes, without a port
options.py   which field and which control is at which pin
analog.py    raw numbers become values, and noise is not told
driver.py    the board: what it can do, its pins' modes, commands that it confirms, whether it lives
"""

from node.drivers.firmata.driver import Driver
from node.drivers.firmata.options import Options

__all__ = ["Driver", "Options"]
