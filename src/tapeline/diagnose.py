"""Compile errors in the user's words: their file, line and field, instead of a trace of Numba's."""

import difflib
import dis
import inspect
import linecache
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numba

from tapeline.constants import Feature
from tapeline.engine.account import Account, Accounts
from tapeline.engine.gateway import Orders, OrdersByInstrument
from tapeline.engine.records import Message, Print
from tapeline.errors import CompileError, ConfigError, TapelineError
from tapeline.jit import USER_OPTIONS, cache_directory
from tapeline.market.book import Market, Markets
from tapeline.record import Record, record_classes
from tapeline.runner import CALLBACKS, codes
from tapeline.strategy import Strategy

_HERE = str(Path(__file__).parent)
_NUMBA = str(Path(numba.__file__).parent)
_WHERE = (re.compile(r'File "([^"]+)", line (\d+)'), re.compile(r"(?:at|from) (\S+) \((\d+)\)"))
"""Two ways in which Numba names a place; the first is the better, where it is there."""
_NOISE = ("Failed in", "- ", "During", "File", "Overload", "There are", ">>>", "With argument", "Rejected", "raised from", "No implementation", "Of which", "^")
_SAYINGS = {
    "compiler re-entrant to the same function": "a method that calls itself cannot be compiled: write a loop",
    "Exception matching is limited": "compiled code knows no kinds of exceptions: write `except Exception:`, or look before you divide",
}
"""Words of Numba's → what they mean."""
_OURS = {"Markets": "market", "Accounts": "account", "OrdersByInstrument": "orders"}
_ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "market": (Market, Markets),
    "orders": (Orders, OrdersByInstrument),
    "account": (Account, Accounts),
    "trade": (Print, Print),
    "event": (Print, Print),
    "update": (Message, Message),
    "fill": (Message, Message),
}
"""Argument → its class in a run with one instrument, and with several."""


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


def check_class(cls: Any) -> None:
    """Warn of what a class says and surely does not mean: no callback at all, and features that it reads and does not declare."""
    _check_callbacks(cls)
    _check_features(cls)


def _check_callbacks(cls: Any) -> None:
    """Warn where a class has no callback, since nothing of it is ever called; with the one that was meant, where a method has a name like it."""
    if any(hasattr(cls, name) for name in CALLBACKS):
        return
    methods = [name for name in dir(cls) if inspect.isfunction(getattr(cls, name)) and not hasattr(Strategy, name)]
    meant = next((f": is its method {name} meant as {near[0]}?" for name in methods if (near := difflib.get_close_matches(name.lower(), CALLBACKS, 1))), "")
    warnings.warn(f"{cls.__name__} has no callback, so that it does nothing{meant or ': there are ' + ', '.join(CALLBACKS)}", stacklevel=5)


def _check_features(cls: Any) -> None:
    """Warn where a class, or a feature of one's own among its fields, reads a feature by its name that the class does not declare: it is NaN."""
    parts = [cls, *(hint for hint in cls.fields_.values() if inspect.isclass(hint) and issubclass(hint, Record))]
    for code in (code for part in parts for code in codes(part)):
        for line, name in _features_read(code):
            if Feature[name] not in cls.features:
                text = f"{cls.__name__} reads features[Feature.{name}], which it does not declare, so that it is NaN: features = (tl.Feature.{name}, …)"
                warnings.warn(f"{code.co_filename}:{line}: {text}", stacklevel=5)


def _features_read(code: Any) -> Iterator[tuple[int | None, str]]:
    """Line and NAME of each `….features[….Feature.NAME]`."""
    loads = [one for one in dis.get_instructions(code) if one.opname.startswith("LOAD_")]
    for at, one in enumerate(loads):
        before = [load.argval for load in loads[max(at - 3, 0) : at]]
        if before[-1:] == ["Feature"] and "features" in before and one.argval in Feature.__members__:
            yield one.positions.lineno if one.positions else None, one.argval


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
    text = _plain(str(fault))
    said = _said(text, several=several)
    file, line = _where(text, cls, method)
    return f"{file}:{line}: in {cls.__name__}.{name}: {said}\n    {linecache.getline(file, line).strip()}"


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
    if match := re.search(r"Unknown attribute '(\w+)' of type (\w+)", text):
        return f"{match[2]} has no attribute {match[1]!r}{_hint(*match.groups(), several=several)}"
    if match := re.search(r"Cannot resolve setattr: \((\w+)\)\.(\w+) = (.+)", text):
        return _wrong_assignment(*match.groups())
    if match := re.search(r"NameError: (?:global )?(name '\w+' is not defined)", text):
        return match[1]
    if match := re.search(r"(missing a required argument: '\w+'|too many positional arguments|got an unexpected keyword argument '\w+')", text):
        callee = re.search(r"BoundFunction\(\(.*?, '(\w+)'\) for (\w+)\)", text)
        return f"{callee[2]}.{callee[1]}: {match[1]}" if callee else match[1]
    if match := re.search(r"Untyped global name '(\w+)'", text):
        return f"{match[1]!r} cannot be used in compiled code: of Python's and NumPy's functions Numba knows those that work on numbers and arrays"
    if match := re.search(r"Cannot unify (.+) and (.+) for '([$\w]+)", text):
        what = "a value" if match[3].startswith("$") else f"variable {match[3]!r}"
        return f"{what} is of type {match[1]} on one way and {match[2]} on another; compiled code needs one type"
    if known := next((said for words, said in _SAYINGS.items() if words in text), None):
        return known
    if match := re.search(r"Cannot cast (?:Literal\[)?(\w+)(?:\]\(.*?\))? to (\w+)", text):
        return f"a {match[1]} cannot be used as {match[2]}"
    calls = re.findall(r"No implementation of function Function\(<(?!function _bind)[^\n]*\n\s*>>> (.+)", text)
    if calls:
        call = re.sub(r"Literal\[(\w+)\]\([^)]*\)", r"\1", calls[-1])
        return f"{call} is not possible: these types do not go together, or Numba does not know that function"
    return _first_line(text)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE)]
    return (said or lines)[0][:300]


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _class(name: str) -> Any:
    """The class of that name: one of the callbacks' arguments, else the last defined."""
    arguments = [cls for pair in _ARGUMENTS.values() for cls in pair]
    return next((c for c in [*arguments, *reversed(record_classes.values())] if c.__name__ == name), None)


def _names(owner: str) -> list[str]:
    """What users may name of a class."""
    cls = _class(owner)
    return [name for name in dir(cls) if not name.startswith("_")] if cls is not None else []


def _hint(attribute: str, owner: str, *, several: bool) -> str:
    if several and owner in _OURS:
        return f": this run has several instruments, write {_OURS[owner]}[i].{attribute}"
    if attribute.startswith("_signal"):
        return ': declare the names of the series first, signals = ("name", …)'
    known = _names(owner)
    if attribute in known:
        return ", but one that is not compiled: make it a method, or a function beside the class"
    return _near(attribute, known)


def _wrong_assignment(owner: str, attribute: str, value: str) -> str:
    cls = _class(owner)
    if cls is None or attribute not in cls.fields_:
        hint = _near(attribute, cls.fields_ if cls else ()) or f": declare it in the class, such as {attribute}: tl.int64"
        return f"{owner} has no field {attribute!r}{hint}"
    return f"field {attribute!r} of {owner} is {cls.dtype_.fields[attribute][0]} and cannot hold {value}"
