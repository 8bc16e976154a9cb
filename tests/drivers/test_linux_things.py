"""Things of several sensors and lights: one is lost, all are, one hangs; lights are set and read back."""

import asyncio
import logging
import re
import subprocess
import sys
import threading
from decimal import Decimal

import pytest

from node.base.jid import parse
from node.config import ConfigError, load
from node.drivers import linux
from node.drivers.linux import bus
from node.hub.driver import Control, DriverError, Field
from node.hub.thing import Thing
from tests.conftest import until
from tests.drivers.linux import Tree, control, field, first, gone, lets_go, opened
from tests.test_floors import CLONE

CELLAR = "sys/bus/w1/devices/28-0316a2797bff/temperature"
FREEZER = "sys/bus/w1/devices/28-00000000beef/temperature"
FAN = "sys/class/hwmon/hwmon0/fan1_input"
TWO = field("cellar", 'w1 = "28-0316a2797bff"') + field("freezer", 'w1 = "28-00000000beef"\nlabel = "Freezer"')
LED = "sys/class/leds/ACT"
PANEL = "sys/class/backlight/10-0045"


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    tree({CELLAR: "12062\n", FREEZER: "-18125\n", FAN: "1200\n", "sys/class/hwmon/hwmon0/name": "pwmfan\n"})
    tree({"proc/loadavg": "0.42 0.20 0.11 1/93 18008\n", "proc/uptime": "273841.57 1021700.12\n"})
    return tree


def test_a_lost_sensor_is_told_and_the_others_go_on(tree, run, caplog):
    caplog.set_level(logging.INFO, "hobnode")

    async def story():
        driver = await opened(tree.thing(TWO))
        flag = Field("freezer_fault", "boolean", category="status", shown=False, alarm="Freezer gives no reading")
        assert flag in driver.fields
        fine = {"cellar": "12.1", "freezer": "-18.1", "cellar_fault": "false", "freezer_fault": "false"}
        assert await driver.read() == fine
        tree({FREEZER: None})
        for _ in range(2):
            lost = {"freezer": None, "freezer_fault": "true"}
            assert await driver.read() == {"cellar": "12.1", "cellar_fault": "false"} | lost
        tree({FREEZER: "-17000\n"})
        assert await driver.read() == fine | {"freezer": "-17.0"}

    run(story())
    assert caplog.messages == [
        "there is no 1-Wire sensor 28-00000000beef; there are 28-0316a2797bff",
        "freezer can be read again",
    ]


@pytest.mark.parametrize("garbled", ["85000\n", "\n"])
def test_a_reading_that_is_garbled_is_left_out_and_told_when_it_is_the_third(tree, run, caplog, garbled):
    async def story():
        driver = await opened(tree.thing(TWO))
        await driver.read()
        for bad in (2, 3):
            tree({FREEZER: garbled})
            said = [await driver.read() for _ in range(bad)]
            assert [(each.get("freezer", "skipped"), each["freezer_fault"]) for each in said] == [
                *[("skipped", "false")] * 2,
                *[(None, "true")] * (bad - 2),
            ]
            tree({FREEZER: "-18125\n"})
            assert (await driver.read())["freezer_fault"] == "false"

    run(story())
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("freezer says ")


def test_a_thing_is_offline_while_all_of_it_is_lost_and_comes_back_by_itself(tree, run, monkeypatch):
    monkeypatch.setattr("node.hub.thing.FIRST_RETRY", 0.01)
    driver = tree.thing(TWO)
    driver.interval = 0.01
    thing, news = Thing(parse("cellar@hub.local"), "Cellar", "linux", driver), asyncio.Event()

    async def becomes(condition):
        while not condition():
            news.clear()
            await news.wait()

    async def story():
        thing.on_change(lambda thing, names: news.set())
        thing.start()
        await becomes(lambda: thing.online)
        assert thing.readings["freezer"].value == "-18.1"
        tree({FREEZER: None})
        await becomes(lambda: thing.alarm)
        assert "freezer" not in thing.readings  # and is not shown as if it were so still
        tree({FREEZER: "-18125\n"})
        await becomes(lambda: "freezer" in thing.readings)
        tree({CELLAR: None, FREEZER: None})
        await becomes(lambda: not thing.online)
        assert thing.reason == (
            "there is no 1-Wire sensor 28-0316a2797bff; there is none; "
            "there is no 1-Wire sensor 28-00000000beef; there is none"
        )
        tree({FREEZER: "-16500\n"})
        await becomes(lambda: thing.online)
        assert thing.readings["freezer"].value == "-16.5"
        assert thing.alarm == "cellar gives no reading"
        assert set(thing.readings) == {"freezer", "cellar_fault", "freezer_fault"}
        await thing.stop()

    run(story())


def test_a_single_sensor_has_no_flag_as_its_thing_is_offline_then(tree, run):
    async def story():
        driver = await opened(tree.thing(field("cellar", 'w1 = "28-0316*"')))
        assert [each.name for each in driver.fields] == ["cellar"]
        assert await driver.read() == {"cellar": "12.1"}
        waiting = asyncio.ensure_future(gone(driver))
        tree({CELLAR: None})
        assert await driver.read() == {}
        assert (await waiting).startswith("there is no 1-Wire sensor 28-0316*")

    run(story())


