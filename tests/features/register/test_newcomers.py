"""XEP-0077 §3.1 and XEP-0445 at the door: who may register, what he hears, and what he cannot find out."""

import asyncio

import pytest

from node.base.element import E
from node.base.jid import parse
from node.base.stanza import Stanza
from node.features.register.newcomers import ACCOUNTS, HOUR, NS, TRIES, Options
from node.hub.store import StoreError

PARS = "urn:xmpp:pars:0"


class Stranger:
    """Who asks, as a port would know him."""

    def __init__(self, network="192.0.2.1", limited=True):
        self.network = network
        self.limited = limited
        self.invitation = None


@pytest.fixture
def newcomers(hub):
    return hub.need("register")


@pytest.fixture
def is_open(newcomers):
    newcomers.reload(Options(open=True))


@pytest.fixture
def asks(newcomers, run):
    """`asks(stranger, iq)`: the answer: its condition if it is an error, else the iq."""

    def asks(stranger, *children, type="set"):
        return heard(run(says(newcomers, stranger, *children, type=type)))

    return asks


async def says(newcomers, stranger, *children, type="set"):
    answer = newcomers.answer(Stanza("iq", *children, type=type, id="r"), stranger)
    return answer if isinstance(answer, Stanza) else await answer


def heard(answer):
    assert answer.id == "r"
    if answer.type == "result":
        return answer
    assert [child.name for child in answer.children] == ["error"]  # and no password
    return answer.children[0].elements[0].name


def account(name="bill", password="Calliope"):
    return E("query", NS, E("username", NS, name), E("password", NS, password))


def preauth(token):
    return E("preauth", PARS, token=token)


def is_made(answer):
    return not isinstance(answer, str) and not answer.children


@pytest.fixture
def knows(hub, run):
    return lambda password, name="bill": run(hub.accounts.check(name, password))


@pytest.fixture
def token(newcomers, run):
    return run(newcomers.invite(7)).token


# Who may


def test_while_nobody_may_it_is_not_offered_and_refused(hub, newcomers, asks):
    assert newcomers.features() == []
    assert asks(Stranger(), E("query", NS), type="get") == "not-allowed"
    assert asks(Stranger(), account()) == "not-allowed"
    assert hub.accounts.names() == []


@pytest.mark.usefixtures("is_open")
def test_where_all_may_one_registers(newcomers, asks, knows):
    """Examples 1 to 4."""
    assert newcomers.features() == [E("register", "http://jabber.org/features/iq-register")]
    (form,) = asks(Stranger(), E("query", NS), type="get").children
    assert [child.name for child in form.elements] == ["instructions", "username", "password"]
    assert is_made(asks(Stranger(), account()))
    assert knows("Calliope") and not knows("other")


@pytest.mark.usefixtures("is_open")
def test_it_can_be_closed_again(newcomers, asks):
    newcomers.reload(Options())
    assert newcomers.features() == []
    assert asks(Stranger(), account()) == "not-allowed"


def test_who_has_an_invitation_may(newcomers, asks, token, knows):
    """XEP-0445 §4."""
    stranger = Stranger()
    assert newcomers.features() == [
        E("register", "urn:xmpp:ibr-token:0"),
        E("register", "http://jabber.org/features/iq-register"),
    ]
    assert asks(stranger, account()) == "not-allowed"
    assert is_made(asks(stranger, preauth(token)))
    assert asks(stranger, E("query", NS), type="get").children
    assert is_made(asks(stranger, account()))
    assert knows("Calliope")
    assert newcomers.features() == []


@pytest.mark.parametrize("wrong", ["", "guessed", None])
def test_a_token_that_is_none(newcomers, asks, token, wrong):
    stranger = Stranger()
    assert asks(stranger, preauth(wrong)) == "item-not-found"
    assert asks(stranger, account()) == "not-allowed"


