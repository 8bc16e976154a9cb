"""What a node lets another server do on a link that he opened, rule by rule."""

import re

import pytest

from node.base.stanza import Stanza
from node.net import dns
from node.ports.link import Peer, incoming
from tests.conftest import until
from tests.ports.link.conftest import CABIN, HOME, PROCEED, STREAM, Ear
from tests.ports.talker import STARTTLS, trusting

MESSAGE = "<message from='ben@{}' to='ann@{}' id='m'><body>x</body></message>"


def authority(world, answer):
    """The server of cabin.example, which says `answer` about any key."""

    async def talk(talker):
        await talker.accepts_link(world.papers[CABIN])
        while True:
            asked = await talker.hears("</db:verify>")
            id = re.search("id='([0-9a-f]{32})'", asked)[1]
            talker.says(answer.format(id=id, head=f"<db:verify from='{CABIN}' to='{HOME}' id='{id}'"))

    return world.server(talk)


VALID = "{head} type='valid'/>"


async def linked(world, answer=VALID):
    """A node, a talker whom it believes to be cabin.example, and someone who lives at the node."""
    await authority(world, answer)
    node = world.node(HOME)
    talker = await world.connect(node)
    await talker.opens_securely()
    talker.claims()
    await talker.hears("<db:result [^>]*type='valid'/>")
    return node, talker, Ear(node.hub, f"ann@{HOME}/phone")


def test_before_tls_nothing_but_tls_is_offered(world):
    async def story(world):
        talker = await world.connect(world.node(HOME))
        features = await talker.opens()
        assert f"from='{HOME}'" in features and f"to='{CABIN}'" in features
        assert "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:f" in features
        assert "dialback xmlns=" not in features

    world(story)


def test_behind_tls_dialback_and_limits_are_offered(world):
    async def story(world):
        talker = await world.connect(world.node(HOME))
        features = await talker.opens_securely()
        assert "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>" in features
        assert "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes></limits>" in features
        assert "starttls" not in features and "mechanism" not in features

    world(story)


@pytest.mark.parametrize(
    "said",
    [
        f"<db:result from='{CABIN}' to='{HOME}'>k</db:result>",
        f"<db:verify from='{CABIN}' to='{HOME}' id='1'>k</db:verify>",
        MESSAGE.format(CABIN, HOME),
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    ],
)
def test_A1_nothing_is_taken_in_the_clear(world, said):
    async def story(world):
        talker = await world.connect(world.node(HOME))
        await talker.opens()
        talker.says(said)
        assert "<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in await talker.is_hung_up_on()

    world(story)


def test_what_is_smuggled_in_behind_starttls_is_thrown_away(world):
    async def story(world):
        await authority(world, VALID)
        talker = await world.connect(world.node(HOME))
        await talker.opens()
        talker.says(STARTTLS + f"<db:result from='{CABIN}' to='{HOME}'>k</db:result>")
        await talker.hears(PROCEED)
        await talker.writer.start_tls(trusting())
        await talker.opens()
        talker.says("</stream:stream>")
        assert "db:result" not in await talker.is_hung_up_on()

    world(story)


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (f"{STREAM} from='{CABIN}' to='other.example'>", "host-unknown"),
        (f"{STREAM} from='{CABIN}'>", "improper-addressing"),
        (STREAM.removesuffix(" version='1.0'") + f" to='{HOME}'>", "unsupported-version"),
        (STREAM.replace("jabber:server'", "jabber:client'", 1) + f" to='{HOME}'>", "invalid-namespace"),
        ("<hello/>", "bad-format"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ],
)
def test_X10_X11_X12_X21_a_wrong_header_is_answered_with_a_header_and_the_reason(world, header, condition):
    async def story(world):
        talker = await world.connect(world.node(HOME))
        talker.says(header)
        heard = await talker.is_hung_up_on()
        assert heard.startswith("<?xml version='1.0'?><stream:stream xmlns='jabber:server'")
        assert heard.count("<stream:stream") == 1
        assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in heard
        assert heard.endswith("</stream:stream>")

    world(story)


def test_after_dialback_stanzas_are_delivered(world):
    async def story(world):
        _, talker, ann = await linked(world)
        talker.says(MESSAGE.format(CABIN, HOME))
        heard = await ann.hears()
        assert (heard.sender, heard.body) == (f"ben@{CABIN}", "x")

    world(story)


