"""What the tests of the archive share: people who look into it."""

from pathlib import Path

import pytest

from node.base.element import Element, write
from node.features.archive import NS
from tests.conftest import read_stanza

FORM = "jabber:x:data"
RSM = "http://jabber.org/protocol/rsm"


class Page:
    """What somebody was told: messages, oldest first, as (id, stamp, text), and the answer behind them."""

    def __init__(self, heard: list[str]):
        *results, answer = map(read_stanza, heard)
        self.answer = answer
        self.results = results
        self.messages = [_opened(each) for each in results]
        self.ids = [id for id, _, _ in self.messages]
        self.bodies = [message.find("body").text if message.find("body") else None for _, _, message in self.messages]

    @property
    def error(self) -> str | None:
        error = self.answer.find("error")
        return error.elements[0].name if error else None

    @property
    def fin(self) -> Element:
        (fin,) = self.answer.elements
        assert (fin.name, fin.ns) == ("fin", NS)
        return fin

    @property
    def complete(self) -> bool:
        return self.fin.get("complete") == "true"

    def told(self, name: str) -> str | None:
        """`first`, `last` or `count` of the answer."""
        found = self.fin.find("set", RSM).find(name)
        return found.text if found else None


def _opened(result: Element):
    (inner,) = result.elements
    (forwarded,) = inner.elements
    delay, message = forwarded.elements
    assert (inner.name, inner.ns, forwarded.ns) == ("result", NS, "urn:xmpp:forward:0")
    assert (delay.name, delay.ns, message.ns) == ("delay", "urn:xmpp:delay", "jabber:client")
    return inner.get("id"), delay.get("stamp"), message


def query(queryid: str | None = None, rsm: str | None = None, more: str = "", **fields) -> str:
    """The iq of a query; `before_id` stands for the field before-id, `with_` for with."""
    x = ""
    if fields:
        told = "".join(
            f"<field var='{name.strip('_').replace('_', '-')}'>"
            + "".join(f"<value>{value}</value>" for value in ([values] if isinstance(values, str) else values))
            + "</field>"
            for name, values in fields.items()
        )
        x = f"<x xmlns='{FORM}' type='submit'><field var='FORM_TYPE'><value>{NS}</value></field>{told}</x>"
    page = f"<set xmlns='{RSM}'>{rsm}</set>" if rsm is not None else ""
    named = f" queryid='{queryid}'" if queryid else ""
    return f"<iq type='set' id='q'><query xmlns='{NS}'{named}>{x}{page}{more}</query></iq>"


@pytest.fixture
def look():
    """`look(romeo, rsm="<max>10</max>", with_="juliet@hub.local")`: a page of his archive."""

    def look(person, **asked) -> Page:
        person.forgets()
        person.says(query(**asked))
        return Page(person.heard)

    return look


class Busiest:
    """What was done for archive.db in the busiest turn of the loop since it was last reset."""

    def __init__(self, loop, database, monkeypatch):
        self.reset()
        self.run_once, self.read = loop._run_once, database.read
        monkeypatch.setattr(loop, "_run_once", self._turn)
        monkeypatch.setattr(database, "read", self._read)

    def reset(self) -> None:
        self.turns = [(0, 0)]  # how often it was asked, and how many bytes were loaded from the file for that

    @property
    def asked(self) -> int:
        return max(asked for asked, _ in self.turns)

    @property
    def loaded(self) -> int:
        return max(loaded for _, loaded in self.turns)

    def _turn(self) -> None:
        self.turns.append((0, 0))
        self.run_once()

    def _read(self, sql, args=()):
        before = _bytes_read()
        rows = self.read(sql, args)
        asked, loaded = self.turns[-1]
        self.turns[-1] = asked + 1, loaded + _bytes_read() - before
        return rows


def _bytes_read() -> int:
    """By this thread, since it began."""
    return int(Path("/proc/thread-self/io").read_text().split()[1])


@pytest.fixture
def busiest(hub, loop, monkeypatch):
    return Busiest(loop, hub.store.archive, monkeypatch)


@pytest.fixture
def archive(hub):
    return hub.need("archive")


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/orchard").says("<presence/>")


@pytest.fixture
def juliet(person):
    return person("juliet@hub.local/balcony").says("<presence/>")


def chat(to, body, id="1", more="") -> str:
    return f"<message to='{to}' type='chat' id='{id}'><body>{body}</body>{more}</message>"


def ids_in(text: str) -> list[tuple[str, str]]:
    """(by, id) of the stanza-ids directly in a stanza."""
    return [(each.get("by"), each.get("id")) for each in read_stanza(text).findall("stanza-id", "urn:xmpp:sid:0")]


def shown(element: Element) -> str:
    return write(element, "jabber:client")
