"""L22: after a power cut everybody comes at once; what each costs does not grow with the square of how many they are.

What is done is counted, not how long it takes.
"""

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.roster import Item
from node.hub.database import Database

STATUS = "<presence><status>power is back</status></presence>"


@pytest.fixture
def village(hub, run, person, monkeypatch):
    """`village(count)`: so many people, who all see each other, come; gives what was read, written out and heard."""

    def village(count):
        names = [parse(f"v{count}x{number}@hub.local") for number in range(count)]
        for name in names:
            run(hub.accounts.create(name.local, "secret"))
        for name in names:
            others = [other for other in names if other != name]
            run([hub.need("roster").put(name, Item(other, subscription="both")) for other in others][-1].done())
        people = [person(f"{name}/a") for name in names]
        for each in people:
            each.says("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            each.ears.clear()
        reads, written = [], []
        read, write = Database.read, Stanza._tail
        with monkeypatch.context() as counted:
            counted.setattr(Database, "read", lambda self, *about: reads.append(about) or read(self, *about))
            counted.setattr(Stanza, "_tail", lambda self, ns: written.append(self) or write(self, ns))
            for each in people:
                each.says(STATUS)
        return len(reads) / count, len(written) / count, sum(len(each.ears) for each in people)

    return village


def test_L22_contacts_here_are_answered_from_memory_and_each_presence_is_written_out_once(village):
    few, many = village(4), village(24)
    assert few[0] == many[0]  # reads for each who comes, however many contacts he has
    assert few[1] == many[1] == 1  # his presence is written out for all of them; theirs had been, when they came
    assert (few[2], many[2]) == (4 * 4, 24 * 24)  # each hears of each, himself included, once


def test_L22_who_comes_back_is_told_to_the_servers_of_his_contacts_once_each(hub, run, person):
    sent = []
    hub.remote = lambda stanza, origin: sent.append((stanza.type, stanza.to))
    romeo = person("romeo@hub.local/a")
    contacts = [parse(f"friend{number}@far{number % 5}.example") for number in range(100)]
    changes = [hub.need("roster").put(romeo.jid.bare, Item(contact, subscription="both")) for contact in contacts]
    run(changes[-1].done())
    for _ in range(3):
        romeo.says(STATUS)
    probes = [to for type, to in sent if type == "probe"]
    assert sorted(probes) == sorted(contacts)
    assert len(sent) == 4 * len(contacts)
