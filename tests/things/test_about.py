"""What a thing tells of itself: version, last activity, ping, time, and what it can do."""

import re

from node.base.jid import parse
from node.hub.thing import Thing


def ask(person, inner, to="porch@hub.local/hw"):
    (answer,) = person.says(f"<iq type='get' to='{to}' id='1'>{inner}</iq>").heard
    return answer


def test_pr_8_the_version_is_that_of_the_board(ben, board):
    answer = ask(ben, "<query xmlns='jabber:iq:version'/>")
    assert "<name>Uno</name><version>1.2</version><os>Linux</os>" in answer
    board.about = {}
    assert "<name>hobnode</name><version>unknown</version>" in ask(ben, "<query xmlns='jabber:iq:version'/>")


def test_pr_8_last_activity_is_the_age_of_the_last_reading(ben, porch):
    porch.now = lambda: porch.last + 903.7
    for address in ("porch@hub.local", "porch@hub.local/hw"):
        assert "<query xmlns='jabber:iq:last' seconds='903'/>" in ask(ben, "<query xmlns='jabber:iq:last'/>", address)
    porch.reason = "USB cable gone"
    assert "seconds='903'>USB cable gone</query>" in ask(ben, "<query xmlns='jabber:iq:last'/>")
    porch.now = lambda: 0.0
    assert "seconds='0'" in ask(ben, "<query xmlns='jabber:iq:last'/>")


def test_pr_9_ping_and_time_are_answered(ben):
    assert ask(ben, "<ping xmlns='urn:xmpp:ping'/>") == (
        "<iq type='result' id='1' from='porch@hub.local/hw' to='ben@hub.local/desk'/>"
    )
    answer = ask(ben, "<time xmlns='urn:xmpp:time'/>")
    assert re.search(r"<tzo>[+-]\d\d:\d\d</tzo><utc>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ</utc>", answer)


def test_pr_3_a_thing_goes_by_its_label_and_its_capabilities_by_none(ben):
    """XEP-0030 §3.1; who asks the resource looks whether the answer fits the hash of its presence."""
    disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    assert "<identity category='client' type='bot' name='Porch'/>" in ask(ben, disco, "porch@hub.local")
    assert "<identity category='client' type='bot' name='hobnode'/>" in ask(ben, disco, "porch@hub.local/hw")


def test_pr_2_the_node_of_the_capabilities_is_answered_with_the_same(ben):
    presence = ben.says("<presence to='porch@hub.local' type='probe'/>").heard[0]
    node, version = (re.search(f" {name}='([^']*)'", presence)[1] for name in ("node", "ver"))
    node = f"{node}#{version}"
    disco = "<query xmlns='http://jabber.org/protocol/disco#info'%s/>"
    plain, noded = ask(ben, disco % ""), ask(ben, disco % f" node='{node}'")
    assert noded.replace(f" node='{node}'", "") == plain
    assert plain.count("<identity ") == 1
    features = re.findall("<feature var='([^']*)'/>", plain)
    assert len(features) == len(set(features))
    assert {
        "urn:xmpp:ping",
        "urn:xmpp:time",
        "jabber:iq:last",
        "jabber:iq:version",
        "urn:xmpp:receipts",
    } <= set(features)


def test_pr_3_equal_things_share_one_hash(hub, porch, board):
    other = Thing(jid=parse("cellar@hub.local"), label="Cellar", kind="script", driver=board)
    hub.things[other.jid] = other
    hub.tell("thing", other)
    followers = hub.need("followers")
    porch_caps = followers.current(porch).child("c", "http://jabber.org/protocol/caps")
    assert "porch" not in repr(porch_caps).lower()
    other.online, other.readings = True, porch.readings
    followers.changed(other, set())
    assert followers.current(other).child("c", "http://jabber.org/protocol/caps") == porch_caps


def test_a_command_that_a_thing_does_not_know_is_unavailable(ann):
    assert "service-unavailable" in ask(ann, "<nonsense xmlns='urn:nonsense'/>")
