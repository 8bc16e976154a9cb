"""The administrator's door: one question, one answer, and nothing that keeps it open for long."""

import asyncio
import json
import os
import socket
import stat

import pytest

from node.ports import control
from node.ports.control import Control, NotRunning, Refused, ask


async def echo(request):
    return {"heard": request["text"]}


async def refuse(request):
    raise Refused("there is no user romeo@home.example")


async def fail(request):
    raise KeyError("a bug")


async def never(request):
    await asyncio.Event().wait()


HANDLERS = {"echo": echo, "refuse": refuse, "fail": fail, "never": never}


def with_the_door_open(folder, visit):
    """Open the door in `folder`, run `visit` in a thread, close it again; returns what `visit` returned."""

    async def serve():
        door = Control(folder, HANDLERS)
        await door.open()
        try:
            return await asyncio.to_thread(visit)
        finally:
            await door.close()

    return asyncio.run(serve())


def raw(folder, data: bytes) -> dict:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(str(folder / "control"))
        asking.sendall(data)
        return json.loads(asking.makefile().readline() or '{"hung up": true}')


def test_a_question_is_answered(tmp_path):
    answer = with_the_door_open(tmp_path, lambda: ask(tmp_path, "echo", text="grüß\nGott"))
    assert answer == {"heard": "grüß\nGott"}


def test_a_refusal_comes_with_its_reason(tmp_path):
    with pytest.raises(Refused, match="there is no user romeo"):
        with_the_door_open(tmp_path, lambda: ask(tmp_path, "refuse"))


def test_a_bug_is_logged_and_the_door_stays_open(tmp_path, caplog):
    def visit():
        with pytest.raises(Refused, match="the node's log says how"):
            ask(tmp_path, "fail")
        return ask(tmp_path, "echo", text="still here")

    assert with_the_door_open(tmp_path, visit) == {"heard": "still here"}
    assert "control: fail failed" in caplog.text


@pytest.mark.parametrize("line", [b"[]\n", b"null\n", b"not json\n", b'{"do": "dance"}\n', b'{"do": []}\n', b"\n"])
def test_what_is_no_question_is_told_so(tmp_path, line):
    assert "does not know that request" in with_the_door_open(tmp_path, lambda: raw(tmp_path, line))["error"]


def test_an_endless_line_is_hung_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "LINE_LIMIT", 100)
    assert with_the_door_open(tmp_path, lambda: raw(tmp_path, b"x" * 1000)) == {"hung up": True}


def test_a_silent_visitor_and_a_slow_handler_are_hung_up_on(tmp_path, monkeypatch):
    monkeypatch.setattr(control, "DEADLINE", 0.05)
    assert with_the_door_open(tmp_path, lambda: raw(tmp_path, b"")) == {"hung up": True}
    assert with_the_door_open(tmp_path, lambda: raw(tmp_path, b'{"do": "never"}\n')) == {"hung up": True}


def test_only_the_owner_may_come_in(tmp_path):
    mode = with_the_door_open(tmp_path, lambda: os.stat(tmp_path / "control").st_mode)
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_the_door_is_found_however_deep_the_directory(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    assert with_the_door_open(deep, lambda: ask(deep, "echo", text="down here")) == {"heard": "down here"}


def test_a_door_left_behind_by_a_killed_node_is_replaced(tmp_path):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "control"))
    with pytest.raises(NotRunning):
        ask(tmp_path, "echo")
    assert with_the_door_open(tmp_path, lambda: ask(tmp_path, "echo", text="again")) == {"heard": "again"}
    assert not (tmp_path / "control").exists()


def test_a_file_that_is_no_door_is_left_alone(tmp_path):
    (tmp_path / "control").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        with_the_door_open(tmp_path, lambda: None)
    assert (tmp_path / "control").read_text() == "mine"


def test_no_node_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotRunning):
            ask(folder, "echo")
