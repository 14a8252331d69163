"""Compile errors in the user's words: their file, line and field, instead of a trace of Numba's."""

import ast
import difflib
import dis
import inspect
import linecache
import re
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numba

from tapeline import constants
from tapeline.constants import Feature, FillRule, Kind, Phase, Reason, Side, Update
from tapeline.contract import CALLBACKS, FIELD_NOT_WHOLE, LEVELS, MEMBERS, NOT_WHOLE
from tapeline.engine.account import Account, Accounts
from tapeline.engine.gateway import Orders, OrdersByInstrument
from tapeline.engine.records import Message, PhaseNews, Print
from tapeline.errors import CompileError, ConfigError, TapelineError
from tapeline.jit import USER_OPTIONS, cache_directory
from tapeline.market.book import Market, Markets
from tapeline.record import Record, record_classes
from tapeline.runner import codes
from tapeline.strategy import Strategy

_HERE = str(Path(__file__).parent)
_NUMBA = str(Path(numba.__file__).parent)
_WHERE = (re.compile(r'File "([^"]+)", line (\d+)'), re.compile(r"(?:at|from) (\S+) \((\d+)\)"))
"""Two ways in which Numba names a place; the first is the better, where it is there."""
_NOISE = ("Failed in", "- ", "During", "File", "Overload", "There are", ">>>", "With argument", "Rejected", "raised from", "No implementation", "Of which", "^")
_KNOWN = "of Python's and NumPy's functions Numba knows those that work on numbers and arrays"
_INDEX = "market, orders and account are indexed by whole numbers, not by symbols: market[i] is the i-th of instruments=, from 0"
_SAYINGS = {
    r"Field '.*' was not found in record with fields .*'tapeline\.(?:market|engine)\.": _INDEX,
    r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'": f"{{2}}.{{1}} cannot be used in compiled code: {_KNOWN}",
    r"Untyped global name 'super'": "super() cannot be compiled: what a base's callback does goes into a helper that both call",
    r"Untyped global name '(\w+)': <class ": (
        "{1!r} is a class, which compiled code cannot use: records are fields, and what a base's callback does goes into a helper that both call"
    ),
    r"Untyped global name '(\w+)'": f"{{1!r}} cannot be used in compiled code: {_KNOWN}",
    r"NameError: (?:global )?(name '\w+' is not defined)": "{1}",
    r"compiler re-entrant to the same function": "a method that calls itself cannot be compiled: write a loop",
    r"STORE_GLOBAL": "a variable of the module cannot be set in compiled code: make it a field of the class",
    r"IMPORT_NAME": "a callback cannot import: import at the top of the file",
    r"context manager": "`with` cannot be compiled",
    r"reflected list\(.*variable '(\w+)' in globals": "{1!r} is a list of the module, which compiled code cannot have: make it a tuple or a field of the class",
    r"setitem\(readonly array": "an array of the module is a constant in compiled code: make it a field of the class",
    r"truth\(BoundFunction\(\(.*, '(\w+)'\)": "{1} is a method: call it, {1}(…)",
    r"of type nestedarray": "features are found by their number: market.features[tl.Feature.MID]",
    re.escape(NOT_WHOLE): NOT_WHOLE,
    r"Exception matching is limited": "compiled code knows no kinds of exceptions: write `except Exception:`, or look before you divide",
}
"""Words of Numba's → what they mean."""
_ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "market": (Market, Markets),
    "orders": (Orders, OrdersByInstrument),
    "account": (Account, Accounts),
    "trade": (Print, Print),
    "event": (Print, Print),
    "update": (Message, Message),
    "fill": (Message, Message),
    "status": (PhaseNews, PhaseNews),
}
"""Argument → its class in a run with one instrument, and with several."""
_WORDS = {"side": Side, "last_side": Side, "what": Update, "reason": Reason, "phase": Phase, "rule": FillRule, "kind": Kind}
"""Attribute → whose members its values are."""


def _place(function: Any) -> str:
    return f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"


