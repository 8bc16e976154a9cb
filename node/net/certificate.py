"""What a certificate says, read without a library; and our own first one, made in a process of its own.

The running node never loads `cryptography` (10 MiB): it reads the few fields it needs itself, from DER
(X.690) by the structure of RFC 5280 §4.1. Whether a certificate is genuine is the business of `ssl`.
"""

import binascii
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from typing import NamedTuple

PATIENCE = 120.0  # seconds for making one; loading cryptography alone takes several on a Pi Zero
DAYS = 3652  # ten years: nobody renews by hand what the clients have pinned
PLAUSIBLE = datetime(2026, 1, 1, tzinfo=UTC)  # a Pi without a clock may think it is 1970 when it makes one

_SEQUENCE, _OID, _BOOLEAN, _UTC_TIME = 0x30, 0x06, 0x01, 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # the optional [0] and [3] of a TBSCertificate
_OTHER_NAME, _DNS_NAME = 0xA0, 0x82  # the kinds of a GeneralName that count here
_ALTERNATIVE_NAMES = bytes.fromhex("551d11")  # 2.5.29.17
_BASIC_CONSTRAINTS = bytes.fromhex("551d13")  # 2.5.29.19
_SERVICE_NAME = bytes.fromhex("2b06010505070807")  # id-on-dnsSRV, RFC 4985
_PSS = bytes.fromhex("2a864886f70d01010a")  # RSASSA-PSS, whose parameters name the hash
_DIGESTS = {
    "2a864886f70d010104": "md5",  # with RSA, RFC 8017 appendix C
    "2a864886f70d010105": "sha1",
    "2a864886f70d01010e": "sha224",
    "2a864886f70d01010b": "sha256",
    "2a864886f70d01010c": "sha384",
    "2a864886f70d01010d": "sha512",
    "2a8648ce3d0401": "sha1",  # with ECDSA, RFC 5758 §3.2
    "2a8648ce3d040301": "sha224",
    "2a8648ce3d040302": "sha256",
    "2a8648ce3d040303": "sha384",
    "2a8648ce3d040304": "sha512",
    "2b0e03021a": "sha1",  # alone, as in the parameters of PSS
    "608648016503040204": "sha224",
    "608648016503040201": "sha256",
    "608648016503040202": "sha384",
    "608648016503040203": "sha512",
}


class CertificateError(Exception):
    """A certificate cannot be read or made; the message says which and why, in words."""


class Certificate(NamedTuple):
    """What the node asks of a certificate."""

    der: bytes
    digest: str  # the hash of its signature as hashlib names it; '' for none (Ed25519) or an unknown one
    begins: float  # unix seconds
    expires: float
    names: tuple[str, ...]  # dNSName, lower case; anything that is not plain ASCII text is left out
    services: tuple[str, ...]  # SRVName, lower case, '_xmpp-server.home.example'
    authority: bool  # basicConstraints say CA


def read(der: bytes) -> Certificate:
    """Reads what a certificate says. Raises CertificateError if it is none."""
    try:
        return _read(der)
    except (ValueError, IndexError) as error:
        raise CertificateError(f"not a certificate: {error}") from error


def load(path: str) -> Certificate:
    """Reads the first certificate of a PEM file: the one that is ours. Raises CertificateError."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError as error:
        raise CertificateError(f"cannot read {path}: {os.strerror(error.errno or 0)}") from error
    begin = text.find(ssl.PEM_HEADER)
    end = text.find(ssl.PEM_FOOTER, begin)
    if begin < 0 or end < 0:
        raise CertificateError(f"{path} holds no certificate")
    try:
        return read(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)]))
    except (CertificateError, binascii.Error) as error:
        raise CertificateError(f"{path} holds a damaged certificate: {error}") from error


def fingerprint(path: str) -> str:
    """The SHA-256 by which people and peers know a certificate: 'AB:CD:...'. Raises CertificateError."""
    return spell(sha256(load(path).der).digest())


def old_fingerprint(path: str) -> str:
    """The SHA-1 of a certificate, the only one that some clients show (Profanity). Raises CertificateError."""
    return spell(sha1(load(path).der, usedforsecurity=False).digest())


def expires(path: str) -> float:
    """When a certificate ends, in unix seconds. Raises CertificateError."""
    return load(path).expires


def spell(digest: bytes) -> str:
    """A fingerprint as people write it: 'AB:CD:...'."""
    return digest.hex(":").upper()


def matches(der: bytes | None, text: str) -> bool:
    """Whether a certificate has this SHA-256 fingerprint."""
    return der is not None and sha256(der).hexdigest() == digits(text)


def digits(text: str) -> str:
    """What a fingerprint is, however it is written: 'AB:CD:..', 'abcd..', 'sha256:ab..'."""
    return text.strip().lower().removeprefix("sha256:").replace(":", "").replace(" ", "")


def make(domain: str, certificate: str, key: str, addresses: tuple[str, ...] = ()) -> None:
    """Makes a self-signed P-256 certificate for a domain, and its key, in a process of its own.

    `addresses` are IP addresses that it is valid for, too. Both files are replaced if they are there. Blocks
    for a second (a Pi Zero: ten). Raises CertificateError.
    """
    command = [sys.executable, "-m", __name__, domain, str(certificate), str(key), *addresses]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CertificateError(f"cannot make a certificate for {domain}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise CertificateError(f"cannot make a certificate for {domain}: {said[-1]}")


def made_here(shown: Certificate) -> bool:
    """Whether `make` has made it: nobody else's is good for just these years, for a domain and all that is below."""
    domain, *below = shown.names or ("",)
    return shown.expires - shown.begins == DAYS * 86400 and below == [f"*.{domain}"]


