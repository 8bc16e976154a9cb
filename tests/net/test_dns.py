"""DNS answers as they come over the wire, from a name server of a few lines on loopback."""

import asyncio
import random
import socket
import struct

import pytest

from node.net.dns import NoAnswer, NotFound, Record, Resolver, Target, in_order, is_public

SERVICES = {"_xmpps-server._tcp": True, "_xmpp-server._tcp": False}
A, SRV, AAAA = 1, 33, 28
NXDOMAIN, SERVFAIL = 3, 2


def name(text):
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def srv(priority, weight, port, target):
    return SRV, struct.pack("!HHH", priority, weight, port) + name(target)


def a(address):
    return A, socket.inet_aton(address)


class NameServer(asyncio.DatagramProtocol):
    """Answers from a table: name -> records, or an error code, or None: silence. Others are NXDOMAIN."""

    def __init__(self, table):
        self.table = table
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        (wanted,) = struct.unpack("!H", data[at + 1 : at + 3])
        host = ".".join(labels)
        self.asked.append(host)
        found = self.table.get(host, NXDOMAIN)
        if found is None:
            return
        code, records = (found, []) if isinstance(found, int) else (0, [item for item in found if item[0] == wanted])
        answer = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(content)) + content for kind, content in records
        )
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        self.transport.sendto(head + data[12 : at + 5] + answer, peer)


def ask(table, question):
    """Runs `question(resolver)` with a name server of that table; gives the answer and what was asked."""

    async def run():
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(
            lambda: NameServer(table), local_addr=("127.0.0.1", free_port())
        )
        address, port = transport.get_extra_info("sockname")
        resolver = Resolver([f"{address}:{port}"], random.Random(1))
        try:
            return await asyncio.wait_for(question(resolver), 20), server.asked
        finally:
            await resolver.close()
            transport.close()

    return asyncio.run(run())


def free_port():
    for port in range(26900, 26999):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port from 26900 on")


def targets(table, domain="example.org"):
    return ask(table, lambda resolver: resolver.targets(domain, SERVICES, 5269))[0]


def addresses(table, host="example.org"):
    return ask(table, lambda resolver: resolver.addresses(host))[0]


def test_records_of_both_services_are_mixed_by_priority():
    found = targets(
        {
            "_xmpps-server._tcp.example.org": [srv(20, 0, 443, "b.example.org")],
            "_xmpp-server._tcp.example.org": [
                srv(10, 0, 5269, "a.example.org"),
                srv(30, 0, 5269, "c.example.org"),
            ],
        }
    )
    assert found == [
        Target("a.example.org", 5269, False),
        Target("b.example.org", 443, True),
        Target("c.example.org", 5269, False),
    ]


def test_without_records_the_domain_itself_is_asked():
    assert targets({}) == [Target("example.org", 5269, False)]


def test_broken_srv_look_up_falls_back_to_the_domain():
    table = {"_xmpps-server._tcp.example.org": SERVFAIL, "_xmpp-server._tcp.example.org": SERVFAIL}
    assert targets(table) == [Target("example.org", 5269, False)]


def test_F5_a_dot_says_that_there_is_no_such_server():
    with pytest.raises(NotFound, match="says that it has no such server"):
        targets({"_xmpp-server._tcp.example.org": [srv(0, 0, 0, ".")]})


def test_a_dot_for_direct_tls_leaves_the_other_service():
    table = {
        "_xmpps-server._tcp.example.org": [srv(0, 0, 0, ".")],
        "_xmpp-server._tcp.example.org": [srv(0, 0, 5269, "a.example.org")],
    }
    assert targets(table) == [Target("a.example.org", 5269, False)]


def test_F5_fifty_records_are_not_all_tried():
    table = {"_xmpp-server._tcp.example.org": [srv(0, 0, 5269, f"h{number}.x") for number in range(50)]}
    assert len(targets(table)) == 10


def test_addresses_of_a_host():
    assert addresses({"example.org": [a("192.0.2.1"), a("192.0.2.2")]}) == ["192.0.2.1", "192.0.2.2"]


def test_an_address_is_its_own_answer():
    found, asked = ask({}, lambda resolver: resolver.addresses("127.0.0.3"))
    assert found == ["127.0.0.3"]
    assert asked == []


def test_a_name_that_does_not_exist_is_not_found():
    with pytest.raises(NotFound, match=r"no address of example\.org"):
        addresses({})


def test_a_name_without_addresses_is_not_found():
    with pytest.raises(NotFound):
        addresses({"example.org": []})


def test_a_broken_dns_gives_no_answer():
    with pytest.raises(NoAnswer, match=r"no answer for example\.org"):
        addresses({"example.org": SERVFAIL})


def test_F5_a_silent_dns_gives_no_answer(monkeypatch):
    monkeypatch.setattr("node.net.dns.TRY_SECONDS", 0.2)
    monkeypatch.setattr("node.net.dns.TRIES", 1)
    with pytest.raises(NoAnswer):
        addresses({"example.org": None})


def test_no_search_list_is_tried(monkeypatch):
    monkeypatch.setenv("LOCALDOMAIN", "home.arpa")  # what `search` is in resolv.conf

    def question(resolver):
        async def both():
            with pytest.raises(NotFound):
                await resolver.addresses("cabin")

        return both()

    _, asked = ask({}, question)
    assert set(asked) == {"cabin"}


def test_localhost_is_asked_of_the_system():
    found, asked = ask({}, lambda resolver: resolver.addresses("localhost"))
    assert "127.0.0.1" in found
    assert asked == []


def test_heavier_records_come_first_more_often():
    records = [
        Record(0, 90, 1, "heavy", False),
        Record(0, 10, 1, "light", False),
        Record(0, 0, 1, "last", False),
    ]
    chance = random.Random(7)
    first = [in_order(records, chance)[0].host for _ in range(1000)]
    assert 850 < first.count("heavy") < 930
    assert 0 < first.count("last") < 40


@pytest.mark.parametrize("address", ["8.8.8.8", "2a01:4f8::1", "::ffff:8.8.8.8"])
def test_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ]
    + ["::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::", "ff02::1", "2002:7f00:1::1"],
)
def test_F5_not_public(address):
    assert not is_public(address)
