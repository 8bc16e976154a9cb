"""What a thing will have, as far as its configuration says: nobody reaches for the hardware."""

from typing import Any

from node.config import Thing
from node.drivers.linux.machine import Machine
from node.hub.driver import Field
from node.things.rules.mistakes import Known


def foreseen(thing: Thing, readings: list[dict[str, Any]]) -> Known:
    """What is known of it. `readings` are those that a running node tells of it, as `thing-list` does."""
    if thing.options is None:  # its driver cannot be loaded, which would know
        return Known(thing.name, None, None)
    driver = thing.make_driver()
    fields = {each.name: each for each in driver.fields}
    controls = {each.name: each for each in driver.controls}
    if thing.driver == "linux":
        fields = _of_linux(thing)
    read = {each["name"]: Field(each["name"], each.get("type", "")) for each in readings}
    # A board that speaks our protocol says itself what it has, and its profile may not know its firmware.
    itself = thing.driver == "line" and thing.options.format == "json"
    name = f"{thing.name}, as it is declared," if itself else thing.name
    return Known(name, read | fields if fields else None, None if itself and not controls else controls)


def _of_linux(thing: Thing) -> dict[str, Field]:
    """The kernel says what this machine has without being asked for more than a look."""
    options, declared = thing.options, thing.declared
    machine = Machine(options.root, options.disk)
    machine.look()
    whole = options.machine or not (declared.fields or declared.controls)
    fields = dict(machine.fields) if whole else {}
    for each in declared.fields:
        place = options.fields.get(each.name)
        type = place.sensor(options.root).kind.type if place else machine.fields.get(each.name, each).type
        fields[each.name] = each._replace(type=type)
    for control in declared.controls:
        fields.setdefault(control.name, Field(control.name, control.type))
    for name in (*options.fields, *options.controls) if len(fields) > 1 else ():
        fields[f"{name}_fault"] = Field(f"{name}_fault", "boolean")
    return fields
