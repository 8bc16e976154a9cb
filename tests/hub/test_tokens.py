"""Tokens: two for each client, what is written for them and when, who loses them, and what a clock may do."""

import asyncio
import contextlib
import hmac
import secrets
import sqlite3

import pytest

from node.base import stamp
from node.hub import accounts as accounts_module
from node.hub.accounts import Accounts
from node.hub.store import Store
from node.hub.tokens import CLIENTS_LIMIT, LIFETIME, RENEWAL, Tokens
from node.stream.sasl import SaslFailure
from node.stream.token import ENDP, NONE

PHONE, LAPTOP = bytes(range(16)), bytes(range(16, 32))
END_POINT = b"certificate of today".ljust(32)
NOW = stamp.PLAUSIBLE + 1_000_000.0


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(loop, tmp_path, monkeypatch):
    monkeypatch.setattr("node.hub.store.INTERVAL", 0)
    monkeypatch.setattr("node.hub.store.PATIENCE", 0)
    with contextlib.closing(Store(tmp_path, loop)) as store:
        yield store


@pytest.fixture
def tokens(store, clock):
    return Tokens(store.accounts, clock)


@pytest.fixture
def kept(store, run):
    """`kept()` waits until all is on disk, or who wrote it has heard that it cannot be."""

    async def wait():
        safe = asyncio.Event()
        store.when_safe(safe.set)
        await safe.wait()

    return lambda: run(wait())


def proof_of(issued, mechanism=NONE, end_point=END_POINT):
    channel = end_point if mechanism == ENDP else b""
    return hmac.digest(issued.text.encode(), b"Initiator" + channel, "sha256")


def use(tokens, issued, user="ann", client=PHONE, mechanism=NONE, count=None, end_point=END_POINT):
    """A login by token: the match, when it counts."""
    match = tokens.match(user, client, mechanism, end_point, proof_of(issued, mechanism, end_point), count)
    tokens.accept(match)
    return match


def refusal(tokens, issued, **how):
    with pytest.raises(SaslFailure) as caught:
        use(tokens, issued, **how)
    return caught.value.condition


def on_disk(store):
    with contextlib.closing(sqlite3.connect(store.accounts.path)) as connection:
        return connection.execute("SELECT * FROM tokens").fetchall()


def test_a_token_is_good_at_once_and_from_the_disk(tokens, store, kept, clock):
    issued = tokens.issue("ann", PHONE, NONE, END_POINT)
    assert issued.expires == NOW + LIFETIME
    assert use(tokens, issued).used.seal.answer == hmac.digest(issued.text.encode(), b"Responder", "sha256")
    kept()
    assert tokens._fresh == {}
    use(tokens, issued)
    use(Tokens(store.accounts, clock), issued)  # after a restart


def test_A11_no_token_is_like_another(tokens):
    texts = {tokens.issue("ann", PHONE, NONE, None).text for _ in range(1000)}
    assert len(texts) == 1000 and {len(text) for text in texts} == {43}  # 256 bits


def test_A13_a_token_is_good_for_its_account_client_and_mechanism_only(tokens):
    issued = tokens.issue("ann", PHONE, ENDP, END_POINT)
    assert refusal(tokens, issued, mechanism=ENDP, user="bob") == "not-authorized"
    assert refusal(tokens, issued, mechanism=ENDP, client=LAPTOP) == "not-authorized"
    assert refusal(tokens, issued, mechanism=NONE) == "not-authorized"
    assert refusal(tokens, issued, mechanism=ENDP, end_point=b"certificate of somebody".ljust(32)) == "not-authorized"
    use(tokens, issued, mechanism=ENDP)


def test_A13_a_proof_over_the_channel_is_no_good_for_the_mechanism_without(tokens):
    issued = tokens.issue("ann", PHONE, ENDP, END_POINT)
    with pytest.raises(SaslFailure):
        tokens.match("ann", PHONE, NONE, END_POINT, proof_of(issued, ENDP), None)


