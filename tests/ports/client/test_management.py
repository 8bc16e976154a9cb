"""XEP-0198 on real sockets: what is acked, what is sent again, and a session that outlives its line."""

import asyncio
import re

import pytest

from node.base.jid import parse
from node.features.roster import Saving
from node.ports.administration import requests
from node.ports.client import keeping, management
from node.ports.client.binding import RESOURCES_LIMIT
from node.ports.client.session import Client
from node.stream.acks import WRAP
from tests.conftest import until
from tests.ports.talker import in_session

NS = management.NS
ENABLE = f"<enable xmlns='{NS}' resume='true'/>"
R = f"<r xmlns='{NS}'/>"
PING = "<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>"
SLOW = "<iq type='get' id='s' to='hub.local'><slow xmlns='urn:slow'/></iq>"
UNEXPECTED = f"<failed xmlns='{NS}'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
BODY = "<body>Is the lamp on?</body>"
PHONE = parse("ann@hub.local/phone")


def a(h):
    return f"<a xmlns='{NS}' h='{h}'/>"


def chat(number, to="ann@hub.local/phone"):
    return f"<message to='{to}' id='m{number}' type='chat'>{BODY}</message>"


async def enabled(connect, user="ann", resource="phone", element=ENABLE):
    """A client with stream management, and the id of its session."""
    talker = await connect()
    await talker.logs_in(user)
    await talker.binds(resource)
    talker.says(element)
    answer = await talker.hears("<enabled[^>]*/>")
    found = re.search(" id='([^']+)'", answer)
    return talker, found and found[1]


async def resumes(connect, id, h, user="ann"):
    """Somebody logs in and would go on with a session; what he is answered, and himself."""
    talker = await connect()
    await talker.logs_in(user)
    talker.says(f"<resume xmlns='{NS}' previd='{id}' h='{h}'/>")
    return talker, await talker.hears("<resumed [^>]*/>|</failed>|</stream:stream>")


async def falls_asleep(hub, talker, jid=PHONE):
    """The line is cut, and the node has seen it."""
    talker.writer.transport.abort()
    await until(lambda: session(hub, jid).is_asleep)


def slow(hub) -> asyncio.Event:
    """SLOW is answered when this is set."""
    done = asyncio.Event()

    async def slow(iq, origin):
        await done.wait()
        return iq.reply()

    hub.on_iq("get", "slow", "urn:slow", slow)
    return done


def session(hub, jid=PHONE) -> Client:
    return hub.sessions[jid.bare][jid]


def unacked(hub, jid=PHONE):
    return [entry.stanza.id for entry in session(hub, jid).management.sent.queue]


def ids(text):
    return re.findall("<message[^>]* id='(m[0-9]+)'", text)


async def kept(hub):
    """What waits for people who are not there: id, and the time when it came."""
    await hub.store.accounts.committed()
    rows = hub.store.accounts.read("SELECT stanza, stamp FROM offline ORDER BY id")
    return [(re.search(b" id='([^']+)'", data)[1].decode(), came) for data, came in rows]


# §2, §3: turning it on


def test_it_is_offered_after_login_and_turned_on_after_binding(connect, run):
    async def talk():
        ann = await connect()
        assert f"<sm xmlns='{NS}'/>" in await ann.logs_in()
        ann.says(ENABLE)
        assert (await ann.hears("</failed>")).endswith(UNEXPECTED)
        await ann.binds()
        ann.says(ENABLE)
        answer = await ann.hears("<enabled[^>]*/>")
        assert re.search(f"<enabled xmlns='{NS}' id='[A-Za-z0-9_-]{{22}}' resume='true' max='600'/>", answer)
        ann.says(ENABLE)
        assert await ann.hears("</failed>") == UNEXPECTED

    run(talk())


