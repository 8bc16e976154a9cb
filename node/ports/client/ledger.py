"""What survives kill -9: what each session is and how far it was, in a file that is written at once and never synced.

The kernel keeps what a process has written when that process is killed; it loses it with the power. So the file names
the boot of the machine that it belongs to, and after another one it says nothing: clients log in anew. To write a few
bytes takes 1 us, and the card sees a page or two every half minute in which something was said.

Each session that can be resumed has a page (Page):

- whose it is, and what features know of it,
- how many stanzas of the client are handled, and up to which row of the archive that was,
- for the messages that it was sent last and that could come again: the count of the stanza, the row of the archive by
  then, and a key of who sent it and under which id, or which one it has in the archive if it came without. A client
  that comes back says how many stanzas it has, and so which of these it has.
"""

import logging
import os
import struct
from binascii import crc32
from collections.abc import Sequence
from typing import NamedTuple

from node.base.element import escape_attribute
from node.base.path import Path
from node.base.stanza import CLIENT, Stanza, kind
from node.hub.claims import SID, STANZA_ID, archive_id
from node.ports.client.unacked import DELAY
from node.stream.acks import NEVER

log = logging.getLogger("hobnode")

BOOT = "/proc/sys/kernel/random/boot_id"
NAME = "sessions.now"
MAGIC = b"hobnode sessions 2\n"

PAGE = 8192  # bytes: two of which the kernel keeps whole ones
CARBONS = {kind(name, "urn:xmpp:carbons:2") for name in ("sent", "received")}
RING = 220  # messages: a batch from the storage (offline.BATCH), and what a client is asked to ack after (ASK_AFTER)
_HEAD = struct.Struct("<24sQQQQ")  # id, handled, row; where the ring begins: count, row
_ENTRY = struct.Struct("<QQQ")  # count, row, key
_RING_AT = 64
_ARCHIVED = b"<stanza-id xmlns='%s' by='%%b' id='" % SID.encode()  # as features/archive writes it
_WORDS_AT = 5376  # a length in four bytes, and JSON; a session with 40 rooms fits


class Entry(NamedTuple):
    """A message that was sent: as stanza `number`, when `row` was the newest row of the archive."""

    number: int
    row: int
    key: int


class Found(NamedTuple):
    """A page of the last run. `entries` in order; all up to stanza `sent` is acked, or not known any more. What it was
    sent of the archive up to `sent_row` is acked or among the entries. Rows from `end` on are of another run."""

    words: bytes
    handled: int
    row: int
    sent: int
    sent_row: int
    entries: list[Entry]
    end: int = NEVER

    def clamped(self, last: int) -> "Found":
        """The same, when the archive ends with that row: what had been given a later number is not there."""
        entries = [entry._replace(row=min(entry.row, last)) for entry in self.entries]
        row, sent_row = min(self.row, last), min(self.sent_row, last)
        return self._replace(row=row, sent_row=sent_row, entries=entries, end=last + 1)


