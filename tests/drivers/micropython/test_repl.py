"""The raw REPL without a port: bytes of a board that is simulated, whole and byte by byte."""

import asyncio

import pytest

from node.drivers.micropython import repl
from node.drivers.micropython.repl import Astray, Fault, Repl, ReplError, Restarted
from tests.conftest import until
from tests.drivers.micropython.board import BANNER, READY, Board

PASTES = ("R1", "R0", "none")
LONG = "text = '" + 600 * "x" + "'\nprint(len(text))"


class Line:
    """A board and our end of the wire to it, which brings `step` bytes at once."""

    def __init__(self, board, step=4096):
        self.board = board
        self.step = step
        self.repl = Repl(self.write)
        self._coming = bytearray()

    def write(self, data):
        self.brings(self.board.hears(data))

    def brings(self, data):
        """From the board, later, and each piece when who waits has seen the one before."""
        self._coming += data
        if len(self._coming) == len(data):
            self._soon(self._bring)

    def _bring(self):
        piece = bytes(self._coming[: self.step])
        del self._coming[: self.step]
        self.repl.feed(piece)
        if self._coming:
            self._soon(self._bring)

    def _soon(self, then, turns=3):
        asyncio.get_running_loop().call_soon(*((self._soon, then, turns - 1) if turns else (then,)))


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(repl, "ASK_AGAIN", 0.002)


@pytest.mark.parametrize("step", [1, 4096])
@pytest.mark.parametrize("paste", PASTES)
def test_a_program_is_run_and_what_it_printed_comes_back(run, paste, step):
    async def talk():
        line = Line(Board(paste), step)
        await line.repl.enter()
        assert await line.repl.run("x = 3\nprint(x, 'a')\nprint(10.50)") == "3 a\n10.5"
        assert await line.repl.run("print(x)") == "3"
        assert line.board.ran == ["x = 3\nprint(x, 'a')\nprint(10.50)", "print(x)"]

    run(talk())


@pytest.mark.parametrize("step", [1, 4096])
@pytest.mark.parametrize("paste", PASTES)
def test_an_exception_is_its_last_line_and_the_next_program_runs(run, paste, step):
    async def talk():
        line = Line(Board(paste), step)
        await line.repl.enter()
        with pytest.raises(Fault, match=r"^ValueError: too hot$"):
            await line.repl.run("print(1)\nraise ValueError('too hot')")
        assert await line.repl.run("print(2)") == "2"

    run(talk())


@pytest.mark.parametrize("paste", PASTES)
def test_a_long_program_is_never_more_at_once_than_the_board_takes(run, paste):
    async def talk():
        line = Line(Board(paste))
        await line.repl.enter()
        line.board.largest = 0
        assert await line.repl.run(LONG) == "600"
        assert line.board.largest <= (16 if paste == "R1" else 32), "the board itself counts its window"

    run(talk())


@pytest.mark.parametrize("paste", ["R0", "none"])
def test_a_board_without_raw_paste_mode_is_asked_for_it_once(run, paste):
    async def talk():
        line = Line(Board(paste))
        await line.repl.enter()
        await line.repl.run("1")
        asked = []
        hears = line.board.hears
        line.board.hears = lambda data: asked.append(data) or hears(data)
        await line.repl.run("1")
        assert asked == [b"1", b"\x04"]

    run(talk())


def test_a_board_that_has_read_enough_gets_no_more(run):
    async def talk():
        sent = []
        line = Repl(sent.append)
        line.ready = True
        work = asyncio.ensure_future(line.run(300 * "("))
        for answer in (b"R\x01\x20\x00", b"\x04", b"\x04Traceback\r\nSyntaxError: invalid syntax\r\n\x04>"):
            await asyncio.sleep(0)
            line.feed(answer)
        with pytest.raises(Fault, match="SyntaxError: invalid syntax"):
            await work
        assert sent == [b"\x05A\x01", 32 * b"(", b"\x04"]

    run(talk())


def test_a_program_that_runs_is_interrupted(run):
    async def talk():
        line = Line(Board())
        await line.repl.enter()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(line.repl.run("hang"), 0.02)
        assert not line.repl.ready
        assert await line.repl.enter(), "it has been in raw mode all the time"
        assert await line.repl.run("print(7)") == "7"

    run(talk())


def test_who_gives_up_in_the_middle_of_pasting_can_go_on(run):
    async def talk():
        line = Line(Board())
        await line.repl.enter()
        hears = line.board.hears
        line.board.hears = lambda data: hears(data).removesuffix(b"\x01")  # its credit gets lost
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(line.repl.run(LONG), 0.02)
        line.board.hears = hears
        assert await line.repl.enter()
        assert await line.repl.run(LONG) == "600"

    run(talk())


@pytest.mark.parametrize("lost", [1, 3, 4, 20, 22, 23, 50])
def test_a_board_that_is_just_starting_loses_what_it_is_told_and_is_asked_again(run, hurry, lost):
    async def talk():
        line = Line(Board())
        hears, told = line.board.hears, bytearray()

        def starts(data):
            told.extend(data)
            return hears(bytes(told[max(lost, len(told) - len(data)) :]))

        line.board.hears = starts
        await line.repl.enter()
        assert await line.repl.run("print(1)") == "1"

    run(talk())


