"""The administrator's door on this machine: a socket in the data directory, one JSON line each way."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from node.base.path import Path

log = logging.getLogger("hobnode")

Handler = Callable[[dict[str, Any]], Awaitable[Any]]

NAME = "control"
LINE_LIMIT = 65536  # bytes; a list of 500 things with their readings fits
DEADLINE = 30.0  # seconds; a password's keys take 0.2 s on a Pi Zero, a slow card some seconds to commit
CLIENTS = 8  # at a time; an administrator has one or two


class Refused(Exception):
    """Why a request was not carried out, in words for the administrator."""


class NotRunning(Exception):
    """Nobody listens at the socket: the node is not running."""


class Control:
    """The open door. `handlers`: what may be asked → coroutine function from the request to a JSON value."""

    def __init__(self, folder: Path, handlers: Mapping[str, Handler]):
        self.path = folder / NAME
        self.handlers = handlers
        self._server: asyncio.Server | None = None
        self._clients = 0

    async def open(self) -> None:
        """Listen. Raises OSError; a file left behind by a node that was killed is replaced."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _reachable(self.path) as address:
                with contextlib.suppress(FileNotFoundError):
                    if stat.S_ISSOCK(os.lstat(self.path).st_mode):
                        os.unlink(self.path)
                os.fchmod(listening.fileno(), 0o600)  # before bind: for the owner alone from the first moment
                listening.bind(address)
            self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=LINE_LIMIT)
        except BaseException:
            listening.close()
            raise

    async def close(self) -> None:
        """Stop listening and take the file away."""
        if self._server:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > CLIENTS:
                answer: dict[str, Any] = {"error": "too many at this door at once; try again"}
            else:
                async with asyncio.timeout(DEADLINE):
                    line = await reader.readline()
                    if not line:
                        return  # `is_running` only knocks
                    answer = await self._answer(line)
            async with asyncio.timeout(DEADLINE):
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, ValueError, OSError) as error:  # ValueError: the line is longer than LINE_LIMIT
            log.info("control: a request was given up: %s", error or "it took too long")
        finally:
            self._clients -= 1
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self.handlers[request["do"]]
        except (ValueError, TypeError, KeyError):
            return {"error": "this node does not know that request; are node and command of one version?"}
        try:
            return {"ok": await handler(request)}
        except Refused as refused:
            return {"error": str(refused)}
        except Exception:
            log.exception("control: %s failed", request["do"])
            return {"error": "that went wrong; the node's log says how"}


def is_running(folder: Path) -> bool:
    """Whether a node serves on the data directory `folder`. Raises OSError if that is not for us to know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(DEADLINE)
        try:
            _connect(asking, folder)
        except NotRunning:
            return False
    return True


def ask(folder: Path, do: str, **arguments: Any) -> Any:
    """Ask the node that runs on the data directory `folder`, and wait for its answer.

    Raises NotRunning when there is none, Refused with the reason when it will not, OSError when it may not be
    asked (another user's node) or does not answer within `DEADLINE`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(DEADLINE)
        _connect(asking, folder)
        asking.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        with asking.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise Refused("the node hung up without an answer")
    answer = json.loads(line)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["ok"]


def _connect(asking: socket.socket, folder: Path) -> None:
    try:
        with _reachable(folder / NAME) as address:
            asking.connect(address)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(f"no node is running on {folder}") from error


@contextlib.contextmanager
def _reachable(path: Path):
    """`path` as an address for a socket: the kernel takes 107 bytes, and a directory may be deeper."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
