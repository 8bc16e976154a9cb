"""Who did what to a thing and what came of it, kept on disk: each command, each refusal, each change of access.

The house asks for it by `hobnode thing log NAME`. A row is written with what else is written in its time, and nobody
waits for it. Refusals that only repeat one another are counted: a program that tries ten times a second must not
wear out the card, nor push out what others did: one asker has few rows an hour, and refusals have a part of all.
"""

import logging
import time
from typing import NamedTuple

from node.base.jid import Jid
from node.hub.hub import Hub
from node.hub.quota import Quota
from node.hub.store import StoreError

log = logging.getLogger("hobnode")

KEPT = 1000  # rows of one thing: months of a lamp's life, 100 KB; the oldest give way
REFUSALS = 300  # of these, of what was only tried: who tries without end pushes out no command that was carried out
TRIM = 100  # rows between two looks at how many there are
SAME = 60.0  # seconds in which equal refusals are one row, and then a second one with their number
TRIES = 10  # rows of what one asker was refused at one thing in HOUR; more of them are told as their number
HOUR = 3600.0  # seconds; all in all 25 rows an hour, 2 MB a day on a card, of one who never stops
REST = ""  # in the place of a word: what is counted beyond TRIES
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
        self.quota = Quota(TRIES, HOUR)
        hub.on("thing forgotten", self.forgotten)
        hub.on("stopping", self.stop)

    def note(self, thing: Jid, who: str, way: str, what: str, outcome: str = DONE) -> None:
        """Keeps one line about a thing. Never fails: a full disk is no reason to leave the lamp as it is."""
        self.write(thing.local, Line(time.time(), who, way, what[:TEXT], outcome[:TEXT]))

    def refused(self, thing: Jid, who: Jid, way: str, what: str, outcome: str) -> bool:
        """The same for a refusal; what one says again and again is told once a minute. Whether there is a line of it.

        Alike is what begins with the same word: 'lamp=true', 'lamp off', 'grant ben@home.example control'. Who always
        finds another word is told of TRIES times an hour. `outcome` is one of few; it begins with 'refused' where
        somebody only tried.
        """
        word = what.replace("=", " ").partition(" ")[0][:TEXT]
        key = thing.local, who.bare, way, outcome, word
        if key not in self.repeated and not self.quota.take(f"{thing.local} {who.bare}", self.hub.loop.time()):
            key = thing.local, who.bare, way, outcome, REST
        if key in self.repeated:
            self.repeated[key] += 1
            return False
        if key[-1] == REST:
            self.repeated[key] = 1
            self.hub.loop.call_later(HOUR, self.told, key)
            return False
        self.repeated[key] = 0
        self.note(thing, who, way, what, outcome)
        self.hub.loop.call_later(SAME, self.told, key)
        return True

    def told(self, key):
        """The minute is over, or the hour."""
        count = self.repeated.pop(key, 0)
        if count:
            thing, who, way, outcome, word = key
            what = f"{word}: {count} more times" if word != REST else f"and {count} more"
            self.write(thing, Line(time.time(), who, way, what, outcome))

    def forgotten(self, thing):
        self.database.write("DELETE FROM audit WHERE thing = ?", (thing.local,))

    def stop(self):
        for key in list(self.repeated):
            self.told(key)

    def write(self, thing, line):
        try:
            self.database.write(f"INSERT INTO audit (thing, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", (thing, *line))
            self.fresh[thing] = self.fresh.get(thing, 0) + 1
            if self.fresh[thing] >= TRIM:
                del self.fresh[thing]
                for which, kept in (("thing = :thing AND outcome LIKE 'refused%'", REFUSALS), ("thing = :thing", KEPT)):
                    self.database.write(
                        f"DELETE FROM audit WHERE {which} AND id <="
                        f" (SELECT id FROM audit WHERE {which} ORDER BY id DESC LIMIT 1 OFFSET :kept)",
                        {"thing": thing, "kept": kept},
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
