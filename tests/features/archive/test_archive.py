"""XEP-0313 §3 and §6: what is kept, for whom, and who is told its id."""

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.archive import NS, Options
from tests.conftest import read_stanza
from tests.features.archive.conftest import chat, ids_in

SID = "urn:xmpp:sid:0"
ELSEWHERE = "tybalt@elsewhere.example/street"
CARBONS = "urn:xmpp:carbons:2"


@pytest.fixture
def comes(hub):
    """`comes(sender, xml)`: a message comes from another server."""

    elsewhere = object()

    def comes(sender, xml, origin=elsewhere):
        element = read_stanza(xml)
        attrs = {"type": element.get("type"), "to": parse(element.get("to")), "id": element.get("id")}
        hub.route(Stanza("message", *element.elements, sender=parse(sender), **attrs), origin)

    return comes


@pytest.fixture
def sent(hub):
    """What went to other servers."""
    gone = []
    hub.remote = lambda stanza, origin: gone.append(stanza)
    return gone


def rows(hub, run):
    run(hub.store.archive.committed())
    ((number,),) = hub.store.archive.read("SELECT count(*) FROM stanzas")
    return number


def test_both_have_what_was_said_and_it_is_kept_once(romeo, juliet, look, hub, run):
    romeo.says(chat("juliet@hub.local", "Soft!"))
    (heard,) = [text for text in juliet.heard if "Soft!" in text]
    assert rows(hub, run) == 1
    his, hers = look(romeo), look(juliet)
    assert his.bodies == hers.bodies == ["Soft!"]
    assert ids_in(heard) == [("juliet@hub.local", hers.ids[0])]
    assert his.ids != hers.ids
    (_, _, message) = his.messages[0]
    assert message == read_stanza(
        "<message to='juliet@hub.local' from='romeo@hub.local/orchard' type='chat' id='1'><body>Soft!</body></message>"
    )


def test_what_leaves_the_house_carries_no_id_and_is_kept_for_its_sender(romeo, sent, look, hub, run):
    romeo.says(chat(ELSEWHERE, "Peace?"))
    assert not sent[0].has("stanza-id", SID)
    assert look(romeo).bodies == ["Peace?"]
    assert rows(hub, run) == 1


def test_what_comes_from_elsewhere_is_kept_for_its_receiver(romeo, comes, look):
    comes(ELSEWHERE, chat("romeo@hub.local", "Thou art a villain."))
    (heard,) = [text for text in romeo.heard if "villain" in text]
    page = look(romeo)
    assert page.bodies == ["Thou art a villain."]
    assert ids_in(heard) == [("romeo@hub.local", page.ids[0])]


def test_what_the_node_itself_says_is_kept(romeo, hub, look):
    hub.route(Stanza("message", E("body", None, "It burns!"), type="chat", sender=hub.host, to=romeo.jid.bare))
    assert look(romeo, with_="hub.local").bodies == ["It burns!"]


def test_a_note_to_oneself_is_one_message(romeo, look, hub, run):
    romeo.says(chat("romeo@hub.local", "Buy poison"))
    (heard,) = [text for text in romeo.heard if "poison" in text]
    page = look(romeo, with_="romeo@hub.local")
    assert page.bodies == look(romeo).bodies == ["Buy poison"]
    assert ids_in(heard) == [("romeo@hub.local", page.ids[0])]
    assert rows(hub, run) == 1


def test_many_devices_make_no_second_copy(person, romeo, juliet, look, hub, run):
    for name in "abc":
        person(f"juliet@hub.local/{name}").says("<presence/>").says(
            f"<iq type='set' id='e'><enable xmlns='{CARBONS}'/></iq>"
        )
    romeo.says(chat("juliet@hub.local", "Soft!")).says(chat("juliet@hub.local/balcony", "Soft again!"))
    assert look(juliet).bodies == ["Soft!", "Soft again!"]
    assert rows(hub, run) == 2


def test_carbons_tell_each_side_its_own_id(person, romeo, juliet, look):
    enable = f"<iq type='set' id='e'><enable xmlns='{CARBONS}'/></iq>"
    desk = person("romeo@hub.local/desk").says(enable)
    watch = person("juliet@hub.local/watch").says(enable)
    for each in (desk, watch, juliet):
        each.forgets()
    romeo.says(chat(juliet.jid, "Soft!"))
    copies = {}
    for each, name in ((desk, "sent"), (watch, "received")):
        (text,) = each.heard
        message = read_stanza(text).find(name, CARBONS).find("forwarded", "urn:xmpp:forward:0").elements[0]
        copies[name] = ids_in(str(message))
    (heard,) = juliet.heard
    assert copies["sent"] == [("romeo@hub.local", look(romeo).ids[0])]
    assert copies["received"] == ids_in(heard) == [("juliet@hub.local", look(juliet).ids[0])]


