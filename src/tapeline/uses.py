"""What a strategy's code does that cannot be meant: looked at as it is written, before anything is compiled."""

import ast
import difflib
import dis
import inspect
import linecache
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from tapeline.constants import Feature, FillRule, Kind, Phase, Reason, Side, Update
from tapeline.contract import CALLBACKS, LEVELS, MEMBERS
from tapeline.errors import CompileError
from tapeline.runner import codes, parts
from tapeline.strategy import Strategy

_WORDS = {"side": Side, "last_side": Side, "what": Update, "reason": Reason, "phase": Phase, "rule": FillRule, "kind": Kind}
"""Attribute → whose members its values are."""
_ELSEWHERE = {"now": "orders.now", "best_bid": "market.bid_price", "best_ask": "market.ask_price"}
"""What is looked for where it is not → where it is."""
Nodes = tuple[ast.AST, ...]
"""All that a function says, one by one. They are kept: to walk through the tree again at each look took most of the time of a run's check."""


def _place(function: Any) -> str:
    return f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"


def check_signatures(cls: type) -> None:
    """Raise CompileError if a callback has other parameters than the contract says, or in another order, or an `on_…` method is no callback."""
    for name in dir(cls):
        method = getattr(cls, name, None)
        if name in CALLBACKS and method is not None and not callable(method):
            raise CompileError(f"{cls.__name__}.{name} is {method!r}: expected a method, def {name}(self, {CALLBACKS[name]})")
        if not name.startswith("on_") or not inspect.isfunction(method):
            continue
        if name not in CALLBACKS:
            close = difflib.get_close_matches(name[3:], [callback[3:] for callback in CALLBACKS], 1)  # of on_stop and on_start the half is alike, on_ included
            hint = f"; did you mean on_{close[0]}?" if close else f": there are {', '.join(CALLBACKS)}"
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name} is no callback{hint}")
        if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name}: a callback is called, and no more: it cannot be async, or have a yield")
        wanted = ["self", *CALLBACKS[name].split(", ")]
        given = list(inspect.signature(method).parameters)
        if len(given) != len(wanted) or any(g != w and g in wanted for g, w in zip(given, wanted, strict=True)):
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name}({', '.join(given)}): expected {name}({', '.join(wanted)})")


def _check_arguments(cls: Any) -> None:
    """Raise CompileError where a callback reads what its arguments lack, whatever the engine has beside it, or sets what they tell; in helpers, too."""
    checked: set[Any] = set()
    for callback, parameters in CALLBACKS.items():
        method = getattr(cls, callback, None)
        if method is not None:
            _check_uses(cls, f"{cls.__name__}.{callback}", method, _parameters(method, parameters), checked)


def check_update(cls: Any) -> None:
    """The same for the `update` of a feature of one's own."""
    _check_uses(cls, f"{cls.__name__}.update", cls.update, _parameters(cls.update, "market"), set())


def _parameters(method: Any, arguments: str) -> dict[str, str]:
    """Parameter → "self", or the argument that it is."""
    return dict(zip(inspect.signature(method).parameters, ("self", *arguments.split(", ")), strict=False))


def _check_uses(cls: Any, where: str, function: Any, named: dict[str, str], checked: set[Any]) -> None:
    """The same for one function, of whose parameters `named` are arguments of the callback, and "self" an instance of `cls`."""
    if (call := (function, *named.items())) in checked:
        return
    checked.add(call)
    first, nodes = _parsed(function)
    named = _bound(nodes, named, _argument)
    written = {node.value: node.lineno for node in nodes if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)}
    written |= _written_by_name(written, nodes, named)
    for node in nodes:
        if isinstance(node, ast.Call) and (helper := _helper(cls, function, node, named)):
            owner, method, given = helper
            _check_uses(owner, where, method, given, checked)
        if not isinstance(node, ast.Attribute):
            continue
        argument, is_read = _argument(node.value, named), isinstance(node.ctx, ast.Load) and node not in written
        if argument not in MEMBERS or (is_read and node.attr in MEMBERS[argument]):
            continue
        cannot = f"{argument}.{node.attr} cannot be set: what a callback is given is to be read"
        said = f"{argument} has no attribute {node.attr!r}{unlike(node.attr, argument)}" if is_read else cannot
        file, line = inspect.getsourcefile(function) or "?", first + written.get(node, node.lineno) - 1
        raise CompileError(f"{file}:{line}: in {where}: {said}\n    {linecache.getline(file, line).strip()}")


