"""A whole node without sockets: what its people, another server and strangers say, mutated, as the hub hears it.

Whatever is said: nothing fails but the stanza, what everybody hears is XML that a strict parser takes, nobody hears
somebody who has not spoken, each question is answered once, nobody gets in without a password, and when all have
gone nothing is left of them.
"""

import asyncio
import logging
from collections import Counter
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

from node.base.jid import JidError, parse
from node.base.stanza import CLIENT
from node.config import Config
from node.hub.thing import Thing
from node.ports.client import ClientPort
from node.ports.limits import Options
from node.things.access import Options as Access
from tests.conftest import HOST, furnished, settle
from tests.fuzz import mutate, recorded, second
from tests.fuzz.people import CABIN, THINGS, Line, Link, Pipe, elements
from tests.ports.talker import OPEN, STARTTLS
from tests.things.board import Board
from tests.things.conftest import until

PEOPLE = (f"ann@{HOST}/phone", f"bob@{HOST}/laptop", f"romeo@{HOST}/orchard", f"juliet@{HOST}/balcony")
STARTTLS_NS = b"urn:ietf:params:xml:ns:xmpp-tls"
STRANGER = "stranger"
LENGTH = 40  # things said or done in a case
RESUME = b"<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='{h}'/>"
ENABLE = b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>"

# Who, how and what: says it; cuts the line; comes and resumes; logs in by SASL2, or by a token, and asks for it inline
Case = list[tuple[str, str, bytes]]


def make(chance: Random) -> Case:
    case: Case = []
    pieces, addresses = recorded.pieces(), (*recorded.addresses(), *PEOPLE)
    stories = [list(story) for story in chance.choices(_stories(), k=4)]
    for who in PEOPLE:
        if chance.random() < 0.3:
            case.append((who, "says", ENABLE))
    while len(case) < LENGTH:
        luck, story = chance.random(), chance.choice(stories)
        who, said = story.pop(0) if story and luck < 0.7 else (chance.choice(PEOPLE), chance.choice(pieces))
        if luck < 0.03:
            case.append((who, "cuts", b""))
        elif luck < 0.06:
            case += [(who, "cuts", b""), (who, "resumes", _wrong(RESUME, chance, addresses))]
        elif luck < 0.1:
            case.append(
                (who, chance.choice(("modern", "token")), _wrong(chance.choice(recorded.inline()), chance, addresses))
            )
        elif luck < 0.15:
            case += [(STRANGER, "cuts", b""), *((STRANGER, "says", piece) for piece in _login(chance, addresses))]
        elif luck < 0.2:
            said = chance.choice(chance.choice(recorded.links())[1:] or pieces)
            case.append((CABIN, "says", _wrong(said, chance, addresses)))
        else:
            case.append((who, "says", _wrong(said, chance, addresses)))
    return case


@cache
def _stories() -> tuple[tuple[tuple[str, bytes], ...], ...]:
    sessions = tuple(
        tuple((PEOPLE[number % len(PEOPLE)], piece) for piece in session)
        for number, session in enumerate(recorded.sessions())
    )
    return (*recorded.talks(), *sessions * 3)


def _login(chance: Random, addresses: tuple[str, ...]) -> list[bytes]:
    """What somebody says who does not know the password."""
    pieces = recorded.pieces()
    login = [*chance.choice(recorded.logins()), *chance.choices(pieces, k=2)]
    if STARTTLS_NS not in login[1]:
        login = [OPEN.encode(), STARTTLS.encode(), *login]
    at = chance.randrange(len(login))
    login[at] = mutate.bend(login[at], chance, (*login, *pieces))
    if chance.random() < 0.5:
        login[-2] = mutate.twist(login[-2], chance, addresses)
    return [piece for piece in login if piece]


def _wrong(said: bytes, chance: Random, addresses: tuple[str, ...]) -> bytes:
    luck = chance.random()
    if luck < 0.6:
        said = mutate.twist(said, chance, addresses)
    if 0.5 < luck < 0.75:
        said = mutate.bend(said, chance, recorded.pieces())
    return said or b" "


