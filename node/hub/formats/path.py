"""Where something is in JSON that somebody else designed: `sensors[0].temp`."""

import re
from typing import Any

DEEP = 16  # steps: who needs more has a document, not a reading

_STEP = re.compile(r"\.?([A-Za-z_$][\w$-]*+)|\[(\d{1,4})\]|\[\"([^\"]++)\"\]", re.ASCII)

Path = tuple[str | int, ...]


def path(text: str) -> Path:
    """The steps of a path: names after dots, `[0]` in lists, `["any name"]`. Raises ValueError."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if not found or len(steps) == DEEP or (at == 0 and found[0][0] == "."):
            raise ValueError(f'{text!r} is no path such as sensors[0].temp or ["any name"]')
        name, index, quoted = found.groups()
        steps.append(int(index) if index else name or quoted)
        at = found.end()
    if not steps:
        raise ValueError("a path must not be empty")
    return tuple(steps)


def follow(steps: Path, data: Any, otherwise: Any = None) -> Any:
    """What is there, and `otherwise` when nothing is."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(data, list) or step >= len(data):
                return otherwise
            data = data[step]
        else:
            if not isinstance(data, dict) or step not in data:
                return otherwise
            data = data[step]
    return data