def check_signatures(cls: type) -> None:
    """Raise CompileError if a callback has other parameters than the contract says, or in another order, or an `on_…` method is no callback."""
    for name in dir(cls):
        method = getattr(cls, name, None)
        if not name.startswith("on_") or not inspect.isfunction(method):
            continue
        if name not in CALLBACKS:
            hint = _near(name, CALLBACKS) or f": there are {', '.join(CALLBACKS)}"
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name} is no callback{hint}")
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
    first, tree = _parsed(function)
    named = _names_of_arguments(tree, named)
    written = [node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (helper := _helper(cls, function, node, named)):
            owner, method, given = helper
            _check_uses(owner, where, method, given, checked)
        if not isinstance(node, ast.Attribute):
            continue
        argument, is_read = _argument(node.value, named), isinstance(node.ctx, ast.Load) and node not in written
        if argument not in MEMBERS or (is_read and node.attr in MEMBERS[argument]):
            continue
        cannot = f"{argument}.{node.attr} cannot be set: what a callback is given is to be read"
        said = f"{argument} has no attribute {node.attr!r}{_unlike(node.attr, argument)}" if is_read else cannot
        file, line = inspect.getsourcefile(function) or "?", first + node.lineno - 1
        raise CompileError(f"{file}:{line}: in {where}: {said}\n    {linecache.getline(file, line).strip()}")


def _names_of_arguments(tree: ast.AST, named: dict[str, str]) -> dict[str, str]:
    """Name → argument, or "self", in a function: of its parameters `named`, and of local names that are bound to nothing but one argument, `a = account`."""
    stores = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
    known = {name: argument for name, argument in named.items() if name not in stores}
    bound: dict[str, list[str | None]] = {}
    for name, value in _bindings(tree):
        arguments = bound.setdefault(name, [])
        arguments.append(_argument(value, known))
        if len(arguments) == stores[name] and len(set(arguments)) == 1 and arguments[0]:
            known[name] = arguments[0]
    return known


def _bindings(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Name and value of each plain assignment, those of `first, second = market[0], market[1]` one by one."""
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Assign)):
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


@cache
def _parsed(method: Any) -> tuple[int, ast.AST]:
    """The number of a method's first line, and what it says; nothing where that is not known."""
    try:
        lines, first = inspect.getsourcelines(method)
        return first, ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError):  # typed in, or with text that is indented less than the code
        return 0, ast.Module([], [])


def _unlike(attribute: str, argument: str) -> str:
    """What to use in place of an attribute that an argument of a callback lacks."""
    if argument == "market" and attribute.upper() in Feature.__members__:
        name = f"tl.Feature.{attribute.upper()}"
        return f": it is a feature, market.features[{name}], to be declared, features = ({name},)"
    return _near(attribute, MEMBERS[argument]) or f"; it has {', '.join(MEMBERS[argument])}"


def check_class(cls: Any) -> None:
    """Raise CompileError at wrong callbacks; warn of what a class surely does not mean: no callback, features not declared, numbers compared with text."""
    check_signatures(cls)
    _check_arguments(cls)
    _check_callbacks(cls)
    for part in (cls, *(hint for hint in cls.fields_.values() if inspect.isclass(hint) and issubclass(hint, Record))):  # features of its own, too
        for code in codes(part):
            for line, said in (*_undeclared_features(cls, code), *_compared_with_text(code)):
                warnings.warn(f"{code.co_filename}:{line}: {cls.__name__} {said}", stacklevel=4)


def _check_callbacks(cls: Any) -> None:
    """Warn where a class has no callback, since nothing of it is ever called; with the one that was meant, where a method has a name like it."""
    if any(hasattr(cls, name) for name in CALLBACKS):
        return
    methods = [name for name in dir(cls) if inspect.isfunction(getattr(cls, name)) and not hasattr(Strategy, name)]
    meant = next((f": is its method {name} meant as {near[0]}?" for name in methods if (near := difflib.get_close_matches(name.lower(), CALLBACKS, 1))), "")
    warnings.warn(f"{cls.__name__} has no callback, so that it does nothing{meant or ': there are ' + ', '.join(CALLBACKS)}", stacklevel=5)


def _undeclared_features(cls: Any, code: Any) -> Iterator[tuple[int | None, str]]:
    """Line, and what is wrong, of each `….features[….Feature.NAME]` of a feature that the class does not declare."""
    loads = [one for one in dis.get_instructions(code) if one.opname.startswith("LOAD_")]
    for at, one in enumerate(loads):
        before, name = [load.argval for load in loads[max(at - 3, 0) : at]], one.argval
        if before[-1:] == ["Feature"] and "features" in before and name in Feature.__members__ and Feature[name] not in cls.features:
            said = f"reads features[Feature.{name}], which it does not declare, so that it is NaN: features = (tl.Feature.{name}, …)"
            yield one.positions.lineno if one.positions else None, said


def _compared_with_text(code: Any) -> Iterator[tuple[int | None, str]]:
    """The same of each comparison of a side, a reason and the like with text, which compiles, and is never equal."""
    instructions = list(dis.get_instructions(code))
    for at, one in enumerate(instructions):
        if one.opname not in ("COMPARE_OP", "CONTAINS_OP"):
            continue
        loads = instructions[max(at - 3, 0) : at]
        words = [load.argval for load in loads if load.opname == "LOAD_ATTR" and load.argval in _WORDS]
        texts = [load.argval for load in loads if load.opname == "LOAD_CONST" and isinstance(load.argval, str | tuple)]
        if words and any(isinstance(text, str) or any(isinstance(part, str) for part in text) for text in texts):
            said = f"compares {words[-1]} with {texts[-1]!r}, which it never equals: it is a member of tl.{_WORDS[words[-1]].__name__}"
            yield one.positions.lineno if one.positions else None, said


def explain(classes: Sequence[Any], *, several: bool, error: Exception) -> TapelineError:
    """Find the callback at fault by compiling each alone, and say what is wrong with it, or with the helper that it calls, and where."""
    if isinstance(error, OSError):  # nothing is wrong with them: their code is kept on disk, and there is no room
        return ConfigError(f"{cache_directory()}: compiled code cannot be written ({error.strerror}): make room there, or set TAPELINE_CACHE to another place")
    for cls in classes:
        for name, parameters in CALLBACKS.items():
            method = getattr(cls, name, None)
            if method is None:
                continue
            types = tuple(_ARGUMENTS[p][1 if several else 0].type_ for p in parameters.split(", "))
            try:
                numba.njit(method, **USER_OPTIONS).compile((cls.type_, *types))
            except Exception as fault:  # noqa: BLE001 - Numba also raises AttributeError and others
                return CompileError(_message(cls, name, method, fault, several=several))
    return CompileError(f"the strategies cannot be compiled together: {_first_line(_plain(str(error)))}")


def explain_method(classes: Sequence[Any], name: str, error: Exception) -> CompileError:
    """The same for a method of one argument, the market."""
    for cls in classes:
        method = getattr(cls, name)
        try:
            numba.njit(method, **USER_OPTIONS).compile((cls.type_, Market.type_))
        except Exception as fault:  # noqa: BLE001 - Numba also raises AttributeError and others
            return CompileError(_message(cls, name, method, fault, several=False))
    return CompileError(f"{', '.join(cls.__name__ for cls in classes)}: {name}() cannot be compiled: {_first_line(_plain(str(error)))}")


def _plain(text: str) -> str:
    """Without colours, and with class names in place of structure types."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for record_type, cls in sorted(record_classes.items(), key=lambda item: -len(str(item[0]))):
        text = text.replace(str(record_type), cls.__name__)
    return text


def _message(cls: Any, name: str, method: Any, fault: Exception, *, several: bool) -> str:
    if isinstance(fault, KeyError):  # of a field that is set, and is none
        return _constant_set(cls, name, fault.args[0])
    text = _plain(str(fault))
    said = _said(text, several=several)
    file, line = _where(text, cls, method)
    return f"{file}:{line}: in {cls.__name__}.{name}: {said}\n    {linecache.getline(file, line).strip()}"


def _constant_set(cls: Any, callback: str, name: str) -> str:
    """What to say where a method sets an attribute of the class that is no field."""
    value: Any = getattr(cls, name, None)
    kind = {bool: "tl.bool_", float: "tl.float64"}.get(type(value), "tl.int64")
    said = f"in {cls.__name__}.{callback}: {name!r} is no field but a constant of the class: declare it, {name}: {kind}" + (
        "" if value is None else f" = {value}"
    )
    stores = (
        (code.co_filename, one.positions) for code in codes(cls) for one in dis.get_instructions(code) if (one.opname, one.argval) == ("STORE_ATTR", name)
    )
    for file, positions in stores:
        if positions and positions.lineno:
            return f"{file}:{positions.lineno}: {said}\n    {linecache.getline(file, positions.lineno).strip()}"
    return said


def _where(text: str, cls: Any, method: Any) -> tuple[str, int]:
    """The user's own file and line: the innermost that Numba names, which it names first; of an undefined name, where the bytecode reads it."""
    unknown = re.search(r"NameError: (?:global )?name '(\w+)' is not defined|module '[\w.]+' has no attribute '(\w+)'", text)
    if unknown:
        for code in _codes_reached(cls):
            for instruction in dis.get_instructions(code):
                line = instruction.positions.lineno if instruction.positions else None
                if line and instruction.argval == (unknown[1] or unknown[2]) and instruction.opname.startswith("LOAD_"):
                    return code.co_filename, line
    for file, line in (found for where in _WHERE for found in where.findall(text)):
        path = Path(file).resolve()
        if not _is_foreign(str(path)) and path.exists():
            return str(path), int(line)
    return inspect.getsourcefile(method) or "?", method.__code__.co_firstlineno


def _codes_reached(cls: Any) -> Iterator[Any]:
    """The code of a class's methods, and of the plain functions beside it that they may call."""
    yield from codes(cls)
    for function in vars(sys.modules[cls.__module__]).values():
        if inspect.isfunction(function) and function.__module__ == cls.__module__:
            yield function.__code__


def _is_foreign(path: str) -> bool:
    return path.startswith((_HERE, _NUMBA)) and "/examples/" not in path


def _said(text: str, *, several: bool) -> str:  # noqa: PLR0911 - one per cause
    """What Numba's text says, in a line: the causes that are known by their words, else its first line that says anything."""
    for words, said in _SAYINGS.items():
        if match := re.search(words, text):
            return said.format(match[0], *match.groups())
    if match := re.search(r"Unknown attribute '(\w+)' of type (?:IntEnum class<\w+>\()?(\w+)", text):
        return f"{_word(match[2])} has no attribute {match[1]!r}{_hint(*match.groups(), several=several)}"
    if match := re.search(r"Cannot resolve setattr: \((\w+)\)\.(\w+) = (.+)", text):
        return _wrong_assignment(*match.groups())
    if match := re.search(r"(missing a required argument: '\w+'|too many positional arguments|got an unexpected keyword argument '\w+')", text):
        callee = re.search(r"BoundFunction\(\(.*?, '(\w+)'\) for (\w+)\)", text)
        return f"{_word(callee[2])}.{callee[1]}: {match[1]}" if callee else match[1]
    if match := re.search(r"Cannot unify (.+) and (.+) for '([$\w]+)", text):
        what = "a value" if match[3].startswith("$") else f"variable {match[3]!r}"
        return f"{what} is of type {match[1]} on one way and {match[2]} on another; compiled code needs one type"
    if match := re.search(r"Cannot cast (?:Literal\[)?(\w+)(?:\]\(.*?\))? to (\w+)", text):
        return f"a {match[1]} cannot be used as {match[2]}"
    calls = re.findall(r"No implementation of function Function\(<(?!function _bind)[^\n]*\n\s*>>> (.+)", text)
    return _impossible(calls[-1]) if calls else _first_line(text)


def _impossible(call: str) -> str:
    """What to say of a call of a built-in function with arguments that it is not for."""
    call = re.sub(r"Literal\[(\w+)\]\([^)]*\)", r"\1", call)
    if (owner := re.match(r"getitem\((\w+), ", call)) and _arguments_of(owner[1]):
        return _INDEX
    if re.match(r"[gs]etitem\(\w*array\(.*\), (str|unicode_type)", call):
        return "an array is indexed by numbers, not by text: features[tl.Feature.MID], and signal(0, …) for the first of signals"
    return f"{call} is not possible: these types do not go together, or Numba does not know that function"


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE)]
    return (said or lines)[0][:300]


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _class(name: str) -> Any:
    """The class of that name, the last defined."""
    return next((c for c in reversed(record_classes.values()) if c.__name__ == name), None)