@pytest.mark.parametrize(
    ("asked", "given"), [("1", 60), ("60", 60), ("61", 120), ("599", 600), ("86400", 600), ("0", 60), ("-1", 600)]
)
def test_the_client_says_how_long_up_to_a_limit(connect, run, asked, given):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        await ann.binds()
        ann.says(f"<enable xmlns='{NS}' resume='1' max='{asked}'/>")
        assert f" max='{given}'" in await ann.hears("<enabled[^>]*/>")

    run(talk())


def test_who_does_not_want_to_resume_gets_no_id(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect, element=f"<enable xmlns='{NS}'/>")
        assert id is None
        ann.says(PING + R)
        await ann.hears(re.escape(a(1)))
        ann.writer.transport.abort()
        await until(lambda: not hub.sessions)

    run(talk())


@pytest.mark.parametrize("nonza", [R, a(0), f"<resume xmlns='{NS}' previd='x' h='0'/>"])
def test_without_it_nothing_of_it_is_expected(connect, run, nonza):
    async def talk():
        ann = await in_session(connect)
        ann.says(nonza)
        assert await ann.hears("</failed>") == UNEXPECTED

    run(talk())


# §4: what h counts


def test_stanzas_count_and_nothing_else(connect, run):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says("<presence/>" + PING + "<message to='no one@x'/>" + "<message to='hub.local' type='headline'/> " + R)
        await ann.hears(re.escape(a(4)))
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>" + R + a(0))
        await ann.hears(re.escape(a(4)))

    run(talk())


def test_h_waits_for_the_disk_and_a_better_one_follows_by_itself(connect, run, hub, monkeypatch):
    """D1: an <r/> is answered at once with what is true, and again when more is."""
    callbacks = []

    async def talk():
        ann, _ = await enabled(connect)
        await hub.store.accounts.committed()
        monkeypatch.setattr(hub.store, "when_safe", callbacks.append)
        ann.says(PING + chat(1, "bob@hub.local") + PING + chat(2, "bob@hub.local") + R)
        assert (await ann.hears("<a [^>]*/>")).endswith(a(1))
        assert callbacks, "nobody waits for the disk"
        await hub.store.archive.committed()
        await hub.store.accounts.committed()
        await until(lambda: hub.store.safe >= hub.store.turn - 1)
        for callback in [*callbacks, *callbacks]:
            callback()
        ann.says(R)
        assert await ann.hears(re.escape(a(4)) + ".*" + re.escape(a(4))) == a(4) + a(4)

    run(talk())


