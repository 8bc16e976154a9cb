"""From a clean clone to a serving node with nothing but Python: `python3 -m node.install up`.

Makes `.venv` beside this package, puts hobnode and what it needs into it, and becomes `.venv/bin/hobnode`
with the words that follow. What the drivers and gateways of the configuration need comes along. The second time it
only looks whether that or the sources have changed. Uses the standard library alone, and parses on a Python that is
too old, so that it can say so.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
ENVIRONMENT = CLONE / ".venv"
OLDEST, TOO_NEW = (3, 11), (3, 14)
WAIT = 1800  # seconds: a Pi Zero on a slow line takes a quarter of an hour


class Trouble(Exception):
    """What the person at the keyboard has to do, in words."""


def main(arguments):
    """Install if anything has changed, then become `hobnode ARGUMENTS`; returns only if that fails, 2."""
    try:
        check_python(sys.version_info[:2])
        wanted = extras(configuration(arguments))
        if is_installed(wanted):
            say("nothing has changed since the last installation")
        else:
            install(wanted)
    except Trouble as trouble:
        print(f"hobnode: {trouble}", file=sys.stderr)
        return 2
    command = str(ENVIRONMENT / "bin" / "hobnode")
    sys.stdout.flush()
    return os.execv(command, [command, *arguments])


def check_python(version):
    """Say which Python to use if it is not this one; `version` is (major, minor)."""
    if not OLDEST <= version < TOO_NEW:
        raise Trouble(
            f"Python {version[0]}.{version[1]} does not do: 3.11, 3.12 or 3.13 is needed"
            " (Debian 12, Raspberry Pi OS Bookworm or newer have one)"
        )


def configuration(arguments):
    """The file that `hobnode ARGUMENTS` will read."""
    from node.cli import place  # which a Python that is too old could not load

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", default=place.data())
    parser.add_argument("--config")
    said = parser.parse_known_args(arguments)[0]
    return Path(said.config or os.path.join(said.data, place.FILE))


def extras(file):
    """The optional parts of pyproject.toml that a configuration needs: they are called as its drivers and gateways."""
    try:
        said = toml(file)
        names = set(said.get("gateway", {}))
        for thing in said.get("thing", {}).values():
            board = toml(CLONE / "boards" / thing.get("board", "") / "board.toml")
            names |= {thing.get("driver"), board.get("driver")}
        known = toml(CLONE / "pyproject.toml").get("project", {}).get("optional-dependencies", {})
        return sorted(names.intersection(known))
    except (AttributeError, TypeError, ValueError):
        return []  # hobnode itself says what is wrong in its file


def toml(file):
    """What a file says; nothing if there is none."""
    import tomllib  # since Python 3.11

    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def is_installed(wanted):
    """Whether the environment has these sources, and all of the `wanted` extras."""
    if not stamp_file().exists():
        return False
    sources, *had = stamp_file().read_text().split()
    return sources == fingerprint(CLONE) and set(wanted) <= set(had)


def install(wanted):
    """Put this clone into its environment, with the extras `wanted` and those that another configuration has wanted.

    One that works is not taken apart: it goes on as it was where there is no way to the internet.
    """
    if works():
        wanted = sorted({*wanted, *stamp_file().read_text().split()[1:]})
    else:
        make_environment()
    say("fetching what hobnode needs (a few minutes on a small machine)")
    pip = [python(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # A copy, not a link to the clone: pip compiles it, and without .pyc files the node is 4 MiB larger.
    clone = f"{CLONE}[{','.join(wanted)}]" if wanted else str(CLONE)
    run([*pip, clone], "the packages could not be fetched: is there a way to the internet?")
    stamp_file().write_text(" ".join([fingerprint(CLONE), *wanted]))


def works():
    """Whether there is a whole environment, and its Python is still there."""
    if not stamp_file().exists():
        return False
    try:
        done = subprocess.run([python(), "-c", "import pip"], capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return done.returncode == 0


def make_environment():
    """Anew, with nothing in it."""
    if not can_make_environments():
        add_debian_package("python3-venv")
    say(f"making {ENVIRONMENT}")
    stamp_file().unlink(missing_ok=True)
    run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], "the environment could not be made")


def python():
    """The environment's own."""
    return str(ENVIRONMENT / "bin" / "python")


def can_make_environments():
    """Debian's python3 has the module venv, but without python3-venv it lacks ensurepip."""
    done = subprocess.run(
        [sys.executable, "-c", "import venv, ensurepip"], capture_output=True, timeout=60, check=False
    )
    return done.returncode == 0


def add_debian_package(name):
    """Have apt install `name`: as root, or by sudo, which may ask for a password."""
    by_hand = f"Python's venv module is missing; type: sudo apt install {name}"
    if shutil.which("apt-get") is None:
        raise Trouble("Python's venv and ensurepip are missing: install them with your system's packages")
    if os.geteuid() == 0:
        before = []
    elif shutil.which("sudo"):
        before = ["sudo"]
    else:
        raise Trouble(by_hand.replace("sudo ", "") + " (as root)")
    say(f"installing Debian's package {name}")
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*before, *environment, "apt-get", "--quiet", "update"], by_hand, quiet=True)
    run(
        [*before, *environment, "apt-get", "--quiet", "install", "-y", "--no-install-recommends", name],
        by_hand,
        quiet=True,
    )


def fingerprint(clone):
    """One hash of the names, sizes and times of all that is installed."""
    found = hashlib.sha256(sys.version.encode())
    files = [clone / "pyproject.toml"]
    for folder in ("node", "boards"):
        files += sorted(path for path in (clone / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
    for path in files:
        status = path.stat()
        found.update(f"{path.relative_to(clone)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return found.hexdigest()


def stamp_file():
    return ENVIRONMENT / "installed"


def run(command, trouble, quiet=False):
    """Run `command`; when it fails show what it printed and raise `trouble`."""
    output = subprocess.PIPE if quiet else None
    try:
        done = subprocess.run(
            command, timeout=WAIT, stdout=output, stderr=subprocess.STDOUT if quiet else None, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"{trouble} ({error})") from error
    if done.returncode:
        if quiet:
            sys.stderr.write(done.stdout.decode(errors="replace"))
        raise Trouble(trouble)


def say(text):
    print(f"hobnode: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
