"""Lines out of bytes that come in any pieces, none longer than memory allows."""

LINE = 1024  # bytes: a reading of forty fields fits; what is longer is noise, and must not fill our memory


class Lines:
    """Cuts what comes at its line ends: `\\n`, a `\\r` before it is let be."""

    __slots__ = ("_rest", "_skipping", "limit")

    def __init__(self, limit: int = LINE):
        self.limit = limit  # bytes of a line, its end not counted
        self._rest = b""
        self._skipping = False  # the end of a line that is too long has not come yet

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that are whole by now; None in the place of one that is too long, told when that is known."""
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[bytes | None] = []
        for line in whole:
            if self._skipping:
                self._skipping = False
            else:
                lines.append(line.removesuffix(b"\r") if len(line) <= self.limit else None)
        if len(rest) > self.limit:
            rest = b""
            if not self._skipping:
                self._skipping = True
                lines.append(None)
        self._rest = rest
        return lines
