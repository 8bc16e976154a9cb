"""What is known of a thing whose far end are MQTT topics: where its values come from, and what sets its controls."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from node.gateways.mqtt.incoming.templates import Find, Message
from node.hub.thing import Control, Field

ONLINE = ""  # what a sign means; any other text says why the thing is not there


class _Silent(str):
    __slots__ = ()


SILENT: Final = _Silent()  # what a source means when nothing was said of its field; an empty text is another thing


class Source(NamedTuple):
    """Where the value of a field comes from.

    `meaning` makes a value of what was found: None when there is none just now, or SILENT; it raises ValueError.
    `expires` are seconds after which what was said counts no more, `off` those after which a true becomes false.
    """

    field: str
    topic: str
    find: Find
    meaning: Callable[[str], str | None]
    expires: float = 0.0
    off: float = 0.0


class Order(NamedTuple):
    """How a control is set: what is published, for a value. `payload` raises ValueError.

    `done(asked, said)` is whether the field of the control's name confirms it; None: the broker's receipt is all there
    is. At the topic `echo` a device repeats what it has accepted.
    """

    topic: str
    payload: Callable[[str], str]
    done: Callable[[str, str], bool] | None = None
    retain: bool = False
    echo: str = ""


class Sign(NamedTuple):
    """A topic that says whether a thing is there: `meaning` gives ONLINE, why not, or None for what says nothing.

    It raises ValueError. What says nothing at all counts as a no, unless it is `optional`.
    """

    topic: str
    meaning: Callable[[Message], str | None]
    optional: bool = False


class Presence(NamedTuple):
    """Signs, and what they mean together: `all` of them, `any`, or the `latest` has to say that the thing is there."""

    signs: tuple[Sign, ...]
    mode: str = "latest"


class Far(NamedTuple):
    """All of a thing. It is there when one of its presences says so, or when it has none."""

    name: str
    fields: tuple[Field, ...] = ()
    controls: tuple[Control, ...] = ()
    sources: tuple[Source, ...] = ()
    orders: dict[str, Order] = {}
    presences: tuple[Presence, ...] = ()
    about: dict[str, str] = {}


def same(asked: str, said: str) -> bool:
    """Whether a device says what it was asked for: "21" is "21.0" here."""
    if asked == said:
        return True
    try:
        return Decimal(asked) == Decimal(said)
    except InvalidOperation:
        return False
