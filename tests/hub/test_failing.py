"""R12: whatever part of us has a bug, one stanza pays for it: its sender is told, and all goes on."""

import pytest

from node.base.stanza import Stanza

NS = "urn:x-test"
BROKEN = "<iq type='get' id='broken' to='hub.local'><broken xmlns='urn:x-test'/></iq>"
MESSAGE = "<message to='juliet@hub.local/b' type='chat' id='broken'><body>x</body></message>"
TO_HOST = "<message to='hub.local' id='broken'><body>x</body></message>"


def fail(*args):
    raise ZeroDivisionError("a mistake of ours")


async def fail_later(*args):
    raise ZeroDivisionError("a mistake of ours")


PARTS = {
    "handler": (lambda hub: hub.on_iq("get", "broken", NS, fail), BROKEN),
    "handler that waits": (lambda hub: hub.on_iq("get", "broken", NS, fail_later), BROKEN),
    "handler of messages": (lambda hub: hub.on_stanza("message", fail, at="host"), TO_HOST),
    "guard of the sender": (lambda hub: hub.guard("leaving", "message", once(fail)), MESSAGE),
    "guard of the receiver": (lambda hub: hub.guard("arriving", "message", once(fail)), MESSAGE),
    "watcher of the sender": (lambda hub: hub.watch("leaving", "message", once(fail)), MESSAGE),
    "watcher of the receiver": (lambda hub: hub.watch("arriving", "message", once(fail)), MESSAGE),
}


def once(does):
    """What does it for the first stanza, and lets the others pass."""
    left = [does]
    return lambda stanza, origin: left.pop()(stanza, origin) if left else None


@pytest.mark.parametrize("part", PARTS)
def test_R12_a_part_that_fails_costs_one_stanza(hub, person, caplog, part):
    breaks, said = PARTS[part]
    romeo, juliet = person("romeo@hub.local/a"), person("juliet@hub.local/b")
    breaks(hub)
    romeo.says(said)
    (error,) = romeo.heard
    assert "type='error'" in error and "id='broken'" in error
    assert "<error type='wait'><internal-server-error " in error
    assert "a mistake" not in error  # what is wrong inside is for the log
    assert juliet.heard == []
    assert sum("a mistake of ours" in (record.exc_text or "") for record in caplog.records) == 1
    romeo.says("<message to='juliet@hub.local/b' type='chat' id='next'><body>y</body></message>")
    (next_one,) = juliet.heard
    assert "id='next'" in next_one
    assert romeo.closed_with is None and juliet.closed_with is None


@pytest.mark.parametrize("event", ["available", "unbound"])
def test_R12_one_who_listens_and_fails_keeps_nobody_from_coming_and_going(hub, person, caplog, event):
    hub.on(event, fail)
    romeo, nurse = person("romeo@hub.local/a"), person("romeo@hub.local/b")
    romeo.says("<presence/>")
    nurse.says("<presence/>")
    assert any("romeo@hub.local/b" in each for each in romeo.heard)
    nurse.leaves()
    assert any("type='unavailable'" in each for each in romeo.heard)
    assert "a mistake of ours" in caplog.text


def test_R12_presence_is_not_answered_when_a_part_fails(hub, person, caplog):
    hub.guard("leaving", "presence", once(fail))
    romeo, juliet = person("romeo@hub.local/a"), person("juliet@hub.local/b")
    romeo.says("<presence to='juliet@hub.local'/>")
    assert [each for each in romeo.heard if "<message" in each] == [] and juliet.heard == []
    assert "a mistake of ours" in caplog.text
    romeo.says("<presence/>")
    assert romeo.closed_with is None and romeo.jid in hub.present[romeo.jid.bare]


def test_R12_a_stanza_that_cannot_even_be_refused_costs_nobody_the_node(hub, person, caplog, monkeypatch):
    romeo = person("romeo@hub.local/a")
    hub.on_iq("get", "broken", NS, fail)
    with monkeypatch.context() as patch:
        patch.setattr(Stanza, "error", fail)
        with pytest.raises(ZeroDivisionError):  # the port ends this one session with internal-server-error
            romeo.says(BROKEN)
    romeo.says("<iq type='get' id='p' to='hub.local'><ping xmlns='urn:xmpp:ping'/></iq>")
    assert "type='result'" in romeo.heard[-1]
