"""A stanza comes out of the store as it went in."""

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import CLIENT, Stanza
from node.base.stored import pack, unpack

ROMEO = parse("romeo@hub.local/a")


@pytest.mark.parametrize(
    "stanza",
    [
        Stanza("presence", type="subscribe", sender=ROMEO.bare, to=ROMEO, id="'<&\"\n", lang="de"),
        Stanza("message", E("body", None, "a < b & c"), E("x", "urn:x", E("y", "urn:y"), z="'"), sender=ROMEO),
        Stanza("message"),
    ],
)
def test_what_is_unpacked_is_what_was_packed(stanza):
    again = unpack(pack(stanza))
    assert pack(again) == pack(stanza)
    assert again.kinds == stanza.kinds
    assert (again.to, again.sender) == (stanza.to, stanza.sender)


def test_more_children_are_added_at_the_end():
    message = unpack(pack(Stanza("message", E("body", None, "hi"), to=ROMEO)), E("delay", "urn:xmpp:delay"))
    assert [child.name for child in message.children] == ["body", "delay"]
    assert message.body == "hi"
    assert b"<body>hi</body><delay xmlns='urn:xmpp:delay'/>" in message.to_bytes(CLIENT)
