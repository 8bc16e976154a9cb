"""SASL exchanges against the RFCs' own examples, a client written here, slixmpp's client, and wrong input."""

import base64
import hashlib
import hmac
import secrets

import pytest
from slixmpp.util.sasl import client as client_side

from node.stream import sasl
from node.stream.sasl import Keys, Plain, SaslFailure, Scram, decode, derive, encode, prepare_password, start

HOST = "hub.local"
END_POINT = hashlib.sha256(b"a certificate").digest()
SALT = bytes(range(16))
FAMILIES = ("SCRAM-SHA-256", "SCRAM-SHA-1")
ALL = (*(f"{family}-PLUS" for family in FAMILIES), *FAMILIES)


def lookup(name, family):
    """One user, romeo, with the password 'pencil'; the keys of others fit no password."""
    if name == "romeo":
        return derive(family, "pencil", SALT, 16)
    return Keys(SALT, 16, secrets.token_bytes(len(SALT) * 2), b"?" * 32)


def begin(mechanism="SCRAM-SHA-256", end_point=END_POINT):
    return start(mechanism, HOST, lookup, encrypted=True, end_point=end_point)


def failure(act, *args):
    with pytest.raises(SaslFailure) as caught:
        act(*args)
    return caught.value.condition


class Client:
    """The client's side of SCRAM, as RFC 5802 §3 writes it; each part can be made wrong."""

    def __init__(self, mechanism="SCRAM-SHA-256", name="romeo", password="pencil", flag=None, authzid=""):
        self.hash = "sha256" if "256" in mechanism else "sha1"
        self.family = mechanism.removesuffix("-PLUS")
        self.plus = mechanism.endswith("-PLUS")
        self.password = password
        self.header = f"{flag or ('p=tls-server-end-point' if self.plus else 'n')},{authzid},"
        self.bare = f"n={name},r=rOprNGfwEbeRWgbNEkqO"
        self.binding = END_POINT if self.plus else b""

    def first(self):
        return (self.header + self.bare).encode()

    def final(self, challenge, extension="", nonce=None):
        fields = dict(field.split("=", 1) for field in challenge.decode().split(","))
        keys_salt, iterations = base64.b64decode(fields["s"]), int(fields["i"])
        binding = base64.b64encode(self.header.encode() + self.binding).decode()
        without_proof = f"c={binding},r={nonce or fields['r']}{extension}"
        message = f"{self.bare},{challenge.decode()},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), keys_salt, iterations)
        client_key = hmac.digest(salted, b"Client Key", self.hash)
        signature = hmac.digest(hashlib.new(self.hash, client_key).digest(), message, self.hash)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", self.hash)
        self.expects = b"v=" + base64.b64encode(hmac.digest(server_key, message, self.hash))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()


def talk(client, exchange):
    challenge = exchange.step(client.first())
    assert exchange.step(client.final(challenge)) is None
    return exchange


# The RFCs' examples


def test_the_example_of_rfc_5802():
    keys = derive("SCRAM-SHA-1", "pencil", base64.b64decode("QSXCR+Q6sek8bf92"), 4096)
    exchange = Scram("SCRAM-SHA-1", HOST, lambda *_: keys, None, plus=False, nonce="3rfcNHYJY1ZVvWVs7j")
    challenge = exchange.step(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")
    assert challenge == b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    assert exchange.user == "user" and not exchange.done
    end = b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    assert exchange.step(end) is None
    assert exchange.done and exchange.success_data == b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="


def test_the_example_of_rfc_7677():
    keys = derive("SCRAM-SHA-256", "pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    exchange = Scram("SCRAM-SHA-256", HOST, lambda *_: keys, None, plus=False, nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    challenge = exchange.step(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert challenge == (b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    exchange.step(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert exchange.done and exchange.success_data == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_hash_of_the_offer_is_that_of_xep_0474():
    """The section "Full Example": SCRAM-SHA-1 and -PLUS, two binding types."""
    listing = sasl._listing("sha1", ["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"], ("tls-server-end-point", "tls-exporter"))
    assert listing == "G6k/rBLDqgOhRRaCuuatSDFkJ08="


# What is offered


def test_the_strongest_mechanism_is_offered_first_and_plain_last():
    assert sasl.mechanisms(encrypted=True, binding=True) == [*ALL, "PLAIN"]
    assert sasl.mechanisms(encrypted=True, binding=False) == [*FAMILIES, "PLAIN"]


def test_plain_is_not_offered_without_tls():
    assert sasl.mechanisms(encrypted=False, binding=False) == [*FAMILIES]
    assert failure(lambda: start("PLAIN", HOST, lookup, encrypted=False)) == "encryption-required"


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "EXTERNAL", "", "scram-sha-1", "PLAIN-PLUS", "SCRAM-SHA-512"])
def test_A6_a_mechanism_that_was_not_offered_is_refused(mechanism):
    assert failure(begin, mechanism) == "invalid-mechanism"


