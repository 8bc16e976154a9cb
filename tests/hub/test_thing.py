import asyncio
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from node.base.jid import parse
from node.hub.driver import Control, DriverError, Field, shared
from node.hub.thing import ControlError, Thing

ANN = parse("ann@hub.local/phone")


class Lamp:
    """A driver whose hardware is this test."""

    def __init__(self, interval=None):
        self.fields = (Field("lamp", "boolean"), Field("temperature", unit="°C"))
        self.controls = (
            Control("lamp", "boolean", label="Lamp"),
            Control("dimmer", "integer", minimum=Decimal(0), maximum=Decimal(255)),
            Control("mode", "enum", options=("day", "night")),
            Control("target", "quantity", minimum=Decimal("5.5")),
            Control("colour", "color"),
            Control("text", "string"),
        )
        self.interval = interval
        self.about = {}
        self.trouble = None  # what open raises
        self.written = []
        self.confirm = asyncio.Event()
        self.confirm.set()
        self.opened = asyncio.Event()
        self.readings = {"temperature": "10.0"}
        self.closed = 0
        self.reads = asyncio.Semaphore(0)

    async def asked(self, times):
        for _ in range(times):
            await asyncio.wait_for(self.reads.acquire(), 5)

    async def open(self, report):
        if self.trouble:
            raise self.trouble
        self.report = report
        self.lost = asyncio.get_running_loop().create_future()
        self.opened.set()

    async def read(self):
        self.reads.release()
        if self.readings is None:
            raise DriverError("sensor asleep")
        return self.readings

    async def write(self, control, value):
        await self.confirm.wait()
        if value == "night":
            raise DriverError("the bulb is broken")
        self.written.append((control, value))

    async def gone(self):
        return await self.lost

    async def close(self):
        self.closed += 1
        self.opened.clear()


class Story:
    """A thing, and what it tells."""

    def __init__(self, driver):
        self.driver = driver
        self.thing = Thing(parse("porch@hub.local"), "Porch", "test", driver)
        self.news = asyncio.Queue()
        self.thing.on_change(lambda thing, names: self.news.put_nowait((thing.online, set(names))))

    async def until(self, condition):
        while not condition():
            await asyncio.wait_for(self.news.get(), 5)

    async def __aenter__(self):
        self.thing.start()
        return self

    async def __aexit__(self, *what):
        await self.thing.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 0.01)


def test_a_thing_is_online_when_its_driver_is_open(run):
    async def story():
        async with Story(Lamp()) as it:
            assert not it.thing.online
            await it.until(lambda: it.thing.online)
            assert set(it.thing.controls) == {"lamp", "dimmer", "mode", "target", "colour", "text"}

    run(story())


