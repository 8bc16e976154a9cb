"""History: what a thing said is kept, thinned, and answered, and a card is not worn out by it."""

import asyncio
import time
from contextlib import closing
from decimal import Decimal

import pytest

from node.hub.store import Store, StoreError
from node.things import history as file
from node.things.history import shelf as shelf_file
from node.things.history.samples import SECOND, Point, Span, pack, pack_points, points
from node.things.history.shelf import BITS, DAY, HOUR, MINUTE, SERIES, Options, Shelf
from tests.conftest import settle
from tests.things.test_chat import ask

START = 1795305600.0  # 2026-11-22T00:00:00Z


class Clock:
    """The time of day, for thing and history alike."""

    def __init__(self):
        self.now = START

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.time", clock.time)
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/")  # by a time server
    return clock


@pytest.fixture
def history(hub, clock, porch):
    porch.now = clock.time
    hub.need("history").series.clear()
    return hub.need("history")


@pytest.fixture
def said(porch, clock):
    """`said(10, "21.4")`: 10 seconds later that was the temperature."""

    def said(seconds, value, name="temperature"):
        clock.now += seconds
        porch.report({name: value})

    return said


@pytest.fixture
def passes(hub, history, clock, run):
    """`passes(hours)`: so much time goes by, in which the history is written and thinned."""

    def passes(hours):
        for _ in range(hours):
            clock.now += HOUR
            history.write(all_of_it=False)
            saved(hub, run)
            run(history.shelf.thin(clock.now))
            saved(hub, run)

    return passes


def saved(hub, run):
    run(hub.store.things.committed())


@pytest.fixture
def buckets(history, porch, run):
    """`buckets(begin, end, count)` of the temperature."""
    return lambda *asked: run(history.buckets(porch.jid, "temperature", *asked))


async def by_time(found):
    return {at: point async for at, point in found}


def rows(hub, table):
    return hub.store.things.read(f"SELECT count(*) FROM {table}")[0][0]


def point(*texts):
    return Point(*map(Decimal, texts))


