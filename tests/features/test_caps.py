"""XEP-0115: the test vectors of the XEP and of our own things, and what is told to the world."""

import pytest

from node.base.element import E
from node.base.form import NS as FORM
from node.features.caps import NODE, verification

DISCO = "http://jabber.org/protocol/disco#info"
CAPS = "http://jabber.org/protocol/caps"


def test_the_simple_example():
    """XEP-0115 §5.2."""
    features = [
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/disco#info",
        CAPS,
    ]
    assert verification([("client", "pc", "", "Exodus 0.9.1")], features) == "QgayPKawpkPSDYmwT/WM94uAlu0="


def test_the_complex_example():
    """XEP-0115 §5.3: two languages and a form."""
    identities = [("client", "pc", "en", "Psi 0.11"), ("client", "pc", "el", "Ψ 0.11")]
    features = [CAPS, DISCO, "http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/muc"]
    values = {
        "software_version": ["0.11"],
        "FORM_TYPE": ["urn:xmpp:dataforms:softwareinfo"],
        "ip_version": ["ipv6", "ipv4"],
        "os": ["Mac"],
        "os_version": ["10.5.1"],
        "software": ["Psi"],
    }
    fields = [E("field", None, *(E("value", None, text) for text in texts), var=var) for var, texts in values.items()]
    form = E("x", FORM, *fields, type="result")
    assert verification(identities, features, [form]) == "q07IKJEyjvHSyhy//CH0CxmKi8w="


def test_our_things_with_all_their_faces():
    features = (
        f"{CAPS} http://jabber.org/protocol/commands {DISCO} http://jabber.org/protocol/disco#items "
        "jabber:iq:last jabber:iq:version jabber:x:data "
        "urn:nf:iot:ctr:1.0 urn:nf:iot:events:1.0 urn:nf:iot:sd:1.0 "
        "urn:xmpp:iot:control urn:xmpp:iot:sensordata urn:xmpp:ping urn:xmpp:receipts urn:xmpp:time"
    ).split()
    assert verification([("client", "bot", "", "hobnode")], features) == "SjLwtSyKVaXMjNPCihFhsflVBXg="


def test_sorting_is_by_octets():
    """In Unicode order U+FF5E comes before U+10000, in UTF-16 behind it; 'Z' comes before 'a'."""
    assert verification([], ["a", "Z", "\U00010000", "\uff5e"]) == verification([], ["\uff5e", "\U00010000", "Z", "a"])


@pytest.mark.parametrize("at", ["host", "account", "thing"])
def test_the_hash_is_that_of_what_disco_tells(hub, at):
    told = hub.need("disco").describe(at)
    identities = [
        (each.get("category"), each.get("type"), "", each.get("name") or "") for each in told if each.name == "identity"
    ]
    features = [each.get("var") for each in told if each.name == "feature"]
    assert CAPS in features
    assert hub.need("caps").element(at).get("ver") == verification(identities, features)


def test_a_new_feature_is_a_new_hash(hub):
    caps = hub.need("caps")
    before = caps.element("thing").get("ver")
    hub.advertise("urn:x:new", at="thing")
    assert caps.element("thing").get("ver") != before


def test_the_node_of_the_hash_tells_the_same_as_no_node_and_is_echoed(hub, person):
    romeo = person("romeo@hub.local/a")
    node = f"{NODE}#{hub.need('caps').version('host')}"
    romeo.says(f"<iq type='get' id='d' to='hub.local'><query xmlns='{DISCO}'/></iq>")
    romeo.says(f"<iq type='get' id='d' to='hub.local'><query xmlns='{DISCO}' node='{node}'/></iq>")
    plain, noded = romeo.heard
    assert noded == plain.replace(f"xmlns='{DISCO}'", f"xmlns='{DISCO}' node='{node}'")


def test_the_node_of_another_hash_is_not_found(hub, person):
    romeo = person("romeo@hub.local/a")
    romeo.says(f"<iq type='get' id='d' to='hub.local'><query xmlns='{DISCO}' node='{NODE}#old'/></iq>")
    assert "<item-not-found " in romeo.heard[0]


def test_the_element_for_presence_and_stream_features(hub):
    caps = hub.need("caps")
    assert repr(caps.element()) == f"<c xmlns='{CAPS}' hash='sha-1' node='{NODE}' ver='{caps.version('host')}'/>"
