"""XEP-0313: Message Archive Management: everybody's conversations, on all his devices.

A message that passes is kept once, for those of the two who live here and want it kept; whoever it is delivered to
is told its id in his archive (XEP-0359), and nobody else is.

    rows.py         what is written: one row a message, a map of whose they are; numbers.py, ids.py
    pending.py      what is not on disk yet
    reading.py      pages, ends and moments
    query.py        what clients ask
    preferences.py  whose messages somebody wants kept (XEP-0441)
    retraction.py   messages that are taken back (XEP-0424)
    repetition.py   messages that are said again after a broken line
    retention.py    how long and how much; accounts that are removed
"""

from asyncio import sleep
from dataclasses import dataclass

from node.base import paging
from node.base.element import E
from node.base.errors import StanzaError
from node.base.hints import worth_archiving
from node.base.jid import Jid
from node.base.stanza import CLIENT, Stanza, kind
from node.base.stored import unpack
from node.features.archive.preferences import Preferences
from node.features.archive.query import EXTENDED, GROUPCHAT_FIELD, NS, Queries
from node.features.archive.reading import Reader, Wanted
from node.features.archive.repetition import Repetition
from node.features.archive.retention import Retention
from node.features.archive.retraction import RETRACT, TOMBSTONE, Retractions
from node.features.archive.rows import ID, RECEIVER_ARCHIVE, SENDER_ARCHIVE, Rows

NEEDS = ("blocking", "roster")

SID = "urn:xmpp:sid:0"
_SID = SID.encode()
_STANZA_ID = kind("stanza-id", SID)
_RETRACTION = kind("retract", RETRACT)


@dataclass
class Options:
    """`[archive]`."""

    keep_days: int = 365  # "what did you say last summer?" is asked, and of older things rarely; 0: for ever
    megabytes: int = 1024  # of archive.db: a chatting family of six fills it in five years; 0: as the disk allows

    def __post_init__(self):
        for name in ("keep_days", "megabytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")


def setup(hub, options):
    archive = Archive(hub)
    hub.provide("archive", archive)
    hub.guard("leaving", "message", archive.leaving)
    hub.guard("arriving", "message", archive.arriving)
    retention = Retention(hub, archive.rows, archive.reader, options.keep_days, options.megabytes)
    for part in (archive.queries, archive.preferences, retention):
        part.setup()
    hub.advertise(NS, EXTENDED, GROUPCHAT_FIELD, SID, paging.NS, at="account")
    for at in ("host", "account"):
        hub.advertise(RETRACT, TOMBSTONE, at=at)


