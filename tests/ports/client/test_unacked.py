"""D4: what a session has not acked is passed on once, or kept, or answered."""

import re

import pytest

from node.base.jid import parse
from node.base.stanza import CLIENT
from node.ports.client.unacked import pass_on
from node.stream.acks import Unacked
from node.stream.framing import CLIENT_LIMIT, Framing
from tests.conftest import HEADER

NOON = 1031699305.0
STAMP = "2002-09-10T23:08:25Z"
DELAY = f"<delay xmlns='urn:xmpp:delay' from='hub.local' stamp='{STAMP}'/>"
PHONE = "juliet@hub.local/phone"
BODY = "<body>Art thou not Romeo?</body>"


def stanza(xml):
    framing = Framing(CLIENT_LIMIT)
    framing.feed(HEADER.encode())
    (stanza,) = framing.feed(xml.encode())
    stanza.sender = parse("romeo@hub.local/a")
    return stanza


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def ends(hub, person):
    """`ends(xml, ...)`: juliet's phone, gone by now, has not acked these stanzas of romeo's."""
    person(PHONE).leaves()

    def ends(*unacked):
        stanzas = [each if not isinstance(each, str) else stanza(each) for each in unacked]
        pass_on(hub, [parse(PHONE)], [Unacked(each, len(each.to_bytes(CLIENT)), NOON) for each in stanzas])

    return ends


@pytest.fixture
def kept(hub, run):
    def kept():
        run(hub.store.accounts.committed())
        return [(row[0].decode(), row[1]) for row in hub.store.accounts.read("SELECT stanza, stamp FROM offline")]

    return kept


def desk(person, since=0.0, carbons=False, priority=0):
    """Another one of hers, who listens, or is there, since that time; likewise with `carbons`."""
    desk = person("juliet@hub.local/desk")
    desk.says(f"<presence><priority>{priority}</priority></presence>")
    desk.since = since
    if carbons is not False:
        desk.says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
        desk.hub.need("carbons").enabled[desk.jid.bare][desk.jid] = carbons
    desk.forgets()
    return desk


@pytest.mark.parametrize("to", ["juliet@hub.local", PHONE])
@pytest.mark.parametrize("type", ["type='chat'", ""])
def test_a_message_is_kept_when_nobody_listens_with_the_time_when_it_came(ends, romeo, kept, person, to, type):
    ends(f"<message to='{to}' id='m' {type}>{BODY}</message>")
    ((data, came),) = kept()
    assert "id='m'" in data and "delay" not in data and came == NOON
    assert romeo.heard == []
    later = desk(person)
    assert kept() and later


def test_messages_keep_their_order(ends, kept):
    ends(*(f"<message to='{PHONE}' id='m{number}'>{BODY}</message>" for number in range(5)))
    assert [re.search("id='(m.)'", data)[1] for data, _ in kept()] == [f"m{number}" for number in range(5)]


def test_another_resource_that_has_not_had_it_gets_it_with_its_time(ends, person, romeo, kept):
    late = desk(person, since=NOON + 1)
    ends(f"<message to='juliet@hub.local' id='m' type='chat'>{BODY}</message>")
    assert late.heard == [
        f"<message from='romeo@hub.local/a' to='juliet@hub.local' id='m' type='chat'>{BODY}{DELAY}</message>"
    ]
    assert kept() == [] and romeo.heard == []


@pytest.mark.parametrize(
    ("to", "since", "carbons", "again"),
    [
        ("juliet@hub.local", NOON - 1, False, False),
        ("juliet@hub.local", NOON + 1, NOON - 1, False),
        ("juliet@hub.local", NOON + 1, NOON + 1, True),
        (PHONE, NOON - 1, NOON - 1, False),
        (PHONE, NOON + 1, NOON - 1, False),
        (PHONE, NOON - 1, NOON + 1, True),
        (PHONE, NOON - 1, False, True),
    ],
)
def test_one_that_has_had_it_or_its_copy_does_not_get_it_twice(ends, person, kept, to, since, carbons, again):
    there = desk(person, since=since, carbons=carbons)
    ends(f"<message to='{to}' id='m' type='chat'>{BODY}</message>")
    assert len(there.heard) == again
    assert kept() == []


def test_what_is_no_copy_goes_to_one_with_carbons_too(ends, person):
    there = desk(person, since=NOON - 1, carbons=NOON - 1)
    ends(f"<message to='{PHONE}' id='m' type='chat'>{BODY}<private xmlns='urn:xmpp:carbons:2'/></message>")
    assert len(there.heard) == 1


def test_one_that_was_there_and_did_not_listen_has_not_had_it(ends, person):
    there = desk(person, priority=-1)
    there.says("<presence/>")
    there.forgets()
    ends(f"<message to='juliet@hub.local' id='m' type='chat'>{BODY}</message>")
    assert len(there.heard) == 1


def test_one_that_had_a_copy_and_did_not_listen_does_not_get_it_from_the_storage(ends, person, kept):
    there = desk(person, carbons=NOON - 1, priority=-1)
    ends(f"<message to='juliet@hub.local' id='m' type='chat'>{BODY}</message>")
    assert len(kept()) == 1
    there.says("<presence/>")
    assert not any(text.startswith("<message") for text in there.heard)


