"""A device of the household (household.py): what it does, and what it says to what it hears.

It judges what comes again: that is excused only where nobody could know that it had come.
"""

import asyncio
import random

from tests.live.book import Book, Letter
from tests.live.device import Device, Owed, Refused
from tests.live.peers import Node
from tests.live.raw import CARBONS, Heard

ROSTER = "jabber:iq:roster"
COPIES = f"<enable xmlns='{CARBONS[1:-1]}'/>"
NOTE = "note@elsewhere.example"  # a contact whose name counts what was confirmed


class Member(Device):
    """A device of the household. `keeps_up`: it asks its archive for what it has missed."""

    def __init__(self, book: Book, home: Node, jid: str, chance: random.Random, *, keeps_up: bool = True):
        super().__init__(home, jid)
        self.book = book
        self.chance = chance
        self.keeps_up = keeps_up
        self.wrote = 0
        self.known: dict[str, list[str]] = {}  # letter → archive ids
        self.fresh: dict[str, tuple[int, int]] = {}  # archive ids that are not settled → session and life they came in
        self.otherwise: dict[str, int] = {}  # letters that came as copies or from the archive alone → in which life
        self.story: dict[str, list[str]] = {}  # letter → how it came, for the eyes of who looks into a failure
        self.checked = 0  # so much of the archive has been compared with what is known
        self.session = 0
        self.caught_up = self.has_copies = False
        self.anchor = self.firm_anchor = ""  # up to this id of the archive nothing is missing

    # What it does

    def writes(self, to: str, size: int) -> None:
        self.wrote += 1
        visit = self.book.visits[to] if to in self.book.gone else None
        letter = Letter(self.jid, to, self.wrote, size, visit)
        self.book.letters[letter.id] = letter
        self.sends(letter.text, letter)
        self.book.tells("written")

    async def comes(self, *, resume: bool = True) -> None:
        """Arrives with all that a client does then."""
        resumed = await self.arrives(resume=resume)
        self.book.counts["resumed" if resumed else "bound anew"] += 1
        self.has_copies = self.has_copies and resumed
        if not self.has_copies:  # or the line broke before it had asked for them
            await self.asks("set", COPIES)
            self.has_copies = True

    async def before_presence(self) -> None:
        """Some clients ask for copies at once, and some look into their roster first: what comes now waits for them."""
        if self.keeps_up and self.chance.random() < 0.3:
            self.sends(f"<iq type='set' id='copies'>{COPIES}</iq>")
        if self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.random() * 0.05)

    def sends(self, text: str, about: object = None) -> None:
        if isinstance(about, Letter):
            self.book.sends(about, False)
        super().sends(text, about)

    def says_again(self, owed: Owed) -> None:
        if isinstance(owed.about, Letter):
            self.book.sends(owed.about, True)
        super().says_again(owed)

    async def arrives(self, *, resume: bool = True) -> bool:
        before, id = (self.session, self.caught_up), self.previd
        self.session, self.caught_up = self.session + 1, False  # what comes at once belongs to it
        try:
            return await super().arrives(resume=resume)
        finally:
            if id and self.previd == id:  # the session goes on, or may do so another time
                self.session, self.caught_up = before

    async def catches_up(self) -> None:
        """Asks the archive for what came while it had no session, as phones do."""
        await self.ping()  # by now all has come that was under way
        if self.caught_up or not self.keeps_up:
            return
        try:
            found = await self.history(self.anchor)
        except Refused as error:  # what it has seen last was lost with the node
            assert "item-not-found" in str(error), error
            self.book.counts["anchor lost"] += 1
            found = await self.history(self.firm_anchor)
        for heard in found:
            letter = self.book.judge(self.bare, heard)
            if letter.id not in self.known:
                self.book.counts["from the archive"] += 1
                self.fresh[heard.archive_id] = -1, -1
            self._knows(letter, heard)
        if found:
            self.anchor = found[-1].archive_id
        self.caught_up = True

    async def gets_what_waits(self) -> None:
        """What was sent and covered while it was away comes by and by (XEP-0160)."""
        waits = [letter for letter in self.book.letters.values() if letter.away and letter.to == self.bare]
        try:
            await self.until(lambda: all(letter.id in self.known for letter in waits), "what was kept")
        except AssertionError:
            missing = [letter.id for letter in waits if letter.id not in self.known]
            raise AssertionError(f"{self.jid} waited in vain for {len(missing)}: {missing[:5]}") from None

    async def settles(self) -> None:
        """Acks all, and has something confirmed that is written behind what the ack has changed."""
        acked = list(self.fresh)  # the ack may bring more of what has waited
        self.acknowledges()
        await self.keeps_note(f"settled {self.session}")
        for archive_id in acked:
            self.fresh.pop(archive_id, None)

    async def keeps_note(self, text: str, to: str = "") -> None:
        jid = to or f"{self.resource}.{NOTE}"
        await self.asks("set", f"<query xmlns='{ROSTER}'><item jid='{jid}' name='{text}'/></query>")

    # What it hears

    def hears(self, heard: Heard) -> None:
        letter = self.book.judge(self.bare, heard)
        if letter.to == self.bare:  # of what is for all, one who does not listen gets a copy
            assert heard.way == "live" or self.keeps_up, f"{self.jid} got {heard}"
        else:
            assert heard.way == "carbon" and letter.sender != self.jid, f"{self.jid} got {heard}"
        if letter.id not in self.known:
            self.book.counts["heard"] += 1
            self.book.tells("heard")
        else:
            same = "same" if heard.archive_id in self.known[letter.id] else "new"
            self.book.counts[f"came again, {self._why_again(letter, heard)}, {same} id"] += 1
        self._knows(letter, heard)
        self.fresh[heard.archive_id] = self.session, self.book.life
        if self.caught_up:
            self.anchor = heard.archive_id

    def _why_again(self, letter: Letter, heard: Heard) -> str:
        """What excuses that it came again: nobody could know that it had come."""
        if heard.archive_id in self.fresh:
            session, life = self.fresh[heard.archive_id]
            if session != self.session:
                return "not acked"
            if heard.stamp and life != self.book.life:
                return "kept, and the ack not"
        # A copy, or what it found in its archive, does not end that it waits for the account: if another device was
        # given it first and has not come back, and the node is killed, nobody knows any more who had copies.
        if heard.stamp and self.otherwise.get(letter.id, self.book.life) != self.book.life:
            return "had otherwise, and waited as well"
        story = f"session {self.session}, life {self.book.life}; before: {self.story[letter.id]}"
        assert letter.times > 1, f"{self.jid} had acked what came again: {heard}; {story}"
        if heard.archive_id not in self.known[letter.id]:
            return "lost before it was on disk, and sent again"
        # It found it in its archive, and then another device's session ended, in which it had waited.
        assert heard.stamp and self.keeps_up, f"{self.jid} got again what was sent again: {heard}; {story}"
        return "left by another device"

    def _knows(self, letter: Letter, heard: Heard) -> None:
        ids = self.known.setdefault(letter.id, [])
        if heard.archive_id not in ids:
            ids.append(heard.archive_id)
        if heard.way == "live":
            self.otherwise.pop(letter.id, None)
        elif letter.id not in self.story or letter.id in self.otherwise:
            self.otherwise[letter.id] = self.book.life
        told = self.story.setdefault(letter.id, [])
        told.append(f"{heard.way} {heard.archive_id} {heard.stamp}, session {self.session}, life {self.book.life}")

    def is_covered(self, about: object) -> None:
        if isinstance(about, Letter):
            self.book.is_covered(about)

    # What is true of it when all is quiet

    def check(self) -> None:
        """What its account has, it has."""
        order = self.book.archive(self.bare).order
        for letter, archive_id in order[self.checked :]:
            if letter.sender == self.jid:
                continue
            if letter.id not in self.known:
                assert not self.keeps_up and not letter.away, f"{self.jid} never got {letter.id}, which is {archive_id}"
                self.book.counts["only in the archive"] += 1
            elif archive_id not in self.known[letter.id]:  # told before it was on disk, and then the node died
                self.book.counts["known by a lost id"] += 1
        self.checked = len(order)
        self.firm_anchor = self.book.archive(self.bare).last