def test_A13_the_mechanism_is_compared_by_its_name_as_well(tokens, store, kept):
    issued = tokens.issue("ann", PHONE, NONE, None)
    store.accounts.write("UPDATE tokens SET new_mechanism = 'HT-SHA3-256-NONE'")
    kept()
    assert refusal(tokens, issued) == "not-authorized"


def test_a_proof_for_a_certificate_of_before_is_no_good_on_the_channel_of_today(tokens):
    """Somebody has stolen its key, and is between the client and us."""
    issued = tokens.issue("ann", PHONE, ENDP, END_POINT)
    with pytest.raises(SaslFailure):
        tokens.match("ann", PHONE, ENDP, b"certificate of tomorrow".ljust(32), proof_of(issued, ENDP), None)


def test_nobody_can_log_in_by_what_is_on_disk(tokens, store, kept):
    issued = tokens.issue("ann", PHONE, NONE, None)
    kept()
    files = b"".join(path.read_bytes() for path in store.accounts.path.parent.iterdir())
    assert issued.text.encode() not in files and proof_of(issued) not in files
    for value in on_disk(store)[0]:
        if isinstance(value, bytes) and len(value) == 32:
            with pytest.raises(SaslFailure):
                tokens.match("ann", PHONE, NONE, None, value, None)


# Two slots (XEP-0484, "Server-side handling of multiple active tokens")


def test_the_older_token_is_good_until_the_newer_one_is_used(tokens):
    old = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, old)
    new = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, old)
    use(tokens, old)
    use(tokens, new)
    assert refusal(tokens, old) == "not-authorized"
    use(tokens, new)


def test_a_newer_token_that_was_never_used_goes_for_the_next(tokens):
    current, lost, new = (tokens.issue("ann", PHONE, NONE, None) for _ in range(3))
    assert refusal(tokens, current) == refusal(tokens, lost) == "not-authorized"  # neither was ever used
    use(tokens, new)
    lost = tokens.issue("ann", PHONE, NONE, None)
    newest = tokens.issue("ann", PHONE, NONE, None)
    assert refusal(tokens, lost) == "not-authorized"
    use(tokens, new)
    use(tokens, newest)


def test_a_new_token_may_be_for_another_mechanism(tokens):
    old = tokens.issue("ann", PHONE, NONE, END_POINT)
    use(tokens, old)
    new = tokens.issue("ann", PHONE, ENDP, END_POINT)
    use(tokens, old)
    use(tokens, new, mechanism=ENDP)
    assert refusal(tokens, old) == "not-authorized"


def test_forgotten_is_forgotten_for_this_client_only(tokens, store, kept):
    phone = tokens.issue("ann", PHONE, NONE, None)
    laptop = tokens.issue("ann", LAPTOP, NONE, None)
    kept()
    tokens.forget("ann", PHONE)
    assert refusal(tokens, phone) == "not-authorized"
    kept()
    assert refusal(tokens, phone) == "not-authorized"
    use(tokens, laptop, client=LAPTOP)
    assert [row[1] for row in on_disk(store)] == [LAPTOP]


# What it costs the card


def test_a_login_writes_nothing_when_nothing_changes(tokens, store, kept):
    issued = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, issued)
    kept()
    writes = store.writes
    for _ in range(10):
        use(tokens, issued)
    assert store.writes == writes


def test_a_login_writes_one_row_when_something_does(tokens, store, kept, clock):
    issued = tokens.issue("ann", PHONE, NONE, None)
    kept()
    writes = store.writes
    use(tokens, issued)  # from now on it is the current one
    assert store.writes == writes + 1
    use(tokens, issued, count=1)
    assert store.writes == writes + 2
    clock.now += RENEWAL
    match = tokens.match("ann", PHONE, NONE, None, proof_of(issued), 2)
    assert match.due
    assert tokens.accept(match, NONE, None).expires == clock.now + LIFETIME
    assert store.writes == writes + 3
    kept()
    assert len(on_disk(store)) == 1


def test_a_match_that_is_not_accepted_changes_nothing(tokens, store):
    old = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, old)
    new = tokens.issue("ann", PHONE, NONE, None)
    writes = store.writes
    tokens.match("ann", PHONE, NONE, None, proof_of(new), 7)
    assert store.writes == writes
    use(tokens, old)


