"""How the clients in Python are spoken to: a line of JSON is something to do, an answer to that, or news."""

import asyncio
import json
import sys


def known(entries: dict) -> dict:
    """Without those that are None."""
    return {key: value for key, value in entries.items() if value is not None}


def tells(**news) -> None:
    """Writes one line."""
    print(json.dumps(known(news)), flush=True)


async def obeys(client: object) -> None:
    """Does what is asked for, one after the other, with the methods of `client`, until nobody asks any more."""
    reader = asyncio.StreamReader(limit=1 << 22)  # bytes; longer than any line of a test
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        wanted = json.loads(line)
        number, does = wanted.pop("number"), getattr(client, wanted.pop("do"))
        try:
            tells(number=number, answer=await does(**wanted) or {})
        except Exception as error:  # whatever it is, the test hears it instead of waiting in vain
            tells(number=number, error=f"{type(error).__name__}: {error}")
