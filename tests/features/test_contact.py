"""XEP-0157: whom to write to about this server, and that the caps stand for it too."""

import pytest

from node import config as configuration
from node.base.form import values
from node.features.caps import verification
from node.features.contact import NS, Options
from node.options import ConfigError
from tests.conftest import read_stanza

DISCO = "http://jabber.org/protocol/disco#info"
ASK = f"<iq type='get' id='disco1' to='hub.local'><query xmlns='{DISCO}'/></iq>"
FORM = "jabber:x:data"


def told(person):
    (answer,) = person.says(ASK).heard
    return read_stanza(answer).elements[0]


@pytest.fixture
def configured(config):
    config.tables["contact"] = Options(
        admin=["mailto:ann@home.example", "xmpp:ann@hub.local"], abuse=["https://home.example/abuse"]
    )


def test_nothing_is_told_until_somebody_says_so(person):
    assert told(person("romeo@hub.local/a")).find("x", FORM) is None


@pytest.mark.usefixtures("configured")
def test_the_addresses_are_in_a_form_of_the_host(person):
    x = told(person("romeo@hub.local/a")).find("x", FORM)
    assert x.get("type") == "result"
    assert [(each.get("var"), each.get("type")) for each in x.findall("field")] == [
        ("FORM_TYPE", "hidden"),
        ("abuse-addresses", "list-multi"),
        ("admin-addresses", "list-multi"),
    ]
    assert values(x) == {
        "FORM_TYPE": [NS],
        "abuse-addresses": ["https://home.example/abuse"],
        "admin-addresses": ["mailto:ann@home.example", "xmpp:ann@hub.local"],
    }


@pytest.mark.usefixtures("configured")
def test_other_addresses_are_told_from_one_moment_to_the_next(hub, person):
    romeo, contact = person("romeo@hub.local/a"), hub.need("contact")
    before = hub.need("caps").version("host")
    contact.reload(Options(admin=["mailto:bob@home.example"]))
    assert values(told(romeo).find("x", FORM))["admin-addresses"] == ["mailto:bob@home.example"]
    between = hub.need("caps").version("host")
    contact.reload(Options())
    assert told(romeo).find("x", FORM) is None
    assert len({before, between, hub.need("caps").version("host")}) == 3


@pytest.mark.usefixtures("configured")
def test_accounts_and_things_have_no_such_form(hub):
    disco = hub.need("disco")
    assert [each.name for at in ("account", "thing") for each in disco.describe(at) if each.name == "x"] == []


@pytest.mark.usefixtures("configured")
def test_the_caps_stand_for_the_form(hub, person):
    query = told(person("romeo@hub.local/a"))
    identities = [(each.get("category"), each.get("type"), "", each.get("name")) for each in query.findall("identity")]
    features = [each.get("var") for each in query.findall("feature")]
    version = hub.need("caps").version("host")
    assert version == verification(identities, features, [query.find("x", FORM)])
    assert version != verification(identities, features)


@pytest.mark.parametrize(
    "uri",
    [
        "mailto:ann@home.example",
        "mailto:ann@home.example?subject=xmpp",
        "xmpp:ann@home.example",
        "xmpp:home.example",
        "xmpp:ann@home.example?message",
        "https://home.example",
        "https://home.example/contact",
    ],
)
def test_an_address_that_can_be_opened(uri):
    assert Options(support=[uri]).support == [uri]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("ann@home.example", "begins with none of"),
        ("ftp://home.example/", "begins with none of"),
        ("javascript:alert(1)", "begins with none of"),
        ("", "begins with none of"),
        ("mailto:ann", "not a whole address"),
        ("mailto:?subject=a@b", "not a whole address"),
        ("https:home.example", "not a whole address"),
        ("https:///contact", "not a whole address"),
        ("xmpp:", "no address"),
        ("xmpp:@home.example", "no address"),
        ("mailto:ann@home.example ", "a space"),
        ("mailto:ann@home.example\0", "a control character"),
    ],
)
def test_an_address_that_cannot_is_refused_with_its_reason(uri, why):
    with pytest.raises(ValueError, match=f"^security: .*{why}"):
        Options(security=[uri])


def test_the_complaint_names_the_table(tmp_path):
    file = tmp_path / "hobnode.toml"
    with pytest.raises(ConfigError, match=r"\[contact\] admin: 'ann' begins with none of"):
        configuration.load(file, "domain = 'home.example'\n[contact]\nadmin = ['ann']\n")
