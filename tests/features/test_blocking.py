"""XEP-0191: the talks of its examples, and that a blocked one finds nobody."""

import asyncio

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.blocking import Blocking, matches
from node.features.roster import Item
from node.hub.hub import Hub
from node.hub.store import Store, StoreError

NS = "urn:xmpp:blocking"


def command(name, *addresses, id="c"):
    items = "".join(f"<item jid='{address}'/>" for address in addresses)
    return f"<iq type='set' id='{id}'><{name} xmlns='{NS}'>{items}</{name}></iq>"


LIST = f"<iq type='get' id='l'><blocklist xmlns='{NS}'/></iq>"
RESULT = "<iq type='result' id='c' from='juliet@hub.local' to='juliet@hub.local/chamber'/>"


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/chamber")


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


@pytest.fixture
def friends(hub, run, juliet, romeo):
    rosters = hub.need("roster")
    for owner, contact in ((juliet, romeo), (romeo, juliet)):
        run(rosters.put(owner.jid.bare, Item(contact.jid.bare, subscription="both")).done())
    for each in (juliet, romeo):
        each.says("<presence/>")
    assert juliet.heard and romeo.heard


def listed(person):
    person.says(LIST)
    return person.heard[-1]


def test_an_empty_list(juliet):
    answer = "<iq type='result' id='l' from='juliet@hub.local' to='juliet@hub.local/chamber'>{}</iq>"
    assert listed(juliet) == answer.format(f"<blocklist xmlns='{NS}'/>")


def test_a_block_is_answered_pushed_to_who_asked_for_the_list_and_listed(juliet, person):
    balcony, garden = person("juliet@hub.local/balcony"), person("juliet@hub.local/garden")
    for each in (juliet, balcony):
        assert listed(each)
    juliet.says(command("block", "Romeo@Montague.net", "iago@shakespeare.lit"))
    items = "<item jid='romeo@montague.net'/><item jid='iago@shakespeare.lit'/>"
    result, push = juliet.heard
    assert result == RESULT
    for text, to in ((push, "chamber"), (balcony.heard[0], "balcony")):
        assert "type='set'" in text and f"to='juliet@hub.local/{to}'" in text
        assert f"<block xmlns='{NS}'>{items}</block>" in text
    assert garden.heard == []
    assert f"<blocklist xmlns='{NS}'>{items}</blocklist>" in listed(juliet)


def test_an_unblock_is_answered_pushed_and_off_the_list(juliet):
    juliet.says(command("block", "romeo@montague.net", "iago@shakespeare.lit"))
    assert listed(juliet)
    juliet.says(command("unblock", "romeo@montague.net"))
    result, push = juliet.heard
    assert result == RESULT
    assert f"<unblock xmlns='{NS}'><item jid='romeo@montague.net'/></unblock>" in push
    assert "romeo" not in listed(juliet)


def test_all_are_unblocked_at_once(juliet):
    juliet.says(command("block", "romeo@montague.net", "iago@shakespeare.lit"))
    assert listed(juliet)
    juliet.says(command("unblock"))
    assert f"<unblock xmlns='{NS}'/>" in juliet.heard[1]
    assert f"<blocklist xmlns='{NS}'/>" in listed(juliet)


STANZAS = [
    "<message to='{}' id='1' type='chat'><body>Hi</body></message>",
    "<message to='{}/chamber' id='2'><body>Hi</body></message>",
    "<message to='{}' id='3' type='headline'><body>Hi</body></message>",
    "<message to='{}' id='4' type='groupchat'><body>Hi</body></message>",
    "<message to='{}' id='5' type='error'><body>Hi</body></message>",
    "<iq to='{}' id='6' type='get'><vCard xmlns='vcard-temp'/></iq>",
    "<iq to='{}/chamber' id='7' type='get'><query xmlns='jabber:iq:version'/></iq>",
    "<iq to='{}/chamber' id='8' type='result'/>",
    "<iq to='{}' id='9' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq to='{}' id='13' type='get'><query xmlns='jabber:iq:last'/></iq>",
    "<iq to='{}/chamber' id='14' type='get'><query xmlns='jabber:iq:last'/></iq>",
    "<iq to='{}' id='15' type='set'><vCard xmlns='vcard-temp'/></iq>",
    "<presence to='{}' id='10'/>",
    "<presence to='{}' id='11' type='subscribe'/>",
    "<presence to='{}/chamber' id='12'/>",
]


