"""Invitations: good for one account and for so long, and nothing to be learnt from the file."""

import pytest

from node.base.stamp import PLAUSIBLE
from node.features.register import invitations
from node.features.register.invitations import DAY, Invitations, used

START = PLAUSIBLE + 1000


@pytest.fixture
def clock():
    now = [START]

    def clock():
        return now[0]

    clock.set = lambda seconds: now.__setitem__(0, seconds)
    return clock


@pytest.fixture
def open_ones(hub, clock, run):
    class Ours(Invitations):
        def make(self, days):
            return run(super().make(days))

    return lambda: Ours(hub.store.accounts, clock)


def test_it_is_good_until_it_expires(open_ones, clock):
    ours = open_ones()
    made = ours.make(7)
    assert made.expires == START + 7 * DAY
    clock.set(made.expires - 1)
    assert ours.find(made.token) and ours
    clock.set(made.expires)
    assert ours.find(made.token) is None and not ours


def test_a_clock_that_cannot_be_right_ends_nothing(open_ones, clock):
    ours = open_ones()
    made = ours.make(7)
    clock.set(0)
    assert ours.find(made.token) and ours
    assert ours.find("another") is None


def test_only_the_whole_token_will_do(open_ones):
    ours = open_ones()
    token = ours.make(1).token
    for wrong in ("", token[:-1], token + "0", token.upper(), "0" * len(token), "ü", "\0"):
        assert ours.find(wrong) is None


def test_A11_nobody_can_guess_the_next(open_ones):
    ours = open_ones()
    tokens = [ours.make(1).token for _ in range(500)]
    assert len(set(tokens)) == 500
    assert {len(token) for token in tokens} == {32}  # 128 bits as hexadecimal digits
    assert all(token.isalnum() for token in tokens)
    for place in range(32):
        assert len({token[place] for token in tokens}) == 16


def test_they_outlive_us_and_the_file_holds_no_token(open_ones, hub):
    made = open_ones().make(7)
    assert open_ones().find(made.token)
    for row in hub.store.accounts.read("SELECT * FROM invitations"):
        assert made.token not in str(row) and bytes.fromhex(made.token) not in row


def test_one_that_is_claimed_is_nobody_elses(open_ones):
    ours = open_ones()
    made = ours.make(7)
    hash = ours.find(made.token)
    assert ours.claim(hash) == made.expires
    assert ours.claim(hash) == 0
    assert ours.find(made.token) is None and not ours
    ours.put_back(hash, made.expires)
    assert ours.find(made.token) == hash


def test_one_that_was_used_is_used_after_a_restart_too(open_ones, hub, run):
    ours = open_ones()
    made = ours.make(7)
    hub.store.accounts.write(*used(ours.find(made.token)))
    run(hub.store.accounts.committed())
    assert open_ones().find(made.token) is None


def test_what_has_expired_makes_room(open_ones, hub, clock, run, monkeypatch):
    monkeypatch.setattr(invitations, "LIMIT", 2)
    ours = open_ones()
    assert ours.make(1) and ours.make(2)
    assert ours.make(1) is None
    clock.set(START + DAY)
    assert ours.make(1)
    assert ours.make(1) is None
    run(hub.store.accounts.committed())
    assert len(hub.store.accounts.read("SELECT * FROM invitations")) == 2
