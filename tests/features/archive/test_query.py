"""XEP-0313 §4 and §5: what a client asks of its archive, and what it gets."""

import asyncio
import random
import sqlite3

import pytest

from node.base import form, stamp
from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.archive import NS
from node.features.archive import query as module
from tests.conftest import read_stanza
from tests.features.archive.conftest import FORM, RSM, Page, chat, query

JULIET, NURSE, TYBALT = "juliet@hub.local", "nurse@hub.local/kitchen", "tybalt@elsewhere.example/street"
BALCONY, CHAMBER = f"{JULIET}/balcony", f"{JULIET}/chamber"


@pytest.fixture
def clock(monkeypatch):
    """The archive's clock: `clock.now` in seconds."""

    class Clock:
        now = 1_795_356_131.0

        def time(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("node.features.archive.rows.time", clock)
    return clock


@pytest.fixture
def said(romeo, hub, clock):
    """`said("one", "two", ...)`: by Romeo to Juliet, a second after another."""
    hub.remote = lambda stanza, origin: None

    def said(*bodies, to=JULIET):
        for body in bodies:
            clock.now += 1
            romeo.says(chat(to, body))

    return said


# Examples


def test_a_user_queries_their_archive_for_messages(romeo, said, look, clock):
    said("Call me but love", "What man art thou")
    page = look(romeo, queryid="f27")
    assert page.bodies == ["Call me but love", "What man art thou"]
    for result in page.results:
        assert (result.get("from"), result.get("to")) == ("romeo@hub.local", "romeo@hub.local/orchard")
        assert result.elements[0].get("queryid") == "f27"
    assert [when for _, when, _ in page.messages] == [stamp.precise(int((clock.now - ago) * 1000)) for ago in (1, 0)]
    assert page.complete and (page.told("first"), page.told("last")) == (page.ids[0], page.ids[-1])
    assert page.fin.find("set", RSM).find("first").get("index") == "0"
    assert page.told("count") == "2"
    assert page.fin.get("stable") is None


def test_an_archive_in_which_nothing_is(romeo, look):
    page = look(romeo)
    assert page.ids == [] and page.complete
    assert page.told("first") is page.told("last") is None


def test_a_message_comes_whole_and_without_a_queryid_if_none_was_given(romeo, look):
    romeo.says(
        f"<message to='{JULIET}' xml:lang='en'><body>&amp;&lt;</body>"
        "<x:y xmlns:x='urn:x' a='&quot;'><z/></x:y></message>"
    )
    page = look(romeo)
    assert page.results[0].elements[0].get("queryid") is None
    assert page.messages[0][2] == read_stanza(
        f"<message to='{JULIET}' from='romeo@hub.local/orchard' xml:lang='en'>"
        "<body>&amp;&lt;</body><y xmlns='urn:x' a='&quot;'><z xmlns='jabber:client'/></y></message>"
    )


def test_client_requests_supported_query_fields(romeo):
    assert romeo.heard
    romeo.says(f"<iq type='get' id='form1'><query xmlns='{NS}'/></iq>")
    (answer,) = romeo.heard
    x = read_stanza(answer).find("query", NS).find("x", FORM)
    kinds = {field.get("var"): field.get("type") for field in x.findall("field")}
    assert kinds == {
        "FORM_TYPE": "hidden",
        "with": "jid-single",
        "start": "text-single",
        "end": "text-single",
        "before-id": "text-single",
        "after-id": "text-single",
        "ids": "list-multi",
        "include-groupchat": "boolean",
    }
    (ids,) = [field for field in x.findall("field") if field.get("var") == "ids"]
    assert ids.find("validate", form.VALIDATE).find("open") is not None and not ids.findall("option")


def test_server_returns_archive_metadata(romeo, said, look):
    asks = f"<iq type='get' id='m'><metadata xmlns='{NS}'/></iq>"
    assert romeo.heard
    romeo.says(asks)
    assert romeo.heard == [
        f"<iq type='result' id='m' from='romeo@hub.local' to='{romeo.jid}'><metadata xmlns='{NS}'/></iq>"
    ]
    said("one", "two", "three")
    page = look(romeo)
    romeo.says(asks)
    (answer,) = romeo.heard
    start, end = read_stanza(answer).find("metadata", NS).elements
    assert (start.name, start.get("id"), start.get("timestamp")) == ("start", *page.messages[0][:2])
    assert (end.name, end.get("id"), end.get("timestamp")) == ("end", *page.messages[2][:2])


# Filters


@pytest.fixture
def mixed(romeo, said, person, hub):
    """Romeo's archive: with two resources of Juliet, the nurse, Tybalt elsewhere, and himself."""
    chamber = person(CHAMBER)
    said("1", to=BALCONY)
    said("2", to=JULIET)
    chamber.says(chat("romeo@hub.local", "3"))
    said("4", to=TYBALT)
    said("5", to="romeo@hub.local")
    nurse = person(NURSE)
    nurse.says(chat("romeo@hub.local", "6"))
    hub.route(Stanza("message", E("body", None, "7"), sender=parse(TYBALT), to=romeo.jid), object())


@pytest.mark.parametrize("fold", [1, 3, 1000])
@pytest.mark.parametrize(
    ("partner", "bodies"),
    [
        (JULIET, "123"),
        ("Juliet@HUB.local", "123"),
        (BALCONY, "1"),
        (CHAMBER, "3"),
        (f"{JULIET}/nowhere", ""),
        ("tybalt@elsewhere.example", "47"),
        (TYBALT, "47"),
        ("nurse@hub.local", "6"),
        ("romeo@hub.local", "5"),
        ("romeo@hub.local/orchard", "5"),
        ("romeo@hub.local/elsewhere", ""),
        ("nobody@hub.local", ""),
        ("elsewhere.example", ""),
    ],
)
def test_filtering_by_jid(monkeypatch, request, romeo, look, partner, bodies, fold):
    monkeypatch.setattr("node.features.archive.rows.FOLD", fold)
    monkeypatch.setattr("node.features.archive.reading.CHUNK", 2)
    request.getfixturevalue("mixed")
    assert "".join(look(romeo, with_=partner).bodies) == bodies
    assert "".join(look(romeo, with_=partner, rsm="<before/>").bodies) == bodies


def test_what_stands_in_a_message_is_not_taken_for_its_address(romeo, look, juliet):
    romeo.says(chat(JULIET, f"<message to='{CHAMBER}' from='{CHAMBER}'".replace("<", "&lt;")))
    assert look(romeo, with_=CHAMBER).ids == []


def test_filtering_by_time_received(romeo, said, look, clock):
    begin = clock.now
    said(*"12345")

    def at(seconds):
        return stamp.precise(round((begin + seconds) * 1000))

    def found(**fields):
        return "".join(look(romeo, **fields).bodies)

    assert found(start=at(2)) == "2345"  # equal to or later
    assert found(start=at(2.001)) == "345"
    assert found(end=at(4)) == "1234"  # equal to or earlier
    assert found(end=at(3.999)) == "123"
    assert found(start=at(2), end=at(4)) == "234"
    assert found(start=at(4), end=at(2)) == ""
    assert found(start=at(6)) == found(end=at(0)) == ""
    assert found(start="1970-01-01T00:00:00Z", end="2999-01-01T00:00:00+01:00") == "12345"
    assert found(start=at(2), with_=JULIET, rsm="<max>2</max>") == "23"
    assert found(end=at(4), rsm="<max>2</max><before/>") == "34"
    shown = [when for _, when, _ in look(romeo).messages]
    assert found(start=shown[2], end=shown[2]) == "3"


def test_limiting_results_by_id(romeo, said, look):
    said(*"12345")
    ids = look(romeo).ids

    def found(**fields):
        return "".join(look(romeo, **fields).bodies)

    assert found(after_id=ids[1]) == "345"
    assert found(before_id=ids[3]) == "123"
    assert found(after_id=ids[0], before_id=ids[4]) == "234"
    assert found(after_id=ids[4]) == found(before_id=ids[0]) == found(after_id=ids[3], before_id=ids[1]) == ""
    assert found(after_id=ids[0], rsm="<max>2</max>") == "23"
    assert found(after_id=ids[0], rsm="<max>2</max><before/>") == "45"
    assert found(after_id=ids[0], rsm=f"<max>2</max><after>{ids[1]}</after>") == "34"
    assert found(ids=[ids[3], ids[0], ids[3]]) == "14"
    assert found(ids=ids[::-1]) == "12345"
    assert found(ids=[ids[3], ids[0]], rsm="<max>1</max>") == "1"
    assert found(ids=[ids[3], ids[0]], rsm="<max>1</max><before/>") == "4"
    assert found(ids=[ids[3], ids[0]], after_id=ids[0]) == "4"
    assert found(ids=[ids[3], ids[0]], with_=NURSE) == ""


def test_messages_asked_for_by_their_ids_come_in_their_own_order(romeo, archive, look):
    fill(archive, romeo.jid.bare, 100)
    ids = look(romeo, rsm="<max>100</max>").ids[::7]
    assert look(romeo, ids=ids[::-1]).ids == ids


def test_an_id_that_is_not_in_the_archive(romeo, juliet, said, look):
    said("1")
    (hers,), (his,) = look(juliet).ids, look(romeo).ids
    for id in (
        hers,
        "0" * 16,
        "'; DROP TABLE stanzas; --",
        "1",
        "x" * 5000,
        his.upper() if his.upper() != his else "-",
    ):
        for asked in ({"before_id": id}, {"after_id": id}, {"ids": [his, id]}):
            assert look(romeo, **asked).error == "item-not-found"
        for rsm in (f"<after>{id}</after>", f"<before>{id}</before>"):
            assert look(romeo, rsm=rsm).error == "item-not-found"


def test_an_id_when_there_is_no_archive_yet(romeo, look):
    assert look(romeo, after_id="0123456789abcdef").error == "item-not-found"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"{http://example.com/}free-text-search": "love"}, "feature-not-implemented"),
        ({"start": "yesterday"}, "bad-request"),
        ({"end": "2010-06-07"}, "bad-request"),
        ({"start": ["2010-06-07T00:00:00Z", "2011-06-07T00:00:00Z"]}, "bad-request"),
        ({"with_": "@"}, "jid-malformed"),
        ({"include-groupchat": "perhaps"}, "bad-request"),
        ({"ids": ["0" * 16] * 201}, "bad-request"),
        ({"rsm": "<max>all</max>"}, "bad-request"),
        ({"rsm": "<index>3</index>"}, "feature-not-implemented"),
        ({"queryid": "x" * 1025}, "bad-request"),
    ],
)
def test_what_cannot_be_answered_is_refused(romeo, said, look, asked, error):
    said("1")
    assert look(romeo, **asked).error == error


