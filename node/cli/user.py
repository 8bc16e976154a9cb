"""hobnode user: people are added, listed and removed, and get new passwords, whether the node runs or not."""

import getpass
import sys

from node.base import jid
from node.base.path import Path
from node.cli import office
from node.cli.trouble import Trouble
from node.config import Config, load

LIMIT = 1024  # characters of a password; RFC 8265 sets none, a login in one piece of 10,000 bytes does


def arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, carry_out, summary in (
        ("add", add, "make an account"),
        ("list", show, "print the addresses of all accounts"),
        ("remove", remove, "remove an account and all that is kept for it"),
        ("passwd", change, "give an account another password; whoever is logged in has to log in anew"),
    ):
        action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name != "list":
            action.add_argument("jid", metavar="JID", help="the address: ann@home.example")
        action.add_argument("--config", type=Path, required=True, metavar="FILE", help="the node's TOML file")
        if name in ("add", "passwd"):
            action.add_argument(
                "--password-stdin", action="store_true", help="take the password from the first line of stdin"
            )
        action.set_defaults(carry_out=carry_out)


def add(given) -> int:
    config = load(given.config)
    address = _address(config, given.jid)
    if address.local in config.things:
        raise Trouble(f"{address} is a thing: [thing.{address.local}]", exit_code=1)
    print("added", office.ask(config, "user-add", name=address.local, password=_password(given, address)))
    return 0


def show(given) -> int:
    for address in office.ask(load(given.config), "user-list"):
        print(address)
    return 0


def remove(given) -> int:
    config = load(given.config)
    print("removed", office.ask(config, "user-remove", name=_address(config, given.jid).local))
    return 0


def change(given) -> int:
    config = load(given.config)
    address = _address(config, given.jid)
    password = _password(given, address)
    print("new password for", office.ask(config, "user-passwd", name=address.local, password=password))
    return 0


def _address(config: Config, text: str) -> jid.Jid:
    try:
        address = jid.parse(text)
    except jid.JidError as error:
        raise Trouble(f"{text!r} is no address: {error}") from error
    if not address.local or address.full:
        raise Trouble(f"{text!r} is no account's address; one is NAME@{config.domain}")
    if address.domain != config.domain:
        raise Trouble(f"this node has the accounts of {config.domain}, not of {address.domain}")
    return address


def _password(given, address: jid.Jid) -> str:
    if given.password_stdin:
        password = sys.stdin.readline(LIMIT + 2).removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"password for {address}: ")
        if getpass.getpass("once more: ") != password:
            raise Trouble("these were two different passwords")
    else:
        raise Trouble("there is no terminal to ask for the password: use --password-stdin")
    if not password:
        raise Trouble("the password is empty")
    if len(password) > LIMIT:
        raise Trouble(f"the password is longer than {LIMIT} characters")
    return password
