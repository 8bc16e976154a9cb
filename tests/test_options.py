"""Tables into dataclasses: what fits is taken, what does not is answered with place and closest name."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import pytest

from node.base.path import Path
from node.options import ConfigError, build, read


@dataclass
class Inner:
    depth: int = 1


@dataclass
class Options:
    port: str
    baud: int = 9600
    gain: float = 1.0
    offset: Decimal = Decimal(0)
    on: bool = True
    file: Path | None = None
    mode: Literal["rtu", "tcp"] = "rtu"
    names: list[str] = field(default_factory=list)
    sizes: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)
    each: dict[str, Inner] = field(default_factory=dict)

    def __post_init__(self):
        if self.baud < 0:
            raise ValueError("baud must not be negative")


@pytest.fixture
def table(tmp_path):
    def written(text):
        file = tmp_path / "home.toml"
        file.write_text(text)
        return read(file)

    return written


def complaint(table) -> str:
    """What is said of the table, from the file's name on."""
    with pytest.raises(ConfigError) as raised:
        build(Options, table)
    assert "\n" not in str(raised.value)
    return str(raised.value).rpartition("/")[2]


def test_every_kind_of_value_is_taken(table, tmp_path):
    found = build(
        Options,
        table(
            """
            port = "/dev/ttyACM0"
            baud = 115200
            gain = 2
            offset = 10.0
            on = false
            file = "notes.txt"
            mode = "tcp"
            names = ["a", "b"]
            sizes = [1, 2]
            inner.depth = 3
            [each.one]
            depth = 4
            """
        ),
    )
    assert found == Options(
        "/dev/ttyACM0",
        115200,
        2.0,
        Decimal("10.0"),
        False,
        tmp_path / "notes.txt",
        "tcp",
        ["a", "b"],
        (1, 2),
        Inner(3),
        {"one": Inner(4)},
    )
    assert str(found.offset) == "10.0"
    assert type(found.gain) is float


def test_an_unknown_name_is_answered_with_its_line_and_the_closest_one(table):
    thing = table('domain = "x"\n\n[thing.porch]\nprot = "/dev/ttyACM0"\n').inside("thing").inside("porch")
    assert complaint(thing) == "home.toml:4: [thing.porch] has no option 'prot'; did you mean 'port'?"


def test_a_name_like_no_other_is_answered_without_a_guess(table):
    assert complaint(table('port = "x"\nzzz = 1')) == "home.toml:2: the file has no table or option 'zzz'"


def test_inside_a_table_a_name_like_no_other_is_answered_with_what_there_is(table):
    assert complaint(table('port = "x"\n[inner]\nzzz = 1')) == (
        "home.toml:3: [inner] has no option 'zzz'; there is depth"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("baud = '9600'", 'baud must be a whole number, not "9600"'),
        ("baud = true", "baud must be a whole number, not true"),
        ("baud = 9600.5", "baud must be a whole number, not 9600.5"),
        ("gain = 'much'", 'gain must be a number, not "much"'),
        ("on = 1", "on must be true or false, not 1"),
        ("file = 3", "file must be a path in quotes, not 3"),
        ("mode = 'usb'", 'mode must be one of "rtu", "tcp", not "usb"'),
        ("names = 'a'", 'names must be a list, each a text, not "a"'),
        ("names = ['a', 1]", "names must be a list, each a text, not a list"),
        ("inner = 5", "inner must be a table, [inner], not 5"),
        ("baud = -1", "baud must not be negative"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(table, line, said):
    assert said in complaint(table(f"port = 'x'\n{line}\n"))


def test_a_wrong_value_inside_a_table_has_its_own_line(table):
    text = "port = 'x'\n[inner]\n# how deep\ndepth = 'deep'\n"
    assert complaint(table(text)) == 'home.toml:4: [inner] depth must be a whole number, not "deep"'


def test_a_missing_name_is_asked_for(table):
    assert complaint(table("baud = 1")) == "home.toml: the file needs 'port'"


def test_quoted_names_are_found_too(table):
    text = 'port = "x"\n[each."cabin.example"]\n"deph" = 1\n'
    assert complaint(table(text)) == (
        "home.toml:3: [each.\"cabin.example\"] has no option 'deph'; did you mean 'depth'?"
    )


def test_text_that_is_no_toml_is_answered_with_its_line(tmp_path):
    file = tmp_path / "home.toml"
    file.write_text("domain = 'x'\nport\n")
    with pytest.raises(ConfigError, match=r"home\.toml:2: not valid TOML: Expected '='"):
        read(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('domain = "x\ndata = 1', ":1: not valid TOML: a quote is missing at the end of the line"),
        ("domain = 'x", ":1: not valid TOML: a quote is missing at the end of the line"),
        ('domain = "x', ":1: not valid TOML: a quote is missing at the end of the line"),
        ("domain = x", ":1: not valid TOML: a value is missing, or its quotes are"),
        ("domain =", ":1: not valid TOML: a value is missing, or its quotes are"),
        ('a = "x" y', ":1: not valid TOML: something stands behind the value; # begins a remark"),
        ("a = [1, 2\n\n", ":1: not valid TOML: a list has no ] at its end"),
        ("a = 1\na = 2", ":2: not valid TOML: this is in the file twice"),
        ("[a]\nb = 1\n[a]", ":3: not valid TOML: this is in the file twice"),
        ('a = "/dev\\x"', ":1: not valid TOML: a \\ in a text has to be \\\\, or the text between single quotes"),
    ],
)
def test_what_is_no_toml_is_said_in_words_for_people(tmp_path, text, said):
    file = tmp_path / "home.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        read(file)
    assert str(raised.value).rpartition("/home.toml")[2] == said


def test_a_complaint_that_begins_with_an_option_has_its_line(table):
    assert complaint(table("port = 'x'\non = true\nbaud = -1\n")) == "home.toml:3: the file baud must not be negative"


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"home\.toml: cannot be read: No such file or directory"):
        read(tmp_path / "home.toml")
    (tmp_path / "home.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not a text in UTF-8"):
        read(tmp_path / "home.toml")
