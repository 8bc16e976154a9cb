"""Tokens by which a client logs in again without the password (XEP-0484), in accounts.db.

A client has two at most: the one that it uses, and a newer one that it may not have received yet. Kept of each is a
seal (stream/token.py), by which nobody can log in: a stolen accounts.db, or a copy of it, is worth no more than with
SCRAM keys alone. The price is that one for HT-SHA-256-ENDP dies with the certificate that it was made for; such a
client uses the password once and has a new one.
"""

import hmac
import secrets
import time
from asyncio import Future
from collections.abc import Callable
from typing import NamedTuple

from node.base import stamp
from node.hub.database import Database
from node.stream import token
from node.stream.sasl import SaslFailure
from node.stream.token import Seal

LIFETIME = 30 * 86400  # seconds: a tablet that lay in a drawer over the holidays still knows us
RENEWAL = 7 * 86400  # seconds: a stolen one is worth nothing a week later, where its owner goes on using his
CLIENTS_LIMIT = 20  # of one account; twice as many as may be connected, and 4 KB on the card
SIZE = 32  # random bytes of a token

SCHEMA = """
CREATE TABLE tokens (
    localpart TEXT NOT NULL, client BLOB NOT NULL,
    mechanism TEXT, verifier BLOB, answer BLOB, issued INTEGER, counted INTEGER,
    new_mechanism TEXT, new_verifier BLOB, new_answer BLOB, new_issued INTEGER, new_counted INTEGER,
    PRIMARY KEY (localpart, client)
) WITHOUT ROWID;
"""
_READ = "SELECT * FROM tokens WHERE localpart = ? AND client = ?"
_KEEP = "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM tokens WHERE localpart = ? AND client = ?"
_WIPE = "DELETE FROM tokens WHERE localpart = ?"
_AGES = "SELECT client, max(ifnull(issued, 0), ifnull(new_issued, 0)) FROM tokens WHERE localpart = ?"

Key = tuple[str, bytes]  # localpart, and the id of the client program


class Kept(NamedTuple):
    """One token. `issued` is a Unix time; `counted` the highest count that the client has used it with."""

    seal: Seal
    issued: int
    counted: int = 0


class Pair(NamedTuple):
    """The tokens of one client: the one that it uses, and a newer one."""

    current: Kept | None = None
    new: Kept | None = None


class Issued(NamedTuple):
    """A token as its client is told, and the Unix time until which it is good."""

    text: str
    expires: float


class Match(NamedTuple):
    """A token that a client has shown to have, and what is kept of it once that counts."""

    key: Key
    pair: Pair
    changed: bool
    due: bool  # it is time for a new one

    @property
    def used(self) -> Kept:
        assert self.pair.current is not None
        return self.pair.current