@pytest.mark.parametrize("asked", [{"start": ""}, {"with_": []}, {"ids": []}, {"include-groupchat": "true"}])
def test_a_field_that_says_nothing_hides_nothing(romeo, said, look, asked):
    said("1")
    assert look(romeo, **asked).bodies == ["1"]


@pytest.mark.parametrize(
    ("inner", "error"),
    [
        (f"<query xmlns='{NS}'><x xmlns='{FORM}' type='submit'>{{}}</x></query>", "bad-request"),
        (f"<query xmlns='{NS}' node='n'/>", "item-not-found"),
    ],
)
def test_a_form_of_something_else_and_a_node_are_refused(romeo, said, inner, error):
    said("1")
    for form_type in ("", "<field var='FORM_TYPE'><value>urn:x</value></field>"):
        romeo.forgets()
        romeo.says(f"<iq type='set' id='q'>{inner.format(form_type)}</iq>")
        assert Page(romeo.heard).error == error


# Pages


def test_flipped_pages(romeo, said, look):
    said(*"12345")
    page = look(romeo, rsm="<max>3</max>", more="<flip-page/>")
    assert page.bodies == ["3", "2", "1"]
    assert (page.told("first"), page.told("last")) == (page.ids[2], page.ids[0])
    assert look(romeo, rsm="<max>3</max><before/>", more="<flip-page/>").bodies == ["5", "4", "3"]


