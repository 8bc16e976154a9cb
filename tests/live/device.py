"""One device of an account, with XEP-0198 and XEP-0313 done by the letter and its counters in the open.

It keeps its state over lines that break and nodes that die: it resumes, or binds anew and sends again what no `h` has
covered.
"""

import asyncio
import base64
import itertools
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element, tostring
from xml.sax.saxutils import quoteattr

from tests.live.peers import DEADLINE
from tests.live.raw import (
    BIND,
    CARBONS,
    CLIENT,
    FORWARD,
    MAM,
    RSM,
    SASL,
    SM,
    STANZAS,
    STREAM,
    Cut,
    Heard,
    Line,
    conditions,
    hear,
    stamp_of,
)

PAGE = 100  # messages of an archive at once


class StreamFailed(Exception):
    """The node has ended the stream with an error; its text is the element."""


class Refused(Exception):
    """An iq was answered with an error; its text is the condition."""


class Owed(NamedTuple):
    """What was sent and is not covered by an `h`; `about` is what the sender's own book calls it."""

    number: int
    text: str
    about: object


class Device:
    """One resource of an account and what it remembers: `node` is anything with `address`, `tls_port`, `domain`."""

    def __init__(self, node, jid: str, password: str = "secret"):
        self.node = node
        self.jid = jid
        self.bare, _, self.resource = jid.partition("/")
        self.password = password
        self.came: list[Heard] = []
        self.previd = ""  # of a session that may be resumed
        self.received = 0  # stanzas, since <enabled/>
        self.sent = 0  # stanzas, since <enable/>
        self.acked = 0  # the highest `h` that came
        self.owed: deque[Owed] = deque()
        self.acks = 0  # <a/> that came
        self._again: list[Owed] = []  # to be sent when it is bound anew
        self._counts_sent = self._counts_received = False
        self._line: Line | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._answers: dict[str, asyncio.Future[Element]] = {}
        self._results: dict[str, list[Heard]] = {}
        self._ids = itertools.count(1)

    # The line

    @property
    def connected(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def logs_in(self) -> None:
        """Up to where a resource is bound or a session resumed. Raises Cut; Refused: a wrong password."""
        line = self._line = await Line.open(self.node.address, self.node.tls_port, self.node.domain)
        line.begin(self.node.domain)
        await self._expect(STREAM + "features")
        proof = base64.b64encode(f"\0{self.bare.partition('@')[0]}\0{self.password}".encode()).decode()
        line.write(f"<auth xmlns='{SASL[1:-1]}' mechanism='PLAIN'>{proof}</auth>")
        answer = await self._expect(SASL + "success", SASL + "failure")
        if answer.tag == SASL + "failure":
            raise Refused(" ".join(child.tag.partition("}")[2] for child in answer))
        line.begin(self.node.domain)
        await self._expect(STREAM + "features")

    async def arrives(self, *, resume: bool = True) -> bool:
        """Logs in, and resumes the session it had if it can; otherwise binds anew. True if it has resumed.

        Bound anew, messages that no `h` has covered are sent again behind its presence: with the same id, as
        XEP-0198 §4 has it. Raises Cut.
        """
        async with asyncio.timeout(DEADLINE):
            await self.logs_in()
            resumed = bool(resume and self.previd) and await self._resumes()
            if not resumed:
                await self._binds()
        self._reading = asyncio.create_task(self._read())
        if resumed:
            for owed in self.owed:
                self.says_again(owed)
        else:
            await self.before_presence()
            self.sends("<presence/>")
            again, self._again = self._again, []
            for owed in again:
                self.sends(owed.text, owed.about)
        return resumed

    async def before_presence(self) -> None:
        """A resource is bound, and nobody knows of it yet."""

    async def looks(self) -> None:
        """Logs in without presence and without stream management: to ask questions only."""
        async with asyncio.timeout(DEADLINE):
            await self.logs_in()
            await self._bind_resource()
        self._reading = asyncio.create_task(self._read())

    async def _expect(self, *tags: str) -> Element:
        """The next element that is not some stanza."""
        assert self._line is not None
        while True:
            element = await self._line.element()
            if element.tag in tags:
                return element
            assert element.tag in (*STANZAS, STREAM + "error"), f"{self.jid} heard {tostring(element, 'unicode')}"
            self._take(element)

    async def _resumes(self) -> bool:
        self._write(f"<resume xmlns='{SM[1:-1]}' previd={quoteattr(self.previd)} h='{self.received}'/>")
        answer = await self._expect(SM + "resumed", SM + "failed")
        if answer.get("h"):
            self._is_acked(int(answer.get("h", "")))
        return answer.tag == SM + "resumed"

    async def _bind_resource(self) -> None:
        self._counts_sent = self._counts_received = False
        resource = f"<resource>{self.resource}</resource>"
        self._write(f"<iq type='set' id='bind'><bind xmlns='{BIND[1:-1]}'>{resource}</bind></iq>")
        answer = await self._expect(CLIENT + "iq")
        assert answer.findtext(f".//{BIND}jid") == self.jid, tostring(answer, "unicode")

    async def _binds(self) -> None:
        self.previd = ""
        self._again += [owed for owed in self.owed if owed.about is not None]
        self.owed.clear()
        self.sent = self.acked = 0
        await self._bind_resource()
        self._write(f"<enable xmlns='{SM[1:-1]}' resume='true'/>")
        self._counts_sent = True  # XEP-0198 §4: from here on, and what comes from <enabled/> on
        enabled = await self._expect(SM + "enabled")
        self._counts_received = True
        self.received = 0
        self.previd = enabled.get("id", "") if enabled.get("resume") in ("true", "1") else ""

    def drops(self) -> None:
        """The line breaks."""
        if self._line is not None:
            self._line.cut()

    async def leaves(self) -> bool:
        """Acks, and closes its stream. True if that was heard: the session is over, nothing is to be resumed."""
        assert self._line is not None
        if self._counts_received:
            self.acknowledges()
        self._write("</stream:stream>")
        await self.ended()
        if self._line.ended:
            self.previd = ""
        return self._line.ended

    def forgets(self) -> None:
        """The program ends without a word: the next one cannot resume its session."""
        self.previd = ""

    async def ended(self) -> None:
        """Returns when all that came before the line broke is read. Raises StreamFailed."""
        if self._reading is not None:
            async with asyncio.timeout(DEADLINE):
                await self._reading
        if self._line is not None:
            self._line.cut()

    def _write(self, text: str) -> None:
        assert self._line is not None
        self._line.write(text)

    # What it says

    def sends(self, text: str, about: object = None) -> None:
        """A stanza. What is about something is kept and sent again until an `h` covers it."""
        if self._counts_sent:
            self.sent += 1
            self.owed.append(Owed(self.sent, text, about))
        self._write(text)

    def says_again(self, owed: Owed) -> None:
        """In a session that is resumed, what the `h` does not cover."""
        self._write(owed.text)

    def requests(self) -> None:
        """Asks for an <a/>."""
        self._write(f"<r xmlns='{SM[1:-1]}'/>")

    def acknowledges(self) -> None:
        """Says what it has received."""
        self._write(f"<a xmlns='{SM[1:-1]}' h='{self.received}'/>")

    async def asks(self, type: str, payload: str, to: str = "") -> Element:
        """An iq with its answer. Raises Cut, and Refused with the condition."""
        id = f"{self.resource}-{next(self._ids)}"
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        target = f" to={quoteattr(to)}" if to else ""
        try:
            if not self.connected:
                raise Cut("the line is down")
            self.sends(f"<iq type='{type}' id='{id}'{target}>{payload}</iq>")
            async with asyncio.timeout(DEADLINE):
                return await answer
        finally:
            del self._answers[id]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for what only what comes can change; `what` is for the eyes of who waits in vain. Raises Cut."""
        try:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    if not self.connected:
                        raise Cut("the line is down")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{self.jid} waited in vain for {what}") from None

    async def all_covered(self) -> None:
        """Returns when an `h` has covered all that it sent. To ask is answered at once, and again after the commit."""
        while self.owed:
            self.requests()
            await self._has_acked(self.sent)

    async def _has_acked(self, h: int) -> None:
        await self.until(lambda: self.acked >= h, f"an h of {h}")

    async def ping(self) -> None:
        """Returns when all that was for it before has come."""
        await self.asks("get", "<ping xmlns='urn:xmpp:ping'/>", self.node.domain)

    async def page(self, size: int = PAGE, **bounds: str) -> tuple[list[Heard], Element]:
        """One page of the own archive and its <fin/>; `after` or `before` as of RSM (XEP-0059)."""
        query = f"q{next(self._ids)}"
        found = self._results[query] = []
        rsm = "".join(f"<{name}>{value}</{name}>" for name, value in bounds.items())
        wanted = f"<set xmlns='{RSM[1:-1]}'><max>{size}</max>{rsm}</set>"
        try:
            answer = await self.asks("set", f"<query xmlns='{MAM[1:-1]}' queryid='{query}'>{wanted}</query>")
        finally:
            del self._results[query]
        fin = answer.find(MAM + "fin")
        assert fin is not None, tostring(answer, "unicode")
        ids = [heard.archive_id for heard in found]
        ends = [fin.findtext(f"{RSM}set/{RSM}{name}") for name in ("first", "last")]
        assert ends == ([ids[0], ids[-1]] if ids else [None, None]), tostring(answer, "unicode")
        return found, fin

    async def history(self, after: str = "", size: int = PAGE) -> list[Heard]:
        """The own archive from behind an id to its end."""
        all_of_it: list[Heard] = []
        while True:
            found, fin = await self.page(size, **({"after": after} if after else {}))
            all_of_it += found
            if fin.get("complete") in ("true", "1"):
                return all_of_it
            assert found, "an empty page that is not the last"
            after = found[-1].archive_id

    async def history_backwards(self, size: int = PAGE) -> list[Heard]:
        """The own archive, read from its end; oldest first."""
        all_of_it: list[Heard] = []
        before = ""
        while True:
            found, fin = await self.page(size, before=before)
            all_of_it[:0] = found
            if fin.get("complete") in ("true", "1"):
                return all_of_it
            before = found[0].archive_id

    # What it hears

    async def _read(self) -> None:
        assert self._line is not None
        try:
            while True:
                self._take(await self._line.element())
                self._news.set()
        except Cut:
            pass
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Cut("the line is down"))
            self._news.set()

    def _take(self, element: Element) -> None:
        if element.tag in STANZAS:
            if self._counts_received:
                self.received += 1
            if element.tag == CLIENT + "message":
                self._take_message(element)
            elif element.tag == CLIENT + "iq":
                self._take_iq(element)
            else:
                self.hears_presence(element)
        elif element.tag == SM + "r":
            self.acknowledges()
        elif element.tag == SM + "a":
            self.acks += 1
            self._is_acked(int(element.get("h", "")))
        elif element.tag == STREAM + "error":
            raise StreamFailed(f"{self.jid}: {tostring(element, 'unicode')}")

    def _is_acked(self, h: int) -> None:
        assert self.acked <= h <= self.sent, f"{self.jid} has sent {self.sent}, h was {self.acked} and is {h}"
        self.acked = h
        while self.owed and self.owed[0].number <= h:
            self.is_covered(self.owed.popleft().about)

    def hears_presence(self, presence: Element) -> None:
        """Somebody comes, goes or asks."""

    def is_covered(self, about: object) -> None:
        """An `h` has covered what was sent about this."""

    def _take_iq(self, iq: Element) -> None:
        id = iq.get("id", "")
        if iq.get("type") in ("get", "set"):  # a push, or a ping
            sender = iq.get("from")
            target = f" to={quoteattr(sender)}" if sender else ""
            self.sends(f"<iq type='result' id={quoteattr(id)}{target}/>")
        elif id in self._answers and not self._answers[id].done():
            if iq.get("type") == "error":
                self._answers[id].set_exception(Refused(conditions(iq)))
            else:
                self._answers[id].set_result(iq)

    def _take_message(self, message: Element) -> None:
        result = message.find(MAM + "result")
        if result is not None:
            forwarded = result.find(FORWARD + "forwarded")
            assert forwarded is not None, tostring(message, "unicode")
            heard = hear(forwarded.find(CLIENT + "message"), "archive", self.bare)
            heard = heard._replace(archive_id=result.get("id", ""), stamp=stamp_of(forwarded))
            self._results.get(result.get("queryid", ""), []).append(heard)  # of one that was given up: to nobody
            return
        way = "live"
        for name in ("sent", "received"):
            wrapper = message.find(CARBONS + name)
            if wrapper is not None:
                assert message.get("from") == self.bare, tostring(message, "unicode")
                way = "carbon"
                message = wrapper.find(f"{FORWARD}forwarded/{CLIENT}message")
                break
        self.hears(hear(message, way, self.bare))

    def hears(self, heard: Heard) -> None:
        """A message that did not come from the archive."""
        self.came.append(heard)
