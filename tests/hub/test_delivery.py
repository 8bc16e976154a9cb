"""RFC 6121 §8.5, rule by rule."""

import pytest

BODY = "<body>hi</body>"


@pytest.fixture
def romeo(person):
    return person("romeo@hub.local/a")


def resources(person, **priorities):
    """Juliet's sessions, each available with its priority; None: connected, but without presence."""
    people = {}
    for name, priority in priorities.items():
        people[name] = juliet = person(f"juliet@hub.local/{name}")
        if priority is not None:
            juliet.says(f"<presence><priority>{priority}</priority></presence>")
    for juliet in people.values():
        juliet.ears.clear()
    return people


def sends(romeo, to, type):
    kind = f" type='{type}'" if type else ""
    romeo.says(f"<message to='{to}' id='1'{kind}>{BODY}</message>")


def got(people):
    return [name for name, juliet in people.items() if any(BODY in stanza for stanza in juliet.heard)]


@pytest.mark.parametrize("type", ["chat", "normal", None, "headline"])
def test_a_message_to_the_account_goes_to_all_resources_that_are_not_negative(romeo, person, type):
    people = resources(person, balcony=0, chamber=5, crypt=-1, hall=None)
    sends(romeo, "juliet@hub.local", type)
    assert got(people) == ["balcony", "chamber"]


def test_a_message_to_the_account_keeps_its_address(romeo, person):
    people = resources(person, balcony=0)
    sends(romeo, "juliet@hub.local", "chat")
    assert people["balcony"].heard == [
        f"<message to='juliet@hub.local' from='romeo@hub.local/a' id='1' type='chat'>{BODY}</message>"
    ]


@pytest.mark.parametrize("type", ["chat", "normal", None, "headline", "groupchat", "error"])
def test_a_message_to_a_resource_goes_there_whatever_its_priority(romeo, person, type):
    people = resources(person, balcony=0, crypt=-1, hall=None)
    sends(romeo, "juliet@hub.local/crypt", type)
    sends(romeo, "juliet@hub.local/hall", type)
    assert got(people) == ["crypt", "hall"]


@pytest.mark.parametrize(("type", "goes"), [("chat", True), (None, True), ("headline", False), ("groupchat", False)])
def test_to_a_resource_that_has_gone_only_talk_goes_on_to_the_account(romeo, person, type, goes):
    people = resources(person, balcony=0)
    sends(romeo, "juliet@hub.local/gone", type)
    assert got(people) == (["balcony"] if goes else [])
    assert any("service-unavailable" in stanza for stanza in romeo.heard) is not goes


def test_a_room_message_to_an_account_is_refused(romeo, person):
    people = resources(person, balcony=0)
    sends(romeo, "juliet@hub.local", "groupchat")
    assert got(people) == []
    assert "service-unavailable" in romeo.heard[0]


@pytest.mark.parametrize("to", ["juliet@hub.local", "juliet@hub.local/gone"])
def test_an_error_to_nobody_is_silent(romeo, person, to):
    people = resources(person, balcony=0)
    sends(romeo, to, "error")
    assert got(people) == []
    assert romeo.heard == []


@pytest.mark.parametrize("type", ["chat", "normal", None])
def test_talk_for_whom_nobody_is_there_waits(romeo, person, type):
    resources(person, crypt=-1)
    sends(romeo, "juliet@hub.local", type)
    assert romeo.heard == []
    assert got(resources(person, balcony=None)) == []
    balcony = person("juliet@hub.local/balcony")
    balcony.says("<presence/>")
    assert any(BODY in stanza for stanza in balcony.heard)


def test_a_headline_for_whom_nobody_is_there_is_dropped(romeo, person):
    juliet = person("juliet@hub.local/crypt")
    sends(romeo, "juliet@hub.local", "headline")
    assert romeo.heard == []
    juliet.says("<presence/>")
    assert not any(BODY in stanza for stanza in juliet.heard)


def test_one_who_goes_while_the_others_are_told_is_left_out(romeo, person):
    people = resources(person, balcony=0, chamber=0, hall=0)
    people["balcony"].deliver = lambda stanza: stanza.name == "message" and people["chamber"].leaves()
    sends(romeo, "juliet@hub.local", "chat")
    assert got(people) == ["hall"]
    assert romeo.heard == []