def test_one_who_has_shown_it_in_time_may_think_about_his_name(newcomers, asks, token, monkeypatch):
    stranger = Stranger()
    asks(stranger, preauth(token))
    now = newcomers._invitations._clock()
    monkeypatch.setattr(newcomers._invitations, "_clock", lambda: now + 8 * 86400)
    assert asks(Stranger(), preauth(token)) == "item-not-found"
    assert is_made(asks(stranger, account()))


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("type", ["result", "error"])
def test_an_answer_is_no_question(newcomers, run, type):
    assert heard(run(says(newcomers, Stranger(), account(), type=type))) == "not-allowed"


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize(
    ("payload", "type", "condition"),
    [
        (E("ping", "urn:xmpp:ping"), "get", "not-allowed"),
        (E("query", "jabber:iq:roster"), "get", "not-allowed"),
        (E("preauth", PARS, token="x"), "get", "not-allowed"),
        (E("query", NS, E("remove")), "set", "unexpected-request"),
        (E("query", NS), "set", "not-acceptable"),
        (E("query", NS, E("username", None, "bill")), "set", "not-acceptable"),
        (account(password=""), "set", "not-acceptable"),
        (account(name=" "), "set", "not-acceptable"),
        (account(password="Calliope\t"), "set", "not-acceptable"),
        (account(password="Calliope" * 1000), "set", "not-acceptable"),
    ],
)
def test_what_cannot_be_is_refused(hub, asks, payload, type, condition):
    forgotten = []
    hub.on("removed", forgotten.append)
    assert asks(Stranger(), payload, type=type) == condition
    assert hub.accounts.names() == [] and parse("hub.local") not in forgotten


# Names


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize(
    "name",
    ["a b", "a@b", "a/b", "zero\u200bwidth", "\u202eevil", "a" * 1024, "<bill>", "bill\u0378"],
)
def test_P3_a_name_that_no_address_may_have(hub, asks, name):
    assert asks(Stranger(), account(name)) == "jid-malformed"
    assert hub.accounts.names() == []


@pytest.mark.usefixtures("is_open")
@pytest.mark.parametrize("name", ["Bill", " bill ", "\uff42\uff49\uff4c\uff4c"])
def test_P3_names_are_compared_as_they_are_prepared(hub, asks, name):
    assert is_made(asks(Stranger(), account(name)))
    assert hub.accounts.names() == ["bill"]
    assert asks(Stranger(), account("bill")) == "conflict"


@pytest.mark.usefixtures("is_open", "porch")
def test_a_thing_has_its_name(hub, asks):
    assert asks(Stranger(), account("porch")) == "conflict"


@pytest.mark.usefixtures("is_open")
def test_nobody_gets_the_name_of_one_who_has_gone_but_by_the_administrator(hub, asks, run):
    run(hub.accounts.create("bill", "Calliope"))
    run(hub.accounts.remove("bill"))
    assert asks(Stranger(), account("bill")) == "conflict"
    run(hub.accounts.create("bill", "Calliope"))
    assert hub.accounts.exists("bill")


@pytest.mark.usefixtures("is_open")
def test_who_followed_a_thing_of_that_name_does_not_follow_the_person(hub, asks):
    forgotten = []
    hub.on("removed", forgotten.append)
    assert is_made(asks(Stranger(), account("bill")))
    assert forgotten == [parse("bill@hub.local")]


def test_A14_a_name_that_is_taken_is_told_to_those_alone_who_may_register(hub, asks, token, run):
    run(hub.accounts.create("bill", "Calliope"))
    for name in ("bill", "nobody"):
        assert asks(Stranger(), account(name)) == "not-allowed"
    stranger = Stranger()
    asks(stranger, preauth(token))
    assert asks(stranger, account()) == "conflict"
    assert is_made(asks(stranger, account("will")))  # the invitation was not used up


# How often


@pytest.mark.usefixtures("is_open")
def test_P1_three_accounts_an_hour_from_one_network(hub, asks, monkeypatch):
    for number in range(ACCOUNTS):
        assert is_made(asks(Stranger(), account(f"user{number}")))
    assert asks(Stranger(), account("more")) == "resource-constraint"
    assert is_made(asks(Stranger("198.51.100.1"), account("elsewhere")))
    later = hub.loop.time() + HOUR / ACCOUNTS
    monkeypatch.setattr(hub.loop, "time", lambda: later)
    assert is_made(asks(Stranger(), account("more")))
    assert asks(Stranger(), account("evenmore")) == "resource-constraint"


@pytest.mark.usefixtures("is_open")
def test_P1_at_the_same_moment_too(hub, newcomers, run):
    async def together():
        return await asyncio.gather(*(says(newcomers, Stranger(), account(f"u{n}")) for n in range(6)))

    assert [heard(each) for each in run(together())].count("resource-constraint") == 3
    assert len(hub.accounts.names()) == 3


@pytest.mark.usefixtures("is_open")
def test_an_account_that_was_not_made_does_not_count(asks):
    for _ in range(ACCOUNTS * 2):
        assert asks(Stranger(), account(password="\t")) == "not-acceptable"
    assert is_made(asks(Stranger(), account()))


@pytest.mark.usefixtures("is_open")
def test_P1_names_that_are_taken_are_told_some_times_an_hour(hub, asks, run):
    run(hub.accounts.create("bill", "Calliope"))
    for _ in range(TRIES):
        assert asks(Stranger(), account()) == "conflict"
    for name in ("bill", "free"):
        assert asks(Stranger(), account(name)) == "resource-constraint"
    assert is_made(asks(Stranger("198.51.100.1"), account("free")))


