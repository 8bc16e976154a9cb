"""An XMPP address (RFC 7622): localpart@domainpart/resourcepart, prepared once at the door.

Inside the node an address is a `Jid`: a `str` in its prepared form, hashed and compared as text.
Text from outside becomes one only by `parse`, so two spellings of one address are never two keys.

ASCII is prepared here. What prepares the rest (precis_i18n and idna: 1.2 MiB) is imported by the first address that
needs it; a home where none does is spared it.
"""

import re
import socket
import sys
from functools import cache

from node.base.element import escape_attribute

PART_LIMIT = 1023  # RFC 7622 §3.1: octets of UTF-8 in each part
TEXT_LIMIT = 3 * PART_LIMIT + 2
CACHE_LIMIT = 4096  # addresses; a family hub sees some hundred, a flood of strangers only empties the cache

_PLAIN_LOCAL = re.compile(r"[!#$%()*+,\-.0-9;=?\[\\\]^_`a-z{|}~]{1,1023}\Z")  # ASCII in lower case, less what follows
_PLAIN_DOMAIN = re.compile(r"(?!.*xn--)[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?)*\Z")
_PLAIN_RESOURCE = re.compile(r"[\x20-\x7e]{1,1023}\Z")
_FORBIDDEN_LOCAL = frozenset("\"&'/:<>@")  # RFC 7622 §3.3.1


class JidError(ValueError):
    """The text is no XMPP address; the message says why."""


class Jid(str):
    """A prepared address. Made by `parse` and `make` only."""

    __slots__ = ("_account", "domain", "local", "resource", "wire")

    local: str
    domain: str
    resource: str
    wire: bytes  # as it stands between quotes in XML
    _account: "Jid | None"

    @property
    def bare(self) -> "Jid":
        """The address without its resource."""
        return self._account or self

    @property
    def full(self) -> bool:
        """Whether it names a resource."""
        return self.resource != ""

    def with_resource(self, resource: str) -> "Jid":
        """The same account at another resource. Raises JidError."""
        return _join(self.local, self.domain, _prepare_resource(resource))


def parse(text: str) -> Jid:
    """Prepares an address from outside. Raises JidError (RFC 7622 §3)."""
    found = _cache.get(text)
    if found is None:
        if isinstance(text, Jid):
            return text
        if len(text) > TEXT_LIMIT:
            raise JidError("the address is longer than 3071 characters")
        rest, slash, resource = text.partition("/")
        local, at, domain = rest.partition("@")
        if not at:
            local, domain = "", local
        if (at and not local) or (slash and not resource):
            raise JidError(f"an empty part in the address {text[:80]!r}")
        found = make(local, domain, resource)
        if len(_cache) >= CACHE_LIMIT:
            _cache.clear()
        _cache[text] = found
    return found


def make(local: str, domain: str, resource: str = "") -> Jid:
    """Prepares and joins the parts; '' for a part that is not there. Raises JidError."""
    return _join(
        _prepare_local(local) if local else "",
        _prepare_domain(domain),
        _prepare_resource(resource) if resource else "",
    )


def ascii_domain(domain: str) -> str:
    """A prepared domain as DNS and certificates spell it (A-labels), an IPv6 address without its brackets.

    Raises JidError when it is too long for DNS so spelt.
    """
    if domain.startswith("["):
        return domain[1:-1]
    if domain.isascii():
        return domain
    import idna

    try:
        return idna.encode(domain).decode()
    except idna.IDNAError as error:
        raise JidError(f"the domain {domain[:80]!r} is not one of DNS: {error}") from None


def _join(local: str, domain: str, resource: str) -> Jid:
    domain = sys.intern(domain)  # most are ours: one text for all, and compared at a glance
    account = Jid(f"{local}@{domain}" if local else domain)
    account.local, account.domain, account.resource, account._account = local, domain, "", None
    account.wire = escape_attribute(account).encode()
    if not resource:
        return account
    jid = Jid(f"{account}/{resource}")
    jid.local, jid.domain, jid.resource, jid._account = local, domain, resource, account
    jid.wire = escape_attribute(jid).encode()
    return jid


def _prepare_local(text: str) -> str:
    if text.isascii() and _PLAIN_LOCAL.match(text := text.lower()):
        return text
    prepared = _enforce("UsernameCaseMapped", text, "the name")
    if not _FORBIDDEN_LOCAL.isdisjoint(prepared):
        raise JidError(f"the name {text[:80]!r} has a character that no address may have")
    return prepared


def _prepare_resource(text: str) -> str:
    if _PLAIN_RESOURCE.match(text):
        return text
    return _enforce("OpaqueString", text, "the resource")


def _prepare_domain(text: str) -> str:
    text = text.removesuffix(".")
    if len(text) <= 253 and text.isascii() and _PLAIN_DOMAIN.match(text := text.lower()):
        return text
    if not text or len(text) > PART_LIMIT:
        raise JidError("the domain is empty or too long")
    if text.startswith("["):
        return _prepare_ipv6(text)
    import idna

    try:
        # U-labels (RFC 7622 §3.2): compared as Unicode; uts46 maps case and width as registrars do.
        prepared = idna.decode(text, uts46=True)
    except (idna.IDNAError, UnicodeError) as error:
        raise JidError(f"the domain {text[:80]!r} {_trouble(text, error)}") from None
    return prepared.removesuffix(".")  # there are other full stops than '.': U+3002


def _trouble(domain: str, error: Exception) -> str:
    """What is wrong with a domain, for people: what idna says is for those who know its tables."""
    if "@" in domain:
        return "is more than a domain: only the part after the @ is one"
    named = re.search(r"U\+([0-9A-F]{4,6})", str(error))
    return f"has {chr(int(named[1], 16))!r}, which no domain may have" if named else f"is not valid: {error}"


def _prepare_ipv6(text: str) -> str:
    if not text.endswith("]"):
        raise JidError(f"the domain {text[:80]!r} is not valid")
    try:
        address = socket.inet_pton(socket.AF_INET6, text[1:-1])
        return f"[{socket.inet_ntop(socket.AF_INET6, address)}]"
    except (OSError, ValueError):  # ValueError: a NUL, a surrogate
        raise JidError(f"the domain {text[:80]!r} is not valid") from None


@cache
def _profile(name: str):
    from precis_i18n import get_profile

    return get_profile(name)


def _enforce(profile: str, text: str, what: str) -> str:
    try:
        prepared = _profile(profile).enforce(text)
    except UnicodeEncodeError as error:
        why = "a blank" if error.reason == "DISALLOWED/spaces" else "a character"
        raise JidError(f"{what} {text[:80]!r} has {why} that no address may have") from None
    if len(prepared.encode()) > PART_LIMIT:
        raise JidError(f"{what} is longer than 1023 octets")
    return prepared


_cache: dict[str, Jid] = {}
