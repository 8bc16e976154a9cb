"""TLS contexts, channel binding, names and refusals in words; handshakes in memory."""

import hashlib
import shutil
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from node.net import certificate, tls
from node.net.certificate import CertificateError


@pytest.fixture(scope="module")
def home(authority):
    return authority.issue("home.example")


def couple(server: ssl.SSLContext, client: ssl.SSLContext, name: str):
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    return (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name="home.example"):
    """The client's and the server's end after a handshake in memory. Raises what one of them raises."""
    ends = couple(server, client, name)
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends


def anyone(**options) -> ssl.SSLContext:
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in options.items():
        setattr(context, name, value)
    return context


def der(path) -> bytes:
    return certificate.load(path).der


# What the server accepts


def test_both_current_versions_are_spoken(home):
    server = tls.server_context(*home, "xmpp-client")
    assert shake(server, anyone())[0].version() == "TLSv1.3"
    assert shake(server, anyone(maximum_version=ssl.TLSVersion.TLSv1_2))[0].version() == "TLSv1.2"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_A2_older_versions_are_refused(home):
    old = anyone(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    server = tls.server_context(*home, "xmpp-client")
    for context in (server, old):  # so that the version is all that speaks against it
        context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(server, old)


def test_A3_L14_compression_and_renegotiation_are_off(home):
    for context in (tls.server_context(*home, "xmpp-client"), tls.client_context(False, "xmpp-server")):
        assert context.options & ssl.OP_NO_COMPRESSION
        assert context.options & ssl.OP_NO_RENEGOTIATION


def test_A3_a_login_leaves_no_ticket_and_no_session_behind(home):
    server = tls.server_context(*home, "xmpp-client")
    for options in ({}, {"maximum_version": ssl.TLSVersion.TLSv1_2}):
        ends = shake(server, anyone(**options))
        for end in (*ends, *ends):  # one that ends without a goodbye is not kept anyway
            with suppress(ssl.SSLError):
                end.unwrap()
    assert server.num_tickets == 0
    assert server.session_stats()["number"] == 0


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["xmpp-client"], "xmpp-client"), (["h2", "xmpp-client"], "xmpp-client"), ([], None), (["h2"], None)],
)
def test_clients_with_and_without_alpn_are_served(home, offered, chosen):
    client = anyone()
    if offered:
        client.set_alpn_protocols(offered)
    assert shake(tls.server_context(*home, "xmpp-client"), client)[1].selected_alpn_protocol() == chosen


def test_the_client_names_its_protocol(home):
    server = tls.server_context(*home, "xmpp-server")
    assert shake(server, tls.client_context(False, "xmpp-server"))[1].selected_alpn_protocol() == "xmpp-server"


def test_A2_no_certificate_is_asked_of_clients(home):
    server = tls.server_context(*home, "xmpp-client")
    client = anyone()
    client.load_cert_chain(*home)
    assert shake(server, client)[1].getpeercert(True) is None


# Files that cannot be used


def test_a_missing_file_is_named(home, tmp_path):
    with pytest.raises(CertificateError, match="cannot read the key .*none: no such file"):
        tls.server_context(home[0], tmp_path / "none", "xmpp-client")
    with pytest.raises(CertificateError, match="cannot read the certificate .*none: no such file"):
        tls.server_context(tmp_path / "none", home[1], "xmpp-client")


def test_a_key_of_another_certificate_is_refused(home, authority):
    _, other = authority.issue("other.example")
    with pytest.raises(CertificateError, match="does not belong to the certificate"):
        tls.server_context(home[0], other, "xmpp-client")


def test_files_without_a_certificate_are_refused(home, tmp_path):
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(CertificateError, match="empty holds no certificate$"):
        tls.server_context(empty, home[1], "xmpp-client")
    with pytest.raises(CertificateError, match="cannot use the authorities in .*empty"):
        tls.client_context(True, "xmpp-server", authorities=empty)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(home, tmp_path):
    key = serialization.load_pem_private_key(home[1].read_bytes(), None)
    locked = tmp_path / "locked"
    form = serialization.PrivateFormat.PKCS8
    locked.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"x")))
    for text in (locked.read_bytes(), b"", home[1].read_bytes()[:100]):
        locked.write_bytes(text)
        with pytest.raises(CertificateError) as raised:
            tls.server_context(home[0], locked, "xmpp-client")
        assert str(raised.value) == f"cannot use the key {locked}: it is damaged, has a password, or is no PEM file"


