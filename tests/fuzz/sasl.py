"""SASL: nobody gets in whose exchange was touched on its way, or whose channel is another; all else is SaslFailure."""

import hashlib
import hmac
from contextlib import suppress
from functools import cache
from random import Random

from node.base.jid import make as address
from node.stream import sasl
from tests.fuzz import mutate

HOST = address("", "hub.local")
USER, PASSWORD = "ann", "secret"
END_POINT = b"\x17" * 32

PIECES = (
    *(b"n,,", b"y,,", b"p=tls-server-end-point,,", b"p=tls-unique,,", b"n,a=bob,", b"m=x,", b",", b"=", b"=2C", b"=3d"),
    *(b"\0", b"n=ann,", b"r=", b"p=", b"c=biws,"),
)
BOUND = "p=tls-server-end-point,,"

# mechanism, whether there is a channel binding, gs2-header, seed of what is done, to which message (0: none)
Case = tuple[str, bool, str, int, int]


def make(chance: Random) -> Case:
    mechanism = chance.choice((*sasl.mechanisms(True, True), *sasl.mechanisms(True, True), "ANONYMOUS", ""))
    header = chance.choice(("n,,", "n,,", "y,,", BOUND, BOUND, "n,a=ann,", "n,a=ann@hub.local,"))
    if chance.random() < 0.5:
        header = chance.choice(("n,a=bob,", "p=tls-unique,,", "n,a=Ann,", "n,a=ann@other.example,"))
    return mechanism, chance.random() < 0.7, header, chance.randrange(1 << 30), chance.choice((0, 1, 1, 2, 2, 3))


@cache
def keys(user: str, family: str) -> sasl.Keys:
    return sasl.derive(family, PASSWORD if user == USER else "made up", b"salt of the house", 16)


def check(case: Case) -> None:
    mechanism, bound, header, seed, touched = case
    chance = Random(seed)
    try:
        exchange = sasl.start(mechanism, HOST, keys, encrypted=True, end_point=END_POINT if bound else None)
        assert mechanism in sasl.mechanisms(True, bound)
        if touched == 3:
            noise(exchange, chance)
        elif isinstance(exchange, sasl.Plain):
            plain(exchange, chance, touched)
        else:
            scram(exchange, chance, case)
    except sasl.SaslFailure:
        assert touched or not is_right(mechanism, bound, header), "refused, and nothing was wrong"


def is_right(mechanism: str, bound: bool, header: str) -> bool:
    """Whether an honest client may say so."""
    if mechanism not in sasl.mechanisms(True, bound) or mechanism == "PLAIN":
        return mechanism == "PLAIN"
    if mechanism.endswith("-PLUS"):
        return header == BOUND
    return header in ("n,,", "n,a=ann,", "n,a=Ann,", "n,a=ann@hub.local,") or (header == "y,," and not bound)


def noise(exchange: sasl.Scram | sasl.Plain, chance: Random) -> None:
    """Whatever is said, out of turn too."""
    for _ in range(3):
        data = mutate.bend(b"n,,n=ann,r=abc" if chance.random() < 0.5 else b"\0ann\0wrong", chance, PIECES)
        with suppress(sasl.SaslFailure):
            exchange.step(sasl.decode(chance.choice((sasl.encode(data), data.decode("latin-1"), "=", ""))))
            if isinstance(exchange, sasl.Plain) and exchange.password:
                exchange.verdict(False)
        assert not exchange.done
        with suppress(sasl.SaslFailure):
            exchange.step(chance.choice((None, b"", data)))
        assert not exchange.done


def plain(exchange: sasl.Plain, chance: Random, touched: int) -> None:
    said = f"{chance.choice(('', USER, 'ann@hub.local'))}\0{USER}\0{PASSWORD}".encode()
    bent = mutate.bend(said, chance, PIECES) if touched else said
    assert exchange.step(sasl.decode(sasl.encode(bent))) is None
    assert exchange.password and exchange.user and not exchange.done
    exchange.verdict((exchange.user, exchange.password) == (USER, PASSWORD))
    assert exchange.done and exchange.user == USER and exchange.password == ""


def scram(exchange: sasl.Scram, chance: Random, case: Case) -> None:
    """A client that knows the password, and somebody on the way who touches one of its messages."""
    mechanism, bound, header, _, touched = case
    name = sasl.FAMILIES[mechanism.removesuffix("-PLUS")]
    bare = f"n={USER},r=abcdefgh{chance.choice(('', ',x=extension'))}"
    first = (header + bare).encode()
    sent = mutate.bend(first, chance, PIECES) if touched == 1 else first
    challenge = exchange.step(sasl.decode(sasl.encode(sent)))
    assert challenge is not None and not exchange.done
    nonce, salt, count, *_ = (field[2:] for field in challenge.decode().split(","))
    salted = hashlib.pbkdf2_hmac(name, PASSWORD.encode(), sasl.decode(salt), int(count))
    client_key = hmac.digest(salted, b"Client Key", name)
    binding = header.encode() + (END_POINT if header.startswith("p=") else b"")
    last = f"c={sasl.encode(binding)},r={nonce}"
    signed = f"{bare},{challenge.decode()},{last}".encode()
    signature = hmac.digest(hashlib.new(name, client_key).digest(), signed, name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    final = f"{last},p={sasl.encode(proof)}".encode()
    bent = mutate.bend(final, chance, PIECES) if touched == 2 else final
    answer = exchange.step(sasl.decode(sasl.encode(bent)))
    assert answer is None and exchange.done
    assert (sent, bent) == (first, final), "touched on its way, and let in"
    assert exchange.user == USER and "bob" not in header and "other" not in header
    assert (header == BOUND) == mechanism.endswith("-PLUS"), "the channel is not bound as agreed"
    assert not (header.startswith("y") and bound), "a downgrade was not seen"
    ours = hmac.digest(hmac.digest(salted, b"Server Key", name), signed, name)
    assert exchange.success_data == b"v=" + sasl.encode(ours).encode()
