"""Tables that grow by scripts, each run once: how the file of an older node becomes ours."""

import sqlite3
from collections.abc import Sequence

from node.base.path import Path
from node.hub.sqlite import StoreError, in_words


def grow(path: Path, connection: sqlite3.Connection, feature: str, scripts: Sequence[str]) -> None:
    """Runs those of a feature's scripts that this file has not seen, in order, each all or nothing.

    `connection` is one that only reads, and is so again afterwards. StoreError if a newer node has written
    the file, or if it cannot be read, or if a script fails.
    """
    version = _version(path, connection, feature)
    if version > len(scripts):
        raise StoreError(
            f"{path} was written by a newer hobnode: {feature} has version {version}, this one knows {len(scripts)}"
        )
    for number, script in enumerate(scripts[version:], version + 1):
        _run(path, connection, feature, number, script)


def _version(path: Path, connection: sqlite3.Connection, feature: str) -> int:
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'versions'").fetchall():
            return 0
        rows = connection.execute("SELECT version FROM versions WHERE feature = ?", (feature,)).fetchall()
    except sqlite3.Error as error:
        raise in_words(path, error) from error
    return rows[0][0] if rows else 0


def _run(path: Path, connection: sqlite3.Connection, feature: str, number: int, script: str) -> None:
    name = feature.replace("'", "''")
    connection.execute("PRAGMA query_only = OFF")
    try:
        connection.executescript(f"""
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS versions (feature TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID;
            {script}
            ;
            INSERT OR REPLACE INTO versions VALUES ('{name}', {number});
            COMMIT""")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StoreError(f"{path}: cannot bring {feature} to version {number}: {error}") from error
    finally:
        connection.execute("PRAGMA query_only = ON")
