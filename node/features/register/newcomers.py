"""XEP-0077 §3.1: who has no account makes one, at the door: if all may, or with an invitation (XEP-0445).

While nobody may there is no stream feature for it, and who asks is a stranger like any other. That a name is taken
is told to those alone who may register, and to them for a few names an hour. A name that was somebody's is taken for
good: a stranger shall not get what is meant for him. The administrator may give it away (`hobnode user add`).
"""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from node.base.element import E, Element
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, make
from node.base.stanza import Stanza
from node.features.register.invitations import Invitation, Invitations, used
from node.hub.accounts import AccountError
from node.hub.hub import as_stanza_error
from node.hub.quota import Quota

log = logging.getLogger("hobnode")

NS = "jabber:iq:register"
FEATURE_NS = "http://jabber.org/features/iq-register"
TOKEN_FEATURE_NS = "urn:xmpp:ibr-token:0"
PREAUTH_NS = "urn:xmpp:pars:0"

HOUR = 3600  # seconds
ACCOUNTS = 3  # made from one network in an hour without an invitation: a family's evening, no spammer's (security: P1)
TRIES = 10  # names that were taken, and wrong tokens, from one network in an hour: until one likes one that is free


@dataclass(frozen=True, slots=True)
class Options:
    """`[register]`."""

    open: bool = False  # whether anybody may make an account; who has an invitation always may


class Stranger(Protocol):
    """Who asks, as the port knows him."""

    network: str  # where he comes from
    limited: bool  # whether what comes from there is counted
    invitation: bytes | None  # the one that he has shown


class Newcomers:
    """Asked by the port before a login, inside TLS."""

    def __init__(self, hub, invitations: Invitations):
        self.hub = hub
        self.open = False
        self._invitations = invitations
        self._accounts = Quota(ACCOUNTS, HOUR)
        self._tries = Quota(TRIES, HOUR)

    def reload(self, options: Options) -> None:
        """These hold from now on."""
        self.open = options.open

    async def invite(self, days: int) -> Invitation | None:
        """An invitation that is good for so many days; None: too many are open. Raises StoreError."""
        return await self._invitations.make(days)

    def features(self) -> list[Element]:
        """For the stream: none while nobody may register."""
        found = [E("register", TOKEN_FEATURE_NS)] if self._invitations else []
        return [*found, E("register", FEATURE_NS)] if found or self.open else []

    def answer(self, iq: Stanza, stranger: Stranger) -> Stanza | Awaitable[Stanza]:
        """The answer to an iq, an error too."""
        try:
            if iq.type == "set" and iq.has("preauth", PREAUTH_NS):
                self._look_at(iq, stranger)
                return iq.reply()
            if iq.type not in ("get", "set") or not iq.has("query", NS):
                raise StanzaError("not-allowed", "Log in first")
            self._admit(stranger)
            return iq.reply(_form()) if iq.type == "get" else self._registered(iq, stranger)
        except Exception as error:
            return iq.error(as_stanza_error(iq, error))

    async def _registered(self, iq: Stanza, stranger: Stranger) -> Stanza:
        try:
            await self._register(iq, stranger)
        except Exception as error:
            return iq.error(as_stanza_error(iq, error))
        return iq.reply()

    def _look_at(self, iq: Stanza, stranger: Stranger) -> None:
        """XEP-0445: he shows an invitation. Whether it has expired is asked here alone."""
        self._check_tries(stranger)
        preauth = iq.child("preauth", PREAUTH_NS)
        found = self._invitations.find(preauth.get("token") or "") if preauth else None
        if found is None:
            self._count_try(stranger)
            raise StanzaError("item-not-found", "The provided token is invalid or expired")
        stranger.invitation = found

    def _admit(self, stranger: Stranger) -> None:
        if not self.open and stranger.invitation is None:
            raise StanzaError("not-allowed", "Here one needs an invitation to register")

    async def _register(self, iq: Stanza, stranger: Stranger) -> None:
        """No error here repeats what was asked: it would be the password."""
        query = iq.child("query", NS)
        assert query is not None
        if query.find("remove") is not None:
            raise StanzaError("unexpected-request", "Log in first")
        username, password = query.find("username"), query.find("password")
        if username is None or password is None or not username.text.strip():
            raise StanzaError("not-acceptable", "An account takes a username and a password")
        self._check_tries(stranger)
        address = self._address(username.text.strip())
        if self._is_taken(address):
            self._count_try(stranger)
            raise StanzaError("conflict", "Somebody has this name; take another")
        if stranger.invitation is not None:
            await self._with_invitation(address, password.text, stranger)
        else:
            await self._without(address, password.text, stranger)
        log.info("%s has registered from %s", address, stranger.network)

    async def _with_invitation(self, address: Jid, password: str, stranger: Stranger) -> None:
        invitation, stranger.invitation = stranger.invitation, None
        assert invitation is not None
        expires = self._invitations.claim(invitation)
        if not expires:  # somebody else was faster
            raise StanzaError("not-allowed", "This invitation has been used")
        try:
            await self._create(address, password, used(invitation))
        except Exception:
            self._invitations.put_back(invitation, expires)
            stranger.invitation = invitation
            raise

    async def _without(self, address: Jid, password: str, stranger: Stranger) -> None:
        if stranger.limited and not self._accounts.take(stranger.network, self.hub.loop.time()):
            raise StanzaError("resource-constraint", "Too many accounts were made from where you are; try again later")
        try:
            await self._create(address, password)
        except Exception:
            self._accounts.give_back(stranger.network)
            raise

    async def _create(self, address: Jid, password: str, *together) -> None:
        self.hub.tell("removed", address)  # who followed a thing of that name shall not follow a person
        try:
            await self.hub.accounts.create(address.local, password, *together)
        except AccountError as error:
            if self.hub.accounts.exists(address.local):  # another one at the same moment
                raise StanzaError("conflict", "Somebody has this name; take another") from None
            raise StanzaError("not-acceptable", str(error)) from None

    def _address(self, name: str) -> Jid:
        try:
            return make(name, self.hub.host)
        except JidError as error:
            raise StanzaError("jid-malformed", str(error)) from None

    def _is_taken(self, address: Jid) -> bool:
        accounts = self.hub.accounts
        return accounts.exists(address.local) or address in self.hub.things or accounts.was_removed(address.local)

    def _check_tries(self, stranger: Stranger) -> None:
        if stranger.limited and not self._tries.is_left(stranger.network, self.hub.loop.time()):
            raise StanzaError("resource-constraint", "Too many tries from where you are; try again later")

    def _count_try(self, stranger: Stranger) -> None:
        self._tries.take(stranger.network, self.hub.loop.time())


def _form() -> Element:
    return E("query", NS, E("instructions", None, "Choose a name and a password"), E("username"), E("password"))
