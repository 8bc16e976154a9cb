"""XEP-0160: messages for people who are not there, stamped by XEP-0203 and kept until a client has them (D3).

What a client has is known by its ack (XEP-0198), or by asking: after a batch of messages it gets a ping, and only its
answer, which comes after them on the same stream, has them deleted. A client whose session ends before gets them again.
"""

import logging
import time
from asyncio import Future
from collections.abc import Iterable
from typing import NamedTuple

from node.base import stamp
from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.hints import worth_keeping
from node.base.jid import Jid, JidError
from node.base.stanza import Stanza, new_id
from node.base.stored import pack, unpack
from node.features.roster import unkept
from node.hub.claims import archive_id
from node.hub.delivery import listening
from node.hub.store import StoreError
from node.net.deadlines import Deadlines

log = logging.getLogger(__name__)

NEEDS = ("roster", "presence")

FEATURE = "msgoffline"
DELAY = "urn:xmpp:delay"
FROM_STORAGE = "Offline Storage"  # XEP-0160 §2: the reason in our stamp
PING = "urn:xmpp:ping"
HINTS = "urn:xmpp:hints"  # XEP-0334

MESSAGES_LIMIT = 1000  # for one account from its contacts, and as many again from strangers: a family's month
BYTES_LIMIT = 10 * 1024 * 1024  # likewise: a hundred full accounts take 2 GB of a card
PATIENCE = 60.0  # seconds for a client to confirm a batch, then another one may have it: a slow line takes ten
BATCH = 200  # messages at once, and
BATCH_BYTES = 512 * 1024  # of them: half of what a connection may have unsent

SCHEMA = """
CREATE TABLE offline (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, stranger INTEGER NOT NULL, stamp REAL NOT NULL,
    stanza BLOB NOT NULL
);
CREATE INDEX offline_owner ON offline (owner, id);
"""
ARCHIVED = "ALTER TABLE offline ADD COLUMN archived TEXT"  # its id in the owner's archive, if it is there, too


def setup(hub, options):
    offline = Offline(hub)
    hub.provide("offline", offline)
    hub.advertise(FEATURE)
    hub.on("available", offline.arrived)
    hub.on("resumed", offline.returned)
    hub.on("unbound", offline.left)
    hub.on("save", offline.save)
    hub.on("restore", offline.restore)
    hub.on("removed", offline.forget)
    hub.watch("leaving", "iq", offline.answered)


class Message(NamedTuple):
    """One message as it is kept. `stranger` is 1 for a sender who was no contact of the owner, else 0."""

    id: int
    owner: str
    stranger: int
    stamp: float
    stanza: bytes
    archived: str | None = None


class Batch(NamedTuple):
    """Messages on their way to a resource, and the id of the ping behind them, if there is one."""

    full: Jid
    id: str
    messages: list[tuple[int, int, int]]  # id, stranger, bytes
    late: bool = False  # not confirmed in time: who comes next gets them


class Box:
    """How much is kept for one account: from contacts, from strangers."""

    __slots__ = ("bytes", "confirmed", "given", "messages")

    def __init__(self):
        self.confirmed = 0  # up to this id messages are delivered, and on their way out of the database
        self.messages = [0, 0]
        self.bytes = [0, 0]
        self.given: dict[int, set[Jid]] = {}  # by message: sessions that have got it from here, or a copy (XEP-0280)

    def count(self, stranger: int, messages: int, size: int) -> None:
        self.messages[stranger] += messages
        self.bytes[stranger] += size


