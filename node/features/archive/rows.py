"""The archives on the disk: each stanza once, in the order in which they came, and a map of whose they are.

To keep a message is one row at the end of one table. The map (`places`: archive, id, peer) has an order of its own
for each archive and for each conversation in it, so that a row there touches two more pages for each of its owners:
16 KB for the card where the message has 400 bytes. Therefore it is made in bulk, of FOLD rows at a time, and whoever
reads (reading.py) looks at the map and, beyond the row up to which it is made, at the stanzas themselves.
"""

import secrets
import time

from node.features.archive.ids import Ids
from node.features.archive.numbers import Numbers
from node.features.archive.pending import Group, Pending
from node.hub.hub import Hub

FOLD = 2000  # rows: so many are looked through in a millisecond, and the map costs 0.4 KB a message then
# More than what may have been given out and is not on disk after a power cut (pending.LIMIT).
GAP = 5000
# Numbers of rows begin beyond the clock, at each start of the node, so that they are new also when an old copy of the
# file has been put back.
BEGIN = 1_577_836_800  # 2020-01-01
PACE = 256  # rows a second, over the years: more than any home has
# And by chance somewhere beyond: who was killed before his first commit has told ids of which the next one knows
# nothing, and would begin where he did. So a thousand messages each meet once in two million such deaths.
CHANCE = 1 << 32

# `archives`: jid is NULL when the account is gone: what it had is going, and who gets its name next has another one.
# `archive_state`: a key for the ids, made with the file, so that the ids of a file that was lost are not given again;
# up to which row `places` is made; and the last row that was deleted.
SCHEMA = """
CREATE TABLE archive_state (key BLOB NOT NULL, folded INTEGER NOT NULL, deleted INTEGER NOT NULL);
INSERT INTO archive_state VALUES (x'{key}', 0, 0);
CREATE TABLE archives (id INTEGER PRIMARY KEY, jid TEXT UNIQUE);
CREATE TABLE addresses (id INTEGER PRIMARY KEY, jid TEXT NOT NULL UNIQUE);
CREATE TABLE stanzas (
    id INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, sender_archive INTEGER, receiver_archive INTEGER,
    sender INTEGER NOT NULL, receiver INTEGER NOT NULL, stanza BLOB NOT NULL
);
CREATE TABLE places (
    archive INTEGER NOT NULL, id INTEGER NOT NULL, peer INTEGER NOT NULL, PRIMARY KEY (archive, id)
) WITHOUT ROWID;
CREATE INDEX places_by_peer ON places (archive, peer, id);
"""

INSERT = "INSERT OR IGNORE INTO stanzas VALUES (?, ?, ?, ?, ?, ?, ?)"
ID, STAMP, SENDER_ARCHIVE, RECEIVER_ARCHIVE, SENDER, RECEIVER, STANZA = range(7)

_FOLD = [
    f"INSERT OR IGNORE INTO places SELECT {mine}_archive, id, {peer} FROM stanzas"
    f" WHERE id > ? AND id <= ? AND {mine}_archive IS NOT NULL ORDER BY 1, 3, 2"
    for mine, peer in (("sender", "receiver"), ("receiver", "sender"))
]
_FOLDED = "UPDATE archive_state SET folded = max(folded, ?)"


class Rows:
    """What is written to archive.db, and what must be known for that."""

    def __init__(self, hub: Hub):
        self.database = hub.store.archive
        self.database.schema("archive", SCHEMA.format(key=secrets.token_hex(32)))
        self.pending = Pending(hub, self._settled)
        self.archives = Numbers(self.database, self.pending, "archives", after)
        self.addresses = Numbers(self.database, self.pending, "addresses", after)
        ((key, self.folded, deleted),) = self.database.read("SELECT key, folded, deleted FROM archive_state")
        self.ids = Ids(key)
        newest = self.database.read("SELECT id, stamp FROM stanzas ORDER BY id DESC LIMIT 1")
        last, self.stamp = newest[0] if newest else (0, 0)
        self.next_id = max(after(max(last, deleted)), (int(time.time()) - BEGIN) * PACE) + secrets.randbelow(CHANCE)
        ((self._unfolded,),) = self.database.read("SELECT count(*) FROM stanzas WHERE id > ?", (self.folded,))
        self._folding = self.folded  # up to here the map is made or being made

    def add(
        self, sender_archive: int | None, receiver_archive: int | None, sender: int, receiver: int, stanza: bytes
    ) -> list:
        """Keeps a stanza in one archive or two, and gives its row. Raises StoreError.

        Whose it is may be changed in the row until the end of this turn of the loop.
        """
        stamp = int(time.time() * 1000)
        if stamp < self.stamp:  # the clock was set back: in an archive time does not run backwards (R6)
            stamp = self.stamp
        row = [self.next_id, stamp, sender_archive, receiver_archive, sender, receiver, stanza]
        self.pending.write((INSERT, row), size=len(stanza))
        self.stamp = stamp
        self.next_id += 1
        return row

    def _settled(self, groups: list[Group]) -> None:
        """These statements are on disk now."""
        for group in groups:
            for sql, args in group:
                if sql is INSERT:
                    self._unfolded += 1
                    if self._unfolded >= FOLD:
                        self._fold(args[ID])
                elif sql is _FOLDED:
                    self.folded = args[0]
                elif not self.archives.settled(sql, args):
                    self.addresses.settled(sql, args)

    def _fold(self, last: int) -> None:
        """Has the map made up to a row that is on disk: one that had to be written again would never get into it."""
        between = (self._folding, last)
        self._folding = last
        self._unfolded = 0
        self.pending.write(*((sql, between) for sql in _FOLD), (_FOLDED, (last,)))


def after(last: int) -> int:
    """The first number of this run of the node, after the last one that the disk knows."""
    return last + GAP
