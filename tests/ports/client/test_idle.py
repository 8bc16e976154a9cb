"""Who is silent for long is asked, and who does not answer has no line."""

import re

import pytest

from node.base.jid import parse
from node.ports.client import idle
from tests.conftest import until
from tests.ports.client.test_management import PHONE, PING, R, a, enabled, resumes, session
from tests.ports.talker import in_session

BOB = parse("bob@hub.local/phone")


@pytest.fixture
def watched(port):
    """`watched(client)`: a quarter of an hour has passed for this one, and nobody has heard anything."""

    def watched(client):
        for _ in range(2):
            port.idle._silent.discard(client)
            port.idle._look(client)

    return watched


def test_it_is_four_times_an_hour_at_most():
    assert idle.SILENCE >= 600


def test_who_has_said_something_is_not_asked(connect, run, hub, port):
    async def talk():
        bob = await in_session(connect, "bob")
        client = session(hub, BOB)
        port.idle._look(client)
        bob.says(PING)
        await bob.hears("id='p'/>")
        port.idle._look(client)
        bob.says(PING)
        assert "urn:xmpp:ping" not in await bob.hears("id='p'/>")
        assert client in port.idle._silent._due and client not in port.idle._asked._due

    run(talk())


def test_who_is_silent_gets_a_ping_and_goes_on_if_he_answers(connect, run, hub, port, watched):
    async def talk():
        bob = await in_session(connect, "bob")
        watched(session(hub, BOB))
        asked = await bob.hears("<iq[^>]*><ping xmlns='urn:xmpp:ping'/></iq>")
        id = re.search(" id='([^']+)'", asked)[1]
        bob.says(f"<iq type='result' id='{id}' to='hub.local'/>{PING}")
        await bob.hears("id='p'/>")
        port.idle._judge(session(hub, BOB))
        bob.says(PING)
        await bob.hears("id='p'/>")

    run(talk())


def test_who_does_not_answer_is_hung_up_on(connect, run, hub, port, watched, monkeypatch):
    monkeypatch.setattr(port.idle._asked, "_seconds", 0.05)

    async def talk():
        bob = await in_session(connect, "bob")
        watched(session(hub, BOB))
        heard = await bob.is_hung_up_on()
        assert "<connection-timeout" in heard
        await until(lambda: not hub.sessions)
        assert not len(port.idle._silent) and not len(port.idle._asked)

    run(talk())


def test_one_that_acks_is_asked_for_an_ack_and_its_session_outlives_the_line(
    connect, run, hub, port, watched, monkeypatch, later
):
    monkeypatch.setattr(port.idle._asked, "_seconds", 1)

    async def talk():
        ann, id = await enabled(connect)
        watched(session(hub))
        later(1)
        heard = await ann.is_hung_up_on()
        assert heard.startswith(R) and "<connection-timeout" in heard
        assert session(hub).is_asleep
        ann, answer = await resumes(connect, id, 0)
        assert "<resumed" in answer and session(hub) in port.idle._silent._due
        watched(session(hub))
        await ann.hears(re.escape(R))
        ann.says(a(0) + PING)
        await ann.hears("id='p'/>")
        later(2)
        ann.says(PING)
        await ann.hears("id='p'/>")
        assert not session(hub).is_asleep

    run(talk())


def test_a_line_on_which_nothing_is_acked_is_given_up(connect, run, hub, port, monkeypatch):
    """What is sent to a phone whose line is dead without anybody's knowing waits, and is not lost."""
    monkeypatch.setattr(port.idle._asked, "_seconds", 0.1)
    port.managed.quiet._seconds = 0.05

    async def talk():
        ann, id = await enabled(connect)
        ann.says(PING)
        await ann.hears("id='p'/>" + re.escape(R))
        await until(lambda: session(hub).is_asleep)
        ann, _ = await resumes(connect, id, 0)
        await ann.hears("id='p'/>")

    run(talk())


def test_a_session_that_has_left_is_forgotten(connect, run, hub, port):
    async def talk():
        ann, _ = await enabled(connect)
        assert session(hub) in port.idle._silent._due
        ann.says("</stream:stream>")
        await ann.is_hung_up_on()
        await until(lambda: PHONE.bare not in hub.sessions)
        assert not len(port.idle._silent)

    run(talk())
