"""Owners change who may do what while the node runs, by command and in words; it is kept."""

import pytest

from node.base.jid import parse
from node.hub import people
from node.hub.store import StoreError
from node.ports import administration
from node.things import grants as file
from node.things.access import Grant, Options, Rights
from tests.conftest import settle
from tests.things.test_chat import ask, said
from tests.things.test_commands import run, submit

BEN = parse("ben@hub.local/desk")
KIM = parse("kim@cabin.example/x")


@pytest.fixture
def access(hub):
    return hub.need("access")


def test_an_owner_gives_and_takes_a_grant_in_words(ann, ben, porch, access):
    assert ask(ann, "grant Ben@hub.local control") == ["ben@hub.local may control porch."]
    assert access.may_control(porch, BEN)
    assert ask(ann, "grant ben@hub.local control") == ["That was so already: ben@hub.local may control porch."]
    follows = " ben@hub.local still follows me and so reads me: say deny ben@hub.local."
    assert ask(ann, "revoke ben@hub.local") == [f"No longer: ben@hub.local may control porch.{follows}"]
    assert not access.may_control(porch, BEN) and access.may_read(porch, BEN)
    assert "Nothing was granted" in ask(ann, "revoke ben@hub.local control")[0]


def test_two_equal_grants_at_once_are_one(hub, ann, ben, porch, access, loop):
    async def both():
        for number in range(2):
            body = "<body>grant ben@hub.local control</body>"
            ann.says(f"<message to='porch@hub.local' id='g{number}' type='chat'>{body}</message>")

    loop.run_until_complete(both())
    settle(hub)
    answers = [said(each) for each in ann.heard if "<body>" in each]
    assert answers == ["ben@hub.local may control porch."] * 2
    assert hub.store.things.read("SELECT who FROM grants") == [("ben@hub.local",)]
    assert access.may_control(porch, BEN)


def test_a_grant_at_one_thing_is_none_at_another_and_one_right_is_taken_alone(ann, porch, access):
    access.grant([Grant("attic", "control", "ben@hub.local")])
    assert not access.may_control(porch, BEN)
    for right in ("read", "control"):
        ask(ann, f"grant ben@hub.local {right}")
    assert ask(ann, "revoke ben@hub.local control") == ["No longer: ben@hub.local may control porch."]
    assert access.may_read(porch, BEN) and not access.may_control(porch, BEN)


def test_who_is_no_owner_gives_nothing(ben, porch, access):
    assert ask(ben, "grant ben@hub.local control") == ["Only an owner can decide that."]
    assert ask(ben, "revoke ann@hub.local") == ["Only an owner can decide that."]
    assert not access.may_control(porch, BEN)
    assert "forbidden" in run(ben, "grant", inner=submit(who="ben@hub.local", right="control"))


def test_what_is_no_address_is_not_granted(ann, access):
    assert "is no address" in ask(ann, "grant @@ control")[0]
    assert "neither 'name@domain'" in ask(ann, "grant family control")[0]
    assert "bad-payload" in run(ann, "grant", inner=submit(who="family", right="read"))
    assert not access.grants


def test_a_grant_to_nobody_here_is_given_and_said_to_be_one(ann, ben, hub, porch, access, loop):
    done = loop.run_until_complete
    (answer,) = ask(ann, "grant bne@hub.local control")
    assert answer == (
        "bne@hub.local may control porch. But there is no bne@hub.local here; did you mean ben@hub.local?"
        " Whoever gets that name later is not meant."
    )
    done(administration.requests(hub)["user-add"]({"name": "bne", "password": "secret"}))
    assert not access.may_control(porch, parse("bne@hub.local"))
    assert "But there is no kim@hub.local here. Who" in ask(ann, "grant kim@hub.local read")[0]
    assert "But" not in ask(ann, "grant bne@cabin.example control")[0]
    assert "But" not in ask(ann, "grant @hub.local read")[0]
    assert "But there is no zoe@hub.local here." in run(ann, "grant", inner=submit(who="zoe@hub.local", right="read"))


def test_a_group_is_taken_back_as_it_is_written(ann, ben, access):
    access.allow(Options(control=["ann@hub.local"], groups={"Kids": ["ben@hub.local"]}))
    assert ask(ann, "grant Kids control") == ["Kids may control porch."]
    assert ask(ann, "revoke Kids") == ["No longer: Kids may control porch."]
    ask(ann, "grant Kids control")
    access.allow(Options(control=["ann@hub.local"]))
    assert ask(ann, "revoke Kids") == ["No longer: Kids may control porch."], "though the file has forgotten it"
    assert ask(ann, "grant Ben@HUB.local read") == ["ben@hub.local may read porch."]
    ask(ann, "deny ben@hub.local")
    assert ask(ann, "revoke Ben@HUB.local") == ["No longer: ben@hub.local may read porch."], "he follows no longer"


def test_a_choice_left_blank_is_no_mistake_of_ours(ann, caplog):
    answer = run(ann, "grant", inner=submit(who="ben@hub.local", right=" "))
    assert "bad-payload" in answer and "right" in answer
    assert "Traceback" not in caplog.text


