"""XEP-0082: dates and times as XMPP writes them, always in UTC."""

import re
import time
from datetime import date

PLAUSIBLE = 1_767_225_600  # seconds: 2026-01-01; a Pi has no clock, and may think that it is 1970 when it starts

_EPOCH = date(1970, 1, 1).toordinal()
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")


def now() -> str:
    """This moment, to the second: '2026-11-22T14:02:11Z'."""
    return format(time.time())


def is_plausible(seconds: float) -> bool:
    """Whether a clock that says so can be right: before that nothing is judged expired, or purged."""
    return seconds >= PLAUSIBLE


def format(seconds: float) -> str:
    """A Unix time as an XEP-0082 DateTime."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def precise(milliseconds: int) -> str:
    """Milliseconds since 1970 as an XEP-0082 DateTime: '2026-11-22T14:02:11.250Z'."""
    return f"{format(milliseconds // 1000)[:-1]}.{milliseconds % 1000:03d}Z"


def parse(text: str) -> float:
    """The Unix time of an XEP-0082 DateTime. Raises ValueError."""
    found = _STAMP.match(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is not a date and time")
    year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour <= 24 and minute <= 59 and second <= 60):
        raise ValueError(f"{text[:40]!r} is not a date and time")
    days = date(year, month, 1).toordinal() + day - 1 - _EPOCH
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second + float(found[7] or 0)
    if found[8] != "Z":
        offset = int(found[8][1:3]) * 3600 + int(found[8][4:6]) * 60
        seconds += -offset if found[8][0] == "+" else offset
    return seconds
