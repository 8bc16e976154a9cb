"""hobnode user: the same answers from a node that serves and from its files."""

import re
import sqlite3
import time
from contextlib import closing

import pytest

from node.cli import office
from node.config import load
from tests.cli.conftest import serving


@pytest.fixture(params=["the node runs", "the node does not run"])
def config(request, home):
    if request.param == "the node runs":
        with serving("run", "--config", home, folder=home.parent):
            yield home
    else:
        yield home


def test_people_come_get_a_password_and_go(types, config):
    def user(action, *words, **more):
        return types("user", action, *words, "--config", config, **more)

    ann = "ann@home.example"
    assert user("list") == (0, "", "")
    assert user("add", "Ann@Home.Example", "--password-stdin", stdin="secret\n") == (0, f"added {ann}\n", "")
    assert user("add", ann, "--password-stdin", stdin="other\n") == (
        1,
        "",
        f"hobnode: {ann} exists already\n",
    )
    assert user("add", "bob@home.example", "--password-stdin", stdin="secret")[0] == 0
    assert user("list")[1] == f"{ann}\nbob@home.example\n"
    assert user("passwd", ann, "--password-stdin", stdin="new\n") == (0, f"new password for {ann}\n", "")
    assert user("remove", ann) == (0, f"removed {ann}\n", "")
    assert user("remove", ann) == (1, "", f"hobnode: there is no account {ann}\n")
    assert user("passwd", ann, "--password-stdin", stdin="x\n")[0] == 1
    assert user("list")[1] == "bob@home.example\n"


def test_somebody_is_invited(types, config):
    code, out, err = types("user", "invite", "--days", "2", "--config", config)
    assert (code, err) == (0, "")
    token, link, until = re.fullmatch(r"token  (\w+)\nlink   (\S+)\nuntil  (.*), for one account\n", out).groups()
    assert link == f"xmpp:home.example?register;preauth={token}"
    ends = time.mktime(time.strptime(until, "%Y-%m-%d %H:%M"))
    assert 1.9 < (ends - time.time()) / 86400 < 2.1  # of an hour that comes twice in a night it may be either
    assert token not in types("user", "invite", "--config", config)[1]


@pytest.mark.parametrize(
    "words",
    [["user", "invite"], ["user", "add", "ann@new.example", "--password-stdin"], ["check"], ["thing", "list"]],
)
def test_a_node_that_runs_under_the_domain_of_before_is_not_spoken_for(types, home, words):
    with serving("run", "--config", home, folder=home.parent):
        home.write_text(home.read_text().replace("home.example", "new.example"))
        said = types(*words, "--config", home, stdin="x\n")
    assert said == (2, "", f"hobnode: the running node is home.example; {home} says new.example: restart it\n")


@pytest.mark.parametrize("days", ["0", "-1", "400"])
def test_an_invitation_is_good_for_some_days(types, home, days):
    assert types("user", "invite", "--days", days, "--config", home) == (
        2,
        "",
        f"hobnode: an invitation is good for 1 to 365 days, not {days}\n",
    )


def test_on_a_terminal_the_link_is_a_qr_code_too(types, home, monkeypatch):
    drawn = []
    monkeypatch.setattr("node.cli.up.qr", lambda text: drawn.append(text) or "the code")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    out = types("user", "invite", "--config", home)[1]
    assert out.startswith("the code\n") and drawn == re.findall("xmpp:.*", out)


def test_who_only_looks_makes_no_files(types, home):
    before = sorted(home.parent.iterdir())
    assert types("user", "list", "--config", home) == (0, "", "")
    for action in ("passwd", "remove"):
        said = types("user", action, "ann@home.example", "--config", home)
        assert said == (1, "", "hobnode: there is no account ann@home.example\n")
    assert sorted(home.parent.iterdir()) == before