def _arguments_of(owner: str) -> list[str]:
    """The arguments of callbacks that are of a class."""
    return [argument for argument, pair in _ARGUMENTS.items() if owner in [cls.__name__ for cls in pair]]


def _word(owner: str) -> str:
    """What users call a class."""
    return " or ".join(_arguments_of(owner)) or owner


def _hint(attribute: str, owner: str, *, several: bool) -> str:
    arguments = _arguments_of(owner)
    if several and arguments and attribute in MEMBERS[arguments[0]]:
        return f": this run has several instruments, write {arguments[0]}[i].{attribute}, or choose one with instruments=[…]"
    if attribute.startswith("_signal"):
        return ': declare the names of the series first, signals = ("name", …)'
    if arguments:
        return _unlike(attribute, arguments[0])
    known = [name for name in dir(_class(owner) or getattr(constants, owner, None)) if not name.startswith("_")]
    if attribute in known:
        return ", but one that is not compiled: make it a method, or a function beside the class"
    return _near(attribute, known)


def _wrong_assignment(owner: str, attribute: str, value: str) -> str:
    cls = _class(owner)
    if cls is None or attribute not in cls.fields_:
        hint = _near(attribute, cls.fields_ if cls else ()) or f": declare it in the class, such as {attribute}: tl.int64"
        return f"{owner} has no field {attribute!r}{hint}"
    kind = cls.dtype_.fields[attribute][0]
    return FIELD_NOT_WHOLE.format(attribute, owner, kind) if value.startswith("float") else f"field {attribute!r} of {owner} is {kind} and cannot hold {value}"
