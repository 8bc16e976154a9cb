"""What it costs to look into an archive: nobody waits for one who looks through a large one."""

import pytest

from node.features.archive.reading import HEAVY
from tests.conftest import settle
from tests.features.archive.conftest import chat, query

JULIET = "juliet@hub.local"
LARGE = "x" * 200_000
MIDDLING = "x" * 80_000  # two of them are in one page


@pytest.fixture(params=[1, 1000], ids=["in the map", "not yet in the map"], autouse=True)
def fold(request, monkeypatch):
    monkeypatch.setattr("node.features.archive.rows.FOLD", request.param)


def test_L21_few_large_messages_are_looked_at_in_one_turn(romeo, look, busiest):
    for number in range(20):
        romeo.says(chat(f"{JULIET}/balcony", LARGE, id=str(number)))
    busiest.reset()
    assert look(romeo, with_=f"{JULIET}/chamber").bodies == []
    assert 0.5 * HEAVY < busiest.loaded < 1.5 * HEAVY


@pytest.mark.parametrize("resource", ["balcony", "'" * 1023], ids=["short", "the longest"])
def test_large_messages_are_found_by_their_resource(person, look, resource):
    me, other = (person(f"{name}@hub.local/{resource}").says("<presence/>") for name in ("romeo", "juliet"))
    written = resource.replace("'", "&apos;")
    me.says(chat(f"{JULIET}/{written}", f"mine {MIDDLING}"))
    other.says(chat(f"romeo@hub.local/{written}", f"theirs {MIDDLING}"))
    for person, partner in ((me, JULIET), (other, "romeo@hub.local")):
        assert [body.split()[0] for body in look(person, with_=f"{partner}/{written}").bodies] == ["mine", "theirs"]
        assert look(person, with_=f"{partner}/{written[:-6]}").bodies == []


def test_L21_one_looks_at_a_time_and_the_others_come_between(romeo, person, look, monkeypatch, hub, busiest):
    monkeypatch.setattr("node.features.archive.reading.CHUNK", 2)
    for number in range(12):
        romeo.says(chat(f"{JULIET}/balcony", str(number)))
    devices = [person(f"romeo@hub.local/{number}") for number in range(10)]
    tasks = []
    for device in devices:
        ask = device.framing.feed(query(with_=f"{JULIET}/chamber").encode())
        for stanza in ask:
            stanza.sender, stanza.to = device.jid, device.jid.bare
            tasks.append(hub.route(stanza, device))
    settle(hub)
    assert len(tasks) == 10 and all("fin" in device.heard[-1] for device in devices)
    assert busiest.asked < 5
