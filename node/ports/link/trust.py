"""Whose certificate we believe when we open a link: the pinned one, or one that is valid for the domain.

A home node has no public certificate; its owner tells the fingerprint, and then that certificate and no other
is taken, whoever signed it. For every other domain the chain must end in one of this machine's authorities
and name the domain (RFC 6120 §13.7, RFC 9525). There is no third way, and nothing falls back to it.
"""

import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

from node.net import certificate, tls
from node.ports.link.failure import LinkError, distrusted


class Pinned(Protocol):
    """What is configured for one peer."""

    @property
    def fingerprint(self) -> str: ...


class Trust:
    """`own` are the files of our certificate and key, for peers that ask to see them (SASL EXTERNAL)."""

    def __init__(self, peers: Mapping[str, Pinned], own: tuple[str, str] | None):
        self._peers = peers
        self._own = own
        self._contexts: dict[bool, ssl.SSLContext] = {}

    def context(self, domain: str) -> ssl.SSLContext:
        """For a connection to that domain. Raises LinkError when our own files are of no use any more."""
        verify = not self._pin(domain)
        if verify not in self._contexts:  # made when first wanted: the list of authorities takes memory
            certificate_path, key_path = self._own or (None, None)
            try:
                self._contexts[verify] = tls.client_context(
                    verify, "xmpp-server", certificate_path=certificate_path, key_path=key_path
                )
            except certificate.CertificateError as error:
                raise LinkError("internal-server-error", str(error)) from None
        return self._contexts[verify]

    def check(self, domain: str, der: bytes | None, verified: bool) -> None:
        """Compares with the pin; without one the handshake has to have `verified` chain and name. Raises LinkError."""
        pin = self._pin(domain)
        if pin and not certificate.matches(der, pin):
            shown = certificate.spell(sha256(der).digest()) if der else "none"
            raise distrusted(f"certificate is not the pinned one; its fingerprint is {shown}")
        if not pin and not verified:
            raise distrusted("certificate is pinned no more")

    def wants_another(self, domain: str, before: "Trust") -> bool:
        """Whether another certificate is believed, or may be, than `before`."""
        return self._pin(domain) != before._pin(domain)

    def _pin(self, domain: str) -> str:
        peer = self._peers.get(domain)
        return certificate.digits(peer.fingerprint) if peer else ""
