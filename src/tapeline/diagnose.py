"""Compile errors in the user's words: their file, line and field, instead of a trace of Numba's."""

import dis
import inspect
import linecache
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np

from tapeline import constants
from tapeline.contract import ARRAY_REPLACED, CALLBACKS, FIELD_NOT_WHOLE, MEMBERS, NOT_WHOLE
from tapeline.engine.account import Account, Accounts
from tapeline.engine.gateway import Orders, OrdersByInstrument
from tapeline.engine.records import Message, PhaseNews, Print
from tapeline.errors import CompileError
from tapeline.jit import USER_OPTIONS
from tapeline.market.book import Market, Markets
from tapeline.record_members import record_classes
from tapeline.runner import codes
from tapeline.tables import listed
from tapeline.uses import near, unlike

_HERE = str(Path(__file__).parent)
_NUMBA = str(Path(numba.__file__).parent)
_WHERE = (re.compile(r'File "([^"]+)", line (\d+)'), re.compile(r"(?:at|from) (\S+) \((\d+)\)"))
"""Two ways in which Numba names a place; the first is the better, where it is there."""
_NOISE = ("Failed in", "- ", "During", "File", "Overload", "There are", ">>>", "With argument", "Rejected", "raised from", "No implementation", "Of which", "^")
_KNOWN = "of Python's and NumPy's functions Numba knows those that work on numbers and arrays"
_INDEX = "market, orders and account are indexed by whole numbers, not by symbols: market[i] is the i-th of instruments=, from 0"
_DECLARE = ": declare it in the class, such as {0}: tl.int64"
_OF_THE_MODULE = "{} is a {} of the module, which compiled code cannot have: make it a tuple or a field of the class"
_OWN_KINDS = r"(?!(?:\w+\.)*(?:type|\w+Meta|\w+Type|module|\w*function\w*|\w*method\w*|ufunc|_\w+)')(?:\w+\.)*(\w+)'>"
"""The types of things of a module that are neither classes nor functions: a dictionary, settings in a dataclass, a logger."""
_SAYINGS = {
    r"Field '.*' was not found in record with fields .*'tapeline\.(?:market|engine)\.": _INDEX,
    r"Unknown attribute '(\w+)' of type (?:Uni)?Tuple\b": (
        "a tuple has no {1}: what changes is a field of the class; a value of a series is recorded by self.signal(0, …), 0 for the first of signals"
    ),
    r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'": f"{{2}}.{{1}} cannot be used in compiled code: {_KNOWN}",
    r"Untyped global name 'super'|LOAD_SUPER_ATTR": "super() cannot be compiled: what a base's callback does goes into a helper that both call",
    r"Untyped global name '(\w+)': <class ": (
        "{1!r} is a class, which compiled code cannot use: records are fields, and what a base's callback does goes into a helper that both call"
    ),
    rf"Untyped global name '(\w+)': Cannot determine Numba type of <class '{_OWN_KINDS}": _OF_THE_MODULE.format("{1!r}", "{2}"),
    r"Untyped global name '(\w+)'": f"{{1!r}} cannot be used in compiled code: {_KNOWN}",
    r"NameError: (?:global )?(name '\w+' is not defined)": "{1}",
    r"compiler re-entrant to the same function": "a method that calls itself cannot be compiled: write a loop",
    r"STORE_GLOBAL": "a variable of the module cannot be set in compiled code: make it a field of the class",
    r"IMPORT_NAME": "a callback cannot import: import at the top of the file",
    r"FORMAT_WITH_SPEC|format spec in f-strings": "compiled code knows no formats in f-strings: leave out what stands behind the colon",
    r"context manager": "`with` cannot be compiled",
    r"reflected (list|set)\(.*variable '(\w+)' in globals": _OF_THE_MODULE.format("{2!r}", "{1}"),
    r"setitem\(readonly array": "an array of the module is a constant in compiled code: make it a field of the class",
    r"truth\(BoundFunction\(\(.*, '(\w+)'\)": "{1} is a method: call it, {1}(…)",
    r"of type nestedarray": "features are found by their number: market.features[tl.Feature.MID]",
    re.escape(NOT_WHOLE): NOT_WHOLE,
    r"Casting \w*array\(.*\) to int64 directly": "an array stands where one number belongs: take an element of it, ids[i]",
    r"to signature '\(.*\*, \w": "compiled code knows no arguments by keyword only: leave out the * before them",
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


def explain(classes: Sequence[Any], *, several: bool, error: Exception) -> CompileError:
    """Find the callback at fault by compiling each alone, and say what is wrong with it, or with the helper that it calls, and where."""
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
    shown = linecache.getline(file, line).strip()
    if ":=" in shown and "cannot be determined" in said:  # Numba's words name a variable that only it knows
        said = "compiled code cannot assign inside an expression: give := a line of its own"
    return f"{file}:{line}: in {cls.__name__}.{name}: {said}\n    {shown}"


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


def level_calls(cls: Any, said: str) -> str:
    """Where a class asks for levels, if an error says that it asked for one too deep: compiled code knows the line of ours that raised it alone."""
    called = re.match(r"market\.(bid|ask)\(i\)", said)
    places = {
        f"{code.co_filename}:{one.positions.lineno}": None
        for code in (_codes_reached(cls) if called else ())
        for one in dis.get_instructions(code)
        if called and one.opname in {"LOAD_ATTR", "LOAD_METHOD"} and one.argval == called[1] and one.positions
    }
    return f" {called[1]}(i) is called at {listed(list(places))}; depth = {cls.depth}." if called and places else ""


def _is_foreign(path: str) -> bool:
    return path.startswith((_HERE, _NUMBA)) and "/examples/" not in path


def _said(text: str, *, several: bool) -> str:  # noqa: PLR0911 - one per cause
    """What Numba's text says, in a line: the causes that are known by their words, else its first line that says anything."""
    if (match := re.search(r"Unknown attribute '(\w+)' of type Module\(<module '([\w.]+)'", text)) and (thing := _thing(match[2], match[1])):
        return thing
    for words, said in _SAYINGS.items():
        if match := re.search(words, text):
            return said.format(match[0], *match.groups())
    if match := re.search(r"Unknown attribute '(\w+)' of type (?:IntEnum class<\w+>\()?(\w+)", text):
        return f"{_word(match[2])} has no attribute {match[1]!r}{_hint(*match.groups(), several=several)}"
    if (match := re.search(r"Invalid use of getiter with parameters \((\w+)\)", text)) and _arguments_of(match[1]):
        return _one_by_one(match[1])
    if match := re.search(r"Cannot resolve setattr: \((\w+)\)\.(\w+) = ", text):
        return _wrong_assignment(*match.groups())
    if match := re.search(r"(missing a required argument: '\w+'|too many positional arguments|got an unexpected keyword argument '\w+')", text):
        callee = re.search(r"BoundFunction\(\(.*?, '(\w+)'\) for (\w+)\)", text)
        return f"{_word(callee[2])}.{callee[1]}: {match[1]}{_taken(*callee.groups())}{_instead(callee[1], match[1])}" if callee else match[1]
    if match := re.search(r"Cannot unify (.+) and (.+) for '([$\w]+)", text):
        what = "a value" if match[3].startswith("$") else f"variable {match[3]!r}"
        return f"{what} is of type {match[1]} on one way and {match[2]} on another; compiled code needs one type"
    if match := re.search(r"Cannot cast (?:Literal\[)?(\w+)(?:\]\(.*?\))? to (\w+)", text):
        return f"a {match[1]} cannot be used as {match[2]}"
    calls = re.findall(r"No implementation of function Function\(<(?!function _bind)[^\n]*\n\s*>>> (.+)", text)
    return _impossible(calls[-1]) if calls else _first_line(text)


def _taken(method: str, owner: str) -> str:
    """What a method of an argument of callbacks, or of a class, takes."""
    function = getattr(_class(owner), method, None)
    return f"; it takes {', '.join(list(inspect.signature(function).parameters)[1:])}" if inspect.isfunction(function) else ""


def _instead(method: str, said: str) -> str:
    """The method that has what was given to one that has not: stops take no limit, stop-limits do."""
    if method in {"buy_stop", "sell_stop"} and re.search(r"'(limit\w*|price)'", said):
        return f"; a stop that becomes a limit order is {method}_limit(stop, price, size)"
    return ""


def _thing(module: str, name: str) -> str:
    """What to say of what a module has of that name, if it is neither a function nor a class, such as settings; else nothing."""
    value = getattr(sys.modules.get(module), name, None)
    return "" if value is None or callable(value) or inspect.ismodule(value) else _OF_THE_MODULE.format(f"{module}.{name}", type(value).__name__)


def _impossible(call: str) -> str:
    """What to say of a call of a built-in function with arguments that it is not for."""
    call = re.sub(r"Literal\[(\w+)\]\([^)]*\)", r"\1", call)
    if (owner := re.match(r"len\((\w+)\)", call)) and _arguments_of(owner[1]):
        return _one_by_one(owner[1])
    if (owner := re.match(r"getitem\((\w+), ", call)) and _arguments_of(owner[1]):
        return _INDEX
    if re.match(r"[gs]etitem\(\w*array\(.*\), (str|unicode_type)", call):
        return "an array is indexed by numbers, not by text: features[tl.Feature.MID], and signal(0, …) for the first of signals"
    return f"{call} is not possible: these types do not go together, or Numba does not know that function"


def _one_by_one(owner: str) -> str:
    """What to say where arguments are counted or gone through."""
    ids = "; of orders keep the ids that buy and sell return, in an array, ids: (tl.int64, (32,))" if "orders" in _arguments_of(owner) else ""
    return f"market.n is the number of instruments, and range(market.n) are their indices{ids}"


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE)]
    return (said or lines)[0][:300]


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
        return unlike(attribute, arguments[0])
    cls = _class(owner)
    # What a class has from NumPy nobody means: `self.count += 1` was told of `conj`, and `self.size` to be one that is not compiled.
    owned = cls or getattr(constants, owner, None)
    known = [name for name in {*dir(owned)} - {*(dir(np.void) if cls else ())} if not name.startswith("_")]
    if attribute in known:
        if callable(value := getattr(owned, attribute)):
            return ", but one that is not compiled: make it a method, or a function beside the class"
        return f": it is a {type(value).__name__}, which compiled code cannot have; a constant is a number or a tuple of numbers, and what changes is a field"
    return near(attribute, known) or (f"{_DECLARE.format(attribute)}, or write the method" if cls else "")


def _wrong_assignment(owner: str, attribute: str) -> str:
    cls = _class(owner)
    if cls is None or attribute not in cls.fields_:
        hint = near(attribute, cls.fields_ if cls else ()) or _DECLARE.format(attribute)
        return f"{owner} has no field {attribute!r}{hint}"
    kind = cls.dtype_.fields[attribute][0]
    return ARRAY_REPLACED.format(attribute, owner) if kind.shape else FIELD_NOT_WHOLE.format(attribute, owner, kind)  # what is refused of fields there are
