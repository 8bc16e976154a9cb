"""Where a domain's servers listen: SRV records in their order, then plain addresses.

Knows no protocol: the caller names the services. The library (c-ares, 2 MB) is loaded at the first question.
"""

import asyncio
import random
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

TARGET_LIMIT = 10  # a domain with more SRV records is trying us out, and there is no time for more connects
ADDRESS_LIMIT = 6  # of one host: two of each family and some to spare
TRY_SECONDS = 2.5  # for one server of resolv.conf; three tries of all of them still fit in a link's 30 s
TRIES = 3
LOCAL_SECONDS = 5  # mDNS answers within 1 s or not at all (RFC 6762 §5.2)


class NotFound(Exception):
    """The name does not exist, or its owner says that it has no such service. Asking again is of no use."""


class NoAnswer(Exception):
    """DNS was silent or broken. Asking again later may help."""


class Target(NamedTuple):
    """A host to ask for a service. `tls`: TLS is spoken from the first byte (XEP-0368)."""

    host: str
    port: int
    tls: bool


class Record(NamedTuple):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str
    tls: bool


class Resolver:
    """Asks DNS. `nameservers` ("address" or "address:port") instead of those in resolv.conf."""

    def __init__(self, nameservers: Sequence[str] = (), chance: random.Random | None = None):
        self._nameservers = list(nameservers)
        self._chance = chance or random.SystemRandom()
        self._asker: Any = None

    async def targets(self, domain: str, services: dict[str, bool], port: int) -> list[Target]:
        """The hosts of a domain, best first.

        `services` are names such as "_xmpp-server._tcp", each with whether it speaks TLS from the first byte;
        their records are mixed as if they were one service (XEP-0368 §3). Without a record: the domain
        itself, at `port` (RFC 6120 §3.2.2). Raises NotFound when the owner says that there is no such service.
        """
        answers = await asyncio.gather(*(self._records(f"{name}.{domain}", tls) for name, tls in services.items()))
        records = [record for answer in answers for record in answer]
        offered = [record for record in records if record.host not in ("", ".")]
        if records and not offered:
            raise NotFound(f"the DNS of {domain} says that it has no such server")
        if not offered:
            return [Target(domain, port, False)]
        return [Target(record.host, record.port, record.tls) for record in in_order(offered, self._chance)][
            :TARGET_LIMIT
        ]

    async def _records(self, name: str, tls: bool) -> list[Record]:
        """A DNS that fails counts as one without records: the address look-up that follows says how it is."""
        aiodns = self._load()
        try:
            result = await self._asker.query_dns(name, "SRV")
        except aiodns.error.DNSError:
            return []
        return [
            Record(data.priority, data.weight, data.port, data.target.rstrip("."), tls)
            for data in (record.data for record in result.answer)
            if hasattr(data, "target") and hasattr(data, "weight")  # a CNAME may stand before the SRV record
        ]

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a host, in the order to try them (RFC 6724). Raises NotFound, NoAnswer."""
        if is_address(host):
            return [host]
        if host == "localhost" or host.endswith((".local", ".localhost")):
            return await self._local_addresses(host)
        aiodns = self._load()
        try:
            # One sort of socket, or every address comes once per sort.
            result = await self._asker.getaddrinfo(host, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            if error.args[0] in (
                aiodns.error.ARES_ENOTFOUND,
                aiodns.error.ARES_ENODATA,
                aiodns.error.ARES_EBADNAME,
            ):
                raise NotFound(f"DNS knows no address of {host}") from None
            raise NoAnswer(f"DNS gave no answer for {host}: {error.args[-1]}") from None
        found = [node.addr[0] for node in result.nodes]
        texts = [address.decode() if isinstance(address, bytes) else address for address in found]
        return list(dict.fromkeys(texts))[:ADDRESS_LIMIT]

    async def _local_addresses(self, host: str) -> list[str]:
        """mDNS is the system's, and only its own blocking call knows it: in a helper thread."""
        look_up = asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.wait_for(look_up, LOCAL_SECONDS)
        except TimeoutError:
            raise NoAnswer(f"nobody on this network answered for {host}") from None
        except OSError as error:
            raise NotFound(f"nobody on this network is {host}: {error.strerror}") from None
        return list(dict.fromkeys(str(address[0]) for *_, address in found))[:ADDRESS_LIMIT]

    def _load(self) -> Any:
        import aiodns  # 1 to 2 MB, for those who federate

        if self._asker is None:
            # No search list: example.org is never example.org.home.arpa. EDNS is c-ares' own choice.
            flags = aiodns.pycares.ARES_FLAG_NOSEARCH | aiodns.pycares.ARES_FLAG_EDNS
            servers = self._nameservers or None
            self._asker = aiodns.DNSResolver(servers, timeout=TRY_SECONDS, tries=TRIES, flags=flags)
        return aiodns

    async def close(self) -> None:
        if self._asker is not None:
            await self._asker.close()
            self._asker = None


def in_order(records: Sequence[Record], chance: random.Random) -> list[Record]:
    """SRV records in the order to try them (RFC 2782): by priority, equal ones by weighted chance."""
    ordered: list[Record] = []
    for priority in sorted({record.priority for record in records}):
        # Those of weight 0 stand first, so that they are seldom taken, but can be.
        waiting = sorted(
            (record for record in records if record.priority == priority), key=lambda record: record.weight
        )
        while waiting:
            mark = chance.randint(0, sum(record.weight for record in waiting))
            for record in waiting:
                mark -= record.weight
                if mark <= 0:
                    break
            waiting.remove(record)
            ordered.append(record)
    return ordered


def is_address(host: str) -> bool:
    """Whether it is an IP address already."""
    import ipaddress  # 0.15 MiB, for those who federate

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether it is an address of the Internet: not of this machine, nor of a home network, nor a group."""
    import ipaddress

    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.sixtofour:
        return False  # out of use (RFC 7526), and may hide an address of this home; older Pythons call it global
    return ip.is_global and not ip.is_multicast
