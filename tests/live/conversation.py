"""One conversation in steps, each of which changes what is kept: test_crash.py has the node die at its every commit.

Who was told that a step is done finds it done in the next life. Who was not does it again, as his client would, and
then it is as if nothing had happened.
"""

from collections.abc import Awaitable, Callable
from xml.etree.ElementTree import Element, tostring

from tests.live.device import Device, Refused, StreamFailed
from tests.live.fast import get_token, is_good
from tests.live.peers import Node
from tests.live.raw import MAM, SID, Cut, Heard

ROSTER = "jabber:iq:roster"
BLOCKING = "urn:xmpp:blocking"
VCARD = "vcard-temp"
REGISTER = "jabber:iq:register"
PEOPLE = ("ann", "bob", "carol", "dave")
EVE = "eve@elsewhere.example"
CONTACT = "<item jid='friend@elsewhere.example' name='Friend'><group>Friends</group></item>"
FAVOURITE = "favourite@elsewhere.example"
PREFERENCES = f"<prefs xmlns='{MAM[1:-1]}' default='always'><always><jid>{FAVOURITE}</jid></always><never/></prefs>"


class Old(Device):
    """Bob's client: it has no archive, so all that waited has to come, and nothing that it has acked a second time."""

    def __init__(self, node: Node, jid: str):
        super().__init__(node, jid)
        self.has: dict[str, bool] = {}  # id → whether it was acked and the ack is kept

    def hears(self, heard: Heard) -> None:
        assert not self.has.get(heard.id), f"{heard} came again"
        self.has[heard.id] = False

    async def settles(self) -> None:
        self.acknowledges()
        await self.asks("set", f"<query xmlns='{ROSTER}'><item jid='settled@elsewhere.example'/></query>")
        self.has = dict.fromkeys(self.has, True)


