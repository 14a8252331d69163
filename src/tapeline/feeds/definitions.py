"""What is known about instruments: from definition files, from the user, or from a look through the data itself."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any, Final, Protocol

import databento_dbn
import numpy as np

from tapeline.constants import PRICE_SCALE, UNDEFINED_PRICE
from tapeline.delays import is_number
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn import DbnInput, records
from tapeline.feeds.dbn_kernels import SEEN, SLOTS_PER_SEEN, index_seen, survey_run
from tapeline.feeds.decoded import decoded
from tapeline.instruments import Instrument, Instruments, Key, Multiplier, Name, Tick, TickSize

_RTYPE: Final = 19
_SIZES: Final = (360, 400, 520)
_UNDEFINED_MULTIPLIER: Final = 2**31 - 1
_UNDEFINED_TIMESTAMP: Final = 2**64 - 1
_FIFO: Final = "F"
_NOT_STATED: Final = " "
"""A venue that publishes no algorithm; those with market-by-order feeds match by price and time."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One instrument, as its venue defines it; None for what it leaves undefined. Prices are integers in 1e-9."""

    publisher_id: int
    instrument_id: int
    symbol: str
    min_price_increment: int | None
    multiplier: float | None
    """Currency per price unit and lot."""
    currency: str
    match_algorithm: str
    """One letter, FIX 1142 as CME and Databento code it: F is price-time."""
    expiration: int | None
    """Nanoseconds since the epoch."""

    @property
    def key(self) -> Key:
        """(publisher_id, instrument_id)."""
        return self.publisher_id, self.instrument_id


@dataclass(frozen=True)
class Survey:
    """What a look through the data says of one instrument."""

    gcd: int
    """Greatest common divisor of its book prices, in 1e-9; 0 if it has none, or none but 0."""
    records: int


def read_definitions(path: Path | str) -> dict[Key, Definition]:
    """The definitions in a DBN file of schema `definition`, any version, plain or `.zst`. Of several for one instrument the last counts.

    Raises DataError where the file cannot be read.
    """
    found: dict[Key, Definition] = {}
    for number, record in enumerate(decoded(path, _RTYPE, _SIZES), 1):
        try:
            definition = _definition(record)
        except (databento_dbn.DBNError, ValueError) as error:
            raise DataError(f"{path}: definition {number:,}: {error}: the file is damaged there. Get it again.") from error
        found[definition.key] = definition
    if not found:
        raise DataError(f"{path}: holds no definition records: expected a DBN file of schema 'definition'")
    return found


def _definition(record: "databento_dbn.InstrumentDefMsg | databento_dbn.InstrumentDefMsgV1 | databento_dbn.InstrumentDefMsgV2") -> Definition:
    increment, quantity = record.min_price_increment, record.unit_of_measure_qty
    multiplier: float | None = None
    if record.contract_multiplier != _UNDEFINED_MULTIPLIER and record.contract_multiplier > 0:
        multiplier = float(record.contract_multiplier)
    elif quantity != UNDEFINED_PRICE and quantity > 0:  # CME's ES: the 50 stands here
        multiplier = quantity / PRICE_SCALE
    return Definition(
        publisher_id=record.publisher_id,
        instrument_id=record.instrument_id,
        symbol=record.raw_symbol,
        min_price_increment=increment if increment != UNDEFINED_PRICE and increment > 0 else None,
        multiplier=multiplier,
        currency=record.currency,
        match_algorithm=getattr(record.match_algorithm, "value", str(record.match_algorithm)),
        expiration=record.expiration if record.expiration != _UNDEFINED_TIMESTAMP else None,
    )


def _currency_per_lot(value: float | Decimal, setting: str) -> float:
    """A multiplier. Raises ConfigError, naming `setting`, where it is none."""
    if not (is_number(value) and math.isfinite(value) and value > 0):
        raise ConfigError(f"{setting}={value!r}: expected currency per price unit and lot, above 0")
    return float(value)


class Described(Protocol):
    """An input that knows its instruments, as a tape does."""

    @property
    def symbols(self) -> dict[int, str]:
        """instrument_id → symbol."""

    @property
    def instruments(self) -> Sequence[Any]:
        """With `key` and `grid`, in order of appearance."""


