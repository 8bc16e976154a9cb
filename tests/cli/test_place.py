"""Where the file is when nobody says: commands find it where `up` has put it, or say what to do."""

import pytest

from node.cli import place
from node.cli.trouble import Trouble
from tests.cli.conftest import QUIET


@pytest.fixture
def ours(monkeypatch, tmp_path):
    """Where `up` would put the file of this person; there is none of a service."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(place, "SERVICE", tmp_path / "service" / "hobnode.toml")
    (tmp_path / "share" / "hobnode").mkdir(parents=True)
    (tmp_path / "service").mkdir()
    return tmp_path / "share" / "hobnode" / "hobnode.toml"


def test_all_is_kept_where_a_users_data_belong(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert str(place.data()) == "/somewhere/hobnode"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert str(place.data()) == "/home/ann/.local/share/hobnode"


@pytest.mark.parametrize("words", [["user", "list"], ["thing", "list"], ["thing", "log", "hub"], ["check"]])
def test_without_config_the_file_is_the_one_that_up_has_made(types, ours, words, monkeypatch):
    monkeypatch.setattr("node.cli.check.names", no_dns)
    ours.write_text(QUIET)
    assert types(*words)[0] == 0
    ours.write_text("domian = 'x'")
    assert types(*words)[2].startswith(f"{ours}:1: ")


@pytest.mark.parametrize("words", [["user", "list"], ["thing", "list"], ["thing", "log", "hub"], ["check"], ["run"]])
def test_the_directory_that_up_was_given_does_as_well(types, ours, tmp_path, words, monkeypatch):
    monkeypatch.setattr("node.cli.check.names", no_dns)
    monkeypatch.setattr("node.cli.ground.serve", lambda config: 0)
    there = tmp_path / "there"
    there.mkdir()
    (there / "hobnode.toml").write_text(QUIET)
    assert types(*words, "--data", there)[0] == 0
    (there / "hobnode.toml").write_text("domian = 'x'")
    assert types(*words, "--data", there)[2].startswith(f"{there / 'hobnode.toml'}:1: ")
    missing = f"{tmp_path / 'hobnode.toml'}: cannot be read: No such file or directory\n"
    assert types(*words, "--data", tmp_path) == (2, "", missing)
    code, _, err = types(*words, "--data", there, "--config", there / "hobnode.toml")
    assert code == 2 and "not allowed with argument" in err


async def no_dns(config):
    return []


def test_a_person_who_has_none_means_the_one_of_the_service(ours):
    place.SERVICE.write_text(QUIET)
    assert place.usual() == place.SERVICE
    ours.write_text(QUIET)
    assert place.usual() == str(ours)


@pytest.mark.parametrize("words", [["run"], ["user", "list"], ["check"], ["thing", "list"]])
def test_without_any_file_the_answer_is_what_to_do(types, ours, words):
    said = f"hobnode: there is no {ours}: `hobnode up` makes it, --config FILE names another\n"
    assert types(*words) == (2, "", said)


def test_who_may_not_see_the_one_of_the_service_is_told(ours, monkeypatch):
    place.SERVICE.parent.rmdir()
    place.SERVICE.parent.symlink_to("private")  # as systemd has it for DynamicUser; nobody else gets in there
    with pytest.raises(Trouble, match="; that of the service is for root: try with sudo$"):
        place.usual()


def test_only_another_file_has_to_be_named_in_what_is_to_be_typed(ours):
    assert place.option(place.data() / place.FILE) == ""
    assert place.option(place.SERVICE) == f" --config {place.SERVICE}"
