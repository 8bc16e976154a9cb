"""RFC 6121 §2: the roster, whom somebody knows and who may see whom, with versions (§2.6)."""

import logging
import secrets
from functools import lru_cache
from sys import intern
from typing import NamedTuple

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import Stanza, new_id
from node.hub.store import StoreError

log = logging.getLogger(__name__)

NS = "jabber:iq:roster"

ITEMS_LIMIT = 2000  # a roster of 500 is a large one; 2000 are 1 MiB of memory and a result of 200 KiB
TEXTS_LIMIT = 256 * 1024  # characters of all addresses, names and groups of a roster: 2000 items as they are in life
REQUESTS_LIMIT = 100  # of those who are in no roster, waiting for an answer: a person reads no more
GROUPS_LIMIT = 16  # of one contact; people use one or two
TEXT_LIMIT = 1023  # bytes of a name or a group: what an address may have is enough for a name
IDLE_LIMIT = 50  # rosters kept of accounts that nobody uses just now: for those who are written to while away

SCHEMA = """
CREATE TABLE roster (
    owner TEXT NOT NULL, jid TEXT NOT NULL, name TEXT NOT NULL, groups TEXT NOT NULL,
    subscription TEXT NOT NULL, ask INTEGER NOT NULL, approved INTEGER NOT NULL, listed INTEGER NOT NULL,
    request BLOB,
    PRIMARY KEY (owner, jid)
) WITHOUT ROWID;
CREATE TABLE roster_version (owner TEXT PRIMARY KEY, version TEXT NOT NULL) WITHOUT ROWID;
"""
SEPARATOR = "\x1f"  # between groups in the store: a character that no XML can hold


def setup(hub, options):
    rosters = Rosters(hub)
    hub.provide("roster", rosters)
    hub.on_iq("get", "query", NS, rosters.fetch, at="self")
    hub.on_iq("set", "query", NS, rosters.edit, at="self")
    # At "account" there is none: the roster of somebody else is as that of a missing account.
    hub.on("unbound", rosters.left)
    hub.on("save", rosters.save_session)
    hub.on("restore", rosters.restore_session)
    hub.on("removed", rosters.forget)


class Item(NamedTuple):
    """One contact, as the roster's owner has it. Never changed: a change puts another in its place."""

    jid: Jid
    name: str = ""
    groups: tuple[str, ...] = ()
    subscription: str = "none"  # or "to": owner sees contact; "from": contact sees owner; "both"
    ask: bool = False  # the owner asked and waits: "pending out"
    approved: bool = False  # a request of the contact will be granted at once (RFC 6121 §3.4)
    listed: bool = True  # in the roster; else only here because of a request (RFC 6121 §3.1.3)
    request: bytes | None = None  # the contact's stanza that asks and waits: "pending in"

    @property
    def sees(self) -> bool:
        """The owner sees the contact."""
        return self.subscription in ("to", "both")

    @property
    def seen(self) -> bool:
        """The contact sees the owner."""
        return self.subscription in ("from", "both")

    @property
    def pending_in(self) -> bool:
        """The contact has asked to see the owner, and waits."""
        return self.request is not None

    @property
    def weight(self) -> int:
        """How many characters people have put into it."""
        return len(self.jid) + len(self.name) + sum(map(len, self.groups))

    def element(self) -> Element:
        return E(
            "item",
            None,
            *(E("group", None, group) for group in self.groups),
            jid=self.jid,
            name=self.name or None,
            subscription=self.subscription,
            ask="subscribe" if self.ask else None,
            approved="true" if self.approved else None,
        )


@lru_cache(maxsize=256)
def _shared(item: Item) -> Item:
    """The first that is equal: who follows a hundred things is in a hundred rosters."""
    return item


class Roster:
    """The roster of one account while it is in memory."""

    __slots__ = ("items", "unsaved", "version")

    def __init__(self, items: dict[Jid, Item], version: str):
        self.items = items
        self.version = version
        self.unsaved = 0  # changes on their way to the disk


