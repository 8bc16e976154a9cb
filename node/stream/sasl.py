"""SASL, the server's side: who is there? SCRAM (RFC 5802, 7677) and PLAIN (RFC 4616), as XMPP uses them.

An exchange takes the client's data and gives ours; it has no socket, no clock and no store (RFC 6120 §6).

    exchange = start(mechanism, host, accounts.keys, encrypted=True, end_point=end_point)
    challenge = exchange.step(data)         data as `decode` gave it, or None when <auth/> brought none
    if challenge is not None:               <challenge/> with encode(challenge), and wait for <response/>
        return
    if isinstance(exchange, Plain):         whether the password is right is for the caller to find out
        exchange.verdict(await accounts.check(exchange.user, exchange.password))
    if exchange.done:                       exchange.user is logged in: <success/> with exchange.success_data

Whatever is refused raises SaslFailure and ends the exchange.
"""

import binascii
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from node.base.jid import JidError, make, parse

NS = "urn:ietf:params:xml:ns:xmpp-sasl"
FAMILIES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}  # strongest first
# XEP-0440. No others: the ssl module cannot do tls-exporter, and tls-unique means nothing on TLS 1.3.
BINDINGS = ("tls-server-end-point",)

NAME_LIMIT = 1023  # RFC 7622 §3.3: octets of a localpart
PASSWORD_LIMIT = 1024  # octets; RFC 4616 asks for 1024 at least
MESSAGE_LIMIT = 4096  # octets: the longest PLAIN (bare JID, name and password as long as they may be) fits


class SaslFailure(Exception):
    """The login is refused. `condition` is one of RFC 6120 §6.5, `text` is for the person at the client."""

    def __init__(self, condition: str, text: str | None = None):
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


