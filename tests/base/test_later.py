"""A module that waits: whoever uses it finds all of it, and who does not pays nothing."""

import subprocess
import sys

import pytest

from tests.test_floors import CLONE


@pytest.fixture
def told(tmp_path):
    """`told(program)`: what a new process says, for which the module `slow` waits."""
    slow = "import sys\nprint('loaded')\nfirst = 1\ngetattr(sys, 'meanwhile', int)()\nsecond = 2\n"
    (tmp_path / "slow.py").write_text(slow)

    def told(program: str) -> str:
        start = f"import sys\nsys.path.append({str(tmp_path)!r})\nfrom node.base import later\n"
        done = subprocess.run(
            [sys.executable, "-c", start + program], cwd=CLONE, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return told


def test_it_is_loaded_at_the_first_use_and_once(told):
    said = told("later._postpone('slow')\nimport slow\nprint('used')\nprint(slow.second, slow.first, slow.second)")
    assert said == "used\nloaded\n2 1 2\n"


def test_taking_a_name_from_it_is_a_use(told):
    assert told("later._postpone('slow')\nfrom slow import second\nprint(second)") == "loaded\n2\n"


def test_what_it_does_not_have_is_an_attribute_error(told):
    said = told("later._postpone('slow')\nimport slow\nprint(hasattr(slow, 'third'), slow.first)")
    assert said == "loaded\nFalse 1\n"


def test_an_answer_does_not_load_it(told):
    said = told("later._postpone('slow', first=7)\nimport slow\nprint(slow.first)\nprint(slow.second, slow.first)")
    assert said == "7\nloaded\n2 1\n"


def test_one_that_is_loaded_already_stays_what_it_is(told):
    assert told("import slow\nlater._postpone('slow')\nprint(sys.modules['slow'] is slow)") == "loaded\nTrue\n"


def test_two_threads_that_use_it_at_once_both_find_it(told):
    """The second one asks while the first loads it."""
    program = """
from threading import Event, RLock, Thread
asked, both, found = [], Event(), []
class Lock:
    def __init__(self):
        self.lock = RLock()
    def __enter__(self):
        asked.append(self)
        if len(asked) == 2:
            both.set()
        self.lock.acquire()
    def __exit__(self, *error):
        self.lock.release()
later.RLock = Lock
later._postpone("slow")
import slow
sys.meanwhile = lambda: both.wait(10)
def use():
    found.append(slow.second)
threads = [Thread(target=use) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found)
"""
    assert told(program) == "loaded\n[2, 2]\n"


def test_what_could_not_be_loaded_is_tried_again(told):
    program = """
later._postpone("slow")
import slow
from importlib.machinery import SourceFileLoader
load, SourceFileLoader.get_code = SourceFileLoader.get_code, None
try:
    slow.second
except TypeError:
    print("not now")
SourceFileLoader.get_code = load
print(slow.second)
"""
    assert told(program) == "not now\nloaded\n2\n"


def test_what_asyncio_and_dataclasses_ask_at_each_start_is_answered_as_inspect_answers_it(told):
    program = """
later.postpone()
import inspect
class Some:
    a: int = 1
    async def work(self): ...
    def rest(self): ...
class Empty(Some): ...
async def work(): ...
def rest(): ...
functions, classes = [work, rest, Some().work, Some().rest, lambda: 0], [Some, Empty]
def answers():
    return list(map(inspect.iscoroutinefunction, functions)), list(map(inspect.get_annotations, classes))
before = answers()
print("signature" in vars(inspect), before)
inspect.signature
print(before == answers())
"""
    answers = [True, False, True, False, False], [{"a": int}, {}]
    assert told(program) == f"False {answers}\nTrue\n"


def test_of_all_else_inspect_itself_is_asked(told):
    program = """
later.postpone()
import inspect
from functools import partial
async def work(): ...
is_coroutine_function, annotations = inspect.iscoroutinefunction, inspect.get_annotations
print(is_coroutine_function(partial(work)))
def typed(a: "int"): ...
print(annotations(typed, eval_str=True))
"""
    assert told(program) == "True\n{'a': <class 'int'>}\n"
