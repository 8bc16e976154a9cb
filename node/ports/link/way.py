"""The way to a domain: which machines speak for it, and the first of them that will have us."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.base.jid import Jid, JidError, ascii_domain
from node.net import dns
from node.ports.link.failure import LinkError, Unreachable, not_found, silent
from node.ports.link.outgoing import Outgoing

if TYPE_CHECKING:
    from node.ports.link import Links

log = logging.getLogger("hobnode")

SERVICES = {"_xmpps-server._tcp": True, "_xmpp-server._tcp": False}  # XEP-0368
PORT = 5269


async def reach(links: "Links", domain: Jid, ended: Callable[[], None]) -> Outgoing:
    """A link on which questions can be asked, to the first address that works. Raises LinkError if none does.

    `ended` is called when the link ends after that. The caller has the deadline.
    """
    failures: list[LinkError] = []
    for target in await _targets(links, domain):
        try:
            addresses = await _addresses(links, target.host)
        except LinkError as error:
            failures.append(error)
            continue
        for address in addresses:
            try:
                return await _open(links, domain, address, target, ended)
            except LinkError as error:
                log.debug("link to %s at %s port %s: %s", domain, address, target.port, error.text)
                failures.append(error)
    # What somebody answered says more than that another address was silent.
    raise next((error for error in failures if not isinstance(error, Unreachable)), failures[0])


async def _targets(links: "Links", domain: Jid) -> list[dns.Target]:
    peer = links.options.peers.get(domain)
    if peer is not None and peer.host:
        return [dns.Target(peer.host, peer.port, False)]
    try:
        name = ascii_domain(domain)
    except JidError as error:
        raise not_found(str(error)) from None
    if dns.is_address(name):
        return [dns.Target(name, PORT, False)]
    try:
        return await links.resolver.targets(name, SERVICES, PORT if peer is None else peer.port)
    except dns.NotFound as error:
        raise not_found(str(error)) from None


async def _addresses(links: "Links", host: str) -> list[str]:
    try:
        return await links.resolver.addresses(host)
    except dns.NotFound as error:
        raise not_found(str(error)) from None
    except dns.NoAnswer as error:
        raise silent(str(error)) from None


async def _open(links: "Links", domain: Jid, address: str, target: dns.Target, ended: Callable[[], None]) -> Outgoing:
    # A stranger's DNS must not send us to the machines of this home (security: F5); .local is this home.
    if not (dns.is_public(address) or domain in links.options.peers or domain.endswith(".local")):
        table = f'[federation.peers."{domain}"]'
        text = f"is said to be at {address}, in a home network, and there is no {table}"
        raise LinkError("remote-server-not-found", text, "remote-connection-failed")
    link = Outgoing(links, domain, ended)
    try:
        await link.open(address, target.port, target.tls)
    finally:
        if not link.is_open:
            link.abort()
    return link
