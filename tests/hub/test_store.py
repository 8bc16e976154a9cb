"""The store: what is promised is on disk, in few commits, and a bad disk is told in words."""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.hub import database as database_module
from node.hub import sqlite as file_module
from node.hub import store as module
from node.hub.store import Store, StoreError
from tests.conftest import until

DEADLINE = 10  # seconds that any of these may take
NOTES = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"
INSERT = "INSERT INTO note VALUES (?, ?)"
ROOT = Path(__file__).parents[2]


def run(test, folder):
    """Runs `test(store)` with tables for notes in each database."""

    async def inside():
        with contextlib.closing(Store(folder, asyncio.get_running_loop())) as store:
            for database in (store.accounts, store.archive, store.things):
                database.schema("notes", NOTES)
            async with asyncio.timeout(DEADLINE):
                return await test(store)

    return asyncio.run(inside())


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """What nobody feels is committed soon. Some tests look at the patience, and set it themselves."""
    monkeypatch.setattr(module, "PATIENCE", 0)


@pytest.fixture
def waits(monkeypatch):
    """How long the writer is going to wait, each time that it begins to: seconds, None for ever."""
    begun = []

    class Event(threading.Event):
        def wait(self, timeout=None):
            begun.append(timeout)
            return super().wait(timeout)

    monkeypatch.setattr(module, "threading", SimpleNamespace(Event=Event, Thread=threading.Thread))
    return begun


async def nothing(store):
    """A store is opened and closed."""


