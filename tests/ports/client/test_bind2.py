"""XEP-0386: a resource with all that belongs to it in one step, and XEP-0198's resumption in the same breath."""

import re

import pytest

from node.base.jid import parse
from node.ports.client import csi, management
from node.ports.client.binding import RESOURCES_LIMIT
from node.ports.client.management import NS as SM
from tests.conftest import until
from tests.ports.client.modern import (
    BIND,
    LAPTOP,
    NS,
    PHONE,
    child,
    condition,
    says_who,
    wants_resource,
)

MAM = "urn:xmpp:mam:2"
ANN = parse("ann@hub.local")
CARBONS_ON = "<enable xmlns='urn:xmpp:carbons:2'/>"
SM_ON = f"<enable xmlns='{SM}' resume='true'/>"
INACTIVE = f"<inactive xmlns='{csi.NS}'/>"
MESSAGE = "<message to='ann@hub.local{}' type='chat' id='{}'><body>{}</body></message>"


@pytest.fixture
def bob(person):
    return person("bob@hub.local/b")


def resume(id, h=0):
    return f"<resume xmlns='{SM}' previd='{id}' h='{h}'/>"


def bound_of(success):
    return child(success, "bound", BIND)


async def is_in(client, *more, **how):
    """Logs in; <success/>, and the features that must follow at once."""
    success = await client.logs_in_by_password(*more, **how)
    assert success.tag == f"{{{NS}}}success"
    client.after = await client.hears("</stream:features>")
    assert client.after.startswith("<stream:features>")
    return success


# The resource


def test_the_example(modern, run, hub):
    """Examples "Client provides a resource bind request" and "Server responds after processing the bind"."""

    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource(), mechanism="SCRAM-SHA-1")
        assert [each.tag.partition("}")[2] for each in success] == [
            "additional-data",
            "authorization-identifier",
            "bound",
        ]
        jid = says_who(success)
        assert re.fullmatch("ann@hub.local/AwesomeXMPP/[A-Za-z0-9_-]{22}", jid)
        assert list(hub.sessions[ANN]) == [jid]
        (metadata,) = bound_of(success)  # and nothing else, since nothing else was asked for
        assert metadata.tag == f"{{{MAM}}}metadata" and len(metadata) == 0  # an empty archive
        for feature in ("rosterver", "pre-approval", csi.NS, "http://jabber.org/protocol/caps"):
            assert feature in ann.after
        for gone in ("xmpp-bind", "xmpp-session", NS):
            assert gone not in ann.after
        assert f"to='{jid}'" in await ann.pings()

    run(talk())


def test_the_tag_stands_there_as_it_is_if_an_address_may_have_it(modern, run):
    async def talk():
        for tag, begin in (
            ("Zoë's Phone &lt;1/2&gt;", "Zoë's Phone <1/2>/"),
            ("", ""),
            (None, ""),
            ("x" * 1000, "x" * 1000 + "/"),
            ("x" * 1001, ""),
            ("\t", ""),
        ):
            ann = await modern()
            success = await is_in(ann, wants_resource(None, "" if tag is None else f"<tag>{tag}</tag>"))
            assert re.fullmatch(re.escape(begin) + "[A-Za-z0-9_-]{22}", says_who(success).partition("/")[2])

    run(talk())


def test_A11_no_two_resources_are_alike(modern, run):
    async def talk():
        whos = {says_who(await is_in(await modern(), wants_resource())) for _ in range(8)}
        assert len(whos) == 8

    run(talk())


def test_one_session_too_many_is_refused(modern, run, person):
    for number in range(RESOURCES_LIMIT):
        person(f"ann@hub.local/{number}").is_asleep = False

    async def talk():
        ann = await modern()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_resource())
        said = await ann.is_hung_up_on()
        assert "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in said
        assert "<resource-limit-exceeded xmlns='urn:xmpp:errors'/>" in said and "<success" not in said

    run(talk())


def test_a_login_that_fails_binds_nothing(modern, run, hub):
    async def talk():
        ann = await modern()
        answer = await ann.logs_in_by_password(wants_resource("x", CARBONS_ON, SM_ON), password="wrong")
        assert condition(answer) == "not-authorized"
        assert hub.sessions == {} and len(answer) == 1
        assert says_who(await is_in(ann)) == "ann@hub.local"  # what was asked for before counts no more

    run(talk())


# The same client again


def test_the_same_client_takes_the_place_of_its_older_session(modern, run, hub):
    async def talk():
        phone, laptop, bobs = await modern(), await modern(agent=LAPTOP), await modern("bob")
        for each in (phone, laptop, bobs):
            await is_in(each, wants_resource())
        again = await modern(agent=PHONE.upper())
        await is_in(again, wants_resource("Another"))
        assert "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in await phone.is_hung_up_on()
        for each in (laptop, bobs, again):
            await each.pings()
        assert len(hub.sessions[ANN]) == 2

    run(talk())


def test_it_has_a_place_even_where_all_are_taken(modern, run, person):
    async def talk():
        phone = await modern()
        await is_in(phone, wants_resource())
        for number in range(RESOURCES_LIMIT - 1):
            person(f"ann@hub.local/{number}").is_asleep = False
        await is_in(await modern(), wants_resource())
        assert "<conflict" in await phone.is_hung_up_on()

    run(talk())


