"""Runs hobnode with a disk and a clock that a test spoils while it runs: SPOILT is JSON, looked at each time.

`python -m tests.live.faulty SPOILT python -m node run --config FILE`, where SPOILT may hold
    slow: seconds that every commit takes longer
    fails: how commits fail: the end of the name of an error of SQLite, "IOERR_FSYNC"
    done: that those commits are on disk all the same: after an fsync that failed nobody knows
    clock: seconds that the clock is ahead
"""

import json
import sqlite3
import sys
import time
from pathlib import Path

spoilt = Path(sys.argv[1])
right_time = time.time
time.time = lambda: right_time() + ask("clock", 0)  # before anybody takes it by its name


def ask(name, default):
    return json.loads(spoilt.read_text()).get(name, default)


def spoil_commits() -> None:
    from node.hub import store

    commit = store.commit

    def spoilt_commit(connection):
        time.sleep(ask("slow", 0))
        fails = ask("fails", "")
        if not fails or ask("done", False):
            commit(connection)
        if fails:
            error = sqlite3.OperationalError("what SQLite says")
            error.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{fails}")
            raise error

    store.commit = spoilt_commit


if __name__ == "__main__":
    spoil_commits()
    from node.cli import main

    sys.exit(main(sys.argv[sys.argv.index("node") + 1 :]))
