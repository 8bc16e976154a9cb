"""The README is true: its commands and options exist, its configurations load, its links lead somewhere."""

import dataclasses
import importlib.util
import os
import re
import shlex

import pytest

from node import config
from node.cli import main
from node.features import archive, contact, register, strangers
from node.ports import limits
from node.things import access, history, rules
from tests.test_floors import CLONE

README = (CLONE / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [text for block in blocks("sh") for text in block.splitlines()]
NAMED = re.findall(r"`(hobnode [a-z]+[^`]*)`", README)
OURS = [text[text.index("hobnode ") :] for text in [*COMMANDS, *NAMED] if re.search(r"(^|/)hobnode ", text)]


@pytest.mark.parametrize("text", sorted(set(OURS)))
def test_a_command_exists_with_its_options(text, capsys):
    words = shlex.split(text)[1:]
    with pytest.raises(SystemExit) as end:
        main([*(word for word in words if not word.startswith("-")), "--help"])
    assert end.value.code == 0
    known = capsys.readouterr().out
    assert [word for word in words if word.startswith("-") and word not in known] == []


@pytest.mark.parametrize("text", [text for text in COMMANDS if text not in OURS])
def test_a_line_to_type_names_what_is_there(text):
    words = shlex.split(text)
    if words[:2] == ["python3", "-m"]:
        assert importlib.util.find_spec(words[2])
    ours = [word for word in words if word.startswith(("tests/", "systemd/", "boards/"))]
    assert all((CLONE / word).exists() for word in ours)
    if ours == words[:1]:
        assert os.access(CLONE / ours[0], os.X_OK)


def test_the_first_two_commands_are_the_promised_ones():
    assert COMMANDS[0] == "python3 -m node.install up"
    assert COMMANDS[1] == "tests/run"


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_a_configuration_loads(number, tmp_path):
    file = tmp_path / "hobnode.toml"
    file.write_text(blocks("toml")[number])
    assert config.load(file).domain == "home.example"


def options_table() -> dict[tuple[str, str], str]:
    """(table, option) → default, as the README says."""
    section = README.partition("## Configuration")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in section.splitlines() if row[:1] == "|"]
    said, table = {}, ""
    for head, names, default, _ in rows[2:]:
        table = head.strip("`") or table
        for name in re.findall(r"`(\w+)`", names):
            said[table, name] = default
    return said


def test_every_option_is_in_the_table():
    said = options_table()
    for table, options in (
        ("[listen]", config.Listen),
        ("[tls]", config.Tls),
        ("[access]", access.Options),
        ('[federation.peers."NAME"]', config.Peer),
        ("[limits]", limits.Options),
        ("[archive]", archive.Options),
        ("[contact]", contact.Options),
        ("[register]", register.Options),
        ("[strangers]", strangers.Options),
        ("[history]", history.Options),
        ("[[rule]]", rules.Rule),
    ):
        named = {name for where, name in said if where == table}
        assert named == {field.name for field in dataclasses.fields(options)}


def test_the_defaults_in_the_table_are_the_real_ones():
    said = options_table()
    for name, port in config.Listen().ports.items():
        assert said["[listen]", name] == str(port)
    assert said["[limits]", "rate"] == str(limits.Options().rate)
    for name, default in dataclasses.asdict(archive.Options()).items():
        assert said["[archive]", name] == str(default)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_a_link_leads_somewhere(link):
    assert (CLONE / link).exists()