def test_a_sensor_that_hangs_holds_up_its_own_bus_only(tree, run, later, monkeypatch, caplog):
    monkeypatch.setattr(bus, "PATIENCE", 1)

    async def story():
        driver = await opened(tree.thing(TWO + field("fan", 'hwmon = "pwmfan/fan1"')))
        await driver.read()
        pipe = tree.hangs(CELLAR)
        reading = asyncio.ensure_future(driver.read())
        await until(lambda: driver._buses["hwmon pwmfan"]._readings)  # the loop goes on
        later(1.1 * bus.DEADLINE)
        said = await reading
        assert said["fan"] == "1200"
        assert (said["cellar_fault"], said["freezer_fault"], said["fan_fault"]) == ("true", "true", "false")
        assert sorted(caplog.messages) == [
            "cellar has not answered within 4 s",
            "freezer waits for another one of its bus that does not answer",
        ]
        (thread,) = [each for each in threading.enumerate() if each.name == "bus w1"]  # none beside the one that hangs
        tree({CELLAR: "13000\n"})
        await until(lambda: lets_go(pipe) or not thread.is_alive())  # it may not have come to the pipe yet
        said = await driver.read()
        assert (said["cellar"], said["freezer"]) == ("13.0", "-18.1")

    run(story())
    assert "asyncio" not in {record.name for record in caplog.records}  # what came too late was for nobody


def test_a_bus_that_takes_longer_than_a_round_tells_the_rest_with_the_next(tree, run, later, monkeypatch):
    monkeypatch.setattr(linux, "ROUND", 0.05)

    async def story():
        driver = await opened(tree.thing(TWO))
        await driver.read()
        cellar, freezer = driver._sensors["cellar"].read, driver._sensors["freezer"].read
        held, read = threading.Event(), []
        driver._sensors["cellar"].read = lambda: read.append("cellar") or cellar()
        driver._sensors["freezer"].read = lambda: read.append("freezer") or held.wait(5) and freezer()
        reading = asyncio.ensure_future(driver.read())
        await until(lambda: "freezer" in read)
        later(1.1 * linux.ROUND)
        assert "freezer" not in await reading
        held.set()
        assert (await driver.read())["freezer"] == "-18.1"
        assert read == ["cellar", "freezer"]  # it was the same round

    run(story())


def test_a_bug_in_a_sensor_is_not_hidden(tree, run):
    async def story():
        driver = await opened(tree.thing(TWO))
        await driver.read()
        driver._sensors["freezer"].read = lambda: {}["no such key"]
        with pytest.raises(KeyError):
            await driver.read()
        await driver.close()

    run(story())


def test_fields_of_the_machine_itself_are_declared_by_their_names(tree, run):
    async def story():
        own = tree.thing(field("load", "shown = false") + field("fan", 'hwmon = "pwmfan/fan1"'))
        assert await first(own) == {"load": "0.42", "fan": "1200", "fan_fault": "false"}
        assert own.fields[0] == Field("load", shown=False, deadband=Decimal("0.5"))
        await own.close()
        whole = tree.thing("machine = true\n" + field("fan", 'hwmon = "pwmfan/fan1"'))
        assert set(await first(whole)) == {"load", "uptime", "disk", "fan", "fan_fault"}
        tree({FAN: None})
        assert (await whole.read())["fan_fault"] == "true"  # and it is not gone: the machine is there
        await whole.close()

    run(story())


def test_a_sensor_may_have_the_name_of_a_field_of_the_machine(tree, run):
    async def story():
        driver = tree.thing("machine = true\n" + field("load", 'hwmon = "pwmfan/fan1"'))
        assert (await first(driver))["load"] == "1200"
        assert [each.unit for each in driver.fields if each.name == "load"] == ["rpm"]
        await driver.close()

    run(story())


def test_how_often_it_reads_is_chosen(tree):
    assert tree.thing("").interval == 10
    assert tree.thing("interval = 60").interval == 60
    with pytest.raises(ConfigError, match="interval must be 1 second or more, not 0.5"):
        tree.thing("interval = 0.5")


def test_a_field_that_this_machine_cannot_have_is_said(tree, run):
    with pytest.raises(DriverError, match="celar needs one of the words hwmon, thermal, .*: this machine itself tells"):
        run(opened(tree.thing(field("celar", ""))))


