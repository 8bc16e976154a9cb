"""So many in so long, and no more."""

from node.base.jid import parse
from node.hub.quota import Peers, Quota

HOUR = 3600


def takes(quota, key, now, tries=10):
    """How many of so many tries succeed."""
    return sum(quota.take(key, now) for _ in range(tries))


def test_so_many_at_once_and_the_rest_as_time_goes_by():
    quota = Quota(3, HOUR)
    assert takes(quota, "a", 0) == 3
    assert takes(quota, "a", HOUR / 3 - 1) == 0
    assert takes(quota, "a", HOUR / 3) == 1
    assert takes(quota, "a", HOUR) == 2
    assert takes(quota, "a", 10 * HOUR) == 3


def test_each_has_his_own():
    quota = Quota(3, HOUR)
    assert takes(quota, "a", 0) == takes(quota, "b", 0) == 3


def test_who_looks_uses_nothing():
    quota = Quota(1, HOUR)
    assert quota.is_left("a", 0) and quota.is_left("a", 0)
    assert quota.take("a", 0)
    assert not quota.is_left("a", 0)
    assert quota.is_left("a", HOUR)


def test_what_came_to_nothing_is_given_back():
    quota = Quota(2, HOUR)
    assert takes(quota, "a", 0) == 2
    quota.give_back("a")
    assert takes(quota, "a", 0) == 1
    quota.give_back("nobody")
    assert takes(quota, "nobody", 0) == 2


def test_it_knows_the_last_ones_alone():
    quota = Quota(1, HOUR, kept=2)
    assert quota.take("a", 0) and quota.take("b", 0)
    assert quota.take("c", 0)  # pushes out a
    assert not quota.take("b", 0) and not quota.take("c", 0)
    assert quota.take("a", 0)


def test_one_peer_does_not_use_up_what_his_domain_has_and_many_do():
    peers = Peers(3, 5, HOUR)

    def takes(peer, now=0):
        return sum(peers.take(parse(peer), now) for _ in range(10))

    assert takes("eve@far.example/a") == 3
    assert takes("eve@far.example/b") == 0
    assert takes("adam@far.example/a") == 2
    assert takes("cain@far.example/a") == 0
    assert takes("abel@near.example") == 3
    assert takes("cain@far.example/a", 3 * HOUR / 5) == 3  # what he was refused is not counted