def test_whoever_is_blocked_has_said_nothing(romeo, juliet, look):
    juliet.says("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@hub.local'/></block></iq>")
    romeo.says(chat("juliet@hub.local", "Soft!"))
    assert look(juliet).bodies == []
    assert look(romeo).bodies == ["Soft!"]


def test_whom_one_blocks_one_has_not_written_to(romeo, juliet, look):
    romeo.says("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='juliet@hub.local'/></block></iq>")
    romeo.says(chat("juliet@hub.local", "Soft!"))
    assert look(romeo).bodies == look(juliet).bodies == []


def test_what_is_refused_because_too_much_waits_is_not_there(romeo, person, look, monkeypatch, comes):
    monkeypatch.setattr("node.features.offline.MESSAGES_LIMIT", 1)
    person("juliet@hub.local/b").leaves()
    romeo.says(chat("juliet@hub.local", "one")).says(chat("juliet@hub.local", "two"))
    comes(ELSEWHERE, chat("juliet@hub.local", "three"))
    comes(ELSEWHERE, chat("juliet@hub.local", "four"))
    assert look(romeo).bodies == ["one", "two"]  # that is what he has said
    assert look(person("juliet@hub.local/b")).bodies == ["one", "three"]


def test_a_message_that_waits_comes_with_its_id(romeo, person, look):
    person("juliet@hub.local/b").leaves()
    romeo.says(chat("juliet@hub.local", "Soft!"))
    juliet = person("juliet@hub.local/b").says("<presence/>")
    (heard,) = [text for text in juliet.heard if "Soft!" in text]
    assert ids_in(heard) == [("juliet@hub.local", look(juliet).ids[0])]


@pytest.mark.parametrize("type", ["chat", "normal", None, "groupchat", "headline", "error"])
def test_rooms_headlines_and_errors_are_no_conversations(romeo, juliet, look, type, comes):
    kind = f" type='{type}'" if type else ""
    comes(ELSEWHERE, f"<message to='romeo@hub.local/orchard'{kind} id='1'><body>x</body></message>")
    juliet.says(f"<message to='romeo@hub.local/orchard'{kind} id='1'><body>x</body></message>")
    kept = type in ("chat", "normal", None)
    assert len(look(romeo).bodies) == 2 * kept
    assert len(look(juliet).bodies) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("<received xmlns='urn:xmpp:receipts' id='1'/>", True),
        ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", True),
        ("<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>x</reaction></reactions>", True),
        ("<encrypted xmlns='urn:xmpp:omemo:2'/>", True),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", False),
        ("<body>x</body><no-store xmlns='urn:xmpp:hints'/>", False),
        ("<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>", False),
        ("<body>x</body><private xmlns='urn:xmpp:carbons:2'/>", True),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/>", True),
    ],
)
def test_a_device_that_was_away_finds_what_it_needs(romeo, juliet, look, said, kept):
    romeo.says(f"<message to='juliet@hub.local' type='chat' id='1'>{said}</message>")
    (heard,) = [text for text in juliet.heard if "<message " in text]
    assert bool(ids_in(heard)) == kept
    assert len(look(romeo).ids) == len(look(juliet).ids) == kept


# Whose word an id is


@pytest.mark.parametrize(
    "by",
    ["juliet@hub.local", "JULIET@hub.local", "juliet@HUB.LOCAL", "juliet@hub.local/b", "juliet@hub.local."]
    + ["ju&#108;iet@hub.local", "ｊｕｌｉｅｔ@hub.local", "hub.local", "romeo@hub.local", "nobody@hub.local"],
)
def test_S5_nobody_else_says_an_id_of_ours(romeo, juliet, comes, look, by):
    forged = f"<stanza-id xmlns='{SID}' by='{by}' id='forged'/>"
    comes(ELSEWHERE, chat("juliet@hub.local", "x", more=forged * 3))
    romeo.says(chat("juliet@hub.local", "y", more=forged))
    messages = [text for text in juliet.heard if "<body>" in text]
    page = look(juliet)
    assert [ids_in(text) for text in messages] == [[("juliet@hub.local", id)] for id in page.ids]
    assert "forged" not in "".join(map(str, page.results))


def test_S5_what_others_call_a_message_stays(juliet, comes, look):
    theirs = f"<stanza-id xmlns='{SID}' by='tybalt@elsewhere.example' id='theirs'/><origin-id xmlns='{SID}' id='o'/>"
    comes(ELSEWHERE, chat("juliet@hub.local", "x", more=theirs))
    (heard,) = [text for text in juliet.heard if "<body>" in text]
    page = look(juliet)
    by_him = ("tybalt@elsewhere.example", "theirs")
    assert ids_in(heard) == [by_him, ("juliet@hub.local", page.ids[0])]
    assert ids_in(str(page.messages[0][2])) == [by_him]
    assert "<origin-id " in heard and "<origin-id " in str(page.messages[0][2])