def test_who_did_not_ask_is_not_told(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(chat(1, "bob@hub.local") + PING)
        await ann.hears("id='p'/>")
        await hub.store.accounts.committed()
        ann.says(PING)
        assert "<a " not in await ann.hears("id='p'/>")

    run(talk())


def test_what_waits_for_a_handler_counts_when_that_is_done(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        done = slow(hub)
        ann.says(PING + SLOW + PING + R)
        assert (await ann.hears("<a [^>]*/>")).endswith(a(1))
        done.set()
        assert "id='s'" in await ann.hears(re.escape(a(3)))

    run(talk())


@pytest.mark.parametrize("slow", ["ann", "bob"])
def test_a_request_and_what_is_held_up_behind_it_count_when_all_of_it_is_done(connect, run, hub, monkeypatch, slow):
    """D1: with her own half kept, and then with his."""
    waiting, kept, done = asyncio.Event(), asyncio.Event(), Saving.done

    async def done_later(saving):
        await done(saving)
        if saving.owner.local == slow:
            waiting.set()
            await kept.wait()

    async def talk():
        ann, _ = await enabled(connect)
        monkeypatch.setattr(Saving, "done", done_later)
        ann.says("<presence to='bob@hub.local' type='subscribe'/>" + chat(1, "bob@hub.local") + PING + R)
        assert (await ann.hears("<a [^>]*/>")).endswith(a(0))
        await waiting.wait()
        await until(lambda: hub.store.safe >= hub.store.turn - 1)
        ann.says(R)
        assert (await ann.hears("<a [^>]*/>")).endswith(a(0))
        kept.set()
        assert await ann.hears(re.escape(a(3)))

    run(talk())


def test_a_good_bye_waits_until_all_is_handled_and_says_so(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(chat(1, "bob@hub.local") + "</stream:stream>")
        assert (await ann.is_hung_up_on()).endswith(a(1) + "</stream:stream>")
        assert not hub.sessions

    run(talk())


def test_the_counters_begin_anew_at_2_to_the_32(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        state = session(hub).management
        state.handled.count = state.sent.acked = WRAP - 1
        ann.says(PING + R)
        await ann.hears(re.escape(a(0)))
        ann.says(PING + a(0) + R)
        await ann.hears(re.escape(a(1)))
        assert unacked(hub) == ["p"] and state.sent.acked == WRAP

    run(talk())


# §4: what the client acks


def test_what_is_acked_is_let_go(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says(chat(1) + chat(2) + chat(3))
        await ann.hears("id='m3'.*</message>")
        assert unacked(hub) == ["m1", "m2", "m3"]
        ann.says(a(2) + R)
        await ann.hears("<a [^>]*/>")
        assert unacked(hub) == ["m3"]

    run(talk())


@pytest.mark.parametrize("h", ["2", "4294967295"])
def test_an_h_that_is_too_high_ends_the_stream(connect, run, hub, h):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        ann.says(a(h) + PING)
        if h != "2":  # taken for an old one, and an old one says nothing
            await ann.hears("id='p'/>")
            return
        heard = await ann.is_hung_up_on()
        assert "<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in heard
        assert f"<handled-count-too-high xmlns='{NS}' h='2' send-count='1'/>" in heard

    run(talk())


@pytest.mark.parametrize("h", ["", "x", "-1", "1.0", "4294967296", "٣", "9" * 5000])
def test_an_h_that_is_no_number_ends_the_stream(connect, run, h):
    async def talk():
        ann, _ = await enabled(connect)
        ann.says(a(h))
        assert "<invalid-xml" in await ann.is_hung_up_on()

    run(talk())


def test_a_client_is_asked_after_so_many_and_not_again_before_it_answers(connect, run, hub, monkeypatch):
    monkeypatch.setattr(keeping, "ASK_AFTER", 3)

    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(10)))
        heard = await ann.hears("id='m9'.*</message>")
        assert heard.count(R) == 1 and heard.index(R) > heard.index("id='m2'")
        ann.says(a(3))
        await ann.hears(re.escape(R))
        ann.says(a(10) + PING)
        assert R not in await ann.hears("id='p'/>")

    run(talk())


def test_a_client_is_asked_a_while_after_the_last_and_one_who_acks_nothing_not_for_ever(connect, run, port, hub, later):
    async def talk():
        port.managed.quiet._seconds = 1
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says(chat(1))
        await ann.hears("id='m1'.*</message>")
        later(1)
        await ann.hears(re.escape(R))
        ann.says(a(0))
        await until(lambda: not session(hub).management._asked)
        assert len(port.managed.quiet) == 0
        later(1)
        bob.says(chat(2))
        assert R not in await ann.hears("id='m2'.*</message>")
        later(1)
        await ann.hears(re.escape(R))

    run(talk())


def test_a_client_that_sleeps_is_asked_in_the_packet_that_wakes_it(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>" + PING)
        await ann.hears("id='p'/>")
        ann.says(a(1) + PING)
        await ann.hears("id='p'/>" + re.escape(R))
        ann.says(a(2) + R)
        await ann.hears("<a [^>]*/>")
        bob.says(chat(1))
        assert ids(await ann.hears(re.escape(R))) == ["m1"]

    run(talk())


def test_L8_a_client_that_reads_and_does_not_ack_is_asked_and_then_ended(connect, run, hub, port, monkeypatch):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 30)
    port.managed.full._seconds = 0.1

    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(40)))
        heard = await ann.is_hung_up_on()
        assert len(ids(heard)) == 40 and heard.count(R) == 1
        assert "<resource-constraint" in heard
        assert [id for id, _ in await kept(hub)] == [f"m{number}" for number in range(40)]

    run(talk())


def test_L8_one_that_acks_in_time_goes_on(connect, run, hub, port, monkeypatch, later):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 30)
    port.managed.full._seconds = 1

    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(40)))
        await ann.hears("id='m39'.*</message>")
        later(0.9)
        ann.says(a(40) + PING)
        await ann.hears("id='p'/>")
        later(1)
        ann.says(PING)
        await ann.hears("id='p'/>")

    run(talk())


