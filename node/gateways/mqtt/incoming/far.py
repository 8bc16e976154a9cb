"""What is known of a thing whose far end are MQTT topics: where its values come from, and what sets its controls.

A home has many lamps of few kinds. What does not tell one lamp from the next (fields, controls, meanings) is kept once
for all of them: see `shared`.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar

from node.gateways.mqtt.incoming.templates import Find, Message
from node.hub.driver import Control, Field

ONLINE = ""  # what a sign means; any other text says why the thing is not there
HERE = "{topic}"  # in such a text: the topic of the sign
KINDS = 2000  # of fields, controls and sources that are kept once for all who have them; each takes 100 to 500 bytes

T = TypeVar("T")


class _Silent(str):
    __slots__ = ()


SILENT: Final = _Silent()  # what a source means when nothing was said of its field; an empty text is another thing


class Source(NamedTuple):
    """How the value of a field is found in what is said at a topic.

    `meaning` makes a value of what was found: None when there is none just now, or SILENT; it raises ValueError.
    `expires` are seconds after which what was said counts no more, `off` those after which a true becomes false. What
    only happens, as a press of a button, is at `rest` after `off`; what the broker has kept of it happens no more.
    """

    field: str
    find: Find
    meaning: Callable[[str], str | None]
    expires: float = 0.0
    off: float = 0.0
    rest: str = ""


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
    """All of a thing, its sources by topic. It is there when one of its presences says so, or when it has none.

    `parts` are fields and controls that are there only when this presence says so: none where all have the same.
    """

    name: str
    fields: tuple[Field, ...] = ()
    controls: tuple[Control, ...] = ()
    sources: dict[str, tuple[Source, ...]] = {}
    orders: dict[str, Order] = {}
    presences: tuple[Presence, ...] = ()
    parts: dict[Presence, tuple[str, ...]] = {}
    about: dict[str, str] = {}

    @property
    def topics(self) -> dict[str, tuple[Source, ...]]:
        """All that is listened to, with the sources that are there."""
        return {order.echo: () for order in self.orders.values() if order.echo} | self.sources


def by_topic(found: Iterable[tuple[str, Source]]) -> dict[str, tuple[Source, ...]]:
    """The sources of a Far, of pairs of a topic and what is there."""
    sources: dict[str, tuple[Source, ...]] = {}
    for topic, source in found:
        sources[topic] = (*sources.get(topic, ()), source)
    return {topic: shared(each) for topic, each in sources.items()}


def shared(value: T) -> T:
    """The first that was equal to it, and spelled alike: a limit of 10.0 is not to become one of 10."""
    return _shared(hash(repr(value)), value)


@lru_cache(KINDS)
def _shared(spelled: int, value: T) -> T:
    return value


def same(asked: str, said: str) -> bool:
    """Whether a device says what it was asked for: "21" is "21.0" here."""
    if asked == said:
        return True
    try:
        return Decimal(asked) == Decimal(said)
    except InvalidOperation:
        return False
