"""XEP-0484: back in one round-trip; what a token is good for, for how long, and what it survives."""

import asyncio
import threading
import time

import pytest

from node.base import stamp
from node.hub.store import StoreError
from node.hub.tokens import LIFETIME, RENEWAL
from node.ports.administration import requests
from tests.conftest import until
from tests.ports.client.modern import (
    BIND,
    FAST,
    LAPTOP,
    NS,
    SASL1,
    SM,
    b64,
    child,
    condition,
    says_who,
    wants_resource,
    wants_token,
)

ENDP, NONE = "HT-SHA-256-ENDP", "HT-SHA-256-NONE"


def token_of(success):
    return child(success, "token", FAST)


async def gets_token(modern, *more, mechanism=NONE, **how):
    """The token of one who has logged in by password."""
    client = await modern(**how)
    success = await client.logs_in_by_password(wants_token(mechanism), *more)
    client.writer.close()
    return token_of(success).get("token")


@pytest.fixture
def clock(hub, monkeypatch):
    """`clock(seconds)` moves the time of the tokens on."""
    shift = [0.0]
    monkeypatch.setattr(hub.accounts.tokens, "_clock", lambda: time.time() + shift[0])

    def move(seconds):
        shift[0] += seconds

    return move


@pytest.fixture
def card(monkeypatch):
    """A card that is slow, or fails: what it is told to do with the next commits."""
    from node.hub import store

    class Card:
        def __init__(self):
            self.go = threading.Event()
            self.go.set()
            self.fails = False
            self.works = threading.Event()

        def slows_down(self):
            """From the next commit on, until `go` is set; `works` says that it has begun with one."""
            self.works.clear()
            self.go.clear()

        def commit(self, connection):
            self.works.set()
            assert self.go.wait(10)
            if self.fails:
                raise OSError("the card is gone")
            commit(connection)

    commit = store.commit
    card = Card()
    monkeypatch.setattr(store, "commit", card.commit)
    yield card
    card.go.set()
    card.fails = False


# The examples


def test_the_examples(modern, run, hub):
    """By password and channel binding, a token; by token, one round-trip and a resource."""

    async def talk():
        ann = await modern(sender="ann@hub.local")
        success = await ann.logs_in_by_password(wants_resource(), wants_token(ENDP), mechanism="SCRAM-SHA-1-PLUS")
        assert [each.tag for each in success] == [
            f"{{{NS}}}additional-data",
            f"{{{NS}}}authorization-identifier",
            f"{{{BIND}}}bound",
            f"{{{FAST}}}token",
        ]
        token = token_of(success)
        assert abs(stamp.parse(token.get("expiry")) - time.time() - LIFETIME) < 5 and len(token.get("token")) == 43
        await ann.hears("</stream:features>")
        await ann.pings()

        again = await modern(sender="ann@hub.local")
        success = await again.logs_in_by_token(token.get("token"), wants_resource(), mechanism=ENDP)
        assert child(success, "additional-data", NS).text == again.expects
        assert says_who(success).startswith("ann@hub.local/AwesomeXMPP/")
        assert token_of(success) is None
        assert "<conflict" in await ann.is_hung_up_on()  # it was the same client
        await again.pings()

    run(talk())


def test_a_login_by_token_takes_one_message_and_writes_nothing(modern, run, hub):
    async def talk():
        token = await gets_token(modern)
        for writes in (1, 0, 0):  # the first use makes it the one that counts
            before = hub.store.writes
            ann = await modern()
            assert says_who(await ann.logs_in_by_token(token)) == "ann@hub.local"
            assert hub.store.writes == before + writes

    run(talk())


def test_a_resumption_by_token(modern, run):
    """All of a phone's way back in one message."""

    async def talk():
        ann = await modern()
        success = await ann.logs_in_by_password(
            wants_resource("x", f"<enable xmlns='{SM}' resume='true'/>"), wants_token()
        )
        id = child(child(success, "bound", BIND), "enabled", SM).get("id")
        ann.writer.transport.abort()
        again = await modern()
        resume = f"<resume xmlns='{SM}' previd='{id}' h='0'/>"
        resumed = await again.logs_in_by_token(token_of(success).get("token"), resume, wants_resource())
        assert says_who(resumed) == says_who(success) and child(resumed, "resumed", SM) is not None

    run(talk())


