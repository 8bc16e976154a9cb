"""XEP-0359: the id under which a message lies in an archive, as clients see it.

A keyed permutation of the row's number: nobody can foresee the next one or learn from two of them how many lie
between (§6, XEP-0313 §3), and yet nothing is kept of it, since whoever has the key gets the number back.
"""

import re
from hashlib import blake2s

HALF = 32  # bits: an id has 64, 16 digits; one that another key has made is none of ours but once in 10^12 years
_IS_ID = re.compile(r"[0-9a-f]{16}\Z").match
_MASK = (1 << HALF) - 1
# Luby and Rackoff: after four rounds nobody can tell it from chance, from either side. What is hashed in one has this
# length, in bytes, so that no two are alike.
_ROUNDS = (4, 5, 6, 7)


class Ids:
    """A Feistel network. `key` is 32 bytes; `archive` is a number below 2^32: each archive has ids of its own."""

    def __init__(self, key: bytes):
        self._key = key

    def seal(self, archive: int, row: int) -> str:
        """The id of a row. 2 us."""
        key = self._key + archive.to_bytes(4, "big")
        left, right = row >> HALF, row & _MASK
        for size in _ROUNDS:
            shuffled = blake2s(key + right.to_bytes(size, "big"), digest_size=4).digest()
            left, right = right, left ^ int.from_bytes(shuffled, "big")
        return f"{left << HALF | right:016x}"

    def open(self, archive: int, id: str) -> int | None:
        """The row's number, or None for what is no id at all. What is one, but was never given, gives a number that no
        row has."""
        if not _IS_ID(id):
            return None
        key = self._key + archive.to_bytes(4, "big")
        left, right = int(id[:8], 16), int(id[8:], 16)
        for size in reversed(_ROUNDS):
            shuffled = blake2s(key + left.to_bytes(size, "big"), digest_size=4).digest()
            left, right = right ^ int.from_bytes(shuffled, "big"), left
        return left << HALF | right
