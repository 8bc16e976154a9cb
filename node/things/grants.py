"""What owners change about access while the node runs: by the commands `grant` and `revoke`, or by saying so.

Grants given here are kept in things.db, beside those of the configuration, which only its file takes back.
"""

import logging
from contextlib import suppress

from node.base import form
from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import Jid, parse
from node.hub.store import StoreError
from node.hub.thing import Thing
from node.things import words
from node.things.access import ALL, RIGHTS, Grant, Named
from node.things.commands import NS, ended, refused
from node.things.misnamed import guess, missing

log = logging.getLogger("hobnode")

NEEDS = ("access", "audit", "followers", "commands", "chat")

LIMIT = 500  # grants: a family and its neighbours need ten; each asker is held against those of one thing
SCOPES = (("this", "this thing"), ("all", "all things"))


def setup(hub, options):
    grants = Grants(hub)
    commands, chat = hub.need("commands"), hub.need("chat")
    commands.add("grant", "Give access", grants.ask_grant, grants.run_grant, commands.owner)
    commands.add("revoke", "Take access back", grants.ask_revoke, grants.run_revoke, commands.owner)
    chat.understand(r"grant (\S+) (read|control|approve)", grants.say_grant, grants.offers)
    chat.understand(r"revoke (\S+)(?: (read|control|approve))?", grants.say_revoke)


