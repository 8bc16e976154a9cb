"""How long the options of a driver may have it wait: a while, and less than the Thing waits that it is for."""

from typing import Any

from node.hub.thing import COMMAND_DEADLINE, OPEN_DEADLINE


def check(options: Any, *names: str) -> None:
    """Raises ValueError for one of these options that is not more than 0, and for a `hello` or `timeout` too long."""
    for name in names:
        if getattr(options, name) <= 0:
            raise ValueError(f"{name} must be more than 0")
    if options.hello >= OPEN_DEADLINE:
        raise ValueError(f"hello must be less than {OPEN_DEADLINE} seconds: nobody waits longer for a board")
    if options.timeout >= COMMAND_DEADLINE:
        raise ValueError(f"timeout must be less than {COMMAND_DEADLINE} seconds: nobody waits longer for a command")
