"""How recorded things become wrong ones: bent bytes, and trees with something in the wrong place.

Everything comes from the `chance` that is given, so a seed says it all.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from xml.parsers import expat

from node.base.element import Element, read, write
from node.base.stanza import CLIENT, PLAIN_SCOPES

# What has fooled somebody's parser once, in the middle of something else.
TOKENS = (
    *(b"<", b">", b"/>", b"</", b"&", b"'", b'"', b"=", b" ", b"\0", b"\r\n", b"\t", b"\xef\xbb\xbf", b"\xc0\xbc"),
    *(b"<!--", b"-->", b"<!-- x -->", b"<?x y?>", b"<?xml version='1.0'?>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>"),
    *(b"<![CDATA[", b"]]>", b"]]", b"<![CDATA[</message>]]>", b"<![CDATA[]]>"),
    *(b"&lt;", b"&amp;", b"&#60;", b"&#x3c;", b"&#0;", b"&#xD800;", b"&#x1;", b"&b;", b"&#13;", b"&#10;", b"&#x1F600;"),
    *(b"</message>", b"</stream:stream>", b"<message/>", b"<a/>", b"<message from='hub.local'><body/></message>"),
    *(b" xmlns=''", b" xmlns='jabber:client'", b" xmlns='jabber:server'", b" xmlns='urn:a' b='c'", b" xmlns:x=''"),
    *(b" xmlns:stream='urn:evil'", b" xmlns:xml='urn:evil'", b" xmlns:xmlns='urn:a'", b" xmlns:p='jabber:client'"),
    *(b" xmlns:p='a}b'", b" p:z='1'", b" xml:lang='de'", b" xmlns:db='jabber:client'", b"<p:message/>", b"<xml:a/>"),
    *(b"<stream:error/>", b"<stream:stream>", b"\xed\xa0\x80", b"\xff", b"\xf4\x90\x80\x80", b"\xef\xbf\xbe", b"\x85"),
    *(b"<a:b:c/>", b"<:a/>", b"<a:/>", b" a:='1'", b" :a='1'", b"\xe2\x80\xa8", b"\xc2\x85", b" id='1' id='2'"),
)
VALUES = (
    *("", " ", "0", "-1", "1", "true", "99999999999999999999", "1e999", "NaN", "2026-11-22T14:02:11Z", "x" * 1100),
    *("'", '"', "<", "&", "]]>", "\n", "\r", "\t", "a\nb", "../..", "%s", "{}", "'; DROP TABLE users; --", "\\", "\0"),
    *("\N{GREEK SMALL LETTER ALPHA}", "\N{ZERO WIDTH JOINER}", "\N{RIGHT-TO-LEFT OVERRIDE}a", "\N{PILE OF POO}"),
    *("e\N{COMBINING ACUTE ACCENT}", "\N{FULLWIDTH LATIN SMALL LETTER A}", "\N{LATIN SMALL LIGATURE FI}", "\ufffe"),
)
TYPES = (
    *("get", "set", "result", "error", "chat", "normal", "groupchat", "headline", "subscribe", "subscribed", "probe"),
    *("unsubscribe", "unsubscribed", "unavailable", "submit", "cancel", "form", "remove", "both", "to", "from", "none"),
)

_TAG = re.compile(rb"<[^<>]*>")
_VALUE = re.compile(rb"=(\"[^\"<]*\"|'[^'<]*')")
_DECLARED = re.compile(rb"<([a-z]\w*)([^<>]*?) xmlns=(\"[^\"<]*\"|'[^'<]*')")
_NAME = re.compile(rb"(?<=[</ ])[A-Za-z][A-Za-z0-9:._-]*")


def bend(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """`data` after one to four wrongs; `others` are what it may be spliced with."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        data = chance.choice(_BENDS)(data, chance, others)
    return data


def cuts(size: int, chance: Random) -> list[int]:
    """Where to cut so many bytes, in order; sometimes everywhere."""
    if chance.random() < 0.25:
        return list(range(1, size))
    return sorted(chance.randrange(size + 1) for _ in range(chance.choice((1, 2, 5, 20))))


def pieces(data: bytes, at: Sequence[int]) -> list[bytes]:
    """`data`, cut there."""
    return [data[begin:end] for begin, end in zip((0, *at), (*at, len(data)), strict=True)]


def _some(data: bytes, chance: Random) -> tuple[int, int]:
    at = chance.randrange(len(data) + 1)
    return at, min(len(data), at + chance.choice((1, 2, 4, 16, 64, 300)))


def _between(data: bytes, chance: Random) -> int:
    """Where a tag begins or ends; half of the time outside of the stanza."""
    return chance.choice([0, len(data)] if chance.random() < 0.5 else [tag.end() for tag in _TAG.finditer(data)] or [0])


