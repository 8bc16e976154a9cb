"""The service file: systemd itself judges it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SERVICE = Path(__file__).parent.parent / "systemd" / "hobnode.service"
LIMIT = 2.0  # of 10; systemd's own services score between 1 and 9


@pytest.fixture(scope="module")
def analyze():
    tool = shutil.which("systemd-analyze")
    assert tool, "install the Debian package systemd: it brings systemd-analyze"

    def run(*words):
        command = [tool, *words, str(SERVICE)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    return run


def test_the_service_is_exposed_little(analyze):
    done = analyze("security", "--offline=true", "--no-pager")
    found = re.search(r"Overall exposure level for hobnode\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= LIMIT


def test_systemd_understands_every_line(analyze):
    done = analyze("verify", "--man=no")
    said = [line for line in done.stderr.splitlines() if "hobnode.service" in line]
    # hobnode is not installed on the machine that tests
    assert [line for line in said if "is not executable" not in line] == []


def test_it_is_ready_and_alive_only_when_it_says_so():
    text = SERVICE.read_text()
    assert "Type=notify" in text
    assert "WatchdogSec=" in text
    assert "DynamicUser=yes" in text
