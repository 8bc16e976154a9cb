"""A14: asking tells nobody who has an account."""

import pytest

QUESTIONS = {
    "ping": "<ping xmlns='urn:xmpp:ping'/>",
    "vcard": "<vCard xmlns='vcard-temp'/>",
    "last": "<query xmlns='jabber:iq:last'/>",
    "version": "<query xmlns='jabber:iq:version'/>",
    "time": "<time xmlns='urn:xmpp:time'/>",
    "roster": "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>",
    "block": "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
    "blocklist": "<blocklist xmlns='urn:xmpp:blocking'/>",
    "info": "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "items": "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "node": "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    "command": "<command xmlns='http://jabber.org/protocol/commands' node='set'/>",
    "session": "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
    "private": "<query xmlns='jabber:iq:private'><a xmlns='b'/></query>",
    "register": "<query xmlns='jabber:iq:register'/>",
    "archive": "<query xmlns='urn:xmpp:mam:2'/>",
    "pubsub": "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:avatar:data'/></pubsub>",
}
SAID = [
    *(f"<iq type='{type}' id='1' to='{{}}'>{asked}</iq>" for asked in QUESTIONS.values() for type in ("get", "set")),
    *(f"<iq type='get' id='1' to='{{}}/nowhere'>{asked}</iq>" for asked in QUESTIONS.values()),
    *(
        f"<presence type='{type}' id='1' to='{{}}'/>"
        for type in ("probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "unavailable", "error")
    ),
    "<presence id='1' to='{}'/>",
    "<message type='groupchat' id='1' to='{}'><body>x</body></message>",
    "<message type='error' id='1' to='{}'/>",
]


@pytest.mark.parametrize("said", SAID)
def test_A14_who_is_here_away_blocking_and_nobody_answer_alike(hub, person, run, said):
    eve = person("eve@hub.local/x")
    person("juliet@hub.local/b").says("<presence/>").says("<iq type='set' id='1'><vCard xmlns='vcard-temp'/></iq>")
    romeo = person("romeo@hub.local/a").says("<presence/>")
    romeo.says("<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='eve@hub.local'/></block></iq>")
    run(hub.accounts.create("paris", "secret"))
    answers = {}
    for name in ("juliet", "romeo", "paris", "nobody"):
        eve.says(said.format(f"{name}@hub.local"))
        answers[name] = [text.replace(name, "name") for text in eve.heard]
    if "<vCard " in said and "type='get'" in said and "nowhere" not in said:
        assert "type='result'" in answers.pop("juliet")[0]  # she has put up a card, for everybody
    assert all(answer == answers["nobody"] for answer in answers.values()), answers
