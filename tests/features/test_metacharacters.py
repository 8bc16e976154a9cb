"""S15: what means something to SQL, a shell, a log or a page means nothing here: it comes back as it was said."""

import pytest

from node.base.element import escape, escape_attribute

TEXTS = [
    "'; DROP TABLE roster; --",
    '" OR 1=1 --',
    "%s%n%x {0} {romeo} ${PATH} $(reboot) `reboot`",
    "../../etc/passwd",
    "<script>alert(1)</script>&amp;&#60;",
    "a\r\nRCPT TO:<all@far.example>\r\n.\r\n",
    "#/+/$SYS",
    "\\x00\\u0000\\",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe \N{PILE OF POO}",
]


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


def heard(person, said):
    person.says(said)
    return "".join(person.heard)


@pytest.mark.parametrize("text", TEXTS)
def test_S15_names_and_groups_in_a_roster(romeo, run, text):
    item = f"<item jid='juliet@hub.local' name='{escape_attribute(text)}'><group>{escape(text)}</group></item>"
    query = "<query xmlns='jabber:iq:roster'>{}</query>"
    romeo.says(f"<iq type='set' id='1'>{query.format(item)}</iq>")
    assert "type='result'" in romeo.heard[0]
    run(romeo.hub.store.accounts.committed())
    romeo.hub.need("roster").loaded.clear()  # what the disk knows
    romeo.says(f"<iq type='get' id='2'>{query.format('')}</iq>")
    assert item.replace("><group>", " subscription='none'><group>") in romeo.heard[0]


@pytest.mark.parametrize("text", TEXTS)
def test_S15_what_is_said_to_somebody_who_is_away(romeo, person, run, text):
    run(romeo.hub.accounts.create("juliet", "secret"))
    romeo.says(
        f"<message to='juliet@hub.local' type='chat' id='{escape_attribute(text)}'>"
        f"<subject>{escape(text)}</subject><body>{escape(text)}</body></message>"
    )
    assert romeo.heard == []
    come = heard(person("juliet@hub.local/b"), "<presence/>")
    assert f"<subject>{escape(text)}</subject><body>{escape(text)}</body>" in come
    assert f" id='{escape_attribute(text)}'" in come


@pytest.mark.parametrize("text", TEXTS)
def test_S15_a_card_a_status_and_an_id(romeo, text):
    card = f"<vCard xmlns='vcard-temp'><FN>{escape(text)}</FN><URL>{escape(text)}</URL></vCard>"
    romeo.says(f"<iq type='set' id='{escape_attribute(text)}'>{card}</iq>")
    assert f" id='{escape_attribute(text)}'" in "".join(romeo.heard)
    assert f"<FN>{escape(text)}</FN>" in heard(romeo, "<iq type='get' id='1'><vCard xmlns='vcard-temp'/></iq>")
    assert f"<status>{escape(text)}</status>" in heard(romeo, f"<presence><status>{escape(text)}</status></presence>")


@pytest.mark.parametrize("text", TEXTS)
def test_S15_resources_and_addresses(person, text):
    """An address may hold most of it in its resource; in its name it may not."""
    romeo = person("romeo@hub.local/a")
    if text.isprintable():
        other = person(f"romeo@hub.local/{text}")
        romeo.says(f"<message to='{other.jid.wire.decode()}'><body>x</body></message>")
        (message,) = other.heard
        assert f" to='{escape_attribute(other.jid)}'" in message
    blocked = f"<item jid='{escape_attribute(f'eve@far.example/{text}')}'/>"
    answer = heard(romeo, f"<iq type='set' id='1'><block xmlns='urn:xmpp:blocking'>{blocked}</block></iq>")
    assert ("type='result'" in answer) == text.isprintable() or "<jid-malformed" in answer
    for wrong in (f"{text}@far.example", f"eve@{text}"):
        said = f"<iq type='get' id='2' to='{escape_attribute(wrong)}'><ping xmlns='urn:xmpp:ping'/></iq>"
        assert "type='error'" in heard(romeo, said)
