"""Messages for other servers that have to wait, as rows of the store: neither kill -9 nor a restart loses them (D6).

They lie in archive.db: damage there must not cost anybody his account. What is sent at once is never written.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from node.base import stamp
from node.base.element import E
from node.base.hints import NS as HINTS
from node.base.hints import worth_keeping
from node.base.jid import JidError
from node.base.stanza import Stanza
from node.base.stored import pack, unpack
from node.hub.store import StoreError

if TYPE_CHECKING:
    from node.hub.hub import Hub

log = logging.getLogger("hobnode")

DELAY = "urn:xmpp:delay"  # XEP-0203
SCHEMA = "CREATE TABLE outgoing (id INTEGER PRIMARY KEY, stamp REAL NOT NULL, stanza BLOB NOT NULL)"


class Kept:
    """The rows. Numbers grow in the order in which messages came."""

    def __init__(self, hub: "Hub"):
        self._host = hub.host
        self._store = hub.store.archive
        self._store.schema("link", SCHEMA)
        self._next = (self._store.read("SELECT max(id) FROM outgoing")[0][0] or 0) + 1

    def keep(self, stanza: Stanza, lost: Callable[[StoreError], object]) -> int:
        """Keeps a message; the number of its row. 0: it is none, says nothing later (D7), or is not to be stored.

        StoreError if there is no keeping now; if that turns out later, `lost(error)` is called.
        """
        if stanza.name != "message" or not worth_keeping(stanza) or stanza.has("no-store", HINTS):
            return 0
        row = self._next
        self._store.write("INSERT INTO outgoing VALUES (?, ?, ?)", (row, time.time(), pack(stanza)))
        self._next += 1

        def settled(commit):
            error = None if commit.cancelled() else commit.exception()
            if isinstance(error, StoreError):
                lost(error)

        self._store.committed(hurry=False).add_done_callback(settled)
        return row

    def drop(self, rows: Iterable[int]) -> None:
        """They are on their way, or back at their senders; 0 is none."""
        statements = [("DELETE FROM outgoing WHERE id = ?", (row,)) for row in rows if row]
        if not statements:
            return
        try:
            self._store.write_all(statements)
        except StoreError as error:
            log.warning("%d messages may be sent to other servers twice: %s", len(statements), error)

    def left(self) -> list[tuple[int, Stanza]]:
        """Numbers and messages, each with a stamp of when it came: what waited when the last run ended.

        A start's work: who cannot read them says so, and begins without.
        """
        try:
            rows = self._store.read("SELECT id, stamp, stanza FROM outgoing ORDER BY id")
        except StoreError as error:
            log.error("messages that waited for other servers cannot be read: %s", error)
            return []
        messages = []
        for row, came, data in rows:
            delay = E("delay", DELAY, from_=self._host, stamp=stamp.format(came))
            try:
                messages.append((row, unpack(data, delay)))
            except JidError as error:
                log.warning("a message that waited for another server has an address that is valid no more: %s", error)
                self.drop([row])
        return messages