def test_L8_there_is_an_end_to_what_is_kept_for_one_who_never_acks(connect, run, hub, monkeypatch):
    monkeypatch.setattr(keeping, "SIZE_LIMIT", 1000)
    monkeypatch.setattr(keeping, "SIZE_MOST", 20_000)

    async def talk():
        ann, _ = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(200)))
        heard = await ann.is_hung_up_on()
        assert "<resource-constraint" in heard and len(ids(heard)) < 200
        await until(lambda: PHONE.bare not in hub.sessions)
        bob.says(PING)
        await bob.hears("id='p'/>")
        assert len(await kept(hub)) == 200, "nothing is lost by that"

    run(talk())


# §5: resumption


def test_a_session_whose_line_is_cut_goes_on_where_it_was(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        ann.says("<presence/>" + PING)
        await ann.hears("id='p'/>")
        bob = await in_session(connect, "bob")
        bob.says(chat(1))
        await ann.hears("id='m1'")
        old = session(hub)
        await falls_asleep(hub, ann)
        assert PHONE in hub.present[PHONE.bare]
        bob.says(chat(2, "ann@hub.local"))
        bob.says(PING)
        await bob.hears("id='p'/>")
        assert await kept(hub) == [], "she is still there"
        ann, answer = await resumes(connect, id, 2)
        assert f"<resumed xmlns='{NS}' h='2' previd='{id}'/>" in answer
        assert ids(await ann.hears("id='m2'.*</message>" + re.escape(R))) == ["m1", "m2"]
        assert session(hub) is old and not old.is_asleep
        bob.says(chat(3))
        assert ids(await ann.hears("id='m3'")) == ["m3"]
        ann.says(PING + R)
        await ann.hears(re.escape(a(3)))
        assert len(hub.sessions[PHONE.bare]) == 1

    run(talk())


def test_nothing_is_sent_between_resumed_and_what_was_missed(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says(chat(1))
        await ann.hears("id='m1'")
        await falls_asleep(hub, ann)
        ann = await connect()
        await ann.logs_in()
        ann.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>")
        bob.says(chat(2))
        heard = await ann.hears("id='m2'.*</message>")
        assert heard.startswith(f"<resumed xmlns='{NS}' h='0' previd='{id}'/><message")
        assert ids(heard) == ["m1", "m2"]

    run(talk())


@pytest.mark.parametrize("h", range(6))
def test_R13_whatever_h_a_client_comes_back_with_each_stanza_comes_once(connect, run, hub, h):
    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(1, 6)))
        await ann.hears("id='m5'.*</message>")
        await falls_asleep(hub, ann)
        bob.says(chat(6) + PING)
        await bob.hears("id='p'/>")
        ann, _ = await resumes(connect, id, h)
        ann.says(PING)
        assert ids(await ann.hears("id='p'/>")) == [f"m{number}" for number in range(h + 1, 7)]
        ann.says(a(7) + R)
        await ann.hears("<a [^>]*/>")
        assert unacked(hub) == []

    run(talk())


