"""XEP-0377: Blocking Command Reports: whoever blocks somebody may tell the administrator why.

A report is one warning in the log and a row in accounts.db. Nothing is forwarded to anybody, whatever the
report allows: it stays in the house.
"""

import logging
import time

from node.base.jid import parse
from node.features import blocking

NEEDS = ("blocking",)

log = logging.getLogger("hobnode")

NS = "urn:xmpp:reporting:1"
STANZA_ID = "urn:xmpp:sid:0"

KEPT = 100  # reports of one person, the newest; 250 KiB, and more than anybody reads
DAILY = 20  # reports of one person that are listened to: a bad day; a broken client shall not fill the log
REASON_LIMIT = 100  # characters; those of the XEP have 25
TEXT_LIMIT = 500  # characters; more is no line in a log
STANZAS_LIMIT = 10  # pointed to in one report: enough to see what is going on
ID_LIMIT = 128  # characters; a UUID has 36
DAY = 86400  # seconds

# `stanzas`: their ids, one a line.
SCHEMA = """
CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stamp INTEGER NOT NULL,
    owner TEXT NOT NULL,
    jid TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL,
    stanzas TEXT NOT NULL
);
CREATE INDEX reports_by_owner ON reports (owner, id);
"""
_KEEP = "INSERT INTO reports (stamp, owner, jid, reason, text, stanzas) VALUES (?, ?, ?, ?, ?, ?)"
_THIN = """DELETE FROM reports WHERE owner = ?
    AND id <= (SELECT id FROM reports WHERE owner = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"""


def setup(hub, options):
    reports = Reports(hub)
    for at in ("host", "account"):
        hub.advertise(NS, at=at)
    hub.on("blocked", reports.look)
    hub.on("removed", reports.forget)


class Reports:
    def __init__(self, hub):
        self.hub = hub
        self.store = hub.store.accounts
        self.store.schema("reporting", SCHEMA)
        self.day = 0
        self.today: dict[str, int] = {}  # reports of this day, by owner

    def look(self, owner, command):
        """`owner` has blocked what the command says: the block stands, whatever we make of the reports (§5)."""
        if not self.hub.accounts.exists(owner.local):  # removed while the block was being committed
            return
        for item in command.findall("item", blocking.NS):
            report = item.find("report", NS)
            if report is not None and report.get("reason") and self._listens_to(owner):
                self._keep(owner, parse(item.get("jid")), report)

    def _listens_to(self, owner):
        day = int(time.time()) // DAY
        if day != self.day:
            self.day, self.today = day, {}
        self.today[owner] = self.today.get(owner, 0) + 1
        return self.today[owner] <= DAILY

    def _keep(self, owner, jid, report):
        reason = report.get("reason")[:REASON_LIMIT]
        texts = report.findall("text")
        text = texts[0].text.strip()[:TEXT_LIMIT] if texts else ""
        ids = [each.get("id") or "" for each in report.findall("stanza-id", STANZA_ID)[:STANZAS_LIMIT]]
        stanzas = "\n".join(id[:ID_LIMIT] for id in ids if id)
        # %r: what people write cannot pretend to be lines of the log
        log.warning("%s reports %s: %r %r", owner, jid, reason, text)
        row = int(time.time()), owner, jid, reason, text, stanzas
        self.store.write_all([(_KEEP, row), (_THIN, (owner, owner, KEPT))])

    def forget(self, owner):
        """The account is gone."""
        self.today.pop(owner, None)
        self.store.write("DELETE FROM reports WHERE owner = ?", (owner,))
