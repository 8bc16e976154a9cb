"""A broker that does what the test tells it: the MQTT 5 that our client speaks, on a socket of the loopback."""

import asyncio
import contextlib
from typing import NamedTuple

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PING, DISCONNECT = 1, 3, 4, 8, 10, 12, 14


class Published(NamedTuple):
    topic: str
    payload: bytes
    retain: bool
    qos: int


class Broker:
    """`came` is what was published, `filters` what was asked for, each time; `reason` how a connection is answered."""

    def __init__(self):
        self.reason = 0
        self.confirms = 0  # the reason in each PUBACK; None: there is none
        self.came: list[Published] = []
        self.filters: list[str] = []
        self.taken_back: list[str] = []  # filters, too
        self.numbers: list[int] = []  # of these filters
        self.wishes = 0  # the options in the last SUBSCRIBE
        self.pings = 0
        self.answers = True  # to pings
        self.grants = 1  # the reason in a SUBACK
        self.properties = b""  # in a CONNACK
        self.connects: list[bytes] = []
        self.goodbyes = 0
        self.port = 0
        self._held: list[int] = []
        self._lines: set[asyncio.StreamWriter] = set()
        self._news = asyncio.Event()

    async def start(self):
        for port in [self.port] if self.port else range(21500, 21600):
            with contextlib.suppress(OSError):
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
                self.port = port
                return

    async def stop(self):
        self._server.close()
        self.drop()
        await self.until(lambda: not self._lines)

    def drop(self):
        """The lines are cut."""
        for line in self._lines:
            line.transport.abort()

    def says(self, topic: str, payload: bytes, retained: bool = False, number: int = 0) -> None:
        properties = bytes([2, 0x0B, number]) if number else b"\0"
        self.sends(packet(PUBLISH << 4 | retained, text(topic) + properties + payload))

    def sends(self, data: bytes) -> None:
        for line in self._lines:
            line.write(data)

    def confirm(self, reason: int = 0) -> None:
        """Confirms what was published and not confirmed."""
        for id in self._held:
            self.sends(packet(PUBACK << 4, id.to_bytes(2) + bytes([reason, 0])))
        self._held.clear()

    async def until(self, condition):
        """Waits until this holds, of what comes to the broker."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    @property
    def topics(self) -> list[str]:
        return [each.topic for each in self.came]

    async def _serve(self, reader, writer):
        self._lines.add(writer)
        try:
            while True:
                first = (await reader.readexactly(1))[0]
                size, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    size, shift = size | (byte & 127) << shift, shift + 7
                    if byte < 128:
                        break
                self._packet(first, await reader.readexactly(size), writer)
                self._news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._lines.discard(writer)
            self._news.set()
            writer.close()

    def _packet(self, first, body, writer):
        kind = first >> 4
        if kind == CONNECT:
            self.connects.append(body)
            writer.write(packet(0x20, bytes([0, self.reason, len(self.properties)]) + self.properties))
        elif kind in (SUBSCRIBE, UNSUBSCRIBE):
            rest, count = body[3 + body[2] :], 0  # id, and properties: the number
            if kind == SUBSCRIBE and body[2]:
                self.numbers.append(body[4])
            while rest:
                size = int.from_bytes(rest[:2])
                self.wishes = rest[2 + size] if kind == SUBSCRIBE else 0
                (self.filters if kind == SUBSCRIBE else self.taken_back).append(rest[2 : 2 + size].decode())
                rest, count = rest[2 + size + (kind == SUBSCRIBE) :], count + 1
            writer.write(
                packet((kind + 1) << 4, body[:2] + b"\0" + bytes([0 if kind == UNSUBSCRIBE else self.grants]) * count)
            )
        elif kind == PUBLISH:
            qos, size = first >> 1 & 3, int.from_bytes(body[:2])
            rest = body[2 + size :]
            if qos:
                self._held.append(int.from_bytes(rest[:2]))
                rest = rest[2:]
            self.came.append(Published(body[2 : 2 + size].decode(), rest[1:], bool(first & 1), qos))
            if self.confirms is not None:
                self.confirm(self.confirms)
        elif kind == PING:
            self.pings += 1
            if self.answers:
                writer.write(packet(0xD0, b""))
        elif kind == DISCONNECT:
            self.goodbyes += 1


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while True:
        size, byte = size >> 7, size & 127
        length += bytes([byte | (128 if size else 0)])
        if not size:
            return bytes([first]) + length + body


def text(words: str) -> bytes:
    return len(words.encode()).to_bytes(2) + words.encode()
