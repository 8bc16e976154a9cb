"""SASL HT-SHA-256-*, the server's side: a token that we gave out once logs in (draft-schmaus-kitten-sasl-ht-09, §3).

One message each way, each a hash over the token and the channel, so neither shows the token. What has to be known
for both is made with the token (`seal`); from what the client sends, only a hash is needed, so nothing by which
somebody could log in has to be kept.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

from node.stream.sasl import SaslFailure, prepare_name

ENDP, NONE = "HT-SHA-256-ENDP", "HT-SHA-256-NONE"
PROOF_SIZE = 32  # bytes: SHA-256


class Seal(NamedTuple):
    """What is kept of a token: enough to check who has it and to show that we knew it, not to log in."""

    mechanism: str
    verifier: bytes  # a hash of the client's proof and the channel
    answer: bytes  # our proof, for a client that has shown its own


def mechanisms(binding: bool) -> list[str]:
    """What to offer, strongest first. `binding`: our certificate's tls-server-end-point is known.

    No others: the ssl module cannot do tls-exporter (EXPR), and tls-unique (UNIQ) means nothing on TLS 1.3.
    """
    return [ENDP, NONE] if binding else [NONE]


def seal(token: str, mechanism: str, end_point: bytes | None) -> Seal:
    """What to keep of a token for this mechanism, on the channel of our certificate (RFC 5929 §4)."""
    key, channel = token.encode(), _channel(mechanism, end_point)
    proof = hmac.digest(key, b"Initiator" + channel, "sha256")
    answer = hmac.digest(key, b"Responder" + channel, "sha256")
    return Seal(mechanism, verifier(proof, mechanism, end_point), answer)


def verifier(proof: bytes, mechanism: str, end_point: bytes | None) -> bytes:
    """What a client's proof is compared by, on this channel: one for a certificate that we had before is no good,
    since somebody may have stolen its key."""
    return hashlib.sha256(proof + _channel(mechanism, end_point)).digest()


def _channel(mechanism: str, end_point: bytes | None) -> bytes:
    return end_point or b"" if mechanism == ENDP else b""


class Token:
    """The exchange: name NUL proof. `check(localpart, proof)` gives our answer, and raises SaslFailure."""

    __slots__ = ("_begun", "_check", "_host", "authzid", "done", "success_data", "user")

    def __init__(self, host: str, check: Callable[[str, bytes], bytes]):
        self.user = ""  # prepared localpart, once the client has said it
        self.authzid = False  # there is no way to say one
        self.done = False
        self.success_data: bytes | None = None
        self._begun = False
        self._check = check
        self._host = host

    def step(self, data: bytes | None) -> bytes | None:
        """Takes what the client sent; gives an empty challenge if that was nothing, None when done.

        Raises SaslFailure.
        """
        if self._begun:
            raise SaslFailure("malformed-request", "this exchange is over")
        if data is None:
            return b""
        self._begun = True
        name, nul, proof = data.partition(b"\0")
        if not name or not nul or len(proof) != PROOF_SIZE:
            raise SaslFailure("malformed-request")
        try:
            self.user = prepare_name(name.decode(), self._host)
        except UnicodeDecodeError:
            raise SaslFailure("malformed-request") from None
        self.success_data = self._check(self.user, proof)
        self.done = True
        return None
