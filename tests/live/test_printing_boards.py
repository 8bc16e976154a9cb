"""Boards that know nothing of us, and programs: seen as contacts by people with slixmpp."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

from tests.live.peers import DEADLINE, Person

PROGRAM = Path(__file__).parent / "board" / "printing.py"
SHED = "shed@home.example"
MACHINE = f"{SHED}/hw"
CONTROL = "urn:nf:iot:ctr:1.0"
ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]'
WORDS = {
    "pairs": ("", "", ""),
    "csv": ('separator = ";"', "column = 2", "column = 3"),
    "regex": ("", r"pattern = 'ature: (-?\d+\.\d+) C'", "pattern = 'lamp is (on|off)'"),
    "paths": ("", 'path = "sensors[0].raw"\nfactor = 0.01', 'path = "io.lamp"'),
}
SHARE = 0.2  # of a core, for the whole node with a board gone mad and people who ping; 0.02 was seen


class Board:
    """The program at the other end of a pseudo-terminal; `kill` pulls its cable."""

    def __init__(self, port: Path, format: str):
        self.port = port
        self.format = format
        self.done: list[str] = []  # what it did on its pins
        self._news = threading.Condition()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.port), self.format],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()
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
        """Until it has done that, or it has been done since this was last asked."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.done, DEADLINE), f"no {text!r}: {self.done}"
            del self.done[: self.done.index(text) + 1]

    def _listen(self, lines) -> None:
        for line in lines:
            with self._news:
                self.done.append(line.strip())
                self._news.notify_all()


@pytest.fixture
def board(tmp_path, request):
    board = Board(tmp_path / "ttyUSB0", getattr(request, "param", "pairs"))
    yield board
    board.kill()


@pytest.fixture
def home(nodes, board):
    options, temp, lamp = WORDS[board.format]
    node = nodes(
        more=f"""{ACCESS}
[thing.shed]
name = "Shed"
driver = "line"
format = "{board.format}"
port = "{board.port}"
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
    )
    node.start()
    node.add("ann", "bob")
    return node


def shows(text):
    return lambda s: s.name == "presence" and s["from"] == MACHINE and s["type"] == "available" and text in s["status"]


async def ann_at(home):
    ann = await Person("ann@home.example/phone", home).logs_in()
    ann.send_presence_subscription(SHED)
    await ann.hears(shows("21.40 °C · lamp off"))
    return ann


async def commands(person, on):
    iq = person.make_iq_set(ito=MACHINE)
    command = ET.SubElement(iq.xml, f"{{{CONTROL}}}set")
    ET.SubElement(command, f"{{{CONTROL}}}b", {"n": "lamp", "v": "true" if on else "false"})
    return await iq.send(timeout=DEADLINE)


@pytest.mark.parametrize("board", list(WORDS), indirect=True)
def test_a_board_that_just_prints_is_a_contact(home, board, run):
    async def talk():
        ann = await ann_at(home)
        answer = await commands(ann, True)
        assert answer.xml.find(f"{{{CONTROL}}}resp") is not None
        board.wait("pin lamp 1")
        await ann.hears(shows("lamp on"))
        board.tell("temp -3.50")
        await ann.hears(shows("-3.50 °C"))
        assert "is off" in await ann.says(SHED, "lamp off")
        board.wait("pin lamp 0")
        await ann.leaves()

    run(talk())


def test_unplugged_in_the_middle_of_a_command_it_fails_at_once_and_comes_back_by_itself(home, board, run):
    async def talk():
        ann = await ann_at(home)
        board.tell("deaf")
        command = asyncio.ensure_future(commands(ann, True))
        await asyncio.to_thread(board.wait, "pin lamp 1")
        assert not command.done()
        board.kill()
        with pytest.raises(IqError) as caught:
            await command
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        assert f"USB cable gone: {board.port}" in caught.value.text
        gone = await ann.hears(lambda s: s["from"] == MACHINE and s["type"] == "unavailable")
        assert gone["status"] == f"USB cable gone: {board.port}"
        board.start()
        await ann.hears(shows("21.40 °C"))
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


def used(node):
    """Seconds of the processor that the node has used."""
    with open(f"/proc/{node.process.pid}/stat") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("board", ["pairs", "regex"], indirect=True)
def test_while_a_board_spews_garbage_everybody_else_is_answered(home, board, run):
    async def talk():
        ann = await ann_at(home)
        bob = await Person("bob@home.example/phone", home).logs_in()
        board.tell("garbage")
        await home.says("lines that were not understood")
        before, begun = used(home), time.monotonic()
        while time.monotonic() < begun + 4:
            await bob.plugin["xep_0199"].send_ping("home.example", timeout=DEADLINE)
            await bob.plugin["xep_0199"].send_ping("ann@home.example/phone", timeout=DEADLINE)
            await asyncio.sleep(0.05)
        share = (used(home) - before) / (time.monotonic() - begun)
        print(f"{board.format}: {share:.3f} of a core")
        assert share < SHARE
        board.tell("sane")
        board.tell("temp 22.00")
        await ann.hears(shows("22.00 °C"))
        await ann.leaves()
        await bob.leaves()

    run(talk())


def test_programs_are_contacts_too_and_end_with_the_node(nodes, tmp_path, run):
    lamp = tmp_path / "lamp"
    lamp.write_text(
        f'#!/bin/sh\n[ "$1" = 7 ] && echo "the bulb is broken" >&2 && exit 1\necho "$1" >{tmp_path}/level\n'
    )
    lamp.chmod(0o755)
    ticker = tmp_path / "ticker"
    ticker.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nwhile :; do echo tick=$$; sleep 0.1; done\n")
    ticker.chmod(0o755)
    node = nodes(
        more=f"""{ACCESS}
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
    node.start()
    node.add("ann")

    async def talk():
        ann = await Person("ann@home.example/phone", node).logs_in()
        for name, text in (("load", "minute "), ("ticker", "tick ")):
            ann.send_presence_subscription(f"{name}@home.example")
            await ann.hears(
                lambda s, name=name, text=text: (
                    s.name == "presence" and s["from"].bare == f"{name}@home.example" and s["status"].startswith(text)
                )
            )
        await ann.says("load@home.example", "set level 3")
        assert (tmp_path / "level").read_text() == "3\n"
        assert "the bulb is broken" in await ann.says("load@home.example", "set level 7")
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, 9)
        gone = await ann.hears(lambda s: s["from"].bare == "ticker@home.example" and s["type"] == "unavailable")
        assert gone["status"] == f"{ticker} was killed by SIGKILL"
        await ann.hears(lambda s: s["from"].bare == "ticker@home.example" and s["status"].startswith("tick "))
        await ann.leaves()

    run(talk())
    pid = int((tmp_path / "pid").read_text())
    assert os.path.exists(f"/proc/{pid}")
    node.stop()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        pytest.fail("the program has outlived the node")
