"""GPS receivers, played at the other end of a pseudo-terminal."""

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import reduce

import pytest

from node.drivers.nmea import Driver, Options, degrees
from node.hub.driver import DriverError, Field
from tests.drivers.printer import DEADLINE, LONG, Printer, Readings, at_the_port, open_to


def sentence(text):
    """With its checksum."""
    return f"${text}*{reduce(lambda sum, mark: sum ^ ord(mark), text, 0):02X}\r"


RMC = "GPRMC,123519,A,4807.0380,N,01131.0000,E,022.4,084.4,221126,003.1,W,A"
GGA = "GPGGA,123519,4807.0380,S,01131.0000,W,2,08,0.9,545.4,M,46.9,M,,"
NO_FIX = "GPGGA,123519,4807.0380,N,01131.0000,E,0,00,99.9,,M,,M,,"


@asynccontextmanager
async def opened(first="GPGSV,1,1,00", **options):
    """A receiver, and a driver that has heard its first sentence, which tells nothing."""
    with Printer() as receiver:
        driver, readings = Driver(Options(receiver.port, **options)), Readings()
        try:
            await open_to(driver, readings, receiver, sentence(first))
            yield receiver, driver, readings
        finally:
            await driver.close()


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (
            RMC,
            {
                "fix": "GPS",
                "latitude": "48.117300",
                "longitude": "11.516667",
                "bearing": "84.4",
                "speed": "11.52",
                "time": "2026-11-22T12:35:19Z",
            },
        ),
        (
            GGA,
            {
                "fix": "DGPS",
                "satellites": "8",
                "latitude": "-48.117300",
                "longitude": "-11.516667",
                "altitude": "545.4",
                "accuracy": "4.5",
            },
        ),
        ("GLGLL,4916.45,N,12311.12,W,225444,A,A", {"fix": "GPS", "latitude": "49.2742", "longitude": "-123.1853"}),
        ("GNVTG,054.7,T,034.4,M,005.5,N,010.2,K", {"bearing": "54.7", "speed": "2.83"}),
        ("GPRMC,123519,A,4807.0380,N,01131.0000,E,,,221126,,,E", {"fix": "estimated", "latitude": "48.117300"}),
    ],
)
def test_a_sentence_tells_its_fields(run, said, read):
    async def talk():
        async with opened() as (receiver, driver, readings):
            receiver.says(sentence(said))
            told = await readings.next()
            assert {name: told[name] for name in read} == read
            assert set(told) <= {field.name for field in driver.fields}

    run(talk())


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (NO_FIX, {"fix": "none", "satellites": "0"}),
        ("GPRMC,123519,V,4807.0380,N,01131.0000,E,0,0,221126,,,N", {"fix": "none", "time": "2026-11-22T12:35:19Z"}),
        ("GPGLL,4916.45,N,12311.12,W,225444,V,N", {"fix": "none"}),
        ("GPRMC,,V,,,,,,,,,,N", {"fix": "none"}),
    ],
)
def test_a_position_without_a_fix_is_not_told(run, said, read):
    async def talk():
        async with opened() as (receiver, driver, readings):
            receiver.says(sentence(said))
            assert await readings.next() == read

    run(talk())


def test_what_the_first_sentence_told_is_not_lost(run):
    async def talk():
        async with opened(NO_FIX) as (receiver, driver, readings):
            assert await readings.next() == {"fix": "none", "satellites": "0"}

    run(talk())


def test_the_fix_does_not_waver_between_two_sentences(run):
    async def talk():
        async with opened() as (receiver, driver, readings):
            receiver.says(sentence(GGA), sentence(RMC))
            assert (await readings.next())["fix"] == "DGPS"
            assert "fix" not in await readings.next()

    run(talk())


