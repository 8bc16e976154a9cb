import asyncio
import logging

import pytest

from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import parse
from node.base.stanza import Stanza

PING = "<ping xmlns='urn:test:ping'/>"
NS = "urn:test:ping"


def error(name, condition, type, *, to, sender, id="1", text=""):
    said = f"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>{text}</text>" if text else ""
    return (
        f"<{name} to='{to}' from='{sender}' id='{id}' type='error'><error type='{type}'>"
        f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{said}</error></{name}>"
    )


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


def asks(romeo, to="hub.local", type="get"):
    return romeo.says(f"<iq type='{type}' id='1' to='{to}'>{PING}</iq>").heard


def test_what_a_handler_returns_is_the_answer(hub, romeo):
    hub.on_iq("get", "ping", NS, lambda iq, origin: iq.reply(E("pong", NS)))
    assert asks(romeo) == [
        f"<iq type='result' id='1' to='romeo@hub.local/a' from='hub.local'><pong xmlns='{NS}'/></iq>"
    ]


def test_a_handler_may_wait(hub, romeo):
    async def later(iq, origin):
        await asyncio.sleep(0)
        return iq.reply()

    hub.on_iq("get", "ping", NS, later)
    assert asks(romeo) == ["<iq type='result' id='1' to='romeo@hub.local/a' from='hub.local'/>"]


def test_who_routes_is_told_what_is_still_at_work_on_an_iq(hub, romeo):
    async def later(iq, origin):
        return iq.reply()

    hub.on_iq("get", "ping", NS, later)
    hub.on_iq("set", "ping", NS, lambda iq, origin: iq.reply())

    def route(type):
        return hub.route(Stanza("iq", E("ping", NS), type=type, id="1", sender=romeo.jid, to=hub.host), romeo)

    assert route("set") is None
    work = route("get")
    assert not work.done()
    hub.loop.run_until_complete(work)
    assert len(romeo.heard) == 2


@pytest.mark.parametrize("way", ["leaving", "arriving"])
def test_who_routes_is_told_what_is_still_at_work_on_what_a_guard_has_stopped(hub, romeo, person, way):
    juliet = person("juliet@hub.local/b")
    works = []

    def hold(message, origin):
        works.append(hub.spawn(asyncio.sleep(0), "what holds it up"))
        return works[0]

    hub.guard(way, "message", hold)
    message = Stanza("message", E("body", None, "hi"), type="chat", sender=romeo.jid, to=juliet.jid)
    assert hub.route(message, romeo) is works[0]
    assert juliet.heard == []


@pytest.mark.parametrize("at", ["host", "account", "self"])
def test_who_routes_is_told_what_is_still_at_work_on_a_presence(hub, romeo, person, at):
    work = []

    def handle(presence, origin):
        work.append(hub.spawn(asyncio.sleep(0), "what comes of it"))
        return work[0]

    hub.on_stanza("presence", handle, at)
    to = {"host": hub.host, "account": person("juliet@hub.local/b").jid, "self": None}[at]
    assert hub.route(Stanza("presence", sender=romeo.jid, to=to), romeo) is work[0]


@pytest.mark.parametrize("way", ["leaving", "arriving"])
def test_a_guard_may_send_another_stanza_on_in_its_stead(hub, romeo, person, way):
    juliet = person("juliet@hub.local/b")
    seen = []
    hub.guard(way, "message", lambda message, origin: message.plus("urn:x x", b"<x xmlns='urn:x'/>"))
    hub.watch(way, "message", lambda message, origin: seen.append(message.has("x", "urn:x")))
    romeo.says("<message type='chat' to='juliet@hub.local/b'><body>hi</body></message>")
    assert "<x xmlns='urn:x'/>" in juliet.heard[0]
    assert len(seen) == 1


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_refuses_by_raising(hub, romeo, waits):
    def refuse(iq, origin):
        raise StanzaError("not-allowed", "Not today.")

    async def refuse_later(iq, origin):
        refuse(iq, origin)

    hub.on_iq("get", "ping", NS, refuse_later if waits else refuse)
    assert asks(romeo) == [
        error("iq", "not-allowed", "cancel", to="romeo@hub.local/a", sender="hub.local", text="Not today.")
    ]


@pytest.mark.parametrize("waits", [False, True])
def test_a_handler_that_fails_is_logged_once_and_the_node_goes_on(hub, romeo, waits, caplog):
    def fail(iq, origin):
        return 1 / 0

    async def fail_later(iq, origin):
        return 1 / 0

    hub.on_iq("get", "ping", NS, fail_later if waits else fail)
    assert asks(romeo) == [error("iq", "internal-server-error", "wait", to="romeo@hub.local/a", sender="hub.local")]
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert len(asks(romeo)) == 1


def test_a_handler_that_waits_for_ever_is_given_up(hub, romeo, monkeypatch):
    async def never(iq, origin):
        await asyncio.Event().wait()

    monkeypatch.setattr("node.hub.hub.ANSWER_DEADLINE", 0.01)
    hub.on_iq("get", "ping", NS, never)
    assert asks(romeo) == [
        error(
            "iq", "remote-server-timeout", "wait", to="romeo@hub.local/a", sender="hub.local", text="this took too long"
        )
    ]


def test_what_nobody_handles_is_unavailable(hub, romeo):
    assert asks(romeo) == [error("iq", "service-unavailable", "cancel", to="romeo@hub.local/a", sender="hub.local")]


