"""A node that writes down what its streams are fed, behind all encryption: `tee.py FILE python -m node run ...`.

A line for each piece that came, in the order in which they came; an empty line between streams. A line feed inside a
piece is written as a space.
"""

import runpy
import sys
from pathlib import Path

from node.stream.framing import Framing


def main() -> None:
    file, (module, *words) = sys.argv[1], sys.argv[4:]
    streams: dict[Framing, list[bytes]] = {}
    feed = Framing.feed

    def teed(framing, data):
        streams.setdefault(framing, []).append(data.replace(b"\n", b" "))
        return feed(framing, data)

    Framing.feed = teed
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_bytes(b"\n\n".join(b"\n".join(pieces) for pieces in streams.values()) + b"\n")


if __name__ == "__main__":
    main()
