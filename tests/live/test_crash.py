"""kill -9 in the middle of things: nothing that was answered is lost, and the node is up again in under 2 s."""

import asyncio
import random
import signal

import pytest

from tests.live.peers import Person

ROUNDS = 5
UP_AGAIN = 2  # seconds


@pytest.mark.timeout(180)
def test_nothing_that_was_answered_is_lost_by_kill_9(nodes, run):
    home = nodes("home.example", more="[limits]\nrate = 0")
    home.start()
    home.add("ann", "bob")
    chance = random.Random(6120)
    answered: list[int] = []
    sent = 0

    async def talks_until_the_end(wanted):
        """Ann writes to Bob, who is away, and each time adds a contact; which of them were answered."""
        nonlocal sent
        ann = await Person("ann@home.example/phone", home).logs_in()
        ended = ann.wait_until("disconnected", 60)
        count = 0
        tasks = []

        async def adds(number):
            nonlocal count
            await ann.update_roster(f"contact{number}@elsewhere.example", name=f"Contact {number}")
            # What was written before it lies in the same database before it: the answer covers the message too.
            answered.append(number)
            count += 1
            if count == wanted:
                home.stop(signal.SIGKILL)

        while home.process.poll() is None:
            sent += 1
            ann.send_message("bob@home.example", f"message {sent}", mtype="chat")
            tasks.append(asyncio.ensure_future(adds(sent)))
            await asyncio.sleep(0)
            if sent % 8 == 0:
                await asyncio.wait(tasks[-8:], return_when=asyncio.FIRST_COMPLETED)
        await ended
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def looks():
        """What is there afterwards."""
        ann = await Person("ann@home.example/phone", home).logs_in()
        contacts = {str(jid) for jid in ann.client_roster}
        await ann.leaves()
        bob = await Person("bob@home.example/phone", home).logs_in()
        await bob.plugin["xep_0199"].ping("home.example")  # by now all that waited has come
        messages = [stanza["body"] for stanza in bob.came if stanza.name == "message"]
        bob.came.clear()
        await bob.plugin["xep_0199"].ping("home.example")
        await bob.leaves()
        return contacts, messages

    received: list[str] = []
    for _ in range(ROUNDS):
        run(talks_until_the_end(chance.randrange(5, 60)))
        assert home.start() < UP_AGAIN
        contacts, messages = run(looks())
        assert {f"contact{number}@elsewhere.example" for number in answered} <= contacts
        received += messages
    assert received == [text for text in (f"message {n}" for n in range(1, sent + 1)) if text in set(received)]
    assert {f"message {number}" for number in answered} <= set(received)


@pytest.mark.parametrize("what", ["add", "passwd", "remove"])
def test_an_account_that_was_confirmed_survives_kill_9(nodes, run, what):
    home = nodes("home.example")
    home.start()
    home.add("ann")
    if what == "passwd":
        assert home.command("user", "passwd", "ann@home.example", "--password-stdin", input="new").returncode == 0
    if what == "remove":
        assert home.command("user", "remove", "ann@home.example").returncode == 0
    home.stop(signal.SIGKILL)
    home.start()

    async def talk():
        if what == "remove":
            with pytest.raises(ConnectionError):
                await Person("ann@home.example", home).logs_in()
        else:
            await Person("ann@home.example", home, password="new" if what == "passwd" else "secret").logs_in()

    run(talk())


def test_a_card_that_was_confirmed_survives_kill_9(nodes, run):
    home = nodes("home.example")
    home.start()
    home.add("ann")

    async def talk(first):
        ann = await Person("ann@home.example/phone", home, plugins=("xep_0054",)).logs_in()
        if first:
            card = ann.plugin["xep_0054"].make_vcard()
            card["FN"] = "Ann"
            await ann.plugin["xep_0054"].publish_vcard(card)
            home.stop(signal.SIGKILL)
        else:
            answer = await ann.plugin["xep_0054"].get_vcard("ann@home.example")
            assert answer["vcard_temp"]["FN"] == "Ann"

    run(talk(True))
    home.start()
    run(talk(False))