def test_one_that_does_not_listen_gets_nothing(ends, person, kept):
    there = desk(person, since=NOON + 1, priority=-1)
    ends(f"<message to='juliet@hub.local' id='m' type='chat'>{BODY}</message>")
    assert there.heard == [] and len(kept()) == 1


def test_a_first_delay_is_the_true_one(ends, person):
    late = desk(person, since=NOON + 1)
    ends(f"<message to='{PHONE}' id='m'>{BODY}<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/></message>")
    assert [text.count("<delay") for text in late.heard] == [1]


@pytest.mark.parametrize(
    "xml",
    [
        f"<message to='{PHONE}' type='error'>{BODY}</message>",
        f"<message to='{PHONE}' type='headline'>{BODY}</message>",
        f"<message to='{PHONE}' type='groupchat'>{BODY}</message>",
        f"<message to='{PHONE}'><result xmlns='urn:xmpp:mam:2' id='1'/></message>",
        f"<message to='{PHONE}' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        f"<presence to='{PHONE}'/>",
        f"<presence to='{PHONE}' type='subscribe'/>",
        f"<iq to='{PHONE}' type='result' id='q'/>",
        f"<iq to='{PHONE}' type='error' id='q'/>",
    ],
)
@pytest.mark.parametrize("somebody_listens", [False, True])
def test_what_only_concerned_that_session_is_dropped(ends, romeo, kept, person, xml, somebody_listens):
    late = desk(person, since=NOON + 1) if somebody_listens else None
    ends(xml)
    assert kept() == [] and romeo.heard == []
    assert late is None or late.heard == []


@pytest.mark.parametrize("sender", [None, "juliet@hub.local"])
def test_what_the_account_itself_had_to_say_is_dropped(ends, kept, sender):
    copy = stanza(f"<message to='{PHONE}'><sent xmlns='urn:xmpp:carbons:2'/></message>")
    copy.sender = parse(sender) if sender else None
    push = stanza(f"<iq to='{PHONE}' type='set' id='1'><query xmlns='jabber:iq:roster'/></iq>")
    push.sender = copy.sender
    ends(copy, push)
    assert kept() == []


@pytest.mark.parametrize("type", ["get", "set"])
def test_who_asked_something_hears_that_nobody_is_there(ends, romeo, type):
    ends(f"<iq to='{PHONE}' type='{type}' id='q'><query xmlns='jabber:iq:version'/></iq>")
    (answer,) = romeo.heard
    assert "type='error'" in answer and "<service-unavailable" in answer and f"from='{PHONE}'" in answer


def test_what_may_not_be_kept_goes_to_another_resource(ends, romeo, person):
    late = desk(person, since=NOON + 1)
    ends(f"<message to='{PHONE}' id='m' type='chat'>{BODY}<no-store xmlns='urn:xmpp:hints'/></message>")
    assert len(late.heard) == 1 and romeo.heard == []


def test_what_may_not_be_kept_comes_back_as_from_one_who_is_away(ends, romeo, kept):
    ends(f"<message to='{PHONE}' id='m' type='chat'>{BODY}<no-store xmlns='urn:xmpp:hints'/></message>")
    assert kept() == []
    assert ["<service-unavailable" in text for text in romeo.heard] == [True]


def test_what_is_in_his_archive_does_not_come_back_when_there_is_no_room(ends, romeo, kept, monkeypatch):
    monkeypatch.setattr("node.features.offline.MESSAGES_LIMIT", 0)
    message = f"<message to='{PHONE}' type='chat' id='m1'>{BODY}{{}}</message>"
    ends(message.format("<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@hub.local' id='0123456789abcdef'/>"))
    assert romeo.heard == [] and kept() == []
    ends(message.format(""))
    assert "service-unavailable" in romeo.heard[0]


def test_what_comes_from_the_storage_is_still_there(ends, person, romeo, kept, hub):
    romeo.says(f"<message to='juliet@hub.local' id='m' type='chat'>{BODY}</message>")
    juliet = person("juliet@hub.local/b")
    heard = []
    juliet.deliver = heard.append
    juliet.says("<presence/>")
    batch = [each for each in heard if each.name == "message"]
    assert len(batch) == 1 and len(kept()) == 1
    juliet.leaves()
    ends(*batch)
    assert len(kept()) == 1


def test_a_bug_with_one_does_not_lose_the_others(ends, kept, hub, monkeypatch, caplog):
    keep = hub.need("offline").keep

    def fails_once(owner, message, came=None):
        if message.id == "m1":
            raise ZeroDivisionError
        keep(owner, message, came)

    monkeypatch.setattr(hub.need("offline"), "keep", fails_once)
    ends(f"<message to='{PHONE}' id='m1'>{BODY}</message>", f"<message to='{PHONE}' id='m2'>{BODY}</message>")
    assert ["id='m2'" in data for data, _ in kept()] == [True]
    assert "ZeroDivisionError" in caplog.text
