"""XEP-0198 with slixmpp: a conversation goes on after a cut line, and over a restart of the node."""

import asyncio
import random
import signal

import pytest

from tests.live.peers import DEADLINE, Person

SM = ("xep_0198",)


async def arrives(address, node, **options):
    """Somebody with stream management, whose acks are asked for with each stanza."""
    person = Person(address, node, plugins=SM, **options)
    person.plugin["xep_0198"].window = 1
    person.resumed = asyncio.Event()
    person.failed = []
    person.add_event_handler("session_resumed", lambda event: person.resumed.set())
    person.add_event_handler("sm_failed", person.failed.append)
    await person.logs_in()
    await person.plugin["xep_0199"].ping("home.example")
    assert person.plugin["xep_0198"].sm_id
    return person


async def returns(person):
    """The same program connects anew."""
    person.resumed.clear()
    person.connect(person.node.address, person.node.port)
    async with asyncio.timeout(DEADLINE):
        await person.resumed.wait()
    assert not person.failed
    return person


async def loses_the_line(person):
    ended = asyncio.ensure_future(person.wait_until("disconnected", DEADLINE))
    await asyncio.sleep(0)  # it listens
    person.transport.abort()
    await ended


def texts(person):
    return [stanza["body"] for stanza in person.came if stanza.name == "message"]


def test_a_conversation_goes_on_after_a_cut_line(home, run):
    async def talk():
        ann = await arrives("ann@home.example/phone", home)
        bob = await arrives("bob@home.example/laptop", home)
        ann.send_message("bob@home.example", "one", mtype="chat")
        await bob.hears(lambda s: s["body"] == "one")
        await loses_the_line(ann)
        await home.says("ann@home.example/phone may come back")
        bob.send_message("ann@home.example/phone", "two", mtype="chat")
        bob.send_message("ann@home.example", "three", mtype="chat")
        await bob.plugin["xep_0199"].ping("home.example")
        await returns(ann)
        ann.send_message("bob@home.example", "four", mtype="chat")
        await bob.hears(lambda s: s["body"] == "four")
        await ann.plugin["xep_0199"].ping("home.example")
        assert texts(ann) == ["two", "three"]
        assert [s["type"] for s in ann.came if s.name == "presence" and s["from"] == ann.boundjid] == ["available"]
        assert bob.came == []
        await ann.leaves()
        await bob.leaves()

    run(talk())


def test_what_a_client_wrote_while_its_line_was_dead_is_sent_again_and_comes_once(home, run):
    async def talk():
        ann = await arrives("ann@home.example/phone", home)
        bob = await arrives("bob@home.example/laptop", home)
        bob.send_message("ann@home.example", "zero", mtype="chat")
        await ann.hears(lambda s: s["body"] == "zero")
        for number in range(20):
            bob.send_message("ann@home.example", f"message {number}", mtype="chat")
        await asyncio.sleep(0)  # it writes
        await loses_the_line(bob)
        await returns(bob)
        await ann.hears(lambda s: s["body"] == "message 19")
        bob.send_message("ann@home.example", "end", mtype="chat")
        ann.came.clear()
        await ann.hears(lambda s: s["body"] == "end")
        await ann.leaves()
        await bob.leaves()

    run(talk())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_R10_a_conversation_goes_on_over_a_restart(home, run, number):
    async def talk():
        ann = await arrives("ann@home.example/phone", home)
        bob = await arrives("bob@home.example/laptop", home)
        ann.send_presence_subscription("bob@home.example")
        await bob.hears(lambda s: s["type"] == "subscribed")
        await ann.hears(lambda s: s["from"] == "bob@home.example/laptop" and s["type"] == "available")
        ann.send_message("bob@home.example", "one", mtype="chat")
        await bob.hears(lambda s: s["body"] == "one")
        for each in (ann, bob):
            await each.plugin["xep_0199"].ping("home.example")
            each.came.clear()
        ended = [asyncio.ensure_future(each.wait_until("disconnected", DEADLINE)) for each in (ann, bob)]
        bob.send_message("ann@home.example", "two", mtype="chat")
        await asyncio.sleep(0)  # it writes
        assert await asyncio.to_thread(home.stop, number) == 0
        await asyncio.gather(*ended)
        await asyncio.to_thread(home.start)
        await returns(bob)
        bob.send_message("ann@home.example/phone", "three", mtype="chat")
        await bob.plugin["xep_0199"].ping("home.example")
        await returns(ann)
        ann.send_message("bob@home.example/laptop", "four", mtype="chat")
        await bob.hears(lambda s: s["body"] == "four")
        await ann.plugin["xep_0199"].ping("home.example")
        assert texts(ann) == ["two", "three"]
        assert [s for s in (*ann.came, *bob.came) if s.name == "presence"] == []
        await ann.leaves()
        await bob.leaves()

    run(talk())


def test_kill_9_in_the_middle_of_a_flood_and_each_message_comes_once(home, run):
    async def talk():
        ann = await arrives("ann@home.example/phone", home)
        bob = await arrives("bob@home.example/laptop", home)
        await bob.plugin["xep_0199"].ping("home.example")
        ann.came.clear()
        heard: list[str] = []
        ann.add_event_handler("message", lambda message: heard.append(message["body"]))
        said: list[str] = []
        chance = random.Random(198)

        def says():
            said.append(str(len(said)))
            bob.send_message("ann@home.example", said[-1], mtype="chat")

        for round in range(4):
            for _ in range(20 + 7 * round):
                says()
                await asyncio.sleep(chance.random() * 0.03)  # some are on disk by then, some are not
            ended = [asyncio.ensure_future(each.wait_until("disconnected", DEADLINE)) for each in (ann, bob)]
            await asyncio.sleep(0)  # they listen
            await asyncio.to_thread(home.stop, signal.SIGKILL)
            await asyncio.gather(*ended)
            await asyncio.to_thread(home.start)
            for each in (ann, bob) if round % 2 else (bob, ann):
                await returns(each)
            says()
            await ann.hears(lambda s, last=said[-1]: s["body"] == last)
        await ann.plugin["xep_0199"].ping("home.example")
        assert heard == said
        await ann.leaves()
        await bob.leaves()

    run(talk())
