"""Accounts: made, changed, removed, checked; what a stranger can find out; what is on disk afterwards."""

import asyncio
import contextlib
import sqlite3

import pytest

from node.hub import accounts as module
from node.hub import store as store_module
from node.hub.accounts import AccountError, Accounts, Attempts
from node.hub.store import Store, StoreError
from node.stream.sasl import derive
from tests.conftest import until

HOST = "hub.local"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "ITERATIONS", 50)  # derives in no time; one test looks at the real number


def run(test, folder):
    """Runs `test(accounts)` on a store of its own."""

    async def inside():
        with contextlib.closing(Store(folder, asyncio.get_running_loop())) as store:
            async with asyncio.timeout(10):
                return await test(Accounts(store.accounts, HOST))

    return asyncio.run(inside())


def on_disk(folder):
    with contextlib.closing(sqlite3.connect(folder / "accounts.db")) as connection:
        return connection.execute("SELECT * FROM users").fetchall()


def test_an_account_is_made_and_its_password_is_right(tmp_path):
    async def test(accounts):
        assert not accounts.exists("ann")
        await accounts.create("ann", "correct horse")
        assert accounts.exists("ann") and accounts.names() == ["ann"]
        assert await accounts.check("ann", "correct horse")
        assert not await accounts.check("ann", "correct hors")
        assert not await accounts.check("bob", "correct horse")

    run(test, tmp_path)


def test_it_is_still_there_after_a_restart(tmp_path):
    run(lambda accounts: accounts.create("ann", "correct horse"), tmp_path)

    async def test(accounts):
        assert accounts.names() == ["ann"]
        assert await accounts.check("ann", "correct horse")

    run(test, tmp_path)


def test_names_and_passwords_are_prepared(tmp_path):
    async def test(accounts):
        await accounts.create("Ann", "p\u00e4ss")
        assert accounts.names() == ["ann"]
        assert await accounts.check("ann", "pa\u0308ss")

    run(test, tmp_path)


def test_no_password_is_ever_on_disk(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "correct horse")
        await accounts.set_password("ann", "battery staple")

    run(test, tmp_path)
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ann" in files and b"horse" not in files and b"staple" not in files


def test_a_new_password_counts_from_the_moment_it_is_confirmed(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "old password")
        before = accounts.keys("ann", "SCRAM-SHA-1")
        await accounts.set_password("ann", "new password")
        after = accounts.keys("ann", "SCRAM-SHA-1")
        assert after == derive("SCRAM-SHA-1", "new password", after.salt, after.iterations)
        assert after.salt != before.salt
        assert await accounts.check("ann", "new password")
        assert not await accounts.check("ann", "old password")

    run(test, tmp_path)


def test_a_removed_account_is_gone(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "correct horse")
        await accounts.remove("Ann")
        assert not accounts.exists("ann") and accounts.names() == []
        assert not await accounts.check("ann", "correct horse")
        await accounts.create("ann", "another")

    run(test, tmp_path)
    ((number, *_),) = on_disk(tmp_path)
    assert number == 2  # not the number that the first ann had


def test_another_password_and_another_account_of_the_name_have_another_mark(tmp_path):
    async def test(accounts):
        marks = [accounts.mark("ann")]
        await accounts.create("ann", "one")
        marks.append(accounts.mark("ann"))
        await accounts.set_password("ann", "two")
        marks.append(accounts.mark("ann"))
        await accounts.remove("ann")
        assert accounts.mark("ann") == marks[0] == ""
        await accounts.create("ann", "two")
        marks.append(accounts.mark("ann"))
        await accounts.create("bob", "two")
        marks.append(accounts.mark("bob"))
        assert len(set(marks)) == 5
        return marks[3:]

    async def ask(accounts):
        return [accounts.mark("ann"), accounts.mark("bob")]

    assert run(test, tmp_path) == run(ask, tmp_path)


def test_each_family_has_keys_and_a_salt_of_its_own(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "pencil")
        await accounts.create("bob", "pencil")
        keys = [accounts.keys(name, family) for name in ("ann", "bob") for family in module.FAMILIES]
        assert len({one.salt for one in keys}) == 4
        assert all(len(one.salt) == 16 for one in keys)
        for one, family in zip(keys, [*module.FAMILIES] * 2, strict=True):
            assert one == derive(family, "pencil", one.salt, one.iterations)

    run(test, tmp_path)


def test_passwords_are_stretched_as_xep_0438_asks(monkeypatch):
    monkeypatch.undo()
    assert module.ITERATIONS >= 10_000
    assert module._values("pencil")[1] == module.ITERATIONS


