"""Compile errors in the user's words: their file, line and field, instead of a trace of Numba's."""

import difflib
import inspect
import linecache
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
from numba.core.errors import NumbaError

from tapeline.engine.account import Account, Accounts
from tapeline.engine.gateway import Orders, OrdersByInstrument
from tapeline.engine.records import Message, Print
from tapeline.errors import CompileError
from tapeline.jit import USER_OPTIONS
from tapeline.market.book import Market, Markets
from tapeline.record import record_classes
from tapeline.runner import CALLBACKS

_HERE = str(Path(__file__).parent)
_NUMBA = str(Path(numba.__file__).parent)
_WHERE = re.compile(r'File "([^"]+)", line (\d+)')
_NOISE = ("Failed in", "- ", "During", "File", "Overload", "There are", ">>>", "With argument", "Rejected", "raised from", "No implementation", "Of which", "^")
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
    """Raise CompileError if a callback has other parameters than the contract says, or an `on_…` method is no callback."""
    for name in dir(cls):
        method = getattr(cls, name, None)
        if not name.startswith("on_") or not inspect.isfunction(method):
            continue
        if name not in CALLBACKS:
            close = difflib.get_close_matches(name, CALLBACKS, 1)
            hint = f"; did you mean {close[0]}?" if close else f": there are {', '.join(CALLBACKS)}"
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name} is no callback{hint}")
        wanted = ["self", *CALLBACKS[name].split(", ")]
        given = list(inspect.signature(method).parameters)
        if len(given) != len(wanted):
            raise CompileError(f"{_place(method)}: {cls.__name__}.{name}({', '.join(given)}): expected {name}({', '.join(wanted)})")


def explain(classes: Sequence[Any], *, several: bool, error: NumbaError) -> CompileError:
    """Find the method at fault by compiling each alone, helpers first as far as their arguments are known, and say what is wrong with it."""
    for cls in classes:
        for name, parameters in CALLBACKS.items():
            method = getattr(cls, name, None)
            if method is None:
                continue
            types = tuple(_ARGUMENTS[p][1 if several else 0].type_ for p in parameters.split(", "))
            try:
                numba.njit(method, **USER_OPTIONS).compile((cls.type_, *types))
            except NumbaError as fault:
                return CompileError(_message(cls, name, method, fault, several=several))
    return CompileError(f"the strategies cannot be compiled together: {_first_line(_plain(str(error)))}")


def _plain(text: str) -> str:
    """Without colours, and with class names in place of structure types."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for record_type, cls in sorted(record_classes.items(), key=lambda item: -len(str(item[0]))):
        text = text.replace(str(record_type), cls.__name__)
    return text


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE)]
    unknown = [line for line in said if "Unknown attribute" in line or "Undefined variable" in line or "NameError" in line]
    return (unknown or said or lines)[0][:300]


def _message(cls: Any, name: str, method: Any, fault: NumbaError, *, several: bool) -> str:
    text = _plain(str(fault))
    own = [(file, int(line)) for file, line in _WHERE.findall(text) if not _is_foreign(file)]
    file, line = own[-1] if own else (inspect.getsourcefile(method) or "?", method.__code__.co_firstlineno)
    if not Path(file).exists():
        file = inspect.getsourcefile(method) or file
    said = _first_line(text)
    hint = _hint(said, several=several)
    return f"{file}:{line}: in {cls.__name__}.{name}: {said}\n    {linecache.getline(file, line).strip()}{hint}"


def _is_foreign(file: str) -> bool:
    path = str(Path(file).resolve())
    return path.startswith((_HERE, _NUMBA)) and "/examples/" not in path


def _hint(said: str, *, several: bool) -> str:
    match = re.search(r"Unknown attribute '(\w+)' of type (\w+)", said)
    if match is None:
        return ""
    attribute, owner = match.groups()
    if several and owner in ("Markets", "Accounts", "OrdersByInstrument"):
        what = {"Markets": "market", "Accounts": "account", "OrdersByInstrument": "orders"}[owner]
        return f"\n    this run has several instruments: write {what}[i].{attribute}"
    if attribute.startswith("_signal"):
        return '\n    declare the names of the series first: signals = ("name", …)'
    known = next((c for c in record_classes.values() if c.__name__ == owner), None)
    close = difflib.get_close_matches(attribute, [n for n in dir(known) if not n.startswith("_")], 1) if known else []
    return f"\n    did you mean {close[0]}?" if close else ""
