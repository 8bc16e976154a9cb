"""Invitations: who has one may make one account, whoever he is (XEP-0401, XEP-0445). In accounts.db.

Kept of each is a hash, with which nobody can register. It is gone in the commit in which the account is there.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from node.hub.database import Database, Statement

SIZE = 16  # random bytes of a token; 32 letters and digits, so that it can be read out over the telephone
LIMIT = 1000  # open at once: a club's; each is 100 bytes of memory
DAY = 86400  # seconds

SCHEMA = "CREATE TABLE invitations (hash BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID"


class Invitation(NamedTuple):
    """As its bearer is told: the token, and the Unix time until which it is good."""

    token: str
    expires: int


class Invitations:
    """Those that are open."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time):
        database.schema("invitations", SCHEMA)
        self._database = database
        self._clock = clock
        self._open: dict[bytes, int] = dict(database.read("SELECT hash, expires FROM invitations"))

    def __bool__(self) -> bool:
        """Whether there is one that is good."""
        now = self._clock()
        return any(expires > now for expires in self._open.values())

    async def make(self, days: int) -> Invitation | None:
        """A new one, on disk, good for so many days; None: there are too many. Raises StoreError."""
        now = self._clock()
        for hash in [hash for hash, expires in self._open.items() if expires <= now]:
            del self._open[hash]
            self._database.write(*used(hash))
        if len(self._open) >= LIMIT:
            return None
        invitation = Invitation(secrets.token_hex(SIZE), int(now) + days * DAY)
        hash = _hash(invitation.token)
        self._database.write("INSERT INTO invitations VALUES (?, ?)", (hash, invitation.expires))
        await self._database.committed()
        self._open[hash] = invitation.expires
        return invitation

    def find(self, token: str) -> bytes | None:
        """The hash of a token that is good. By the hash: how long it takes tells nothing of a token."""
        hash = _hash(token)
        return hash if self._open.get(hash, 0) > self._clock() else None

    def claim(self, hash: bytes) -> int:
        """Takes it, so that no other can; when it expires, 0 if it is not there any more."""
        return self._open.pop(hash, 0)

    def put_back(self, hash: bytes, expires: int) -> None:
        """What it was claimed for came to nothing."""
        self._open[hash] = expires


def used(hash: bytes) -> Statement:
    """What is written together with the account."""
    return "DELETE FROM invitations WHERE hash = ?", (hash,)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
