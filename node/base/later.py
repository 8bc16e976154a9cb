"""Modules of the standard library that our imports bring along, and a node that is well does not use.

Each waits as an empty module, and loads itself when something of it is asked for: a backtrace, a debugger.
"""

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import FunctionType, MethodType, ModuleType
from typing import Any

CO_COROUTINE = 0x80  # in the flags of an `async def`, as `inspect` documents it


def postpone() -> None:
    """Makes them wait, if they are not loaded yet: to be called before anything that imports asyncio or logging.

    The figures are MiB of the idle node, with what they import (x86-64, Python 3.11).
    """
    # 0.7: asyncio and dataclasses. What they ask of it at each start is answered here; but a dataclass without a
    # docstring asks for more, and loads it.
    _postpone("inspect", iscoroutinefunction=_is_coroutine_function, get_annotations=_annotations)
    _postpone("tokenize")  # 0.1: linecache, which reads the source for a backtrace
    # 0.3: asyncio, which only wants its constants as long as no process is started.
    _postpone("subprocess", PIPE=-1, STDOUT=-2, DEVNULL=-3)
    _postpone("json")  # 0.1: the administrator's door, sessions that outlive the node


def _postpone(name: str, **answers: Any) -> None:
    """`answers` is what it can say without being loaded."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    load, module = spec.loader.exec_module, module_from_spec(spec)
    lock = RLock()  # a second thread that asks for what is not there yet waits
    waits = True

    def ask(attribute: str) -> Any:
        nonlocal waits
        if not attribute.startswith("__"):  # or it is `import`, that only looks what kind of a module this is
            with lock:
                if waits:
                    waits = False
                    try:
                        load(module)
                    except BaseException:  # no file could be opened: another time
                        waits = True
                        raise
        try:
            return vars(module)[attribute]
        except KeyError:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}") from None

    vars(module).update(answers, __getattr__=ask)  # PEP 562
    sys.modules[name] = module


def _is_coroutine_function(function: object) -> bool:
    """Whether it is an `async def`: asyncio asks for the handler of a signal."""
    while isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, FunctionType):
        return bool(function.__code__.co_flags & CO_COROUTINE)
    return _inspect().iscoroutinefunction(function)


def _annotations(annotated: Any, **how: Any) -> dict[str, Any]:
    """What is written behind the names in a class: dataclasses ask, from Python 3.12 on."""
    if isinstance(annotated, type) and not how:
        return dict(vars(annotated).get("__annotations__") or {})
    return _inspect().get_annotations(annotated, **how)


def _inspect() -> ModuleType:
    """The loaded one, with answers of its own."""
    import inspect

    inspect.__getattr__("signature")
    return inspect