# Reload


def shown_by(context) -> bytes:
    return shake(context, anyone())[0].getpeercert(True)


def test_a_reload_takes_the_new_certificate_for_new_connections(authority, tmp_path):
    paths = tmp_path / "c", tmp_path / "k"
    first, second = authority.issue("home.example"), authority.issue("home.example")
    for source, path in zip(first, paths, strict=True):
        shutil.copy(source, path)
    identity = tls.Identity(*paths)
    old = identity.context("xmpp-client")
    assert identity.end_point == tls.end_point(der(first[0]))
    for source, path in zip(second, paths, strict=True):
        shutil.copy(source, path)
    identity.reload()
    assert identity.certificate.der == der(second[0])
    assert identity.end_point == tls.end_point(der(second[0]))
    assert shown_by(identity.context("xmpp-client")) == der(second[0])
    assert shown_by(old) == der(first[0])


def test_after_a_reload_of_bad_files_the_old_certificate_stays(authority, tmp_path):
    paths = tmp_path / "c", tmp_path / "k"
    good, other = authority.issue("home.example"), authority.issue("home.example")
    for source, path in zip(good, paths, strict=True):
        shutil.copy(source, path)
    identity = tls.Identity(*paths)
    shutil.copy(other[1], paths[1])
    with pytest.raises(CertificateError, match="does not belong"):
        identity.reload()
    assert identity.certificate.der == der(good[0])
    assert shown_by(identity.context("xmpp-server")) == der(good[0])


# Channel binding


def test_the_end_point_is_the_hash_that_signed_the_certificate(home, monkeypatch):
    mine = der(home[0])
    assert tls.end_point(mine) == hashlib.sha256(mine).digest()
    read = certificate.read(mine)
    for said, used in (("sha384", "sha384"), ("sha512", "sha512"), ("sha1", "sha256"), ("md5", "sha256")):
        odd = certificate.Certificate(mine, said, read.begins, read.expires, (), (), False)
        monkeypatch.setattr(certificate, "read", lambda _, odd=odd: odd)
        assert tls.end_point(mine) == hashlib.new(used, mine).digest()


def test_a_certificate_without_a_hash_has_no_end_point(home, monkeypatch):
    odd = certificate.Certificate(b"", "", 0, 0, (), (), False)
    monkeypatch.setattr(certificate, "read", lambda _: odd)
    assert tls.end_point(der(home[0])) is None


# Whose certificate is it


@pytest.mark.parametrize(
    ("names", "services", "domain"),
    [
        (["home.example"], (), "home.example"),
        (["HOME.example"], (), "home.EXAMPLE"),
        (["home.example"], (), "home.example."),
        (["a.example", "home.example"], (), "home.example"),
        (["*.home.example"], (), "chat.home.example"),
        (["xn--strae-oqa.example"], (), "xn--strae-oqa.example"),
        ([], ("_xmpp-server.home.example",), "home.example"),
    ],
)
def test_A7_a_certificate_speaks_for_its_names(authority, names, services, domain):
    path, _ = authority.issue(*names, services=services)
    assert tls.refusal(der(path), domain) == ""


@pytest.mark.parametrize(
    ("names", "services", "domain"),
    [
        (["other.example"], (), "home.example"),
        (["home.example"], (), "chat.home.example"),
        (["chat.home.example"], (), "home.example"),
        (["*.home.example"], (), "home.example"),
        (["*.home.example"], (), "a.b.home.example"),
        (["*.home.example"], (), ".home.example"),
        (["*.example"], (), "home.example"),
        (["*"], (), "home"),
        (["h*.home.example"], (), "hub.home.example"),
        (["a.*.example"], (), "a.home.example"),
        (["home.example.evil.example"], (), "home.example"),
        ([], (), "home.example"),
        ([], ("_xmpp-client.home.example",), "home.example"),
        ([], ("_xmpp-server.other.example",), "home.example"),
        (["home.example"], (), ""),
    ],
)
def test_A7_a_certificate_speaks_for_no_other_name(authority, names, services, domain):
    path, _ = authority.issue(*names, services=services, common="home.example")
    assert tls.refusal(der(path), domain) != ""


