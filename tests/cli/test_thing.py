"""hobnode thing: what is attached, how it is, what it reads, and what was done with it."""

import asyncio
from contextlib import closing

import pytest

from node.base.jid import make
from node.cli.thing import _plain, _reading, _row
from node.config import load
from node.hub.hub import Hub
from node.hub.store import Store
from node.things.audit import Audit
from tests.cli.conftest import serving


def test_a_running_node_tells_how_things_are(types, home):
    home.write_text(home.read_text() + '[thing.porch]\nboard = "arduino-uno"\nport = "/dev/hobnode-none"\n')
    with serving("run", "--config", home, folder=home.parent):
        code, out, err = types("thing", "list", "--config", home)
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert rows["NAME"].split() == ["NAME", "DRIVER", "STATE", "READINGS"]
    assert "linux" in rows["hub"]
    assert "line (arduino-uno)" in rows["porch"]
    assert "offline" in rows["porch"]


def test_without_a_node_it_says_what_is_configured(types, home):
    code, out, err = types("thing", "list", "--config", home)
    assert code == 0
    assert "not running" in err
    assert out.splitlines()[1].split() == ["hub", "linux", "not", "running"]


def test_readings_are_shown_with_label_and_unit(home):
    thing = {
        "name": "hub",
        "state": "online",
        "readings": [
            {"name": "temperature", "label": "CPU", "unit": "°C", "value": "51.20"},
            {"name": "load", "label": "", "unit": "", "value": "0.1"},
        ],
    }
    assert _row(load(home), "hub", {"hub": thing}) == ("hub", "linux", "online", "CPU 51.20 °C, load 0.1")
    assert _reading({"name": "x", "label": "", "unit": "", "value": "1\x1b[2J"}).startswith("x 1")


@pytest.mark.parametrize(
    ("name", "type", "value", "said"),
    [
        ("lamp", "boolean", "true", "lamp on"),
        ("lamp", "boolean", "false", "lamp off"),
        ("back_door", "boolean", "true", "back_door open"),
        ("word", "string", "true", "word true"),
    ],
)
def test_what_is_true_or_false_is_shown_in_the_words_of_people(name, type, value, said):
    assert _reading({"name": name, "label": "", "type": type, "unit": "", "value": value}) == said


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("lamp=true, fade=3, door=false", "lamp=on, fade=3, door=off"),
        ("lamp is true", "lamp is on"),
        ("failed: lamp is not true; it says false", "failed: lamp is not on; it says off"),
        ("failed: lamp: true or false.", "failed: lamp: on or off."),
        ("text=true love", "text=true love"),
    ],
)
def test_the_log_says_on_and_off(kept, shown):
    assert _plain(kept) == shown


def test_what_a_gateway_has_brought_is_told_too(types, home, monkeypatch):
    lamp = {"name": "lamp", "state": "online", "reason": "", "since": 0, "readings": []}
    monkeypatch.setattr(
        "node.cli.office.ask_running", lambda config, do: [lamp] if do == "thing-list" else config.domain
    )
    _, out, _ = types("thing", "list", "--config", home)
    assert out.splitlines()[2].split() == ["lamp", "by", "a", "gateway", "online"]


def test_what_was_configured_since_the_start_is_said(home):
    assert _row(load(home), "hub", {})[2:] == ("not loaded", "configured after the node was started")


def test_the_log_tells_what_was_done_with_a_thing(types, home):
    config = load(home)
    config.data.mkdir(exist_ok=True)

    async def light():
        with closing(Store(config.data, asyncio.get_running_loop())) as store:
            hub = Hub(config.domain, store, None, asyncio.get_running_loop())
            Audit(hub).note(make("porch", config.domain), "ann@home.example/phone", "chat", "lamp=true")

    asyncio.run(light())
    code, out, err = types("thing", "log", "porch", "--config", home)
    assert (code, err) == (0, "")
    head, line = out.splitlines()
    assert head.split() == ["TIME", "WHO", "BY", "WHAT", "OUTCOME"]
    assert line.split()[2:] == ["ann@home.example/phone", "chat", "lamp=on", "done"]


def test_of_a_thing_that_nobody_has_touched_the_log_says_so(types, home):
    code, out, err = types("thing", "log", "hub", "--config", home)
    assert (code, out, err) == (0, "", "nothing was done with hub yet\n")
    assert types("thing", "log", "hub@home.example", "--config", home) == (0, "", "nothing was done with hub yet\n")
    code, _, err = types("thing", "log", "hub@cabin.example", "--config", home)
    assert (code, err) == (2, "hobnode: this node has the things of home.example, not of cabin.example\n")


def test_a_log_of_no_thing_says_that_it_is_none(types, home):
    code, out, err = types("thing", "log", "hbu", "--config", home)
    assert (code, out, err) == (1, "", "hobnode: there is no thing 'hbu'; did you mean hub?\n")
    home.write_text(home.read_text() + "[gateway.mqtt]\n")
    code, out, err = types("thing", "log", "plug", "--config", home)
    assert (code, err) == (0, "nothing was done with plug yet\n"), "the gateway may bring it"


def test_a_log_of_what_a_gateway_has_brought_is_there(types, home, monkeypatch):
    known = {"domain": "home.example", "thing-list": [{"name": "lamp"}], "thing-log": []}
    monkeypatch.setattr("node.cli.office.ask_running", lambda config, do, **more: known[do])
    assert types("thing", "log", "lamp", "--config", home)[2] == "nothing was done with lamp yet\n"
    assert types("thing", "log", "lmap", "--config", home)[2].endswith("there is no thing 'lmap'; did you mean lamp?\n")


def test_more_lines_than_are_kept_cannot_be_asked_for(types, home):
    code, _, err = types("thing", "log", "porch", "--last", "0", "--config", home)
    assert code == 2
    assert "--last takes 1 to 1000, not 0" in err