def test_getting_the_item_count(romeo, said, look, monkeypatch):
    page = look(romeo, rsm="<max>0</max>")
    assert (page.ids, page.told("count"), page.complete) == ([], "0", True)
    said(*"12345")
    page = look(romeo, rsm="<max>0</max>")
    assert (page.ids, page.told("count"), page.complete) == ([], "5", False)
    assert look(romeo, rsm="<max>0</max>", with_=NURSE).told("count") == "0"
    assert look(romeo, rsm="<max>0</max>", with_=BALCONY).told("count") is None
    monkeypatch.setattr("node.features.archive.reading.COUNTED", 4)
    assert look(romeo, rsm="<max>0</max>").told("count") is None
    assert look(romeo, rsm="<max>0</max>", start="2999-01-01T00:00:00Z").told("count") == "0"


def test_L21_a_page_has_a_limit(romeo, archive, look):
    fill(archive, romeo.jid.bare, 250)
    for asked, size in ((None, 50), ("<max>1000000</max>", 100), ("<max>100</max>", 100), ("<max>7</max>", 7)):
        page = look(romeo, rsm=asked)
        assert len(page.ids) == size and not page.complete


def test_a_page_is_no_larger_than_a_connection_bears(romeo, said, look, monkeypatch):
    monkeypatch.setattr(module, "PAGE_BYTES", 30_000)
    bodies = [letter * 12_000 for letter in "abcde"]
    said(*bodies)
    assert look(romeo).bodies == bodies[:2]
    assert look(romeo, rsm="<before/>").bodies == bodies[-2:]
    monkeypatch.setattr(module, "PAGE_BYTES", 100)
    assert walk(look, romeo, 50) == walk(look, romeo, 50, backwards=True) == bodies


