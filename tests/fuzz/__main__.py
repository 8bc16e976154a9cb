"""Fuzzing for as long as one likes: `python -m tests.fuzz --minutes 30`, and a failing input again: `... FILE`."""

import argparse
import ast
import resource
import secrets
import sys
import time
import traceback
from functools import partial
from itertools import count, cycle
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.fuzz.shrink import place, shrunk
from tests.fuzz.targets import TARGETS, case, check

SLICES = {"framing": 4.0, "house": 4.0}  # seconds at a time; 1 for the others, which have less in them
REPORT = 60  # seconds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a failing input, to try again")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same inputs")
    parser.add_argument("--only", choices=TARGETS, action="append", help="what to fuzz; may be given more than once")
    asked = parser.parse_args()
    if asked.file:
        name, failing = read(asked.file.read_text())
        check(name, failing)
        print(f"{name}: nothing is wrong any more")
        return 0
    seed = secrets.randbelow(1 << 32) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    return run(asked.only or list(TARGETS), seed, asked.minutes * 60)


def run(names: list[str], seed: int, seconds: float) -> int:
    """0 when nothing was found; each failing input is written to a file, once for each place that fails."""
    begun = told = time.monotonic()
    numbers = {name: count() for name in names}
    done = dict.fromkeys(names, 0)
    found: set[tuple] = set()
    for name in cycle(names):
        now = time.monotonic()
        if now - told >= REPORT or now - begun >= seconds:
            told = now
            counts = ", ".join(f"{each} {number}" for each, number in done.items())
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"{now - begun:.0f} s: {counts}; {len(found)} findings; at most {memory} MiB", flush=True)
        if now - begun >= seconds:
            break
        while time.monotonic() < now + min(SLICES.get(name, 1.0), seconds / len(names)):
            number = next(numbers[name])
            made = case(name, seed, number)
            done[name] += 1
            where = place(partial(check, name), made)
            if where is not None and where not in found:
                found.add(where)
                report(name, seed, number, made)
    return 1 if found else 0


def report(name: str, seed: int, number: int, failing: Any) -> None:
    smaller = shrunk(partial(check, name), failing)
    try:
        check(name, smaller)
        why = "it fails only sometimes"
    except Exception:
        why = traceback.format_exc()
    file = Path(mkdtemp(prefix="fuzz-")) / f"{name}-{seed}-{number}.txt"
    file.write_text(written(name, smaller, why))
    print(f"FOUND {file}\n{why}", flush=True)


def written(name: str, case: Any, why: str) -> str:
    comment = "".join(f"# {line}\n" for line in why.splitlines())
    parts = [f"    {part!r},\n" for part in case] if isinstance(case, list | tuple) else []
    begin, end = "[]" if isinstance(case, list) else "()"
    return f"{comment}{name}\n{begin}\n{''.join(parts)}{end}\n" if parts else f"{comment}{name}\n{case!r}\n"


def read(text: str) -> tuple[str, Any]:
    """The target and the case that were written."""
    name, _, case = "".join(line for line in text.splitlines(True) if not line.startswith("#")).partition("\n")
    return name, ast.literal_eval(case)


if __name__ == "__main__":
    sys.exit(main())
