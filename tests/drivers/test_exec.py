"""Programs: real ones, of a few lines each."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress

import pytest

from node.drivers.exec import Driver, Options, Setting, program
from node.hub.driver import Control, DriverError, Field
from node.hub.formats import Place
from tests.drivers.printer import DEADLINE, Readings

FIELDS = (Field("temp"), Field("door", "boolean"))
CONTROLS = (Control("lamp", "boolean"), Control("level", "integer"), Control("text", "string"))


@pytest.fixture
def script(tmp_path):
    """`script(text)` is the command of a program of the shell's. It may write to the file $LOG, which is `script.log`,
    and to $TELL: `await script.told()` are the words of a line that it says there."""

    def script(text, *words):
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\nLOG={script.log}\nTELL={pipe}\n{text}\n")
        path.chmod(0o755)
        return (str(path), *words)

    async def told():
        await readable(end)
        return os.read(end, 4096).decode().split()

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    script.log, script.told = tmp_path / "log", told
    yield script
    os.close(end)


@pytest.fixture
def told(script, monkeypatch):
    """What a program that is killed when its time is over has said at $TELL, which it says before that time begins: a
    busy machine may need longer to start a shell than a test takes."""
    words, start = [], program.start

    async def starts(*arguments):
        running = await start(*arguments)
        words.extend(await script.told())
        return running

    monkeypatch.setattr(program, "start", starts)
    return words


async def readable(file):
    """Waits until something can be read there; of a process, that is when it has ended."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(file, ready.set)
    try:
        async with asyncio.timeout(DEADLINE):
            await ready.wait()
    finally:
        loop.remove_reader(file)


async def ended(pid):
    """Waits for the end of a process that need not be a child of ours."""
    with suppress(ProcessLookupError), os.fdopen(os.pidfd_open(int(pid))) as process:
        await readable(process)


