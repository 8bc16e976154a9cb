"""The rows of the attack catalogue about the way in that no file of this folder has: by their ids."""

import re

import pytest

from node.base.stanza import new_id
from node.stream.opening import new_stream_id
from tests.ports.talker import SASL, STARTTLS, STREAM

COMPRESS = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
TOO_BIG = (
    "<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>more than 10000 bytes in one piece</text>"
    "<stanza-too-big xmlns='urn:xmpp:errors'/>"
)


@pytest.mark.parametrize("secured", [False, True], ids=["before TLS", "before the login"])
@pytest.mark.parametrize("piece", [1000, 20_000])
def test_L1_what_a_stranger_says_has_10000_bytes_at_most(connect, run, secured, piece):
    async def talk():
        eve = await connect()
        await eve.opens()
        if secured:
            await eve.starts_tls()
            await eve.opens()
        said = f"<auth {SASL} mechanism='PLAIN'>{'A' * 10_000}</auth>"
        for at in range(0, len(said), piece):
            eve.says(said[at : at + piece])
        heard = await eve.is_hung_up_on()
        assert heard == f"<stream:error>{TOO_BIG}</stream:error></stream:stream>"

    run(talk())


def test_L1_and_no_fewer(connect, run):
    async def talk():
        ann = await connect()
        await ann.opens()
        await ann.starts_tls()
        await ann.opens()
        frame = f"<auth {SASL} mechanism='PLAIN'></auth>"
        ann.says(frame.replace("><", f">{'A' * (10_000 - len(frame))}<"))
        assert "<malformed-request/>" in await ann.hears("</failure>")

    run(talk())


def test_L14_nothing_is_compressed(connect, run):
    async def talk():
        ann = await connect()
        offers = await ann.opens()
        await ann.starts_tls()
        assert ann.writer.get_extra_info("compression") is None
        offers += await ann.opens()
        ann.says(COMPRESS)
        assert "<not-authorized " in await ann.is_hung_up_on()
        ann = await connect()
        offers += await ann.logs_in()
        await ann.binds()
        ann.says(COMPRESS)
        assert "<unsupported-stanza-type " in await ann.is_hung_up_on()
        assert "compress" not in offers

    run(talk())


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        ("<message from='a@b'/><!-- --><a:b/>\0", "invalid-from"),
        ("<!-- --><!-- --><message from='a@b'/>", "restricted-xml"),
        ("</stream:stream><!-- -->\0", None),
        ("</stream:stream></stream:stream>", None),
    ],
)
def test_X21_a_stream_ends_once_whatever_follows(connect, run, said, condition):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        await ann.binds()
        ann.says(said)
        heard = await ann.is_hung_up_on()
        assert re.findall(r"<stream:error><([a-z-]+)", heard) == ([condition] if condition else [])
        assert heard.count("</stream:stream>") == 1 and heard.endswith("</stream:stream>")

    run(talk())


def test_X17_what_is_wrong_is_said_also_about_what_is_for_somebody_blocked(connect, run):
    async def talk():
        ann = await connect()
        await ann.logs_in()
        await ann.binds()
        ann.says("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='bob@hub.local'/></block></iq>")
        await ann.hears("type='result' id='b'")
        ann.says("<iq id='1' to='bob@hub.local'><a xmlns='urn:a'/></iq>")
        assert "<error type='modify'><bad-request " in await ann.hears("<iq [^>]*id='1'>.*</iq>")
        ann.says("<iq type='result' id='2' to='bob@hub.local'><a xmlns='urn:a'/><b xmlns='urn:a'/></iq>")
        ann.says("<iq type='get' id='3' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
        assert "id='2'" not in await ann.hears("id='3'")

    run(talk())


def test_X11_an_address_is_no_host_of_ours(connect, run):
    async def talk():
        for host in ("127.0.0.1", "[::1]", "hub.local.other", "xn--hub-.local"):
            eve = await connect()
            eve.says(f"{STREAM} to='{host}' version='1.0'>")
            assert "<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in await eve.is_hung_up_on()

    run(talk())


def test_A1_nobody_who_took_starttls_away_gets_a_password(connect, run):
    """Whoever is in between can hide our offer; that we take nothing before TLS stays."""

    async def talk():
        ann = await connect()
        assert "<required/>" in await ann.opens()
        ann.says(f"<auth {SASL} mechanism='PLAIN'>AGFubgBzZWNyZXQ=</auth>")
        assert "<encryption-required/>" in await ann.hears("</failure>")
        ann.says("<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>")
        assert "<not-authorized " in await ann.is_hung_up_on()

    run(talk())


def test_A3_a_second_handshake_is_no_stream(connect, run):
    async def talk():
        ann = await connect()
        await ann.opens()
        await ann.starts_tls()
        await ann.opens()
        ann.says(STARTTLS)
        assert "<unsupported-stanza-type " in await ann.is_hung_up_on()

    run(talk())


@pytest.mark.parametrize("make", [new_stream_id, new_id])
def test_A11_ids_cannot_be_guessed(make):
    made = [make() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert min(map(len, made)) >= (32 if set("".join(made)) <= set("0123456789abcdef") else 22)  # 128 bits
    assert made != sorted(made)
    for place in range(20):  # nothing of one is in the next
        assert len({each[place] for each in made}) >= 16


def test_A11_no_two_streams_have_one_id(connect, run):
    async def talk():
        ids = set()
        for _ in range(20):
            ann = await connect()
            ids.add(re.search(" id='([^']*)'", await ann.opens())[1])
            ann.writer.close()
        assert len(ids) == 20

    run(talk())
