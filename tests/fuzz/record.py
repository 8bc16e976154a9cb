"""Records what other people's clients and another node say to ours: `python -m tests.fuzz.record`.

Needs the peers of the live tests. What it writes lies in traffic/, and is what the mutations begin with.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import slixmpp
from slixmpp.plugins.xep_0004 import Form

from node.net import certificate
from tests.live.clients import People
from tests.live.peers import DEADLINE, Node, Person, need
from tests.live.terminal import Terminal
from tests.live.test_two_nodes import peer

TRAFFIC = Path(__file__).parent / "traffic"
HOME, CABIN = "hub.local", "cabin.example"  # the first is what the hub of the fast tests is called
ANN, BOB, CLEO, THING = f"ann@{HOME}", f"bob@{HOME}", f"cleo@{CABIN}", f"hub@{HOME}"
ACCESS = f'[access]\ncontrol = ["{ANN}"]\napprove = ["@{HOME}"]\n'
DEVICE = "d4565fa7-4d72-4749-b3d3-740edbf87770"
PLUGINS = (
    *("xep_0004", "xep_0012", "xep_0030", "xep_0050", "xep_0054", "xep_0059", "xep_0071", "xep_0077", "xep_0085"),
    *(
        "xep_0092",
        "xep_0115",
        "xep_0184",
        "xep_0191",
        "xep_0198",
        "xep_0199",
        "xep_0202",
        "xep_0280",
        "xep_0308",
        "xep_0313",
    ),
    *("xep_0333", "xep_0334", "xep_0352", "xep_0359", "xep_0424", "xep_0441", "xep_0444"),
)


started: list[Node] = []


def node(folder: Path, domain: str, name: str = "", **options) -> Node:
    """One that is ended with the recording; what it hears goes to the file `name`, if that is given."""
    within = (sys.executable, "-m", "tests.fuzz.tee", str(TRAFFIC / f"{name}.txt")) if name else ()
    started.append(Node(folder / domain, domain, within=within, **options))
    return started[-1]


async def household(folder: Path) -> None:
    """Two people become contacts, talk, ask everything, command the machine, block and leave."""
    home = node(folder, HOME, "slixmpp", more=ACCESS)
    home.start()
    home.add("ann", "bob")
    ann = await Person(f"{ANN}/phone", home, plugins=PLUGINS).logs_in()
    bob = await Person(f"{BOB}/laptop", home, plugins=PLUGINS).logs_in()
    ann.send_presence_subscription(BOB)
    await bob.hears(lambda s: s["type"] == "subscribed")
    await ann.hears(lambda s: s["from"] == f"{BOB}/laptop" and s["type"] == "available")
    for state in ("composing", "active"):
        message = ann.make_message(BOB, "Is the lamp <on> & \N{ELECTRIC LIGHT BULB}?", mtype="chat")
        message["chat_state"] = state
        message["request_receipt"] = True
        message["markable"] = True
        message["origin_id"]["id"] = message["id"] = f"m-{state}"
        message.send()
    await bob.hears(lambda s: s["body"])
    correction = bob.make_message(ANN, "No.", mtype="chat")
    correction["replace"]["id"] = "m1"
    correction.enable("no-copy")
    correction.send()
    await ann.hears(lambda s: s["body"] == "No.")
    bob.plugin["xep_0333"].send_marker(f"{ANN}/phone", "m-active", "displayed")
    bob.plugin["xep_0444"].send_reactions(slixmpp.JID(ANN), "m-active", ["\N{THUMBS UP SIGN}"])
    ann.plugin["xep_0424"].send_retraction(slixmpp.JID(BOB), "m-composing", include_fallback=True)
    bob.send_presence(pshow="away", pstatus="Back at nine", ppriority=5)
    ann.send_message(f"{BOB}/laptop", "<to one>", msubject="A subject", mtype="normal", mhtml="<p>to <b>one</b></p>")
    await bob.hears(lambda s: s["subject"] == "A subject")

    card = ann.plugin["xep_0054"].make_vcard()
    card["FN"] = "Ann of the house"
    questions = [
        ann.plugin["xep_0012"].get_last_activity(HOME),
        ann.plugin["xep_0030"].get_info(HOME),
        ann.plugin["xep_0030"].get_items(HOME),
        ann.plugin["xep_0030"].get_info(f"{BOB}/laptop"),
        ann.plugin["xep_0054"].publish_vcard(vcard=card),
        ann.plugin["xep_0054"].get_vcard(BOB),
        ann.plugin["xep_0077"].change_password("secret", jid=HOME),
        ann.plugin["xep_0092"].get_version(HOME),
        ann.plugin["xep_0199"].send_ping(f"{BOB}/laptop"),
        ann.plugin["xep_0202"].get_entity_time(HOME),
        ann.plugin["xep_0280"].enable(),
        ann.plugin["xep_0313"].retrieve(rsm={"max": 10}),
        ann.plugin["xep_0441"].get_preferences(),
        ann.update_roster(BOB, name="Bob", groups=["House", "Friends"]),
        bob.plugin["xep_0191"].get_blocked(),
        bob.plugin["xep_0191"].block([f"eve@{HOME}", "eve@far.example"]),
        bob.plugin["xep_0191"].unblock([]),
    ]
    await asyncio.wait_for(asyncio.gather(*questions, return_exceptions=True), DEADLINE)

    ann.send_presence_subscription(THING)
    await ann.hears(lambda s: s["from"] == f"{THING}/hw" and s["status"])
    for words in ("help", "status", "watch memory above 99"):
        await ann.says(THING, words)
    commands = ann.plugin["xep_0050"]
    await commands.get_commands(f"{THING}/hw")
    asked = await commands.send_command(f"{THING}/hw", "read", action="execute")
    form = Form()
    form["type"] = "submit"
    form.add_field(var="fields", ftype="list-multi", value=["memory"])
    session = asked["command"]["sessionid"]
    await asyncio.gather(
        commands.send_command(f"{THING}/hw", "read", action="complete", payload=form, sessionid=session),
        return_exceptions=True,
    )
    await ann.plugin["xep_0199"].ping(HOME)
    ann.del_roster_item(BOB)
    await bob.leaves()
    await ann.leaves()
    assert home.stop() == 0, home.said()


async def go_sendxmpp(folder: Path) -> None:
    """Logs in, sends, leaves."""
    home = node(folder, HOME, "go-sendxmpp")
    home.start()
    home.add("ann", "bob")
    sent = await asyncio.to_thread(
        subprocess.run,
        [need("go-sendxmpp", "go-sendxmpp"), "-u", BOB, "-p", "secret", "-j", f"{home.address}:{home.port}", ANN],
        input="The mail is here.",
        env={"HOME": str(folder), "SSL_CERT_FILE": str(home.data / "certificate.pem")},
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert sent.returncode == 0
    assert home.stop() == 0, home.said()


async def profanity(folder: Path) -> None:
    """Logs in, makes contacts, talks to a person and to the machine."""
    home = node(folder, HOME, "profanity", more=ACCESS)
    home.start()
    home.add("ann", "bob")
    accounts = folder / "profanity" / "accounts"
    accounts.parent.mkdir()
    accounts.write_text(
        f"[bob]\nenabled=true\njid={BOB}\npassword=secret\nresource=desk\n"
        f"server={home.address}\nport={home.port}\ntls.policy=trust\n"
    )
    places = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    async with Terminal(need("profanity", "profanity"), "-a", "bob", **places) as bob:
        await bob.shows("logged in successfully")
        bob.types(f"/sub request {THING}")
        bob.types('/status set away "Back at nine"')
        bob.types(f"/msg {ANN} Is the lamp on?")
        bob.types(f"/msg {THING} status")
        await bob.shows("disk:")
        bob.types(f"/blocked add eve@{HOME}")
        bob.types("/ping")
        bob.types(f"/disco info {HOME}")
        bob.types("/quit")
        assert await bob.ends() == 0
    assert home.stop() == 0, home.said()


async def others(folder: Path) -> None:
    """xmpp.js and aioxmpp, with SASL2, tokens and resumption where they have them: talk, cut lines, page back."""
    for program in ("xmpp.js", "aioxmpp"):
        home = node(folder / program, HOME, program)
        home.start()
        home.add("ann", "bob")
        async with People(home) as people:
            device = {"device": DEVICE} if program == "xmpp.js" else {}
            ann = await people.logs_in(program, f"{ANN}/phone", **device)
            await ann.wants_carbons()
            said = await ann.says(to=BOB, text="Is the lamp on?")
            await ann.retracts(to=BOB, id=said["id"])
            await ann.blocks(jid=f"eve@{HOME}")
            await ann.whom_blocks()
            await ann.unblocks(jid=f"eve@{HOME}")
            await ann.pings()
            await ann.cuts_the_line()
            await ann.returns()
            await ann.reads_back(most=1)
            await ann.leaves()
            if device:
                again = await people.logs_in(program, f"{ANN}/phone", **device, token=ann.login["token"])
                await again.leaves()
        assert home.stop() == 0, home.said()


async def another_node(folder: Path) -> None:
    """People of two nodes become contacts, talk and ask; what is written down is what one hears of the other."""
    home = node(folder, HOME, "node", address="127.0.0.2", server=True)
    cabin = node(folder, CABIN, address="127.0.0.3", server=True)
    for each in (home, cabin):
        each.data.mkdir()
        certificate.make(each.domain, each.data / "certificate.pem", each.data / "key.pem")
    home.configure(peer(cabin))
    cabin.configure(peer(home))
    for each in (home, cabin):
        each.start()
    cabin.add("cleo")
    home.add("ann")
    cleo = await Person(f"{CLEO}/laptop", cabin, plugins=PLUGINS).logs_in()
    ann = await Person(f"{ANN}/phone", home, plugins=PLUGINS).logs_in()
    cleo.send_presence_subscription(ANN)
    await cleo.hears(lambda s: s["from"] == f"{ANN}/phone" and s["type"] == "available")
    message = cleo.make_message(ANN, "Is the lamp <on>?", mtype="chat")
    message["request_receipt"] = True
    message.send()
    await ann.hears(lambda s: s["body"])
    ann.send_message(CLEO, "It is.", mtype="chat")
    await cleo.hears(lambda s: s["body"])
    questions = [
        cleo.plugin["xep_0030"].get_info(HOME),
        cleo.plugin["xep_0030"].get_info(f"{ANN}/phone"),
        cleo.plugin["xep_0054"].get_vcard(ANN),
        cleo.plugin["xep_0199"].send_ping(HOME),
        ann.plugin["xep_0199"].send_ping(f"{CLEO}/laptop"),
    ]
    await asyncio.wait_for(asyncio.gather(*questions, return_exceptions=True), DEADLINE)
    await cleo.leaves()
    await ann.leaves()
    assert cabin.stop() == 0, cabin.said()
    assert home.stop() == 0, home.said()


def main() -> None:
    wanted = sys.argv[1:]
    for story in (household, go_sendxmpp, profanity, others, another_node):
        if wanted and story.__name__ not in wanted:
            continue
        with TemporaryDirectory() as folder:
            try:
                asyncio.run(asyncio.wait_for(story(Path(folder)), 4 * DEADLINE))
            finally:
                for node in started:
                    node.stop()
                    print(f"--- log of {node.domain}\n{node.said()}")


if __name__ == "__main__":
    main()
