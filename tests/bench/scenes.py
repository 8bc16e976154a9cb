"""What is measured: the stanzas of an ordinary day, between people who are all on line."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from tests.bench.street import HERE, Device, Said, Street
from tests.conftest import HOST

MESSAGE = (
    "<message to='{}' type='chat' id='5f0d7f1a'><body>{}</body>"
    "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>"
)
TEXT = "x" * 150  # with its envelope some 350 bytes, as chat messages have
PING = f"<iq type='get' id='5f0d7f1a' to='{HOST}'><ping xmlns='urn:xmpp:ping'/></iq>".encode()
ASK = "<iq type='get' id='5f0d7f1a' to='{}'><query xmlns='jabber:iq:version'/></iq>"
TELL = "<iq type='result' id='5f0d7f1a' to='{}'><query xmlns='jabber:iq:version'><name>x</name></query></iq>"
SHOW = b"<presence><show>away</show><status>Back at nine</status></presence>"
NEVER = b"<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs></iq>"
ALWAYS = NEVER.replace(b"'never'", b"'always'")
CARBONS = b"<iq type='set' id='p'><enable xmlns='urn:xmpp:carbons:2'/></iq>"


class Scene(NamedTuple):
    """`exchanges` are said and heard one after the other; together they are `units` of what `name` says."""

    name: str
    units: int
    exchanges: list[tuple[Said, bytes, int]]


async def scenes(street: Street, pairs: int) -> AsyncIterator[Scene]:
    """Each scene when its stage is set."""
    await street.build(f"{name}{number}" for name in ("ann", "bob") for number in range(pairs))
    askers = [await street.home_of(f"ann{number}") for number in range(pairs)]
    others = [await street.home_of(f"bob{number}") for number in range(pairs)]
    both = list(zip(askers, others, strict=True))
    yield Scene("ping", pairs, [([(ann, PING) for ann in askers], b"id='5f0d7f1a'", pairs)])
    yield Scene(
        "iq between two clients, there and back",
        pairs,
        [
            ([(ann, ASK.format(bob.jid).encode()) for ann, bob in both], b"id='5f0d7f1a'", pairs),
            ([(bob, TELL.format(ann.jid).encode()) for ann, bob in both], b"id='5f0d7f1a'", pairs),
        ],
    )

    yield Scene("message, archived for both", pairs, [messages(both)])
    await every(street, NEVER)
    yield Scene("message, not archived", pairs, [messages(both)])
    desks = [await street.home_of(bob.jid.partition("@")[0], "desk") for bob in others]
    await street.exchange([(desk, CARBONS) for desk in desks], b"id='p'", pairs)
    said, marker, _ = messages(both)
    yield Scene("message, not archived, and a carbon copy of it", pairs, [(said, marker, 2 * pairs)])

    star, *watchers = askers
    for said in (
        [(watcher, f"<presence to='{bare(star)}' type='subscribe'/>".encode() + HERE) for watcher in watchers],
        [(star, f"<presence to='{bare(watcher)}' type='subscribed'/>".encode() + HERE) for watcher in watchers],
    ):
        await street.exchange(said, b"id='here'", len(said))
        await street.settled()
    yield Scene("presence, for each who hears it", pairs, [([(star, SHOW)], b"<show>away</show>", pairs)])


def messages(both: list[tuple[Device, Device]]) -> tuple[Said, bytes, int]:
    """One from each to each; it is heard by those to whom it is said."""
    said = [(ann, MESSAGE.format(bob.jid, TEXT).encode()) for ann, bob in both]
    return said, b"</body>", len(both)


async def every(street: Street, wish: bytes) -> None:
    await street.exchange([(device, wish) for device in street.devices], b"id='p'", len(street.devices))


def bare(device: Device) -> str:
    return device.jid.partition("/")[0]
