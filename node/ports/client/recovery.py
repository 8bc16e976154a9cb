"""A session whose node was killed: what its client has missed, found out from the archive and the ledger.

The queue of what was not acked is lost with the process. But every archived message that the client was sent is noted
(ledger.py) under the number that the stanza had, and the client says up to which number it has them. Archived messages
that it does not have are sent again, but for those that the storage for people who are away hands over; while it slept
it was sent what is for one as it is now. What was not archived, presence for the most part, is lost. If it never comes
back, what it has not acked is in the archive.

The other way round, what was done and not counted is not done twice: a message that the client sends again although it
is in the archive, and one that the client has got although nobody knew yet whether it could be kept.
"""

from collections import Counter
from typing import TYPE_CHECKING

from node.base.element import write
from node.base.stanza import CLIENT, Stanza
from node.hub.claims import archive_id
from node.ports.client.ledger import Found, key_of
from node.ports.client.unacked import DELAY
from node.stream.acks import WRAP, Unacked

if TYPE_CHECKING:
    from node.ports.client.keeping import Management

RECENT = 40  # messages: twice what a client is asked to ack after; those that it got before were on disk
LIMIT = 500  # messages of the account since all was acked; more than that a client fetches from its archive itself
SECONDS = 600.0  # for senders to come back and say again what they said last: as long as a session may sleep


class Twice:
    """Messages, by their keys, that are not to be taken or given a second time.

    `late` are those that may come again from the storage for people who are away, with its delay (features/offline.py).
    """

    __slots__ = ("_keys", "_late", "_until")

    def __init__(self, keys: "Counter[int]", late: "Counter[int]", until: float):
        self._keys = +keys
        self._late = +late
        self._until = until

    def takes(self, message: Stanza, now: float) -> bool:
        """Whether this is one of them, which is then done with."""
        if message.name != "message" or not (self._keys or self._late):
            return False
        if now > self._until:
            self._keys.clear()
            self._late.clear()
        key = key_of(message)
        if not key or not (self._keys[key] > 0 or (DELAY in message.kinds and self._late[key] > 0)):
            return False
        self._keys[key] -= 1
        self._late[key] -= 1
        self._keys, self._late = +self._keys, +self._late
        return True


async def recover(management: "Management", found: Found, h: int) -> bool:
    """Gives a session, which its client would go on with, its queue again. False: that cannot be done any more.

    Raises StoreError.
    """
    sessions, jid, hub = management.sessions, management.client.jid, management.client.port.hub
    more = (h - found.sent) % WRAP
    if more >= WRAP // 2:  # what it has got since is not known any more
        return False
    count = found.sent + more
    entries = [entry for entry in found.entries if entry.number <= count]
    sent = Counter(entry.key for entry in found.entries[len(entries) :])
    recent = found.entries[max(0, len(entries) - RECENT) :]  # the last that it has, and what it has not
    begin = recent[0].row - 1 if recent else found.sent_row
    had = Counter(entry.key for entry in entries if entry.row > begin)
    rows = await sessions.archive.between(jid.bare, min(found.row, begin), found.end, LIMIT + 1)
    if management.lost is not found:  # another attempt was quicker
        return True
    if len(rows) > LIMIT or management.page is None:  # or it has ended meanwhile
        return False
    offline = hub.need("offline")
    waiting, is_next = offline.archived(jid.bare), offline.is_next(jid)
    missed: list[Unacked] = []
    done: Counter[int] = Counter()
    for row, stamp, message in rows:
        key = key_of(message)
        stored, came = waiting.get(archive_id(jid.bare, message), (0, stamp))
        if row > found.row and message.sender == jid:
            done[key] += 1
        if had[key] > 0:
            had[key] -= 1
            offline.gave(jid, stored)
            continue
        if sent[key] > 0:
            sent[key] -= 1
        elif row <= max(found.sent_row, begin):
            continue
        heard = sessions.carbons.as_heard(jid, message)
        if heard is None or (stored and is_next):
            continue
        if stored:
            offline.gave(jid, stored)
            if heard is message:
                heard = message.plus(DELAY, write(offline.delay(came), CLIENT).encode())
        missed.append(Unacked(heard, len(heard.to_bytes(CLIENT)), came, row))
    until = sessions.loop.time() + SECONDS
    late = Counter(entry.key for entry in entries)
    management.had, management.done = Twice(had, late, until), Twice(done, Counter(), until)
    management.recovered(count, missed, entries)
    return True