class Keys(NamedTuple):
    """What is kept of a password for one SCRAM family (RFC 5802 §3): enough to check, not to log in."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def derive(family: str, password: str, salt: bytes, iterations: int) -> Keys:
    """The keys of a prepared password (RFC 5802 §3). Takes long on purpose: call it in a thread."""
    name = FAMILIES[family]
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    stored_key = hashlib.new(name, hmac.digest(salted, b"Client Key", name)).digest()
    return Keys(salt, iterations, stored_key, hmac.digest(salted, b"Server Key", name))


def prepare_password(text: str) -> str:
    """A password as RFC 8265 §4.2 (OpaqueString) compares it. Raises ValueError, without the password."""
    categories = {unicodedata.category(letter) for letter in text}
    if not text:
        raise ValueError("the password is empty")
    if not categories.isdisjoint(("Cc", "Cs", "Cn")):
        raise ValueError("the password has a control character or one that Unicode does not know")
    if "Zs" in categories:
        text = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in text)
    text = unicodedata.normalize("NFC", text)
    if len(text.encode()) > PASSWORD_LIMIT:
        raise ValueError(f"the password is longer than {PASSWORD_LIMIT} bytes")
    return text


def mechanisms(encrypted: bool, binding: bool) -> list[str]:
    """What to offer, strongest first, in either profile (RFC 6120, XEP-0388).

    `binding`: our certificate's tls-server-end-point is known. What XEP-0484 offers beside (token.py) is no part of
    this list, nor of the hash of it (XEP-0474).
    """
    plus = [f"{family}-PLUS" for family in FAMILIES] if binding else []
    return [*plus, *FAMILIES, *(["PLAIN"] if encrypted else [])]


def decode(text: str) -> bytes:
    """The data in <auth/> or <response/>; '=' and '' are none (RFC 6120 §6.4.2). Raises SaslFailure."""
    if len(text) > (MESSAGE_LIMIT + 2) // 3 * 4:
        raise SaslFailure("malformed-request", "too long")
    if text == "=":
        return b""
    try:
        return _unbase64(text)
    except ValueError:
        raise SaslFailure("incorrect-encoding") from None


def encode(data: bytes) -> str:
    """The text of <challenge/> or <success/>."""
    return binascii.b2a_base64(data, newline=False).decode()


def start(
    mechanism: str,
    host: str,
    lookup: Callable[[str, str], Keys],
    *,
    encrypted: bool,
    end_point: bytes | None = None,
) -> "Scram | Plain":
    """Begins a login to `host` by the mechanism that the client chose.

    `lookup(localpart, family)` gives the keys of an account, and made-up ones where there is no account.
    `end_point` is the channel binding of our certificate (RFC 5929 §4), None where there is none.
    Raises SaslFailure.
    """
    offered = mechanisms(encrypted, end_point is not None)
    if mechanism == "PLAIN" and not encrypted:
        raise SaslFailure("encryption-required")
    if mechanism not in offered:
        raise SaslFailure("invalid-mechanism")
    if mechanism == "PLAIN":
        return Plain(host)
    family = mechanism.removesuffix("-PLUS")
    listing = f",h={_listing(FAMILIES[family], offered, BINDINGS if end_point is not None else ())}"
    return Scram(family, host, lookup, end_point, plus=family != mechanism, extension=listing)


class Scram:
    """SCRAM-SHA-1 and -256, with and without -PLUS."""

    __slots__ = (
        "_end_point",
        "_expects",
        "_extension",
        "_family",
        "_header",
        "_host",
        "_keys",
        "_lookup",
        "_nonce",
        "_plus",
        "_so_far",
        "authzid",
        "done",
        "success_data",
        "user",
    )

    def __init__(
        self,
        family: str,
        host: str,
        lookup: Callable[[str, str], Keys],
        end_point: bytes | None,
        *,
        plus: bool,
        extension: str = "",
        nonce: str | None = None,
    ):
        self.user = ""  # prepared localpart, once the client has said it
        self.authzid = False  # the client has said as whom it acts: as itself
        self.done = False
        self.success_data: bytes | None = None
        self._family = family
        self._host = host
        self._lookup = lookup
        self._end_point = end_point
        self._plus = plus
        self._extension = extension
        self._nonce = nonce or secrets.token_urlsafe(24)
        self._header = ""
        self._so_far = ""
        self._keys: Keys | None = None
        self._expects: Callable[[Scram, str], bytes | None] = Scram._first

    def step(self, data: bytes | None) -> bytes | None:
        """Takes what the client sent (None: it waits for us); gives the challenge, None when done.

        Raises SaslFailure.
        """
        if data is None and self._expects is Scram._first:
            return b""  # RFC 4422 §3: the client is to begin, an empty challenge tells it so
        expects, self._expects = self._expects, Scram._nothing  # one proof per nonce, whatever comes of it
        return expects(self, _text(data))

    def _first(self, message: str) -> bytes:
        """client-first-message (RFC 5802 §7): gs2-header, name, nonce."""
        flag, _, rest = message.partition(",")
        authzid, comma, bare = rest.partition(",")
        fields = bare.split(",")
        if not comma or len(fields) < 2 or not _named("nr", fields):
            raise SaslFailure("malformed-request")
        if any(field.startswith("m=") for field in fields):
            raise SaslFailure("malformed-request", "an extension that we do not know is mandatory")
        self._check_binding_flag(flag)
        self._header = f"{flag},{authzid},"
        self.user = prepare_name(_unescape(fields[0][2:]), self._host)
        if authzid:
            if not _named("a", [authzid]):
                raise SaslFailure("malformed-request")
            _check_authzid(_unescape(authzid[2:]), self.user, self._host)
            self.authzid = True
        nonce = fields[1][2:]
        if not nonce or not all("!" <= letter <= "~" for letter in nonce):
            raise SaslFailure("malformed-request")
        self._nonce = nonce + self._nonce
        self._keys = keys = self._lookup(self.user, self._family)
        challenge = f"r={self._nonce},s={encode(keys.salt)},i={keys.iterations}{self._extension}"
        self._so_far = f"{bare},{challenge}"
        self._expects = Scram._final
        return challenge.encode()

    def _check_binding_flag(self, flag: str) -> None:
        if self._plus:
            if not flag.startswith("p="):
                raise SaslFailure("malformed-request", "a -PLUS mechanism needs channel binding")
            if flag[2:] not in BINDINGS:
                raise SaslFailure("not-authorized", f"channel binding is by {BINDINGS[0]} here")
        elif flag == "y":
            if self._end_point is not None:
                # RFC 5802 §6: the client would have bound the channel but saw no -PLUS. We did offer it.
                raise SaslFailure("not-authorized", "somebody has taken the -PLUS mechanisms from our offer")
        elif flag != "n":
            raise SaslFailure("malformed-request")

    def _final(self, message: str) -> None:
        """client-final-message (RFC 5802 §7): what the channel is, the nonce again, the proof."""
        assert self._keys is not None
        name = FAMILIES[self._family]
        without_proof, comma, proof_text = message.rpartition(",p=")
        fields = without_proof.split(",")
        if not comma or len(fields) < 2 or not _named("cr", fields):
            raise SaslFailure("malformed-request")
        try:
            binding, proof = _unbase64(fields[0][2:]), _unbase64(proof_text)
        except ValueError:
            raise SaslFailure("malformed-request") from None
        expected = self._header.encode() + (self._end_point or b"" if self._plus else b"")
        if not hmac.compare_digest(binding, expected):
            raise SaslFailure("not-authorized", "channel binding: somebody may be between the client and us")
        if not hmac.compare_digest(fields[1][2:].encode(), self._nonce.encode()):
            raise SaslFailure("not-authorized")
        signed = f"{self._so_far},{without_proof}".encode()
        signature = hmac.digest(self._keys.stored_key, signed, name)
        if len(proof) != len(signature):
            raise SaslFailure("malformed-request")
        client_key = bytes(mine ^ theirs for mine, theirs in zip(signature, proof, strict=True))
        if not hmac.compare_digest(hashlib.new(name, client_key).digest(), self._keys.stored_key):
            raise SaslFailure("not-authorized")
        self.success_data = b"v=" + encode(hmac.digest(self._keys.server_key, signed, name)).encode()
        self.done = True

    def _nothing(self, message: str) -> None:
        raise SaslFailure("malformed-request", "this exchange is over")


class Plain:
    """PLAIN, inside TLS only: the client shows the password, the caller says whether it is right."""

    __slots__ = ("_begun", "_host", "authzid", "done", "password", "success_data", "user")

    def __init__(self, host: str):
        self.user = ""
        self.password = ""  # as it came; kept only until the verdict
        self.authzid = False
        self.done = False
        self.success_data: bytes | None = None
        self._begun = False
        self._host = host

    def step(self, data: bytes | None) -> bytes | None:
        """Takes authzid NUL name NUL password; `password` then waits for `verdict`. Raises SaslFailure."""
        if data is None and not self._begun:
            return b""
        if self._begun:
            raise SaslFailure("malformed-request", "this exchange is over")
        self._begun = True
        parts = _text(data).split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise SaslFailure("malformed-request")
        authzid, name, password = parts
        if len(password.encode()) > PASSWORD_LIMIT:
            raise SaslFailure("malformed-request", "too long")
        self.user = prepare_name(name, self._host)
        if authzid:
            _check_authzid(authzid, self.user, self._host)
            self.authzid = True
        self.password = password
        return None

    def verdict(self, right: bool) -> None:
        """Ends the exchange. Raises SaslFailure when the password is wrong."""
        if not self.password:
            raise RuntimeError("there is no password to judge")
        self.password = ""
        if not right:
            raise SaslFailure("not-authorized")
        self.done = True


def _listing(hash_name: str, offered: list[str], bindings: tuple[str, ...]) -> str:
    """XEP-0474: a hash of what we offered, which the client's proof covers."""
    text = "\x1e".join(sorted(offered))
    if bindings:
        text += "\x1f" + "\x1e".join(sorted(bindings))
    return encode(hashlib.new(hash_name, text.encode()).digest())


