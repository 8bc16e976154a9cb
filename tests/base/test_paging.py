"""XEP-0059: what a client asks for, and what it is told, page by page."""

import pytest

from node.base.element import E, read
from node.base.errors import StanzaError
from node.base.paging import NS, Page, told
from node.base.paging import read as read_page


def asked(inner: str | None) -> Page:
    page = "" if inner is None else f"<set xmlns='{NS}'>{inner}</set>"
    return read_page(read(f"<query xmlns='urn:x'>{page}</query>".encode()), usual=50, largest=100)


@pytest.mark.parametrize(
    ("inner", "page"),
    [
        (None, Page(50)),
        ("", Page(50)),
        ("<max>10</max>", Page(10)),
        ("<max> 10\n</max>", Page(10)),
        ("<max>0</max>", Page(0)),
        ("<max>1000000</max>", Page(100)),
        ("<max>10</max><after>a</after>", Page(10, after="a")),
        ("<max>10</max><before>b</before>", Page(10, before="b", backwards=True)),
        ("<max>10</max><before/>", Page(10, backwards=True)),
        ("<max>10</max><before>  </before>", Page(10, backwards=True)),
        ("<after/>", Page(50)),
        ("<after>a</after><before>b</before>", Page(50, after="a", before="b", backwards=True)),
        ("<max xmlns='urn:other'>x</max>", Page(50)),
    ],
)
def test_a_page_is_asked_for(inner, page):
    assert asked(inner) == page


@pytest.mark.parametrize("number", ["", "ten", "-1", "1.5", "1e3", "٣", "9" * 5000])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(StanzaError) as refused:
        asked(f"<max>{number}</max>")
    assert refused.value.condition == "bad-request"


def test_a_page_is_not_found_by_its_number():
    with pytest.raises(StanzaError) as refused:
        asked("<max>10</max><index>371</index>")
    assert refused.value.condition == "feature-not-implemented"


@pytest.mark.parametrize(
    ("answer", "inner"),
    [
        (told([]), ()),
        (told([], count=800), (E("count", None, "800"),)),
        (told([], index=0, count=0), (E("count", None, "0"),)),
        (told(["a"]), (E("first", None, "a"), E("last", None, "a"))),
        (
            told(["a", "b", "c"], index=0, count=800),
            (E("first", None, "a", index="0"), E("last", None, "c"), E("count", None, "800")),
        ),
    ],
)
def test_a_page_is_told_by_its_ends(answer, inner):
    assert answer == E("set", NS, *inner)
