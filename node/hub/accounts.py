"""Who lives here: the people's accounts and what is kept of their passwords, in accounts.db.

Kept are SCRAM keys, never a password (XEP-0438). Who has no account gets made-up keys, the same ones each
time, so that a login tells nobody which accounts there are.
"""

import asyncio
import hmac
import math
import secrets
import time
from collections import OrderedDict
from typing import TypeVar

from node.base.jid import JidError, make
from node.hub.database import Database, Statement
from node.hub.tokens import Tokens
from node.stream.sasl import FAMILIES, Keys, derive, prepare_password

ITERATIONS = 10_000  # XEP-0438; 5 ms on a PC, about 50 ms on a Pi
SALT_SIZE = 16  # bytes; XEP-0438
CHANGES_KEPT = 1000  # of passwords, that a login under way is compared with; it has 30 s
THREADS = 2  # passwords derived at once; leaves half of a Pi's processors to the loop and the disk

# Numbers are never used twice: what a removed account left cannot fall to a new one.
# One row holds all of an account, so that a power cut cannot leave half of it.
SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    localpart TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    sha256_salt BLOB NOT NULL, sha256_iterations INTEGER NOT NULL,
    sha256_stored_key BLOB NOT NULL, sha256_server_key BLOB NOT NULL,
    sha1_salt BLOB NOT NULL, sha1_iterations INTEGER NOT NULL,
    sha1_stored_key BLOB NOT NULL, sha1_server_key BLOB NOT NULL
);
CREATE TABLE made_up_keys (secret BLOB NOT NULL);
"""
# Names that were somebody's. Not as text: who has gone leaves no trace to read.
GONE = "CREATE TABLE gone (trace BLOB PRIMARY KEY) WITHOUT ROWID"
_COLUMNS = {
    family: [f"{name}_{part}" for part in ("salt", "iterations", "stored_key", "server_key")]
    for family, name in FAMILIES.items()
}
_ALL_COLUMNS = [column for columns in _COLUMNS.values() for column in columns]
_READ = {family: f"SELECT {', '.join(columns)} FROM users WHERE localpart = ?" for family, columns in _COLUMNS.items()}
_CREATE = f"INSERT INTO users (localpart, created, {', '.join(_ALL_COLUMNS)}) VALUES (?, ?{', ?' * len(_ALL_COLUMNS)})"
_CHANGE = f"UPDATE users SET {', '.join(f'{column} = ?' for column in _ALL_COLUMNS)} WHERE localpart = ?"
Key = TypeVar("Key")
Value = TypeVar("Value")
_SIZES = {"SCRAM-SHA-256": 32, "SCRAM-SHA-1": 20}


class AccountError(Exception):
    """An account cannot be made, changed or removed; the message says why, for people."""


class Accounts:
    """The accounts of `host`. A change returns when it is on disk, and raises StoreError if that fails."""

    def __init__(self, database: Database, host: str):
        database.schema("accounts", SCHEMA, GONE)
        self.tokens = Tokens(database)
        self.changes = 0  # of passwords, and removals, since the start
        # By localpart, the last of them; while one is under way, none is later.
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._database = database
        self._host = host
        self._marks: dict[str, str] = {}
        self._names = {name for (name,) in database.read("SELECT localpart FROM users")}
        self._secret = self._find_secret()
        self._changing = asyncio.Lock()
        self._deriving = asyncio.Semaphore(THREADS)

    def exists(self, localpart: str) -> bool:
        """Whether there is such an account (prepared localpart)."""
        return localpart in self._names

    def changed_since(self, localpart: str, changes: int) -> bool:
        """Whether an account has a new password or was removed since `changes` was this number, or is about to.

        Who began to log in before must not end it after: what he has shown is good no more.
        """
        return self._changed.get(localpart, 0) > changes

    def mark(self, localpart: str) -> str:
        """Another one for each account that ever has this name, and for each of its passwords; '' if there is none.

        What is kept of a login bears it: over a restart, it holds only if this is still the same.
        """
        mark = self._marks.get(localpart)
        if mark is None:
            rows = self._database.read("SELECT sha256_salt FROM users WHERE localpart = ?", (localpart,))
            if not rows:
                return ""
            # The salt is a random one for each password, also for the first of an account.
            mark = hmac.digest(self._secret, b"mark\0" + rows[0][0], "sha256")[:16].hex()
            self._marks[localpart] = mark
        return mark

    def names(self) -> list[str]:
        """All localparts, sorted."""
        return sorted(self._names)

    def was_removed(self, localpart: str) -> bool:
        """Whether there was such an account: to some, whoever has the name is still that person."""
        return bool(self._database.read("SELECT 1 FROM gone WHERE trace = ?", (self._trace(localpart),)))

    async def create(self, localpart: str, password: str, *together: Statement) -> None:
        """The account, and what is written `together` with it, or nothing.

        Raises AccountError: a name that no address may have or that is taken, an unusable password.
        """
        name = self._prepare(localpart)
        async with self._changing:
            if name in self._names:
                raise AccountError(f"{name}@{self._host} exists already")
            values = await self._derive_all(password)
            created = _CREATE, (name, int(time.time()), *values)
            here_again = "DELETE FROM gone WHERE trace = ?", (self._trace(name),)
            self._database.write_all((created, here_again, *together))
            await self._settle(name)

    async def set_password(self, localpart: str, password: str) -> None:
        """Raises AccountError: no such account, an unusable password."""
        async with self._changing:
            name = self._find(localpart)
            values = await self._derive_all(password)
            await self._change(name, (_CHANGE, (*values, name)))

    async def remove(self, localpart: str) -> None:
        """Raises AccountError: no such account."""
        async with self._changing:
            name = self._find(localpart)
            gone = "INSERT INTO gone VALUES (?)", (self._trace(name),)
            await self._change(name, ("DELETE FROM users WHERE localpart = ?", (name,)), gone)

    async def _change(self, name: str, *statements: Statement) -> None:
        """What logged in so far does so no more: logins under way fail, tokens go in the same commit."""
        self._database.write_all((*statements, self.tokens.wiping(name)))
        self._changed[name] = math.inf
        await self._settle(name)

    def keys(self, localpart: str, family: str) -> Keys:
        """The SCRAM keys of an account; made-up ones, that fit no password, for one that does not exist."""
        # Made up for everybody, so that the time taken tells nothing.
        made_up = self._make_up(localpart, family)
        rows = self._database.read(_READ[family], (localpart,))
        return Keys(*(rows[0] if rows else made_up))

    async def check(self, localpart: str, password: str) -> bool:
        """Whether this is the password. Takes as long for an account that does not exist."""
        keys = self.keys(localpart, "SCRAM-SHA-256")
        try:
            text = prepare_password(password)
        except ValueError:
            return False
        async with self._deriving:
            tried = await asyncio.to_thread(derive, "SCRAM-SHA-256", text, keys.salt, keys.iterations)
        return hmac.compare_digest(tried.stored_key, keys.stored_key)

    def _prepare(self, localpart: str) -> str:
        try:
            name = make(localpart, self._host).local
        except JidError as error:
            raise AccountError(str(error)) from None
        if not name:
            raise AccountError("the name is empty")
        return name

    def _find(self, localpart: str) -> str:
        name = self._prepare(localpart)
        if name not in self._names:
            raise AccountError(f"there is no account {name}@{self._host}")
        return name

    async def _derive_all(self, password: str) -> list:
        try:
            text = prepare_password(password)
        except ValueError as error:
            raise AccountError(str(error)) from None
        async with self._deriving:
            return await asyncio.to_thread(_values, text)

    async def _settle(self, name: str) -> None:
        """Waits for the disk; then memory says what the disk says, also when the caller has given up."""
        await asyncio.shield(self._follow_disk(name, self._database.committed()))

    async def _follow_disk(self, name: str, committed: "asyncio.Future[None]") -> None:
        try:
            await committed
        finally:
            self._marks.pop(name, None)
            if self._changed.pop(name, None):  # first: nobody could log in for good, if the disk could not be read
                self.changes += 1
                _keep(self._changed, name, self.changes, CHANGES_KEPT)
            if self._database.read("SELECT 1 FROM users WHERE localpart = ?", (name,)):
                self._names.add(name)
            else:
                self._names.discard(name)

    def _trace(self, localpart: str) -> bytes:
        return hmac.digest(self._secret, f"gone\0{localpart}".encode(), "sha256")

    def _make_up(self, localpart: str, family: str) -> Keys:
        def digest(part: str) -> bytes:
            return hmac.digest(self._secret, f"{part}\0{family}\0{localpart}".encode(), "sha256")

        size = _SIZES[family]
        return Keys(digest("salt")[:SALT_SIZE], ITERATIONS, digest("stored")[:size], digest("server")[:size])

    def _find_secret(self) -> bytes:
        for (secret,) in self._database.read("SELECT secret FROM made_up_keys"):
            return secret
        secret = secrets.token_bytes(32)
        self._database.write("INSERT INTO made_up_keys (secret) VALUES (?)", (secret,))
        return secret


def _values(password: str) -> list:
    """The values of _ALL_COLUMNS, with a new salt for each family."""
    values: list = []
    for family in FAMILIES:
        keys = derive(family, password, secrets.token_bytes(SALT_SIZE), ITERATIONS)
        values += (keys.salt, keys.iterations, keys.stored_key, keys.server_key)
    return values


class Attempts:
    """Whoever guesses passwords has to wait: after nine wrong ones 1 s, then 2, 4, up to a minute.

    Counted for each account and address together, so that a stranger cannot lock out whom he guesses at; and for the
    address alone, which may guess more, so that it is no use to try ever other accounts. That holds up nobody who has
    logged in from there before. A moment `now` is the loop's time, in seconds.
    """

    FREE = 9  # wrong tries without a wait: a person's three typing errors, each of which some clients try by three ways
    FREE_TOGETHER = 200  # of one address: as many may log in there at once (Strangers in net/listener.py)
    FORGOTTEN = 600.0  # seconds after which the count begins anew; 2000 guesses a day, whatever pauses one makes
    FORGOTTEN_TOGETHER = 3600.0  # seconds; 5000 guesses a day
    LONGEST = 60.0  # seconds
    KEPT = 1024  # pairs, about 400 KiB; pushing one out costs as many tries from elsewhere

    def __init__(self) -> None:
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._together: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()  # who was right

    def begin(self, account: str, address: str, now: float) -> float:
        """To be asked just before a proof or password is looked at. 0.0: look; the try counts as wrong until
        `right` is told, so that tries at the same moment count too. Otherwise the seconds still to wait."""
        wait = self.wait(account, address, now)
        if wait > 0:
            return wait
        pair = account, address
        alone = _still(self._wrong.get(pair), now, self.FORGOTTEN)
        _keep(self._wrong, pair, (alone[0] + 1, now), self.KEPT)
        if pair not in self._known:
            together = _still(self._together.get(address), now, self.FORGOTTEN_TOGETHER)
            _keep(self._together, address, (together[0] + 1, now), self.KEPT)
        return 0.0

    def wait(self, account: str, address: str, now: float) -> float:
        """The seconds until a try is looked at; 0.0 or less: none."""
        pair = account, address
        wait = _pause(_still(self._wrong.get(pair), now, self.FORGOTTEN), self.FREE, self.LONGEST) - now
        if pair not in self._known:
            together = _still(self._together.get(address), now, self.FORGOTTEN_TOGETHER)
            wait = max(wait, _pause(together, self.FREE_TOGETHER, self.LONGEST) - now)
        return wait

    def right(self, account: str, address: str) -> None:
        """The password was right: nothing is held against this pair any more."""
        pair = account, address
        self._wrong.pop(pair, None)
        if pair not in self._known:
            count, last = self._together.pop(address, (1, 0.0))
            if count > 1:
                self._together[address] = count - 1, last
        _keep(self._known, pair, None, self.KEPT)


def _still(wrong: tuple[int, float] | None, now: float, forgotten: float) -> tuple[int, float]:
    """How many wrong tries still count, and when the last one was."""
    return wrong if wrong is not None and now - wrong[1] <= forgotten else (0, now)


def _pause(wrong: tuple[int, float], free: int, longest: float) -> float:
    """The moment until which no more are looked at."""
    count, last = wrong
    if count < free:
        return last
    # 16: far beyond the longest, and the power stays small however long somebody tries.
    return last + min(2.0 ** min(count - free, 16), longest)


def _keep(kept: "OrderedDict[Key, Value]", key: "Key", value: "Value", most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)
