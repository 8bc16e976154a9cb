"""A board that runs MicroPython, as far as its REPL goes; its Python is ours, and its hardware the test."""

import io
import re
import traceback
from contextlib import suppress

BANNER = b'MicroPython v1.26.0 on 2026-08-22; Nothing with RP2040\r\nType "help()" for more information.\r\n>>> '
READY = b"raw REPL; CTRL-B to exit\r\n>"
WINDOW = 16  # bytes; the smallest real ones have 32
WORD = re.compile(r"print\('[0-9a-f]{8}'\)")  # what it prints to show that it is where it should be


class Board:
    """`hears(bytes)` gives what the board answers. `paste` is R1, R0 or none: how well it knows raw-paste mode.

    Programs of one word are its own: `hang` ends with Ctrl-C only, `deaf` not even then, `crash` resets the board and
    `soft` its Python only, `main` is a reset after which the board's own program runs, `flood` prints for ever, `mute`
    is taken and never answered, and of `lost` the end is not heard. `once` has words for what happens to a program when
    it comes for the first time.
    """

    def __init__(self, paste="R1", once=None):
        self.paste = paste
        self.once = dict(once or {})
        self.mode = "friendly"
        self.ran = []
        self.resets = 0
        self.largest = 0  # bytes that came at once
        self.names = {}
        self._line = b""
        self._credit = 0
        self._out = b""

    def hears(self, data):
        self._out = b""
        self.largest = max(self.largest, len(data))
        if self.mode == "main":
            self._line += data.replace(b"\x03", b"")  # for its input, or that of whoever comes after it
            if b"\x03" not in data:
                return b""
            self._out = b"Traceback (most recent call last):\r\nKeyboardInterrupt: \r\n" + BANNER
            data, self._line, self.mode = self._line, b"", "friendly"
        for number in data:
            getattr(self, f"_{self.mode}")(bytes([number]))
        return self._out

    def reset(self):
        """Somebody has pressed the button; what the board says then."""
        self.mode, self._line, self.names = "friendly", b"", {}
        self.resets += 1
        return BANNER

    def runs_main(self):
        """Somebody has pressed the button, and the board's own program begins without a word."""
        self.reset()
        self.mode = "main"

    def _pasted(self, mark):
        self._out += mark
        if mark == b"\x03":
            self._out += b"\r\n>>> "
            self.mode = "friendly"

    def _friendly(self, mark):
        if mark == b"\x01":
            self._out += b"\r\n" + READY
            self.mode = "raw"
        elif mark == b"\x03":
            self._out += b"\r\n>>> "
        elif mark == b"\x05":
            self._out += b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== "
            self.mode = "pasted"
        elif mark == b"\x04":
            self._out += b"\r\nsoft reboot\r\n" + self.reset()

    def _raw(self, mark):
        if mark == b"\x01":
            if self._line == b"\x05A" and self.paste == "R1":
                self.mode, self._credit = "paste", WINDOW
                self._out += b"R\x01" + WINDOW.to_bytes(2, "little")
            elif self._line == b"\x05A" and self.paste == "R0":
                self._out += b"R\x00"
            else:
                self._out += READY
        elif mark == b"\x02":
            self.mode = "friendly"
            self._out += b"\r\n" + BANNER
        elif mark == b"\x04":
            if self._line:
                self._run(b"OK")
            else:
                self.reset()
                self.mode = "raw"
                self._out += b"OK\r\nsoft reboot\r\n" + READY
            return
        elif mark != b"\x03":
            self._line += mark
            return
        self._line = b""

    def _paste(self, mark):
        if mark == b"\x04":
            self._run(b"\x04")
            return
        if mark == b"\x03":
            self.mode, self._line = "raw", b""
            self._out += b"\x04\x04\r\nKeyboardInterrupt: \r\n\x04>"
            return
        self._credit -= 1
        assert self._credit >= 0, "more than the window was sent"
        self._line += mark
        if len(self._line) % WINDOW == 0:
            self._credit += WINDOW
            self._out += b"\x01"

    def _hanging(self, mark):
        if mark == b"\x03":
            self._out += b"\x04Traceback (most recent call last):\r\nKeyboardInterrupt: \r\n\x04>"
            self.mode = "raw"

    def _deaf(self, mark):
        pass

    def _run(self, taken):
        code = self._line.decode()
        word = self.once.pop(code, code.removeprefix("print(").removesuffix("\n)"))
        if word == "lost":
            return
        self._out += taken
        self._line, self.mode = b"", "raw"
        if not WORD.fullmatch(code):
            self.ran.append(code)
        if word in ("hang", "mute", "deaf", "flood"):
            self.mode = "deaf" if word == "deaf" else "hanging"
            self._out += 5000 * b"x" if word == "flood" else b""
            return
        if word == "crash":
            self._out += self.reset()
            return
        if word == "soft":
            self.reset()
            self.mode = "raw"
            self._out += b"\x04\x04MPY: soft reboot\r\n" + READY
            return
        if word == "main":
            self.runs_main()
            return
        printed, wrong = io.StringIO(), ""
        self.names["print"] = lambda *words, **more: print(*words, **more, file=printed)
        try:
            exec(code, self.names)
        except Exception as error:
            wrong = "".join(traceback.format_exception_only(error))
        for text in (printed.getvalue(), wrong):
            self._out += text.replace("\n", "\r\n").encode() + b"\x04"
        self._out += b">"


def programs(board):
    """What ran on it beside the question who it is."""
    with suppress(IndexError):
        assert "sys.implementation" in board.ran[0]
    return board.ran[1:]