class Ledger:
    """The file. What the last run has left in it is `found`, by the session's id."""

    def __init__(self, folder: Path):
        self.found: dict[str, Found] = {}
        self._path = folder / NAME
        self._fresh = folder / (NAME + ".new")
        self._file = -1
        self._free: list[int] = []
        self._pages = 0
        self._trouble = False
        self._stands = False
        self._closed = False
        self._read()

    def page(
        self,
        id: str,
        handled: int,
        row: int,
        count: int,
        sent_row: int,
        words: bytes = b"",
        entries: Sequence[Entry] = (),
    ) -> "Page":
        """A page for a session. It gets its id last, for with half of its entries it would be believed."""
        if not self._free:
            self._pages += 1
            self._free.append(self._pages)
        number = self._free.pop()
        ring = b"".join(_ENTRY.pack(*entry) for entry in entries[-RING:]).ljust(_WORDS_AT - _RING_AT, b"\0")
        self.write(number * PAGE + _RING_AT, (ring + _framed(words)).ljust(PAGE - _RING_AT, b"\0"))
        self.write(number * PAGE, _HEAD.pack(id.encode(), handled, row, count, sent_row))
        return Page(self, number, min(len(entries), RING) % RING)

    def free(self, number: int) -> None:
        self.write(number * PAGE, bytes(_HEAD.size))
        self._free.append(number)

    def write(self, at: int, data: bytes) -> None:
        if self._closed:  # or another file would take the place of this one
            return
        try:
            os.pwrite(self._open(), data, at)
        except OSError as error:
            self._complain(error)

    def close(self) -> None:
        self._closed = True
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def forget(self) -> None:
        """The node ends in good order: what it says is in the database now."""
        self.close()
        if self._path.exists():
            os.unlink(self._path)

    def stand(self) -> None:
        """All that was found in the old file is in the new one, which takes its place: not before, for we may be
        killed."""
        self._stands = True
        if self._file >= 0:
            self._take_place()

    def _open(self) -> int:
        """Made when first written to."""
        if self._file < 0:
            self._file = os.open(self._fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            os.pwrite(self._file, _first_page().ljust(PAGE, b"\0"), 0)
            if self._stands:
                self._take_place()
        return self._file

    def _take_place(self) -> None:
        try:
            os.rename(self._fresh, self._path)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._trouble:
            log.warning("%s: %s; if the node is killed clients log in anew", self._path, error.strerror)
        self._trouble = True

    def _read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                data = file.read()
        except OSError:
            return
        if not data.startswith(_first_page()):
            return
        for at in range(PAGE, len(data) - PAGE + 1, PAGE):
            id, handled, row, sent, sent_row = _HEAD.unpack_from(data, at)
            length = int.from_bytes(data[at + _WORDS_AT : at + _WORDS_AT + 4], "little")
            words = data[at + _WORDS_AT + 4 : at + _WORDS_AT + 4 + length]
            if not id.strip(b"\0") or not words:
                continue
            ring = data[at + _RING_AT : at + _RING_AT + RING * _ENTRY.size]
            entries = sorted(Entry(*each) for each in _ENTRY.iter_unpack(ring) if each[0])
            if len(entries) == RING and entries[0].number > sent:  # what was before the oldest is overwritten
                sent, sent_row = entries[0].number, max(sent_row, entries[0].row)
            self.found[id.rstrip(b"\0").decode()] = Found(words, handled, row, sent, sent_row, entries)


class Page:
    """One session's."""

    __slots__ = ("_at", "_ledger", "_next", "_number")

    def __init__(self, ledger: Ledger, number: int, next: int):
        self._ledger = ledger
        self._number = number
        self._at = number * PAGE
        self._next = next  # place in the ring

    def describe(self, words: bytes) -> None:
        """Whose it is. When that is too much for a page, the client will have to log in anew."""
        self._ledger.write(self._at + _WORDS_AT, _framed(words))

    def handled(self, count: int, row: int) -> None:
        """So many stanzas of the client are handled; of its messages in the archive the last is at that row."""
        self._ledger.write(self._at + 24, struct.pack("<QQ", count, row))

    def sent(self, count: int, row: int, key: int) -> None:
        """The client was sent a message that could come again, as stanza number `count`."""
        self._ledger.write(self._at + _RING_AT + self._next * _ENTRY.size, _ENTRY.pack(count, row, key))
        self._next = (self._next + 1) % RING

    def all_acked(self, count: int, row: int) -> None:
        """The client has all that it was sent: what is before this count and row need not be known."""
        self._ledger.write(self._at + 40, struct.pack("<QQ", count, row))

    def all_noted(self, row: int) -> None:
        """What the client was sent of the archive up to this row is acked, or noted here."""
        self._ledger.write(self._at + 48, struct.pack("<Q", row))

    def free(self) -> None:
        """The session has ended."""
        self._ledger.free(self._number)


def _framed(words: bytes) -> bytes:
    """Behind their length; none if that is too much for a page."""
    if len(words) > PAGE - _WORDS_AT - 4:
        words = b""
    return len(words).to_bytes(4, "little") + words


def may_come_again(message: Stanza) -> bool:
    """Whether it is in the receiver's archive, as he can see, or the copy of one that he has sent or got; or has waited
    (XEP-0203), and may still lie in the storage for people who are away."""
    kinds = message.kinds
    return bool(kinds) and (STANZA_ID in kinds or kinds[0] in CARBONS or DELAY in kinds)


def key_of(message: Stanza) -> int:
    """The key of a message; of a carbon, that of the message that it is a copy of. 0: it has no id, and none in the
    archive of somebody here."""
    sender = message.sender
    if sender is None:
        return 0
    if not message.kinds or message.kinds[0] not in CARBONS:
        id = message.id or (message.to and archive_id(message.to.bare, message)) or archive_id(sender.bare, message)
        return _key(sender.wire, escape_attribute(id).encode()) if id else 0
    data = message.to_bytes(CLIENT)
    at = data.find(b"<message ", 1)  # we have written it (features/carbons.py): values are between ', and hold none
    tag = data[at : data.find(b">", at)]
    from_, within = _value(tag, b" from='"), _value(tag, b" id='") or _value(data, _ARCHIVED % sender.wire)
    return _key(from_, within) if from_ and within else 0


def _value(data: bytes, before: bytes) -> bytes:
    """What stands behind the last `before`, up to the next '. Nothing if there is none."""
    _, found, rest = data.rpartition(before)
    return rest[: rest.find(b"'")] if found else b""


def _key(sender: bytes, id: bytes) -> int:
    """Short: it has to tell one of a page's messages from some hundreds. A good hash takes 1 us more."""
    return crc32(id, crc32(sender)) | 1 << 32  # 0 is none


def _first_page() -> bytes:
    try:
        with open(BOOT, "rb") as file:
            return MAGIC + file.read()
    except OSError:  # not on Linux: then nothing is ever found
        return MAGIC + os.urandom(16)