def test_A10_what_is_sent_ahead_of_our_answer_ends_the_stream(modern, run, hub):
    async def talk():
        token = await gets_token(modern)
        for behind in ("<presence/>", "<presence", "</stream:stream>"):
            ann = await modern()
            ann.shows(token, wants_resource(), behind=behind)
            assert "<success" not in await ann.is_hung_up_on()
            assert hub.sessions == {}

    run(talk())


# Who gets one


def test_who_asks_for_none_that_we_have_gets_none(modern, run, hub):
    async def talk():
        ann = await modern()
        assert token_of(await ann.logs_in_by_password()) is None
        for mechanism in ("HT-SHA-256-EXPR", "HT-SHA-256-UNIQ", "PLAIN", ""):
            ann = await modern()
            success = await ann.logs_in_by_password(wants_token(mechanism))
            assert says_who(success) and token_of(success) is None
        assert hub.store.accounts.read("SELECT * FROM tokens") == []

    run(talk())


def test_a_client_without_an_id_gets_none_and_can_use_none(modern, run):
    async def talk():
        token = await gets_token(modern)
        ann = await modern(agent=None)
        assert condition(await ann.logs_in_by_token(token)) == "malformed-request"
        assert token_of(await ann.logs_in_by_password(wants_token())) is None

    run(talk())


def test_a_login_that_fails_gives_none(modern, run, hub):
    async def talk():
        ann = await modern()
        assert len(await ann.logs_in_by_password(wants_token(), password="wrong")) == 1
        assert hub.store.accounts.read("SELECT * FROM tokens") == []

    run(talk())


# What it is good for


def test_A13_it_is_good_for_its_account_its_client_its_mechanism(modern, run):
    async def talk():
        token = await gets_token(modern, mechanism=ENDP)
        for how, mechanism in (
            ({"user": "bob"}, ENDP),
            ({"user": "nobody"}, ENDP),
            ({"agent": LAPTOP}, ENDP),
            ({}, NONE),
        ):
            eve = await modern(**how)
            answer = await eve.logs_in_by_token(token, mechanism=mechanism)
            assert condition(answer) == "not-authorized" and len(answer) == 1
            eve.writer.close()
        ann = await modern()
        assert says_who(await ann.logs_in_by_token(token, mechanism=ENDP))

    run(talk())


def test_A6_a_mechanism_for_tokens_is_for_tokens_and_no_other(modern, run):
    async def talk():
        token = await gets_token(modern)
        ann = await modern()
        for mechanism in ("HT-SHA-256-EXPR", "HT-SHA-256-UNIQ"):
            answer = await ann.logs_in_by_token(token, mechanism=mechanism)
            assert condition(answer) == "invalid-mechanism"
        ann = await modern()
        ann.authenticates("PLAIN", "\0ann\0secret", f"<fast xmlns='{FAST}'/>")
        assert condition(await ann.is_answered()) == "invalid-mechanism"
        ann.says(f"<auth xmlns='{SASL1}' mechanism='{NONE}'>{b64(b'ann' + bytes(33))}</auth>")
        assert "<invalid-mechanism/>" in await ann.hears("</failure>")

    run(talk())


def test_a_token_that_is_bound_to_a_certificate_dies_with_it(modern, run, port):
    async def talk():
        token = await gets_token(modern, mechanism=ENDP)
        port.identity.end_point = bytes(32)  # as after a reload
        ann = await modern()
        assert condition(await ann.logs_in_by_token(token, mechanism=ENDP)) == "not-authorized"
        assert says_who(await ann.logs_in_by_password())

    run(talk())


def test_A14_who_guesses_tokens_has_to_wait_like_anybody(modern, run):
    async def talk():
        for user in ("ann", "nobody"):
            for _ in range(5):
                eve = await modern(user)
                for _ in range(2):
                    answer = await eve.logs_in_by_token("guess")
            assert condition(answer) == "temporary-auth-failure"

    run(talk())


