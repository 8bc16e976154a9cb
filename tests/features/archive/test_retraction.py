"""XEP-0424: what is taken back leaves a tombstone; nobody takes back what others have said."""

import pytest

from node.base import stamp
from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.archive.reading import HEAVY, Wanted
from node.features.archive.retraction import MUC, RETRACT
from tests.conftest import read_stanza
from tests.features.archive.conftest import chat

JULIET, TYBALT = "juliet@hub.local", "tybalt@elsewhere.example/street"


def retraction(to, of, id="retract-message-1", more=""):
    return (
        f"<message type='chat' to='{to}' id='{id}'><retract id='{of}' xmlns='{RETRACT}'/>"
        f"<fallback xmlns='urn:xmpp:fallback:0' for='{RETRACT}'/><body>/me retracted</body>"
        f"<store xmlns='urn:xmpp:hints'/>{more}</message>"
    )


def taken_back(sender, to, of):
    return Stanza("message", E("retract", RETRACT, id=of), type="chat", id="r", sender=sender.jid, to=parse(to))


@pytest.fixture(params=[1, 1000], ids=["in the map", "not yet in the map"], autouse=True)
def fold(request, monkeypatch):
    monkeypatch.setattr("node.features.archive.rows.FOLD", request.param)


def buried(page):
    """For each message of a page whether it is a tombstone."""
    return [message.find("retracted", RETRACT) is not None for _, _, message in page.messages]


def test_retracted_message_tombstone_in_a_mam_result(romeo, juliet, look):
    romeo.says(chat(JULIET, "Have not saints lips?", id="wrong-recipient-1", more="<x xmlns='urn:secret'/>"))
    before = look(romeo), look(juliet)
    romeo.says(retraction(JULIET, "wrong-recipient-1"))
    for person, old in ((romeo, before[0]), (juliet, before[1])):
        page = look(person)
        assert buried(page) == [True, False]
        assert page.messages[0][:2] == old.messages[0][:2]  # its id and its time stay
        assert page.messages[0][2] == read_stanza(
            f"<message to='{JULIET}' from='romeo@hub.local/orchard' type='chat' id='wrong-recipient-1'>"
            f"<retracted xmlns='{RETRACT}' id='retract-message-1' stamp='{page.messages[1][1]}'/></message>"
        )
        assert page.bodies[1] == "/me retracted"


def test_it_may_come_from_another_device_and_by_another_way(romeo, juliet, person, look):
    romeo.says(chat(f"{JULIET}/balcony", "x", id="m"))
    person("romeo@hub.local/desk").says(retraction(JULIET, "m"))
    assert buried(look(romeo)) == buried(look(juliet)) == [True, False]


def test_nobody_takes_back_what_another_has_said(romeo, juliet, person, look, hub):
    romeo.says(chat(JULIET, "x", id="m"))
    juliet.says(retraction("romeo@hub.local", "m"))
    person("nurse@hub.local/k").says(retraction("romeo@hub.local", "m")).says(retraction(JULIET, "m"))
    hub.route(Stanza("message", E("retract", RETRACT, id="m"), id="r", sender=parse(TYBALT), to=romeo.jid), object())
    assert not any(buried(look(romeo)) + buried(look(juliet)))


def test_nor_what_one_has_said_to_somebody_else(romeo, juliet, look):
    romeo.says(chat(JULIET, "x", id="m")).says(retraction("nurse@hub.local", "m"))
    assert not any(buried(look(romeo)))


def test_who_writes_from_elsewhere_may_take_it_back(romeo, look, hub):
    for children in ([E("body", None, "villain")], [E("retract", RETRACT, id="m")]):
        id = "m" if children[0].name == "body" else "r"
        hub.route(Stanza("message", *children, type="chat", id=id, sender=parse(TYBALT), to=romeo.jid), object())
    assert buried(look(romeo)) == [True, False]


def test_what_is_said_abroad_may_be_taken_back(romeo, look, hub):
    hub.remote = lambda stanza, origin: None
    romeo.says(chat(TYBALT, "x", id="m")).says(retraction(TYBALT, "m"))
    assert buried(look(romeo)) == [True, False]


@pytest.mark.parametrize("which", ["the message", "the retraction"])
def test_in_a_room_we_do_not_know_who_speaks(romeo, look, hub, which):
    one, other = parse("room@rooms.example/tybalt"), parse("room@rooms.example/mercutio")
    room = E("x", MUC)
    said = [E("body", None, "mine"), *([room] if which == "the message" else [])]
    taken = [E("retract", RETRACT, id="m"), *([room] if which == "the retraction" else [])]
    hub.route(Stanza("message", *said, type="chat", id="m", sender=one, to=romeo.jid), object())
    hub.route(Stanza("message", *taken, type="chat", id="r", sender=other, to=romeo.jid), object())
    assert look(romeo).bodies == ["mine", None] and not any(buried(look(romeo)))


def test_an_id_inside_a_message_is_not_its_id(romeo, juliet, look):
    romeo.says(chat(JULIET, "real", id="m"))
    romeo.says(chat(JULIET, "decoy", id="other", more="<x xmlns='urn:x' id='m'/>"))
    romeo.says(chat(JULIET, "decoy too", id="&apos; id=&apos;m"))
    romeo.says(retraction(JULIET, "m"))
    assert buried(look(juliet)) == [True, False, False, False]


