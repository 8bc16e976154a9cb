"""XEP-0203: a command that was said long ago and arrives only now is not carried out any more."""

import time

from node.base import stamp
from node.base.stanza import Stanza

NS = "urn:xmpp:delay"
LATE = 60  # seconds: who said "lamp on" longer ago is not there any more to see it happen


def late(message: Stanza) -> float | None:
    """The Unix time at which it was said, if that is more than a minute ago."""
    delay = message.child("delay", NS)
    try:
        said = stamp.parse(delay.get("stamp") or "") if delay is not None else None
    except ValueError:
        return None  # a stamp that cannot be read says nothing about the age
    return said if said is not None and time.time() - said > LATE else None