def test_plus_is_refused_where_we_have_no_binding_to_compare():
    assert failure(begin, "SCRAM-SHA-256-PLUS", None) == "invalid-mechanism"


def test_A8_the_client_can_check_the_offer_that_it_saw():
    challenge = begin("SCRAM-SHA-1").step(Client("SCRAM-SHA-1").first()).decode()
    offer = "\x1e".join(sorted([*ALL, "PLAIN"])) + "\x1f" + "tls-server-end-point"
    assert challenge.endswith(",h=" + base64.b64encode(hashlib.sha1(offer.encode()).digest()).decode())


# SCRAM, right


@pytest.mark.parametrize("mechanism", ALL)
def test_the_right_password_logs_in_and_we_prove_that_we_know_it_too(mechanism):
    client = Client(mechanism)
    exchange = talk(client, begin(mechanism))
    assert exchange.done and exchange.user == "romeo"
    assert exchange.success_data == client.expects


def test_a_client_without_initial_response_gets_an_empty_challenge_first():
    exchange = begin()
    assert exchange.step(None) == b""
    assert talk(Client(), exchange).done


def test_the_name_is_prepared():
    client = Client(name="ROMEO")
    assert talk(client, begin()).user == "romeo"


def test_comma_and_equals_sign_are_escaped_in_a_name():
    asked = []

    def remember(name, family):
        asked.append(name)
        return lookup(name, family)

    exchange = start("SCRAM-SHA-256", HOST, remember, encrypted=True)
    exchange.step(b"n,,n=a=2Cb=3Dc,r=abc")
    assert asked == ["a,b=c"]


@pytest.mark.parametrize("authzid", ["romeo", "romeo@hub.local", "Romeo@HUB.local"])
def test_one_may_say_that_one_acts_as_oneself(authzid):
    exchange = talk(Client(authzid=f"a={authzid}"), begin())
    assert exchange.done and exchange.authzid
    exchange = begin("PLAIN")
    exchange.step(f"{authzid}\0romeo\0pencil".encode())
    assert exchange.authzid


def test_who_says_nothing_of_whom_he_acts_as_has_said_nothing():
    assert not talk(Client(), begin()).authzid
    exchange = begin("PLAIN")
    exchange.step(b"\0romeo\0pencil")
    assert not exchange.authzid


def test_a_client_that_can_bind_but_was_not_offered_it_logs_in():
    assert talk(Client(flag="y"), begin(end_point=None)).done


def test_unknown_extensions_are_passed_over():
    client, exchange = Client(), begin()
    client.bare += ",x=what"
    challenge = exchange.step(client.first())
    exchange.step(client.final(challenge, extension=",z=ever"))
    assert exchange.done


def test_A11_the_nonce_is_new_each_time_and_long():
    nonces = {begin().step(Client().first()).decode().split(",")[0] for _ in range(100)}
    assert len(nonces) == 100
    assert all(len(nonce) >= len("r=rOprNGfwEbeRWgbNEkqO") + 22 for nonce in nonces)  # 128 bits


# SCRAM, wrong


@pytest.mark.parametrize("mechanism", ALL)
def test_a_wrong_password_is_not_authorized(mechanism):
    client, exchange = Client(mechanism, password="pencils"), begin(mechanism)
    challenge = exchange.step(client.first())
    assert failure(exchange.step, client.final(challenge)) == "not-authorized"
    assert not exchange.done and exchange.success_data is None


def test_A14_an_unknown_user_hears_what_a_wrong_password_hears():
    said = []
    for client in (Client(name="tybalt"), Client(password="wrong")):
        exchange = begin()
        challenge = exchange.step(client.first())
        said.append((len(challenge), failure(exchange.step, client.final(challenge))))
    assert said[0] == said[1]


def test_there_is_one_proof_for_each_challenge():
    client, exchange = Client(password="wrong"), begin()
    challenge = exchange.step(client.first())
    failure(exchange.step, client.final(challenge))
    client.password = "pencil"
    assert failure(exchange.step, client.final(challenge)) == "malformed-request"
    assert not exchange.done