class Rosters:
    """All rosters: in memory those in use. Owners and contacts are bare addresses."""

    def __init__(self, hub):
        self.hub = hub
        self.store = hub.store.accounts
        self.store.schema("roster", SCHEMA)
        self.loaded: dict[Jid, Roster] = {}
        # Resources that have fetched the roster and so hear of changes (RFC 6121 §2.1.6).
        self.interested: set[Jid] = set()

    def items(self, owner: Jid) -> dict[Jid, Item]:
        """All contacts, also those who only asked to be one (`listed` is False). Not to be changed."""
        return self.roster(owner).items

    def subscribed(self, owner: Jid, contact: Jid) -> bool:
        """Whether the contact may see the owner."""
        item = self.roster(owner).items.get(contact)
        return item is not None and item.subscription in ("from", "both")

    def subscribers(self, owner: Jid) -> list[Jid]:
        """Those who see the owner."""
        items = self.roster(owner).items
        return [jid for jid, item in items.items() if item.subscription in ("from", "both")]

    def watching(self, owner: Jid) -> list[Jid]:
        """Those whom the owner sees."""
        items = self.roster(owner).items
        return [jid for jid, item in items.items() if item.subscription in ("to", "both")]

    def roster(self, owner: Jid) -> Roster:
        return self.loaded.get(owner) or self._load(owner)

    def _load(self, owner: Jid) -> Roster:
        rows = self.store.read(
            "SELECT jid, name, groups, subscription, ask, approved, listed, request FROM roster WHERE owner = ?",
            (owner,),
        )
        items = {}
        for jid, name, groups, subscription, *flags, request in rows:
            try:
                contact = parse(jid)
            except JidError:
                log.warning("the roster of %s has an address that is valid no more: %r", owner, jid)
                continue
            parted = tuple(groups.split(SEPARATOR)) if groups else ()
            ask, approved, listed = map(bool, flags)
            items[contact] = _shared(Item(contact, name, parted, intern(subscription), ask, approved, listed, request))
        versions = self.store.read("SELECT version FROM roster_version WHERE owner = ?", (owner,))
        if len(self.loaded) >= IDLE_LIMIT:
            self._drop_idle()
        roster = self.loaded[owner] = Roster(items, versions[0][0] if versions else "0")
        return roster

    def _drop_idle(self):
        for owner, roster in list(self.loaded.items()):
            if not roster.unsaved and owner not in self.hub.sessions and owner not in self.hub.things:
                del self.loaded[owner]

    def left(self, session):
        """The last session of an account takes its roster along."""
        owner = session.jid.bare
        self.interested.discard(session.jid)
        roster = self.loaded.get(owner)
        others = any(other is not session for other in self.hub.sessions.get(owner, {}).values())
        if roster and not roster.unsaved and not others:
            del self.loaded[owner]

    def save_session(self, session, parts):
        if session.jid in self.interested:
            parts["roster"] = True

    def restore_session(self, session, parts):
        if parts.get("roster"):
            self.interested.add(session.jid)

    def forget(self, owner: Jid):
        """The account is gone."""
        for item in list(self.items(owner).values()):
            self.hub.tell("contact removed", owner, item)
        self.loaded.pop(owner, None)
        self.interested.difference_update(self.hub.sessions.get(owner, ()))
        self.store.write("DELETE FROM roster WHERE owner = ?", (owner,))
        self.store.write("DELETE FROM roster_version WHERE owner = ?", (owner,))

    # Changes: in memory at once, told to anybody after the commit (D5). Commits keep their order.

    def put(self, owner: Jid, item: Item) -> "Saving":
        """Has this item in the place of the old one. Raises StanzaError when the roster is full."""
        roster = self.roster(owner)
        old = roster.items.get(item.jid)
        if old is None or old.listed != item.listed:
            self._make_room(roster, item.listed)
        self._weigh(roster, old, item)
        roster.items[item.jid] = item
        flags = (item.subscription, item.ask, item.approved, item.listed, item.request)
        row = (owner, item.jid, item.name, SEPARATOR.join(item.groups), *flags)
        statement = "INSERT OR REPLACE INTO roster VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row
        visible = item.listed and (old is None or item._replace(request=None) != old._replace(request=None))
        return self._save(owner, roster, statement, item.element() if visible else None)

    def remove(self, owner: Jid, contact: Jid) -> "Saving":
        """Has no item for this contact any more."""
        roster = self.roster(owner)
        old = roster.items.pop(contact)
        statement = "DELETE FROM roster WHERE owner = ? AND jid = ?", (owner, contact)
        gone = E("item", None, jid=contact, subscription="remove") if old.listed else None
        return self._save(owner, roster, statement, gone)

    async def set_subscription(self, owner: Jid, contact: Jid, subscription: str) -> None:
        """For a thing, which keeps no contacts: 'from' makes a follower, 'none' ends or refuses it.

        Returns when that is kept. Raises StanzaError when it cannot be.
        """
        if subscription != "none":
            await self.put(owner, Item(contact, subscription=subscription)).done()
        elif contact in self.items(owner):
            await self.remove(owner, contact).done()

    async def set_pending(self, owner: Jid, contact: Jid, pending: bool) -> None:
        """For a thing: `contact` would be a follower, and waits. Raises StanzaError when too many do."""
        if pending:
            await self.put(owner, Item(contact, listed=False, request=b"")).done()
        else:
            await self.set_subscription(owner, contact, "none")

    def _make_room(self, roster, listed):
        """Requests of strangers are counted apart, so that they cannot fill the roster."""
        limit = ITEMS_LIMIT if listed else REQUESTS_LIMIT
        if len(roster.items) < limit:
            return
        if sum(item.listed == listed for item in roster.items.values()) >= limit:
            raise StanzaError("resource-constraint", f"At most {limit} of these")

    def _weigh(self, roster, old, item):
        more = item.weight - (old.weight if old else 0)
        if more > 0 and more + sum(each.weight for each in roster.items.values()) > TEXTS_LIMIT:
            raise StanzaError("resource-constraint", f"A roster has at most {TEXTS_LIMIT} characters")

    def _save(self, owner, roster, statement, shown) -> "Saving":
        statements = [statement]
        if shown is not None:
            # Random: never used twice, also when a backup was put back. RFC 6121 §2.6.1: it is opaque.
            roster.version = secrets.token_urlsafe(6)
            version = "INSERT OR REPLACE INTO roster_version VALUES (?, ?)", (owner, roster.version)
            statements.append(version)
        try:
            self.store.write_all(statements)
        except StoreError as error:
            self.loaded.pop(owner, None)
            raise unkept(error) from error
        return Saving(self, owner, roster, shown)

    def interested_sessions(self, owner: Jid) -> list:
        """The sessions that have fetched the roster."""
        sessions = self.hub.sessions.get(owner, {})
        return [session for jid, session in sessions.items() if jid in self.interested]

    # What clients ask

    def fetch(self, iq, origin):
        """RFC 6121 §2.1.3 and §2.6.3: all of it, or nothing where the client has this version already."""
        owner = iq.sender.bare
        if iq.sender not in self.interested:
            self.interested.add(iq.sender)
            self.hub.tell("changed", iq.sender)
        roster = self.roster(owner)
        version = iq.payload.get("ver")
        if version == roster.version:
            return iq.reply()
        items = (item.element() for item in roster.items.values() if item.listed)
        return iq.reply(E("query", NS, *items, ver=None if version is None else roster.version))

    async def edit(self, iq, origin):
        """RFC 6121 §2.3-§2.5: adds, changes or removes one contact."""
        owner = iq.sender.bare
        items = iq.payload.findall("item")
        if len(items) != 1:
            raise StanzaError("bad-request", "One item at a time")
        contact = address(items[0].get("jid"))
        if contact == owner:
            raise StanzaError("not-allowed", "Nobody is a contact of himself")
        old = self.items(owner).get(contact)
        removed = items[0].get("subscription") == "remove"
        if removed:
            if old is None or not old.listed:
                raise StanzaError("item-not-found")
            saving = self.remove(owner, contact)
        else:
            # §2.1.2.5: of the subscription a client may only say "remove"; the rest is ours to know.
            saving = self.put(owner, (old or Item(contact))._replace(listed=True, **described(items[0])))
        await saving.done()
        # §2.3.2, §2.4.2: first the result, then the push to all, the one who asked among them.
        self.hub.route(iq.reply())
        saving.push()
        if removed:
            self.hub.tell("contact removed", owner, old)
        return


