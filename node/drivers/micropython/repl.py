"""MicroPython's raw REPL without a port: a program goes in, and what it printed comes out.

Source: "The MicroPython Interactive Interpreter Mode" in MicroPython's documentation, raw mode and raw-paste mode.
Nothing here has a deadline: whoever waits brings his own, and calls `enter` again when it has run out.
"""

import asyncio
from collections.abc import Callable

INTERRUPT, RAW, FRIENDLY, END = b"\x03", b"\x01", b"\x02", b"\x04"  # Ctrl-C, Ctrl-A, Ctrl-B, Ctrl-D
READY = b"raw REPL; CTRL-B to exit\r\n>"
PROMPT = b">>> "  # of the friendly REPL: whoever sees it has been reset
PASTE = b"\x05A\x01"  # Ctrl-E, A, Ctrl-A: raw-paste mode, please
CREDIT = b"\x01"  # the board takes one more window of bytes
PIECE = 256  # bytes at once where there is no raw-paste mode: what the smallest boards keep until they look
PAUSE = 0.01  # seconds after such a piece, as mpremote does it
OUTPUT = 4096  # bytes that one program may print: a reading has ten, and whatever has more is no reading
ASK_AGAIN = 0.4  # seconds between two attempts to interrupt: a board that is just starting misses them
SETTLE = 0.1  # seconds in which the answers to earlier attempts come, when there were several


class ReplError(Exception):
    """What comes is not what a raw REPL says, in words for people."""


class Fault(Exception):
    """What went wrong in a program: the last line of what the board says of it."""


class Repl:
    """One board. `write` sends bytes to it, `feed` takes what it says; one coroutine at a time may wait for it."""

    def __init__(self, write: Callable[[bytes], None]):
        self.ready = False  # it shows its prompt and waits for a program
        self.restarted = False  # it has shown the prompt of the friendly REPL, unasked
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
            self.restarted = self.restarted or PROMPT in self._heard
            del self._heard[: -len(PROMPT)]
        self._news.set()

    def end(self, reason: str) -> None:
        """The board is gone: whoever waits hears why, as a ReplError."""
        self._ended = reason
        self._news.set()

    async def enter(self) -> bool:
        """Interrupts what the board is doing, until it is in raw mode. Whether it has been in it all the time."""
        self.ready = self._was_friendly = False
        late = False
        while True:
            self._write(INTERRUPT + INTERRUPT + RAW)
            try:
                async with asyncio.timeout(ASK_AGAIN):
                    await self._see_ready()
                    break
            except TimeoutError:
                late = True
        if late:
            await asyncio.sleep(SETTLE)
        self._heard.clear()
        self.ready = True
        return not self._was_friendly

    async def run(self, code: str) -> str:
        """What the program printed. Raises Fault when it ended with an exception, ReplError when nobody can tell."""
        self.ready = False
        self._heard.clear()
        await self._send(code.encode())
        printed = await self._until(END)
        wrong = await self._until(END)
        await self._until(b">")
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
                    raise ReplError(f"the board says {ascii(other)[1:]} in place of its prompt")
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
            raise ReplError(f"the board says {ascii(answer)[1:]} in place of OK")

    async def _see_ready(self) -> None:
        while True:
            self._was_friendly = self._was_friendly or PROMPT in self._heard
            if READY in self._heard:
                return
            del self._heard[: -len(READY)]
            await self._more()

    async def _until(self, mark: bytes) -> bytes:
        """What comes before the mark, which is taken away with it."""
        while (at := self._heard.find(mark)) < 0:
            if len(self._heard) > OUTPUT:
                raise ReplError(f"it prints more than {OUTPUT} bytes")
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
