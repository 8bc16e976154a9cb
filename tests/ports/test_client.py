"""The way in, on a real socket with real TLS: RFC 6120 §4-7."""

import asyncio
import base64
import hashlib
import hmac
import re
import secrets
import threading

import pytest

from node.base.jid import parse
from node.hub import store
from node.net.tls import end_point
from node.ports import limits
from node.ports.administration import requests
from node.ports.client.binding import RESOURCES_LIMIT
from tests.conftest import until
from tests.ports.talker import OPEN, SASL, STARTTLS, STREAM, Talker, b64, in_session, in_tls, plain, trusting


def test_A1_before_tls_nothing_but_tls_is_offered(connect, run):
    async def talk():
        ann = await connect()
        features = await ann.opens()
        assert features.startswith("<?xml version='1.0'?><stream:stream ")
        assert "from='hub.local'" in features
        assert re.search(" id='[0-9a-f]{32}'", features)
        assert "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>" in features
        assert "mechanism" not in features

    run(talk())


def test_a_client_logs_in_binds_and_asks(connect, run, hub):
    async def talk():
        ann = await connect()
        features = await ann.logs_in()
        for feature in (
            "urn:ietf:params:xml:ns:xmpp-bind",
            "rosterver",
            "pre-approval",
            "http://jabber.org/protocol/caps",
        ):
            assert feature in features
        assert "<jid>ann@hub.local/phone</jid>" in await ann.binds()
        assert parse("ann@hub.local/phone") in hub.sessions[parse("ann@hub.local")]
        ann.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert "type='result'" in await ann.hears("id='p'/>")
        ann.says("</stream:stream>")
        assert (await ann.is_hung_up_on()).endswith("</stream:stream>")

    run(talk())
    assert hub.sessions == {}


def test_after_tls_the_mechanisms_are_offered_strongest_first(connect, run):
    async def talk():
        ann = await connect()
        await ann.opens()
        await ann.starts_tls()
        features = await ann.opens()
        assert re.findall("<mechanism>([^<]*)</mechanism>", features.partition("</mechanisms>")[0]) == [
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-256",
            "SCRAM-SHA-1",
            "PLAIN",
        ]
        assert (
            "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-server-end-point'/>"
            in features
        )
        assert "<max-bytes>10000</max-bytes>" in features
        assert "starttls" not in features

    run(talk())


