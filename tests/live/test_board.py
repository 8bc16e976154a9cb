"""The main job, whole: real firmware in a simulator, the node, and people and machines with slixmpp."""

import asyncio
import time

import pytest
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0004 import Form

from tests.live import peers
from tests.live.peers import DEADLINE, Person, is_offline, shows

PORCH = "porch@home.example"
MACHINE = f"{PORCH}/hw"
PLUGINS = ("xep_0004", "xep_0012", "xep_0050", "xep_0092", "xep_0122", "xep_0323", "xep_0325")


@pytest.fixture
def home(home_with, uno):
    return home_with(f'[thing.porch]\nname = "Porch"\nboard = "arduino-uno"\nport = "{uno.port}"', "bob")


async def ann_at(home):
    return await peers.ann_at(home, PORCH, "light", plugins=PLUGINS)


async def by_chat(ann, on):
    before = time.monotonic()
    answer = await ann.says(PORCH, f"lamp {'on' if on else 'off'}")
    assert f"is {'on' if on else 'off'}" in answer, answer
    return before


async def by_form(ann, on):
    before = time.monotonic()
    asked = await ann.plugin["xep_0050"].send_command(PORCH, "set", action="execute")
    session = asked["command"]["sessionid"]
    assert asked["command"]["form"].get_fields()["lamp"]["type"] == "boolean"
    form = Form()
    form["type"] = "submit"
    form.add_field(var="lamp", value="1" if on else "0")
    done = await ann.plugin["xep_0050"].send_command(
        PORCH, "set", action="complete", payload=form, sessionid=session, timeout=DEADLINE
    )
    assert done["command"]["status"] == "completed"
    assert done["command"]["notes"][0][0] == "info"
    return before


async def by_machine_iq(ann, on):
    before = time.monotonic()
    await ann.sets(PORCH, "lamp", "true" if on else "false")
    return before


async def by_xep_0325(ann, on):
    before = time.monotonic()
    answer = asyncio.get_running_loop().create_future()
    ann.plugin["xep_0325"].set_request(
        ann.boundjid.full,
        MACHINE,
        lambda **said: answer.set_result(said),
        [("lamp", "boolean", "true" if on else "false")],
    )
    assert (await asyncio.wait_for(answer, DEADLINE))["result"] == "OK"
    return before


@pytest.mark.parametrize("way", [by_chat, by_form, by_machine_iq, by_xep_0325])
def test_the_lamp_is_on_before_it_is_said_to_be(home, uno, run, way):
    async def talk():
        ann = await ann_at(home)
        for on in (True, False):
            before = await way(ann, on)
            confirmed = time.monotonic()
            event = uno.wait(f"pin 13 {int(on)}", after=before)
            assert before < event.stamp < confirmed
        await ann.leaves()

    run(talk())


def test_more_light_is_seen_in_the_presence(home, uno, run):
    async def talk():
        ann = await ann_at(home)
        uno.light(4000)
        await ann.hears(shows(PORCH, "light 80.0 %"))
        await ann.leaves()

    run(talk())


def test_a_machine_reads_the_board_by_xep_0323(home, uno, run):
    async def talk():
        ann = await ann_at(home)
        told = asyncio.Queue()
        ann.plugin["xep_0323"].request_data(
            ann.boundjid.full, MACHINE, lambda **said: told.put_nowait(said), flags={"momentary": "true"}
        )
        said = [await asyncio.wait_for(told.get(), DEADLINE) for _ in range(3)]
        assert [each["result"] for each in said] == ["accepted", "fields", "done"]
        assert said[1]["nodeId"] == "porch"
        fields = {field["name"]: field for field in said[1]["fields"]}
        assert fields["lamp"]["value"] == "false"
        assert fields["light"]["unit"] == "%"
        await ann.leaves()

    run(talk())


def test_a_pulled_cable_is_seen_within_five_seconds_and_a_new_one_too(home, uno, run):
    async def talk():
        ann = await ann_at(home)
        uno.kill()
        gone = await ann.hears(is_offline(PORCH), deadline=5)
        assert gone["status"]
        assert "offline" in await ann.says(PORCH, "lamp on")
        with pytest.raises(IqError) as caught:
            await by_machine_iq(ann, True)
        assert (caught.value.condition, caught.value.etype) == ("recipient-unavailable", "wait")
        uno.start()
        await ann.hears(shows(PORCH, "light"))
        await by_chat(ann, True)
        uno.wait("pin 13 1")
        await ann.leaves()

    run(talk())


def test_who_has_no_grant_may_look_and_not_touch(home, uno, run):
    async def talk():
        bob = await Person("bob@home.example/phone", home, plugins=PLUGINS).logs_in()
        with pytest.raises(IqError) as stranger:
            await by_machine_iq(bob, True)
        with pytest.raises(IqError) as missing:
            await bob.plugin["xep_0199"].send_ping("nobody@home.example/hw")
        assert stranger.value.condition == missing.value.condition == "service-unavailable"
        await bob.sees(PORCH, "light")
        assert "light" in (await bob.says(PORCH, "status")).lower()
        with pytest.raises(IqError) as caught:
            await by_machine_iq(bob, True)
        assert caught.value.condition == "forbidden"
        assert not uno.times("pin 13 1")
        await bob.leaves()

    run(talk())


def test_the_board_says_who_it_is(home, uno, run):
    async def talk():
        ann = await ann_at(home)
        version = (await ann.plugin["xep_0092"].get_version(MACHINE))["software_version"]
        assert version["name"] and version["version"]
        last = await ann.plugin["xep_0012"].get_last_activity(MACHINE)
        assert 0 <= last["last_activity"]["seconds"] < 30
        commands = await ann.plugin["xep_0050"].get_commands(PORCH)
        assert {item[1] for item in commands["disco_items"]["items"]} >= {"read", "set"}
        await ann.leaves()

    run(talk())
