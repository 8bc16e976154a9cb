"""XEP-0388: a login without a new stream; what may be on the line while it lasts, and what may not."""

import asyncio
import base64
import hashlib

import pytest

from node.base.jid import parse
from node.hub.store import StoreError
from node.ports.client import LOGIN_DEADLINE, Client
from node.stream import token
from node.stream.framing import BEFORE_LOGIN_LIMIT, CLIENT_LIMIT
from tests.conftest import until
from tests.ports.client.modern import (
    BIND,
    FAST,
    LAPTOP,
    NS,
    PHONE,
    SASL1,
    SM,
    b64,
    child,
    condition,
    read,
    says_who,
    wants_resource,
)
from tests.ports.talker import BIND as OLD_BIND
from tests.ports.talker import STREAM, plain

ALL = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
AUTHENTICATE = f"<authenticate xmlns='{NS}' mechanism='PLAIN'><initial-response>{{}}</initial-response></authenticate>"
RIGHT = AUTHENTICATE.format(b64("\0ann\0secret"))
WRONG = AUTHENTICATE.format(b64("\0ann\0wrong"))
RESPONSE = f"<response xmlns='{NS}'>{{}}</response>"


async def is_shut_out(client, error):
    """The stream is over, for this reason, and nobody was logged in by what was said last."""
    said = await client.is_hung_up_on()
    assert f"<{error} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>" in said, said
    assert "<success" not in said
    return said


async def offered(client, user="ann"):
    """Sends what asks for a challenge."""
    client.authenticates("SCRAM-SHA-256", f"n,,n={user},r=abcdefgh")
    return await client.is_answered()


# What is offered


def test_before_tls_it_is_not_offered_nor_taken(connect, run):
    async def talk():
        ann = await connect()
        assert NS not in await ann.opens()
        ann.says(RIGHT)
        await is_shut_out(ann, "policy-violation")

    run(talk())


def test_the_offer_after_starttls(connect, run):
    """Example "Server responding with stream header and features", and those of XEP-0386, 0484 and 0198."""

    async def talk():
        ann = await connect()
        await ann.opens()
        await ann.starts_tls()
        heard = await ann.opens()
        features = read(heard[heard.index("<stream:features>") :])[0]
        feature = child(features, "authentication", NS)
        assert [mechanism.text for mechanism in feature.findall(f"{{{NS}}}mechanism")] == ALL
        inline = child(feature, "inline", NS)
        assert child(inline, "sm", SM) is not None
        bind = child(child(inline, "bind", BIND), "inline", BIND)
        assert [each.get("var") for each in bind] == ["urn:xmpp:carbons:2", "urn:xmpp:sm:3", "urn:xmpp:csi:0"]
        fast = child(inline, "fast", FAST)
        assert [each.text for each in fast] == [token.ENDP, token.NONE]
        assert fast.get("tls-0rtt") is None
        assert child(features, "sasl-channel-binding", "urn:xmpp:sasl-cb:0")[0].get("type") == "tls-server-end-point"
        old = child(features, "mechanisms", SASL1)
        assert [mechanism.text for mechanism in old] == ALL

    run(talk())


def test_where_the_channel_cannot_be_bound_nothing_that_binds_is_offered(port, modern, run):
    port.identity.end_point = None  # a certificate signed in a way that RFC 5929 has no hash for

    async def talk():
        ann = await modern()
        feature = child(ann.features, "authentication", NS)
        assert [mechanism.text for mechanism in feature.findall(f"{{{NS}}}mechanism")] == ALL[2:]
        assert [each.text for each in child(child(feature, "inline", NS), "fast", FAST)] == [token.NONE]
        assert child(ann.features, "sasl-channel-binding", "urn:xmpp:sasl-cb:0") is None

    run(talk())


def test_a_header_from_another_house_is_refused(modern, run):
    async def talk():
        for sender in ("ann@other.local", "other.local", "@", "a b@hub.local"):
            ann = await modern(opens=False)
            ann.says(f"{STREAM} to='hub.local' from='{sender}' version='1.0'>")
            await is_shut_out(ann, "invalid-from")

    run(talk())


