"""Who is there: topics that say so, of which many things may share one, as all lamps of a bridge do."""

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from node.gateways.mqtt.incoming.far import HERE, ONLINE, Presence, Sign
from node.gateways.mqtt.incoming.templates import Message

LONGEST = 4096  # bytes that say whether something is there; the state of a bridge has 20, a device's telemetry 1000
SLICE = 10  # watchers in one turn of the loop: 2 ms, if each makes a thing go or come
ALIKE = 100  # messages that are kept once for all who say the same: most say {"state":"online"}


Watcher = Callable[[], None]


class Signs:
    """One subscription for each topic, and what was said there last."""

    def __init__(self, client: Any):
        self._client = client
        self._watchers: dict[str, list[Watcher]] = {}
        self._due: dict[Watcher, None] = {}  # who is to be called, in their order
        self._next: asyncio.Handle | None = None
        self._said: dict[str, tuple[int, Message]] = {}  # by topic: when, in the order of all, and what
        self._number = 0
        client.on_change(self._turned)

    def watch(self, topic: str, watcher: Watcher) -> None:
        """`watcher()` is called when something was said at that topic: in a moment, and once if it was more."""
        watchers = self._watchers.setdefault(topic, [])
        watchers.append(watcher)
        if len(watchers) == 1:
            self._client.subscribe(topic, self._heard)

    def leave(self, topic: str, watcher: Watcher) -> None:
        """Of that topic it hears no more (for one of its calls of `watch`)."""
        watchers = self._watchers[topic]
        watchers.remove(watcher)
        if not watchers:
            del self._watchers[topic]
            self._said.pop(topic, None)
            self._client.unsubscribe(topic, self._heard)

    def judge(self, presence: Presence, heard: bool = False) -> str:
        """Why a thing is not there, ONLINE when it is. `heard`: a topic of which nothing is known counts as a yes."""
        verdicts = [self._verdict(sign) for sign in presence.signs]
        unknown = ONLINE if heard else f"nothing is said of it at {presence.signs[0].topic} yet"
        meant = [(number, why) for number, why in verdicts if why is not None]
        if presence.mode == "latest":
            return max(meant)[1] if meant else unknown
        if presence.mode == "any":
            return ONLINE if any(why == ONLINE for _, why in meant) else (meant[0][1] if meant else unknown)
        reasons = [why for _, why in meant if why != ONLINE]
        return reasons[0] if reasons else (ONLINE if len(meant) == len(verdicts) else unknown)

    def _verdict(self, sign: Sign) -> tuple[int, str | None]:
        number, message = self._said.get(sign.topic, (0, None))
        try:
            why = sign.meaning(message) if message else None
        except ValueError:
            why = None
        if why is None and sign.optional:
            return number, ONLINE
        return number, why and why.replace(HERE, sign.topic, 1)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        self._number += 1
        if len(payload) > LONGEST:
            return
        self._said[topic] = self._number, _message(payload)
        self.call(self._watchers.get(topic, ()))

    def call(self, watchers: Iterable[Watcher]) -> None:
        """Calls them, a few in each turn of the loop: a bridge has as many lamps as a home has."""
        self._due |= dict.fromkeys(watchers)
        if self._next is None and self._due:
            self._next = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        now = list(islice(self._due, SLICE))
        for watcher in now:
            del self._due[watcher]
        self._next = None
        self.call(())
        for watcher in now:
            watcher()

    def _turned(self, online: bool) -> None:
        """What was said before the broker was lost may be so no more."""
        if not online:
            self._said.clear()


@lru_cache(ALIKE)
def _message(payload: bytes) -> Message:
    return Message(payload.decode(errors="replace"))
