"""XEP-0082: dates and times as XMPP writes them, always in UTC."""

import re
import time
from datetime import date

PLAUSIBLE = 1_767_225_600  # seconds: 2026-01-01; a Pi has no clock, and may think that it is 1970 when it starts

_EPOCH = date(1970, 1, 1).toordinal()
_OFFSET = 14 * 3600  # seconds: XML Schema §3.2.7.3 goes no further from UTC
_STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(?:Z|([+-])(\d\d):(\d\d))\Z", re.ASCII)


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
    days = date(year, month, day).toordinal() - _EPOCH  # it knows how long a month is
    part = float(found[7] or 0)
    ahead = int(found[9] or 0) * 3600 + int(found[10] or 0) * 60
    midnight = hour == 24 and not (minute or second or part)  # the end of the day, XML Schema §3.2.7
    if not (hour <= 23 or midnight) or minute > 59 or second > 60 or ahead > _OFFSET or int(found[10] or 0) > 59:
        raise ValueError(f"{text[:40]!r} is not a date and time")
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second + part
    return seconds + ahead if found[8] == "-" else seconds - ahead
