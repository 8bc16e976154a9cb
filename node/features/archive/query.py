"""XEP-0313: how clients read their archives: by pages, backwards and forwards, by partner, by time, by ids."""

import asyncio
import math
from typing import NamedTuple

from node.base import form, paging, stamp
from node.base.element import E, Element, escape_attribute
from node.base.errors import StanzaError
from node.base.jid import Jid, JidError, parse
from node.base.stanza import CLIENT, PLAIN_SCOPES, SAME_NAMESPACE, Stanza, kind
from node.features.archive.reading import Found, Reader, Wanted
from node.features.archive.rows import Rows
from node.hub.hub import Hub, Session
from node.hub.store import StoreError

NS = "urn:xmpp:mam:2"
EXTENDED = f"{NS}#extended"
GROUPCHAT_FIELD = f"{NS}#groupchat-field"
FORWARD = "urn:xmpp:forward:0"  # XEP-0297

PAGE = 50  # messages when nobody says how many: two screens
PAGE_LIMIT = 100  # L21: 60 KiB of ordinary messages
PAGE_BYTES = 256 * 1024  # a quarter of what a connection may have unsent
OVERHEAD = 300  # bytes of a result around its message
IDS_LIMIT = 200  # messages asked for by their ids; each is looked up, in 10 us
RUNNING = 2  # L21: queries of one session at a time; the others wait for their turn
WAITING_LIMIT = 100  # of one session; a client that asks for so much at once reads nothing of it
QUERYID_LIMIT = 1024  # characters; it is repeated in each result

_RESULT = kind("result", NS)


class _Query(NamedTuple):
    """What a client wants. `wanted` is None when there can be nothing of the kind."""

    page: paging.Page
    wanted: Wanted | None
    flipped: bool
    queryid: str | None


class _Turns:
    """Whose turn it is among the queries of one session."""

    __slots__ = ("asked", "free")

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(RUNNING)
        self.asked = 0


class Queries:
    def __init__(self, hub: Hub, rows: Rows, reader: Reader):
        self.hub = hub
        self.rows = rows
        self.reader = reader
        self.turns: dict[Jid, _Turns] = {}  # of the sessions that are asking just now

    def setup(self) -> None:
        # At "account" there is none: the archive of somebody else is as that of a missing account (S8).
        self.hub.on_iq("get", "query", NS, self.fields, at="self")
        self.hub.on_iq("set", "query", NS, self.query, at="self")
        self.hub.on_iq("get", "metadata", NS, self.metadata, at="self")

    def fields(self, iq, origin):
        """§4.1.5: by what one can search."""
        any_text = E("validate", form.VALIDATE, E("open"), datatype="xs:string")
        return iq.reply(
            E(
                "query",
                NS,
                form.form(
                    form.field("FORM_TYPE", NS, type="hidden"),
                    form.field("with", type="jid-single"),
                    *(form.field(name) for name in ("start", "end", "before-id", "after-id")),
                    E("field", form.NS, any_text, var="ids", type="list-multi"),
                    form.field("include-groupchat", type="boolean"),
                ),
            )
        )

    async def metadata(self, iq, origin):
        """§5: the first and the last message."""
        await self.settled()
        named = zip(("start", "end"), self.ends(iq.sender.bare) or (), strict=False)
        return iq.reply(E("metadata", NS, *(E(name, None, id=id, timestamp=moment) for name, (id, moment) in named)))

    def ends(self, owner: Jid) -> tuple[tuple[str, str], tuple[str, str]] | None:
        """The first and the last message of an archive, each its id and time stamp; None when there is none."""
        archive = self.rows.archives.get(owner)
        ends = None if archive is None else self.reader.ends(archive)
        if archive is None or ends is None:
            return None
        first, last = ((self.rows.ids.seal(archive, row), stamp.precise(moment)) for row, moment in ends)
        return first, last

    async def settled(self) -> bool:
        """Waits until all that was said is on disk, and so in the order in which it will stay. False when it cannot be
        kept just now: what there is can be read, and the rest will come behind it."""
        try:
            await self.rows.database.committed()
        except StoreError:
            return False
        return not self.rows.pending.lost

    async def query(self, iq, origin):
        """A message for each result, and then the answer, which tells where the page begins and ends."""
        turns = self.turns.setdefault(iq.sender, _Turns())
        if turns.asked >= WAITING_LIMIT:
            raise StanzaError("resource-constraint", f"{WAITING_LIMIT} queries wait already")
        turns.asked += 1
        try:
            async with turns.free:
                return await self._answer(iq, origin)
        finally:
            turns.asked -= 1
            if not turns.asked:
                self.turns.pop(iq.sender, None)

    async def _answer(self, iq: Stanza, origin: Session) -> Stanza | None:
        assert iq.sender is not None and iq.payload is not None
        owner, stable = iq.sender.bare, await self.settled()
        page, wanted, flipped, queryid = self._read(iq.payload, owner)
        found: list[Found] = []
        more = False
        if wanted is not None:
            found, more = await self._page(wanted, page)
        if self.hub.sessions.get(owner, {}).get(iq.sender) is not origin:
            return None  # it has left
        ids = [self.rows.ids.seal(wanted.archive, each.id) for each in found] if wanted else []
        for id, each in list(zip(ids, found, strict=True))[:: -1 if flipped else 1]:
            origin.deliver(_result(iq.sender, queryid, id, each.stamp, self._xml(each)))
        begins = page.after is None and not (page.backwards and more)
        if not page.limit:
            count = self.reader.count(wanted) if wanted else 0  # asked for, so it may cost something
        else:
            # Else it would cost more than the page: 30 ms in a large archive.
            count = len(found) if begins and page.before in (None, "") and not more else None
        told = paging.told(ids, index=0 if begins else None, count=count)
        complete, unstable = None if more else "true", None if stable else "false"
        return iq.reply(E("fin", NS, told, complete=complete, stable=unstable))

    async def _page(self, wanted: Wanted, page: paging.Page) -> tuple[list[Found], bool]:
        """The messages of the page, oldest first, and whether there are more behind it (or backwards before it)."""
        rows = await self.reader.find(wanted, page.limit + 1, page.backwards)
        found: list[Found] = []
        size = 0
        for row in rows[: page.limit]:
            size += OVERHEAD + (row.stanza if isinstance(row.stanza, int) else len(row.stanza))
            if found and size > PAGE_BYTES:
                break
            found.append(row)
        more = len(found) < len(rows)
        return found[:: -1 if page.backwards else 1], more

    def _xml(self, found: Found) -> bytes:
        return found.stanza if isinstance(found.stanza, bytes) else self.reader.load(found.id) or b""

    # What is asked for

    def _read(self, query: Element, owner: Jid) -> _Query:
        """Raises StanzaError."""
        if query.get("node") is not None:
            raise StanzaError("item-not-found", "An account has one archive and no nodes")  # §6.1.3
        queryid = query.get("queryid")
        if queryid is not None and len(queryid) > QUERYID_LIMIT:
            raise StanzaError("bad-request", f"A queryid has at most {QUERYID_LIMIT} characters")
        page = paging.read(query, PAGE, PAGE_LIMIT)
        fields = _fields(query)
        archive = self.rows.archives.get(owner)
        partner = _partner(fields)
        start, end = _moment(fields, "start", math.ceil), _moment(fields, "end", math.floor)
        after, before, ids = (
            [self._row(archive, id) for id in (*fields.get(name, ()), *more)]
            for name, more in (
                ("after-id", [page.after] if page.after else []),
                ("before-id", [page.before] if page.before else []),
                ("ids", []),
            )
        )
        peer = None if partner is None else self.rows.addresses.get(partner.bare)
        wanted = None
        if archive is not None and (partner is None or peer is not None):
            if start is not None:
                after.append(self.reader.since(start) - 1)
            if end is not None:
                before.append(self.reader.since(end + 1))
            wanted = Wanted(
                archive,
                low=max(after, default=0),
                high=min(before, default=self.rows.next_id),
                peer=peer,
                full=partner if partner is not None and partner.full else None,
                ids=tuple(sorted(set(ids))) if ids else None,
            )
        return _Query(page, wanted, query.find("flip-page") is not None, queryid)

    def _row(self, archive: int | None, id: str) -> int:
        """Where this message lies. Raises item-not-found (§4.1.3, §4.3.2)."""
        row = None if archive is None else self.rows.ids.open(archive, id)
        if archive is None or row is None or not self.reader.holds(archive, row):
            raise StanzaError("item-not-found", "There is no such message in this archive")
        return row


