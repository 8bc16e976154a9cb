"""Whom and what [access] names that is not here: a grant to a misspelt address would do nothing, in silence."""

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from node.base.jid import parse
from node.things.access import RIGHTS, Options


def mistakes(
    options: Options, domain: str, people: Collection[str], things: Collection[str], all_of_them: bool = True
) -> Iterator[str]:
    """One line each, for people. `people` and `things` are those of this node, by their localparts.

    If these are not `all_of_them`, for gateways bring others, no thing is said to be missing.
    """
    here = {*people, *things}
    said: list[tuple[str, Iterable[str]]] = [(f"[access] {each}", getattr(options, each)) for each in RIGHTS]
    said.append(("[access] owners", options.owners))
    said += ((f"[access.groups] {name}", members) for name, members in options.groups.items())
    for name, rights in options.things.items():
        said += ((f'[access.things."{name}"] {right}', getattr(rights, right) or ()) for right in RIGHTS)
        if all_of_them and not any(fnmatchcase(thing, name) for thing in things):
            yield f'[access.things."{name}"]: there is no such thing here{guess(name, things)}'
    for place, names in said:
        for name in names:
            if missing(name, domain, here):
                yield f"{place}: there is no {name} here{guess(parse(name).local, here, domain)}"


def missing(who: str, domain: str, here: Collection[str]) -> bool:
    """Whether a grant names an account of this domain that is not `here`; of others' accounts nobody knows."""
    if "@" not in who or who.startswith("@"):
        return False
    jid = parse(who)
    return jid.domain == domain and jid.local not in here


def guess(name: str, known: Iterable[str], domain: str = "") -> str:
    """What may have been meant."""
    from difflib import get_close_matches  # only the mistaken pay for it: 0.2 MiB

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}{domain and '@'}{domain}?" if close else ""
