import pytest

from node.base.element import E
from node.base.errors import StanzaError, StreamError
from node.base.jid import parse
from node.base.stanza import ANYWHERE, CLIENT, NEVER, SAME_NAMESPACE, SERVER, Stanza, kind

ANN = parse("ann@home.example/phone")
PORCH = parse("porch@home.example/hw")
SCOPES = {ns: f"<s xmlns='{ns}' xmlns:stream='http://etherx.jabber.org/streams'>".encode() for ns in (CLIENT, SERVER)}


def came(name, inner, ns=CLIENT, portable=ANYWHERE, kinds=()):
    return Stanza.received(name, kinds, inner, ns, SCOPES[ns], portable)


def test_a_stanza_of_ours_is_written_with_its_address():
    stanza = Stanza("message", E("body", CLIENT, "a < b"), None, type="chat", to=ANN, sender=PORCH, id="1", lang="en")
    assert stanza.to_bytes(CLIENT) == (
        b"<message to='ann@home.example/phone' from='porch@home.example/hw' type='chat' id='1' xml:lang='en'>"
        b"<body>a &lt; b</body></message>"
    )
    assert stanza.body == "a < b"


def test_on_a_server_stream_the_body_is_in_the_servers_namespace():
    stanza = Stanza("message", E("body", CLIENT, "hi"), E("active", "urn:a"))
    assert stanza.to_bytes(SERVER) == b"<message><body>hi</body><active xmlns='urn:a'/></message>"


def test_what_is_passed_on_keeps_its_bytes():
    inner = b"<body   >&#x68;i</body ><x:y xmlns:x='urn:x'><![CDATA[<]]></x:y>"
    stanza = came("message", inner)
    stanza.to, stanza.sender = ANN, PORCH
    for ns in (CLIENT, SERVER):
        assert stanza.to_bytes(ns) == (
            b"<message to='ann@home.example/phone' from='porch@home.example/hw'>" + inner + b"</message>"
        )


def test_what_spells_a_content_namespace_is_rebuilt_for_the_other_kind_of_stream():
    inner = b"<body>hi</body><f xmlns='urn:f'><message xmlns='jabber:client'><body>in</body></message></f>"
    stanza = came("message", inner, portable=SAME_NAMESPACE)
    assert inner in stanza.to_bytes(CLIENT)
    assert stanza.to_bytes(SERVER) == (
        b"<message><body>hi</body><f xmlns='urn:f'><message xmlns='jabber:client'><body>in</body></message></f>"
        b"</message>"
    )


def test_a_body_that_names_its_namespace_is_moved_with_the_stanza():
    stanza = came("message", b"<body xmlns='jabber:client'>hi</body>", portable=SAME_NAMESPACE)
    assert stanza.to_bytes(SERVER) == b"<message><body>hi</body></message>"


def test_what_came_from_a_server_reads_as_if_it_had_come_from_a_client():
    inner = b"<body>hi</body><f xmlns='urn:f'><message xmlns='jabber:client'/></f>"
    stanza = came("message", inner, SERVER, SAME_NAMESPACE, kinds=("jabber:client\x01body", "urn:f\x01f"))
    assert stanza.body == "hi"
    assert stanza.child("body", CLIENT).ns == CLIENT
    assert stanza.to_bytes(CLIENT) == b"<message>" + inner + b"</message>"


def test_what_leans_on_a_prefix_from_outside_is_rebuilt():
    scope = SCOPES[CLIENT][:-1] + b" xmlns:x='urn:x'>"
    stanza = Stanza.received("message", ("urn:x\x01y",), b"<x:y/>", CLIENT, scope, NEVER)
    assert stanza.to_bytes(CLIENT) == b"<message><y xmlns='urn:x'/></message>"


def test_copies_that_differ_in_their_receiver_are_serialised_once():
    presence = Stanza("presence", E("status", CLIENT, "21.4"), sender=PORCH)
    first = presence.copy(to=ANN)
    second = presence.copy(to=PORCH.bare)
    first.to_bytes(CLIENT)
    assert second._tails is first._tails
    assert second.to_bytes(CLIENT) == (
        b"<presence to='porch@home.example' from='porch@home.example/hw'><status>21.4</status></presence>"
    )