def test_by_command_for_all_things_and_by_domain(ann, porch, access):
    answer = run(ann, "grant", inner=submit(who="@Cabin.example", right="read", things="all"))
    assert "@cabin.example may read all things." in answer
    assert access.may_read(porch, KIM)
    assert not access.may_control(porch, KIM)
    assert "* read @cabin.example" in run(ann, "revoke"), "it is in the list"
    assert "No longer" in run(ann, "revoke", inner=submit(grant="* read @cabin.example"))
    assert not access.may_read(porch, KIM)
    assert "nothing to take back" in run(ann, "revoke")


def test_a_grant_outlives_the_node(ann, hub, access, run):
    ask(ann, "grant ben@hub.local approve")
    access.grant([])
    file.Grants(hub)
    assert access.grants == {Grant("porch", "approve", "ben@hub.local")}


def test_a_group_may_be_granted_and_when_the_file_forgets_it_the_grant_sleeps(ann, porch, access):
    access.allow(Options(control=["ann@hub.local"], groups={"kids": ["ben@hub.local"]}))
    ask(ann, "grant kids control")
    assert access.may_control(porch, BEN)
    access.allow(Options(control=["ann@hub.local"]))
    assert not access.may_control(porch, BEN)


def test_the_next_owner_of_a_name_has_no_grants_of_the_one_before(ann, hub, porch, access, run):
    ask(ann, "grant ben@hub.local control")
    run(people.forget(hub, BEN.bare))
    assert not access.may_control(porch, BEN)
    file.Grants(hub)
    assert not access.may_control(porch, BEN)


def test_more_grants_than_the_limit_are_refused(ann, monkeypatch):
    monkeypatch.setattr(file, "LIMIT", 1)
    ask(ann, "grant ben@hub.local read")
    assert "There are 1 grants already" in ask(ann, "grant ben@hub.local control")[0]


def test_what_cannot_be_kept_is_not_granted(ann, hub, porch, access, monkeypatch):
    def full(*args):
        raise StoreError("the disk is full")

    monkeypatch.setattr(hub.store.things, "write_all", full)
    assert "could not be kept: the disk is full" in ask(ann, "grant ben@hub.local control")[0]
    assert not access.may_control(porch, BEN)


def test_what_cannot_be_taken_back_on_the_disk_is_not_hidden_from_the_owner(ann, hub, porch, access, monkeypatch):
    def full(*args):
        raise StoreError("the disk is full")

    ask(ann, "grant ben@hub.local control")
    with monkeypatch.context() as patch:
        patch.setattr(hub.store.things, "write_all", full)
        assert "could not be kept: the disk is full" in ask(ann, "revoke ben@hub.local")[0]
    assert "No longer" in ask(ann, "revoke ben@hub.local")[0], "else it were there again after the next start"
    file.Grants(hub)
    assert not access.may_control(porch, BEN)


def test_what_was_given_and_taken_stands_in_the_audit(ann, ben, hub, porch, run):
    ask(ann, "grant ben@hub.local control")
    ask(ann, "revoke ben@hub.local")
    ask(ben, "grant ben@hub.local control")
    assert [line[1:] for line in run(hub.need("audit").lines(porch.jid, 9))] == [
        ("ann@hub.local/phone", "grant", "ben@hub.local may control porch", "done"),
        ("ann@hub.local/phone", "revoke", "ben@hub.local may control porch", "done"),
        ("ben@hub.local/desk", "chat", "grant ben@hub.local control", "refused"),
    ]


# The configuration


def test_a_group_names_several_and_none_of_them_an_owner(porch, access):
    groups = {"family": ["ann@hub.local", "@cabin.example"]}
    access.allow(Options(control=["family"], groups=groups))
    assert access.may_control(porch, parse("ann@hub.local"))
    assert access.may_control(porch, KIM)
    assert access.owners == []
    access.allow(Options(control=["family"], owners=["family"], groups=groups))
    assert access.owners == ["ann@hub.local"], "of this node only"


@pytest.mark.parametrize("name", ["porch", "por*", "Porch", "POR*"])
def test_a_table_for_a_thing_comes_in_the_place_of_the_general_one(porch, access, name):
    said = Rights(control=["kim@cabin.example"], read=["ben@hub.local"])
    access.allow(Options(control=["ann@hub.local"], approve=["eve@hub.local"], things={name: said}))
    assert access.may_control(porch, KIM)
    assert not access.may_control(porch, parse("ann@hub.local"))
    assert access.may_read(porch, BEN)
    assert not access.may_control(porch, BEN)
    assert access.may_follow(porch, parse("eve@hub.local")), "of this right it says nothing"
    access.allow(Options(control=["ann@hub.local"], things={"lamp-*": said}))
    assert access.may_control(porch, parse("ann@hub.local"))


def test_an_exact_name_goes_before_a_pattern(porch, access):
    access.allow(Options(things={"*": Rights(control=[]), "porch": Rights(control=["ben@hub.local"])}))
    assert access.may_control(porch, BEN)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"control": ["famly"], "groups": {"family": []}}, "control: 'famly' is neither"),
        ({"groups": {"a@b": []}}, "groups: 'a@b' must not have an '@'"),
        ({"things": {"porch": Rights(read=["x"])}}, "things.porch: read: 'x' is neither"),
        ({"control": ["family"], "groups": {"family": ["kids"], "kids": []}}, "groups.family: 'kids' is neither"),
    ],
)
def test_a_mistake_in_the_table_is_said(options, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        Options(**options)