def test_A9_an_unknown_name_has_keys_like_any_other_and_always_the_same(tmp_path):
    async def ask(accounts):
        return {(name, family): accounts.keys(name, family) for name in ("tim", "tom") for family in module.FAMILIES}

    first, after_restart = run(ask, tmp_path), run(ask, tmp_path)
    assert first == after_restart
    assert len({keys.salt for keys in first.values()}) == 4
    keys = first["tim", "SCRAM-SHA-1"]
    real = derive("SCRAM-SHA-1", "pencil", bytes(16), module.ITERATIONS)
    assert keys.iterations == real.iterations
    for part in ("salt", "stored_key", "server_key"):
        assert len(getattr(keys, part)) == len(getattr(real, part))


def test_made_up_keys_differ_from_node_to_node(tmp_path):
    async def ask(accounts):
        return accounts.keys("tim", "SCRAM-SHA-256").salt

    assert run(ask, tmp_path / "a") != run(ask, tmp_path / "b")


def test_A9_an_unknown_name_is_checked_as_long_as_a_known_one(tmp_path, monkeypatch):
    derived = []
    monkeypatch.setattr(module, "derive", lambda *args: derived.append(args) or derive(*args))

    async def test(accounts):
        await accounts.create("ann", "pencil")
        derived.clear()
        await accounts.check("ann", "wrong")
        await accounts.check("tim", "wrong")
        assert [(family, text, times) for family, text, _, times in derived] == [("SCRAM-SHA-256", "wrong", 50)] * 2

    run(test, tmp_path)


@pytest.mark.parametrize("name", ["", "a b", "ann@hub.local", "a/b", "\u2665", "x" * 1024])
def test_a_name_that_no_address_may_have(tmp_path, name):
    async def test(accounts):
        with pytest.raises(AccountError):
            await accounts.create(name, "correct horse")
        assert accounts.names() == []

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("password", "words"), [("", "empty"), ("x" * 1025, "longer than 1024"), ("a\nb", "control character")]
)
def test_a_password_that_cannot_be_used(tmp_path, password, words):
    async def test(accounts):
        with pytest.raises(AccountError, match=words):
            await accounts.create("ann", password)
        await accounts.create("ann", "correct horse")
        with pytest.raises(AccountError, match=words):
            await accounts.set_password("ann", password)
        assert not await accounts.check("ann", password)
        assert await accounts.check("ann", "correct horse")

    run(test, tmp_path)


def test_an_account_is_made_once_also_when_two_ask_at_the_same_moment(tmp_path):
    async def test(accounts):
        results = await asyncio.gather(
            *(accounts.create("ann", f"password {n}") for n in range(3)), return_exceptions=True
        )
        assert [str(result) for result in results if result] == ["ann@hub.local exists already"] * 2
        assert await accounts.check("ann", "password 0")

    run(test, tmp_path)
    assert len(on_disk(tmp_path)) == 1


def test_what_is_not_there_can_be_neither_changed_nor_removed(tmp_path):
    async def test(accounts):
        with pytest.raises(AccountError, match="there is no account ann@hub.local"):
            await accounts.set_password("ann", "correct horse")
        with pytest.raises(AccountError, match="there is no account ann@hub.local"):
            await accounts.remove("ann")

    run(test, tmp_path)


def test_when_the_disk_is_full_memory_says_what_the_disk_says(tmp_path, monkeypatch):
    def full(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    async def test(accounts):
        await accounts.create("ann", "correct horse")
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "commit", full)
            for change in (
                accounts.create("bob", "pencil"),
                accounts.set_password("ann", "pencil"),
                accounts.remove("ann"),
            ):
                with pytest.raises(StoreError):
                    await change
        assert accounts.names() == ["ann"]
        assert await accounts.check("ann", "correct horse")
        await accounts.create("bob", "pencil")

    run(test, tmp_path)


def test_a_change_that_is_on_disk_after_all_is_known(tmp_path, monkeypatch):
    def uncertain(connection):
        connection.execute("COMMIT")
        raise sqlite3.OperationalError("disk I/O error")

    async def test(accounts):
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "commit", uncertain)
            with pytest.raises(StoreError):
                await accounts.create("ann", "correct horse")
        assert accounts.names() == ["ann"]
        assert await accounts.check("ann", "correct horse")

    run(test, tmp_path)


def test_who_gives_up_waiting_does_not_leave_memory_behind(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "correct horse")
        removal = asyncio.ensure_future(accounts.remove("ann"))
        await asyncio.sleep(0)  # one turn: the removal is written, not yet on disk
        removal.cancel()
        with pytest.raises(asyncio.CancelledError):
            await removal
        await accounts._database.committed()
        while accounts.exists("ann"):  # the deadline is in `run`
            await asyncio.sleep(0)

    run(test, tmp_path)
    assert on_disk(tmp_path) == []


# Attempts

