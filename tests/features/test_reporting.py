"""XEP-0377: a report inside a block is kept and told to the administrator; the block is as without it."""

import pytest

from node.features import reporting
from node.features.reporting import DAILY, DAY, NS, TEXT_LIMIT

SPAM = "urn:xmpp:reporting:spam"
ABUSE = "urn:xmpp:reporting:abuse"


def block(*items, id="block1"):
    inside = "".join(f"<item jid='{jid}'>{report}</item>" for jid, report in items)
    return f"<iq type='set' id='{id}'><block xmlns='urn:xmpp:blocking'>{inside}</block></iq>"


def report(reason=f" reason='{SPAM}'", inside=""):
    return f"<report xmlns='{NS}'{reason}>{inside}</report>"


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/chamber")


@pytest.fixture
def kept(hub, run):
    def kept():
        run(hub.store.accounts.committed())
        return hub.store.accounts.read("SELECT owner, jid, reason, text, stanzas FROM reports ORDER BY id")

    return kept


def test_it_is_told(hub):
    assert NS in hub.features["host"] and NS in hub.features["account"]


def test_a_report_is_kept_and_told_in_one_line(juliet, kept, caplog):
    """§5, example 6."""
    inside = (
        "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='28482-98726-73623'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.net' id='38383-38018-18385'/>"
        "<text xml:lang='en'> Never came trouble to my house like this. </text>"
    )
    juliet.says(block(("romeo@example.net", report(inside=inside))))
    assert juliet.heard == ["<iq type='result' id='block1' from='juliet@hub.local' to='juliet@hub.local/chamber'/>"]
    text = "Never came trouble to my house like this."
    assert kept() == [
        ("juliet@hub.local", "romeo@example.net", SPAM, text, "28482-98726-73623\n38383-38018-18385"),
    ]
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", f"juliet@hub.local reports romeo@example.net: {SPAM!r} {text!r}")
    ]


def test_each_address_has_its_own_report_and_may_have_none(hub, juliet, kept):
    juliet.says(
        block(
            ("romeo@example.net", report()),
            ("paris@example.net", ""),
            ("tybalt@x.example", report(f" reason='{ABUSE}'")),
        )
    )
    assert [row[1:3] for row in kept()] == [("romeo@example.net", SPAM), ("tybalt@x.example", ABUSE)]
    assert len(hub.need("blocking").lists["juliet@hub.local"]) == 3


@pytest.mark.parametrize("wrong", ["", " reason=''"])
def test_a_report_without_a_reason_blocks_and_is_passed_over(hub, juliet, kept, caplog, wrong):
    juliet.says(block(("romeo@example.net", report(wrong))))
    assert "type='result'" in juliet.heard[0]
    assert hub.need("blocking").blocks_anybody(juliet.jid.bare)
    assert kept() == [] and caplog.records == []


def test_a_block_that_is_refused_reports_nothing(juliet, kept, caplog):
    juliet.says(block(("hub.local", report())))
    juliet.says(block(("a@b@c", report())))
    assert all("type='error'" in each for each in juliet.heard)
    assert kept() == [] and caplog.records == []


def test_who_is_removed_before_the_block_is_committed_leaves_no_report(hub, juliet, kept, monkeypatch):
    async def removal(owner, new, gone):
        await hub.accounts.remove(owner.local)

    monkeypatch.setattr(hub.need("blocking"), "_change", removal)
    juliet.says(block(("romeo@example.net", report())))
    assert kept() == []


def test_what_is_pushed_and_listed_is_the_block_alone(juliet):
    juliet.says("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    juliet.says(block(("romeo@example.net", report())))
    juliet.says("<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>")
    heard = juliet.heard
    assert len(heard) == 4
    assert not any("report" in each for each in heard)


def test_a_text_cannot_pretend_to_be_a_line_of_the_log(juliet, kept, caplog):
    juliet.says(block(("romeo@example.net", report(" reason='a&#10;b'", "<text>one\ntwo\x85three</text>"))))
    (record,) = caplog.records
    assert len(record.getMessage().splitlines()) == 1
    assert kept()[0][2:4] == ("a\nb", "one\ntwo\x85three")


def test_a_long_report_is_kept_in_part(juliet, kept):
    ids = "".join(f"<stanza-id xmlns='urn:xmpp:sid:0' id='{number}{'x' * 500}'/>" for number in range(50))
    juliet.says(block(("romeo@example.net", report(f" reason='{'r' * 500}'", f"{ids}<text>{'t' * 5000}</text>"))))
    ((_, _, reason, text, stanzas),) = kept()
    assert (len(reason), len(text)) == (100, TEXT_LIMIT)
    assert [len(id) for id in stanzas.split("\n")] == [128] * 10


def test_who_reports_all_day_is_not_listened_to_but_blocks(hub, juliet, person, kept, caplog, monkeypatch):
    now = [20000.0 * DAY]
    monkeypatch.setattr(reporting.time, "time", lambda: now[0])
    juliet.says(block(*((f"spam{number}@example.net", report()) for number in range(DAILY + 5))))
    assert len(kept()) == len(caplog.records) == DAILY
    assert len(hub.need("blocking").lists["juliet@hub.local"]) == DAILY + 5
    person("nurse@hub.local/a").says(block(("romeo@example.net", report())))
    assert len(kept()) == DAILY + 1
    now[0] += DAY
    juliet.says(block(("romeo@example.net", report())))
    assert len(kept()) == DAILY + 2


def test_the_newest_reports_of_a_person_are_kept(juliet, person, kept, monkeypatch):
    monkeypatch.setattr(reporting, "KEPT", 5)
    person("nurse@hub.local/a").says(block(("romeo@example.net", report())))
    juliet.says(block(*((f"spam{number}@example.net", report()) for number in range(8))))
    rows = kept()
    assert [row[0] for row in rows] == ["nurse@hub.local"] + ["juliet@hub.local"] * 5
    assert (rows[1][1], rows[-1][1]) == ("spam3@example.net", "spam7@example.net")


def test_a_removed_account_leaves_no_report(hub, juliet, person, kept):
    for each in (juliet, person("nurse@hub.local/a")):
        each.says(block(("romeo@example.net", report())))
    hub.tell("removed", juliet.jid.bare)
    assert [row[0] for row in kept()] == ["nurse@hub.local"]
