"""So many in so long, for each of many: for what strangers may ask and each time costs us something."""

from collections import OrderedDict

from node.base.jid import Jid


class Quota:
    """`number` within `seconds` for each key; what was used comes back evenly.

    Of `kept` keys it is known; who is pushed out has the whole number again. A moment `now` is the loop's time.
    """

    __slots__ = ("_interval", "_kept", "_number", "_used")

    def __init__(self, number: int, seconds: float, kept: int = 1024):  # 150 KiB
        self._number = number
        self._interval = seconds / number
        self._kept = kept
        self._used: OrderedDict[str, float] = OrderedDict()  # when all that a key has used will have come back

    def is_left(self, key: str, now: float) -> bool:
        """Whether there is one more."""
        return self._used.get(key, now) - now <= (self._number - 1) * self._interval

    def take(self, key: str, now: float) -> bool:
        """Uses one, if there is one more."""
        if not self.is_left(key, now):
            return False
        self._used[key] = max(self._used.get(key, now), now) + self._interval
        self._used.move_to_end(key)
        if len(self._used) > self._kept:
            self._used.popitem(last=False)
        return True

    def give_back(self, key: str) -> None:
        """What was taken came to nothing."""
        if key in self._used:
            self._used[key] -= self._interval


class Peers:
    """So many within `seconds` by one address, and so many by all of its domain, where a spammer has more of them."""

    __slots__ = ("_address", "_domain")

    def __init__(self, by_address: int, by_domain: int, seconds: float):
        self._address = Quota(by_address, seconds)
        self._domain = Quota(by_domain, seconds)

    def take(self, peer: Jid, now: float) -> bool:
        """Uses one of both, if both have one more; else none of either."""
        is_left = self._domain.is_left(peer.domain, now)
        return is_left and self._address.take(peer.bare, now) and self._domain.take(peer.domain, now)
