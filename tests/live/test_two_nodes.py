"""Two nodes at addresses of their own, known to each other by their certificates: people of one, a board of the
other."""

import asyncio
import signal
import socket

import pytest
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0004 import Form

from tests.live.neighbours import CABIN, HOME, STOVE, peer
from tests.live.peers import DEADLINE, Person

PLUGINS = ("xep_0004", "xep_0050", "xep_0122", "xep_0191")


def is_online(jid):
    return lambda s: s.name == "presence" and s["from"] == jid and s["type"] == "available"


async def by_chat(ann):
    assert "is on" in await ann.says(STOVE, "lamp on")


async def by_form(ann):
    asked = await ann.plugin["xep_0050"].send_command(STOVE, "set", action="execute")
    form = Form()
    form["type"] = "submit"
    form.add_field(var="lamp", value="1")
    session = asked["command"]["sessionid"]
    done = await ann.plugin["xep_0050"].send_command(
        STOVE, "set", action="complete", payload=form, sessionid=session, timeout=DEADLINE
    )
    assert done["command"]["status"] == "completed"


async def by_machine_iq(ann):
    await ann.sets(STOVE, "lamp", "true")


@pytest.mark.parametrize("command", [by_chat, by_form, by_machine_iq])
def test_a_person_of_one_commands_a_board_of_the_other(two, stove, uno, run, command):
    home, _ = two(stove)

    async def talk():
        ann = await Person(f"ann@{HOME}/phone", home, plugins=PLUGINS).logs_in()
        await ann.sees(STOVE)
        await command(ann)
        await asyncio.to_thread(uno.wait, "pin 13 1")
        await ann.leaves()

    run(talk())


def test_a_stranger_and_the_blocked_get_what_a_missing_account_gives(two, stove, run):
    home, cabin = two(stove)

    async def answers(person, address):
        """What comes of asking and of writing."""
        with pytest.raises(IqError) as asked:
            await person.plugin["xep_0199"].send_ping(address)
        with pytest.raises(IqError) as commanded:
            await person.plugin["xep_0050"].send_command(address, "set", action="execute")
        person.send_message(address, "lamp on", mtype="chat")
        refused = await person.hears(lambda s: s.name == "message" and s["type"] == "error")
        return [error.value.condition for error in (asked, commanded)] + [refused["error"]["condition"]]

    async def talk():
        bob = await Person(f"bob@{HOME}/phone", home, plugins=PLUGINS).logs_in()
        cleo = await Person(f"cleo@{CABIN}/desk", cabin, plugins=PLUGINS).logs_in()
        missing = await answers(bob, f"nobody@{CABIN}")
        assert missing == ["service-unavailable"] * 3
        assert await answers(bob, STOVE) == missing
        assert await answers(bob, f"{STOVE}/hw") == missing
        await cleo.plugin["xep_0191"].block(f"bob@{HOME}")
        assert await answers(bob, f"cleo@{CABIN}") == missing
        await bob.leaves()
        await cleo.leaves()

    run(talk())


def test_people_of_both_become_contacts_and_talk(two, run):
    home, cabin = two()

    async def talk():
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        cleo = await Person(f"cleo@{CABIN}/desk", cabin).logs_in()
        ann.send_presence_subscription(f"cleo@{CABIN}")
        await ann.hears(is_online(f"cleo@{CABIN}/desk"))
        await cleo.hears(is_online(f"ann@{HOME}/phone"))
        assert (await ann.plugin["xep_0030"].get_info(CABIN))["disco_info"]["identities"]
        for number in range(20):
            ann.send_message(f"cleo@{CABIN}", f"{number} <&> ü", mtype="chat")
        for number in range(20):
            assert (await cleo.hears(lambda s: s["body"]))["body"] == f"{number} <&> ü"
        cleo.send_message(f"ann@{HOME}", "good night", mtype="chat")
        await ann.hears(lambda s: s["body"] == "good night")
        await cleo.leaves()
        await ann.hears(lambda s: s["from"] == f"cleo@{CABIN}/desk" and s["type"] == "unavailable")
        await ann.leaves()

    run(talk())


