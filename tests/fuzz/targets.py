"""What is fuzzed: modules with `make(chance)`, which gives a case, and `check(case)`, which raises when it is wrong.

A case is made of lists, tuples, numbers, texts and bytes, so that it can be written down and read again.
"""

import signal
from random import Random
from types import ModuleType
from typing import Any

from tests.fuzz import addresses, forms, framing, house, paging, sasl

TARGETS: dict[str, ModuleType] = {
    "framing": framing,
    "addresses": addresses,
    "forms": forms,
    "paging": paging,
    "sasl": sasl,
    "house": house,
}
ENDLESS = 20  # seconds: no case takes a tenth of one, so this one hangs


def case(name: str, seed: int, number: int) -> Any:
    """The same for the same seed and number, on every machine."""
    return TARGETS[name].make(Random(f"{name} {seed} {number}"))


def check(name: str, case: Any) -> None:
    """Raises what is wrong, and TimeoutError for what does not come to an end."""
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, ENDLESS)
    try:
        TARGETS[name].check(case)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _ring(*_) -> None:
    raise TimeoutError(f"no end after {ENDLESS} s")