class Conversation:
    """Ann, who is there; Bob, who comes later; Carol and Dave, who have accounts."""

    def __init__(self, home: Node):
        self.home = home
        self.ann = Device(home, f"ann@{home.domain}/phone")
        self.bob = Old(home, f"bob@{home.domain}/old")
        self.written: list[str] = []
        self.token = ""
        self.bob_is_there = False
        self.confirmed = 0  # steps
        self.steps: dict[str, Callable[[], Awaitable[object]]] = {
            "one": lambda: self.writes("one"),
            "contact": lambda: self.ann.asks("set", f"<query xmlns='{ROSTER}'>{CONTACT}</query>"),
            "request": self.requests_presence,
            "block": lambda: self.ann.asks("set", f"<block xmlns='{BLOCKING}'><item jid='{EVE}'/></block>"),
            "card": lambda: self.ann.asks("set", f"<vCard xmlns='{VCARD}'><FN>Ann</FN></vCard>"),
            "preferences": lambda: self.ann.asks("set", PREFERENCES),
            "token": self.gets_token,
            "two": lambda: self.writes("two"),
            "handed over": self.bob_comes,
            "three": lambda: self.writes("three"),
            "four": self.bob_leaves_and_is_written_to,
            "handed over again": self.bob_comes,
            "password": self.changes_password,
            "removal": self.removes_account,
        }

    async def goes_on(self) -> bool:
        """All steps that are not confirmed. False if the node died before the last one was."""
        try:
            if not self.ann.connected:
                await self.ann.arrives()
            if self.bob_is_there and not self.bob.connected:
                await self.bob.arrives()
            for does in list(self.steps.values())[self.confirmed :]:
                await does()
                self.confirmed += 1
        except Cut:
            return False
        return True

    async def breaks_off(self) -> None:
        """The node is dead."""
        for device in (self.ann, self.bob):
            await device.ended()

    async def proves(self) -> None:
        """What was confirmed is done; what comes behind what was being done is not."""
        found = await self._finds()
        for number, name in enumerate(self.steps):
            if number != self.confirmed and not name.startswith("handed over"):
                assert (name in found) == (number < self.confirmed), f"{name}: done are {found}"

    async def proves_all(self) -> None:
        """All is done, and once."""
        assert self.confirmed == len(self.steps)
        await self.proves()
        assert self.bob.has == dict.fromkeys(self.written, True)
        carol = Carol(self.home, f"carol@{self.home.domain}/old", "another")
        await carol.arrives()
        await carol.ping()
        assert carol.asked_by == [self.ann.bare], f"Carol was asked by {carol.asked_by}"

    # Steps

    async def writes(self, id: str) -> None:
        if id not in self.written:  # else it is sent again when the session begins
            self.written.append(id)
            origin = f"<origin-id xmlns='{SID[1:-1]}' id='{id}'/>"
            text = f"<message type='chat' to='{self.bob.bare}' id='{id}'><body>{id}</body>{origin}</message>"
            self.ann.sends(text, id)
        await self.ann.all_covered()

    async def requests_presence(self) -> None:
        self.ann.sends(f"<presence type='subscribe' to='carol@{self.home.domain}'/>")
        await self.ann.all_covered()

    async def gets_token(self) -> None:
        self.token = await get_token(self.home, self.ann.bare, "secret")

    async def bob_comes(self) -> None:
        if not self.bob.connected:
            if not self.bob_is_there:  # his line breaks over what has waited for him
                await self.bob.arrives()
                self.bob.drops()
                await self.bob.ended()
                self.bob.forgets()
            self.bob_is_there = True
            await self.bob.arrives()
        await self.bob.until(lambda: set(self.bob.has) == set(self.written), f"{self.written}")
        await self.bob.settles()

    async def bob_leaves_and_is_written_to(self) -> None:
        if self.bob.connected:
            await self.bob.until(lambda: set(self.bob.has) >= {"one", "two", "three"}, "the third")
            await self.bob.settles()
            await self.bob.leaves()
        self.bob_is_there = False
        await self.writes("four")

    async def changes_password(self) -> None:
        words = "<username>carol</username><password>another</password>"
        await self._of_account("carol", f"<query xmlns='{REGISTER}'>{words}</query>", "another")

    async def removes_account(self) -> None:
        await self._of_account("dave", f"<query xmlns='{REGISTER}'><remove/></query>", "")

    async def _of_account(self, name: str, payload: str, new_password: str) -> None:
        device = Device(self.home, f"{name}@{self.home.domain}/phone")
        try:
            await device.looks()
        except Refused:  # it was done, and not confirmed
            assert await self._may_log_in(name, new_password) == bool(new_password)
            return
        await device.asks("set", payload)
        device.drops()
        try:
            await device.ended()
        except StreamFailed:
            assert not new_password  # the session of an account that is gone

    # What is there

    async def _finds(self) -> set[str]:
        """The steps that are done, as far as one can see."""
        ann = Device(self.home, f"{self.ann.bare}/reader")
        bob = Device(self.home, f"{self.bob.bare}/reader")
        await ann.looks()
        await bob.looks()
        sent, received = await ann.history(), await bob.history()
        ids = [heard.id for heard in sent]
        assert ids == [heard.id for heard in received], f"{sent} and {received}"
        assert ids == self.written[: len(ids)], ids
        assert len({heard.archive_id for heard in sent + received}) == 2 * len(ids)
        roster = await ann.asks("get", f"<query xmlns='{ROSTER}'/>")
        items = {item.get("jid"): item for item in roster.iter(f"{{{ROSTER}}}item")}
        found = {heard.id for heard in sent}
        if "friend@elsewhere.example" in items:
            friend = items["friend@elsewhere.example"]
            assert (friend.get("name"), friend.findtext(f"{{{ROSTER}}}group")) == ("Friend", "Friends")
            found.add("contact")
        carol = items.get(f"carol@{self.home.domain}")
        if carol is not None and carol.get("ask") == "subscribe":
            found.add("request")
        if EVE in text_of(await ann.asks("get", f"<blocklist xmlns='{BLOCKING}'/>")):
            found.add("block")
        try:
            card = await ann.asks("get", f"<vCard xmlns='{VCARD}'/>")
            if card.findtext(f".//{{{VCARD}}}FN") == "Ann":
                found.add("card")
        except Refused:  # there is none
            pass
        if FAVOURITE in text_of(await ann.asks("get", f"<prefs xmlns='{MAM[1:-1]}'/>")):
            found.add("preferences")
        await ann.leaves()
        await bob.leaves()
        if self.token and await is_good(self.home, self.ann.bare, self.token):
            found.add("token")
        new, old = await self._may_log_in("carol", "another"), await self._may_log_in("carol", "secret")
        assert new != old
        if new:
            found.add("password")
        if not await self._may_log_in("dave", "secret"):
            found.add("removal")
        return found

    async def _may_log_in(self, name: str, password: str) -> bool:
        device = Device(self.home, f"{name}@{self.home.domain}/reader", password)
        try:
            await device.looks()
        except Refused:
            return False
        finally:
            device.drops()
        await device.ended()
        return True


def text_of(element: Element) -> str:
    return tostring(element, "unicode")


class Carol(Device):
    """She hears who has asked for her presence."""

    def __init__(self, node: Node, jid: str, password: str):
        super().__init__(node, jid, password)
        self.asked_by: list[str] = []

    def hears_presence(self, presence: Element) -> None:
        if presence.get("type") == "subscribe":
            self.asked_by.append(presence.get("from", ""))
