"""Which address a thing at the broker has: made of its name once, and kept in things.db, for people know it by that.

It is the device's for ever, by what it says its identifier is: rights, followers and history go by address, and no
other device gets them because it is called as the one before.
"""

import logging
import re
import time

from node.base.jid import JidError, make

log = logging.getLogger("hobnode")

LENGTH = 40  # characters: what people type
LIMIT = 2000  # that are remembered, of things that have gone too: two for each that may be there

WAY = "command line"  # in the audit of the node itself: that something was forgotten

SCHEMA = "CREATE TABLE mqtt_things (key TEXT PRIMARY KEY, local TEXT UNIQUE, name TEXT, gone INTEGER) WITHOUT ROWID"

# Where something is kept by the address of a thing.
TRACES = ("grants", "audit", "series", "watches")
PAST = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE thing = :local" for table in TRACES)


class Addresses:
    def __init__(self, hub):
        self._hub = hub
        self._database = hub.store.things
        self._database.schema("mqtt_things", SCHEMA)
        self._kept: dict[str, list] = {}  # by key: localpart, name, when it went (0: it is there)
        for key, *about in self._database.read("SELECT key, local, name, gone FROM mqtt_things ORDER BY gone"):
            self._kept[key] = about

    def present(self) -> dict[str, str]:
        """The names of those that were there when the node stopped, by their keys."""
        return {key: name for key, (_, name, gone) in self._kept.items() if not gone}

    def of(self, key: str, name: str) -> str:
        """The localpart of that thing: as it was, if nobody else has it now."""
        known = self._kept.get(key)
        if known and not self._has_another(known[0]):
            local = known[0]
        else:
            others = {local for other, (local, _, _) in self._kept.items()}
            local = self._free(name, others)
            if known:
                log.warning("%s: its address %s is somebody else's now: it is %s", name, known[0], local)
        if not known or known != [local, name, 0]:
            self._keep(key, local, name, 0)
        return local

    def knows(self, key: str) -> bool:
        """Whether that device has or had an address."""
        return key in self._kept

    def owner(self, local: str) -> str:
        """The name of the device that has or had that address; '' if none had it."""
        return next((name for other, name, _ in self._kept.values() if other == local), "")

    def key(self, local: str) -> str:
        """Of the device that has or had that address; '' if none had it."""
        return next((key for key, (other, _, _) in self._kept.items() if other == local), "")

    def renamed(self, key: str, name: str) -> None:
        """People call it something else now; its address stays."""
        known = self._kept.get(key)
        if known and known[1] != name:
            self._keep(key, known[0], name, 0)

    def gone(self, key: str) -> None:
        """The thing is no more; should it come back, it has its address again."""
        known = self._kept.get(key)
        if known:
            self._keep(key, known[0], known[1], int(time.time()) or 1)

    async def forget(self, key: str) -> None:
        """Keeps nothing of a thing that is not there; another may have its address. Raises StoreError."""
        hub, local = self._hub, self._kept[key][0]
        jid = make(local, hub.host)
        self._drop(key)
        hub.tell("removed", jid)  # its followers
        hub.tell("thing forgotten", jid)
        hub.need("audit").note(make("hub", hub.host), hub.host, WAY, f"forget {local}")
        await hub.store.accounts.committed()
        await self._database.committed()

    def _drop(self, key: str) -> None:
        del self._kept[key]
        self._database.write("DELETE FROM mqtt_things WHERE key = ?", (key,))

    def _keep(self, key: str, local: str, name: str, gone: int) -> None:
        self._kept.pop(key, None)
        self._kept[key] = [local, name, gone]
        self._database.write("INSERT OR REPLACE INTO mqtt_things VALUES (?, ?, ?, ?)", (key, local, name, gone))
        if len(self._kept) > LIMIT:
            oldest = next((key for key, (_, _, gone) in self._kept.items() if gone), key)
            self._drop(oldest)

    def _has_another(self, local: str) -> bool:
        hub = self._hub
        return make(local, hub.host) in hub.things or hub.accounts.exists(local) or hub.accounts.was_removed(local)

    def _has_past(self, local: str) -> bool:
        """Whether something had that address: another does not get its followers, rights and history."""
        if self._hub.need("roster").subscribers(make(local, self._hub.host)):
            return True
        return bool(self._database.read(f"{PAST} LIMIT 1", {"local": local}))

    def _free(self, name: str, others: set[str]) -> str:
        begin = slug(name)
        number = 1
        while True:
            local = begin if number == 1 else f"{begin}-{number}"
            try:
                local = make(local, self._hub.host).local
            except JidError:
                begin, number = "device", 1
                continue
            if local not in others and not self._has_another(local) and not self._has_past(local):
                return local
            number += 1


def slug(name: str) -> str:
    """A name as people may type it: 'Kitchen lamp (left)' is kitchen-lamp-left."""
    return re.sub(r"[\W_]+", "-", name.casefold())[:LENGTH].strip("-") or "device"
