"""What a board's README gives to paste into the configuration is understood by the node."""

import re

import pytest

from node import config
from node.hub import board
from tests.test_floors import CLONE


def pasted(name):
    """Each block of TOML; one that begins in the middle of a thing comes with the one before it."""
    blocks = re.findall(r"```toml\n(.*?)```", (CLONE / "boards" / name / "README.md").read_text(), re.DOTALL)
    return [
        before + block if block.startswith("[[") else block
        for before, block in zip(["", *blocks], blocks, strict=False)
    ]


@pytest.mark.parametrize("name", board.names())
def test_the_configuration_to_paste_loads(name, tmp_path):
    file = tmp_path / "hobnode.toml"
    named = set()
    for text in pasted(name):
        file.write_text(f'domain = "home.example"\n{text}')
        named |= {thing.board.name for thing in config.load(file).things.values() if thing.board}
    assert name in named


MANUAL = (CLONE / "boards" / "README.md").read_text()


@pytest.mark.parametrize("text", re.findall(r"```toml\n(domain.*?)```", MANUAL, re.DOTALL))
def test_what_the_manual_of_boards_says_loads(text, tmp_path):
    file = tmp_path / "hobnode.toml"
    file.write_text(text)
    (thing,) = [thing for name, thing in config.load(file).things.items() if name != "hub"]
    assert thing.options.fields.keys() <= {each.name for each in thing.declared.fields}
    assert thing.declared.controls
