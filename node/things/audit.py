"""Who did what to a thing and what came of it, kept on disk: each command, each refusal, each change of access.

The house asks for it by `hobnode thing log NAME`. A row is written with what else is written in its time, and nobody
waits for it. Refusals that only repeat one another are counted: a program that tries ten times a second must not
wear out the card.
"""

import logging
import time
from typing import NamedTuple

from node.base.jid import Jid
from node.hub.hub import Hub
from node.hub.store import StoreError

log = logging.getLogger("hobnode")

KEPT = 1000  # rows of one thing: months of a lamp's life, 100 KB; the oldest give way
TRIM = 100  # rows between two looks at how many there are
SAME = 60.0  # seconds in which equal refusals are one row, and then a second one with their number
TEXT = 200  # characters of what was asked and of what came of it: some of it a stranger has written
DONE = "done"

COLUMNS = "stamp, who, way, what, outcome"


def setup(hub, options):
    hub.provide("audit", Audit(hub))


class Line(NamedTuple):
    """One row: Unix time, address, face ('chat', 'rule: night'), what was asked, and what came of it."""

    stamp: float
    who: str
    way: str
    what: str
    outcome: str


class Audit:
    def __init__(self, hub: Hub):
        self.hub = hub
        self.database = hub.store.things
        self.database.schema(
            "audit",
            """CREATE TABLE audit (
                   id INTEGER PRIMARY KEY, thing TEXT, stamp REAL, who TEXT, way TEXT, what TEXT, outcome TEXT);
               CREATE INDEX audit_of ON audit (thing);""",
        )
        self.fresh: dict[str, int] = {}  # rows written since the last look, by thing
        self.repeated: dict[tuple[str, str, str, str, str], int] = {}  # refusals that were told of already
        hub.on("stopping", self.stop)

    def note(self, thing: Jid, who: str, way: str, what: str, outcome: str = DONE) -> None:
        """Keeps one line about a thing. Never fails: a full disk is no reason to leave the lamp as it is."""
        self.write(thing.local, Line(time.time(), who, way, what[:TEXT], outcome[:TEXT]))

    def refused(self, thing: Jid, who: Jid, way: str, what: str, outcome: str) -> None:
        """The same for a refusal; what one says again and again is told once a minute.

        Alike is what begins with the same word: 'lamp=true', 'lamp off', 'grant ben@home.example control'.
        """
        word = what.replace("=", " ").partition(" ")[0][:TEXT]
        key = thing.local, who.bare, way, outcome, word
        if key in self.repeated:
            self.repeated[key] += 1
            return
        self.repeated[key] = 0
        self.note(thing, who, way, what, outcome)
        self.hub.loop.call_later(SAME, self.told, key)

    def told(self, key):
        """The minute is over."""
        count = self.repeated.pop(key, 0)
        if count:
            thing, who, way, outcome, word = key
            self.write(thing, Line(time.time(), who, way, f"{word}: {count} more times", outcome))

    def stop(self):
        for key in list(self.repeated):
            self.told(key)

    def write(self, thing, line):
        try:
            self.database.write(f"INSERT INTO audit (thing, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (thing, *line))
            self.fresh[thing] = self.fresh.get(thing, 0) + 1
            if self.fresh[thing] >= TRIM:
                del self.fresh[thing]
                self.database.write(
                    "DELETE FROM audit WHERE thing = :thing AND id <="
                    " (SELECT id FROM audit WHERE thing = :thing ORDER BY id DESC LIMIT 1 OFFSET :kept)",
                    {"thing": thing, "kept": KEPT},
                )
        except StoreError as error:
            log.warning("%s: not kept: %s", thing, error)

    async def lines(self, thing: Jid, count: int) -> list[Line]:
        """The last `count` lines about a thing, oldest first. Raises StoreError."""
        await self.database.committed()
        rows = self.database.read(
            f"SELECT {COLUMNS} FROM audit WHERE thing = ? ORDER BY id DESC LIMIT ?", (thing.local, count)
        )
        return [Line(*row) for row in reversed(rows)]
