"""XEP-0441: Message Archive Management Preferences: whose messages somebody wants kept."""

import logging
from typing import NamedTuple

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, parse
from node.features.roster import unkept
from node.hub.hub import Hub
from node.hub.store import StoreError

log = logging.getLogger(__name__)

NS = "urn:xmpp:mam:2"

ITEMS_LIMIT = 1000  # addresses in both lists of one person: as many as he can block
TEXT_LIMIT = 128 * 1024  # characters of them

# In accounts.db: that somebody wants nothing kept must not be lost with a damaged archive.
SCHEMA = """
CREATE TABLE archive_default (owner TEXT PRIMARY KEY, choice TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE archive_list (
    owner TEXT NOT NULL, jid TEXT NOT NULL, choice TEXT NOT NULL, PRIMARY KEY (owner, jid)
) WITHOUT ROWID;
"""
ALWAYS, NEVER, ROSTER = "always", "never", "roster"


class Choice(NamedTuple):
    """What one person wants: his default, and for some addresses `always` or `never`."""

    default: str = ALWAYS  # a new device, or one that was away, finds all that was said
    listed: dict[Jid, str] = {}  # never changed


class Preferences:
    """Those of all who want anything but the default: few, so in memory."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.store = hub.store.accounts
        self.store.schema("archive", SCHEMA)
        self.choices: dict[Jid, Choice] = {}
        for owner, default in self.store.read("SELECT owner, choice FROM archive_default"):
            self.choices[parse(owner)] = Choice(default, self._list(owner))

    def setup(self) -> None:
        self.hub.on_iq("get", "prefs", NS, self.show, at="self")
        self.hub.on_iq("set", "prefs", NS, self.change, at="self")
        self.hub.on("removed", self.forget)

    def _list(self, owner: str) -> dict[Jid, str]:
        listed = {}
        for jid, choice in self.store.read("SELECT jid, choice FROM archive_list WHERE owner = ?", (owner,)):
            try:
                listed[parse(jid)] = choice
            except JidError:
                log.warning("the archive list of %s has an address that is valid no more: %r", owner, jid)
        return listed

    def wants(self, owner: Jid, peer: Jid) -> bool:
        """Whether `owner` (bare) wants kept what is said between him and `peer`."""
        choice = self.choices.get(owner)
        if choice is None:
            return True
        listed = choice.listed.get(peer) or choice.listed.get(peer.bare)  # §2.3: the resource first, if it is named
        if listed is not None:
            return listed == ALWAYS
        if choice.default == ROSTER:
            item = self.hub.need("roster").items(owner).get(peer.bare)
            return item is not None and item.listed
        return choice.default == ALWAYS

    # What clients ask

    def show(self, iq, origin):
        return iq.reply(_told(self.choices.get(iq.sender.bare, Choice())))

    async def change(self, iq, origin):
        """Holds, and is answered, when it is on disk (D5)."""
        owner, choice = iq.sender.bare, _read(iq.payload)
        self.store.write_all(
            [
                ("DELETE FROM archive_list WHERE owner = ?", (owner,)),
                ("INSERT OR REPLACE INTO archive_default VALUES (?, ?)", (owner, choice.default)),
                *(
                    ("INSERT INTO archive_list VALUES (?, ?, ?)", (owner, jid, what))
                    for jid, what in choice.listed.items()
                ),
            ]
        )
        try:
            await self.store.committed()
        except StoreError as error:
            raise unkept(error) from error
        if not self.hub.accounts.exists(owner.local):  # it was removed meanwhile
            self.forget(owner)
        else:
            self.choices[owner] = choice
        return iq.reply(_told(choice))

    def forget(self, owner: Jid) -> None:
        """The account is gone."""
        self.choices.pop(owner, None)
        for table in ("archive_default", "archive_list"):
            self.store.write(f"DELETE FROM {table} WHERE owner = ?", (owner,))


def _read(prefs: Element) -> Choice:
    """What a client asks for. Raises StanzaError. Who is in both lists is never kept."""
    default = prefs.get("default")
    if default not in (ALWAYS, NEVER, ROSTER):
        raise StanzaError("bad-request", "The default is always, never or roster")
    listed: dict[Jid, str] = {}
    for choice in (ALWAYS, NEVER):
        for part in prefs.findall(choice):
            for each in part.findall("jid"):
                try:
                    listed[parse(each.text.strip())] = choice
                except JidError as error:
                    raise StanzaError("jid-malformed", str(error)) from error
    if len(listed) > ITEMS_LIMIT or sum(map(len, listed)) > TEXT_LIMIT:
        raise StanzaError("resource-constraint", f"There may be {ITEMS_LIMIT} addresses in the lists")
    return Choice(default, listed)


def _told(choice: Choice) -> Element:
    return E(
        "prefs",
        NS,
        *(
            E(name, None, *(E("jid", None, jid) for jid, listed in choice.listed.items() if listed == name))
            for name in (ALWAYS, NEVER)
        ),
        default=choice.default,
    )