def test_a_session_that_waits_to_be_resumed_ends_when_its_client_begins_a_new_one(modern, run, hub):
    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource("x", SM_ON))
        id = child(bound_of(success), "enabled", SM).get("id")
        ann.writer.transport.abort()
        again = await modern()
        await is_in(again, wants_resource())
        assert len(hub.sessions[ANN]) == 1
        late = await modern(agent=LAPTOP)
        assert child(await is_in(late, resume(id)), "failed", SM) is not None

    run(talk())


# What is turned on


def test_the_example_with_session_features(modern, run, hub, bob):
    """Example "... additionally requesting some session features"."""

    async def talk():
        ann, laptop = await modern(), await modern(agent=LAPTOP)
        success = await is_in(ann, wants_resource("AwesomeXMPP", CARBONS_ON, f"<enable xmlns='{SM}'/>", INACTIVE))
        jid = says_who(success)
        assert [each.tag for each in bound_of(success)] == [f"{{{SM}}}enabled", f"{{{MAM}}}metadata"]
        assert jid in hub.need("carbons").enabled[ANN]
        session = hub.sessions[ANN][parse(jid)]
        assert session.calm is not None
        # What is not urgent waits; an acknowledgement counts from the first stanza behind <success/>.
        await is_in(laptop, wants_resource())
        bob.says(f"<message to='{jid}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        ann.says(f"<presence/><r xmlns='{SM}'/>")
        assert "<composing" in await ann.hears("<a [^>]*h='1'")
        bob.says(MESSAGE.format(f"/{says_who(success).partition('/')[2]}", "m", "Hi"))
        laptop.says(MESSAGE.format("/nowhere", "n", "to myself"))
        await ann.hears("<body>Hi</body>")

    run(talk())


def test_what_is_not_asked_for_is_off(modern, run, hub):
    async def talk():
        ann = await modern()
        await is_in(ann, wants_resource("x", f"<active xmlns='{csi.NS}'/>", "<enable xmlns='urn:xmpp:unknown'/>"))
        (session,) = hub.sessions[ANN].values()
        assert session.calm is None and session.management is None and hub.need("carbons").enabled == {}

    run(talk())


# The archive, and what waited offline


def test_the_state_of_the_archive_is_that_of_the_very_moment(modern, run, hub, bob):
    async def talk():
        for number in range(3):
            bob.says(MESSAGE.format("", number, f"before {number}"))
        ann = await modern()
        success = await is_in(ann, wants_resource())
        (first, since), (last, until) = hub.need("archive").ends(ANN)
        start, end = child(bound_of(success), "metadata", MAM)
        assert (start.tag, start.get("id"), start.get("timestamp")) == (f"{{{MAM}}}start", first, since)
        assert (end.tag, end.get("id"), end.get("timestamp")) == (f"{{{MAM}}}end", last, until)
        # What comes behind that is live, and the archive has nothing between.
        bob.says(MESSAGE.format("/" + says_who(success).partition("/")[2], "live", "Hello"))
        heard = await ann.hears("</message>")
        assert "before" not in heard and hub.need("archive").ends(ANN)[1][0] in heard

    run(talk())


def waits(hub):
    return sum(hub.need("offline").box(ANN).messages)


def test_what_waited_offline_is_left_to_the_archive(modern, run, hub, bob):
    async def talk():
        for number in range(3):
            bob.says(MESSAGE.format("", number, f"before {number}"))
        assert waits(hub) == 3
        await hub.store.archive.committed()
        await hub.store.accounts.committed()
        ann = await modern()
        success = await is_in(ann, wants_resource())
        assert waits(hub) == 0
        ann.says("<presence/>")
        assert "before" not in await ann.pings()
        ann.says(f"<iq type='set' id='q'><query xmlns='{MAM}'/></iq>")
        page = await ann.hears("<iq [^>]*id='q'.*</iq>")
        assert re.findall("<body>([^<]*)</body>", page) == ["before 0", "before 1", "before 2"]
        assert child(bound_of(success), "metadata", MAM)[1].get("id") in page
        await hub.store.accounts.committed()
        assert hub.store.accounts.read("SELECT count(*) FROM offline") == [(0,)]

    run(talk())


def test_what_the_archive_has_not_got_is_handed_over_as_ever(modern, run, hub, bob):
    """Nothing is lost: he wants nothing of bob's archived, and one was archived and has been purged since."""

    async def talk():
        bob.says(MESSAGE.format("", "purged", "purged"))
        await hub.store.archive.committed()
        hub.store.archive.write("DELETE FROM stanzas")
        await hub.store.archive.committed()
        hub.need("archive").preferences.wants = lambda owner, peer: False
        bob.says(MESSAGE.format("", "never", "not archived"))
        assert waits(hub) == 2
        ann = await modern()
        await is_in(ann, wants_resource())
        ann.says("<presence/>")
        heard = await ann.hears("<ping ")
        assert "purged" in heard and "not archived" in heard

    run(talk())


def test_what_another_client_is_being_sent_is_not_taken_from_it(modern, run, hub, bob, person):
    async def talk():
        bob.says(MESSAGE.format("", "m", "before"))
        await hub.store.archive.committed()
        await hub.store.accounts.committed()
        old = person("ann@hub.local/old")
        old.says("<presence/>")
        ping = next(said for said in old.heard if "urn:xmpp:ping" in said)
        await is_in(await modern(), wants_resource())
        id = re.search("id='([^']*)'", ping)[1]
        old.says(f"<iq type='result' to='hub.local' id='{id}'/>")
        assert waits(hub) == 0

    run(talk())


# Resumption in the same breath (XEP-0198 §"Inline Stream Resumption")


def test_a_stream_is_resumed_and_the_resource_not_asked_for(modern, run, hub, bob):
    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource("x", SM_ON))
        jid, id = says_who(success), child(bound_of(success), "enabled", SM).get("id")
        ann.says("<presence/>")
        await ann.pings()
        ann.writer.transport.abort()
        await until(lambda: hub.sessions[ANN][parse(jid)].is_asleep)
        bob.says(MESSAGE.format("", "m", "while you were away"))
        again = await modern()
        success = await again.logs_in_by_password(resume(id, 1), wants_resource("y", CARBONS_ON))
        assert says_who(success) == jid
        resumed = child(success, "resumed", SM)
        assert resumed.get("previd") == id and resumed.get("h") == "2"
        assert bound_of(success) is None and hub.need("carbons").enabled == {}
        heard = await again.hears("while you were away")
        assert "<stream:features>" not in heard
        assert list(hub.sessions[ANN]) == [jid]
        await again.pings()
        again.says(f"<message to='{jid}'><body>{'x' * 20_000}</body></message>")  # as large as a session's may be
        await again.pings()

    run(talk())