def test_readings_keep_their_decimals_and_only_changes_are_told(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.report({"temperature": "10.0", "unknown": "1"})
            assert it.news.get_nowait() == (True, {"temperature"})
            it.driver.report({"temperature": "10.0"})
            assert it.news.empty()
            assert it.thing.readings["temperature"].value == "10.0"
            assert "unknown" not in it.thing.readings

    run(story())


def test_the_reading_of_a_sensor_that_is_lost_is_shown_no_longer(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.report({"temperature": "10.0"})
            assert it.news.get_nowait() == (True, {"temperature"})
            it.driver.report({"temperature": None})
            assert it.news.get_nowait() == (True, set())
            assert "temperature" not in it.thing.readings
            it.driver.report({"temperature": None})
            assert it.news.empty()

    run(story())


def test_what_alarms_is_said_in_words(run):
    async def story():
        driver = Lamp()
        driver.fields = (Field("water", "boolean", alarm="water in the cellar"),)
        async with Story(driver) as it:
            await it.until(lambda: it.thing.online)
            driver.report({"water": "false"})
            assert it.thing.alarm == ""
            driver.report({"water": "true"})
            assert it.thing.alarm == "water in the cellar"

    run(story())


def test_a_driver_with_an_interval_is_read(run):
    async def story():
        async with Story(Lamp(interval=0.01)) as it:
            await it.until(lambda: "temperature" in it.thing.readings)
            it.driver.readings = {"temperature": "11"}
            await it.until(lambda: it.thing.readings["temperature"].value == "11")

    run(story())


class Talkative(Lamp):
    """Says what it measures while it is being opened, and only then what that is."""

    async def open(self, report):
        report({"pressure": "1013.2", "lamp": "true"})
        report({"lamp": "false"})
        await super().open(report)
        self.fields += (Field("pressure"),)


def test_what_is_reported_while_it_is_opened_is_told_when_its_fields_are_known(run):
    async def story():
        async with Story(Talkative()) as it:
            await it.until(lambda: it.thing.online)
            assert it.news.get_nowait() == (True, {"pressure", "lamp"})
            assert it.thing.readings["lamp"].value == "false"

    run(story())


def test_a_thing_that_is_not_heard_of_is_stale_until_it_is(run):
    async def story():
        async with Story(Lamp(interval=0.01)) as it:
            await it.until(lambda: it.thing.readings)
            it.driver.readings = None
            await it.until(lambda: it.thing.stale)
            assert it.thing.online
            it.driver.readings = {"temperature": "12"}
            await it.until(lambda: not it.thing.stale)

    run(story())


def test_a_driver_may_know_how_long_its_hardware_is_silent(run):
    async def story():
        driver = Lamp()
        driver.patience = 0.01
        async with Story(driver) as it:
            await it.until(lambda: it.thing.stale)

    run(story())


def test_what_is_described_anew_may_be_expected_to_report(run):
    async def story():
        driver = Lamp()
        driver.patience = float("inf")
        async with Story(driver) as it:
            await it.until(lambda: it.thing.online)
            driver.patience = 0.01
            it.thing.described()
            await it.until(lambda: it.thing.stale)

    run(story())


def test_what_is_written_alike_is_there_once(monkeypatch):
    monkeypatch.setattr("node.hub.driver.KINDS", 2)
    monkeypatch.setattr("node.hub.driver._kinds", {})

    def ten(zeros):
        return Control("x", "quantity", minimum=Decimal(f"10{zeros}"))

    first = shared(ten(""))
    assert shared(ten("")) is first
    assert str(shared(ten(".0")).minimum) == "10.0", "equal, but not written alike"
    assert shared(ten(".00")).minimum == 10
    assert shared(ten("")) is not first, "no more than two are kept"


def test_what_has_only_controls_is_never_stale(run, monkeypatch):
    monkeypatch.setattr("node.hub.thing.STALE_SECONDS", 0.01)

    async def story():
        driver = Lamp(interval=0.001)
        driver.fields, driver.readings = (), {}
        async with Story(driver) as it:
            await it.driver.asked(10)
            assert it.thing.online
            assert not it.thing.stale

    run(story())


def test_a_clock_that_is_set_forward_makes_nothing_stale(run, monkeypatch):
    """A Pi without a battery begins in 1970, or where it stopped, until a time server tells it the hour."""
    monkeypatch.setattr("node.hub.thing.STALE_READS", 1000)  # ten seconds: a busy computer has its pauses

    async def story():
        async with Story(Lamp(interval=0.01)) as it:
            await it.until(lambda: it.thing.online)
            it.thing.now = lambda: time.time() + 10**9
            it.driver.readings = None
            await it.driver.asked(3)
            assert not it.thing.stale

    run(story())


def test_a_clock_that_is_set_back_makes_nothing_fresh(run):
    async def story():
        async with Story(Lamp(interval=0.01)) as it:
            await it.until(lambda: it.thing.online)
            it.thing.now = lambda: time.time() - 10**9
            it.driver.readings = None
            await it.until(lambda: it.thing.stale)

    run(story())


def test_a_thing_that_was_stopped_tells_nothing_any_more(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.confirm.clear()
            command = asyncio.ensure_future(it.thing.control({"lamp": "true"}, ANN))
            await it.until(lambda: it.thing.busy)
        it.driver.confirm.set()
        await command
        assert it.news.empty()

    run(story())


def test_gone_hardware_is_offline_with_its_reason_and_comes_back_by_itself(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.trouble = DriverError("still gone")
            it.driver.lost.set_result("USB cable gone: /dev/ttyUSB0")
            await it.until(lambda: not it.thing.online)
            assert it.thing.reason == "USB cable gone: /dev/ttyUSB0"
            assert it.driver.closed == 1
            await it.until(lambda: it.thing.reason == "still gone")
            it.driver.trouble = None
            await it.until(lambda: it.thing.online)

    run(story())


def test_hardware_that_is_lost_while_it_is_read_for_the_first_time_was_never_there(run):
    async def talk():
        lamp = Lamp(interval=60)

        async def read():
            lamp.lost.set_result("the board hangs")
            return {}

        lamp.read = read
        async with Story(lamp) as it:
            assert await asyncio.wait_for(it.news.get(), 5) == (False, set())
            assert it.thing.reason == "the board hangs"

    run(talk())


def test_what_a_board_said_before_it_went_away_is_not_shown_as_how_it_is_now(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.report({"temperature": "10.0"})
            it.driver.lost.set_result("USB cable gone: /dev/ttyUSB0")
            await it.until(lambda: not it.thing.online)
            assert it.thing.readings["temperature"].value == "10.0"
            await it.until(lambda: it.thing.online)
            assert not it.thing.readings

    run(story())


def test_somebody_can_do_something_about_a_thing_that_is_offline_so_that_is_a_warning(run, caplog):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.lost.set_result("USB cable gone: /dev/ttyUSB0")
            await it.until(lambda: not it.thing.online)

    run(story())
    assert [
        (record.levelname, record.getMessage()) for record in caplog.records if "offline" in record.getMessage()
    ] == [("WARNING", "porch: offline: USB cable gone: /dev/ttyUSB0")]


def test_a_driver_that_fails_does_not_take_the_thing_down(run, caplog):
    async def story():
        driver = Lamp()
        driver.trouble = ZeroDivisionError()
        async with Story(driver) as it:
            await it.until(lambda: it.thing.reason == "the driver failed: ZeroDivisionError")
            driver.trouble = None
            await it.until(lambda: it.thing.online)

    run(story())


def test_a_control_is_confirmed_when_the_hardware_has_confirmed_it(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.confirm.clear()
            command = asyncio.ensure_future(it.thing.control({"lamp": "1", "dimmer": "7"}, ANN))
            await it.until(lambda: it.thing.busy)
            assert not command.done()
            it.driver.confirm.set()
            await command
            assert it.driver.written == [("lamp", "true"), ("dimmer", "7")]
            assert it.thing.readings["lamp"].value == "true"
            assert not it.thing.busy

    run(story())


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("nothing", "1", "item-not-found"),
        ("lamp", "on", "bad-request"),
        ("dimmer", "256", "bad-request"),
        ("dimmer", "-1", "bad-request"),
        ("dimmer", "1.5", "bad-request"),
        ("dimmer", "1e2", "bad-request"),
        ("mode", "dusk", "bad-request"),
        ("target", "5.4", "bad-request"),
        ("target", "NaN", "bad-request"),
        ("target", "Infinity", "bad-request"),
        ("colour", "red", "bad-request"),
        ("text", "x" * 1025, "bad-request"),
    ],
)
def test_nothing_is_set_when_one_value_is_wrong(run, name, value, condition):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            with pytest.raises(ControlError) as caught:
                await it.thing.control({"lamp": "true", name: value}, ANN)
            assert (caught.value.name, caught.value.condition, caught.value.type) == (name, condition, "modify")
            assert it.driver.written == []

    run(story())


@pytest.mark.parametrize(
    ("name", "value", "normal"),
    [
        ("lamp", "0", "false"),
        ("dimmer", "+007", "7"),
        ("mode", "day", "day"),
        ("target", "21.50", "21.50"),
        ("colour", "ff00AA", "FF00AA"),
        ("text", " a ", " a "),
    ],
)
def test_right_values_are_set(run, name, value, normal):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            await it.thing.control({name: value}, ANN)
            assert it.driver.written == [(name, normal)]

    run(story())


def test_hardware_that_does_not_confirm_is_an_error(run, monkeypatch):
    monkeypatch.setattr("node.hub.thing.COMMAND_DEADLINE", 0.01)

    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.confirm.clear()
            with pytest.raises(ControlError, match="has not confirmed lamp") as caught:
                await it.thing.control({"lamp": "true"}, ANN)
            assert (caught.value.condition, caught.value.type) == ("recipient-unavailable", "wait")
            assert not it.thing.busy

    run(story())


def test_a_driver_with_a_bug_is_answered_for(run, caplog):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.write = lambda control, value: 1 / 0
            with pytest.raises(ControlError, match="Porch: the driver failed: ZeroDivisionError") as caught:
                await it.thing.control({"lamp": "true"}, ANN)
            assert (caught.value.condition, caught.value.type) == ("internal-server-error", "wait")
            assert it.thing.online and not it.thing.busy

    run(story())
    assert "porch: the driver test failed" in caplog.text


def test_what_the_hardware_says_itself_is_truer_than_what_was_asked(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            command = asyncio.ensure_future(it.thing.control({"lamp": "true"}, ANN))
            it.driver.confirm.clear()
            await it.until(lambda: it.thing.busy)
            it.driver.report({"lamp": "false"})
            it.driver.confirm.set()
            await command
            assert it.thing.readings["lamp"].value == "false"

    run(story())


class Slow(Lamp):
    """Is read for as long as the test likes."""

    def __init__(self):
        super().__init__(interval=0.001)
        self.answers = asyncio.Semaphore(0)

    async def read(self):
        read = await super().read()
        await asyncio.wait_for(self.answers.acquire(), 5)
        return read


@asynccontextmanager
async def being_read():
    """A lamp that is off, in the middle of a read that will say so; `again()` lets it end, and the next begin."""
    async with Story(Slow()) as it:

        async def again():
            it.driver.answers.release()
            await it.driver.asked(1)
            return it.thing.readings["lamp"].value

        it.driver.readings = {"lamp": "false"}
        it.driver.answers.release()
        await it.driver.asked(2)
        yield it, again


def test_a_read_that_began_before_a_command_was_confirmed_is_older(run):
    async def story():
        async with being_read() as (it, again):
            await it.thing.control({"lamp": "true"}, ANN)
            assert await again() == "true"
            assert await again() == "false", "this one began later"

    run(story())


def test_what_is_read_before_a_command_is_confirmed_does_not_stay(run):
    async def story():
        async with being_read() as (it, again):
            it.driver.confirm.clear()
            command = asyncio.create_task(it.thing.control({"lamp": "true"}, ANN))
            assert await again() == "false"
            it.driver.confirm.set()
            await command
            assert it.thing.readings["lamp"].value == "true"

    run(story())


def test_what_the_hardware_refuses_is_told_in_its_words(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            with pytest.raises(ControlError, match="the bulb is broken"):
                await it.thing.control({"mode": "night"}, ANN)

    run(story())


def test_offline_hardware_says_since_when_and_why(run):
    async def story():
        driver = Lamp()
        driver.trouble = DriverError("no board at /dev/ttyUSB0")
        async with Story(driver) as it:
            await it.until(lambda: it.thing.reason == "no board at /dev/ttyUSB0")
            with pytest.raises(ControlError, match=r"Porch is offline since \d\d:\d\d: no board at /dev/ttyUSB0"):
                await it.thing.control({"lamp": "true"}, ANN)

    run(story())


def test_commands_are_done_one_after_the_other_and_not_too_many_wait(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.confirm.clear()
            commands = [asyncio.ensure_future(it.thing.control({"dimmer": str(n)}, ANN)) for n in range(6)]
            await it.until(lambda: it.thing.busy)
            await asyncio.wait([commands[5]])
            assert commands[5].exception().condition == "conflict"
            it.driver.confirm.set()
            await asyncio.gather(*commands[:5])
            assert [value for _, value in it.driver.written] == [str(n) for n in range(5)]

    run(story())


def test_a_loose_plug_is_tried_less_and_less_often(run, monkeypatch):
    pauses = []
    real = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr("node.hub.thing.asyncio.sleep", sleep)
    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 2)

    async def story():
        async with Story(Lamp()) as it:
            for losses in range(7):
                await it.until(lambda losses=losses: it.thing.online and len(pauses) == losses)
                if losses == 6:
                    it.thing.clock = lambda: 1e9  # it was there for long
                it.driver.lost.set_result("gone")
            await it.until(lambda: len(pauses) == 7)

    run(story())
    assert pauses == [2, 4, 8, 16, 30, 30, 2]


class Faraway(Lamp):
    """One that hears when its hardware is back."""

    def __init__(self):
        super().__init__()
        self.there = asyncio.Event()

    async def back(self):
        await self.there.wait()


def test_hardware_that_is_heard_to_be_back_is_not_waited_for(run, monkeypatch):
    async def story():
        driver = Faraway()
        driver.trouble = DriverError("still gone")
        async with Story(driver) as it:
            await it.until(lambda: it.thing.reason == "still gone")
            it.driver.trouble = None
            it.driver.there.set()
            await it.until(lambda: it.thing.online)

    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 3600)
    run(story())


def test_hardware_that_is_lost_as_soon_as_it_is_back_waits_all_the_same(run, monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        await asyncio.Event().wait()

    monkeypatch.setattr("node.hub.thing.asyncio.sleep", sleep)

    async def story():
        async with Story(Faraway()) as it:
            it.driver.there.set()
            await it.until(lambda: it.thing.online)
            it.driver.lost.set_result("gone")
            await it.until(lambda: not it.thing.online and pauses)

    run(story())
    assert pauses == [0.01]


def test_a_driver_that_has_other_fields_now_says_so(run):
    async def story():
        async with Story(Lamp()) as it:
            await it.until(lambda: it.thing.online)
            it.driver.report({"temperature": "10.0", "lamp": "true"})
            it.driver.fields = (Field("lamp", "boolean"), Field("power", unit="W"))
            it.thing.described()
            assert list(it.thing.fields) == ["lamp", "power"] and list(it.thing.readings) == ["lamp"]
            assert it.news.qsize()

    run(story())