def test_A14_the_offer_does_not_tell_who_has_an_account(modern, run):
    async def talk():
        offers = []
        for sender in ("ann@hub.local", "nobody@hub.local", "ann@hub.local/phone", None):
            ann = await modern(sender=sender)
            offers.append([(each.tag, [child.text for child in each.iter()]) for each in ann.features])
            ann.writer.close()
        assert all(offer == offers[0] for offer in offers)

    run(talk())


# The way in


def test_a_login_without_a_new_stream_and_then_a_resource_as_ever(modern, run):
    """Example "PLAIN Authentication": features right behind <success/>, and no header."""

    async def talk(mechanism):
        ann = await modern()
        success = await ann.logs_in_by_password(mechanism=mechanism)
        assert says_who(success) == "ann@hub.local"
        data = child(success, "additional-data", NS)
        if mechanism == "PLAIN":
            assert data is None
        else:
            assert base64.b64decode(data.text).decode() == ann.signature
        heard = await ann.hears("</stream:features>")
        assert heard.startswith("<stream:features>") and "urn:ietf:params:xml:ns:xmpp-bind" in heard
        assert NS not in heard and "xmpp-sasl" not in heard
        assert f"<max-bytes>{CLIENT_LIMIT}</max-bytes>" in heard
        ann.says(" ")
        await ann.writer.drain()
        for _ in range(3):  # turns of the loop, so that it comes alone
            await asyncio.sleep(0)
        ann.says(OLD_BIND.format("<resource>phone</resource>"))
        assert "<jid>ann@hub.local/phone</jid>" in await ann.hears("</iq>")
        await ann.pings()

    for mechanism in ALL:
        run(talk(mechanism))


def test_the_hash_of_the_offer_is_over_the_list_of_this_profile(modern, run):
    """XEP-0474: the mechanisms of <authentication/> alone, none of those in <fast/>."""

    async def talk():
        ann = await modern()
        await ann.logs_in_by_password(mechanism="SCRAM-SHA-1")
        offer = "\x1e".join(sorted(ALL)) + "\x1f" + "tls-server-end-point"
        assert ann.challenge.endswith(",h=" + b64(hashlib.sha1(offer.encode()).digest()))

    run(talk())


def test_without_an_initial_response_the_client_is_told_to_begin(modern, run):
    """Example "CRAM-MD5 Authentication", where the server begins."""

    async def talk():
        ann = await modern()
        ann.authenticates("PLAIN")
        assert (await ann.is_answered()).text is None
        ann.says(RESPONSE.format(b64("\0ann\0secret")))
        assert says_who(await ann.is_answered()) == "ann@hub.local"

    run(talk())


def test_after_the_login_an_element_may_be_larger_without_a_new_stream(modern, run):
    async def talk():
        ann = await modern()
        ann.says("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>" + "x" * BEFORE_LOGIN_LIMIT)
        await is_shut_out(ann, "policy-violation")
        ann = await modern()
        await ann.logs_in_by_password(wants_resource())
        ann.says(f"<message to='ann@hub.local'><body>{'x' * 2 * BEFORE_LOGIN_LIMIT}</body></message>")
        await ann.pings()
        ann.says(f"<message to='ann@hub.local'><body>{'x' * CLIENT_LIMIT}</body></message>")
        assert "stanza-too-big" in await ann.is_hung_up_on()

    run(talk())


def test_header_and_authentication_in_one_piece(modern, run):
    """What is offered is stable, so a client may know it (§2.1)."""

    async def talk():
        ann = await modern(opens=False)
        ann.says(f"{STREAM} to='hub.local' version='1.0'>{RIGHT}")
        assert says_who(read((await ann.hears("</success>")).partition("</stream:features>")[2])[0]) == "ann@hub.local"

    run(talk())


# What it is refused for


