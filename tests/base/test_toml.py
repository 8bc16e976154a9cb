"""TOML: numbers are the text that was written, and the parser is gone when it is not needed."""

import sys
from decimal import Decimal

import pytest

from node.base import toml


def test_a_number_keeps_its_text():
    assert str(toml.loads("a = 10.0")["a"]) == "10.0"
    assert isinstance(toml.loads("a = 10.0")["a"], Decimal)


def test_what_is_no_toml_is_a_value_error():
    with pytest.raises(ValueError):
        toml.loads("a =")


def test_the_parser_is_let_go_and_comes_back():
    toml.loads("a = 1")
    assert "tomllib" in sys.modules
    toml.let_go()
    assert not [name for name in sys.modules if name.startswith("tomllib")]
    assert toml.loads("a = 1") == {"a": 1}
