"""XEP-0160: messages for people who are not there, stamped by XEP-0203 and kept until a client has them (D3).

What a client has is known by asking it: after a batch of messages it gets a ping, and only its answer, which
comes after them on the same stream, has them deleted. A client whose line breaks before gets them again.
"""

import logging
import time
from asyncio import Future
from typing import NamedTuple

from node.base import stamp
from node.base.element import SEPARATOR, E
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError
from node.base.stanza import CLIENT, Stanza, kind, new_id
from node.base.stored import pack, unpack
from node.features.roster import unkept
from node.hub.delivery import listening
from node.hub.store import StoreError

log = logging.getLogger(__name__)

NEEDS = ("roster", "presence")

FEATURE = "msgoffline"
DELAY = "urn:xmpp:delay"
PING = "urn:xmpp:ping"
HINTS = "urn:xmpp:hints"  # XEP-0334
CHAT_STATES = "http://jabber.org/protocol/chatstates"

MESSAGES_LIMIT = 1000  # for one account from its contacts, and as many again from strangers: a family's month
BYTES_LIMIT = 10 * 1024 * 1024  # likewise: a hundred full accounts take 2 GB of a card
BATCH = 200  # messages at once, and
BATCH_BYTES = 512 * 1024  # of them: half of what a connection may have unsent

SCHEMA = """
CREATE TABLE offline (
    id INTEGER PRIMARY KEY, owner TEXT NOT NULL, stranger INTEGER NOT NULL, stamp REAL NOT NULL,
    stanza BLOB NOT NULL
);
CREATE INDEX offline_owner ON offline (owner, id);
"""

# Namespaces of what says nothing by itself, or only as long as one looks. Receipts, markers, reactions and
# what is encrypted have no body either, and are kept.
_PASSING = (CHAT_STATES, HINTS, DELAY, "urn:xmpp:sid:0")
_THREAD = kind("thread", CLIENT)


def setup(hub, options):
    offline = Offline(hub)
    hub.provide("offline", offline)
    hub.advertise(FEATURE)
    hub.on("available", offline.arrived)
    hub.on("unbound", offline.left)
    hub.on("removed", offline.forget)
    hub.watch("leaving", "iq", offline.answered)


class Message(NamedTuple):
    """One message as it is kept. `stranger` is 1 for a sender who was no contact of the owner, else 0."""

    id: int
    owner: str
    stranger: int
    stamp: float
    stanza: bytes


class Batch(NamedTuple):
    """Messages on their way to a resource, and the id of the ping behind them."""

    full: Jid
    ping: str
    messages: list[tuple[int, int, int]]  # id, stranger, bytes


class Box:
    """How much is kept for one account: from contacts, from strangers."""

    __slots__ = ("bytes", "confirmed", "messages")

    def __init__(self):
        self.confirmed = 0  # up to this id messages are delivered, and on their way out of the database
        self.messages = [0, 0]
        self.bytes = [0, 0]

    def count(self, stranger: int, messages: int, size: int) -> None:
        self.messages[stranger] += messages
        self.bytes[stranger] += size


class Offline:
    def __init__(self, hub):
        self.hub = hub
        self.rosters = hub.need("roster")
        self.store = hub.store.accounts
        self.store.schema("offline", SCHEMA)
        self.next_id = (self.store.read("SELECT max(id) FROM offline")[0][0] or 0) + 1
        self.boxes: dict[Jid, Box] = {}  # of accounts for which something was kept since the start, or is
        self.fresh: dict[int, Message] = {}  # not committed yet, so not to be read from the database
        self.batches: dict[Jid, Batch] = {}  # under way, by account

    def box(self, owner: Jid) -> Box:
        box = self.boxes.get(owner)
        if box is None:
            box = self.boxes[owner] = Box()
            totals = "SELECT stranger, count(*), sum(length(stanza)) FROM offline WHERE owner = ?"
            for row in self.store.read(f"{totals} GROUP BY stranger", (owner,)):
                box.count(*row)
        return box

    # Keeping

    def keep(self, owner: Jid, message: Stanza) -> None:
        """Keeps a message of type chat or normal for an account (bare) of which nobody is there.

        Raises StanzaError when it must not be kept or there is no room. Of a disk that fails the sender hears
        a moment later.
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
            raise StanzaError("service-unavailable", "Too many messages wait already")
        kept = Message(self.next_id, owner, stranger, time.time(), data)
        try:
            self.store.write("INSERT INTO offline VALUES (?, ?, ?, ?, ?)", kept)
        except StoreError as error:
            raise unkept(error) from error
        self.next_id += 1
        box.count(stranger, 1, len(data))
        self.fresh[kept.id] = kept
        self.store.committed().add_done_callback(lambda commit: self.settled(commit, owner, kept, message))

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
            self.box(owner).count(kept.stranger, -1, -len(kept.stanza))
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
        if owner in self.batches:
            return
        messages = self.waiting(owner)
        if not messages:
            return
        for message in messages:
            came = stamp.format(message.stamp)
            delay = E("delay", DELAY, "Offline Storage", from_=self.hub.host, stamp=came)
            try:
                session.deliver(unpack(message.stanza, delay))
            except JidError as error:
                log.warning("a message for %s has a sender that is valid no more: %s", owner, error)
        sizes = [(message.id, message.stranger, len(message.stanza)) for message in messages]
        batch = self.batches[owner] = Batch(session.jid, new_id(), sizes)
        session.deliver(Stanza("iq", E("ping", PING), type="get", id=batch.ping, sender=self.hub.host, to=session.jid))

    def waiting(self, owner: Jid) -> list[Message]:
        """The oldest messages for an account, as many as go at once."""
        confirmed = self.box(owner).confirmed
        rows = self.store.read(
            "SELECT * FROM offline WHERE owner = ? AND id > ? ORDER BY id LIMIT ?", (owner, confirmed, BATCH)
        )
        messages = {row[0]: Message(*row) for row in rows}
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

    def answered(self, stanza, origin):
        """Watcher: the answer to the ping, a result or an error, came after the messages had been read."""
        if not self.batches or stanza.type not in ("result", "error"):
            return
        owner = stanza.sender.bare
        batch = self.batches.get(owner)
        if batch is None or stanza.id != batch.ping or stanza.sender != batch.full:
            return
        del self.batches[owner]
        box = self.box(owner)
        box.confirmed = batch.messages[-1][0]
        self.store.write("DELETE FROM offline WHERE owner = ? AND id <= ?", (owner, box.confirmed))
        for _, stranger, size in batch.messages:
            box.count(stranger, -1, -size)
        self.go_on(owner)

    def left(self, session):
        """What it was sent and did not confirm goes to another resource, if there is one."""
        owner = session.jid.bare
        batch = self.batches.get(owner)
        if batch and batch.full == session.jid:
            del self.batches[owner]
            self.go_on(owner)

    def go_on(self, owner):
        """The next batch, to whoever is there."""
        there = listening(self.hub, owner)
        if there and any(self.box(owner).messages):
            self.send(owner, self.hub.sessions[owner][there[0]])

    def forget(self, owner):
        """The account is gone."""
        self.boxes.pop(owner, None)
        self.batches.pop(owner, None)
        self.store.write("DELETE FROM offline WHERE owner = ?", (owner,))


def worth_keeping(message: Stanza) -> bool:
    """Whether it says anything that is still worth hearing later (XEP-0160 §3)."""
    if message.has("store", HINTS):
        return True
    return any(key != _THREAD and key.partition(SEPARATOR)[0] not in _PASSING for key in message.kinds)
