"""P7: the log tells who came, what failed and where; never a password, a token, or what people say to each other."""

import logging

import pytest

from node.cli.log import _Lines
from node.features.register import Register
from node.hub.accounts import Accounts
from tests.conftest import until
from tests.ports.client.modern import b64, wants_resource, wants_token
from tests.ports.talker import BIND, SASL, plain

PASSWORD, WRONG, NEW, BODY, STATUS = ("seeded-" + word for word in ("password", "wrong", "new", "body", "status"))
MESSAGE = "<message to='{}' type='chat' id='m'><body>" + BODY + "</body><x xmlns='urn:x'>{}</x></message>"
CHANGE = (
    "<iq type='set' id='c' to='hub.local'><query xmlns='jabber:iq:register'>"
    "<username>{}</username><password>{}</password></query></iq>"
)


@pytest.fixture
def told(caplog):
    """`told()` is the whole log, at its most talkative, as it is written."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "asyncio")
    lines = _Lines(journal=False)
    return lambda: "\n".join(lines.format(record) for record in caplog.records)


def seeds_in(text):
    return [seed for seed in (PASSWORD, WRONG, NEW, BODY, STATUS, b64(PASSWORD), b64(WRONG)) if seed in text]


def test_P7_what_people_say_and_know_is_in_no_log(connect, modern, run, hub, port, told):
    async def story():
        await hub.accounts.create("kim", PASSWORD)
        kim = await connect()
        await kim.opens()
        await kim.starts_tls()
        await kim.opens()
        kim.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', WRONG)}</auth>")
        await kim.hears("</failure>")
        kim.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', PASSWORD, WRONG)}</auth>")
        await kim.hears("</failure>")
        kim.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', PASSWORD)}</auth>")
        await kim.hears("<success")
        await kim.opens()
        kim.says(BIND.format("<resource>a</resource>"))
        await kim.hears("</iq>")
        kim.says(f"<presence><status>{STATUS}</status></presence>")
        await kim.hears(STATUS)
        for to in ("kim@hub.local", "ann@hub.local", "nobody@hub.local", "hub.local", "far@far.example", "\1", "@"):
            kim.says(MESSAGE.format(to.replace("\1", "a b"), ""))
        kim.says(f"<iq type='set' id='v'><vCard xmlns='vcard-temp'><NOTE>{BODY}</NOTE></vCard></iq>")
        kim.says(f"<iq type='set' id='t'><nonsense xmlns='urn:nonsense'>{BODY}</nonsense></iq>")
        kim.says(CHANGE.format(NEW, NEW) + CHANGE.format("kim", "") + CHANGE.format("kim", f"{NEW}&#x7;"))
        await kim.hears("id='t'")
        kim.says(MESSAGE.format("ann@hub.local", "<!-- -->"))
        await kim.is_hung_up_on()

        ann = await modern("kim")
        ann.authenticates("PLAIN", f"\0kim\0{WRONG}")
        await ann.is_answered()
        success = await ann.logs_in_by_password(wants_resource("x"), wants_token(), password=PASSWORD)
        token = success.find("{urn:xmpp:fast:0}token").get("token")
        ann.writer.close()
        again = await modern("kim")
        await again.logs_in_by_token(token, wants_resource("x"))
        again.says(CHANGE.format("kim", NEW))
        await again.hears("id='c'")
        again.says(f"<message><body>{BODY}")  # and the line is cut in the middle
        again.writer.transport.abort()
        third = await modern("kim")
        await third.logs_in_by_token(token[:-1] + "A", wants_resource("x"))
        third.writer.close()
        return token

    token = run(story())
    said = told()
    assert "a login as kim from 127.0.0.1 failed" in said and "kim@hub.local/a has logged in" in said
    assert seeds_in(said) == [] and token not in said


def test_P7_nor_when_something_of_ours_fails(connect, run, hub, monkeypatch, told):
    async def fails(*_):
        raise RuntimeError("a bug")

    def fails_at_once(*_):
        raise RuntimeError("a bug")

    async def bugs(count):
        await until(lambda: told().count("RuntimeError: a bug") >= count)

    async def story():
        await hub.accounts.create("kim", PASSWORD)
        kim = await connect()
        await kim.logs_in("kim", PASSWORD)
        await kim.binds()
        monkeypatch.setattr(Register, "_set_password", fails)
        kim.says(CHANGE.format("kim", NEW))
        await kim.hears("<internal-server-error")
        monkeypatch.setattr("node.hub.hub.deliver_message", fails_at_once)
        kim.says(MESSAGE.format("kim@hub.local", ""))  # the error that is the answer fails as well
        await bugs(3)
        monkeypatch.setattr(Accounts, "check", fails)
        other = await connect()
        await other.opens()
        await other.starts_tls()
        await other.opens()
        other.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', PASSWORD)}</auth>")
        await bugs(4)
        other.writer.close()

    run(story())
    said = told()
    assert said.count("Traceback") >= 4
    assert seeds_in(said) == []
