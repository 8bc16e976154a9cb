"""HT-SHA-256-*: what a client sends to show that it has a token, what we send back, and what has to be kept."""

import hashlib
import hmac

import pytest

from node.stream.sasl import SaslFailure
from node.stream.token import ENDP, NONE, Token, mechanisms, seal, verifier

HOST = "hub.local"
END_POINT = hashlib.sha256(b"our certificate").digest()
TOKEN = "WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm"  # of the example in XEP-0484
PROOF = hmac.digest(TOKEN.encode(), b"Initiator", "sha256")


def yes(user, proof):
    return b"yes, " + user.encode()


def failure(message, check=yes):
    with pytest.raises(SaslFailure) as caught:
        Token(HOST, check).step(message)
    return caught.value.condition


def test_what_can_bind_the_channel_is_offered_first():
    assert mechanisms(binding=True) == [ENDP, NONE]
    assert mechanisms(binding=False) == [NONE]


@pytest.mark.parametrize(("mechanism", "channel"), [(NONE, b""), (ENDP, END_POINT)])
def test_the_seal_is_made_of_both_proofs_over_the_channel(mechanism, channel):
    """draft-schmaus-kitten-sasl-ht-09 §3.1, §3.3."""
    kept = seal(TOKEN, mechanism, END_POINT)
    proof = hmac.digest(TOKEN.encode(), b"Initiator" + channel, "sha256")
    assert kept.verifier == verifier(proof, mechanism, END_POINT)
    assert kept.answer == hmac.digest(TOKEN.encode(), b"Responder" + channel, "sha256")
    assert kept.mechanism == mechanism


def test_nobody_can_log_in_by_what_is_kept():
    kept = seal(TOKEN, NONE, None)
    assert PROOF not in (kept.verifier, kept.answer) and verifier(kept.verifier, NONE, None) != kept.verifier
    assert TOKEN.encode() not in b"".join(part if isinstance(part, bytes) else part.encode() for part in kept)


def test_a_token_belongs_to_one_mechanism_and_one_certificate():
    seals = [seal(TOKEN, NONE, END_POINT), seal(TOKEN, ENDP, END_POINT), seal(TOKEN, ENDP, bytes(32))]
    assert len({kept.verifier for kept in seals}) == 3


def test_a_proof_is_compared_on_its_own_channel():
    assert verifier(PROOF, ENDP, END_POINT) != verifier(PROOF, ENDP, bytes(32))
    assert verifier(PROOF, NONE, END_POINT) == verifier(PROOF, NONE, None)


def test_one_message_each_way():
    asked = []
    exchange = Token(HOST, lambda *what: asked.append(what) or b"yes")
    assert exchange.step(b"Ann\0" + PROOF) is None
    assert asked == [("ann", PROOF)]
    assert exchange.done and exchange.user == "ann" and exchange.success_data == b"yes"
    with pytest.raises(SaslFailure):
        exchange.step(b"ann\0" + PROOF)


def test_a_client_that_says_nothing_at_first_is_told_to_begin():
    exchange = Token(HOST, yes)
    assert exchange.step(None) == b""
    assert exchange.step(b"ann\0" + PROOF) is None
    assert exchange.done


def test_a_proof_may_hold_any_byte():
    exchange = Token(HOST, lambda user, proof: proof)
    exchange.step(b"ann\0" + bytes(32))
    assert exchange.success_data == bytes(32)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"ann",
        b"ann" + PROOF.replace(b"\0", b"\1"),
        b"\0" + PROOF,
        b"ann\0",
        b"ann\0" + PROOF[1:],
        b"ann\0" + PROOF + b"\0",
        b"\xff\0" + PROOF,
        b"a" * 5000 + b"\0" + PROOF,
    ],
)
def test_A10_what_is_no_such_message_is_refused(message):
    assert failure(message) == "malformed-request"


@pytest.mark.parametrize("name", ["a b", "\u200b", "a@b", "x" * 1023 + "\u00df"])
def test_a_name_that_no_account_can_have_is_refused_like_a_wrong_token(name):
    assert failure(name.encode() + b"\0" + PROOF) in ("not-authorized", "malformed-request")


def test_a_refusal_is_passed_on_and_nobody_is_logged_in():
    def no(user, proof):
        raise SaslFailure("credentials-expired")

    exchange = Token(HOST, no)
    with pytest.raises(SaslFailure) as caught:
        exchange.step(b"ann\0" + PROOF)
    assert caught.value.condition == "credentials-expired"
    assert not exchange.done and exchange.success_data is None
