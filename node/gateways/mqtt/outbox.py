"""What waits to be published: of what is kept by the broker (retained) only the newest is worth sending."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

SIZE = 2 * 1024 * 1024  # bytes; two hundred things with all that they announce are 0.7 MB
ROOM = 512  # bytes that a letter takes besides its text


@dataclass(slots=True, eq=False)
class Letter:
    """One message to the broker; `told` is done when the broker has confirmed it, for whoever waits for that."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    told: asyncio.Future[None] | None = None

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.payload) + ROOM


class Outbox:
    """Letters in their order; those that somebody waits for go first.

    A retained one takes the place of the one before for the same topic. When it is full the oldest give way.
    """

    def __init__(self, limit: int = SIZE):
        self._limit = limit
        self._letters: OrderedDict[object, Letter] = OrderedDict()  # by topic when retained, else by themselves
        self._size = 0

    def __len__(self) -> int:
        return len(self._letters)

    def put(self, letter: Letter) -> list[Letter]:
        """Takes one in; gives those that had to go for it."""
        key = _key(letter)
        before = self._letters.get(key)
        self._size += letter.size - (before.size if before else 0)
        self._letters[key] = letter
        if letter.told:
            self._letters.move_to_end(key, last=False)
        dropped = []
        while self._size > self._limit:
            oldest = next((each for each in self._letters.values() if not each.told), letter)
            self.remove(oldest)
            dropped.append(oldest)
        return dropped

    def put_back(self, letter: Letter) -> None:
        """Takes one that was on its way when the line was lost, unless there is a newer one."""
        key = _key(letter)
        if key not in self._letters:
            self._letters[key] = letter
            self._letters.move_to_end(key, last=False)
            self._size += letter.size

    def take(self) -> Letter:
        """The next one."""
        _, letter = self._letters.popitem(last=False)
        self._size -= letter.size
        return letter

    def remove(self, letter: Letter) -> None:
        """Nobody wants this one any more."""
        key = _key(letter)
        if self._letters.get(key) is letter:
            del self._letters[key]
            self._size -= letter.size

    def forget(self) -> list[Letter]:
        """Drops what was meant for a moment that is over: all that is not retained."""
        gone = [letter for letter in self._letters.values() if not letter.retain]
        for letter in gone:
            self.remove(letter)
        return gone


def _key(letter: Letter) -> object:
    return letter.topic if letter.retain and not letter.told else letter