def _text(data: bytes | None) -> str:
    if not data or len(data) > MESSAGE_LIMIT:
        raise SaslFailure("malformed-request")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SaslFailure("malformed-request") from None


def _named(letters: str, fields: list[str]) -> bool:
    """Whether the first fields have these names, and all of them the form letter=value (RFC 5802 §5.1)."""
    for position, field in enumerate(fields):
        if len(field) < 3 or field[1] != "=" or not (field[0].isascii() and field[0].isalpha()) or "\0" in field:
            return False
        if position < len(letters) and field[0] != letters[position]:
            return False
    return True


def _unescape(name: str) -> str:
    """A saslname (RFC 5802 §5.1): ',' and '=' come as =2C and =3D, and no other '=' is right."""
    if "=" in name.replace("=2C", "").replace("=3D", ""):
        raise SaslFailure("malformed-request")
    return name.replace("=2C", ",").replace("=3D", "=")


def prepare_name(name: str, host: str) -> str:
    """The localpart that a client means by this name. Raises SaslFailure: no account can have it."""
    if len(name.encode()) > NAME_LIMIT:
        raise SaslFailure("malformed-request", "too long")
    try:
        return make(name, host).local
    except JidError:
        raise SaslFailure("not-authorized") from None


def _check_authzid(authzid: str, user: str, host: str) -> None:
    """Nobody acts for another: as whom he acts is himself, as a bare JID (RFC 6120 §6.3.8) or as a name."""
    account = make(user, host)
    try:
        same = make(authzid, host) == account if "@" not in authzid else parse(authzid) == account
    except JidError:
        same = False
    if not same:
        raise SaslFailure("invalid-authzid")


def _unbase64(text: str) -> bytes:
    """Strict (RFC 4648 §3): no white space, the padding as it must be. Raises ValueError."""
    data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    if encode(data) != text:
        raise ValueError("padding")
    return data