def survey(source: DbnInput | Described) -> dict[Key, Survey]:
    """Read the whole input for the instruments in it, in order of appearance. Where it is damaged, the survey ends: whoever reads it next will say so."""
    if not isinstance(source, DbnInput):
        return {instrument.key: Survey(instrument.grid, 0) for instrument in source.instruments}
    seen = np.zeros(64, SEEN)
    slots = np.zeros(len(seen) * SLOTS_PER_SEEN, np.int64)
    known = 0
    try:
        for run, _ in records(source):
            done = 0
            while done < len(run):
                count, known = survey_run(run[done:], seen, slots, known)
                done += count
                if done < len(run):
                    seen = np.concatenate((seen, np.zeros_like(seen)))
                    slots = np.zeros(len(seen) * SLOTS_PER_SEEN, np.int64)
                    index_seen(seen, slots, known)
    except DataError:
        pass
    return {(int(row["key"]) >> 32, int(row["key"]) & 0xFFFFFFFF): Survey(int(row["gcd"]), int(row["records"])) for row in seen[:known]}


def price_units(value: Tick, setting: str) -> int:
    """A decimal number as an exact integer in 1e-9. Floats mean the decimal that Python prints for them.

    Raises ConfigError, naming `setting`, if it is not positive or has more than nine decimals.
    """
    try:
        scaled = Decimal(str(value)) * PRICE_SCALE
        units = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError(f"{setting}={value!r}: expected a decimal number such as '0.25'") from None
    if isinstance(value, bool) or units != scaled or not 0 < units < UNDEFINED_PRICE:
        raise ConfigError(f"{setting}={value!r}: expected a positive number with at most nine decimals, such as '0.25'")
    return units


def instruments_of(  # noqa: PLR0913 - settings by keyword, as in Backtest
    source: DbnInput | Described,
    *,
    tick_size: TickSize | None = None,
    definitions: Mapping[Key, Definition] | None = None,
    multiplier: Multiplier | None = None,
    fees: Sequence[Mapping[Name | Key, Any]] = (),
    only: Sequence[Name | Key] | None = None,
) -> Instruments:
    """The registry of a run over `source`.

    Grid and order tick are `tick_size`; without it, the definition's price increment; without that, the greatest common divisor of the instrument's book
    prices. Only this last reads the whole input beforehand (a `.zst` is then decompressed twice); to give the tick avoids it.
    `tick_size` and `multiplier` are one for all, or by symbol or id: what the mapping leaves out is as without it.
    `fees`: whatever is given by symbol, id or (publisher_id, instrument_id) and nothing stands in for; `Instruments.fees` has it by key.
    `only` names the instruments wanted, by symbol, instrument_id or (publisher_id, instrument_id).

    Raises ConfigError for a tick that is no positive decimal, for names that are none, are not in the input, or there twice, and, when such an instrument is
    used, for a matching algorithm other than price-time, and for fees that leave it out.
    """
    describe = _Describer(source, definitions or {}, tick_size, multiplier, fees)
    if only is None:
        named = {*describe.ticks, *describe.multipliers, *(key for by_key in describe.fees_by_key for key in by_key)}
        many = max(len(source.symbols), len(named)) > 1 or (describe.must_survey and len(describe.surveyed) > 1)
        return Instruments(describe, several=many, fees=describe.fees_by_key)
    keys: dict[Key, Name | Key] = {}
    for name in only:
        found = describe.keys_of(name)
        for key in found:  # before two names are the same one
            describe.check_one_contract(key)
        if not keys.keys().isdisjoint(found):
            raise ConfigError(f"instruments: {name!r} is there twice: each has one index, its place in the list ({found[0][1]} is its id)")
        keys |= dict.fromkeys(found, name)
    if not keys:
        raise ConfigError("instruments: expected at least one symbol or id; leave it out to keep all")
    of_any_venue = frozenset(key[1] for key, name in keys.items() if not isinstance(name, tuple))
    return Instruments(describe, only=list(keys), of_any_venue=of_any_venue, several=len(keys) > 1, fees=describe.fees_by_key)