@pytest.mark.parametrize("stanza", STANZAS)
def test_S10_to_whom_is_blocked_we_are_as_nobody(juliet, romeo, stanza):
    juliet.says("<presence/>").says(command("block", "romeo@hub.local"))
    assert juliet.heard
    heard = []
    for name in ("juliet", "nobody"):
        romeo.says(stanza.format(f"{name}@hub.local"))
        heard.append([text.replace(name, "name") for text in romeo.heard])
    assert heard[0] == heard[1]
    assert juliet.heard == []


def test_who_blocks_cannot_write_to_the_blocked(juliet, romeo):
    juliet.says(command("block", "romeo@hub.local"))
    assert juliet.heard
    juliet.says("<message to='romeo@hub.local/a' id='m'><body>Can you hear me now?</body></message>")
    assert juliet.heard == [
        "<message type='error' id='m' from='romeo@hub.local/a' to='juliet@hub.local/chamber'>"
        "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        "<blocked xmlns='urn:xmpp:blocking:errors'/></error></message>"
    ]
    juliet.says("<iq to='romeo@hub.local/a' type='result' id='r'/>").says("<presence to='romeo@hub.local'/>")
    assert len(juliet.heard) == 1
    assert romeo.heard == []


def test_S10_a_blocked_contact_hears_that_we_are_not_there(juliet, romeo, friends):
    juliet.says(command("block", "romeo@hub.local"))
    assert romeo.heard == ["<presence type='unavailable' from='juliet@hub.local/chamber' to='romeo@hub.local'/>"]
    assert juliet.heard
    juliet.says("<presence><show>away</show></presence>")
    romeo.says("<presence><show>away</show></presence>")
    juliet.says("<presence type='unavailable'/>")
    assert len(romeo.heard) == 1  # his own
    assert len(juliet.heard) == 2  # her own


def test_a_blocked_contact_who_comes_sees_nobody_and_is_not_seen(juliet, romeo, friends, person):
    juliet.says(command("block", "romeo@hub.local"))
    assert juliet.heard and romeo.heard
    other = person("romeo@hub.local/b")
    other.says("<presence/>")
    assert [text for text in other.heard if "juliet" in text] == []
    balcony = person("juliet@hub.local/balcony")
    balcony.says("<presence/>")
    assert [text for text in balcony.heard if "romeo" in text] == []


def test_a_blocked_contact_of_another_server_is_not_answered_when_he_asks(juliet, hub, run):
    nurse, sent = parse("nurse@far.example"), []
    hub.remote = lambda stanza, origin: sent.append(stanza)
    run(hub.need("roster").put(juliet.jid.bare, Item(nurse, subscription="both")).done())
    juliet.says("<presence/>").says(command("block", "nurse@far.example"))
    sent.clear()
    hub.route(Stanza("presence", type="probe", sender=nurse, to=juliet.jid.bare))
    hub.need("presence").show(juliet.jid.bare, nurse)
    assert sent == []


def test_nobody_blocks_his_own_resources_by_a_domain_and_a_resource(juliet, person):
    balcony = person("juliet@hub.local/balcony")
    juliet.says(command("block", "hub.local/balcony"))
    assert juliet.heard
    balcony.says("<message to='juliet@hub.local/chamber'><body>me</body></message>")
    assert len(juliet.heard) == 1


def test_an_unblocked_contact_sees_us_again(juliet, romeo, friends):
    juliet.says(command("block", "romeo@hub.local"))
    assert romeo.heard and juliet.heard
    juliet.says(command("unblock"))
    assert romeo.heard == ["<presence from='juliet@hub.local/chamber' to='romeo@hub.local'/>"]
    assert len(juliet.heard) == 1
    romeo.says("<message to='juliet@hub.local'><body>At last</body></message>")
    assert len(juliet.heard) == 1


def test_a_stranger_to_whom_we_were_shown_directly_sees_us_leave(juliet, romeo):
    juliet.says("<presence/>").says("<presence to='romeo@hub.local/a'/>")
    assert romeo.heard and juliet.heard
    juliet.says(command("block", "romeo@hub.local"))
    assert romeo.heard == ["<presence type='unavailable' from='juliet@hub.local/chamber' to='romeo@hub.local/a'/>"]


def test_a_contact_who_stays_blocked_by_another_item_sees_nothing(juliet, romeo, friends):
    juliet.says(command("block", "romeo@hub.local", "romeo@hub.local/a"))
    assert romeo.heard
    juliet.says(command("unblock", "romeo@hub.local/a"))
    assert romeo.heard == []