class Saving:
    """A change on its way to the disk: wait until it is `done`, then `push`."""

    __slots__ = ("committed", "owner", "roster", "rosters", "shown", "version")

    def __init__(self, rosters: Rosters, owner: Jid, roster: Roster, shown: Element | None):
        self.rosters = rosters
        self.owner = owner
        self.roster = roster
        self.shown = shown  # the item as clients shall see it; None when they see no difference
        self.version = roster.version
        self.committed = rosters.store.committed()
        roster.unsaved += 1

    async def done(self) -> None:
        """Returns when the change is on disk. Raises StanzaError when it cannot be; it is taken back then."""
        loaded = self.rosters.loaded
        try:
            await self.committed
        except StoreError as error:
            loaded.pop(self.owner, None)  # to be read again: memory shall not know more than the disk
            raise unkept(error) from error
        finally:
            self.roster.unsaved -= 1
        if loaded.get(self.owner) is not self.roster:
            loaded.pop(self.owner, None)  # was read meanwhile, without this change

    def push(self) -> None:
        """RFC 6121 §2.1.6: tells all who have fetched the roster. No `from`: it is their own account."""
        if self.shown is None:
            return
        query = E("query", NS, self.shown, ver=self.version)
        for session in self.rosters.interested_sessions(self.owner):
            session.deliver(Stanza("iq", query, type="set", to=session.jid, id=new_id()))


def unkept(error: StoreError) -> StanzaError:
    """What somebody hears whose change could not be kept: the disk is full or broken, for now."""
    return StanzaError("resource-constraint", f"This could not be kept: {error}")


def address(text: str | None) -> Jid:
    """The contact whom an item names."""
    if not text:
        raise StanzaError("bad-request", "An item has a jid")
    try:
        return parse(text).bare
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from error


def described(item: Element) -> dict:
    """The name and the groups that a client gives a contact (RFC 6121 §2.3.3 has the errors)."""
    name = item.get("name") or ""
    groups = [group.text for group in item.findall("group", NS)]
    if len(set(groups)) != len(groups):
        raise StanzaError("bad-request", "A group is named twice")
    if "" in groups or any(len(text.encode()) > TEXT_LIMIT for text in (name, *groups)):
        raise StanzaError("not-acceptable", f"Names have up to {TEXT_LIMIT} bytes, and a group has one")
    if len(groups) > GROUPS_LIMIT:
        raise StanzaError("not-allowed", f"A contact is in at most {GROUPS_LIMIT} groups")
    return {"name": name, "groups": tuple(groups)}