@dataclass
class _Describer:
    """Makes the Instrument of a key from all that is known."""

    source: DbnInput | Described
    definitions: Mapping[Key, Definition]
    tick_size: TickSize | None
    multiplier: Multiplier | None
    fees: Sequence[Mapping[Name | Key, Any]]

    def __post_init__(self) -> None:
        self.must_survey = False  # to know which instruments the settings name
        self.tick: int | None
        self.ticks: dict[Key, int]
        self.multiplier_of_all: float | None
        self.multipliers: dict[Key, float]
        self.tick, self.ticks = self._given(self.tick_size, "tick_size", price_units)
        self.multiplier_of_all, self.multipliers = self._given(self.multiplier, "multiplier", _currency_per_lot)
        self.fees_by_key = [self._given(each, "fees", lambda one, _: one)[1] for each in self.fees]
        known = {key[1] for key in self.ticks} | {definition.instrument_id for definition in self.definitions.values() if definition.min_price_increment}
        self.must_survey = self.tick is None and not (self.source.symbols and known.issuperset(self.source.symbols))

    def _given(self, value: Any, setting: str, read: Callable[[Any, str], Any]) -> tuple[Any, dict[Key, Any]]:
        """What a setting says of all instruments, or None, and what of each that it names."""
        if not isinstance(value, Mapping):
            return None if value is None else read(value, setting), {}
        found: dict[Key, Any] = {}
        names: dict[Key, Any] = {}
        for name, one in value.items():
            for key in self.keys_of(name, setting):
                if key in found:
                    raise ConfigError(f"{setting}: {name!r} is there twice: {names[key]!r} is the same instrument ({key[1]} is its id)")
                found[key], names[key] = read(one, f"{setting}[{name!r}]"), name
        return None, found

    @cached_property
    def surveyed(self) -> dict[Key, Survey]:
        """Made when first needed."""
        return survey(self.source)

    def __call__(self, key: Key, index: int) -> Instrument:
        """Describe the instrument of a key. Raises ConfigError if it does not match by price and time."""
        definition = self.definitions.get(key)
        self.check_one_contract(key)
        symbol = self.source.symbols.get(key[1]) or (definition.symbol if definition else "")
        if definition is not None and definition.match_algorithm not in (_FIFO, _NOT_STATED):
            raise ConfigError(
                f"{symbol or key}: its definition says match algorithm {definition.match_algorithm!r}, not price-time ('F'): "
                "exact queue positions are impossible there. Leave the instrument out with instruments=[…]"
            )
        if any(key not in by_key for by_key in self.fees_by_key):
            raise ConfigError(
                f"fees: they are given by instrument, and {symbol or key[1]} (publisher {key[0]}, id {key[1]}) is not among them: name it, too "
                "(tl.Fees() where nothing is paid), or leave it out with instruments=[…]"
            )
        tick = self._tick(key, definition)
        return Instrument(
            index=index,
            publisher_id=key[0],
            instrument_id=key[1],
            symbol=symbol,
            grid=tick,
            tick=tick,
            multiplier=self._multiplier(key, symbol or str(key), definition),
            currency=definition.currency if definition else "",
        )

    def check_one_contract(self, key: Key) -> None:
        """Raise ConfigError where an id stands for one contract first, and for another later."""
        if isinstance(self.source, DbnInput) and key[1] in self.source.reused:
            names = " and ".join(f"{symbol} in {path}" for symbol, path in self.source.reused[key[1]].items())
            raise ConfigError(
                f"instrument id {key[1]} is {names}: another contract, whose book and position would not be those of the first. "
                "Nothing rolls by itself: run the files apart, each day by itself"
            )

    def _tick(self, key: Key, definition: Definition | None) -> int:
        tick = self.ticks.get(key, self.tick)
        if tick is not None:
            return tick
        if definition is not None and definition.min_price_increment:
            return definition.min_price_increment
        found = self.surveyed.get(key)
        return found.gcd if found and found.gcd else 1  # without book prices, any grid holds them all

    def _multiplier(self, key: Key, name: str, definition: Definition | None) -> float:
        multiplier = self.multipliers.get(key, self.multiplier_of_all)
        if multiplier is not None:
            return multiplier
        if definition is not None and definition.multiplier is not None:
            return definition.multiplier
        others = sorted({other.symbol for other in self.definitions.values()}) if definition is None else []
        given = f" (those given are of {', '.join(others[:5])}{', …' if len(others) > 5 else ''})" if others else ""
        raise ConfigError(
            f"no contract multiplier is known for {name}: without it money means nothing. Give multiplier= (--multiplier), 50 for ES, 1 for shares and coins, "
            f"or definitions= (--definitions) with a file that has it{given}"
        )

    def keys_of(self, name: Name | Key, setting: str = "instruments") -> list[Key]:
        """The keys that a user's name stands for: several where several publishers, or days, have the instrument."""
        if isinstance(name, tuple) and setting in {"instruments", "fees"} and len(name) == 2 and all(isinstance(part, Integral) for part in name):
            self._keys_of_id(name[1], setting)  # raises where the input has no such id; of a venue that has it the records may begin anywhere
            return [name]
        if not isinstance(name, str | Integral):
            raise ConfigError(f"{setting}: {name!r} is neither a symbol such as 'ESH4' nor an id such as 17077")
        ids = self._ids_of_symbol(name, setting) if isinstance(name, str) else [int(name)]
        return [key for instrument_id in ids for key in self._keys_of_id(instrument_id, setting)]

    def _ids_of_symbol(self, symbol: str, setting: str) -> list[int]:
        if symbol in self._ids:
            return list(self._ids[symbol])
        if symbol.isdecimal() and setting != "instruments":  # names of a table, in TOML and JSON, are text
            return [int(symbol)]
        raise self._not_in_input(symbol, setting)

    def _not_in_input(self, name: Name, setting: str) -> ConfigError:
        known = sorted({*self.source.symbols.values(), *(definition.symbol for definition in self.definitions.values())})
        near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4) or known[:5]
        more = ", …" if len(known) > len(near) else ""
        return ConfigError(f"{setting}: {name!r} is not in the input; it has {', '.join(near) or 'no symbols: name instrument ids'}{more}")

    @cached_property
    def _ids(self) -> dict[str, dict[int, None]]:
        """Ids by symbol: of hundreds of names, each went through thousands of symbols by itself."""
        reused = self.source.reused if isinstance(self.source, DbnInput) else {}
        of_input = ((symbol, i) for i, known in self.source.symbols.items() for symbol in (known, *reused.get(i, ())))
        found: dict[str, dict[int, None]] = {}
        for symbol, instrument_id in chain(of_input, ((one.symbol, one.instrument_id) for one in self.definitions.values())):
            found.setdefault(symbol, {})[instrument_id] = None
        return found

    def _keys_of_id(self, instrument_id: int, setting: str) -> list[Key]:
        keys = self._defined.get(instrument_id, [])
        is_listed = not self.source.symbols or instrument_id in self.source.symbols
        if not keys and (self.must_survey or not is_listed or len(self._publishers) != 1):
            keys = self._seen.get(instrument_id, [])
        if not keys and not is_listed:
            raise self._not_in_input(instrument_id, setting)
        return keys or [(publisher_id, instrument_id) for publisher_id in self._publishers[:1] or [0]]

    @cached_property
    def _defined(self) -> dict[int, list[Key]]:
        return _by_id(self.definitions)

    @cached_property
    def _seen(self) -> dict[int, list[Key]]:
        return _by_id(self.surveyed)

    @cached_property
    def _publishers(self) -> list[int]:
        """Those of the input's first records: one, unless the dataset joins several venues."""
        if not isinstance(self.source, DbnInput):
            return sorted({instrument.key[0] for instrument in self.source.instruments})
        for run, _ in records(self.source):
            return [int(publisher) for publisher in np.unique(run["publisher_id"][:65536])]
        return []


def _by_id(keys: Iterable[Key]) -> dict[int, list[Key]]:
    found: dict[int, list[Key]] = {}
    for key in keys:
        found.setdefault(key[1], []).append(key)
    return found