@pytest.mark.parametrize("plus", [False, True])
def test_scram_binds_the_channel(connect, run, plus, files):
    async def talk():
        ann = await connect()
        await ann.opens()
        await ann.starts_tls()
        await ann.opens()
        header = "p=tls-server-end-point,," if plus else "n,,"
        binding = header.encode()
        if plus:
            binding += end_point(ann.writer.get_extra_info("ssl_object").getpeercert(True))
        first = f"n=ann,r={secrets.token_hex(8)}"
        ann.says(f"<auth {SASL} mechanism='SCRAM-SHA-256{'-PLUS' if plus else ''}'>{b64(header + first)}</auth>")
        challenge = base64.b64decode(re.search(">([^<]+)</challenge>", await ann.hears("</challenge>"))[1]).decode()
        values = dict(part.split("=", 1) for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", b"secret", base64.b64decode(values["s"]), int(values["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c={b64(binding)},r={values['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{challenge},{last}".encode(), "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        ann.says(f"<response {SASL}>{b64(f'{last},p={b64(proof)}')}</response>")
        success = await ann.hears("</success>")
        assert b64("v=")[:2] in success
        assert "bind" in await ann.opens()

    run(talk())


def test_direct_tls_takes_clients_with_and_without_alpn(port, run):
    listener = port.listen("127.0.0.1", 0, direct_tls=True)

    async def talk():
        for alpn in ("xmpp-client", None):
            ann = Talker(*await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting(alpn)))
            assert ann.writer.get_extra_info("ssl_object").selected_alpn_protocol() == alpn
            features = await ann.opens()
            assert features.startswith("<?xml")
            assert "SCRAM-SHA-256" in features
            assert "starttls" not in features

    run(talk())


def test_A1_a_login_before_tls_is_refused(connect, run):
    async def talk():
        ann = await connect()
        await ann.opens()
        ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        assert "<encryption-required/>" in await ann.hears("</failure>")

    run(talk())


def test_A1_what_is_piped_in_before_tls_is_thrown_away(connect, run):
    async def talk():
        ann = await connect()
        await ann.opens()
        ann.says(STARTTLS + OPEN + f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        await ann.hears("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await ann.writer.start_tls(trusting())
        assert "<mechanisms" in await ann.opens()

    run(talk())


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("<auth {} mechanism='ANONYMOUS'/>", "invalid-mechanism"),
        ("<auth {} mechanism='EXTERNAL'>=</auth>", "invalid-mechanism"),
        ("<auth {}/>", "invalid-mechanism"),
        ("<auth {} mechanism='PLAIN'>no base64!</auth>", "incorrect-encoding"),
        ("<auth {} mechanism='PLAIN'>=</auth>", "malformed-request"),
        (f"<auth {{}} mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>", "not-authorized"),
        (f"<auth {{}} mechanism='PLAIN'>{plain('nobody', 'wrong')}</auth>", "not-authorized"),
        (f"<auth {{}} mechanism='PLAIN'>{plain('ann', 'secret', 'bob')}</auth>", "invalid-authzid"),
        ("<abort {}/>", "aborted"),
        ("<response {}>AA==</response>", "malformed-request"),
    ],
)
def test_A4_A6_A10_a_login_that_fails_says_why_and_may_be_tried_again(connect, run, said, condition):
    async def talk():
        ann = await in_tls(connect)
        ann.says(said.format(SASL))
        assert f"<{condition}/>" in await ann.hears("</failure>")
        ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        await ann.hears("<success")

    run(talk())


def test_L11_after_three_failures_the_stream_is_closed(connect, run):
    async def talk():
        ann = await in_tls(connect)
        for _ in range(3):
            ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>")
            await ann.hears("</failure>")
        assert "<policy-violation" in await ann.is_hung_up_on()

    run(talk())


def test_A14_L11_who_guesses_has_to_wait_and_the_log_says_how_long(connect, run, caplog):
    async def talk():
        for _ in range(5):
            ann = await in_tls(connect)
            for _ in range(2):
                ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>")
                failure = await ann.hears("</failure>")
        assert "<temporary-auth-failure/>" in failure

    run(talk())
    logged = [text for text in caplog.messages if text.startswith("a login as ann from 127.0.0.1 failed")]
    assert logged == [*["a login as ann from 127.0.0.1 failed"] * 8, f"{logged[0]}; the next is looked at in 1 s"]


def test_A14_a_client_that_tries_one_mistyped_password_by_three_ways_may_do_so_three_times(connect, run):
    async def talk():
        for _ in range(3):
            ann = await in_tls(connect)
            for _ in range(3):
                ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>")
                assert "<not-authorized/>" in await ann.hears("</failure>")

    run(talk())


@pytest.mark.parametrize(
    "stanza",
    ["<presence/>", "<message to='bob@hub.local'/>", "<iq type='get' id='1'><a xmlns='urn:a'/></iq>"],
)
def test_X25_a_stanza_before_login_ends_the_stream(connect, run, stanza):
    async def talk():
        for prepare in (connect, lambda: in_tls(connect)):
            ann = await prepare()
            if prepare is connect:
                await ann.opens()
            ann.says(stanza)
            assert "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in await ann.is_hung_up_on()

    run(talk())


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (STREAM + " version='1.0'>", "improper-addressing"),
        (STREAM + " to='other.local' version='1.0'>", "host-unknown"),
        (STREAM + " to='ann@hub.local' version='1.0'>", "host-unknown"),
        (STREAM + f" to='{'x' * 5000}' version='1.0'>", "host-unknown"),
        (STREAM + " to='hub.local'>", "unsupported-version"),
        (STREAM + " to='hub.local' version='0.9'>", "unsupported-version"),
        (STREAM + " to='hub.local' version='abc'>", "unsupported-version"),
        (OPEN.replace("jabber:client", "jabber:server"), "invalid-namespace"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("<foo>", "bad-format"),
        ("<!DOCTYPE foo>", "restricted-xml"),
        ("x" * 11000, "policy-violation|not-well-formed"),
    ],
)
def test_X10_X11_X12_X21_a_wrong_beginning_is_answered_with_our_header_and_the_reason(connect, run, header, condition):
    async def talk():
        ann = await connect()
        ann.says(header)
        said = await ann.is_hung_up_on()
        assert said.count("<stream:stream ") == 1
        assert re.search(f"<stream:error><({condition}) xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>", said)
        assert said.endswith("</stream:error></stream:stream>")

    run(talk())


def test_X12_version_two_is_answered_as_one(connect, run):
    async def talk():
        ann = await connect()
        ann.says(STREAM + " to='hub.local' version='2.0'>")
        assert "version='1.0'" in await ann.hears("</stream:features>")

    run(talk())


def test_A5_after_login_the_stream_cannot_be_opened_to_another_host(connect, run):
    async def talk():
        ann = await in_tls(connect)
        ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        await ann.hears("<success")
        ann.says(STREAM + " to='other.local' version='1.0'>")
        assert "<host-unknown" in await ann.is_hung_up_on()

    run(talk())


def test_X25_before_a_resource_is_bound_nothing_else_is_taken(connect, run):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        ann.says("<presence/>")
        assert "<not-authorized" in await ann.is_hung_up_on()

    run(talk())


def test_a_resource_is_made_when_none_is_asked_for(connect, run):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        assert re.search("<jid>ann@hub.local/[A-Za-z0-9_-]{22}</jid>", await ann.binds(None))

    run(talk())


def test_a_resource_that_no_address_may_have_is_refused(connect, run):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        assert "<bad-request" in await ann.binds("x" * 1024)
        assert "<jid>" in await ann.binds("phone")

    run(talk())


def test_the_same_resource_again_takes_the_place_of_the_first(connect, run, hub):
    async def talk():
        first = await connect()
        await first.logs_in()
        await first.binds()
        second = await connect()
        await second.logs_in()
        await second.binds()
        assert "<conflict" in await first.is_hung_up_on()
        second.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        await second.hears("id='p'/>")
        assert len(hub.sessions[parse("ann@hub.local")]) == 1

    run(talk())


def test_L15_one_resource_too_many_is_refused(connect, run):
    async def talk():
        talkers = []
        for number in range(RESOURCES_LIMIT + 1):
            talker = await connect()
            talkers.append(talker)
            await talker.logs_in()
            answer = await talker.binds(f"r{number}")
        assert "<resource-constraint" in answer
        assert "<resource-limit-exceeded xmlns='urn:xmpp:errors'/>" in answer
        assert "type='wait'" in answer

    run(talk(), timeout=15)


@pytest.mark.parametrize(
    "sender", ["bob@hub.local", "bob@hub.local/phone", "ann@hub.local/other", "hub.local", "no one@x"]
)
def test_S1_nobody_speaks_for_somebody_else(connect, run, sender):
    async def talk():
        ann = await in_session(connect)
        ann.says(f"<message to='bob@hub.local' from='{sender}'/>")
        assert "<invalid-from" in await ann.is_hung_up_on()

    run(talk())


def test_who_sends_is_stamped_and_the_streams_language_too(connect, run):
    async def talk():
        bob = await in_session(connect, "bob")
        ann = await connect()
        await ann.logs_in()
        ann.says("")
        await ann.binds()
        ann.says("<message to='bob@hub.local/phone' from='ann@hub.local' id='1'><body>hi</body></message>")
        heard = await bob.hears("</message>")
        assert "from='ann@hub.local/phone'" in heard

    run(talk())


def test_X17_a_wrong_stanza_is_answered_and_the_session_goes_on(connect, run):
    async def talk():
        ann = await in_session(connect)
        ann.says("<message to='no one@hub.local' id='m1'/>")
        assert "<jid-malformed" in await ann.hears("</message>")
        ann.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        await ann.hears("id='p'/>")

    run(talk())


@pytest.mark.parametrize(("lang", "told"), [("de-CH", True), ("x" * 36, False)])
def test_L13_the_language_of_the_stream_is_put_into_each_stanza_unless_it_is_long(connect, run, lang, told):
    async def talk():
        bob = await in_session(connect, "bob")
        ann = await in_tls(connect)
        ann.says(f"<auth {SASL} mechanism='PLAIN'>{plain('ann', 'secret')}</auth>")
        await ann.hears("<success")
        ann.says(OPEN.replace(" to=", f" xml:lang='{lang}' to="))
        await ann.hears("</stream:features>")
        await ann.binds()
        ann.says("<message to='bob@hub.local/phone'><body>hi</body></message>")
        assert (f"xml:lang='{lang}'" in await bob.hears("</message>")) == told

    run(talk())


def test_an_element_that_we_do_not_know_ends_the_stream(connect, run):
    async def talk():
        ann = await in_session(connect)
        ann.says("<who xmlns='urn:test'/>")
        assert "<unsupported-stanza-type" in await ann.is_hung_up_on()

    run(talk())


def test_L7_who_does_not_log_in_in_time_is_hung_up_on(connect, run, port, monkeypatch):
    monkeypatch.setattr(port.waiting, "_seconds", 0.05)

    async def talk():
        silent, slow = await connect(), await connect()
        slow.says("<")
        for talker in (silent, slow):
            assert "<connection-timeout" in await talker.is_hung_up_on()
        await port.turn.goodbyes(1)
        assert not port.connected

    run(talk())


@pytest.mark.parametrize("way", ["direct", "proceed", "hello"])
def test_L7_a_handshake_that_does_not_come_to_its_end_is_hung_up_on(connect, run, port, monkeypatch, way):
    async def talk():
        if way == "direct":
            listener = port.listen("127.0.0.1", 0, direct_tls=True)
            ann = Talker(*await asyncio.open_connection("127.0.0.1", listener.port))
        else:
            ann = await connect()
            await ann.opens()
            monkeypatch.setattr(port.waiting, "_seconds", 0.05)
            port.waiting.add(next(iter(port.connected)))
            ann.says(STARTTLS)
            await ann.hears("<proceed")
            if way == "hello":
                ann.says(b"\x16\x03\x01\x02\x00\x01")  # the beginning of one
        await ann.is_hung_up_on()

    monkeypatch.setattr(port.waiting, "_seconds", 0.05)
    run(talk())
    run(asyncio.sleep(0))
    assert not port.connected


def test_a_session_has_no_deadline(connect, run, port):
    async def talk():
        await in_session(connect)
        assert len(port.waiting) == 0

    run(talk())


def test_a_bug_of_ours_ends_the_stream_and_no_other(connect, run, hub, monkeypatch, caplog):
    async def talk():
        ann, bob = await in_session(connect), await in_session(connect, "bob")
        with monkeypatch.context() as patch:
            patch.setattr(hub, "route", lambda stanza, origin: 1 / 0)
            ann.says("<presence/>")
            assert "<internal-server-error" in await ann.is_hung_up_on()
        bob.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        await bob.hears("id='p'")
        assert "ZeroDivisionError" in caplog.text

    run(talk())


def test_A15_a_removed_account_is_hung_up_on(connect, run, hub):
    async def talk():
        ann = await in_session(connect)
        await requests(hub)["user-remove"]({"name": "ann"})
        assert "<not-authorized" in await ann.is_hung_up_on()

    run(talk())


def test_who_removes_the_own_account_hears_that_it_is_done_and_then_the_end(connect, run, hub):
    async def talk():
        ann = await in_session(connect)
        ann.says("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>")
        result, _, end = (await ann.is_hung_up_on()).partition("<stream:error>")
        assert "type='result'" in result and "id='r'" in result
        assert "<not-authorized" in end and end.endswith("</stream:stream>")

    run(talk())
    assert not hub.accounts.exists("ann")


def test_at_shutdown_everybody_hears_it(connect, run, port):
    async def talk():
        ann = await in_session(connect)
        port.close()
        assert "<system-shutdown" in await ann.is_hung_up_on()
        await port.turn.goodbyes(1)
        assert not port.connected

    run(talk())


@pytest.mark.parametrize("rate", [20_000])
def test_L13_who_sends_too_fast_waits_and_loses_nothing(connect, run, port, later, monkeypatch):
    monkeypatch.setattr(limits, "BURST", 1)

    async def talk():
        ann = await in_session(connect)
        sent = 0
        while sent < 24_000:
            stanza = f"<iq type='get' id='p{sent}' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>"
            ann.says(stanza)
            sent += len(stanza)
        (client,) = port.connected
        await until(lambda: client._throttle._allowance < 0)
        ann.says("<iq type='get' id='last' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        hearing = asyncio.ensure_future(ann.hears("id='last'/>"))
        for _ in range(500):  # turns: an answer takes fewer than a hundred
            await asyncio.sleep(0)
        assert not hearing.done()
        later(1)
        assert f"id='p{sent - len(stanza)}'/>" in await hearing

    run(talk())


def test_L8_who_does_not_read_is_hung_up_on_and_the_others_are_served(connect, run, port, hub, monkeypatch):
    async def talk():
        deaf = await in_session(connect)
        deaf.writer.transport.pause_reading()
        bob = await in_session(connect, "bob")
        body = "x" * 100_000
        for number in range(200):  # 20 MB: more than the kernel keeps for somebody
            bob.says(f"<message to='ann@hub.local/phone' id='m{number}'><body>{body}</body></message>")
            bob.says(f"<iq type='get' id='p{number}' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
            await bob.hears(f"id='p{number}'/>")
            if parse("ann@hub.local") not in hub.sessions:
                break
        assert parse("ann@hub.local") not in hub.sessions

    run(talk(), timeout=15)


def test_who_writes_faster_than_the_disk_waits_and_nothing_is_refused(hub, connect, run, monkeypatch):
    disk = threading.Event()
    real = store.commit
    monkeypatch.setattr(store, "commit", lambda connection: (disk.wait(5), real(connection)))
    count = 4 * store.BEHIND

    async def talk():
        bob = await in_session(connect, "bob")
        bob.says("<presence/>")
        await bob.hears("<presence [^>]*/>")
        ann = await in_session(connect)
        for number in range(count):
            ann.says(f"<message type='chat' to='bob@hub.local' id='m{number}'><body>hi</body></message>")
        (session,) = hub.sessions[parse("ann@hub.local")].values()
        async with asyncio.timeout(5):
            while not session.connection._paused:
                await asyncio.sleep(0)
        bob.says("<iq type='get' id='ping' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        came = await bob.hears("id='ping'/>")
        assert count / 8 < came.count("<body>") < count
        disk.set()
        await bob.hears(f"id='m{count - 1}'")
        ann.says("<iq type='get' id='done' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert "error" not in await ann.hears("id='done'/>")

    run(talk())
