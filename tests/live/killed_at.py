"""Runs hobnode, and ends it by SIGKILL just before or just after its Nth commit: these are all that a disk can know.

`python -m tests.live.killed_at before 7 python -m node run --config FILE`
"""

import os
import signal
import sys

from node.cli import main
from node.hub import store


def die_at(moment: str, number: int) -> None:
    commit = store.commit
    done = 0

    def counted(connection):
        nonlocal done
        done += 1
        if done == number and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if done == number and moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    store.commit = counted


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[sys.argv.index("node") + 1 :]))
