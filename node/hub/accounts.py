"""Who lives here: the people's accounts and what is kept of their passwords, in accounts.db.

Kept are SCRAM keys, never a password (XEP-0438). Who has no account gets made-up keys, the same ones each
time, so that a login tells nobody which accounts there are.
"""

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict

from node.base.jid import JidError, make
from node.hub.store import Database
from node.stream.sasl import FAMILIES, Keys, derive, prepare_password

ITERATIONS = 10_000  # XEP-0438; 5 ms on a PC, about 50 ms on a Pi
SALT_SIZE = 16  # bytes; XEP-0438
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
_COLUMNS = {
    family: [f"{name}_{part}" for part in ("salt", "iterations", "stored_key", "server_key")]
    for family, name in FAMILIES.items()
}
_ALL_COLUMNS = [column for columns in _COLUMNS.values() for column in columns]
_READ = {family: f"SELECT {', '.join(columns)} FROM users WHERE localpart = ?" for family, columns in _COLUMNS.items()}
_CREATE = f"INSERT INTO users (localpart, created, {', '.join(_ALL_COLUMNS)}) VALUES (?, ?{', ?' * len(_ALL_COLUMNS)})"
_CHANGE = f"UPDATE users SET {', '.join(f'{column} = ?' for column in _ALL_COLUMNS)} WHERE localpart = ?"
_SIZES = {"SCRAM-SHA-256": 32, "SCRAM-SHA-1": 20}


class AccountError(Exception):
    """An account cannot be made, changed or removed; the message says why, for people."""


class Accounts:
    """The accounts of `host`. A change returns when it is on disk, and raises StoreError if that fails."""

    def __init__(self, database: Database, host: str):
        database.schema("accounts", SCHEMA)
        self._database = database
        self._host = host
        self._names = {name for (name,) in database.read("SELECT localpart FROM users")}
        self._secret = self._find_secret()
        self._changing = asyncio.Lock()
        self._deriving = asyncio.Semaphore(THREADS)

    def exists(self, localpart: str) -> bool:
        """Whether there is such an account (prepared localpart)."""
        return localpart in self._names

    def names(self) -> list[str]:
        """All localparts, sorted."""
        return sorted(self._names)

    async def create(self, localpart: str, password: str) -> None:
        """Raises AccountError: a name that no address may have or that is taken, an unusable password."""
        name = self._prepare(localpart)
        async with self._changing:
            if name in self._names:
                raise AccountError(f"{name}@{self._host} exists already")
            values = await self._derive_all(password)
            self._database.write(_CREATE, (name, int(time.time()), *values))
            await self._settle(name)

    async def set_password(self, localpart: str, password: str) -> None:
        """Raises AccountError: no such account, an unusable password."""
        async with self._changing:
            name = self._find(localpart)
            values = await self._derive_all(password)
            self._database.write(_CHANGE, (*values, name))
            await self._settle(name)

    async def remove(self, localpart: str) -> None:
        """Raises AccountError: no such account."""
        async with self._changing:
            name = self._find(localpart)
            self._database.write("DELETE FROM users WHERE localpart = ?", (name,))
            await self._settle(name)

    def keys(self, localpart: str, family: str) -> Keys:
        """The SCRAM keys of an account; made-up ones, that fit no password, for one that does not exist."""
        # Made up for everybody, so that the time taken tells nothing.
        made_up = self._make_up(localpart, family)
        rows = self._database.read(_READ[family], (localpart,))
        return Keys(*rows[0]) if rows else made_up

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
            if self._database.read("SELECT 1 FROM users WHERE localpart = ?", (name,)):
                self._names.add(name)
            else:
                self._names.discard(name)

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
    """Whoever guesses passwords has to wait: after three wrong ones 1 s, then 2, 4, up to a minute.

    Counted for each account and address together, so that a stranger cannot lock out whom he guesses at.
    A moment `now` is the loop's time, in seconds.
    """

    FREE = 3  # wrong tries without a wait: a person's typing errors
    FORGOTTEN = 300.0  # seconds after which the count begins anew
    LONGEST = 60.0  # seconds; 1440 guesses a day find no password worth the name
    KEPT = 1024  # pairs, about 400 KiB; pushing one out costs as many tries from elsewhere

    def __init__(self) -> None:
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def begin(self, account: str, address: str, now: float) -> float:
        """To be asked just before a proof or password is looked at. 0.0: look; the try counts as wrong until
        `right` is told, so that tries at the same moment count too. Otherwise the seconds still to wait."""
        count, last = self._wrong.get((account, address), (0, now))
        if now - last > self.FORGOTTEN:
            count = 0
        if count >= self.FREE:
            # 16: far beyond LONGEST, and the power stays small however long somebody tries.
            pause = min(2.0 ** min(count - self.FREE, 16), self.LONGEST)
            if now < last + pause:
                return last + pause - now
        self._wrong[account, address] = (count + 1, now)
        self._wrong.move_to_end((account, address))
        if len(self._wrong) > self.KEPT:
            self._wrong.popitem(last=False)
        return 0.0

    def right(self, account: str, address: str) -> None:
        """The password was right: nothing is held against this pair any more."""
        self._wrong.pop((account, address), None)
