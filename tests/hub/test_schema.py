"""Tables grow by scripts, each run once, all or nothing."""

import contextlib
import sqlite3

import pytest

from node.hub.schema import grow
from node.hub.sqlite import StoreError, connect

LAMP = "CREATE TABLE lamp (id INTEGER PRIMARY KEY); INSERT INTO lamp VALUES (1)"
NAME = "ALTER TABLE lamp ADD COLUMN name TEXT; INSERT INTO lamp VALUES (2, 'porch') -- a comment"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "things.db"


@pytest.fixture
def reader(path):
    with contextlib.closing(connect_to_read(path)) as reader:
        yield reader


def connect_to_read(path):
    path.touch()
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def test_a_schema_grows_by_scripts_each_run_once(path, reader):
    grow(path, reader, "lamp", [LAMP])
    for _ in range(2):
        grow(path, reader, "lamp", [LAMP, NAME])
    assert reader.execute("SELECT id, name FROM lamp").fetchall() == [(1, None), (2, "porch")]


def test_what_a_file_has_seen_is_written_in_it(path, reader):
    grow(path, reader, "lamp", [LAMP])
    with contextlib.closing(connect_to_read(path)) as later:
        grow(path, later, "lamp", [LAMP, NAME])
        assert later.execute("SELECT count(*) FROM lamp").fetchall() == [(2,)]


def test_features_grow_apart(path, reader):
    grow(path, reader, "lamp", [LAMP, NAME])
    grow(path, reader, "o'clock", ["CREATE TABLE clock (id)"])
    assert reader.execute("SELECT feature, version FROM versions").fetchall() == [("lamp", 2), ("o'clock", 1)]


def test_a_newer_schema_is_refused_in_words(path, reader):
    grow(path, reader, "lamp", [LAMP, "CREATE TABLE shade (id)"])
    with pytest.raises(StoreError, match="newer hobnode: lamp has version 2, this one knows 1"):
        grow(path, reader, "lamp", [LAMP])


def test_a_script_that_fails_leaves_nothing_and_the_connection_only_reads_again(path, reader):
    with pytest.raises(StoreError, match="cannot bring lamp to version 1"):
        grow(path, reader, "lamp", ["CREATE TABLE lamp (id); INSERT INTO nowhere VALUES (1)"])
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("CREATE TABLE lamp (id)")
    grow(path, reader, "lamp", ["CREATE TABLE lamp (id)"])
    assert reader.execute("SELECT * FROM lamp").fetchall() == []


def test_a_file_that_cannot_be_read_is_told_in_words(path, reader):
    grow(path, reader, "lamp", [LAMP])
    with open(path, "r+b") as file:
        file.write(b"\xa5" * 8192)
    (path.with_name(path.name + "-wal")).unlink()
    with (
        contextlib.closing(sqlite3.connect(path)) as damaged,
        pytest.raises(StoreError, match=r"things\.db: the file is damaged"),
    ):
        grow(path, damaged, "lamp", [LAMP])
