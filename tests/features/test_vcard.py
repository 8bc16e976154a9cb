"""XEP-0054: one's own card, others' cards, and no way to find out who has an account."""

import sqlite3

import pytest

from node.features.vcard import LIMIT

CARD = "<vCard xmlns='vcard-temp'><FN>Romeo Montague</FN><N><FAMILY>Montague</FAMILY><MIDDLE/></N></vCard>"


def get(to="romeo@hub.local"):
    return f"<iq type='get' id='v' to='{to}'><vCard xmlns='vcard-temp'/></iq>"


def put(card=CARD, to="romeo@hub.local"):
    return f"<iq type='set' id='v' to='{to}'>{card}</iq>"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/b")


def result(who, sender, inside=""):
    return f"<iq type='result' id='v' from='{sender}' to='{who.jid}'>{inside}</iq>"


def test_vcard_update_request_and_retrieval(romeo):
    romeo.says(f"<iq type='set' id='v'>{CARD}</iq>")
    assert romeo.heard == [result(romeo, "romeo@hub.local")]
    romeo.says("<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>")
    assert romeo.heard == [result(romeo, "romeo@hub.local", CARD)]


def test_a_later_card_takes_the_place_of_the_first(romeo):
    romeo.says(put())
    romeo.says(put("<vCard xmlns='vcard-temp'><FN>R.</FN></vCard>"))
    romeo.says(get())
    assert romeo.heard[-1] == result(romeo, "romeo@hub.local", "<vCard xmlns='vcard-temp'><FN>R.</FN></vCard>")


def test_no_vcard(romeo):
    romeo.says(get())
    (answer,) = romeo.heard
    assert "type='error'" in answer and "<item-not-found" in answer


def test_receiving_another_users_vcard(romeo, juliet):
    romeo.says(put())
    juliet.says(get())
    assert juliet.heard == [result(juliet, "romeo@hub.local", CARD)]


def test_who_has_no_card_and_who_does_not_exist_cannot_be_told_apart(romeo, juliet):
    juliet.says(get())
    juliet.says(get("nobody@hub.local"))
    without, missing = juliet.heard
    assert "<service-unavailable" in without
    assert without.replace("romeo", "nobody") == missing


def test_an_entity_attempts_to_modify_another_entitys_vcard(romeo, juliet):
    romeo.says(put())
    juliet.says(put("<vCard xmlns='vcard-temp'><FN>Fool</FN></vCard>", to="romeo@hub.local"))
    juliet.says(put("<vCard xmlns='vcard-temp'><FN>Fool</FN></vCard>", to="nobody@hub.local"))
    answer, missing = juliet.heard
    assert "type='error'" in answer and "<forbidden" in answer
    assert answer.replace("romeo", "nobody") == missing
    juliet.says(get())
    assert juliet.heard == [result(juliet, "romeo@hub.local", CARD)]


def test_what_is_inside_comes_back_as_it_went_in(romeo):
    card = (
        "<vCard xmlns='vcard-temp' version='3.0'><DESC>a &lt; b &amp;&#13;\n\u00e4\U0001f600</DESC>"
        "<x xmlns='urn:other' xml:lang='de'><y/></x></vCard>"
    )
    romeo.says(put(card)).says(get())
    assert romeo.heard[-1] == result(romeo, "romeo@hub.local", card)


def test_a_card_has_a_limit(romeo):
    def sized(size):
        empty = "<vCard xmlns='vcard-temp'><FN></FN></vCard>"
        return empty.replace("</FN>", "x" * (size - len(empty)) + "</FN>")

    romeo.says(put(sized(LIMIT)))
    assert romeo.heard == [result(romeo, "romeo@hub.local")]
    romeo.says(put(sized(LIMIT + 1)))
    (answer,) = romeo.heard
    assert "<resource-constraint" in answer
    romeo.says(get())
    assert romeo.heard == [result(romeo, "romeo@hub.local", sized(LIMIT))]


def test_a_card_that_cannot_be_kept_is_not_confirmed(romeo, monkeypatch):
    def full(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("node.hub.store.commit", full)
        romeo.says(put())
    (answer,) = romeo.heard
    assert "<resource-constraint" in answer and "type='wait'" in answer


def test_a_confirmed_card_is_on_disk(romeo, tmp_path):
    romeo.says(put())
    assert romeo.heard
    with sqlite3.connect(tmp_path / "accounts.db") as connection:
        ((name, xml),) = connection.execute("SELECT localpart, xml FROM vcards")
    connection.close()
    assert name == "romeo" and b"Montague" in xml


def test_the_card_goes_with_the_account(hub, run, romeo, juliet):
    romeo.says(put())
    run(hub.accounts.remove("romeo"))
    hub.tell("removed", romeo.jid.bare)
    run(hub.accounts.create("romeo", "another"))
    juliet.says(get())
    (answer,) = juliet.heard
    assert "<service-unavailable" in answer


def test_it_is_announced(hub):
    assert "vcard-temp" in hub.features["host"] and "vcard-temp" in hub.features["account"]


def test_S15_a_card_with_strange_elements_comes_back_as_it_was(romeo, juliet):
    inside = "<FN>'; DROP TABLE vcards; --</FN><stream:error/><xml:a/><b xmlns='' xmlns:p='urn:p' p:q='&#10;\"'/>"
    romeo.says(put(f"<vCard xmlns='vcard-temp'>{inside}</vCard>"))
    juliet.says(get())
    assert juliet.heard == [result(juliet, "romeo@hub.local", f"<vCard xmlns='vcard-temp'>{inside}</vCard>")]
