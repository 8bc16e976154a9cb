"""The talks of tests/talks/: conversations in plain text, one for each example of a XEP, by the example's name.

    romeo is romeo@hub.local/a       logs in; `porch is a thing` sets up the one of tests/things
    romeo> <presence/>               says it; what is longer goes on in indented lines
    romeo< <presence/>               heard it next: these elements, with these attributes and perhaps more
    romeo< nothing                   has heard no more
    romeo leaves                     the line is cut

`{ping}` is what stood there when it was first heard, and the same from then on. `...` in an element of which only
some children are told stands for the others. At the end everybody has heard no more than was told.
"""

import re
from pathlib import Path

import pytest

from tests.conftest import read_stanza, without_ids

TALK = re.compile(r"^== (.+) ==$", re.MULTILINE)
LINE = re.compile(r"(\w+)(>|<| +is(?= )| +leaves) *(.*)", re.DOTALL)
WORD = re.compile(r"{(\w+)}")


def talks():
    for file in sorted((Path(__file__).parent / "talks").glob("*.txt")):
        _, *parts = TALK.split(file.read_text("utf-8"))
        for title, text in zip(parts[::2], parts[1::2], strict=True):
            yield pytest.param(text, id=f"{file.stem}: {title}")


@pytest.mark.parametrize("text", list(talks()))
def test_talk(text, person, request):
    people, known = {}, {}
    for line in re.sub(r"\n +", " ", text).splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, verb, rest = LINE.fullmatch(line).groups()
        match verb.strip():
            case "is":
                people[name] = request.getfixturevalue(name) if rest == "a thing" else person(rest)
            case "leaves":
                people.pop(name).leaves()
            case ">":
                people[name].says(WORD.sub(lambda word: known[word[1]], rest))
            case "<" if rest == "nothing":
                assert people[name].ears == []
            case "<":
                assert people[name].ears, f"{name} has not heard {rest}"
                heard = people[name].ears.pop(0)
                stanza = read_stanza(heard) if "<stanza-id " in rest else without_ids(read_stanza(heard))
                assert fits(read_stanza(rest), stanza, known), f"{name} heard {heard}, not {rest}"
    assert [ear for each in people.values() for ear in getattr(each, "ears", ())] == []


def fits(told, heard, known):
    """Whether what was heard is what was told. Learns the words that were not known."""
    if (told.name, told.ns) != (heard.name, heard.ns):
        return False
    for key, value in told.attrs.items():
        word = WORD.fullmatch(value)
        wanted = known.setdefault(word[1], heard.get(key)) if word else value
        if wanted is None or heard.get(key) != wanted:
            return False
    if told.text.strip() == "...":
        return all(any(fits(each, other, known) for other in heard.elements) for each in told.elements)
    if told.text.split() != heard.text.split() or len(told.elements) != len(heard.elements):
        return False
    return all(fits(each, other, known) for each, other in zip(told.elements, heard.elements, strict=True))