def test_of_two_with_the_same_id_the_last_is_meant(romeo, juliet, look):
    for body in "abc":
        romeo.says(chat(JULIET, body, id="m'<"[:1]))
    romeo.says(retraction(JULIET, "m"))
    assert buried(look(juliet)) == [False, False, True, False]


def test_odd_ids_are_found_too(romeo, juliet, look):
    odd = "&apos;&lt;&amp;&#10;ü"
    romeo.says(chat(JULIET, "x", id=odd)).says(retraction(JULIET, odd, id="&apos;"))
    assert buried(look(juliet)) == [True, False]


@pytest.mark.parametrize(
    "bad",
    [
        "<message type='chat' to='{}'><retract id='m' xmlns='{}'/></message>",
        "<message type='chat' to='{}' id='r'><retract xmlns='{}'/></message>",
    ],
)
def test_a_retraction_without_an_id_buries_nothing(romeo, juliet, look, bad):
    romeo.says(chat(JULIET, "x", id="m")).says(bad.format(JULIET, RETRACT))
    assert buried(look(juliet)) == [False, False]


def test_it_is_looked_for_among_the_last_ones_only(romeo, juliet, look, monkeypatch):
    monkeypatch.setattr("node.features.archive.retraction.LOOKED_AT", 3)
    for number in range(5):
        romeo.says(chat(JULIET, str(number), id=str(number)))
    look(romeo)  # all is in the map by now, if it is to be
    romeo.says(retraction(JULIET, "0")).says(retraction(JULIET, "4"))
    assert buried(look(juliet)) == [False, False, False, False, True, False, False]


def test_it_is_found_behind_many_others(romeo, juliet, look, monkeypatch):
    monkeypatch.setattr("node.features.archive.retraction.CHUNK", 2)
    for number in range(7):
        romeo.says(chat(JULIET, str(number), id=str(number)))
    romeo.says(retraction(JULIET, "1"))
    assert buried(look(juliet)) == [False, True, False, False, False, False, False, False]


def test_L21_the_others_come_between_two_retractions(romeo, busiest):
    romeo.says("".join(retraction(JULIET, "nope") for _ in range(30)))
    assert busiest.asked < 5


def test_L21_and_between_two_looks_for_one(romeo, monkeypatch, busiest):
    monkeypatch.setattr("node.features.archive.retraction.CHUNK", 2)
    for number in range(12):
        romeo.says(chat(JULIET, str(number), id=str(number)))
    romeo.says(retraction(JULIET, "nope"))
    assert busiest.asked < 5


LARGE = "x" * 200_000


def test_L21_few_large_messages_are_looked_at_in_one_turn(romeo, juliet, look, busiest):
    for number in range(20):
        romeo.says(chat(JULIET, LARGE, id=str(number)))
    busiest.reset()
    romeo.says(retraction(JULIET, "0"))
    assert 0.5 * HEAVY < busiest.loaded < 1.5 * HEAVY
    assert buried(look(juliet, rsm="<max>1</max>")) == [True]


def test_L21_and_of_all_those_the_last_only(romeo, juliet, archive, run, monkeypatch):
    monkeypatch.setattr("node.features.archive.retraction.LOOKED_AT_BYTES", 2 * len(LARGE) + 1000)
    for number in range(4):
        romeo.says(chat(JULIET, LARGE, id=str(number)))
    romeo.says(retraction(JULIET, "1")).says(retraction(JULIET, "2"))
    run(archive.rows.database.committed())
    whole = Wanted(archive.rows.archives.get(juliet.jid.bare), 0, archive.rows.next_id)
    found = [data for _, _, data in run(archive.reader.find(whole, 10, backwards=False))]
    tombstones = [isinstance(data, bytes) and b"<retracted" in data for data in found]
    assert tombstones == [False, False, True, False, False, False]


def test_who_plays_with_it_gets_messages_and_no_more(romeo, juliet, look, monkeypatch, hub):
    monkeypatch.setattr("node.features.archive.retraction.WAITING_LIMIT", 2)
    romeo.says("".join(chat(JULIET, str(number), id=str(number)) for number in range(4)))
    romeo.says("".join(retraction(JULIET, str(number), id=f"r{number}") for number in range(4)))
    page = look(juliet)
    assert buried(page) == [True, True, False, False, False, False, False, False]
    assert stamp.parse(page.messages[0][2].find("retracted", RETRACT).get("stamp"))


def test_who_plays_with_it_leaves_room_for_others(romeo, juliet, look, monkeypatch, hub):
    monkeypatch.setattr("node.features.archive.retraction.OWN_LIMIT", 1)
    monkeypatch.setattr("node.features.archive.retraction.WAITING_LIMIT", 2)
    juliet.says(chat("romeo@hub.local", "x", id="m"))
    romeo.says(chat(JULIET, "y", id="m"))
    for _ in range(3):
        hub.route(taken_back(romeo, JULIET, "nope"), romeo)
    juliet.says(retraction("romeo@hub.local", "m"))
    assert buried(look(juliet))[:2] == [True, False]


def test_a_large_retraction_is_a_message_and_no_more(romeo, juliet, look):
    romeo.says(chat(JULIET, "x", id="m")).says(retraction(JULIET, "m", more=f"<x xmlns='urn:x'>{LARGE}</x>"))
    assert buried(look(juliet)) == [False, False]
