"""XEP-0004 and XEP-0122: forms are built as the XEPs write them and read with their rules."""

import pytest

from node.base.element import E, write
from node.base.element import read as tree
from node.base.form import NS, FormError, boolean, check, field, form, read, table, values


def test_a_form_is_built_as_xep_0004_writes_it():
    built = form(
        field("Lamp", "true", type="boolean", label="Lamp"),
        field("FadeMs", "300", label="Fade (ms)", datatype="xs:int", minimum="0", maximum="4095"),
        title="Porch",
    )
    assert write(built, "") == (
        "<x xmlns='jabber:x:data' type='form'><title>Porch</title>"
        "<field var='Lamp' type='boolean' label='Lamp'><value>true</value></field>"
        "<field var='FadeMs' type='text-single' label='Fade (ms)'><value>300</value>"
        "<validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:int'>"
        "<range min='0' max='4095'/></validate></field></x>"
    )


def test_a_field_without_a_range_is_validated_by_its_type_alone():
    assert "<basic/>" in write(field("when", datatype="xs:dateTime"), NS)


def test_a_question_can_carry_choices_a_description_and_the_mark_not_same():
    text = write(field("mode", "eco", type="list-single", desc="How warm", options=("eco", ("hot", "Hot"))), NS)
    assert "<desc>How warm</desc>" in text
    assert "<option label='eco'><value>eco</value></option><option label='Hot'><value>hot</value></option>" in text
    assert "<notSame xmlns='urn:xmpp:xdata:dynamic'/>" in write(field("a", not_same=True), NS)


def test_a_table_has_its_columns_first_and_an_item_per_row():
    text = write(table([("field", "Field"), ("value", "Value")], [("lamp", "on"), ("light", "511")]), "")
    assert text.index("<reported>") < text.index("<item>")
    assert text.count("<item>") == 2
    with pytest.raises(ValueError):
        table([("field", "Field")], [("lamp", "on")])


ASKED = form(
    field("lamp", "false", type="boolean"),
    field("level", datatype="xs:int", minimum="0", maximum="255"),
    field("mode", type="list-single", options=("eco", "hot")),
    field("name", required=True),
)


def answer(**given):
    return form(*(E("field", NS, *(E("value", NS, one) for one in many), var=var) for var, many in given.items()))


def test_answers_come_in_the_order_given_with_booleans_in_one_spelling():
    read_back = read(answer(name=["porch"], lamp=["1"], level=["007"]), ASKED)
    assert list(read_back.items()) == [("name", ["porch"]), ("lamp", ["true"]), ("level", ["007"])]


def test_what_was_not_asked_is_passed_over_and_what_was_left_out_is_left_out():
    assert read(answer(name=["porch"], colour=["red"]), ASKED) == {"name": ["porch"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lamp": ["true"]}, "name: is required."),
        ({"name": [""]}, "name: is required."),
        ({"name": ["p"], "lamp": ["maybe"]}, "lamp: must be true or false."),
        ({"name": ["p"], "level": ["256"]}, "level: must be 0–255."),
        ({"name": ["p"], "level": ["1.5"]}, "level: must be a whole number."),
        ({"name": ["p"], "mode": ["cold"]}, "mode: 'cold' is not one of the choices."),
        ({"name": ["p"], "level": ["1", "2"]}, "level: takes one value."),
    ],
)
def test_a_wrong_answer_is_refused_in_words(given, words):
    with pytest.raises(FormError) as refused:
        read(answer(**given), ASKED)
    assert str(refused.value) == words


def test_a_list_with_open_takes_what_is_not_in_it():
    asked = tree(
        b"<x xmlns='jabber:x:data'><field var='a' type='list-single'><option><value>b</value></option>"
        b"<validate xmlns='http://jabber.org/protocol/xdata-validate'><open/></validate></field></x>"
    )
    assert read(answer(a=["c"]), asked) == {"a": ["c"]}


def test_a_field_without_a_name_or_value_is_no_answer():
    x = tree(b"<x xmlns='jabber:x:data' type='submit'><field><value>a</value></field><field var='b'/></x>")
    assert values(x) == {"b": []}


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("xs:byte", "-128", "128"),
        ("xs:int", " 2147483647 ", "2147483648"),
        ("xs:long", "-9223372036854775808", "9223372036854775808"),
        ("xs:integer", "9" * 60, "1_000"),
        ("xs:integer", "0", "٣"),
        ("xs:double", "-1.50e3", "NaN"),
        ("xs:double", ".5", "."),
        ("xs:decimal", "10.00", "10,00"),
        ("xs:date", "2026-11-22", "2026-13-22"),
        ("xs:time", "14:02:11", "25:00:00"),
        ("xs:dateTime", "2026-11-22T14:02:11Z", "yesterday"),
    ],
)
def test_datatypes_of_xep_0122(datatype, good, bad):
    assert check(good, datatype) == good.strip()  # the decimal text is kept: 10.00 is not 10
    with pytest.raises(FormError):
        check(bad, datatype)


def test_a_datatype_that_is_not_known_is_text():
    assert check("anything at all", "x:own") == "anything at all"


def test_a_range_holds_for_numbers_and_for_dates():
    assert check("0.5", "xs:double", "0.5", "1") == "0.5"
    with pytest.raises(FormError, match=r"must be 0\.5 or more"):
        check("0.4", "xs:double", "0.5")
    with pytest.raises(FormError, match="or less"):
        check("2026-11-23", "xs:date", None, "2026-11-22")


def test_a_number_of_any_length_is_refused_before_it_is_converted():
    with pytest.raises(FormError):
        check("9" * 100_000, "xs:integer")
    with pytest.raises(FormError):
        check("1e" + "9" * 1000, "xs:double")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_a_boolean_has_four_spellings(text, value):
    assert boolean(text) is value
