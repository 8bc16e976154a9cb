"""Reading needs a subscription, control needs a grant, and for a stranger there is nobody."""

import logging

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.things.access import BROUGHT, Options, Rights
from tests.conftest import Heard
from tests.things.conftest import stanza_of

VERSION = "<query xmlns='jabber:iq:version'/>"
SET = "<set xmlns='urn:nf:iot:ctr:1.0'><b n='lamp' v='true'/></set>"
QUESTIONS = (
    f"<iq type='get' id='1' to='%s'>{VERSION}</iq>",
    "<iq type='get' id='1' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq type='get' id='1' to='%s'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>",
    "<iq type='get' id='1' to='%s'><req xmlns='urn:nf:iot:sd:1.0' id='1'/></iq>",
    f"<iq type='set' id='1' to='%s'>{SET}</iq>",
    "<iq type='set' id='1' to='%s'><command xmlns='http://jabber.org/protocol/commands' node='read'/></iq>",
    "<iq type='get' id='1' to='%s'><query xmlns='jabber:iq:last'/></iq>",
    "<iq type='get' id='1' to='%s'><nonsense xmlns='urn:nonsense'/></iq>",
    "<iq type='result' id='1' to='%s'/>",
    "<message id='1' type='chat' to='%s'><body>status</body></message>",
    "<message id='1' to='%s'><body>lamp on</body><request xmlns='urn:xmpp:receipts'/></message>",
    "<message id='1' type='headline' to='%s'><body>status</body></message>",
    "<message id='1' type='groupchat' to='%s'><body>status</body></message>",
    "<message id='1' type='error' to='%s'><body>status</body></message>",
    f"<message id='1' to='%s'>{SET}</message>",
    "<presence to='%s'/>",
    "<presence type='probe' to='%s'/>",
    "<presence type='subscribe' to='%s'/>",
    "<presence type='subscribed' to='%s'/>",
    "<presence type='unsubscribe' to='%s'/>",
    "<presence type='error' to='%s'/>",
)


def test_A14_a_stranger_hears_from_a_thing_what_a_missing_account_says(person, porch, board):
    eve = person("eve@hub.local/x")
    for resource in ("", "/hw", "/other"):
        for question in QUESTIONS:
            heard = eve.says(question % f"porch@hub.local{resource}").heard
            missing = eve.says(question % f"nobody@hub.local{resource}").heard
            assert heard == [Heard(each.replace("nobody", "porch")) for each in missing], question
    assert board.written == []


def test_a_stranger_of_another_server_hears_the_same(hub, porch, remote):
    def asks(question, name):
        stanza = stanza_of(question % f"{name}@hub.local")
        stanza.sender = parse("eve@elsewhere.example/x")
        hub.route(stanza, object())
        return [repr(each).replace("nobody", "porch") for each in remote()]

    for question in QUESTIONS:
        assert asks(question, "porch") == asks(question, "nobody"), question


def test_S14_one_whom_the_owner_removed_is_a_stranger_again(ben, ann):
    ann.says("<message to='porch@hub.local' id='d'><body>deny ben@hub.local</body></message>")
    gone, unsubscribed = [each for each in ben.heard if "<presence" in each]
    assert gone == "<presence type='unavailable' from='porch@hub.local/hw' to='ben@hub.local'/>"
    assert unsubscribed == "<presence type='unsubscribed' from='porch@hub.local' to='ben@hub.local'/>"
    (answer,) = ben.says(f"<iq type='get' id='1' to='porch@hub.local/hw'>{VERSION}</iq>").heard
    assert "service-unavailable" in answer


def test_S14_a_follower_may_read_and_not_control(ben, board, caplog):
    (answer,) = ben.says(f"<iq type='get' id='1' to='porch@hub.local'>{VERSION}</iq>").heard
    assert "type='result'" in answer
    (answer,) = ben.says(f"<iq type='set' id='2' to='porch@hub.local'>{SET}</iq>").heard
    assert "<error type='cancel'><forbidden" in answer
    assert board.written == []
    (line,) = [record for record in caplog.records if "refused" in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert "porch: ben@hub.local/desk may not control it" in line.getMessage()


def test_a_grant_is_enough_to_control_and_to_read(hub, porch, board, remote):
    for address, granted in (
        ("kim@friend.example/x", True),
        ("friend.example", False),  # the server itself is none of its accounts
        ("kim@sub.friend.example/x", False),
    ):
        asker = parse(address)
        assert hub.need("access").may_control(porch, asker) is granted
        assert hub.need("access").may_read(porch, asker) is granted
    stanza = stanza_of(f"<iq type='set' id='1' to='porch@hub.local/hw'>{SET}</iq>")
    stanza.sender = parse("kim@friend.example/x")
    hub.route(stanza, object())
    (answer,) = remote()
    assert answer.type == "result"
    assert board.written == [("lamp", "true")]


def test_with_access_empty_nobody_may_control(hub, ann, board):
    hub.need("access").allow(Options())
    (answer,) = ann.says(f"<iq type='set' id='1' to='porch@hub.local'>{SET}</iq>").heard
    assert "forbidden" in answer
    assert board.written == []


def test_only_accounts_of_this_node_that_are_named_one_by_one_are_owners(hub, porch):
    access = hub.need("access")
    access.allow(Options(control=["ann@hub.local", "@hub.local", "kim@friend.example"]))
    assert access.owners == ["ann@hub.local"]
    assert access.is_owner(parse("ann@hub.local/phone"))
    assert not access.is_owner(parse("ben@hub.local"))
    assert not access.is_owner(parse("kim@friend.example"))


@pytest.mark.parametrize("text", ["", "@", "hub.local", "ann@hub.local/phone", "a b@hub.local", "@x y"])
def test_what_is_no_address_in_access_is_refused_in_words(text):
    with pytest.raises(ValueError, match="^control: "):
        Options(control=[text])


def test_addresses_in_access_are_compared_prepared(hub, porch):
    access = hub.need("access")
    access.allow(Options(control=["Ann@HUB.local", "@Friend.Example"]))
    assert access.may_control(porch, parse("ann@hub.local/x"))
    assert access.may_control(porch, parse("kim@friend.example"))


def test_the_log_tells_of_grants_to_nobody_when_all_things_are_there(hub, person, porch, later, caplog):
    person("ben@hub.local/x")
    access = hub.need("access")
    access.allow(Options(control=["bne@hub.local"]))
    later(BROUGHT + 1)
    assert caplog.text == "", "the node has not been started"
    hub.tell("started")
    later(BROUGHT - 1)
    assert caplog.text == ""
    later(2)
    said = "[access] control: there is no bne@hub.local here; did you mean ben@hub.local?"
    assert [record.getMessage() for record in caplog.records] == [said]
    caplog.clear()
    for _ in range(2):  # the last one is looked at
        access.allow(Options(read=["ben@hub.local"], things={"proch": Rights()}))
    later(BROUGHT + 1)
    said = '[access.things."proch"]: there is no such thing here; did you mean porch?'
    assert [record.getMessage() for record in caplog.records] == [said]


def test_an_iq_for_a_resource_that_a_thing_has_not_is_unavailable(ann):
    (answer,) = ann.says(f"<iq type='get' id='1' to='porch@hub.local/other'>{VERSION}</iq>").heard
    assert "service-unavailable" in answer


def test_the_guard_leaves_people_alone(hub, person, porch):
    romeo, juliet = person("romeo@hub.local/a"), person("juliet@hub.local/b")
    hub.route(Stanza("message", to=juliet.jid, sender=romeo.jid, type="chat"))
    assert len(juliet.heard) == 1
