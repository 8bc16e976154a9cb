"""What a client says again in a new session is kept once and delivered once (security: D6).

A session that cannot be resumed takes its last counter with it: whatever its client had not got acked it says again
when it has bound anew (XEP-0198 §4), although it may have been kept. It is the same when the account and resource, the
id or origin-id (XEP-0359), the receiver and the content are, and SECONDS have not passed; a stamp that was put in
(XEP-0203) makes no difference. The second one is acked and goes no further: the first has been delivered.

Only a session that counts acks says anything again for want of one; and of any other the ids may begin anew with each
stream (RFC 6120 §8.1.3), so that its second "1" is another message.
"""

import time
from collections.abc import Iterable
from typing import Any

from node.base.element import Element, escape_attribute, read, write
from node.base.jid import Jid
from node.base.stanza import CLIENT, PLAIN_SCOPES, Stanza
from node.features.archive.reading import INLINE, Reader
from node.features.archive.rows import ID, INSERT, STANZA, Rows
from node.hub.hub import Hub
from node.hub.store import StoreError

SECONDS = 600  # a session that could be resumed sleeps no longer; who comes later has looked into his archive
LOOKED = 2000  # rows, whoever's they are: 1 ms; in ten minutes a home writes fewer
KNOWN = 200  # messages of one resource, 100 KiB: a client asks for an ack long before

DELAY = "urn:xmpp:delay"
SID = "urn:xmpp:sid:0"
_SID = SID.encode()
# What is larger than INLINE is not looked at: it is seldom, and costs more to read than to have twice.
_SAID = f"""
SELECT * FROM (
    SELECT id, stamp, sender_archive, receiver_archive, sender, receiver,
           CASE WHEN sender_archive = :archive AND length(stanza) <= {INLINE} THEN stanza END AS stanza
    FROM stanzas WHERE id > :low ORDER BY id DESC LIMIT {LOOKED}
) WHERE stanza IS NOT NULL
"""


class _Before:
    """What a resource said before its session began: rows of the archive by ids, as these are spelt in XML."""

    __slots__ = ("odd", "rows", "until")

    def __init__(self, until: float):
        self.rows: dict[bytes, list[Any]] = {}
        self.odd = False  # one has an origin-id that is another than its id
        self.until = until  # by the loop's clock: all of it is too old then


class Repetition:
    def __init__(self, hub: Hub, rows: Rows, reader: Reader):
        self._loop = hub.loop
        self._rows = rows
        self._reader = reader
        self._started = time.time()
        self._before: dict[Jid, _Before] = {}  # of the sessions that have said something
        hub.on("unbound", self._left)

    def find(self, message: Stanza, origin: Any) -> list[Any] | None:
        """The row of the message that this one repeats; each is repeated once. Where there is none: 0.1 us, and 0.3 us
        for those who have something that they might repeat.
        """
        sender, id = message.sender, message.id
        if sender is None or id is None:
            return None
        before = self._before.get(sender)
        if before is None:
            before = self._before[sender] = self._look(sender, origin)
        if not before.rows:
            return None
        if self._loop.time() >= before.until:
            before.rows.clear()
        row = before.rows.get(_spelt(id))
        if row is None and before.odd:
            row = before.rows.get(_spelt(_origin_id(message.children) or id))
        if row is None or not _is_same(message, row[STANZA]):
            return None
        before.rows = {name: other for name, other in before.rows.items() if other is not row}
        return row

    def _left(self, session: Any) -> None:
        self._before.pop(session.jid, None)

    def _look(self, sender: Jid, origin: Any) -> _Before:
        """At its first message. A session of the last run is as young as this one."""
        now = time.time()
        age = now - max(origin.since, self._started)
        before = _Before(self._loop.time() + SECONDS - age)
        archive = self._rows.archives.get(sender.bare)
        if archive is None or age >= SECONDS or not origin.when_acked(_nothing):
            return before
        try:
            rows = self._own(sender, archive, int((now - SECONDS) * 1000))
        except StoreError:  # what cannot be read is kept twice
            return before
        for row in reversed(rows):  # of two with one id the later is meant
            self._know(before, row)
        return before

    def _know(self, before: _Before, row: list[Any]) -> None:
        data = row[STANZA]
        _, found, rest = data.partition(b">")[0].partition(b" id='")  # written by us: no value has a quote inside
        id = rest.partition(b"'")[0] if found else b""
        if id:
            before.rows[id] = row
        if _SID in data and (not id or data.count(id) < 2):
            origin_id = _origin_id(_opened(data).elements)
            if origin_id:
                before.odd = True
                before.rows[_spelt(origin_id)] = row

    def _own(self, sender: Jid, archive: int, since: int) -> list[list[Any]]:
        """The last rows of this resource, the newest first, those that are not on disk yet among them."""
        of_sender = b" from='%b'" % sender.wire
        found: dict[int, list[Any]] = {}
        pending = (row for group in self._rows.pending.newest() for sql, row in group if sql is INSERT)
        kept = self._rows.database.read(_SAID, {"archive": archive, "low": self._reader.since(since) - 1})
        for row in (*pending, *kept):
            if len(row[STANZA]) <= INLINE and of_sender in row[STANZA].partition(b">")[0]:
                found.setdefault(row[ID], list(row))
            if len(found) == KNOWN:
                break
        return list(found.values())


def _nothing() -> None:
    """To ask whether a session acks."""


def _origin_id(children: Iterable[Element]) -> str | None:
    ids = (child.get("id") for child in children if (child.name, child.ns) == ("origin-id", SID))
    return next(ids, None)


def _spelt(id: str) -> bytes:
    return escape_attribute(id).encode()


def _opened(data: bytes) -> Element:
    return read(PLAIN_SCOPES[CLIENT] + data + b"</s>").elements[0]


def _is_same(message: Stanza, data: bytes) -> bool:
    """Whether it says the same, to the same address, as one that has its id."""
    other = _opened(data)
    if (message.to, message.type) != (other.get("to"), other.get("type")):
        return False
    return _said(message.children) == _said(other.elements)


def _said(children: Iterable[Element]) -> list[str]:
    return [write(child, CLIENT) for child in children if (child.name, child.ns) != ("delay", DELAY)]
