"""A node in this process, and people at the other end of real TLS lines whose own work is not counted.

What the node costs is the processor time of the process, its writer thread and its system calls included, less what
this thread has spent on behalf of people: encrypting what they say, reading what they hear.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from node.base.jid import parse
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.client import ClientPort
from node.ports.limits import Options
from tests.conftest import HOST
from tests.ports.talker import BIND, OPEN, SASL, plain, trusting

DEADLINE = 10  # seconds that anything here may take
TURNS = 3  # of the loop, for what was said to be read, routed and written
PASSWORD = "secret"
HERE = f"<iq type='get' id='here' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>".encode()

Said = Sequence[tuple["Device", bytes]]


class Device:
    """Somebody's client, which waits while it logs in and never after."""

    def __init__(self, address: tuple[str, int], jid: str):
        self.jid = jid
        self.heard = b""
        self.sock = trusting("xmpp-client").wrap_socket(socket.create_connection(address, DEADLINE))
        local, resource = parse(jid).local, parse(jid).resource
        for said, answer in (
            (OPEN, b"</stream:features>"),
            (f"<auth {SASL} mechanism='PLAIN'>{plain(local, PASSWORD)}</auth>", b"<success"),
            (OPEN, b"</stream:features>"),
            (BIND.format(f"<resource>{resource}</resource>"), b"</iq>"),
        ):
            self.sock.sendall(said.encode())
            while answer not in self.heard:
                self.heard += self.sock.recv(65536)
            self.heard = b""
        self.sock.setblocking(False)

    def says(self, data: bytes) -> None:
        self.sock.sendall(data)

    def listens(self) -> None:
        with suppress(ssl.SSLWantReadError):
            while data := self.sock.recv(65536):
                self.heard += data


class Street:
    """The node and the people. `async with Street(hub, certificate, key) as street`."""

    def __init__(self, hub, *files: Path):
        self.hub = hub
        self.port = ClientPort(hub, Options(rate=0), Identity(*map(str, files)), Turn(hub.loop))
        self.devices: list[Device] = []
        self._others = 0.0  # seconds of processor time that were not the node's

    async def __aenter__(self) -> "Street":
        self._address = "127.0.0.1", self.port.listen("127.0.0.1", 0, direct_tls=True).port
        return self

    async def __aexit__(self, *error) -> None:
        for device in self.devices:
            device.sock.close()
        self.port.close()
        await self.port.turn.goodbyes(1)

    async def build(self, names: Iterable[str]) -> None:
        """Accounts."""
        await asyncio.gather(*(self.hub.accounts.create(name, PASSWORD) for name in names))

    async def home_of(self, name: str, resource: str = "phone") -> Device:
        """Logs somebody in, who is available."""
        device = await asyncio.to_thread(Device, self._address, f"{name}@{HOST}/{resource}")
        self.devices.append(device)
        await self.exchange([(device, b"<presence/>" + HERE)], b"id='here'", 1)
        return device

    async def exchange(self, said: Said, marker: bytes, times: int) -> None:
        """People say something, and hear the marker so many times, in all. AssertionError when they do not."""
        with self._not_counted():
            for device in self.devices:
                device.heard = b""
            for device, data in said:
                device.says(data)
        end = time.monotonic() + DEADLINE
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            with self._not_counted():
                for device in self.devices:
                    device.listens()
                heard = sum(device.heard.count(marker) for device in self.devices)
            if heard >= times:
                assert heard == times, f"{marker!r} was heard {heard} times, not {times}"
                return
            assert time.monotonic() < end, f"{marker!r} was heard {heard} times, not {times}"

    async def settled(self) -> None:
        """All that was written is on disk."""
        safe = asyncio.Event()
        self.hub.store.when_safe(safe.set)
        await asyncio.wait_for(safe.wait(), DEADLINE)

    def clock(self) -> float:
        """Seconds of processor time that the node has used."""
        return time.process_time() - self._others

    @contextmanager
    def _not_counted(self) -> Iterator[None]:
        begun = time.thread_time()
        yield
        self._others += time.thread_time() - begun