def test_nothing_follows_success():
    client, exchange = Client(), begin()
    challenge = exchange.step(client.first())
    final = client.final(challenge)
    exchange.step(final)
    assert failure(exchange.step, final) == "malformed-request"


def test_A8_an_old_proof_does_not_fit_a_new_challenge():
    client = Client()
    final = client.final(begin().step(client.first()))
    exchange = begin()
    exchange.step(client.first())
    assert failure(exchange.step, final) == "not-authorized"


def test_A8_another_nonce_in_the_proof_is_refused():
    client, exchange = Client(), begin()
    challenge = exchange.step(client.first())
    assert failure(exchange.step, client.final(challenge, nonce="rOprNGfwEbeRWgbNEkqO")) == "not-authorized"


def test_A8_a_client_that_could_bind_and_saw_no_plus_has_been_lied_to():
    assert failure(begin().step, Client(flag="y").first()) == "not-authorized"


def test_A8_the_binding_must_be_that_of_our_certificate():
    client, exchange = Client("SCRAM-SHA-256-PLUS"), begin("SCRAM-SHA-256-PLUS")
    client.binding = hashlib.sha256(b"the certificate of somebody between").digest()
    assert failure(exchange.step, client.final(exchange.step(client.first()))) == "not-authorized"


def test_the_header_is_repeated_as_it_was():
    client, exchange = Client(), begin()
    challenge = exchange.step(client.first())
    client.header = "y,,"
    assert failure(exchange.step, client.final(challenge)) == "not-authorized"


@pytest.mark.parametrize(
    ("mechanism", "flag", "condition"),
    [
        ("SCRAM-SHA-256-PLUS", "n", "malformed-request"),
        ("SCRAM-SHA-256-PLUS", "y", "malformed-request"),
        ("SCRAM-SHA-256-PLUS", "p=tls-unique", "not-authorized"),
        ("SCRAM-SHA-256", "p=tls-server-end-point", "malformed-request"),
        ("SCRAM-SHA-256", "", "malformed-request"),
        ("SCRAM-SHA-256", "q", "malformed-request"),
    ],
)
def test_A8_the_binding_flag_must_fit_the_mechanism(mechanism, flag, condition):
    message = f"{flag},,n=romeo,r=abc".encode()
    assert failure(begin(mechanism).step, message) == condition


@pytest.mark.parametrize(
    "authzid",
    [
        "juliet",
        "juliet@hub.local",
        "romeo@other.example",
        "romeo@hub.local/a",
        "hub.local",
        "@",
        "romeo@",
        "x y",
    ],
)
def test_A4_nobody_acts_as_another(authzid):
    assert failure(begin().step, Client(authzid=f"a={authzid}").first()) == "invalid-authzid"
    assert failure(begin("PLAIN").step, f"{authzid}\0romeo\0pencil".encode()) == "invalid-authzid"


@pytest.mark.parametrize("name", ["ro meo", "romeo@hub.local", "ro\u200bmeo", "a/b", "\u2665"])
def test_a_name_that_nobody_can_have_is_not_authorized(name):
    assert failure(begin().step, Client(name=name).first()) == "not-authorized"
    assert failure(begin("PLAIN").step, f"\0{name}\0pencil".encode()) == "not-authorized"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=romeo",
        b"n,,n=,r=abc",
        b"n,,n=romeo,r=",
        b"n,,r=abc,n=romeo",
        b"n,,n=ro=meo,r=abc",
        b"n,,n=romeo=2c,r=abc",
        b"n,,n=romeo,r=a b",
        b"n,,n=romeo,r=\xc3\xa4",
        b"n,,n=romeo,r=abc,",
        b"n,,n=romeo,r=abc,junk",
        b"n,,m=x,n=romeo,r=abc",
        b"n,,n=romeo,r=abc,m=x",
        b"n,romeo,n=romeo,r=abc",
        b"n,a=,n=romeo,r=abc",
        b"n,,n=ro\0meo,r=abc",
        b"n,,n=\xff\xfe,r=abc",
        b"n,,n=" + b"a" * 1024 + b",r=abc",
        b"n,,n=romeo,r=" + b"a" * 5000,
    ],
)
def test_a_malformed_first_message(message):
    assert failure(begin().step, message) == "malformed-request"


