"""How long and how much is kept; nothing is left of an account that is gone."""

from types import SimpleNamespace

import pytest

from node.base.jid import parse
from node.config import Config
from node.features.archive import Options
from node.features.archive import retention as module
from tests.conftest import HOST, settle
from tests.features.archive.conftest import chat
from tests.features.archive.test_query import fill, walk

JULIET = "juliet@hub.local"
DAY = 86400
NOW = 1_800_000_000.0


@pytest.fixture
def config(tmp_path):
    return Config(
        path=tmp_path / "hobnode.toml",
        domain=HOST,
        data=tmp_path,
        tables={"archive": Options(keep_days=30, megabytes=1)},
    )


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=NOW)
    clock.time = lambda: clock.now
    monkeypatch.setattr("node.features.archive.rows.time", clock)
    monkeypatch.setattr("node.features.archive.retention.time", clock)
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/")  # by a time server
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "BATCH", 4)
    return clock


@pytest.fixture
def retention(hub):
    (found,) = [each.__self__ for each in hub._listeners["removed"] if isinstance(each.__self__, module.Retention)]
    return found


@pytest.fixture(params=[1, 5, 1000], ids="fold {}".format)
def fold(request, monkeypatch):
    monkeypatch.setattr("node.features.archive.rows.FOLD", request.param)


def left(hub):
    return [hub.store.archive.read(f"SELECT count(*) FROM {table}")[0][0] for table in ("stanzas", "places")]


@pytest.mark.usefixtures("fold")
def test_what_is_too_old_goes_and_the_rest_stays_whole(romeo, juliet, clock, retention, run, look, hub):
    for day in range(40):
        clock.now = NOW + day * DAY
        (romeo if day % 2 else juliet).says(chat(JULIET if day % 2 else "romeo@hub.local", str(day)))
    ids = look(romeo, rsm="<max>100</max>").ids
    clock.now = NOW + 40 * DAY
    run(retention.work())
    expected = [str(day) for day in range(10, 40)]
    assert walk(look, romeo, 7) == walk(look, juliet, 7, backwards=True) == expected
    assert walk(look, romeo, 7, with_=JULIET) == expected
    assert look(romeo, after_id=ids[9]).error == "item-not-found"
    assert look(romeo, after_id=ids[10]).bodies == expected[1:]
    assert left(hub)[0] == 30


def test_the_numbers_of_what_has_gone_are_not_used_again(romeo, clock, retention, run, look, hub, archive):
    romeo.says(chat(JULIET, "1"))
    (id,) = look(romeo).ids
    clock.now += 31 * DAY
    run(retention.work())
    assert left(hub) == [0, 0]
    ((deleted,),) = hub.store.archive.read("SELECT deleted FROM archive_state")
    assert deleted == archive.rows.next_id - 1
    assert archive.ends(romeo.jid.bare) is None


@pytest.mark.parametrize("now", [0.0, NOW - 1], ids=["1970", "a second before the newest message"])
def test_R6_nothing_is_judged_by_a_clock_that_is_wrong(romeo, clock, retention, run, look, now):
    clock.now = NOW - 100 * DAY
    romeo.says(chat(JULIET, "old"))
    clock.now = NOW
    romeo.says(chat(JULIET, "new"))
    clock.now = now
    run(retention.work())
    assert look(romeo).bodies == ["old", "new"]


def test_R6_nor_by_one_that_was_never_set(romeo, clock, retention, run, look):
    clock.now = 1000.0
    romeo.says(chat(JULIET, "old"))
    clock.now += 40 * DAY
    run(retention.work())
    assert look(romeo).bodies == ["old"]


@pytest.mark.usefixtures("fold")
@pytest.mark.parametrize(("ahead", "bodies"), [(10_000, ["0", "8"]), (23, ["8"]), (22, ["0", "8"]), (32, ["0", "8"])])
def test_R6_nor_by_one_that_is_far_ahead(romeo, clock, retention, run, look, monkeypatch, ahead, bodies):
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    for day in (0, 8):
        clock.now = NOW + day * DAY
        romeo.says(chat(JULIET, str(day)))
    assert look(romeo).bodies == ["0", "8"]  # it is on the disk
    clock.now = NOW + 8 * DAY + ahead * DAY
    run(retention.work())
    assert look(romeo).bodies == bodies


def test_R6_nor_by_one_that_is_far_ahead_when_a_message_gets_on_the_disk_just_then(
    romeo, clock, retention, run, look, monkeypatch
):
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    romeo.says(chat(JULIET, "old"))
    assert look(romeo).bodies == ["old"]  # it is on the disk
    since, before = retention.reader.since, [0]
    monkeypatch.setattr(retention.reader, "since", lambda moment: before.pop() if before else since(moment))
    clock.now += 100 * DAY
    run(retention.work())
    assert look(romeo).bodies == ["old"]


