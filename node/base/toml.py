"""TOML, whose numbers keep their text. Its parser is let go again: a node reads its file once in months."""

import sys
from decimal import Decimal
from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Raises ValueError, as tomllib has it."""
    import tomllib

    return tomllib.loads(text, parse_float=Decimal)


def let_go() -> None:
    """Gives back the parser's memory, 0.1 MiB. When all files have been read: loading it takes some milliseconds."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tomllib"]:
        del sys.modules[name]
