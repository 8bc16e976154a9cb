"""TLS as the node speaks it: contexts for both sides, channel binding, and refusals in words."""

import hashlib
import os
import ssl
import time
from typing import Any

from node.net import certificate
from node.net.certificate import Certificate, CertificateError

ALPN = ("xmpp-client", "xmpp-server")  # XEP-0368 §3

# Words for what OpenSSL finds wrong with a chain (openssl-verification-options(1)), by X509_V_ERR number.
_EXPIRED, _NOT_YET = 10, 9
_WRONG = {
    18: "certificate is self-signed, and nobody has vouched for it",
    19: "certificate's chain ends in an unknown authority",
    20: "certificate is from an unknown issuer",
    21: "certificate is from an unknown issuer",
    26: "certificate is not meant for servers",
    79: "certificate's issuer is not an authority",
}


class Identity:
    """Our certificate with its key, as the connections use it; `reload` exchanges it whole.

    A session takes `context(...)` and `end_point` at the same moment and keeps both: after a reload the
    next ones belong to another certificate. Raises CertificateError if the files cannot be used.
    """

    __slots__ = ("_certificate_path", "_contexts", "_key_path", "certificate", "end_point")

    certificate: Certificate
    end_point: bytes | None

    def __init__(self, certificate_path: str, key_path: str):
        self._certificate_path = certificate_path
        self._key_path = key_path
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.reload()

    def context(self, alpn: str) -> ssl.SSLContext:
        """The context for the sessions we accept under this ALPN name."""
        return self._contexts[alpn]

    def reload(self) -> None:
        """Reads the files again, for sessions to come. Raises CertificateError; then the old stays in use."""
        contexts = {alpn: server_context(self._certificate_path, self._key_path, alpn) for alpn in ALPN}
        read = certificate.load(self._certificate_path)
        self._contexts, self.certificate, self.end_point = contexts, read, end_point(read.der)


def server_context(certificate_path: str, key_path: str, alpn: str) -> ssl.SSLContext:
    """For connections that come in. Clients with no ALPN, or another, are served. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, alpn)
    # Nobody resumes a session that lives for days; saves a write per login. Those of TLS 1.2 stay on: without
    # a ticket OpenSSL itself keeps 1 KiB of each session for five minutes.
    context.num_tickets = 0
    _load(context, certificate_path, key_path)
    return context


def client_context(
    verify: bool,
    alpn: str,
    *,
    authorities: str | None = None,
    certificate_path: str | None = None,
    key_path: str | None = None,
) -> ssl.SSLContext:
    """For connections that go out; one for all of them, as the machine's list of authorities takes memory.

    `verify` demands a chain that ends in the machine's authorities, or in those of the PEM file
    `authorities`; Connection then compares the names, by `refusal`. Without it anything is taken, and the
    caller has to compare the fingerprint. Our own certificate, if given, is shown to servers that ask.
    Raises CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, alpn)
    context.check_hostname = False  # `refusal` compares: it knows SRVName, and says what the name is
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if verify and authorities:
        try:
            context.load_verify_locations(authorities)
        except OSError as error:
            raise CertificateError(f"cannot use the authorities in {authorities}: {words(error)}") from error
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate_path and key_path:
        _load(context, certificate_path, key_path)
    return context


def end_point(der: bytes) -> bytes | None:
    """The channel binding tls-server-end-point of a certificate (RFC 5929 §4.1).

    None where the RFC defines none: for signatures without a hash of their own, such as Ed25519.
    """
    digest = certificate.read(der).digest
    if not digest:
        return None
    return hashlib.new("sha256" if digest in ("md5", "sha1") else digest, der).digest()


def refusal(der: bytes, domain: str) -> str:
    """Why a genuine certificate may not speak for this domain (ASCII form); '' if it may.

    RFC 9525 §6.3: a dNSName that is equal, or whose '*' stands for the whole first label; or the SRVName
    of XMPP servers (RFC 6120 §13.7.1.2.1). A common name counts for nothing.
    """
    try:
        shown = certificate.read(der)
    except CertificateError as error:
        return str(error)
    domain = domain.lower().rstrip(".")
    if shown.authority:
        return "certificate is one of an authority, not of a server"
    if f"_xmpp-server.{domain}" in shown.services or any(_covers(name, domain) for name in shown.names):
        return ""
    return f"certificate is for {', '.join(shown.names[:3])}" if shown.names else "certificate names no domain"


def words(error: Exception, tls: ssl.SSLSocket | None = None) -> str:
    """Why a connection failed, in words. `tls` is the socket of a failed handshake: it knows dates."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, tls)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return "closed by the other side"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        for prefix in ("sslv3 alert ", "tlsv1 alert ", "tlsv13 alert "):
            if reason.startswith(prefix):
                return f"TLS: the other side says {reason.removeprefix(prefix)}"
        return f"TLS: {reason}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error)


def _restrict(context: ssl.SSLContext, alpn: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996, RFC 7590
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([alpn])


def _load(context: ssl.SSLContext, certificate_path: str, key_path: str) -> None:
    for what, path in (("certificate", certificate_path), ("key", key_path)):
        try:
            open(path, "rb").close()  # `ssl` does not say which of the two it means
        except OSError as error:
            raise CertificateError(f"cannot read the {what} {path}: {words(error)}") from error
    try:
        # A key with a password would make OpenSSL ask for it on the terminal.
        context.load_cert_chain(certificate_path, key_path, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key {key_path} does not belong to the certificate {certificate_path}"
        elif error.reason:  # both were read
            why = f"cannot use the certificate {certificate_path} with the key {key_path}: {words(error)}"
        else:
            certificate.load(certificate_path)  # if it is this one that is damaged, that says so
            why = f"cannot use the key {key_path}: it is damaged, has a password, or is no PEM file"
        raise CertificateError(why) from error


def _covers(name: str, domain: str) -> bool:
    if not name.startswith("*."):
        return name == domain
    # '*' is one whole label, and never all of a top level.
    label, _, rest = domain.partition(".")
    return bool(label) and rest == name[2:] and "." in rest


def _verification(error: ssl.SSLCertVerificationError, tls: ssl.SSLSocket | None) -> str:
    chain = _shown(tls)
    if error.verify_code == _EXPIRED and chain:
        return f"certificate expired on {_date(min(shown.expires for shown in chain))}"
    if error.verify_code == _NOT_YET and chain:
        # A Pi without a clock may be the one that is wrong.
        begins = _date(max(shown.begins for shown in chain))
        return f"certificate begins on {begins}, and our clock says {_date(time.time())}"
    return _WRONG.get(error.verify_code, error.verify_message)


def _shown(tls: ssl.SSLSocket | None) -> list[Certificate]:
    """The chain that was refused; for words only, so it may be empty."""
    # Python 3.13 has the method on the socket; before, it is on the object inside, and gives other objects.
    inner: Any = getattr(tls, "_sslobj", None)
    try:
        return [certificate.read(one.public_bytes(2)) for one in inner.get_verified_chain() or ()]  # 2: DER
    except (AttributeError, CertificateError):
        return []


def _date(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))
