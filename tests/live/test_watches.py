"""Watches with slixmpp: a program's output is a thing, whoever asks is told, corrected, and not forgotten."""

import re

import pytest

from tests.live.peers import Person

PORCH = "porch@home.example"
PLUGINS = ("xep_0004", "xep_0050", "xep_0080", "xep_0308", "xep_0313", "xep_0439")
ACCESS = '[access]\ncontrol = ["ann@home.example"]\napprove = ["@home.example"]\n'
MINUTE = 75  # seconds in which something comes that comes after a minute


@pytest.fixture
def sensor(tmp_path):
    """`sensor("26.0")`: it is that warm now; the program prints it once a second."""
    path = tmp_path / "sensor"

    def says(temperature):
        fresh = tmp_path / "fresh"
        fresh.write_text(f"temperature={temperature} latitude=48.117300 longitude=11.516667 accuracy=4.5\n")
        fresh.replace(path)

    says("21.40")
    says.path = path
    return says


@pytest.fixture
def home(nodes, sensor):
    fields = "".join(
        f'[[thing.porch.fields]]\nname = "{name}"\nunit = "{unit}"\n'
        for name, unit in (("temperature", "°C"), ("latitude", "°"), ("longitude", "°"), ("accuracy", "m"))
    )
    thing = f'[thing.porch]\nname = "Porch"\ndriver = "exec"\ncommand = ["/bin/cat", "{sensor.path}"]\ninterval = 1\n'
    home = nodes(more=ACCESS + thing + fields)
    home.start()
    home.add("ann", "ben")
    return home


async def follower(name, home):
    person = await Person(f"{name}@home.example/phone", home, plugins=PLUGINS).logs_in()
    person.send_presence_subscription(PORCH)
    await person.hears(lambda s: s.name == "presence" and "21.40" in s["status"])
    greeting = await person.hears(lambda s: s["from"].bare == PORCH and "Hello" in s["body"])
    assert offered(greeting) == {"status": "Status", "help": "What I can say"}
    return person


def offered(message):
    """What slixmpp's plugin sees of XEP-0439."""
    return {each["value"]: each["label"] for each in message["substanzas"] if each.name == "response"}


def is_alarm(message):
    return message.name == "message" and message["from"] == f"{PORCH}/hw" and bool(message["body"])


@pytest.mark.timeout(180)  # a watch speaks once a minute at most
def test_an_alarm_is_told_corrected_muted_and_outlives_the_node(home, sensor, run):
    async def first():
        ann, ben = await follower("ann", home), await follower("ben", home)
        assert (await ann.says(PORCH, "watch temperature above 25")).startswith("I tell you: temperature above 25 °C")
        await ben.says(PORCH, "watch temperature change 3")
        assert re.match("I tell you nothing until", await ben.says(PORCH, "mute 2h"))
        sensor("26.4")
        alarm = await ann.hears(is_alarm)
        assert alarm["body"] == "⚠ Temperature is 26.4 °C (above 25)\nYou can say: mute 2h · status"
        assert offered(alarm) == {"mute 2h": "Mute for two hours", "status": "Status"}
        assert alarm["to"].bare == ann.boundjid.bare
        sensor("23.9")
        correction = await ann.hears(is_alarm, deadline=MINUTE)
        assert re.fullmatch(r"Temperature is 23\.9 °C again\. It was above 25 for \d+ s\.", correction["body"])
        assert correction["replace"]["id"] == alarm["id"] != correction["id"]
        assert not any(is_alarm(each) for each in ben.came), "he has muted it"
        archived = [each async for each in ann.plugin["xep_0313"].iterate(with_jid=PORCH)]
        kept = [each["mam_result"]["forwarded"]["stanza"]["id"] for each in archived]
        assert {alarm["id"], correction["id"]} <= set(kept)
        await ann.leaves()
        await ben.leaves()

    async def second():
        ann = await Person("ann@home.example/phone", home, plugins=PLUGINS).logs_in()
        ben = await Person("ben@home.example/phone", home, plugins=PLUGINS).logs_in()
        assert (await ann.says(PORCH, "watches")).startswith("1: temperature above 25 °C")
        assert "1: temperature changes by 3 °C\nAll is muted until" in await ben.says(PORCH, "watches")
        sensor("27.5")
        assert (await ann.hears(is_alarm))["body"].startswith("⚠ Temperature is 27.5 °C (above 25)")
        ben.came.clear()
        ben.send_message(PORCH, "unmute", mtype="chat")
        assert (await ben.hears(is_alarm))["body"].startswith("Temperature is 27.5 °C (it was 21.40 °C)")
        await ann.says(PORCH, "unwatch all")
        assert (await ann.says(PORCH, "watches")).startswith("You watch nothing here.")
        await ann.leaves()
        await ben.leaves()

    run(first(), timeout=2 * MINUTE)
    assert home.stop() == 0
    home.start()
    run(second())


def test_alert_me_by_the_command_and_where_it_is(home, sensor, run):
    async def talk():
        ann = await follower("ann", home)
        asked = await ann.plugin["xep_0050"].send_command(PORCH, "watch", action="execute")
        assert asked["command"]["form"].get_fields()["field"]["type"] == "list-single"
        form = ann.plugin["xep_0004"].make_form("submit")
        for var, value in (("field", "temperature"), ("condition", "below"), ("value", "5"), ("for", "2 s")):
            form.add_field(var=var, value=value)
        session = asked["command"]["sessionid"]
        done = await ann.plugin["xep_0050"].send_command(
            PORCH, "watch", action="complete", payload=form, sessionid=session
        )
        assert done["command"]["status"] == "completed"
        sensor("4.0")
        alarm = await ann.hears(is_alarm)
        assert alarm["body"].startswith("⚠ Temperature is 4.0 °C (below 5 for 2 s)")
        ann.send_message(PORCH, "where", mtype="chat")
        answer = await ann.hears(lambda s: s.name == "message" and "geo:" in s["body"])
        assert answer["body"] == "48.117300, 11.516667 (± 4.5 m)\ngeo:48.117300,11.516667;u=4.5"
        place = answer.xml.find("{http://jabber.org/protocol/geoloc}geoloc")
        assert {child.tag.partition("}")[2] for child in place} == {"accuracy", "lat", "lon", "timestamp"}
        await ann.leaves()

    run(talk())