FAILURES = [
    (AUTHENTICATE.replace("PLAIN", "ANONYMOUS").format(""), "invalid-mechanism"),
    (AUTHENTICATE.replace("PLAIN", "EXTERNAL").format(""), "invalid-mechanism"),
    (AUTHENTICATE.replace(" mechanism='PLAIN'", "").format(""), "invalid-mechanism"),
    (AUTHENTICATE.replace("PLAIN", token.NONE).format(b64(b"ann\0" + bytes(32))), "invalid-mechanism"),
    (AUTHENTICATE.format("no base64!"), "incorrect-encoding"),
    (AUTHENTICATE.format(f" {b64('x')} "), "incorrect-encoding"),
    (AUTHENTICATE.format("="), "incorrect-encoding"),  # "the '=' special case no longer applies"
    (AUTHENTICATE.format(""), "malformed-request"),
    (AUTHENTICATE.format("A" * 9000), "malformed-request"),
    (WRONG, "not-authorized"),
    (AUTHENTICATE.format(b64("\0nobody\0wrong")), "not-authorized"),
    (AUTHENTICATE.format(plain("ann", "secret", "bob")), "invalid-authzid"),
    (AUTHENTICATE.format(plain("ann", "secret", "ann@other.local")), "invalid-authzid"),
    (RIGHT.replace("</a", "<user-agent id='me'/></a"), "malformed-request"),
    (RIGHT.replace("</a", f"<user-agent id='{PHONE.replace('-4749', '-1749')}'/></a"), "malformed-request"),
    (RIGHT.replace("</a", "<user-agent id=''/></a"), "malformed-request"),
]


def test_A4_A6_A10_a_login_that_fails_says_why_and_may_be_tried_again(modern, run):
    async def talk():
        for said, reason in FAILURES:
            ann = await modern()
            ann.says(said)
            assert condition(await ann.is_answered()) == reason, said
            ann.says("\n")  # white space to keep the line open, now that it is no login
            assert says_who(await ann.logs_in_by_password()) == "ann@hub.local", said
            ann.writer.close()

    run(talk())


def test_a_failure_is_as_in_the_example(modern, run):
    """Example "Failure": the condition is of RFC 6120, the text is not."""

    async def talk():
        ann = await modern()
        await offered(ann)
        ann.says(f"<abort xmlns='{NS}'><text>I changed my mind.</text></abort>")
        assert await ann.hears("</failure>") == f"<failure xmlns='{NS}'><aborted xmlns='{SASL1}'/></failure>"
        ann.says(AUTHENTICATE.format(plain("ann", "secret", "bob")))
        assert f"<failure xmlns='{NS}'><invalid-authzid xmlns='{SASL1}'/>" in await ann.hears("</failure>")

    run(talk())


def test_A4_an_authorization_that_is_not_who_the_stream_is_from(modern, run):
    async def talk():
        for sender, authzid, reason in (
            ("bob@hub.local", "ann", "invalid-authzid"),
            ("bob@hub.local", "", None),  # an empty one says nothing
            ("ann@hub.local/phone", "ann@hub.local", None),
            ("hub.local", "ann", "invalid-authzid"),
        ):
            ann = await modern(sender=sender)
            ann.says(AUTHENTICATE.format(plain("ann", "secret", authzid)))
            answer = await ann.is_answered()
            if reason:
                assert condition(answer) == reason
            else:
                assert says_who(answer) == "ann@hub.local"

    run(talk())


def test_A10_after_a_failure_either_profile_may_be_tried(modern, run):
    async def talk():
        ann = await modern()
        ann.says(WRONG)
        assert condition(await ann.is_answered()) == "not-authorized"
        ann.says(f"<auth xmlns='{SASL1}' mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>")
        assert await ann.hears("</failure>") == f"<failure xmlns='{SASL1}'><not-authorized/></failure>"
        ann.says(WRONG)
        assert condition(await ann.is_answered()) == "not-authorized"
        assert "<policy-violation" in await ann.is_hung_up_on()  # three, whichever they were

    run(talk())


def test_A14_who_guesses_has_to_wait_in_both_profiles_together(modern, run):
    async def talk():
        for _ in range(5):
            ann = await modern()
            ann.says(WRONG)
            await ann.is_answered()
            ann.says(f"<auth xmlns='{SASL1}' mechanism='PLAIN'>{plain('ann', 'wrong')}</auth>")
            failure = await ann.hears("</failure>")
        assert "<temporary-auth-failure/>" in failure

    run(talk())