# Counts


def test_A13_a_count_has_to_grow(tokens, kept):
    issued = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, issued, count=5)
    assert refusal(tokens, issued, count=5) == refusal(tokens, issued, count=4) == "not-authorized"
    kept()
    assert refusal(tokens, issued, count=5) == "not-authorized"
    use(tokens, issued, count=6)
    use(tokens, issued)  # without one nothing can be said
    new = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, new, count=1)  # begins anew with the token


# Time


def test_after_a_month_a_token_has_expired(tokens, clock):
    issued = tokens.issue("ann", PHONE, NONE, None)
    clock.now = issued.expires - 1
    use(tokens, issued)
    clock.now = issued.expires
    assert refusal(tokens, issued) == "credentials-expired"
    with pytest.raises(SaslFailure) as caught:  # who has not got it does not even hear that
        tokens.match("ann", PHONE, NONE, None, secrets.token_bytes(32), None)
    assert caught.value.condition == "not-authorized"


def test_a_week_old_it_is_due_for_renewal(tokens, clock):
    issued = tokens.issue("ann", PHONE, NONE, None)
    assert not use(tokens, issued).due
    clock.now += RENEWAL - 1
    assert not use(tokens, issued).due
    clock.now += 1
    assert use(tokens, issued).due


def test_R6_a_clock_that_says_1970_expires_nothing_and_promises_nothing(tokens, clock):
    issued = tokens.issue("ann", PHONE, NONE, None)
    clock.now = 60.0
    assert not use(tokens, issued).due
    assert tokens.issue("ann", PHONE, NONE, None) is None
    clock.now = NOW
    use(tokens, issued)


def test_R6_what_was_used_counts_although_there_is_no_new_one(tokens, clock):
    old = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, old)
    new = tokens.issue("ann", PHONE, NONE, None)
    clock.now = 60.0
    match = tokens.match("ann", PHONE, NONE, None, proof_of(new), 3)
    assert tokens.accept(match, NONE, None) is None
    assert refusal(tokens, old) == refusal(tokens, new, count=3) == "not-authorized"
    use(tokens, new)


def test_R6_a_token_from_the_future_is_good_and_due(tokens, clock):
    clock.now = NOW + 50 * 365 * 86400
    issued = tokens.issue("ann", PHONE, NONE, None)
    clock.now = NOW
    assert use(tokens, issued).due


# Who loses them


def test_one_client_too_many_takes_the_place_of_the_one_that_is_used_least(tokens, clock, store, kept):
    clients = [bytes([number]) * 16 for number in range(CLIENTS_LIMIT)]
    issued = []
    for client in clients:
        clock.now += 60
        issued.append(tokens.issue("ann", client, NONE, None))
    clock.now += RENEWAL
    oldest = tokens.match("ann", clients[0], NONE, None, proof_of(issued[0]), None)
    renewed = tokens.accept(oldest, NONE, None)
    kept()
    for client in (PHONE, LAPTOP):  # one that is on disk by then, one that is not yet
        tokens.issue("ann", client, NONE, None)
    use(tokens, renewed, client=clients[0])
    assert refusal(tokens, issued[1], client=clients[1]) == refusal(tokens, issued[2], client=clients[2])
    use(tokens, issued[3], client=clients[3])
    kept()
    assert len(on_disk(store)) == CLIENTS_LIMIT


def test_a_token_that_is_renewed_pushes_nobody_out(tokens, clock, store, kept):
    clients = [bytes([number]) * 16 for number in range(CLIENTS_LIMIT)]
    issued = [tokens.issue("ann", client, NONE, None) for client in clients]
    clock.now += RENEWAL
    tokens.issue("ann", clients[7], NONE, None)
    kept()
    tokens.issue("ann", clients[8], NONE, None)
    for client, token in zip(clients, issued, strict=True):
        if client not in clients[7:9]:
            use(tokens, token, client=client)


def test_nobody_is_pushed_out_by_another_account(tokens, clock):
    issued = tokens.issue("ann", PHONE, NONE, None)
    for number in range(CLIENTS_LIMIT - 1):
        clock.now += 60
        tokens.issue("bob", bytes([number]) * 16, NONE, None)
    tokens.issue("ann", LAPTOP, NONE, None)
    use(tokens, issued)


