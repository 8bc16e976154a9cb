"""XEP-0004 and XEP-0122: data forms, built and read, with the types and ranges of their answers."""

import re
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal

from node.base.element import E, Element
from node.base.stamp import parse as parse_stamp

NS = "jabber:x:data"
VALIDATE = "http://jabber.org/protocol/xdata-validate"
DYNAMIC = "urn:xmpp:xdata:dynamic"  # XEP-0336

# XML Schema part 2: the bounded integers; xs:integer has no bounds.
INTEGERS = {
    "xs:byte": (-(2**7), 2**7 - 1),
    "xs:short": (-(2**15), 2**15 - 1),
    "xs:int": (-(2**31), 2**31 - 1),
    "xs:long": (-(2**63), 2**63 - 1),
    "xs:integer": (None, None),
}
# 64 digits: a double has 17, a long 19; longer ones only cost time to convert.
NUMBER = re.compile(r"[+-]?(?=[.0-9])[0-9]{0,64}(\.[0-9]{0,64})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
INTEGER = re.compile(r"[+-]?[0-9]{1,64}", re.ASCII)
TRUE, FALSE = ("1", "true"), ("0", "false")


class FormError(ValueError):
    """An answer that the form does not allow: which field, and why in words."""

    def __init__(self, var, text):
        super().__init__(f"{var}: {text}" if var else text)
        self.var = var
        self.text = text


def field(
    var: str,
    *values: str,
    type: str = "text-single",
    label: str | None = None,
    desc: str | None = None,
    options: tuple[str | tuple[str, str], ...] = (),
    required: bool = False,
    datatype: str | None = None,
    minimum: str | None = None,
    maximum: str | None = None,
    not_same: bool = False,
) -> Element:
    """One question of a form.

    `type` is a field type of XEP-0004 §3.3; `options` are values or (value, label) pairs;
    `datatype`, `minimum` and `maximum` are those of XEP-0122, as text. `not_same` adds the mark of
    XEP-0336: the value shown is not an answer until the user changes it.
    """
    return E(
        "field",
        NS,
        E("desc", NS, desc) if desc else None,
        E("required", NS) if required else None,
        *(E("value", NS, value) for value in values),
        *(option(each) for each in options),
        validation(datatype, minimum, maximum) if datatype else None,
        E("notSame", DYNAMIC) if not_same else None,
        var=var,
        type=type,
        label=label,
    )


def option(each):
    value, label = each if isinstance(each, tuple) else (each, each)  # Profanity shows a missing label as "(null)"
    return E("option", NS, E("value", NS, value), label=label)


def validation(datatype, minimum, maximum):
    # XEP-0122 §3.2: exactly one method; basic where there is no range
    ranged = minimum is not None or maximum is not None
    method = E("range", VALIDATE, min=minimum, max=maximum) if ranged else E("basic", VALIDATE)
    return E("validate", VALIDATE, method, datatype=datatype)


def form(*fields: Element, type: str = "form", title: str | None = None, instructions: str | None = None) -> Element:
    """A form around `fields`: to fill in (`form`), filled in (`submit`) or an answer (`result`)."""
    return E(
        "x",
        NS,
        E("title", NS, title) if title else None,
        E("instructions", NS, instructions) if instructions else None,
        *fields,
        type=type,
    )


def table(columns: Sequence[tuple[str, str]], rows: Sequence[tuple[str, ...]], title: str | None = None) -> Element:
    """A result with many items: `columns` are (var, label), each row has a text per column."""
    return E(
        "x",
        NS,
        E("title", NS, title) if title else None,
        E(
            "reported",
            NS,
            *(E("field", NS, var=var, label=label, type="text-single") for var, label in columns),
        ),
        *(
            E(
                "item",
                NS,
                *(E("field", NS, E("value", NS, text), var=var) for (var, _), text in zip(columns, row, strict=True)),
            )
            for row in rows
        ),
        type="result",
    )


def values(x: Element) -> dict[str, list[str]]:
    """What stands in a form, by field, in the order of the form; fields without a name are passed over."""
    found: dict[str, list[str]] = {}
    for each in x.findall("field"):
        var = each.get("var")
        if var is not None:
            found[var] = [value.text for value in each.findall("value")]
    return found


def read(submitted: Element, asked: Element) -> dict[str, list[str]]:
    """The checked answers to the form `asked`, in the order in which they were given.

    Booleans become 'true' or 'false'. What was not asked is passed over, what was left out is left out
    (XEP-0004 §3.1, §3.5). Raises FormError for the first answer that is missing or not allowed.
    """
    given = values(submitted)
    questions = {each.get("var") or "": each for each in asked.findall("field")}
    for var, question in questions.items():
        if question.find("required") is not None and not any(text.strip() for text in given.get(var, ())):
            raise FormError(var, "is required.")
    return {var: answers(questions[var], texts) for var, texts in given.items() if var in questions}


def answers(question, texts):
    var, type = question.get("var"), question.get("type") or "text-single"
    rule = question.find("validate", VALIDATE)
    datatype = (rule.get("datatype") if rule is not None else None) or "xs:string"
    if type == "boolean":
        datatype = "xs:boolean"
    if len(texts) > 1 and not type.endswith("-multi") and type != "hidden":
        raise FormError(var, "takes one value.")
    if type.startswith("list-") or datatype in CONVERT or datatype == "xs:boolean":
        texts = [text for text in texts if text.strip()]  # XEP-0004 §3.6: an empty value is one way to give none
    if type.startswith("list-") and (rule is None or rule.find("open") is None):
        allowed = {each.find("value").text for each in question.findall("option")}
        for text in texts:
            if text not in allowed:
                raise FormError(var, f"{text[:60]!r} is not one of the choices.")
    bounds = rule.find("range") if rule is not None else None
    low, high = (bounds.get("min"), bounds.get("max")) if bounds is not None else (None, None)
    return [check(text, datatype, low, high, var=var) for text in texts]


def check(
    text: str,
    datatype: str,
    minimum: str | None = None,
    maximum: str | None = None,
    var: str = "",
) -> str:
    """`text` if it is a value of this datatype within these bounds; booleans are made 'true' or 'false'.

    Datatypes are those of XEP-0122 §6.2; one that is not known is text. Raises FormError, in words.
    """
    if datatype == "xs:boolean":
        return "true" if boolean(text, var) else "false"
    convert = CONVERT.get(datatype)
    if convert is None:
        return text
    try:
        value = convert(text.strip())
        low = None if minimum is None else convert(minimum)
        high = None if maximum is None else convert(maximum)
    except (ValueError, ArithmeticError):
        raise FormError(var, f"must be {WORDS.get(datatype, 'a whole number')}.") from None
    first, last = INTEGERS.get(datatype, (None, None))
    low, high = (first if low is None else low), (last if high is None else high)
    if (low is not None and value < low) or (high is not None and value > high):
        raise FormError(
            var, within(minimum if minimum is not None else first, maximum if maximum is not None else last)
        )
    return text.strip()


def within(low, high):
    if high is None:
        return f"must be {low} or more."
    return f"must be {high} or less." if low is None else f"must be {low}–{high}."


def boolean(text: str, var: str = "") -> bool:
    """XEP-0004 §3.3: `1` and `true`, `0` and `false`; FormError for anything else."""
    text = text.strip()
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise FormError(var, "must be true or false.")


def integer(text):
    if not INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def number(text):
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


CONVERT = {
    **dict.fromkeys(INTEGERS, integer),
    "xs:decimal": number,
    "xs:double": number,
    "xs:date": date.fromisoformat,
    "xs:time": time.fromisoformat,
    "xs:dateTime": parse_stamp,
}
WORDS = {
    "xs:decimal": "a number",
    "xs:double": "a number",
    "xs:date": "a date like 2026-11-22",
    "xs:time": "a time like 14:02:11",
    "xs:dateTime": "a time stamp like 2026-11-22T14:02:11Z",
}
