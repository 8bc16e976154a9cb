"""Who may have links opened, and when: nobody's many keep anybody else's one waiting, or fill the memory.

Those of one kind - the people and things here, or the servers that knock - share a number of openings. One of them
has a part of these at a time, and when several wait they take turns. One of them also has a part only of the domains
that are known of at a time; each costs 8 KiB while it waits, 50 with its link.
"""

from asyncio import Future
from collections import Counter, deque
from typing import TYPE_CHECKING

from node.base.jid import Jid
from node.base.stanza import Stanza
from node.ports.link.failure import Crowded

if TYPE_CHECKING:
    from node.ports.link.outbox import Outbox


class Opening:
    """The right to open a link now. To be given back, whatever has become of it."""

    __slots__ = ("_openers", "_who")

    def __init__(self, openers: "Openers", who: str):
        self._openers = openers
        self._who = who

    def give_back(self) -> None:
        self._openers.take_back(self._who)


Turn = Future[Opening]


class Openers:
    """Those of one kind, each known by an address: `openings` are for all, `share` of them at most for each; so are
    `domains` and `domains_each`."""

    def __init__(self, openings: int, share: int, domains: int, domains_each: int):
        self._free = openings
        self._share = share
        self._domains = domains
        self._domains_each = domains_each
        self._having: Counter[str] = Counter()  # openings
        self._waiting: dict[str, deque[Turn]] = {}  # whose turn comes next stands first
        self._boxes: dict[str, dict[Jid, Outbox]] = {}  # by for whom they were made
        self._count = 0  # of these

    # Turns

    def want(self, who: str, turn: Turn) -> None:
        """`turn` gets an opening, now or later, unless it is done before: somebody else may have got it one."""
        self._waiting.setdefault(who, deque()).append(turn)
        self._serve()

    def take_back(self, who: str) -> None:
        """From an opening."""
        self._free += 1
        self._having[who] -= 1
        if not self._having[who]:
            del self._having[who]
        self._serve()

    def _serve(self) -> None:
        while self._free and (who := self._next()) is not None:
            turns = self._waiting.pop(who)
            turn = turns.popleft()
            if turns:
                self._waiting[who] = turns  # behind the others
            self._free -= 1
            self._having[who] += 1
            turn.set_result(Opening(self, who))

    def _next(self) -> str | None:
        """Who waits, has not all that one may have, and was served longest ago."""
        for who, turns in list(self._waiting.items()):
            while turns and turns[0].done():
                turns.popleft()
            if not turns:
                del self._waiting[who]
            elif self._having[who] < self._share:
                return who
        return None

    # Domains

    def enter(self, who: str, box: "Outbox") -> "Outbox | None":
        """Counts one more; for that, one that only remembers a failure may have to go, and is returned.

        Raises Crowded when all that there may be are in use.
        """
        own = self._boxes.get(who, {})
        gone = None
        if len(own) >= self._domains_each:
            gone = next((each for each in own.values() if not each.is_in_use), None)
            if gone is None:
                raise Crowded(f"{len(own)} other servers are waited for on your behalf already")
        elif self._count >= self._domains:
            every = (each for boxes in self._boxes.values() for each in boxes.values())
            gone = next((each for each in every if not each.is_in_use), None)
            if gone is None:
                raise Crowded(f"{self._count} other servers are waited for already")
        if gone is not None:
            self.leave(gone)
        self._boxes.setdefault(who, {})[box.domain] = box
        self._count += 1
        return gone

    def waiting(self, who: str) -> tuple[int, int]:
        """Stanzas, and bytes, in the boxes that were made for one of them."""
        loads = [box.load for box in self._boxes.get(who, {}).values()]
        return sum(stanzas for stanzas, _ in loads), sum(size for _, size in loads)

    def leave(self, box: "Outbox") -> None:
        """Counts one less."""
        own = self._boxes[box.opener]
        del own[box.domain]
        if not own:
            del self._boxes[box.opener]
        self._count -= 1


def sender_of(stanza: Stanza) -> str:
    """Whom a link is opened for."""
    return stanza.sender.bare if stanza.sender is not None else ""
