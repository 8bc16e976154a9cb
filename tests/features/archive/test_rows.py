"""The rows of archive.db: their order, their numbers, and what a restart, a loss or another file makes of them."""

import sqlite3
from types import SimpleNamespace

import pytest

from node.app import assemble
from node.features.archive import rows as module
from node.hub.accounts import Accounts
from node.hub.hub import Hub
from node.hub.store import Store, StoreError
from tests.conftest import HOST, Person, settle, until
from tests.features.archive.conftest import chat, ids_in
from tests.features.archive.test_query import fill, walk

JULIET = f"juliet@{HOST}"


@pytest.fixture
def restart(hub, config, tmp_path, loop):
    """`restart()`: the node ends, and another begins in the same place; `before` is called in between."""
    running = [hub]

    def restart(before=lambda: None):
        old = running[-1]
        loop.run_until_complete(old.stop())
        old.store.close()
        before()
        store = Store(tmp_path, loop)
        running.append(Hub(hub.host, store, Accounts(store.accounts, hub.host), loop))
        assemble(running[-1], config)
        return running[-1]

    yield restart
    for each in running[1:]:
        settle(each)
        loop.run_until_complete(each.stop())
        each.store.close()


FOREVER = 1 << 30  # commits


@pytest.fixture
def broken(monkeypatch):
    """`broken(2)`: the next two commits to archive.db fail; all of them, without a number."""
    from node.hub import store

    real = store.commit
    left = [0]

    def commit(connection):
        times = left[0]  # looked at once: another thread may change it meanwhile
        if times and connection.execute("PRAGMA database_list").fetchone()[2].endswith("archive.db"):
            if times < FOREVER:
                left[0] = times - 1
            error = sqlite3.OperationalError("full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        real(connection)

    def broken(times=FOREVER):
        left[0] = times

    monkeypatch.setattr(store, "commit", commit)
    monkeypatch.setattr("node.features.archive.pending.AGAIN", 0.01)
    return broken


def on_disk(hub, sql="SELECT id FROM stanzas ORDER BY id"):
    return [row[0] for row in hub.store.archive.read(sql)]


def wait(hub, condition):
    hub.loop.run_until_complete(until(condition))


# Numbers and stamps


def test_a_restart_goes_on_behind_what_may_have_been_given_out(romeo, look, restart, hub):
    romeo.says(chat(JULIET, "1"))
    (first,) = look(romeo).ids
    before = hub.need("archive").rows
    again = restart()
    rows = again.need("archive").rows
    assert rows.next_id > before.next_id + module.GAP - 2
    for name in ("archives", "addresses"):
        assert getattr(rows, name)._next >= getattr(before, name)._next + module.GAP - 1
    romeo = Person(again, romeo.jid)
    romeo.says(chat(JULIET, "2"))
    page = look(romeo)
    assert page.bodies == ["1", "2"] and page.ids[0] == first


def test_numbers_are_new_when_an_old_copy_of_the_file_has_been_put_back(romeo, restart, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHANCE", 1)
    later = SimpleNamespace(time=lambda: 1_800_000_000.0)
    monkeypatch.setattr(module, "time", later)
    again = restart(before=lambda: (tmp_path / "archive.db").rename(tmp_path / "copy"))
    begun = again.need("archive").rows.next_id
    later.time = lambda: 1_800_000_100.0
    third = restart(before=lambda: (tmp_path / "copy").rename(tmp_path / "archive.db"))
    assert third.need("archive").rows.next_id >= begun + 100 * module.PACE


def test_numbers_of_rows_that_were_deleted_are_not_used_again(romeo, restart, archive, hub, monkeypatch):
    monkeypatch.setattr(module, "CHANCE", 1)
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 0.0))
    last = archive.rows.next_id + 7
    archive.rows.pending.write(("DELETE FROM stanzas", ()), ("UPDATE archive_state SET deleted = ?", (last,)))
    assert restart().need("archive").rows.next_id > last