def test_A7_a_name_with_a_nul_in_it_is_nobodys(authority):
    path, _ = authority.issue("home.example\0.evil.example", "home.example .evil.example")
    assert tls.refusal(der(path), "home.example") == "certificate names no domain"


def test_the_refusal_says_for_whom_the_certificate_is(authority):
    path, _ = authority.issue("other.example", "*.other.example")
    assert tls.refusal(der(path), "home.example") == "certificate is for other.example, *.other.example"


def test_A7_an_authority_does_not_speak_for_a_domain(authority):
    path, _ = authority.issue("home.example", authority=True)
    assert tls.refusal(der(path), "home.example") == "certificate is one of an authority, not of a server"


def test_nonsense_is_refused_in_words():
    assert tls.refusal(b"nonsense", "home.example").startswith("not a certificate")


# Refused chains, in words


def why(files, trusted) -> str:
    server = tls.server_context(*files, "xmpp-server")
    client, other = couple(server, tls.client_context(True, "xmpp-server", authorities=trusted), "home.example")
    for end in (client, other):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    with pytest.raises(ssl.SSLCertVerificationError) as failed:
        client.do_handshake()
    return tls.words(failed.value, client)


def test_a_good_chain_is_taken_whatever_the_name(home, authority):
    client = tls.client_context(True, "xmpp-server", authorities=authority.path)
    assert shake(tls.server_context(*home, "xmpp-server"), client, "other.example")


def test_A7_an_unknown_issuer_is_said(home, stranger):
    assert why(home, stranger.path) == "certificate is from an unknown issuer"


def test_a_self_signed_certificate_is_said(authority, tmp_path):
    paths = tmp_path / "c", tmp_path / "k"
    certificate.make("home.example", *paths)
    assert why(paths, authority.path) == "certificate is self-signed, and nobody has vouched for it"


def test_A7_a_certificate_for_clients_only_is_said(authority):
    files = authority.issue("home.example", usage=x509.ExtendedKeyUsageOID.CLIENT_AUTH)
    assert why(files, authority.path) == "certificate is not meant for servers"


def test_A7_an_expired_and_a_future_certificate_are_said(authority):
    now = datetime.now(UTC)
    expired = authority.issue("home.example", begins=-20, days=10)
    future = authority.issue("home.example", begins=10)
    assert why(expired, authority.path) == f"certificate expired on {now - timedelta(days=10):%Y-%m-%d}"
    begins = f"certificate begins on {now + timedelta(days=10):%Y-%m-%d}"
    assert why(future, authority.path) == f"{begins}, and our clock says {now:%Y-%m-%d}"


def test_A7_a_chain_whose_issuer_is_no_authority_is_refused(authority):
    middle, middle_key = authority.issue("middle.example", common="An authority", stem="middle")
    key = serialization.load_pem_private_key(middle_key.read_bytes(), None)
    leaf, leaf_key = authority.issue("home.example", signing=key)
    chain = leaf.with_suffix(".chain")
    chain.write_bytes(leaf.read_bytes() + middle.read_bytes())
    assert why((chain, leaf_key), authority.path)


def test_without_verification_any_certificate_is_taken_and_can_be_compared(home):
    client, _ = shake(tls.server_context(*home, "xmpp-server"), tls.client_context(False, "xmpp-server"), "x.example")
    assert certificate.matches(client.getpeercert(True), certificate.fingerprint(home[0]))


def test_our_own_certificate_is_shown_to_servers_that_ask(home, authority):
    server = tls.server_context(*home, "xmpp-server")
    server.load_verify_locations(authority.path)
    server.verify_mode = ssl.CERT_REQUIRED
    client = tls.client_context(False, "xmpp-server", certificate_path=home[0], key_path=home[1])
    assert shake(server, client)[1].getpeercert(True) == der(home[0])


# Other failures, in words


def test_failures_are_said_in_words(home):
    heard = ssl.MemoryBIO()
    heard.write(b"GET / HTTP/1.1\r\n\r\n")
    end = tls.server_context(*home, "xmpp-client").wrap_bio(heard, ssl.MemoryBIO(), server_side=True)
    with pytest.raises(ssl.SSLError) as failed:
        end.do_handshake()
    assert tls.words(failed.value) == "TLS: http request"
    assert tls.words(ConnectionResetError(104, "Connection reset by peer")) == "connection reset by peer"
    assert tls.words(ValueError("odd")) == "odd"
