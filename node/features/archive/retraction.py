"""XEP-0424: Message Retraction: who takes a message back leaves a tombstone in the archives.

The retraction itself is kept like any message; it is looked for what it takes back when both are on disk. Only
whoever said something can take it back, and only shortly after: in the last LOOKED_AT messages of the conversation.
"""

from collections import deque

from node.base import stamp
from node.base.element import E, escape_attribute, write
from node.base.stanza import CLIENT, Stanza, kind
from node.features.archive.rows import ID, RECEIVER, RECEIVER_ARCHIVE, SENDER, SENDER_ARCHIVE, STAMP, Rows
from node.hub.hub import Hub
from node.hub.store import StoreError

RETRACT = "urn:xmpp:message-retract:1"
TOMBSTONE = f"{RETRACT}#tombstone"
MUC = "http://jabber.org/protocol/muc#user"

LOOKED_AT = 500  # messages: 1 ms
WAITING_LIMIT = 100  # retractions: beyond that somebody plays, and they are messages and no more

_ROOM = kind("x", MUC)

# An attribute of the start tag: in it there is no '>', since we have written it.
_HAS_ID = "s.sender = :sender AND instr(s.stanza, :id) BETWEEN 1 AND instr(s.stanza, x'3E')"
_NEWEST = f"""
SELECT s.id, s.stanza FROM stanzas s
WHERE s.id > :folded AND s.id < :below AND {_HAS_ID}
    AND (s.sender_archive = :archive AND s.receiver = :peer OR s.receiver_archive = :archive AND s.sender = :peer)
ORDER BY s.id DESC LIMIT 1
"""
_OLDER = f"""
SELECT s.id, s.stanza FROM (
    SELECT id FROM places INDEXED BY places_by_peer
    WHERE archive = :archive AND peer = :peer AND id < :below ORDER BY id DESC LIMIT :limit
) p CROSS JOIN stanzas s ON s.id = p.id
WHERE {_HAS_ID} ORDER BY s.id DESC LIMIT 1
"""
_BURY = "UPDATE stanzas SET stanza = ? WHERE id = ?"


class Retractions:
    def __init__(self, hub: Hub, rows: Rows):
        self.hub = hub
        self.rows = rows
        self.waiting: deque[tuple[Stanza, list]] = deque()
        self.busy = False

    def note(self, message: Stanza, row: list) -> None:
        """A message that takes another back has been kept in this row."""
        # In a room's private messages the bare address is that of the room: who speaks there we cannot know.
        if message.id is None or _ROOM in message.kinds or len(self.waiting) >= WAITING_LIMIT:
            return
        self.waiting.append((message, row))
        if not self.busy:
            self.busy = True
            self.hub.spawn(self._work(), "retraction")

    async def _work(self) -> None:
        try:
            while self.waiting:
                await self.rows.database.committed()  # and so fifty a second at most
                message, row = self.waiting.popleft()
                self._bury(message, row)
        except StoreError:  # nothing can be kept just now; what was said stays
            self.waiting.clear()
        finally:
            self.busy = False

    def _bury(self, message: Stanza, row: list) -> None:
        element = message.child("retract", RETRACT)
        id = element.get("id") if element is not None else None
        if not id:
            return
        found = self._find(row, b" id='%b'" % escape_attribute(id).encode())
        if found is None:
            return
        number, stanza = found
        tag, _, rest = stanza.partition(b">")
        if MUC.encode() in rest:
            return
        left = E("retracted", RETRACT, id=message.id, stamp=stamp.precise(row[STAMP]))
        tombstone = b"%b>%b</message>" % (tag, write(left, CLIENT).encode())
        self.rows.pending.write((_BURY, (tombstone, number)), size=len(tombstone))

    def _find(self, row: list, attribute: bytes) -> tuple[int, bytes] | None:
        """The newest message with that attribute by the same sender, in either's archive."""
        for archive, peer in ((row[SENDER_ARCHIVE], row[RECEIVER]), (row[RECEIVER_ARCHIVE], row[SENDER])):
            args = {
                "archive": archive,
                "peer": peer,
                "sender": row[SENDER],
                "below": row[ID],
                "folded": self.rows.folded,
                "id": attribute,
                "limit": LOOKED_AT,
            }
            for sql in (_NEWEST, _OLDER) if archive is not None else ():
                found = self.rows.database.read(sql, args)
                if found:
                    return found[0]
        return None
