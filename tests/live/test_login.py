"""Logging in, talking and asking with slixmpp, at a node as its users start it."""

import signal

import pytest
from slixmpp.exceptions import IqError

from tests.live.peers import Person


@pytest.fixture
def home(nodes):
    node = nodes("home.example", more='[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]')
    node.start()
    node.add("ann", "bob")
    return node


def test_the_machine_itself_is_a_contact_within_ten_seconds(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home).logs_in()
        assert ann.plugin["feature_mechanisms"].mech.name == "SCRAM-SHA-256"
        ann.send_presence_subscription("hub@home.example")
        presence = await ann.hears(lambda s: s["from"] == "hub@home.example/hw" and s["status"], deadline=10)
        assert "load" in presence["status"] and "memory" in presence["status"]
        assert "memory" in await ann.says("hub@home.example", "status")
        await ann.leaves()

    run(talk())


def test_two_people_become_contacts_and_talk(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home).logs_in()
        bob = await Person("bob@home.example/laptop", home).logs_in()
        ann.send_presence_subscription("bob@home.example")
        await bob.hears(lambda s: s["type"] == "subscribed")
        await ann.hears(lambda s: s["from"] == "bob@home.example/laptop" and s["type"] == "available")
        ann.send_message("bob@home.example", "Is the lamp on?", mtype="chat")
        assert (await bob.hears(lambda s: s["body"]))["from"] == "ann@home.example/phone"
        await bob.leaves()
        await ann.hears(lambda s: s["from"] == "bob@home.example/laptop" and s["type"] == "unavailable")
        ann.send_message("bob@home.example", "Good night.", mtype="chat")
        await ann.plugin["xep_0199"].ping("home.example")
        bob = await Person("bob@home.example/laptop", home).logs_in()
        late = await bob.hears(lambda s: s["body"] == "Good night.")
        assert late.xml.find("{urn:xmpp:delay}delay") is not None
        await ann.leaves()
        await bob.leaves()

    run(talk())


def test_a_wrong_password_is_refused(home, run):
    async def talk():
        with pytest.raises(ConnectionError):
            await Person("ann@home.example", home, password="wrong").logs_in()

    run(talk())


def test_at_the_end_clients_hear_why(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home).logs_in()
        errors = []
        ann.add_event_handler("stream_error", errors.append)
        ended = ann.wait_until("disconnected", 10)
        assert home.stop(signal.SIGTERM) == 0
        await ended
        assert errors[0]["condition"] == "system-shutdown"

    run(talk())


def test_a_person_who_is_removed_is_logged_out(home, run):
    async def talk():
        ann = await Person("ann@home.example/phone", home).logs_in()
        ended = ann.wait_until("disconnected", 10)
        assert home.command("user", "remove", "ann@home.example").returncode == 0
        await ended
        bob = await Person("bob@home.example/phone", home).logs_in()
        with pytest.raises(IqError) as caught:
            await bob.plugin["xep_0199"].send_ping("ann@home.example")
        assert caught.value.condition == "service-unavailable"
        await bob.leaves()

    run(talk())
