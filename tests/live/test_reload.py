"""SIGHUP: the configuration and the certificate are read again while people are talking."""

import signal

from node.net import certificate
from tests.live.peers import Person

ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]\n'
CELLAR = '[thing.cellar]\nname = "Cellar"\ndriver = "linux"\n'


def test_things_come_and_go_without_a_restart(nodes, run):
    home = nodes(more=ACCESS)
    home.start()
    home.add("ann")

    async def talk():
        ann = await Person("ann@home.example/phone", home).logs_in()
        home.configure(ACCESS + CELLAR)
        home.process.send_signal(signal.SIGHUP)
        await home.says("configuration have been read again")
        ann.send_presence_subscription("cellar@home.example")
        await ann.hears(lambda s: s["from"] == "cellar@home.example/hw" and "load" in s["status"])
        home.configure(ACCESS)
        home.process.send_signal(signal.SIGHUP)
        gone = await ann.hears(lambda s: s["from"] == "cellar@home.example/hw" and s["type"] == "unavailable")
        assert gone["status"] == "no longer part of this home"
        home.configure(ACCESS + CELLAR.replace('"linux"', '"linux"\nroot = 1'))
        home.process.send_signal(signal.SIGHUP)
        await home.says("not reloaded, all stays as it is")
        await ann.plugin["xep_0199"].ping("home.example")
        await ann.leaves()

    run(talk())


def test_a_new_certificate_is_shown_to_those_who_come_after(nodes, run):
    home = nodes()
    home.start()
    home.add("ann")

    async def talk():
        before = await Person("ann@home.example/phone", home).logs_in()
        certificate.make(home.domain, home.data / "certificate.pem", home.data / "key.pem")
        home.process.send_signal(signal.SIGHUP)
        await home.says("configuration have been read again")
        after = await Person("ann@home.example/laptop", home).logs_in()
        shown = [person.transport.get_extra_info("ssl_object").getpeercert(True) for person in (before, after)]
        assert shown[0] != shown[1] == certificate.load(home.data / "certificate.pem").der
        await before.plugin["xep_0199"].ping("home.example")
        await before.leaves()
        await after.leaves()

    run(talk())