def _fields(query: Element) -> dict[str, list[str]]:
    """What the form says; a field without a value says nothing. Raises StanzaError."""
    x = query.find("x", form.NS)
    if x is None:
        return {}
    fields = {name: [text for text in map(str.strip, texts) if text] for name, texts in form.values(x).items()}
    if fields.pop("FORM_TYPE", None) != [NS]:
        raise StanzaError("bad-request", f"The FORM_TYPE is {NS}")
    known = ("with", "start", "end", "before-id", "after-id", "ids", "include-groupchat")
    for name, texts in fields.items():
        if name not in known:
            raise StanzaError("feature-not-implemented", f"There is no field {name[:100]}")
        if len(texts) > (IDS_LIMIT if name == "ids" else 1):
            raise StanzaError("bad-request", f"Too many values of {name}")
    try:
        for text in fields.get("include-groupchat", ()):
            form.boolean(text, "include-groupchat")  # there are none, so both say the same
    except form.FormError as error:
        raise StanzaError("bad-request", str(error)) from None
    return fields


def _partner(fields: dict[str, list[str]]) -> Jid | None:
    try:
        return parse(fields["with"][0]) if fields.get("with") else None
    except JidError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def _moment(fields: dict[str, list[str]], name: str, rounded) -> int | None:
    """Milliseconds since 1970: what we stamp by."""
    try:
        return rounded(round(stamp.parse(fields[name][0]) * 1000, 3)) if fields.get(name) else None
    except ValueError as error:
        raise StanzaError("bad-request", f"{name}: {error}") from None


def _result(to: Jid, queryid: str | None, id: str, moment: int, message: bytes) -> Stanza:
    """§4.2: a message as it came, under its id and with the moment when it came; without it when it has been deleted.

    No tree: its bytes are put in as they lie in the store (3 us).
    """
    inner = (
        b"<result xmlns='%b' id='%b'%b><forwarded xmlns='%b'><delay xmlns='urn:xmpp:delay' stamp='%b'/>%b"
        b"</forwarded></result>"
    ) % (
        NS.encode(),
        id.encode(),
        b"" if queryid is None else b" queryid='%b'" % escape_attribute(queryid).encode(),
        FORWARD.encode(),
        stamp.precise(moment).encode(),
        b"<message xmlns='%b'%b" % (CLIENT.encode(), message.removeprefix(b"<message")) if message else b"",
    )
    result = Stanza.received("message", (_RESULT,), inner, CLIENT, PLAIN_SCOPES[CLIENT], SAME_NAMESPACE)
    result.to = to
    result.sender = to.bare
    return result