WHO = ("ann", "192.0.2.1")


def guess(attempts, times, now=1000.0, who=WHO):
    for _ in range(times):
        assert attempts.begin(*who, now) == 0.0
    return now


def test_three_wrong_passwords_each_tried_by_three_ways_cost_nothing_then_each_waits_longer():
    attempts, now = Attempts(), 1000.0
    guess(attempts, 9, now)
    waited = []
    for _ in range(9):
        wait = attempts.begin(*WHO, now)
        waited.append(wait)
        assert attempts.begin(*WHO, now + wait - 0.01) > 0
        now += wait
        assert attempts.begin(*WHO, now) == 0.0
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_tries_that_were_not_heard_do_not_count():
    attempts = Attempts()
    now = guess(attempts, 9)
    assert [attempts.begin(*WHO, now) for _ in range(5)] == [1.0] * 5


def test_the_right_password_clears_the_count():
    attempts = Attempts()
    now = guess(attempts, 9)
    attempts.right(*WHO)
    guess(attempts, 9, now)


def test_after_ten_minutes_it_is_forgotten():
    attempts = Attempts()
    now = guess(attempts, 9)
    guess(attempts, 9, now + 601)


def test_others_at_other_addresses_do_not_wait():
    attempts = Attempts()
    now = guess(attempts, 9)
    assert attempts.begin("ann", "192.0.2.2", now) == 0.0
    assert attempts.begin("bob", "192.0.2.1", now) == 0.0


def test_L11_memory_is_bounded_and_the_oldest_is_let_go():
    attempts = Attempts()
    now = guess(attempts, 9)
    for number in range(Attempts.KEPT - 1):
        attempts.begin("ann", f"2001:db8::{number:x}", now)
    assert attempts.begin(*WHO, now) == 1.0
    attempts.begin("ann", "one more", now)
    assert len(attempts._wrong) == Attempts.KEPT
    assert attempts.begin(*WHO, now) == 0.0


def test_who_goes_on_guessing_is_not_the_oldest():
    attempts = Attempts()
    now = guess(attempts, 8)
    for number in range(Attempts.KEPT - 1):
        attempts.begin("ann", f"2001:db8::{number:x}", now)
    guess(attempts, 1, now)
    attempts.begin("ann", "one more", now)
    assert attempts.begin(*WHO, now) == 1.0


def test_A14_nobody_guesses_more_than_2000_passwords_a_day_of_one_account_from_one_address():
    for tries in range(1, 30):  # in a row, and then he rests until all is forgotten
        attempts, now = Attempts(), 0.0
        for _ in range(tries):
            now += attempts.begin(*WHO, now)
            attempts.begin(*WHO, now)
        assert tries * 86400 / (now + Attempts.FORGOTTEN) < 2000


def test_A14_who_tries_ever_other_accounts_waits_too():
    attempts = Attempts()
    for number in range(Attempts.FREE_TOGETHER):
        assert attempts.begin(f"user{number}", "192.0.2.1", 0.0) == 0.0
    assert attempts.begin("one more", "192.0.2.1", 0.5) == 0.5
    assert attempts.begin("one more", "192.0.2.2", 0.5) == 0.0
    assert attempts.begin("one more", "192.0.2.1", 1.0) == 0.0
    assert attempts.begin("another", "192.0.2.1", 1.5) == 1.5


def test_a_school_that_comes_back_all_at_once_does_not_wait():
    attempts = Attempts()
    for _ in range(3):
        for number in range(Attempts.FREE_TOGETHER):
            assert attempts.begin(f"user{number}", "192.0.2.1", 0.0) == 0.0
        for number in range(Attempts.FREE_TOGETHER):
            attempts.right(f"user{number}", "192.0.2.1")
    assert attempts.begin("one more", "192.0.2.1", 0.0) == 0.0


def test_who_is_right_clears_nothing_for_others():
    attempts = Attempts()
    for number in range(Attempts.FREE_TOGETHER - 1):
        attempts.begin(f"user{number}", WHO[1], 0.0)
    assert attempts.begin(*WHO, 0.0) == 0.0
    attempts.right(*WHO)
    assert attempts.begin("bob", WHO[1], 0.0) == 0.0
    assert attempts.begin("kim", WHO[1], 0.0) == 1.0


def test_who_was_right_before_does_not_wait_for_what_others_do_there():
    attempts = Attempts()
    attempts.begin(*WHO, 0.0)
    attempts.right(*WHO)
    for number in range(Attempts.FREE_TOGETHER):
        attempts.begin(f"user{number}", WHO[1], 0.0)
    assert attempts.begin("bob", WHO[1], 0.0) == 1.0
    assert attempts.begin(*WHO, 0.0) == 0.0
    attempts.right(*WHO)
    assert attempts.begin("bob", WHO[1], 0.0) == 1.0  # he cannot clear the count for others


