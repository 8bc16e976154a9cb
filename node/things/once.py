"""What was asked within the last minute: a stanza that comes again is not carried out again (CT-8).

After a stream is resumed (XEP-0198) a client sends again what it believes to be lost. Content counts too: a
script that gives all its stanzas the same id still has each of its different commands carried out.
"""

from collections.abc import Hashable
from typing import Any

from node.base.stanza import CLIENT, Stanza

KEPT = 60.0  # seconds: a client that resumes does so sooner
LIMIT = 1000  # commands remembered; beyond that the oldest are forgotten


class Once:
    """The outcomes of stanzas by sender, receiver and id."""

    def __init__(self, loop):
        self.loop = loop  # its clock
        self.kept: dict[Hashable, tuple[float, int, Any]] = {}

    def outcome(self, stanza: Stanza) -> Any:
        """What `keep` was told when the same stanza came within the last minute, else None."""
        self.forget()
        found = self.kept.get(key(stanza))
        if found is None or stanza.id is None or found[1] != content(stanza):
            return None
        return found[2]

    def keep(self, stanza: Stanza, outcome: Any) -> None:
        """Remembers what came of a stanza; nothing for one without id."""
        if stanza.id is None:
            return
        self.kept.pop(key(stanza), None)  # so that the dict stays in the order of time
        self.kept[key(stanza)] = (self.loop.time(), content(stanza), outcome)
        if len(self.kept) > LIMIT:
            del self.kept[next(iter(self.kept))]

    def forget(self):
        old = self.loop.time() - KEPT
        while self.kept:
            first = next(iter(self.kept))
            if self.kept[first][0] > old:
                return
            del self.kept[first]


def key(stanza):
    return stanza.sender, stanza.to.bare, stanza.id


def content(stanza):
    return hash(stanza.copy(to=None).to_bytes(CLIENT))  # the bytes may be many
