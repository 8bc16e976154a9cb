"""XEP-0334: which messages are kept, for a while and for good."""

import pytest

from node.base.element import E
from node.base.hints import NS, worth_archiving, worth_keeping
from node.base.stanza import Stanza

BODY = E("body", None, "hi")
STATE = E("composing", "http://jabber.org/protocol/chatstates")
STORE, NO_STORE, NO_PERMANENT_STORE, NO_COPY = (
    E(name, NS) for name in ("store", "no-store", "no-permanent-store", "no-copy")
)
RECEIPT = E("received", "urn:xmpp:receipts", id="1")


@pytest.mark.parametrize(
    "children",
    [
        [BODY],
        [BODY, STATE],
        [STATE, STORE],
        [RECEIPT],
        [E("displayed", "urn:xmpp:chat-markers:0", id="1")],
        [E("reactions", "urn:xmpp:reactions:0", id="1")],
        [E("retract", "urn:xmpp:message-retract:1", id="1")],
        [E("encrypted", "eu.siacs.conversations.axolotl")],
        [E("subject", None, "Party")],
        [E("x", "jabber:x:conference", jid="room@rooms.example")],
        [E("propose", "urn:xmpp:jingle-message:0", id="1")],
        [E("thread", None, "t"), RECEIPT],
    ],
    ids=str,
)
def test_what_says_something_is_kept(children):
    assert worth_keeping(Stanza("message", *children))
    assert worth_archiving(Stanza("message", *children, type="chat"))


@pytest.mark.parametrize(
    "children",
    [
        [],
        [STATE],
        [E("thread", None, "t"), STATE],
        [NO_COPY, STATE],
        [E("origin-id", "urn:xmpp:sid:0", id="1"), STATE],
        [E("delay", "urn:xmpp:delay"), STATE],
        [E("result", "urn:xmpp:mam:2", id="1")],
        [E("fields", "urn:xmpp:iot:sensordata")],
        [E("resp", "urn:nf:iot:sd:1.0")],
        [E("resp", "urn:ieee:iot:sd:1.0")],
    ],
    ids=str,
)
def test_what_is_of_the_moment_is_not(children):
    assert not worth_keeping(Stanza("message", *children))
    assert not worth_archiving(Stanza("message", *children))


@pytest.mark.parametrize("hint", [NO_STORE, NO_PERMANENT_STORE], ids=str)
def test_who_wants_no_record_gets_none(hint):
    assert not worth_archiving(Stanza("message", BODY, hint))
    assert not worth_archiving(Stanza("message", BODY, STORE, hint))
    assert worth_keeping(Stanza("message", BODY, hint))  # until it is delivered


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_a_hint_makes_no_conversation_of_what_is_none(type):
    assert not worth_archiving(Stanza("message", BODY, STORE, type=type))


@pytest.mark.parametrize("type", [None, "normal", "chat", "unheard-of"])
def test_a_conversation_is_chat_or_normal(type):
    assert worth_archiving(Stanza("message", BODY, type=type))
