"""What was written, acked and found in a household (household.py): the truth by which all that comes is judged."""

from collections import Counter
from collections.abc import Callable, Iterable

from tests.live.raw import SID, Heard


class Letter:
    """A message of the load. `number` is its place in what its sender wrote."""

    __slots__ = ("away", "body", "covered", "id", "life", "number", "sender", "times", "to", "visit")

    def __init__(self, sender: str, to: str, number: int, size: int, visit: int | None):
        self.id = f"{sender.replace('@', '-').replace('/', '-')}-{number}"
        self.sender = sender
        self.to = to
        self.number = number
        self.body = f"{self.id} " + "x" * size
        self.visit = visit  # how often the addressee had come when it was sent; None: he was there
        self.times = 0  # sent: more than once when the sender had to bind anew, or went on with another node
        self.life = 0  # of the node, in which it was sent last
        self.covered = False
        self.away = False  # he was away from when it was sent until it was covered

    @property
    def text(self) -> str:
        origin = f"<origin-id xmlns='{SID[1:-1]}' id='{self.id}'/>"
        return f"<message type='chat' to='{self.to}' id='{self.id}'><body>{self.body}</body>{origin}</message>"


class Archive:
    """What the archive of one account has been seen to hold, oldest first."""

    def __init__(self, account: str):
        self.account = account
        self.order: list[tuple[Letter, str]] = []
        self.letters: set[str] = set()
        self.last = ""
        self.stamp = ""
        self.numbers: dict[str, int] = {}  # sender → the number of the last

    def grows(self, found: Iterable[Heard], book: "Book") -> None:
        for heard in found:
            letter = book.judge(self.account, heard)
            assert letter.id not in self.letters, f"{letter.id} is twice in the archive of {self.account}"
            before = self.numbers.get(letter.sender, 0)
            assert before < letter.number, f"{letter.id} is behind number {before} in the archive of {self.account}"
            self.numbers[letter.sender] = letter.number
            self.letters.add(letter.id)
            assert self.stamp <= heard.stamp, f"{letter.id} is older than what lies before it"
            self.stamp = heard.stamp
            self.last = heard.archive_id
            self.order.append((letter, heard.archive_id))


class Book:
    """All that was sent, covered and found: what comes is judged by it."""

    def __init__(self) -> None:
        self.letters: dict[str, Letter] = {}
        self.archives: dict[str, Archive] = {}
        self.named: dict[tuple[str, str], str] = {}  # account, archive id → letter, wherever they were seen
        self.looked_for: dict[str, Letter] = {}  # covered since the last proof
        self.life = 0  # of the node
        self.visits: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()  # how many were sent to an account since it had all
        self.gone: set[str] = set()  # accounts without a session, not even one that sleeps
        self.counts: Counter[str] = Counter()
        self.tells: Callable[[str], None] = lambda event: None  # hears of what may be the node's last moment

    def archive(self, account: str) -> Archive:
        return self.archives.setdefault(account, Archive(account))

    def sends(self, letter: Letter, session_goes_on: bool) -> None:
        """Where it was sent in the same session already, the node that has it knows that."""
        if not session_goes_on or letter.life != self.life:
            letter.times += 1
            self.waiting[letter.to] += 1
        letter.life = self.life

    def comes(self, account: str) -> None:
        self.visits[account] += 1
        self.gone.discard(account)

    def is_covered(self, letter: Letter) -> None:
        letter.covered = True
        letter.away = letter.to in self.gone and letter.visit == self.visits[letter.to]
        self.looked_for[letter.id] = letter
        self.counts["covered"] += 1
        self.tells("covered")

    def judge(self, account: str, heard: Heard) -> Letter:
        """The letter that was heard by a device of this account: one that was sent, and to him."""
        letter = self.letters.get(heard.id)
        assert letter is not None, f"{account} got what was never sent: {heard}"
        assert (heard.sender, heard.to.partition("/")[0], heard.body) == (letter.sender, letter.to, letter.body), heard
        assert heard.type == "chat", heard
        assert account in (letter.to, letter.sender.partition("/")[0]), f"{account} got {heard}"
        assert heard.archive_id, f"no id: {heard}"
        other = self.named.setdefault((account, heard.archive_id), letter.id)
        assert other == letter.id, f"{account}: {heard.archive_id} was {other} and is {letter.id}"
        return letter
