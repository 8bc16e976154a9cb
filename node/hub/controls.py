"""What a control can be set to: the normal form of a value, and in words what is wanted."""

import re
from decimal import Decimal

from node.hub.driver import Control

TEXT_LIMIT = 1024  # characters of a string value

_INTEGER = re.compile(r"[+-]?\d{1,18}\Z")
_QUANTITY = re.compile(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})\Z")
_COLOR = re.compile(r"[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?\Z")
_BOOLEANS = {"true": "true", "1": "true", "false": "false", "0": "false"}


def normal(control: Control, text: str) -> str | None:
    """The value in its normal form, None when the control cannot have it."""
    if control.type == "boolean":
        return _BOOLEANS.get(text)
    if control.type == "enum":
        return text if text in control.options else None
    if control.type == "color":
        return text.upper() if _COLOR.match(text) else None
    if control.type == "string":
        return text if len(text) <= TEXT_LIMIT else None
    if not (_INTEGER if control.type == "integer" else _QUANTITY).match(text):
        return None
    number = Decimal(text)
    low = control.minimum is not None and number < control.minimum
    high = control.maximum is not None and number > control.maximum
    if low or high:
        return None
    return str(int(text)) if control.type == "integer" else text


def wanted(control: Control) -> str:
    """What the control can have, in words."""
    if control.type == "boolean":
        return "true or false."
    if control.type == "enum":
        return f"one of {', '.join(control.options)}."
    if control.type == "color":
        return "a colour as RRGGBB."
    if control.type == "string":
        return f"a text of at most {TEXT_LIMIT} characters."
    what = "a whole number" if control.type == "integer" else "a number"
    if control.minimum is not None and control.maximum is not None:
        return f"{what} from {control.minimum} to {control.maximum}."
    if control.minimum is not None:
        return f"{what}, {control.minimum} or more."
    if control.maximum is not None:
        return f"{what}, {control.maximum} or less."
    return f"{what}."
