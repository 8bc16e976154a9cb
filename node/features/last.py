"""XEP-0012: Last Activity: how long the node is up, and how long ago somebody was last here."""

import logging
from time import time

from node.base.element import E
from node.base.errors import StanzaError
from node.base.stanza import CLIENT, kind
from node.hub.store import StoreError

log = logging.getLogger(__name__)

NEEDS = ("roster",)
NS = "jabber:iq:last"
QUERY = kind("query", NS)

FLUSH = 3600.0  # seconds between two writes: a phone that comes and goes shall not wear out the card
STATUS_LIMIT = 500  # characters of the last words that are kept

SCHEMA = """
CREATE TABLE last_seen (localpart TEXT PRIMARY KEY, seen INTEGER NOT NULL, status TEXT NOT NULL) WITHOUT ROWID
"""


def setup(hub, options):
    LastSeen(hub)


class LastSeen:
    """When everybody was last here, and with what words they left. On disk at most FLUSH seconds later."""

    def __init__(self, hub):
        self.hub = hub
        self.roster = hub.need("roster")
        self.started = hub.loop.time()
        self.database = hub.store.accounts
        self.database.schema("last", SCHEMA)
        rows = self.database.read("SELECT localpart, seen, status FROM last_seen")
        # In Unix time, since it has to outlive us.
        self.seen = {localpart: (seen, status) for localpart, seen, status in rows}
        self.unsaved = set()
        self.flush_later = None
        self.goodbyes = {}  # last words of resources that are still connected
        hub.advertise(NS)
        hub.advertise(NS, at="account")
        hub.on_iq("get", "query", NS, self.uptime)
        hub.on_iq("get", "query", NS, self.last, at="account")
        hub.on_iq("get", "query", NS, hide, at="missing")
        hub.guard("arriving", "iq", self.protect)
        hub.watch("leaving", "presence", self.listen)
        hub.on("unbound", self.left)
        hub.on("removed", self.forget)
        hub.on("save", self.save_session)
        hub.on("restore", self.restore_session)
        hub.on("stopping", self.stop)

    def uptime(self, iq, origin):
        """§5: of the node itself, for everybody."""
        return iq.reply(E("query", NS, seconds=str(int(self.hub.loop.time() - self.started))))

    def last(self, iq, origin):
        """§3: of an account, for whom `protect` let through."""
        if iq.to in self.hub.sessions:
            return iq.reply(E("query", NS, seconds="0"))
        if iq.to.local not in self.seen:
            raise StanzaError("item-not-found", "Has not been here yet")
        seen, status = self.seen[iq.to.local]
        passed = max(0, int(time() - seen))  # a clock may have been set back
        return iq.reply(E("query", NS, status or None, seconds=str(passed)))

    def protect(self, iq, origin):
        """§3, §4: for those who may see the presence; nobody else asks us, or a client that would answer."""
        if QUERY not in iq.kinds or iq.type != "get" or iq.to.bare in self.hub.things:
            return
        account, who = iq.to.bare, iq.sender.bare
        if who != account and not self.roster.subscribed(account, who):
            raise StanzaError("forbidden")

    def listen(self, presence, origin):
        """§3: the last words are the status of the last unavailable presence."""
        if presence.to is not None:
            return
        self.goodbyes.pop(presence.sender, None)
        if presence.type == "unavailable" and presence.has("status", CLIENT):
            self.goodbyes[presence.sender] = presence.child("status", CLIENT).text[:STATUS_LIMIT]

    def left(self, session):
        self.note(session.jid.local, self.goodbyes.pop(session.jid, ""))

    def save_session(self, session, parts):
        if session.jid in self.goodbyes:
            parts["goodbye"] = self.goodbyes[session.jid]

    def restore_session(self, session, parts):
        if "goodbye" in parts:
            self.goodbyes[session.jid] = parts["goodbye"]

    def note(self, localpart, status):
        if not self.hub.accounts.exists(localpart):
            return  # just removed, and the session ends because of it
        self.seen[localpart] = (int(time()), status)
        self.unsaved.add(localpart)
        if self.flush_later is None:
            self.flush_later = self.hub.loop.call_later(FLUSH, self.flush)

    def flush(self):
        self.flush_later = None
        self.hub.spawn(self.save(), "last activity")

    async def save(self):
        names, self.unsaved = self.unsaved, set()
        rows = [(name, *self.seen[name]) for name in names]
        try:
            for row in rows:
                self.database.write("INSERT OR REPLACE INTO last_seen VALUES (?, ?, ?)", row)
            await self.database.committed()
        except StoreError as error:
            log.warning("when people were last here is not kept: %s", error)

    def forget(self, account):
        self.seen.pop(account.local, None)
        self.unsaved.discard(account.local)
        self.database.write("DELETE FROM last_seen WHERE localpart = ?", (account.local,))

    def stop(self):
        """All who are here now leave with us."""
        for account in self.hub.sessions:
            self.note(account.local, "")
        if self.flush_later is not None:
            self.flush_later.cancel()
            self.flush()


def hide(iq, origin):
    """Who may not see somebody's last activity shall not see either that there is nobody (security: A14)."""
    raise StanzaError("forbidden")
