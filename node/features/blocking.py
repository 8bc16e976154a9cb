"""XEP-0191: Blocking Command."""

import logging

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import Stanza, new_id
from node.features.roster import unkept
from node.hub.store import StoreError

log = logging.getLogger(__name__)

NS = "urn:xmpp:blocking"
ERRORS = "urn:xmpp:blocking:errors"

ITEMS_LIMIT = 1000  # addresses in one list, 150 KiB of memory; who is pestered by more blocks their domain
BYTES_LIMIT = 256 * 1024  # of text in one list: what fits into one stanza

SCHEMA = """
CREATE TABLE blocked (owner TEXT NOT NULL, jid TEXT NOT NULL, PRIMARY KEY (owner, jid)) WITHOUT ROWID;
"""


def setup(hub, options):
    blocking = Blocking(hub)
    hub.provide("blocking", blocking)
    hub.advertise(NS)  # on the domain: XEP-0191 §3.1
    hub.advertise(NS, at="account")
    hub.on_iq("get", "blocklist", NS, blocking.show, at="self")
    hub.on_iq("set", "block", NS, blocking.block, at="self")
    hub.on_iq("set", "unblock", NS, blocking.unblock, at="self")
    for name in ("message", "presence", "iq"):
        hub.guard("leaving", name, blocking.refuse)
        hub.guard("arriving", name, blocking.drop)
    hub.on("unbound", blocking.left)
    hub.on("save", blocking.save)
    hub.on("restore", blocking.restore)
    hub.on("removed", blocking.forget)


