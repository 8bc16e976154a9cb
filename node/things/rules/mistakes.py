"""What a rule wants of our own things, and they do not have: a word misspelled, a value that is none."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from node.hub import controls
from node.hub.driver import Control, Field
from node.things import misnamed
from node.things.rules.rule import Rule, checked, plain, texts


class Known(NamedTuple):
    """What is known of a thing that nobody has reached: its fields and controls by name, None where nothing is."""

    name: str  # as it is called in what is said of it
    fields: Mapping[str, Field] | None
    controls: Mapping[str, Control] | None


def of_names(
    rules: Iterable[Rule], domain: str, people: Collection[str], things: Collection[str], all_of_them: bool
) -> Iterator[str]:
    """In words, which things and people of this node rules name that are not here: as `misnamed.mistakes`."""
    for number, rule in enumerate(rules, 1):
        title = titled(number, rule)
        for name in (rule.thing, *rule.set) if all_of_them else ():
            address = checked("thing", name, domain)
            if address.domain == domain and address.local not in things:
                yield f"{title}: there is no thing {address.local} here{misnamed.guess(address.local, things)}"
        for who in rule.tell:
            if misnamed.missing(who, domain, people):
                guess = misnamed.guess(checked("tell", who).local, people, domain)
                yield f"{title}: there is nobody {who} here{guess}"


def of_words(rules: Iterable[Rule], domain: str, things: Mapping[str, Known]) -> Iterator[str]:
    """In words, which fields, controls and values rules name that our things, by their localparts, do not have."""
    for number, rule in enumerate(rules, 1):
        source = checked("thing", rule.thing, domain)
        known = things.get(source.local) if source.domain == domain else None
        found = list(of_source(known.name, known.fields, rule)) if known and known.fields is not None else []
        for name, values in rule.set.items():
            target = checked("thing", name, domain)
            known = things.get(target.local) if target.domain == domain else None
            if known and known.controls is not None:
                found += of_target(known.name, known.controls, texts(values))
        for mistake in found:
            yield f"{titled(number, rule)}: {mistake}"


def titled(number: int, rule: Rule) -> str:
    """As the log calls it; of one without a name, with what it can be found by in the file."""
    return f"rule {rule.name}" if rule.name else f"rule {number} ({rule.condition})"


def of_source(thing: str, fields: Mapping[str, Field], rule: Rule) -> Iterator[str]:
    """In words, what is wrong with the condition, which may look at no field at all."""
    field = fields.get(rule.field)
    if field is None:
        if rule.field:
            yield f"{thing} has no field {rule.field!r}; {guess(rule.field, fields)}"
    elif rule.equals is not None and field.type in ("boolean", "quantity", "integer"):
        like = Control(field.name, "boolean" if field.type == "boolean" else "quantity")
        if controls.normal(like, plain(rule.equals)) is None:
            yield f"{rule.condition!r} is never so: {field.name} of {thing} is {controls.wanted(like)}"


def of_target(thing: str, known: Mapping[str, Control], values: dict[str, str]) -> Iterator[str]:
    """In words, what is wrong with setting these controls."""
    for name, value in values.items():
        control = known.get(name)
        if control is None:
            yield f"{thing} has no control {name!r}; {guess(name, known)}"
        elif controls.normal(control, value if control.type == "string" else value.strip()) is None:
            yield f"{thing} cannot have {name}={value}: {control.label or name}: {controls.wanted(control)}"


def guess(name: str, known: Collection[str]) -> str:
    """What may have been meant."""
    from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"
