"""MicroPython's raw REPL without a port: a program goes in, and what it printed comes out.

Source: "The MicroPython Interactive Interpreter Mode" in MicroPython's documentation, raw mode and raw-paste mode.
What a program does has no deadline here: whoever waits brings his own, and calls `enter` again when it has run out.
"""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable

INTERRUPT, RAW, FRIENDLY, END = b"\x03", b"\x01", b"\x02", b"\x04"  # Ctrl-C, Ctrl-A, Ctrl-B, Ctrl-D
READY = b"raw REPL; CTRL-B to exit\r\n>"
PROMPT = b"\r\n>>> "  # of the friendly REPL: whoever sees it has been reset
PASTE = b"\x05A\x01"  # Ctrl-E, A, Ctrl-A: raw-paste mode, please
CREDIT = b"\x01"  # the board takes one more window of bytes
PIECE = 32  # bytes at once where there is no raw-paste mode: a micro:bit keeps 64 until it looks, and loses the rest
PAUSE = 0.01  # seconds after such a piece, as the micro:bit's own tools (Mu, microfs) do it
TAKEN = 1.0  # seconds until a board has taken a program, which it says at once; a micro:bit needs 0.005
SLOWEST = 900  # bytes a second, which come on top of that: 9600 baud
OUTPUT = 4096  # bytes that one program may print: a reading has ten, and whatever has more is no reading
ASK_AGAIN = 0.4  # seconds for the first attempt to interrupt, and more for each one after it; a micro:bit needs 0.01


class ReplError(Exception):
    """What comes is not what a raw REPL says, in words for people."""


class Astray(ReplError):
    """The board has not heard all, or does something else: to `enter` again may help."""


class Restarted(Astray):
    """The board has lost all that it was told."""

    def __init__(self) -> None:
        super().__init__("the board has started anew")


class Fault(Exception):
    """What went wrong in a program: the last line of what the board says of it."""


class Repl:
    """One board. `write` sends bytes to it, `feed` takes what it says; one coroutine at a time may wait for it."""

    def __init__(self, write: Callable[[bytes], None]):
        self.ready = False  # it shows its prompt and waits for a program
        self.restarted = False  # it has shown the prompt of a board that starts, unasked
        self._write = write
        self._heard = bytearray()
        self._news = asyncio.Event()
        self._ended = ""
        self._was_friendly = False
        self._pastes = True  # until we know better

    def feed(self, data: bytes) -> None:
        """What the board says, in pieces of any size."""
        self._heard += data
        if self.ready:  # nobody has asked: a timer on the board may print
            self.restarted = self.restarted or PROMPT in self._heard or READY in self._heard
            del self._heard[: -len(READY)]
        self._news.set()

    def end(self, reason: str) -> None:
        """The board is gone: whoever waits hears why, as a ReplError."""
        self._ended = reason
        self._news.set()

    async def enter(self) -> bool:
        """Interrupts what the board is doing, until it is in raw mode. Whether it has been in it all the time.

        A board that is just starting loses what it is told, or hears it late, all at once. So it is asked again, each
        time with more patience, and believed when it prints the word of the last time: nothing is under way then.
        """
        self.ready = self._was_friendly = False
        for attempt in itertools.count(1):
            word = secrets.token_hex(4).encode()
            self._write(INTERRUPT + INTERRUPT + RAW)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(attempt * ASK_AGAIN):
                    await self._see(READY)
                    self._write(b"print('%s')" % word + END)
                    await self._see(b"OK" + word)
                    await self._see(END + END + b">")
                    break
        self.ready = True
        return not self._was_friendly

    async def run(self, code: str) -> str:
        """What the program printed. Raises Fault when it ended with an exception, ReplError when nobody can tell."""
        self.ready = False
        self._heard.clear()
        data = code.encode()
        try:
            async with asyncio.timeout(TAKEN + len(data) / SLOWEST):
                await self._send(data)
        except TimeoutError:
            raise Astray("the board does not take a program") from None
        printed = await self._until(END)
        wrong = await self._until(END)
        if (await self._until(b">")).endswith(READY[:-1]):
            raise Restarted
        self._heard.clear()
        self.ready = True
        if wrong.strip():
            raise Fault(_text(wrong).splitlines()[-1])
        return _text(printed)

    def leave(self, reset: bool) -> None:
        """Stops what is running and goes back to the friendly REPL; a `reset` starts main.py."""
        self.ready = False
        self._write(INTERRUPT + FRIENDLY + (END if reset else b""))

    async def _send(self, data: bytes) -> None:
        if self._pastes:
            self._write(PASTE)
            match await self._exactly(2):
                case b"R\x01":
                    await self._paste(data)
                    return
                case b"R\x00":
                    self._pastes = False
                case b"ra":  # of "raw REPL ...": it knows Ctrl-A, and nothing of the rest
                    self._pastes = False
                    await self._until(b">")
                case other:
                    raise Astray(f"the board says {ascii(other)[1:]} in place of its prompt")
        await self._pieces(data)

    async def _paste(self, data: bytes) -> None:
        """Raw-paste mode: no more at once than the board has room for."""
        window = left = int.from_bytes(await self._exactly(2), "little")
        while data:
            if not left:
                if await self._exactly(1) != CREDIT:
                    self._write(END)  # it has heard enough, a mistake in the first line for instance
                    return
                left = window
            self._write(data[:left])
            data, left = data[left:], max(0, left - len(data))
        self._write(END)
        await self._until(END)

    async def _pieces(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            self._write(piece)
            if len(piece) == PIECE:
                await asyncio.sleep(PAUSE)
        self._write(END)
        if (answer := await self._exactly(2)) != b"OK":
            raise Astray(f"the board says {ascii(answer)[1:]} in place of OK")

    async def _see(self, mark: bytes) -> None:
        """Lets the mark go by, and all before it."""
        while True:
            self._was_friendly = self._was_friendly or PROMPT in self._heard
            if (at := self._heard.find(mark)) >= 0:
                del self._heard[: at + len(mark)]
                return
            del self._heard[: -len(READY)]
            await self._more()

    async def _until(self, mark: bytes) -> bytes:
        """What comes before the mark, which is taken away with it."""
        while (at := self._heard.find(mark)) < 0:
            if len(self._heard) > OUTPUT:
                raise ReplError(f"it prints more than {OUTPUT} bytes")
            if self._heard.endswith((PROMPT, READY)):
                raise Restarted
            await self._more()
        found = bytes(self._heard[:at])
        del self._heard[: at + len(mark)]
        return found

    async def _exactly(self, count: int) -> bytes:
        while len(self._heard) < count:
            await self._more()
        found = bytes(self._heard[:count])
        del self._heard[:count]
        return found

    async def _more(self) -> None:
        if self._ended:
            raise ReplError(self._ended)
        self._news.clear()
        await self._news.wait()


def _text(data: bytes) -> str:
    return data.decode(errors="replace").replace("\r\n", "\n").strip()