def test_after_an_hour_an_address_may_guess_again():
    attempts = Attempts()
    for number in range(Attempts.FREE_TOGETHER):
        attempts.begin(f"user{number}", "192.0.2.1", 0.0)
    for number in range(20):  # the pauses grow to a minute
        attempts.begin(f"more{number}", "192.0.2.1", 60.0 * (number + 1))
    assert attempts.begin("another", "192.0.2.1", 1201.0) == 59.0
    assert attempts.begin("another", "192.0.2.1", 1600.0) == 0.0
    assert attempts.begin("and another", "192.0.2.1", 1600.0) == 60.0
    assert attempts.begin("another", "192.0.2.1", 1600.0 + 3601) == 0.0
    assert attempts.begin("and another", "192.0.2.1", 1600.0 + 3601) == 0.0


def test_a_name_that_was_somebodys_is_known_and_the_file_does_not_say_which(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "secret")
        assert not accounts.was_removed("ann")
        await accounts.remove("ann")
        assert accounts.was_removed("ann") and not accounts.was_removed("bob")

    run(test, tmp_path)

    async def again(accounts):
        assert accounts.was_removed("ann")
        await accounts.create("ann", "secret")
        assert not accounts.was_removed("ann")
        await accounts.remove("ann")
        await accounts.create("ann", "secret")
        await accounts.remove("ann")
        assert accounts.was_removed("ann")

    run(again, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as connection:
        ((trace,),) = connection.execute("SELECT * FROM gone").fetchall()
    assert len(trace) == 32 and b"ann" not in trace


def test_what_is_written_together_with_an_account_is_written_with_it_or_not_at_all(tmp_path):
    async def test(accounts):
        accounts._database.schema("test", "CREATE TABLE notes (text TEXT)")
        note = "INSERT INTO notes VALUES (?)", ("hello",)
        await accounts.create("ann", "secret", note)
        with contextlib.suppress(AccountError):
            await accounts.create("ann", "secret", note)
        assert accounts._database.read("SELECT * FROM notes") == [("hello",)]
        broken = "INSERT INTO nothing VALUES (?)", ("x",)
        with pytest.raises(StoreError):
            await accounts.create("bob", "secret", note, broken)
        assert accounts._database.read("SELECT * FROM notes") == [("hello",)]
        assert not accounts.exists("bob")

    run(test, tmp_path)


# What a login that is under way may not outlive


@pytest.mark.parametrize("change", ["password", "removal"])
def test_A15_who_began_to_log_in_before_a_change_is_told_apart(tmp_path, change):
    async def test(accounts):
        for name in ("ann", "bob"):
            await accounts.create(name, "correct horse")
        began = accounts.changes
        assert not accounts.changed_since("ann", began)
        work = accounts.set_password("ann", "battery staple") if change == "password" else accounts.remove("ann")
        task = asyncio.ensure_future(work)
        while not accounts.changed_since("ann", accounts.changes):
            await asyncio.sleep(0)
        assert not task.done()  # while it is under way nobody is sure of what he has shown, whenever he began
        await task
        assert accounts.changed_since("ann", began)
        assert not accounts.changed_since("ann", accounts.changes)  # who begins now has shown the new one
        assert not accounts.changed_since("bob", began)

    run(test, tmp_path)


def test_A15_a_change_that_nobody_waits_for_counts_as_well(tmp_path):
    async def test(accounts):
        await accounts.create("ann", "correct horse")
        began = accounts.changes
        task = asyncio.ensure_future(accounts.set_password("ann", "battery staple"))
        while not accounts.changed_since("ann", began):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await until(lambda: not accounts.changed_since("ann", accounts.changes))
        assert accounts.changed_since("ann", began)
        assert await accounts.check("ann", "battery staple")

    run(test, tmp_path)


def test_a_disk_that_cannot_be_read_after_a_change_locks_nobody_out_for_good(tmp_path, monkeypatch):
    async def test(accounts):
        await accounts.create("ann", "correct horse")
        began = accounts.changes

        def unreadable(sql, args):
            raise StoreError("accounts.db: the disk reports an error")

        derive_all = accounts._derive_all

        async def derived(password):
            values = await derive_all(password)
            monkeypatch.setattr(accounts._database, "read", unreadable)
            return values

        monkeypatch.setattr(accounts, "_derive_all", derived)
        with pytest.raises(StoreError):
            await accounts.set_password("ann", "battery staple")
        monkeypatch.undo()
        assert accounts.changed_since("ann", began)
        assert not accounts.changed_since("ann", accounts.changes)
        assert await accounts.check("ann", "battery staple")

    run(test, tmp_path)
