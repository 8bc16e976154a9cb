from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.base.element import STREAMS, E, Element, escape, read, write

NS = "urn:example:a"
OTHER = "urn:example:b"


def test_an_element_is_built_by_its_shape():
    element = E("blocklist", NS, *(E("item", None, jid=jid) for jid in ("a@b", "c@d")), None, count="2", none=None)
    assert write(element, "") == (f"<blocklist xmlns='{NS}' count='2'><item jid='a@b'/><item jid='c@d'/></blocklist>")


def test_words_of_python_are_spelled_with_an_underscore():
    assert write(E("x", None, from_="a", xml_lang="en"), "") == "<x from='a' xml:lang='en'/>"


def test_attributes_may_be_called_name_and_ns():
    assert write(E("x", None, name="a", ns="b"), "") == "<x name='a' ns='b'/>"


def test_a_namespace_is_written_where_it_changes():
    element = E("a", NS, E("b", NS, E("c", OTHER)), E("d", None))
    assert write(element, NS) == f"<a><b><c xmlns='{OTHER}'/></b><d/></a>"


def test_the_stream_namespace_is_written_with_its_prefix():
    assert write(E("error", STREAMS, E("conflict", NS)), "jabber:client") == (
        f"<stream:error><conflict xmlns='{NS}'/></stream:error>"
    )


def test_children_are_found_by_name_and_namespace():
    element = read(f"<a xmlns='{NS}'>one<b x='1'/>two<b x='2'/><b xmlns='{OTHER}' x='3'/></a>".encode())
    assert element.find("b").get("x") == "1"
    assert element.find("b", OTHER).get("x") == "3"
    assert element.find("c") is None
    assert [child.get("x") for child in element.findall("b")] == ["1", "2"]
    assert element.text == "onetwo"
    assert element.get("y", "none") == "none"


def test_built_children_without_a_namespace_are_in_their_parents():
    assert E("a", NS, E("b")).find("b") is not None
    assert E("a", NS, E("b")).find("b", OTHER) is None


def test_attributes_with_a_namespace_survive():
    element = read(b"<a xmlns:p='urn:p' p:x='1' xml:lang='de' y='2'/>")
    assert element.attrs == {"{urn:p}x": "1", "xml:lang": "de", "y": "2"}
    again = read(write(element, "").encode())
    assert again.attrs == element.attrs


@pytest.mark.parametrize("text", ["<&>", "a\rb", "]]>", "\U0001f600", "tab\tand\nline"])
def test_text_is_escaped(text):
    assert read(write(E("a", None, text), "").encode()).text == text
    assert read(write(E("a", None, x=text), "").encode()).get("x") == text


def test_ordinary_text_is_not_touched():
    assert escape("21.4 °C · door closed") == "21.4 °C · door closed"


names = st.from_regex(r"[a-z_][a-z0-9_.\-]{0,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]), max_size=20)
elements = st.recursive(
    st.builds(lambda name, text: Element(name, NS, {}, [text] if text else []), names, texts),
    lambda inner: st.builds(
        Element,
        names,
        st.sampled_from([NS, OTHER, "jabber:client"]),
        st.dictionaries(names.filter(lambda name: not name.startswith("xml")), texts, max_size=3),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@given(elements)
def test_what_is_written_means_the_same_to_a_second_parser(element):
    other = ElementTree.fromstring(f"<s xmlns='jabber:client'>{write(element, 'jabber:client')}</s>")[0]
    assert _plain(element, "jabber:client") == _foreign(other)
    assert write(read(write(element, "").encode()), "") == write(element, "")


def _plain(element, inherited):
    ns = inherited if element.ns is None else element.ns
    return f"{{{ns}}}{element.name}", element.attrs, element.text, [_plain(c, ns) for c in element.elements]


def _foreign(element):
    return element.tag, dict(element.attrib), element.text or "", [_foreign(child) for child in element]


@pytest.mark.parametrize("ns", ["a}b", "a}", "a} z=''/><evil/><y "])
def test_X19_a_brace_in_a_namespace_ends_nothing(ns):
    element = Element("a", NS, {f"{{{ns}}}x": "1"}, [])
    assert read(write(element, "").encode()).attrs == element.attrs
    assert len(ElementTree.fromstring(f"<s>{write(element, '').replace('}', '')}</s>")) == 1


def test_X19_an_element_of_xml_itself_is_written_with_its_prefix():
    element = read(b"<a><xml:b xml:c='1'><d/></xml:b></a>")
    assert write(element, "") == "<a><xml:b xml:c='1'><d/></xml:b></a>"