def test_P1_tokens_are_not_to_be_guessed(asks, token):
    for number in range(TRIES):
        assert asks(Stranger(), preauth(f"guess{number}")) == "item-not-found"
    assert asks(Stranger(), preauth(token)) == "resource-constraint"
    assert is_made(asks(Stranger("198.51.100.1"), preauth(token)))


@pytest.mark.usefixtures("is_open")
def test_who_has_an_invitation_is_not_counted_among_those_without(newcomers, asks, run):
    for number in range(ACCOUNTS + 1):
        stranger = Stranger()
        asks(stranger, preauth(run(newcomers.invite(1)).token))
        assert is_made(asks(stranger, account(f"user{number}")))
    assert is_made(asks(Stranger(), account("open")))


@pytest.mark.usefixtures("is_open")
def test_without_limits_there_are_none(hub, asks):
    for number in range(20):
        assert is_made(asks(Stranger(limited=False), account(f"user{number}")))
        assert asks(Stranger(limited=False), account("user0")) == "conflict"


# One invitation, one account


def test_H7_of_many_who_use_it_at_once_one_gets_an_account(hub, newcomers, token, run):
    async def together():
        strangers = [Stranger(f"192.0.2.{n}") for n in range(50)]
        for stranger in strangers:
            await says(newcomers, stranger, preauth(token))
        return await asyncio.gather(*(says(newcomers, each, account(f"user{n}")) for n, each in enumerate(strangers)))

    answers = [heard(answer) for answer in run(together())]
    assert answers.count("not-allowed") == 49
    assert len(hub.accounts.names()) == 1


def test_who_has_used_it_has_none(asks, token):
    stranger = Stranger()
    asks(stranger, preauth(token))
    assert is_made(asks(stranger, account()))
    assert asks(stranger, account("will")) == "not-allowed"
    assert asks(Stranger(), preauth(token)) == "item-not-found"


@pytest.mark.usefixtures("is_open")
def test_who_has_used_it_may_do_what_all_may(asks, newcomers, token):
    stranger, slower = Stranger(), Stranger()
    for each in (stranger, slower):
        asks(each, preauth(token))
    assert is_made(asks(stranger, account()))
    assert is_made(asks(stranger, account("will")))
    assert asks(slower, account("kim")) == "not-allowed"
    assert is_made(asks(slower, account("kim")))


def test_account_and_invitation_are_one_commit(hub, asks, token, run, monkeypatch):
    written = []
    write_all = hub.store.accounts.write_all
    monkeypatch.setattr(hub.store.accounts, "write_all", lambda them: (written.append(list(them)), write_all(them)))
    stranger = Stranger()
    asks(stranger, preauth(token))
    assert is_made(asks(stranger, account()))
    (together,) = [them for them in written if any("invitations" in sql for sql, _ in them)]
    assert any("INSERT INTO users" in sql for sql, _ in together)
    assert hub.store.accounts.read("SELECT * FROM invitations") == []


def test_when_the_disk_is_full_neither_the_account_is_there_nor_the_invitation_gone(hub, asks, token, monkeypatch):
    stranger = Stranger()
    asks(stranger, preauth(token))

    async def full(name):
        raise StoreError("the disk is full")

    monkeypatch.setattr(hub.accounts, "_settle", full)
    monkeypatch.setattr(hub.store.accounts, "write_all", lambda them: None)
    assert asks(stranger, account()) == "resource-constraint"
    monkeypatch.undo()
    assert is_made(asks(Stranger(), preauth(token)))
    assert is_made(asks(stranger, account()))


@pytest.mark.usefixtures("is_open")
def test_two_who_want_one_name_at_the_same_moment(hub, newcomers, run, knows):
    async def together():
        return await asyncio.gather(*(says(newcomers, Stranger(), account("bill", word)) for word in ("one", "two")))

    first, second = (heard(answer) for answer in run(together()))
    assert is_made(first) and second == "conflict"
    assert knows("one") and not knows("two")


@pytest.mark.usefixtures("is_open")
def test_P7_no_password_and_no_token_is_in_the_log(asks, newcomers, token, caplog):
    caplog.set_level("DEBUG")
    stranger = Stranger()
    asks(stranger, preauth(token))
    asks(stranger, account(password="Calliope\t"))
    asks(stranger, account())
    asks(stranger, account())
    assert "bill@hub.local has registered from 192.0.2.1" in caplog.text
    assert "Calliope" not in caplog.text and token not in caplog.text