def test_a_file_that_was_lost_takes_its_ids_with_it(romeo, look, restart, tmp_path):
    romeo.says(chat(JULIET, "1"))
    (old,) = look(romeo).ids
    (tmp_path / "archive.db").write_bytes(b"this is no database")
    again = restart(before=lambda: (tmp_path / "archive.db").write_bytes(b"this is no database"))
    romeo = Person(again, romeo.jid)
    assert look(romeo).ids == []
    romeo.says(chat(JULIET, "2"))
    assert look(romeo).bodies == ["2"]
    assert look(romeo, after_id=old).error == "item-not-found"


def test_R6_time_never_runs_backwards(romeo, look, monkeypatch):
    clock = SimpleNamespace(time=lambda: 1_800_000_000.5)
    monkeypatch.setattr(module, "time", clock)
    romeo.says(chat(JULIET, "1"))
    clock.time = lambda: 0.0
    romeo.says(chat(JULIET, "2"))
    clock.time = lambda: 1_800_000_001.0
    romeo.says(chat(JULIET, "3"))
    page = look(romeo)
    assert page.bodies == ["1", "2", "3"]
    shown = [when for _, when, _ in page.messages]
    assert shown == ["2027-01-15T08:00:00.500Z", "2027-01-15T08:00:00.500Z", "2027-01-15T08:00:01.000Z"]
    assert look(romeo, start=shown[0], end=shown[0]).bodies == ["1", "2"]


def test_R6_nor_after_a_restart(romeo, restart, monkeypatch, run, hub):
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 1_800_000_000.0))
    romeo.says(chat(JULIET, "1"))
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 0.0))
    assert restart().need("archive").rows.stamp == 1_800_000_000_000


# The map


def test_the_map_is_made_in_bulk_and_says_the_same(romeo, juliet, archive, monkeypatch, hub, run, look):
    monkeypatch.setattr(module, "FOLD", 10)
    for number in range(25):
        (romeo if number % 2 else juliet).says(chat("romeo@hub.local" if number % 3 == 0 else JULIET, str(number)))
    run(hub.store.archive.committed())
    ids = on_disk(hub)
    assert len(ids) == 25
    wait(hub, lambda: archive.rows.folded >= ids[19])
    folded = archive.rows.folded
    assert folded == ids[19]
    assert on_disk(hub, "SELECT folded FROM archive_state") == [folded]
    places = set(hub.store.archive.read("SELECT archive, id, peer FROM places"))
    expected = set()
    for id, _, mine, theirs, sender, receiver, _ in hub.store.archive.read(
        "SELECT * FROM stanzas WHERE id <= ?", (folded,)
    ):
        expected |= {(archive, id, peer) for archive, peer in ((mine, receiver), (theirs, sender)) if archive}
    assert places == expected


def test_a_restart_goes_on_with_the_map(romeo, restart, monkeypatch, archive, hub, run, look):
    monkeypatch.setattr(module, "FOLD", 10)
    fill(archive, romeo.jid.bare, 16)
    wait(hub, lambda: archive.rows.folded)
    assert archive.rows._unfolded == 6
    again = restart()
    rows = again.need("archive").rows
    assert (rows.folded, rows._unfolded) == (archive.rows.folded, 6)
    romeo = Person(again, romeo.jid)
    fill(again.need("archive"), romeo.jid.bare, 5, begin=16)
    wait(again, lambda: rows.folded > archive.rows.folded)
    assert walk(look, romeo, 4) == [str(number) for number in range(21)]


def test_a_message_costs_one_statement(romeo, juliet, hub):
    romeo.says(chat(JULIET, "1"))  # after the first: their names have numbers
    before = hub.store.writes
    romeo.says(chat(JULIET, "2"))
    assert hub.store.writes == before + 1


# What is lost is written again


def test_what_a_commit_has_lost_is_written_again(romeo, juliet, look, hub, broken, archive, caplog):
    broken(2)
    romeo.says(chat(JULIET, "1")).says(chat(JULIET, "2"))
    wait(hub, lambda: archive.rows.pending.lost)
    assert on_disk(hub) == []
    safe = hub.store.safe
    wait(hub, lambda: not archive.rows.pending.lost)
    assert look(romeo).bodies == look(juliet).bodies == ["1", "2"]
    assert hub.store.safe > safe
    assert archive.rows.pending._turns or (archive.rows.pending._groups, archive.rows.pending._bytes) == (0, 0)
    assert "wait in memory" in caplog.text


