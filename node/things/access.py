"""Who may read a thing and who may control it; for everybody else it does not exist.

Reading needs a presence subscription, control needs a grant in [access] (which includes reading). The answer
to a stranger is that of a missing account, so nobody can find out by asking which things a home has.
Owners are the people of this node whom [access] control names one by one: they are asked about new followers.
"""

import logging
from dataclasses import dataclass, field

from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, make, parse
from node.hub.thing import ControlError, Thing

log = logging.getLogger("hobnode")

NEEDS = ("roster",)


@dataclass
class Options:
    """Addresses: "ann@home.example", or "@cabin.example" for all of a domain."""

    approve: list[str] = field(default_factory=list)  # whose subscriptions are accepted at once
    control: list[str] = field(default_factory=list)  # who may control every thing

    def __post_init__(self):
        Named("approve", self.approve)
        Named("control", self.control)


def setup(hub, options):
    access = Access(hub, options)
    hub.provide("access", access)
    for name in ("message", "presence", "iq"):
        hub.guard("arriving", name, access.admit)


class Named:
    """The addresses that an option names: accounts one by one, and '@domain' for all accounts of a domain.

    Raises ValueError, in words, for a text that is neither.
    """

    def __init__(self, option, texts):
        self.accounts = set()
        self.domains = set()
        for text in texts:
            try:
                if text.startswith("@"):
                    self.domains.add(make("", text[1:]).domain)
                    continue
                jid = parse(text)
            except JidError as error:
                raise ValueError(f"{option}: {text!r} is no address: {error}") from None
            if not jid.local or jid.full:
                raise ValueError(f"{option}: {text!r} is neither 'name@domain' nor '@domain'")
            self.accounts.add(jid)

    def __contains__(self, jid):
        return jid.bare in self.accounts or (bool(jid.local) and jid.domain in self.domains)


class Access:
    def __init__(self, hub, options):
        self.hub = hub
        self.roster = hub.need("roster")
        self.allow(options)

    def allow(self, options: Options) -> None:
        """Puts the grants of `options` in the place of all before."""
        self.approve, self.control = Named("approve", options.approve), Named("control", options.control)

    def may_read(self, thing: Thing, asker: Jid) -> bool:
        """A follower may, and who may control."""
        return self.roster.subscribed(thing.jid, asker.bare) or self.may_control(thing, asker)

    def may_control(self, thing: Thing, asker: Jid) -> bool:
        """Only by a grant: with [access] empty nobody may."""
        return asker in self.control

    def may_follow(self, thing: Thing, asker: Jid) -> bool:
        """Whose subscription needs no approval. A home node's neighbours are named, or they wait (PR-10)."""
        return asker in self.approve

    @property
    def owners(self) -> list[Jid]:
        """Who is asked about new followers, sorted."""
        return sorted(jid for jid in self.control.accounts if jid.domain == self.hub.host)

    def is_owner(self, asker: Jid) -> bool:
        return asker.bare in self.control.accounts and asker.domain == self.hub.host

    def admit(self, stanza, origin):
        """To a stranger a thing is an account that does not exist (XEP-0030 §8, RFC 6121 §8.5.1)."""
        thing = self.hub.things.get(stanza.to.bare)
        if thing is None:
            return False
        if not self.may_read(thing, stanza.sender):
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

        `face` says how the command came ('chat'), for the log, where each refusal and failure stands; the
        thing itself logs what was done. Raises StanzaError (forbidden) and ControlError.
        """
        self.demand(thing, by, f"{face} {told(values)}")
        try:
            await thing.control(values, by)
        except ControlError as error:
            what = f"{face} {told(values)}"
            log.warning("%s: %s of %s failed: %s", thing.jid.local, what, by, error.text)
            raise

    def demand(self, thing: Thing, by: Jid, what: str) -> None:
        """Raises StanzaError (forbidden) when `by` may not control it; the log tells who tried what."""
        if not self.may_control(thing, by):
            log.warning("%s: %s may not control it and was refused: %s", thing.jid.local, by, what)
            raise StanzaError("forbidden", f"You may not control {thing.label}.", type="cancel")


def told(values):
    """For the log: quoted, so that what came from outside cannot look like a line of its own."""
    return repr(", ".join(f"{name[:40]}={value[:40]}" for name, value in values.items())[:200])