class Offline:
    def __init__(self, hub):
        self.hub = hub
        self.rosters = hub.need("roster")
        self.store = hub.store.accounts
        self.store.schema("offline", SCHEMA, ARCHIVED)
        self.next_id = (self.store.read("SELECT max(id) FROM offline")[0][0] or 0) + 1
        self.boxes: dict[Jid, Box] = {}  # of accounts for which something was kept since the start, or is
        self.fresh: dict[int, Message] = {}  # not committed yet, so not to be read from the database
        self.gone: set[int] = set()  # deleted by `leave_to_archive`, but not on disk yet
        self.batches: dict[Jid, Batch] = {}  # under way, by account
        self.unconfirmed = Deadlines(hub.loop, PATIENCE, self.overdue)  # accounts

    def box(self, owner: Jid) -> Box:
        box = self.boxes.get(owner)
        if box is None:
            box = self.boxes[owner] = Box()
            totals = "SELECT stranger, count(*), sum(length(stanza)) FROM offline WHERE owner = ?"
            for row in self.store.read(f"{totals} GROUP BY stranger", (owner,)):
                box.count(*row)
        return box

    # Keeping

    def keep(self, owner: Jid, message: Stanza, came: float | None = None) -> None:
        """Keeps a message of type chat or normal for an account (bare) of which nobody is there.

        It `came` at that Unix time, else now. Raises StanzaError when it must not be kept or there is no room. Of a
        disk that fails the sender hears a moment later.
        """
        if message.has("no-store", HINTS):
            raise StanzaError("service-unavailable")
        if not worth_keeping(message):
            return
        assert message.sender is not None  # the port has stamped it
        stranger = self.is_stranger(owner, message.sender)
        data = pack(message)
        box = self.box(owner)
        if box.messages[stranger] >= MESSAGES_LIMIT or box.bytes[stranger] + len(data) > BYTES_LIMIT:
            self.hub.need("archive").refused(message)
            raise StanzaError("service-unavailable", "Too many messages wait already")
        kept = Message(self.next_id, owner, stranger, came or time.time(), data, archive_id(owner, message))
        try:
            self.store.write("INSERT INTO offline VALUES (?, ?, ?, ?, ?, ?)", kept)
        except StoreError as error:
            raise unkept(error) from error
        self.next_id += 1
        box.count(stranger, 1, len(data))
        copied = self.hub.need("carbons").copied(message, kept.stamp)
        if copied:
            box.given[kept.id] = copied
        self.fresh[kept.id] = kept
        self.store.committed(hurry=False).add_done_callback(lambda commit: self.settled(commit, owner, kept, message))

    def is_stranger(self, owner: Jid, sender: Jid) -> int:
        if sender.domain == self.hub.host:
            return 0
        item = self.rosters.items(owner).get(sender.bare)
        return int(item is None or not item.listed)

    def settled(self, commit: "Future[None]", owner: Jid, kept: Message, message: Stanza) -> None:
        """It is on disk, or cannot be: then its sender is told."""
        del self.fresh[kept.id]
        error = None if commit.cancelled() else commit.exception()
        if isinstance(error, StoreError):
            box = self.box(owner)
            box.count(kept.stranger, -1, -len(kept.stanza))
            box.given.pop(kept.id, None)
            self.hub.refuse(message, unkept(error))

    # Handing over

    def arrived(self, session, first):
        """A resource is available: it gets what waits, unless its priority is negative (XEP-0160 §2)."""
        owner = session.jid.bare
        box = self.box(owner)
        if not any(box.messages):
            if not box.confirmed:  # nothing waits, as for most: why keep an empty box
                del self.boxes[owner]
        elif session.jid in listening(self.hub, owner):
            self.send(owner, session)

    def send(self, owner, session):
        """The next batch. What comes meanwhile goes by the ordinary way and may overtake older batches."""
        under_way = self.batches.get(owner)
        if under_way and not under_way.late:
            return
        messages = self.waiting(owner)
        if not messages:
            return
        given = self.box(owner).given
        for message in messages:
            has = given.setdefault(message.id, set())
            if session.jid in has:
                continue  # it sleeps over it, or has had a copy while it did not listen
            has.add(session.jid)
            try:
                session.deliver(unpack(message.stanza, self.delay(message.stamp)))
            except JidError as error:
                log.warning("a message for %s has a sender that is valid no more: %s", owner, error)
        sizes = [(message.id, message.stranger, len(message.stanza)) for message in messages]
        self.hand_over(owner, session, sizes, ping=True)

    def hand_over(self, owner, session, sizes, ping):
        """Waits for the client to confirm what it has been sent."""
        batch = self.batches[owner] = Batch(session.jid, new_id(), sizes)
        self.unconfirmed.add(owner)
        acks = session.when_acked(lambda: self.confirmed(owner, batch.id))
        if ping and not acks:
            session.deliver(
                Stanza("iq", E("ping", PING), type="get", id=batch.id, sender=self.hub.host, to=session.jid)
            )

    def hands_over(self, message: Stanza) -> bool:
        """Whether this message, delivered and not acked, came from here, where it still is."""
        return message.has("delay", DELAY) and any(
            (child.name, child.ns) == ("delay", DELAY)
            and child.get("from") == self.hub.host
            and child.text == FROM_STORAGE
            for child in message.children
        )

    def waiting(self, owner: Jid) -> list[Message]:
        """The oldest messages for an account, as many as go at once."""
        confirmed = self.box(owner).confirmed
        rows = self.store.read(
            "SELECT * FROM offline WHERE owner = ? AND id > ? ORDER BY id LIMIT ?", (owner, confirmed, BATCH)
        )
        messages = {row[0]: Message(*row) for row in rows if row[0] not in self.gone}
        for message in self.fresh.values():
            if message.owner == owner and message.id > confirmed:
                messages[message.id] = message
        batch: list[Message] = []
        size = 0
        for message in list(messages.values())[:BATCH]:
            size += len(message.stanza)
            if batch and size > BATCH_BYTES:
                break
            batch.append(message)
        return batch

    def delay(self, came: float) -> Element:
        """What is said of a message from here that came at that Unix time."""
        return E("delay", DELAY, FROM_STORAGE, from_=self.hub.host, stamp=stamp.format(came))

    def archived(self, owner: Jid) -> dict[str, tuple[int, float]]:
        """What waits here for `owner` (bare) and is in his archive: by its id there, its id here and the Unix time when
        it came. Raises StoreError."""
        confirmed = self.boxes[owner].confirmed if owner in self.boxes else 0
        rows = self.store.read(
            "SELECT id, stamp, archived FROM offline WHERE owner = ? AND id > ? AND archived IS NOT NULL",
            (owner, confirmed),
        )
        fresh = [(each.id, each.stamp, each.archived) for each in self.fresh.values() if each.owner == owner]
        return {archived: (id, came) for id, came, archived in (*rows, *fresh) if archived and id not in self.gone}

    def is_next(self, full: Jid) -> bool:
        """Whether that session gets what waits when it is resumed, and no other is getting it."""
        batch = self.batches.get(full.bare)
        return full in listening(self.hub, full.bare) and (batch is None or batch.late or batch.full == full)

    def gave(self, full: Jid, id: int) -> None:
        """That session has been given the message of that id already, if it is the id of one."""
        if id:
            self.box(full.bare).given.setdefault(id, set()).add(full)

    def answered(self, stanza, origin):
        """Watcher: the answer to the ping, a result or an error, came after the messages had been read."""
        if not self.batches or stanza.type not in ("result", "error"):
            return
        batch = self.batches.get(stanza.sender.bare)
        if batch is not None and stanza.sender == batch.full and stanza.id == batch.id:
            self.confirmed(batch.full.bare, batch.id)

    def confirmed(self, owner, id):
        """The client has the messages of that batch."""
        batch = self.batches.get(owner)
        if batch is None or batch.id != id:
            return
        self.drop(owner)
        box = self.box(owner)
        box.confirmed = batch.messages[-1][0]
        for message, stranger, size in batch.messages:
            box.count(stranger, -1, -size)
            box.given.pop(message, None)
        try:
            self.store.write("DELETE FROM offline WHERE owner = ? AND id <= ?", (owner, box.confirmed))
            self.go_on(owner)
        except StoreError as error:  # not the client's fault; after the next start they come once more
            log.warning("messages that %s has were not deleted, or more not found: %s", owner, error)

    def drop(self, owner):
        self.batches.pop(owner, None)
        self.unconfirmed.discard(owner)

    def overdue(self, owner):
        """A client that reads and never answers, or whose line is cut, does not hold back the others."""
        batch = self.batches[owner] = self.batches[owner]._replace(late=True)
        others = [full for full in listening(self.hub, owner) if full != batch.full]
        if others:
            given = self.box(owner).given.get(batch.messages[0][0], ())
            next_one = min(others, key=given.__contains__)  # of those who have not been given it the first
            self.send(owner, self.hub.sessions[owner][next_one])

    def left(self, session):
        """What it was sent and did not confirm goes to another resource, if there is one."""
        owner = session.jid.bare
        if owner in self.boxes:
            for has in self.boxes[owner].given.values():
                has.discard(session.jid)
        batch = self.batches.get(owner)
        if batch and batch.full == session.jid:
            self.drop(owner)
            self.go_on(owner)

    def leave_to_archive(self, owner: Jid) -> None:
        """Somebody logs in who reads the archive (XEP-0386): what is there, on disk, is not for us to hand over.

        Raises StoreError.
        """
        box = self.box(owner)
        if not any(box.messages):
            if not box.confirmed:
                del self.boxes[owner]
            return
        holds = self.hub.need("archive").holds
        under_way = {id for id, _, _ in self.batches[owner].messages} if owner in self.batches else set()
        left = {
            id: (stranger, size)
            for id, stranger, size, archived in self.store.read(
                "SELECT id, stranger, length(stanza), archived FROM offline WHERE owner = ? AND id > ?",
                (owner, box.confirmed),
            )
            if archived and id not in under_way and id not in self.gone and holds(owner, archived)
        }
        if not left:
            return
        self.store.write_all(("DELETE FROM offline WHERE id = ?", (id,)) for id in left)
        self.gone.update(left)
        for id, (stranger, size) in left.items():
            box.count(stranger, -1, -size)
            box.given.pop(id, None)
        self.store.committed(hurry=False).add_done_callback(lambda commit: self.have_gone(commit, owner, left))

    def have_gone(self, commit: "Future[None]", owner: Jid, left: Iterable[int]) -> None:
        """The disk knows it; or it cannot be deleted, and is handed over like the rest."""
        self.gone.difference_update(left)
        if not commit.cancelled() and commit.exception():
            self.boxes.pop(owner, None)
        self.go_on(owner)

    def go_on(self, owner):
        """The next batch, to whoever is there."""
        there = listening(self.hub, owner)
        if there and any(self.box(owner).messages):
            self.send(owner, self.hub.sessions[owner][there[0]])

    # A session that outlives its line, or the node (XEP-0198)

    def returned(self, session):
        """It is back: what was kept while the node was down, and the session with it, waits for nobody else."""
        if session.jid in self.hub.present.get(session.jid.bare, ()):
            self.arrived(session, False)

    def save(self, session, parts):
        batch = self.batches.get(session.jid.bare)
        if batch and batch.full == session.jid:
            parts["offline"] = batch.messages[-1][0]
        box = self.boxes.get(session.jid.bare)
        given = [id for id, has in box.given.items() if session.jid in has] if box else []
        if given:
            parts["given"] = given

    def restore(self, session, parts):
        """It was sent messages, and may still ack them."""
        owner, last = session.jid.bare, parts.get("offline")
        select = "SELECT id, stranger, length(stanza) FROM offline WHERE owner = ? AND id <= ? ORDER BY id"
        sizes = self.store.read(select, (owner, last)) if last else []
        if sizes:
            self.box(owner)
            self.hand_over(owner, session, sizes, ping=False)
        for id in parts.get("given", ()):
            self.box(owner).given.setdefault(id, set()).add(session.jid)

    def forget(self, owner):
        """The account is gone."""
        self.boxes.pop(owner, None)
        self.drop(owner)
        self.store.write("DELETE FROM offline WHERE owner = ?", (owner,))