def test_what_is_lost_while_the_rest_is_written_again_is_not_forgotten(romeo, hub, broken, archive, monkeypatch):
    monkeypatch.setattr("node.features.archive.pending.AGAIN", 3600)
    pending = archive.rows.pending
    broken(1)
    romeo.says(chat(JULIET, "1"))
    wait(hub, lambda: pending.lost)
    for also_lost in (True, False):
        pending._timer.cancel()
        pending._again()
        if also_lost:
            pending._lose(StoreError("again"))
        wait(hub, lambda: not hub.store.archive.waiting and (pending._timer or not pending.lost))
        assert pending.lost == also_lost


def test_nothing_is_safe_before_it_is_on_disk(romeo, hub, broken, archive):
    broken()
    romeo.says(chat(JULIET, "1"))
    turn, safe = hub.store.turn, []
    hub.store.when_safe(lambda: safe.append(on_disk(hub)))
    wait(hub, lambda: archive.rows.pending._losses >= 3)
    assert safe == [] and hub.store.safe < turn - 1
    broken(0)
    wait(hub, lambda: safe)
    assert len(safe[0]) == 1


def test_order_and_ids_are_kept_when_later_messages_were_faster(romeo, juliet, look, hub, broken, archive, monkeypatch):
    monkeypatch.setattr("node.features.archive.pending.AGAIN", 3600)
    monkeypatch.setattr(module, "FOLD", 2)
    broken(1)
    romeo.says(chat(JULIET, "1"))
    wait(hub, lambda: archive.rows.pending.lost)
    for number in "23456":
        romeo.says(chat(JULIET, number))
    page = look(romeo)
    assert page.bodies == ["2", "3", "4", "5", "6"] and page.fin.get("stable") == "false"
    assert archive.rows.folded == 0  # or what comes late would never get into the map
    archive.rows.pending._timer.cancel()
    archive.rows.pending._again()
    wait(hub, lambda: not archive.rows.pending.lost and archive.rows.folded)
    page = look(romeo)
    assert page.bodies == ["1", "2", "3", "4", "5", "6"] and page.fin.get("stable") is None
    heard = [ids_in(text)[0][1] for text in juliet.heard if "<body>" in text]
    assert heard == look(juliet).ids
    assert walk(look, juliet, 2, with_="romeo@hub.local") == page.bodies


def test_R4_beyond_a_bound_messages_are_refused_until_there_is_room(
    romeo, juliet, look, hub, broken, monkeypatch, archive
):
    romeo.says(chat(JULIET, "0"))
    wait(hub, lambda: not archive.rows.pending._groups)
    monkeypatch.setattr("node.features.archive.pending.LIMIT", 3)
    broken()
    assert romeo.heard and juliet.heard
    for number in range(1, 6):
        romeo.says(chat(JULIET, str(number), id=str(number)))
    refused = romeo.heard
    assert [text.count("<resource-constraint ") for text in refused] == [1, 1] and "type='wait'" in refused[0]
    assert len([text for text in juliet.heard if "<body>" in text]) == 3
    romeo.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
    romeo.says(
        f"<message to='{JULIET}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"
    )
    assert "type='result'" in romeo.heard[0] and "<composing " in juliet.heard[0]
    broken(0)
    wait(hub, lambda: not archive.rows.pending.full)
    romeo.says(chat(JULIET, "6"))
    assert look(romeo).bodies == ["0", "1", "2", "3", "6"]


def test_R4_large_messages_count_by_their_size(romeo, hub, broken, monkeypatch):
    monkeypatch.setattr("node.features.archive.pending.BYTES_LIMIT", 3000)
    broken()
    assert romeo.heard
    for _ in range(5):
        romeo.says(chat("tybalt@elsewhere.example", "x" * 1000))
    assert "".join(romeo.heard).count("<resource-constraint ") == 2


def test_a_node_that_stops_tries_once_more(romeo, hub, broken, archive, restart, look, monkeypatch):
    monkeypatch.setattr("node.features.archive.pending.AGAIN", 3600)
    broken(1)
    romeo.says(chat(JULIET, "1"))
    wait(hub, lambda: archive.rows.pending.lost)
    again = restart()
    assert look(Person(again, romeo.jid)).bodies == ["1"]