def _written_by_name(written: dict[ast.expr, int], nodes: Nodes, named: dict[str, str]) -> dict[ast.expr, int]:
    """What arguments have that is written to, and in which line, by local names which stand for nothing else: `f = market.features; f[3] = 1.0`."""
    lines = {node.id: line for node, line in written.items() if isinstance(node, ast.Name)}
    known = _bound(nodes, named, lambda value, _: _member(value, named))
    return {value: lines[name] for name, value in _bindings(nodes) if name in lines and name in known and _member(value, named)}


def _member(node: ast.AST, named: dict[str, str]) -> str | None:
    """What of an argument an expression is, `market.features`; None: it is nothing of any."""
    argument = _argument(node.value, named) if isinstance(node, ast.Attribute) else None
    return f"{argument}.{node.attr}" if argument in MEMBERS and isinstance(node, ast.Attribute) else None


def _bound(nodes: Nodes, named: dict[str, str], meaning: Callable[[ast.AST, dict[str, str]], str | None]) -> dict[str, str]:
    """Name → what it means in a function: of its parameters `named`, and of local names that are bound to nothing but what means one thing, `a = account`."""
    stores = Counter(node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
    known = {name: argument for name, argument in named.items() if name not in stores}
    bound: dict[str, list[str | None]] = {}
    for name, value in _bindings(nodes):
        arguments = bound.setdefault(name, [])
        arguments.append(meaning(value, known))
        if len(arguments) == stores[name] and len(set(arguments)) == 1 and arguments[0]:
            known[name] = arguments[0]
    return known


def _bindings(nodes: Nodes) -> Iterator[tuple[str, ast.expr]]:
    """Name and value of each plain assignment, those of `first, second = market[0], market[1]` one by one."""
    for node in (node for node in nodes if isinstance(node, ast.Assign)):
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            yield from ((to.id, value) for to, value in pairs if isinstance(to, ast.Name))


def _argument(node: ast.AST, named: dict[str, str]) -> str | None:
    """The argument that an expression is, or is of one instrument, or the level of a book; None: it is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
        return "level" if _argument(node.func.value, named) == "market" else None
    owner = node.value if isinstance(node, ast.Subscript) else node
    return named.get(owner.id) if isinstance(owner, ast.Name) else None


def _owner(cls: Any, node: ast.AST, named: dict[str, str]) -> Any:
    """The class whose method is called on an expression: that of self, or of a record that is a field of it."""
    if _argument(node, named) == "self":
        return cls
    field = node.value if isinstance(node, ast.Subscript) else node
    hint = cls.fields_.get(field.attr) if isinstance(field, ast.Attribute) and _argument(field.value, named) == "self" else None
    return hint[0] if isinstance(hint, tuple) else hint


def _helper(cls: Any, function: Any, call: ast.Call, named: dict[str, str]) -> tuple[Any, Any, dict[str, str]] | None:
    """What a function calls: whose method it is, the method or plain function, and which of its parameters are arguments; None: it is given none."""
    given = [_argument(value, named) for value in call.args]
    helper, owner = None, cls
    if isinstance(call.func, ast.Attribute) and (owner := _owner(cls, call.func.value, named)):
        helper, given = getattr(owner, call.func.attr, None), ["self", *given]
    elif isinstance(call.func, ast.Name):
        helper = function.__globals__.get(call.func.id)
    if not inspect.isfunction(helper):
        return None
    code = helper.__code__
    pairs = [*zip(code.co_varnames[: code.co_argcount], given, strict=False), *((word.arg, _argument(word.value, named)) for word in call.keywords)]
    taken = {name: argument for name, argument in pairs if name and argument}
    return (owner, helper, taken) if set(taken.values()) - {"self"} else None


def near(name: str, known: Iterable[str]) -> str:
    """What was meant, if a known name is like the one that was written."""
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


@cache
def _parsed(method: Any) -> tuple[int, Nodes]:
    """The number of a method's first line, and what it says; nothing where that is not known."""
    try:
        lines, first = inspect.getsourcelines(method)
        return first, tuple(ast.walk(ast.parse(textwrap.dedent("".join(lines)))))
    except (OSError, SyntaxError):  # typed in, or with text that is indented less than the code
        return 0, ()


def unlike(attribute: str, argument: str) -> str:
    """What to use in place of an attribute that an argument of a callback lacks."""
    feature = attribute.removesuffix("_price").upper()  # mid_price is no misspelt bid_price
    if argument == "market" and feature in Feature.__members__:
        name = f"tl.Feature.{feature}"
        return f": it is a feature, market.features[{name}], to be declared, features = ({name},)"
    if attribute in _ELSEWHERE:
        return f": it is {_ELSEWHERE[attribute]}"
    return near(attribute, MEMBERS[argument]) or f"; it has {', '.join(MEMBERS[argument])}"


def check_class(cls: Any) -> None:
    """Raise CompileError at wrong callbacks; warn of what a class surely does not mean: no callback, features not declared, updates that never come."""
    check_signatures(cls)
    _check_arguments(cls)
    _check_callbacks(cls)
    for part in (cls, *parts(cls)):  # features of its own, too
        for code in codes(part):
            for line, said in (*_undeclared_features(cls, code), *_compared_with_text(code), *_waits_for_fills(code), *_wakes_nobody(cls, code)):
                warnings.warn(f"{code.co_filename}:{line}: {cls.__name__} {said}", stacklevel=4)


def _check_callbacks(cls: Any) -> None:
    """Warn where a class has no callback, since nothing of it is ever called; with the one that was meant, where a method has a name like it."""
    if any(hasattr(cls, name) for name in CALLBACKS):
        return
    methods = [name for name in dir(cls) if inspect.isfunction(getattr(cls, name)) and not hasattr(Strategy, name)]
    meant = next((f": is its method {name} meant as {like[0]}?" for name in methods if (like := difflib.get_close_matches(name.lower(), CALLBACKS, 1))), "")
    warnings.warn(f"{cls.__name__} has no callback, so that it does nothing{meant or ': there are ' + ', '.join(CALLBACKS)}", stacklevel=5)


@cache
def _instructions(code: Any, _lines: bytes) -> tuple[dis.Instruction, ...]:
    """What a function's code does. Code that stands in other lines is equal, so these are part of the key."""
    return tuple(dis.get_instructions(code))


def _undeclared_features(cls: Any, code: Any) -> Iterator[tuple[int | None, str]]:
    """Line, and what is wrong, of each `….features[….Feature.NAME]` of a feature that the class does not declare."""
    loads = [one for one in _instructions(code, code.co_linetable) if one.opname.startswith("LOAD_")]
    for at, one in enumerate(loads):
        before, name = [load.argval for load in loads[max(at - 3, 0) : at]], one.argval
        if before[-1:] == ["Feature"] and "features" in before and name in Feature.__members__ and Feature[name] not in cls.features:
            said = f"reads features[Feature.{name}], which it does not declare, so that it is NaN: features = (tl.Feature.{name}, …)"
            yield one.positions.lineno if one.positions else None, said


def _compared_with_text(code: Any) -> Iterator[tuple[int | None, str]]:
    """The same of each comparison of a side, a reason and the like with text, which compiles, and is never equal."""
    instructions = _instructions(code, code.co_linetable)
    for at, one in enumerate(instructions):
        if one.opname not in ("COMPARE_OP", "CONTAINS_OP"):
            continue
        loads = instructions[max(at - 3, 0) : at]
        if any(load.opname == "BINARY_SUBSCR" for load in loads[1:]):  # text found by the number of a side is text
            continue
        words = [load.argval for load in loads if load.opname == "LOAD_ATTR" and load.argval in _WORDS]
        texts = [load.argval for load in loads if load.opname == "LOAD_CONST" and isinstance(load.argval, str | tuple)]
        if words and any(isinstance(text, str) or any(isinstance(part, str) for part in text) for text in texts):
            said = f"compares {words[-1]} with {texts[-1]!r}, which it never equals: it is a member of tl.{_WORDS[words[-1]].__name__}"
            yield one.positions.lineno if one.positions else None, said


def _waits_for_fills(code: Any) -> Iterator[tuple[int | None, str]]:
    """The same of each `Update.FILL`, of which no update is."""
    loads = [one for one in _instructions(code, code.co_linetable) if one.opname.startswith("LOAD_")]
    for owner, one in pairwise(loads):
        if (owner.argval, one.argval) == ("Update", "FILL"):
            yield one.positions.lineno if one.positions else None, "looks for Update.FILL, which no update is: fills come to on_fill"


def _wakes_nobody(cls: Any, code: Any) -> Iterator[tuple[int | None, str]]:
    """The same of each `….wake_at` in the very body of a class that has no `on_timer`: of bases and records others may be made, with timers."""
    is_own = code.co_qualname.startswith(f"{cls.__qualname__}.")
    for one in _instructions(code, code.co_linetable) if is_own and not hasattr(cls, "on_timer") else ():
        if one.opname in ("LOAD_ATTR", "LOAD_METHOD") and one.argval == "wake_at":
            yield one.positions.lineno if one.positions else None, "calls wake_at, and has no on_timer for it to call"
