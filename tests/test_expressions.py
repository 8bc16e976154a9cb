"""L24: no text makes one of our regular expressions go back and forth for ever."""

import importlib
import pkgutil
import re
import signal
import sys
from contextlib import contextmanager, suppress
from functools import partial

import pytest

import node
from node.base import form, paging, stamp
from node.base.element import E
from node.base.errors import StanzaError
from node.base.jid import JidError, parse
from node.options import _lines

LENGTH = 30_000  # characters: one that looks at each pair of them does so half a billion times, and at each three never
# comes to an end
ENDLESS = 5  # seconds of processor time; what reads a text once takes a thousandth of one


@contextmanager
def comes_to_an_end():
    """Not a clock: a thread that goes round in circles has to be stopped by somebody. Gives how to begin anew."""

    def ring(*_):
        raise AssertionError("it goes on for ever")

    before = signal.signal(signal.SIGVTALRM, ring)
    begin = partial(signal.setitimer, signal.ITIMER_VIRTUAL, ENDLESS)
    begin()
    try:
        yield begin
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def expressions():
    """All that stand in the code, by the file and the name or place that they have there."""
    for found in pkgutil.walk_packages(node.__path__, "node."):
        if found.name not in ("node.__main__", "node.install", "node.cli.qr"):
            importlib.import_module(found.name)
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "node":
            for word, value in sorted(vars(module).items()):
                for number, each in enumerate(value if isinstance(value, list) else [value]):
                    for part in each if isinstance(each, tuple) else [each]:
                        owner = getattr(part, "__self__", part)
                        if isinstance(owner, re.Pattern) and getattr(module, "__file__", ""):
                            yield pytest.param(owner, id=f"{name}.{word}{number or ''}")


def texts(expression):
    """Long ones out of what the expression is about, and an end that it does not expect."""
    source = expression.pattern
    known = source.decode("latin-1") if isinstance(source, bytes) else source
    letters = sorted({*known, *" \t1a.:-'\"=/<>{}"})
    for unit in [*letters, *(one + other for one in letters for other in " a1.'\"=<" if one != other)]:
        for begin in ("", "<a ", "1", "2026-11-22T14:02:11.", "set "):
            text = (begin + unit * (LENGTH // len(unit)) + "\n\0")[:LENGTH]
            yield text.encode("latin-1") if isinstance(source, bytes) else text


@pytest.mark.parametrize("expression", list(expressions()))
def test_L24_an_expression_comes_to_an_end(expression):
    with comes_to_an_end() as begin:
        for text in texts(expression):
            begin()
            expression.fullmatch(text)


def test_L24_what_is_read_by_them_is_read_once():
    units = ("a", "a.", ".", "-", "1", " ", "\u05d0", "\xe4.", "xn--", "@", "/", "T", ":", "e", '"', "[", "=", "a b")
    with comes_to_an_end() as begin:
        for unit in units:
            begin()
            text = unit * (LENGTH // len(unit))
            for address in (text, f"a@{text[:1000]}", f"{text[:1000]}@b", f"a@b/{text[:1000]}"):
                with suppress(JidError):
                    parse(address)
            for datatype in (*form.CONVERT, "xs:boolean"):
                for value in (text, f"1{text}", f"1.{text}", f"2026-11-22T14:02:11.{text}"):
                    with suppress(form.FormError):
                        form.check(value, datatype, "0", None)
            with suppress(ValueError):
                stamp.parse(f"2026-11-22T14:02:11.{text}")
            with suppress(StanzaError):
                paging.read(E("query", "urn:x", E("set", paging.NS, E("max", None, text))), 50, 100)
            _lines(f"[a]\n{text}\n{text} !\n'{text}\n")
