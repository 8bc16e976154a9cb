"""Whether the clock may judge what is too old: one that is years ahead would have all of it deleted.

It may when a time server has confirmed it, when it has gone evenly for a week, or when something is kept of the month
before that week, by its own reckoning: then it has not jumped far, whatever was restarted meanwhile.
"""

import os
from collections.abc import Callable

from node.base.stamp import is_plausible

DAY = 86400  # seconds
HELD = 7 * DAY  # by then somebody has seen what day it thinks it is
NEAR = 31 * DAY  # nobody has to wait who was away for a month
JUMP = 60  # seconds that it may be put right by without being another clock
CONFIRMED = "/run/systemd/timesync/synchronized"  # systemd-timesyncd(8)


class Judge:
    """Sees the clock of one process go."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._ahead = 0.0

    def may(self, now: float, steady: float, is_kept: Callable[[float, float], bool]) -> bool:
        """Whether `now` (Unix time) may be believed. `steady` is a clock that nobody sets, in seconds.

        `is_kept(begin, end)` says whether something of that time (Unix times) is kept.
        """
        if not is_plausible(now):
            return False
        if self._since is None or abs(now - steady - self._ahead) > JUMP:
            self._since = steady
        self._ahead = now - steady
        return steady - self._since >= HELD or os.path.exists(CONFIRMED) or is_kept(now - NEAR, now - HELD)