@pytest.mark.parametrize(
    ("said", "condition"),
    [
        (MESSAGE.format("other.example", HOME), "invalid-from"),
        (MESSAGE.format("rooms." + CABIN, HOME), "invalid-from"),
        (MESSAGE.format(HOME, HOME), "invalid-from"),
        (MESSAGE.format(CABIN, "other.example"), "host-unknown"),
        (f"<message to='ann@{HOME}'/>", "improper-addressing"),
        (f"<message from='ben@{CABIN}'/>", "improper-addressing"),
        (f"<message from='@{CABIN}' to='ann@{HOME}'/>", "invalid-from"),
        ("<nonsense xmlns='urn:example'/>", "unsupported-stanza-type"),
        ("<!-- hello -->", "restricted-xml"),
        (f"<message from='ben@{CABIN}' to='ann@{HOME}'><body>" + "x" * 530_000, "policy-violation"),
    ],
)
def test_S2_F8_what_ends_the_link(world, said, condition):
    async def story(world):
        _, talker, ann = await linked(world)
        talker.says(said)
        assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in await talker.is_hung_up_on()
        assert not ann.stanzas

    world(story)


def test_X25_before_dialback_no_stanza_is_taken(world):
    async def story(world):
        node = world.node(HOME)
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        talker = await world.connect(node)
        await talker.opens_securely()
        talker.says(MESSAGE.format(CABIN, HOME))
        assert "<not-authorized " in await talker.is_hung_up_on()
        assert not ann.stanzas

    world(story)


def test_an_address_that_is_none_is_answered_and_the_link_stays(world):
    async def story(world):
        node, talker, ann = await linked(world)
        answers = []
        node.hub.remote = lambda stanza, origin: answers.append(stanza)
        talker.says(f"<iq type='get' from='ben@{CABIN}' to='@{HOME}' id='q'><a xmlns='urn:a'/></iq>")
        talker.says(MESSAGE.format(CABIN, HOME))
        await ann.hears()
        assert "jid-malformed" in repr(answers[0]) and answers[0].to == f"ben@{CABIN}" and answers[0].id == "q"

    world(story)


def test_a_key_that_the_domain_does_not_know_ends_the_stream(world):
    async def story(world):
        await authority(world, "{head} type='invalid'/>")
        talker = await world.connect(world.node(HOME))
        await talker.opens_securely()
        talker.claims()
        heard = await talker.is_hung_up_on()
        assert f"<db:result from='{HOME}' to='{CABIN}' type='invalid'/></stream:stream>" in heard

    world(story)


def test_a_second_domain_that_is_not_his_costs_him_only_that(world):
    async def story(world):
        node, talker, ann = await linked(world)
        node.options.peers["other.example"] = Peer(fingerprint=world.papers[CABIN].fingerprint)

        async def talk(other):
            await other.accepts_link(world.papers[CABIN])
            id = re.search("id='([0-9a-f]{32})'", await other.hears("</db:verify>"))[1]
            other.says(f"<db:verify from='other.example' to='{HOME}' id='{id}' type='invalid'/>")
            await other.is_hung_up_on()

        await world.server(talk, "other.example")
        talker.claims("other.example")
        assert "<forbidden " in await talker.hears("</db:result>")
        talker.says(MESSAGE.format(CABIN, HOME))
        await ann.hears()

    world(story)


def test_two_domains_on_one_stream(world):
    async def story(world):
        node, talker, ann = await linked(world)
        node.options.peers["rooms.cabin.example"] = Peer(fingerprint=world.papers[CABIN].fingerprint)

        async def talk(other):
            await other.accepts_link(world.papers[CABIN])
            id = re.search("id='([0-9a-f]{32})'", await other.hears("</db:verify>"))[1]
            other.says(f"<db:verify from='rooms.{CABIN}' to='{HOME}' id='{id}' type='valid'/>")
            await other.is_hung_up_on()

        await world.server(talk, "rooms." + CABIN)
        talker.claims("rooms." + CABIN)
        await talker.hears(f"<db:result from='{HOME}' to='rooms.{CABIN}' type='valid'/>")
        talker.says(MESSAGE.format("rooms." + CABIN, HOME) + MESSAGE.format(CABIN, HOME))
        assert (await ann.hears()).sender.domain == "rooms." + CABIN
        assert (await ann.hears()).sender.domain == CABIN

    world(story)


