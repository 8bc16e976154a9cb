"""A9, A14: what is done for a login that fails is the same whatever was wrong with it: no clock tells them apart.

What is done, not how long it takes: a clock in a test would tell about the machine.
"""

import base64
import gc
import hashlib
import hmac
import sys
from functools import partial

import pytest

from node.ports.dialback import Secret
from node.stream import sasl

PASSWORD = "a password of some length"
END_POINT = b"\x17" * 32


def done(work):
    """The names of all functions that `work` calls, in order, those in C included; and what it gives."""
    names, result = [], None

    def called(frame, event, what):
        if event == "call":
            names.append(frame.f_code.co_qualname)
        elif event == "c_call":
            names.append(what.__qualname__)

    gc.disable()  # what it calls when it comes is nothing that `work` does
    sys.setprofile(called)
    try:
        result = work()
    except sasl.SaslFailure as failure:
        result = failure.condition
    finally:
        sys.setprofile(None)
        gc.enable()
    return names[:-1], result  # without the end of this


def proof(mechanism, first, challenge, header, password):
    family = sasl.FAMILIES[mechanism.removesuffix("-PLUS")]
    values = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac(family, password.encode(), base64.b64decode(values["s"]), int(values["i"]))
    key = hmac.digest(salted, b"Client Key", family)
    binding = header + (END_POINT if mechanism.endswith("-PLUS") else b"")
    last = f"c={base64.b64encode(binding).decode()},r={values['r']}"
    signed = f"{first},{challenge},{last}".encode()
    signature = hmac.digest(hashlib.new(family, key).digest(), signed, family)
    return f"{last},p={base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()}".encode()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"])
def test_A9_A14_scram_does_the_same_for_nobody_and_for_a_wrong_password(hub, run, mechanism):
    run(hub.accounts.create("ann", PASSWORD))
    header = b"p=tls-server-end-point,," if mechanism.endswith("-PLUS") else b"n,,"
    tries = {
        "wrong": ("ann", "another password of it"),
        "nearly": ("ann", PASSWORD[:-1] + "H"),
        "short": ("ann", "x"),
        "nobody": ("eve", PASSWORD),
    }
    seen = {}
    for what, (user, password) in [*tries.items(), *tries.items()]:  # the second time nothing is new
        exchange = sasl.start(mechanism, hub.host, hub.accounts.keys, encrypted=True, end_point=END_POINT)
        first = f"n={user},r=abcdefgh"
        begun, challenge = done(partial(exchange.step, header + first.encode()))
        final = proof(mechanism, first, challenge.decode(), header, password)
        ended, condition = done(partial(exchange.step, final))
        seen[what] = begun, ended, condition, len(challenge)
    assert seen["wrong"][2] == "not-authorized"
    assert seen["wrong"][1].count("compare_digest") == 3  # the channel, the nonce and the proof
    assert seen["nearly"] == seen["short"] == seen["nobody"] == seen["wrong"]


def test_A9_a_key_of_dialback_is_compared_alike_wherever_it_differs():
    secret = Secret("of the house")
    right = secret.key("a.example", "b.example", "1")
    keys = ["0" * 64, right[:-1] + "x", "x" + right[1:], secret.key("a.example", "b.example", "2")]
    work = [done(lambda key=key: secret.knows(key, "a.example", "b.example", "1")) for key in (right, *keys)]
    assert [result for _, result in work] == [True, False, False, False, False]
    assert all(names == work[0][0] for names, _ in work)
    assert "compare_digest" in work[0][0]
