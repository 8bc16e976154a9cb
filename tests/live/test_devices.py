"""A phone's life: two devices of one account, each away for a while, and everything comes to both once and in order."""

import pytest

from tests.live.clients import People

ANN, BOB = "ann@home.example", "bob@home.example"
PAIRS = [("aioxmpp", "xmpp.js", "slixmpp"), ("xmpp.js", "slixmpp", "aioxmpp"), ("slixmpp", "aioxmpp", "xmpp.js")]
MOST = 5  # messages in a page of the archive: a day has several


def told(messages: list[dict]) -> list[tuple]:
    """Who did what, and with which message."""
    acts = []
    for message in messages:
        who = message["from"].partition("/")[0]
        if "taken_back" in message:
            acts.append((who, "took back", message["id"]))
        elif "retracts" in message:
            acts.append((who, "retracts", message["retracts"]))
        elif "reacts_to" in message:
            acts.append((who, "reacts", message["reacts_to"], *message["reactions"]))
        elif "read" in message:
            acts.append((who, "has read", message["read"]))
        elif "body" in message:
            acts.append((who, "says", message["id"], message["body"]))
    return acts


def afterwards(acts: list[tuple]) -> list[tuple]:
    """The same as the archive has it: of what was retracted only that it was (XEP-0424, tombstones)."""
    gone = {act[2] for act in acts if act[1] == "retracts"}
    return [
        (who, "took back", id) if what == "says" and id in gone else (who, what, id, *rest)
        for who, what, id, *rest in acts
    ]


def messages(somebody) -> list[dict]:
    """The messages that came to somebody, who forgets them."""
    came = [news for news in somebody.came if news["news"] == "message"]
    somebody.came.clear()
    return came


async def catches_up(device, known: set[str]) -> list[dict]:
    """What a device knows after its login, beside what it knew before: oldest first, each once.

    By now it has been given what waited for it, and has read the archive: the same message has the same id in both.
    """
    await device.pings()  # its answer comes behind all that waited
    waited = messages(device)
    read = (await device.reads_back(most=MOST))["read"]
    missed = [message for message in reversed(read) if message["archived"] not in known]
    assert len({message["archived"] for message in missed}) == len(missed)
    # With Bind 2 nothing is handed over that the archive has (XEP-0386 §3.2), without it all is, in order.
    assert [message["archived"] for message in waited] in ([], [message["archived"] for message in missed])
    return missed


async def conversation(ann, bob) -> list[tuple]:
    """Some minutes between a device of ann's and bob: what each did, in this order."""
    acts = []
    for number in range(1, 5):
        asked = await bob.says(to=ANN, text=f"Question {number}?")
        await ann.hears(id=asked["id"])
        await ann.has_read(to=BOB, id=asked["id"])
        await bob.hears(read=asked["id"])
        said = await ann.says(to=BOB, text=f"Answer {number}.")
        await bob.hears(id=said["id"])
        await bob.reacts(to=ANN, id=said["id"], reactions=["👍", "🔆"])
        await ann.hears(reacts_to=said["id"])
        acts += [(BOB, "says", asked["id"], f"Question {number}?"), (ANN, "has read", asked["id"])]
        acts += [(ANN, "says", said["id"], f"Answer {number}."), (BOB, "reacts", said["id"], "👍", "🔆")]
    await ann.retracts(to=BOB, id=said["id"])
    await bob.hears(retracts=said["id"])
    await bob.retracts(to=ANN, id=asked["id"])
    await ann.hears(retracts=asked["id"])
    await bob.finds_buried(asked["id"])
    return [*acts, (ANN, "retracts", said["id"]), (BOB, "retracts", asked["id"])]


@pytest.mark.parametrize(("phone", "desk", "friend"), PAIRS)
def test_a_phone_that_was_away_catches_up_with_the_desk(home, run, phone, desk, friend):
    async def story():
        async with People(home) as people:
            at_desk = await people.logs_in(desk, f"{ANN}/desk")
            bob = await people.logs_in(friend, f"{BOB}/x")
            on_phone = await people.logs_in(phone, f"{ANN}/phone")
            for device in (on_phone, at_desk):
                await device.wants_carbons()
            before = await conversation(at_desk, bob)
            await on_phone.pings()
            seen = messages(on_phone)  # the desk's own by carbons
            assert told(seen) == before
            await on_phone.leaves()

            acts = await conversation(at_desk, bob)
            on_phone = await people.logs_in(phone, f"{ANN}/phone")
            missed = await catches_up(on_phone, {message["archived"] for message in seen})
            assert told(missed) == afterwards(acts)

    run(story())


@pytest.mark.parametrize(("phone", "desk", "friend"), PAIRS)
def test_both_devices_were_away_and_hear_all_once(home, run, phone, desk, friend):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(desk, f"{ANN}/desk")
            bob = await people.logs_in(friend, f"{BOB}/x")
            said = await ann.says(to=BOB, text="I am off.")
            await bob.hears(id=said["id"])
            await ann.pings()
            known = {message["archived"] for message in (await ann.reads_back(most=MOST))["read"]}
            await ann.leaves()

            await bob.has_read(to=ANN, id=said["id"])
            await bob.reacts(to=ANN, id=said["id"], reactions=["👋"])
            wrong = await bob.says(to=ANN, text="See you yesterday.")
            await bob.retracts(to=ANN, id=wrong["id"])
            right = await bob.says(to=ANN, text="See you tomorrow.")
            await bob.finds_buried(wrong["id"])
            for client, resource in ((phone, "phone"), (desk, "desk")):
                device = await people.logs_in(client, f"{ANN}/{resource}")
                assert told(await catches_up(device, known)) == [
                    (BOB, "has read", said["id"]),
                    (BOB, "reacts", said["id"], "👋"),
                    (BOB, "took back", wrong["id"]),
                    (BOB, "retracts", wrong["id"]),
                    (BOB, "says", right["id"], "See you tomorrow."),
                ]
                await device.leaves()

    run(story())
