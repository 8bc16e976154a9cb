"""What a rule wants of our own things, and they do not have: a word misspelled, a value that is none."""

from collections.abc import Collection, Iterator

from node.hub.thing import ControlError, Thing


def of_source(thing: Thing, field: str) -> Iterator[str]:
    """In words, what is wrong with looking at that field ('' is none)."""
    if field and field not in thing.fields:
        yield f"{thing.jid} has no field {field!r}; {guess(field, thing.fields)}"


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
