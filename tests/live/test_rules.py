"""Rules from one node to another: a board at the cabin is followed from home, over federation, in whatever happens."""

import asyncio
import signal

import pytest

from tests.live.neighbours import HOME, STOVE
from tests.live.peers import DEADLINE, Person
from tests.live.test_printing_boards import Board as Printer

ANN = f"ann@{HOME}"
MACHINE = f"hub@{HOME}"
SHED = """
[thing.shed]
driver = "line"
format = "pairs"
port = "{port}"
[[thing.shed.fields]]
name = "lamp"
type = "boolean"
[[thing.shed.controls]]
name = "lamp"
type = "boolean"
send = "LAMP {{value}}\\n"
confirm = "^OK LAMP {{value}}$"
"""
RULES = f"""
[access]
control = ["{ANN}"]
approve = ["{ANN}"]
[[rule]]
name = "dusk"
thing = "{STOVE}"
field = "light"
below = 20
set.shed = {{ lamp = true }}
set."{STOVE}" = {{ lamp = true }}
tell = ["{ANN}"]
say = "dark at the cabin: {{value}}"
[[rule]]
name = "dawn"
thing = "{STOVE}"
field = "light"
above = 60
set.shed = {{ lamp = false }}
set."{STOVE}" = {{ lamp = false }}
[[rule]]
name = "lost"
thing = "{STOVE}"
gone = true
tell = ["{ANN}"]
"""
ALLOWED = f'[access]\napprove = ["{MACHINE}"]\ncontrol = ["{MACHINE}"]\n'
ONLY_READ = f'[access]\napprove = ["{MACHINE}"]\n'
BRIGHT, DARK = 4000, 500  # millivolts at the sensor: 80 % and 10 %


@pytest.fixture
def uno(uno):
    uno.light(BRIGHT)
    return uno


@pytest.fixture
def shed(tmp_path):
    shed = Printer(tmp_path / "ttyUSB0", "pairs")
    yield shed
    shed.kill()


@pytest.fixture
def two(two, uno, shed):
    """`two(access)` starts home, which has the rules and a lamp, and the cabin with its board and that [access]."""
    board = f'[thing.stove]\nboard = "arduino-uno"\nport = "{uno.port}"\n'
    return lambda access=ALLOWED: two(access + board, RULES + SHED.format(port=shed.port))


def said(text):
    return lambda s: s.name == "message" and text in s["body"]


async def ann_at(home):
    """Ann is logged in; the lamp here is there, and the rules have seen that it is bright at the cabin."""
    await home.says("shed: online")
    await home.says("rule dawn: ")
    return await Person(f"{ANN}/phone", home).logs_in()


async def it_gets_dark(ann, uno, shed):
    uno.light(DARK)
    await asyncio.to_thread(shed.wait, "pin lamp 1")
    told = await ann.hears(said("dark at the cabin: "))
    assert told["body"].endswith(" %"), "the unit that the thing there has said"


def log(home, name):
    done = home.command("thing", "log", name)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def logs(home, name, *texts):
    """Waits until there is a line in the audit that holds all of that."""
    async with asyncio.timeout(DEADLINE):
        while True:
            lines = (await asyncio.to_thread(log, home, name)).splitlines()
            found = next((line for line in lines if all(text in line for text in texts)), None)
            if found:
                return found


def test_a_board_there_sets_a_lamp_here_and_one_there_and_tells_a_person(two, uno, shed, run):
    home, _ = two()

    async def talk():
        ann = await ann_at(home)
        await it_gets_dark(ann, uno, shed)
        await asyncio.to_thread(uno.wait, "pin 13 1")
        uno.light(BRIGHT)
        await asyncio.to_thread(shed.wait, "pin lamp 0")
        await logs(home, "shed", STOVE, "rule: dusk", "lamp=on", "done")
        await logs(home, "shed", STOVE, "rule: dawn", "lamp=off", "done")
        await logs(home, "hub", STOVE, "rule: dusk", f"{STOVE}: lamp=on", "done")
        await ann.leaves()

    run(talk())


def test_a_board_that_is_unplugged_there_is_told_of_here_and_the_rule_goes_on_when_it_is_back(two, uno, shed, run):
    home, _ = two()

    async def talk():
        ann = await ann_at(home)
        uno.kill()
        await ann.hears(said(f"{STOVE} is gone"))
        uno.start()
        await it_gets_dark(ann, uno, shed)
        await ann.leaves()

    run(talk(), timeout=50)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_when_the_other_node_has_been_started_anew_the_rule_goes_on_by_itself(two, uno, shed, run, end):
    home, cabin = two()

    async def talk():
        ann = await ann_at(home)
        await asyncio.to_thread(cabin.stop, end)
        await asyncio.to_thread(cabin.start)
        await cabin.says("stove: online")
        await it_gets_dark(ann, uno, shed)
        await ann.leaves()

    run(talk(), timeout=50)


def test_without_a_grant_there_the_audit_here_says_forbidden_and_what_is_ours_is_done(two, uno, shed, run):
    home, cabin = two(ONLY_READ)

    async def talk():
        ann = await ann_at(home)
        await it_gets_dark(ann, uno, shed)
        assert "failed" in await logs(home, "hub", STOVE, "rule: dusk", "may not control")
        await logs(home, "shed", STOVE, "rule: dusk", "lamp=on", "done")
        await logs(cabin, "stove", MACHINE, "refused")
        assert not uno.times("pin 13 1")
        await ann.leaves()

    run(talk())