def check(case: Case) -> None:
    with house() as (hub, port):
        stale: set[str] = set()  # whose password may be another by now
        people = {who: Line(port, stale, who) for who in PEOPLE}
        stranger = Line(port, stale, STRANGER)
        cabin = Link(hub)
        for line in people.values():
            line.logs_in()
        for who, way, said in case:
            if who == CABIN:
                speaker = cabin
            elif who == STRANGER:
                speaker = stranger
            else:
                speaker = people.get(who) or people.setdefault(who, Line(port, stale, who))
                if speaker.ended and way == "says":
                    speaker.logs_in()
            before = {line: (line.pipe, len(line.out)) for line in people.values()}
            getattr(speaker, way, speaker.says)(said)
            heard = {line: line.look(number, speaker) for line, number in before.items()}
            if way == "says" and speaker in heard and not speaker.ended and not speaker.amid:
                answered_once(speaker.said, heard[speaker])
            assert not stranger.got_in, "a stranger got in"
        for line in (*people.values(), stranger):
            line.leaves()
        for session in [each for resources in hub.sessions.values() for each in resources.values()]:
            session.close(None)  # those that slept
        settle(hub)
        assert not hub.sessions and not hub.present and not hub._questions, "something is left"
        assert not port.managed.by_id, "a session is left"


def answered_once(said: bytes, heard: list[second.Tree]) -> None:
    """Each question to the node itself, and to another server, has one answer."""
    iqs = [attrs for tag, attrs, *_ in elements(said) or () if tag == f"{{{CLIENT}}}iq"]
    iqs = [attrs for attrs in iqs if attrs.get("type") not in ("result", "error")]
    asked = Counter(attrs["id"] for attrs in iqs if "id" in attrs and not _for_somebody(attrs.get("to", HOST)))
    for attrs in iqs:
        if _for_somebody(attrs.get("to", HOST)):  # he may answer, or not
            del asked[attrs.get("id", "")]
    answers = Counter(attrs.get("id") for tag, attrs, *_ in heard if tag.endswith("}iq") and attrs["type"][0] in "re")
    for id, times in asked.items():
        assert answers[id] == times, f"asked {times} times with id {id!r}, answered {answers[id]} times"


def _for_somebody(to: str) -> bool:
    try:
        jid = parse(to)
    except JidError:
        return False
    return jid.full and jid.domain == HOST and jid.local not in THINGS


# The house


@contextmanager
def house():
    """A hub with all features and two things, and a port for clients; what goes wrong in it is raised."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    complaints = Complaints()
    logger = logging.getLogger()
    logger.addHandler(complaints)
    with ExitStack() as stack:
        stack.callback(logger.removeHandler, complaints)
        stack.callback(loop.close)
        stack.callback(asyncio.set_event_loop, None)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fuzz-")))
        stack.enter_context(patch("node.ports.client.session.Connection", Pipe))
        hub = stack.enter_context(furnished(loop, Config(path=folder / "hobnode.toml", domain=HOST, data=folder)))
        hub.need("access").allow(Access(approve=[f"@{HOST}"], control=[f"ann@{HOST}"]))
        for name in THINGS:
            loop.run_until_complete(_put_in(hub, name))
        until(hub, lambda: all(thing.online for thing in hub.things.values()))
        for thing in hub.things.values():
            thing.report({"temperature": "21.40", "humidity": "48", "lamp": "false", "serial": "A1"})
            stack.callback(lambda thing=thing: loop.run_until_complete(thing.stop()))
        identity = SimpleNamespace(context=lambda alpn: None, end_point=b"\x17" * 32)
        port = ClientPort(hub, Options(rate=0), identity, SimpleNamespace(loop=loop))
        stack.callback(port.close)
        yield hub, port
        if complaints.heard:
            raise AssertionError("\n".join(complaints.heard))


async def _put_in(hub, name: str) -> None:
    thing = Thing(jid=parse(f"{name}@{HOST}"), label=name.title(), kind="script", driver=Board(hub.loop))
    hub.things[thing.jid] = thing
    hub.tell("thing", thing)
    thing.start()


class Complaints(logging.Handler):
    """The log may tell what people do; that something of ours has failed is an error."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.heard.append(logging.Formatter().format(record))
