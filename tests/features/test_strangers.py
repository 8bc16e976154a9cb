"""What people of other servers get, and what they cannot do: the rows of the attack catalogue, by their ids."""

import pytest

from node.base.jid import parse
from node.features.strangers import ASKED, Options
from node.hub.database import Database
from tests.conftest import settle
from tests.features.test_privacy import QUESTIONS
from tests.things.conftest import stanza_of

EVE = "eve@far.example/x"


@pytest.fixture
def eve(hub):
    """`eve(xml)` says it by a link, and gives what goes back to her server; or somebody else does."""
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza.to_bytes("jabber:server").decode())

    def says(xml, sender=EVE):
        stanza = stanza_of(xml)
        stanza.sender = parse(sender)
        hub.route(stanza, object())
        settle(hub)
        heard = sent[:]
        sent.clear()
        return heard

    return says


@pytest.fixture
def romeo(person):
    romeo = person("romeo@hub.local/a").says("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    romeo.says("<presence/>")
    assert romeo.heard
    return romeo


UNAVAILABLE = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"


@pytest.mark.parametrize("to", ["nobody@hub.local", "nobody@hub.local/a", "romeo@hub.local/nowhere"])
def test_F9_who_is_not_there_takes_no_question(eve, romeo, to):
    (answer,) = eve(f"<iq type='get' id='1' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert answer == f"<iq to='{EVE}' from='{to}' type='error' id='1'>{UNAVAILABLE}</iq>"


@pytest.mark.parametrize("type", ["chat", "normal", "headline", "groupchat"])
def test_F9_who_is_not_there_takes_no_message(eve, type):
    answers = eve(f"<message type='{type}' id='1' to='nobody@hub.local'><body>x</body></message>")
    assert answers == [f"<message to='{EVE}' from='nobody@hub.local' type='error' id='1'>{UNAVAILABLE}</message>"]


@pytest.mark.parametrize("type", ["subscribe", "probe", "unsubscribe", "subscribed", "unsubscribed", "unavailable"])
def test_F9_who_asks_for_a_subscription_of_nobody_hears_nothing(eve, type):
    assert eve(f"<presence type='{type}' id='1' to='nobody@hub.local'/>") == []


@pytest.mark.parametrize("asked", QUESTIONS)
@pytest.mark.parametrize("to", ["romeo@hub.local", "hub.local"])
def test_L23_a_stranger_gets_small_answers_and_no_disk_is_read_for_him(eve, romeo, monkeypatch, asked, to):
    """All but a vCard, which is everybody's to see, and as large as its owner has made it (test_vcard)."""
    reads, read = [], Database.read
    monkeypatch.setattr(Database, "read", lambda self, *about: reads.append(about) or read(self, *about))
    for type in ("get", "set"):
        question = f"<iq type='{type}' id='1' to='{to}'>{QUESTIONS[asked]}</iq>"
        (answer,) = eve(question)
        # The features of the server are the longest; the rest repeats the address and says no.
        assert len(answer) < (4096 if (asked, to) == ("info", "hub.local") else 512)
    assert [about for about in reads if asked != "vcard" or to != "romeo@hub.local"] == []


def test_S4_a_push_of_a_roster_by_somebody_else_has_his_name_on_it(eve, romeo):
    push = "<query xmlns='jabber:iq:roster'><item jid='evil@far.example' subscription='both'/></query>"
    assert eve(f"<iq type='set' id='1' to='romeo@hub.local/a'>{push}</iq>") == []
    assert romeo.heard == [f"<iq type='set' id='1' from='{EVE}' to='romeo@hub.local/a'>{push}</iq>"]
    for to in ("romeo@hub.local", "nobody@hub.local"):
        (answer,) = eve(f"<iq type='set' id='1' to='{to}'>{push}</iq>")
        assert answer == f"<iq to='{EVE}' from='{to}' type='error' id='1'>{UNAVAILABLE}</iq>"
    (answer,) = eve(f"<iq type='set' id='1' to='hub.local'>{push}</iq>")
    assert "<service-unavailable " in answer
    romeo.says("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    assert "evil" not in romeo.heard[0]


def test_S6_an_answer_to_what_nobody_asked_has_no_effect(eve, romeo):
    for to in ("hub.local", "romeo@hub.local", "nobody@hub.local"):
        for type in ("result", "error"):
            assert eve(f"<iq type='{type}' id='1' to='{to}'/>") == []
    assert romeo.heard == []


def test_P2_a_stranger_asks_once(eve, romeo, hub, person):
    for _ in range(50):
        eve("<presence type='subscribe' to='romeo@hub.local'/>")
    asked = "<presence type='subscribe' from='eve@far.example' to='romeo@hub.local'/>"
    assert romeo.heard == [asked]
    romeo.leaves()
    for _ in range(50):
        eve("<presence type='subscribe' to='romeo@hub.local'/>")
    again = person("romeo@hub.local/b").says("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    again.says("<presence/>")
    assert again.heard.count(asked) == 1


# P2: how much a stranger says

MESSAGE = "<message type='chat' id='1' to='romeo@hub.local'><body>x</body></message>"
TOO_MUCH = (
    "<error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Strangers may say no more for now</text></error>"
)


@pytest.fixture
def few(hub):
    """Three an hour by one address, five by a domain."""
    hub.need("strangers").reload(Options(by_address=3, by_domain=5))


@pytest.fixture
def tries(eve, romeo):
    """How many of ten messages come through."""

    def tries(sender=EVE, xml=MESSAGE):
        romeo.ears.clear()
        for _ in range(10):
            eve(xml, sender)
        return len(romeo.heard)

    return tries


def test_P2_a_stranger_who_says_too_much_hears_that_it_is_a_rule_and_that_it_passes(eve, romeo, few, hub, run):
    assert [eve(MESSAGE) for _ in range(3)] == [[], [], []]
    assert eve(MESSAGE) == [f"<message to='{EVE}' from='romeo@hub.local' type='error' id='1'>{TOO_MUCH}</message>"]
    assert len(romeo.heard) == 3
    run(hub.store.archive.committed())
    assert hub.store.archive.read("SELECT count(*) FROM stanzas") == [(3,)]


def test_P2_the_rest_comes_back_as_time_goes_by(hub, tries, few, monkeypatch):
    assert tries() == 3
    later = hub.loop.time() + 1200
    monkeypatch.setattr(hub.loop, "time", lambda: later)
    assert tries() == 1


def test_P2_addresses_of_one_domain_share_and_those_of_others_do_not(tries, few):
    assert [tries(f"{name}/{name}") for name in ("eve@far.example", "adam@far.example", "abel@near.example")] == [
        3,
        2,
        3,
    ]


def test_P2_who_is_in_the_roster_or_lives_here_is_no_stranger(romeo, person, tries, few):
    romeo.says("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='eve@far.example'/></query></iq>")
    assert tries() == 10
    juliet = person("juliet@hub.local/b")
    romeo.ears.clear()
    for _ in range(10):
        juliet.says(MESSAGE)
    assert len(romeo.heard) == 10


SPEAKING = {
    "words": "<message to='eve@far.example'><body>x</body></message>",
    "a room": "<presence to='eve@far.example/romeo'/>",
    "a call": "<iq type='set' id='1' to='eve@far.example/x'><jingle xmlns='urn:xmpp:jingle:1'/></iq>",
}
BY_ITSELF = {
    "a receipt": "<message to='eve@far.example'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    "a question": "<iq type='get' id='1' to='eve@far.example/x'><ping xmlns='urn:xmpp:ping'/></iq>",
    "good-bye": "<presence to='eve@far.example/romeo' type='unavailable'/>",
}


@pytest.mark.parametrize("said", [*SPEAKING, *BY_ITSELF])
def test_P2_to_whom_one_speaks_he_may_answer_but_not_to_what_a_client_does_by_itself(romeo, tries, few, said):
    romeo.says((SPEAKING | BY_ITSELF)[said])
    assert tries() == (10 if said in SPEAKING else 3)


def test_P2_a_room_that_was_joined_before_the_node_was_started_again_goes_on(hub, romeo, tries, few):
    romeo.says("<presence to='eve@far.example/romeo'/>")
    hub.need("strangers").spoken.clear()
    assert tries(xml="<message type='groupchat' to='romeo@hub.local/a'><body>x</body></message>") == 10
    hub.need("strangers").note("somebody", "else")
    assert hub.need("strangers").has_spoken(romeo.jid.bare, parse(EVE).bare)


def test_P2_of_all_to_whom_people_have_spoken_the_last_are_known(hub, romeo, monkeypatch):
    monkeypatch.setattr("node.features.strangers.SPOKEN_LIMIT", 2)
    hub.remote = lambda stanza, origin: None
    for name in "abc":
        romeo.says(f"<message to='{name}@far.example'><body>x</body></message>")
    known = hub.need("strangers").spoken
    assert [to for _, to in known] == ["b@far.example", "c@far.example"]


def test_P2_presence_and_questions_count_and_what_is_too_much_is_as_if_nobody_were_there(eve, romeo, few):
    for _ in range(3):
        eve("<presence to='romeo@hub.local'/>")
    romeo.ears.clear()
    assert eve("<presence to='romeo@hub.local'/>") == eve("<presence type='subscribe' to='romeo@hub.local'/>") == []
    (answer,) = eve("<iq type='get' id='1' to='romeo@hub.local/a'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert answer == f"<iq to='{EVE}' from='romeo@hub.local/a' type='error' id='1'>{UNAVAILABLE}</iq>"
    assert eve("<message type='error' to='romeo@hub.local/a'/>") == []
    assert romeo.heard == []
    eve("<iq type='result' id='7' to='romeo@hub.local/a'/>")  # he may have asked
    assert len(romeo.heard) == 1


def test_P2_where_only_contacts_are_heard_nobody_is_there_for_others_but_they_may_ask(hub, eve, romeo):
    hub.need("strangers").reload(Options(contacts_only=True))
    assert eve(MESSAGE) == [f"<message to='{EVE}' from='romeo@hub.local' type='error' id='1'>{UNAVAILABLE}</message>"]
    (answer,) = eve("<iq type='get' id='1' to='romeo@hub.local/a'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert answer == f"<iq to='{EVE}' from='romeo@hub.local/a' type='error' id='1'>{UNAVAILABLE}</iq>"
    assert eve("<presence to='romeo@hub.local'/>") == []
    assert romeo.heard == []
    eve("<presence type='subscribe' to='romeo@hub.local'/>")
    assert len(romeo.heard) == 1
    romeo.says("<message to='eve@far.example'><body>Who are you?</body></message>")
    his_own, *answers = eve(MESSAGE)
    assert answers == []
    assert len(romeo.heard) == 1


def test_P2_of_things_the_access_table_says_who_may_what(hub, eve, porch):
    hub.need("strangers").reload(Options(contacts_only=True))
    (answer,) = eve("<message type='chat' to='porch@hub.local'><body>help</body></message>", "ben@friend.example/x")
    assert "<body>" in answer


@pytest.mark.parametrize("name", ["by_address", "by_domain"])
def test_P2_a_limit_of_nothing_is_a_mistake(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more"):
        Options(**{name: 0})


# L23: what a stranger asks


def test_L23_cards_are_shown_to_a_stranger_so_often_and_then_as_if_there_were_none(hub, eve, romeo, person):
    romeo.says("<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard></iq>")
    asked = "<iq type='get' id='1' to='romeo@hub.local'><vCard xmlns='vcard-temp'/></iq>"
    answers = [eve(asked)[0] for _ in range(ASKED + 1)]
    assert all("<FN>Romeo</FN>" in answer for answer in answers[:-1])
    assert answers[-1] == f"<iq to='{EVE}' from='romeo@hub.local' type='error' id='1'>{UNAVAILABLE}</iq>"
    assert "<FN>" in eve(asked, "abel@near.example/x")[0]
    juliet = person("juliet@hub.local/b")
    for _ in range(ASKED + 1):
        juliet.says(asked)
    assert all("<FN>" in answer for answer in juliet.heard)
    romeo.says("<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='eve@far.example'/></query></iq>")
    assert "<FN>" in eve(asked)[0]


@pytest.mark.parametrize("what", ["info", "items"])
def test_L23_what_the_server_is_it_tells_a_stranger_so_often(eve, romeo, what):
    asked = f"<iq type='get' id='1' to='hub.local'>{QUESTIONS[what]}</iq>"
    answers = [eve(asked)[0] for _ in range(ASKED + 1)]
    assert all("type='result'" in answer for answer in answers[:-1])
    assert "<error type='wait'><policy-violation " in answers[-1]
    for _ in range(ASKED + 1):
        romeo.says(asked)
    assert all("type='result'" in answer for answer in romeo.heard)
