"""Tables for people."""

from node.cli.table import print_table


def test_columns_are_as_wide_as_their_widest_cell(capsys):
    print_table([("NAME", "STATE"), ("porch", "online"), ("x", "")])
    assert capsys.readouterr().out == "NAME   STATE\nporch  online\nx\n"


def test_a_board_cannot_speak_to_the_terminal(capsys):
    print_table([("hub", "text \x1b[2J")])
    assert "\x1b" not in capsys.readouterr().out