def _read(der: bytes) -> Certificate:
    body, algorithm = _parts(der, *_expect(der, 0, len(der), _SEQUENCE))[:2]
    fields = _parts(der, body[1], body[2])
    if fields[0][0] == _VERSION:
        del fields[0]
    begins, expires = _parts(der, fields[3][1], fields[3][2])  # after serial number, signature and issuer
    names: list[str] = []
    services: list[str] = []
    authority = False
    for extension, value in _extensions(der, fields):
        if extension == _ALTERNATIVE_NAMES:
            _read_names(value, names, services)
        elif extension == _BASIC_CONSTRAINTS:
            inside = _parts(value, *_expect(value, 0, len(value), _SEQUENCE))
            authority = any(tag == _BOOLEAN and value[start] for tag, start, _ in inside)
    return Certificate(
        der,
        _digest(der, algorithm[1], algorithm[2]),
        _time(begins[0], der[begins[1] : begins[2]].decode("ascii")),
        _time(expires[0], der[expires[1] : expires[2]].decode("ascii")),
        tuple(names),
        tuple(services),
        authority,
    )


def _digest(der: bytes, start: int, end: int) -> str:
    oid, *parameters = _parts(der, start, end)
    name = der[oid[1] : oid[2]]
    if name != _PSS:
        return _DIGESTS.get(name.hex(), "")
    for tag, start, end in _parts(der, *parameters[0][1:]) if parameters else ():
        if tag == 0xA0:  # [0] hashAlgorithm
            inner = _parts(der, *_expect(der, start, end, _SEQUENCE))[0]
            return _DIGESTS.get(der[inner[1] : inner[2]].hex(), "")
    return "sha1"  # RFC 8017 appendix A.2.3: what is meant if nothing is said


def _extensions(der: bytes, fields: list[tuple[int, int, int]]):
    for tag, start, end in fields:
        if tag == _EXTENSIONS:
            for _, begin, finish in _parts(der, *_expect(der, start, end, _SEQUENCE)):
                oid, *_, value = _parts(der, begin, finish)
                yield der[oid[1] : oid[2]], der[value[1] : value[2]]


def _read_names(der: bytes, names: list[str], services: list[str]) -> None:
    for tag, start, end in _parts(der, *_expect(der, 0, len(der), _SEQUENCE)):
        if tag == _DNS_NAME:
            names.extend(_name(der[start:end]))
        elif tag == _OTHER_NAME:
            oid, value = _parts(der, start, end)
            if der[oid[1] : oid[2]] == _SERVICE_NAME:
                _, begin, finish = _parts(der, value[1], value[2])[0]
                services.extend(_name(der[begin:finish]))


def _name(raw: bytes) -> list[str]:
    # A NUL, a blank or a letter beyond ASCII in a name is a trick: such a name is nobody's.
    return [raw.decode("ascii").lower()] if raw and all(0x21 <= octet <= 0x7E for octet in raw) else []


def _time(tag: int, text: str) -> float:
    # RFC 5280 §4.1.2.5: UTCTime from 1950 to 2049, GeneralizedTime after.
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    if len(text) != 15 or text[-1] != "Z":
        raise ValueError("a time that certificates do not have")
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    return datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=UTC).timestamp()


def _parts(der: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """The values between two places: (tag, where its content begins, where it ends). Raises ValueError."""
    parts = []
    while start < end:
        tag, length, start = der[start], der[start + 1], start + 2
        if length & 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4:  # DER has no indefinite length, and no certificate has 4 GiB
                raise ValueError("a length that DER does not have")
            length = int.from_bytes(der[start : start + octets])
            start += octets
        if start + length > end:
            raise ValueError("it is cut short")
        parts.append((tag, start, start + length))
        start += length
    return parts


def _expect(der: bytes, start: int, end: int, tag: int) -> tuple[int, int]:
    """Where the content of the one value between two places begins and ends. Raises ValueError."""
    parts = _parts(der, start, end)
    if len(parts) != 1 or parts[0][0] != tag:
        raise ValueError("its structure is another")
    return parts[0][1:]


def _make(domain: str, certificate: str, key: str, addresses: list[str]) -> None:
    """The child's work."""
    import ipaddress

    import idna
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())  # 0.34 ms a handshake where RSA-2048 takes 0.81
    try:
        alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(domain.strip("[]")))]
    except ValueError:
        spelt = idna.encode(domain, uts46=True).decode()
        alternatives = [x509.DNSName(spelt), x509.DNSName(f"*.{spelt}")]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    # For people; what programs read are the alternative names.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, domain[:64])])
    # A day early: the clocks of those who look at it differ.
    begins = max(datetime.now(UTC), PLAUSIBLE) - timedelta(days=1)
    uses = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .sign(secret, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    # The key first: a certificate is the sign that both are there.
    _write(key, secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), 0o600)
    _write(certificate, signed.public_bytes(pem), 0o644)


def _write(path: str, data: bytes, mode: int) -> None:
    """Puts a file in place whole, or not at all, also when the power fails."""
    folder, name = os.path.split(os.path.abspath(path))
    draft = os.path.join(folder, f".{name}.new")
    if os.path.exists(draft):  # left by one that was killed
        os.unlink(draft)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


if __name__ == "__main__":
    try:
        _make(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
    except (OSError, ValueError, ImportError) as error:
        sys.exit(str(error))
