"""Writes pairs of rows as fast as it can, and prints the number of each that is promised, until killed."""

import asyncio
import sys
from pathlib import Path

from node.hub.store import Store


async def write_on(folder: Path) -> None:
    database = Store(folder, asyncio.get_running_loop()).archive
    database.schema("crash", "CREATE TABLE pair (number INTEGER, half INTEGER, PRIMARY KEY (number, half))")
    ((begun,),) = database.read("SELECT ifnull(max(number), 0) FROM pair")
    number = begun
    while True:
        mine = range(number + 1, number + 6)
        for number in mine:
            database.write_all(("INSERT INTO pair VALUES (?, ?)", (number, half)) for half in (1, 2))
        kept = database.committed()
        number += 1
        database.write("INSERT INTO pair VALUES (?, 1)", (number,))  # not promised: may be there or not
        database.write("INSERT INTO pair VALUES (?, 2)", (number,))
        await kept
        print(*mine, flush=True)


if __name__ == "__main__":
    asyncio.run(write_on(Path(sys.argv[1])))
