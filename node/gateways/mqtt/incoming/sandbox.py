"""Templates of strangers in jinja2's sandbox, bounded by what they may say.

jinja2's own sandbox keeps a template from reaching into the node, but not from taking all of its time and memory. So
only expressions, `if` and `set` are let in: no loops, no macros, no functions but those below. A template of 2048
characters then has some hundred steps, each over values whose size is checked where they could grow: that is some
milliseconds for a step at the worst, and after each it is looked how much time they have taken together.
"""

import json
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import TemplateError as JinjaError
from jinja2 import UndefinedError, nodes
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.visitor import NodeTransformer

from node.gateways.mqtt.incoming.templates import SIZE, Number, TemplateError

FAR = 10**18  # numbers beyond this are no readings; a tower of powers has a billion digits
STEEP = 64  # of an exponent
TIME = 0.05  # seconds of the processor for all of a template; those of publishers take 0.0001
WIDE = 100  # characters that a format may make of one value

ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Assign, nodes.CondExpr),
    *(nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple, nodes.Dict),
    *(nodes.Pair, nodes.Keyword, nodes.Filter, nodes.Test, nodes.Call, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.BinExpr, nodes.UnaryExpr, nodes.Concat),
)
LITERALS = (nodes.List, nodes.Tuple, nodes.Dict)
KEPT_FILTERS = "abs capitalize count d default first last length lower max min string title trim truncate upper"
TEXT_METHODS = "capitalize endswith find isalpha isdigit isnumeric lower lstrip rstrip split startswith strip upper"
METHODS = {str: frozenset(TEXT_METHODS.split()), dict: frozenset(("get", "items", "keys", "values"))}
_WIDTHS = re.compile(r"%[-+ #0]*(\d*)(?:\.(\d*))?")


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))
    until = 0.0  # when the time is over, on the clock of the thread

    def look(self) -> None:
        """Raises SecurityError when it is."""
        if time.thread_time() > self.until:
            raise SecurityError("this takes too long")

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self.look()
        return super().call(context, obj, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What a device calls `update` is no method."""
        return obj[attribute] if isinstance(obj, dict) and attribute in obj else super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return any(attr in names for kind, names in METHODS.items() if isinstance(obj, kind))

    def is_safe_callable(self, obj: Any) -> bool:
        return obj in FUNCTIONS.values() or getattr(obj, "__self__", None) is not None

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            return _format(left, right)
        if operator == "+" and type(left) is type(right) and isinstance(left, str | list):
            _fits(len(left) + len(right))
        else:
            _reckons(operator, left, right)
        return super().call_binop(context, operator, left, right)


class _Sized(NodeTransformer):
    """`a ~ b`, lists and tables as filters, which look at the size."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "~")

    def visit_List(self, node: nodes.List) -> nodes.Node:
        self.generic_visit(node)
        return node if _constant(node) else _filter(node, "[]")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return node if _constant(node) else _filter(node, "[]")

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return node if _constant(node) else _filter(node, "{}")


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def compiled(text: str) -> Callable[[dict[str, Any]], str]:
    """What renders it with variables, and raises TemplateError then. Raises TemplateError."""
    try:
        tree = _environment.parse(text)
        _check(tree)
        template = _environment.from_string(_Sized().visit(tree))
    except (JinjaError, RecursionError, SyntaxError, ValueError, MemoryError) as error:
        raise TemplateError(f"the template {text[:80]!r} is not understood: {str(error)[:120]}") from None

    def render(variables: dict[str, Any]) -> str:
        _environment.until = time.thread_time() + TIME
        try:
            return template.render(variables)
        except UndefinedError:
            return ""  # what it looks for is not said just now
        except Exception as error:  # whatever a stranger's program does
            raise TemplateError(f"the template {text[:80]!r} fails: {str(error)[:120]}") from None

    return render


def _check(node: nodes.Node) -> None:
    """Raises SecurityError for what could take long."""
    if not isinstance(node, ALLOWED):
        raise SecurityError(f"{type(node).__name__.lower()} is not allowed here")
    if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and (node.dyn_args or node.dyn_kwargs):
        raise SecurityError("* is not allowed here")
    if isinstance(node, nodes.Tuple) and node.ctx != "load":
        raise SecurityError("only one name can be set at once")
    for child in node.iter_child_nodes():
        _check(child)


def _constant(node: nodes.Node) -> bool:
    known = (nodes.Const, nodes.Neg, nodes.Pair, *LITERALS)
    return isinstance(node, known) and all(map(_constant, node.iter_child_nodes()))


def _fits(size: int) -> None:
    if size > SIZE:
        raise SecurityError("too long")


def _reckons(operator: str, left: Any, right: Any) -> None:
    for each in (left, right):
        if not isinstance(each, int | float) or abs(each) > FAR:
            raise SecurityError(f"{str(each)[:40]!r} is no number to reckon with")
    if operator == "**" and abs(right) > STEEP:
        raise SecurityError("the exponent is too large")


def _format(text: str, *values: Any) -> str:
    if "*" in text or any(int(width or 0) > WIDE for found in _WIDTHS.findall(text) for width in found):
        raise SecurityError("a format as wide as that")
    given = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
    _fits(len(text) + sum(len(each) if isinstance(each, str) else WIDE for each in _scalars(given)))
    return text % (values[0] if len(values) == 1 else values)


def _scalars(values: Any) -> Any:
    """A list, or the values of a table, with no other in it: one of those that were set before would grow faster than
    anybody can write."""
    for each in values.values() if isinstance(values, dict) else values:
        if not isinstance(each, str | int | float | None | Undefined):
            raise SecurityError("lists can have texts and numbers only")
    return values


def _short(values: Any) -> Any:
    each = values.values() if isinstance(values, dict) else values
    _fits(sum(len(one) for one in each if isinstance(one, str)))
    return _scalars(values)


def _float(value: Any, default: Any = None) -> Any:
    try:
        return value if isinstance(value, Number) else Number(str(value).strip())
    except ValueError:
        if default is None:
            raise
        return default


def _int(value: Any, default: Any = None, base: int = 10) -> Any:
    try:
        return int(value, base) if isinstance(value, str) and base != 10 else int(_float(value))
    except (ValueError, OverflowError):
        if default is None:
            raise
        return default


def _round(value: Any, precision: int = 0, method: str = "common", default: Any = None) -> Any:
    import math

    try:
        number = float(value)
        if method in ("ceil", "floor"):
            scale = 10.0 ** max(-9, min(9, precision))
            return (math.ceil if method == "ceil" else math.floor)(number * scale) / scale
        if method == "half":
            return round(number * 2) / 2
        return round(number, precision) if precision else int(round(number))
    except (ValueError, OverflowError):
        if default is None:
            raise
        return default


def _bool(value: Any, default: Any = None) -> Any:
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "enable", "1"):
        return True
    if text in ("false", "no", "off", "disable", "0"):
        return False
    if default is None:
        raise ValueError(f"{text[:40]!r} is neither true nor false")
    return default