def test_a_resumption_that_fails_goes_on_with_the_resource(modern, run, hub):
    """Example "Client failed to resume stream"."""

    async def talk():
        ann = await modern()
        success = await is_in(ann, resume("some-long-sm-id"), wants_resource("AwesomeXMPP", SM_ON))
        names = [each.tag for each in success]
        assert names == [f"{{{NS}}}authorization-identifier", f"{{{SM}}}failed", f"{{{BIND}}}bound"]
        assert child(success, "failed", SM)[0].tag == "{urn:ietf:params:xml:ns:xmpp-stanzas}item-not-found"
        assert child(bound_of(success), "enabled", SM) is not None
        assert "/AwesomeXMPP/" in says_who(success)
        await ann.pings()

    run(talk())


def test_a_resumption_that_fails_without_a_resource_leaves_it_to_be_bound(modern, run):
    async def talk():
        ann = await modern()
        success = await is_in(ann, resume("some-long-sm-id"))
        assert says_who(success) == "ann@hub.local" and child(success, "failed", SM) is not None
        assert "xmpp-bind" in ann.after

    run(talk())


def test_a_session_does_not_go_on_with_a_line_that_has_broken_in_this_very_moment(modern, run, hub, port, monkeypatch):
    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource("x", SM_ON))
        jid, id = parse(says_who(success)), child(bound_of(success), "enabled", SM).get("id")
        session = hub.sessions[ANN][jid]

        async def found_too_late(client, element):
            try:
                return await resume_it(client, element)
            finally:
                client.connection.abort()

        resume_it = management.resume
        monkeypatch.setattr(management, "resume", found_too_late)
        again = await modern()
        again.authenticates("PLAIN", "\0ann\0secret", resume(id))
        await again.is_hung_up_on()
        await until(lambda: len(port.connected) == 0)
        assert session.is_asleep and hub.sessions[ANN] == {jid: session}

    run(talk())


def test_A12_a_stream_of_somebody_else_is_not_resumed(modern, run, hub):
    async def talk():
        bob = await modern("bob")
        success = await is_in(bob, wants_resource("x", SM_ON))
        id = child(bound_of(success), "enabled", SM).get("id")
        ann = await modern()
        success = await is_in(ann, resume(id), wants_resource())
        assert child(success, "failed", SM) is not None and says_who(success).startswith("ann@")
        await bob.pings()

    run(talk())


def test_A12_a_login_that_fails_resumes_nothing(modern, run, hub):
    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource("x", SM_ON))
        id = child(bound_of(success), "enabled", SM).get("id")
        eve = await modern()
        assert condition(await eve.logs_in_by_password(resume(id), password="wrong")) == "not-authorized"
        await ann.pings()

    run(talk())


@pytest.mark.parametrize("h", ["99", "x"])
def test_an_h_that_cannot_be_ends_the_new_stream_and_not_the_session(modern, run, hub, h):
    async def talk():
        ann = await modern()
        success = await is_in(ann, wants_resource("x", SM_ON))
        id = child(bound_of(success), "enabled", SM).get("id")
        again = await modern()
        again.authenticates("PLAIN", "\0ann\0secret", resume(id, h))
        said = await again.is_hung_up_on()
        assert "<stream:error>" in said and "<success" not in said
        await ann.pings()

    run(talk())
