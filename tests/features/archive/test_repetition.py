"""D6: what was not acked and is said again in a new session is kept once and delivered once."""

import time

import pytest

from node.features.archive import repetition
from node.hub.database import Database
from node.hub.store import StoreError
from tests.features.archive.conftest import chat

HOME = "romeo@hub.local/orchard"
SID = "urn:xmpp:sid:0"


@pytest.fixture
def comes(person):
    """`comes()`: Romeo binds his resource anew, and counts acks."""

    def comes(address=HOME, acks=True):
        romeo = person(address)
        romeo.when_acked = lambda callback: acks
        return romeo

    return comes


@pytest.fixture
def said(juliet):
    """How often Juliet has heard each body."""
    return lambda: [text.partition("<body>")[2].partition("</body>")[0] for text in juliet.heard if "<body>" in text]


@pytest.fixture
def again(comes, romeo):
    """Romeo says something and his line is cut; `again(xml, xml2)` gives him as he says the second one in a new
    session."""

    def again(first, second=None, **arriving):
        romeo.says(first)
        romeo.leaves()
        return comes(**arriving).says(second or first)

    return again


TO_JULIET = chat("juliet@hub.local", "Soft!", id="a1")


def test_D6_what_is_said_again_in_a_new_session_is_kept_and_delivered_once(again, said, look, juliet):
    romeo = again(TO_JULIET)
    assert said() == ["Soft!"]
    assert look(romeo).bodies == look(juliet).bodies == ["Soft!"]


def test_D6_also_what_is_not_on_disk_yet(again, said, hub, monkeypatch):
    monkeypatch.setattr(hub.need("archive").rows.pending, "_settle", lambda: None)
    monkeypatch.setattr(hub.store.archive, "read", lambda sql, args=(): [])
    again(TO_JULIET)
    assert said() == ["Soft!"]


def test_D6_its_sender_is_acked_when_the_first_is_on_disk(comes, romeo, juliet, hub):
    """The session waits for the task, and then for all that was written before."""
    romeo.says(TO_JULIET)
    romeo.leaves()
    framing = comes().framing
    (message,) = framing.feed(TO_JULIET.encode())
    message.sender = romeo.jid
    assert hub.route(message, hub.sessions[romeo.jid.bare][romeo.jid]) is not None


def test_D6_a_stamp_makes_no_difference_and_an_origin_id_is_enough(again, said):
    origin = f"<origin-id xmlns='{SID}' id='o1'/>"
    delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
    again(
        chat("juliet@hub.local", "Soft!", id="a1", more=origin),
        chat("juliet@hub.local", "Soft!", id="a2", more=origin + delay),
    )
    assert said() == ["Soft!"]


def test_D6_twice_said_with_one_id_and_twice_again_is_kept_as_often(again, said):
    """Each is repeated once: the third is a new one."""
    again(TO_JULIET).says(TO_JULIET)
    assert said() == ["Soft!", "Soft!"]


def test_D6_of_two_that_had_one_id_the_later_is_meant(comes, romeo, said):
    romeo.says(TO_JULIET).says(chat("juliet@hub.local", "Hark!", id="a1"))
    romeo.leaves()
    comes().says(chat("juliet@hub.local", "Hark!", id="a1"))
    assert said() == ["Soft!", "Hark!"]


def test_D6_what_is_large_is_not_looked_at(again, said, hub, monkeypatch):
    monkeypatch.setattr(hub.need("archive").rows.pending, "_settle", lambda: None)
    again(chat("juliet@hub.local", "Soft!" * 1000, id="a1"))
    assert len(said()) == 2


def test_D6_so_many_are_known(comes, romeo, said, monkeypatch):
    monkeypatch.setattr(repetition, "KNOWN", 1)
    romeo.says(TO_JULIET).says(chat("juliet@hub.local", "Hark!", id="a2"))
    romeo.leaves()
    comes().says(chat("juliet@hub.local", "Hark!", id="a2")).says(TO_JULIET)
    assert said() == ["Soft!", "Hark!", "Soft!"]


@pytest.mark.parametrize(
    "other",
    [
        chat("juliet@hub.local", "Soft!", id="a2"),
        chat("juliet@hub.local", "Hark!", id="a1"),
        chat("juliet@hub.local/balcony", "Soft!", id="a1"),
        chat("juliet@hub.local", "Soft!", id="a1", more="<replace xmlns='urn:xmpp:message-correct:0' id='a0'/>"),
        chat("juliet@hub.local", "Soft!", id="a1").replace(" id='a1'", ""),
    ],
)
def test_D6_who_says_something_else_or_the_same_under_another_id_is_heard_twice(again, said, other):
    again(TO_JULIET, other)
    assert len(said()) == 2


def test_D6_another_resource_or_a_session_that_acks_nothing_says_a_new_thing(again, comes, said):
    """Of a session without acks the ids may begin anew with each stream (RFC 6120 §8.1.3)."""
    again(TO_JULIET, acks=False)
    comes("romeo@hub.local/tomb").says(TO_JULIET)
    assert said() == ["Soft!"] * 3


