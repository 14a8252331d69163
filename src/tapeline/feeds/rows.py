"""Orders of any source, as rows of a table, made into DBN's records: the way in for data that Databento did not record."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tapeline.constants import PRICE_SCALE, TIME_END, UNDEFINED_PRICE, Action, RecordFlag, Side
from tapeline.errors import ConfigError, DataError
from tapeline.feeds.dbn_kernels import MBO_RTYPE, MBO_WORDS, SIZE_MAX
from tapeline.feeds.definitions import price_units
from tapeline.files import path_of
from tapeline.instruments import Tick
from tapeline.schema import MBO

Rows = pl.DataFrame | pl.LazyFrame | str | Path | Sequence[str | Path]
T = TypeVar("T")

_CSV_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zst")
ROWS_SUFFIXES: Final = (*_CSV_SUFFIXES, ".parquet")
BATCH_ROWS: Final = 1 << 17
_REQUIRED: Final = ("ts_event", "action", "side", "price", "size", "order_id")
_WHOLE: Final = {
    "publisher_id": (0, 0, 2**16 - 1),
    "order_id": (0, 0, 2**64 - 1),
    "flags": (int(RecordFlag.LAST), 0, 2**8 - 1),
    "channel_id": (0, 0, 2**8 - 1),
    "sequence": (0, 0, 2**32 - 1),
    "ts_in_delta": (0, -(2**31), 2**31 - 1),
}
"""Whole numbers: what stands for a missing one, the least, the greatest. That every row is flagged as its event's last is right where several are one
event, too: rule 1 of the normaliser goes on with a next one of equal instrument, time and sequence."""
_TIME_FIRST: Final = 10**17
"""March 1973. What is earlier was counted in another unit than nanoseconds."""
_FLOAT_STEPS: Final = {23: 10, 26: 100, 29: 1_000, 33: 10_000}
"""From 2^23 on, floats are more than 1e-9 apart, and so on: what is finer than the step, in 1e-9, is none of the number that was meant."""
_POLARS: Final = {name: pl.Series(np.zeros(0, MBO[name])).dtype for name in MBO.names or ()}
"""The type in polars of each field of a record."""


class _Column(NamedTuple):
    """A column of the records: how it is computed, null where it cannot be, and what would have been right."""

    name: str
    value: pl.Expr
    expected: str


class RowsInput:
    """Rows of a frame, or of CSV or Parquet files, as records; what they may hold is told at `tapeline.write_dbn`.

    Looks at all of them once, for what a header says. Raises DataError for what cannot be read, and ConfigError for settings that do not fit.
    """

    dataset = "TAPELINE.ROWS"
    changes = None
    """Rows tell of no trading states."""

    def __init__(self, rows: Rows, *, symbol: str | None, price_unit: Tick | None, lot: Tick) -> None:
        """Settings as in `write_dbn`."""
        self.source, self._table = _open(rows)
        self.counters: dict[str, int] = {}
        """There is nothing of which one should know: what cannot be read is an error."""
        self.bytes_done = 0
        self._schema = collected(self.source, self._table.collect_schema)
        missing = [name for name in _REQUIRED if name not in self._schema]
        if missing:
            raise DataError(f"{self.source}: has no column {', '.join(missing)}: rows need {', '.join(_REQUIRED)}; there are {', '.join(self._schema)}")
        self._check_schema()
        price = pl.col("price")
        whole = price.str.contains(r"[.eE]").any().not_() if self._schema["price"] == pl.String else pl.lit(self._schema["price"].is_integer())
        self.rows, is_whole = self._ask(self._table.select(pl.len(), whole.alias("whole"))).row(0)
        first = self._ask(self._table.head(1).select(_time("ts_recv" if "ts_recv" in self._schema else "ts_event", self._schema)))
        self.start_ns: int = (first.item() if first.height else None) or 0
        """Of the first row."""
        self.bytes_total = self.rows * MBO.itemsize
        self.symbols = self._symbols(symbol)
        """By id."""
        self._columns = _columns(self._schema, self.symbols, self._price_unit(price_unit, is_whole=is_whole and self.rows > 0), price_units(lot, "lot"))

    def records(self) -> Iterator[NDArray[np.void]]:
        """All of them, in arrays. Raises DataError at the first that cannot be one."""
        done = 0
        batches = self._table.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
        while (batch := collected(self.source, lambda: next(batches, None))) is not None:
            yield _records(self.source, batch, self._columns, done)
            done += batch.height
            self.bytes_done = done * MBO.itemsize

    def _check_schema(self) -> None:
        """Rows of Databento's other schemas have the names of these columns, too, and tell of no orders. Raises DataError."""
        if "rtype" not in self._schema or not self._schema["rtype"].is_integer():
            return
        other = self._ask(self._table.filter(pl.col("rtype") != MBO_RTYPE).select(pl.col("rtype").first())).item()
        if other is not None:
            raise DataError(f"{self.source}: has rows of rtype {other}, and those of schema mbo have {MBO_RTYPE}: what tells of levels or trades has no orders")

    def _ask(self, question: pl.LazyFrame) -> pl.DataFrame:
        """The answer to a question about all rows, found in passing."""
        return collected(self.source, lambda: question.collect(engine="streaming"))

    def _price_unit(self, given: Tick | None, *, is_whole: bool) -> int:
        """What a price as a whole number is worth, in 1e-9."""
        if not is_whole and given is not None:
            raise ConfigError(f"price_unit={given!r}: prices in {self.source} have decimals, and are taken as they are written: leave it out")
        if is_whole and given is None:
            raise ConfigError(f"price_unit: prices in {self.source} are whole numbers: say what 1 of them is worth, such as 1, 0.0001 or 1e-9")
        return PRICE_SCALE if given is None else price_units(given, "price_unit")

    def _symbols(self, symbol: str | None) -> dict[int, str]:
        """Without ids, symbols are numbered from 1, by first appearance."""
        keys = [name for name in ("instrument_id", "symbol") if name in self._schema]
        if symbol is not None and "symbol" in keys:
            raise ConfigError(f"symbol={symbol!r}: {self.source} has a column of them: leave one of the two out")
        if not keys and symbol is None:
            raise ConfigError(f"symbol: name the instrument, symbol=…, or give {self.source} a column symbol or instrument_id")
        if not keys:
            return {1: str(symbol)}
        named = self._table.select(pl.col(name).cast(pl.String) for name in keys).unique(maintain_order=True)
        found: dict[int, str] = {}
        for row, names in enumerate(self._ask(named).iter_rows(named=True), 1):
            number = names.get("instrument_id", str(row)) or ""
            own = names.get("symbol", symbol or number)
            if not number.isdecimal() or own is None:
                raise DataError(f"{self.source}: a row has instrument_id {number or 'null'} and symbol {own}: expected a whole number, and text")
            if found.setdefault(int(number), own) != own:
                raise DataError(f"{self.source}: instrument_id {number} is {found[int(number)]} in one row and {own} in another: expected one symbol for each")
        if symbol is not None and len(found) > 1:
            raise ConfigError(f"symbol={symbol!r}: {self.source} has {len(found)} instruments: leave it out, or add a column symbol")
        return found