def test_what_cannot_be_is_said_before_a_password_is_asked_for(types, home, monkeypatch):
    types("user", "add", "ann@home.example", "--config", home, "--password-stdin", stdin="x\n")
    monkeypatch.setattr("node.cli.user._password", None)
    assert types("user", "add", "ann@home.example", "--config", home)[2] == (
        "hobnode: ann@home.example exists already\n"
    )
    assert types("user", "passwd", "bob@home.example", "--config", home)[2] == (
        "hobnode: there is no account bob@home.example\n"
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ann@other.example", "this node has the accounts of home.example, not of other.example"),
        ("home.example", "'home.example' is no account's address; one is NAME@home.example"),
        ("ann@home.example/phone", "is no account's address"),
        ("a b@home.example", "'a b@home.example' is no address"),
    ],
)
def test_an_address_that_cannot_be_is_a_mistake(types, home, address, said):
    code, out, err = types("user", "add", address, "--config", home, "--password-stdin", stdin="x\n")
    assert (code, out) == (2, "")
    assert said in err
    assert [path.name for path in home.parent.iterdir()] == ["home.toml"]


def test_a_thing_is_nobodys_account(types, home):
    said = types("user", "add", "hub@home.example", "--config", home, "--password-stdin", stdin="x\n")
    assert said == (1, "", "hobnode: hub@home.example is a thing: [thing.hub]\n")


@pytest.mark.parametrize(
    ("stdin", "said"),
    [
        ("", "the password is empty"),
        ("\nsecret\n", "the password is empty"),
        ("x" * 2000, "longer than 1024"),
    ],
)
def test_a_password_has_to_be_one(types, home, stdin, said):
    code, _, err = types("user", "add", "a@home.example", "--config", home, "--password-stdin", stdin=stdin)
    assert code == 2
    assert said in err


def test_without_a_terminal_nobody_is_asked(types, home):
    code, _, err = types("user", "add", "ann@home.example", "--config", home, stdin="secret\n")
    assert code == 2
    assert "use --password-stdin" in err


def test_a_password_is_asked_for_twice(types, home, monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    answers = iter(["secret", "secret", "secret", "sekret"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("sys.stdin", Terminal())
    assert types("user", "add", "ann@home.example", "--config", home)[0] == 0
    code, _, err = types("user", "passwd", "ann@home.example", "--config", home)
    assert (code, err) == (2, "hobnode: these were two different passwords\n")


def test_what_is_kept_for_an_account_goes_with_it_while_no_node_runs_too(types, home, monkeypatch):
    forgotten = []
    assemble = office.assemble

    def overheard(hub, config):
        assemble(hub, config)
        hub.on("removed", forgotten.append)

    monkeypatch.setattr(office, "assemble", overheard)
    types("user", "add", "ann@home.example", "--config", home, "--password-stdin", stdin="x\n")
    forgotten.clear()  # what a thing of that name had left behind
    types("user", "remove", "ann@home.example", "--config", home)
    assert forgotten == ["ann@home.example"]


def test_what_was_kept_of_the_sessions_of_an_account_goes_with_it_while_no_node_runs(types, home):
    types("user", "add", "ann@home.example", "--config", home, "--password-stdin", stdin="x\n")
    types("user", "add", "bob@home.example", "--config", home, "--password-stdin", stdin="x\n")
    with closing(sqlite3.connect(load(home).data / "accounts.db")) as accounts:
        for name in ("ann", "bob"):
            words = f'{{"jid": "{name}@home.example/phone"}}'.encode()
            accounts.execute("INSERT INTO sessions VALUES (?, ?, 0, 0, 0, 0)", (name, words))
        accounts.commit()
    types("user", "remove", "ann@home.example", "--config", home)
    with closing(sqlite3.connect(load(home).data / "accounts.db")) as accounts:
        assert accounts.execute("SELECT id FROM sessions").fetchall() == [("bob",)]


def test_root_writes_as_the_user_whose_directory_it_is(types, home, monkeypatch):
    became = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.setegid", lambda group: became.append(("group", group)))
    monkeypatch.setattr("os.seteuid", lambda user: became.append(("user", user)))
    config = load(home)

    class Theirs:
        st_uid, st_gid = 4711, 4712

    with monkeypatch.context() as patched:
        patched.setattr("os.stat", lambda path, **more: Theirs)
        office._become_owner(config)
    assert became == [("group", 4712), ("user", 4711)]
