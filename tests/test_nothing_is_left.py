"""Whatever people say, in whatever order: no handler fails, nothing of them stays in memory when they have gone,
and what stays is what the disk knows. What is said, and by whom, comes from a random number with a seed."""

import random

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.ports.administration import requests
from tests import conftest
from tests.conftest import settle

PEOPLE = [f"{name}@hub.local/{resource}" for name in ("romeo", "juliet", "nurse") for resource in "ab"]
KIM = "kim@far.example/x"
PLACES = [*PEOPLE, *(name[:-2] for name in PEOPLE), "porch@hub.local", "porch@hub.local/hw", KIM, KIM[:-2]]
TYPES = ("subscribe", "subscribed", "unsubscribe", "unsubscribed", "unavailable", "probe")
QUERIES = ("jabber:iq:last", "jabber:iq:version", "http://jabber.org/protocol/disco#info")
SAID = (
    "<presence/>",
    "<presence><priority>-1</priority></presence>",
    "<presence type='unavailable'/>",
    "<presence to='%s'/>",
    *(f"<presence to='%s' type='{type}'/>" for type in TYPES),
    *(
        f"<message to='%s' type='{type}' id='m'><body>lamp on</body></message>"
        for type in ("chat", "headline", "error")
    ),
    *(f"<iq type='get' id='i' to='%s'><query xmlns='{ns}'/></iq>" for ns in QUERIES),
    "<iq type='result' id='r' to='%s'/>",
    "<iq type='get' id='i' to='%s'><req xmlns='urn:xmpp:iot:sensordata' seqnr='1'/></iq>",
    "<iq type='set' id='i' to='%s'><set xmlns='urn:nf:iot:ctr:1.0'><b n='lamp' v='true'/></set></iq>",
    "<iq type='set' id='i' to='%s'><command xmlns='http://jabber.org/protocol/commands' node='read'/></iq>",
    "<iq type='get' id='i'><query xmlns='jabber:iq:roster' ver=''/></iq>",
    "<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='%s'/></query></iq>",
    "<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='%s' subscription='remove'/></query></iq>",
    "<iq type='get' id='i'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    "<iq type='set' id='i'><block xmlns='urn:xmpp:blocking'><item jid='%s'/></block></iq>",
    "<iq type='set' id='i'><block xmlns='urn:xmpp:blocking'><item jid='%s'>"
    "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block></iq>",
    "<iq type='set' id='i'><unblock xmlns='urn:xmpp:blocking'/></iq>",
    "<iq type='set' id='i'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
)


@pytest.mark.usefixtures("porch")
@pytest.mark.parametrize("patient", [True, False], ids=["one after the other", "all at once"])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_of_those_who_have_gone(hub, person, run, caplog, monkeypatch, seed, patient):
    chance, people = random.Random(seed), {}
    hub.remote = lambda stanza, origin: None
    if not patient:
        monkeypatch.setattr(conftest, "settle", lambda hub: None)
    for _ in range(300):
        address, what = chance.choice(PEOPLE), chance.random()
        if address not in people:
            people[address] = person(address)
        elif what < 0.05:
            people.pop(address).leaves()
        elif what < 0.06:
            run(requests(hub)["user-remove"]({"name": people[address].jid.local}))
            people = {address: each for address, each in people.items() if each.closed_with is None}
        elif what < 0.2:
            to, type = chance.choice(PLACES[6:14]), chance.choice([None, *TYPES])
            hub.route(Stanza("presence", type=type, to=parse(to), sender=parse(KIM)), object())
        else:
            people[address].says(chance.choice(SAID).replace("%s", chance.choice(PLACES)))
    for each in people.values():
        each.leaves()
    monkeypatch.undo()
    settle(hub)
    run(hub.store.accounts.committed())  # messages that were kept at the end
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    names = ("presence", "roster", "blocking", "offline", "subscription")
    presence, rosters, blocking, offline, subscription = map(hub.need, names)
    left = [hub.sessions, hub.present, presence.last, presence.directed, rosters.interested, blocking.asked]
    left += [offline.batches, offline.fresh, subscription.held]
    assert not any(left)
    known, rosters.loaded = rosters.loaded, {}
    assert {owner: roster.items for owner, roster in known.items()} == {owner: rosters.items(owner) for owner in known}
    assert all(hub.accounts.exists(owner.local) or owner in hub.things for owner in known)
    kept = {(str(owner), str(jid)) for owner, jids in blocking.lists.items() for jid in jids}
    assert kept == set(hub.store.accounts.read("SELECT owner, jid FROM blocked"))
