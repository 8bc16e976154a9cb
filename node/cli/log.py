"""The log: one line per event on stderr, for the person with the broken lamp."""

import logging
import os
import sys

# security: names and texts of strangers are in these lines; they must not make them long or start new ones
LIMIT = 320  # characters; the fingerprint of a peer, who has an address and names, ends after some 280
ERROR_LIMIT = 500  # characters; our own words, which end with what is to be done about it
DEBUG_LIMIT = 2000  # characters; on request
_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # sd-daemon(3)


def start(level: int) -> None:
    """Send everything of `level` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(journal=is_the_journal(sys.stderr)))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def arguments(parser) -> None:
    """The options --quiet and --debug; `level` reads them."""
    parser.add_argument("-q", "--quiet", action="store_true", help="log only what somebody should act on")
    parser.add_argument("--debug", action="store_true", help="log everything, also strangers who come and go")


def level(given) -> int:
    if given.debug:
        return logging.DEBUG
    return logging.WARNING if given.quiet else logging.INFO


class _Lines(logging.Formatter):
    """`2026-11-22 14:02:11 warning: text`; the journal stamps and sorts its lines itself."""

    def __init__(self, journal: bool):
        super().__init__(datefmt="%Y-%m-%d %H:%M:%S")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        limit = {logging.DEBUG: DEBUG_LIMIT, logging.ERROR: ERROR_LIMIT}.get(record.levelno, LIMIT)
        text = escaped(record.getMessage(), limit)
        if self._journal:
            start = f"<{_PRIORITY.get(record.levelname, 6)}>"
        else:
            start = f"{self.formatTime(record, self.datefmt)} {record.levelname.lower()}: "
        if record.exc_info:  # a bug of ours: where it is, in the lines that follow
            trace = self.formatException(record.exc_info).splitlines()
            continued = start if self._journal else "    "
            text = "\n".join([text, *(continued + escaped(line, DEBUG_LIMIT) for line in trace)])
        return start + text


def escaped(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, with control and direction characters spelt out."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)
    return shown if max(len(shown), len(text)) <= limit else shown[: limit - 1] + "…"


def is_the_journal(stream) -> bool:
    """Whether systemd connected this stream to its journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