@pytest.mark.parametrize(
    "answer",
    [
        "<db:verify from='cabin.example' to='home.example' id='another' type='valid'/>",
        "<db:verify from='home.example' to='cabin.example' id='{id}' type='valid'/>",
        "<db:verify from='other.example' to='home.example' id='{id}' type='valid'/>",
        "<db:result from='cabin.example' to='home.example' type='valid'/>",
        "<db:verify from='cabin.example' to='home.example' id='{id}'>k</db:verify>",
    ],
)
def test_F1_only_the_answer_to_our_question_counts(world, answer):
    async def story(world):
        await authority(world, answer + "{head} type='invalid'/>")
        talker = await world.connect(world.node(HOME))
        await talker.opens_securely()
        talker.claims()
        assert "type='invalid'" in await talker.is_hung_up_on()

    world(story)


def test_F1_an_answer_on_the_stream_that_asks_counts_for_nothing(world):
    async def story(world):
        await authority(world, "")  # he never answers
        node = world.node(HOME)
        ann = Ear(node.hub, f"ann@{HOME}/phone")
        talker = await world.connect(node)
        await talker.opens_securely()
        talker.claims()
        talker.says(f"<db:verify from='{CABIN}' to='{HOME}' id='{talker.id}' type='valid'/>")
        talker.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")
        talker.says(MESSAGE.format(CABIN, HOME))
        heard = await talker.is_hung_up_on()
        assert "<not-authorized " in heard and "<db:" not in heard
        assert not ann.stanzas

    world(story)


def test_S2_nobody_else_is_this_node(world):
    async def story(world):
        talker = await world.connect(world.node(HOME))
        await talker.opens_securely(HOME)
        talker.claims(HOME)
        assert "type='invalid'" in await talker.is_hung_up_on()

    world(story)


@pytest.mark.parametrize(
    ("trouble", "condition", "words"),
    [
        (
            dns.NotFound("DNS knows no address of cabin.example"),
            "remote-server-not-found",
            "knows no address",
        ),
        (dns.NoAnswer("no answer for cabin.example"), "remote-server-timeout", "no answer"),
        (1, "remote-connection-failed", "connection refused"),
    ],
)
def test_F3_why_a_domain_could_not_be_asked_is_told_and_the_stream_stays(world, trouble, condition, words):
    async def story(world):
        node = world.node(HOME)
        world.directory.ports[CABIN] = trouble
        talker = await world.connect(node)
        await talker.opens_securely()
        talker.claims()
        heard = await talker.hears("</db:result>")
        assert "type='error'" in heard and f"<{condition} " in heard and words in heard
        talker.claims(to="other.example")
        assert "<item-not-found " in await talker.hears("</db:result>")

    world(story)


def test_F4_a_wrong_certificate_of_the_domain_is_told(world):
    async def story(world):
        node = world.node(HOME, peers={CABIN: Peer(fingerprint="00" * 32)})
        await authority(world, VALID)
        talker = await world.connect(node)
        await talker.opens_securely()
        talker.claims()
        heard = await talker.hears("</db:result>")
        assert "<not-authorized " in heard and "certificate is not the pinned one" in heard

    world(story)


def test_an_error_of_the_domain_is_not_found(world):
    async def story(world):
        await authority(
            world,
            "{head} type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:"
            "params:xml:ns:xmpp-stanzas'/></error></db:verify>",
        )
        talker = await world.connect(world.node(HOME))
        await talker.opens_securely()
        talker.claims()
        heard = await talker.hears("</db:result>")
        assert "<remote-server-not-found " in heard and "item-not-found" in heard

    world(story)


def test_our_own_keys_are_known_again(world):
    async def story(world):
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        key = node.secret.key(CABIN, HOME, "S")
        for said, answer in ((key, "valid"), ("0" * 64, "invalid")):
            talker.says(f"<db:verify from='{CABIN}' to='{HOME}' id='S'>{said}</db:verify>")
            await talker.hears(f"<db:verify from='{HOME}' to='{CABIN}' id='S' type='{answer}'/>")
        talker.says(f"<db:verify from='{CABIN}' to='{HOME}' id='T'>{key}</db:verify>")
        await talker.hears("id='T' type='invalid'/>")
        talker.says(f"<db:verify from='{CABIN}' to='other.example' id='S'>{key}</db:verify>")
        assert "<item-not-found " in await talker.hears("</db:verify>")

    world(story)


