"""Sessions that can be resumed outlive the node (R10): what is kept of them, and how they come to life again.

At an orderly end each is written to accounts.db as it is, with all that its client has not acked. At the next start
it is there, asleep: nobody was told that it went, and nobody is told that it is back. For the case that the node is
killed, what it is stands in the ledger.
"""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from node.base.jid import Jid, parse
from node.base.stored import pack, unpack
from node.hub.database import Database, Statement
from node.hub.hub import Hub
from node.hub.store import StoreError
from node.ports.client.keeping import Management
from node.ports.client.ledger import Entry, Found, key_of
from node.ports.client.session import Client
from node.stream.acks import Sent

if TYPE_CHECKING:
    from node.ports.client import ClientPort

log = logging.getLogger("hobnode")

# `words` is JSON: whose it is, and what features know of it. `note`: the row of the archive that a stanza has there.
SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, words BLOB NOT NULL, handled INTEGER NOT NULL, acked INTEGER NOT NULL,
    on_line INTEGER NOT NULL, note INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE session_stanzas (
    session TEXT NOT NULL, number INTEGER NOT NULL, stanza BLOB NOT NULL, stamp REAL NOT NULL, note INTEGER NOT NULL,
    PRIMARY KEY (session, number)
) WITHOUT ROWID;
"""
# What features/offline.py has given to a session counts for as long as its queue is there: not when the node is killed.
STORAGE = ("offline", "given")
_KEEP = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)"
_KEEP_STANZA = "INSERT OR REPLACE INTO session_stanzas VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM sessions WHERE id = ?", "DELETE FROM session_stanzas WHERE session = ?"
_STANZAS = "SELECT stanza, stamp, note FROM session_stanzas WHERE session = ? ORDER BY number"


def setup(hub: Hub) -> None:
    """The tables. What is in them goes with its account, also when that is removed while no node runs."""
    hub.store.accounts.schema("sessions", SCHEMA)
    hub.on("removed", partial(_forget, hub.store.accounts))


def _forget(database: Database, owner: Jid) -> None:
    for id, words in database.read("SELECT id, words FROM sessions"):
        if parse(json.loads(words)["jid"]).bare == owner:
            database.write_all((statement, (id,)) for statement in _FORGET)


class Saved:
    """What is kept of the sessions."""

    def __init__(self, port: "ClientPort"):
        setup(port.hub)
        self._port = port
        self._database = port.hub.store.accounts
        self._changed: dict[Client, None] = {}
        port.hub.on("changed", self._note)

    # While the node runs

    def _note(self, full: Jid) -> None:
        """What a feature knows of a session has changed, and so, maybe, what it hears. What came before is noted, if it
        was sent that at all. It is written at once: the next thing that is said may be an h."""
        client = self._port.hub.sessions.get(full.bare, {}).get(full)
        if isinstance(client, Client) and client.management is not None and client.resumable:
            if client.management.page is not None and not client.is_asleep:
                client.management.page.all_noted(self._port.managed.archive.newest)
            self._describe(client)

    def describe_soon(self, client: Client) -> None:
        """Has the ledger say what it is at the end of this turn of the loop."""
        if not self._changed:
            self._port.hub.loop.call_soon(self._describe_changed)
        self._changed[client] = None

    def _describe_changed(self) -> None:
        changed, self._changed = self._changed, {}
        for client in changed:
            self._describe(client)

    def _describe(self, client: Client) -> None:
        if client.management is not None and client.management.page is not None:
            client.management.page.describe(_for_a_page(self._words(client, client.management)))

    def _words(self, client: Client, management: Management) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        self._port.hub.tell("save", client, parts)
        agent = client.agent.hex() if client.agent else None
        return {
            "jid": client.jid,
            "account": self._port.hub.accounts.mark(client.jid.local),
            "seconds": management.seconds,
            "since": client.since,
            "lang": client.lang,
            "agent": agent,
            "parts": parts,
        }

    # At the end of the node

    def keep(self, client: Client, management: Management) -> None:
        """Writes it down as it is. Nobody finds it any more, and nobody has been told."""
        sent = management.sent
        first = min((entry.note for entry in sent.queue if entry.note), default=self._port.managed.archive.newest + 1)
        counters = (management.handled.count, sent.acked, sent.on_line, first - 1)
        words = self._words(client, management)
        if management.lost is not None:  # killed before, and its client has not been back: it may still say what it has
            words["lost"] = management.lost[2:]
        try:
            statements: list[Statement] = [(_KEEP, (management.id, _packed(words), *counters))]
            statements += [
                (_KEEP_STANZA, (management.id, number, pack(stanza), stamp, note))
                for number, (stanza, _, stamp, note) in enumerate(sent.queue)
            ]
            self._database.write_all(statements)
        except StoreError as error:
            log.warning("%s will have to log in anew: %s", client.jid, error)
        self._port.hub.unbind(client, quietly=True)

    # At its start

    def restore(self) -> None:
        """Brings the sessions of the last run to life. What was kept of them has had its use."""
        found = self._port.managed.ledger.found
        kept = self._database.read("SELECT * FROM sessions")
        for id, words, *counters in kept:
            if id not in found:
                self._try(id, words, partial(self._refill, *counters))
        for id, page in found.items():
            self._try(id, page.words, partial(_recall, page.clamped(self._port.managed.last_row)))
        self._port.managed.ledger.stand()
        if not kept:  # a write would open another connection to the file: 0.2 MiB
            return
        try:
            self._database.write_all([("DELETE FROM sessions", ()), ("DELETE FROM session_stanzas", ())])
        except StoreError as error:
            log.warning("sessions that are here are in accounts.db, too: %s", error)

    def _try(self, id: str, words: bytes, fill: Callable[[Management, dict[str, Any]], None]) -> None:
        """One session; `fill` gives it its counters and its queue."""
        hub = self._port.hub
        try:
            said = json.loads(words)
            jid = parse(said["jid"])
            if not said["account"] or said["account"] != hub.accounts.mark(jid.local):
                return  # the name is nobody's now, or somebody else's, or has a new password
            if jid in hub.sessions.get(jid.bare, ()):
                return
            agent = bytes.fromhex(said["agent"]) if said["agent"] else None
            client = Client.revived(self._port, jid, said["lang"], agent)
            management = Management(client, id, said["seconds"])
            fill(management, said)
        except (ValueError, KeyError) as error:  # a JidError is a ValueError
            log.warning("a session cannot be brought back: %s: %s", type(error).__name__, error)
            return
        self._port.managed.manage(management)
        hub.bind(client)
        hub.tell("restore", client, said["parts"])
        client.since = said.get("since", 0.0)
        on_line = management.sent.on_line
        management.fall_asleep()
        management.sent.on_line = on_line
        self.describe_soon(client)

    def _refill(
        self, handled: int, acked: int, on_line: int, note: int, management: Management, said: dict[str, Any]
    ) -> None:
        """As it was at an orderly end."""
        management.handled.count = handled
        newest = management.handled.note = self._port.managed.last_row
        sent = management.sent = Sent(acked)
        for data, stamp, its_note in self._database.read(_STANZAS, (management.id,)):
            sent.add(unpack(data), len(data), stamp, its_note)
        sent.on_line = on_line
        if "lost" in said:
            row, sent_number, sent_row, entries, end = said.pop("lost")
            noted = [Entry(*each) for each in entries]
            management.revive(Found(_for_a_page(said), handled, row, sent_number, sent_row, noted, end))
            return
        noted = [
            Entry(number, entry.note, key_of(entry.stanza))
            for number, entry in enumerate(sent.queue[:on_line], acked + 1)
            if entry.note
        ]
        known = handled, newest, acked, min(note, newest), _for_a_page(said), noted
        management.page = self._port.managed.ledger.page(management.id, *known)


def _packed(words: dict[str, Any]) -> bytes:
    return json.dumps(words, ensure_ascii=False).encode()


def _for_a_page(words: dict[str, Any]) -> bytes:
    """What of them holds when the node is killed."""
    parts = {name: part for name, part in words["parts"].items() if name not in STORAGE}
    return _packed(words | {"parts": parts})


def _recall(found: Found, management: Management, said: dict[str, Any]) -> None:
    """As far as it is known of one whose node was killed."""
    management.handled.count, management.handled.note = found.handled, found.row
    management.revive(found)
