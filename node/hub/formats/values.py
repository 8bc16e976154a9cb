"""What a sensor may say of each type of field: texts in, texts out, "10.0" is not "10"."""

import re
from decimal import Decimal

TEXT = 1024  # characters of a reading in words; a status line shows 60

TRUE = frozenset({"true", "1", "on", "yes", "high"})
FALSE = frozenset({"false", "0", "off", "no", "low"})
NOTHING = frozenset({"", "nan", "null", "none", "n/a"})  # what boards print whose sensor does not answer

_INTEGER = re.compile(r"-?\d{1,18}\Z", re.ASCII)
_QUANTITY = re.compile(r"-?\d{1,18}(\.\d{1,18})?\Z", re.ASCII)
_LOOSE = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})([eE][+-]?[01]?\d)?\Z", re.ASCII)


def integer(text: str) -> str:
    """A whole number as it is spelled. Raises ValueError."""
    if _INTEGER.match(text):
        return str(text)
    raise ValueError(f"{text:.60} is no whole number")


def quantity(text: str) -> str:
    """A number as it is spelled, with all its decimals; 2.5e-05, +7 and .5 in plain digits. Raises ValueError."""
    if _QUANTITY.match(text):
        return str(text)
    if _LOOSE.match(text):
        return f"{Decimal(text):f}"
    raise ValueError(f"{text:.60} is no number, or out of all bounds")


def words(text: str) -> str:
    """What somebody says in words, fit for a log and for XML."""
    return "".join(mark if mark.isprintable() else " " for mark in text[:TEXT])


def value(text: str, type: str) -> str | None:
    """A reading of a field of that type, as it was printed; None when there is none just now. Raises ValueError."""
    if type not in ("boolean", "integer", "quantity"):
        return words(text)
    text = text.strip()
    if text.lower() in NOTHING:
        return None
    if type == "integer":
        return integer(text.removeprefix("+"))
    if type == "quantity":
        return quantity(text)
    if text.lower() in TRUE:
        return "true"
    if text.lower() in FALSE:
        return "false"
    raise ValueError(f"{text:.60} is neither true nor false")
