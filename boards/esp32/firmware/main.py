"""An ESP32 as a contact: a lamp, a light sensor, a button, and what its chip can tell; see ../README.md."""

import esp32
from lines import Board
from machine import ADC, Pin

# Of an ESP32 DevKit. A board with another chip has them elsewhere.
LAMP = 2  # the blue LED on most boards
BUTTON = 0  # the one that says BOOT
LIGHT = 34

SAMPLES = 16  # the noise of one conversion is several steps; the mean of sixteen is steady

lamp = Pin(LAMP, Pin.OUT)
button = Pin(BUTTON, Pin.IN, Pin.PULL_UP)
sensor = ADC(Pin(LIGHT))
sensor.atten(ADC.ATTN_11DB)  # up to 3.1 V or so


def switch(on):
    lamp.value(on)
    return lamp.value() == on


def light():
    return "%.1f" % (sum(sensor.read_u16() for _ in range(SAMPLES)) / SAMPLES * 100 / 65535)


board = Board("esp32", "1.0")
board.field("lamp", lambda: lamp.value() == 1, "boolean", label="Lamp")
board.field("light", light, every=500, unit="%", label="Light", deadband=2)
board.field("button", lambda: button.value() == 0, "boolean", label="Button")
if hasattr(esp32, "mcu_temperature"):  # ESP32-S2, S3, C3, C6
    board.field("temperature", esp32.mcu_temperature, every=1000, unit="°C", label="Temperature", deadband=1)
elif hasattr(esp32, "raw_temperature"):  # the first ESP32, in Fahrenheit
    board.field(
        "temperature",
        lambda: "%.1f" % ((esp32.raw_temperature() - 32) / 1.8),
        every=1000,
        unit="°C",
        label="Temperature",
        deadband=1,
    )
if hasattr(esp32, "hall_sensor"):  # the first ESP32, with a MicroPython before 1.21
    board.field("hall", esp32.hall_sensor, "integer", every=500, label="Magnetic field", deadband=5)
board.control("lamp", switch, "boolean", label="Lamp")
board.run()
