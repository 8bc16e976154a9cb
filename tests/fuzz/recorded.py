"""What mutations begin with: the traffic that was recorded (record.py), and what is said in the talks."""

import re
from functools import cache
from pathlib import Path

TRAFFIC = Path(__file__).parent / "traffic"
TALKS = Path(__file__).parent.parent / "talks"
CLIENT, SERVER = b"jabber:client", b"jabber:server"
LOGIN = (b"xmpp-sasl", b"urn:xmpp:sasl:2", b"xmpp-tls", b"xmpp-bind")

_IS = re.compile(r"^(\w+) +is +(\S+@\S+)$", re.MULTILINE)
_SAID = re.compile(r"^(\w+)> *(.*(?:\n +.*)*)", re.MULTILINE)
_INLINE = re.compile(rb"</user-agent>(.*)</authenticate>")


@cache
def streams() -> tuple[tuple[bytes, ...], ...]:
    """The pieces of each stream, from its header on."""
    return tuple(
        tuple(stream.strip(b"\n").split(b"\n"))
        for file in sorted(TRAFFIC.glob("*.txt"))
        for stream in file.read_bytes().split(b"\n\n")
    )


@cache
def sessions() -> tuple[tuple[bytes, ...], ...]:
    """What clients said as sessions, stream by stream, without what belongs to the login and the end."""
    streams = (_those(stream[1:], login=False) for stream in _clients())
    return tuple(stream for stream in streams if stream)


@cache
def logins() -> tuple[tuple[bytes, ...], ...]:
    """What clients said to become sessions, header included."""
    streams = ((stream[0], *_those(stream[1:], login=True)) for stream in _clients())
    return tuple(stream for stream in streams if len(stream) > 1)


def _clients() -> list[tuple[bytes, ...]]:
    return [stream for stream in streams() if CLIENT in stream[0]]


def _those(pieces: tuple[bytes, ...], login: bool) -> tuple[bytes, ...]:
    return tuple(
        piece
        for piece in pieces
        if any(ns in piece for ns in LOGIN) == login and not piece.startswith(b"</") and not piece.isspace()
    )


@cache
def links() -> tuple[tuple[bytes, ...], ...]:
    """What another server said, header included."""
    return tuple(stream for stream in streams() if SERVER in stream[0])


@cache
def talks() -> tuple[tuple[tuple[str, bytes], ...], ...]:
    """The talks: who says what, in order. Words in braces stand for what was heard before."""
    found = []
    for file in sorted(TALKS.glob("*.txt")):
        for talk in file.read_text("utf-8").split("\n== ")[1:]:
            people = dict(_IS.findall(talk))
            said = [(people[name], re.sub(r"\n +", " ", text).encode()) for name, text in _SAID.findall(talk)]
            found.append(tuple(said))
    return tuple(found)


@cache
def pieces() -> tuple[bytes, ...]:
    """All stanzas and other elements that clients said in a session."""
    return (*(piece for session in sessions() for piece in session), *(piece for talk in talks() for _, piece in talk))


@cache
def inline() -> tuple[bytes, ...]:
    """What clients of today ask for in the login itself (XEP-0388)."""
    return tuple(found[1] for login in logins() for piece in login if (found := _INLINE.search(piece)))


@cache
def addresses() -> tuple[str, ...]:
    """Every address that occurs."""
    found = re.findall(rb"(?:to|from|jid)=[\"']([^\"'{]+)[\"']", b"".join(pieces()))
    return tuple(sorted({each.decode() for each in found}))
