"""Streams: whole, byte by byte and in pieces they are the same; what is passed on is what was said, and one stanza."""

import re
from random import Random
from xml.etree import ElementTree

from node.base.element import STREAMS, XML, Element, write
from node.base.errors import StreamError
from node.base.jid import parse
from node.base.stanza import CLIENT, SERVER, Stanza, kind
from node.base.stored import pack, unpack
from node.stream.events import Closing, Event, Opening, Refused
from node.stream.framing import TOKEN_LIMIT, Framing
from tests.fuzz import mutate, recorded, second

HEADERS = {ns: f"<s:stream xmlns='{ns}' xmlns:s='{STREAMS}' xmlns:stream='{STREAMS}'>" for ns in (CLIENT, SERVER)}
LIMIT = 20_000  # bytes of an element: some mutations are longer, most are not
_DECLARATION = re.compile("\\A<[?]xml[^?]*[?]>")
PLUS = b"<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/>"

Case = tuple[bytes, list[int]]  # a stream, and where it is cut


def make(chance: Random) -> Case:
    streams = recorded.streams()
    header, *said = chance.choice(streams)
    if chance.random() < 0.8:
        others = recorded.pieces() if recorded.CLIENT in header else said or [b""]
        said = chance.choices(others, k=chance.choice((1, 2, 4)))
        at = chance.randrange(len(said))
        if chance.random() < 0.4:
            said[at] = mutate.twist(said[at], chance, recorded.addresses())
        if chance.random() < 0.9:
            said[at] = mutate.bend(said[at], chance, recorded.pieces())
    if chance.random() < 0.1:
        header = mutate.bend(header, chance, [stream[0] for stream in streams])
    elif chance.random() < 0.1:
        header = header.removesuffix(b">") + chance.choice((b" xmlns:p='urn:p'>", b" xmlns:p='jabber:client'>"))
    data = header + b"".join(said)
    if len(said) > 4:
        data = mutate.bend(data, chance, recorded.pieces())
    return data, mutate.cuts(len(data), chance)


def check(case: Case) -> None:
    data, cuts = case
    data += b">"  # what has no '>' yet may wait for it (stream/framing)
    events = heard([data])
    seen = [summary(event) for event in events]
    for pieces in (mutate.pieces(data, cuts), [data[at : at + 1] for at in range(len(data))]):
        again = [summary(event) for event in heard(pieces)]
        if again != seen and not _waited_too_long(again, seen, data):
            raise AssertionError(f"in {len(pieces)} pieces: {again}\nwhole: {seen}")
    same_to_others(data, events)


def heard(pieces: list[bytes]) -> list[Event]:
    """What a port would hear: nothing after an end."""
    framing, events = Framing(LIMIT), []
    for piece in pieces:
        for event in framing.feed(piece):
            events.append(event)
            if isinstance(event, StreamError | Closing):
                framing.close()
                return events
    framing.close()
    return events


def _waited_too_long(pieces: list, whole: list, data: bytes) -> bool:
    """A tag longer than the limit may come whole, when nobody has to wait for its end (stream/framing)."""
    return pieces[-1] == ("StreamError",) and len(data) > TOKEN_LIMIT and pieces[:-1] == whole[: len(pieces) - 1]


def summary(event: Event) -> tuple:
    """All of an event that the node goes by. Which error ends a stream may depend on the pieces: text between stanzas
    is one, and so is what stands behind it."""
    if isinstance(event, Stanza):
        start = event.to, event.sender, event.type, event.id, event.lang, event.kinds, event.portable
        return "Stanza", *start, event.to_bytes(CLIENT), event.to_bytes(SERVER)
    if isinstance(event, Refused):
        return "Refused", event.error.condition, *summary(event.stanza)
    if isinstance(event, Element):
        return "Element", write(event, CLIENT)
    if isinstance(event, Opening):
        return "Opening", event.ns, event.to, event.sender, event.id, event.version, event.lang
    return (type(event).__name__,)


def same_to_others(data: bytes, events: list[Event]) -> None:
    """Two other parsers find the same in what came and in what goes out."""
    source = second.elements(_DECLARATION.sub("", data.decode("utf-8", "surrogateescape")), 1)
    ns = ""
    for event in events:
        if isinstance(event, Opening):
            ns = event.ns
        elif isinstance(event, Element):
            whole = f"{HEADERS[ns]}{write(event, ns)}</s:stream>"
            assert children(second.tree(whole)) == [next(source)], "another element came in"
        elif isinstance(event, Stanza | Refused):
            stanza = event.stanza if isinstance(event, Refused) else event
            said = next(source)
            tag, attrs, *_ = said
            assert tag == f"{{{ns}}}{stanza.name}"
            assert (stanza.id, stanza.lang) == (attrs.get("id"), attrs.get(f"{{{XML}}}lang"))
            assert list(stanza.kinds) == [kind_of(child[0], ns) for child in children(said)]
            if isinstance(event, Stanza):
                assert stanza.to == (parse(attrs["to"]) if "to" in attrs else None)
                passed_on(stanza, said, ns)
            refused = again(stanza.error("bad-request").to_bytes(CLIENT).decode(), CLIENT)
            assert refused[0] == f"content {stanza.name}"


def kind_of(tag: str, ns: str) -> str:
    """What a stanza on a stream of that namespace calls such a child."""
    uri, brace, name = tag[1:].rpartition("}")
    return kind(name, CLIENT if uri == ns else uri) if brace else tag


def passed_on(stanza: Stanza, said: second.Tree, came_by: str) -> None:
    other = SERVER if came_by == CLIENT else CLIENT
    mixed = (CLIENT, SERVER) if f"{{{other}}}" in repr(said) else ()  # then they mean the same wherever they meet
    wanted = children(meaning(said, *mixed or (came_by,)))
    for ns in (CLIENT, SERVER):
        found = mixed or (ns,)
        written = again(stanza.to_bytes(ns).decode(), ns, *found)
        assert children(written) == wanted, f"{written}\nis not {wanted}"
        more = again(stanza.plus(kind("stanza-id", "urn:xmpp:sid:0"), PLUS).to_bytes(ns).decode(), ns, *found)
        assert children(more)[:-1] == wanted
    sent, kept = (again(each.to_bytes(CLIENT).decode(), CLIENT) for each in (stanza, unpack(pack(stanza))))
    assert (kept[:2], children(kept)) == (sent[:2], children(sent))


def again(written: str, ns: str, *names: str) -> second.Tree:
    """What our bytes are to a strict parser and to ElementTree, as the only thing between a stream's tags."""
    whole = f"{HEADERS[ns]}{written}</s:stream>"
    tree = second.tree(whole)
    assert tree == plain(ElementTree.fromstring(whole)), "the two parsers disagree"
    _, _, text, ((only, tail),) = tree
    assert not text and not tail, "text between stanzas"
    return meaning(only, *names or (CLIENT, SERVER))


def plain(element: ElementTree.Element) -> second.Tree:
    children = [(plain(child), child.tail or "") for child in element]
    return element.tag, dict(element.attrib), element.text or "", children


def children(tree: second.Tree) -> list[second.Tree]:
    return [child for child, _ in tree[3]]


def meaning(tree: second.Tree, *names: str) -> second.Tree:
    """The tree, with one name for these content namespaces as far down as no foreign element wraps them."""
    tag, attrs, text, kids = tree
    for ns in names:
        if tag.startswith(f"{{{ns}}}"):
            kids = [(meaning(kid, *names), tail) for kid, tail in kids]
            return tag.replace(f"{{{ns}}}", "content "), attrs, text, kids
    return tree
