"""What happens again and again is one line of the log a minute, with the number of times."""

import logging

log = logging.getLogger("hobnode")

PAUSE = 60.0  # seconds between two lines about the same


class Grumble:
    """A warning that comes at once, and then no more than once a minute.

    `text` has places for who it is about, the number of times, and the last of them.
    """

    __slots__ = ("_count", "_next", "_text")

    def __init__(self, text: str):
        self._text = text
        self._count = 0
        self._next = 0.0

    def add(self, who: str, what: str, now: float) -> None:
        """`now` is on the loop's clock."""
        self._count += 1
        if now >= self._next:
            log.warning(self._text, who, self._count, what)
            self._count = 0
            self._next = now + PAUSE
