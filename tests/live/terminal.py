"""A program for people in a terminal of its own: a pseudo-terminal, without a screen that anybody sees."""

import asyncio
import fcntl
import os
import re
import struct
import subprocess
import termios

from tests.live.peers import DEADLINE

ROWS, COLUMNS = 40, 120
CONTROL = re.compile(rb"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9]|.)")  # ECMA-48, and xterm's titles


class Terminal:
    """`async with Terminal("profanity", HOME=...) as terminal:`"""

    def __init__(self, *command: str, **environment: str):
        self.command = command
        self.environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", **environment}
        self.written = b""  # all that came, without the control sequences and spaces: these are drawn, not written
        self._news = asyncio.Event()

    async def __aenter__(self) -> "Terminal":
        self.keyboard, screen = os.openpty()
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            self.command, stdin=screen, stdout=screen, stderr=screen, env=self.environment, start_new_session=True
        )
        os.close(screen)
        asyncio.get_running_loop().add_reader(self.keyboard, self._read)
        return self

    async def __aexit__(self, *_) -> None:
        asyncio.get_running_loop().remove_reader(self.keyboard)
        self.process.kill()
        await asyncio.to_thread(self.process.wait, DEADLINE)
        os.close(self.keyboard)

    def types(self, line: str) -> None:
        os.write(self.keyboard, f"{line}\r".encode())

    async def shows(self, text: str) -> None:
        """Waits for `text` among what was not waited for yet."""
        wanted = text.encode().replace(b" ", b"")
        try:
            async with asyncio.timeout(DEADLINE):
                while wanted not in self.written:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown; it showed: {self.written[-2000:].decode()}") from None
        self.written = self.written.partition(wanted)[2]

    async def ends(self) -> int:
        """Waits until the program has ended by itself; its exit code."""
        return await asyncio.to_thread(self.process.wait, DEADLINE)

    def _read(self) -> None:
        try:
            came = os.read(self.keyboard, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            asyncio.get_running_loop().remove_reader(self.keyboard)
            return
        self.written += b"".join(CONTROL.sub(b"", came).split())
        self._news.set()
