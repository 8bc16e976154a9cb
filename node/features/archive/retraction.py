"""XEP-0424: Message Retraction: who takes a message back leaves a tombstone in the archives.

The retraction itself is kept like any message; it is looked for what it takes back when both are on disk. Only
whoever said something can take it back, and only shortly after: in the last LOOKED_AT messages of the conversation.
"""

import asyncio
from collections import deque
from collections.abc import Iterator

from node.base import stamp
from node.base.element import E, escape_attribute, write
from node.base.stanza import CLIENT, Stanza, kind
from node.features.archive.reading import CHUNK, DATA, Reader
from node.features.archive.rows import ID, RECEIVER, RECEIVER_ARCHIVE, SENDER, SENDER_ARCHIVE, STAMP, STANZA, Rows
from node.hub.hub import Hub
from node.hub.store import StoreError

RETRACT = "urn:xmpp:message-retract:1"
TOMBSTONE = f"{RETRACT}#tombstone"
MUC = "http://jabber.org/protocol/muc#user"

LOOKED_AT = 500  # messages: 2 ms
LOOKED_AT_BYTES = 16 << 20  # of large ones among them: 15 ms, and more pictures than are sent in an evening
# Retractions that wait: 2 s of work at worst, so that others need not wait longer. Beyond that somebody plays, and
# they are messages and no more: they are kept and delivered, and it is left to the clients not to show what they name.
WAITING_LIMIT = 100
OWN_LIMIT = 50  # of them of one sender: so many are taken back at a stroke, and others have room beside him
SIZE_LIMIT = 16 * 1024  # bytes: a retraction has 400 and some words for old clients; those that wait are in memory

_ROOM = kind("x", MUC)

# What the map does not have yet: 2000 rows, of which only those of this conversation count.
_NEWEST = f"""
SELECT s.id, {DATA} FROM stanzas s
WHERE s.id > :folded AND s.id < :below AND s.sender = :sender AND s.receiver = :receiver
    AND (s.sender_archive = :mine OR s.receiver_archive = :theirs)
ORDER BY s.id DESC LIMIT :limit
"""
_OLDER = f"""
SELECT s.id, CASE WHEN s.sender = :sender THEN {DATA} END
FROM places p INDEXED BY places_by_peer CROSS JOIN stanzas s ON s.id = p.id
WHERE p.archive = :archive AND p.peer = :peer AND p.id < :below ORDER BY p.id DESC LIMIT :limit
"""
_BURY = "UPDATE stanzas SET stanza = ? WHERE id = ?"


class Retractions:
    def __init__(self, hub: Hub, rows: Rows, reader: Reader):
        self.hub = hub
        self.rows = rows
        self.reader = reader
        self.waiting: deque[tuple[Stanza, list]] = deque()
        self.busy = False

    def note(self, message: Stanza, row: list) -> None:
        """A message that takes another back has been kept in this row."""
        # In a room's private messages the bare address is that of the room: who speaks there we cannot know.
        if message.id is None or _ROOM in message.kinds or len(row[STANZA]) > SIZE_LIMIT:
            return
        own = sum(each[SENDER] == row[SENDER] for _, each in self.waiting)
        if own >= OWN_LIMIT or len(self.waiting) >= WAITING_LIMIT:
            return
        self.waiting.append((message, row))
        if not self.busy:
            self.busy = True
            self.hub.spawn(self._work(), "retraction")

    async def _work(self) -> None:
        try:
            while self.waiting:
                await self.rows.database.committed()  # fifty a second, if something is written at all
                message, row = self.waiting.popleft()
                await self._bury(message, row)
                await asyncio.sleep(0)  # the others first
        except StoreError:  # nothing can be kept just now; what was said stays
            self.waiting.clear()
        finally:
            self.busy = False

    async def _bury(self, message: Stanza, row: list) -> None:
        element = message.child("retract", RETRACT)
        id = element.get("id") if element is not None else None
        if not id:
            return
        number = await self._find(row, b" id='%b'" % escape_attribute(id).encode())
        stanza = None if number is None else self.reader.load(number)
        if stanza is None:
            return
        tag, _, rest = stanza.partition(b">")
        if MUC.encode() in rest:
            return
        left = E("retracted", RETRACT, id=message.id, stamp=stamp.precise(row[STAMP]))
        tombstone = b"%b>%b</message>" % (tag, write(left, CLIENT).encode())
        self.rows.pending.write((_BURY, (tombstone, number)), size=len(tombstone))

    async def _find(self, row: list, attribute: bytes) -> int | None:
        """The row of the newest message with that attribute by the same sender, in either's archive."""
        left, bytes_left = LOOKED_AT, LOOKED_AT_BYTES
        for sql, args in self._sources(row):
            while left:
                limit = min(left, CHUNK)
                seen = self.rows.database.read(sql, args | {"limit": limit})
                for number, data in seen:
                    if data is None:
                        continue
                    if isinstance(data, int):
                        bytes_left -= data
                        if bytes_left < 0:
                            return None
                    if attribute in await self.reader.start(number, data):
                        return number
                left -= len(seen)
                if len(seen) < limit:
                    break
                args["below"] = seen[-1][0]
                await asyncio.sleep(0)
        return None

    def _sources(self, row: list) -> Iterator[tuple[str, dict[str, int | None]]]:
        """Where it can be, the newest first. What the map gets while we look is still found beyond it."""
        folded, below, sender, receiver = self.rows.folded, row[ID], row[SENDER], row[RECEIVER]
        mine, theirs = row[SENDER_ARCHIVE], row[RECEIVER_ARCHIVE]
        ends = {"below": below, "sender": sender}
        yield _NEWEST, ends | {"folded": folded, "receiver": receiver, "mine": mine, "theirs": theirs}
        ends["below"] = min(below, folded + 1)
        for archive, peer in ((mine, receiver), (theirs, sender)):
            if archive is not None:
                yield _OLDER, ends | {"archive": archive, "peer": peer}