def test_L21_many_queries_at_once_are_answered_in_order_two_at_a_time(romeo, archive, hub, monkeypatch, juliet):
    fill(archive, romeo.jid.bare, 10)
    running, most = [], []
    real = module.Queries._answer

    async def counted(self, iq, origin):
        running.append(iq)
        most.append(len(running))
        await asyncio.sleep(0)
        try:
            return await real(self, iq, origin)
        finally:
            running.remove(iq)

    monkeypatch.setattr(module.Queries, "_answer", counted)
    assert romeo.heard
    asked = [
        query(queryid=str(number), rsm="<max>1</max>").replace("id='q'", f"id='{number}'") for number in range(101)
    ]
    romeo.says("".join(asked))
    heard = [read_stanza(text) for text in romeo.heard]
    assert max(most) == module.RUNNING
    answers = [each.get("id") for each in heard if each.name == "iq" and each.get("type") == "result"]
    refused = [each.get("id") for each in heard if each.get("type") == "error"]
    assert answers == [str(number) for number in range(100)] and refused == ["100"]
    results = [each.elements[0].get("queryid") for each in heard if each.name == "message"]
    assert results == answers
    assert hub.need("archive").queries.turns == {}


def test_who_has_left_is_told_no_more(romeo, said, person):
    said("1")
    for event in romeo.framing.feed(query().encode()):
        event.sender, event.to = romeo.jid, romeo.jid.bare
        romeo.hub.route(event, romeo)
    again = person(romeo.jid)
    assert [text for text in (*romeo.heard, *again.heard) if "<result " in text or "<fin " in text] == []


def test_S8_the_archive_of_somebody_else_is_as_that_of_nobody(romeo, juliet, said):
    said("1")
    for request in (
        query(),
        f"<iq type='get' id='q'><query xmlns='{NS}'/></iq>",
        f"<iq type='get' id='q'><metadata xmlns='{NS}'/></iq>",
        f"<iq type='get' id='q'><prefs xmlns='{NS}'/></iq>",
        f"<iq type='set' id='q'><prefs xmlns='{NS}' default='never'/></iq>",
    ):
        answers = []
        for name in ("juliet", "nobody"):
            romeo.forgets()
            romeo.says(request.replace("<iq ", f"<iq to='{name}@hub.local' "))
            answers.append([text.replace(name, "") for text in romeo.heard])
        assert answers[0] == answers[1] and "<service-unavailable " in answers[0][0]


# No holes


def test_what_was_said_a_moment_ago_is_there(romeo, juliet, hub):
    assert romeo.heard
    romeo.says(chat(JULIET, "1") + chat(JULIET, "2") + query())
    assert Page(romeo.heard).bodies == ["1", "2"]


