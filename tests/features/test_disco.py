"""XEP-0030: who asks the server, an account or a thing hears what he may."""

from dataclasses import dataclass

import pytest

from node.base.element import E
from node.base.jid import Jid, parse
from node.features.roster import Item

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"


def ask(ns, to, node=None):
    at_node = "" if node is None else f" node='{node}'"
    return f"<iq type='get' id='d' to='{to}'><query xmlns='{ns}'{at_node}/></iq>"


@dataclass
class Lamp:
    """As much of a thing as disco looks at."""

    jid: Jid = parse("lamp@hub.local")
    label: str = "Lamp"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/b")


def test_the_server_says_who_it_is_and_what_it_can_do(romeo):
    romeo.says(ask(INFO, "hub.local"))
    answer = romeo.heard[0]
    assert "<identity category='server' type='im' name='hobnode'/>" in answer
    for feature in (INFO, ITEMS, "http://jabber.org/protocol/caps", "urn:xmpp:blocking", "msgoffline"):
        assert f"<feature var='{feature}'/>" in answer


@pytest.mark.parametrize("to", ["romeo@hub.local", None])
def test_an_account_says_to_itself_that_it_is_registered(romeo, to):
    romeo.says(ask(INFO, to) if to else ask(INFO, "").replace(" to=''", ""))
    assert "<identity category='account' type='registered'/>" in romeo.heard[0]


@pytest.mark.parametrize("ns", [INFO, ITEMS])
@pytest.mark.parametrize("node", [None, "unknown"])
def test_an_account_is_to_a_stranger_as_nobody(romeo, juliet, ns, node):
    answers = []
    for name in ("juliet", "nobody"):
        romeo.says(ask(ns, f"{name}@hub.local", node))
        answers.append(romeo.heard[0].replace(name, "name"))
    assert answers[0] == answers[1]
    assert "<service-unavailable " in answers[0]


def test_a_subscriber_learns_of_the_account_and_its_available_resources(romeo, juliet, hub, run):
    run(hub.need("roster").put(juliet.jid.bare, Item(romeo.jid.bare, subscription="from")).done())
    juliet.says("<presence/>")
    romeo.says(ask(INFO, "juliet@hub.local")).says(ask(ITEMS, "juliet@hub.local"))
    info, items = romeo.heard
    assert "<identity category='account' type='registered'/>" in info
    assert f"<query xmlns='{ITEMS}'><item jid='juliet@hub.local/b'/></query>" in items


def test_whom_we_see_but_who_does_not_see_us_learns_nothing(romeo, juliet, hub, run):
    run(hub.need("roster").put(juliet.jid.bare, Item(romeo.jid.bare, subscription="to")).done())
    romeo.says(ask(INFO, "juliet@hub.local"))
    assert "<service-unavailable " in romeo.heard[0]


def test_a_resource_answers_for_itself(romeo, juliet):
    romeo.says(ask(INFO, "juliet@hub.local/b"))
    assert len(juliet.heard) == 1
    assert romeo.heard == []


def test_the_server_lists_its_things_for_those_who_live_here_only(romeo, hub):
    hub.things[Lamp().jid] = Lamp()
    romeo.says(ask(ITEMS, "hub.local"))
    assert f"<query xmlns='{ITEMS}'><item jid='lamp@hub.local' name='Lamp'/></query>" in romeo.heard[0]
    sent = []
    hub.remote = lambda stanza, origin: sent.append(stanza)
    question = ask(ITEMS, "hub.local")
    stranger = romeo
    stranger.jid = parse("nurse@far.example/x")
    stranger.says(question)
    assert not sent[0].payload.children


def test_an_unknown_node_is_not_found_and_a_known_one_answers(romeo, hub):
    disco = hub.need("disco")
    disco.on_node("n", lambda iq: [E("feature", None, var="x")], lambda iq: [E("item", None, jid="a@b")], at="host")
    for ns, child in ((INFO, "<feature var='x'/>"), (ITEMS, "<item jid='a@b'/>")):
        romeo.says(ask(ns, "hub.local", "n")).says(ask(ns, "hub.local", "m"))
        known, unknown = romeo.heard
        assert f"<query xmlns='{ns}' node='n'>{child}</query>" in known
        assert "<item-not-found " in unknown
