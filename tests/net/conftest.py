"""Certificates for the tests of this floor: an authority that issues good ones and odd ones."""

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
DAY = datetime.timedelta(days=1)
SERVICE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")


class Authority:
    """Issues certificates into a folder; `path` is its own."""

    def __init__(self, folder: Path, name: str = "An authority"):
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.count = 0
        self.path, _ = self.issue(self_named=name, authority=True, stem=f"authority-{name}".replace(" ", "-"))

    def issue(
        self,
        *names: str,
        services: tuple[str, ...] = (),
        common: str = "nobody.example",
        begins: float = -1,
        days: float = 30,
        authority: bool = False,
        usage: x509.ObjectIdentifier | None = None,
        signing=None,
        subject_key=None,
        self_named: str | None = None,
        stem: str | None = None,
    ) -> tuple[Path, Path]:
        """A certificate and its key, as files. `begins` and `days` count from today."""
        self.count += 1
        stem = stem or f"{self.count}-{id(self)}"
        now = datetime.datetime.now(datetime.UTC)
        own = subject_key or (self.key if self_named else ec.generate_private_key(ec.SECP256R1()))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, self_named or common)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(own.public_key())
            .serial_number(self.count)
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + (begins + days) * DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        alternatives = [x509.DNSName(one) for one in names]
        alternatives += [x509.OtherName(SERVICE_NAME, b"\x16" + bytes([len(one)]) + one.encode()) for one in services]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = builder.sign(signing or self.key, hashes.SHA256())
        certificate, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        certificate.write_bytes(signed.public_bytes(PEM))
        plain = serialization.NoEncryption()
        key.write_bytes(own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))
        return certificate, key


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "A stranger")