def on_disk(path, sql="SELECT id FROM note ORDER BY id"):
    """What somebody else reads in the file."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return [row[0] for row in other.execute(sql)]


@pytest.fixture
def commits(monkeypatch):
    """Each commit, by the name of its file."""
    seen = []
    real = module.commit

    def counted(connection):
        seen.append(name_of(connection))
        real(connection)

    monkeypatch.setattr(module, "commit", counted)
    return seen


def name_of(connection):
    return Path(connection.execute("PRAGMA database_list").fetchone()[2]).name


@pytest.fixture
def stuck(monkeypatch):
    """A disk that does not answer until `release` is set; `reached` says that somebody waits for it."""

    class Stuck:
        reached = threading.Event()
        release = threading.Event()

    real = module.commit

    def wait_for_the_disk(connection):
        Stuck.reached.set()
        Stuck.release.wait(DEADLINE)
        real(connection)

    monkeypatch.setattr(module, "commit", wait_for_the_disk)
    yield Stuck
    Stuck.release.set()


def failing(code, times, monkeypatch):
    """The next `times` commits to the archive fail as SQLite fails with this code."""
    real = module.commit
    left = [times]

    def fail(connection):
        if left[0] and name_of(connection) == "archive.db":
            left[0] -= 1
            error = sqlite3.OperationalError("what SQLite says")
            error.sqlite_errorcode = code
            raise error
        real(connection)

    monkeypatch.setattr(module, "commit", fail)


# Promises


def test_what_is_committed_is_on_disk_for_everyone(tmp_path):
    async def test(store):
        for number in range(3):
            store.archive.write(INSERT, (number, "hello"))
            await store.archive.committed()
            assert on_disk(tmp_path / "archive.db") == list(range(number + 1))

    run(test, tmp_path)


def test_nothing_is_promised_before_the_disk_has_answered_and_the_loop_goes_on(tmp_path, stuck):
    async def test(store):
        store.archive.write(INSERT, (1, "slow"))
        promise = store.archive.committed()
        await asyncio.to_thread(stuck.reached.wait, DEADLINE)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not promise.done()
        assert store.archive.read("SELECT * FROM note") == []
        stuck.release.set()
        await promise
        assert store.archive.read("SELECT text FROM note") == [("slow",)]

    run(test, tmp_path)


def test_every_commit_is_synced(tmp_path):
    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await store.archive.committed()
        assert store.archive.reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    run(test, tmp_path)
    with contextlib.closing(file_module.connect(tmp_path / "archive.db")) as writer:
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_who_has_written_nothing_does_not_wait(tmp_path, commits):
    async def test(store):
        assert store.archive.committed().done()
        store.archive.write(INSERT, (1, "x"))
        assert not store.archive.committed().done()
        assert store.things.committed().done()

    run(test, tmp_path)


def test_closing_keeps_what_nobody_waited_for(tmp_path):
    async def test(store):
        store.archive.write(INSERT, (1, "a"))
        await asyncio.sleep(0)
        store.archive.write(INSERT, (2, "b"))
        store.accounts.write(INSERT, (3, "c"))

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [1, 2]
    assert on_disk(tmp_path / "accounts.db") == [3]
    assert not (tmp_path / "archive.db-wal").exists()


@pytest.mark.filterwarnings("error")
def test_a_store_whose_loop_has_ended_still_keeps_what_was_written(tmp_path):
    loop = asyncio.new_event_loop()
    store = Store(tmp_path, loop)
    store.archive.schema("notes", NOTES)
    store.archive.write(INSERT, (1, "x"))
    store.archive.committed()
    loop.close()
    store.close()
    store.close()
    assert on_disk(tmp_path / "archive.db") == [1]


def test_a_closed_store_takes_nothing(tmp_path):
    async def test(store):
        store.close()
        with pytest.raises(StoreError, match="closed"):
            store.archive.write(INSERT, (1, "x"))

    run(test, tmp_path)


def test_closing_does_not_wait_for_ever(tmp_path, stuck, monkeypatch, caplog):
    monkeypatch.setattr(module, "CLOSE_DEADLINE", 0.05)

    async def test(store):
        store.archive.write(INSERT, (1, "x"))

    run(test, tmp_path)
    assert "1 writes may be lost" in caplog.text


def test_one_who_has_gone_away_does_not_disturb_those_who_wait(tmp_path, stuck):
    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        gone, stays = store.archive.committed(), store.archive.committed()
        gone.cancel()
        stuck.release.set()
        await stays

    run(test, tmp_path)


def test_what_was_promised_survives_kill_9(tmp_path):
    chance = random.Random(9)
    promised = set()
    for _ in range(20):
        command = [sys.executable, str(ROOT / "tests" / "hub" / "crash_writer.py"), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=child()) as writer:
            lines = [writer.stdout.readline() for _ in range(chance.randint(1, 4))]
            threading.Event().wait(chance.random() / 50)  # any moment will do: in a commit, between two
            writer.send_signal(signal.SIGKILL)
            lines.append(writer.stdout.read())
        whole = "".join(lines).rpartition("\n")[0]
        assert whole, "the child wrote nothing"
        promised |= set(map(int, whole.split()))
        kept = on_disk(tmp_path / "archive.db", "SELECT number FROM pair GROUP BY number HAVING count(*) = 2")
        assert promised <= set(kept)
        halves = on_disk(tmp_path / "archive.db", "SELECT number FROM pair GROUP BY number HAVING count(*) = 1")
        assert halves == [], "one half of a pair"


def child():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


# Groups


def test_32_writes_of_a_turn_are_one_commit(tmp_path, commits):
    async def test(store):
        for number in range(32):
            store.archive.write(INSERT, (number, "x"))
        await store.archive.committed()

    run(test, tmp_path)
    assert commits == ["archive.db"]


def test_a_batch_gathers_until_its_time_has_come_or_it_is_large(tmp_path, commits, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 3600)

    async def test(store):
        store.archive.write(INSERT, (0, "the first one does not wait"))
        await store.archive.committed()
        for number in range(1, module.GROUP):
            store.archive.write(INSERT, (number, "x"))
            await asyncio.sleep(0)
        assert len(commits) == 1 and store.archive.waiting == module.GROUP - 1
        store.archive.write(INSERT, (module.GROUP, "x"))
        await store.archive.committed()
        assert len(commits) == 2

    run(test, tmp_path)


def test_a_batch_is_committed_when_its_time_has_come(tmp_path, commits):
    async def test(store):
        for number in range(3):
            store.archive.write(INSERT, (number, "x"))
            await asyncio.sleep(0)
        await store.archive.committed()

    run(test, tmp_path)
    assert len(commits) <= 2


def test_what_nobody_feels_gathers_until_somebody_waits_in_a_hurry(tmp_path, commits, waits, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        patient = store.archive.committed(hurry=False)
        await until(lambda: waits.count(3600) == 1)
        assert commits == [] and not patient.done()
        store.accounts.write(INSERT, (1, "x"))
        await store.accounts.committed()
        assert patient.done() and sorted(commits) == ["accounts.db", "archive.db"]
        store.archive.write(INSERT, (2, "and so again"))
        await until(lambda: waits.count(3600) == 2)
        assert len(commits) == 2

    run(test, tmp_path)


def test_one_who_is_in_a_hurry_later_takes_along_what_gathers(tmp_path, commits, waits, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await until(lambda: 3600 in waits)
        await store.archive.committed()

    run(test, tmp_path)
    assert commits == ["archive.db"]


def test_one_who_waits_for_all_that_is_written_may_be_in_a_hurry(tmp_path, commits, waits, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await until(lambda: 3600 in waits)
        safe = asyncio.Event()
        store.when_safe(safe.set)
        store.hurry()  # for what was written in a turn of before
        await safe.wait()
        safe.clear()
        store.archive.write(INSERT, (2, "x"))
        store.when_safe(safe.set)
        store.hurry()
        await safe.wait()

    run(test, tmp_path)
    assert commits == ["archive.db"] * 2


def test_what_nobody_feels_is_committed_when_patience_ends(tmp_path, commits, waits, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        for number in range(5):
            store.archive.write(INSERT, (number, "x"))
            await asyncio.sleep(0)
        kept = store.archive.committed(hurry=False)
        await until(lambda: 3600 in waits)
        await asyncio.sleep(0)
        assert commits == [] and not kept.done()
        store._hurry.set()  # an hour later
        await kept

    run(test, tmp_path)
    assert commits == ["archive.db"]


def test_many_writes_gather_no_longer_than_a_few(tmp_path, commits, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        for number in range(module.GROUP):
            store.archive.write(INSERT, (number, "x"))
        await until(lambda: not store.archive.waiting)

    run(test, tmp_path)


def test_closing_does_not_wait_for_a_batch_to_gather(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 3600)
    monkeypatch.setattr(module, "PATIENCE", 3600)

    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await store.archive.committed()
        store.archive.write(INSERT, (2, "x"))

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [1, 2]


def test_those_who_wait_are_woken_once_a_batch(tmp_path):
    async def test(store):
        calls = []
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe

        def counted(function, *args):
            calls.append(function)
            return real(function, *args)

        loop.call_soon_threadsafe = counted
        promises = []
        for number in range(10):
            for database in (store.accounts, store.archive, store.things):
                database.write(INSERT, (number, "x"))
                promises.append(database.committed())
        await asyncio.gather(*promises)
        assert len(calls) == 1

    run(test, tmp_path)


def test_an_idle_store_writes_nothing_and_has_no_timer(tmp_path, commits, waits):
    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await store.archive.committed()
        assert len(asyncio.get_running_loop()._scheduled) == 1  # the deadline of this test
        await until(lambda: waits.count(None) == 2)
        assert waits[0] is waits[-1] is None  # the writer sleeps, as at first, and no timer wakes it

    run(test, tmp_path)
    assert commits == ["archive.db"]


def test_who_writes_faster_than_the_disk_is_refused_at_last(tmp_path, stuck, monkeypatch):
    monkeypatch.setattr(database_module, "LIMIT", 100)

    async def test(store):
        for number in range(100):
            store.archive.write(INSERT, (number, "x"))
        with pytest.raises(StoreError, match="does not keep up"):
            store.archive.write(INSERT, (100, "x"))
        promise = store.archive.committed()
        stuck.release.set()
        await promise
        store.archive.write(INSERT, (100, "x"))

    run(test, tmp_path)


# Turns: what may be acknowledged


def test_writes_are_counted_over_all_databases(tmp_path):
    async def test(store):
        assert store.writes == 0
        store.accounts.write(INSERT, (1, "x"))
        store.archive.write_all([(INSERT, (1, "x")), (INSERT, (2, "x"))])
        store.things.write(INSERT, (1, "x"))
        assert store.writes == 3
        await store.archive.committed()
        assert store.writes == 3  # to wait is not to write

    run(test, tmp_path)


def test_a_turn_is_safe_when_all_databases_have_it(tmp_path, stuck):
    async def test(store):
        heard = []
        assert store.turn == store.safe + 1
        first = store.turn
        store.archive.write(INSERT, (1, "x"))
        store.things.write(INSERT, (1, "x"))
        assert store.turn == first  # all of it is one turn
        store.when_safe(lambda: heard.append(on_disk(tmp_path / "archive.db") + on_disk(tmp_path / "things.db")))
        await asyncio.sleep(0)
        assert store.turn == first + 1
        await asyncio.to_thread(stuck.reached.wait, DEADLINE)
        await asyncio.sleep(0)
        assert store.safe == first - 1 and heard == []
        stuck.release.set()
        await until(lambda: heard)
        assert store.safe == first and heard == [[1, 1]]

    run(test, tmp_path)


def test_a_turn_without_writes_has_no_number(tmp_path):
    async def test(store):
        before = store.turn
        for _ in range(3):
            await asyncio.sleep(0)
        assert store.turn == before

    run(test, tmp_path)


def test_who_asks_when_all_is_safe_is_called_soon_but_not_at_once(tmp_path):
    async def test(store):
        heard = []
        store.when_safe(lambda: heard.append(store.safe))
        assert heard == []
        await asyncio.sleep(0)
        assert heard == [0]

    run(test, tmp_path)


def test_each_is_called_once_when_his_own_turn_is_safe(tmp_path, monkeypatch):
    real, reached, may = module.commit, threading.Event(), threading.Semaphore(0)

    def one_at_a_time(connection):
        reached.set()
        may.acquire(timeout=DEADLINE)
        real(connection)

    monkeypatch.setattr(module, "commit", one_at_a_time)

    async def test(store):
        heard = []
        store.archive.write(INSERT, (1, "x"))
        store.when_safe(lambda: heard.append(("a", store.safe)))
        store.when_safe(lambda: heard.append(("b", store.safe)))
        await asyncio.to_thread(reached.wait, DEADLINE)  # the first commit is under way
        store.when_safe(lambda: heard.append(("c", store.safe)))  # has nothing in the second
        store.archive.write(INSERT, (2, "x"))
        store.when_safe(lambda: heard.append(("d", store.safe)))
        may.release()
        await until(lambda: len(heard) == 3)
        may.release()
        await until(lambda: len(heard) == 4)
        await store.archive.committed()
        assert heard == [("a", 1), ("b", 1), ("c", 1), ("d", 2)]

    run(test, tmp_path)


def test_one_who_fails_when_called_does_not_keep_the_others_from_it(tmp_path):
    async def test(store):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["exception"].args))
        heard = []
        store.archive.write(INSERT, (1, "x"))
        store.when_safe(lambda: {}["his mistake"])
        store.when_safe(lambda: heard.append("me"))
        await until(lambda: len(heard) == 2)
        assert heard == [("his mistake",), "me"]

    run(test, tmp_path)


def test_a_turn_that_is_lost_is_safe_after_those_who_asked_were_told(tmp_path, monkeypatch):
    async def test(store):
        failing(sqlite3.SQLITE_FULL, 1, monkeypatch)
        heard = []
        store.when_safe(lambda: heard.append("all is well"))
        store.archive.write(INSERT, (1, "lost"))
        store.archive.committed().add_done_callback(
            lambda promise: heard.append((str(promise.exception()), store.safe))
        )
        store.when_safe(lambda: heard.append(("safe", store.safe)))
        await until(lambda: len(heard) == 3)
        assert heard == ["all is well", ("archive.db: the disk is full", 0), ("safe", 1)]

    run(test, tmp_path)


def test_a_loss_that_somebody_makes_good_is_not_safe_before(tmp_path, monkeypatch):
    async def test(store):
        failing(sqlite3.SQLITE_FULL, 2, monkeypatch)
        heard = []

        def again(error):
            heard.append(str(error))
            store.archive.write(INSERT, (1, "lost at first"))
            store.archive.committed().add_done_callback(lambda it: it.exception() or store.archive.made_good())
            return True

        store.archive.on_loss(again)
        store.archive.write(INSERT, (1, "lost at first"))
        store.when_safe(lambda: heard.append(on_disk(tmp_path / "archive.db")))
        await asyncio.sleep(0)
        store.accounts.write(INSERT, (1, "somebody else's, and later"))
        store.when_safe(lambda: heard.append("later"))
        await until(lambda: len(heard) == 4)
        assert heard == ["archive.db: the disk is full"] * 2 + [[1], "later"]
        assert store.safe >= 3 and not store.archive.owed

    run(test, tmp_path)


def test_nothing_behind_a_debt_is_safe_though_it_is_on_disk(tmp_path, monkeypatch):
    async def test(store):
        failing(sqlite3.SQLITE_FULL, 1, monkeypatch)
        store.archive.on_loss(lambda error: True)
        store.archive.write(INSERT, (1, "lost"))
        await until(lambda: store.archive.owed)
        store.accounts.write(INSERT, (1, "kept"))
        await store.accounts.committed()
        assert store.safe == 0
        heard = []
        store.when_safe(lambda: heard.append(True))
        store.accounts.write(INSERT, (2, "kept, too"))
        await store.accounts.committed()
        assert store.safe == 0 and not heard
        store.archive.made_good()
        assert store.safe == 3
        await until(lambda: heard)

    run(test, tmp_path)


def test_a_loss_that_nobody_makes_good_is_safe(tmp_path, monkeypatch):
    async def test(store):
        failing(sqlite3.SQLITE_FULL, 1, monkeypatch)
        store.archive.on_loss(lambda error: False)
        store.archive.write(INSERT, (1, "lost"))
        await until(lambda: store.safe == 1)

    run(test, tmp_path)


def test_of_what_would_fail_again_and_of_other_databases_the_listener_does_not_hear(tmp_path, monkeypatch):
    async def test(store):
        heard = []
        store.archive.on_loss(heard.append)
        store.things.on_loss(heard.append)
        store.archive.write(INSERT, (1, None))
        with pytest.raises(StoreError, match="NOT NULL"):
            await store.archive.committed()
        failing(sqlite3.SQLITE_FULL, 1, monkeypatch)
        store.things.write(INSERT, (1, "x"))
        store.archive.write(INSERT, (1, "x"))
        await until(lambda: store.safe == 2)
        assert [str(error) for error in heard] == ["archive.db: the disk is full"]

    run(test, tmp_path)


# Statements that fail


def test_a_statement_that_fails_spares_the_rest_of_its_batch(tmp_path, commits, caplog):
    async def test(store):
        store.archive.write(INSERT, (1, "good"))
        before = store.archive.committed()
        store.archive.write(INSERT, (1, "twice"))
        behind = store.archive.committed()
        await asyncio.sleep(0)
        store.archive.write(INSERT, (2, "somebody else's"))
        other = store.archive.committed()
        await before
        with pytest.raises(StoreError, match=r"archive\.db: UNIQUE constraint failed: note\.id"):
            await behind
        await other

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db", "SELECT text FROM note") == ["good", "somebody else's"]
    assert "INSERT INTO note" in caplog.text
    assert "twice" not in caplog.text  # what people write is not for the log


@pytest.mark.parametrize("args", [(1, object()), (1,), (2**70, "x"), (1, "\ud800")])
def test_a_value_that_sqlite_cannot_keep_spares_the_rest(tmp_path, args):
    async def test(store):
        store.archive.write(INSERT, args)
        wrong = store.archive.committed()
        await asyncio.sleep(0)
        store.archive.write(INSERT, (7, "x"))
        right = store.archive.committed()
        with pytest.raises(StoreError):
            await wrong
        await right

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [7]


def test_statements_that_belong_together_are_kept_all_or_not_at_all(tmp_path):
    async def test(store):
        store.archive.write(INSERT, (1, "before"))
        store.archive.write_all([(INSERT, (2, "a")), (INSERT, (3, None))])
        torn = store.archive.committed()
        await asyncio.sleep(0)
        store.archive.write_all([(INSERT, (4, "a")), (INSERT, (5, "b"))])
        store.archive.write_all([])
        whole = store.archive.committed()
        with pytest.raises(StoreError, match="NOT NULL"):
            await torn
        await whole

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [1, 4, 5]


def test_a_statement_that_rolls_back_everything_loses_its_whole_batch_and_says_so(tmp_path):
    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        first = store.archive.committed()
        store.archive.write("INSERT OR ROLLBACK INTO note VALUES (1, 'x')")
        store.archive.write(INSERT, (2, "x"))
        second = store.archive.committed()
        for promise in (first, second):
            with pytest.raises(StoreError):
                await promise
        store.archive.write(INSERT, (3, "x"))
        await store.archive.committed()

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [3]


def test_a_statement_that_failed_and_nobody_asked_about_costs_nobody_else_his_answer(tmp_path, caplog):
    async def test(store):
        store.archive.write(INSERT, (1, None))
        await asyncio.sleep(0)
        store.archive.write(INSERT, (2, "x"))
        await store.archive.committed()

    run(test, tmp_path)
    assert "NOT NULL" in caplog.text


# Disks that fail


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "archive.db: the disk is full"),
        (sqlite3.SQLITE_IOERR_FSYNC, "archive.db: the disk reports an error"),
        (sqlite3.SQLITE_READONLY, "archive.db: the disk is read-only"),
    ],
)
def test_a_failed_commit_is_told_to_all_and_tried_again_for_nobody(tmp_path, monkeypatch, caplog, code, words):
    async def test(store):
        failing(code, 2, monkeypatch)
        for number in (1, 2):
            store.archive.write(INSERT, (number, "lost"))
            promises = [store.archive.committed(), store.archive.committed()]
            store.things.write(INSERT, (number, "things are elsewhere"))
            for promise in promises:
                with pytest.raises(StoreError, match=words):
                    await promise
            assert words in store.archive.trouble
        store.archive.write(INSERT, (3, "kept"))
        await store.archive.committed()
        assert store.archive.trouble == ""

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [3]
    assert caplog.text.count(words) == 1
    assert "archive.db: writing works again" in caplog.text


def test_a_failed_commit_that_nobody_asked_about_costs_nobody_else_his_answer(tmp_path, monkeypatch, caplog):
    async def test(store):
        failing(sqlite3.SQLITE_FULL, 1, monkeypatch)
        store.archive.write(INSERT, (1, "lost"))
        await until(lambda: not store.archive.waiting)
        await store.archive.committed()
        assert "full" in store.archive.trouble  # nothing was written since
        store.archive.write(INSERT, (2, "x"))
        await store.archive.committed()

    run(test, tmp_path)
    assert "the disk is full" in caplog.text
    assert on_disk(tmp_path / "archive.db") == [2]


def test_a_disk_that_sqlite_finds_read_only_is_tried_anew(tmp_path):
    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await store.archive.committed()
        store.archive._writer = read_only(store.archive.path)
        store.archive.write(INSERT, (2, "x"))
        with pytest.raises(StoreError, match="read-only"):
            await store.archive.committed()
        store.archive.write(INSERT, (3, "x"))
        await store.archive.committed()

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db") == [1, 3]


def read_only(path):
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)


FULL_DISK = """
import asyncio, contextlib, resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
from node.hub.store import Store, StoreError
from tests.conftest import until

