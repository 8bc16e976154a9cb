"""Certificates: read without a library, made in another process; cryptography checks us."""

import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from node.net import certificate
from node.net.certificate import CertificateError

DER = serialization.Encoding.DER


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A certificate and key as `hobnode up` makes them."""
    folder = tmp_path_factory.mktemp("made")
    paths = folder / "home.crt", folder / "home.key"
    certificate.make("home.example", *paths, addresses=("192.168.1.20",))
    return paths


def as_seen_by_cryptography(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def sign(key=None, digest=None, begins=datetime(2026, 1, 1), expires=datetime(2036, 1, 1), **options) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cn.example")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begins).not_valid_after(expires)
    return builder.sign(key, digest, **options).public_bytes(DER)


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


# Making


def test_a_made_certificate_is_for_the_domain_its_subdomains_and_the_addresses(made):
    seen = as_seen_by_cryptography(made[0])
    names = seen.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["home.example", "*.home.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.168.1.20"]


def test_a_made_certificate_has_a_p256_key_and_ten_years(made):
    seen = as_seen_by_cryptography(made[0])
    assert isinstance(seen.public_key().curve, ec.SECP256R1)
    assert 3650 <= (seen.not_valid_after_utc - datetime.now(UTC)).days <= 3652
    assert seen.not_valid_before_utc < datetime.now(UTC)


def test_a_made_certificate_is_no_authority_and_serves_both_sides_of_a_link(made):
    extensions = as_seen_by_cryptography(made[0]).extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH}


def test_only_we_may_read_the_key(made):
    assert made[1].stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_beside_the_two_files(made):
    assert sorted(os.listdir(made[0].parent)) == ["home.crt", "home.key"]


def test_a_domain_beyond_ascii_is_named_as_dns_does(tmp_path):
    certificate.make("straße.example", tmp_path / "c", tmp_path / "k")
    assert certificate.load(tmp_path / "c").names[0] == "xn--strae-oqa.example"


def test_an_address_as_domain_is_named_as_an_address(tmp_path):
    certificate.make("127.0.0.2", tmp_path / "c", tmp_path / "k")
    names = as_seen_by_cryptography(tmp_path / "c").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name.value) for name in names.value] == ["127.0.0.2"]


def test_new_files_replace_old_ones_and_what_a_killed_one_left(made, tmp_path):
    paths = tmp_path / "c", tmp_path / "k"
    paths[1].write_text("old")
    paths[1].chmod(0o644)
    (tmp_path / ".k.new").write_text("half")
    certificate.make("home.example", *paths)
    assert paths[1].stat().st_mode & 0o777 == 0o600
    assert serialization.load_pem_private_key(paths[1].read_bytes(), None)
    assert sorted(os.listdir(tmp_path)) == ["c", "k"]


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path):
    with pytest.raises(CertificateError, match="cannot make a certificate for home.example: .*No such file"):
        certificate.make("home.example", tmp_path / "no" / "c", tmp_path / "no" / "k")


def test_reading_loads_no_cryptography(made):
    code = (
        "import sys; from node.net import certificate, tls;"
        f"certificate.fingerprint({str(made[0])!r}); certificate.expires({str(made[0])!r});"
        "print([name for name in ('cryptography', 'idna', '_strptime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


# Reading


def test_the_fingerprint_is_the_sha256_that_others_show(made):
    expected = as_seen_by_cryptography(made[0]).fingerprint(hashes.SHA256()).hex(":").upper()
    assert certificate.fingerprint(made[0]) == expected


def test_the_sha1_is_there_for_clients_that_show_nothing_else(made):
    expected = as_seen_by_cryptography(made[0]).fingerprint(hashes.SHA1()).hex(":").upper()
    assert certificate.old_fingerprint(made[0]) == expected


def test_the_end_is_read_to_the_second(made):
    assert certificate.expires(made[0]) == as_seen_by_cryptography(made[0]).not_valid_after_utc.timestamp()


def test_the_names_are_read(made):
    assert certificate.load(made[0]).names == ("home.example", "*.home.example")


def test_services_are_read_and_common_names_are_not(authority):
    path, _ = authority.issue(services=("_xmpp-server.Home.example",), common="home.example")
    read = certificate.load(path)
    assert read.services == ("_xmpp-server.home.example",)
    assert read.names == ()


def test_an_authority_is_seen_as_one(authority, made):
    assert certificate.load(authority.path).authority
    assert not certificate.load(made[0]).authority


@pytest.mark.parametrize("year", [1950, 1999, 2049, 2050, 9999])
def test_times_of_both_forms_are_read(year):
    expires = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    read = certificate.read(sign(digest=hashes.SHA256(), begins=datetime(1950, 1, 1), expires=expires))
    assert read.expires == expires.timestamp()
    assert read.begins == datetime(1950, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "digest",
    [hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()],
    ids=lambda digest: digest.name,
)
def test_the_hash_of_a_signature_is_known(digest, rsa_key):
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    assert certificate.read(sign(digest=digest)).digest == digest.name
    assert certificate.read(sign(rsa_key, digest)).digest == digest.name
    assert certificate.read(sign(rsa_key, digest, rsa_padding=pss)).digest == digest.name


def test_a_signature_without_a_hash_has_none():
    assert certificate.read(sign(ed25519.Ed25519PrivateKey.generate())).digest == ""


def test_the_first_certificate_of_a_chain_is_ours(made, authority, tmp_path):
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"some text\n" + made[1].read_bytes() + made[0].read_bytes() + authority.path.read_bytes())
    assert certificate.fingerprint(chain) == certificate.fingerprint(made[0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "damaged"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
    ],
)
def test_what_is_no_certificate_is_said_in_words(tmp_path, text, why):
    path = tmp_path / "c.pem"
    path.write_text(text)
    with pytest.raises(CertificateError, match=f"c.pem holds .*{why}"):
        certificate.fingerprint(path)


def test_a_missing_file_is_said_in_words(tmp_path):
    with pytest.raises(CertificateError, match="cannot read .*none.pem: No such file"):
        certificate.expires(tmp_path / "none.pem")


def test_a_certificate_that_is_cut_short_is_refused():
    for length in range(len(SAMPLE)):
        with pytest.raises(CertificateError):
            certificate.read(SAMPLE[:length])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_certificate_is_refused_and_never_crashes(data):
    der = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(der)))
    for damaged in (bytes(der), bytes(der[:cut])):
        with suppress(CertificateError):
            certificate.read(damaged)


SAMPLE = sign(digest=hashes.SHA256())


# Fingerprints as people write them


def test_a_fingerprint_matches_in_every_spelling():
    digest = sha256(SAMPLE).hexdigest()
    colons = certificate.spell(bytes.fromhex(digest))
    blanks = colons.replace(":", " ")
    for text in (
        digest,
        digest.upper(),
        colons,
        colons.lower(),
        blanks,
        f"sha256:{digest}",
        f" SHA256:{colons} ",
    ):
        assert certificate.matches(SAMPLE, text)


def test_other_fingerprints_do_not_match():
    digest = sha256(SAMPLE).hexdigest()
    for text in ("", "sha256:", digest[:-2], digest + "00", "0" * 64, digest[:-1] + "g"):
        assert not certificate.matches(SAMPLE, text)
    assert not certificate.matches(None, digest)
