"""The line protocol of boards/README.md, for any board that runs MicroPython (1.19 or newer).

It goes onto the board beside a main.py, which says what is wired to it: `mpremote cp main.py ../../lines.py :`.
"""

import json
import select
import sys
import time

LINE = 127  # bytes of a line from the node
HEARTBEAT = 1500  # ms until everything is told again: below the node's 2 s, or it would ask
TICK = 20  # ms between two looks at the fields; a button has settled by then
LAST_ID = 65535

KINDS = {"boolean": (bool,), "integer": (int,), "quantity": (int, float)}  # all others are texts
WANTED = {"boolean": "true or false", "integer": "a whole number", "quantity": "a number"}


class Board:
    """Fields that are told, and controls that are set: declare them, then `run`."""

    def __init__(self, name, version):
        self.hello = {"hello": name, "version": version, "protocol": 1, "fields": [], "controls": []}
        self.fields = {}
        self.controls = {}
        self.told = time.ticks_ms()
        self.line = bytearray()

    def field(self, name, read, type="quantity", every=TICK, **more):
        """`read()` gives True or False, a whole number, or a text, which for a quantity is the number as it is told.

        It is looked at after so many ms, and told when it has changed. `more` is what boards/README.md knows of fields.
        """
        self.hello["fields"].append(dict(more, name=name, type=type))
        self.fields[name] = Field(read, type, every)

    def control(self, name, write, type, **more):
        """`write(value)` sets it, and gives True when it is so."""
        self.hello["controls"].append(dict(more, name=name, type=type))
        self.controls[name] = write

    def run(self):
        """For ever, or until Ctrl-C."""
        poll = select.poll()
        poll.register(sys.stdin, select.POLLIN)
        self.tell_hello()
        while True:
            wait = TICK
            for _ in range(LINE):  # who talks without end does not keep us from looking
                if not poll.poll(wait):
                    break
                self.hear(sys.stdin.buffer.read(1))
                wait = 0
            self.tell([name for name, field in self.fields.items() if field.has_changed()])
            if time.ticks_diff(time.ticks_ms(), self.told) >= HEARTBEAT:
                self.tell_everything()

    # What we say

    def tell_hello(self):
        say(json.dumps(self.hello))
        self.tell_everything()

    def tell_everything(self):
        self.told = time.ticks_ms()
        for field in self.fields.values():
            field.look()
        self.tell(self.fields)

    def tell(self, names):
        if names:
            say("{" + ",".join(f'"{name}":{self.fields[name].text}' for name in names) + "}")

    # What we hear

    def hear(self, byte):
        if byte != b"\n":
            if len(self.line) <= LINE:  # one more than fits tells that it was too long
                self.line.extend(byte)
            return
        line, self.line = self.line, bytearray()
        try:
            if len(line) > LINE:
                raise ValueError
            text = str(line, "utf-8")
            message = json.loads(text)
            if not isinstance(message, dict):
                raise ValueError
        except ValueError:
            say('{"error":"a line was not understood"}')
            return
        self.obey(message, text)

    def obey(self, message, text):
        if "hello" in message:
            self.tell_hello()
        if "ping" in message:
            say(json.dumps({"pong": message["ping"]}))
        if "set" in message:
            id = message.get("id")
            if type(id) is int and 1 <= id <= LAST_ID:
                wrong = self.set(message["set"], text)
                say(json.dumps({"err": id, "msg": wrong} if wrong else {"ok": id}))
            else:
                say('{"error":"set needs an id from 1 to 65535"}')

    def set(self, values, text):
        """Looks at all, then does all. What is wrong, in words, or ''."""
        if not isinstance(values, dict):
            return "set is not understood"
        declared = {each["name"]: each for each in self.hello["controls"]}
        for name, value in values.items():
            if name not in declared:
                return f"{name} is no control of this board"
            if not fits(value, declared[name]):
                return f"{name} takes {wanted(declared[name])}"
        # MicroPython's dictionaries do not keep the order in which it was said.
        for name in sorted(values, key=lambda name: text.find(f'"{name}"')):
            try:
                done = self.controls[name](values[name])
            except OSError as error:
                return f"{name}: {error}"
            if not done:
                return f"{name} did not follow: is its pin shorted?"
            if name in self.fields:
                self.fields[name].look()
                self.tell([name])
        return ""


class Field:
    """One reading, as JSON."""

    def __init__(self, read, type, every):
        self.read = read
        self.type = type
        self.every = every
        self.text = "null"
        self.looked = time.ticks_ms()

    def look(self):
        self.looked = time.ticks_ms()
        value = self.read()
        self.text = str(value) if self.type == "quantity" and value is not None else json.dumps(value)

    def has_changed(self):
        if time.ticks_diff(time.ticks_ms(), self.looked) < self.every:
            return False
        before = self.text
        self.look()
        return self.text != before


def fits(value, control):
    """Whether a control can have that value."""
    if type(value) not in KINDS.get(control["type"], (str,)):
        return False
    if "options" in control:
        return value in control["options"]
    return control.get("minimum", value) <= value <= control.get("maximum", value)


def wanted(control):
    """What a control can have, in words."""
    if "options" in control:
        return "one of " + ", ".join(control["options"])
    words = WANTED.get(control["type"], "a text")
    if "minimum" in control:
        words += f", {control['minimum']} to {control['maximum']}"
    return words


def say(line):
    sys.stdout.write(line + "\n")