# What may be on the line meanwhile


DISTURBANCES = [
    " ",
    "\n\n",
    "<presence/>",
    "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    RIGHT,
    f"<auth xmlns='{SASL1}' mechanism='PLAIN'>{plain('ann', 'secret')}</auth>",
    f"<abort xmlns='{SASL1}'/>",
    f"<next xmlns='{NS}' task='TOTP-EXAMPLE'/>",
    f"<resume xmlns='{SM}' previd='x' h='0'/>",
    RESPONSE.format("AA==") * 2,
    RESPONSE.format("AA==") + "<presence/>",
    RESPONSE.format("AA==") + "<pres",
]


def test_A10_during_the_exchange_anything_else_ends_the_stream(modern, run):
    async def talk():
        for said in DISTURBANCES:
            ann = await modern()
            await offered(ann)
            ann.says(said)
            assert (await ann.is_hung_up_on()).startswith("<stream:error>"), said

    run(talk())


@pytest.mark.parametrize("said", [RIGHT, WRONG], ids=["right", "wrong"])
def test_A10_what_is_sent_ahead_of_our_answer_ends_the_stream(modern, run, hub, said):
    async def talk():
        for behind in ("<presence/>", "<iq type='get'", RIGHT, RESPONSE.format("AA=="), "<a", "\n<a xmlns='urn:a'/>"):
            ann = await modern()
            ann.says(said.replace("</authenticate>", wants_resource() + "</authenticate>") + behind)
            assert (await ann.is_hung_up_on()).startswith("<stream:error>"), behind
            assert hub.sessions == {}

    run(talk())


def test_white_space_that_ends_an_element_is_forgiven(modern, run):
    """Against the letter of §2.4: go-xmpp ends each of its elements with a new line."""

    async def talk():
        ann = await modern()
        ann.authenticates("PLAIN", behind="\n")
        await ann.is_answered()
        ann.says(RESPONSE.format(b64("\0ann\0secret")) + "\n")
        assert says_who(await ann.is_answered()) == "ann@hub.local"

    run(talk())


def test_an_element_may_come_byte_by_byte(modern, run):
    async def talk():
        ann = await modern()
        await offered(ann)
        for letter in RESPONSE.format("AA=="):
            ann.says(letter)
            await ann.writer.drain()
            await asyncio.sleep(0)
        assert condition(await ann.is_answered()) == "malformed-request"

    run(talk())


def test_A10_an_older_login_under_way_and_a_new_one_beside_it(modern, run):
    async def talk():
        ann = await modern()
        ann.says(f"<auth xmlns='{SASL1}' mechanism='PLAIN'/>")
        await ann.hears("<challenge")
        ann.says(RIGHT)
        await is_shut_out(ann, "policy-violation")

    run(talk())


@pytest.mark.parametrize("bound", [False, True])
def test_after_success_another_authentication_ends_the_stream(modern, run, bound):
    """§"Multiple Authentication"."""

    async def talk():
        ann = await modern()
        await ann.logs_in_by_password(*[wants_resource()] * bound)
        await ann.hears("</stream:features>")
        ann.says(RIGHT)
        await is_shut_out(ann, "unsupported-stanza-type" if bound else "not-authorized")

    run(talk())


def test_who_leaves_in_the_middle_leaves_nothing(modern, run, port):
    async def talk():
        for said in (RIGHT, RIGHT + "</stream:stream>"):
            ann = await modern()
            ann.says(said)
            ann.writer.transport.abort()
        ann = await modern()
        await offered(ann)
        ann.says("</stream:stream>")
        assert await ann.is_hung_up_on() == "</stream:stream>"
        await until(lambda: not port.connected)

    run(talk())


