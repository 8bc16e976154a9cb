"""S5, S7: nobody says what only the server may say."""

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from tests.conftest import read_stanza

DELAY = "<delay xmlns='urn:xmpp:delay' from='{}' stamp='2001-01-01T00:00:00Z'/>"
OLD_DELAY = "<x xmlns='jabber:x:delay' from='{}' stamp='20010101T00:00:00'/>"
STANZA_ID = "<stanza-id xmlns='urn:xmpp:sid:0' by='{}' id='1'/>"
BODY = "<body>hello</body>"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/b")


@pytest.mark.parametrize(
    "claim",
    [
        DELAY.format("hub.local"),
        DELAY.format("HUB.local"),
        DELAY.format("hub.local/offline"),
        DELAY.format("juliet@hub.local"),
        OLD_DELAY.format("hub.local"),
        STANZA_ID.format("hub.local"),
        STANZA_ID.format("juliet@hub.local"),
        STANZA_ID.format("romeo@hub.local"),
        3 * STANZA_ID.format("Juliet@hub.local"),
        DELAY.format("hub.local") + BODY + DELAY.format("hub.local"),
    ],
)
@pytest.mark.parametrize("name", ["message", "presence"])
def test_S5_S7_what_only_the_server_may_say_is_taken_out(romeo, juliet, name, claim):
    romeo.says(f"<{name} to='juliet@hub.local/b' id='1' xml:lang='en'><thread>t</thread>{claim}</{name}>")
    body = BODY if BODY in claim else ""
    assert juliet.heard == [
        f"<{name} to='juliet@hub.local/b' from='romeo@hub.local/a' id='1' xml:lang='en'>"
        f"<thread>t</thread>{body}</{name}>"
    ]


@pytest.mark.parametrize(
    "said",
    [
        DELAY.format("elsewhere.example"),
        DELAY.format("romeo@hub.local/a"),
        DELAY.format("@"),
        STANZA_ID.format("room@elsewhere.example"),
        "<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/>",
        "<delay xmlns='urn:test' from='hub.local'/>",
        f"<forwarded xmlns='urn:xmpp:forward:0'>{DELAY.format('hub.local')}</forwarded>",
    ],
)
def test_what_others_say_passes_as_it_is(romeo, juliet, said):
    romeo.says(f"<message to='juliet@hub.local/b'>{said}</message>")
    assert juliet.heard == [f"<message to='juliet@hub.local/b' from='romeo@hub.local/a'>{said}</message>"]


RESULT = "<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'/></result>"
FIN = "<fin xmlns='urn:xmpp:mam:2'/>"


@pytest.mark.parametrize("claim", [RESULT, FIN, RESULT + BODY + 2 * RESULT])
def test_S3_no_account_here_answers_for_an_archive(romeo, juliet, claim):
    romeo.says(f"<message to='juliet@hub.local/b' id='1'><thread>t</thread>{claim}</message>")
    body = BODY if BODY in claim else ""
    assert juliet.heard == [
        f"<message to='juliet@hub.local/b' from='romeo@hub.local/a' id='1'><thread>t</thread>{body}</message>"
    ]


def test_a_room_elsewhere_does(juliet, hub):
    children = read_stanza(f"<message>{RESULT}{FIN}</message>").elements
    room = parse("room@rooms.example")
    hub.route(Stanza("message", *children, to=juliet.jid, sender=room), object())
    assert juliet.heard == [f"<message to='juliet@hub.local/b' from='{room}'>{RESULT}{FIN}</message>"]


def test_what_an_iq_asks_is_no_claim(romeo, juliet):
    romeo.says(f"<iq type='set' id='1' to='juliet@hub.local/b'>{STANZA_ID.format('hub.local')}</iq>")
    assert len(juliet.heard) == 1


def test_a_message_that_waited_is_stamped_by_the_server_alone(romeo, person, run, hub):
    run(hub.accounts.create("juliet", "secret"))
    romeo.says(f"<message to='juliet@hub.local' type='chat'>{BODY}{DELAY.format('hub.local')}</message>")
    juliet = person("juliet@hub.local/b").says("<presence/>")
    (message,) = [text for text in juliet.heard if BODY in text]
    assert message.count("<delay ") == 1 and "2001" not in message