def test_F8_too_many_claims_at_once(world):
    async def story(world):
        await authority(world, "")
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        for number in range(incoming.CLAIMS_LIMIT):
            node.options.peers[f"d{number}.example"] = Peer("127.0.0.1", world.directory.ports[CABIN], "00" * 32)
        for number in range(incoming.CLAIMS_LIMIT + 1):
            talker.claims(f"d{number}.example")
        heard = await talker.hears(f"to='d{incoming.CLAIMS_LIMIT}.example'.*?</db:result>")
        assert "<resource-constraint " in heard

    world(story)


def test_who_claims_one_domain_after_the_other_in_vain_is_sent_away(world):
    async def story(world):
        await authority(world, "")
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        for number in range(incoming.FAILED_LIMIT):
            node.options.peers[f"d{number}.example"] = Peer("127.0.0.1", world.directory.ports[CABIN], "00" * 32)
            talker.claims(f"d{number}.example")
            if number < incoming.FAILED_LIMIT - 1:
                await talker.hears(f"to='d{number}.example'.*?</db:result>")
        assert "<policy-violation " in await talker.is_hung_up_on()

    world(story)


def test_who_only_asks_about_keys_does_not_stay_for_ever(world):
    async def story(world):
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        (stream,) = node.streams
        for _ in range(incoming.STRANGER_TICKS + 1):
            stream.quiet = 0  # a space a minute
            stream.keep_alive()
        assert "<connection-timeout " in await talker.is_hung_up_on()

    world(story)


def test_a_bug_of_ours_ends_one_stream_only(world, monkeypatch, caplog):
    async def story(world):
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        monkeypatch.setattr(incoming.dialback, "read", lambda event: 1 / 0)
        talker.claims("cabin.example")
        assert "<internal-server-error " in await talker.is_hung_up_on()

    world(story)
    assert "ZeroDivisionError" in caplog.text


def test_L7_a_silent_stranger_is_sent_away(world):
    async def story(world):
        node = world.node(HOME)
        talker = await world.connect(node)
        await talker.opens_securely()
        (stream,) = node.streams
        node._too_slow(stream)
        assert "<connection-timeout " in await talker.is_hung_up_on()
        await until(lambda: not node.streams)

    world(story)


def test_L7_one_who_says_nothing_at_all_is_sent_away(world):
    async def story(world):
        node = world.node(HOME)
        talker = await world.connect(node)
        await until(lambda: node.streams)
        node._too_slow(*node.streams)
        assert "<connection-timeout " in await talker.is_hung_up_on()

    world(story)


def test_A6_sasl_is_refused_and_dialback_still_goes(world):
    async def story(world):
        await authority(world, VALID)
        talker = await world.connect(world.node(HOME))
        await talker.opens_securely()
        talker.says("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        await talker.hears("<invalid-mechanism/></failure>")
        talker.claims()
        await talker.hears("type='valid'/>")

    world(story)


def test_F2_a_link_from_a_domain_does_not_open_the_way_to_another(world):
    async def story(world):
        node, talker, _ = await linked(world)
        asked = []
        node.hub.remote = lambda stanza, origin: asked.append(stanza)
        talker.says(f"<message from='ben@{CABIN}' to='x@third.example'/>")
        assert "<host-unknown " in await talker.is_hung_up_on()
        assert asked == []

    world(story)


def test_F8_L13_a_flood_is_slowed_down(world):
    async def story(world):
        await authority(world, VALID)
        node = world.node(HOME, rate=1000)
        talker = await world.connect(node)
        await talker.opens_securely()
        talker.claims()
        await talker.hears("type='valid'/>")
        (stream,) = node.streams
        talker.says(f"<message from='ben@{CABIN}' to='ann@{HOME}'><body>{'x' * 60_000}</body></message>")
        await until(lambda: stream._connection._paused)

    world(story)


def test_the_stanza_that_comes_in_is_in_the_namespace_of_clients(world):
    async def story(world):
        _, talker, ann = await linked(world)
        talker.says(MESSAGE.format(CABIN, HOME))
        heard: Stanza = await ann.hears()
        assert heard.to_bytes("jabber:client") == (
            f"<message to='ann@{HOME}' from='ben@{CABIN}' id='m'><body>x</body></message>".encode()
        )

    world(story)
