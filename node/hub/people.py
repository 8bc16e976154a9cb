"""What it means to the rest of the node that a person has a new password, or has gone."""

import asyncio

from node.base.errors import StreamError
from node.base.jid import Jid
from node.hub.hub import Hub, Session


def password_changed(hub: Hub, address: Jid, but: Session | None = None) -> None:
    """Whoever is logged in to the account (bare) has to log in anew, except for the session `but`."""
    _log_out(hub, address, StreamError("reset", "the password was changed"), but)
    if but is not None:
        hub.tell("changed", but.jid)  # what is kept of it bears the mark of the old password


async def forget(hub: Hub, address: Jid) -> None:
    """After an account (bare) was removed: sessions end, and what was kept for it goes.

    Returns when that is on disk. Raises StoreError.
    """
    # The sessions first: one that ends has its contacts told, and so the roster read.
    _log_out(hub, address, StreamError("not-authorized", "the account has been removed"))
    hub.tell("removed", address)  # features forget what they keep of it
    store = hub.store
    await asyncio.gather(store.accounts.committed(), store.archive.committed(), store.things.committed())


def _log_out(hub: Hub, address: Jid, error: StreamError, but: Session | None = None) -> None:
    for session in list(hub.sessions.get(address, {}).values()):
        if session is not but:
            session.close(error)