def test_a_board_that_hears_it_all_late_and_in_pieces_is_waited_for(run, hurry):
    async def talk():
        line = Line(Board())
        hears, told, starts = line.board.hears, asyncio.Queue(), asyncio.Event()

        def keeps(data):
            told.put_nowait(data)
            if told.qsize() == 3:
                starts.set()
            return b""

        async def works():
            await starts.wait()
            while True:
                line.brings(hears(await told.get()))
                await asyncio.sleep(0.005)  # it is slow, too

        line.board.hears = keeps
        working = asyncio.ensure_future(works())
        await line.repl.enter()
        for number in range(10):
            assert await line.repl.run(f"print({number})") == str(number), "what was under way has harmed it"
        working.cancel()

    run(talk())


@pytest.mark.parametrize("paste", PASTES)
def test_a_program_of_which_the_end_is_lost_is_given_up_at_once(run, monkeypatch, paste):
    async def talk():
        line = Line(Board(paste))
        await line.repl.enter()
        with monkeypatch.context() as hurry, pytest.raises(Astray, match="the board does not take a program"):
            hurry.setattr(repl, "TAKEN", 0.01)
            await line.repl.run("lost")
        assert await line.repl.enter()
        assert await line.repl.run("print(1)") == "1"

    run(talk())


@pytest.mark.parametrize("paste", ["R0", "none"])
def test_a_program_of_which_only_the_end_is_heard_has_started_the_board_anew(run, paste):
    async def talk():
        line = Line(Board(paste))
        await line.repl.enter()
        await line.repl.run("x = 1")
        hears = line.board.hears
        line.board.hears = lambda data: b"" if data == b"print(x)" else hears(data)
        with pytest.raises(Restarted):
            await line.repl.run("print(x)")

    run(talk())


@pytest.mark.parametrize("step", [1, 4096])
@pytest.mark.parametrize("paste", PASTES)
@pytest.mark.parametrize("reset", ["crash", "soft"])
def test_a_reset_in_a_program_is_seen_at_once(run, reset, paste, step):
    async def talk():
        line = Line(Board(paste), step)
        await line.repl.enter()
        with pytest.raises(Restarted, match="the board has started anew"):
            await line.repl.run(reset)
        await line.repl.enter()
        assert await line.repl.run("print(1)") == "1"

    run(talk())


@pytest.mark.parametrize("step", [1, 4096])
def test_a_board_that_was_reset_meanwhile_is_told_from_one_that_was_not(run, step):
    async def talk():
        line = Line(Board(), step)
        await line.repl.enter()
        with pytest.raises(ReplError, match=r"the board says '==' in place of its prompt"):
            line.board.reset()
            hears = line.board.hears
            line.board.hears = lambda data: b"=== A"
            await line.repl.run("print(1)")
        line.board.hears = hears
        assert not await line.repl.enter()
        assert await line.repl.enter(), "it is news once"

    run(talk())


@pytest.mark.parametrize("step", [1, 4096])
@pytest.mark.parametrize("start", [BANNER, b"MPY: soft reboot\r\n" + READY])
def test_a_reset_while_nobody_asks_is_seen(run, start, step):
    async def talk():
        line = Line(Board(), step)
        await line.repl.enter()
        line.brings(b"a timer says 42\r\n> >\r\n")
        await until(lambda: not line._coming)
        assert not line.repl.restarted
        line.brings(start)
        await until(lambda: line.repl.restarted)

    run(talk())


def test_what_a_timer_prints_between_programs_is_none_of_the_next_ones(run):
    async def talk():
        line = Line(Board())
        await line.repl.enter()
        line.repl.feed(1000 * b"tick\r\n")
        assert len(line.repl._heard) < 100
        assert await line.repl.run("print(1)") == "1"

    run(talk())


def test_more_output_than_a_reading_has_is_refused(run):
    async def talk():
        line = Line(Board())
        await line.repl.enter()
        with pytest.raises(ReplError, match="it prints more than 4096 bytes"):
            await line.repl.run("flood")
        assert await line.repl.enter()
        assert await line.repl.run("print(1)") == "1"

    run(talk())


def test_noise_before_the_prompt_takes_no_memory(run):
    async def talk():
        line = Repl(lambda data: None)
        entering = asyncio.ensure_future(line.enter())
        for _ in range(100):
            line.feed(1000 * b"#!")
            await asyncio.sleep(0)
        assert len(line._heard) < 100
        entering.cancel()

    run(talk())


def test_an_answer_that_is_none_of_a_raw_repl_is_said(run):
    async def talk():
        sent = []
        line = Repl(sent.append)
        line._pastes = False
        work = asyncio.ensure_future(line.run("1"))
        await until(lambda: sent[-1:] == [repl.END])
        line.feed(b"\xff\x00")
        with pytest.raises(ReplError, match=r"the board says '\\xff\\x00' in place of OK"):
            await work

    run(talk())


def test_who_waits_hears_that_the_board_is_gone(run):
    async def talk():
        line = Repl(lambda data: None)
        for work in (line.enter(), line.run("1")):
            waiting = asyncio.ensure_future(work)
            await asyncio.sleep(0)
            line.end("USB cable gone")
            with pytest.raises(ReplError, match="USB cable gone"):
                await waiting

    run(talk())


def test_leaving_stops_what_runs_and_resets_only_when_asked(run):
    async def talk():
        for reset in (False, True):
            line = Line(Board("none"))
            await line.repl.enter()
            running = asyncio.ensure_future(line.repl.run("hang"))
            while line.board.mode != "hanging":
                await asyncio.sleep(0)
            running.cancel()
            line.repl.leave(reset)
            assert line.board.mode == "friendly"
            assert line.board.resets == reset
            await until(lambda line=line: not line._coming)
            assert not line.repl.restarted, "that was us"

    run(talk())
