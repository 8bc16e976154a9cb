"""XEP-0059: Result Set Management: a large answer comes in pages."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from node.base.element import E, Element
from node.base.errors import StanzaError

NS = "http://jabber.org/protocol/rsm"

_NUMBER = re.compile(r"\s*\d{1,18}\s*\Z", re.ASCII)  # digits: beyond that nobody has anything


class Page(NamedTuple):
    """The page that somebody asks for: at most `limit` items, 0 for their count alone.

    `after` and `before` name items that are not in it. Backwards it ends where the set does, or at `before`; both
    together are the part between, which the XEP leaves open.
    """

    limit: int
    after: str | None = None
    before: str | None = None
    backwards: bool = False


def read(query: Element, usual: int, largest: int) -> Page:
    """What the `<set/>` in a request asks for: without one the first `usual` items, and never more than `largest`.

    Raises StanzaError: bad-request for what is no number, feature-not-implemented for a page by its index (§2.6).
    """
    asked = query.find("set", NS)
    if asked is None:
        return Page(usual)
    if asked.find("index") is not None:
        raise StanzaError("feature-not-implemented", "Pages are found by their first or last item, not by a number")
    after, before = _text(asked, "after"), _text(asked, "before")
    limit = _text(asked, "max")
    if limit is not None and not _NUMBER.match(limit):
        raise StanzaError("bad-request", "<max/> is a number of items")
    return Page(
        limit=usual if limit is None else min(int(limit), largest),
        after=after or None,
        before=before or None,
        backwards=before is not None,  # an empty one asks for the last page (§2.5)
    )


def told(ids: Sequence[str], index: int | None = None, count: int | None = None) -> Element:
    """The `<set/>` of an answer (§2.2): by the ids of the page's items, in order. `index` is the place of the first in
    the whole set, `count` the size of that; None for what is not known.
    """
    first = E("first", None, ids[0], index=None if index is None else str(index)) if ids else None
    last = E("last", None, ids[-1]) if ids else None
    return E("set", NS, first, last, None if count is None else E("count", None, str(count)))


def _text(asked: Element, name: str) -> str | None:
    found = asked.find(name)
    return None if found is None else found.text.strip()