def test_a_node_that_is_away_and_comes_back(two, run):
    home, cabin = two()

    async def talk():
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        ann.send_message(f"cleo@{CABIN}", "one", mtype="chat")
        await home.says(f"link to {CABIN}: open")
        assert cabin.stop(signal.SIGKILL) != 0
        await home.says(f"link to {CABIN}: ended")
        ann.send_message(f"cleo@{CABIN}", "two", mtype="chat")
        refused = await ann.hears(lambda s: s["type"] == "error")
        assert refused["error"]["condition"] == "remote-server-timeout"
        assert "connection refused" in refused["error"]["text"]
        cabin.start()
        cleo = await Person(f"cleo@{CABIN}/desk", cabin).logs_in()
        cleo.send_message(f"ann@{HOME}/phone", "here again", mtype="chat")
        await ann.hears(lambda s: s["body"] == "here again")
        ann.send_message(f"cleo@{CABIN}", "three", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "three")
        await cleo.leaves()
        await ann.leaves()

    run(talk())


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_messages_that_wait_for_the_other_survive_the_end_of_this_one(two, run, end):
    home, cabin = two()
    cabin.stop()

    async def before():
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        for number in range(3):
            ann.send_message(f"cleo@{CABIN}", f"before {number}", mtype="chat")
        # What was written before it is on disk with it.
        await ann.update_roster("somebody@elsewhere.example", name="Somebody")
        await asyncio.to_thread(home.stop, end)
        ann.abort()

    async def after():
        cleo = await Person(f"cleo@{CABIN}/desk", cabin, plugins=("xep_0203",)).logs_in()
        home.start()
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        ann.send_message(f"cleo@{CABIN}", "after", mtype="chat")
        came = [await cleo.hears(lambda s: s["body"]) for _ in range(4)]
        assert [each["body"] for each in came] == ["before 0", "before 1", "before 2", "after"]
        assert [str(each["delay"]["from"]) for each in came[:3]] == [HOME] * 3
        await cleo.leaves()
        await ann.leaves()

    with socket.create_server((cabin.address, cabin.server_port)):  # somebody who takes connections and says nothing
        run(before())
    cabin.start()
    run(after())


def test_a_certificate_that_is_not_the_pinned_one(two, run):
    home, cabin = two()
    home.configure(peer(cabin, "AB" * 32))
    home.process.send_signal(signal.SIGHUP)

    async def talk():
        await home.says("read again")
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        ann.send_message(f"cleo@{CABIN}", "hello", mtype="chat")
        refused = await ann.hears(lambda s: s["type"] == "error")
        assert refused["error"]["condition"] == "remote-server-not-found"
        assert "certificate is not the pinned one" in refused["error"]["text"]
        await home.says(f"link to {CABIN}: certificate is not the pinned one")
        # And one whom we do not trust is not listened to: his dialback is asked about where he should be.
        cleo = await Person(f"cleo@{CABIN}/desk", cabin).logs_in()
        cleo.send_message(f"ann@{HOME}", "hello", mtype="chat")
        refused = await cleo.hears(lambda s: s["type"] == "error")
        assert "not-authorized" in refused["error"]["text"]
        await cleo.leaves()
        await ann.leaves()

    run(talk())


def test_a_fingerprint_that_changes_ends_the_links_that_are_open(two, run):
    home, cabin = two()
    ours = peer(cabin)

    async def read_again(table):
        home.configure(table)
        home.process.send_signal(signal.SIGHUP)
        await home.says("read again")

    async def talk():
        ann = await Person(f"ann@{HOME}/phone", home).logs_in()
        cleo = await Person(f"cleo@{CABIN}/desk", cabin).logs_in()
        ann.send_message(f"cleo@{CABIN}", "one", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "one")
        cleo.send_message(f"ann@{HOME}", "two", mtype="chat")
        await ann.hears(lambda s: s["body"] == "two")
        await read_again(peer(cabin, "AB" * 32))
        await home.says(f"link to {CABIN}: ended, certificate is not the pinned one")
        await home.says(f"link from {CABIN}: ended with reset")
        ann.send_message(f"cleo@{CABIN}", "three", mtype="chat")
        refused = await ann.hears(lambda s: s["type"] == "error")
        assert "certificate is not the pinned one" in refused["error"]["text"]
        await read_again(ours)
        ann.send_message(f"cleo@{CABIN}", "four", mtype="chat")
        await cleo.hears(lambda s: s["body"] == "four")
        await cleo.leaves()
        await ann.leaves()

    run(talk())