class Tokens:
    """The tokens of all accounts. What is written counts at once; whoever promises something waits for the disk."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time):
        database.schema("tokens", SCHEMA)
        self._database = database
        self._clock = clock
        self._fresh: dict[Key, Pair] = {}  # not on disk yet, so not to be read from there

    def match(
        self, user: str, client: bytes, mechanism: str, end_point: bytes | None, proof: bytes, count: int | None
    ) -> Match:
        """Whether `user` (localpart) has a token of this client, for this mechanism, that fits the client's proof on
        this channel.

        `count` has to grow with each use, where a client gives one. Raises SaslFailure, for an account that is not
        there as for a wrong proof. Nothing is written until `accept`.
        """
        pair = self._pair((user, client))
        shown = token.verifier(proof, mechanism, end_point)
        fits = [_fits(kept, mechanism, shown) for kept in (pair.new, pair.current)]  # both, whatever the first says
        used = pair.new if fits[0] else pair.current if fits[1] else None
        if used is None:
            raise SaslFailure("not-authorized")
        now = self._clock()
        if now - used.issued >= LIFETIME:  # never while the clock says 1970: all were issued later
            raise SaslFailure("credentials-expired")
        if count is not None and count <= used.counted:
            raise SaslFailure("not-authorized", "this count has been used already")
        after = Pair(used if count is None else used._replace(counted=count), None if fits[0] else pair.new)
        due = stamp.is_plausible(now) and not 0 <= now - used.issued < RENEWAL
        return Match((user, client), after, after != pair, due)

    def accept(self, match: Match, mechanism: str | None = None, end_point: bytes | None = None) -> Issued | None:
        """The token was used: older ones of this client are good no more. With a mechanism: and a new one for it.

        Raises StoreError.
        """
        issued = self._issue(match.key, match.pair, mechanism, end_point) if mechanism else None
        if issued is None and match.changed:
            self._keep(match.key, match.pair)
        return issued

    def issue(self, user: str, client: bytes, mechanism: str, end_point: bytes | None) -> Issued | None:
        """A new token for this client and mechanism; an older one is good until the new one is used.

        None while the clock cannot be right: nobody could say until when it is good. Raises StoreError.
        """
        return self._issue((user, client), self._pair((user, client)), mechanism, end_point)

    def forget(self, user: str, client: bytes) -> None:
        """No token of this client is good any more. Raises StoreError."""
        self._keep((user, client), Pair())

    @staticmethod
    def wiping(user: str) -> tuple[str, tuple[str]]:
        """The statement by which an account loses all tokens: written in one with what is the reason for it."""
        return _WIPE, (user,)

    def _issue(self, key: Key, pair: Pair, mechanism: str, end_point: bytes | None) -> Issued | None:
        now = self._clock()
        if not stamp.is_plausible(now):
            return None
        text = secrets.token_urlsafe(SIZE)
        new = Kept(token.seal(text, mechanism, end_point), int(now))
        self._make_room(key, now)
        self._keep(key, pair._replace(new=new))
        return Issued(text, new.issued + LIFETIME)

    def _make_room(self, key: Key, now: float) -> None:
        """What has expired goes, and then what is oldest. Used ones are renewed, so the oldest is used least."""
        user = key[0]
        ages: dict[bytes, int] = dict(self._database.read(_AGES, (user,)))
        for (owner, client), pair in self._fresh.items():
            if owner == user:
                ages[client] = max((kept.issued for kept in pair if kept), default=0)
        ages[key[1]] = 0
        oldest_first = sorted((client for client in ages if ages[client]), key=ages.__getitem__)
        for number, client in enumerate(oldest_first):
            if len(oldest_first) - number >= CLIENTS_LIMIT or now - ages[client] >= LIFETIME:
                self._keep((user, client), Pair())

    def _pair(self, key: Key) -> Pair:
        fresh = self._fresh.get(key)
        if fresh is not None:
            return fresh
        rows = self._database.read(_READ, key)
        return Pair(_read(rows[0][2:7]), _read(rows[0][7:12])) if rows else Pair()

    def _keep(self, key: Key, pair: Pair) -> None:
        if pair == Pair():
            self._database.write(_FORGET, key)
        else:
            self._database.write(_KEEP, (*key, *_row(pair.current), *_row(pair.new)))
        self._fresh[key] = pair
        self._database.committed(hurry=False).add_done_callback(lambda commit: self._settled(key, pair, commit))

    def _settled(self, key: Key, pair: Pair, commit: "Future[None]") -> None:
        """The disk knows it, or never will: from now on what it says counts."""
        if not commit.cancelled():
            commit.exception()  # the store has logged it
        if self._fresh.get(key) is pair:
            del self._fresh[key]


def _fits(kept: Kept | None, mechanism: str, shown: bytes) -> bool:
    expected = kept.seal.verifier if kept else bytes(token.PROOF_SIZE)
    same = hmac.compare_digest(expected, shown)
    return same and kept is not None and kept.seal.mechanism == mechanism


def _read(columns: tuple) -> Kept | None:
    mechanism, verifier, answer, issued, counted = columns
    return Kept(Seal(mechanism, verifier, answer), issued, counted) if mechanism else None


def _row(kept: Kept | None) -> tuple:
    return (*kept.seal, kept.issued, kept.counted) if kept else (None,) * 5
