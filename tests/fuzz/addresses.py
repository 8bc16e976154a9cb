"""Addresses: what is taken is prepared for good, fits RFC 7622, and stands in XML as it is; the rest is JidError."""

from random import Random

from node.base import jid
from node.base.jid import PART_LIMIT, JidError, ascii_domain, parse
from tests.fuzz import mutate, recorded, second

Case = str

LETTERS = (
    *"abAZ09.-_@/\\:&'\"<> \t\n\0~[]%",
    *("\xe4", "\xdf", "\xc5", "\u0130", "\u0131", "\u03c2", "\u03b1", "\u0430", "\u05d0", "\u0660", "\uff41", "\ufb01"),
    *("\u0301", "\u0308", "\u200b", "\u200c", "\u200d", "\u202e", "\ufeff", "\ufffe", "\ud800", "\U0001f600", "\u2121"),
    *("\u3002", "\uff0e", "\uff61", "\uff20", "\uff0f", "\u2044", "\u1e9e", "\xad", "\u034f", "\u3000", "\xa0", "\x85"),
    *("xn--", "xn--a", "xn--4ca", "::1", "127.0.0.1", "\\20", "%00", "a" * 50),
)


def make(chance: Random) -> Case:
    text = chance.choice((*recorded.addresses(), "[::1]", "a@b\xfccher.example/r", "\u05d0@b.example"))
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        at = chance.randrange(len(text) + 1)
        how = chance.random()
        if how < 0.6:
            text = text[:at] + chance.choice(LETTERS) + text[at:]
        elif how < 0.7:
            text = text[:at] + chr(chance.randrange(0x110000)) + text[at:]
        elif how < 0.8:
            text = text[:at] + text[at : at + 3] * chance.choice((2, 400, 1100)) + text[at:]
        elif how < 0.9:
            text = text[:at] + text[at + chance.choice((1, 5)) :]
        else:
            text = text[:at] + chance.choice(mutate.VALUES) + text[at:]
    return text


def check(case: Case) -> None:
    jid._cache.clear()
    try:
        found = parse(case)
    except JidError as error:
        str(error).encode("utf-8", "backslashreplace")
        return
    jid._cache.clear()
    assert parse(str(found)) == found, "preparing it again makes another of it"
    again = jid.make(found.local, found.domain, found.resource)
    assert (again, again.wire) == (found, found.wire)
    assert bool(found.resource) == ("/" in case) and bool(found.local) == ("@" in case.partition("/")[0])
    parts = found.local, found.domain, found.resource
    assert parse(str(found)).bare == found.bare == (f"{found.local}@{found.domain}" if found.local else found.domain)
    assert all(len(part.encode()) <= PART_LIMIT for part in parts)
    assert found.domain and not set("\"&'/:<>@ ").intersection(found.local) and not set("@/").intersection(found.domain)
    assert second.tree(f"<a b='{found.wire.decode()}'/>")[1] == {"b": str(found)}
    try:
        name = ascii_domain(found.domain)
        assert name.isascii() and jid.make("", f"[{name}]" if ":" in name else name) == found.domain
    except JidError:
        pass