@pytest.mark.parametrize(
    ("item", "blocked"),
    [
        ("u@d.example/r", ["u@d.example/r"]),
        ("u@d.example", ["u@d.example", "u@d.example/r", "u@d.example/s"]),
        ("d.example/r", ["u@d.example/r", "d.example/r"]),
        ("d.example", ["u@d.example", "u@d.example/r", "u@d.example/s", "d.example", "d.example/r"]),
    ],
)
def test_addresses_match_as_section_5_says(item, blocked):
    addresses = ["u@d.example", "u@d.example/r", "u@d.example/s", "d.example", "d.example/r", "u@e.example/r"]
    assert [text for text in addresses if matches({parse(item): None}, parse(text))] == blocked


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (command("block"), "bad-request"),
        (command("block", "@@"), "jid-malformed"),
        (f"<iq type='set' id='c'><block xmlns='{NS}'><item/></block></iq>", "jid-malformed"),
        (command("block", "juliet@hub.local"), "not-allowed"),
        (command("block", "juliet@hub.local/balcony"), "not-allowed"),
        (command("block", "hub.local"), "not-allowed"),
        (command("unblock", "@@"), "jid-malformed"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(juliet, stanza, condition):
    juliet.says(stanza)
    assert f"<{condition} " in juliet.heard[0]
    assert "<item" not in listed(juliet)


def test_L19_a_list_has_an_end(juliet, monkeypatch):
    monkeypatch.setattr("node.features.blocking.ITEMS_LIMIT", 2)
    juliet.says(command("block", "a@b", "c@d", "e@f"))
    assert "<resource-constraint " in juliet.heard[0]
    juliet.says(command("block", "a@b", "c@d")).says(command("block", "a@b"))
    assert juliet.heard == [RESULT, RESULT]


def test_L19_long_addresses_count(juliet, monkeypatch):
    monkeypatch.setattr("node.features.blocking.BYTES_LIMIT", 1000)
    juliet.says(command("block", f"{'a' * 600}@b"))
    assert juliet.heard == [RESULT]
    juliet.says(command("block", f"{'c' * 600}@b"))
    assert "<resource-constraint " in juliet.heard[0]


def test_S8_nobody_reads_the_list_of_somebody_else(juliet, romeo):
    romeo.says(LIST.replace("id=", "to='juliet@hub.local' id="))
    assert "<service-unavailable " in romeo.heard[0]


def test_it_survives_a_restart(juliet, hub, loop, tmp_path):
    juliet.says(command("block", "romeo@montague.net"))
    hub.store.close()
    store = Store(tmp_path, loop)
    again = Blocking(Hub(hub.host, store, hub.accounts, loop))
    assert again.blocks(juliet.jid.bare, parse("romeo@montague.net/x"))
    store.close()


def test_a_disk_that_fails_takes_the_change_back_and_says_so(juliet, monkeypatch):
    def full_disk(connection):
        import sqlite3

        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("node.hub.store.commit", full_disk)
    juliet.says(command("block", "romeo@montague.net"))
    assert "<resource-constraint " in juliet.heard[0]
    monkeypatch.undo()
    assert "<item" not in listed(juliet)


def test_a_change_that_was_lost_takes_no_other_change_along(juliet, hub, run, monkeypatch):
    blocking, commits = hub.need("blocking"), []

    def committed():
        commits.append(hub.loop.create_future())
        return commits[-1]

    def block(address):
        iq = Stanza(
            "iq", E("block", NS, E("item", None, jid=address)), type="set", to=juliet.jid.bare, sender=juliet.jid
        )
        return asyncio.ensure_future(blocking.block(iq, juliet))

    async def story():
        lost, kept = block("iago@shakespeare.lit"), block("romeo@montague.net")
        await asyncio.sleep(0)
        commits[1].set_result(None)
        commits[0].set_exception(StoreError("the disk is full"))
        await asyncio.wait([lost, kept])
        assert lost.exception().condition == "resource-constraint"

    monkeypatch.setattr(hub.store.accounts, "committed", committed)
    run(story())
    monkeypatch.undo()
    assert list(blocking.lists[juliet.jid.bare]) == ["romeo@montague.net"]


def test_nothing_of_a_removed_account_is_left(juliet, hub, run):
    juliet.says(LIST).says(command("block", "romeo@montague.net"))
    hub.tell("removed", juliet.jid.bare)
    run(hub.store.accounts.committed())
    assert hub.store.accounts.read("SELECT * FROM blocked") == []
    assert not hub.need("blocking").lists


def test_the_domain_and_the_account_say_that_they_can(hub):
    assert NS in hub.features["host"] and NS in hub.features["account"]
