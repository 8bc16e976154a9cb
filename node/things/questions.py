"""A control as a question of a form (XEP-0004), with its type and range (XEP-0122)."""

from node.base import form
from node.base.element import Element
from node.hub.driver import Control
from node.hub.thing import Thing
from node.things import words

DATATYPES = {"integer": "xs:long", "quantity": "xs:double", "boolean": "xs:boolean"}
INT = 2**31  # what fits an xs:int, which most clients have an element for
TYPES = {"boolean": "boolean", "enum": "list-single"}


def question(thing: Thing, control: Control, not_same: bool = False) -> Element:
    """Asks for a value of `control`, and shows the one that it has.

    `not_same` (XEP-0336): what is shown is no answer until the user changes it.
    """
    reading = thing.readings.get(control.name)
    label = words.title(control)
    return form.field(
        control.name,
        *([reading.value] if reading else []),
        type=TYPES.get(control.type, "text-single"),
        label=f"{label} ({control.unit})" if control.unit else label,
        options=control.options,
        datatype=datatype(control),
        minimum=None if control.minimum is None else str(control.minimum),
        maximum=None if control.maximum is None else str(control.maximum),
        not_same=not_same,
    )


def datatype(control):
    bounds = control.minimum, control.maximum
    if control.type == "integer" and None not in bounds and min(bounds) >= -INT and max(bounds) < INT:
        return "xs:int"
    return DATATYPES.get(control.type, "xs:string")