@pytest.mark.parametrize(
    "noise",
    [
        sentence(RMC).replace("4807", "4907"),  # checksum of another one
        "$" + RMC,  # none at all
        sentence(RMC.replace("4807.0380", "9907.0380")),
        sentence(RMC.replace("4807.0380", "NORTH")),
        sentence(GGA.replace("0.9", "1e9999999")),
        sentence("GPRMC"),
        b"$\xff\xfe\x00",
        "!AIVDM,1,1,,A,13aEOK?P00PD2wVMdLDRhgvL289?,0*26",
        "b5 62",
    ],
)
def test_a_sentence_that_is_broken_is_skipped_and_counted(run, noise, caplog):
    async def talk():
        async with opened() as (receiver, driver, readings):
            receiver.says(noise, sentence("GNVTG,054.7,T,034.4,M,,N,,K"))
            assert await readings.next() == {"bearing": "54.7"}
            assert "skipped 1 lines" in caplog.text

    with caplog.at_level(logging.WARNING, "hobnode"):
        run(talk())


@pytest.mark.parametrize("said", ["GPXYZ,1,2", "PUBX,00,1", "GPTXT,01,01,02,u-blox"])
def test_a_sentence_that_is_none_of_ours_is_a_sign_of_life(run, said, caplog):
    async def talk():
        async with opened(said):
            assert not caplog.messages

    run(talk())


@pytest.mark.parametrize(
    ("text", "direction", "limit", "read"),
    [
        ("0000.0000", "S", 90, "0.000000"),
        ("9000.0", "N", 90, "90.000"),
        ("17959.99999", "W", 180, "-179.9999998"),
        ("4807", "N", 90, "48.12"),
    ],
)
def test_degrees_have_as_many_decimals_as_were_measured(text, direction, limit, read):
    assert degrees(text, direction, limit) == read


@pytest.mark.parametrize(("text", "direction"), [("9000.1", "N"), ("48", "N"), ("4807.0", ""), ("-4807.0", "N")])
def test_what_is_no_angle_is_none(text, direction):
    with pytest.raises(ValueError):
        degrees(text, direction, 90)


def test_a_receiver_that_falls_silent_is_gone(run, later):
    async def talk():
        async with opened(silence=10) as (receiver, driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            later(10)
            assert await gone == f"the board on {receiver.port} has been silent for 10 s"

    run(talk(), LONG)


def test_an_unplugged_receiver_is_gone_at_once(run):
    async def talk():
        async with opened() as (receiver, driver, readings):
            receiver.unplug()
            assert await asyncio.wait_for(driver.gone(), DEADLINE) == f"USB cable gone: {receiver.port}"

    run(talk())


@pytest.mark.parametrize(
    ("said", "complaint"), [("", "it says nothing at all"), ("~x", "it says '~x'; is 9600 baud right?")]
)
def test_what_is_no_receiver_is_refused_with_what_it_says(run, later, said, complaint):
    async def talk():
        with Printer() as receiver:
            driver = Driver(Options(receiver.port))
            opening = asyncio.ensure_future(driver.open(Readings()))
            await at_the_port(driver)
            receiver.says(said)
            while bool(said) != bool(driver._port.complaint):
                await asyncio.sleep(0)
            later(10)
            with pytest.raises(DriverError) as caught:
                await opening
            assert str(caught.value) == f"no GPS receiver speaks on {receiver.port}: {complaint}"
            await driver.close()

    run(talk(), LONG)


def test_a_board_may_name_and_show_fields_otherwise():
    mine = Field("speed", unit="m/s", label="Pace")
    fields = {field.name: field for field in Driver(Options("x"), (mine,)).fields}
    assert fields["speed"] is mine
    assert [name for name, field in fields.items() if field.shown] == ["fix", "latitude", "longitude", "speed"]


@pytest.mark.parametrize(
    ("table", "name"), [("fields]]\nname='heading'", "heading"), ("controls]]\nname='fix'\ntype='boolean'", "fix")]
)
def test_what_a_receiver_does_not_have_cannot_be_declared(mistake, table, name):
    said = mistake(f"[thing.boat]\ndriver = 'nmea'\nport = 'x'\n[[thing.boat.{table}")
    assert f"a GPS receiver has no {name!r}; it has fix, latitude" in said


def test_there_is_nothing_to_set(run):
    with pytest.raises(DriverError):
        run(Driver(Options("x")).write("fix", "1"))


@pytest.mark.parametrize("options", [{"baud": 0}, {"silence": 0}, {"hello": 15}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError):
        Options("x", **options)
