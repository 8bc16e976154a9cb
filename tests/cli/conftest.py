"""What the tests of the commands share: a home with its file, a node that serves it, one who types."""

import contextlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli import main

CLONE = Path(__file__).parents[2]
DEADLINE = 30  # seconds for a node to start or to stop

# No port is open: a test of commands is nobody's server.
QUIET = """\
domain = "home.example"
[listen]
client = 0
client_tls = 0
server = 0
"""


@pytest.fixture(autouse=True)
def log():
    """What a command sets up for its log is taken down again: it would be written to by all later tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def home(tmp_path) -> Path:
    """A configuration file in a directory of its own."""
    file = tmp_path / "home.toml"
    file.write_text(QUIET)
    return file


@pytest.fixture
def types(capsys, monkeypatch):
    """Types a command and tells what came: exit code, stdout, stderr."""

    def type_(*words, stdin: str | None = None):
        if stdin is not None:
            read, write = os.pipe()
            os.write(write, stdin.encode())
            os.close(write)
            monkeypatch.setattr(sys, "stdin", os.fdopen(read))
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # argparse
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return type_


@contextlib.contextmanager
def serving(*words, folder: Path, stderr: int = subprocess.PIPE, **environment):
    """A process `hobnode WORDS`, once it is ready as systemd would hear it; it is stopped at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"\0hobnode-test-{os.getpid()}-{id(manager)}"
        manager.bind(name)
        manager.settimeout(DEADLINE)
        process = subprocess.Popen(
            [sys.executable, "-m", "node", *map(str, words)],
            cwd=CLONE,
            env={**os.environ, "NOTIFY_SOCKET": f"@{name[1:]}", "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            told = manager.recv(4096).decode()
            assert "READY=1" in told
            yield process
        finally:
            process.terminate()
            out, err = process.communicate(timeout=DEADLINE)
            process.said, process.logged = out, err


def free_port(first: int) -> int:
    """A port that nobody listens on, from `first` on; below those that the kernel hands out."""
    for port in range(first, first + 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.9.1", port)):
            return port
    raise AssertionError(f"no port is free from {first} on")
