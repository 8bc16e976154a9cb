"""What a node demands of a server to which it opens a link, and what its people hear when that is not met."""

import asyncio
import base64
import re
import ssl

import pytest

from node.base.element import E
from node.base.errors import STANZAS_NS
from node.base.stanza import CLIENT
from node.net import dns
from node.ports.link import Peer, outgoing
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, PROCEED, STREAM, Ear
from tests.ports.talker import STARTTLS, HungUp

EXTERNAL = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
    "<dialback xmlns='urn:xmpp:features:dialback'/>"
)
SASL = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
ERROR = "<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"


async def sending(world, talk, **options):
    """ann at home sends a message to a server that does `await talk(talker)`; gives her and the talks."""
    node = world.node(HOME, **options)
    talks = await world.server(talk)
    ann = Ear(node.hub, f"ann@{HOME}/phone")
    ann.sends("message", E("body", CLIENT, "hello"), to=f"ben@{CABIN}", id="m")
    return ann, talks


async def refused(ann, condition, words):
    error = await ann.hears()
    assert (error.type, error.id, error.sender) == ("error", "m", f"ben@{CABIN}")
    assert f"<{condition} " in repr(error)
    assert re.search(words, error.child("error", CLIENT).find("text", STANZAS_NS).text)


def test_the_key_is_for_this_stream_and_the_message_follows_it(world):
    async def story(world):
        heard = []

        async def talk(talker):
            await talker.accepts_link(world.papers[CABIN], id="S2")
            heard.append(await talker.hears("</db:result>"))
            talker.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")
            heard.append(await talker.hears("</message>"))

        await sending(world, talk)
        await until(lambda: len(heard) == 2)
        key = world.nodes[0].secret.key(CABIN, HOME, "S2")
        assert heard[0].endswith(f"<db:result from='{HOME}' to='{CABIN}'>{key}</db:result>")
        assert heard[1] == (f"<message to='ben@{CABIN}' from='ann@{HOME}/phone' id='m'><body>hello</body></message>")

    world(story)


def test_the_header_names_both_domains_and_the_prefix_of_dialback(world):
    async def story(world):
        heard = []

        async def talk(talker):
            heard.append(await talker.greets(STARTTLS))
            await talker.is_hung_up_on()

        await sending(world, talk)
        await until(lambda: heard)
        for part in (f"from='{HOME}'", f"to='{CABIN}'", "xmlns:db='jabber:server:dialback'", "version='1.0'"):
            assert part in heard[0]

    world(story)


def test_F4_a_server_without_encryption_gets_nothing(world):
    async def story(world):
        async def talk(talker):
            await talker.greets("<dialback xmlns='urn:xmpp:features:dialback'/>")
            assert "message" not in await talker.is_hung_up_on()

        ann, talks = await sending(world, talk)
        await refused(ann, "remote-server-not-found", "offers no encryption")
        await asyncio.gather(*talks)

    world(story)


