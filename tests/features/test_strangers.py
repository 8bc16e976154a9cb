"""What people of other servers get, and what they cannot do: the rows of the attack catalogue, by their ids."""

import pytest

from node.base.jid import parse
from node.hub.database import Database
from tests.conftest import settle
from tests.features.test_privacy import QUESTIONS
from tests.things.conftest import stanza_of

EVE = "eve@far.example/x"


@pytest.fixture
def eve(hub):
    """`eve(xml)` says it by a link, and gives what goes back to her server."""
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza.to_bytes("jabber:server").decode())

    def says(xml):
        stanza = stanza_of(xml)
        stanza.sender = parse(EVE)
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
