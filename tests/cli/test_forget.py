"""hobnode thing forget."""

import pytest

from tests.cli.conftest import serving


def test_a_node_is_asked_to_forget(types, home):
    said = "hobnode: the node is not running: only it knows who is there\n"
    assert types("thing", "forget", "lamp", "--config", home) == (1, "", said)
    with serving("run", "--config", home, folder=home.parent):
        said = "hobnode: there is no gateway here: the things are those of the configuration\n"
        assert types("thing", "forget", "lamp", "--config", home) == (1, "", said)


@pytest.mark.parametrize("name", ["lamp", "lamp@home.example", "Lamp@HOME.example/thing"])
def test_a_thing_has_a_name_or_an_address(types, home, monkeypatch, name):
    asked = {"domain": "home.example"}
    monkeypatch.setattr("node.cli.office.ask_running", lambda config, do, **more: asked.get(do, more))
    assert types("thing", "forget", name, "--config", home) == (0, "{'name': 'lamp'}\n", "")


def test_an_address_of_another_home_is_not_forgotten_here(types, home):
    said = "hobnode: this node has the things of home.example, not of cabin.example\n"
    assert types("thing", "forget", "lamp@cabin.example", "--config", home) == (2, "", said)
    code, _, err = types("thing", "forget", "@@", "--config", home)
    assert (code, err.startswith("hobnode: '@@' is no address: ")) == (2, True)


def test_the_help_says_that_the_node_has_to_run(types):
    assert "The node has to run." in " ".join(types("thing", "forget", "--help")[1].split())