def test_a_server_that_cannot_encrypt_now_gets_nothing(world):
    async def story(world):
        async def talk(talker):
            await talker.greets(STARTTLS)
            await talker.hears(re.escape(STARTTLS))
            talker.says("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
            assert "message" not in await talker.is_hung_up_on()

        ann, _ = await sending(world, talk)
        await refused(ann, "remote-server-timeout", "cannot encrypt now")

    world(story)


def test_what_comes_in_the_clear_behind_proceed_is_thrown_away(world):
    async def story(world):
        heard = []

        async def talk(talker):
            await talker.greets(STARTTLS)
            await talker.hears(re.escape(STARTTLS))
            forged = f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>"
            talker.says(PROCEED + f"<stream:features>{EXTERNAL}</stream:features>" + forged)
            await talker.writer.start_tls(world.papers[CABIN].server_side())
            await talker.greets("<dialback xmlns='urn:xmpp:features:dialback'/>", "true")
            heard.append(await talker.hears("</db:result>"))

        await sending(world, talk)
        await until(lambda: heard)
        assert world.nodes[0].secret.key(CABIN, HOME, "true") in heard[0]

    world(story)


def test_F4_F11_another_certificate_than_the_pinned_one(world):
    async def story(world):
        async def talk(talker):
            await talker.takes_tls(world.papers[CABIN])
            with pytest.raises(HungUp):
                await talker.hears("<stream:stream")

        ann, talks = await sending(world, talk, peers={CABIN: Peer(fingerprint="AB" * 32)})
        shown = world.papers[CABIN].fingerprint
        await refused(ann, "remote-server-not-found", f"certificate is not the pinned one.*{shown}")
        await asyncio.gather(*talks)

    world(story)


def test_F4_a_certificate_that_nobody_vouches_for(world, at_home):
    async def story(world):
        async def talk(talker):
            await talker.takes_tls(world.papers[CABIN])

        ann, _ = await sending(world, talk, peers={})
        await refused(ann, "remote-server-not-found", f"^{CABIN}: certificate is self-signed")

    world(story)


def test_F4_a_certificate_that_is_for_another_domain(world, at_home, monkeypatch):
    async def story(world):
        monkeypatch.setenv("SSL_CERT_FILE", str(world.papers[HOME].own[0]))

        async def talk(talker):
            await talker.takes_tls(world.papers[HOME])

        ann, _ = await sending(world, talk, peers={})
        await refused(ann, "remote-server-not-found", f"certificate is for {HOME}")

    world(story)


def test_a_valid_certificate_needs_no_pin(world, at_home, monkeypatch):
    async def story(world):
        monkeypatch.setenv("SSL_CERT_FILE", str(world.papers[CABIN].own[0]))
        heard = []

        async def talk(talker):
            await talker.accepts_stanzas(world.papers[CABIN])
            heard.append(await talker.hears("</message>"))

        await sending(world, talk, peers={})
        await until(lambda: heard)

    world(story)


def test_our_certificate_is_shown_to_one_who_offers_external(world):
    async def story(world):
        heard = []

        async def talk(talker):
            context = world.papers[CABIN].server_side()
            context.load_verify_locations(world.papers[HOME].own[0])
            context.verify_mode = ssl.CERT_REQUIRED
            await talker.greets(STARTTLS)
            await talker.hears(re.escape(STARTTLS))
            talker.says(PROCEED)
            await talker.writer.start_tls(context)
            heard.append(talker.writer.get_extra_info("ssl_object").getpeercert()["subjectAltName"])
            await talker.greets(EXTERNAL)
            heard.append(await talker.hears("</auth>"))
            talker.says(f"<success {SASL}/>")
            await talker.greets("")
            heard.append(await talker.hears("</message>"))

        await sending(world, talk)
        await until(lambda: len(heard) == 3)
        assert ("DNS", HOME) in heard[0]
        name = base64.b64encode(HOME.encode()).decode()
        assert heard[1].endswith(f"<auth {SASL} mechanism='EXTERNAL'>{name}</auth>")
        assert "db:result" not in heard[2]

    world(story)


def test_dialback_follows_when_our_certificate_is_not_enough(world):
    async def story(world):
        heard = []

        async def talk(talker):
            await talker.takes_tls(world.papers[CABIN])
            await talker.greets(EXTERNAL)
            await talker.hears("</auth>")
            talker.says(f"<failure {SASL}><not-authorized/></failure>")
            await talker.hears("</db:result>")
            talker.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")
            heard.append(await talker.hears("</message>"))

        await sending(world, talk)
        await until(lambda: heard)

    world(story)


@pytest.mark.parametrize(
    ("answer", "condition", "words"),
    [
        ("type='invalid'/>", "internal-server-error", f"says that we are not {HOME}"),
        (
            "type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
            "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>no such host</text></error></db:result>",
            "remote-server-timeout",
            "does not accept us: item-not-found: no such host",
        ),
    ],
)
def test_a_server_that_does_not_believe_us(world, answer, condition, words):
    async def story(world):
        async def talk(talker):
            await talker.accepts_link(world.papers[CABIN])
            await talker.hears("</db:result>")
            talker.says(f"<db:result from='{CABIN}' to='{HOME}' {answer}")
            assert "<message" not in await talker.is_hung_up_on()

        ann, _ = await sending(world, talk)
        await refused(ann, condition, words)

    world(story)


@pytest.mark.parametrize(
    ("said", "condition", "words"),
    [
        (ERROR.format("host-unknown"), "remote-server-not-found", "says host-unknown"),
        (ERROR.format("policy-violation"), "remote-server-timeout", "says policy-violation"),
        ("</stream:stream>", "remote-server-timeout", "closed the link"),
        ("<broken", "remote-server-timeout", "closed by the other side"),
        ("<broken></broke>", "remote-server-timeout", "sent broken XML"),
        ("<message from='x' to='y'/>", "remote-server-timeout", "does not keep to the order"),
    ],
)
def test_a_server_that_ends_the_negotiation(world, said, condition, words):
    async def story(world):
        async def talk(talker):
            await talker.hears("<stream:stream[^>]*>")
            talker.says(f"{STREAM} from='{CABIN}' to='{HOME}' id='S1'>{said}")

        ann, _ = await sending(world, talk)
        await refused(ann, condition, words)

    world(story)


def test_F5_one_who_takes_the_connection_and_falls_silent(world, monkeypatch):
    monkeypatch.setattr(outgoing, "NEGOTIATE_SECONDS", 0.05)

    async def story(world):
        async def talk(talker):
            await talker.is_hung_up_on()

        ann, talks = await sending(world, talk)
        await refused(ann, "remote-server-timeout", "fell silent")
        await asyncio.gather(*talks)

    world(story)


@pytest.mark.parametrize("last_words", ["", "</stream:stream>", ERROR.format("policy-violation")])
def test_a_server_that_hangs_up_when_all_is_negotiated(world, last_words):
    async def story(world):
        async def talk(talker):
            await talker.takes_tls(world.papers[CABIN])
            await talker.hears("<stream:stream[^>]*>")
            header = f"{STREAM} from='{CABIN}' to='{HOME}' id='S2'>"
            talker.says(f"{header}<stream:features/>{last_words}")

        ann, _ = await sending(world, talk)
        assert "remote-server-timeout" in repr(await ann.hears())
        assert world.nodes[0].outboxes[CABIN].link is None

    world(story)


def test_a_server_that_hangs_up_instead_of_an_answer(world):
    async def story(world):
        async def talk(talker):
            await talker.accepts_link(world.papers[CABIN])
            await talker.hears("</db:result>")
            talker.says("</stream:stream>")
            await talker.is_hung_up_on()

        ann, _ = await sending(world, talk)
        await refused(ann, "remote-server-timeout", "closed the link")

    world(story)


def test_S2_a_stanza_on_our_own_link_ends_it(world):
    async def story(world):
        ends = []

        async def talk(talker):
            await talker.accepts_stanzas(world.papers[CABIN])
            await talker.hears("</message>")
            talker.says(f"<message from='ben@{CABIN}' to='ann@{HOME}'><body>psst</body></message>")
            ends.append(await talker.is_hung_up_on())

        ann, _ = await sending(world, talk)
        await until(lambda: ends)
        assert "<not-authorized " in ends[0]
        assert not ann.stanzas

    world(story)


def test_a_stanza_that_the_server_will_not_take_is_given_back(world):
    async def story(world):
        async def talk(talker):
            limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1000</max-bytes></limits>"
            await talker.accepts_link(world.papers[CABIN], limits)
            await talker.hears("</db:result>")
            talker.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")
            heard.append(await talker.hears("</message>"))
            heard.append(await talker.hears("</message>"))

        heard = []
        ann, _ = await sending(world, talk)
        await until(lambda: heard)
        ann.sends("message", E("body", CLIENT, "x" * 1000), to=f"ben@{CABIN}", id="large")
        ann.sends("message", E("body", CLIENT, "x"), to=f"ben@{CABIN}", id="small")
        error = await ann.hears()
        assert error.id == "large" and "policy-violation" in repr(error) and "1000 bytes" in repr(error)
        await until(lambda: len(heard) == 2)
        assert "id='small'" in heard[1]

    world(story)


def test_a_server_that_does_not_read_is_waited_for(world):
    async def story(world):
        go_on = asyncio.Event()
        heard = []

        async def talk(talker):
            talker.reader._limit = 1  # asyncio reads ahead two times this
            await talker.accepts_stanzas(world.papers[CABIN])
            await talker.hears("id='m'.*?</message>")
            await go_on.wait()
            while True:
                heard.append(re.search("id='(.*?)'", await talker.hears("</message>|<message [^>]*/>"))[1])

        ann, _ = await sending(world, talk)
        box = world.nodes[0].outboxes[CABIN]
        await until(lambda: box.link is not None and box.link.may_send)
        count = 0
        while len(box._waiting) < 5:
            ann.sends("message", E("body", CLIENT, "x" * 50_000), to=f"ben@{CABIN}", id=str(count))
            count += 1
            assert count < 500  # no kernel takes 25 MB
            await asyncio.sleep(0)
        go_on.set()
        while before := len(box._waiting):  # while there is room again, and some wait, the last may not go before them
            ann.sends("message", to=f"ben@{CABIN}", id=str(count))
            count += 1
            await until(lambda before=before: len(box._waiting) < before)
        ann.sends("message", E("body", CLIENT, "the end"), to=f"ben@{CABIN}", id=str(count))
        count += 1
        await until(lambda: len(heard) == count)
        assert heard == [str(number) for number in range(count)]

    world(story)


@pytest.mark.parametrize(
    ("trouble", "condition", "words"),
    [
        (
            dns.NotFound("DNS knows no address of cabin.example"),
            "remote-server-not-found",
            "knows no address",
        ),
        (dns.NoAnswer("DNS gave no answer for cabin.example"), "remote-server-timeout", "gave no answer"),
        (1, "remote-server-timeout", "cannot be reached, 127.0.0.1:1: connection refused"),
    ],
)
def test_F5_a_domain_that_cannot_be_reached(world, trouble, condition, words):
    async def story(world):
        node = world.node(HOME)
        world.directory.ports[CABIN] = trouble
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        ann.sends("message", to=f"ben@{CABIN}", id="m")
        await refused(ann, condition, words)

    world(story)


def test_a_domain_that_dns_cannot_spell(world):
    async def story(world):
        ann = Ear(world.node(HOME).hub, f"ann@{HOME}/phone")
        ann.sends("message", to="ben@" + "ü" * 70 + ".example", id="m")
        assert "remote-server-not-found" in repr(await ann.hears())

    world(story)


def test_a_mistake_of_ours_is_answered_too(world):
    async def story(world):
        node = world.node(HOME)
        world.directory.ports[CABIN] = ZeroDivisionError()
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        ann.sends("message", to=f"ben@{CABIN}", id="m")
        await refused(ann, "internal-server-error", "this node made a mistake")

    world(story)


def test_F5_a_stranger_in_this_home_is_not_connected_to(world):
    async def story(world):
        talks = []

        async def talk(talker):
            talks.append(talker)

        ann, _ = await sending(world, talk, peers={})
        await refused(ann, "remote-server-not-found", "in a home network, and there is no .federation.peers")
        assert not talks

    world(story)


def test_a_fixed_place_is_not_asked_for(world):
    async def story(world):
        heard = []

        async def talk(talker):
            heard.append(await talker.hears("<stream:stream[^>]*>"))

        await world.server(talk)
        port = world.directory.ports.pop(CABIN)
        node = world.node(HOME, peers={CABIN: Peer("127.0.0.1", port)})
        Ear(node.hub, f"ann@{HOME}/phone").sends("message", to=f"ben@{CABIN}")
        await until(lambda: heard)
        assert world.directory.asked == []

    world(story)


def test_F5_the_way_to_ourselves_leads_nowhere(world):
    async def story(world):
        node = world.node(HOME)
        world.directory.ports[CABIN] = world.directory.ports[HOME]
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        ann.sends("message", to=f"ben@{CABIN}", id="m")
        await refused(ann, "remote-server-not-found", "says host-unknown: cabin.example does not live here")

    world(story)
