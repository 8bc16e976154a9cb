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
import threading
import time
from pathlib import Path

import pytest
import slixmpp

DEADLINE = 20  # seconds that anything in a live test may take: simulated boards share two cores with all else
_ports = itertools.count(20000 + os.getpid() % 2000)  # below the range that the kernel takes ports from


def need(program: str, package: str) -> str:
    """The path of a program that a live test is nothing without; where it is missing the test fails in words."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is missing: apt-get install {package}")
    return path


def free_port(address: str = "127.0.0.1") -> int:
    for port in _ports:
        with socket.socket() as trying:
            try:
                trying.bind((address, port))
            except OSError:
                continue
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
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._heard: dict[str, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(more)

    def configure(self, more: str = "") -> None:
        """Writes the configuration; `more` is TOML that is added to the addresses and ports."""
        self.config.write_text(
            f'domain = "{self.domain}"\ndata = "{self.data}"\n'
            f'[listen]\naddress = "{self.address}"\nclient = {self.port}\nclient_tls = {self.tls_port}\n'
            f"server = {self.server_port}\n{more}\n"
        )

    def command(self, *words: str, input: str = "") -> subprocess.CompletedProcess:
        """Runs `hobnode WORDS --config FILE`."""
        return subprocess.run(
            [sys.executable, "-m", "node", *words, "--config", str(self.config)],
            input=input, capture_output=True, text=True, timeout=DEADLINE, check=False,
        )  # fmt: skip

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
            threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()
            while time.monotonic() < begun + DEADLINE:
                assert self.process.poll() is None, f"it has ended: {self.said()}"
                try:
                    if b"READY=1" in listening.recv(4096):
                        return time.monotonic() - begun
                except TimeoutError:
                    continue
        raise AssertionError(f"not ready within {DEADLINE} s: {self.said()}")

    def _listen(self, lines) -> None:
        for line in lines:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()

    def said(self) -> str:
        """Its log so far."""
        return "".join(self._lines)

    async def says(self, text: str) -> None:
        """Waits until its log has this text once more than when it was last asked."""

        def waits() -> bool:
            with self._news:
                return self._news.wait_for(lambda: self.said().count(text) > self._heard.get(text, 0), DEADLINE)

        assert await asyncio.to_thread(waits), f"it did not say {text!r}: {self.said()}"
        self._heard[text] = self.said().count(text)

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

    async def hears(self, condition, deadline: float = DEADLINE):
        """Waits for a stanza of which `condition(stanza)` is true, and takes it and all that came before."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    for at, stanza in enumerate(self.came):
                        if condition(stanza):
                            del self.came[: at + 1]
                            return stanza
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited in vain; came: {[str(stanza) for stanza in self.came]}") from None

    async def says(self, to: str, text: str):
        """Chats, and waits for the answer's text."""
        self.came = [stanza for stanza in self.came if stanza.name != "message"]
        self.send_message(to, text, mtype="chat")
        bare = slixmpp.JID(to).bare
        return (await self.hears(lambda s: s.name == "message" and s["from"].bare == bare and s["body"]))["body"]

    async def leaves(self) -> None:
        await self.disconnect()