def test_values_are_kept_as_they_were_said(hub, history, said, porch, clock, run):
    for value in ("20.40", "22.0", "21.9"):
        said(10, value)
    expected = [("20.40", 10), ("22.0", 20), ("21.9", 30)]
    for _ in range(2):  # from memory, and from the disk
        found = history.samples(porch.jid, "temperature", START, clock.now + 1)
        assert [(value, at // SECOND - int(START)) for at, value in found] == expected
        history.write(all_of_it=True)
        history.series.clear()
        saved(hub, run)


def test_nothing_is_written_before_its_time_and_then_all_in_one_batch(hub, history, said, run):
    said(1, "0.0")  # from now on its series has a number
    writes = hub.store.writes
    for number in range(100):
        said(1, f"{number}.0")
    assert hub.store.writes == writes
    history.flush()
    assert hub.store.writes == writes + 1
    saved(hub, run)
    assert rows(hub, "raw") == 1


def test_series_lie_beside_one_another_and_one_can_ask_until_the_end_of_time(hub, history, said, porch, run):
    for value in ("20.0", "21.0"):
        said(0, f"4{value}", "humidity")
        said(10, value)
    history.write(all_of_it=False)
    saved(hub, run)
    last = 253402300799 * SECOND  # 9999-12-31T23:59:59Z, the last that XEP-0082 can write
    for field, kept in (("temperature", [(10, "20.0"), (20, "21.0")]), ("humidity", [(0, "420.0"), (10, "421.0")])):
        spans = history.shelf.spans(history.shelf.id("porch", field), 0, last)
        begin = round(START * SECOND)
        assert [list(span.samples()) for span in spans] == [[(begin + at * SECOND, value) for at, value in kept]]


def test_one_field_more_than_there_are_numbers_has_no_history(history, said, caplog):
    history.shelf.series.clear()
    history.shelf._last = SERIES
    said(0, "20.0")
    assert "no history of temperature: there are a million fields already" in caplog.text


def test_what_does_not_change_is_written_once_an_hour(hub, history, said, clock, run):
    said(0, "21.0")
    for _ in range(24):
        history.write(all_of_it=False)
        clock.now += 300
    saved(hub, run)
    assert rows(hub, "raw") == 2


def test_noise_within_a_fifth_of_the_deadband_is_not_kept(history, said, porch, clock):
    for value in ("21.00", "21.05", "20.95", "21.06", "21.10"):  # the deadband is 0.3
        said(1, value)
    assert [value for _, value in history.samples(porch.jid, "temperature", START, clock.now)] == ["21.00", "21.06"]


def test_texts_have_no_history_and_what_is_no_number_harms_nobody(history, said, porch):
    said(1, "A2", "serial")
    said(1, "much", "humidity")
    said(1, "50", "humidity")
    assert {name for _, name in history.series} == {"humidity"}


def test_while_it_is_offline_nothing_is_known(history, said, porch, clock, buckets):
    said(0, "20")
    clock.now += 60
    porch._turn(online=False, reason="gone")
    clock.now += 60
    porch._turn(online=True)
    clock.now += 60
    found = buckets(START, clock.now, 3)
    assert [each.point for each in found] == [point("20", "20", "20"), None, point("20", "20", "20")]
    assert [each.begin for each in found] == [START, START + 60, START + 120]


def test_while_the_machine_sleeps_nothing_is_known(history, said, porch, clock, buckets):
    said(0, "20")
    said(12 * HOUR, "22")
    found = [each.point for each in buckets(START, START + 2 * HOUR, 2)]
    assert found == [point("20", "20", "20")] * 2
    assert buckets(START + 4 * HOUR, START + 5 * HOUR, 1)[0].point is None


def test_of_a_sensor_that_is_lost_nothing_is_known(history, said, porch, clock, buckets):
    said(0, "20")
    said(60, None)
    said(60, "22")
    clock.now += 60
    found = buckets(START, clock.now, 3)
    assert [each.point for each in found] == [point("20", "20", "20"), None, point("22", "22", "22")]


def test_a_board_that_chatters_is_written_sooner_and_costs_no_more_memory(hub, history, said):
    for number in range(5000):
        said(0.1, str(number))
    assert all(len(each.data) <= file.FULL for each in history.series.values())


def test_before_the_clock_is_set_nothing_is_kept(history, porch, clock):
    clock.now = 1000.0
    porch.report({"temperature": "21"})
    assert history.series == {}


def test_a_full_disk_costs_those_minutes_and_no_memory(hub, history, said, monkeypatch, caplog, run):
    said(0, "20")
    with monkeypatch.context() as patch:
        patch.setattr(history.shelf, "put", lambda spans: (_ for _ in ()).throw(StoreError("full")))
        history.flush()
    assert "history: not kept: full" in caplog.text
    said(10, "30")
    history.flush()
    saved(hub, run)
    assert rows(hub, "raw") == 1


def test_an_archive_that_cannot_be_mended_does_not_fill_the_memory(hub, history, said, run):
    hub.store.archive.owed = 1
    said(5, "20")
    history.flush()
    saved(hub, run)
    settle(hub)
    assert history.shelf.fresh == []
    hub.store.archive.made_good()


def test_the_end_of_the_node_loses_nothing(hub, history, said, porch, clock, run):
    said(5, "20")
    history.stop()
    history.series.clear()
    saved(hub, run)
    assert history.samples(porch.jid, "temperature", START, clock.now + 1)


# Thinning


@pytest.fixture
def days(clock, said, passes):
    """Two and a half days in which the temperature was the hour of the day, and in its last minute 100."""

    def days(count=60):
        for hour in range(count):
            said(0, str(hour % 24))
            said(HOUR - MINUTE, "100")
            clock.now += MINUTE - HOUR
            passes(1)

    return days


def test_hours_become_minutes_and_days_become_hours(hub, history, porch, days, run):
    days()
    id = history.shelf.series["porch", "temperature"]
    minutes = run(by_time(history.shelf.minutes(id, int(START) + 36 * HOUR, int(START) + 37 * HOUR)))
    assert len(minutes) == 60
    assert set(list(minutes.values())[:59]) == {point("12", "12", "12")}
    assert list(minutes.values())[59] == point("100", "100", "100")
    hours = run(by_time(history.shelf.hours(id, int(START) + DAY, int(START) + 2 * DAY)))
    assert hours[int(START) + 36 * HOUR] == point("12", "13.5", "100")


def test_all_values_are_there_for_a_day(hub, history, porch, days, clock, run):
    days()
    assert rows(hub, "raw") <= 26
    assert history.samples(porch.jid, "temperature", START, START + HOUR) == []
    assert history.samples(porch.jid, "temperature", clock.now - 2 * HOUR, clock.now)


@pytest.mark.parametrize(("length", "count"), [(HOUR, 4), (DAY, 24), (2 * DAY, 48)])
def test_buckets_are_made_of_what_is_there(history, porch, days, clock, length, count, buckets):
    days()
    found = [each.point for each in buckets(clock.now - length, clock.now, count)]
    assert None not in found
    assert found[-1].high == 100
    if count > 4:
        assert found[-2] == point("10", "11.5", "100")


def test_long_times_are_read_as_hours(history, porch, days, clock, monkeypatch, buckets):
    days()
    real, asked = history.shelf.minutes, []
    monkeypatch.setattr(history.shelf, "minutes", lambda id, begin, end: asked.append(begin) or real(id, begin, end))
    found = buckets(START, START + 2 * DAY, 2)
    assert asked == [START + 2 * DAY]
    assert [each.point.low for each in found] == [0, 0]
    assert found[1].point.high == 100


def test_no_more_samples_are_unpacked_than_are_wanted(history, said, porch, clock):
    for value in ("20", "21", "22"):
        said(10, value)
    assert len(history.samples(porch.jid, "temperature", START, clock.now, most=2)) == 2


def test_the_last_hours_are_read_at_once(history, porch, said, clock, monkeypatch, buckets):
    said(0, "20")
    clock.now += 100 * MINUTE + 30
    real, asked = history.shelf.spans, []
    monkeypatch.setattr(history.shelf, "spans", lambda *args: asked.append(args) or real(*args))
    found = buckets(clock.now - 4 * HOUR, clock.now, 24)
    steady = point("20", "20", "20")
    assert [each.point for each in found][-12:] == [None, steady._replace(share=Decimal("0.05")), *[steady] * 10]
    assert len(asked) <= 2


def test_what_is_thinned_already_is_not_counted_twice(history, porch, said, clock, passes, buckets):
    said(0, "10.0")
    passes(3)
    said(0, "30.0")
    clock.now += 30 * MINUTE
    (found,) = buckets(START, clock.now, 1)
    assert found.point == point("10.0", "12.86", "30.0")


def test_an_hour_that_is_not_thinned_yet_is_there_too(history, porch, days, said, clock, buckets):
    days()
    said(0, "50")
    clock.now += 1800
    last = buckets(clock.now - DAY, clock.now, 48)[-1]
    assert last.point == point("50", "50", "50")


def test_thinning_goes_on_where_it_was_and_twice_does_no_harm(hub, history, days, clock, run):
    days(5)
    before = rows(hub, "minutes")
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert rows(hub, "minutes") == before == 5


def test_what_is_still_in_memory_when_it_is_thinned_is_in_the_minutes(hub, history, said, porch, clock, run):
    said(0, "18.0")
    clock.now += 40 * MINUTE
    history.write(all_of_it=True)
    clock.now += 25 * MINUTE  # of which the last 20 are in the hour that is made now
    run(history.thin())
    saved(hub, run)
    id = history.shelf.series["porch", "temperature"]
    assert len(run(by_time(history.shelf.minutes(id, int(START), int(START) + HOUR)))) == 60


def test_an_hour_is_thinned_for_all_or_for_none(hub, history, said, clock, run, monkeypatch):
    said(0, "20")
    said(0, "50", "humidity")
    clock.now += 2 * HOUR
    history.write(all_of_it=True)
    saved(hub, run)
    made = []

    def stopped(*args):
        made.append(args)
        if len(made) == 2:
            raise StoreError("the node ends")
        return points(*args)

    with monkeypatch.context() as patch:
        patch.setattr("node.things.history.shelf.points", stopped)
        with pytest.raises(StoreError):
            run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert rows(hub, "minutes") == 0
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert rows(hub, "minutes") == 4


def test_what_was_said_before_the_node_was_off_for_days_is_thinned_when_it_is_back(hub, history, said, clock, run):
    said(0, "20")
    said(40 * MINUTE, "22")
    history.stop()
    history.series.clear()
    saved(hub, run)
    clock.now += 5 * DAY
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    id = history.shelf.series["porch", "temperature"]
    assert len(run(by_time(history.shelf.minutes(id, int(START), int(START) + DAY)))) == 40
    assert run(by_time(history.shelf.hours(id, int(START), int(START) + DAY))) == {
        int(START): point("20", "20", "20")._replace(share=Decimal("0.6667"))
    }
    assert rows(hub, "raw") == 0
    before = hub.store.writes
    run(history.shelf.thin(clock.now))
    assert hub.store.writes - before == 3, "but for looking for what is too old there is nothing to do"


def test_a_clock_that_was_ahead_for_a_while_does_not_stop_the_thinning(hub, history, days, clock, run):
    days(3)
    hub.store.things.write("INSERT INTO minutes VALUES (?, x'')", (int(START) + 90 * DAY << BITS | 1,))
    hub.store.things.write("INSERT INTO hours VALUES (?, x'')", (int(START) + 90 * DAY << BITS | 1,))
    saved(hub, run)
    days(24)
    assert rows(hub, "minutes") == 1 + 27
    assert rows(hub, "hours") == 1 + 1


def test_a_clock_that_is_set_back_costs_nothing_that_was_kept(hub, history, said, porch, clock, run):
    said(0, "20")
    said(600, "22")
    clock.now -= 300
    for value in ("18", "19", "18", "19"):
        said(60, value)
        history.flush()
    saved(hub, run)
    found = history.samples(porch.jid, "temperature", START, clock.now + HOUR)
    assert [value for _, value in found if value in ("20", "22")] == ["20", "22"]
    assert [at // SECOND - int(START) for at, value in found if value == "19"][-1] == 600 - 300 + 240
    history.series.clear()
    assert {"20", "22"} <= {value for _, value in history.samples(porch.jid, "temperature", START, clock.now + HOUR)}


def test_what_is_said_after_the_clock_was_set_back_has_its_own_time(history, said, porch, clock):
    said(0, "20")
    said(600, "22")
    clock.now -= 300
    said(60, "18")
    found = history.samples(porch.jid, "temperature", START, clock.now + HOUR)
    assert [at // SECOND - int(START) for at, value in found if value == "18"] == [360]


def test_while_it_is_silent_nothing_is_known(history, said, porch, clock, buckets):
    said(0, "20")
    clock.now += 60
    porch._turn(stale=True)
    clock.now += 60
    found = buckets(START, clock.now, 2)
    assert [each.point for each in found] == [point("20", "20", "20"), None]


def test_it_is_written_every_five_minutes_thinned_when_the_node_starts_and_ended_when_it_stops(
    hub, history, said, run, later, monkeypatch
):
    thinned = []

    async def thin(*args):
        thinned.append(args)

    monkeypatch.setattr(history.shelf, "thin", thin)
    hub.tell("started")
    settle(hub)
    assert len(thinned) == 1
    for minutes in (5, 10):
        said(1, str(minutes))
        later(file.FLUSH)
        saved(hub, run)
        assert rows(hub, "raw") == minutes // 5
    said(1, "20")
    hub.tell("stopping")
    saved(hub, run)
    assert rows(hub, "raw") == 3
    later(file.FLUSH)
    assert history.timer.cancelled() and history.thinning.cancelled()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+400", "1" * 60, "21\n", "21\n5 99"])
def test_what_cannot_be_reckoned_with_is_not_kept(history, said, value):
    said(0, value)
    assert history.series == {}
    said(0, "20")
    said(1, value)
    assert history.series.popitem()[1].value == "20"


def test_many_digits_are_no_trouble(history, said, porch, clock, passes, buckets):
    said(0, "123456789012345678.123456789012345678")
    said(1, "0.000000000000000001")
    passes(25)
    assert buckets(START, clock.now, 3)[0].point.low == Decimal("1E-18")


def test_one_thinning_that_fails_is_not_the_last(history, monkeypatch, caplog, run):
    def broken(*args):
        raise ValueError("a bit has flipped")

    monkeypatch.setattr(history.shelf, "thin", broken)
    run(history.thin())
    assert "history: not thinned" in caplog.text


def test_the_last_value_of_a_thing_that_is_taken_out_holds_until_then(hub, history, said, porch, clock, run, buckets):
    said(0, "20")
    clock.now += 600
    history.forget(porch)
    saved(hub, run)
    assert history.series == {}
    found = buckets(START, START + 1200, 2)
    assert [each.point for each in found] == [point("20", "20", "20"), None]


def test_what_is_too_old_goes(hub, history, days, clock, run):
    days(30)
    clock.now += 400 * DAY
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert [rows(hub, table) for table in ("raw", "minutes", "hours")] == [0, 0, 0]


@pytest.mark.parametrize("ahead", [100, 9000])
def test_a_clock_that_is_far_ahead_throws_nothing_away(hub, history, days, clock, run, monkeypatch, ahead):
    days(30)
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    clock.now += ahead * DAY
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert [rows(hub, table) for table in ("raw", "minutes", "hours")] == [25, 30, 2]


def test_one_that_knows_the_weeks_before_need_not_be_confirmed(hub, history, days, clock, run, monkeypatch):
    days(30)
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    clock.now += 9 * DAY
    run(history.shelf.thin(clock.now))
    saved(hub, run)
    assert rows(hub, "raw") == 0


@pytest.mark.parametrize("table", ["minutes", "hours"])
def test_what_is_there_of_a_time(hub, history, run, table):
    hub.store.things.write(f"INSERT INTO {table} VALUES (?, x'')", (int(START) << BITS | 1,))
    saved(hub, run)
    times = ((START, START + 1), (START - 1, START), (START + 1, START + 2))
    assert [history.shelf._has(begin, end) for begin, end in times] == [True, False, False]


def test_a_clock_that_says_1970_thins_nothing(hub, history, days, run):
    days(5)
    run(history.shelf.thin(1000.0))
    assert rows(hub, "raw") == 5


def test_a_second_node_on_the_same_files_finds_its_series(hub, history, said):
    said(0, "20")
    said(0, "50", "humidity")
    again = Shelf(hub.store, Options())
    assert again.series.keys() <= history.shelf.series.keys()


# Of many


@pytest.fixture
def steps(hub, monkeypatch):
    """`steps(work)`: how many thousand steps SQLite takes for it, and the most of them in one turn of the loop."""

    def steps(work):
        turns = [0]

        def count():
            turns[-1] += 1

        async def counted():
            task = asyncio.ensure_future(work)
            while not task.done():
                turns.append(0)
                await asyncio.sleep(0)
            return task.result()

        reader = hub.store.things.reader
        reader.set_progress_handler(count, 100)
        try:
            hub.loop.run_until_complete(asyncio.wait_for(counted(), 30))
        finally:
            reader.set_progress_handler(None, 0)
        return sum(turns) / 10, max(turns) / 10

    return steps


def test_thinning_takes_so_much_longer_as_there_are_more_series_and_waits_for_nobody_long(
    hub, history, clock, run, steps
):
    shelf, taken = history.shelf, []
    for number in (50, 150):
        begin = int(clock.now)
        for minute in range(0, 180, 5):
            spans = [Span(first := (begin + minute * MINUTE) * SECOND, first + 3000, pack(b"", 0, 0, "20"))] * number
            shelf.put([(shelf.id(f"thing{each}", "field"), span) for each, span in enumerate(spans)])
        saved(hub, run)
        clock.now += 3 * HOUR
        taken.append(steps(shelf.thin(clock.now)))
    assert rows(hub, "minutes") == 3 * 50 + 3 * 150
    (few, short), (many, long) = taken
    assert many / few < 4 and long / short < 4, "it was 9"
    assert long < many / 50


@pytest.mark.parametrize("table", ["minutes", "hours"])
def test_a_long_time_of_one_series_is_read_without_the_others(hub, history, run, steps, table):
    data, length = pack_points([point("20", "20", "20")]), {"minutes": HOUR, "hours": DAY}[table]
    taken = []
    for begin, others in ((START, 1), (START + 300 * length, 100)):
        hub.store.things.write_all(
            (f"INSERT INTO {table} VALUES (?, ?)", (int(begin) + at * length << BITS | each, data))
            for at in range(300)
            for each in range(others)
        )
        saved(hub, run)
        read = getattr(history.shelf, table)
        taken.append(steps(by_time(read(0, int(begin), int(begin) + 300 * length))))
        assert len(run(by_time(read(0, int(begin), int(begin) + 300 * length)))) == 300
    (alone, _), (many, most) = taken
    assert many < alone * 2
    assert most < many / 5, "others have their turn"


def test_a_day_of_one_series_is_read_without_the_others(hub, history, clock, run, steps):
    data, taken = pack(b"", 0, 0, "20"), []

    async def read(begin):
        assert len(history.shelf.spans(1, begin, begin + 100 * SECOND)) == 100

    for begin, others in ((round(START) * SECOND, 2), (round(START + 5 * HOUR) * SECOND, 100)):
        history.shelf.put(
            [
                (each, Span(begin + at * SECOND, begin + (at + 1) * SECOND, data))
                for at in range(100)
                for each in range(others)
            ]
        )
        saved(hub, run)
        settle(hub)
        taken.append(steps(read(begin))[0])
    assert taken[1] < taken[0] * 2


def test_from_the_year_1_to_the_year_9999_nothing_is_looked_up_where_there_is_nothing(history, days, run, steps):
    days(26)
    id = history.shelf.series["porch", "temperature"]
    taken, _ = steps(by_time(history.shelf.hours(id, -62135596800, 253402300799)))
    assert taken < 10
    assert len(run(by_time(history.shelf.hours(id, -62135596800, 253402300799)))) == 24


def test_others_have_their_turn_while_a_month_is_told(history, days, porch, run):
    days(50)

    async def turns():
        count, task = 0, asyncio.ensure_future(history.buckets(porch.jid, "temperature", START, START + 2 * DAY, 48))
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert run(turns()) > 48


# Those that come and go


def known(hub):
    fields = ("temperature", "pressed")
    return {field for (field,) in hub.store.things.read("SELECT field FROM series") if field in fields}


def test_of_a_thing_that_is_gone_nothing_is_known_when_nothing_of_it_is_kept(
    hub, history, said, days, porch, clock, run
):
    history.shelf.id("button", "pressed")
    days(50)
    history.forget(porch)
    clock.now += 364 * DAY
    left = []
    for _ in range(4):
        clock.now += DAY
        run(history.thin())
        saved(hub, run)
        left.append(known(hub))
    assert left == [{"temperature", "pressed"}, *[{"temperature"}] * 2, set()], "of one there was something on day 2"
    assert rows(hub, "hours") == 0
    assert not {("porch", "temperature"), ("button", "pressed")} & history.shelf.series.keys()


def test_what_is_said_of_a_thing_that_is_silent_for_years_is_kept(hub, history, said, clock, run, porch):
    said(0, "20")
    said(1, None)
    clock.now += 1000 * DAY
    run(history.thin())
    saved(hub, run)
    assert known(hub) == {"temperature"}, "it is there"
    said(1, "22")
    assert [value for _, value in history.samples(porch.jid, "temperature", START, clock.now)][-1] == "22"


def test_a_thing_that_comes_back_after_years_keeps_its_number(hub, history, said, clock, run, porch):
    said(0, "20")
    history.forget(porch)
    clock.now += 1000 * DAY
    said(0, "22")
    history.forget(porch)
    run(history.thin())
    saved(hub, run)
    assert known(hub) == {"temperature"}


def test_a_clock_that_is_far_ahead_forgets_no_series(hub, history, said, clock, run, porch, monkeypatch):
    said(0, "20")
    history.forget(porch)
    monkeypatch.setattr("node.base.clock.CONFIRMED", "/nowhere")
    clock.now += 1000 * DAY
    run(history.thin())
    saved(hub, run)
    assert known(hub) == {"temperature"}


@pytest.mark.parametrize(
    ("table", "key", "day"),
    [("hours", 5 * DAY, 5), ("minutes", 6 * DAY, 6), ("raw", 7 * DAY * SECOND, 7), (None, 0, 0)],
)
def test_series_of_an_older_node_are_as_old_as_what_was_kept_last(tmp_path, loop, table, key, day):
    with closing(Store(tmp_path, loop)) as store:
        store.things.schema("history", shelf_file.SCHEMA)
        reader = store.things.reader
        reader.execute("PRAGMA query_only = OFF")
        reader.execute("INSERT INTO series VALUES (7, 'porch', 'temperature')")
        if table:
            columns = "key, data" if table != "raw" else "key, first, data"
            marks = "?, x''" if table != "raw" else "?, 0, x''"
            reader.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", (key << BITS | 7,))
        again = Shelf(store, Options())
        assert again.series == {("porch", "temperature"): 7}
        assert store.things.read("SELECT used FROM series") == [(day * DAY,)]


@pytest.mark.parametrize("options", [{"raw_hours": 1}, {"minute_days": 1}, {"hour_days": 0}])
def test_less_than_it_needs_cannot_be_kept(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        Options(**options)


# In words


def test_it_is_told_in_words_with_a_sparkline(said, ben, passes):
    said(0, "18.0")
    passes(12)
    said(0, "22.0")
    passes(12)
    (answer,) = ask(ben, "temperature history 24h")
    first, line, times = answer.split("\n")
    assert first == "Temperature, the last 24 h: 18.0 to 22.0 °C, 20.00 °C on average"
    assert line == "▁" * 12 + "█" * 12
    assert "…" in times


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("history of temperature", "the last 24 h"),
        ("history temperature last 7 days", "the last 7 days"),
        ("Temperature history 90 min", "the last 90 min"),
        ("temperature history for the last 2 weeks", "the last 2 weeks"),
        ("temperature history last hour", "the last 1 h"),
        ("history", "Temperature, the last 24 h"),
        ("History 7 days", "Temperature, the last 7 days"),
    ],
)
def test_ways_to_ask(history, ben, said, text):
    (answer,) = ask(ben, text)
    assert said in answer


def test_of_a_lamp_it_is_told_how_long_it_was_on(said, ben, passes):
    said(0, "true", "lamp")
    passes(3)
    said(0, "false", "lamp")
    passes(1)
    assert "on for 75 % of the time" in ask(ben, "lamp history 4h")[0]


def test_who_asks_hears_that_the_disk_is_at_fault(said, passes, ben, hub, monkeypatch):
    said(0, "20")
    passes(3)

    def broken(*args):
        raise StoreError("things.db: the disk reports an error")

    monkeypatch.setattr(hub.store.things, "read", broken)
    answer = "That did not work: things.db: the disk reports an error"
    assert ask(ben, "temperature history") == ask(ben, "temperature history 1h") == [answer]


def test_where_nothing_is_known_it_says_so(history, ben):
    assert ask(ben, "humidity history") == ["Humidity, the last 24 h: nothing is known."]
    assert "I do not know" in ask(ben, "rain history")[0]


def test_what_is_no_time_is_answered_with_how_to_ask(history, ben):
    advice = "Say for example: temperature history 90 min, 24h, today, yesterday."
    assert ask(ben, "temperature history 1h30m") == [f"I do not know the time “1h30m”. {advice}"]


def test_a_day_is_that_of_the_calendar(history, ben, porch, clock, passes):
    clock.now = time.mktime((2026, 11, 22, 20, 0, 0, 0, 0, -1))  # of this place
    porch.report({"temperature": "10.0"})
    passes(24)
    porch.report({"temperature": "30.0"})
    passes(1)
    today, yesterday = ask(ben, "temperature history today")[0], ask(ben, "history yesterday")[0]
    assert today.startswith("Temperature, today: 10.0 to 30.0 °C")
    assert yesterday.startswith("Temperature, yesterday: always 10.0 °C")


def test_it_stands_in_the_help(ben):
    assert "temperature history 24h" in ask(ben, "help")[0]
