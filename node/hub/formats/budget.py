"""Regular expressions of people, which may take for ever, and what they may cost.

Python's search cannot be told to give up, but it looks at signals while it goes back and forth: a timer of the
processor's time breaks it off. A pattern is judged by what it does, so none is refused that is only odd.
"""

import re
import signal
import time

SHARE = 0.05  # seconds of the processor in a second, for one thing; an honest pattern takes 3 µs for a line, a Pi 20

_searching = False


class _Overrun(Exception):
    """The time is up."""


def _up(number, frame) -> None:
    if _searching:  # else it was found in time, and the signal came late
        raise _Overrun


def compiled(pattern: str, groups: int | None = None) -> re.Pattern[str]:
    """The pattern, with so many groups in it. Raises ValueError, in words."""
    try:
        made = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the pattern {pattern!r} is no regular expression: {error}") from None
    if groups is not None and made.groups != groups:
        raise ValueError(f"the pattern {pattern!r} must have {groups} group in round brackets, not {made.groups}")
    return made


class Budget:
    """SHARE of each second is for the patterns of one thing."""

    def __init__(self) -> None:
        self._second = 0.0
        self._left = 0.0
        signal.signal(signal.SIGVTALRM, _up)  # nobody else's: asyncio and systemd use other ones

    def search(self, pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
        """Where the pattern is found. Raises ValueError when it takes too long, and until that second is over."""
        global _searching
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._left = now, SHARE
        if self._left <= 0:
            raise ValueError("the pattern takes too long")
        begun = time.thread_time()
        try:
            _searching = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._left)
            found = pattern.search(text)
            _searching = False
        except _Overrun:
            begun -= SHARE  # all of it is spent, whichever clock one asks
            raise ValueError(f"the pattern takes too long: {pattern.pattern:.60}") from None
        finally:
            _searching = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._left -= time.thread_time() - begun
        return found
