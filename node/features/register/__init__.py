"""XEP-0077: In-Band Registration: whoever is logged in changes the password, or removes the account.

Who wants a new account says so before he logs in (newcomers.py), not in a session and not from another server: there
he gets not-allowed. Sessions are always encrypted (ports/client), so a password may be said in one.
"""

import asyncio

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import JidError, make
from node.features.register.invitations import Invitations
from node.features.register.newcomers import NS, Newcomers, Options
from node.hub import people
from node.hub.accounts import AccountError

__all__ = ["Options", "setup"]


def setup(hub, options):
    register = Register(hub)
    newcomers = Newcomers(hub, Invitations(hub.store.accounts))
    newcomers.reload(options)
    hub.provide("register", newcomers)
    hub.advertise(NS)
    for at in ("host", "self"):  # clients send it to the server, or to nobody (§3.2, §3.3)
        hub.on_iq("get", "query", NS, register.show, at=at)
        hub.on_iq("set", "query", NS, register.change, at=at)


class Register:
    def __init__(self, hub):
        self.hub = hub

    def show(self, iq, origin):
        """§3.1: what is on file, without the password, which nobody knows."""
        if not self._is_registered(iq):
            raise StanzaError("service-unavailable", "Nobody registers here who is not at the door")
        return iq.reply(
            E(
                "query",
                NS,
                E("registered"),
                E("instructions", None, "Here the password can be changed and the account be removed"),
                E("username", None, iq.sender.local),
                E("password"),
            )
        )

    async def change(self, iq, origin):
        """What was begun comes to its end, also when the disk is so slow that the asker has been told otherwise."""
        removal = iq.payload.find("remove") is not None
        work = self._remove(iq, origin) if removal else self._set_password(iq, origin)
        return await asyncio.shield(work)

    async def _set_password(self, iq, origin):
        """§3.3: answered after the commit; whoever else is logged in has to log in anew.

        No error here repeats what was asked: it would be the password.
        """
        username, password = iq.payload.find("username"), iq.payload.find("password")
        if not self._is_registered(iq):
            raise StanzaError("not-allowed", "Nobody registers here who is not at the door")
        if username is None or password is None or not password.text:
            raise StanzaError("bad-request", "A change of password takes your username and the new password")
        if not self._is_own_name(iq, username.text.strip()):
            raise StanzaError("not-allowed", "This is not your account, and who has one makes no other")
        try:
            await self.hub.accounts.set_password(iq.sender.local, password.text)
        except AccountError as error:
            raise StanzaError("not-acceptable", str(error)) from None
        people.password_changed(self.hub, iq.sender.bare, but=origin)
        return iq.reply()

    async def _remove(self, iq, origin):
        """§3.2: the account goes, then the asker hears so, then the sessions end and the rest is forgotten."""
        if not self._is_registered(iq):
            raise StanzaError("registration-required")
        if len(iq.payload.elements) != 1:
            raise StanzaError("bad-request", "<remove/> stands alone")
        try:
            await self.hub.accounts.remove(iq.sender.local)
        except AccountError:  # somebody else was faster
            raise StanzaError("registration-required") from None
        if self.hub.sessions.get(iq.sender.bare, {}).get(iq.sender) is origin:
            origin.deliver(iq.reply())  # not routed: there is no such account any more
        await people.forget(self.hub, iq.sender.bare)

    def _is_registered(self, iq):
        return iq.sender.domain == self.hub.host and self.hub.accounts.exists(iq.sender.local)

    def _is_own_name(self, iq, name):
        try:
            return make(name, self.hub.host) == iq.sender.bare
        except JidError:
            return False
