"""Who may read a thing and who may control it; for everybody else it does not exist.

Reading needs a presence subscription or a grant, control needs a grant (which includes reading). The answer
to a stranger is that of a missing account, so nobody can find out by asking which things a home has.
Owners decide about followers and grants: `owners`, or else the people of this node whom `control` names one by one.

A grant names an account, a domain or a group. [access] holds for every thing; [access.things.NAME] says otherwise
for one, or for all that a pattern such as "lamp-*" fits: what it says of a right comes in the place of what
[access] says. Owners give more grants while the node runs (things/grants.py).
"""

import logging
from asyncio import TimerHandle
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, make, parse
from node.hub.thing import ControlError, Thing

log = logging.getLogger("hobnode")

NEEDS = ("roster", "audit")

BROUGHT = 10  # seconds after the start, or a new file, in which gateways bring the things that they know

RIGHTS = ("read", "control", "approve")
ALL = "*"  # a grant for every thing


@dataclass(frozen=True)
class Rights:
    """`[access.things.NAME]`: what holds for these things in the place of [access]; None where it is silent."""

    read: list[str] | None = None
    control: list[str] | None = None
    approve: list[str] | None = None


@dataclass
class Options:
    """Each name is "ann@home.example", "@cabin.example" for all of a domain, or a group."""

    read: list[str] = field(default_factory=list)  # who may read every thing, followers or not
    control: list[str] = field(default_factory=list)  # who may control every thing
    approve: list[str] = field(default_factory=list)  # whose subscriptions are accepted at once
    owners: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)  # of accounts and domains
    things: dict[str, Rights] = field(default_factory=dict)  # by name or pattern; an exact name goes first

    def __post_init__(self):
        for name in self.groups:
            if "@" in name:
                raise ValueError(f"groups: {name!r} must not have an '@': that is how addresses are told from groups")
        for name in ("read", "control", "approve", "owners"):
            Named(name, getattr(self, name), self.groups)
        self.things = {name.lower(): rights for name, rights in self.things.items()}  # as addresses are prepared
        for thing, rights in self.things.items():
            for right in RIGHTS:
                Named(f"things.{thing}: {right}", getattr(rights, right) or (), self.groups)

    def names(self, thing: str, right: str) -> list[str]:
        """Whom the file grants a right at a thing (its localpart)."""
        rights = [self.things[thing]] if thing in self.things else []
        rights += [rights for pattern, rights in self.things.items() if fnmatchcase(thing, pattern)]
        said = (getattr(each, right) for each in rights)
        return next((names for names in said if names is not None), getattr(self, right))


class Grant(NamedTuple):
    """What an owner has granted while the node runs: `thing` is a localpart or ALL, `who` as in the file."""

    thing: str
    right: str
    who: str


def setup(hub, options):
    access = Access(hub, options)
    hub.provide("access", access)
    hub.on("started", access.check_soon)
    for name in ("message", "presence", "iq"):
        hub.guard("arriving", name, access.admit)


class Named:
    """The addresses that an option names: accounts one by one, '@domain' for all accounts of a domain, and groups.

    `single` are the accounts that are named themselves. Raises ValueError, in words, for what is nothing of these.
    """

    def __init__(self, option: str, texts: Iterable[str], groups: dict[str, list[str]]):
        self.accounts: set[Jid] = set()
        self.domains: set[str] = set()
        self.single: set[Jid] = set()
        for text in texts:
            if text in groups:
                members = Named(f"groups.{text}", groups[text], {})
                self.accounts |= members.accounts
                self.domains |= members.domains
            elif text.startswith("@"):
                self.domains.add(_checked(option, text, lambda text: make("", text[1:])).domain)
            else:
                jid = _checked(option, text, parse)
                if not jid.local or jid.full:
                    raise ValueError(f"{option}: {text!r} is neither 'name@domain' nor '@domain' nor a group")
                self.accounts.add(jid)
                self.single.add(jid)

    def __contains__(self, jid: Jid) -> bool:
        return jid.bare in self.accounts or (bool(jid.local) and jid.domain in self.domains)

    def names(self) -> list[str]:
        """In order: accounts, then domains, as a grant has them."""
        return [*sorted(self.accounts), *(f"@{domain}" for domain in sorted(self.domains))]


def _checked(option, text, prepare):
    try:
        return prepare(text)
    except JidError as error:
        raise ValueError(f"{option}: {text!r} is no address: {error}") from None


