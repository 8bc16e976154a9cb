"""Pages (XEP-0059): any `<set/>` is a page within the limit, or a StanzaError; and pages told are read again."""

from random import Random

from node.base import paging
from node.base.element import E, read, write
from node.base.errors import StanzaError
from node.base.stanza import CLIENT, PLAIN_SCOPES
from tests.fuzz import mutate, second

WORDS = ("max", "before", "after", "index", "count", "first", "last")
USUAL, LARGEST = 50, 100

Case = tuple[list[tuple[str, str]], int]


def make(chance: Random) -> Case:
    values = (*mutate.VALUES, "10", "0", " 7 ", "100000", "9" * 18, "9" * 19, "\u0661", "1.5", "28482-98726-73623")
    parts = [
        (chance.choice(WORDS), mutate.good(chance.choice(values))) for _ in range(chance.choice((0, 1, 1, 2, 3, 5)))
    ]
    return parts, chance.randrange(1 << 30)


def check(case: Case) -> None:
    parts, seed = case
    asked = E("query", "urn:xmpp:mam:2", E("set", paging.NS, *(E(name, None, text) for name, text in parts)))
    written = write(asked, CLIENT).encode()
    if seed % 3 == 0:
        written = mutate.twist(written, Random(seed), ())
    for query in read(PLAIN_SCOPES[CLIENT] + written + b"</s>").elements:
        try:
            page = paging.read(query, USUAL, LARGEST)
        except StanzaError as error:
            assert error.condition in ("bad-request", "feature-not-implemented")
            continue
        assert 0 <= page.limit <= LARGEST
        assert page.before is None or page.backwards
        told = paging.told([each for each in (page.before, page.after) if each], page.limit, page.limit)
        second.tree(write(told, ""))