def test_a_copy_from_somebody_else_is_serialised_anew():
    presence = Stanza("presence", sender=PORCH, to=ANN)
    presence.to_bytes(CLIENT)
    assert presence.copy(sender=ANN, type="unavailable", to=None).to_bytes(CLIENT) == (
        b"<presence from='ann@home.example/phone' type='unavailable'/>"
    )


def test_a_reply_goes_back_to_who_asked():
    iq = Stanza("iq", E("ping", "urn:xmpp:ping"), type="get", to=PORCH, sender=ANN, id="7")
    assert iq.reply().to_bytes(CLIENT) == (
        b"<iq to='ann@home.example/phone' from='porch@home.example/hw' type='result' id='7'/>"
    )
    assert iq.payload.name == "ping"


def test_an_error_names_condition_type_and_text():
    iq = Stanza("iq", type="get", to=PORCH, sender=ANN, id="7")
    answer = iq.error(StanzaError("forbidden", "Ask ann.", extra=E("why", "urn:w")))
    assert answer.to_bytes(CLIENT) == (
        b"<iq to='ann@home.example/phone' from='porch@home.example/hw' type='error' id='7'><error type='auth'>"
        b"<forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Ask ann.</text>"
        b"<why xmlns='urn:w'/></error></iq>"
    )


def test_a_condition_that_the_rfc_does_not_know_is_a_mistake_of_ours():
    with pytest.raises(KeyError):
        StanzaError("not-my-day")


def test_a_stream_error_is_in_the_namespace_of_streams():
    element = StreamError("conflict", "twice").element()
    assert (element.name, element.ns) == ("error", "http://etherx.jabber.org/streams")
    assert element.find("conflict", "urn:ietf:params:xml:ns:xmpp-streams") is not None


def test_a_child_is_found_without_building_the_others():
    stanza = came("message", b"<body>hi</body>", kinds=("jabber:client\x01body",))
    assert stanza.has("body", CLIENT)
    assert not stanza.has("html", "urn:h")
    assert stanza.child("html", "urn:h") is None
    assert stanza._children is None


@pytest.mark.parametrize("portable", (ANYWHERE, SAME_NAMESPACE, NEVER))
def test_a_child_is_added_to_what_came_without_a_tree(portable):
    stanza = came("message", b"<body>hi</body>", portable=portable, kinds=(kind("body", CLIENT),))
    stanza.to, stanza.sender = ANN, PORCH
    more = stanza.plus(kind("x", "urn:x"), b"<x xmlns='urn:x'/>")
    for ns in (CLIENT, SERVER):
        assert more.to_bytes(ns) == (
            b"<message to='ann@home.example/phone' from='porch@home.example/hw'>"
            b"<body>hi</body><x xmlns='urn:x'/></message>"
        )
    assert more.body == "hi" and more.has("x", "urn:x") and more.child("x", "urn:x") is not None
    assert not stanza.has("x", "urn:x") and b"urn:x" not in stanza.to_bytes(CLIENT)


def test_a_child_is_added_to_what_is_empty_and_to_one_of_ours():
    for stanza in (came("message", b""), Stanza("message")):
        more = stanza.plus(kind("x", "urn:x"), b"<x xmlns='urn:x'/>")
        assert [child.name for child in more.children] == ["x"]
        assert more.to_bytes(CLIENT) == b"<message><x xmlns='urn:x'/></message>"
        assert stanza.children == []


def test_a_child_is_added_to_one_whose_tree_was_built():
    stanza = came("message", b"<body>hi</body>", kinds=(kind("body", CLIENT),))
    assert stanza.children
    more = stanza.plus(kind("x", "urn:x"), b"<x xmlns='urn:x'/>")
    assert [child.name for child in more.children] == ["body", "x"]
