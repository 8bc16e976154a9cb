"""XEP-0092: name and version, and nothing about the machine."""

import node

ASK = "<iq type='get' id='version_1' to='hub.local'><query xmlns='jabber:iq:version'/></iq>"


def test_software_version(person):
    romeo = person("romeo@hub.local/a")
    romeo.says(ASK)
    assert romeo.heard == [
        "<iq type='result' from='hub.local' to='romeo@hub.local/a' id='version_1'>"
        "<query xmlns='jabber:iq:version'>"
        f"<name>hobnode</name><version>{node.__version__}</version>"
        "</query></iq>"
    ]


def test_it_is_announced(hub):
    assert "jabber:iq:version" in hub.features["host"]