def test_a_response_without_data():
    exchange = begin()
    exchange.step(Client().first())
    assert failure(exchange.step, None) == "malformed-request"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda final: b"",
        lambda final: final.rpartition(b",p=")[0],
        lambda final: final.partition(b",")[2],
        lambda final: final.replace(b"c=", b"d="),
        lambda final: final.replace(b",r=", b",s="),
        lambda final: final + b"=",
        lambda final: final[:-8],
        lambda final: final.rpartition(b",p=")[0] + b",p=QUJD",
        lambda final: final.replace(b"c=biws", b"c=bi ws"),
        lambda final: b"\xff" + final,
        lambda final: final + b"A" * 5000,
    ],
)
def test_a_malformed_final_message(spoil):
    client, exchange = Client(), begin()
    final = client.final(exchange.step(client.first()))
    assert failure(exchange.step, spoil(final)) == "malformed-request"
    assert not exchange.done


# PLAIN


def test_plain_waits_for_the_verdict():
    exchange = begin("PLAIN")
    assert isinstance(exchange, Plain)
    assert exchange.step("\0Romeo\0p\u00e4ncil".encode()) is None
    assert (exchange.user, exchange.password, exchange.done) == ("romeo", "p\u00e4ncil", False)
    exchange.verdict(True)
    assert exchange.done and not exchange.password and exchange.success_data is None


def test_plain_with_the_wrong_password():
    exchange = begin("PLAIN")
    exchange.step(b"\0romeo\0pen")
    assert failure(exchange.verdict, False) == "not-authorized"
    assert not exchange.done and not exchange.password


def test_plain_without_initial_response_gets_an_empty_challenge_first():
    exchange = begin("PLAIN")
    assert exchange.step(None) == b""
    exchange.step(b"romeo@hub.local\0romeo\0pencil")
    assert exchange.password == "pencil"


def test_plain_is_said_once():
    exchange = begin("PLAIN")
    exchange.step(b"\0romeo\0pen")
    assert failure(exchange.step, b"\0romeo\0pencil") == "malformed-request"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"romeo\0pencil",
        b"\0romeo\0",
        b"\0\0pencil",
        b"\0romeo\0pen\0cil",
        b"\0romeo\0\xff",
        b"\0romeo\0" + b"p" * 1025,
        b"\0" + b"r" * 1024 + b"\0pencil",
        b"\0romeo\0" + b"p" * 9999,
    ],
)
def test_a_malformed_plain_message(message):
    assert failure(begin("PLAIN").step, message) == "malformed-request"


# Texts


def test_base64_goes_there_and_back():
    assert decode(encode(b"n,,n=romeo,r=abc")) == b"n,,n=romeo,r=abc"
    assert decode("=") == decode("") == b""
    assert encode(b"") == ""


@pytest.mark.parametrize("text", ["biws ", " biws", "bi\nws", "biw", "biws=", "==", "bi-_", "biws\u00e4", "QQ==QQ=="])
def test_A10_base64_is_strict(text):
    assert failure(decode, text) == "incorrect-encoding"


def test_A10_data_longer_than_any_login_is_not_even_decoded():
    assert failure(decode, "A" * 1_000_000) == "malformed-request"
    assert len(decode(encode(b"x" * sasl.MESSAGE_LIMIT))) == sasl.MESSAGE_LIMIT


def test_passwords_that_look_the_same_are_the_same():
    assert prepare_password("pa\u0308ss\u00a0word") == "p\u00e4ss word"


@pytest.mark.parametrize("password", ["", "a\nb", "\ud800", "x" * 1025, "\u00e4" * 513, "\0"])
def test_a_password_that_cannot_be_typed_or_is_too_long(password):
    with pytest.raises(ValueError) as caught:
        prepare_password(password)
    assert not password or password not in str(caught.value)


# Another's client


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"])
def test_slixmpp_logs_in(mechanism):
    def credentials(required, optional):
        given = {"username": b"romeo", "password": b"pencil", "authzid": b"romeo@hub.local"}
        return {name: given.get(name, b"") for name in required | optional}

    def security(names):
        given = {
            "encrypted": True,
            "encrypted_plain": True,
            "binding_proposed": True,
            "tls_version": "TLSv1.3",
        }
        return {name: given.get(name, False) for name in names}

    client = client_side.choose([mechanism], credentials, security)
    exchange = start(mechanism, HOST, lookup, encrypted=True, end_point=END_POINT)
    challenge = exchange.step(client.process())
    if isinstance(exchange, Plain):
        exchange.verdict(exchange.password == "pencil")
    else:
        assert exchange.step(client.process(challenge)) is None
        client.process(exchange.success_data)  # checks our signature
    assert exchange.done and exchange.user == "romeo"