def _flip(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _byte(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at, _ = _some(data, chance)
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    begin, end = _some(data, chance)
    return data[:begin] + data[end:]


def _repeat(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    begin, end = _some(data, chance)
    return data[:end] + data[begin:end] * chance.choice((1, 1, 2, 30)) + data[end:]


def _token(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at = _some(data, chance)[0] if chance.random() < 0.5 else _between(data, chance)
    return data[:at] + chance.choice(TOKENS) + data[at:]


def _token_in_tag(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """Where an attribute may stand."""
    tags = [tag for tag in _TAG.finditer(data) if not tag[0].startswith(b"</")]
    if not tags:
        return data
    at = chance.choice(tags).end() - 1
    return data[:at].removesuffix(b"/") + chance.choice(TOKENS) + data[at - data[:at].endswith(b"/") :]


def _splice(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _insert(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at = _between(data, chance)
    return data[:at] + chance.choice(others) + data[at:]


def _tags(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """A tag is dropped, doubled, or changes places with another."""
    tags = list(_TAG.finditer(data))
    if not tags:
        return data
    one, two = sorted(chance.choices(tags, k=2), key=lambda tag: tag.start())
    how = chance.randrange(4)
    if how == 0:
        return data[: one.start()] + data[one.end() :]
    if how == 1:
        return data[: one.end()] + one[0] + data[one.end() :]
    if how == 2 and one is not two:
        return data[: one.start()] + two[0] + data[one.end() : two.start()] + one[0] + data[two.end() :]
    return data[: one.start()] + data[two.start() :]


def _value(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """An attribute's value becomes another, which may end the quotes too early."""
    found = list(_VALUE.finditer(data))
    if not found:
        return data
    value = chance.choice(found)
    other = chance.choice([each[1] for each in found] + [b"'%b'" % chance.choice((*VALUES, *TYPES)).encode()])
    return data[: value.start(1)] + other + data[value.end(1) :]


def _name(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """A name of an element or attribute becomes another that occurs."""
    found = list(_NAME.finditer(data))
    if not found:
        return data
    name, other = chance.choices(found, k=2)
    return data[: name.start()] + other[0] + data[name.end() :]


def _prefixed(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """An element gets a prefix for its namespace, which is declared where the stanza begins, or further out."""
    found = list(_DECLARED.finditer(data))
    if not found:
        return data
    name, between, declaration = chance.choice(found).groups()
    whole = b"<%b%b xmlns=%b" % (name, between, declaration)
    data = data.replace(whole, b"<p:%b%b" % (name, between), 1).replace(b"</%b>" % name, b"</p:%b>" % name, 1)
    tag = _TAG.search(data)
    if tag is None or chance.random() < 0.2:
        return data
    at = tag.end() - (2 if tag[0].endswith(b"/>") else 1)
    return data[:at] + b" xmlns:p=" + declaration + data[at:]


def _deep(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at = _between(data, chance)
    count = chance.choice((3, 60, 70))
    return data[:at] + b"<a>" * count + b"</a>" * count + data[at:]


def _long(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at, _ = _some(data, chance)
    part = chance.choice((b"x", b" ", b"<a/>", b">", b"a='1' ", b"\xc3\xa4"))
    return data[:at] + part * chance.choice((100, 3000)) + data[at:]


_BENDS: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    *(_flip, _byte, _cut, _repeat, _token, _token, _token_in_tag, _token_in_tag, _splice, _insert, _tags, _tags),
    *(_value, _value, _name, _prefixed, _prefixed, _deep, _long),
)


# Trees


def twist(data: bytes, chance: Random, addresses: Sequence[str]) -> bytes:
    """A stanza with one to three things in the wrong place, and well-formed still; the same bytes if it was not."""
    try:
        root = read(PLAIN_SCOPES[CLIENT] + data + b"</s>")
    except expat.ExpatError:
        return data
    for _ in range(chance.choice((1, 1, 2, 3))):
        chance.choice(_TWISTS)(root, chance, addresses)
    return "".join(write(child, CLIENT) for child in root.elements).encode("utf-8", "replace")


def _all(root: Element) -> list[tuple[Element, Element]]:
    """Every element below the root, with its parent."""
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        for child in parent.elements:
            found.append((parent, child))
            waiting.append(child)
    return found


def _attribute(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for _, element in _pick(root, chance):
        names = ("to", "from", "type", "id", "jid", "node", "var", "name", "subscription", "action", "ver", "xml:lang")
        name = chance.choice((*element.attrs, *names))
        element.attrs[name] = good(chance.choice((*VALUES, *TYPES, *addresses, *addresses)))


def _lost_attribute(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for _, element in _pick(root, chance):
        if element.attrs:
            del element.attrs[chance.choice(list(element.attrs))]


def _text(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for _, element in _pick(root, chance):
        text = good(chance.choice((*VALUES, *TYPES, *addresses)))
        element.children = [text, *element.children] if chance.random() < 0.5 else [text]


def _lost(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for parent, element in _pick(root, chance):
        parent.children = [child for child in parent.children if child is not element]


def _twice(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for parent, element in _pick(root, chance):
        parent.children += [element] * chance.choice((1, 1, 1, 20))


def _wrapped(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for parent, element in _pick(root, chance):
        at = [child is element for child in parent.children].index(True)
        name, ns = chance.choice((("x", "urn:a"), ("forwarded", "urn:xmpp:forward:0"), (element.name, element.ns)))
        parent.children[at] = Element(name, ns, dict(element.attrs), [element])


def _moved(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    for _, element in _pick(root, chance):
        for parent, other in _pick(root, chance):
            if not any(child is element for _, child in [(None, other), *_all(other)]):
                element.children = [*element.children, other]
                parent.children = [child for child in parent.children if child is not other]


def _renamed(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    found = _all(root)
    for _, element in _pick(root, chance):
        other = chance.choice(found)[1]
        element.name = chance.choice((other.name, "message", "presence", "iq", "query", "body", "error", "x"))


def _elsewhere(root: Element, chance: Random, addresses: Sequence[str]) -> None:
    found = _all(root)
    for _, element in _pick(root, chance):
        element.ns = chance.choice((chance.choice(found)[1].ns, "", "urn:a", "jabber:server", CLIENT))


def _pick(root: Element, chance: Random) -> list[tuple[Element, Element]]:
    found = _all(root)
    return [chance.choice(found)] if found else []


def good(text: str) -> str:
    """Without what no XML can hold: a tree that could not be written would test nothing."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)


_TWISTS: tuple[Callable[[Element, Random, Sequence[str]], None], ...] = (
    *(_attribute, _attribute, _attribute, _lost_attribute, _text, _text, _lost, _twice, _wrapped, _moved, _renamed),
    _elsewhere,
)
