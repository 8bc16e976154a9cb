"""The command `hobnode`: which words there are, and which file answers each."""

import gc
import importlib
import os
import sys
from types import SimpleNamespace

from node import __version__
from node.base import later
from node.cli.trouble import Trouble

# word → what `hobnode --help` says of it. The file of the same name has `arguments(parser)`, which sets
# `carry_out`: a function from the parsed arguments to the exit code.
COMMANDS = {
    "up": "set everything up at the first run, then serve",
    "run": "serve with the configuration of a file",
    "user": "add, list and remove people, and set their passwords",
    "thing": "list the things: how they are, what they read, and what was done with them",
    "board": "list the boards that are known, and see which are plugged in",
    "check": "say in plain words what is in order and what is not",
}


def main(words: list[str] | None = None) -> int:
    """Carry out one command line (default: the process's own) and return its exit code: 0 is well,
    1 is a no, 2 is a mistake in what was asked or configured."""
    try:
        try:
            return _carry_out(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where we are told that nobody reads it
    except BrokenPipeError:  # `hobnode check | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
        return 141  # as the shell has it: 128 and the number of SIGPIPE


def _carry_out(words: list[str] | None) -> int:
    later.postpone()
    given = understood(sys.argv[1:] if words is None else words)
    from node.options import ConfigError  # with dataclasses, which are not to come before

    gc.collect()  # the parser is a knot of objects that only this unties
    try:
        return given.carry_out(given)
    except ConfigError as mistake:
        print(mistake, file=sys.stderr)
        return 2
    except Trouble as trouble:
        print(f"hobnode: {trouble}", file=sys.stderr)
        return trouble.exit_code
    except KeyboardInterrupt:
        return 130  # as the shell has it: 128 and the number of SIGINT


def understood(words: list[str]) -> SimpleNamespace:
    """What a command line says. Exits, with the usage, if it makes no sense.

    What understands it is let go again: argparse, gettext, locale, shutil and three compressors, 0.75 MiB that a node
    which runs for months has a better use for.
    """
    before = set(sys.modules)
    import argparse

    for name in ("shutil", "locale"):  # which it loads as soon as it makes a parser
        importlib.import_module(name)

    passing = set(sys.modules) - before
    parser = argparse.ArgumentParser(prog="hobnode", description="A home messaging node for small hardware.")
    parser.add_argument("--version", action="version", version=f"hobnode {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = choices.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name in words:  # only the file that is wanted is loaded: its imports are the node's memory
            importlib.import_module(f"node.cli.{name}").arguments(command)
    given = SimpleNamespace(**vars(parser.parse_args(words)))
    for name in passing:
        del sys.modules[name]
    return given
