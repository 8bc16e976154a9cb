"""What options of drivers may not say about time."""

from dataclasses import dataclass

import pytest

from node.hub import patience
from node.hub.thing import COMMAND_DEADLINE, OPEN_DEADLINE


@dataclass
class Options:
    hello: float = 1.0
    timeout: float = 1.0


def test_times_that_a_thing_waits_for_are_all_right():
    patience.check(Options(OPEN_DEADLINE - 1, COMMAND_DEADLINE - 1), "hello", "timeout")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(hello=0), "hello must be more than 0"),
        (Options(timeout=-1), "timeout must be more than 0"),
        (Options(hello=15), "hello must be less than 15 seconds: nobody waits longer for a board"),
        (Options(timeout=5), "timeout must be less than 5 seconds: nobody waits longer for a command"),
    ],
)
def test_times_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        patience.check(options, "hello", "timeout")
