"""Settings of a run as text: `name=value` on a command line, and TOML files with the same names and the same values."""

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tapeline import load
from tapeline.config import LEGS, Fees, FeesGiven, FillRules, Latency, Limits
from tapeline.delays import Delay
from tapeline.errors import ConfigError
from tapeline.files import small_text
from tapeline.keywords import meant

if TYPE_CHECKING:
    from tapeline.options import MarketOptions, RunOptions

BOTH: Final = "both"
"""Entry and response latency at once."""
OPTIONS: Final = {"fees": "fee", "rules": "fill-rule", "limits": "limit"}
TABLES: Final = ("latency", "fees", "rules", "limits", "set")
DURATIONS: Final = ("feed", "messages_per", "median", "mean", "shift")
"""Of a latency, and of a delay that varies."""
SCALARS: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "tick_size": ("a number, or text, or one for each instrument, { ESH4 = 0.25 }", (str, int, float, dict)),
    "definitions": ("a file, or a list of files", (str, list)),
    "status": ("a file, or a list of files", (str, list)),
    "instruments": ("a list of symbols and ids", (list,)),
    "multiplier": ("a number, or one for each instrument, { ESH4 = 50 }", (int, float, dict)),
    "exclude_orders": ("a list of order ids", (list,)),
    "feed_time": ("text", (str,)),
    "start": ("a time such as 2023-12-26T14:30:00Z", (str, int, datetime)),
    "end": ("a time such as 2023-12-26T21:00:00Z", (str, int, datetime)),
    "equity_every": ("a time such as '1s'", (str, int)),
    "day_starts": ("text such as '17:00 America/Chicago'", (str,)),
    "explain": ("true or false", (bool,)),
    "engine": ("text", (str,)),
    "threads": ("a number", (int,)),
}
"""Keywords of Backtest that a file may set beside the tables: what they are."""
_NAMED: Final = re.compile(r"\s*(\w+)\s*=(?!=)(.*)", re.DOTALL)
_CALL: Final = re.compile(r"\s*(log_normal|gamma|from_feed|table)\s*\((.*)\)\s*", re.DOTALL)
_NO_BRACKETS: Final = {ord("["): None, ord("]"): None}
"""An array of several dimensions is its values, row by row, as on a command line."""
_INTEGER: Final = re.compile(r"[+-]?\d[\d_]*")


def of_market(given: "MarketOptions") -> dict[str, Any]:
    """Keywords of Backtest, depth and the like; what was not given is left out."""
    found = {name: value for name, value in dataclasses.asdict(given).items() if value is not None}
    if "instruments" in found:
        found["instruments"] = names_in(found["instruments"])
    return found


def names_in(texts: Iterable[str]) -> list[str | int]:
    """Symbols and ids of instruments, as they are listed on a command line, at once or one by one."""
    return [int(name) if name.isdecimal() else name for text in texts for name in (part.strip() for part in text.split(","))]


def of_run(strategy: type[Any], given: "RunOptions", parameters: Iterable[str]) -> tuple[Any, dict[str, Any]]:
    """An instance of the strategy, and the keywords of Backtest: from the file of settings, then from the options, which come before it.

    Raises ConfigError, naming the setting, on unknown names and on values that make no sense.
    """
    file = _read(given.config) if given.config is not None else {}
    options = of_market(given)
    rules = _named("--fill-rule", options.pop("fill_rule", ())) | ({"queue": options.pop("queue")} if "queue" in options else {})
    named = {"fees": _named("--fee", options.pop("fee", ())), "rules": rules, "limits": _named("--limit", options.pop("limit", ()))}
    latency, path = _named("--latency", options.pop("latency", ()), bare=BOTH), options.pop("config", None)
    tables = {name: file.pop(name, {}) for name in TABLES}
    texts = {name: str(value).translate(_NO_BRACKETS) if isinstance(value, list) else str(value) for name, value in tables["set"].items()}
    of_file = load.parse_parameters(strategy, (f"{name}={text}" for name, text in texts.items()), f"{path}: set.")
    values = of_file | load.parse_parameters(strategy, parameters)
    own = getattr(strategy, "latency", None)
    base = latency_of(own if isinstance(own, Latency) else Latency(), tables["latency"], f"{path}: latency.")
    made: dict[str, Any] = {"latency": latency_of(base, latency, "--latency ")}
    made["fees"] = fees_of(tables["fees"], named["fees"], path)
    for name, cls in (("rules", FillRules), ("limits", Limits)):
        made[name] = cls(**_typed(cls, tables[name], f"{path}: {name}.") | _typed(cls, named[name], f"--{OPTIONS[name]} "))
    return strategy(**values), file | options | made


