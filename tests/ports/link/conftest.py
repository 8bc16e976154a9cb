"""Nodes that are linked over loopback with real TLS, and servers that say what a test lets them say."""

import asyncio
import contextlib
import re
import ssl
from collections import deque

import pytest

from node.base.jid import parse
from node.base.stanza import Stanza
from node.hub.hub import Hub
from node.hub.store import Store
from node.net import certificate, dns
from node.net.tls import Identity
from node.net.turn import Turn
from node.ports.dialback import Secret
from node.ports.link import Links, Options, Peer, way
from tests.ports import talker
from tests.ports.talker import STARTTLS, HungUp

DEADLINE = 5  # seconds that anything here may take
STREAM = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback'"
    " xmlns:stream='http://etherx.jabber.org/streams' version='1.0'"
)
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
HOME, CABIN = "home.example", "cabin.example"


class Papers:
    """A certificate with its key."""

    def __init__(self, folder, domain):
        self.own = folder / f"{domain}.pem", folder / f"{domain}.key"
        certificate.make(domain, *self.own)
        self.fingerprint = certificate.fingerprint(self.own[0])

    def server_side(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.own)
        return context


@pytest.fixture(scope="session")
def papers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    return {domain: Papers(folder, domain) for domain in (HOME, CABIN)}


class Directory:
    """DNS: domains with a port on loopback, or the error that a look-up gives."""

    def __init__(self):
        self.ports = {}
        self.direct = False
        self.asked = []

    async def targets(self, domain, services, port):
        self.asked.append(domain)
        return [dns.Target(domain, self.ports.get(domain, port), self.direct)]

    async def addresses(self, host):
        if dns.is_address(host):
            return [host]
        found = self.ports.get(host, dns.NotFound(f"DNS knows no address of {host}"))
        if isinstance(found, Exception):
            raise found
        return ["127.0.0.1"]

    async def close(self):
        pass


class Accounts:
    def __init__(self):
        self.names = set()

    def exists(self, name):
        return name in self.names


class Ear:
    """A session at a node, which sends and hears."""

    def __init__(self, hub, address):
        self.jid = parse(address)
        self.hub = hub
        self.stanzas = deque()
        self._news = asyncio.Event()
        hub.accounts.names.add(self.jid.local)
        hub.bind(self)
        hub.set_priority(self.jid, 0)

    def deliver(self, stanza):
        self.stanzas.append(stanza)
        self._news.set()

    def close(self, error):
        pass

    def sends(self, name, *children, to, **about):
        self.hub.route(Stanza(name, *children, sender=self.jid, to=parse(to), **about), self)

    async def hears(self):
        async with asyncio.timeout(DEADLINE):
            while not self.stanzas:
                self._news.clear()
                await self._news.wait()
        return self.stanzas.popleft()


class Talker(talker.Talker):
    """Somebody at the other end of a line between servers, who speaks bytes."""

    id = ""  # of the stream, as the node has named it

    # As one who opens a link to a node

    async def opens(self, domain=CABIN, to=HOME):
        self.says(f"{STREAM} from='{domain}' to='{to}'>")
        features = await self.hears("</stream:features>")
        self.id = re.search(r" id='([0-9a-f]{32})'", features)[1]
        return features

    async def opens_securely(self, domain=CABIN):
        await self.opens(domain)
        await self.starts_tls()
        return await self.opens(domain)

    def claims(self, domain=CABIN, to=HOME, key="k"):
        self.says(f"<db:result from='{domain}' to='{to}'>{key}</db:result>")

    # As one to whom a node opens a link

    async def greets(self, features, id="S1"):
        heard = await self.hears("<stream:stream[^>]*>")
        self.says(f"{STREAM} from='{CABIN}' to='{HOME}' id='{id}'><stream:features>{features}</stream:features>")
        return heard

    async def takes_tls(self, papers):
        await self.greets(STARTTLS)
        await self.hears(re.escape(STARTTLS))
        self.says(PROCEED)
        await self.writer.start_tls(papers.server_side())

    async def accepts_link(self, papers, features="<dialback xmlns='urn:xmpp:features:dialback'/>", id="S2"):
        await self.takes_tls(papers)
        await self.greets(features, id)

    async def accepts_stanzas(self, papers):
        """All the way to the right to send."""
        await self.accepts_link(papers)
        await self.hears("</db:result>")
        self.says(f"<db:result from='{CABIN}' to='{HOME}' type='valid'/>")


class World:
    """Nodes and other servers, known to each other by a directory."""

    def __init__(self, papers, folder):
        self.papers = papers
        self.folder = folder
        self.directory = Directory()
        self.nodes = []
        self.servers = []

    def node(self, domain=HOME, peers=None, **options):
        """A node; its peers are pinned unless the test says otherwise."""
        own = self.papers[domain]
        loop = asyncio.get_running_loop()
        hub = Hub(parse(domain), Store(self.folder / domain, loop), Accounts(), loop)
        if peers is None:
            peers = {name: Peer(fingerprint=each.fingerprint) for name, each in self.papers.items() if name != domain}
        links = Links(hub, Options(peers, own.own, **options), Identity(*own.own), Turn(hub.loop))
        links.resolver = self.directory
        links.secret = Secret(f"the secret of {domain}")
        self.directory.ports[domain] = links.listen("127.0.0.1", 0).port
        self.nodes.append(links)
        return links

    async def server(self, talk, domain=CABIN):
        """A server that does `await talk(talker)` with each connection; gives what becomes of the talks."""
        talks = []

        async def serve(reader, writer):
            visitor = Talker(reader, writer)
            talks.append(asyncio.current_task())
            with contextlib.suppress(HungUp, ConnectionError):
                await talk(visitor)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.directory.ports[domain] = server.sockets[0].getsockname()[1]
        self.servers.append(server)
        return talks

    async def connect(self, links):
        return Talker(*await asyncio.open_connection("127.0.0.1", links.listeners[0].port))

    async def end(self):
        for server in self.servers:
            server.close()
        for links in self.nodes:
            await self.stop(links)
        await asyncio.sleep(0)

    async def stop(self, links):
        """A node ends in order."""
        links.close()
        await links.hub.stop()
        links.hub.store.close()


@pytest.fixture
def world(papers, tmp_path, monkeypatch):
    """`world(story)` runs `await story(world)`, with a deadline."""
    monkeypatch.setattr("node.hub.store.INTERVAL", 0)
    monkeypatch.setattr("node.hub.store.PATIENCE", 0)

    def run(story):
        async def whole():
            world = World(papers, tmp_path)
            try:
                async with asyncio.timeout(4 * DEADLINE):
                    return await story(world)
            finally:
                await world.end()

        return asyncio.run(whole())

    return run


@pytest.fixture
def at_home(monkeypatch):
    """Loopback counts as the Internet, for domains that are not pinned."""
    monkeypatch.setattr(way.dns, "is_public", lambda address: True)
