"""hobnode user: people are added, invited, listed and removed, and get new passwords, whether the node runs or not."""

import getpass
import sys
import time

from node.base import jid
from node.cli import office, place, up
from node.cli.trouble import Trouble
from node.config import Config

DAYS = range(1, 366)  # for which an invitation may be good; one that is found in a drawer years later is not
LIMIT = 1024  # characters of a password; RFC 8265 sets none, a login in one piece of 10,000 bytes does


def arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, carry_out, summary in (
        ("add", add, "make an account"),
        ("invite", invite, "print a link with which somebody makes one account, of a name and password of his choice"),
        ("list", show, "print the addresses of all accounts"),
        ("remove", remove, "remove an account and all that is kept for it"),
        ("passwd", change, "give an account another password; whoever is logged in has to log in anew"),
    ):
        action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == "invite":
            action.add_argument("--days", type=int, default=7, help="for how long it is good (default: 7)")
        elif name != "list":
            action.add_argument("jid", metavar="JID", help="the address: ann@home.example")
        place.arguments(action)
        if name in ("add", "passwd"):
            action.add_argument(
                "--password-stdin", action="store_true", help="take the password from the first line of stdin"
            )
        action.set_defaults(carry_out=carry_out)


def add(given) -> int:
    config = office.configuration(given)
    address = _address(config, given.jid)
    if address.local in config.things:
        raise Trouble(f"{address} is a thing: [thing.{address.local}]", exit_code=1)
    if address in office.ask(config, "user-list"):  # said before he thinks of a password
        raise Trouble(f"{address} exists already", exit_code=1)
    print("added", office.ask(config, "user-add", name=address.local, password=_password(given, address)))
    return 0


def invite(given) -> int:
    config = office.configuration(given)
    if given.days not in DAYS:
        raise Trouble(f"an invitation is good for {DAYS[0]} to {DAYS[-1]} days, not {given.days}")
    made = office.ask(config, "user-invite", days=given.days)
    link = f"xmpp:{config.domain}?register;preauth={made['token']}"  # XEP-0445 §2.2
    if sys.stdout.isatty():
        print(up.qr(link))
    print(f"token  {made['token']}\nlink   {link}")
    print(f"until  {time.strftime('%Y-%m-%d %H:%M', time.localtime(made['expires']))}, for one account")
    return 0


def show(given) -> int:
    for address in office.ask(office.configuration(given), "user-list"):
        print(address)
    return 0


def remove(given) -> int:
    config = office.configuration(given)
    print("removed", office.ask(config, "user-remove", name=_account(config, given.jid).local))
    return 0


def change(given) -> int:
    config = office.configuration(given)
    address = _account(config, given.jid)
    password = _password(given, address)
    print("new password for", office.ask(config, "user-passwd", name=address.local, password=password))
    return 0


def _account(config: Config, text: str) -> jid.Jid:
    address = _address(config, text)
    if address not in office.ask(config, "user-list"):
        raise Trouble(f"there is no account {address}", exit_code=1)
    return address


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