class Access:
    def __init__(self, hub, options):
        self.hub = hub
        self.roster = hub.need("roster")
        self.audit = hub.need("audit")
        self.grants: frozenset[Grant] = frozenset()
        self.checking: TimerHandle | None = None
        self.expected: tuple[Jid | None, frozenset[Jid]] = None, frozenset()  # who of ours follows whom
        self.allow(options)

    def allow(self, options: Options) -> None:
        """Puts what the file grants in the place of what it granted before."""
        self.options = options
        named = Named("owners", options.owners or options.control, options.groups)
        owners = named.accounts if options.owners else named.single
        self._owners = {jid for jid in owners if jid.domain == self.hub.host}
        self.grant(self.grants)
        if self.checking is not None:  # the node has been started
            self.check_soon()

    def check_soon(self) -> None:
        """Has the log tell of what the file names and is not here, as soon as all things are."""
        if self.checking is not None:
            self.checking.cancel()
        self.checking = self.hub.loop.call_later(BROUGHT, self.check)

    def check(self) -> None:
        from node.things.misnamed import mistakes  # which imports us

        things = [jid.local for jid in self.hub.things]
        for mistake in mistakes(self.options, self.hub.host, self.hub.accounts.names(), things):
            log.warning("%s", mistake)

    def grant(self, grants: Iterable[Grant]) -> None:
        """Puts these grants of owners in the place of all before."""
        self.grants = frozenset(grants)
        self._named: dict[tuple[str, str], Named] = {}  # by thing and right, made when first asked for

    def expect(self, follower: Jid, others: Iterable[Jid]) -> None:
        """Whom one of our things follows (bare): what they tell it of themselves is let in, what they ask is not.

        To all our other things they are strangers like everybody.
        """
        self.expected = follower, frozenset(others)

    def named(self, thing: Thing, right: str) -> Named:
        """Who has a right at a thing."""
        key = thing.jid.local, right
        if key not in self._named:
            names = list(self.options.names(*key))
            names += (each.who for each in self.grants if each.right == right and each.thing in (key[0], ALL))
            self._named[key] = Named(right, filter(self.is_name, names), self.options.groups)
        return self._named[key]

    def ways(self, thing: Thing, asker: Jid) -> tuple[list[str], bool]:
        """What lets somebody read, a follower or not: whom the grants of owners name, and whether the file does."""
        groups, names = self.options.groups, self.options.names
        here = {each.who for each in self.grants if each.right != "approve" and each.thing in (thing.jid.local, ALL)}
        given = sorted(who for who in here if self.is_name(who) and asker in Named("who", [who], groups))
        return given, any(asker in Named(right, names(thing.jid.local, right), groups) for right in ("read", "control"))

    def is_name(self, text: str) -> bool:
        """Whether a grant names somebody; a group may have gone from the file since it was given."""
        return "@" in text or text in self.options.groups

    def may_read(self, thing: Thing, asker: Jid) -> bool:
        """A follower may, whom `read` names, and who may control."""
        return (
            self.roster.subscribed(thing.jid, asker.bare)
            or asker in self.named(thing, "read")
            or self.may_control(thing, asker)
        )

    def may_control(self, thing: Thing, asker: Jid) -> bool:
        """Only by a grant: with [access] empty nobody may."""
        return asker in self.named(thing, "control")

    def may_follow(self, thing: Thing, asker: Jid) -> bool:
        """Whose subscription needs no approval. A home node's neighbours are named, or they wait (PR-10)."""
        return asker in self.named(thing, "approve")

    @property
    def owners(self) -> list[Jid]:
        """Who is asked about new followers, sorted."""
        return sorted(self._owners)

    def is_owner(self, asker: Jid) -> bool:
        return asker.bare in self._owners

    def admit(self, stanza, origin):
        """To a stranger a thing is an account that does not exist (XEP-0030 §8, RFC 6121 §8.5.1)."""
        thing = self.hub.things.get(stanza.to.bare)
        if thing is None:
            return False
        if stanza.name == "iq" and stanza.type in ("result", "error"):
            return False  # nobody hears anything of it, but who has asked
        if not self.may_read(thing, stanza.sender):
            follower, others = self.expected
            if stanza.name != "iq" and stanza.to.bare == follower and stanza.sender.bare in others:
                return False
            if stanza.name == "presence" and stanza.type in ("subscribe", "unsubscribe"):
                return False  # RFC 6121 §3.1.3: a request waits in silence, as it does where nobody is
            self.hub.nobody(stanza, origin)
            return True
        if stanza.name == "iq" and stanza.to.full and stanza.to != thing.full:
            self.hub.missing(stanza)  # RFC 6121 §8.5.3.2.2: the resource is not there
            return True
        return False

    async def command(self, thing: Thing, values: dict[str, str], by: Jid, face: str) -> None:
        """Has a thing set controls, in their order, for `by`; returns when the hardware has confirmed.

        `face` says how the command came ('chat'), for log and audit, where each refusal, each failure and all
        that was done stands. Raises StanzaError (forbidden) and ControlError.
        """
        self.demand(thing, by, face, told(values))
        try:
            await thing.control(values, by)
        except ControlError as error:
            level = logging.INFO if error.type == "modify" else logging.WARNING  # a slip of the pen mends who made it
            log.log(level, "%s: %s %r of %s failed: %s", thing.jid.local, face, told(values), by, error.text)
            self.audit.note(thing.jid, by, face, told(values), f"failed: {error.text}")
            raise
        self.audit.note(thing.jid, by, face, told(values))

    def demand(self, thing: Thing, by: Jid, face: str, what: str) -> None:
        """Raises StanzaError (forbidden) when `by` may not control it; log and audit tell who tried what."""
        if not self.may_control(thing, by):
            if self.audit.refused(thing.jid, by, face, what, "refused"):
                log.warning("%s: %s may not control it and was refused: %s %r", thing.jid.local, by, face, what)
            raise StanzaError("forbidden", f"You may not control {thing.label}.", type="cancel")


def told(values):
    """What was to be set, short: strangers have written some of it."""
    return ", ".join(f"{name[:40]}={value[:40]}" for name, value in values.items())[:200]
