"""hobnode thing forget."""

from tests.cli.conftest import serving


def test_a_node_is_asked_to_forget(types, home):
    said = "hobnode: the node is not running: only it knows who is there\n"
    assert types("thing", "forget", "lamp", "--config", home) == (1, "", said)
    with serving("run", "--config", home, folder=home.parent):
        said = "hobnode: there is no gateway here: the things are those of the configuration\n"
        assert types("thing", "forget", "lamp", "--config", home) == (1, "", said)