class Grants:
    def __init__(self, hub):
        self.hub = hub
        self.access = hub.need("access")
        self.audit = hub.need("audit")
        self.followers = hub.need("followers")
        self.database = hub.store.things
        self.database.schema(
            "grants",
            "CREATE TABLE grants (thing TEXT, right TEXT, who TEXT, PRIMARY KEY (thing, right, who)) WITHOUT ROWID",
        )
        self.access.grant(Grant(*row) for row in self.database.read("SELECT thing, right, who FROM grants"))
        hub.on("removed", self.removed)
        hub.on("thing forgotten", self.forgotten)

    # Changing

    async def give(self, thing: Thing, grant: Grant, by: Jid) -> str:
        """Keeps a grant; what is to be said of it. Raises StanzaError."""
        grant = grant._replace(who=self.prepared(grant.who))
        if grant in self.access.grants:
            return f"That was so already: {told(grant)}."
        if len(self.access.grants) >= LIMIT:
            raise StanzaError("resource-constraint", f"There are {LIMIT} grants already; take some back first.")
        await self.change(thing, by, "INSERT OR IGNORE INTO grants VALUES (?, ?, ?)", [grant])
        self.access.grant({*self.access.grants, grant})
        self.audit.note(thing.jid, by, "grant", told(grant))
        people = {*self.hub.accounts.names(), *(jid.local for jid in self.hub.things)}
        if not missing(grant.who, self.hub.host, people):
            return f"{told(grant)}."
        close = guess(parse(grant.who).local, people, self.hub.host)
        nobody = words.sentence(f"{told(grant)}. But there is no {grant.who} here{close}")
        return (
            f"{nobody} Whoever gets that name later is not meant."  # see `removed`: a new account begins with nothing
        )

    def prepared(self, who: str) -> str:
        """As a grant has it. Raises StanzaError."""
        if who in self.access.options.groups:
            return who
        try:
            named = Named("who", [who], {})
        except ValueError as error:
            raise StanzaError("bad-request", str(error)) from None
        return next(iter(named.accounts), None) or f"@{next(iter(named.domains))}"

    async def take(self, thing: Thing, grants: list[Grant], by: Jid) -> str:
        """Takes grants to one (address, domain or group) back; what is to be said of it. Raises StanzaError."""
        self.access.grant(self.access.grants.difference(grants))  # at once, and on the disk as soon as it can
        try:
            await self.change(thing, by, "DELETE FROM grants WHERE thing = ? AND right = ? AND who = ?", grants)
        except StanzaError:
            self.access.grant(self.access.grants.union(grants))  # as the next start would, when nobody looks
            raise
        for grant in grants:
            self.audit.note(thing.jid, by, "revoke", told(grant))
        who = grants[0].who  # the same of all
        follows = who in self.followers.followers(thing)
        still = f" {who} still follows me and so reads me: say deny {who}." if follows else ""
        return f"No longer: {', '.join(map(told, grants))}.{still}"

    async def change(self, thing, by, sql, grants):
        log.info("%s: %s: %s", by, sql.split(maxsplit=1)[0].lower(), ", ".join(map(told, grants)))
        try:
            self.database.write_all([(sql, grant) for grant in grants])
            await self.database.committed()
        except StoreError as error:
            raise StanzaError("internal-server-error", f"That could not be kept: {error}") from error

    def removed(self, account):
        """Who gets that name next has no rights of the one before."""
        grants = [each for each in self.access.grants if each.who == account]
        if grants:
            self.access.grant(self.access.grants.difference(grants))
            self.database.write("DELETE FROM grants WHERE who = ?", (account,))

    def forgotten(self, thing):
        """At what gets that name next nobody has rights of the one before."""
        self.access.grant([each for each in self.access.grants if each.thing != thing.local])
        self.database.write("DELETE FROM grants WHERE thing = ?", (thing.local,))

    def of(self, thing: Thing) -> list[Grant]:
        """What was granted at a thing, or at all."""
        return sorted(each for each in self.access.grants if each.thing in (thing.jid.local, ALL))

    # As commands

    def ask_grant(self, thing):
        return form.form(
            form.field("who", label="Address, @domain or group", required=True),
            form.field("right", "control", type="list-single", label="May", options=RIGHTS, required=True),
            form.field("things", "this", type="list-single", label="At", options=SCOPES),
            title=thing.label,
        )

    async def run_grant(self, iq, command, name, session, given):
        scope = ALL if given.get("things") == ["all"] else session.thing.jid.local
        grant = Grant(scope, given["right"][0], given["who"][0].strip())
        return await self.run(iq, command, name, self.give(session.thing, grant, iq.sender))

    def ask_revoke(self, thing):
        grants = self.of(thing)
        if not grants:
            return form.form()
        options = tuple((" ".join(each), told(each)) for each in grants)
        return form.form(
            form.field("grant", options[0][0], type="list-single", label="Grant", options=options, required=True),
            title=thing.label,
        )

    async def run_revoke(self, iq, command, name, session, given):
        grants = [each for each in self.of(session.thing) if [" ".join(each)] == given.get("grant")]
        if not grants:
            text = "There is nothing to take back: what the configuration grants is changed there."
            return ended(iq, command, name, E("note", NS, text, type="info"))
        return await self.run(iq, command, name, self.take(session.thing, grants, iq.sender))

    async def run(self, iq, command, name, work):
        try:
            said = await work
        except StanzaError as error:
            raise (refused("bad-payload", error.text) if error.condition == "bad-request" else error) from None
        return ended(iq, command, name, E("note", NS, said, type="info"))

    # In words

    def offers(self, talk):
        if not self.access.is_owner(talk.asker):
            return []
        return ["grant ben@home.example control, revoke ben@home.example: who may read or control me"]

    def say_grant(self, talk, who, right):
        if not self.access.is_owner(talk.asker):
            return self.not_yours(talk, f"grant {who} {right}")
        return self.give(talk.thing, Grant(talk.thing.jid.local, right.lower(), who), talk.asker)

    def say_revoke(self, talk, who, right):
        if not self.access.is_owner(talk.asker):
            return self.not_yours(talk, f"revoke {who}")
        rights = (right.lower(),) if right else RIGHTS
        with suppress(StanzaError):  # it may be a group that the file has forgotten
            who = self.prepared(who)
        grants = [each for each in self.of(talk.thing) if each.who == who and each.right in rights]
        if not grants:
            return f"Nothing was granted to {who} while I run; what the configuration grants is changed there."
        return self.take(talk.thing, grants, talk.asker)

    def not_yours(self, talk, what):
        self.audit.refused(talk.thing.jid, talk.asker, "chat", what, "refused")
        return "Only an owner can decide that."


def told(grant: Grant) -> str:
    """'ben@home.example may control porch'."""
    what = {"read": "may read", "control": "may control", "approve": "may follow without asking"}[grant.right]
    return f"{grant.who} {what} {'all things' if grant.thing == ALL else grant.thing}"
