"""Real nodes as processes of their own, and people with a client that nobody here wrote (slixmpp)."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import slixmpp
from slixmpp.xmlstream import ET

from tests.live.log import DEADLINE, Log

CONTROL = "urn:nf:iot:ctr:1.0"
_ports = itertools.count(12000 + os.getpid() * 37 % 18000)  # below the range that the kernel takes ports from
_taken: list[socket.socket] = []  # for each of our ports, as long as we live: other runs see that it is ours


def need(program: str, package: str) -> str:
    """The path of a program that a live test is nothing without; where it is missing the test fails in words."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing: apt-get install {package}")
    return path


def socat(*words: str, stdin=None) -> subprocess.Popen:
    """A socat between two places, which are there now."""
    words = (need("socat", "socat"), "-d", "-d", *words)
    process = subprocess.Popen(words, stdin=stdin, stderr=subprocess.PIPE, text=True)
    if not any("starting data transfer loop" in line for line in process.stderr):
        pytest.fail(f"socat has ended: {words}")
    return process


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody else has, nor will have: test runs beside this one keep away from it."""
    for port in _ports:
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0hobnode test port {port}")
            with socket.socket() as trying:
                trying.bind((address, port))
        except OSError:
            mark.close()
            continue
        _taken.append(mark)
        return port
    raise AssertionError("no free port")


class Node:
    """A node as a process, started as its users start it; `ready` is what systemd would hear."""

    def __init__(
        self,
        folder: Path,
        domain: str,
        address: str = "127.0.0.1",
        server: bool = False,
        more: str = "",
        within: tuple[str, ...] = (),
    ):
        self.folder = folder
        self.within = within  # words before its command, for a world of its own (unshare, DNS)
        self.domain = domain
        self.address = address
        self.port = free_port(address)
        self.tls_port = free_port(address)
        self.server_port = free_port(address) if server else 0
        self.config = folder / "hobnode.toml"
        self.data = folder / "data"
        self.process: subprocess.Popen | None = None
        self.log = Log()
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(more)

    def configure(self, more: str = "") -> None:
        """Writes the configuration; `more` is TOML that is added to the addresses and ports.

        Status lines change once a second: nobody waits the minute that it takes after a start.
        """
        soon = "" if "[presence]" in more else "[presence]\ninterval = 1"
        self.config.write_text(
            f'domain = "{self.domain}"\ndata = "{self.data}"\n'
            f'[listen]\naddress = "{self.address}"\nclient = {self.port}\nclient_tls = {self.tls_port}\n'
            f"server = {self.server_port}\n{more}\n{soon}\n"
        )

    def command(self, *words: str, input: str = "") -> subprocess.CompletedProcess:
        """Runs `hobnode WORDS --config FILE`."""
        return subprocess.run(
            [sys.executable, "-m", "node", *words, "--config", str(self.config)],
            input=input,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def add(self, *names: str, password: str = "secret") -> None:
        for name in names:
            done = self.command("user", "add", f"{name}@{self.domain}", "--password-stdin", input=password)
            assert done.returncode == 0, done.stderr

    def start(self, **environment: str) -> float:
        """Starts it and waits until it says that it is ready; the seconds that took."""
        path = self.folder / "notify"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(path))
            listening.settimeout(0.2)
            begun = time.monotonic()
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "node", "run", "--config", str(self.config)],
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**os.environ, "NOTIFY_SOCKET": str(path), **environment},
            )
            self.log.follow(self.process.stderr)
            while time.monotonic() < begun + DEADLINE:
                assert self.process.poll() is None, f"it has ended: {self.said()}"
                try:
                    if b"READY=1" in listening.recv(4096):
                        return time.monotonic() - begun
                except TimeoutError:
                    continue
        raise AssertionError(f"not ready within {DEADLINE} s: {self.said()}")

    def said(self) -> str:
        """Its log so far."""
        return self.log.said()

    async def says(self, text: str) -> None:
        """Waits until its log has this text once more than when it was last asked."""
        await asyncio.to_thread(self.log.wait, text)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it with a signal; its exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(number)
        self.process.wait(DEADLINE)
        return self.process.returncode


class Person(slixmpp.ClientXMPP):
    """Somebody with slixmpp, who remembers what came."""

    def __init__(self, jid: str, node: Node, password: str = "secret", plugins: tuple[str, ...] = ()):
        super().__init__(jid, password)
        self.node = node
        self.ssl_context.check_hostname = False
        self.ssl_context.verify_mode = ssl.CERT_NONE
        self.came: list[slixmpp.stanza.rootstanza.RootStanza] = []
        self._news = asyncio.Event()
        for plugin in ("xep_0030", "xep_0199", *plugins):
            self.register_plugin(plugin)
        for event in ("message", "presence", "presence_error", "message_error"):
            self.add_event_handler(event, self._comes)
        self.started = asyncio.get_running_loop().create_future()
        self.add_event_handler("session_start", lambda event: self._begin(None))
        self.add_event_handler("failed_all_auth", lambda event: self._begin(ConnectionError("login failed")))

    def _begin(self, error):
        if not self.started.done():
            if error:
                self.started.set_exception(error)
            else:
                self.started.set_result(None)

    def _comes(self, stanza):
        self.came.append(stanza)
        self._news.set()

    async def logs_in(self, *, presence: bool = True) -> "Person":
        self.enable_direct_tls = False
        self.connect(self.node.address, self.node.port)
        async with asyncio.timeout(DEADLINE):
            await self.started
        if presence:
            self.send_presence()
        await self.get_roster()
        return self

    async def hears(self, condition, *others, deadline: float = DEADLINE):
        """Waits for a stanza of which `condition(stanza)` is true, and takes it and all that came before.

        With `others` one for each of them comes, too, in whatever order.
        """
        try:
            async with asyncio.timeout(deadline):
                while None in (places := [self._place(each) for each in (condition, *others)]):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain; came: {[str(stanza) for stanza in self.came]}") from None
        stanza = self.came[places[0]]
        del self.came[: max(places) + 1]
        return stanza

    def _place(self, condition) -> int | None:
        """Where the first such stanza is among those that came."""
        return next((at for at, stanza in enumerate(self.came) if condition(stanza)), None)

    async def says(self, to: str, text: str):
        """Chats, and waits for the answer's text."""
        self.came = [stanza for stanza in self.came if stanza.name != "message"]
        self.send_message(to, text, mtype="chat")
        bare = slixmpp.JID(to).bare
        return (await self.hears(lambda s: s.name == "message" and s["from"].bare == bare and s["body"]))["body"]

    async def sees(self, thing: str, *words: str):
        """Becomes a contact of the thing, and waits until it shows these words; that presence."""
        self.send_presence_subscription(thing)
        return await self.hears(shows(thing, *words))

    async def sets(self, thing: str, control: str, value: str, type: str = "b"):
        """As a machine does it (urn:nf:iot:ctr:1.0). Raises IqError."""
        iq = self.make_iq_set(ito=f"{thing}/hw")
        ET.SubElement(ET.SubElement(iq.xml, f"{{{CONTROL}}}set"), f"{{{CONTROL}}}{type}", {"n": control, "v": value})
        answer = await iq.send(timeout=DEADLINE)
        assert answer.xml.find(f"{{{CONTROL}}}resp") is not None, answer

    async def leaves(self) -> None:
        await self.disconnect()


def shows(thing: str, *words: str, show: str = ""):
    """Whether a stanza is the presence of a thing that is there, with these words in its status."""

    def right(stanza) -> bool:
        if stanza.name != "presence" or stanza["from"] != f"{thing}/hw" or stanza.xml.get("type"):
            return False
        return (stanza["show"] or "") == show and all(word in stanza["status"] for word in words)

    return right


def is_offline(thing: str, *words: str):
    """Whether a stanza is the presence of a thing that is not there, with these words in its status."""

    def right(stanza) -> bool:
        if stanza.name != "presence" or stanza["from"] != f"{thing}/hw" or stanza["type"] != "unavailable":
            return False
        return all(word in stanza["status"] for word in words)

    return right


async def ann_at(home: Node, thing: str, *words: str, plugins: tuple[str, ...] = ()) -> Person:
    """Ann is logged in and sees the thing, with these words in its status."""
    ann = await Person("ann@home.example/phone", home, plugins=plugins).logs_in()
    await ann.sees(thing, *words)
    return ann