def children():
    """Of ours, zombies among them."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return file.read().split()


@pytest.fixture(autouse=True)
def no_child_is_left():
    before = set(children())
    yield
    assert set(children()) <= before


@asynccontextmanager
async def opened(**options):
    driver, readings = Driver(Options(**options), FIELDS, CONTROLS), Readings()
    try:
        await driver.open(readings)
        yield driver, readings
    finally:
        await driver.close()


# What a program prints


@pytest.mark.parametrize(
    ("text", "options", "read"),
    [
        ("echo temp=21.40 door=1", {}, {"temp": "21.40", "door": "true"}),
        ("echo a heading; echo temp=1; echo temp=2.0", {}, {"temp": "2.0"}),
        ("echo door=1; yes '' | head -200; echo temp=1", {}, {"temp": "1"}),
        ("echo 'x,3'", {"format": "csv", "fields": {"temp": Place(column=2), "door": Place(column=3)}}, {"temp": "3"}),
        (
            """echo "temp=48.3'C" """,
            {"format": "regex", "fields": {"temp": Place(pattern="temp=([0-9.]+)"), "door": Place(pattern="(x)")}},
            {"temp": "48.3"},
        ),
        ("""echo '{'; echo '"temp":7.0}'""", {"format": "paths"}, {"temp": "7.0"}),
    ],
)
def test_its_output_is_read(run, script, text, options, read):
    async def talk():
        async with opened(command=script(text), **options) as (driver, readings):
            assert await driver.read() == read

    run(talk())


def test_a_sensor_that_has_no_value_again_and_again_is_lost(run, script):
    async def talk():
        async with opened(command=script("echo temp=nan door=1")) as (driver, readings):
            assert [await driver.read() for _ in range(3)] == [
                {"door": "true"},
                {"door": "true"},
                {"door": "true", "temp": None},
            ]

    run(talk())


def test_opening_it_has_run_it_and_the_first_reading_is_that_one(run, script):
    async def talk():
        async with opened(command=script("echo x >>$LOG; echo temp=1")) as (driver, readings):
            assert script.log.read_text() == "x\n"
            await driver.read()
            assert script.log.read_text() == "x\n"
            await driver.read()
            assert script.log.read_text() == "x\nx\n"

    run(talk())


def test_there_is_no_shell_and_little_environment(run, script, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    monkeypatch.setenv("HOME", "/home/me")

    async def talk():
        command = script('echo "$@" >$LOG; env >>$LOG; pwd >>$LOG; cat >>$LOG; echo temp=1', "$(id)", "; a b | *")
        async with opened(command=command):
            said = script.log.read_text().splitlines()
            assert said[0] == "$(id) ; a b | *"
            assert {"HOME=/home/me", "LANG=C.UTF-8", f"PATH={program.PATH}", "PWD=/"} <= set(said[1:])
            assert "NOTIFY" not in " ".join(said)
            assert said[-1] == "/"

    run(talk())


# Faults


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo first >&2; echo '  the sensor is asleep ' >&2; exit 3", "the sensor is asleep"),
        ("printf 'no\\007 end' >&2; exit 1", "no  end"),
        ("exit 3", "program has ended with exit code 3"),
        ("kill -9 $$", "program was killed by SIGKILL"),
        ("echo hello", "program does not say what was expected, but 'hello'"),
        ("true", "program does not say what was expected, but ''"),
        ("yes", "program says more than 64 KiB"),
    ],
)
def test_a_fault_is_said_in_words(run, script, text, said):
    async def talk():
        with pytest.raises(DriverError) as caught:
            async with opened(command=script(text)):
                pass
        assert str(caught.value).endswith(said)

    run(talk())


@pytest.mark.parametrize(("path", "said"), [("/nonexistent/x", "No such file"), ("/etc/passwd", "Permission denied")])
def test_a_program_that_cannot_be_started_is_said(run, path, said):
    async def talk():
        with pytest.raises(DriverError, match=f"{path} cannot be started: {said}"):
            async with opened(command=(path,)):
                pass

    run(talk())


HANGS = "trap '' TERM; sleep 1000 & echo $$ $! >$TELL; wait; sleep 1000"


@pytest.mark.parametrize("text", [HANGS, "sleep 1000 & echo $! >$TELL; echo temp=1"])
def test_one_that_hangs_or_leaves_a_child_with_its_output_is_killed_with_its_children(run, script, told, text):
    async def talk():
        with pytest.raises(DriverError, match=r"program has not ended within 0\.1 s"):
            async with opened(command=script(text), timeout=0.1):
                pass
        for pid in told:
            await ended(pid)

    run(talk())


def test_of_one_that_escapes_with_our_pipes_no_more_is_heard(run, script, told):
    async def talk():
        with pytest.raises(DriverError, match="has not ended"):
            async with opened(command=script("setsid sh -c 'echo $$ >$1; exec sleep 1000' x $TELL"), timeout=0.1):
                pass
        (pid,) = told
        os.kill(int(pid), signal.SIGKILL)

    run(talk())


def test_one_whose_reader_is_cancelled_is_killed(run, script):
    async def talk():
        driver = Driver(Options(script(HANGS)), FIELDS)
        opening = asyncio.ensure_future(driver.open(Readings()))
        pids = await script.told()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        for pid in pids:
            await ended(pid)

    run(talk())


def test_one_whose_reader_is_cancelled_while_it_starts_is_killed(run, script):
    async def talk():
        before = set(children())
        for turns in range(12):
            opening = asyncio.ensure_future(Driver(Options(script("exec sleep 1000"))).open(Readings()))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert set(children()) <= before

    run(talk())


def test_one_failure_is_an_accident_and_three_are_a_loss(run, script):
    async def talk():
        async with opened(command=script("echo temp=1")) as (driver, readings):
            gone = asyncio.ensure_future(driver.gone())
            await driver.read()
            script("echo asleep >&2; exit 1")
            for _ in range(2):
                with pytest.raises(DriverError, match="asleep"):
                    await driver.read()
            script("echo temp=2")
            assert await driver.read() == {"temp": "2"}
            script("echo asleep >&2; exit 1")
            for _ in range(3):
                assert not gone.done()
                with pytest.raises(DriverError):
                    await driver.read()
            assert await gone == "asleep"

    run(talk())


def test_one_that_fails_is_not_run_more_often_than_its_interval(run, script, later):
    async def talk():
        driver = Driver(Options(script("echo x >>$LOG; echo asleep >&2; exit 1"), interval=3600), FIELDS)
        for times, passes in ((1, 0), (1, 3599), (2, 2)):
            later(passes)
            with pytest.raises(DriverError, match="asleep"):
                await driver.open(Readings())
            assert script.log.read_text().count("x") == times

    run(talk(), 10**6)


# One that keeps running


def test_one_that_keeps_running_reports_its_lines(run, script):
    async def talk():
        command = script("echo temp=1; echo noise; echo; echo temp=2; exec sleep 1000")
        async with opened(command=command, interval=0) as (driver, readings):
            assert driver.interval is None
            while await readings.next() != {"temp": "2"}:
                pass

    run(talk())


@pytest.mark.parametrize(
    ("text", "said"), [("exit 0", "has ended"), ("exit 2", "exit code 2"), ("echo 'no bus' >&2; exit 1", "no bus")]
)
def test_when_it_ends_the_thing_is_gone_and_says_why(run, script, text, said):
    async def talk():
        async with opened(command=script(f"echo temp=1; {text}"), interval=0) as (driver, readings):
            assert (await asyncio.wait_for(driver.gone(), DEADLINE)).endswith(said)

    run(talk())


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_when_the_thing_is_stopped_it_ends_with_its_children(run, script, trap, monkeypatch):
    monkeypatch.setattr("node.drivers.exec.GRACE", 0.1)

    async def talk():
        text = f"{trap}sleep 1000 & echo $$ $! >$TELL; wait; sleep 1000"
        async with opened(command=script(text), interval=0) as (driver, readings):
            pids = await script.told()
            gone = asyncio.ensure_future(driver.gone())
        for pid in pids:
            await ended(pid)
        assert not (await asyncio.wait([gone], timeout=0.01))[0], "it was not lost: we have ended it"
        gone.cancel()

    run(talk())


def test_it_is_asked_before_it_is_killed(run, script):
    async def talk():
        text = "trap 'echo bye >$LOG; exit' TERM; echo hello >$TELL; while :; do sleep 0.01; done"
        async with opened(command=script(text), interval=0):
            assert await script.told() == ["hello"]
        assert script.log.read_text() == "bye\n"

    run(talk())


def test_one_that_never_stops_talking_is_heard_at_a_bounded_rate(run, later):
    async def talk():
        loop, heard = asyncio.get_running_loop(), []
        running = await program.start(("/usr/bin/yes", "x" * 99), heard.append, rate=32768)
        async with asyncio.timeout(None):
            while sum(map(len, heard)) < 32768:
                await asyncio.sleep(0)
        told = sum(map(len, heard))
        assert told < 32768 + 256 * 1024, "what one read can bring"
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sum(map(len, heard)) == told
        later(1)
        while sum(map(len, heard)) == told:
            await asyncio.sleep(0)
        await running.stop()
        assert running.ended.result() == -signal.SIGKILL
        assert loop.time()

    run(talk(), 10**6)


# Controls


def test_a_control_is_a_program_whose_end_confirms_it(run, script):
    async def talk():
        controls = {"lamp": Setting(script('echo "$@" >>$LOG', "lamp={value}"), true="on", false="off")}
        async with opened(controls=controls) as (driver, readings):
            await driver.write("lamp", "true")
            await driver.write("lamp", "false")
            assert script.log.read_text() == "lamp=on\nlamp=off\n"

    run(talk())


def test_a_control_whose_program_fails_says_its_last_words(run, script):
    async def talk():
        controls = {"level": Setting(script('echo "not $1" >&2; exit 1', "{value}"))}
        async with opened(controls=controls) as (driver, readings):
            with pytest.raises(DriverError, match="not -7"):
                await driver.write("level", "-7")

    run(talk())


def test_a_control_that_hangs_is_killed_before_anybody_gives_up(run, script, told, monkeypatch):
    monkeypatch.setattr("node.drivers.exec.LONGEST_COMMAND", 0.1)

    async def talk():
        async with opened(controls={"level": Setting(script(HANGS))}) as (driver, readings):
            with pytest.raises(DriverError, match="has not ended within"):
                await driver.write("level", "1")
            for pid in told:
                await ended(pid)

    run(talk())


def test_one_program_at_a_time(run, script, monkeypatch):
    async def talk():
        command = script("echo + >>$LOG; sleep 0.02; echo - >>$LOG; echo temp=1")
        async with opened(command=command, controls={"level": Setting(command)}) as (driver, readings):
            await driver.read()
            await asyncio.gather(*(driver.write("level", str(number)) for number in range(2)), driver.read())
            assert script.log.read_text().split() == ["+", "-"] * 4
            monkeypatch.setattr("node.drivers.exec.LONGEST_COMMAND", 0.01)
            async with driver._turn:
                with pytest.raises(DriverError, match="still at work"):
                    await driver.write("level", "1")

    run(talk())


@pytest.mark.parametrize("text", ["-rf", "a\nb", "a\0b"])
def test_a_text_that_a_program_might_take_for_something_else_is_refused(run, script, text):
    async def talk():
        async with opened(controls={"text": Setting(script("echo x >>$LOG", "{value}"))}) as (driver, readings):
            with pytest.raises(DriverError, match="a text"):
                await driver.write("text", text)
            assert not script.log.exists()

    run(talk())


def test_a_control_without_a_program_is_a_fault_in_words(run):
    async def talk():
        async with opened() as (driver, readings):
            assert await driver.read() == {}
            with pytest.raises(DriverError, match="what to run for lamp: it needs 'command'"):
                await driver.write("lamp", "true")

    run(talk())


# Configuration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("command = ['uptime']", "command must begin with the whole path of a program"),
        ("command = 'uptime'", "command must be a list"),
        ("interval = 0.5", "interval must be 1 second or more, or 0"),
        ("timeout = 60", "timeout must be more than 0 and less than 10 seconds"),
        ("[[thing.porch.controls]]\nname='a'\ntype='boolean'\ncommand=['/bin/{value}']", "which program is run"),
        ("[[thing.porch.controls]]\nname='a'\ntype='boolean'\ncommand=[]", "command must begin with the whole path"),
        ("format = 'csv'\n[[thing.porch.fields]]\nname='a'\nkey='x'", "'key' is for format = 'pairs'"),
        ("command = ['/x']\nformat = 'csv'\n[[thing.porch.fields]]\nname='a'", "field 'a' needs 'column'"),
        ("[[thing.porch.fields]]\nname='a'", "fields need 'command'"),
        ("[[thing.porch.controls]]\nname='a'\ntype='boolean'", "control 'a' needs 'command'"),
    ],
)
def test_a_mistake_in_the_configuration_is_said(mistake, text, said):
    assert said in mistake(f"[thing.porch]\ndriver = 'exec'\n{text}")