def test_D6_after_ten_minutes_it_is_a_new_thing(comes, said, romeo, hub, run, monkeypatch):
    romeo.says(TO_JULIET)
    run(hub.store.archive.committed())
    romeo.leaves()
    comes().leaves()
    now = time.time()
    later = comes()
    later.since = now + 2 * repetition.SECONDS
    monkeypatch.setattr("node.features.archive.repetition.time.time", lambda: now + 2 * repetition.SECONDS)
    later.says(TO_JULIET)
    assert said() == ["Soft!", "Soft!"]


def test_D6_ten_minutes_into_the_new_session_nothing_is_a_repetition(again, said, hub, monkeypatch):
    romeo = again(TO_JULIET, chat("juliet@hub.local", "Hark!", id="a2"))
    later = hub.loop.time() + repetition.SECONDS
    monkeypatch.setattr(hub.loop, "time", lambda: later)
    romeo.says(TO_JULIET)
    assert said() == ["Soft!", "Hark!", "Soft!"]


def test_D6_who_has_been_here_for_long_is_not_looked_up(comes, juliet, said, hub, monkeypatch):
    read = []
    monkeypatch.setattr(repetition.Repetition, "_own", lambda self, *about: read.append(about) or [])
    comes().says(TO_JULIET).leaves()
    read.clear()
    old = comes()
    hub.need("archive").repetition._started -= repetition.SECONDS
    old.since -= repetition.SECONDS
    old.says(TO_JULIET)
    young = comes("romeo@hub.local/tomb")
    for number in range(3):
        young.says(chat("juliet@hub.local", "Soft!", id=f"b{number}"))
    assert len(read) == 1


def test_D6_what_cannot_be_read_is_kept_twice(again, said, monkeypatch):
    def fails(*about):
        raise StoreError("the disk is broken")

    monkeypatch.setattr(repetition.Repetition, "_own", fails)
    again(TO_JULIET)
    assert said() == ["Soft!", "Soft!"]


# The node was killed in between


@pytest.fixture
def killed(hub):
    """What lies in the archive is from an earlier run."""

    def killed():
        archive = hub.need("archive")
        archive.first = archive.rows.next_id

    return killed


def test_D6_after_a_kill_who_is_here_has_it(comes, romeo, juliet, said, killed):
    romeo.says(TO_JULIET)
    romeo.leaves()
    killed()
    comes().says(TO_JULIET)
    assert said() == ["Soft!"]


def test_D6_after_a_kill_also_a_session_that_has_outlived_it(comes, romeo, juliet, said, killed):
    romeo.says(TO_JULIET)
    romeo.leaves()
    killed()
    revived = comes()
    revived.since = 0.0
    revived.says(TO_JULIET)
    assert said() == ["Soft!"]


def test_D6_after_a_kill_who_is_away_gets_it_once_under_its_id(comes, romeo, juliet, person, look, killed):
    juliet.leaves()
    romeo.says(TO_JULIET)
    romeo.leaves()
    killed()
    romeo = comes().says(TO_JULIET)
    assert look(romeo).bodies == ["Soft!"]
    juliet = person("juliet@hub.local/balcony").says("<presence/>")
    (heard,) = [text for text in juliet.heard if "Soft!" in text]
    assert look(juliet).ids[0] in heard


def test_D6_what_is_kept_for_who_is_away_is_on_disk_before_it_is_archived(romeo, juliet, hub, run, monkeypatch):
    """Whatever is in the archive when the node has been killed is not taken again."""
    saved, save = [], Database.save
    monkeypatch.setattr(Database, "save", lambda self, *about: saved.append(self.path.stem) or save(self, *about))
    juliet.leaves()
    for database in (hub.store.accounts, hub.store.archive):
        run(database.committed())
    saved.clear()
    romeo.says(TO_JULIET)
    run(hub.store.archive.committed())
    assert saved[:2] == ["accounts", "archive"]


def test_D6_after_a_kill_it_goes_to_another_server_once_more_and_is_kept_once(comes, romeo, look, hub, killed):
    tomb, sent = (
        comes("romeo@hub.local/tomb").says("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>"),
        [],
    )
    hub.remote = lambda stanza, origin: sent.append(stanza)
    romeo.says(chat("tybalt@far.example", "Peace?", id="a1"))
    romeo.leaves()
    comes().says(chat("tybalt@far.example", "Peace?", id="a1")).leaves()
    assert len(sent) == 1
    killed()
    romeo = comes().says(chat("tybalt@far.example", "Peace?", id="a1"))
    assert len(sent) == 2
    page = look(romeo)
    assert page.bodies == ["Peace?"]
    assert [page.ids[0] in text for text in tomb.heard if "Peace?" in text] == [True, True]