def _open(rows: Rows) -> tuple[str, pl.LazyFrame]:
    """A name for messages, and the rows. Text of CSV stays text, so that no column's type depends on its first rows."""
    if isinstance(rows, pl.DataFrame | pl.LazyFrame):
        return "the frame", rows.lazy()
    paths = files_of(rows)
    name = ", ".join(str(path) for path in paths)
    if all(path.suffix == ".parquet" for path in paths):
        return name, pl.scan_parquet(paths, glob=False)
    if all(path.name.endswith(_CSV_SUFFIXES) for path in paths):
        return name, pl.scan_csv(paths, infer_schema=False, glob=False)
    raise ConfigError(f"{name}: expected files that end in .csv, .csv.gz, .csv.zst or .parquet, all of one kind")


def files_of(rows: Rows) -> list[Path]:
    """The files in which rows are; of a frame none."""
    if isinstance(rows, pl.DataFrame | pl.LazyFrame):
        return []
    paths = [rows] if isinstance(rows, str | Path) else list(rows) if isinstance(rows, Sequence) else None
    if not paths or not all(isinstance(path, str | Path) for path in paths):
        raise ConfigError(f"source: expected a polars frame (pl.from_pandas makes one), or one or more files, not {type(rows).__name__}")
    return [path_of(path, "source") for path in paths]


def collected(source: str, ask: Callable[[], T]) -> T:
    """What polars answers. Raises DataError where it cannot read the rows."""
    try:
        return ask()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{source}: cannot be read: {error}") from error


