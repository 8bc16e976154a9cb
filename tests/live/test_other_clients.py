"""Clients that are neither ours nor Python: go-sendxmpp, and Profanity in a terminal."""

import asyncio
import subprocess

import pytest

from tests.live.peers import DEADLINE, Person, need
from tests.live.terminal import Terminal

ANN, BOB, HUB = "ann@home.example", "bob@home.example", "hub@home.example"


@pytest.fixture
def home(nodes):
    node = nodes("home.example", more=f'[access]\ncontrol = ["{BOB}"]\napprove = ["@home.example"]')
    node.start()
    node.add("ann", "bob")
    return node


@pytest.fixture
def go(home, tmp_path):
    """`go(port, words, text)` runs go-sendxmpp as bob, who has the node's certificate among those he trusts."""
    program = need("go-sendxmpp", "go-sendxmpp")

    def run(port, *words, text="", password="secret"):
        login = ["-u", BOB, "-p", password, "-j", f"{home.address}:{port}"]
        environment = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(home.data / "certificate.pem")}
        command = [program, *login, *words]
        return subprocess.run(
            command, input=text, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    return run


@pytest.mark.parametrize("direct", [False, True], ids=["STARTTLS", "direct TLS"])
def test_go_sendxmpp_sends_a_message_once_it_trusts_the_certificate(home, go, run, direct):
    async def story():
        ann = await Person(f"{ANN}/phone", home).logs_in()
        port, words = (home.tls_port, ["-t"]) if direct else (home.port, [])
        sent = await asyncio.to_thread(go, port, *words, ANN, text="The mail is here.")
        assert (sent.returncode, sent.stderr) == (0, "")
        message = await ann.hears(lambda s: s.name == "message")
        assert message["body"].strip() == "The mail is here."
        assert message["from"].bare == BOB
        await ann.leaves()

    run(story())


def test_go_sendxmpp_with_a_wrong_password_is_told_so(home, go):
    refused = go(home.port, ANN, text="Let me in.", password="wrong")
    assert refused.returncode == 1
    assert "not-authorized" in refused.stderr
    home.log.wait("a login as bob from 127.0.0.1 failed")


def test_profanity_logs_in_and_is_seen_and_talks(home, run, tmp_path):
    program = need("profanity", "profanity")
    accounts = tmp_path / "profanity" / "accounts"
    accounts.parent.mkdir()
    accounts.write_text(
        f"[bob]\nenabled=true\njid={BOB}\npassword=secret\nresource=desk\n"
        f"server={home.address}\nport={home.port}\ntls.policy=trust\n"
    )
    places = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    async def story():
        ann = await Person(f"{ANN}/phone", home).logs_in()
        async with Terminal(program, "-a", "bob", **places) as bob:
            await bob.shows("logged in successfully")
            bob.types(f"/sub request {ANN}")  # who says yes, and asks back
            await bob.shows("authorization request from")
            bob.types(f"/sub allow {ANN}")
            await ann.hears(lambda s: s["from"] == f"{BOB}/desk" and s["type"] == "available")
            bob.types('/status set away "Back at nine"')
            assert (await ann.hears(lambda s: s["type"] == "away"))["status"] == "Back at nine"

            bob.types(f"/msg {ANN} Is the lamp on?")
            assert (await ann.hears(lambda s: s.name == "message"))["body"] == "Is the lamp on?"
            ann.send_message(BOB, "Yes, it is.", mtype="chat")
            await bob.shows("Yes, it is.")

            bob.types(f"/sub request {HUB}")
            bob.types(f"/msg {HUB} status")
            await bob.shows("disk:")
            bob.types("/cmd list")
            await bob.shows("Ad hoc commands:")
            await bob.shows("read")

            bob.types("/quit")
            await ann.hears(lambda s: s["from"] == f"{BOB}/desk" and s["type"] == "unavailable")
            assert await bob.ends() == 0
        await ann.leaves()

    run(story())