def _iif(value: Any, if_true: Any = True, if_false: Any = False, if_none: Any = None) -> Any:
    if value is None and if_none is not None:
        return if_none
    return if_true if value else if_false


def _is_defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        raise ValueError("that is not there")
    return value


def _from_json(value: Any) -> Any:
    _fits(len(value))
    return json.loads(value, parse_float=Number, parse_constant=str)


def _to_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    _fits(len(text))
    return text


def _multiply(value: Any, amount: Any, default: Any = None) -> Any:
    number = _float(value, default)
    _reckons("*", number, amount)
    return number * amount


def _add(value: Any, amount: Any, default: Any = None) -> Any:
    number = _float(value, default)
    _reckons("+", number, amount)
    return number + amount


def _is_number(value: Any) -> bool:
    try:
        return abs(float(value)) < float("inf")
    except (TypeError, ValueError):
        return False


def _replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = str(value), str(old), str(new)
    _fits(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


def _join(values: Any, between: str = "") -> str:
    texts = [str(each) for each in values]
    _fits(sum(map(len, texts)) + len(texts) * len(between))
    return between.join(texts)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "float": _float,
    "int": _int,
    "round": _round,
    "bool": _bool,
    "iif": _iif,
    "is_defined": _is_defined,
    "is_number": _is_number,
    "multiply": _multiply,
    "add": _add,
    "from_json": _from_json,
    "to_json": _to_json,
}


def _made() -> _Sandbox:
    # What is written in a template is not worked out when it is compiled: that would be before anything is checked.
    made = _Sandbox(cache_size=0, optimized=False)
    kept = {name: made.filters[name] for name in KEPT_FILTERS.split()}
    made.filters = kept | FUNCTIONS | {"replace": _replace, "join": _join, "format": _format, "tojson": _to_json}
    made.filters |= {"~": _join, "[]": _short, "{}": _short}
    made.filters = {name: _timed(made, each) for name, each in made.filters.items()}
    made.globals = dict(FUNCTIONS)
    return made


def _timed(made: _Sandbox, filter: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter)
    def looked_at(*args: Any, **kwargs: Any) -> Any:
        made.look()
        return filter(*args, **kwargs)

    return looked_at


_environment = _made()