def test_a_token_that_is_good_no_more_costs_one_try(modern, run):
    async def talk():
        for _ in range(5):
            ann = await modern()
            assert condition(await ann.logs_in_by_token("of yesterday")) == "not-authorized"
            assert says_who(await ann.logs_in_by_password())

    run(talk())


def test_a_count_that_is_none_is_refused(modern, run):
    async def talk():
        for count in ("0", "-1", "x", "", "1.5", "2147483648", "9" * 5000, "\u0661"):
            ann = await modern()
            answer = await ann.logs_in_by_token("any", fast=f" count='{count}'")
            assert condition(answer) == "malformed-request", count

    run(talk())


def test_A13_a_login_that_is_said_again_counts_once(modern, run):
    async def talk():
        token = await gets_token(modern)
        for count, right in ((1, True), (1, False), (5, True), (4, False), (6, True)):
            ann = await modern()
            answer = await ann.logs_in_by_token(token, fast=f" count='{count}'")
            assert answer.tag.endswith("success" if right else "failure")

    run(talk())


# Renewal, expiry


def test_a_token_that_is_due_is_renewed_and_the_old_one_good_until_then(modern, run, clock):
    """Example "Server provides an updated token to the client"."""

    async def talk():
        old = await gets_token(modern, mechanism=ENDP)
        ann = await modern()
        assert token_of(await ann.logs_in_by_token(old, mechanism=ENDP)) is None
        clock(RENEWAL)
        for _ in range(2):  # the client has not received the first one
            ann = await modern()
            new = token_of(await ann.logs_in_by_token(old, mechanism=ENDP)).get("token")
        ann = await modern()
        assert token_of(await ann.logs_in_by_token(new, mechanism=ENDP)) is None
        ann = await modern()
        assert condition(await ann.logs_in_by_token(old, mechanism=ENDP)) == "not-authorized"

    run(talk())


def test_a_login_by_token_may_ask_for_one_of_another_kind(modern, run):
    async def talk():
        old = await gets_token(modern)
        ann = await modern()
        new = token_of(await ann.logs_in_by_token(old, wants_token(ENDP))).get("token")
        ann = await modern()
        assert says_who(await ann.logs_in_by_token(new, mechanism=ENDP))

    run(talk())


def test_a_token_that_has_expired_says_so(modern, run, clock):
    async def talk():
        token = await gets_token(modern)
        clock(LIFETIME + 1)
        ann = await modern()
        assert condition(await ann.logs_in_by_token(token)) == "credentials-expired"
        assert token_of(await ann.logs_in_by_password(wants_token())) is not None

    run(talk())


# Rid of it


def test_an_invalidated_token_is_good_no_more_and_the_session_goes_on(modern, run, hub, clock):
    """Example "Client requests token invalidation"."""

    async def talk(value):
        token = await gets_token(modern)
        clock(RENEWAL)
        ann = await modern()
        success = await ann.logs_in_by_token(token, wants_resource(), fast=f" invalidate='{value}'")
        assert token_of(success) is None  # although it was due
        assert hub.store.accounts.read("SELECT * FROM tokens") == []  # on disk before it was said
        await ann.pings()
        ann = await modern()
        assert condition(await ann.logs_in_by_token(token)) == "not-authorized"

    run(talk("1"))
    run(talk("true"))


def test_who_invalidates_may_ask_for_another(modern, run):
    async def talk():
        token = await gets_token(modern)
        ann = await modern()
        success = await ann.logs_in_by_token(token, wants_token(), fast=" count='1' invalidate='true'")
        new = token_of(success).get("token")
        ann = await modern()
        assert condition(await ann.logs_in_by_token(token)) == "not-authorized"
        assert says_who(await ann.logs_in_by_token(new))

    run(talk())


def test_a_token_that_is_only_due_is_not_invalidated_by_another_word(modern, run):
    async def talk():
        token = await gets_token(modern)
        for value in ("0", "false", "no", ""):
            ann = await modern()
            assert says_who(await ann.logs_in_by_token(token, fast=f" invalidate='{value}'"))

    run(talk())