def test_one_that_has_gone_evenly_for_a_week_is_believed(romeo, clock, retention, run, look, monkeypatch, hub):
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    romeo.says(chat(JULIET, "old"))
    clock.now += 100 * DAY
    begun = hub.loop.time()
    run(retention.work())
    assert look(romeo).bodies == ["old"]
    clock.now += 7 * DAY
    retention.judge._since = begun - 8 * DAY
    retention.judge._ahead = clock.now - hub.loop.time()
    run(retention.work())
    assert look(romeo).bodies == []


@pytest.mark.usefixtures("fold")
def test_L18_what_is_too_much_goes_oldest_first(romeo, clock, retention, run, look, hub):
    hub.remote = lambda stanza, origin: None
    for number in range(40):
        romeo.says(chat("tybalt@elsewhere.example", f"{number} {'x' * 40_000}"))
    run(hub.store.archive.committed())
    run(retention.work())
    bodies = [int(body.split()[0]) for body in walk(look, romeo, 10)]
    assert bodies == list(range(bodies[0], 40)) and 20 <= len(bodies) < 26
    assert retention._used() <= module.MEGABYTE
    assert retention._pragma("page_count") * retention._pragma("page_size") < 1.5 * module.MEGABYTE


@pytest.mark.parametrize("options", [{"keep_days": 0, "megabytes": 0}])
def test_for_ever_is_for_ever(romeo, clock, hub, archive, run, look, options):
    romeo.says(chat(JULIET, "x"))
    clock.now += 10_000 * DAY
    retention = module.Retention(hub, archive.rows, archive.reader, **options)
    run(retention.work())
    assert look(romeo).bodies == ["x"]


def test_it_works_at_a_quiet_moment_or_after_a_day(clock, retention, monkeypatch, hub, romeo):
    begun = []
    monkeypatch.setattr(retention, "_begin", lambda work: (begun.append(True), work.close()))
    romeo.says(chat(JULIET, "x"))
    for silence, since, works in ((10, 3600, False), (301, 3600, True), (10, 90_000, True)):
        clock.now = NOW + silence
        retention.worked = hub.loop.time() - since
        retention.look()
        assert bool(begun) == works
        begun.clear()
        retention.timer.cancel()


def test_a_disk_that_fails_stops_it_quietly(romeo, clock, retention, run, monkeypatch, look, caplog):
    romeo.says(chat(JULIET, "1"))
    assert look(romeo).bodies == ["1"]
    clock.now += 31 * DAY

    def fail(connection):
        import sqlite3

        error = sqlite3.OperationalError("full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("node.hub.store.commit", fail)
        run(retention.work())
    assert "Traceback" not in caplog.text


@pytest.mark.usefixtures("fold", "clock")
def test_of_an_account_that_is_gone_nothing_is_left_but_what_others_have(
    romeo, juliet, person, hub, look, archive, run
):
    chance_partners = [JULIET, "tybalt@elsewhere.example"]
    fill(archive, romeo.jid.bare, 30, chance_partners)
    for number in range(10):
        (romeo if number % 2 else juliet).says(chat(JULIET if number % 2 else "romeo@hub.local", str(number)))
    hers = look(juliet)
    number = archive.rows.archives.get(romeo.jid.bare)
    hub.tell("removed", romeo.jid.bare)
    assert archive.ends(romeo.jid.bare) is None  # from this moment on
    romeo.says(chat(JULIET, "a new one of the same name"))
    settle(hub)
    assert look(romeo).bodies == ["a new one of the same name"]
    assert archive.rows.archives.get(romeo.jid.bare) != number
    page = look(juliet)
    assert page.ids[:10] == hers.ids and page.bodies[:10] == hers.bodies and len(page.ids) == 11
    run(hub.store.archive.committed())
    of_his = "SELECT count(*) FROM stanzas WHERE ? IN (sender_archive, receiver_archive)"
    assert hub.store.archive.read(of_his, (number,)) == [(0,)]
    assert hub.store.archive.read("SELECT count(*) FROM places WHERE archive = ?", (number,)) == [(0,)]
    assert hub.store.archive.read("SELECT count(*) FROM stanzas") == [(11,)]


def test_what_was_not_done_at_once_is_done_later(romeo, juliet, hub, archive, retention, run, monkeypatch, clock):
    fill(archive, romeo.jid.bare, 10)
    with monkeypatch.context() as killed:
        killed.setattr(retention, "_begin", lambda work: work.close())
        hub.tell("removed", romeo.jid.bare)
    run(hub.store.archive.committed())
    assert left(hub)[0] == 10
    run(retention.work())
    assert left(hub) == [0, 0]


def test_who_never_said_a_word_leaves_nothing_to_be_done(hub, retention):
    hub.tell("removed", parse("nobody@hub.local"))
    assert not retention.tasks