def test_what_came_before_the_cut_is_counted_and_what_is_sent_again_not_twice(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(chat(1, "bob@hub.local") + chat(2, "bob@hub.local"))
        ann.says(PING)
        await ann.hears("id='p'/>")
        await falls_asleep(hub, ann)
        ann, answer = await resumes(connect, id, 0)
        assert " h='3'" in answer
        assert [each for each, _ in await kept(hub)] == ["m1", "m2"]

    run(talk())


def test_resumed_waits_for_what_is_being_done(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        done = slow(hub)
        ann.says(SLOW + PING)
        await ann.hears("id='p'/>")
        await falls_asleep(hub, ann)
        waiting = asyncio.ensure_future(resumes(connect, id, 1))
        await until(lambda: session(hub).management.attempt is not None)
        await in_session(connect, "bob")  # so long a time later
        assert not waiting.done()
        done.set()
        ann, answer = await waiting
        assert " h='2'" in answer
        await ann.hears("id='s'")

    run(talk())


def test_when_it_takes_too_long_the_client_hears_what_is_handled_and_binds_anew(connect, run, hub, monkeypatch):
    monkeypatch.setattr(management, "HANDLING", 0.05)

    async def talk():
        ann, id = await enabled(connect)
        done = slow(hub)
        ann.says(PING + SLOW + PING)
        await ann.hears("id='p'/>.*id='p'/>")
        await falls_asleep(hub, ann)
        ann, answer = await resumes(connect, id, 1)
        assert f"<failed xmlns='{NS}' h='1'><resource-constraint" in answer
        assert "<jid>" in await ann.binds("other")
        done.set()

    run(talk())


def test_a_live_line_is_given_up_for_a_new_one(connect, run, hub):
    async def talk():
        old, id = await enabled(connect)
        new, answer = await resumes(connect, id, 0)
        assert "<resumed" in answer
        assert "<conflict" in await old.is_hung_up_on()
        new.says(PING)
        await new.hears("id='p'/>")
        assert len(hub.sessions[PHONE.bare]) == 1 and not session(hub).is_asleep

    run(talk())


def test_A12_of_two_that_resume_at_once_one_wins(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says(chat(1))
        await ann.hears("id='m1'")
        await falls_asleep(hub, ann)
        both = [await connect(), await connect()]
        for each in both:
            await each.logs_in()
        for each in both:
            each.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>")
        heard = [await each.hears("<resumed|</failed>") for each in both]
        alive = session(hub).connection
        bob.says(chat(2))
        ends = []
        for each, what in zip(both, heard, strict=True):
            if "<failed" in what:
                assert "<item-not-found" in what
                ends.append([])
            else:
                text = what + each.heard
                while "</stream:stream>" not in text and "id='m2'" not in text:
                    text += await each.hears("</message>|</stream:stream>")
                ends.append(ids(text))
        assert sorted(end[-1] for end in ends if end and "m2" in end) == ["m2"], ends
        assert session(hub).connection is alive

    run(talk())


@pytest.mark.parametrize("who", ["somebody else", "unknown", "without login", "before a resource", "after logout"])
def test_A12_a_session_is_for_whom_it_belongs_to(connect, run, hub, who):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        if who == "without login":
            eve = await connect()
            await eve.opens()
            await eve.starts_tls()
            await eve.opens()
            eve.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>")
            assert "<not-authorized" in await eve.is_hung_up_on()
            return
        if who == "after logout":
            ann.says("</stream:stream>")
            await ann.is_hung_up_on()
        eve, answer = await resumes(
            connect, "x" * 22 if who == "unknown" else id, 0, user="bob" if who == "somebody else" else "ann"
        )
        if who == "before a resource":
            assert "<resumed" in answer
            return
        assert answer.endswith(
            f"<failed xmlns='{NS}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        )
        assert "<jid>" in await eve.binds("other"), "who cannot resume binds anew"
        if who != "after logout":
            ann.says(PING)
            await ann.hears("id='p'/>")

    run(talk())


def test_a_session_that_nobody_resumes_ends_and_its_h_is_remembered(connect, run, hub, port):
    async def talk():
        ann, id = await enabled(connect)
        bob, _ = await enabled(connect, "bob", "desk")
        bob.says("<presence to='ann@hub.local/phone'/>")
        ann.says("<presence to='bob@hub.local/desk'/><presence/>" + PING)
        await ann.hears("id='p'/>")
        await falls_asleep(hub, ann)
        session(hub).management.forgotten()
        await bob.hears("from='ann@hub.local/phone' type='unavailable'/>")
        assert PHONE.bare not in hub.sessions
        for user, expected in (("ann", " h='3'"), ("bob", "")):
            _, answer = await resumes(connect, id, 0, user=user)
            assert f"<failed xmlns='{NS}'{expected}><item-not-found" in answer

    run(talk())


def test_it_sleeps_for_as_long_as_it_asked(connect, run, hub, port):
    async def talk():
        for resource, seconds in (("phone", 60), ("desk", 600)):
            ann, _ = await enabled(connect, "ann", resource, f"<enable xmlns='{NS}' resume='1' max='{seconds}'/>")
            jid = parse(f"ann@hub.local/{resource}")
            await falls_asleep(hub, ann, jid)
            assert session(hub, jid).management in port.managed.asleep(seconds)._due
        short = port.managed.asleep(60)
        assert short._seconds == 60
        hub.loop.call_soon(session(hub).management.forgotten)
        await until(lambda: len(hub.sessions[PHONE.bare]) == 1)
        assert len(short) == 0

    run(talk())


def test_an_h_that_is_too_high_ends_who_said_it_and_not_the_session(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        await falls_asleep(hub, ann)
        ann, answer = await resumes(connect, id, 1)
        assert "<handled-count-too-high" in answer and "send-count='0'" in answer
        ann, answer = await resumes(connect, id, 0)
        assert "<resumed" in answer

    run(talk())


def test_an_h_that_takes_back_cannot_be_resumed(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        ann.says(a(1) + PING)
        await ann.hears("id='p'/>")
        await falls_asleep(hub, ann)
        _, answer = await resumes(connect, id, 0)
        assert "<item-not-found" in answer

    run(talk())


def test_to_ask_for_what_cannot_be_resumed_cuts_no_line(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>")
        ann.says(a(1) + PING)
        await ann.hears("id='p'/>")
        _, answer = await resumes(connect, id, 0)
        assert "<item-not-found" in answer and "h='2'" in answer
        ann.says(PING)
        assert "<conflict" not in await ann.hears("id='p'/>")

    run(talk())


@pytest.mark.parametrize("what", ["user-passwd", "user-remove", "its owner"])
def test_A13_who_has_logged_in_with_an_old_password_does_not_resume(connect, run, hub, what):
    async def talk():
        ann, id = await enabled(connect)
        eve = await logged_in(connect)
        if what == "its owner":  # whose session goes on
            ann.says(
                "<iq type='set' id='r' to='hub.local'><query xmlns='jabber:iq:register'>"
                "<username>ann</username><password>other</password></query></iq>"
            )
            assert "type='result'" in await ann.hears("id='r'/>")
        else:
            await requests(hub)[what]({"name": "ann", "password": "other"})
        eve.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>")
        assert f"<{'not-authorized' if what == 'user-remove' else 'reset'} " in await eve.is_hung_up_on()
        if what == "its owner":
            ann.says(PING)
            await ann.hears("id='p'/>")

    run(talk())


def test_A13_nor_when_the_password_changes_while_it_resumes(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        done = asyncio.Event()
        hub.on_iq("get", "slow", "test", lambda iq, origin: slow(iq, done))
        ann.says("<iq type='get' id='s' to='hub.local'><slow xmlns='test'/></iq>")
        await until(lambda: session(hub).management.handled.received == 1)
        eve = await logged_in(connect)
        eve.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>")
        await until(lambda: session(hub).is_asleep)
        await hub.accounts.set_password("ann", "other")
        done.set()
        assert "<reset " in await eve.is_hung_up_on()

    async def slow(iq, done):
        await done.wait()
        return iq.reply()

    run(talk())


def test_a_client_says_nothing_while_it_is_being_resumed(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        await falls_asleep(hub, ann)
        ann = await connect()
        await ann.logs_in()
        ann.says(f"<resume xmlns='{NS}' previd='{id}' h='0'/>" + PING)
        assert "<stream:error>" in await ann.is_hung_up_on()
        ann, answer = await resumes(connect, id, 0)
        assert "<resumed" in answer

    run(talk())


def test_a_sleeping_session_is_small(connect, run, hub, port):
    async def talk():
        ann, _ = await enabled(connect)
        client = session(hub)
        ann.says("<inactive xmlns='urn:xmpp:csi:0'/>" + PING[:20])
        await until(lambda: client.framing._reader is not None)
        await falls_asleep(hub, ann)
        assert client not in port.connected
        assert client.connection.tls is None and client.calm is None and client.framing._reader is None

    run(talk())


def test_what_waited_for_a_calm_client_waits_for_one_that_is_gone(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        ann.says("<presence/><inactive xmlns='urn:xmpp:csi:0'/>" + PING)
        await ann.hears("id='p'/>")
        bob = await in_session(connect, "bob")
        bob.says("<presence to='ann@hub.local/phone' id='m1'/>" + PING)
        await bob.hears("id='p'/>")
        await falls_asleep(hub, ann)
        ann, _ = await resumes(connect, id, 2)
        await ann.hears("<presence[^>]* id='m1'/>")

    run(talk())


def test_presence_that_changes_often_does_not_end_a_sleeping_session(connect, run, hub, monkeypatch):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 10)

    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        await falls_asleep(hub, ann)
        for number in range(30):
            bob.says(f"<presence to='ann@hub.local/phone' id='m{number}'><status>{number}</status></presence>")
        bob.says(chat(99) + PING)
        await bob.hears("id='p'/>")
        ann, _ = await resumes(connect, id, 0)
        heard = await ann.hears("id='m99'")
        assert "<status>29</status>" in heard and heard.count("<presence") <= 10

    run(talk())


def test_a_sleeping_session_for_which_too_much_waits_ends(connect, run, hub, monkeypatch):
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 10)

    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        await falls_asleep(hub, ann)
        bob.says("".join(chat(number) for number in range(12)) + PING)
        await bob.hears("id='p'/>")
        assert PHONE.bare not in hub.sessions
        assert [id for id, _ in await kept(hub)] == [f"m{number}" for number in range(12)]

    run(talk())


@pytest.mark.parametrize("back_at_once", [True, False])
def test_of_one_that_was_slow_to_ack_when_its_line_was_cut(connect, run, hub, monkeypatch, back_at_once):
    """Its session ends, unless it is back already: then it will ack a lot."""
    monkeypatch.setattr(keeping, "COUNT_LIMIT", 10)

    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number) for number in range(12)))
        await ann.hears("id='m11'.*</message>")
        if back_at_once:
            ann, answer = await resumes(connect, id, 11)
            assert "<resumed" in answer
            assert ids(await ann.hears("id='m11'.*</message>")) == ["m11"]
        else:
            ann.writer.transport.abort()
            await until(lambda: PHONE.bare not in hub.sessions)
            assert len(await kept(hub)) == 12

    run(talk())


def test_late_news_of_a_line_that_was_given_up_mean_nothing(connect, run, hub):
    async def talk():
        ann, id = await enabled(connect)
        bob = await in_session(connect, "bob")
        await falls_asleep(hub, ann)
        bob.says(chat(1) + PING)
        await bob.hears("id='p'/>")
        session(hub).closed("closed by the other side")
        assert session(hub).management.sent.on_line == 0

    run(talk())


def test_the_session_that_has_slept_longest_ends_for_a_new_one(connect, run, hub):
    async def talk():
        first, id = await enabled(connect, resource="r0")
        second, _ = await enabled(connect, resource="r1")
        await falls_asleep(hub, second, parse("ann@hub.local/r1"))
        await falls_asleep(hub, first, parse("ann@hub.local/r0"))
        others = [await logged_in(connect) for _ in range(2, RESOURCES_LIMIT)]  # a line that nobody holds is closed
        for number, other in enumerate(others, 2):
            await other.binds(f"r{number}")
        assert "<jid>" in await (await logged_in(connect)).binds("new")
        there = {jid.resource for jid in hub.sessions[PHONE.bare]}
        assert "r1" not in there and "r0" in there

    run(talk(), timeout=15)


async def logged_in(connect):
    talker = await connect()
    await talker.logs_in()
    return talker


# when_acked, for features


def test_who_asks_hears_when_all_so_far_is_acked(connect, run, hub):
    async def talk():
        ann, _ = await enabled(connect)
        plain = await in_session(connect, "bob")
        assert not session(hub, parse("bob@hub.local/phone")).when_acked(print)
        heard = []
        client = session(hub)
        plain.says(chat(1) + chat(2))
        await ann.hears("id='m2'")
        assert client.when_acked(lambda: heard.append("two"))
        plain.says(chat(3))
        await ann.hears("id='m3'")
        ann.says(a(1) + PING)
        await ann.hears("id='p'/>")
        assert heard == []
        ann.says(a(2) + PING)
        await ann.hears("id='p'/>")
        assert heard == ["two"]

    run(talk())


def test_offline_messages_are_let_go_by_the_ack(connect, run, hub):
    async def talk():
        bob = await in_session(connect, "bob")
        bob.says(chat(1, "ann@hub.local") + PING)
        await bob.hears("id='p'/>")
        ann, id = await enabled(connect)
        ann.says("<presence/>")
        heard = await ann.hears("id='m1'.*</message>")
        ann.says(PING)
        assert "urn:xmpp:ping" not in heard + await ann.hears("id='p'/>"), "no ping: it acks"
        await falls_asleep(hub, ann)
        assert len(await kept(hub)) == 1
        ann, answer = await resumes(connect, id, 0)
        assert ids(await ann.hears("id='m1'.*</message>")) == ["m1"]
        ann.says(a(3) + R)
        await ann.hears("<a [^>]*/>")
        assert await kept(hub) == []

    run(talk())


def test_the_next_batch_that_an_h_lets_go_comes_once(connect, run, hub, monkeypatch):
    monkeypatch.setattr("node.features.offline.BATCH", 2)

    async def talk():
        bob = await in_session(connect, "bob")
        bob.says("".join(chat(number, "ann@hub.local") for number in range(1, 5)) + PING)
        await bob.hears("id='p'/>")
        ann, id = await enabled(connect)
        ann.says("<presence/>")
        await ann.hears("id='m2'.*</message>")
        await falls_asleep(hub, ann)
        ann, answer = await resumes(connect, id, 3)
        ann.says(PING)
        assert ids(await ann.hears("id='p'/>")) == ["m3", "m4"]

    run(talk())


def test_offline_messages_that_were_not_acked_are_kept_once(connect, run, hub):
    async def talk():
        bob = await in_session(connect, "bob")
        bob.says(chat(1, "ann@hub.local") + PING)
        await bob.hears("id='p'/>")
        ann, _ = await enabled(connect)
        ann.says("<presence/>")
        await ann.hears("id='m1'.*</message>")
        ann.says("</stream:stream>")
        await ann.is_hung_up_on()
        assert [id for id, _ in await kept(hub)] == ["m1"]

    run(talk())
