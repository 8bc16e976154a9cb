"""xmpp.js logs in with SASL2 (XEP-0388), Bind 2 (XEP-0386) and FAST (XEP-0484), as it does where they are offered."""

import uuid

import pytest

from tests.live.clients import ClientError, People

ANN, BOB = "ann@home.example", "bob@home.example"
DEVICE = str(uuid.uuid4())


def test_the_second_login_takes_a_token_instead_of_the_password(home, run):
    async def story():
        async with People(home) as people:
            first = await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE)
            assert first.login["mechanisms"] == ["SASL2 SCRAM-SHA-1"]
            token = first.login["token"]
            assert token["mechanism"] == "HT-SHA-256-NONE"
            await first.leaves()
            again = await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE, token=token, password="forgotten")
            assert again.login["mechanisms"] == ["SASL2 HT-SHA-256-NONE"]
            await again.says(to=again.jid, text="It is me.")
            assert (await again.hears(news="message"))["body"] == "It is me."

    run(story())


def test_a_cut_line_is_resumed_in_the_login_itself(home, run):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE)
            bob = await people.logs_in("slixmpp", f"{BOB}/desk")
            await ann.pings()
            await ann.cuts_the_line()
            await bob.says(to=ann.jid, text="Are you there?")
            await bob.pings()
            back = await ann.returns()
            assert (back["resumed"], back["mechanisms"]) == (True, ["SASL2 HT-SHA-256-NONE"])
            assert (await ann.hears(news="message"))["body"] == "Are you there?"
            await ann.says(to=bob.jid, text="Yes.")
            assert (await bob.hears(news="message"))["body"] == "Yes."

    run(story())


def test_a_token_dies_with_the_password(home, run):
    async def story():
        async with People(home) as people:
            ann = await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE)
            await ann.leaves()
            changed = home.command("user", "passwd", ANN, "--password-stdin", input="new")
            assert changed.returncode == 0, changed.stderr
            with pytest.raises(ClientError, match="not-authorized"):  # the token, and then the old password
                await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE, token=ann.login["token"])
            await people.logs_in("xmpp.js", f"{ANN}/phone", device=DEVICE, password="new")

    run(story())
