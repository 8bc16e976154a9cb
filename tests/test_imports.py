"""The import budget: what an idle node has loaded is memory, so nothing gets in unseen."""

import subprocess
import sys

import pytest

from tests.test_floors import CLONE

# What the interpreter has loaded with these is the ground that everything stands on (design: dependencies).
GROUND = "asyncio ssl sqlite3 xml.parsers.expat logging dataclasses tomllib"
# What the node adds to it. Beside some: private memory in KiB (x86-64, Python 3.11), with what they import.
ALLOWED = {
    "node",  # 2100
    *("decimal", "numbers"),  # 120; values keep their decimal text
    "json",  # 70; the line protocol and the control door
    *("hashlib", "hmac", "secrets", "random", "bisect"),  # 80; logins
    *("glob", "fnmatch"),  # 20; the machine's sensors
    *("fcntl", "gc", "unicodedata"),
}
LOAD = """
import sys
import {ground}
before = {{name.partition(".")[0] for name in sys.modules}}
from node.cli import understood
import node.drivers.linux
understood(["run", "--config", "home.toml"])
from importlib import import_module
from node.app import FACES, FEATURES
for floor, names in (("features", FEATURES), ("things", FACES)):
    for name in names:
        import_module(f"node.{{floor}}.{{name}}")
after = {{name.partition(".")[0] for name in sys.modules}}
print(*sorted(name for name in after - before if not name.startswith("_")))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of an idle node without the ground, by their first name."""
    program = LOAD.format(ground=GROUND.replace(" ", ", "))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CLONE, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_an_idle_node_has_loaded_nothing_beyond_its_budget(loaded):
    assert sorted(loaded - set(ALLOWED)) == []


@pytest.mark.parametrize(
    "heavy",
    [
        *("aiodns", "cffi", "cryptography", "pycares", "segno", "serial", "precis_i18n", "idna"),
        *("argparse", "ctypes", "email", "gettext", "http", "ipaddress", "pathlib", "shutil", "unittest", "urllib"),
    ],
)
def test_a_library_stays_out_until_it_is_needed(loaded, heavy):
    assert heavy not in loaded
