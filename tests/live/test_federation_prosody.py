"""A node and Debian's Prosody, which find each other in DNS and talk as any two servers would."""

import asyncio
import shutil
import ssl

import pytest
from slixmpp.exceptions import IqError

from node.net import certificate
from tests.live.peers import Person
from tests.live.prosody import Names, Prosody

HOME, FOREIGN, HUB = "home.example", "prosody.example", "hub@home.example"
NODE_ADDRESS, PROSODY_ADDRESS = "127.0.0.2", "127.0.0.4"
ANN, CLEO = f"ann@{HOME}/phone", f"cleo@{FOREIGN}/desk"
ACCESS = f'[access]\ncontrol = ["@{FOREIGN}"]\napprove = ["@{FOREIGN}"]\n'


class World:
    """The two servers and their names."""

    def __init__(self, folder, nodes):
        self.folder = folder
        self.nodes = nodes
        self.names = None
        self.prosody = None
        self.home = None

    def start(self, services=("xmpp-server",), trusting=False, pinned=True):
        """`services` are those by which each finds the other; `trusting`: Prosody believes our certificate."""
        resolver = self.folder / "resolv.conf"
        papers = self.folder / "certificate.pem", self.folder / "key.pem"
        certificate.make(HOME, *papers)
        self.prosody = Prosody(
            self.folder / "prosody", FOREIGN, PROSODY_ADDRESS, resolver, papers[0] if trusting else None
        )
        peer = f'[federation.peers."{FOREIGN}"]\n'
        pin = f'fingerprint = "{self.prosody.fingerprint}"\n' if pinned else ""
        self.home = self.nodes(HOME, address=NODE_ADDRESS, server=True)
        ports = {"xmpp-server": self.prosody.server_port, "xmpps-server": self.prosody.tls_server_port}
        self.names = Names(
            self.folder,
            {
                FOREIGN: (PROSODY_ADDRESS, {name: ports[name] for name in services}),
                HOME: (NODE_ADDRESS, dict.fromkeys(services, self.home.server_port)),
                "dumb.example": (PROSODY_ADDRESS, {"xmpp-server": -1}),
                "inside.example": (PROSODY_ADDRESS, {"xmpp-server": ports["xmpp-server"]}),
            },
        )
        self.home.within = self.names.within
        self.home.configure(ACCESS + peer + pin)
        self.home.data.mkdir()
        for file in papers:
            shutil.copy(file, self.home.data)
        self.prosody.add("cleo")
        self.prosody.start()
        self.home.start()
        self.home.add("ann")

    def stop(self):
        if self.prosody is not None:
            self.prosody.stop()
            print(f"--- log of Prosody\n{self.prosody.said()[-20_000:]}")
        if self.names is not None:
            self.names.stop()

    async def people(self):
        ann = await Person(ANN, self.home, plugins=PLUGINS).logs_in()
        cleo = Person(CLEO, self.prosody, plugins=PLUGINS)
        cleo.ssl_context = trusting()
        return ann, await cleo.logs_in()


PLUGINS = ("xep_0004", "xep_0012", "xep_0050", "xep_0092", "xep_0122", "xep_0202")


def trusting():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def world(tmp_path, nodes):
    world = World(tmp_path, nodes)
    yield world
    world.stop()


def is_online(jid):
    return lambda s: s.name == "presence" and s["from"] == jid and s["type"] == "available"


async def is_told(person, condition, to, words):
    """What a person writes comes back with that condition and those words."""
    person.send_message(to, "hello", mtype="chat")
    error = (await person.hears(lambda s: s["type"] == "error" and s["from"] == to))["error"]
    assert (error["condition"], words in error["text"]) == (condition, True), error["text"]


