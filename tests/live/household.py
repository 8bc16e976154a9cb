"""A household that writes while its node dies, again and again, and the proof after each death that nothing is lost.

Ann writes from phone and laptop, Bob answers from his desk; all three keep up with their archive. Carol's client has
none, and she is seldom there. What was covered by an `h` is looked for in the archive and with every device; what was
not is sent again with its id, as XEP-0198 has it. `counts` says how often something came twice, and why it may.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Iterable
from pathlib import Path

from tests.live.book import Book, Letter
from tests.live.device import Device, Owed, Refused
from tests.live.peers import Node
from tests.live.raw import CARBONS, Cut, Heard

UP_AGAIN = 2  # seconds
WAITING = 400  # messages for Carol before she comes: of 1000 the node keeps no more
ROSTER = "jabber:iq:roster"
NOTE = "note@elsewhere.example"  # a contact whose name counts what was confirmed


class Member(Device):
    """A device of the household. `keeps_up`: it asks its archive for what it has missed."""

    def __init__(self, book: Book, home: Node, jid: str, *, keeps_up: bool = True):
        super().__init__(home, jid)
        self.book = book
        self.keeps_up = keeps_up
        self.wrote = 0
        self.known: dict[str, list[str]] = {}  # letter → archive ids
        self.fresh: dict[str, tuple[int, int]] = {}  # archive ids that are not settled → session and life they came in
        self.checked = 0  # so much of the archive has been compared with what is known
        self.session = 0
        self.caught_up = False
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
        if not resumed:
            await self.asks("set", f"<enable xmlns='{CARBONS[1:-1]}'/>")

    def sends(self, text: str, about: object = None) -> None:
        if isinstance(about, Letter):
            self.book.sends(about, False)
        super().sends(text, about)

    def says_again(self, owed: Owed) -> None:
        if isinstance(owed.about, Letter):
            self.book.sends(owed.about, True)
        super().says_again(owed)

    async def arrives(self, *, resume: bool = True) -> bool:
        before = self.session, self.caught_up
        self.session, self.caught_up = self.session + 1, False  # what comes at once belongs to it
        resumed = False
        try:
            resumed = await super().arrives(resume=resume)
        finally:
            if resumed or (self.previd and not self.connected):  # the session goes on, or may do so another time
                self.session, self.caught_up = before
        return resumed

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
        self.acknowledges()
        await self.keeps_note(f"settled {self.session}")
        self.fresh.clear()

    async def keeps_note(self, text: str, to: str = "") -> None:
        jid = to or f"{self.resource}.{NOTE}"
        await self.asks("set", f"<query xmlns='{ROSTER}'><item jid='{jid}' name='{text}'/></query>")

    # What it hears

    def hears(self, heard: Heard) -> None:
        letter = self.book.judge(self.bare, heard)
        assert heard.way == "live" if letter.to == self.bare else letter.sender != self.jid, f"{self.jid} got {heard}"
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
        assert letter.times > 1, f"{self.jid} had acked what came again: {heard}"
        if heard.archive_id not in self.known[letter.id]:
            return "lost before it was on disk, and sent again"
        # It found it in its archive, and then another device's session ended, in which it had waited.
        assert heard.stamp and self.keeps_up, f"{self.jid} got again what was sent again: {heard}"
        return "left by another device"

    def _knows(self, letter: Letter, heard: Heard) -> None:
        ids = self.known.setdefault(letter.id, [])
        if heard.archive_id not in ids:
            ids.append(heard.archive_id)

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


def starts(node: Node) -> float:
    """Starts it; the seconds that took, less those in which it could have run and others had the processors."""
    took = node.start()
    assert node.process is not None
    waited = Path(f"/proc/{node.process.pid}/schedstat").read_text().split()[1]  # nanoseconds of its main thread
    took -= int(waited) / 1e9
    assert took < UP_AGAIN, f"it took {took:.2f} s to start"
    return took


class Household:
    """Everybody, at one node; `chance` decides all that is not decided by the clock."""

    def __init__(self, home: Node, seed: int):
        self.home = home
        self.seed = seed
        self.chance = random.Random(seed)
        self.book = Book()
        self.phone, self.laptop, self.desk, self.old = self.everybody = [
            Member(self.book, home, f"ann@{home.domain}/phone"),
            Member(self.book, home, f"ann@{home.domain}/laptop"),
            Member(self.book, home, f"bob@{home.domain}/desk"),
            Member(self.book, home, f"carol@{home.domain}/old", keeps_up=False),
        ]
        self.book.gone.add(self.old.bare)  # it has never been there
        self.accounts = sorted({member.bare for member in self.everybody})
        self.present: list[Member] = []
        self.starts: list[float] = []
        self.round = self.kills = 0
        self.dead = True
        self.asked = self.confirmed = 0  # notes
        self._until = 0  # this many events, then death
        self._event = ""
        self.book.tells = self._tells

    async def lives(self, rounds: int) -> None:
        """So many deaths, each with its proof. AssertionError names the seed and the round."""
        try:
            await self._starts()
            await self._proves()
            for self.round in range(1, rounds + 1):
                await self._writes_and_dies()
                await self._starts()
                if self.chance.random() < 0.2:
                    await self._dies_while_it_recovers()
                    await self._starts()
                await self._proves()
            await self._proves_all()
        except (AssertionError, TimeoutError, Refused, Cut) as error:
            for member in self.everybody:
                member.drops()
            endings = await asyncio.gather(*(member.ended() for member in self.everybody), return_exceptions=True)
            why = [ending for ending in endings if ending is not None and not isinstance(ending, Cut)] or [error]
            raise AssertionError(f"seed {self.seed}, round {self.round}: {why[0]!r}") from error

    # Life and death

    async def _starts(self) -> None:
        self.starts.append(await asyncio.to_thread(starts, self.home))
        self.dead = False

    def _kills(self) -> None:
        self._event = ""
        if not self.dead:
            self.dead = True
            self.kills += 1
            assert self.home.process is not None
            self.home.process.send_signal(signal.SIGKILL)

    def _tells(self, event: str) -> None:
        if event == self._event:
            self._until -= 1
            if self._until <= 0:
                self._kills()

    async def _ends(self, work: Iterable[Awaitable[None]], patience: float) -> None:
        """Lets them do their work until the node is killed, and collects what is left."""
        tasks = [asyncio.ensure_future(one) for one in work]
        done, _ = await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_EXCEPTION)
        early = [] if self.dead else [task.exception() for task in done if task.exception()]
        self._kills()
        assert self.home.process is not None
        await asyncio.to_thread(self.home.process.wait)
        endings = (*tasks, *(member.ended() for member in self.everybody))
        errors = [error for error in await asyncio.gather(*endings, return_exceptions=True) if error is not None]
        wrong = [error for error in errors if not isinstance(error, Cut)] or early
        assert not wrong, f"this went wrong while the node lived: {wrong[0]!r}"
        self.book.life += 1

    async def _writes_and_dies(self) -> None:
        """Load, and its end at a moment that chance has chosen: by the clock, or by what has just been done."""
        self._event = self.chance.choice(["time", "time", "written", "heard", "covered"])
        self._until = self.chance.randrange(1, 100)
        patience = self.chance.uniform(0, 0.6) if self._event == "time" else 1.5
        ann, bob, carol = self.accounts
        plans = {self.phone: [bob, bob, carol], self.laptop: [bob, carol], self.desk: [ann, ann, carol]}
        luck = {member: random.Random(self.chance.random()) for member in self.everybody}
        work = [self._writes(member, plans[member], luck[member]) for member in self.present if member in plans]
        if self.old in self.present:
            work.append(self._comes_and_goes(luck[self.old]))
        await self._ends([*work, self._keeps_notes()], patience)

    async def _writes(self, member: Member, addressees: list[str], chance: random.Random) -> None:
        """One device: it writes in bursts, its line breaks, it comes back."""
        while True:
            for _ in range(chance.randrange(1, 13)):
                member.writes(chance.choice(addressees), chance.choice((10, 100, 400, 3000)))
            if chance.random() < 0.3:
                member.requests()
            await asyncio.sleep(chance.random() * 0.02)  # it is people who write
            if chance.random() < 0.03:
                member.drops()
                await member.ended()
                await asyncio.sleep(chance.random() * 0.02)  # without a line for a while
                await member.comes(resume=chance.random() < 0.7)
                await member.catches_up()
            if not member.connected:
                raise Cut("the node is gone")

    async def _comes_and_goes(self, chance: random.Random) -> None:
        """Carol reads for a while, and leaves; when she comes back her line may break over what has waited for her."""
        while True:
            await asyncio.sleep(chance.random() * 0.1)  # she reads
            if not await self.old.leaves():
                raise Cut("the node is gone")
            self.book.gone.add(self.old.bare)
            if chance.random() < 0.3:
                return
            await asyncio.sleep(chance.random() * 0.1)  # she is away
            self.book.comes(self.old.bare)
            await self._comes_at_last(self.old, chance)

    async def _comes_at_last(self, member: Member, chance: random.Random) -> None:
        """Who has no archive gets what has waited, however often the line breaks over it."""
        while not member.keeps_up and chance.random() < 0.5:
            await member.arrives()
            member.drops()
            await member.ended()
            if chance.random() < 0.7:
                member.forgets()
        await member.comes()

    async def _keeps_notes(self) -> None:
        """What an iq has confirmed is kept, too (D5)."""
        while True:
            self.asked += 1
            mine = self.asked
            try:
                await self.phone.keeps_note(str(mine), NOTE)
            except Cut:  # its own line, or all of them
                if self.dead:
                    raise
                await asyncio.sleep(0.01)  # until it is mended: `_writes` is at it
            else:
                self.confirmed = mine

    async def _dies_while_it_recovers(self) -> None:
        await self._ends([self._comes_back(member) for member in self._come()], self.chance.uniform(0, 0.3))

    async def _comes_back(self, member: Member) -> None:
        await member.comes()
        await member.all_covered()
        await member.catches_up()

    def _come(self) -> list[Member]:
        """Who is there in this round. The phone always is."""
        full = self.book.waiting[self.old.bare] > WAITING
        often = {self.phone: 1.0, self.laptop: 0.8, self.desk: 0.8, self.old: 1.0 if full else 0.3}
        self.present = [member for member in self.everybody if self.chance.random() < often[member]]
        for member in self.present:
            self.book.comes(member.bare)
        return self.present

    # The proof

    async def _proves(self) -> None:
        """All come back, send again what no `h` has covered, and catch up; then what is where is compared."""
        members = self._come()
        await asyncio.gather(*(self._comes_at_last(member, self.chance) for member in members))
        await asyncio.gather(*(member.all_covered() for member in members))
        await asyncio.gather(*(member.catches_up() for member in members))
        for account in self.accounts:
            archive = self.book.archive(account)
            archive.grows(await self._history(account, archive.last), self.book)
        for letter in self.book.looked_for.values():
            for account in (letter.to, letter.sender.partition("/")[0]):
                assert letter.id in self.book.archive(account).letters, (
                    f"{letter.id} is not in the archive of {account}"
                )
        self.book.looked_for.clear()
        for member in members:
            if not member.keeps_up:  # old messages come by and by
                await member.gets_what_waits()
            member.check()
        await asyncio.gather(*(member.settles() for member in members))
        await self._proves_notes()

    async def _history(self, account: str, after: str) -> list[Heard]:
        for member in self.present:
            if member.bare == account:
                return await member.history(after)
        reader = Device(self.home, f"{account}/reader")
        await reader.looks()
        found = await reader.history(after)
        await reader.leaves()
        return found

    async def _proves_notes(self) -> None:
        roster = await self.phone.asks("get", f"<query xmlns='{ROSTER}'/>")
        names = [item.get("name", "") for item in roster.iter(f"{{{ROSTER}}}item") if item.get("jid") == NOTE]
        found = int(names[0]) if names else 0
        assert self.confirmed <= found <= self.asked, f"{self.confirmed} was confirmed, {found} is there"

    async def _proves_all(self) -> None:
        """At the end everything once more, from both sides."""
        for account in self.accounts:
            archive = self.book.archive(account)
            reader = Device(self.home, f"{account}/reader")
            await reader.looks()
            forwards, backwards = await reader.history(), await reader.history_backwards(size=70)
            await reader.leaves()
            assert forwards == backwards
            assert [(heard.id, heard.archive_id) for heard in forwards] == [(a.id, i) for a, i in archive.order]
            for letter in self.book.letters.values():
                if letter.covered and account in (letter.to, letter.sender.partition("/")[0]):
                    assert letter.id in archive.letters, f"{letter.id} is not in the archive of {account}"