def test_an_idle_hub_has_not_loaded_what_reads_hardware():
    program = "import sys, node.drivers.linux; print(*[name for name in sys.modules if 'drivers.linux' in name])"
    done = subprocess.run([sys.executable, "-c", program], cwd=CLONE, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["node.drivers.linux.machine", "node.drivers.linux"]


@pytest.mark.parametrize("board", ["ds18b20", "raspberry-pi"])
def test_what_a_board_has_to_be_pasted_is_right(tree, board):
    readme = (CLONE / "boards" / board / "README.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert examples
    for example in examples:
        things = load(tree.config, f'domain = "home.example"\n{example}').things
        assert any(thing.declared.fields for thing in things.values())


# Lights


@pytest.fixture
def lights(tree):
    tree({f"{LED}/brightness": "0\n", f"{LED}/max_brightness": "255\n", f"{LED}/trigger": "none [mmc0] timer\n"})
    tree({f"{PANEL}/brightness": "31\n", f"{PANEL}/max_brightness": "31\n", f"{PANEL}/bl_power": "0\n"})
    return tree


def test_a_led_is_switched_and_read_back(lights, run):
    async def story():
        driver = lights.thing(control("led", 'led = "ACT"\nlabel = "Green"'))
        assert await first(driver) == {"led": "false"}
        assert driver.fields == (Field("led", "boolean", label="Green", category="status"),)
        await driver.write("led", "true")
        assert (lights.says(f"{LED}/trigger"), lights.says(f"{LED}/brightness")) == ("none", "255")
        assert await driver.read() == {"led": "true"}
        await driver.write("led", "false")
        assert lights.says(f"{LED}/brightness") == "0"

    run(story())


def test_a_brightness_is_set_within_what_the_light_can(lights, run):
    async def story():
        driver = await opened(lights.thing(control("panel", 'backlight = "10-0045"', "integer")))
        assert driver.controls == (Control("panel", "integer", minimum=Decimal(0), maximum=Decimal(31)),)
        assert await driver.read() == {"panel": "31"}
        await driver.write("panel", "7")
        assert lights.says(f"{PANEL}/brightness") == "7"
        assert await driver.read() == {"panel": "7"}

    run(story())


def test_a_backlight_that_is_off_is_without_power(lights, run):
    async def story():
        driver = await opened(lights.thing(control("panel", 'backlight = "10-0045"')))
        assert await driver.read() == {"panel": "true"}
        await driver.write("panel", "false")
        assert (lights.says(f"{PANEL}/bl_power"), lights.says(f"{PANEL}/brightness")) == ("4", "31\n")
        assert await driver.read() == {"panel": "false"}
        await driver.write("panel", "true")
        assert lights.says(f"{PANEL}/bl_power") == "0"

    run(story())


def test_what_the_light_does_not_do_is_not_confirmed(lights, run):
    async def story():
        driver = await opened(lights.thing(control("led", 'led = "ACT"')))
        lights({f"{LED}/max_brightness": "0\n"})
        with pytest.raises(DriverError, match="led is false after true was written"):
            await driver.write("led", "true")
        (lights.root / LED / "brightness").unlink()
        (lights.root / LED / "brightness").mkdir()
        with pytest.raises(DriverError, match="led cannot be set: Is a directory"):
            await driver.write("led", "true")
        with pytest.raises(DriverError, match="there is no lamp"):
            await driver.write("lamp", "true")

    run(story())


def test_a_light_that_hangs_is_not_waited_for(lights, run, monkeypatch):
    async def story():
        driver = await opened(lights.thing(control("led", 'led = "ACT"')))
        monkeypatch.setattr(bus, "DEADLINE", 0.05)
        pipe = lights.hangs(f"{LED}/max_brightness")
        with pytest.raises(DriverError, match="led has not answered within 0.05 s"):
            await driver.write("led", "true")
        lets_go(pipe)

    run(story())


def test_who_may_not_set_a_light_reads_why(lights, run, monkeypatch):
    def refused(path, mode="r"):
        raise PermissionError(13, "Permission denied", path)

    async def story():
        driver = await opened(lights.thing(control("led", 'led = "ACT"')))
        monkeypatch.setattr("node.drivers.linux.lights.open", refused, raising=False)
        with pytest.raises(DriverError, match="led may not be set by the user of this node: .*/leds/ACT/trigger"):
            await driver.write("led", "true")

    run(story())


def test_a_light_that_is_not_there_is_said(lights, run):
    with pytest.raises(DriverError) as caught:
        run(opened(lights.thing(control("led", 'led = "PWR"'))))
    assert str(caught.value) == "there is no LED PWR; there are ACT"


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        (control("led", 'led = "ACT"', "string"), "led must be of type boolean or integer, not string"),
        (control("led", ""), "led needs one of the words led, backlight"),
    ],
)
def test_a_light_that_cannot_be_is_a_mistake_in_the_configuration(lights, toml, complaint):
    with pytest.raises(ConfigError, match=complaint):
        lights.thing(toml)


def test_a_lost_light_is_told_and_comes_back(lights, run):
    async def story():
        driver = await opened(
            lights.thing(control("led", 'led = "ACT"', "integer") + field("fan", "hwmon='pwmfan/fan1'"))
        )
        assert await driver.read() == {"led": "0", "fan": "1200", "led_fault": "false", "fan_fault": "false"}
        kept = {f"{LED}/{name}": lights.says(f"{LED}/{name}") for name in ("brightness", "max_brightness", "trigger")}
        lights(dict.fromkeys(kept))
        assert (await driver.read())["led_fault"] == "true"
        with pytest.raises(DriverError, match="there is no LED ACT; there is none"):
            await driver.write("led", "3")
        lights(kept)
        await driver.write("led", "3")
        assert (await driver.read())["led"] == "3"

    run(story())