def latency_of(base: Latency, given: Mapping[str, Any], where: str) -> Latency:
    """`base` with what is given in its place: `both` stands for entry and response, or, of a table, for all legs that it has.

    Another entry latency is that of modifies and cancels, too, unless these are given.
    """
    fields = {field.name: field.default for field in dataclasses.fields(Latency)}
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name == BOTH and (call := _CALL.fullmatch(str(value))) and call[1] == "table":
            files, named = _arguments(call[2])
            if len(files) != 1 or named:
                raise ConfigError(f"{where}{value}: expected table(FILE), of all legs, or entry=table(FILE, COLUMN)")
            changes |= dict(zip(LEGS, Latency.from_table(files[0]).legs, strict=True))
        elif name == BOTH:
            changes |= {leg: _delay(value, leg, f"{where}{value}") for leg in LEGS}
        elif name not in fields:
            raise ConfigError(f"{where}{name}={value}: {_unknown(name, [BOTH, *fields])}")
    for name in (name for name in given if name != BOTH):
        value = given[name]
        if name in LEGS:
            value = _delay(value, name, f"{where}{name}={value}")
        elif name not in DURATIONS:
            value = _scalar(str(value), fields[name])
        changes |= {name: value} | ({leg: value for leg in ("modify", "cancel") if leg not in given} if name == "entry" else {})
    return dataclasses.replace(base, **changes)


def fees_of(table: Mapping[str, Any], options: Mapping[str, str], path: Path | None) -> FeesGiven:
    """Fees of all instruments, or, where the file has a table for each, by their names. Raises ConfigError where it has both, or options beside tables."""
    where, tables = f"{path}: fees", {name: value for name, value in table.items() if isinstance(value, dict)}
    if not tables:
        return Fees(**_typed(Fees, table, f"{where}.") | _typed(Fees, options, "--fee "))
    if len(tables) < len(table):
        mixed = ", ".join(name for name in table if name not in tables)
        raise ConfigError(f"{where}: {mixed} beside tables of instruments ({', '.join(tables)}): expected either one for all, or a table for each instrument")
    if options:
        first = next(iter(options))
        raise ConfigError(f"--fee {first}={options[first]}: {path} has fees for each instrument: change them there")
    for name, value in tables.items():
        if any(isinstance(one, dict) for one in value.values()):
            raise ConfigError(f'{where}.{name}: holds tables: a name with dots is written in quotes, [fees."{name}.{next(iter(value))}"]')
    return {name: Fees(**_typed(Fees, value, f"{where}.{name}.")) for name, value in tables.items()}


def _read(path: Path) -> dict[str, Any]:
    """A file of settings, its names checked."""
    try:
        found = tomllib.loads(small_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"--config {path}: cannot be read as TOML: {error}") from error
    for name, value in found.items():
        if name not in (*SCALARS, *TABLES) or (name in TABLES and not isinstance(value, dict)):
            expected = f"is a table: [{name}]" if name in TABLES else _unknown(name, [*SCALARS, *TABLES])
            raise ConfigError(f"{path}: {name}: {expected}")
        if name in SCALARS:
            expected, types = SCALARS[name]
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ConfigError(f"{path}: {name} = {value!r}: expected {expected}")
    return found


def _named(option: str, settings: Iterable[str], *, bare: str | None = None) -> dict[str, str]:
    """`name=value` as names and values; a value without name is that of `bare`."""
    found: dict[str, str] = {}
    for setting in settings:
        match = _NAMED.fullmatch(setting)
        if match is None and bare is None:
            raise ConfigError(f"{option} {setting!r}: expected name=value")
        name, value = (bare or "", setting) if match is None else (match[1], match[2].strip())
        if name in found:
            raise ConfigError(f"{option} {setting}: is given twice, the other one is {found[name]}")
        found[name] = value
    return found


def _typed(cls: Any, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values by the types of a class's defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    found = {}
    for name, value in given.items():
        if name not in defaults:
            raise ConfigError(f"{where}{name}={value}: {_unknown(name, list(defaults))}")
        try:
            found[name] = _scalar(str(value), defaults[name])
        except ValueError:
            kind = {bool: "true or false", int: "an integer", float: "a number"}[type(defaults[name])]
            raise ConfigError(f"{where}{name}={value}: expected {kind}") from None
    return found


def _scalar(text: str, default: Any) -> Any:
    """A value of the type of `default`."""
    if isinstance(default, bool):
        return load.parse_bool(text)
    if isinstance(default, int):
        return int(text) if _INTEGER.fullmatch(text) else text
    if isinstance(default, float):
        return float(text)
    return text


def _delay(value: Any, leg: str, setting: str) -> Any:
    """A duration, as it is given, or a Delay: log_normal(…), gamma(…), from_feed(…), table(FILE)."""
    call = _CALL.fullmatch(str(value))
    if call is None:
        return value
    positional, named = _arguments(call[2])
    if call[1] == "table" and "column" not in named and len(positional) < 2:
        named["column"] = leg
    try:
        return getattr(Delay, call[1])(*positional, **named)
    except TypeError as error:
        raise ConfigError(f"{setting}: {str(error).replace('Delay.', '')}") from None


def _arguments(text: str) -> tuple[list[str], dict[str, Any]]:
    """The arguments between parentheses: those that are no durations and are numbers as numbers, all else as text."""
    positional: list[str] = []
    named: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _NAMED.fullmatch(part)
        if match is None:
            positional.append(part)
        else:
            named[match[1]] = match[2].strip() if match[1] in DURATIONS else _number(match[2].strip())
    return positional, named


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _unknown(name: str, known: list[str]) -> str:
    return f"there is no such setting; {meant(name, known, 'there are: ' + ', '.join(known))}"
