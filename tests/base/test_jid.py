import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from node.base import jid
from node.base.jid import Jid, JidError, _prepare_local, _prepare_resource, ascii_domain, make, parse


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("ann@home.example", "ann@home.example"),
        ("Ann@Home.Example/Phone", "ann@home.example/Phone"),
        ("home.example", "home.example"),
        ("home.example.", "home.example"),
        ("ann@home.example/a@b/c", "ann@home.example/a@b/c"),
        ("Fußball@example.com", "fußball@example.com"),
        ("ΣΑΣ@example.com", "σας@example.com"),
        ("ａｎｎ@example.com", "ann@example.com"),
        ("juliet\\20capulet@example.com", "juliet\\20capulet@example.com"),
        ("x@KÖNIGSGÄßCHEN.example", "x@königsgäßchen.example"),
        ("x@xn--bcher-kva.example", "x@bücher.example"),
        ("x@192.0.2.1", "x@192.0.2.1"),
        ("x@[2001:DB8::1]", "x@[2001:db8::1]"),
        ("ann@home.example/My Phone", "ann@home.example/My Phone"),
        ("ann@home.example/u\u0308", "ann@home.example/ü"),
    ],
)
def test_P3_P4_an_address_is_prepared(text, prepared):
    assert parse(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@home.example",
        "ann@",
        "ann@/phone",
        "ann@home.example/",
        "a nn@home.example",
        'a"nn@home.example',
        "a&nn@home.example",
        "a:nn@home.example",
        "a<nn@home.example",
        "ann@home..example",
        "ann@-home.example",
        "ann@[::1",
        "ann@[nonsense]",
        "x" * 1024 + "@home.example",
        "ann@home.example/" + "ü" * 512,
        "ann@home.example/a\u0000b",
        "ann@home.example/a\nb",
        "ann\u200d@home.example",
        "henryⅣ@example.com",
        "♚@example.com",
    ],
)
def test_P3_P4_P5_what_is_no_address_is_refused(text):
    with pytest.raises(JidError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b@home.example", "the name 'a b' has a blank that no address may have"),
        ("♚@home.example", "the name '♚' has a character that no address may have"),
        ("home example", "the domain 'home example' has ' ', which no domain may have"),
        ("ann@♚.example", "the domain '♚.example' has '♚', which no domain may have"),
        ("ann@home.example@x", "the domain 'home.example@x' is more than a domain: only the part after the @ is one"),
        ("ann@home..example", "the domain 'home..example' is not valid: Empty Label"),
    ],
)
def test_what_is_wrong_is_said_in_words_for_people(text, said):
    with pytest.raises(JidError) as raised:
        parse(text)
    assert str(raised.value) == said


def test_parts_of_1023_octets_are_the_longest():
    assert len(parse("x" * 1023 + "@home.example/" + "y" * 1023)) == 2060


def test_an_address_knows_its_parts():
    jid = parse("ann@home.example/phone")
    assert (jid.local, jid.domain, jid.resource, jid.full) == ("ann", "home.example", "phone", True)
    assert jid.bare == "ann@home.example"
    assert jid.bare.bare is jid.bare
    assert not jid.bare.full


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=8))
def test_ascii_is_prepared_as_precis_would(text):
    for profile, prepare in (("UsernameCaseMapped", _prepare_local), ("OpaqueString", _prepare_resource)):
        try:
            wanted = get_profile(profile).enforce(text)
        except UnicodeEncodeError:
            wanted = None
        if profile == "UsernameCaseMapped" and wanted and set(wanted) & set("\"&'/:<>@"):
            wanted = None
        try:
            assert prepare(text) == wanted
        except JidError:
            assert wanted is None


def test_an_address_is_its_text():
    jid = make("ann", "home.example", "phone")
    assert isinstance(jid, Jid)
    assert {jid: 1}["ann@home.example/phone"] == 1
    assert parse(jid) == jid


def test_the_same_account_at_another_resource():
    assert parse("ann@home.example/phone").with_resource("laptop") == "ann@home.example/laptop"
    with pytest.raises(JidError):
        parse("ann@home.example").with_resource("a\u0007")


def test_quotes_and_angles_in_a_resource_are_escaped_for_the_wire():
    assert parse("ann@home.example/<'&\">").wire == b"ann@home.example/&lt;&apos;&amp;&quot;&gt;"


@pytest.mark.parametrize(
    ("domain", "spelt"),
    [
        ("home.example", "home.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_domain_as_dns_spells_it(domain, spelt):
    assert ascii_domain(parse(domain)) == spelt


def test_a_domain_that_dns_cannot_spell():
    with pytest.raises(JidError):
        ascii_domain(parse("ü" * 70 + ".example"))


@pytest.mark.parametrize("dot", [".", "\u3002", "\uff0e", "\uff61"])
def test_P4_a_full_stop_of_any_script_at_the_end_is_no_other_domain(dot):
    assert parse(f"ann@home.example{dot}/a") == "ann@home.example/a"


@pytest.mark.parametrize("domain", ["[::1\0]", "[\ud800]", "\ud800.example", "a\0.example"])
def test_P5_what_no_network_takes_is_no_domain(domain):
    with pytest.raises(JidError):
        parse(domain)


@given(st.text(st.sampled_from("aAßİıаé\u0301\u200d\u3002\uff21\u05d0@/.-[]:1x\u00ad\u0f0c"), min_size=1, max_size=12))
def test_P4_a_prepared_address_is_prepared(text):
    try:
        jid = parse(text)
    except JidError:
        return
    assert parse(str(jid) + "") == jid
    assert make(jid.local, jid.domain, jid.resource) == jid


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ann", "\uff41\uff4e\uff4e", True),  # full width
        ("ANN", "ann", True),
        ("a\u0323\u0302b", "a\u0302\u0323b", True),  # the order of marks
        ("\xe9", "e\u0301", True),
        ("ann", "\u0430nn", False),  # the first is Cyrillic: registration compares what they look like
        ("stra\xdfe", "strasse", False),
        ("i", "\u0131", False),  # Turkish, without a dot
        ("i", "I", True),
    ],
)
def test_P3_who_is_somebody_else_and_who_is_the_same(one, other, same):
    assert (parse(f"{one}@home.example") == parse(f"{other}@home.example")) == same


@pytest.mark.parametrize(
    "letter",
    ["\u200b", "\u200c", "\u200e", "\u202e", "\u2066", "\u2060", "\ufeff", "\xad", "\u034f", "\u3164", "\u0378"],
)
def test_P3_P5_what_nobody_sees_or_knows_is_in_no_name(letter):
    with pytest.raises(JidError):
        parse(f"an{letter}n@home.example")


def test_L12_addresses_are_remembered_up_to_a_number(monkeypatch):
    monkeypatch.setattr(jid, "CACHE_LIMIT", 10)
    for number in range(100):
        parse(f"stranger{number}@far.example")
        assert len(jid._cache) <= 10
