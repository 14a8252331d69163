"""Strategies named on a command line: `file.py:Class` or `module:Class`, and their parameters as `name=value`."""

import hashlib
import importlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterable
from enum import IntEnum
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from tapeline.errors import ConfigError, TapelineError
from tapeline.keywords import meant

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def load_strategy(spec: str) -> type[Any]:
    """The strategy class that `spec` names. `:Class` may be left out where the file or module has only one.

    Raises ConfigError if there is no such file, module or class, if it cannot be imported, or if the class is no strategy.
    """
    from tapeline.strategy import Strategy  # noqa: PLC0415 - imports Numba, which reading a command line must not wait for

    return _load(spec, Strategy, "strategy")


def load_feature(spec: str) -> type[Any]:
    """The subclass of CustomFeature that `spec` names; as load_strategy."""
    from tapeline.extraction import CustomFeature  # noqa: PLC0415 - same

    return _load(spec, CustomFeature, "feature")


def _load(spec: str, base: type[Any], kind: str) -> type[Any]:
    place, colon, name = spec.rpartition(":")
    if not colon:
        place, name = spec, ""
    if not place:
        raise ConfigError(f"{spec!r}: expected file.py:Class or module:Class")
    return _pick(_import_file(Path(place)) if place.endswith(".py") else _import_module(place), name, place, (base, kind))


def parse_parameters(strategy: type[Any], settings: Iterable[str], where: str = "--set ") -> dict[str, Any]:
    """Parameters from texts `name=value`, each read by the type of the strategy's field: integer, float, true/false, or comma-separated for an array.

    Where the default is a member of an enumeration, such as tl.Side.BID, its members' names are understood, too.

    Raises ConfigError on unknown names, with the nearest known one, and on values that are not of the field's type or out of its range.
    """
    known = parameter_types(strategy)
    kinds = kinds_of(strategy)
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not name:
            raise ConfigError(f"{where}{setting!r}: expected name=value")
        if name not in known:
            hint = meant(name, known, f"its parameters are: {', '.join(known) or 'none'}")
            raise ConfigError(f"{where}{setting}: {strategy.__name__} has no parameter {name!r}; {hint}")
        if name in values:
            raise ConfigError(f"{where}{setting}: {name!r} is given twice; a sweep is an array of rows in Python: {strategy.__name__}.array({name}=[…])")
        members = kinds[name].__members__ if name in kinds else {}
        values[name] = members[text.upper()] if text.upper() in members else _parse(text, known[name], f"{where}{setting}", members)
    return values


def parse_bool(text: str) -> bool:
    """`true` or `no`, `1` or `off`. Raises ValueError on anything else."""
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def parameter_types(strategy: type[Any]) -> dict[str, np.dtype[Any]]:
    """Name and NumPy type of each parameter: the fields that have a default."""
    return {name: strategy.dtype_.fields[name][0] for name in strategy.fields_ if name in strategy._defaults}  # noqa: SLF001 - Record's own table


def kinds_of(record: type[Any]) -> dict[str, type[IntEnum]]:
    """The enumeration of each field whose default is a member of one, as tl.Side.BID is."""
    return {name: type(value) for name, value in record._defaults.items() if isinstance(value, IntEnum)}  # noqa: SLF001 - as above


def words_of(record: Any) -> dict[str, str]:
    """The names of the members that such fields of an instance have now; what is no member is left out."""
    numbers = {name: (kind, int(np.void.__getitem__(record, name))) for name, kind in kinds_of(type(record)).items()}
    return {name: kind(number).name for name, (kind, number) in numbers.items() if number in set(kind)}


class _FromSource(SourceFileLoader):
    """Reads the text itself: Python tells kept bytecode by the second and the length of a file, and an edit may change neither."""

    def get_code(self, fullname: str) -> CodeType:
        """What the text says now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name that depends on its path alone: compiled code refers to it by that name, in later processes too."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a strategy is named as file.py:Class or module:Class")
    resolved = path.resolve()
    content = hashlib.sha256(resolved.read_bytes()).hexdigest()
    name = f"tapeline_user_{resolved.stem}_{hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "_tapeline_content", None) == content:
        return loaded
    spec = importlib.util.spec_from_file_location(name, resolved, loader=_FromSource(name, str(resolved)))
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    _add_to_path(resolved.parent)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except TapelineError:
        sys.modules.pop(name)
        raise
    except (Exception, SystemExit) as error:  # a script may leave when it is done
        sys.modules.pop(name)
        raise ConfigError(f"{path}: {_where(error, resolved)}{type(error).__name__}: {_words(error)}") from error
    module._tapeline_content = content  # type: ignore[attr-defined]  # noqa: SLF001 - ours: the content that this module was made of
    return module


def _import_module(name: str) -> ModuleType:
    _add_to_path(Path.cwd())
    try:
        return importlib.import_module(name)
    except TapelineError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            parent, _, last = name.rpartition(".")
            file = f"{name}.py" if Path(f"{name}.py").is_file() else f"{parent}.py:{last}" if Path(f"{parent}.py").is_file() else ""
            hint = f"; is {file} meant?" if file else ""
            raise ConfigError(f"{name}: no such module{hint}") from error
        raise ConfigError(f"{name}: cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{name}: cannot be imported: {type(error).__name__}: {error}") from error


def _add_to_path(directory: Path) -> None:
    """Let strategies import what lies beside them; last, so that nothing beside them hides an installed module."""
    if str(directory) not in sys.path:
        sys.path.append(str(directory))


def _where(error: BaseException, file: Path) -> str:
    """`line n: ` of the last frame in the user's file, or of its syntax error."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: " if line is not None else ""


def _words(error: BaseException) -> str:
    """What an error says; of what is no Python, the line itself, too."""
    return f"{error.msg}\n    {(error.text or '').strip()}".rstrip() if isinstance(error, SyntaxError) else str(error)


def _pick(module: ModuleType, name: str, place: str, wanted: tuple[type[Any], str]) -> type[Any]:
    base, kind = wanted
    own = [
        key
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    plural = "strategies" if kind == "strategy" else f"{kind}s"
    candidates = f"{plural} there: {', '.join(own)}" if own else f"there is no {kind} in it; a {kind} is a subclass of tapeline.{base.__name__}"
    if not name:
        if len(own) == 1:
            return vars(module)[own[0]]  # type: ignore[no-any-return]  # a class, see above
        raise ConfigError(f"{place}: which class? {candidates}")
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError(f"{place}: has no class {name!r}; {meant(name, own, candidates)}")
    if not (isinstance(found, type) and issubclass(found, base) and found is not base):
        raise ConfigError(f"{place}: {name} is no subclass of tapeline.{base.__name__}; {candidates}")
    return found


def _parse(text: str, dtype: np.dtype[Any], setting: str, names: Iterable[str] = ()) -> Any:
    if dtype.shape:
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != math.prod(dtype.shape):
            raise ConfigError(f"{setting}: expected {' x '.join(map(str, dtype.shape))} values, separated by commas")
        return np.array([_parse(part, dtype.base, setting) for part in parts], dtype.base).reshape(dtype.shape)
    try:
        if dtype.kind == "b":
            return parse_bool(text)
        if dtype.kind == "f":
            return float(text)
        value = int(text, 0)
    except ValueError:
        expected = " or ".join([{"b": "true or false", "f": "a number"}.get(dtype.kind, "an integer"), *names])
        raise ConfigError(f"{setting}: expected {expected}") from None
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise ConfigError(f"{setting}: expected an integer from {limits.min:,} to {limits.max:,}")
    return value
