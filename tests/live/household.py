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

from tests.live.book import Book
from tests.live.device import Device, Refused
from tests.live.member import NOTE, ROSTER, Member
from tests.live.peers import Node
from tests.live.raw import Cut, Heard

UP_AGAIN = 2  # seconds
WAITING = 400  # messages for Carol before she comes: of 1000 the node keeps no more


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
            Member(self.book, home, f"ann@{home.domain}/phone", self._chance()),
            Member(self.book, home, f"ann@{home.domain}/laptop", self._chance()),
            Member(self.book, home, f"bob@{home.domain}/desk", self._chance()),
            Member(self.book, home, f"carol@{home.domain}/old", self._chance(), keeps_up=False),
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

    def _chance(self) -> random.Random:
        """For one of them alone, since nobody knows in which order they do things."""
        return random.Random(self.chance.random())

    # Life and death

    async def _starts(self) -> None:
        """Sometimes it ends once more, in good order, before anybody is back."""
        for _ in range(2 if self.kills and self.chance.random() < 0.2 else 1):
            if not self.dead:
                await asyncio.to_thread(self.home.stop, signal.SIGTERM)
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
        luck = {member: self._chance() for member in self.everybody}
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
                self.book.waiting[member.bare] = 0
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
