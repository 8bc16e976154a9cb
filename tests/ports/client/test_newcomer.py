"""XEP-0077 on the line: inside TLS and before a login alone, and only while somebody may register."""

import pytest

from node.features.register import Options
from tests.conftest import until
from tests.ports.talker import SASL, in_session, in_tls, plain

NS = "jabber:iq:register"
FEATURE = "<register xmlns='http://jabber.org/features/iq-register'/>"
FORM = f"<iq type='get' id='f' to='hub.local'><query xmlns='{NS}'/></iq>"
PING = "<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>"


def account(name="kim", password="new secret", more=""):
    return (
        f"<iq type='set' id='r'{more}><query xmlns='{NS}'>"
        f"<username>{name}</username><password>{password}</password></query></iq>"
    )


@pytest.fixture
def is_open(hub):
    hub.need("register").reload(Options(open=True))


@pytest.mark.usefixtures("is_open")
def test_one_registers_and_logs_in_on_the_same_line(connect, run):
    async def talk():
        kim = await connect()
        assert FEATURE not in await kim.opens()
        await kim.starts_tls()
        assert FEATURE in await kim.opens()
        kim.says(FORM)
        form = await kim.hears("</iq>")
        assert "from='hub.local'" in form and "<username/><password/>" in form
        kim.says(account(more=" from='ann@hub.local'"))
        assert await kim.hears("/>") == "<iq type='result' id='r'/>"
        kim.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', 'new secret')}</auth>")
        await kim.hears("<success")
        assert FEATURE not in await kim.opens()
        assert "<jid>kim@hub.local/phone</jid>" in await kim.binds()

    run(talk())


def test_with_an_invitation(connect, run, hub):
    token = run(hub.need("register").invite(1)).token

    async def talk():
        kim = await in_tls(connect)
        kim.says(account())
        assert "<not-allowed" in await kim.hears("</iq>")
        shown = f"<iq type='set' id='t' to='hub.local'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></iq>"
        kim.says(shown + FORM + account())  # all at once
        assert await kim.hears("/>") == "<iq from='hub.local' type='result' id='t'/>"
        assert "<username/>" in await kim.hears("</iq>")
        assert await kim.hears("/>") == "<iq type='result' id='r'/>"
        bob = await connect()
        await bob.opens()
        await bob.starts_tls()
        assert "register" not in await bob.opens()

    run(talk())
    assert hub.accounts.exists("kim")


@pytest.mark.parametrize("said", [FORM, account(), PING])
def test_while_nobody_may_who_asks_is_hung_up_on(connect, run, said):
    async def talk():
        kim = await in_tls(connect)
        kim.says(said)
        assert "<not-authorized" in await kim.is_hung_up_on()

    run(talk())


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize(
    "said", ["<message to='hub.local'><body>hi</body></message>", "<presence/>", account(more=" to='ann@hub.local'")]
)
def test_nothing_else_is_heard_of_a_stranger(connect, run, said):
    async def talk():
        kim = await in_tls(connect)
        kim.says(said)
        assert "<not-authorized" in await kim.is_hung_up_on()

    run(talk())


@pytest.mark.usefixtures("is_open")
def test_nobody_registers_in_the_clear(connect, run, hub):
    async def talk():
        kim = await connect()
        await kim.opens()
        kim.says(account())
        assert "<not-authorized" in await kim.is_hung_up_on()

    run(talk())
    assert not hub.accounts.exists("kim")


@pytest.mark.usefixtures("is_open")
def test_who_does_not_wait_for_the_answer_is_hung_up_on(connect, run):
    async def talk():
        kim = await in_tls(connect)
        kim.says(account() + f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        assert "<policy-violation" in await kim.is_hung_up_on()

    run(talk())


@pytest.mark.usefixtures("is_open")
def test_who_leaves_before_the_answer_is_no_trouble(connect, run, hub, port):
    async def talk():
        kim = await in_tls(connect)
        kim.says(account())
        kim.writer.close()
        await until(lambda: hub.accounts.exists("kim") and not port.connected)

    run(talk())


@pytest.mark.usefixtures("is_open")
def test_who_fills_in_a_form_has_more_time_and_not_all_of_it(connect, run, port, monkeypatch, later):
    monkeypatch.setattr(port.waiting, "_seconds", 1)
    monkeypatch.setattr(port.newcomers, "_seconds", 2)

    async def talk():
        kim = await in_tls(connect)
        kim.says(FORM)
        await kim.hears("</iq>")
        later(1.9)
        kim.says(FORM)
        await kim.hears("</iq>")
        later(0.1)
        assert "not registered and logged in within" in await kim.is_hung_up_on()

    run(talk())


@pytest.mark.usefixtures("is_open")
def test_who_has_logged_in_is_not_hurried_any_more(connect, run, port):
    async def talk():
        kim = await in_tls(connect)
        kim.says(account())
        await kim.hears("/>")
        assert len(port.newcomers) == 1 and len(port.waiting) == 0
        kim.says(f"<auth {SASL} mechanism='PLAIN'>{plain('kim', 'new secret')}</auth>")
        await kim.hears("<success")
        await kim.opens()
        await kim.binds()
        assert len(port.newcomers) == 0

    run(talk())


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize(("rate", "made"), [(0, 5), (65536, 3)])
def test_without_limits_there_are_none(connect, run, made, hub):
    async def talk():
        heard = []
        for number in range(5):
            kim = await in_tls(connect)
            kim.says(account(f"user{number}"))
            heard.append(await kim.hears("<resource-constraint|type='result'"))
        assert len([each for each in heard if each.endswith("type='result'")]) == made

    run(talk())


@pytest.mark.usefixtures("is_open")
def test_in_a_session_no_account_is_made(connect, run, hub):
    async def talk():
        ann = await in_session(connect)
        ann.says(account(more=" to='hub.local'"))
        assert "<not-allowed" in await ann.hears("</iq>")

    run(talk())
    assert not hub.accounts.exists("kim")