async def main():
    with contextlib.closing(Store(Path(sys.argv[1]), asyncio.get_running_loop())) as store:
        store.archive.schema("notes", "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for number in range(100):
            store.archive.write("INSERT INTO note VALUES (?, ?)", (number, "x" * 10_000))
            try:
                await store.archive.committed()
                print(number, flush=True)
            except StoreError as error:
                print(error, file=sys.stderr)
                break
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.archive.write("INSERT INTO note VALUES (1000, 'room again')")
        await store.archive.committed()
        print(1000)

asyncio.run(main())
"""


def test_a_disk_without_room_loses_nothing_that_was_promised_and_room_is_used_again(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=child(), timeout=DEADLINE, check=True)
    promised = list(map(int, done.stdout.split()))
    assert 1 < len(promised) < 100 and promised[-1] == 1000
    assert "archive.db: the disk" in done.stderr
    assert on_disk(tmp_path / "archive.db") == promised
    assert on_disk(tmp_path / "archive.db", "PRAGMA integrity_check") == ["ok"]


# Reading


def test_reading_cannot_write(tmp_path):
    async def test(store):
        with pytest.raises(StoreError, match="read-only"):
            store.archive.read("INSERT INTO note VALUES (1, 'past the writer')")

    run(test, tmp_path)  # after a migration
    run(test, tmp_path)  # and without


def test_a_mistake_in_a_query_is_a_mistake_of_ours(tmp_path):
    async def test(store):
        with pytest.raises(sqlite3.OperationalError):
            store.archive.read("SELECT nothing FROM nowhere")

    run(test, tmp_path)


# The folder


def test_what_is_kept_is_for_our_eyes_only(tmp_path):
    folder = tmp_path / "deep" / "data"

    async def test(store):
        store.archive.write(INSERT, (1, "x"))
        await store.archive.committed()
        assert folder.stat().st_mode & 0o777 == 0o700
        names = {path.name for path in folder.iterdir()}
        assert {"accounts.db", "archive.db", "things.db", "archive.db-wal", "lock"} <= names
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    run(test, folder)


def test_two_nodes_do_not_share_a_folder(tmp_path):
    async def test(store):
        with pytest.raises(StoreError, match=rf"in use by another hobnode \(process {os.getpid()}\)"):
            Store(tmp_path, asyncio.get_running_loop())

    run(test, tmp_path)
    run(nothing, tmp_path)  # and it is free again


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file/data cannot be used: Not a directory"):
        run(None, tmp_path / "file" / "data")


def test_a_file_that_cannot_be_opened_is_told_in_words_and_the_folder_is_free(tmp_path):
    (tmp_path / "archive.db").mkdir()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"archive\.db cannot be opened: Is a directory"):
            run(None, tmp_path)


def test_a_purged_archive_can_give_back_its_room(tmp_path):
    run(nothing, tmp_path)
    assert on_disk(tmp_path / "archive.db", "PRAGMA auto_vacuum") == [2]  # INCREMENTAL


def test_a_start_without_news_writes_nothing(tmp_path):
    filled(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.db")}
    run(nothing, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.db")} == before


# Damage


def filled(folder, rows=200):
    async def test(store):
        for number in range(rows):
            store.accounts.write(INSERT, (number, "x" * 500))
            store.archive.write(INSERT, (number, "x" * 500))
        await asyncio.gather(store.accounts.committed(), store.archive.committed())

    run(test, folder)


def scratch(path, offset, data=b"\xa5" * 4096):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("offset", [0, 3 * 4096])
def test_a_damaged_archive_is_moved_aside_and_the_accounts_live(tmp_path, caplog, offset):
    filled(tmp_path)
    scratch(tmp_path / "archive.db", offset)
    damaged = (tmp_path / "archive.db").read_bytes()

    async def test(store):
        assert store.archive.read("SELECT count(*) FROM note") == [(0,)]
        assert store.accounts.read("SELECT count(*) FROM note") == [(200,)]

    run(test, tmp_path)
    (aside,) = tmp_path.glob("archive.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert aside.name in caplog.text and caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(("size", "words"), [(0, "it is empty"), (2048, "it is cut off")])
def test_R3_a_file_without_a_page_is_damaged_not_new(tmp_path, caplog, size, words):
    """SQLite would take it for a new one, and throw away the log, in which everything may be."""
    filled(tmp_path)
    for name in ("archive.db", "accounts.db"):
        os.truncate(tmp_path / name, size)
        (tmp_path / f"{name}-wal").write_bytes(b"what was not in the file yet")
    with pytest.raises(StoreError, match=rf"accounts\.db is damaged \({words}\): put back a copy"):
        run(None, tmp_path)
    assert (tmp_path / "accounts.db-wal").read_bytes() == b"what was not in the file yet"
    for name in ("accounts.db", "accounts.db-wal"):
        (tmp_path / name).unlink()
    run(nothing, tmp_path)
    (log,) = tmp_path.glob("archive.db.damaged-*-wal")
    assert log.read_bytes() == b"what was not in the file yet"
    assert words in caplog.text


def test_the_log_of_a_damaged_archive_goes_with_it(tmp_path):
    filled(tmp_path)
    scratch(tmp_path / "archive.db", 0)
    (tmp_path / "archive.db-wal").write_bytes(b"what was not in the file yet")
    run(nothing, tmp_path)
    (log,) = tmp_path.glob("archive.db.damaged-*-wal")
    assert log.read_bytes() == b"what was not in the file yet"


@pytest.mark.parametrize("offset", [0, 3 * 4096])
def test_damaged_accounts_are_never_thrown_away(tmp_path, offset):
    filled(tmp_path)
    scratch(tmp_path / "accounts.db", offset)
    before = (tmp_path / "accounts.db").read_bytes()
    with pytest.raises(StoreError, match=r"accounts\.db is damaged \(.*\): put back a copy"):
        run(None, tmp_path)
    assert (tmp_path / "accounts.db").read_bytes() == before


async def reads_it(store):
    with pytest.raises(StoreError, match=r"archive\.db: the file is damaged"):
        store.archive.read("SELECT text FROM note")


async def writes_it(store):
    store.archive.write("UPDATE note SET text = 'y'")
    with pytest.raises(StoreError, match=r"archive\.db: the file is damaged"):
        await store.archive.committed()


@pytest.mark.parametrize("meets_it", [reads_it, writes_it])
def test_damage_in_a_large_file_is_found_at_the_start_after_it_was_met(tmp_path, monkeypatch, meets_it):
    monkeypatch.setattr(file_module, "CHECKED_AT_START", 0)  # any file is a large one now
    filled(tmp_path, rows=2000)
    scratch(tmp_path / "archive.db", 20 * 4096, b"\xa5" * 4096 * 40)

    async def begins_anew(store):
        assert store.archive.read("SELECT count(*) FROM note") == [(0,)]

    run(meets_it, tmp_path)
    assert list(tmp_path.glob("archive.db.damaged-*")) == []
    run(begins_anew, tmp_path)
    assert len(list(tmp_path.glob("archive.db.damaged-*"))) == 1
    assert not list(tmp_path.glob("*.suspect"))


def test_R5_after_an_error_of_the_disk_the_next_start_looks_at_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(file_module, "CHECKED_AT_START", 0)
    filled(tmp_path, rows=2000)

    async def test(store):
        with monkeypatch.context() as patch:
            failing(sqlite3.SQLITE_IOERR_FSYNC, 1, patch)
            store.archive.write(INSERT, (5000, "x"))
            with pytest.raises(StoreError, match="reports an error"):
                await store.archive.committed()
        store.archive.write(INSERT, (5001, "written by a connection that was opened anew"))
        await store.archive.committed()

    run(test, tmp_path)
    assert on_disk(tmp_path / "archive.db", "SELECT id FROM note WHERE id >= 5000") == [5001]
    scratch(tmp_path / "archive.db", 20 * 4096, b"\xa5" * 4096 * 40)  # what the disk has made of it
    run(nothing, tmp_path)
    assert len(list(tmp_path.glob("archive.db.damaged-*"))) == 1


def test_the_log_is_moved_into_the_file_by_the_writer_not_by_the_loop(tmp_path, monkeypatch):
    logs = []
    real = Store._release

    def look(store):
        logs.append((tmp_path / "archive.db-wal").stat().st_size)
        real(store)

    monkeypatch.setattr(Store, "_release", look)
    filled(tmp_path)
    assert logs == [0]


def test_a_copy_of_the_one_file_is_a_copy_of_everything_after_a_clean_end(tmp_path):
    filled(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "accounts.db", tmp_path / "copy")

    async def test(store):
        assert store.accounts.read("SELECT count(*) FROM note") == [(200,)]

    run(test, tmp_path / "copy")


def test_who_writes_faster_than_the_disk_is_held_back_until_it_has_caught_up(tmp_path, stuck):
    async def test(store):
        def nobody():
            raise AssertionError("he was not held back")

        store.archive.write(INSERT, (1, "x"))
        await asyncio.to_thread(stuck.reached.wait, DEADLINE)
        for number in range(2, module.BEHIND):
            store.archive.write(INSERT, (number, "x"))
        assert not store.holds_back(nobody)
        store.archive.write(INSERT, (module.BEHIND, "x"))
        caught_up = asyncio.Event()
        assert store.holds_back(caught_up.set)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not caught_up.is_set()
        stuck.release.set()
        await asyncio.wait_for(caught_up.wait(), DEADLINE)
        assert store.archive.waiting < module.BEHIND

    run(test, tmp_path)
