"""XEP-0199: whom the node answers for, and whom not."""

PING = "<ping xmlns='urn:xmpp:ping'/>"


def test_client_to_server_ping(person):
    romeo = person("romeo@hub.local/a")
    romeo.says(f"<iq type='get' id='c2s1' to='hub.local'>{PING}</iq>")
    assert romeo.heard == ["<iq type='result' from='hub.local' to='romeo@hub.local/a' id='c2s1'/>"]


def test_a_ping_to_ones_own_account(person):
    romeo = person("romeo@hub.local/a")
    romeo.says(f"<iq type='get' id='1' to='romeo@hub.local'>{PING}</iq>")
    romeo.says(f"<iq type='get' id='2'>{PING}</iq>")
    assert romeo.heard == [
        f"<iq type='result' from='romeo@hub.local' to='romeo@hub.local/a' id='{number}'/>" for number in "12"
    ]


def test_a_ping_to_somebody_elses_account_tells_nothing(person):
    romeo = person("romeo@hub.local/a")
    person("juliet@hub.local/b")
    romeo.says(f"<iq type='get' id='1' to='juliet@hub.local'>{PING}</iq>")
    romeo.says(f"<iq type='get' id='1' to='nobody@hub.local'>{PING}</iq>")
    there, missing = romeo.heard
    assert "service-unavailable" in there
    assert there.replace("juliet", "nobody") == missing


def test_client_to_client_ping(person):
    romeo, juliet = person("romeo@hub.local/a"), person("juliet@hub.local/b")
    romeo.says(f"<iq type='get' id='e2e1' to='juliet@hub.local/b'>{PING}</iq>")
    assert juliet.heard == [f"<iq type='get' id='e2e1' to='juliet@hub.local/b' from='romeo@hub.local/a'>{PING}</iq>"]
    juliet.says("<iq type='result' id='e2e1' to='romeo@hub.local/a'/>")
    assert romeo.heard == ["<iq type='result' id='e2e1' to='romeo@hub.local/a' from='juliet@hub.local/b'/>"]


def test_a_ping_is_a_question(person):
    romeo = person("romeo@hub.local/a")
    romeo.says(f"<iq type='set' id='1' to='hub.local'>{PING}</iq>")
    (answer,) = romeo.heard
    assert "type='error'" in answer and "service-unavailable" in answer


def test_it_is_announced(hub):
    assert "urn:xmpp:ping" in hub.features["host"]