class Blocking:
    """All blocklists, in memory: they are few and short, and every stanza is held against them."""

    def __init__(self, hub):
        self.hub = hub
        self.store = hub.store.accounts
        self.store.schema("blocking", SCHEMA)
        self.lists: dict[Jid, dict[Jid, None]] = {}  # by owner; a list that is empty is not there
        self.asked: dict[Jid, set[Jid]] = {}  # resources that fetched the list, by account: they get pushes
        for owner, jid in self.store.read("SELECT owner, jid FROM blocked"):
            self._add(owner, jid)

    def _add(self, owner, jid):
        try:
            self.lists.setdefault(parse(owner), {})[parse(jid)] = None
        except JidError:
            log.warning("the blocklist of %s has an address that is valid no more: %r", owner, jid)

    @property
    def presence(self):
        return self.hub.need("presence")  # set up after us

    # Who is blocked

    def blocks(self, owner: Jid, other: Jid) -> bool:
        """Whether `owner` (bare) has blocked `other`; his own resources he cannot."""
        blocked = self.lists.get(owner)
        return blocked is not None and other.bare != owner and matches(blocked, other)

    def blocks_anybody(self, owner: Jid) -> bool:
        return owner in self.lists

    def between(self, one: Jid, other: Jid) -> bool:
        """Whether one of the two (bare) has blocked the other."""
        return bool(self.lists) and (self.blocks(one, other) or self.blocks(other, one))

    def refuse(self, stanza, origin):
        """Nobody writes to whom he has blocked (§3.3)."""
        if not self.lists or stanza.to is None or not self.blocks(stanza.sender.bare, stanza.to):
            return False
        if stanza.type not in ("error", "result"):
            # Delivered, not raised: the error is from the blocked address, and our own guard would stop it.
            error = StanzaError("not-acceptable", type="cancel", extra=E("blocked", ERRORS))
            origin.deliver(stanza.error(error))
        return True

    def drop(self, stanza, origin):
        """Whoever is blocked finds nobody there: the answer is that of a missing account (§3.3)."""
        if not self.lists or stanza.sender is None or not self.blocks(stanza.to.bare, stanza.sender):
            return False
        self.hub.nobody(stanza, origin)
        return True

    # What clients ask

    def show(self, iq, origin):
        owner = iq.sender.bare
        asked = self.asked.setdefault(owner, set())
        if iq.sender not in asked:
            asked.add(iq.sender)
            self.hub.tell("changed", iq.sender)
        return iq.reply(E("blocklist", NS, *(E("item", None, jid=jid) for jid in self.lists.get(owner, ()))))

    async def block(self, iq, origin):
        owner = iq.sender.bare
        wanted = addresses(iq.payload)
        if not wanted:
            raise StanzaError("bad-request", "A block has at least one item")
        if any(jid.bare == owner or jid == self.hub.host for jid in wanted):
            raise StanzaError("not-allowed", "Nobody can block himself or his own server")
        blocked = self.lists.get(owner, {})
        new = [jid for jid in wanted if jid not in blocked]
        if len(blocked) + len(new) > ITEMS_LIMIT or sum(map(len, blocked)) + sum(map(len, new)) > BYTES_LIMIT:
            raise StanzaError("resource-constraint", f"A blocklist has at most {ITEMS_LIMIT} addresses")
        followers = [jid for jid in self._followers(owner) if matches(dict.fromkeys(new), jid)]
        await self._change(owner, new, [])
        for follower in followers:
            self.presence.withdraw(owner, follower)
        self.presence.leave_blocked(owner)
        self._answer(iq, E("block", NS, *(E("item", None, jid=jid) for jid in wanted)))
        self.hub.tell("blocked", owner, iq.payload)  # whoever reads more in it than we do (XEP-0377)

    async def unblock(self, iq, origin):
        owner = iq.sender.bare
        wanted = addresses(iq.payload)
        blocked = self.lists.get(owner, {})
        gone = [jid for jid in blocked if jid in wanted or not wanted]
        left = {jid: None for jid in blocked if jid not in gone}
        hidden = [jid for jid in self._followers(owner) if self.blocks(owner, jid)]
        followers = [jid for jid in hidden if not matches(left, jid)]
        await self._change(owner, [], gone)
        for follower in followers:
            self.presence.show(owner, follower)
        self._answer(iq, E("unblock", NS, *(E("item", None, jid=jid) for jid in wanted)))

    def _followers(self, owner):
        """Those who may see the presence of `owner`: they are told when that changes (§3.3, §3.4)."""
        return self.hub.need("roster").subscribers(owner)

    async def _change(self, owner, new, gone):
        """In memory at once, answered after the commit (D5); taken back when there can be none."""
        self._put(owner, new, gone)
        statements = [("INSERT OR IGNORE INTO blocked VALUES (?, ?)", (owner, jid)) for jid in new]
        statements += [("DELETE FROM blocked WHERE owner = ? AND jid = ?", (owner, jid)) for jid in gone]
        try:
            if statements:
                self.store.write_all(statements)
            await self.store.committed()
        except StoreError as error:
            self._put(owner, gone, new)  # these alone: another change may have been kept meanwhile
            raise unkept(error) from error

    def _put(self, owner, new, gone):
        blocked = {jid: None for jid in (*self.lists.get(owner, ()), *new) if jid not in gone}
        if blocked:
            self.lists[owner] = blocked
        else:
            self.lists.pop(owner, None)

    def _answer(self, iq, push):
        self.hub.route(iq.reply())
        owner = iq.sender.bare
        sessions = self.hub.sessions.get(owner, {})
        for full in self.asked.get(owner, ()):
            if full in sessions:
                sessions[full].deliver(Stanza("iq", push, type="set", to=full, id=new_id()))

    def left(self, session):
        resources = self.asked.get(session.jid.bare)
        if resources:
            resources.discard(session.jid)
            if not resources:
                del self.asked[session.jid.bare]

    def save(self, session, parts):
        if session.jid in self.asked.get(session.jid.bare, ()):
            parts["blocking"] = True

    def restore(self, session, parts):
        if parts.get("blocking"):
            self.asked.setdefault(session.jid.bare, set()).add(session.jid)

    def forget(self, owner):
        """The account is gone."""
        self.lists.pop(owner, None)
        self.asked.pop(owner, None)
        self.store.write("DELETE FROM blocked WHERE owner = ?", (owner,))


def matches(blocked: dict[Jid, None], jid: Jid) -> bool:
    """§5: the address itself, its account, its domain with the resource, its domain."""
    if jid in blocked or jid.bare in blocked or jid.domain in blocked:
        return True
    return jid.full and f"{jid.domain}/{jid.resource}" in blocked


def addresses(command) -> list[Jid]:
    """The addresses that a command names, each once. Raises StanzaError."""
    try:
        return list(dict.fromkeys(parse(item.get("jid") or "") for item in command.findall("item", NS)))
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from error