def test_subscription_presence_messages_and_questions_both_ways(world, run):
    world.start()

    async def talk():
        ann, cleo = await world.people()
        ann.send_presence_subscription(f"cleo@{FOREIGN}")
        await ann.hears(is_online(CLEO))
        await cleo.hears(is_online(ANN))
        ann.send_presence(pshow="away", pstatus="im Garten <&>")
        seen = await cleo.hears(lambda s: s["from"] == ANN and s["status"])
        assert (seen["type"], seen["status"]) == ("away", "im Garten <&>")
        for number in range(20):
            ann.send_message(CLEO, f"{number} ü <&>", mtype="chat")
            cleo.send_message(ANN, f"{number} ö", mtype="chat")
        for number in range(20):
            assert (await cleo.hears(lambda s: s["body"]))["body"] == f"{number} ü <&>"
            assert (await ann.hears(lambda s: s["body"]))["body"] == f"{number} ö"
        for person, server, other in ((ann, FOREIGN, CLEO), (cleo, HOME, ANN)):
            assert (await person.plugin["xep_0030"].get_info(server))["disco_info"]["identities"]
            assert (await person.plugin["xep_0092"].get_version(server))["software_version"]["name"]
            await person.plugin["xep_0199"].send_ping(other)
            with pytest.raises(IqError) as refused:
                await person.plugin["xep_0092"].get_version(f"nobody@{server}")
            assert refused.value.condition == "service-unavailable"
        cleo.send_presence(ptype="unavailable")
        await ann.hears(lambda s: s["from"] == CLEO and s["type"] == "unavailable")
        await ann.leaves()
        await cleo.leaves()

    run(talk())


def test_a_person_there_subscribes_to_a_thing_here_and_asks_it(world, run):
    world.start()

    async def talk():
        _, cleo = await world.people()
        cleo.send_presence_subscription(HUB)
        seen = await cleo.hears(lambda s: s["from"] == f"{HUB}/hw" and s["status"])
        assert "memory" in seen["status"]
        assert "memory" in await cleo.says(HUB, "status")
        items = await cleo.plugin["xep_0050"].get_commands(jid=HUB)
        assert items["disco_items"]["items"]
        assert (await cleo.plugin["xep_0092"].get_version(f"{HUB}/hw"))["software_version"]["name"]
        await cleo.leaves()

    run(talk())


def test_direct_tls_both_ways(world, run):
    world.start(services=("xmpps-server",))

    async def talk():
        ann, cleo = await world.people()
        ann.send_message(CLEO, "there", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "there")
        cleo.send_message(ANN, "and back", mtype="chat")
        await ann.hears(lambda s: s["body"] == "and back")
        for way in ("Received[s2sin_unauthed]", "Sending[s2sout_unauthed]"):
            assert f"{way}: <starttls" not in world.prosody.said()
        await ann.leaves()
        await cleo.leaves()

    run(talk())


def test_a_prosody_that_believes_our_certificate_needs_no_dialback_of_us(world, run):
    world.start(trusting=True)

    async def talk():
        ann, cleo = await world.people()
        ann.send_message(CLEO, "there", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "there")
        cleo.send_message(ANN, "and back", mtype="chat")
        await ann.hears(lambda s: s["body"] == "and back")
        await asyncio.to_thread(world.prosody.log.wait, f"Accepting SASL EXTERNAL identity from {HOME}")
        await ann.leaves()
        await cleo.leaves()

    run(talk())


def test_a_certificate_of_its_own_making_is_not_believed(world, run):
    world.start(pinned=False)

    async def talk():
        ann, cleo = await world.people()
        await is_told(ann, "remote-server-not-found", CLEO, f"{FOREIGN}: certificate is self-signed")
        await world.home.says(f"link to {FOREIGN}: certificate is self-signed")
        await is_told(cleo, "remote-server-timeout", ANN, "")
        await world.home.says(f"as {FOREIGN}: not accepted, that domain: certificate is self-signed")
        await ann.leaves()
        await cleo.leaves()

    run(talk())


def test_domains_where_no_server_is(world, run):
    world.start()

    async def talk():
        ann, cleo = await world.people()
        for domain, words in (
            ("nowhere.example", "DNS knows no address of nowhere.example"),
            ("dumb.example", "the DNS of dumb.example says that it has no such server"),
            ("inside.example", 'in a home network, and there is no [federation.peers."inside.example"]'),
        ):
            await is_told(ann, "remote-server-not-found", f"x@{domain}", words)
        ann.send_presence_subscription("x@nowhere.example")
        refused = await ann.hears(lambda s: s.name == "presence" and s["type"] == "error")
        assert refused["error"]["condition"] == "remote-server-not-found"
        cleo.send_message(ANN, "still here", mtype="chat")
        await ann.hears(lambda s: s["body"] == "still here")
        ann.send_message(CLEO, "still there", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "still there")  # by a link
        world.prosody.stop()
        await world.home.says(f"link to {FOREIGN}: ended")
        await is_told(ann, "remote-server-timeout", f"cleo@{FOREIGN}", "connection refused")
        await ann.leaves()

    run(talk())
