"""An SQLite file that can be trusted: ours alone, looked at before use, its faults told in plain words."""

import fcntl
import logging
import os
import sqlite3
import time
from contextlib import suppress

from node.base.path import Path

log = logging.getLogger("hobnode")

CHECKED_AT_START = 8 << 20  # bytes: 0.2 s on a slow card; a whole archive would take half a minute
MAGIC = b"SQLite format 3\0"  # how every file begins, https://www.sqlite.org/fileformat.html

PRAGMAS = (
    "busy_timeout = 5000",  # a migration on the loop and a commit may meet
    "journal_mode = WAL",  # reading never waits for writing, and a commit is one append
    "synchronous = FULL",  # the sync before the promise; NORMAL may take back what was committed
    "cache_size = -256",  # KiB; with SQLite's 2 MiB, six connections would be half our memory
    "wal_autocheckpoint = 4000",  # pages: one that changes often goes to the file once in 8 MB of log
    "journal_size_limit = 8388608",  # bytes: a log that once had to grow goes back to its usual size
    "secure_delete = FAST",  # Debian's default fills every freed page with zeros: bytes for the card
    "temp_store = MEMORY",  # no temporary files on the card
)

FAULTS = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "the disk is read-only, or the file belongs to someone else",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "the file cannot be opened",
    sqlite3.SQLITE_BUSY: "another program holds the file",
    sqlite3.SQLITE_LOCKED: "another program holds the file",
    sqlite3.SQLITE_PROTOCOL: "another program holds the file",
}


class StoreError(Exception):
    """Something could not be kept or read. The text names the file and the reason, in plain words."""


def lock(folder: Path) -> int:
    """Makes the folder and takes it for this process. The open file: its lock ends when it is closed.

    StoreError if another process has the folder, or if it cannot be used.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(file, 20).decode(errors="replace").strip()
        os.close(file)
        raise StoreError(f"{folder} is in use by another hobnode (process {holder})") from error
    os.ftruncate(file, 0)
    os.write(file, f"{os.getpid()}\n".encode())
    return file


def open_reader(path: Path, precious: bool) -> sqlite3.Connection:
    """A connection that only reads. A damaged file is moved aside for an empty one, unless it is precious.

    StoreError if the file cannot be used.
    """
    try:
        return _open_checked(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
    except sqlite3.Error as error:
        if not is_damage(error):
            raise in_words(path, error) from error
        if precious:
            raise StoreError(
                f"{path} is damaged ({error}): put back a copy of it, or move it away to begin with an empty one"
            ) from error
        aside = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        log.warning("%s is damaged (%s): it is now %s, and we begin with an empty one", path, error, aside)
    for end in ("", "-wal", "-shm"):
        if os.path.exists(f"{path}{end}"):
            os.rename(f"{path}{end}", path.with_name(aside + end))
    return _open_checked(path)


def connect(path: Path) -> sqlite3.Connection:
    """A connection with our settings, on which BEGIN and COMMIT are said by us. sqlite3.Error as it comes."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if os.path.getsize(path) == 0:  # or it would write to the file each time
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # a purged archive can give back its room
            connection.execute("PRAGMA page_size = 2048")  # a commit of some messages is 2.0 KB each; with 4096, 2.8
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def is_fault(error: Exception) -> bool:
    """Whether the disk or the file is to blame, not the statement."""
    return _code(error) in FAULTS


def is_damage(error: Exception) -> bool:
    """Whether the file is not what SQLite has written."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def in_words(path: Path, error: Exception) -> StoreError:
    """What went wrong with this file, for a person."""
    return StoreError(f"{path.name}: {FAULTS.get(_code(error)) or error}")


def remember_damage(path: Path, error: Exception) -> None:
    """If the error is damage or may have made some, the next start looks at all of the file, however large it is."""
    if not is_damage(error) and _code(error) != sqlite3.SQLITE_IOERR:
        return
    try:
        open(_suspect(path), "ab").close()
    except OSError as why:
        log.debug("%s: %s", path, why)


def _open_checked(path: Path) -> sqlite3.Connection:
    if not os.path.exists(path):
        _make(path)
    with open(os.open(path, os.O_RDWR | os.O_CLOEXEC), "rb") as file:
        begin = file.read(len(MAGIC) + 2)
    # These before SQLite is asked: it would take the file for a new one, and delete the log.
    if not begin.startswith(MAGIC):
        raise _damage("it is not a database" if begin else "it is empty")
    if os.path.getsize(path) < int.from_bytes(begin[len(MAGIC) :], "big"):  # one page
        raise _damage("it is cut off")
    connection = connect(path)
    try:
        if os.path.getsize(path) <= CHECKED_AT_START or _suspect(path).exists():
            ((found,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
            if found != "ok":
                raise _damage(found.splitlines()[-1])
            with suppress(FileNotFoundError):
                os.unlink(_suspect(path))
            connection.execute("PRAGMA shrink_memory")  # or it keeps what it has looked at: 0.25 MiB for the three
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """An empty database, whole or not at all: a start that is cut short leaves nothing that looks damaged."""
    fresh = path.with_name(path.name + ".new")
    # Made by us, since SQLite would let others read it; its log takes the mode of the file.
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    connect(fresh).close()
    for end in ("-wal", "-shm"):  # of a file that somebody took away: SQLite would put it into this one
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{end}")
    os.rename(fresh, path)


def _damage(text: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _suspect(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits tell which call failed
