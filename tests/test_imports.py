"""The import budget: what an idle node has loaded is memory, so nothing gets in unseen."""

import os
import socket
import subprocess
import sys

import pytest

from node.net import certificate
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


# What waits for its first use, and something that is there when it was loaded (base/later.py).
POSTPONED = {"inspect": "signature", "tokenize": "generate_tokens", "subprocess": "Popen", "json": "dumps"}
RUN = """
import sys
from node.cli import main
code = main(["run", "--config", sys.argv[1]])
print(*sorted(sys.modules))
print(*sorted(name for name, known in {postponed}.items() if known in vars(sys.modules[name])))
sys.exit(code)
"""
DEADLINE = 30  # seconds for a node to start or to stop


@pytest.fixture(scope="module")
def idle(tmp_path_factory) -> tuple[set[str], set[str]]:
    """All modules of a node that has served nobody, by their whole names, and of those that wait the loaded ones."""
    folder = tmp_path_factory.mktemp("idle")
    certificate.make("home.example", folder / "certificate.pem", folder / "key.pem")  # or it starts a process for that
    file = folder / "home.toml"
    file.write_text('domain = "home.example"\n[listen]\nclient = 0\nclient_tls = 0\nserver = 0\n')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"hobnode-idle-{os.getpid()}-{id(manager)}"
        manager.bind(f"\0{name}")
        manager.settimeout(DEADLINE)
        node = subprocess.Popen(
            [sys.executable, "-c", RUN.format(postponed=POSTPONED), file],
            cwd=CLONE,
            env={**os.environ, "NOTIFY_SOCKET": f"@{name}"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            while not manager.recv(1000).startswith(b"READY=1"):
                pass
        finally:
            node.terminate()
            said, _ = node.communicate(timeout=DEADLINE)
    assert node.returncode == 0
    modules, woken = said.split("\n")[:2]
    return set(modules.split()), set(woken.split())


@pytest.mark.parametrize("name", sorted(POSTPONED))
def test_what_is_postponed_still_waits_when_nothing_has_happened(idle, name):
    assert name not in idle[1]


@pytest.mark.parametrize(
    "name",
    [
        *("ast", "dis", "gettext", "json.decoder", "locale", "tomllib"),
        *("node.net.dns", "node.ports.dialback", "node.ports.link.incoming", "node.ports.link.outbox"),
        *("node.ports.link.outgoing", "node.ports.link.way"),
    ],
)
def test_a_module_is_not_there_before_it_is_needed(idle, name):
    assert name not in idle[0]
