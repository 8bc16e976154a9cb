"""A failing input is made smaller while it fails in the same place: what is left shows why."""

import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 60  # seconds


def place(check: Callable[[Any], None], case: Any) -> tuple | None:
    """Where and how `check(case)` fails, None if it does not."""
    try:
        check(case)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return type(error), last.filename, last.lineno
    return None


def shrunk(check: Callable[[Any], None], case: Any) -> Any:
    """The smallest that was found in a minute."""
    wanted, end = place(check, case), time.monotonic() + PATIENCE
    found = True
    while found:
        found = False
        for smaller in _smaller(case):
            if time.monotonic() > end:
                return case
            if place(check, smaller) == wanted:
                case, found = smaller, True
                break
    return case


def _smaller(case: Any) -> Iterator[Any]:
    """The same with less in it, the most first: of lists, bytes and texts a part is left out, down to one."""
    if isinstance(case, list | bytes | str):
        size = len(case)
        while size := size // 2:
            for at in range(0, len(case), size):
                yield case[:at] + case[at + size :]
    if isinstance(case, list | tuple):
        for at, each in enumerate(case):
            for smaller in _smaller(each):
                yield type(case)([*case[:at], smaller, *case[at + 1 :]])
