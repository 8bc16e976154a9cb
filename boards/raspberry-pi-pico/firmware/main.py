"""A Raspberry Pi Pico as a contact: its lamp, its temperature, a light sensor and a button; see ../README.md."""

from lines import Board
from machine import ADC, Pin

SAMPLES = 16  # the noise of one conversion is several steps; the mean of sixteen is steady


def lamp_of_the_board():
    try:
        return Pin("LED", Pin.OUT)  # a Pico W has its lamp at the Wi-Fi chip, and only this name reaches it
    except (TypeError, ValueError):
        return Pin(25, Pin.OUT)  # MicroPython before 1.20 knows no names


lamp = lamp_of_the_board()
button = Pin(15, Pin.IN, Pin.PULL_UP)
sensor = ADC(26)
inside = ADC(getattr(ADC, "CORE_TEMP", 4))  # where MicroPython has no name for it, it is a Pico with channel 4


def mean(adc):
    """0 to 65535, for 0 to 3.3 V."""
    return sum(adc.read_u16() for _ in range(SAMPLES)) / SAMPLES


def switch(on):
    lamp.value(on)
    return lamp.value() == on


def temperature():
    """Of the chip: RP2040 data sheet, 4.9.5; a step is half a degree, and the board is some degrees off."""
    return "%.1f" % (27 - (mean(inside) * 3.3 / 65535 - 0.706) / 0.001721)


def light():
    return "%.1f" % (mean(sensor) * 100 / 65535)


board = Board("raspberry-pi-pico", "1.0")
board.field("lamp", lambda: lamp.value() == 1, "boolean", label="Lamp")
board.field("temperature", temperature, every=1000, unit="°C", label="Temperature", deadband=1)
board.field("light", light, every=500, unit="%", label="Light", deadband=2)
board.field("button", lambda: button.value() == 0, "boolean", label="Button")
board.control("lamp", switch, "boolean", label="Lamp")
board.run()
