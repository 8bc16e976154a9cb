"""The words that `hobnode` knows, and how it answers those it does not."""

import os
import subprocess
import sys

import pytest

from node import __version__
from node.cli import COMMANDS
from tests.cli.conftest import CLONE


def test_the_version_is_told(types):
    assert types("--version") == (0, f"hobnode {__version__}\n", "")


def test_help_names_every_command(types):
    code, out, _ = types("--help")
    assert code == 0
    assert all(f"    {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("words", [["dance"], [], ["user"], ["user", "add"], ["up", "--dta", "x"]])
def test_what_is_not_understood_is_a_mistake(types, words):
    code, _, err = types(*words)
    assert code == 2
    assert "hobnode" in err


@pytest.mark.parametrize(
    "words",
    [["run"], ["check"], ["thing", "list"], ["user", "list"], ["user", "remove", "a@b"]],
)
def test_a_missing_file_is_one_line_and_exit_code_2(types, tmp_path, words):
    code, out, err = types(*words, "--config", tmp_path / "none.toml")
    assert (code, out) == (2, "")
    assert err == f"{tmp_path}/none.toml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("words", [["board", "list"], ["--help"], ["check"], ["thing", "list"]])
def test_who_reads_no_further_is_not_told_about_it(words, home):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "node", *words, *(["--config", home] if words[0] in ("check", "thing") else [])]
    done = subprocess.run(command, cwd=CLONE, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert done.returncode == 141 or words == ["--help"]  # of which Python 3.12 makes nothing
    assert b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr


def test_it_is_a_module_too():
    command = [sys.executable, "-m", "node", "--version"]
    done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == f"hobnode {__version__}\n"
