"""slixmpp, aioxmpp and xmpp.js: what a person does with each of them."""

import asyncio
import signal

import pytest

from tests.live.clients import PROGRAMS, ClientError, People

ANN, BOB = "ann@home.example", "bob@home.example"
each = pytest.mark.parametrize("client", PROGRAMS)
NEXT = dict(zip(PROGRAMS, [*PROGRAMS][1:] + [*PROGRAMS][:1], strict=True))  # the one that each meets


@pytest.fixture
def home(nodes):
    node = nodes("home.example", more="[limits]\nrate = 0")  # bytes a second: 10,000 messages come at once
    node.start()
    node.add("ann", "bob")
    return node


@each
def test_two_people_talk_one_by_starttls_and_one_by_direct_tls(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            bob = await people.logs_in(NEXT[client], f"{BOB}/desk", direct=True)
            assert ann.jid.startswith(f"{ANN}/phone")
            sent = await ann.says(to=BOB, text="Is the lamp on?")
            heard = await bob.hears(news="message")
            assert (heard["from"], heard["id"], heard["body"]) == (ann.jid, sent["id"], "Is the lamp on?")
            await bob.says(to=ann.jid, text="Yes — it ‘is’ <on> & 🔆.")
            assert (await ann.hears(news="message"))["body"] == "Yes — it ‘is’ <on> & 🔆."
            await ann.leaves()
            await bob.leaves()

    run(story())


@each
def test_a_wrong_password_is_refused(home, run, client):
    async def story():
        async with People(home) as people:
            with pytest.raises(ClientError, match=r"not.authorized|AuthenticationFailure"):
                await people.logs_in(client, f"{ANN}/phone", password="wrong")

    run(story())


@each
def test_whom_somebody_blocks_is_not_heard_from_until_unblocked(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            bob = await people.logs_in(NEXT[client], f"{BOB}/desk")
            await ann.blocks(jid=BOB)
            assert (await ann.whom_blocks())["jids"] == [BOB]
            sent = await bob.says(to=ANN, text="Let me in.")
            assert (await bob.hears(news="message", id=sent["id"]))["type"] == "error"
            await ann.unblocks(jid=BOB)
            assert (await ann.whom_blocks())["jids"] == []
            await bob.says(to=ANN, text="Thank you.")
            assert (await ann.hears(news="message"))["body"] == "Thank you."

    run(story())


@each
def test_a_desk_sees_both_sides_of_what_a_phone_with_another_client_says(home, run, client):
    async def story():
        async with People(home) as people:
            desk = await people.logs_in(client, f"{ANN}/desk")
            await desk.wants_carbons()
            phone = await people.logs_in(NEXT[client], f"{ANN}/phone")
            bob = await people.logs_in(NEXT[NEXT[client]], f"{BOB}/desk")
            await phone.says(to=bob.jid, text="Is the lamp on?")
            await bob.hears(body="Is the lamp on?")
            await bob.says(to=phone.jid, text="Yes, it is.")
            await phone.hears(body="Yes, it is.")
            await desk.hears(carbon="sent", body="Is the lamp on?", to=bob.jid)
            await desk.hears(carbon="received", body="Yes, it is.", to=phone.jid)

    run(story())


@each
def test_a_cut_line_loses_nothing_and_doubles_nothing(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            bob = await people.logs_in(NEXT[client], f"{BOB}/desk")
            await ann.pings()  # its answer comes behind all that belongs to the login
            await bob.pings()
            ann.came.clear()

            await ann.cuts_the_line()
            for text in ("One", "Two", "Three"):
                await bob.says(to=ann.jid, text=text)
            assert (await ann.returns())["resumed"]
            await bob.says(to=ann.jid, text="Four")
            await bob.pings()
            await ann.pings()
            assert ann.heard("body") == ["One", "Two", "Three", "Four"]

            await ann.says(to=bob.jid, text="Five")  # and before anybody acknowledges it:
            await ann.cuts_the_line()
            assert (await ann.returns())["resumed"]
            await ann.says(to=bob.jid, text="Six")
            await ann.pings()
            await bob.pings()
            assert bob.heard("body") == ["Five", "Six"]

    run(story())


@each
def test_a_session_that_sleeps_outlives_a_restart_of_the_node(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            # Not aioxmpp, which hears the goodbye: it takes any stream error for the end of its session.
            bob = await people.logs_in("xmpp.js", f"{BOB}/desk")
            for somebody in (ann, bob):
                await somebody.pings()
            await ann.cuts_the_line()
            await bob.says(to=ann.jid, text="One")
            await bob.pings()
            home.stop()
            await bob.loses_the_line()
            home.start()
            assert (await bob.returns())["resumed"]
            await bob.says(to=ann.jid, text="Two")
            await bob.pings()
            assert (await ann.returns())["resumed"]
            await ann.pings()
            assert ann.heard("body") == ["One", "Two"]

    run(story())


@each
def test_kill_9_in_the_middle_of_a_conversation_and_nobody_retypes_anything(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            bob = await people.logs_in(NEXT[client], f"{BOB}/desk")
            for somebody in (ann, bob):
                await somebody.pings()
            await ann.says(to=bob.jid, text="Is the lamp on?")
            await bob.hears(body="Is the lamp on?")
            await bob.says(to=ann.jid, text="Yes, it is.")  # and before anybody knows whether it is on disk:
            home.stop(signal.SIGKILL)
            for somebody in (ann, bob):
                await somebody.loses_the_line()
            home.start()
            for somebody in (ann, bob):
                assert (await somebody.returns())["resumed"]
            await ann.says(to=bob.jid, text="Good.")
            for somebody in (ann, bob, ann):
                await somebody.pings()
            assert ann.heard("body") == ["Yes, it is."]
            assert bob.heard("body") == ["Good."]

    run(story())


@pytest.mark.timeout(120)
def test_all_page_back_through_ten_thousand_messages(home, run):
    texts = [f"Message {number}" for number in range(10_000)]

    async def story():
        async with People(home) as people:
            ann = await people.logs_in("slixmpp", f"{ANN}/phone")
            bob = await people.logs_in("xmpp.js", f"{BOB}/desk")
            await bob.says_all(to=ANN, texts=texts)
            await ann.hears(body=texts[-1])
            readers = [await people.logs_in(client, f"{ANN}/{client}") for client in PROGRAMS]
            for read in await asyncio.gather(*(reader.reads_back(most=250) for reader in readers)):
                messages = read["read"]
                assert [message["body"] for message in reversed(messages)] == texts
                assert len({message["archived"] for message in messages}) == len(texts)

    run(story(), timeout=100)


@each
def test_what_somebody_retracts_is_retracted_in_both_archives(home, run, client):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in(client, f"{ANN}/phone")
            bob = await people.logs_in(NEXT[client], f"{BOB}/desk")
            said = await ann.says(to=BOB, text="You are a toad.")
            assert (await bob.hears(news="message"))["id"] == said["id"]
            await ann.retracts(to=BOB, id=said["id"])
            assert (await bob.hears(news="message"))["retracts"] == said["id"]
            for somebody in (ann, bob):
                newest, oldest = await somebody.finds_buried(said["id"])
                assert newest["retracts"] == said["id"] == oldest["id"]
                assert "body" not in oldest

    run(story())