def _columns(schema: pl.Schema, symbols: dict[int, str], price_unit: int, lot: int) -> list[_Column]:
    """All that a record has, of the columns that there are."""
    price, size, ts_event = nano("price", schema, price_unit), nano("size", schema, PRICE_SCALE), _time("ts_event", schema)
    wanted = "expected a time, or whole nanoseconds since 1970; those before 1973 count something else"
    columns = [
        _Column("ts_event", ts_event, wanted),
        _Column("ts_recv", _given("ts_recv", schema, ts_event, _time("ts_recv", schema)), wanted),
        _Column("action", _letter("action", Action), f"expected one of {', '.join(chr(action) for action in Action)}"),
        _Column("side", _given("side", schema, int(Side.NONE), _letter("side", Side)), "expected B, A, or N for none"),
        _Column(
            "price",
            _given("price", schema, UNDEFINED_PRICE, pl.when(price.is_between(-(2**63), UNDEFINED_PRICE)).then(price)),
            "expected a number between -9.2e9 and 9.2e9, or nothing",
        ),
        _Column(
            "size",
            _given("size", schema, 0, pl.when((size % lot == 0) & (size // lot).is_between(0, SIZE_MAX)).then(size // lot)),
            f"expected a multiple of lot={Decimal(lot) / PRICE_SCALE:f}, 2^32 - 1 of them at most: lot= says what a lot is, such as 1e-8 of a coin",
        ),
    ]
    instrument: pl.Expr | int = next(iter(symbols), 1)
    if "symbol" in schema:
        numbers = {symbol: number for number, symbol in symbols.items()}
        instrument = pl.col("symbol").cast(pl.String).replace_strict(numbers, default=None, return_dtype=pl.UInt32)
    for name, (default, low, high) in {"instrument_id": (instrument, 0, 2**32 - 1), **_WHOLE}.items():
        value = _given(name, schema, default, _whole(name, schema, low, high))
        columns.append(_Column(name, value, f"expected a whole number from {low} to {high}"))
    return columns


def _given(name: str, schema: pl.Schema, default: pl.Expr | int, value: pl.Expr) -> pl.Expr:
    """A value that may be left out, in some rows or in all."""
    if name not in schema:
        return default if isinstance(default, pl.Expr) else pl.lit(default)
    column = pl.col(name)
    is_absent = column.is_null()
    if schema[name] == pl.String:
        is_absent |= column == ""
    elif schema[name].is_float():
        is_absent |= column.is_nan()  # as pandas has it
    return pl.when(is_absent).then(default).otherwise(value)


def _whole(name: str, schema: pl.Schema, low: int, high: int) -> pl.Expr:
    """A column as whole numbers; null where it is none, or too small or large."""
    number, kind = pl.col(name), schema.get(name)
    if kind == pl.String:
        number = number.str.replace(r"\.0+$", "")  # what was written from floats
    elif kind is not None and kind.is_float():
        number = pl.when(number == number.floor()).then(number)
    number = number.cast(pl.Int128, strict=False)
    return pl.when(number.is_between(low, high)).then(number)


def nano(name: str, schema: pl.Schema, unit: int) -> pl.Expr:
    """A column in 1e-9, exact; floats are rounded to as many decimals as they hold. `unit`: what a whole number is worth. Null where it is no number."""
    value, kind = pl.col(name), schema[name]
    if kind.is_integer() or (kind == pl.String and unit != PRICE_SCALE):
        return value.cast(pl.Int128, strict=False) * unit
    if kind.is_float():
        step = pl.lit(1, pl.Int64)
        for bits, least in _FLOAT_STEPS.items():
            step = pl.when(value.abs() >= 2.0**bits).then(least).otherwise(step)
        return (value * (PRICE_SCALE / step)).round().cast(pl.Int128, strict=False) * step
    return value.cast(pl.Decimal(38, 9), strict=False).to_physical()


def _time(name: str, schema: pl.Schema) -> pl.Expr:
    """A column as nanoseconds since 1970; null where it is no time, or none that a market has seen."""
    value, kind = pl.col(name), schema.get(name)
    ns = value.cast(pl.Int64, strict=False)
    if isinstance(kind, pl.Datetime):
        ns = value.dt.epoch("ns")
    elif kind == pl.String:  # to look for a date in numbers would take 80 us for each
        ns = pl.coalesce(ns, pl.when(ns.is_null()).then(value).str.to_datetime(time_unit="ns", time_zone="UTC", strict=False).to_physical())
    elif kind is not None and not kind.is_integer():
        ns = pl.lit(None, pl.Int64)
    return pl.when(ns.is_between(_TIME_FIRST, TIME_END, closed="left")).then(ns)


def _letter(name: str, of: type[Action | Side]) -> pl.Expr:
    return pl.col(name).cast(pl.String).replace_strict({chr(member): int(member) for member in of}, default=None, return_dtype=pl.UInt8)


def _records(source: str, batch: pl.DataFrame, columns: list[_Column], before: int) -> NDArray[np.void]:
    """A batch of rows as records. Raises DataError at what cannot be one."""
    values = collected(source, lambda: batch.select(column.value.cast(_POLARS[column.name]).alias(column.name) for column in columns))
    for column in columns:
        bad = values[column.name].is_null()
        if bad.any():
            row = bad.arg_max() or 0
            given = repr(batch[column.name][row]) if column.name in batch.columns else "nothing"
            raise DataError(f"{source}: row {before + row + 1:,}: {column.name}={given}: {column.expected}")
    records = np.zeros(batch.height, MBO)
    records["length"], records["rtype"] = MBO_WORDS, MBO_RTYPE
    for name in values.columns:
        records[name] = values[name].to_numpy()
    return records