@pytest.mark.parametrize("to", ["nobody@hub.local", "nobody@hub.local/x", "juliet@hub.local", "juliet@hub.local/x"])
def test_A14_nobody_can_find_out_who_has_an_account(hub, romeo, run, to):
    run(hub.accounts.create("juliet", "secret"))
    assert asks(romeo, to) == [error("iq", "service-unavailable", "cancel", to="romeo@hub.local/a", sender=to)]


def test_an_error_is_not_answered(hub, romeo):
    assert romeo.says("<message type='error' id='1' to='nobody@hub.local'><body>x</body></message>").heard == []
    assert romeo.says("<iq type='result' id='1' to='nobody@hub.local'/>").heard == []


def test_own_account_comes_before_any_account(hub, romeo, person):
    juliet = person("juliet@hub.local/b")
    hub.on_iq("get", "ping", NS, lambda iq, origin: iq.reply(E("own")), at="self")
    hub.on_iq("get", "ping", NS, lambda iq, origin: iq.reply(E("any")), at="account")
    assert "own" in asks(romeo, "romeo@hub.local")[0]
    assert "any" in asks(juliet, "romeo@hub.local")[0]


def test_an_iq_to_a_full_address_goes_to_that_session(hub, romeo, person):
    juliet = person("juliet@hub.local/b")
    romeo.says(f"<iq type='get' id='1' to='juliet@hub.local/b'>{PING}</iq>")
    assert juliet.heard == [f"<iq type='get' id='1' to='juliet@hub.local/b' from='romeo@hub.local/a'>{PING}</iq>"]
    juliet.says("<iq type='result' id='1' to='romeo@hub.local/a'/>")
    assert romeo.heard == ["<iq type='result' id='1' to='romeo@hub.local/a' from='juliet@hub.local/b'/>"]


def test_a_guard_stops_silently_or_refuses_and_watchers_see_only_what_passes(hub, romeo, person):
    juliet = person("juliet@hub.local/b")
    seen = []
    hub.guard("arriving", "message", lambda stanza, origin: stanza.body == "stop")

    def refuse(stanza, origin):
        if stanza.body == "refuse":
            raise StanzaError("policy-violation")

    hub.guard("leaving", "message", refuse)
    hub.watch("arriving", "message", lambda stanza, origin: stanza.body and seen.append(stanza.body))
    for body in ("stop", "refuse", "pass"):
        romeo.says(f"<message id='1' to='juliet@hub.local/b'><body>{body}</body></message>")
    assert len(juliet.heard) == 1
    assert seen == ["pass"]
    assert romeo.heard == [
        error("message", "policy-violation", "modify", to="romeo@hub.local/a", sender="juliet@hub.local/b")
    ]


def test_S6_the_node_asks_and_hears_the_answer_of_whom_it_asked(hub, romeo, person, run):
    tybalt = person("tybalt@hub.local/c")

    async def question():
        iq = Stanza("iq", E("ping", NS), type="get", to=romeo.jid, sender=hub.host)
        asked = asyncio.ensure_future(hub.ask(iq))
        await asyncio.sleep(0)
        id = hub_question(romeo)
        tybalt.says(f"<iq type='result' id='{id}' to='hub.local'><wrong xmlns='{NS}'/></iq>")
        romeo.says(f"<iq type='result' id='{id}' to='hub.local'><right xmlns='{NS}'/></iq>")
        return await asked

    assert run(question()).payload.name == "right"


def hub_question(person):
    (heard,) = person.ears
    person.ears = []
    return heard.partition("id='")[2].partition("'")[0]


def test_an_error_answer_is_raised(hub, romeo, run):
    async def question():
        iq = Stanza("iq", E("ping", NS), type="get", to=romeo.jid, sender=hub.host)
        asked = asyncio.ensure_future(hub.ask(iq))
        await asyncio.sleep(0)
        id = hub_question(romeo)
        romeo.says(
            f"<iq type='error' id='{id}' to='hub.local'><error type='wait'>"
            "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
        await asked

    with pytest.raises(StanzaError) as caught:
        run(question())
    assert (caught.value.condition, caught.value.type) == ("conflict", "wait")


def test_nobody_answering_is_an_error_too(hub, romeo, run):
    iq = Stanza("iq", E("ping", NS), type="get", to=romeo.jid, sender=hub.host)
    with pytest.raises(StanzaError) as caught:
        run(hub.ask(iq, timeout=0.01))
    assert caught.value.condition == "remote-server-timeout"
    assert not hub._questions


def test_without_federation_other_domains_cannot_be_found(hub, romeo):
    assert asks(romeo, "ann@elsewhere.example") == [
        error(
            "iq",
            "remote-server-not-found",
            "cancel",
            to="romeo@hub.local/a",
            sender="ann@elsewhere.example",
            text="this node does not talk to other servers",
        )
    ]


def test_a_session_that_was_replaced_does_not_take_its_successor_away(hub, person):
    first = person("romeo@hub.local/a")
    second = person("romeo@hub.local/a")
    first.leaves()
    assert hub.sessions[parse("romeo@hub.local")][second.jid] is second
    second.leaves()
    assert parse("romeo@hub.local") not in hub.sessions


def test_a_listener_that_fails_does_not_keep_the_others_from_hearing(hub, caplog):
    heard = []
    hub.on("test", lambda what: 1 / 0)
    hub.on("test", heard.append)
    with caplog.at_level(logging.CRITICAL):
        hub.tell("test", "news")
    assert heard == ["news"]