@pytest.mark.parametrize("fold", [1, 2, 5, 1000])
def test_nothing_is_missed_or_told_twice_while_more_comes_in(romeo, look, monkeypatch, said, fold):
    monkeypatch.setattr("node.features.archive.rows.FOLD", fold)
    said(*"0123")
    seen, last = [], None
    for number in range(4, 30):
        page = look(romeo, rsm="<max>2</max>" + (f"<after>{last}</after>" if last else ""))
        seen += page.bodies
        last = page.told("last") or last
        said(str(number))
    seen += walk(look, romeo, 3, after=last)
    assert seen == [str(number) for number in range(30)]


def test_a_disk_that_fails_keeps_nobody_from_reading(romeo, said, look, monkeypatch):
    said("1", "2")
    assert look(romeo).bodies == ["1", "2"]
    error = sqlite3.OperationalError("full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fail(connection):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr("node.hub.store.commit", fail)
        said("3")
        page = look(romeo)
    assert page.bodies == ["1", "2"] and page.fin.get("stable") == "false"


# Against a list


def fill(archive, owner, number, partners=(JULIET,), chance=None, begin=0):
    """Puts messages into an archive, without anybody who says them: (partner, text), and the texts are numbers."""
    chance = chance or random.Random(1)
    rows = archive.rows
    mine, me = rows.archives.make(owner), rows.addresses.make(owner)
    told = []
    for text in map(str, range(begin, begin + number)):
        partner = parse(chance.choice(partners))
        peer = rows.addresses.make(partner.bare)
        said = "<message to='{}' from='{}' type='chat'><body>{}</body></message>"
        if chance.random() < 0.5:
            rows.add(mine, None, me, peer, said.format(partner, owner, text).encode())
        else:
            rows.add(None, mine, peer, me, said.format(owner, partner, text).encode())
        told.append((partner, text))
    return told


def walk(look, person, size, backwards=False, after=None, **fields):
    """The texts of all pages, in their order in the archive."""
    bodies, end = [], after
    for _ in range(5000):
        if backwards:
            page = look(person, rsm=f"<max>{size}</max><before>{end or ''}</before>", **fields)
            bodies = page.bodies + bodies
        else:
            page = look(person, rsm=f"<max>{size}</max>" + (f"<after>{end}</after>" if end else ""), **fields)
            bodies += page.bodies
        end = page.told("first" if backwards else "last")
        if page.complete:
            return bodies
        assert page.ids, "a page without an end"
    raise AssertionError("pages without an end")


@pytest.mark.parametrize("seed", range(4))
def test_pages_of_any_size_either_way_are_the_archive(romeo, archive, look, monkeypatch, run, hub, seed):
    chance = random.Random(seed)
    monkeypatch.setattr("node.features.archive.rows.FOLD", chance.choice([1, 4, 10, 1000]))
    monkeypatch.setattr("node.features.archive.reading.CHUNK", 3)
    told = []
    for part in (30, 17, 1):
        told += fill(archive, romeo.jid.bare, part, [BALCONY, CHAMBER, TYBALT, NURSE], chance, begin=len(told))
        run(hub.store.archive.committed())
    whole = [text for _, text in told]
    for size in (1, 7, 47, 48, 49):
        assert walk(look, romeo, size) == walk(look, romeo, size, backwards=True) == whole
    for partner in (JULIET, BALCONY, TYBALT):
        expected = [text for jid, text in told if partner in (jid, jid.bare)]
        for size in (2, 48):
            assert walk(look, romeo, size, with_=partner) == expected
            assert walk(look, romeo, size, backwards=True, with_=partner) == expected


def test_ten_thousand_messages_are_paged_through_either_way(romeo, archive, look, run, hub):
    told = []
    while len(told) < 10_000:
        told += fill(archive, romeo.jid.bare, 2000, [JULIET, TYBALT, NURSE], begin=len(told))
        run(hub.store.archive.committed())
    assert walk(look, romeo, 100) == [text for _, text in told]
    by_tybalt = [text for jid, text in told if jid == TYBALT]
    assert walk(look, romeo, 100, backwards=True, with_=TYBALT) == by_tybalt
    assert archive.rows.folded > archive.rows.next_id - 3 * 2000  # and most of it by the map
