"""Boards: the table that says which driver reaches one, and what is wired to it."""

from decimal import Decimal

import pytest

from node.hub import board
from node.hub.board import BoardError
from node.hub.driver import Control, Field


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """`shelf(text)` puts test-board onto an otherwise empty shelf, where an installed wheel has it."""
    monkeypatch.setattr(board, "__file__", str(tmp_path / "node" / "hub" / "board.py"))

    def shelf(text):
        folder = tmp_path / "node" / "boards" / "test-board"
        folder.mkdir(parents=True)
        (folder / "board.toml").write_text(text)

    return shelf


def test_the_arduino_uno_is_known():
    uno = board.load("arduino-uno")
    assert uno.driver == "line"
    assert uno.label == "Arduino Uno"
    assert "2341:0043" in uno.usb
    assert uno.options["baud"] == 115200
    assert Field("light", "quantity", "%", "Light") in uno.declared.fields
    assert Control("dimmer", "integer", "Dimmer", "", Decimal(0), Decimal(255)) in uno.declared.controls


@pytest.mark.parametrize("name", board.names())
def test_each_board_that_is_shipped_loads_and_has_a_description(name):
    assert board.load(name).driver
    assert (board._boards() / name / "README.md").is_file()


def test_a_board_in_an_installed_wheel_is_found(shelf):
    shelf('driver = "line"')
    assert board.names() == ["test-board"]
    assert board.load("test-board").label == "test-board"


def test_a_board_that_is_misspelled_is_guessed():
    with pytest.raises(BoardError, match="no board 'ardiuno-uno'; did you mean 'arduino-uno'"):
        board.load("ardiuno-uno")


@pytest.mark.parametrize("name", ["", ".", "..", "../boards/arduino-uno", "/etc", "zzz"])
def test_a_board_that_is_none_is_refused(name):
    with pytest.raises(BoardError, match="there is no board"):
        board.load(name)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "needs 'driver'"),
        ("driver", "board.toml: Expected"),
        ('driver = "line"\nusb = ["2341"]', "vendor:product"),
        ('driver = "line"\n[[fields]]\ntype = "integer"', "'None' is no name"),
        ('driver = "line"\n[[fields]]\nname = "x"\ntype = "number"', "x: type must be one of quantity"),
        ('driver = "line"\n[[fields]]\nname = "x"\ntype = "float"', "time, duration, not 'float'"),
        ('driver = "line"\n[[fields]]\nname = "x"\ncategory = "now"', "category must be one of momentary"),
        ('driver = "line"\n[[fields]]\nname = "x"\nlabel = 7', "label must be a text"),
        ('driver = "line"\n[[fields]]\nname = "x"\ndeadband = "much"', "deadband must be a number"),
        ('driver = "line"\n[[controls]]\nname = "x"', "type must be one of boolean"),
        ('driver = "line"\n[[controls]]\nname = "x"\ntype = "enum"', "the enum x needs options"),
        ('driver = "line"\n[[controls]]\nname = "x"\ntype = "enum"\noptions = "a"', "must be a list"),
    ],
)
def test_a_mistake_is_named(shelf, text, complaint):
    shelf(text)
    with pytest.raises(BoardError, match=complaint):
        board.load("test-board")


@pytest.mark.parametrize("name", ["", "2nd", "a b", "a\n", "a" * 24, 'a"', "ä", None, 7])
def test_a_name_that_no_board_could_keep_is_refused(name):
    with pytest.raises(ValueError, match="is no name"):
        board.field({"name": name})


def test_a_declaration_is_read_in_full():
    table = {"name": "mode", "type": "enum", "options": ["eco", "warm"], "label": "Mode", "later": 1}
    assert board.control(table) == Control("mode", "enum", "Mode", options=("eco", "warm"))
    table = {"name": "rain", "unit": "mm", "category": "peak", "shown": False, "deadband": "0.2"}
    assert board.field(table) == Field("rain", "quantity", "mm", "", "peak", False, Decimal("0.2"))