def test_who_leaves_while_the_password_is_checked_gets_no_session(modern, run, hub, port, monkeypatch):
    check, checking, go_on = hub.accounts.check, asyncio.Event(), asyncio.Event()

    async def slow(user, password):
        checking.set()
        await go_on.wait()
        return await check(user, password)

    monkeypatch.setattr(hub.accounts, "check", slow)

    async def talk():
        ann = await modern()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_resource())
        await checking.wait()
        ann.writer.transport.abort()
        await until(lambda: not port.connected)
        go_on.set()
        while hub._tasks:
            await asyncio.wait(set(hub._tasks))
        assert hub.sessions == {}

    run(talk())


def test_the_deadline_holds_during_the_exchange(modern, run, port):
    assert LOGIN_DEADLINE == 30

    async def talk():
        ann = await modern()
        await offered(ann)
        (client,) = port.connected
        Client.too_slow(client)
        assert "<connection-timeout" in await ann.is_hung_up_on()
        bob = await modern("bob")
        await bob.logs_in_by_password(wants_resource())
        assert len(port.waiting) == 0
        await bob.pings()

    run(talk())


# Whose password changes meanwhile


@pytest.mark.parametrize("profile", [SASL1, NS], ids=["SASL1", "SASL2"])
def test_A15_a_login_that_began_with_the_old_password_does_not_end_with_it(modern, run, hub, profile):
    async def talk():
        ann = await modern()
        await ann.scram_begins(ns=profile)
        await hub.accounts.set_password("ann", "other")
        ann.scram_ends(ns=profile)
        assert "<not-authorized" in await ann.hears("</failure>")
        assert says_who(await ann.logs_in_by_password(password="other"))

    run(talk())


def test_A15_a_client_that_is_logged_in_but_not_bound_is_shut_out_with_the_rest(modern, run, hub):
    async def talk():
        ann = await modern()
        await ann.logs_in_by_password()
        await hub.accounts.set_password("ann", "other")
        ann.says(OLD_BIND.format(""))
        await is_shut_out(ann, "reset")

    run(talk())


def test_A15_a_password_that_is_being_checked_while_it_changes(modern, run, hub, monkeypatch):
    check = hub.accounts.check

    async def slow(user, password):
        right = await check(user, password)
        await hub.accounts.set_password(user, "other")
        return right

    monkeypatch.setattr(hub.accounts, "check", slow)

    async def talk():
        ann = await modern()
        assert condition(await ann.logs_in_by_password()) == "not-authorized"

    run(talk())


def test_R4_a_disk_that_fails_behind_the_login_ends_the_stream(modern, run, hub, monkeypatch):
    """It has succeeded: <failure/> would be a lie, and the client is logged in."""

    def fails(client, wanted):
        raise StoreError("the disk is full")

    monkeypatch.setattr("node.ports.client.bind2.bind", fails)

    async def talk():
        ann = await modern()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_resource())
        assert "<failure" not in await is_shut_out(ann, "resource-constraint")

    run(talk())


# Who the client is, is nobody's business


def test_the_id_of_the_client_is_kept_with_the_session_and_never_shown(modern, run, hub, port, caplog):
    caplog.set_level("DEBUG")

    async def talk():
        ann, bob = await modern(), await modern("bob", LAPTOP.upper())
        await ann.logs_in_by_password(wants_resource(None))
        await bob.logs_in_by_password(wants_resource(None))
        (session,) = hub.sessions[parse("bob@hub.local")].values()
        assert session.agent == bytes.fromhex(LAPTOP.replace("-", ""))
        bob.says("<presence to='ann@hub.local'/><message to='ann@hub.local'><body>Hi</body></message>")
        heard = await ann.pings()
        assert LAPTOP[:8] not in (heard + session.jid).lower() and "Awesome" not in heard
        assert LAPTOP[:8] not in caplog.text.lower()

    run(talk())


def test_without_an_id_a_client_is_nobody_in_particular(modern, run, hub):
    async def talk():
        both = [await modern(agent=None) for _ in range(2)]  # a line that nobody holds is closed
        for ann in both:
            await ann.logs_in_by_password(wants_resource())
        assert len(hub.sessions[parse("ann@hub.local")]) == 2

    run(talk())