@pytest.mark.parametrize("what", ["user-passwd", "user-remove", "in band"])
def test_A13_A15_tokens_die_with_the_password_and_the_account(modern, run, hub, what):
    async def talk():
        token = await gets_token(modern)
        if what == "in band":
            ann = await modern()
            await ann.logs_in_by_token(token, wants_resource())
            ann.says(
                "<iq type='set' id='r' to='hub.local'><query xmlns='jabber:iq:register'>"
                "<username>ann</username><password>other</password></query></iq>"
            )
            assert "type='result'" in await ann.hears("id='r'/>")
        else:
            await requests(hub)[what]({"name": "ann", "password": "other"})
        eve = await modern()
        assert condition(await eve.logs_in_by_token(token)) == "not-authorized"
        assert hub.store.accounts.read("SELECT * FROM tokens") == []
        if what == "user-remove":
            await hub.accounts.create("ann", "secret")  # somebody else, of the same name
            eve = await modern()
            assert condition(await eve.logs_in_by_token(token)) == "not-authorized"

    run(talk())


# The card (D5)


def test_a_token_is_told_when_it_is_on_disk_and_not_before(modern, run, hub, card):
    async def talk():
        ann = await modern()
        card.slows_down()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_token(), wants_resource())
        await until(card.works.is_set)
        answer = asyncio.ensure_future(ann.is_answered())
        await modern()  # somebody else is answered in the meantime
        assert not answer.done()
        assert hub.sessions == {}  # what belongs to the session begins with <success/>
        card.go.set()
        success = await answer
        assert hub.store.accounts.read("SELECT count(*) FROM tokens") == [(1,)]
        assert token_of(success) is not None
        await ann.pings()

    run(talk())


def test_who_says_something_while_the_card_is_slow_is_shut_out(modern, run, card):
    async def talk():
        ann = await modern()
        card.slows_down()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_token())
        await until(card.works.is_set)
        ann.says("<presence/>")
        assert "<success" not in await ann.is_hung_up_on()
        card.go.set()

    run(talk())


def test_a_card_that_fails_costs_the_token_and_not_the_login(modern, run, card):
    async def talk():
        ann = await modern()
        card.fails = True
        success = await ann.logs_in_by_password(wants_token(), wants_resource())
        assert token_of(success) is None
        await ann.pings()

    run(talk())


def test_a_card_that_takes_no_more_costs_the_token_and_not_the_login(modern, run, hub, monkeypatch):
    def full(*what):
        raise StoreError("the disk does not keep up")

    async def talk():
        token = await gets_token(modern)
        monkeypatch.setattr(hub.store.accounts, "write", full)
        ann = await modern()
        success = await ann.logs_in_by_password(wants_token(), wants_resource())
        assert token_of(success) is None
        await ann.pings()
        ann = await modern()
        assert says_who(await ann.logs_in_by_token(token))  # which would be written down, too
        ann = await modern()
        answer = await ann.logs_in_by_token(token, fast=" invalidate='1'")
        assert condition(answer) == "temporary-auth-failure"

    run(talk())


def test_what_could_not_be_invalidated_is_not_said_to_be(modern, run, card):
    async def talk():
        token = await gets_token(modern)
        ann = await modern()
        card.fails = True
        answer = await ann.logs_in_by_token(token, wants_resource(), fast=" invalidate='1'")
        assert condition(answer) == "temporary-auth-failure"
        card.fails = False
        ann = await modern()
        assert says_who(await ann.logs_in_by_token(token))

    run(talk())


def test_A15_a_password_that_changes_while_a_token_is_written(modern, run, hub, card):
    async def talk():
        ann = await modern()
        card.slows_down()
        ann.authenticates("PLAIN", "\0ann\0secret", wants_token(), wants_resource())
        await until(card.works.is_set)
        change = asyncio.ensure_future(hub.accounts.set_password("ann", "other"))
        await until(lambda: hub.accounts.changed_since("ann", hub.accounts.changes))
        eve = await modern()  # in the time in which the old password is still on disk
        assert condition(await eve.logs_in_by_password(wants_token())) == "not-authorized"
        card.go.set()
        assert condition(await ann.is_answered()) == "not-authorized"
        await change
        assert hub.store.accounts.read("SELECT * FROM tokens") == []
        assert hub.sessions == {}

    run(talk())