class Archive:
    def __init__(self, hub):
        self.hub = hub
        self.rows = Rows(hub)
        self.reader = Reader(self.rows)
        self.queries = Queries(hub, self.rows, self.reader)
        self.preferences = Preferences(hub)
        self.blocking = hub.need("blocking")
        self.retractions = Retractions(hub, self.rows, self.reader)
        self.repetition = Repetition(hub, self.rows, self.reader)
        self.first = self.rows.next_id  # row of this run
        self._last: tuple[Stanza, list] | None = None  # the message on its way just now, and its row

    # On the way of messages

    def leaving(self, message: Stanza, origin):
        """Guard: what a person of ours says is kept for him, and for who gets it if he lives here, too."""
        sender, to = message.sender, message.to
        if sender is None or to is None or not worth_archiving(message):
            return False
        me, receiver, wants = sender.bare, to.bare, self.preferences.wants
        mine = wants(me, to)
        theirs = (
            self.is_person(to)
            and not self.blocking.blocks(receiver, sender)  # whoever is blocked has said nothing (XEP-0313 §6.1)
            and wants(receiver, sender)
        )
        row = self.repetition.find(message, origin) if mine else None
        if row is not None:
            return self.again(message, row)
        if mine or theirs:
            self.keep(message, me if mine else None, receiver if theirs else None)
        return False

    def again(self, message: Stanza, row: list):
        """It lies there already, in this row, and was passed on, or kept for who is away, when it came. Its sender is
        acked when that is safe, and nobody hears of it.

        But if the node was killed since, nobody knows how far it got with a server or a thing, which have no archive
        here: to these it is passed on once more. Better twice than never.
        """
        assert message.to is not None
        if row[ID] < self.first and not self.is_person(message.to):
            self._last = message, row
            return False
        return self.hub.spawn(sleep(0), "a repetition")  # whoever waits for a task is acked by what is safe behind it

    def arriving(self, message: Stanza, origin):
        """Guard: gives what is delivered the id that it has in its receiver's archive."""
        if message.to is not None and self.has_id(message.to.bare, message):
            return False  # somebody behind us had held it up
        if self._last is None or self._last[0] is not message:
            sender, to = message.sender, message.to
            if sender is None or to is None or not self.is_person(to) or not worth_archiving(message):
                return False
            if origin is not None and sender.domain == self.hub.host:
                return False  # that was decided when it was leaving, and it has been changed since
            if not self.preferences.wants(to.bare, sender):
                return False
            self.keep(message, None, to.bare)
        assert self._last is not None and message.to is not None
        row = self._last[1]
        if row[RECEIVER_ARCHIVE] is None:
            return False
        marked = self._marked(message, message.to.bare, self.rows.ids.seal(row[RECEIVER_ARCHIVE], row[ID]))
        self._last = marked, row
        return marked

    def keep(self, message: Stanza, mine: Jid | None, theirs: Jid | None) -> None:
        """Keeps it in the archives of these: the sender, the receiver, or both. Raises StanzaError and StoreError."""
        rows = self.rows
        if rows.pending.full:
            raise StanzaError("resource-constraint", "The archive cannot be written just now")
        assert message.sender is not None and message.to is not None
        row = rows.add(
            None if mine is None else rows.archives.make(mine),
            None if theirs is None else rows.archives.make(theirs),
            rows.addresses.make(message.sender.bare),
            rows.addresses.make(message.to.bare),
            message.to_bytes(CLIENT),
        )
        self._last = message, row
        if _RETRACTION in message.kinds:
            self.retractions.note(message, row)

    def is_person(self, address: Jid) -> bool:
        """Whether it is the address of somebody who has an archive here."""
        hub = self.hub
        return address.domain == hub.host and hub.accounts.exists(address.local)

    def has_id(self, owner: Jid, message: Stanza) -> bool:
        """Whether it comes a second time: a line broke before somebody had it."""
        if _STANZA_ID not in message.kinds:
            return False
        return any(child.get("by") == owner for child in message.children if child.name == "stanza-id")

    def _marked(self, message: Stanza, owner: Jid, id: str) -> Stanza:
        return message.plus(_STANZA_ID, b"<stanza-id xmlns='%b' by='%b' id='%b'/>" % (_SID, owner.wire, id.encode()))

    # What others want to know

    def id_of(self, owner: Jid, message: Stanza) -> str | None:
        """The id in the archive of `owner` (bare) of the message that is on its way just now, this very object.

        None when it is not kept there.
        """
        if self._last is None or self._last[0] is not message:
            return None
        row = self._last[1]
        for address, column in ((message.sender, SENDER_ARCHIVE), (message.to, RECEIVER_ARCHIVE)):
            if address is not None and address.bare == owner and row[column] is not None:
                return self.rows.ids.seal(row[column], row[ID])
        return None

    def with_id(self, owner: Jid, message: Stanza) -> Stanza:
        """The message as `owner` (bare) gets it, with its id if it has one there (§3.5)."""
        id = self.id_of(owner, message)
        return message if id is None else self._marked(message, owner, id)

    def refused(self, message: Stanza) -> None:
        """The receiver does not take the message that is on its way just now: then he has not got it (§6.1)."""
        if self._last is not None and self._last[0] is message:
            self._last[1][RECEIVER_ARCHIVE] = None

    def holds(self, owner: Jid, id: str) -> bool:
        """Whether there is a message of that id in the archive of `owner` (bare), on disk. Raises StoreError."""
        archive = self.rows.archives.get(owner)
        return archive is not None and self.reader.holds(archive, self.rows.ids.open(archive, id))

    @property
    def newest(self) -> int:
        """The number of the last row that was given out."""
        return self.rows.next_id - 1

    def last_on_disk(self) -> int:
        """The number of the last row on disk. At the start of the node all later ones are still to come; numbers
        beyond it that the last run has given out are void."""
        return self.rows.database.read("SELECT max(id) FROM stanzas")[0][0] or 0

    async def between(self, owner: Jid, low: int, high: int, limit: int) -> list[tuple[int, float, Stanza]]:
        """The messages of `owner` (bare) on disk in the rows between these two, the first `limit` of them: row, Unix
        time, and message with the id that it has in this archive. Raises StoreError."""
        archive = self.rows.archives.get(owner)
        if archive is None:
            return []
        found = []
        for row, stamp, data in await self.reader.find(Wanted(archive, low, high), limit, backwards=False):
            xml = self.reader.load(row) if isinstance(data, int) else data
            if xml is not None:
                id = E("stanza-id", SID, by=owner, id=self.rows.ids.seal(archive, row))
                found.append((row, stamp / 1000, unpack(xml, id)))
        return found

    def ends(self, owner: Jid) -> tuple[tuple[str, str], tuple[str, str]] | None:
        """The first and the last message in the archive of `owner` (bare), each its id and time stamp; None when there
        is none. The last may be one that is not on disk yet."""
        return self.queries.ends(owner)
