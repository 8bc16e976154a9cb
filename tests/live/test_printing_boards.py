"""Boards that know nothing of us, and programs: seen as contacts by people with slixmpp."""

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from slixmpp.exceptions import IqError

from tests.live import peers
from tests.live.log import Log
from tests.live.peers import DEADLINE, Person, is_offline, processor, shows

PROGRAM = Path(__file__).parent / "board" / "printing.py"
SHED = "shed@home.example"
SHED_TABLE = """
[thing.shed]
name = "Shed"
driver = "line"
format = "{format}"
port = "{port}"
{options}
[[thing.shed.fields]]
name = "temp"
unit = "°C"
{temp}
[[thing.shed.fields]]
name = "lamp"
type = "boolean"
{lamp}
[[thing.shed.controls]]
name = "lamp"
type = "boolean"
send = "LAMP {{value}}\\n"
confirm = "^OK LAMP {{value}}$"
"""
WORDS = {
    "pairs": ("", "", ""),
    "csv": ('separator = ";"', "column = 2", "column = 3"),
    "regex": ("", r"pattern = 'ature: (-?\d+\.\d+) C'", "pattern = 'lamp is (on|off)'"),
    "paths": ("", 'path = "sensors[0].raw"\nfactor = 0.01', 'path = "io.lamp"'),
}
SECONDS = 4  # of noise: as many as a node reads in that time
SHARE = 0.2  # of a core, for the whole node with a board gone mad and people who ping; 0.02 was seen


class Board:
    """The program at the other end of a pseudo-terminal; `kill` pulls its cable."""

    def __init__(self, port: Path, format: str):
        self.port = port
        self.format = format
        self.log = Log()  # what it did on its pins
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.port), self.format],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.log.follow(self._process.stdout)
        self.wait("pins ready")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(DEADLINE)
        self._process.stdin.close()
        self.port.unlink(missing_ok=True)

    def tell(self, text: str) -> None:
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def wait(self, text: str) -> None:
        """Until it has done that once more than when this was last asked."""
        self.log.wait(text)


@pytest.fixture
def board(tmp_path, request):
    board = Board(tmp_path / "ttyUSB0", getattr(request, "param", "pairs"))
    yield board
    board.kill()


@pytest.fixture
def home(home_with, board):
    options, temp, lamp = WORDS[board.format]
    shed = SHED_TABLE.format(format=board.format, port=board.port, options=options, temp=temp, lamp=lamp)
    return home_with(shed, "bob")


async def ann_at(home):
    return await peers.ann_at(home, SHED, "21.40 °C · lamp off")


@pytest.mark.parametrize("board", list(WORDS), indirect=True)
def test_a_board_that_just_prints_is_a_contact(home, board, run):
    async def talk():
        ann = await ann_at(home)
        await ann.sets(SHED, "lamp", "true")
        board.wait("pin lamp 1")
        await ann.hears(shows(SHED, "lamp on"))
        board.tell("temp -3.50")
        await ann.hears(shows(SHED, "-3.50 °C"))
        assert "is off" in await ann.says(SHED, "lamp off")
        board.wait("pin lamp 0")
        await ann.leaves()

    run(talk())


def test_unplugged_in_the_middle_of_a_command_it_fails_at_once_and_comes_back_by_itself(home, board, run):
    async def talk():
        ann = await ann_at(home)
        board.tell("deaf")
        command = asyncio.ensure_future(ann.sets(SHED, "lamp", "true"))
        await asyncio.to_thread(board.wait, "pin lamp 1")
        assert not command.done()
        board.kill()
        with pytest.raises(IqError) as caught:
            await command
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        assert f"USB cable gone: {board.port}" in caught.value.text
        await ann.hears(is_offline(SHED, f"USB cable gone: {board.port}"))
        board.start()
        await ann.hears(shows(SHED, "21.40 °C"))
        assert "is on" in await ann.says(SHED, "lamp on")
        await ann.leaves()

    run(talk())


def test_a_board_that_does_not_confirm_is_a_fault_in_words(home, board, run):
    async def talk():
        ann = await ann_at(home)
        board.tell("deaf")
        assert "has not answered within 4 s" in await ann.says(SHED, "lamp on")
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("board", ["pairs", "regex"], indirect=True)
def test_while_a_board_spews_garbage_everybody_else_is_answered(home, board, run):
    async def talk():
        ann = await ann_at(home)
        bob = await Person("bob@home.example/phone", home).logs_in()
        board.tell("garbage")
        await home.says("lines that were not understood")
        before = processor(home.process.pid)
        for _ in range(SECONDS):
            await bob.plugin["xep_0199"].send_ping("home.example", timeout=DEADLINE)
            await bob.plugin["xep_0199"].send_ping("ann@home.example/phone", timeout=DEADLINE)
            await asyncio.to_thread(board.wait, "spewed")
        share = (processor(home.process.pid) - before) / SECONDS
        print(f"{board.format}: {share:.3f} of a core")
        assert share < SHARE
        board.tell("sane")
        board.tell("temp 22.00")
        await ann.hears(shows(SHED, "22.00 °C"))
        await ann.leaves()
        await bob.leaves()

    run(talk())


def test_programs_are_contacts_too_and_end_with_the_node(home_with, tmp_path, run):
    lamp = tmp_path / "lamp"
    lamp.write_text(
        f'#!/bin/sh\n[ "$1" = 7 ] && echo "the bulb is broken" >&2 && exit 1\necho "$1" >{tmp_path}/level\n'
    )
    lamp.chmod(0o755)
    ticker = tmp_path / "ticker"
    ticker.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nwhile :; do echo tick=$$; sleep 0.1; done\n")
    ticker.chmod(0o755)
    node = home_with(
        f"""
[thing.load]
driver = "exec"
command = ["/bin/cat", "/proc/loadavg"]
format = "csv"
separator = " "
interval = 1
[[thing.load.fields]]
name = "minute"
column = 1
[[thing.load.controls]]
name = "level"
type = "integer"
command = ["{lamp}", "{{value}}"]
[thing.ticker]
driver = "exec"
command = ["{ticker}"]
interval = 0
[[thing.ticker.fields]]
name = "tick"
type = "integer"
"""
    )

    async def talk():
        ann = await peers.ann_at(node, "load@home.example", "minute ")
        await ann.sees("ticker@home.example", "tick ")
        await ann.says("load@home.example", "set level 3")
        assert (tmp_path / "level").read_text() == "3\n"
        assert "the bulb is broken" in await ann.says("load@home.example", "set level 7")
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 9)
        await ann.hears(is_offline("ticker@home.example", f"{ticker} was killed by SIGKILL"))
        await ann.hears(shows("ticker@home.example", "tick "))
        await ann.leaves()

    run(talk())
    pid = int((tmp_path / "pid").read_text())
    assert os.path.exists(f"/proc/{pid}")
    node.stop()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("the program has outlived the node")