def test_what_was_just_forgotten_is_not_forgotten_again(tokens, store):
    tokens.issue("ann", PHONE, NONE, None)
    tokens.forget("ann", PHONE)
    writes = store.writes
    tokens.issue("ann", LAPTOP, NONE, None)
    assert store.writes == writes + 1


def test_what_has_expired_goes_when_another_client_gets_one(tokens, clock, store, kept):
    tokens.issue("ann", PHONE, NONE, None)
    tokens.issue("bob", PHONE, NONE, None)
    clock.now += LIFETIME
    tokens.issue("ann", LAPTOP, NONE, None)
    kept()
    assert [row[:2] for row in on_disk(store)] == [("ann", LAPTOP), ("bob", PHONE)]


@pytest.mark.parametrize("what", ["password", "removal"])
def test_A13_A15_a_new_password_or_a_removal_takes_all_tokens_in_the_same_commit(store, run, monkeypatch, kept, what):
    monkeypatch.setattr(accounts_module, "ITERATIONS", 16)
    accounts = Accounts(store.accounts, "hub.local")
    for name in ("ann", "bob"):
        run(accounts.create(name, "secret"))
    anns = [accounts.tokens.issue("ann", client, NONE, None) for client in (PHONE, LAPTOP)]
    bobs = accounts.tokens.issue("bob", PHONE, NONE, None)
    run(accounts.set_password("ann", "other") if what == "password" else accounts.remove("ann"))
    for client, issued in zip((PHONE, LAPTOP), anns, strict=True):
        assert refusal(accounts.tokens, issued, client=client) == "not-authorized"
    use(accounts.tokens, bobs, user="bob")
    assert [row[0] for row in on_disk(store)] == ["bob"]


def test_a_password_that_could_not_be_changed_takes_nothing(store, run, monkeypatch, kept):
    monkeypatch.setattr(accounts_module, "ITERATIONS", 16)
    accounts = Accounts(store.accounts, "hub.local")
    run(accounts.create("ann", "secret"))
    issued = accounts.tokens.issue("ann", PHONE, NONE, None)
    kept()
    monkeypatch.setattr("node.hub.store.commit", lambda connection: (_ for _ in ()).throw(OSError("the card is gone")))
    with pytest.raises(Exception, match="card"):
        run(accounts.set_password("ann", "other"))
    monkeypatch.undo()
    use(accounts.tokens, issued)
    assert run(accounts.check("ann", "secret"))


def test_a_token_that_could_not_be_kept_is_good_no_more(tokens, store, kept, run, monkeypatch):
    old = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, old)
    kept()
    monkeypatch.setattr("node.hub.store.commit", lambda connection: (_ for _ in ()).throw(OSError("the card is gone")))
    new = tokens.issue("ann", PHONE, NONE, None)
    kept()
    assert refusal(tokens, new) == "not-authorized"
    use(tokens, old)


def test_A9_A14_an_account_that_is_not_there_takes_the_same_work_as_a_wrong_token(tokens, store, kept, monkeypatch):
    done = []
    compare, read = hmac.compare_digest, store.accounts.read
    monkeypatch.setattr("node.hub.tokens.hmac.compare_digest", lambda *what: done.append("compared") or compare(*what))
    monkeypatch.setattr(store.accounts, "read", lambda *what: done.append("read") or read(*what))
    issued = tokens.issue("ann", PHONE, NONE, None)
    use(tokens, issued)
    use(tokens, tokens.issue("ann", PHONE, NONE, None))
    tokens.issue("ann", PHONE, NONE, None)  # both slots are taken
    kept()
    work = []
    for user, client in (("ann", PHONE), ("ann", LAPTOP), ("nobody", PHONE)):
        done.clear()
        with pytest.raises(SaslFailure) as caught:
            tokens.match(user, client, NONE, None, bytes(32), None)
        work.append((*done, caught.value.condition, caught.value.text))
    assert work[0] == work[1] == work[2] == ("read", "compared", "compared", "not-authorized", None)
