"""What a rule wants of our own things, and they do not have: a word misspelled, a value that is none."""

from collections.abc import Collection, Iterable, Iterator

from node.hub import controls
from node.hub.driver import Control
from node.hub.thing import ControlError, Thing
from node.things import misnamed
from node.things.rules.rule import Rule, checked, plain


def of_names(
    rules: Iterable[Rule], domain: str, people: Collection[str], things: Collection[str], all_of_them: bool
) -> Iterator[str]:
    """In words, which things and people of this node rules name that are not here: as `misnamed.mistakes`."""
    for rule in rules:
        title = f"[[rule]] {rule.name or rule.condition!r}"
        for name in (rule.thing, *rule.set) if all_of_them else ():
            address = checked("thing", name, domain)
            if address.domain == domain and address.local not in things:
                yield f"{title}: there is no thing {address.local} here{misnamed.guess(address.local, things)}"
        for who in rule.tell:
            if misnamed.missing(who, domain, people):
                guess = misnamed.guess(checked("tell", who).local, people, domain)
                yield f"{title}: there is nobody {who} here{guess}"


def of_source(thing: Thing, rule: Rule) -> Iterator[str]:
    """In words, what is wrong with the condition, which may look at no field at all."""
    field = thing.fields.get(rule.field)
    if field is None:
        if rule.field:
            yield f"{thing.jid} has no field {rule.field!r}; {guess(rule.field, thing.fields)}"
    elif rule.equals is not None and field.type in ("boolean", "quantity", "integer"):
        like = Control(field.name, "boolean" if field.type == "boolean" else "quantity")
        if controls.normal(like, plain(rule.equals)) is None:
            yield f"{rule.condition!r} is never so: {field.name} of {thing.jid} is {controls.wanted(like)}"


def of_target(thing: Thing, values: dict[str, str]) -> Iterator[str]:
    """In words, what is wrong with setting these controls."""
    for name, value in values.items():
        if name not in thing.controls:
            yield f"{thing.jid} has no control {name!r}; {guess(name, thing.controls)}"
            continue
        try:
            thing.validate(name, value)
        except ControlError as error:
            yield f"{thing.jid} cannot have {name}={value}: {error.text}"


def guess(name: str, known: Collection[str]) -> str:
    """What may have been meant."""
    from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known) or 'none'}"