def test_S3_a_page_of_an_archive_is_not_forged_nor_kept(romeo, juliet, comes, look):
    inner = "<message xmlns='jabber:client' from='juliet@hub.local'><body>I hate thee</body></message>"
    forged = f"<result xmlns='{NS}' id='1'><forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></result>"
    assert juliet.heard
    romeo.says(f"<message to='{juliet.jid}'>{forged}<fin xmlns='{NS}'/></message>")
    romeo.says(f"<message to='{juliet.jid}' type='chat'>{2 * forged}<body>hi</body></message>")
    heard = juliet.heard
    assert "hate" not in "".join(heard) and "<fin" not in "".join(heard)
    # A room elsewhere answers so, in its own name; that is no conversation.
    comes("room@rooms.example", f"<message to='{juliet.jid}'>{forged}</message>")
    assert forged in juliet.heard[0]
    assert look(juliet).bodies == ["hi"]


def test_what_comes_a_second_time_is_not_kept_again(juliet, romeo, hub, look):
    romeo.says(chat("juliet@hub.local", "Soft!"))
    id = look(juliet).ids[0]
    again = Stanza(
        "message",
        E("body", None, "Soft!"),
        E("stanza-id", SID, by="juliet@hub.local", id=id),
        type="chat",
        sender=romeo.jid,
        to=juliet.jid.bare,
    )
    hub.route(again)
    (heard,) = [text for text in juliet.heard if "<body>" in text]
    assert ids_in(heard) == [("juliet@hub.local", id)]
    assert look(juliet).ids == [id]


def test_what_another_guard_has_changed_on_its_way_is_not_kept_again(romeo, juliet, look, hub, run):
    hub.guard("leaving", "message", lambda message, origin: message.plus("urn:x\x01x", b"<x xmlns='urn:x'/>"))
    romeo.says(chat("juliet@hub.local", "Soft!"))
    assert look(romeo).bodies == look(juliet).bodies == ["Soft!"]
    assert rows(hub, run) == 1


# What others ask


def test_the_ends_of_an_archive_tell_also_what_is_not_on_disk_yet(romeo, juliet, archive, hub, monkeypatch, look):
    assert archive.ends(juliet.jid.bare) is None
    romeo.says(chat("juliet@hub.local", "first"))
    monkeypatch.setattr("node.hub.store.PATIENCE", 3600)
    ids = look(juliet).ids
    for event in romeo.framing.feed(chat("juliet@hub.local", "last").encode()):
        event.sender = romeo.jid
        hub.route(event, romeo)
    first, last = archive.ends(juliet.jid.bare)
    assert first[0] == ids[0] and last[0] not in ids
    page = look(juliet)
    assert page.ids == [first[0], last[0]]
    assert [stamp for _, stamp, _ in page.messages] == [first[1], last[1]]


def test_an_id_is_known_on_the_way_to_those_who_may_know_it(romeo, juliet, archive, hub, look):
    owners = [parse(f"{name}@hub.local") for name in ("romeo", "juliet", "nurse")]
    known = []
    hub.watch("leaving", "message", lambda it, origin: known.append([archive.id_of(owner, it) for owner in owners]))
    romeo.says(chat("juliet@hub.local", "Soft!"))
    romeo.says("<message to='juliet@hub.local' type='headline'><body>x</body></message>")
    id = look(romeo).ids[0]
    assert known == [[id, look(juliet).ids[0], None], [None, None, None]]
    assert [archive.holds(owner, id) for owner in owners] == [True, False, False]


@pytest.mark.parametrize("options", [{"keep_days": -1}, {"megabytes": -1}])
def test_options_are_sane(options):
    with pytest.raises(ValueError, match="must be 0 or more"):
        Options(**options)


def test_what_it_can_do_is_told(romeo):
    info = "<iq type='get' id='d' to='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    assert romeo.heard
    romeo.says(info.format("romeo@hub.local")).says(info.format("hub.local"))
    account, host = romeo.heard
    for feature in (NS, f"{NS}#extended", f"{NS}#groupchat-field", SID, "http://jabber.org/protocol/rsm"):
        assert f"<feature var='{feature}'/>" in account
    for feature in ("urn:xmpp:message-retract:1", "urn:xmpp:message-retract:1#tombstone"):
        assert f"<feature var='{feature}'/>" in account and f"<feature var='{feature}'/>" in host
    assert NS not in host
