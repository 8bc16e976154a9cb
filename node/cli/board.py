"""hobnode board: which boards are known, what one brings, and which are plugged in."""

import dataclasses
import importlib
import sys

from node.cli.table import print_table
from node.cli.trouble import Trouble
from node.hub import board
from node.hub.driver import Control, Field
from node.net import usb


def arguments(parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, carry_out, summary in (
        ("list", show_all, "list the boards that are known: name, driver, label"),
        ("show", show_one, "tell what a board brings, and print the table for hobnode.toml"),
        ("scan", scan, "look which boards are plugged in, and print their tables for hobnode.toml"),
    ):
        action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == "show":
            action.add_argument("name", metavar="NAME", help="a name from `hobnode board list`")
        action.set_defaults(carry_out=carry_out)


def show_all(given) -> int:
    known = map(board.load, board.names())
    print_table([("NAME", "DRIVER", "LABEL"), *((each.name, each.driver, each.label) for each in known)])
    return 0


def show_one(given) -> int:
    try:
        found = board.load(given.name)
    except board.BoardError as error:
        raise Trouble(str(error)) from error
    print(f"{found.label}, reached by the driver {found.driver}")
    if found.usb:
        print(f"USB: {', '.join(found.usb)}")
    for title, items in (("reads", found.declared.fields), ("sets", found.declared.controls)):
        for item in items:
            print(f"{title}  {item.name}  {_kind(item)}")
    print(f"\n{_table(found.name, [found], '/dev/serial/by-id/...' if _needs_port(found.driver) else '')}")
    return 0


def _needs_port(driver: str) -> bool:
    try:
        options = importlib.import_module(f"node.drivers.{driver}").Options
    except ImportError:  # its packages are not installed yet: those drivers that fail without them have a port
        return True
    return any(each.name == "port" and each.default is dataclasses.MISSING for each in dataclasses.fields(options))


def scan(given) -> int:
    """Says what it sees on standard error, so that standard output is TOML."""
    ports = usb.ports()
    if not ports:
        print("no serial port on USB: is the cable in, and is it one for data?", file=sys.stderr)
        return 1
    known = [board.load(name) for name in board.names()]
    used: set[str] = set()
    for port in ports:
        boards = sorted((each for each in known if port.id in each.usb), key=lambda each: len(each.usb))
        print(f"{port.path}  {port.id}  {port.product or 'without a name'}", file=sys.stderr)
        if not boards:
            print("  no board of ours has this id: `driver` and `port` say how it is reached", file=sys.stderr)
            continue
        name = next(name for name in _names(boards[0].name) if name not in used)
        used.add(name)
        print(_table(name, boards, port.path))
    return 0


def _names(name: str):
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _kind(item: Field | Control) -> str:
    words = [item.type]
    if isinstance(item, Control):
        if item.minimum is not None and item.maximum is not None:
            words.append(f"{item.minimum} to {item.maximum}")
        words += item.options
    return " ".join([*words, item.unit]).rstrip()


def _table(name: str, boards: list[board.Board], port: str) -> str:
    """The thing as it is pasted; of several boards with the same USB id the reader chooses. The first is the one that
    has the fewest: it is made for that board, and not for many."""
    lines = [f"[thing.{name}]", f'board = "{boards[0].name}"']
    lines += [f'# board = "{each.name}"  has the same USB id' for each in boards[1:]]
    return "\n".join([*lines, *([f'port = "{port}"'] if port else [])]) + "\n"
