"""What a sensor may say of each type."""

import pytest

from node.hub.formats.values import value, words


@pytest.mark.parametrize(
    ("text", "type", "read"),
    [
        ("10.0", "quantity", "10.0"),
        ("10.00", "quantity", "10.00"),
        ("-0.50", "quantity", "-0.50"),
        (" 21 ", "quantity", "21"),
        ("+21.5", "quantity", "21.5"),
        (".5", "quantity", "0.5"),
        ("5.", "quantity", "5"),
        ("2.5e-05", "quantity", "0.000025"),
        ("nan", "quantity", None),
        ("NaN", "quantity", None),
        ("", "quantity", None),
        ("+7", "integer", "7"),
        ("-7", "integer", "-7"),
        ("null", "integer", None),
        ("ON", "boolean", "true"),
        ("1", "boolean", "true"),
        ("low", "boolean", "false"),
        ("n/a", "boolean", None),
        ("none", "string", "none"),
        (" it\0 rains", "string", " it  rains"),
        ("eco", "enum", "eco"),
    ],
)
def test_a_reading_keeps_its_text(text, type, read):
    assert value(text, type) == read


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("21.4 °C", "quantity"),
        ("1e99999999", "quantity"),
        ("9" * 36, "quantity"),
        (40 * "9", "quantity"),
        ("inf", "quantity"),
        ("0x10", "quantity"),
        ("٣", "quantity"),
        ("1_000", "integer"),
        ("4.2", "integer"),
        ("maybe", "boolean"),
        ("2", "boolean"),
    ],
)
def test_what_is_not_of_that_type_is_refused(text, type):
    with pytest.raises(ValueError):
        value(text, type)


def test_words_are_fit_for_xml_and_not_too_many():
    assert words("a\x1bb\nc") == "a b c"
    assert len(words(2000 * "x")) == 1024
